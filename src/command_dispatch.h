/* SPDX-License-Identifier: Apache-2.0 */
/* Commands from uplinks to the field, their lines in the log, and their answers back. Main thread. */
#ifndef HAYWAIN_COMMAND_DISPATCH_H
#define HAYWAIN_COMMAND_DISPATCH_H

#include "api/write_log.h"
#include "base/rate_limit.h"
#include "field/field.h"
#include "upstream/uplink_set.h"

/* Embedded, zeroed; what it points to is borrowed, and is there before the first command. */
struct command_dispatch {
	struct field *field;
	struct uplink_set *uplinks;
	struct write_log *writes;
	struct hay_rate_limit refused; /* of their lines in the log */
};

/* A hook of the uplinks: struct command_dispatch as userdata. */
void command_dispatch_take(struct command *command, void *dispatch);

#endif
