/* SPDX-License-Identifier: Apache-2.0 */
/* What the two halves of an uplink share: uplink.c (life, connecting, waiting) and session.c (one connection). */
#ifndef HAYWAIN_UPSTREAM_UPLINK_INTERNAL_H
#define HAYWAIN_UPSTREAM_UPLINK_INTERNAL_H

#include "base/backoff.h"
#include "base/log.h"
#include "base/mutex.h"
#include "upstream/announce.h"
#include "upstream/commands.h"
#include "upstream/held_topics.h"
#include "upstream/line_rate.h"
#include "upstream/mqtt.h"
#include "upstream/quota.h"
#include "upstream/replay.h"
#include "upstream/suspects.h"
#include "upstream/tls.h"
#include "upstream/uplink.h"
#include "upstream/window.h"
#include <pthread.h>
#include <stdatomic.h>

#define BACKOFF_MAX_US (60 * USEC_PER_SEC)

/* A pause that doubles from 1 s to 60 s. */
struct uplink_backoff {
	uint64_t pause_us; /* the last one, before it was spread; 0: none yet */
	uint64_t random;
};
uint64_t backoff_next_us(struct uplink_backoff *backoff);

struct uplink {
	struct uplink_conf *conf;
	char *gateway_id, *version;
	struct queue *queue;
	struct queue_reader *reader;
	struct log_subject subject;

	pthread_t thread;
	bool thread_runs;
	int wake_fd;  /* there is something in announce */
	int try_fd;   /* the network has changed */
	int stop_fd;  /* readable from the moment of uplink_stop() on */
	int ended_fd; /* the thread has ended */
	atomic_bool stopped;
	atomic_bool withdraws;	  /* stopping: its topics will be called otherwise */
	bool withdrawn;		  /* the thread's: and nothing is left under the old ones */
	_Atomic uint64_t turn_us; /* when the loop last came round; 0: it waits */

	struct announce *announce;
	struct commands *commands;
	atomic_bool wants_commands; /* some point can be written */

	struct mutex lock; /* for the three below */
	enum uplink_state state;
	uint64_t since_us;
	struct reason reason;
	_Atomic uint64_t delivered, messages, connects, inflight, rtt_us;
	_Atomic uint64_t done_ahead;	 /* samples acknowledged behind one that is not */
	_Atomic uint64_t no_subscribers; /* samples acknowledged with "no matching subscribers" */

	/* The thread's own. */
	const struct dialect *dialect;
	struct dialect_context context;
	struct tls *tls;
	struct resolver *resolver;
	uint64_t certificate_due_us,
		certificate_logged_us; /* when the client certificate is checked next, and was logged last */
	bool no_retain;		       /* the broker keeps no retained messages, and turns away who asks it to */
	bool retain_logged;
	uint64_t oversized_logged_us;
	unsigned oversized_unlogged;
	struct window *window;
	struct replay replay;
	struct uplink_backoff backoff;
	struct buf topic;    /* of a sample, used again and again */
	double sample_bytes; /* in a message, smoothed; 0: none was sent yet */
	uint64_t drop_logged_us, drops_unlogged;

	/* What is known of the broker over connections. */
	struct suspects *suspects;
	struct held_topics held_topics;
	struct quota quota;
	struct line_rate line;
	struct {
		size_t most; /* samples in a message; 0: as configured */
		uint64_t since_us;
		size_t ended;	   /* so many in one ended a connection; 0: none, or it is told */
		uint64_t until_id; /* it was one of those up to here, or too large */
		size_t too_large;  /* bytes of a packet, the fewest that the broker refused; 0: none */
		uint64_t too_large_us;
	} batch;
	uint64_t refused_logged_us, no_subscribers_logged_us, held_full_logged_us, twin_logged_us;
};

void uplink_set_state(struct uplink *uplink, enum uplink_state state, const char *reason);
bool uplink_stop_asked(const struct uplink *uplink);
#define uplink_log(uplink, level, ...) log_about(&(uplink)->subject, (level), __VA_ARGS__)

/* Connect, to one of the host's addresses after the other, and talk. quiet: see session_run(). uplink_connect.c */
struct session_result;
/* At each connect, and once a day: is our own certificate about to end? In the log, once a day, and as the state's
   reason. */
void uplink_watch_certificate(struct uplink *uplink, uint64_t now_us);
void uplink_connect(struct uplink *uplink, void *dialect_state, bool quiet, struct session_result *ret);

/* The password of the login, to be freed with conf_secret_free(); NULL: there is none. -errno and the reason. */
int uplink_read_password(const struct uplink_conf *conf, char **ret, struct reason *reason);

/* How a connection went. */
struct session_result {
	enum mqtt_end end;
	struct reason reason;
	bool was_ready; /* the broker accepted us */
	bool delivered; /* and acknowledged at least one message, or the next try will be another one: the pauses begin anew */
	uint64_t ready_us; /* when */
	bool again;	   /* we left in order to come again: at once, and without a word */
};

/*
 * Talk on a connection that mqtt_connect() began, until it ends or the uplink stops. quiet: "connected" is not worth a
 * line.
 */
struct session;
int session_new(struct uplink *uplink, void *dialect_state, struct session **ret);
struct session *session_free(struct session *session);
void session_set_will(struct session *session, bool with_will);	      /* the connection has one */
void session_set_renewal(struct session *session, uint64_t renew_us); /* its login ends: leave then and come again */
extern const struct mqtt_events session_events;
void session_run(struct session *session, struct mqtt *mqtt, bool quiet, struct session_result *ret);

#endif
