/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What an uplink has taken from the queue and the broker has not acknowledged yet.
 *
 * Samples wait in the order of the queue, leave in messages (several of one group in a message where batching
 * is on), and are done when the message is acknowledged, in any order. The cursor is the prefix all of which is
 * done. Pure: no socket, no clock, no queue.
 */
#ifndef HAYWAIN_UPSTREAM_WINDOW_H
#define HAYWAIN_UPSTREAM_WINDOW_H

#include "queue/sample.h"
#include <stdbool.h>

struct window_limits {
	size_t messages; /* in flight at most */
	size_t batch;	 /* samples in a message at most */
	uint64_t batch_wait_us;
};

struct window;

int window_new(const struct window_limits *limits, struct window **ret); /* -ENOMEM */
struct window *window_free(struct window *window);

/* Another bound for messages in flight, at most the one given at first: the broker's, or 1 to feel one's way. */
void window_set_messages(struct window *window, size_t messages);

size_t window_room(const struct window *window); /* how many samples more may be pushed */
/* Takes the reference. Ids must grow. 1: it was acknowledged before the last break and is done already. -ENOMEM. */
int window_push(struct window *window, struct sample *sample, uint32_t group, uint64_t now_us);

/* The samples of the next message, oldest first: 0 if none may be sent now. They go on waiting until
   window_sent() or window_drop_picked() is called; *ret is valid until then. */
size_t window_pick(struct window *window, uint64_t now_us, struct sample *const **ret);
/* Pick no more than the first sample of the last pick: to find the one that cannot be encoded. */
size_t window_pick_one(struct window *window, struct sample *const **ret);
/* The picked sample broke the connection three times while alone in flight: it shall be dropped. */
bool window_picked_is_culprit(const struct window *window);
void window_sent(struct window *window, int mid, uint64_t now_us); /* the picked ones are in flight as message mid */
void window_drop_picked(struct window *window);			   /* the picked ones are done, unsent */

/* When waiting alone makes something due (batch_wait); UINT64_MAX: nothing waits for time. */
uint64_t window_due_us(const struct window *window);

/* The samples of a message in flight; 0: there is no such message. Valid until the next call that changes it. */
size_t window_samples(struct window *window, int mid, struct sample *const **ret);
/* Acknowledged: its samples are done. Returns how many; 0: no such message. *ret_sent_us: when it was sent. */
size_t window_acked(struct window *window, int mid, uint64_t *ret_sent_us);
/* Turned down for now: its samples wait again, before all later ones of their group. */
void window_returned(struct window *window, int mid);

/* The cursor: true if it moved since the last call. */
bool window_cursor(struct window *window, uint64_t *ret_id);

size_t window_inflight(const struct window *window);	     /* messages */
size_t window_waiting(const struct window *window);	     /* samples not yet sent */
uint64_t window_oldest_sent_us(const struct window *window); /* of the messages in flight; UINT64_MAX: none */

enum window_blame {
	WINDOW_BLAME_NOBODY,   /* network, time-out, the broker's own affairs */
	WINDOW_BLAME_SOMEBODY, /* one of the messages under way may be why the peer ended the connection */
	WINDOW_BLAME_MESSAGE,  /* and there were none but those of this window */
};
/*
 * The connection is gone: forget all samples (the queue gives those after the cursor again), but remember which
 * of them were acknowledged. Whoever is blamed goes one at a time from now on.
 */
void window_break(struct window *window, enum window_blame blame);
/* The next message must be alone on the connection. */
bool window_alone(const struct window *window);

#endif
