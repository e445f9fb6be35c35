/* SPDX-License-Identifier: Apache-2.0 */
#include "field/writes.h"
#include "base/clock.h"
#include "base/units.h"
#include "field/field_private.h"
#include <ctype.h>
#include <errno.h>
#include <haywain/helpers.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#define OPEN_MAX 16 /* of one device: more come faster than it can take them */

/* A number in the grammar of JSON (RFC 8259 section 6). Whole ones keep all their digits: as a text a uint64 comes
   through programs that make a double of every number. */
static int number_from_text(const char *text, size_t size, struct hay_value *ret)
{
	char buffer[64], *at = buffer, *end;
	bool is_whole = true;

	if (size >= sizeof(buffer))
		return -EINVAL;
	memcpy(buffer, text, size);
	buffer[size] = 0;
	at += *at == '-';
	if (!isdigit((unsigned char)*at) || (*at == '0' && isdigit((unsigned char)at[1])))
		return -EINVAL;
	at += strspn(at, "0123456789");
	if (*at == '.') {
		is_whole = false;
		at++;
		if (!isdigit((unsigned char)*at))
			return -EINVAL;
		at += strspn(at, "0123456789");
	}
	if (*at == 'e' || *at == 'E') {
		is_whole = false;
		at++;
		at += *at == '+' || *at == '-';
		if (!isdigit((unsigned char)*at))
			return -EINVAL;
		at += strspn(at, "0123456789");
	}
	if ((size_t)(at - buffer) != size)
		return -EINVAL;
	errno = 0;
	if (is_whole && buffer[0] == '-')
		*ret = (struct hay_value){.type = HAY_INT64, .i = strtoll(buffer, &end, 10)};
	else if (is_whole)
		*ret = (struct hay_value){.type = HAY_UINT64, .u = strtoull(buffer, &end, 10)};
	if (!is_whole || errno == ERANGE)
		*ret = (struct hay_value){.type = HAY_FLOAT64, .d = strtod(buffer, &end)};
	return 0;
}

/* What was given, as the type the point has going up: true, 1 and 1.0 mean the same. */
static int convert(const struct hay_value *given, enum hay_type wanted, struct hay_value *ret)
{
	bool whole = hay_type_is_whole(given->type);

	if (wanted == HAY_BOOL) {
		if (given->type == HAY_BOOL)
			*ret = *given;
		else if (whole && given->u <= 1)
			*ret = (struct hay_value){.type = HAY_BOOL, .b = given->u == 1};
		else
			return -EINVAL;
		return 0;
	}
	if (hay_type_is_text(wanted)) {
		if (given->type != HAY_STRING)
			return -EINVAL;
		*ret = *given;
		ret->type = wanted;
		return 0;
	}
	if (given->type == HAY_STRING)
		return number_from_text(given->s.data, given->s.size, ret);
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
static const char *find_point(struct field *field, const struct command *command, struct device **ret_device,
			      uint32_t *ret_point, enum command_outcome *ret_outcome)
{
	struct device *device = field_find_device(field, command->device);

	*ret_outcome = COMMAND_NO_SUCH;
	if (!device || device_is_stopping(device))
		return "there is no such device";
	for (uint32_t i = 0; i < device->hay.n_points; i++) {
		if (strcmp(device->points[i]->name, command->point) != 0)
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

/* ---- answers ---- */

/* The number that a person reads: a float32 that shows 0.1 is 0.1, though a double has more digits of it. */
static double as_shown(const struct hay_value *value)
{
	char text[NUMBER_TEXT_MAX];

	if (value->type != HAY_FLOAT32)
		return hay_value_as_double(value);
	format_float(value->f, text);
	return strtod(text, NULL);
}

/* Whether the device holds what was asked for. */
static bool is_same(const struct hay_value *asked, const struct hay_value *held)
{
	if (held->type == HAY_BOOL || asked->type == HAY_BOOL)
		return asked->type == held->type && asked->b == held->b;
	if (hay_type_is_text(held->type) || hay_type_is_text(asked->type))
		return asked->type == held->type && asked->s.size == held->s.size &&
		       (held->s.size == 0 || memcmp(asked->s.data, held->s.data, held->s.size) == 0);
	if (hay_type_is_whole(held->type) && hay_type_is_whole(asked->type)) {
		bool is_negative = (asked->type < HAY_UINT16 && asked->i < 0);

		return asked->u == held->u && is_negative == (held->type < HAY_UINT16 && held->i < 0);
	}
	return as_shown(asked) == as_shown(held);
}

static void answer(struct device *device, struct command *command, enum command_outcome outcome,
		   const struct write_answer *answer)
{
	for (struct command **at = &device->commands; *at; at = &(*at)->next)
		if (*at == command) {
			*at = command->next;
			command->next = NULL;
			device->n_commands--;
			break;
		}
	command->done(command, outcome, answer, command->userdata);
	command_unref(command);
}

static void answer_no(struct device *device, struct command *command, enum command_outcome outcome, const char *why)
{
	answer(device, command, outcome, &(struct write_answer){.done = WRITE_NOT_DONE, .text = why});
}

/* The plugin has one command of a device at a time: so their order holds, and one that waits for another can expire.
   A plugin may answer before its write() returns. */
static void write_next(struct device *device)
{
	struct command *command;

	while (device->phase == DEVICE_STARTED && (command = device->commands) && !command->begun) {
		int r;

		if (command->hay.expires_us > 0 && clock_now() > command->hay.expires_us) {
			answer_no(device, command, COMMAND_EXPIRED, "expired while it waited for another command");
			continue;
		}
		command->begun = true;
		r = device->link->plugin->write(&command->hay);
		if (r == -ERANGE)
			answer_no(device, command, COMMAND_INVALID, "the value does not fit what is written");
		else if (r < 0)
			answer_no(device, command, COMMAND_FAILED, strerror(-r));
	}
}

/* NULL: it waits for its turn, or has been answered. */
static const char *enqueue(struct device *device, struct command *command, uint32_t point,
			   const struct hay_value *asked, const struct hay_value *raw)
{
	struct command **last = &device->commands;

	if (device->n_commands >= OPEN_MAX)
		return "too many commands are waiting for this device";
	command->hay = (struct hay_command){
		.device = &device->hay, .point = point, .value = *raw, .expires_us = command->expires_us};
	rules_raw_limits(normal_device_rules(device->normal, point), device->points[point]->type, &command->hay.low,
			 &command->hay.high);
	command->asked = *asked;
	command->next = NULL;
	while (*last)
		last = &(*last)->next;
	*last = command_ref(command);
	device->n_commands++;
	write_next(device);
	return NULL;
}

void writes_submit(struct field *field, struct command *command)
{
	struct device *device = NULL;
	struct hay_value asked, raw;
	uint32_t point = 0;
	_cleanup_free_ char *text = NULL;
	enum command_outcome outcome;
	const char *error = find_point(field, command, &device, &point, &outcome);

	if (!error && command->expires_us > 0 && clock_now() > command->expires_us) {
		outcome = COMMAND_EXPIRED;
		error = "expired";
	}
	if (!error && link_is_down(device->link)) {
		outcome = COMMAND_OFFLINE;
		error = link_is_suspended(device->link) ? "the device's link is being scanned"
							: "the device is offline";
	}
	if (!error) {
		const struct point_rules *rules = normal_device_rules(device->normal, point);
		enum hay_type type = device->points[point]->type;

		outcome = COMMAND_INVALID;
		if (convert(&command->value, type, &asked) < 0) {
			error = asprintf(&text, "%s is expected", expected(type)) < 0 ? "wrong type" : text;
		} else {
			int r = rules_invert(rules, type, &asked, &raw);

			if (r == -EDOM)
				error = "the device can hold no value near it that is allowed: see its scale, min and max";
			else if (r < 0 && (!isnan(rules->min) || !isnan(rules->max)))
				text = describe_range(rules), error = text ? text : "out of range";
			else if (r < 0)
				error = "out of range of the point's type";
		}
	}
	if (!error) {
		outcome = COMMAND_BUSY;
		error = enqueue(device, command, point, &asked, &raw);
	}
	if (error)
		command->done(command, outcome, &(struct write_answer){.done = WRITE_NOT_DONE, .text = error},
			      command->userdata);
}

/* What the device holds, as a reading would say it. */
static void take_value(const struct device *device, const struct command *command,
		       const struct hay_command_result *result, struct write_answer *ret)
{
	enum hay_type type = device->points[command->hay.point]->type;
	struct hay_reading reading = {.value = result->value};

	rules_apply(normal_device_rules(device->normal, command->hay.point), type, &reading);
	if (reading.quality == HAY_BAD) {
		ret->text = ret->text ? ret->text : "what the device holds is no value";
		return;
	}
	ret->value = reading.value;
	if (!is_same(&command->asked, &reading.value))
		ret->asked = command->asked;
}

void writes_finish(struct hay_command *hay, const struct hay_command_result *result)
{
	static const enum command_outcome outcomes[] = {[HAY_WRITTEN] = COMMAND_DONE,
							[HAY_NOT_WRITTEN] = COMMAND_FAILED,
							[HAY_EXPIRED] = COMMAND_EXPIRED,
							[HAY_UNKNOWN] = COMMAND_UNKNOWN};
	struct command *command = container_of(hay, struct command, hay);
	struct device *device = container_of(hay->device, struct device, hay);
	struct write_answer said = {.done = WRITE_NOT_DONE, .text = result->detail, .read_back = result->read_back};
	_cleanup_free_ char *text = NULL;

	if (result->outcome == HAY_WRITTEN) {
		said.done = WRITE_DONE;
	} else if (result->outcome == HAY_UNKNOWN) {
		said.done = WRITE_UNKNOWN;
		if (asprintf(&text, "not known whether it was done: %s",
			     result->detail ? result->detail : "no answer") < 0)
			text = NULL;
		said.text = text ? text : "not known whether it was done";
	} else if (!said.text) {
		said.text = result->outcome == HAY_EXPIRED ? "expired before it could be sent" : "not written";
	}
	if (said.done != WRITE_NOT_DONE && result->value.type != HAY_TYPE_NONE)
		take_value(device, command, result, &said);
	answer(device, command, outcomes[result->outcome], &said);
	/* The plugin is still inside its call to us: the next one comes with the loop. */
	if (device->commands)
		field_advance_soon(device->link->field);
}

void writes_go_on(struct field *field)
{
	for (struct link *link = field->links; link; link = link->next)
		for (struct device *device = link->devices; device; device = device->next)
			if (device->commands)
				write_next(device);
}

void writes_abandon(struct device *device)
{
	while (device->commands) {
		struct command *command = device->commands;

		if (command->begun)
			answer(device, command, COMMAND_UNKNOWN,
			       &(struct write_answer){
				       .done = WRITE_UNKNOWN,
				       .text = "not known whether it was done: the device was stopped meanwhile"});
		else
			answer_no(device, command, COMMAND_FAILED, "the device was stopped");
	}
}
