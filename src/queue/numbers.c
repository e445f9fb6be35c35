/* SPDX-License-Identifier: Apache-2.0 */
/* The queue's sequence numbers (sequence.h): the clock that tells a base, and the mark on the disk, in the queue and
   in a file beside it. */
#include "base/clock.h"
#include "queue/queue_files.h"
#include "queue/queue_private.h"
#include <errno.h>

uint64_t numbers_limit(const struct queue *queue)
{
	return sequence_limit(&queue->sequence, queue->tail.next);
}

void numbers_find_base(struct queue *queue)
{
	uint64_t day = clock_usable() ? (uint64_t)MAX(clock_wall(), (int64_t)USEC_PER_SEC) : 0;

	if (sequence_find_base(&queue->sequence, queue->tail.next, day))
		queue_wake_store(queue, 0);
}

bool numbers_wait_for_day(const struct queue *queue)
{
	return queue->sequence.runs.n > 0 && !sequence_is_known(&queue->sequence) && clock_usable();
}

void numbers_want_more(struct queue *queue)
{
	if (!sequence_runs_short(&queue->sequence, queue->tail.next))
		return;
	if (!queue->sequence.reserve_wanted) {
		queue->sequence.reserve_wanted = true;
		queue_wake_store(queue, 0);
	}
	numbers_leave_mark(queue);
}

void numbers_leave_mark(struct queue *queue)
{
	if (queue->disk_state == QUEUE_DISK_OK || queue->tail.next <= sequence_covered(&queue->sequence) ||
	    sequence_forget_base(&queue->sequence, queue->tail.next) < 0)
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
	state_put_runs(&runs, queue->low, queue->unsure_to, queue->sequence.runs.at, queue->sequence.runs.n);
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

int numbers_reserve(struct queue *queue)
{
	struct sequence *sequence = &queue->sequence;
	unsigned generation;
	uint64_t mark;
	bool holds_rows;
	int r;

	mutex_lock(&queue->lock);
	mark = sequence_wanted_mark(sequence, queue->tail.next);
	generation = sequence->generation;
	sequence->reserve_wanted = false;
	mutex_unlock(&queue->lock);
	if (mark == 0)
		return 0;
	r = numbers_write_mark(queue, mark);
	mutex_lock(&queue->lock);
	if (sequence_mark_written(sequence, generation, mark, r))
		readers_signal(queue);
	store_count(queue);
	holds_rows = sequence_holds_rows(sequence);
	mutex_unlock(&queue->lock);
	if (r == 0 && holds_rows && queue->store.db.handle && !queue->store.db.read_only)
		r = store_save_beside(queue);
	return r;
}
