/* SPDX-License-Identifier: Apache-2.0 */
/* A device that is connected to: what gatt.c and gatt_io.c share. */
#ifndef BLE_GATT_H
#define BLE_GATT_H

#include "ble.h"

enum gatt_state {
	GATT_IDLE,	 /* no connection is wanted */
	GATT_WAITING,	 /* for its turn */
	GATT_CONNECTING, /* up to a minute where it is not there */
	GATT_RESOLVING,	 /* bluetoothd asks it for its services */
	GATT_FINDING,	 /* we ask bluetoothd for their objects */
	GATT_READY,
	GATT_LEAVING, /* it is let go, so that others have a turn */
};

/* One for each point of the device. */
struct gatt_point {
	struct uuid characteristic, service;
	bool has_service;
	bool is_notified; /* mode = "notify" */
	char *path;	  /* of the characteristic's object; changes from connection to connection */
	sd_bus_slot *notify;
	sd_bus_message *reply; /* of this round: strings in readings point into it */
	bool is_due;	       /* in the round */

	/* Its last read brought the connection to its end: it is read after the others, and where they were
	   answered, less often. */
	bool is_last;
	uint64_t next_us, pause_us;
	bool is_missing; /* the device has no such characteristic, and that was logged */
};

struct gatt {
	struct ble_device *device;
	enum gatt_state state;
	char *path; /* of the device's object */
	struct gatt_point *points;
	bool is_kept; /* the connection stays: something is notified */
	bool is_polled;
	sd_bus_slot *call, *write_call;
	struct hay_timer *timer;
	uint64_t pause_us;
	unsigned n_tries; /* to find the objects */

	bool in_round;
	struct hay_reading *readings; /* of the round, or of one notification */
	size_t n_readings;
	uint64_t first_us, asked_us, slowest_us;
	uint32_t reading; /* the point being read; UINT32_MAX: none */

	struct hay_command *command;
};

/* ---- gatt.c ---- */

void gatt_want(struct gatt *gatt);
/* The connection is of no use any more: say why, and try again later where it is wanted. */
void gatt_failed(struct gatt *gatt, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* What was to be done is done: let others have a turn. */
void gatt_rest(struct gatt *gatt);

/* ---- gatt_io.c ---- */

void gatt_io_begin(struct gatt *gatt); /* connected, and all is found */
void gatt_io_end(struct gatt *gatt, const char *why);
/* A command there may be comes to no end of its own: unknown where it was sent, else not written. */
void gatt_break_command(struct gatt *gatt, const char *why);

#endif
