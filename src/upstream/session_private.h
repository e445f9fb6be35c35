/* SPDX-License-Identifier: Apache-2.0 */
/* What the parts of a session share: session.c (its life), session_outbox.c (packets sent and answered),
   session_samples.c, session_answers.c, session_commands.c and session_end.c. */
#ifndef HAYWAIN_UPSTREAM_SESSION_PRIVATE_H
#define HAYWAIN_UPSTREAM_SESSION_PRIVATE_H

#include "base/clock.h"
#include "base/units.h"
#include "upstream/uplink_internal.h"

/* What is tried alone, because it may be why connections ended. */
enum session_test { TEST_NONE, TEST_PACKET, TEST_SAMPLE, TEST_TOPIC };

struct session {
	struct uplink *uplink;
	struct announce_maker maker; /* the dialect with its state, and the outbox, which is ours */
	struct mqtt *mqtt;
	struct session_result result;
	size_t window_messages; /* in flight at most, as configured */
	size_t batch_fits;	/* samples that fit into what the broker takes; 0: not found out */
	uint64_t now_us;
	uint64_t retry_us; /* sending failed for want of memory: not before */
	uint64_t renew_us; /* the login ends soon: leave and come again; UINT64_MAX: never */
	bool with_will;
	bool quiet;
	bool ended; /* by us; result.reason says why */
	bool stop;
	enum { SUBSCRIBED_NOT, SUBSCRIBED_ALWAYS, SUBSCRIBED_COMMANDS } subscribed;
	bool line_full;	     /* sending stopped for the line, not for the window */
	bool more;	     /* what was written made room at once */
	bool refusal_logged; /* of a message that is no sample */

	/* What the dialect asked for. */
	bool on_hold; /* no samples */
	bool birth_wanted;
	uint64_t birth_us; /* the last one */
	bool reconnect;	   /* result.reason says why */

	enum session_test test;	       /* until it is answered nothing else goes out */
	bool holds_back;	       /* because of a test under way, or one to come */
	struct held_topic *test_topic; /* with TEST_TOPIC */
	struct held_topic *no_topic;   /* refused last */
	uint64_t no_us;		       /* when something was */
	uint64_t no_subscribers_us;    /* when nobody was subscribed last; 0: not in this connection, or long ago */
	bool held_full;		       /* so much is held that no more is taken */

	/* The broker turns our samples down by its own state. */
	struct {
		bool on, said;
		uint64_t probe; /* the message that feels the way; 0: none under way */
		uint64_t next_us;
		struct uplink_backoff backoff;
	} refused;
};

void session_fail(struct session *session, const char *format, ...) _printf_(2, 3); /* end it: why */

/* ---- session_outbox.c ---- */

/* Give the library what waits and may go, in its order. -errno: the connection or memory. */
int session_send_outbox(struct session *session);
int session_send_data(struct session *session); /* of samples only: nothing before them is a barrier */
/* Of what waits, one that ended connections may be tried alone now: that, or NULL. */
struct outgoing *session_packet_to_test(struct session *session);
int session_send_packet(struct session *session, struct outgoing *outgoing); /* 1: it never can be, and is removed */
bool session_may_publish(const struct session *session); /* one more, by the broker's Receive Maximum */
void session_prove(struct session *session);		 /* ask the broker whether it has read what went with QoS 0 */
uint64_t session_prove_due_us(const struct session *session);
void session_published(void *userdata, int mid, unsigned code);
/* What of the packets under way may be why the connection ended. */
void session_name_suspects(struct session *session);
bool session_barrier_under_way(const struct session *session); /* that, too, but it is never suspected */
void session_outbox_timed_out(struct session *session, uint64_t oldest_us);

/* ---- session_samples.c ---- */

/* The topic a sample goes to, or the device's name where it has none; valid until the next call. */
const char *session_topic_of(struct session *session, const struct sample *sample);
/* The broker refused a packet of so many bytes, with several samples, as too large. */
void session_learn_too_large(struct session *session, size_t size);
void session_log_drop(struct session *session, const char *topic, const char *why);
size_t session_may_take(struct session *session); /* how many more samples the window may take */
bool session_may_send(struct session *session);
void session_send_samples(struct session *session);
bool session_samples_want_test(struct session *session, enum session_test *ret); /* one shall be tried alone now */
void session_test_sample(struct session *session);
void session_flush_cursor(struct session *session);
/* A packet of this message cannot be sent after all. */
void session_message_unsendable(struct session *session, uint64_t message, int error);

/* ---- session_answers.c ---- */

void session_acknowledged(struct session *session, uint64_t message, unsigned code);
void session_refused(struct session *session, uint64_t message, unsigned code);
bool session_counts_as_refused(const struct session *session, unsigned code);
/* Samples of this message's topic end connections: they wait. */
void session_hold_broken_topic(struct session *session, uint64_t message);
void session_show_held(struct session *session); /* in the status: what is held, and why */

/* ---- session_commands.c ---- */

int session_subscribe(struct session *session);
void session_received(void *userdata, const struct dialect_incoming *incoming);
void session_oversized(void *userdata, const char *topic, size_t topic_size, size_t size);
void session_make_replies(struct session *session);

/* ---- session_end.c ---- */

void session_finish(struct session *session); /* the connection is gone: what that proves */

#endif
