/* SPDX-License-Identifier: Apache-2.0 */
/* Where the ids and the sequence numbers of this process begin. */
#include "base/clock.h"
#include "queue/store_opening.h"
#include <errno.h>

static const struct run *last_run(const struct queue *queue)
{
	return queue->sequence.runs.n > 0 ? &queue->sequence.runs.at[queue->sequence.runs.n - 1] : NULL;
}

/* Ids up to this one were given out, as far as anything tells. */
static uint64_t used_ids(const struct queue *queue, const struct store_opening *opening, uint64_t mark)
{
	const struct run *last = last_run(queue);
	uint64_t used = MAX(opening->last_row, opening->marks.meta.last_id);

	used = MAX(used, opening->pending.last);
	for (const struct queue_reader *reader = queue->readers; reader; reader = reader->next)
		used = MAX(used, reader->acked);
	if (last && last->first_id > 0)
		used = MAX(used, last->first_id - 1);
	/* Of a damaged file the last id may not be known; but none has a number past the mark. */
	if (opening->pending.n_paths > 0 && last && last->known && (int64_t)mark > last->base)
		used = MAX(used, (uint64_t)((int64_t)mark - last->base));
	return used;
}

static uint64_t first_id(const struct queue *queue, const struct store_opening *opening, uint64_t mark)
{
	uint64_t first = MAX(used_ids(queue, opening, mark) + 1, mark);

	if (!queue->store.loaded)
		return MAX(first, IDS_UNSEEN + (uint64_t)MAX(clock_wall(), (int64_t)0));
	return opening->pending.n_paths > 0 && !opening->pending.is_exact ? first + IDS_AHEAD : first;
}

/* Rows and cursors are not past the mark; but should they be, their numbers are used. */
static uint64_t number_after(const struct queue *queue, uint64_t last_row)
{
	const struct run *last = last_run(queue);
	uint64_t used = last_row;

	if (!last || !last->known)
		return 0;
	for (const struct queue_reader *reader = queue->readers; reader; reader = reader->next)
		used = MAX(used, reader->acked);
	return used >= last->first_id ? (uint64_t)((int64_t)used + last->base) + 1 : 0;
}

static int add_run(struct queue *queue, uint64_t first, uint64_t mark, uint64_t last_row)
{
	struct run run = {
		.first_id = first,
		.base = mark > 0 ? (int64_t)mark - (int64_t)first : 0,
		.known = mark > 0,
		.skipped = first - 1 - runs_count_to(&queue->sequence.runs, last_row),
	};

	/* A run in which nothing was kept gives way. */
	while (queue->sequence.runs.n > 0 && last_run(queue)->first_id >= first)
		queue->sequence.runs.n--;
	queue->sequence.version++;
	return runs_add(&queue->sequence.runs, &run);
}

/* mark: the next number nobody used, or 0; only where it could be moved on. last_row: up to it samples may be there. */
static int begin_ids(struct queue *queue, uint64_t mark, uint64_t first, uint64_t last_row)
{
	const struct run *last = last_run(queue);
	int r;

	if (last && !last->known) {
		/* What was kept before the count was found again goes first, with the numbers that follow the mark. */
		if (mark > 0) {
			queue->sequence.floor = mark;
			sequence_know_base(&queue->sequence, mark);
		}
		queue->sequence.version++;
		r = first > last_row + 1 ? runs_skip_range(&queue->sequence.runs, last_row + 1, first - 1) : 0;
	} else {
		r = add_run(queue, first, mark, last_row);
	}
	tail_init(&queue->tail, first);
	queue->first_id = first;
	queue->written = first - 1;
	queue->min_acked = 0;
	return r;
}

/* The ranges are lost: what is saved gets numbers of its own, past all that were given out. Returns the first id's
   number. */
static uint64_t forget_numbers(struct queue *queue, uint64_t mark, uint64_t first)
{
	struct run run = {.first_id = queue->low + 1, .known = mark > 0};

	runs_done(&queue->sequence.runs);
	if (mark > 0)
		run.base = (int64_t)mark - (int64_t)run.first_id;
	return runs_add(&queue->sequence.runs, &run) == 0 && mark > 0 ? mark + (first - run.first_id) : mark;
}

/* No other thread has the queue yet. */
int store_place(struct queue *queue, struct store_opening *opening) UNCHECKED
{
	const struct state_marks *marks = &opening->marks;
	bool salvages = opening->pending.n_paths > 0;
	uint64_t mark = marks->meta.seq, file_mark = 0, first, up_to;
	const struct run *last = last_run(queue);
	int r;

	r = queue_mark_read(queue->path, &file_mark);
	if (r == 0)
		mark = MAX(mark, file_mark);
	/* The mark in the queue can be one of long ago: what the last process wrote is lost in both places. */
	if (r == -EBADMSG && opening->log_is_short)
		mark = 0;
	if (mark > SEQ_MAX)
		mark = 0; /* no number of ours */
	if (mark > 0)
		mark = MAX(mark, number_after(queue, opening->last_row));
	first = first_id(queue, opening, mark);
	queue->unsure_to = MIN(queue->unsure_to, first - 1);
	if (last && !last->known && mark > 0 && !salvages)
		first = used_ids(queue, opening, mark) + 1;
	if (salvages && !marks->knows_runs)
		mark = forget_numbers(queue, mark, first);
	queue->sequence.floor = mark;
	/* A mark that cannot be moved on is worth nothing: the next start would give the same numbers again. */
	if (mark > 0 && numbers_write_mark(queue, mark + SEQ_BLOCK) < 0)
		mark = 0;
	if (mark > 0)
		queue->sequence.reserved = mark + SEQ_BLOCK;
	/* A salvage tells which of the ids before it are there. */
	up_to = !salvages		   ? opening->last_row
		: opening->pending.end > 0 ? MAX(opening->last_row, opening->pending.end)
					   : first - 1;
	if (begin_ids(queue, mark, first, up_to) < 0 || boot_begin(queue) < 0)
		return -ENOMEM;
	if (mark > 0)
		numbers_write_file(queue, queue->sequence.reserved); /* now with the range that begins here */
	queue->last_row = opening->last_row;
	queue->disk_first = opening->last_row > 0 ? opening->first_row : first;
	if (salvages) {
		queue->counted_from = first;
		queue->disk_first = first;
	}
	/* Rows whose readers nobody knows: who comes next may be the one they wait for. */
	queue->readers_unknown = (salvages && !marks->knows_readers) || (opening->last_row > 0 && !queue->readers) ||
				 opening->all_is_lost;
	queue->readers_unknown_until = clock_now() + READERS_UNKNOWN_US;
	if (!last_run(queue)->known && !clock_usable())
		queue_notify(
			queue, HAY_LOG_WARNING,
			"the queue is a new one, and its numbers begin at the time of day: samples are kept, and go up once the clock is synchronised. Where it is right without NTP, set gateway.clock = \"trust\"");
	queue->old_is_exact = marks->meta.clean && marks->meta.last_id > 0;
	queue->sequence.stored_to = first - 1;
	queue->sequence.reserve_wanted = mark == 0 || sequence_holds_rows(&queue->sequence);
	queue->sequence.may_have_left_mark = !marks->meta.clean || marks->meta.seq == 0;
	return 0;
}
