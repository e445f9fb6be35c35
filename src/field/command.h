/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Commands: a value on its way down, from an uplink or the local API to one point of one device. Checked here
 * (access, type, range, expiry), written by the plugin, answered exactly once. Main thread.
 */
#ifndef HAYWAIN_FIELD_COMMAND_H
#define HAYWAIN_FIELD_COMMAND_H

#include "base/write_answer.h"
#include "field/field.h"
#include <haywain/plugin.h>

struct command_request {
	const char *device, *point;
	/* As people give it, scaled: HAY_BOOL, HAY_INT64, HAY_UINT64, HAY_FLOAT64 or HAY_STRING. The text of a number is
	   a number too. */
	struct hay_value value;
	uint64_t expires_us; /* monotonic: not written after this; 0: never */
};

enum command_outcome {
	COMMAND_DONE,
	COMMAND_NO_SUCH,   /* no such device or point */
	COMMAND_READ_ONLY, /* the point cannot be written */
	COMMAND_INVALID,   /* the value is of another type, out of range, or does not fit */
	COMMAND_BUSY,	   /* too many wait for this device */
	COMMAND_OFFLINE,
	COMMAND_EXPIRED, /* its time was over before it could be written */
	COMMAND_FAILED,	 /* the device did not take it */
	COMMAND_UNKNOWN, /* it was sent, and nothing tells whether the device did it */
};

/* answer->done is WRITE_DONE with COMMAND_DONE, WRITE_UNKNOWN with COMMAND_UNKNOWN, else WRITE_NOT_DONE. Everything in
   it is the caller's for the call only. */
typedef void (*command_done_fn)(void *userdata, enum command_outcome outcome, const struct write_answer *answer);

/* Everything is copied. done is called once, perhaps before this returns. */
void command_submit(struct field *field, const struct command_request *request, command_done_fn done, void *userdata);

/* For the host: a plugin's answer. */
void command_finish(struct hay_command *command, const struct hay_command_result *result);

/* Commands that waited for the one before them. */
void command_go_on(struct field *field);

/* The device was stopped: whatever is still open is answered so. */
struct device;
void command_abandon(struct device *device);

#endif
