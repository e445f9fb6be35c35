/* SPDX-License-Identifier: Apache-2.0 */
/* The uplinks that run, kept in step with the configuration. Main thread. */
#ifndef HAYWAIN_UPSTREAM_UPLINK_SET_H
#define HAYWAIN_UPSTREAM_UPLINK_SET_H

#include "model/command.h"
#include "model/device_info.h"
#include "upstream/uplink.h"
#include <systemd/sd-event.h>

struct uplink_set;

struct uplink_set_hooks {
	/* An uplink has been started: it wants every device's info. */
	void (*started)(void *userdata);
	/* The set is empty after uplink_set_stop(). */
	void (*stopped)(void *userdata);
	/* A command came: answer it once, with uplink_set_answer(), now or later. The callee takes a reference if it
	   keeps it. */
	void (*command)(struct command *command, void *userdata);
	void *userdata;
};

/* queue, series and latest are borrowed and outlive it. */
int uplink_set_new(sd_event *event, struct queue *queue, struct series_set *series, struct latest *latest,
		   const struct uplink_set_hooks *hooks, struct uplink_set **ret);
/* Only when empty. NULL is fine. */
struct uplink_set *uplink_set_free(struct uplink_set *set);

/*
 * What shall run from now on. Takes those it starts (leaves NULL). An uplink restarts when its own part of the file, or
 * the gateway's id, is another than before; one of a name that still leaves waits for it. -ENOMEM.
 */
int uplink_set_apply(struct uplink_set *set, struct uplink_conf **confs, size_t n_confs, const char *gateway_id);

void uplink_set_stop(struct uplink_set *set);
bool uplink_set_empty(const struct uplink_set *set);

/* The i-th one, in the order of their start, also while it leaves; NULL: no such. */
/* The network has changed: uplinks that wait for their next try do so at once. */
void uplink_set_network_changed(struct uplink_set *set);
struct uplink *uplink_set_get(const struct uplink_set *set, size_t i);

/* Over the uplink that it came over; that may be gone meanwhile, and then nobody is answered. answer is copied. */
void uplink_set_answer(struct uplink_set *set, struct command *command, const struct write_answer *answer);

void uplink_set_device(struct uplink_set *set, struct device_info *info);
void uplink_set_device_removed(struct uplink_set *set, const char *device);
void uplink_set_device_gone(struct uplink_set *set, struct device_info *info); /* see uplink_device_gone() */

#endif
