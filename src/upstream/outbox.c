/* SPDX-License-Identifier: Apache-2.0 */
#include "upstream/outbox.h"
#include <string.h>

#define SPARES_MAX 64

struct outgoing_list {
	struct outgoing *first, *last;
	size_t n;
};

struct outbox {
	bool proves;
	struct outgoing_list waiting, under_way;
	struct outgoing *spares; /* with their buffers: each sample's message would allocate three times */
	size_t n_spares;

	struct outgoing *first_data; /* of those that wait */
	size_t n_data;
	size_t n_barriers; /* of those that wait, and with BARRIER_ACKED of those under way */
	size_t n_others;   /* under way, no samples */
	size_t n_receives;
	size_t n_unproved;
	uint64_t left; /* bytes */
};

static void list_append(struct outgoing_list *list, struct outgoing *outgoing)
{
	outgoing->next = NULL;
	outgoing->previous = list->last;
	if (list->last)
		list->last->next = outgoing;
	else
		list->first = outgoing;
	list->last = outgoing;
	list->n++;
}

static void list_remove(struct outgoing_list *list, struct outgoing *outgoing)
{
	if (outgoing->previous)
		outgoing->previous->next = outgoing->next;
	else
		list->first = outgoing->next;
	if (outgoing->next)
		outgoing->next->previous = outgoing->previous;
	else
		list->last = outgoing->previous;
	list->n--;
}

struct outbox *outbox_new(bool proves)
{
	struct outbox *outbox = calloc(1, sizeof(*outbox));
	if (!outbox)
		return NULL;
	outbox->proves = proves;
	return outbox;
}

static void outgoing_free(struct outgoing *outgoing)
{
	message_done(&outgoing->message);
	free(outgoing);
}

static void keep_as_spare(struct outbox *outbox, struct outgoing *outgoing)
{
	if (outbox->n_spares >= SPARES_MAX) {
		outgoing_free(outgoing);
		return;
	}
	outgoing->next = outbox->spares;
	outbox->spares = outgoing;
	outbox->n_spares++;
}

static void list_clear(struct outbox *outbox, struct outgoing_list *list)
{
	while (list->first) {
		struct outgoing *outgoing = list->first;
		list->first = outgoing->next;
		keep_as_spare(outbox, outgoing);
	}
	*list = (struct outgoing_list){0};
}

void outbox_clear(struct outbox *outbox)
{
	list_clear(outbox, &outbox->waiting);
	list_clear(outbox, &outbox->under_way);
	outbox->first_data = NULL;
	outbox->n_data = outbox->n_barriers = outbox->n_others = outbox->n_receives = outbox->n_unproved = 0;
	outbox->left = 0;
}

struct outbox *outbox_free(struct outbox *outbox)
{
	if (!outbox)
		return NULL;
	outbox_clear(outbox);
	while (outbox->spares) {
		struct outgoing *outgoing = outbox->spares;
		outbox->spares = outgoing->next;
		outgoing_free(outgoing);
	}
	free(outbox);
	return NULL;
}

/* ---- those that wait ---- */

struct outgoing *outbox_add(struct outbox *outbox, enum outgoing_kind kind, uint64_t owner, struct message *message)
{
	struct outgoing *outgoing = outbox->spares;
	if (outgoing) {
		outbox->spares = outgoing->next;
		outbox->n_spares--;
	} else {
		outgoing = calloc(1, sizeof(*outgoing));
		if (!outgoing)
			return NULL;
	}
	struct message memory = outgoing->message;
	*outgoing = (struct outgoing){.kind = kind, .owner = owner, .message = *message};
	*message = memory;
	message_clear(message);
	list_append(&outbox->waiting, outgoing);
	if (kind == OUTGOING_DATA && outbox->n_data++ == 0)
		outbox->first_data = outgoing;
	outbox->n_barriers += outgoing->message.barrier != BARRIER_NONE;
	return outgoing;
}

struct outgoing *outbox_first(const struct outbox *outbox)
{
	return outbox->waiting.first;
}

size_t outbox_waiting(const struct outbox *outbox)
{
	return outbox->waiting.n;
}

bool outbox_data_waits(const struct outbox *outbox)
{
	return outbox->n_data > 0;
}

bool outbox_barred(const struct outbox *outbox)
{
	return outbox->n_barriers > 0;
}

struct outgoing *outbox_first_data(const struct outbox *outbox)
{
	return outbox->first_data;
}

static void take_from_waiting(struct outbox *outbox, struct outgoing *outgoing)
{
	if (outbox->first_data == outgoing)
		do
			outbox->first_data = outbox->first_data->next;
		while (outbox->first_data && outbox->first_data->kind != OUTGOING_DATA);
	outbox->n_data -= outgoing->kind == OUTGOING_DATA;
	list_remove(&outbox->waiting, outgoing);
}

void outbox_remove(struct outbox *outbox, struct outgoing *outgoing)
{
	take_from_waiting(outbox, outgoing);
	outbox->n_barriers -= outgoing->message.barrier != BARRIER_NONE;
	keep_as_spare(outbox, outgoing);
}

void outbox_remove_data(struct outbox *outbox, uint64_t owner)
{
	for (struct outgoing *outgoing = outbox->first_data, *next; outgoing; outgoing = next) {
		next = outgoing->next;
		if (outgoing->kind == OUTGOING_DATA && outgoing->owner == owner)
			outbox_remove(outbox, outgoing);
	}
}

/* ---- those under way ---- */

static bool is_publish(const struct outgoing *outgoing)
{
	return outgoing->kind != OUTGOING_SUBSCRIBE && outgoing->kind != OUTGOING_PROBE;
}

/* It will be answered by itself, and not by what follows. */
static bool is_answered(const struct outbox *outbox, const struct outgoing *outgoing)
{
	return !is_publish(outgoing) || outgoing->message.qos > 0 || !outbox->proves;
}

void outbox_sent(struct outbox *outbox, struct outgoing *outgoing, int mid, uint64_t end, uint64_t now_us)
{
	take_from_waiting(outbox, outgoing);
	outbox->n_barriers -= outgoing->message.barrier == BARRIER_SENT;
	list_append(&outbox->under_way, outgoing);
	outgoing->mid = mid;
	outgoing->sent_us = now_us;
	outgoing->end = end;
	outbox->n_others += outgoing->kind != OUTGOING_DATA;
	outbox->n_receives += is_publish(outgoing) && outgoing->message.qos > 0;
	outbox->n_unproved = is_answered(outbox, outgoing) ? 0 : outbox->n_unproved + 1;
}

static void finish_outgoing(struct outbox *outbox, struct outgoing *outgoing, unsigned code, outbox_answer fn,
			    void *userdata)
{
	list_remove(&outbox->under_way, outgoing);
	outbox->n_barriers -= outgoing->message.barrier == BARRIER_ACKED;
	outbox->n_others -= outgoing->kind != OUTGOING_DATA;
	outbox->n_receives -= is_publish(outgoing) && outgoing->message.qos > 0;
	fn(userdata, outgoing, code);
	keep_as_spare(outbox, outgoing);
}

/* All of QoS 0 before it have been read by the broker. */
static void finish_proved(struct outbox *outbox, const struct outgoing *until, outbox_answer fn, void *userdata)
{
	for (struct outgoing *at = outbox->under_way.first, *next; at != until; at = next) {
		next = at->next;
		if (!is_answered(outbox, at) && at->written)
			finish_outgoing(outbox, at, 0, fn, userdata);
	}
}

void outbox_answered(struct outbox *outbox, int mid, unsigned code, outbox_answer fn, void *userdata)
{
	/* Brokers answer in order, nearly always: it is the first. */
	struct outgoing *outgoing = outbox->under_way.first;
	while (outgoing && outgoing->mid != mid)
		outgoing = outgoing->next;
	if (!outgoing)
		return;
	if (!is_answered(outbox, outgoing)) {
		outgoing->written = true;
		return;
	}
	if (outbox->proves && (outgoing->message.qos > 0 || !is_publish(outgoing)))
		finish_proved(outbox, outgoing, fn, userdata);
	finish_outgoing(outbox, outgoing, code, fn, userdata);
}

void outbox_left(struct outbox *outbox, uint64_t bytes, uint64_t now_us)
{
	if (bytes == outbox->left)
		return;
	outbox->left = bytes;
	for (struct outgoing *at = outbox->under_way.first; at && at->end <= bytes; at = at->next)
		if (!at->left_us)
			at->left_us = now_us;
}

struct outgoing *outbox_first_under_way(const struct outbox *outbox)
{
	return outbox->under_way.first;
}

size_t outbox_under_way(const struct outbox *outbox)
{
	return outbox->under_way.n;
}

size_t outbox_others_under_way(const struct outbox *outbox)
{
	return outbox->n_others;
}

size_t outbox_receives(const struct outbox *outbox)
{
	return outbox->n_receives;
}

size_t outbox_unproved(const struct outbox *outbox)
{
	return outbox->n_unproved;
}

/* Packets leave in the order they are sent: the first that is not answered left first. */
uint64_t outbox_oldest_left_us(const struct outbox *outbox)
{
	const struct outgoing *first = outbox->under_way.first;
	return first && first->left_us ? first->left_us : UINT64_MAX;
}
