/* SPDX-License-Identifier: Apache-2.0 */
/* What the parts of a session share: session.c (its life), session_samples.c, session_answers.c, session_commands.c
   and session_end.c. */
#ifndef HAYWAIN_UPSTREAM_SESSION_PRIVATE_H
#define HAYWAIN_UPSTREAM_SESSION_PRIVATE_H

#include "base/clock.h"
#include "base/units.h"
#include "upstream/uplink_internal.h"

#define REPLIES_INFLIGHT 8
#define REPLIES_TOPIC "" /* replies are suspect together */

/* A reply under way. */
struct session_reply {
	int mid;			/* 0: none */
	uint64_t sent_us, end, left_us; /* see struct window_message */
};

/* What is tried alone, because it may be why connections ended. */
enum session_test { TEST_NONE, TEST_ANNOUNCEMENT, TEST_SUBSCRIBE, TEST_REPLY, TEST_SAMPLE, TEST_TOPIC };

struct session {
	struct uplink *uplink;
	struct announce_voice voice;
	struct mqtt *mqtt;
	struct session_result result;
	size_t window_messages; /* ours or the broker's Receive Maximum, whichever is less */
	size_t batch_fits;	/* samples that fit into what the broker takes; 0: not found out */
	uint64_t now_us;
	uint64_t retry_us; /* sending failed for want of memory: not before */
	struct session_reply replies[REPLIES_INFLIGHT];
	struct buf filter;	/* of our SUBSCRIBE */
	uint64_t subscribed_us; /* it is not answered; 0: there is none under way */
	bool subscribed;
	bool with_will;
	bool quiet;
	bool ended; /* by us; result.reason says why */
	bool stop;
	bool line_full; /* sending stopped for the line, not for the window */
	bool more;	/* what was written made room at once */
	int goodbye;	/* the last message; 0: not sent, or answered */

	enum session_test test;	       /* until it is answered nothing else goes out */
	bool holds_back;	       /* because of a test under way, or one to come */
	struct held_topic *test_topic; /* with TEST_TOPIC */
	struct held_topic *no_topic;   /* turned down last */
	uint64_t no_us;		       /* when something was */
	uint64_t no_subscribers_us;    /* when nobody was subscribed last; 0: not in this connection, or long ago */
	bool held_full;		       /* so much is held that no more is taken */

	/* The broker turns our samples down by its own state. */
	struct {
		bool on, said;
		int probe; /* the message that feels the way; 0: none under way */
		uint64_t next_us;
		struct backoff backoff;
	} refused;
};

void session_fail(struct session *session, const char *format, ...) _printf_(2, 3); /* end it: why */

/* ---- session_samples.c ---- */

/* The topic a sample goes to, or the device's name where it cannot be encoded. */
const char *session_topic_of(struct session *session, struct sample *sample);
void session_log_drop(struct session *session, const char *topic, const char *why);
size_t session_may_take(struct session *session); /* how many more samples the window may take */
bool session_may_send(struct session *session);
void session_send_samples(struct session *session);
bool session_samples_want_test(struct session *session, enum session_test *ret); /* one shall be tried alone now */
void session_test_sample(struct session *session);
void session_flush_cursor(struct session *session);

/* ---- session_answers.c ---- */

void session_acknowledged(struct session *session, int mid, unsigned code);
void session_refused(struct session *session, int mid, unsigned code);
/* Samples of this message's topic end connections: they wait. */
void session_hold_broken_topic(struct session *session, int mid);
void session_show_held(struct session *session); /* in the status: what is held, and why */

/* ---- session_commands.c ---- */

size_t session_replies_inflight(const struct session *session);
bool session_wants_to_subscribe(struct session *session, enum suspect_verdict *ret);
void session_subscribe(struct session *session);
void session_subscribed(void *userdata, unsigned code);
void session_take_command(void *userdata, const char *topic, const void *payload, size_t size);
void session_oversized(void *userdata, const char *topic, size_t topic_size, size_t size);
bool session_replies_want_test(const struct session *session);
void session_send_replies(struct session *session, bool test);
bool session_reply_published(struct session *session, int mid, unsigned code); /* false: it is none */

/* ---- session_end.c ---- */

void session_finish(struct session *session); /* the connection is gone: what that proves */

#endif
