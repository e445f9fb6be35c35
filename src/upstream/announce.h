/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What an uplink says besides samples: that it is here, its devices, and events. Other threads leave it here;
 * the uplink's thread publishes it, a few messages at a time, beside the samples' window.
 */
#ifndef HAYWAIN_UPSTREAM_ANNOUNCE_H
#define HAYWAIN_UPSTREAM_ANNOUNCE_H

#include "model/device_info.h"
#include "queue/queue.h"
#include "upstream/dialects/dialect.h"
#include "upstream/line_rate.h"
#include "upstream/mqtt.h"
#include "upstream/suspects.h"

struct announce;

struct announce *announce_new(void); /* NULL: out of memory */
struct announce *announce_free(struct announce *announce);

/* ---- any thread ---- */

void announce_device(struct announce *announce, struct device_info *info);
void announce_device_removed(struct announce *announce, const char *device);
/* The same of one that was never announced here. */
void announce_device_gone(struct announce *announce, struct device_info *info);
void announce_event(struct announce *announce, const char *name, const char *fields);

/* ---- the uplink's thread ---- */

/* A dialect speaks: its state for this connection. */
struct announce_voice {
	const struct dialect *dialect;
	void *state;
	struct queue *queue;
	struct queue_reader *reader;
	struct suspects *suspects; /* which of the messages may go */
	struct line_rate *line;	   /* counts what goes */
	/* A message is larger than the broker takes, and left out. */
	void (*too_large)(void *userdata, const struct message *message);
	void *userdata;
};

/* A new connection: whatever was under way is forgotten; the birth and all devices go out again. */
int announce_begin(struct announce *announce, const struct announce_voice *voice);

/* The topics will not be ours any more: what is retained of the devices is cleared with the next announce_send(). */
void announce_withdraw(struct announce *announce);

/* Publish what there is and is not suspect, while fewer than `limit` messages are under way. -errno: the connection or
   memory. */
int announce_send(struct announce *announce, const struct announce_voice *voice, struct mqtt *mqtt, size_t limit,
		  uint64_t now_us);

/* One that ended connections shall be tried alone now; and send it: nothing else may be under way. */
bool announce_wants_test(const struct announce *announce, const struct announce_voice *voice, uint64_t now_us);
int announce_send_test(struct announce *announce, const struct announce_voice *voice, struct mqtt *mqtt,
		       uint64_t now_us);

/* Message mid was answered. False: not one of these. *ret_refused: the topic of the first one in this
   connection that was turned down and not before, to be logged, or NULL; valid until the next call. */
bool announce_published(struct announce *announce, const struct announce_voice *voice, int mid, unsigned reason,
			uint64_t now_us, const char **ret_refused);

/* The connection ended: name what was under way. */
void announce_under_way(const struct announce *announce, struct suspects *suspects);

/* Bytes up to here have left this machine. */
void announce_left(struct announce *announce, uint64_t bytes, uint64_t now_us);

size_t announce_inflight(const struct announce *announce);
bool announce_idle(const struct announce *announce);		   /* nothing made and not yet acknowledged */
uint64_t announce_oldest_left_us(const struct announce *announce); /* UINT64_MAX: nothing left and is under way */
bool announce_waits_for_seq(const struct announce *announce);	   /* `started` could not be told yet */

#endif
