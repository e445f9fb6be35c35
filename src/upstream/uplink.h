/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An uplink: one thread that takes samples from the queue, sends them to one MQTT broker, and acknowledges
 * them in the queue when the broker has.
 */
#ifndef HAYWAIN_UPSTREAM_UPLINK_H
#define HAYWAIN_UPSTREAM_UPLINK_H

#include "model/device_info.h"
#include "queue/queue.h"
#include "upstream/uplink_conf.h"
#include <stdbool.h>

struct latest;
struct uplink;

/* Takes conf in any case. Opens its reader. gateway_id and version are copied; queue,
   series and latest are borrowed and outlive it. Main thread, as all below. */
int uplink_new(struct uplink_conf *conf, const char *gateway_id, const char *version, struct queue *queue,
	       struct series_set *series, struct latest *latest, struct uplink **ret);

/* Start its thread. */
int uplink_start(struct uplink *uplink);

/* Ask it to leave: `online: false` is published and waited for, at most 1 s. Returns at once; uplink_fd() becomes
   readable. */
void uplink_stop(struct uplink *uplink);
/* The same of one whose topics will be called otherwise: what is retained under them is cleared, if it is connected. */
void uplink_withdraw(struct uplink *uplink);
bool uplink_stopped(const struct uplink *uplink);
int uplink_fd(const struct uplink *uplink); /* eventfd: its thread has ended */
/* Joins the thread: call when it has stopped. NULL is fine. */
struct uplink *uplink_free(struct uplink *uplink);

const struct uplink_conf *uplink_get_conf(const struct uplink *uplink);

/* The latest word on a device: sent when connected, and anew at every connect. Takes no reference of the caller's. */
void uplink_device(struct uplink *uplink, struct device_info *info);
void uplink_device_removed(struct uplink *uplink, const char *device);
/* One that is not there, but was in an earlier life: what may be retained of it is cleared. */
void uplink_device_gone(struct uplink *uplink, struct device_info *info);
/* Commands that came over MQTT: the descriptor is readable when there may be one. Each is answered once. */
struct command;
int uplink_commands_fd(const struct uplink *uplink);
struct command *uplink_next_command(struct uplink *uplink); /* NULL: none; see upstream/commands.h */
/* Takes it; answer is copied. */
struct write_answer; /* model/command.h */
void uplink_answer(struct uplink *uplink, struct command *command, const struct write_answer *answer);

enum uplink_state {
	UPLINK_WAITS_FOR_CLOCK, /* not connected yet; or connected, and no sample can have a number */
	UPLINK_CONNECTING,	/* resolving, connecting, shaking hands */
	UPLINK_CONNECTED,
	UPLINK_REFUSED, /* connected before, but the broker turns our messages down by its own state */
	UPLINK_DOWN,	/* waiting for the next try */
	UPLINK_STOPPED,
};
const char *uplink_state_to_string(enum uplink_state state);

struct uplink_status {
	enum uplink_state state;
	uint64_t since_us;  /* monotonic; connecting and down count as one state */
	char reason[192];   /* no samples flow: why, and when the next try is */
	uint64_t delivered; /* samples acknowledged, since the start */
	uint64_t messages;  /* published, since the start */
	uint64_t connects;
	uint64_t inflight;	 /* messages */
	uint64_t backlog;	 /* samples not acknowledged */
	uint64_t rtt_us;	 /* publish to acknowledgement, smoothed */
	uint64_t no_subscribers; /* samples acknowledged although nobody was subscribed (MQTT 5, PUBACK 0x10) */
};
void uplink_get_status(struct uplink *uplink, struct uplink_status *ret);

/* µs since the thread last went round its loop; 0 while it is inside resolve or connect. For the watchdog. */
uint64_t uplink_stuck_us(const struct uplink *uplink);

/* If it waits for its next try to connect: it does so at once, and its pauses begin anew. Main thread. */
void uplink_try_now(struct uplink *uplink);

#endif
