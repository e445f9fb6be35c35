/* SPDX-License-Identifier: Apache-2.0 */
#include "upstream/window.h"
#include <errno.h>
#include <string.h>

#define NONE UINT32_MAX
#define CULPRIT_BREAKS 3
/* More is not read ahead of the broker, whatever inflight × batch comes to. */
#define SAMPLES_MAX ((size_t)16384)

enum slot_state { WAITING, SENT, DONE };

struct slot {
	struct sample *sample; /* NULL once done */
	uint64_t id;
	uint64_t position;
	uint64_t arrived_us;
	uint32_t next; /* in the list of its group while it waits, of its message while it is sent */
	uint32_t group;
	enum slot_state state;
};

/* The waiting samples of one group, by position. */
struct group {
	uint32_t number;
	bool used;
	bool in_full;
	uint32_t first, last; /* slots */
	uint32_t n_waiting;
	uint32_t next_full;
};

struct flight {
	int mid;
	bool open;
	uint32_t first; /* slot */
	uint32_t n;
	uint64_t sent_us;
};

struct window {
	struct window_limits limits;
	size_t messages; /* in flight at most, now */

	struct slot *slots;
	size_t n_slots;
	uint64_t head, tail;   /* positions: [head, tail) are here */
	uint64_t waiting_from; /* no slot before it waits */
	size_t n_waiting;
	uint64_t cursor;
	bool cursor_moved;

	struct group *groups; /* a hash table, open addressing */
	size_t n_groups, groups_used;
	uint32_t full_first, full_last; /* groups with enough for a whole message */

	struct flight *flights; /* a ring as well */
	uint64_t flight_head, flight_tail;
	size_t n_open;

	uint32_t *picked; /* slots */
	struct sample **samples;
	size_t n_picked;

	uint64_t *acked; /* ids acknowledged before the last break and after the cursor, growing */
	size_t n_acked, next_acked;

	uint64_t alone_until; /* samples up to this id go one at a time */
	uint64_t culprit;     /* the id that was alone in flight at the last break */
	unsigned culprit_breaks;
};

struct window *window_free(struct window *window)
{
	if (!window)
		return NULL;
	for (uint64_t at = window->head; at < window->tail; at++)
		sample_unref(window->slots[at % window->n_slots].sample);
	free(window->slots);
	free(window->groups);
	free(window->flights);
	free(window->picked);
	free(window->samples);
	free(window->acked);
	free(window);
	return NULL;
}

int window_new(const struct window_limits *limits, struct window **ret)
{
	struct window *window = calloc(1, sizeof(*window));
	if (!window)
		return -ENOMEM;
	window->limits = *limits;
	window->messages = limits->messages;
	window->n_slots = MIN(limits->messages * limits->batch, MAX(SAMPLES_MAX, 2 * limits->batch));
	window->n_groups = 16;
	window->full_first = window->full_last = NONE;
	window->slots = calloc(window->n_slots, sizeof(*window->slots));
	window->groups = calloc(window->n_groups, sizeof(*window->groups));
	window->flights = calloc(limits->messages, sizeof(*window->flights));
	window->picked = calloc(limits->batch, sizeof(*window->picked));
	window->samples = calloc(limits->batch, sizeof(struct sample *));
	window->acked = calloc(window->n_slots, sizeof(*window->acked));
	if (!window->slots || !window->groups || !window->flights || !window->picked || !window->samples ||
	    !window->acked) {
		window_free(window);
		return -ENOMEM;
	}
	*ret = window;
	return 0;
}

void window_set_messages(struct window *window, size_t messages)
{
	window->messages = MIN(messages, window->limits.messages);
}

size_t window_room(const struct window *window)
{
	return window->n_slots - (size_t)(window->tail - window->head);
}

/* ---- groups ---- */

static struct group *group_find(struct group *groups, size_t n_groups, uint32_t number)
{
	size_t at = (number * 2654435761u) & (n_groups - 1);
	while (groups[at].used && groups[at].number != number)
		at = (at + 1) & (n_groups - 1);
	return &groups[at];
}

static int groups_grow(struct window *window)
{
	size_t n_groups = window->n_groups * 2;
	struct group *groups = calloc(n_groups, sizeof(*groups));
	if (!groups)
		return -ENOMEM;
	uint32_t full = window->full_first;
	window->full_first = window->full_last = NONE;
	for (size_t i = 0; i < window->n_groups; i++) {
		if (window->groups[i].used)
			*group_find(groups, n_groups, window->groups[i].number) = window->groups[i];
	}
	/* The list of full groups names places in the table: thread it anew, in its order. */
	while (full != NONE) {
		const struct group *old = &window->groups[full];
		struct group *moved = group_find(groups, n_groups, old->number);
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

static struct group *group_get(struct window *window, uint32_t number)
{
	struct group *group = group_find(window->groups, window->n_groups, number);
	if (group->used)
		return group;
	if (2 * (window->groups_used + 1) > window->n_groups) {
		if (groups_grow(window) < 0)
			return NULL;
		group = group_find(window->groups, window->n_groups, number);
	}
	window->groups_used++;
	*group = (struct group){.number = number, .used = true, .first = NONE, .last = NONE, .next_full = NONE};
	return group;
}

static void note_full(struct window *window, struct group *group)
{
	if (group->in_full || group->n_waiting < window->limits.batch || window->limits.batch_wait_us == 0)
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

static struct group *first_full(struct window *window)
{
	while (window->full_first != NONE) {
		struct group *group = &window->groups[window->full_first];
		if (group->n_waiting >= window->limits.batch)
			return group;
		group->in_full = false;
		window->full_first = group->next_full;
		if (window->full_first == NONE)
			window->full_last = NONE;
	}
	return NULL;
}

/* ---- waiting ---- */

/* Put a slot into its group's list at its place: at the end if it is new, mostly at the front if it came back. */
static void wait_in_group(struct window *window, struct group *group, uint32_t index)
{
	struct slot *slot = &window->slots[index];
	slot->state = WAITING;
	window->n_waiting++;
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
	note_full(window, group);
}

static void advance_cursor(struct window *window)
{
	while (window->head < window->tail) {
		const struct slot *slot = &window->slots[window->head % window->n_slots];
		if (slot->state != DONE)
			break;
		window->cursor = slot->id;
		window->cursor_moved = true;
		window->head++;
	}
}

static void slot_done(struct window *window, struct slot *slot)
{
	slot->sample = sample_unref(slot->sample);
	slot->state = DONE;
	if (slot->id == window->culprit)
		window->culprit_breaks = 0;
}

static bool acked_before(struct window *window, uint64_t id)
{
	while (window->next_acked < window->n_acked && window->acked[window->next_acked] < id)
		window->next_acked++;
	return window->next_acked < window->n_acked && window->acked[window->next_acked] == id;
}

int window_push(struct window *window, struct sample *sample, uint32_t group_number, uint64_t now_us)
{
	uint32_t index = (uint32_t)(window->tail % window->n_slots);
	struct slot *slot = &window->slots[index];
	*slot = (struct slot){
		.id = sample->id,
		.position = window->tail,
		.arrived_us = now_us,
		.next = NONE,
		.group = group_number,
		.sample = sample,
	};
	if (acked_before(window, sample->id)) {
		window->tail++;
		slot_done(window, slot);
		advance_cursor(window);
		return 1;
	}
	struct group *group = group_get(window, group_number);
	if (!group) {
		sample_unref(sample);
		slot->sample = NULL;
		return -ENOMEM;
	}
	window->tail++;
	wait_in_group(window, group, index);
	return 0;
}

static const struct slot *oldest_waiting(struct window *window)
{
	if (window->n_waiting == 0)
		return NULL;
	window->waiting_from = MAX(window->waiting_from, window->head);
	while (window->slots[window->waiting_from % window->n_slots].state != WAITING)
		window->waiting_from++;
	return &window->slots[window->waiting_from % window->n_slots];
}

bool window_alone(const struct window *window)
{
	return window->cursor < window->alone_until;
}

static size_t pick_from(struct window *window, const struct group *group, size_t max, struct sample *const **ret)
{
	window->n_picked = 0;
	for (uint32_t at = group->first; at != NONE && window->n_picked < max; at = window->slots[at].next) {
		window->samples[window->n_picked] = window->slots[at].sample;
		window->picked[window->n_picked++] = at;
	}
	*ret = window->samples;
	return window->n_picked;
}

size_t window_pick(struct window *window, uint64_t now_us, struct sample *const **ret)
{
	window->n_picked = 0;
	bool alone = window_alone(window);
	if (window->n_open >= (alone ? 1 : window->messages) ||
	    window->flight_tail - window->flight_head >= window->limits.messages)
		return 0;
	const struct slot *oldest = oldest_waiting(window);
	if (!oldest)
		return 0;
	const struct group *group = group_find(window->groups, window->n_groups, oldest->group);
	if (alone)
		return pick_from(window, group, 1, ret);
	/* Who waited long enough goes first, so that full groups cannot hold the cursor up for ever. */
	if (oldest->arrived_us + window->limits.batch_wait_us > now_us && window_room(window) > 0) {
		group = first_full(window);
		if (!group)
			return 0;
	}
	return pick_from(window, group, window->limits.batch, ret);
}

size_t window_pick_one(struct window *window, struct sample *const **ret)
{
	window->n_picked = MIN(window->n_picked, 1);
	*ret = window->samples;
	return window->n_picked;
}

bool window_picked_is_culprit(const struct window *window)
{
	return window->n_picked == 1 && window->culprit_breaks >= CULPRIT_BREAKS &&
	       window->slots[window->picked[0]].id == window->culprit;
}

/* The picked ones are the first of their group's list. */
static void take_picked(struct window *window)
{
	struct group *group = group_find(window->groups, window->n_groups, window->slots[window->picked[0]].group);
	uint32_t last = window->picked[window->n_picked - 1];
	group->first = window->slots[last].next;
	if (group->first == NONE)
		group->last = NONE;
	window->slots[last].next = NONE;
	group->n_waiting -= (uint32_t)window->n_picked;
	window->n_waiting -= window->n_picked;
}

void window_sent(struct window *window, int mid, uint64_t now_us)
{
	take_picked(window);
	for (size_t i = 0; i < window->n_picked; i++)
		window->slots[window->picked[i]].state = SENT;
	window->flights[window->flight_tail++ % window->limits.messages] = (struct flight){
		.mid = mid,
		.open = true,
		.first = window->picked[0],
		.n = (uint32_t)window->n_picked,
		.sent_us = now_us,
	};
	window->n_open++;
	window->n_picked = 0;
}

void window_drop_picked(struct window *window)
{
	take_picked(window);
	for (size_t i = 0; i < window->n_picked; i++)
		slot_done(window, &window->slots[window->picked[i]]);
	window->n_picked = 0;
	advance_cursor(window);
}

uint64_t window_due_us(const struct window *window)
{
	if (window->n_waiting == 0 || window->limits.batch_wait_us == 0 || window->n_open >= window->messages)
		return UINT64_MAX;
	uint64_t at = MAX(window->waiting_from, window->head);
	while (window->slots[at % window->n_slots].state != WAITING)
		at++;
	return window->slots[at % window->n_slots].arrived_us + window->limits.batch_wait_us;
}

/* ---- in flight ---- */

/* Brokers acknowledge in order, nearly always: the one asked for is the first. */
static struct flight *flight_find(struct window *window, int mid)
{
	for (uint64_t at = window->flight_head; at < window->flight_tail; at++) {
		struct flight *flight = &window->flights[at % window->limits.messages];
		if (flight->open && flight->mid == mid)
			return flight;
	}
	return NULL;
}

static void flight_close(struct window *window, struct flight *flight)
{
	flight->open = false;
	window->n_open--;
	while (window->flight_head < window->flight_tail &&
	       !window->flights[window->flight_head % window->limits.messages].open)
		window->flight_head++;
}

size_t window_samples(struct window *window, int mid, struct sample *const **ret)
{
	const struct flight *flight = flight_find(window, mid);
	if (!flight)
		return 0;
	size_t n = 0;
	for (uint32_t at = flight->first; at != NONE; at = window->slots[at].next)
		window->samples[n++] = window->slots[at].sample;
	*ret = window->samples;
	return n;
}

size_t window_acked(struct window *window, int mid, uint64_t *ret_sent_us)
{
	struct flight *flight = flight_find(window, mid);
	if (!flight)
		return 0;
	for (uint32_t at = flight->first; at != NONE; at = window->slots[at].next)
		slot_done(window, &window->slots[at]);
	*ret_sent_us = flight->sent_us;
	size_t n = flight->n;
	flight_close(window, flight);
	advance_cursor(window);
	return n;
}

void window_returned(struct window *window, int mid)
{
	struct flight *flight = flight_find(window, mid);
	if (!flight)
		return;
	for (uint32_t at = flight->first, next; at != NONE; at = next) {
		next = window->slots[at].next;
		wait_in_group(window, group_find(window->groups, window->n_groups, window->slots[at].group), at);
	}
	flight_close(window, flight);
}

bool window_cursor(struct window *window, uint64_t *ret_id)
{
	if (!window->cursor_moved)
		return false;
	window->cursor_moved = false;
	*ret_id = window->cursor;
	return true;
}

size_t window_inflight(const struct window *window)
{
	return window->n_open;
}

size_t window_waiting(const struct window *window)
{
	return window->n_waiting;
}

uint64_t window_oldest_sent_us(const struct window *window)
{
	return window->n_open ? window->flights[window->flight_head % window->limits.messages].sent_us : UINT64_MAX;
}

/* ---- a connection ends ---- */

static uint64_t last_sent_id(const struct window *window)
{
	uint64_t last = 0;
	for (uint64_t at = window->head; at < window->tail; at++) {
		const struct slot *slot = &window->slots[at % window->n_slots];
		if (slot->state == SENT)
			last = slot->id;
	}
	return last;
}

static void suspect(struct window *window, enum window_blame blame)
{
	if (window->n_open == 0 || blame == WINDOW_BLAME_NOBODY)
		return;
	uint64_t last = last_sent_id(window);
	window->alone_until = MAX(window->alone_until, last);
	const struct flight *flight = &window->flights[window->flight_head % window->limits.messages];
	if (window->n_open > 1 || flight->n > 1 || blame != WINDOW_BLAME_MESSAGE)
		return;
	if (window->culprit != last)
		window->culprit_breaks = 0;
	window->culprit = last;
	window->culprit_breaks++;
}

/* The remembered ids and those done in this connection, both growing, into one list that is still wanted. */
static void remember_acked(struct window *window)
{
	size_t n = 0;
	for (uint64_t at = window->head; at < window->tail; at++)
		n += window->slots[at % window->n_slots].state == DONE;
	/* Ids not seen again before this break follow all that were: keep them behind, as far as there is room. */
	size_t rest = window->n_acked - window->next_acked;
	rest = MIN(rest, window->n_slots - n);
	memmove(window->acked + n, window->acked + window->next_acked, rest * sizeof(*window->acked));
	size_t i = 0;
	for (uint64_t at = window->head; at < window->tail; at++) {
		const struct slot *slot = &window->slots[at % window->n_slots];
		if (slot->state == DONE)
			window->acked[i++] = slot->id;
	}
	window->n_acked = n + rest;
	window->next_acked = 0;
}

void window_break(struct window *window, enum window_blame blame)
{
	suspect(window, blame);
	remember_acked(window);
	for (uint64_t at = window->head; at < window->tail; at++)
		sample_unref(window->slots[at % window->n_slots].sample);
	window->head = window->tail = window->waiting_from = 0;
	window->n_waiting = 0;
	window->flight_head = window->flight_tail = 0;
	window->n_open = 0;
	window->n_picked = 0;
	memset(window->groups, 0, window->n_groups * sizeof(*window->groups));
	window->groups_used = 0;
	window->full_first = window->full_last = NONE;
	window->messages = window->limits.messages;
}
