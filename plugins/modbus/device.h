/* SPDX-License-Identifier: Apache-2.0 */
/* What the plugin keeps for a link and for a device. */
#ifndef MODBUS_DEVICE_H
#define MODBUS_DEVICE_H

#include "conf.h"
#include "plan.h"
#include "transport.h"
#include "types.h"
#include <haywain/plugin.h>

enum { CUTS_MAX = 256 }; /* learnt about one device */

enum link_known { LINK_UNKNOWN, LINK_UP, LINK_DOWN };

/* Closing and opening the serial port, away from any round. */
struct port_work {
	struct hay_work work;
	struct modbus_link *link;
	struct exchange exchange;
	bool close; /* first */
};

struct modbus_link {
	struct hay_link *link;
	struct transport *transport; /* the worker's */
	enum link_known known;	     /* what the host was told last */
	unsigned retries;

	/* A serial port: watched while it is open, looked for while it is not. */
	const char *port;	 /* NULL: a TCP connection */
	struct hay_fd *watch;	 /* tells of its end */
	struct hay_timer *timer; /* the next look */
	struct port_work port_work;
	bool working;		 /* port_work is under way */
	const char *last_detail; /* why it could not be opened, as the log knows */
	uint64_t since_us;	 /* when it was lost */
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
	struct plan_cut *cuts;	   /* limits.cuts: room for CUTS_MAX */
	struct plan_place *places; /* of each point */
	struct value_form *forms;  /* of each point */
	size_t *texts;		   /* of each point: where in text its characters go */
	char *text;
	struct plan_cache plans;

	bool no_mask_write;	    /* it does not know function 22; the worker's */
	struct modbus_write *write; /* the one under way; NULL: none */

	/* The round under way, if any. */
	const struct plan *plan;
	size_t next;		      /* index of the request that is asked */
	unsigned tries;		      /* of that request */
	struct hay_reading *readings; /* room for each point */
	size_t n_readings;
	uint32_t *rest;	   /* room for each point: those that are planned anew */
	uint64_t first_us; /* when the first answer came; 0: none yet */
	uint64_t slowest_us;
	struct modbus_request request;
};

/* Begin a round: the host's poll(). round_done() follows, unless -errno comes back. */
int round_begin(struct modbus_device *device, const uint32_t *due, size_t n_due);

/* What was learnt about a device comes back with it, and stays. */
void learn_recall(struct modbus_device *device);
/* False: nothing new can be learnt from that refusal. */
bool learn_refusal(struct modbus_device *device, const struct plan_request *request);

/* Begin a write: the host's write(). command_done() follows, unless -errno comes back. */
int write_begin(struct modbus_device *device, struct hay_command *command);
/* The device is being stopped: answer the write that still waits for a look at what came of it. */
void write_stop(struct modbus_device *device);

/* An exchange has ended: what it says about the link is told to the host. Main thread. */
void line_heard(struct modbus_link *link, const struct exchange *exchange);

#endif
