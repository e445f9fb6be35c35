/* SPDX-License-Identifier: Apache-2.0 */
#include "queue/tail.h"
#include <errno.h>

#define CAPACITY_MIN 256

void tail_init(struct tail *tail, uint64_t next)
{
	*tail = (struct tail){.first = next, .next = next};
}

void tail_done(struct tail *tail)
{
	while (tail->first != tail->next)
		tail_pop(tail);
	free(tail->slots);
	tail->slots = NULL;
	tail->capacity = 0;
}

static int grow(struct tail *tail)
{
	size_t capacity = MAX(tail->capacity * 2, (size_t)CAPACITY_MIN);
	struct tail_slot *slots = calloc(capacity, sizeof(*slots));

	if (!slots)
		return -ENOMEM;
	for (uint64_t id = tail->first; id != tail->next; id++)
		slots[id & (capacity - 1)] = *tail_at(tail, id);
	free(tail->slots);
	tail->slots = slots;
	tail->capacity = capacity;
	return 0;
}

int tail_push(struct tail *tail, struct sample *sample, uint64_t appended_us)
{
	if (tail->next - tail->first >= tail->capacity && grow(tail) < 0)
		return -ENOMEM;
	*tail_at(tail, tail->next++) = (struct tail_slot){.sample = sample, .appended_us = appended_us};
	tail->bytes += sample_cost(sample);
	return 0;
}

void tail_drop(struct tail *tail, uint64_t id)
{
	struct tail_slot *slot = tail_at(tail, id);

	if (!slot->sample)
		return;
	tail->bytes -= sample_cost(slot->sample);
	slot->sample = sample_unref(slot->sample);
}

void tail_pop(struct tail *tail)
{
	tail_drop(tail, tail->first);
	tail->first++;
}
