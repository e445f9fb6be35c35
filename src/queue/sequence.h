/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Sequence numbers: id + base. They are given out only below a mark that stands on the disk: the next process begins
 * there. Where no mark can be written, the base comes from the time of day (microseconds since 1970), and only well
 * past every mark that may be found again. Pure; the queue's lock guards it.
 *
 *     base unknown                        no number goes out. Waits for the clock, or for a mark that can be moved on (floor > 0)
 *     base known, base_is_new             found just now: no number of it goes out before the mark stands, or cannot be written
 *     base known, reserved > 0            numbers go out below `reserved`
 *     base known, reserved 0              by the time of day, without a mark: numbers go out
 *
 * A row that was written before its base was known has no number either until the base stands beside it: the next process
 * would find another one for it.
 *
 * reserve_wanted: a mark is to be written, in any of them.
 */
#ifndef HAYWAIN_QUEUE_SEQUENCE_H
#define HAYWAIN_QUEUE_SEQUENCE_H

#include "queue/runs.h"

#define SEQ_BLOCK ((uint64_t)1000000) /* numbers that a mark reserves */

struct sequence {
	struct runs runs;
	uint64_t version, saved; /* differ: runs are not as on disk */
	uint64_t floor;		 /* no number below it may be given out */
	uint64_t reserved;	 /* nor from here on without reserving more; 0: the count is not known */
	bool reserve_wanted;
	bool may_have_left_mark; /* the last process ended unclean: it may have given out numbers past the mark, by the time of day */
	bool base_is_new;
	uint64_t unsaved_from; /* the base of ids from here on is not in the queue's file yet; 0: it is */
	uint64_t unsaved_version;
	uint64_t stored_to;  /* rows up to this id may be on the disk without their base */
	unsigned generation; /* changes with the base */
};

/* next_id, in all of them: the first id that was not given out yet. */

/* The last id whose number may go out; 0: none. */
uint64_t sequence_limit(const struct sequence *sequence, uint64_t next_id);
/* The mark covers ids below this one; UINT64_MAX: there is no mark to obey. */
uint64_t sequence_covered(const struct sequence *sequence);
bool sequence_is_known(const struct sequence *sequence); /* the base of the newest ids */

/* What has no number yet waits for another base. -ENOMEM. */
int sequence_forget_base(struct sequence *sequence, uint64_t next_id);
void sequence_know_base(struct sequence *sequence, uint64_t number);
/* day: now as a number, 0: the clock cannot tell. True: a base was found, and a mark for it is wanted. */
bool sequence_find_base(struct sequence *sequence, uint64_t next_id, uint64_t day);
/* A time of day that no mark forbids; else 0. A later process that finds the last mark again continues from there:
   both ways must not meet. */
uint64_t sequence_day(const struct sequence *sequence, uint64_t day);

/* So few numbers are left below the mark that the next one is to be written. */
bool sequence_runs_short(const struct sequence *sequence, uint64_t next_id);
/* What the mark shall be; 0: there is nothing to count from. */
uint64_t sequence_wanted_mark(const struct sequence *sequence, uint64_t next_id);
/* Rows wait for their base to be written. */
bool sequence_holds_rows(const struct sequence *sequence);
/* The ranges of this version are in the file. True: numbers may go out that could not before. */
bool sequence_ranges_written(struct sequence *sequence, uint64_t version);
/* It was written (0), or not (-errno). generation: as it was when it was asked for. True: numbers may go out that
   could not before. */
bool sequence_mark_written(struct sequence *sequence, unsigned generation, uint64_t mark, int result);

#endif
