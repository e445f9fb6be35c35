/* SPDX-License-Identifier: Apache-2.0 */
/* What the parts of a session share: session.c (its life), session_samples.c and session_commands.c. */
#ifndef HAYWAIN_UPSTREAM_SESSION_PRIVATE_H
#define HAYWAIN_UPSTREAM_SESSION_PRIVATE_H

#include "base/clock.h"
#include "base/units.h"
#include "upstream/uplink_internal.h"

#define REPLIES_INFLIGHT 8

struct session {
	struct uplink *uplink;
	struct announce_voice voice;
	struct mqtt *mqtt;
	struct session_result result;
	size_t window_messages; /* ours or the broker's Receive Maximum, whichever is less */
	uint64_t now_us;
	uint64_t retry_us;	       /* sending failed for want of memory: not before */
	int replies[REPLIES_INFLIGHT]; /* under way; 0: free */
	bool subscribed;
	bool quiet;
	bool ended; /* by us; result.reason says why */
	bool stop;
	bool more;   /* what was written made room at once (QoS 0) */
	int goodbye; /* the last message; 0: not sent, or answered */

	/* The broker turns our samples down by its own state. */
	struct {
		bool on;
		int probe; /* the message that feels the way; 0: none under way */
		uint64_t next_us;
		struct backoff backoff;
		uint64_t logged_us;
	} refused;
};

void session_fail(struct session *session, const char *format, ...) _printf_(2, 3); /* end it: why */

/* ---- session_samples.c ---- */

size_t session_may_take(struct session *session); /* how many more samples the window may take */
bool session_may_send(struct session *session);
void session_send_samples(struct session *session);
void session_flush_cursor(struct session *session);
void session_acknowledged(struct session *session, int mid);
void session_refused(struct session *session, int mid, unsigned code);

/* ---- session_commands.c ---- */

size_t session_replies_inflight(const struct session *session);
void session_subscribe(struct session *session);
void session_subscribed(void *userdata, unsigned code);
void session_take_command(void *userdata, const char *topic, const void *payload, size_t size);
void session_oversized(void *userdata, const char *topic, size_t topic_size, size_t size);
void session_send_replies(struct session *session);
bool session_reply_published(struct session *session, int mid); /* false: it is none */

#endif
