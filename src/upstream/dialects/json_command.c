/* SPDX-License-Identifier: Apache-2.0 */
#include "upstream/dialects/json_command.h"
#include "base/conf.h"
#include <errno.h>
#include <jansson.h>
#include <math.h>
#include <string.h>

#define COMMAND_MAX_BYTES 65536
#define COMMAND_MAX_DEPTH 8
#define TTL_MAX_MS 86400000.0 /* a day; a longer one could as well be left out */

static int wrong(const char **ret_error, const char *why)
{
	*ret_error = why;
	return -EINVAL;
}

static bool take_name(const char **at, char ret[65])
{
	size_t size = strcspn(*at, "/");
	if (size == 0 || size > 64)
		return false;
	char name[65] = "";
	memcpy(name, *at, size);
	if (!conf_is_name(name))
		return false;
	memcpy(ret, name, sizeof(name));
	*at += size;
	return true;
}

int json_command_topic(const char *below, struct dialect_command *ret, const char **ret_error)
{
	static const char command[] = "/command/";
	if (strncmp(below, command, strlen(command)) != 0)
		return wrong(ret_error, "not the topic of a command");
	const char *at = below + strlen(command);
	if (!take_name(&at, ret->device) || *at != '/')
		return wrong(ret_error, "no such device");
	at++;
	if (!take_name(&at, ret->point) || *at)
		return wrong(ret_error, "no such point");
	return 0;
}

/* jansson recurses as deep as the text does, and an uplink's stack is small. */
static bool too_deep(const char *text, size_t size)
{
	unsigned depth = 0;
	bool quoted = false;
	for (size_t i = 0; i < size; i++) {
		if (quoted) {
			if (text[i] == '\\')
				i++;
			else if (text[i] == '"')
				quoted = false;
		} else if (text[i] == '"') {
			quoted = true;
		} else if (text[i] == '[' || text[i] == '{') {
			if (++depth > COMMAND_MAX_DEPTH)
				return true;
		} else if ((text[i] == ']' || text[i] == '}') && depth > 0) {
			depth--;
		}
	}
	return false;
}

static int read_value(const json_t *value, struct dialect_command *ret, const char **ret_error)
{
	switch (json_typeof(value)) {
	case JSON_TRUE:
	case JSON_FALSE:
		ret->value = (struct hay_value){.type = HAY_BOOL, .b = json_is_true(value)};
		return 0;
	case JSON_INTEGER:
		ret->value = (struct hay_value){.type = HAY_INT64, .i = json_integer_value(value)};
		return 0;
	case JSON_REAL:
		ret->value = (struct hay_value){.type = HAY_FLOAT64, .d = json_real_value(value)};
		return 0;
	case JSON_STRING: {
		size_t size = json_string_length(value);
		char *text = malloc(size + 1);
		if (!text)
			return -ENOMEM;
		memcpy(text, json_string_value(value), size + 1);
		ret->value = (struct hay_value){.type = HAY_STRING, .s = {.data = text, .size = size}};
		return 0;
	}
	case JSON_NULL:
	case JSON_ARRAY:
	case JSON_OBJECT:
		break;
	}
	return wrong(ret_error, "the value must be a number, true, false or a text");
}

static int read_id(const json_t *id, struct dialect_command *ret, const char **ret_error)
{
	if (!id)
		return 0;
	if (!json_is_string(id) || json_string_length(id) >= sizeof(ret->id))
		return wrong(ret_error, "id must be a text of at most 64 bytes");
	memcpy(ret->id, json_string_value(id), json_string_length(id) + 1);
	return 0;
}

static int read_ttl(const json_t *ttl, struct dialect_command *ret, const char **ret_error)
{
	if (!ttl)
		return 0;
	double ms = json_is_number(ttl) ? json_number_value(ttl) : -1;
	if (!(ms > 0 && ms <= TTL_MAX_MS))
		return wrong(ret_error, "ttl_ms must be a number of milliseconds, more than 0 and at most a day");
	ret->ttl_us = (uint64_t)llround(ms * 1000);
	return 0;
}

static int read_object(const json_t *object, struct dialect_command *ret, const char **ret_error)
{
	/* The id first: an answer that says no shall carry it too. */
	int r = read_id(json_object_get(object, "id"), ret, ret_error);
	if (r < 0)
		return r;
	r = read_ttl(json_object_get(object, "ttl_ms"), ret, ret_error);
	if (r < 0)
		return r;
	const json_t *value = json_object_get(object, "value");
	if (!value)
		return wrong(ret_error, "the object has no \"value\"");
	return read_value(value, ret, ret_error);
}

int json_command_payload(const void *payload, size_t size, struct dialect_command *ret, const char **ret_error)
{
	if (size == 0)
		return wrong(ret_error, "the message is empty");
	if (size > COMMAND_MAX_BYTES)
		return wrong(ret_error, "the message is longer than 64 KB");
	if (too_deep(payload, size))
		return wrong(ret_error, "the message is no JSON that a command could be");
	json_t *root = json_loadb(payload, size, JSON_DECODE_ANY | JSON_REJECT_DUPLICATES, NULL);
	if (!root)
		return wrong(ret_error, "the message is no valid JSON");
	int r = json_is_object(root) ? read_object(root, ret, ret_error) : read_value(root, ret, ret_error);
	json_decref(root);
	return r;
}
