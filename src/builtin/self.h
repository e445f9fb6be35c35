/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The gateway reports on itself as the device `gateway`: an ordinary device of a plugin that is built in, so that
 * its readings take the way of all others. Main thread.
 */
#ifndef HAYWAIN_BUILTIN_SELF_H
#define HAYWAIN_BUILTIN_SELF_H

#include "field/field_conf.h"
#include "field/plugin_load.h"
#include "queue/queue.h"

#define SELF_DEVICE "gateway"

/* What it asks the other stages for. Outlives the link. */
struct self_sources {
	struct queue *queue;
	const char *queue_path; /* whose file system is watched; may change at a reload */
	/* The i-th uplink's name and round trip in µs (0: unknown); false: no such. */
	bool (*uplink)(size_t i, const char **ret_name, uint64_t *ret_rtt_us, void *userdata);
	void *userdata;
};

/* The link and the device as if they had been configured. -ENOMEM. */
int self_conf(struct plugin_set *plugins, const struct self_sources *sources, uint64_t every_us,
	      struct link_conf **ret_link, struct device_conf **ret_device);

#endif
