/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The queue's part in memory: a ring of samples by growing id. As long as nothing was dropped from the middle the ids
 * follow each other and a look-up is arithmetic; what was dropped leaves a hole, and holes are closed before there are
 * many of them: a search for the next sample steps over each. Pure; the queue's lock guards it.
 */
#ifndef HAYWAIN_QUEUE_TAIL_H
#define HAYWAIN_QUEUE_TAIL_H

#include "model/sample.h"
#include <stdbool.h>

struct tail_slot {
	struct sample *sample; /* NULL: a hole */
	union {
		uint64_t appended_us;
		uint64_t hole_id;
	};
};

struct tail {
	struct tail_slot *slots;
	size_t capacity;      /* a power of two, or 0 */
	size_t at, n;	      /* the first slot, and how many with the holes; the first is none */
	size_t holes;	      /* among them */
	uint64_t first, next; /* ids; the same: empty. first is that of the oldest sample */
	size_t bytes;	      /* by sample_cost() */
};

void tail_init(struct tail *tail, uint64_t next);
void tail_done(struct tail *tail);

/* Takes the reference. The sample's id is tail->next. -ENOMEM. */
int tail_push(struct tail *tail, struct sample *sample, uint64_t appended_us);

/* The oldest sample whose id is at least this; NULL: none. The slot stays where it is until the next push or drop. */
struct tail_slot *tail_from(struct tail *tail, uint64_t id);
/* The one after it. */
struct tail_slot *tail_after(struct tail *tail, struct tail_slot *slot);
#define TAIL_FOREACH(slot, tail, id)                                                                                   \
	for (struct tail_slot *slot = tail_from(tail, id); slot; slot = tail_after(tail, slot))

/* How many slots there are from this id on: what a loop over them can find. */
size_t tail_count_from(const struct tail *tail, uint64_t id);

/* Forget the first one. The tail is not empty. */
void tail_pop(struct tail *tail);
/* Forget one of them, if it is there. */
void tail_drop(struct tail *tail, uint64_t id);

#endif
