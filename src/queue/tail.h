/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The queue's part in memory: a ring of samples whose ids follow each other without a gap, so that every look-up is
 * arithmetic. A sample that was dropped from the middle leaves a hole. Pure; the queue's lock guards it.
 */
#ifndef HAYWAIN_QUEUE_TAIL_H
#define HAYWAIN_QUEUE_TAIL_H

#include "queue/sample.h"

struct tail_slot {
	struct sample *sample; /* NULL: a hole */
	uint64_t appended_us;
};

struct tail {
	struct tail_slot *slots;
	size_t capacity;      /* a power of two, or 0 */
	uint64_t first, next; /* ids; the same: empty */
	size_t bytes;	      /* by sample_cost() */
};

void tail_init(struct tail *tail, uint64_t next);
void tail_done(struct tail *tail);

/* Takes the reference. The sample's id is tail->next. -ENOMEM. */
int tail_push(struct tail *tail, struct sample *sample, uint64_t appended_us);

/* first <= id < next */
static inline struct tail_slot *tail_at(struct tail *tail, uint64_t id)
{
	return &tail->slots[id & (tail->capacity - 1)];
}

/* Forget the first one. The tail is not empty. */
void tail_pop(struct tail *tail);
/* Forget one and leave a hole. */
void tail_drop(struct tail *tail, uint64_t id);

#endif
