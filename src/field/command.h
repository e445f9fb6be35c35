/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Commands: a value on its way down, from an uplink or the local API to one point of one device. Checked here
 * (access, type, range, expiry), written by the plugin, answered exactly once. Main thread.
 */
#ifndef HAYWAIN_FIELD_COMMAND_H
#define HAYWAIN_FIELD_COMMAND_H

#include "field/field.h"
#include <haywain/plugin.h>

struct command_request {
	const char *device, *point;
	struct hay_value
		value;	     /* as people give it: HAY_BOOL, HAY_INT64, HAY_UINT64, HAY_FLOAT64 or HAY_STRING; scaled */
	uint64_t expires_us; /* monotonic: not written after this; 0: never */
};

enum command_outcome {
	COMMAND_DONE,
	COMMAND_UNKNOWN,   /* no such device or point */
	COMMAND_READ_ONLY, /* the point cannot be written */
	COMMAND_INVALID,   /* the value is of another type, or out of range */
	COMMAND_BUSY,	   /* too many wait for this device */
	COMMAND_OFFLINE,
	COMMAND_EXPIRED, /* its time was over before it could be written */
	COMMAND_FAILED,	 /* the device did not take it */
};

/* error: NULL with COMMAND_DONE; else why not, in words. Strings are the caller's for the call only. */
typedef void (*command_done_fn)(void *userdata, enum command_outcome outcome, const char *error);

/* Everything is copied. done is called once, perhaps before this returns. */
void command_submit(struct field *field, const struct command_request *request, command_done_fn done, void *userdata);

/* For the host: a plugin's answer. */
void command_finish(struct hay_command *command, const char *error);

/* Commands that waited for the one before them. */
void command_go_on(struct field *field);

/* The device is going: whatever is still open is answered so. */
struct device;
void command_abandon(struct device *device);

#endif
