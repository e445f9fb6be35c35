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

#define NO_POINT UINT32_MAX

enum link_known { LINK_UNKNOWN, LINK_UP, LINK_DOWN };

/* Closing and opening the serial port, away from any round. */
struct port_work {
	struct hay_work work;
	struct modbus_link *link;
	struct modbus_exchange exchange;
	bool close; /* first */
};

struct modbus_link {
	struct hay_link *link;
	struct transport *transport; /* the worker's */
	enum link_known known;	     /* what was last reported to the host */
	unsigned retries;

	/* A serial port: watched while it is open, looked for while it is not. */
	const char *port;	 /* NULL: a TCP connection */
	struct hay_fd *watch;	 /* for its end */
	struct hay_timer *timer; /* the next look */
	struct port_work port_work;
	bool working;		      /* port_work is under way */
	enum modbus_fault last_fault; /* why it could not be opened, as the log knows */
};

/* One request of a round, on its way through the worker. */
struct modbus_request {
	struct hay_work work;
	struct transport *transport;
	struct modbus_exchange exchange;
};

/* Of a point. */
struct modbus_point_state {
	bool is_quiet;		/* it got no answer when other points did: it is asked after them */
	enum hay_reason reason; /* quiet: why */
	const char *exception;
	bool is_logged; /* that it is */

	/* In the round under way. */
	bool is_due;
	bool is_done; /* it has its reading */
	bool is_missed;
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
	bool plans_are_old;		   /* made with other cuts */
	struct modbus_point_state *states; /* of each point */

	/* What was learnt: learn.c. */
	size_t test_turn;
	unsigned n_lines, n_quiet_lines; /* in the log */

	/* From round to round. */
	bool is_present;	     /* the last round brought an answer; so it begins */
	bool had_values;	     /* the last round did; so it begins */
	unsigned n_absent;	     /* rounds since then */
	size_t probe_turn;	     /* absent: which request is asked first, */
	size_t one_turn, fresh_turn; /* or which point */
	size_t quiet_turn;	     /* the same for the quiet ones */
	uint32_t witness_turn;	     /* where to look for the next witness */
	uint64_t quiet_us;	     /* when the quiet ones may be asked again */
	uint64_t quiet_pause_us;
	unsigned n_quiet_cuts; /* since one of them was answered */

	bool no_mask_write;	    /* it does not know function 22; the worker's */
	struct modbus_write *write; /* the one under way; NULL: none */

	/* The round under way, if any. */
	const struct plan *plan;
	size_t turn, next; /* the request that is asked is number turn + next, counted round the plan */
	unsigned tries;	   /* of that request */
	bool asks_one;	   /* one point, before all others */
	bool asks_quiet;   /* the quiet ones have their turn now */
	uint32_t witness;  /* not due, asked to see whether the device is there; NO_POINT: none */
	bool is_fresh;	   /* none counts as quiet */
	bool refuses_all;  /* whatever it was asked for, so far */
	unsigned n_answered, n_misses /* in a row */;
	bool has_values;
	struct {
		enum hay_reason reason;
		const char *exception;
		char detail[240];
	} failure;		      /* the first one */
	struct hay_timer *pause;      /* until a busy device is asked again */
	struct hay_reading *readings; /* room for each point */
	size_t n_readings;
	uint32_t *to_ask;  /* room for each point: what is planned */
	uint64_t first_us; /* when the first answer came; 0: none yet */
	uint64_t slowest_us;
	struct modbus_request request;
};

/* Begin a round: the host's poll(). round_done() follows, unless -errno comes back. */
int round_begin(struct modbus_device *device, const uint32_t *due, size_t n_due);
/* The device is being stopped. */
void round_forget(struct modbus_device *device);

/* What was learnt about a device comes back with it. */
void learn_recall(struct modbus_device *device);
/* The points of a round are known: some cuts are opened for it. */
void learn_begin_round(struct modbus_device *device);
/* A request has failed that ran across open cuts: they stand, and the rest is to be planned anew. False: it ran
   across none. */
bool learn_test_failed(struct modbus_device *device, const struct plan_request *request);
/* Ask for it in two pieces from now on. False: that cannot be. */
bool learn_cut(struct modbus_device *device, const struct plan_request *request, bool is_silent);
/* It was answered with values: no cut is needed in it. */
void learn_answered(struct modbus_device *device, const struct plan_request *request);
/* It answers after it was absent. */
void learn_came_back(struct modbus_device *device);
/* has_values: not all that it was asked for was refused. */
void learn_end_round(struct modbus_device *device, bool has_values);

/* Begin a write: the host's write(). command_done() follows, unless -errno comes back. */
int write_begin(struct modbus_device *device, struct hay_command *command);
/* The device is being stopped: answer the write that still waits for a look at what came of it. */
void write_stop(struct modbus_device *device);

/* An exchange has ended: what it says about the link is reported to the host. Main thread. */
void line_heard(struct modbus_link *link, const struct modbus_exchange *exchange);

#endif
