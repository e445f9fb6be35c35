/* SPDX-License-Identifier: Apache-2.0 */
#include "queue/tail.h"
#include <errno.h>

#define CAPACITY_MIN 256
#define HOLES_MAX(n) ((n) / 16 + 64)

static struct tail_slot *slot_at(const struct tail *tail, size_t index)
{
	return &tail->slots[(tail->at + index) & (tail->capacity - 1)];
}

static uint64_t slot_id(const struct tail_slot *slot)
{
	return slot->sample ? slot->sample->id : slot->hole_id;
}

/* The first slot whose id is at least this; n: none. */
static size_t find(const struct tail *tail, uint64_t id)
{
	size_t low = 0, high = tail->n;

	if (id <= tail->first)
		return 0;
	if (tail->next - tail->first == tail->n)
		return (size_t)MIN(id - tail->first, (uint64_t)tail->n);
	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (slot_id(slot_at(tail, middle)) < id)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

static struct tail_slot *sample_at(const struct tail *tail, size_t index)
{
	for (; index < tail->n; index++)
		if (slot_at(tail, index)->sample)
			return slot_at(tail, index);
	return NULL;
}

void tail_init(struct tail *tail, uint64_t next)
{
	*tail = (struct tail){.first = next, .next = next};
}

void tail_done(struct tail *tail)
{
	while (tail->n > 0)
		tail_pop(tail);
	free(tail->slots);
	tail->slots = NULL;
	tail->capacity = 0;
}

/* Holes at the front are nothing. */
static void trim(struct tail *tail)
{
	while (tail->n > 0 && !slot_at(tail, 0)->sample) {
		tail->at++;
		tail->n--;
		tail->holes--;
	}
	tail->first = tail->n > 0 ? slot_at(tail, 0)->sample->id : tail->next;
}

static void close_holes(struct tail *tail)
{
	size_t n = 0;

	for (size_t i = 0; i < tail->n; i++)
		if (slot_at(tail, i)->sample)
			*slot_at(tail, n++) = *slot_at(tail, i);
	tail->n = n;
	tail->holes = 0;
}

static int grow(struct tail *tail)
{
	size_t capacity = MAX(tail->capacity * 2, (size_t)CAPACITY_MIN);
	struct tail_slot *slots = calloc(capacity, sizeof(*slots));

	if (!slots)
		return -ENOMEM;
	for (size_t i = 0; i < tail->n; i++)
		slots[i] = *slot_at(tail, i);
	free(tail->slots);
	tail->slots = slots;
	tail->capacity = capacity;
	tail->at = 0;
	return 0;
}

int tail_push(struct tail *tail, struct sample *sample, uint64_t appended_us)
{
	if (tail->n >= tail->capacity && grow(tail) < 0)
		return -ENOMEM;
	tail->n++;
	*slot_at(tail, tail->n - 1) = (struct tail_slot){.sample = sample, .appended_us = appended_us};
	if (tail->n == 1)
		tail->first = tail->next;
	tail->next++;
	tail->bytes += sample_cost(sample);
	return 0;
}

struct tail_slot *tail_from(struct tail *tail, uint64_t id)
{
	return sample_at(tail, find(tail, id));
}

struct tail_slot *tail_after(struct tail *tail, struct tail_slot *slot)
{
	size_t index = ((size_t)(slot - tail->slots) - tail->at) & (tail->capacity - 1);

	return sample_at(tail, index + 1);
}

size_t tail_count_from(const struct tail *tail, uint64_t id)
{
	return tail->n - find(tail, id);
}

void tail_drop(struct tail *tail, uint64_t id)
{
	size_t index = find(tail, id);
	struct tail_slot *slot = index < tail->n ? slot_at(tail, index) : NULL;

	if (!slot || !slot->sample || slot->sample->id != id)
		return;
	tail->bytes -= sample_cost(slot->sample);
	slot->sample = sample_unref(slot->sample);
	slot->hole_id = id;
	tail->holes++;
	trim(tail);
	if (tail->holes > HOLES_MAX(tail->n))
		close_holes(tail);
}

void tail_pop(struct tail *tail)
{
	tail_drop(tail, tail->first);
}
