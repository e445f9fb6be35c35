/* SPDX-License-Identifier: Apache-2.0 */
/* Where the samples of a window wait: slots, groups, and what is held of them. */
#include "upstream/window_private.h"
#include <errno.h>

/* ---- groups ---- */

struct window_group *window_group_find(struct window_group *groups, size_t n_groups, uint32_t number)
{
	size_t at = (number * 2654435761u) & (n_groups - 1);
	while (groups[at].used && groups[at].number != number)
		at = (at + 1) & (n_groups - 1);
	return &groups[at];
}

static int groups_grow(struct window *window)
{
	size_t n_groups = window->n_groups * 2;
	struct window_group *groups = calloc(n_groups, sizeof(*groups));
	if (!groups)
		return -ENOMEM;
	uint32_t full = window->full_first;
	window->full_first = window->full_last = NONE;
	for (size_t i = 0; i < window->n_groups; i++) {
		if (window->groups[i].used)
			*window_group_find(groups, n_groups, window->groups[i].number) = window->groups[i];
	}
	/* The list of full groups names places in the table: thread it anew, in its order. */
	while (full != NONE) {
		const struct window_group *old = &window->groups[full];
		struct window_group *moved = window_group_find(groups, n_groups, old->number);
		uint32_t place = (uint32_t)(moved - groups);
		moved->next_full = NONE;
		if (window->full_last == NONE)
			window->full_first = place;
		else
			groups[window->full_last].next_full = place;
		window->full_last = place;
		full = old->next_full;
	}
	free(window->groups);
	window->groups = groups;
	window->n_groups = n_groups;
	return 0;
}

struct window_group *window_group_get(struct window *window, uint32_t number)
{
	struct window_group *group = window_group_find(window->groups, window->n_groups, number);
	if (group->used)
		return group;
	if (2 * (window->groups_used + 1) > window->n_groups) {
		if (groups_grow(window) < 0)
			return NULL;
		group = window_group_find(window->groups, window->n_groups, number);
	}
	window->groups_used++;
	*group = (struct window_group){.number = number, .used = true, .first = NONE, .last = NONE, .next_full = NONE};
	return group;
}

void window_note_full(struct window *window, struct window_group *group)
{
	if (group->in_full || group->held || group->n_waiting < window->batch || window->limits.batch_wait_us == 0)
		return;
	uint32_t place = (uint32_t)(group - window->groups);
	group->in_full = true;
	group->next_full = NONE;
	if (window->full_last == NONE)
		window->full_first = place;
	else
		window->groups[window->full_last].next_full = place;
	window->full_last = place;
}

struct window_group *window_first_full(struct window *window)
{
	while (window->full_first != NONE) {
		struct window_group *group = &window->groups[window->full_first];
		if (group->n_waiting >= window->batch && !group->held)
			return group;
		group->in_full = false;
		window->full_first = group->next_full;
		if (window->full_first == NONE)
			window->full_last = NONE;
	}
	return NULL;
}

/* ---- waiting ---- */

static void count_state(struct window *window, const struct window_slot *slot, bool more)
{
	size_t *n = slot->state == WAITING ? &window->n_waiting
		    : slot->state == HELD  ? &window->n_held
		    : slot->state == SENT  ? &window->n_sent
					   : NULL;
	size_t cost = slot->state == HELD ? sample_cost(slot->sample) : 0;
	if (n)
		*n = more ? *n + 1 : *n - 1;
	window->held_bytes = more ? window->held_bytes + cost : window->held_bytes - cost;
}

void window_set_state(struct window *window, struct window_slot *slot, enum slot_state state)
{
	count_state(window, slot, false);
	slot->state = state;
	count_state(window, slot, true);
}

/* Put a slot into its group's list at its place: at the end if it is new, mostly at the front if it came back. */
void window_wait_in_group(struct window *window, struct window_group *group, uint32_t index)
{
	struct window_slot *slot = &window->slots[index];
	window_set_state(window, slot, group->held ? HELD : WAITING);
	group->n_waiting++;
	uint32_t before = NONE;
	if (group->last != NONE && window->slots[group->last].position < slot->position) {
		before = group->last;
	} else {
		for (uint32_t at = group->first; at != NONE && window->slots[at].position < slot->position;
		     at = window->slots[at].next)
			before = at;
	}
	slot->next = before == NONE ? group->first : window->slots[before].next;
	if (before == NONE)
		group->first = index;
	else
		window->slots[before].next = index;
	if (slot->next == NONE)
		group->last = index;
	window->waiting_from = MIN(window->waiting_from, slot->position);
	window_note_full(window, group);
}

/* The done ones behind one that is held need no slot: the one before them stands for them. Positions are counted
   anew. */
static void merge_slots(struct window *window, struct window_slot *into, uint32_t *moved)
{
	uint64_t n = 0, waiting_from = UINT64_MAX;
	for (uint64_t at = window->head; at < window->tail; at++) {
		uint32_t index = (uint32_t)(at % window->n_slots);
		const struct window_slot *slot = &window->slots[index];
		if (slot->state == DONE && n > 0) {
			into[n - 1].through = slot->through;
			into[n - 1].folded += 1 + slot->folded;
			window->n_folded++;
			continue;
		}
		if (slot->state == WAITING)
			waiting_from = MIN(waiting_from, n);
		moved[index] = (uint32_t)n;
		into[n] = *slot;
		into[n].position = n;
		n++;
	}
	window->head = 0;
	window->tail = n;
	window->waiting_from = MIN(waiting_from, n);
}

static uint32_t new_place(const uint32_t *moved, uint32_t index)
{
	return index == NONE ? NONE : moved[index];
}

/* Room for one more: by folding what is done behind what is held, and by more slots where that is not much. */
int window_make_slots(struct window *window)
{
	size_t n_live = window->n_waiting + window->n_held + window->n_sent;
	size_t n_slots = n_live > window->n_slots / 2 ? 2 * window->n_slots : window->n_slots;
	struct window_slot *slots = calloc(n_slots, sizeof(*slots));
	_cleanup_free_ uint32_t *moved = malloc(window->n_slots * sizeof(*moved));
	if (!slots || !moved) {
		free(slots);
		return -ENOMEM;
	}
	merge_slots(window, slots, moved);
	for (uint64_t at = window->head; at < window->tail; at++)
		slots[at].next = new_place(moved, slots[at].next);
	for (size_t i = 0; i < window->n_groups; i++) {
		if (!window->groups[i].used)
			continue;
		window->groups[i].first = new_place(moved, window->groups[i].first);
		window->groups[i].last = new_place(moved, window->groups[i].last);
	}
	for (uint64_t at = window->flight_head; at < window->flight_tail; at++) {
		struct window_flight *flight = &window->flights[at % window->limits.messages];
		if (flight->open)
			flight->first = new_place(moved, flight->first);
	}
	free(window->slots);
	window->slots = slots;
	window->n_slots = n_slots;
	return 0;
}

/* ---- what is held ---- */

static void set_group_state(struct window *window, struct window_group *group)
{
	for (uint32_t at = group->first; at != NONE; at = window->slots[at].next) {
		window_set_state(window, &window->slots[at], group->held ? HELD : WAITING);
		window->waiting_from = MIN(window->waiting_from, window->slots[at].position);
	}
	window_note_full(window, group);
}

void window_hold_group(struct window *window, uint32_t number)
{
	struct window_group *group = window_group_find(window->groups, window->n_groups, number);
	if (!group->used || group->held)
		return;
	group->held = true;
	window->n_picked = 0;
	set_group_state(window, group);
}

void window_release_group(struct window *window, uint32_t number)
{
	struct window_group *group = window_group_find(window->groups, window->n_groups, number);
	if (!group->used || !group->held)
		return;
	group->held = false;
	set_group_state(window, group);
}
