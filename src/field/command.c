/* SPDX-License-Identifier: Apache-2.0 */
#include "field/command.h"
#include "base/clock.h"
#include "field/field_private.h"
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#define OPEN_MAX 16 /* of one device: more come faster than it can take them */

struct command {
	struct hay_command hay; /* what the plugin sees */
	struct command *next;	/* of the same device */
	bool begun;		/* the plugin has it */
	uint64_t expires_us;
	command_done_fn done;
	void *userdata;
	char text[]; /* a string's bytes */
};

/* What was given, as the type the point has going up: true, 1 and 1.0 mean the same. */
static int convert(const struct hay_value *given, enum hay_type wanted, struct hay_value *ret)
{
	bool whole = given->type == HAY_INT64 || given->type == HAY_UINT64;

	if (wanted == HAY_BOOL) {
		if (given->type == HAY_BOOL)
			*ret = *given;
		else if (whole && given->u <= 1)
			*ret = (struct hay_value){.type = HAY_BOOL, .b = given->u == 1};
		else
			return -EINVAL;
		return 0;
	}
	if (wanted == HAY_STRING || wanted == HAY_BYTES) {
		if (given->type != HAY_STRING)
			return -EINVAL;
		*ret = *given;
		ret->type = wanted;
		return 0;
	}
	if (!whole && given->type != HAY_FLOAT64)
		return -EINVAL;
	*ret = *given;
	return 0;
}

static const char *expected(enum hay_type type)
{
	return type == HAY_BOOL ? "true or false" : type == HAY_STRING || type == HAY_BYTES ? "a string" : "a number";
}

static char *describe_range(const struct point_rules *rules)
{
	char *text = NULL;
	int r = isnan(rules->max) ? asprintf(&text, "out of range: at least %.15g is allowed", rules->min)
		: isnan(rules->min)
			? asprintf(&text, "out of range: at most %.15g is allowed", rules->max)
			: asprintf(&text, "out of range: %.15g to %.15g is allowed", rules->min, rules->max);

	return r < 0 ? NULL : text;
}

/* NULL: *ret_device and *ret_point are found and may be written to. */
static const char *find(struct field *field, const struct command_request *request, struct device **ret_device,
			uint32_t *ret_point, enum command_outcome *ret_outcome)
{
	struct device *device = field_find_device(field, request->device);

	*ret_outcome = COMMAND_UNKNOWN;
	if (!device || device->stopping)
		return "there is no such device";
	for (uint32_t i = 0; i < device->hay.n_points; i++) {
		if (strcmp(device->points[i]->name, request->point) != 0)
			continue;
		*ret_outcome = COMMAND_READ_ONLY;
		if (!(device->points[i]->flags & HAY_POINT_WRITABLE))
			return "the point is read only: its configuration does not say access = \"write\"";
		if (!device->link->plugin->write)
			return "devices of this kind cannot be written to";
		*ret_device = device;
		*ret_point = i;
		return NULL;
	}
	return "the device has no such point";
}

static void end(struct device *device, struct command *command, enum command_outcome outcome, const char *error)
{
	for (struct command **at = &device->commands; *at; at = &(*at)->next)
		if (*at == command) {
			*at = command->next;
			device->n_commands--;
			break;
		}
	command->done(command->userdata, outcome, error);
	free(command);
}

/* The plugin has one command of a device at a time: so their order holds, and one that waits for another can expire.
   A plugin may answer before its write() returns. */
static void write_next(struct device *device)
{
	struct command *command;

	while (device->started && !device->stopping && (command = device->commands) && !command->begun) {
		int r;

		if (command->expires_us > 0 && clock_now() > command->expires_us) {
			end(device, command, COMMAND_EXPIRED, "expired while it waited for another command");
			continue;
		}
		command->begun = true;
		r = device->link->plugin->write(&command->hay);
		if (r < 0)
			end(device, command, COMMAND_FAILED, strerror(-r));
	}
}

static const char *begin(struct device *device, uint32_t point, const struct hay_value *value, uint64_t expires_us,
			 command_done_fn done, void *userdata, enum command_outcome *ret_outcome)
{
	size_t size = value->type == HAY_STRING || value->type == HAY_BYTES ? value->s.size : 0;
	struct command *command, **last = &device->commands;

	*ret_outcome = COMMAND_BUSY;
	if (device->n_commands >= OPEN_MAX)
		return "too many commands are waiting for this device";
	command = calloc(1, sizeof(*command) + size + 1);
	if (!command)
		return "out of memory";
	command->hay = (struct hay_command){.device = &device->hay, .point = point, .value = *value};
	if (size > 0) {
		memcpy(command->text, value->s.data, size);
		command->hay.value.s.data = command->text;
	}
	command->done = done;
	command->userdata = userdata;
	command->expires_us = expires_us;
	while (*last)
		last = &(*last)->next;
	*last = command;
	device->n_commands++;
	write_next(device);
	return NULL;
}

void command_submit(struct field *field, const struct command_request *request, command_done_fn done, void *userdata)
{
	struct device *device = NULL;
	struct hay_value value, raw;
	uint32_t point = 0;
	char *text = NULL;
	enum command_outcome outcome;
	const char *error = find(field, request, &device, &point, &outcome);

	if (!error && request->expires_us > 0 && clock_now() > request->expires_us) {
		outcome = COMMAND_EXPIRED;
		error = "expired";
	}
	if (!error && device->link->down) {
		outcome = COMMAND_OFFLINE;
		error = device->link->lent ? "the device's link is being scanned" : "the device is offline";
	}
	if (!error) {
		const struct point_rules *rules = normal_device_rules(device->normal, point);
		enum hay_type type = device->points[point]->type;

		outcome = COMMAND_INVALID;
		if (convert(&request->value, type, &value) < 0) {
			error = asprintf(&text, "%s is expected", expected(type)) < 0 ? "wrong type" : text;
		} else {
			int r = rules_invert(rules, type, &value, &raw);

			if (r == -ERANGE && (!isnan(rules->min) || !isnan(rules->max)))
				text = describe_range(rules), error = text ? text : "out of range";
			else if (r < 0)
				error = "out of range of the point's type";
		}
	}
	if (!error)
		error = begin(device, point, &raw, request->expires_us, done, userdata, &outcome);
	if (error)
		done(userdata, outcome, error);
	free(text);
}

void command_finish(struct hay_command *hay, const char *error)
{
	struct command *command = container_of(hay, struct command, hay);
	struct device *device = container_of(hay->device, struct device, hay);

	end(device, command, error ? COMMAND_FAILED : COMMAND_DONE, error);
	/* The plugin is still inside its call to us: the next one comes with the loop. */
	if (device->commands)
		field_unsettle(device->link->field);
}

void command_go_on(struct field *field)
{
	for (struct link *link = field->links; link; link = link->next)
		for (struct device *device = link->devices; device; device = device->next)
			if (device->commands)
				write_next(device);
}

void command_abandon(struct device *device)
{
	while (device->commands)
		end(device, device->commands, COMMAND_FAILED, "the device was stopped");
}
