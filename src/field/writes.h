/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Writes: commands on their last stretch, to one point of one device. Checked here (access, type, range, expiry),
 * written by the plugin, answered exactly once. Main thread.
 */
#ifndef HAYWAIN_FIELD_WRITES_H
#define HAYWAIN_FIELD_WRITES_H

#include "field/field.h"
#include "model/command.h"
#include <haywain/plugin.h>

/* The command's done() is called once, perhaps before this returns. It is submitted once; the field takes a
   reference of its own until then. */
void writes_submit(struct field *field, struct command *command);

/* For the host: a plugin's answer. */
void writes_finish(struct hay_command *command, const struct hay_command_result *result);

/* Commands that waited for the one before them. */
void writes_go_on(struct field *field);

/* The device was stopped: whatever is still open is answered so. */
struct device;
void writes_abandon(struct device *device);

#endif
