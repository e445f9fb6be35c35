/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The packets of one connection, of every kind, in the order in which they leave: first those that wait, then those
 * under way until the broker has answered. Pure: no socket, no clock. One thread.
 *
 * A packet of QoS 1, a subscription and a probe are answered by the broker; one of QoS 0 is answered when it is
 * written, or, where that is to prove more, when a later packet is (outbox_new()).
 */
#ifndef HAYWAIN_UPSTREAM_OUTBOX_H
#define HAYWAIN_UPSTREAM_OUTBOX_H

#include "upstream/dialects/dialect.h"

enum outgoing_kind {
	OUTGOING_SUBSCRIBE, /* message.topic: the filter */
	OUTGOING_BIRTH,
	OUTGOING_DEVICE, /* as it is now, or that it is gone */
	OUTGOING_EVENT,
	OUTGOING_REPLY,
	OUTGOING_DEATH,
	OUTGOING_PROBE, /* an UNSUBSCRIBE, to be answered; message.topic: the filter */
	OUTGOING_DATA,
};

struct outgoing {
	struct outgoing *next, *previous;
	enum outgoing_kind kind;
	struct message message; /* emptied once a sample has left */
	uint64_t owner;		/* the maker's number for it: of DATA the window's message */
	uint32_t topic;		/* a hash of message.topic, of DATA */

	int mid;	  /* 0: it waits */
	uint64_t sent_us; /* given to the library */
	uint64_t end;	  /* bytes sent in this connection up to its end */
	uint64_t left_us; /* when it had left this machine; 0: not yet */
	bool written;	  /* of QoS 0, by the library */
};

struct outbox;

/* proves: of QoS 0, one is answered only when a later packet is. NULL: out of memory. */
struct outbox *outbox_new(bool proves);
struct outbox *outbox_free(struct outbox *outbox); /* NULL is fine */
void outbox_clear(struct outbox *outbox);	   /* the connection is gone, and all that it had */

/* Behind all others. Takes the message's content and leaves it empty, with other memory. NULL: out of memory. */
struct outgoing *outbox_add(struct outbox *outbox, enum outgoing_kind kind, uint64_t owner, struct message *message);

/* ---- those that wait, oldest first ---- */

struct outgoing *outbox_first(const struct outbox *outbox); /* NULL: none; the next one: ->next */
size_t outbox_waiting(const struct outbox *outbox);
bool outbox_data_waits(const struct outbox *outbox);
struct outgoing *outbox_first_data(const struct outbox *outbox); /* of samples; NULL: none */
/* A message that no sample may pass waits, or is not yet acknowledged. */
bool outbox_barred(const struct outbox *outbox);
void outbox_remove(struct outbox *outbox, struct outgoing *outgoing); /* it will not be sent */
void outbox_remove_data(struct outbox *outbox, uint64_t owner);	      /* those of this owner that wait */

/* It was given to the library. end: bytes sent in this connection up to its end. */
void outbox_sent(struct outbox *outbox, struct outgoing *outgoing, int mid, uint64_t end, uint64_t now_us);

/* ---- those under way, in the order they were sent ---- */

/*
 * What the broker answered, or the library for one of QoS 0: each packet that is done by it is handed to fn once,
 * oldest first, with its code (MQTT 5; 0 for one that a later packet proved), and then forgotten. A number nobody has
 * is passed over.
 */
typedef void (*outbox_answer)(void *userdata, struct outgoing *outgoing, unsigned code);
void outbox_answered(struct outbox *outbox, int mid, unsigned code, outbox_answer fn, void *userdata);

void outbox_left(struct outbox *outbox, uint64_t bytes, uint64_t now_us); /* bytes up to here have left this machine */
struct outgoing *outbox_first_under_way(const struct outbox *outbox);
size_t outbox_under_way(const struct outbox *outbox);
size_t outbox_others_under_way(const struct outbox *outbox); /* no samples */
size_t outbox_receives(const struct outbox *outbox); /* that count for the broker's Receive Maximum: PUBLISH of QoS 1 */
size_t outbox_unproved(const struct outbox *outbox); /* of QoS 0, behind the last packet that will be answered */
uint64_t outbox_oldest_left_us(const struct outbox *outbox); /* UINT64_MAX: none that is to be answered */

#endif
