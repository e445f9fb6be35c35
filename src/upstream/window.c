/* SPDX-License-Identifier: Apache-2.0 */
#include "upstream/window_private.h"
#include <errno.h>

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
	window->batch = limits->batch;
	window->n_slots = MIN(limits->messages * limits->batch, MAX(SAMPLES_MAX, 2 * limits->batch));
	window->read_ahead = window->n_slots;
	window->n_groups = 16;
	window->full_first = window->full_last = NONE;
	window->slots = calloc(window->n_slots, sizeof(*window->slots));
	window->groups = calloc(window->n_groups, sizeof(*window->groups));
	window->flights = calloc(limits->messages, sizeof(*window->flights));
	window->picked = calloc(limits->batch, sizeof(*window->picked));
	window->samples = calloc(limits->batch, sizeof(struct sample *));
	if (!window->slots || !window->groups || !window->flights || !window->picked || !window->samples) {
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

bool window_held_full(const struct window *window)
{
	return window->n_held >= HELD_MAX || window->held_bytes >= HELD_BYTES_MAX;
}

/* What is held does not count, nor what is done behind it; without, a done one counts until all before it are. */
size_t window_space(const struct window *window)
{
	size_t taken = window->n_held ? window->n_waiting + window->n_sent : window_used(window);
	if (window_held_full(window))
		return 0;
	return window->read_ahead - MIN(taken, window->read_ahead);
}

static void advance_cursor(struct window *window)
{
	while (window->head < window->tail) {
		const struct window_slot *slot = &window->slots[window->head % window->n_slots];
		if (slot->state != DONE)
			break;
		window->cursor = slot->through;
		window->cursor_moved = true;
		window->n_folded -= slot->folded;
		window->head++;
	}
}

static void slot_done(struct window *window, struct window_slot *slot)
{
	window_set_state(window, slot, DONE);
	slot->sample = sample_unref(slot->sample);
}

int window_push(struct window *window, struct sample *sample, uint32_t group_number, bool held, uint64_t now_us)
{
	struct window_group *group = NULL;
	bool done = window_acked_before(window, sample->id);
	int r = window_used(window) < window->n_slots ? 0 : window_make_slots(window);
	if (r >= 0 && !done && !held) {
		group = window_group_get(window, group_number);
		r = group ? 0 : -ENOMEM;
	}
	if (r < 0) {
		sample_unref(sample);
		return r;
	}
	uint32_t index = (uint32_t)(window->tail % window->n_slots);
	struct window_slot *slot = &window->slots[index];
	*slot = (struct window_slot){
		.id = sample->id,
		.through = sample->id,
		.position = window->tail++,
		.arrived_us = now_us,
		.next = NONE,
		.group = group_number,
		.sample = sample,
		.state = DONE,
	};
	if (done) {
		slot_done(window, slot);
		advance_cursor(window);
		return 1;
	}
	if (held) {
		slot->alone = true;
		window_set_state(window, slot, HELD);
		return 0;
	}
	window_wait_in_group(window, group, index);
	return 0;
}

static const struct window_slot *oldest_waiting(struct window *window)
{
	if (window->n_waiting == 0)
		return NULL;
	window->waiting_from = MAX(window->waiting_from, window->head);
	while (window->slots[window->waiting_from % window->n_slots].state != WAITING)
		window->waiting_from++;
	return &window->slots[window->waiting_from % window->n_slots];
}

/* Samples up to narrow_until go few at a time: how many may leave now. */
static size_t narrow_space(struct window *window, const struct window_slot *oldest)
{
	if (!window->narrow || (oldest->id > window->narrow_until && !window->narrow_flight))
		return SIZE_MAX;
	return window->narrow - MIN(window->n_sent, window->narrow);
}

static size_t pick_from(struct window *window, const struct window_group *group, size_t max, struct sample *const **ret)
{
	window->n_picked = 0;
	for (uint32_t at = group->first; at != NONE && window->n_picked < max; at = window->slots[at].next) {
		window->samples[window->n_picked] = window->slots[at].sample;
		window->picked[window->n_picked++] = at;
	}
	*ret = window->samples;
	return window->n_picked;
}

static bool may_leave(const struct window *window)
{
	return window->n_open < window->messages && window->flight_tail - window->flight_head < window->limits.messages;
}

size_t window_pick(struct window *window, uint64_t now_us, struct sample *const **ret)
{
	window->n_picked = 0;
	const struct window_slot *oldest = may_leave(window) ? oldest_waiting(window) : NULL;
	if (!oldest)
		return 0;
	const struct window_group *group = window_group_find(window->groups, window->n_groups, oldest->group);
	size_t narrow = narrow_space(window, oldest);
	if (narrow < SIZE_MAX)
		return pick_from(window, group, MIN(narrow, window->batch), ret);
	/* Who waited long enough goes first, so that full groups cannot hold the cursor up for ever. */
	if (oldest->arrived_us + window->limits.batch_wait_us > now_us && window_space(window) > 0) {
		group = window_first_full(window);
		if (!group)
			return 0;
	}
	return pick_from(window, group, window->batch, ret);
}

size_t window_pick_half(struct window *window, struct sample *const **ret)
{
	window->n_picked = (window->n_picked + 1) / 2;
	*ret = window->samples;
	return window->n_picked;
}

size_t window_pick_group(struct window *window, uint32_t number, struct sample *const **ret)
{
	const struct window_group *group = window_group_find(window->groups, window->n_groups, number);
	window->n_picked = 0;
	return group->used && may_leave(window) ? pick_from(window, group, 1, ret) : 0;
}

size_t window_pick_held(struct window *window, uint64_t id, struct sample *const **ret)
{
	window->n_picked = 0;
	for (uint64_t at = window->head; at < window->tail && may_leave(window); at++) {
		const struct window_slot *slot = &window->slots[at % window->n_slots];
		if (slot->id != id || !slot->alone || slot->state != HELD)
			continue;
		window->picked[0] = (uint32_t)(at % window->n_slots);
		window->samples[0] = slot->sample;
		window->n_picked = 1;
		break;
	}
	*ret = window->samples;
	return window->n_picked;
}

/* The picked ones are the first of their group's list, or one that is in none. */
static void take_picked(struct window *window)
{
	const struct window_slot *first = &window->slots[window->picked[0]];
	if (first->alone)
		return;
	struct window_group *group = window_group_find(window->groups, window->n_groups, first->group);
	uint32_t last = window->picked[window->n_picked - 1];
	group->first = window->slots[last].next;
	if (group->first == NONE)
		group->last = NONE;
	window->slots[last].next = NONE;
	group->n_waiting -= (uint32_t)window->n_picked;
}

void window_sent(struct window *window, const struct window_message *message)
{
	take_picked(window);
	window->narrow_flight |= window->narrow && window->slots[window->picked[0]].id <= window->narrow_until;
	for (size_t i = 0; i < window->n_picked; i++)
		window_set_state(window, &window->slots[window->picked[i]], SENT);
	window->flights[window->flight_tail++ % window->limits.messages] = (struct window_flight){
		.message = *message,
		.n_packets = message->n_packets,
		.open = true,
		.first = window->picked[0],
		.n = (uint32_t)window->n_picked,
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

void window_set_batch(struct window *window, size_t batch)
{
	size_t before = window->batch;
	window->batch = MAX(MIN(batch, window->limits.batch), (size_t)1);
	/* A group that was not full may be now. */
	for (size_t i = 0; i < window->n_groups && window->batch < before; i++)
		if (window->groups[i].used)
			window_note_full(window, &window->groups[i]);
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

/* Numbers are places in the ring, from 1. */
static struct window_flight *flight_find(const struct window *window, uint64_t number)
{
	if (number <= window->flight_head || number > window->flight_tail)
		return NULL;
	struct window_flight *flight = &window->flights[(number - 1) % window->limits.messages];
	return flight->open ? flight : NULL;
}

uint64_t window_next(const struct window *window)
{
	return window->flight_tail + 1;
}

const struct window_message *window_message(const struct window *window, uint64_t number)
{
	const struct window_flight *flight = flight_find(window, number);
	return flight ? &flight->message : NULL;
}

bool window_packet_acked(struct window *window, uint64_t number)
{
	struct window_flight *flight = flight_find(window, number);
	return flight && --flight->n_packets == 0;
}

static void flight_close(struct window *window, struct window_flight *flight)
{
	flight->open = false;
	window->n_open--;
	/* What went few at a time has passed: twice as many. */
	if (window->n_open == 0 && window->narrow_flight) {
		window->narrow_flight = false;
		window->narrow = MIN(2 * window->narrow, window->read_ahead);
	}
	while (window->flight_head < window->flight_tail &&
	       !window->flights[window->flight_head % window->limits.messages].open)
		window->flight_head++;
}

size_t window_samples(struct window *window, uint64_t number, struct sample *const **ret)
{
	const struct window_flight *flight = flight_find(window, number);
	if (!flight)
		return 0;
	size_t n = 0;
	for (uint32_t at = flight->first; at != NONE; at = window->slots[at].next)
		window->samples[n++] = window->slots[at].sample;
	*ret = window->samples;
	return n;
}

size_t window_acked(struct window *window, uint64_t number)
{
	struct window_flight *flight = flight_find(window, number);
	if (!flight)
		return 0;
	for (uint32_t at = flight->first; at != NONE; at = window->slots[at].next)
		slot_done(window, &window->slots[at]);
	size_t n = flight->n;
	flight_close(window, flight);
	advance_cursor(window);
	return n;
}

static void wait_again(struct window *window, struct window_flight *flight)
{
	for (uint32_t at = flight->first, next; at != NONE; at = next) {
		struct window_slot *slot = &window->slots[at];
		next = slot->next;
		if (slot->alone)
			window_set_state(window, slot, HELD);
		else
			window_wait_in_group(window, window_group_find(window->groups, window->n_groups, slot->group),
					     at);
	}
}

void window_returned(struct window *window, uint64_t number)
{
	struct window_flight *flight = flight_find(window, number);
	if (!flight)
		return;
	wait_again(window, flight);
	/* It has not passed: no reason to send more at a time. */
	bool narrow = window->narrow_flight;
	window->narrow_flight = false;
	flight_close(window, flight);
	window->narrow_flight = narrow && window->n_open > 0;
}

void window_halved(struct window *window, uint64_t number)
{
	struct window_flight *flight = flight_find(window, number);
	if (!flight)
		return;
	uint64_t last = 0;
	for (uint32_t at = flight->first; at != NONE; at = window->slots[at].next)
		last = window->slots[at].id;
	size_t n = flight->n;
	window_returned(window, number);
	window_narrow(window, MAX(last, window->narrow_until), MAX(n / 2, (size_t)1));
}

size_t window_held(const struct window *window)
{
	return window->n_held;
}

size_t window_done_ahead(const struct window *window)
{
	return window_used(window) - window->n_waiting - window->n_held - window->n_sent + (size_t)window->n_folded;
}

bool window_cursor(struct window *window, uint64_t *ret_id)
{
	if (!window->cursor_moved)
		return false;
	window->cursor_moved = false;
	*ret_id = window->cursor;
	return true;
}

uint64_t window_done_through(const struct window *window)
{
	return window->cursor;
}

size_t window_inflight(const struct window *window)
{
	return window->n_open;
}

size_t window_waiting(const struct window *window)
{
	return window->n_waiting;
}

bool window_full(const struct window *window)
{
	return !may_leave(window);
}
