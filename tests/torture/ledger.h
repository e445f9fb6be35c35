/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The account of a gateway over many lives, in memory that outlives each: every sample that was taken, and for every
 * reader whether it is done with it. In the end each sample was acknowledged by each reader that was there when it was
 * taken, or is counted as dropped for it, or is one that a kill or a failing disk may cost.
 */
#ifndef HAYWAIN_TORTURE_LEDGER_H
#define HAYWAIN_TORTURE_LEDGER_H

#include "queue/queue.h"

enum { LEDGER_SAMPLES = 120000, LEDGER_READERS = 3, LEDGER_DEVICES = 3, LEDGER_SEQS = 1 << 19, LEDGER_FAULTS = 8 };

struct ledger_sample {
	uint64_t taken_us; /* real time */
	uint64_t time_us;  /* on the monotonic clock of its boot */
	int64_t truth_us;  /* since 1970, by a clock that is always right */
	uint64_t seq;
	uint32_t life;
	bool excused;  /* a kill may cost it */
	bool was_lost; /* before it reached the queue: queue_lost() */
};

struct ledger_reader {
	uint64_t since;	  /* the first sample that is due to it; 0: it was never there */
	uint64_t came_us; /* real time */
	bool is_known;	  /* its cursor is on the disk for sure */
	uint64_t told;	  /* drops that it has reported, but those refused, by device below */
	uint64_t told_by_device[LEDGER_DEVICES + 1]; /* the last: unknown */
	uint8_t acked[LEDGER_SAMPLES];
};

struct ledger {
	uint64_t next; /* the next sample's number, from 1 */
	struct ledger_sample samples[LEDGER_SAMPLES];
	struct ledger_reader readers[LEDGER_READERS];
	struct {
		uint64_t seq, sample;
	} seqs[LEDGER_SEQS]; /* an open hash */

	/* Of the life under way, for who comes after it. */
	uint32_t life;
	uint64_t killed_us; /* real time; 0: it ended by itself */
	uint64_t safe;	    /* all before this one are on the disk */
	bool disk_was_bad;  /* since then */
	uint64_t hiccup_us; /* the longest time the main thread did not run lately */
	bool said_unknown, said_damaged;
	bool was_torn; /* a log whose last write was torn cannot be told from a damaged one */

	uint64_t kills, faults, n_wrong;
	char wrong[LEDGER_FAULTS][200];
};

/* All zeros, shared with the children of this process. */
struct ledger *ledger_new(void);

void ledger_wrong(struct ledger *ledger, const char *format, ...) _printf_(2, 3);

/* A reader got a sample with that number: it keeps it, and nobody else has it. */
void ledger_seq(struct ledger *ledger, uint64_t sample, uint64_t seq);

/* It is there: new, or once more. */
void ledger_reader_came(struct ledger *ledger, struct ledger_reader *reader);

/* Drops that are told by a reader, or wait to be told at the end. */
void ledger_told(struct ledger_reader *reader, const struct queue_drop *drops, size_t n);

/* A life is over: what it may have cost, where it was killed or the disk was bad. window_us: how old a sample has to be
   that must not be lost. */
void ledger_life_ended(struct ledger *ledger, uint64_t window_us);

struct ledger_sum {
	uint64_t due, acked, excused, missing, told; /* missing: not excused */
	uint64_t silent;			     /* missing, and not counted */
	uint64_t over;				     /* counted, and neither missing nor excused */
	uint64_t first_missing;
};
struct ledger_sum ledger_sum(const struct ledger *ledger, const struct ledger_reader *reader);

/* "17-90 (life 3)": ranges of missing samples, for a person. */
void ledger_print_missing(const struct ledger *ledger, const struct ledger_reader *reader);

/* The number at the end of "device-N"; LEDGER_DEVICES: of none. */
size_t ledger_device(const char *name);

#endif
