/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What lies between ids. An id is a place in the log; its sequence number is id + base, and base changes only where
 * the count was lost and began anew. Ids skip at every start and where samples were dropped; counting without these
 * skips tells how many samples lie between two ids. Pure; the queue's lock guards it.
 */
#ifndef HAYWAIN_QUEUE_RUNS_H
#define HAYWAIN_QUEUE_RUNS_H

#include "base/util.h"
#include <stdbool.h>

struct run {
	uint64_t first_id;
	int64_t base;	  /* seq - id */
	bool known;	  /* base is */
	uint64_t skipped; /* ids below first_id that never held a sample which anybody still waits for */
};

struct runs {
	struct run *at; /* by first_id */
	size_t n, capacity;
};

void runs_done(struct runs *runs);
/* -ENOMEM; -EINVAL: not after the last one. */
int runs_add(struct runs *runs, const struct run *run);

/* The run an id lies in; ids before the first belong to it. NULL: there is none. */
struct run *runs_of(const struct runs *runs, uint64_t id);

/* How many samples there are up to and including id, counted from anywhere: only differences mean something. */
uint64_t runs_count_to(const struct runs *runs, uint64_t id);

/* How many lie behind `after`, up to and including `to`; 0 where `to` is not behind it. */
uint64_t runs_between(const struct runs *runs, uint64_t after, uint64_t to);

/* The sample of that id, none of whose successors was read by anybody else, is gone: count on without it. -ENOMEM. */
int runs_skip(struct runs *runs, uint64_t id);

/* The same of all samples from..to. -ENOMEM. */
int runs_skip_range(struct runs *runs, uint64_t from, uint64_t to);

/* The base of the runs that have none: the first of them begins at seq. */
void runs_know(struct runs *runs, uint64_t seq);
/* From id on the base is not known. -ENOMEM. */
int runs_forget_base(struct runs *runs, uint64_t id);
/* The first id whose base is not known; 0: all are. */
uint64_t runs_first_unknown(const struct runs *runs);

/* What follows the samples up to `last`: those of `more` behind `after`, which lie behind all of these. -ENOMEM; -EINVAL:
   they do not. */
int runs_join(struct runs *runs, uint64_t last, const struct runs *more, uint64_t after);

/* Forget what only concerns ids below. Returns true where something was forgotten. */
bool runs_prune(struct runs *runs, uint64_t id);

#endif
