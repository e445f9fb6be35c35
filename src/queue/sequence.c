/* SPDX-License-Identifier: Apache-2.0 */
#include "queue/sequence.h"

static const struct run *last_run(const struct sequence *sequence)
{
	return sequence->runs.n > 0 ? &sequence->runs.at[sequence->runs.n - 1] : NULL;
}

static uint64_t next_number(const struct run *run, uint64_t next_id)
{
	return (uint64_t)((int64_t)next_id + run->base);
}

bool sequence_is_known(const struct sequence *sequence)
{
	const struct run *run = last_run(sequence);

	return run && run->known;
}

uint64_t sequence_covered(const struct sequence *sequence)
{
	if (!sequence_is_known(sequence) || sequence->reserved == 0)
		return UINT64_MAX;
	return (uint64_t)((int64_t)sequence->reserved - last_run(sequence)->base);
}

bool sequence_holds_rows(const struct sequence *sequence)
{
	return sequence->unsaved_from > 0 && sequence->stored_to >= sequence->unsaved_from;
}

uint64_t sequence_limit(const struct sequence *sequence, uint64_t next_id)
{
	uint64_t end = MIN(next_id, sequence_covered(sequence));

	if (sequence->base_is_new || !sequence_is_known(sequence))
		return 0;
	return (sequence_holds_rows(sequence) ? MIN(end, sequence->unsaved_from) : end) - 1;
}

int sequence_forget_base(struct sequence *sequence, uint64_t next_id)
{
	int r = runs_forget_base(&sequence->runs, MIN(next_id, sequence_covered(sequence)));

	if (r < 0)
		return r;
	sequence->floor = MAX(sequence->floor, sequence->reserved);
	sequence->reserved = 0;
	sequence->version++;
	sequence->generation++;
	sequence->reserve_wanted = true;
	return 0;
}

void sequence_know_base(struct sequence *sequence, uint64_t number)
{
	uint64_t from = runs_first_unknown(&sequence->runs);

	runs_know(&sequence->runs, number);
	sequence->version++;
	sequence->generation++;
	if (from == 0)
		return;
	sequence->unsaved_from = sequence->unsaved_from > 0 ? MIN(sequence->unsaved_from, from) : from;
	sequence->unsaved_version = sequence->version;
}

bool sequence_ranges_written(struct sequence *sequence, uint64_t version)
{
	bool held = sequence_holds_rows(sequence);

	sequence->saved = version;
	if (version >= sequence->unsaved_version)
		sequence->unsaved_from = 0;
	return held && !sequence_holds_rows(sequence);
}

uint64_t sequence_day(const struct sequence *sequence, uint64_t day)
{
	return sequence->floor > 0 && day < sequence->floor + SEQ_BLOCK ? 0 : day;
}

bool sequence_find_base(struct sequence *sequence, uint64_t next_id, uint64_t day)
{
	const struct run *run = last_run(sequence);
	uint64_t number = sequence_day(sequence, day);

	if (!run || number == 0)
		return false;
	if (run->known) {
		if (!sequence->may_have_left_mark)
			return false;
		/* The last process may have gone on by the time of day, and the mark known nothing of it. */
		if (number >= MAX(next_number(run, next_id), sequence->reserved) + SEQ_BLOCK &&
		    sequence_forget_base(sequence, next_id) < 0)
			return false;
		sequence->may_have_left_mark = false;
		if (sequence_is_known(sequence))
			return false;
	}
	sequence_know_base(sequence, number);
	sequence->may_have_left_mark = false;
	sequence->reserve_wanted = sequence->base_is_new = true;
	return true;
}

bool sequence_runs_short(const struct sequence *sequence, uint64_t next_id)
{
	return sequence_is_known(sequence) &&
	       next_number(last_run(sequence), next_id) + SEQ_BLOCK / 2 > sequence->reserved;
}

uint64_t sequence_wanted_mark(const struct sequence *sequence, uint64_t next_id)
{
	if (sequence_is_known(sequence))
		return MAX(MAX(sequence->reserved, sequence->floor),
			   next_number(last_run(sequence), next_id) + SEQ_BLOCK);
	/* A mark was found again that can be moved on now: the time of day is not needed. */
	if (sequence->floor > 0)
		return sequence->floor + (next_id - runs_first_unknown(&sequence->runs)) + SEQ_BLOCK;
	return 0;
}

bool sequence_mark_written(struct sequence *sequence, unsigned generation, uint64_t mark, int result)
{
	if (generation != sequence->generation) {
		/* Meanwhile the clock told another base: that mark is none of its, but may be found again. */
		if (result == 0)
			sequence->floor = MAX(sequence->floor, mark);
		sequence->reserve_wanted = true;
		return false;
	}
	if (result < 0) {
		sequence->reserve_wanted = true;
	} else {
		if (!sequence_is_known(sequence))
			sequence_know_base(sequence, sequence->floor);
		sequence->reserved = mark;
	}
	sequence->base_is_new = false;
	return true;
}
