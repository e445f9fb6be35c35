/* SPDX-License-Identifier: Apache-2.0 */
/* A window when its connection ends: what was under way, and what was acknowledged already. */
#include "upstream/window_private.h"
#include <string.h>

size_t window_under_way(const struct window *window, uint64_t *ret_first, uint64_t *ret_last, uint64_t *ret_oldest)
{
	size_t n = 0;
	*ret_oldest = window->n_open ? window->flight_head + 1 : 0;
	for (uint64_t at = window->head; at < window->tail && n < window->n_sent; at++) {
		const struct window_slot *slot = &window->slots[at % window->n_slots];
		if (slot->state != SENT)
			continue;
		if (n++ == 0)
			*ret_first = slot->id;
		*ret_last = slot->id;
	}
	return n;
}

void window_narrow(struct window *window, uint64_t until_id, size_t samples)
{
	window->narrow_until = until_id;
	window->narrow = samples;
}

bool window_acked_before(struct window *window, uint64_t id)
{
	while (window->next_acked < window->n_acked && window->acked[window->next_acked].to < id)
		window->next_acked++;
	return window->next_acked < window->n_acked && window->acked[window->next_acked].from <= id;
}

static bool add_range(struct id_range **ranges, size_t *n, size_t *room, uint64_t from, uint64_t to, bool joins)
{
	if (joins && *n > 0) {
		(*ranges)[*n - 1].to = to;
		return true;
	}
	if (*n == *room) {
		size_t more = MAX(2 * *room, (size_t)16);
		struct id_range *grown = reallocarray(*ranges, more, sizeof(*grown));
		if (!grown)
			return false;
		*ranges = grown;
		*room = more;
	}
	(*ranges)[(*n)++] = (struct id_range){from, to};
	return true;
}

/* Older samples came late, behind newer ones. */
static bool went_back(const struct window *window)
{
	for (uint64_t at = window->head + 1; at < window->tail; at++)
		if (window->slots[at % window->n_slots].id < window->slots[(at - 1) % window->n_slots].through)
			return true;
	return false;
}

/* The remembered ids and those done in this connection, both growing, into one list that is still wanted. Without the
   memory for it some arrive twice, as do those of a window in which ids went back. */
static void remember_acked(struct window *window)
{
	struct id_range *ranges = NULL;
	size_t n = 0, room = 0;
	bool joins = false, fits = true, back = went_back(window);
	uint64_t seen = 0;
	for (uint64_t at = window->head; at < window->tail && fits && !back; at++) {
		const struct window_slot *slot = &window->slots[at % window->n_slots];
		uint64_t from = slot->state == DONE ? slot->id : slot->id + 1;
		joins = joins && slot->state == DONE;
		if (from <= slot->through)
			fits = add_range(&ranges, &n, &room, from, slot->through, joins);
		joins = from <= slot->through;
		seen = slot->through;
	}
	/* Ids not seen again before this break follow all that were. */
	for (size_t i = window->next_acked; i < window->n_acked && fits && !back; i++) {
		const struct id_range *range = &window->acked[i];
		if (range->to > seen)
			fits = add_range(&ranges, &n, &room, MAX(range->from, seen + 1), range->to, false);
	}
	free(window->acked);
	window->acked = ranges;
	window->n_acked = n;
	window->next_acked = 0;
}

void window_break(struct window *window)
{
	remember_acked(window);
	for (uint64_t at = window->head; at < window->tail; at++)
		sample_unref(window->slots[at % window->n_slots].sample);
	window->head = window->tail = window->waiting_from = 0;
	window->n_waiting = window->n_held = window->n_sent = 0;
	window->held_bytes = 0;
	window->n_folded = 0;
	window->flight_head = window->flight_tail = 0;
	window->n_open = 0;
	window->n_picked = 0;
	window->narrow_flight = false;
	memset(window->groups, 0, window->n_groups * sizeof(*window->groups));
	window->groups_used = 0;
	window->full_first = window->full_last = NONE;
	window->messages = window->limits.messages;
	window->batch = window->limits.batch;
}
