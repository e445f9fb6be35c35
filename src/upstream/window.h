/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What an uplink has taken from the queue and the broker has not acknowledged yet.
 *
 * Samples wait in the order of the queue, leave in messages (several of one group in a message where batching
 * is on), and are done when the message is acknowledged, in any order. The cursor is the prefix all of which is
 * done. A group whose topic the broker refuses, and a sample that is under suspicion, are held: they keep their
 * place, and the others go on. Pure: no socket, no clock, no queue.
 */
#ifndef HAYWAIN_UPSTREAM_WINDOW_H
#define HAYWAIN_UPSTREAM_WINDOW_H

#include "model/sample.h"
#include <stdbool.h>

struct window_limits {
	size_t messages; /* in flight at most */
	size_t batch;	 /* samples in a message at most */
	uint64_t batch_wait_us;
};

struct window;

int window_new(const struct window_limits *limits, struct window **ret); /* -ENOMEM */
struct window *window_free(struct window *window);

/* Other bounds for messages in flight and samples in a message, at most those given at first: the broker's, the
   line's. */
void window_set_messages(struct window *window, size_t messages);
void window_set_batch(struct window *window, size_t batch);

size_t window_space(const struct window *window); /* how many samples more may be pushed */
/* Takes the reference. Ids grow, but once where a file of the queue turned up late. held: it is under suspicion and
   waits until it is picked by its id. 1: it was acknowledged before the last break and is done already. -ENOMEM. */
int window_push(struct window *window, struct sample *sample, uint32_t group, bool held, uint64_t now_us);

/* The samples of the next message, oldest first: 0 if none may be sent now. They go on waiting until
   window_sent() or window_drop_picked() is called; *ret is valid until then. */
size_t window_pick(struct window *window, uint64_t now_us, struct sample *const **ret);
/* Pick only the first half of the last pick (at least one): to find the one that cannot be encoded. */
size_t window_pick_half(struct window *window, struct sample *const **ret);
/* The first sample of a held group, or a sample held by itself: to try it alone. 0: there is none. */
size_t window_pick_group(struct window *window, uint32_t group, struct sample *const **ret);
size_t window_pick_held(struct window *window, uint64_t id, struct sample *const **ret);

/* A message of samples: one or several packets. */
struct window_message {
	uint32_t topic;	    /* a hash of it: the caller's */
	uint64_t sent_us;   /* given to the caller's outbox */
	unsigned n_packets; /* that are to be acknowledged */
	size_t largest;	    /* of them, in bytes */
};
uint64_t
window_next(const struct window *window); /* the number of the next message: from 1, growing by 1, anew after a break */
void window_sent(struct window *window,
		 const struct window_message *message); /* the picked ones are under way, as that */
void window_drop_picked(struct window *window);		/* the picked ones are done, unsent */

/* When waiting alone makes something due (batch_wait); UINT64_MAX: nothing waits for time. */
uint64_t window_due_us(const struct window *window);

/* A message in flight; NULL: there is none of that number. */
const struct window_message *window_message(const struct window *window, uint64_t number);
/* Its samples; 0: there is no such message. Valid until the next call that changes it. */
size_t window_samples(struct window *window, uint64_t number, struct sample *const **ret);
/* One of its packets is acknowledged. True: it was the last one. */
bool window_packet_acked(struct window *window, uint64_t number);
/* Acknowledged, or given up: its samples are done. Returns how many; 0: no such message. */
size_t window_acked(struct window *window, uint64_t number);
/* Turned down for now: its samples wait again, before all later ones of their group. */
void window_returned(struct window *window, uint64_t number);
/* Turned down for ever, and there are several: they wait again and go by halves, until the bad one is alone. */
void window_halved(struct window *window, uint64_t number);

/* ---- what is held ---- */

void window_hold_group(struct window *window, uint32_t group);	  /* from now on; what waits keeps its order */
void window_release_group(struct window *window, uint32_t group); /* no longer */
size_t window_held(const struct window *window);		  /* samples */
bool window_held_full(const struct window *window);		  /* so many that no more are taken */
/* Samples done behind one that is not: the queue has not been told yet. */
size_t window_done_ahead(const struct window *window);

/* The cursor: true if it moved since the last call. */
bool window_cursor(struct window *window, uint64_t *ret_id);
uint64_t window_done_through(const struct window *window); /* where it is; 0: nowhere yet */

size_t window_inflight(const struct window *window); /* messages */
bool window_full(const struct window *window);	     /* no more messages may be in flight */
size_t window_waiting(const struct window *window);  /* samples not yet sent, without those held */

/* The samples in flight: how many, the first and the last id, and the number of the message that was sent first (0:
   none). */
size_t window_under_way(const struct window *window, uint64_t *ret_first, uint64_t *ret_last, uint64_t *ret_oldest);
/* Samples up to this id go so many at a time, the next when these have passed, and then twice as many. */
void window_narrow(struct window *window, uint64_t until_id, size_t samples);

/* The connection is gone: forget all samples (the queue gives those after the cursor again), but remember which
   of them were acknowledged. */
void window_break(struct window *window);

#endif
