/* SPDX-License-Identifier: Apache-2.0 */
/* What the plugin keeps for a link and for a device, and what a person wrote for them. */
#ifndef MODBUS_DEVICE_H
#define MODBUS_DEVICE_H

#include "plan.h"
#include "transport.h"
#include "types.h"
#include <haywain/plugin.h>

struct link_conf {
	const char *url;
	uint64_t timeout_us;
	int64_t retries;
};

struct device_conf {
	int64_t unit;
	int64_t max_registers;
	int64_t max_hole;
};

struct point_conf {
	int64_t address[N_TABLES]; /* -1: not in that table */
	const char *order;
};

enum link_known { LINK_UNKNOWN, LINK_UP, LINK_DOWN };

struct modbus_link {
	struct hay_link *link;
	struct transport *transport; /* the worker's */
	enum link_known known;	     /* what the host was told last */
	unsigned retries;
};

/* One request of a round, on its way through the worker. */
struct modbus_request {
	struct hay_work work;
	struct transport *transport;
	struct exchange exchange;
};

struct modbus_device {
	struct hay_device *device;
	struct modbus_link *link;
	uint8_t unit;
	struct plan_limits limits;
	struct plan_place *places; /* of each point */
	struct value_form *forms;  /* of each point */
	struct plan_cache plans;

	/* The round under way, if any. */
	const struct plan *plan;
	size_t next;		      /* index of the request that is asked */
	unsigned tries;		      /* of that request */
	struct hay_reading *readings; /* room for each point */
	size_t n_readings;
	uint64_t first_us; /* when the first answer came; 0: none yet */
	uint64_t slowest_us;
	struct modbus_request request;
};

/* Begin a round: the host's poll(). round_done() follows, unless -errno comes back. */
int round_begin(struct modbus_device *device, const uint32_t *due, size_t n_due);

#endif
