/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Sequence numbers. They are given out only below a mark that stands on the disk, in the queue and in a file beside it:
 * the next process begins there. Where no mark can be written, numbers come from the time of day instead:
 * microseconds since 1970, once the clock can be trusted, and only well past every mark that may be found again.
 */
#include "base/clock.h"
#include "queue/queue_files.h"
#include "queue/queue_private.h"
#include <errno.h>

static struct run *last_run(const struct queue *queue)
{
	return queue->runs.n > 0 ? &queue->runs.at[queue->runs.n - 1] : NULL;
}

static uint64_t next_number(const struct queue *queue, const struct run *run)
{
	return (uint64_t)((int64_t)queue->tail.next + run->base);
}

/* The first id whose number the mark does not cover. */
static uint64_t first_uncovered(const struct queue *queue)
{
	const struct run *run = last_run(queue);

	return run && run->known && queue->reserved > 0 ? (uint64_t)((int64_t)queue->reserved - run->base) : UINT64_MAX;
}

uint64_t numbers_limit(const struct queue *queue)
{
	const struct run *run = last_run(queue);

	if (queue->base_is_new || !run || !run->known)
		return 0;
	return MIN(queue->tail.next, first_uncovered(queue)) - 1;
}

/* What has no number yet waits for another base. -ENOMEM. */
static int forget_base(struct queue *queue)
{
	int r = runs_forget_base(&queue->runs, MIN(queue->tail.next, first_uncovered(queue)));

	if (r < 0)
		return r;
	queue->seq_floor = MAX(queue->seq_floor, queue->reserved);
	queue->reserved = 0;
	queue->runs_version++;
	queue->numbering++;
	queue->reserve_wanted = true;
	return 0;
}

static void know_base(struct queue *queue, uint64_t seq)
{
	runs_know(&queue->runs, seq);
	queue->runs_version++;
	queue->numbering++;
}

/* 0: the clock cannot tell. Whoever finds the last mark again goes on from there: both ways must not meet. */
static uint64_t number_of_day(const struct queue *queue)
{
	uint64_t number = (uint64_t)MAX(clock_wall(), (int64_t)USEC_PER_SEC);

	if (!clock_usable() || (queue->seq_floor > 0 && number < queue->seq_floor + SEQ_BLOCK))
		return 0;
	return number;
}

void numbers_find_base(struct queue *queue)
{
	const struct run *run = last_run(queue);
	uint64_t number = number_of_day(queue);

	if (!run || number == 0)
		return;
	if (run->known) {
		if (!queue->may_have_left_mark)
			return;
		/* The last process may have gone on by the time of day, and the mark known nothing of it. */
		if (number >= MAX(next_number(queue, run), queue->reserved) + SEQ_BLOCK && forget_base(queue) < 0)
			return;
		queue->may_have_left_mark = false;
		if (last_run(queue)->known)
			return;
	}
	know_base(queue, number);
	queue->may_have_left_mark = false;
	queue->reserve_wanted = queue->base_is_new = true;
	queue_wake_store(queue, 0);
}

bool numbers_wait_for_day(const struct queue *queue)
{
	const struct run *run = last_run(queue);

	return run && !run->known && clock_usable();
}

void numbers_want_more(struct queue *queue)
{
	const struct run *run = last_run(queue);

	if (!run->known || next_number(queue, run) + SEQ_BLOCK / 2 <= queue->reserved)
		return;
	if (!queue->reserve_wanted) {
		queue->reserve_wanted = true;
		queue_wake_store(queue, 0);
	}
	numbers_leave_mark(queue);
}

void numbers_leave_mark(struct queue *queue)
{
	if (queue->disk_state == QUEUE_DISK_OK || queue->tail.next <= first_uncovered(queue) || forget_base(queue) < 0)
		return;
	queue_notify(
		queue, HAY_LOG_WARNING,
		"the sequence numbers that were reserved are used up, and the disk takes no new mark: they go on by the time of day%s",
		clock_usable() ? "" : "; samples wait in memory until the clock is synchronised");
	numbers_find_base(queue);
}

int numbers_write_file(struct queue *queue, uint64_t mark)
{
	_cleanup_buf_ struct buf runs = {0};
	uint64_t bytes = 0;
	int r;

	mutex_lock(&queue->lock);
	state_put_runs(&runs, queue->low, queue->unsure_to, queue->runs.at, queue->runs.n);
	mutex_unlock(&queue->lock);
	r = queue_mark_write(queue->path, mark, &runs, &bytes);
	queue->mark_bytes += bytes;
	return r;
}

int numbers_write_mark(struct queue *queue, uint64_t mark)
{
	struct db *db = &queue->store.db;
	struct state_meta meta;
	int in_file = numbers_write_file(queue, mark), r;

	if (!db->handle || db->read_only)
		return in_file;
	meta = queue->store.meta;
	meta.seq = mark;
	meta.clean = false;
	r = db_begin(db);
	if (r == 0)
		r = state_save_meta(queue, &meta);
	if (r == 0)
		r = db_commit(db);
	else
		db_rollback(db);
	if (r == 0)
		queue->store.meta = meta;
	/* The greater of both counts: one is enough. */
	return r < 0 && in_file < 0 ? r : 0;
}

/* What the mark shall be; 0: there is nothing to count from. */
static uint64_t wanted_mark(const struct queue *queue) REQUIRES(queue->lock)
{
	const struct run *run = last_run(queue);

	if (run->known)
		return MAX(MAX(queue->reserved, queue->seq_floor), next_number(queue, run) + SEQ_BLOCK);
	/* A mark was found again that can be moved on now: the time of day is not needed. */
	if (queue->seq_floor > 0)
		return queue->seq_floor + (queue->tail.next - runs_first_unknown(&queue->runs)) + SEQ_BLOCK;
	return 0;
}

int numbers_reserve(struct queue *queue)
{
	unsigned numbering;
	uint64_t mark;
	int r;

	mutex_lock(&queue->lock);
	mark = wanted_mark(queue);
	numbering = queue->numbering;
	queue->reserve_wanted = false;
	mutex_unlock(&queue->lock);
	if (mark == 0)
		return 0;
	r = numbers_write_mark(queue, mark);
	mutex_lock(&queue->lock);
	if (numbering != queue->numbering) {
		/* Meanwhile the clock told another base: that mark is none of its, but may be found again. */
		if (r == 0)
			queue->seq_floor = MAX(queue->seq_floor, mark);
		queue->reserve_wanted = true;
	} else {
		if (r < 0) {
			queue->reserve_wanted = true;
		} else {
			if (!last_run(queue)->known)
				know_base(queue, queue->seq_floor);
			queue->reserved = mark;
		}
		queue->base_is_new = false;
		readers_signal(queue);
	}
	store_count(queue);
	mutex_unlock(&queue->lock);
	return r;
}
