/* SPDX-License-Identifier: Apache-2.0 */
#include "upstream/dialects/json_command.h"
#include "base/conf.h"
#include "base/json.h"
#include "model/sample_json.h"
#include <errno.h>
#include <jansson.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define COMMAND_MAX_BYTES 65536
#define COMMAND_MAX_DEPTH 8
#define NUMBER_TOO_LARGE "the message has a number that is too large for any point"
#define TTL_MAX_MS 86400000.0 /* a day; a longer one could as well be left out */

static int refuse_payload(const char **ret_error, const char *why)
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

int json_command_topic(const char *below, struct command *ret, const char **ret_error)
{
	static const char command[] = "/command/";
	if (strncmp(below, command, strlen(command)) != 0)
		return refuse_payload(ret_error, "not the topic of a command");
	const char *at = below + strlen(command);
	if (!take_name(&at, ret->device) || *at != '/')
		return refuse_payload(ret_error, "no such device");
	at++;
	if (!take_name(&at, ret->point) || *at)
		return refuse_payload(ret_error, "no such point");
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

/* ---- whole numbers: jansson holds 63 bits of them, and a point may have 64 ---- */

static size_t skip_space(const char *text, size_t size, size_t at)
{
	while (at < size && text[at] && strchr(" \t\r\n", text[at]))
		at++;
	return at;
}

static size_t skip_string(const char *text, size_t size, size_t at)
{
	for (at++; at < size && text[at] != '"'; at++)
		if (text[at] == '\\')
			at++;
	return at + 1;
}

/* To the comma or bracket behind a member's value. */
static size_t skip_value(const char *text, size_t size, size_t at)
{
	unsigned depth = 0;
	while (at < size) {
		if (depth == 0 && (text[at] == ',' || text[at] == '}'))
			break;
		if (text[at] == '"') {
			at = skip_string(text, size, at);
			continue;
		}
		depth += text[at] == '{' || text[at] == '[';
		depth -= text[at] == '}' || text[at] == ']';
		at++;
	}
	return at;
}

/* Where the value of an object's n-th member begins. The text is JSON: that has been checked. */
static size_t find_member(const char *text, size_t size, size_t n)
{
	size_t at = skip_space(text, size, 0) + 1;
	for (;; at++) {
		at = skip_string(text, size, skip_space(text, size, at));
		at = skip_space(text, size, skip_space(text, size, at) + 1);
		if (n-- == 0 || at >= size)
			return at;
		at = skip_value(text, size, at);
	}
}

/* False: it has a fraction or an exponent, or 64 bits do not hold it. */
static bool read_whole(const char *text, size_t size, struct hay_value *ret)
{
	char digits[24];
	size_t n = 0;
	while (n < size && n < sizeof(digits) - 1 && text[n] && strchr("-+.eE0123456789", text[n])) {
		digits[n] = text[n];
		n++;
	}
	digits[n] = '\0';
	if (strpbrk(digits, ".eE") || n == sizeof(digits) - 1)
		return false;
	errno = 0;
	*ret = (struct hay_value){.type = HAY_INT64, .i = strtoll(digits, NULL, 10)};
	if (errno == ERANGE && *digits != '-') {
		errno = 0;
		*ret = (struct hay_value){.type = HAY_UINT64, .u = strtoull(digits, NULL, 10)};
	}
	return errno == 0;
}

/* text: the value's own, and what follows it. */
static int read_value(const json_t *value, const char *text, size_t size, struct command *ret, const char **ret_error)
{
	switch (json_typeof(value)) {
	case JSON_TRUE:
	case JSON_FALSE:
		ret->value = (struct hay_value){.type = HAY_BOOL, .b = json_is_true(value)};
		return 0;
	case JSON_INTEGER:
	case JSON_REAL:
		if (!read_whole(text, size, &ret->value))
			ret->value = (struct hay_value){.type = HAY_FLOAT64, .d = json_number_value(value)};
		/* Rounded to the last one that an int64 holds, it would be written as that. */
		if (ret->value.type == HAY_FLOAT64 && ret->value.d == -0x1p63)
			return refuse_payload(ret_error, NUMBER_TOO_LARGE);
		return 0;
	case JSON_STRING: {
		const struct hay_value string = {.type = HAY_STRING,
						 .s = {json_string_value(value), json_string_length(value)}};
		return command_set_value(ret, &string);
	}
	case JSON_NULL:
	case JSON_ARRAY:
	case JSON_OBJECT:
		break;
	}
	return refuse_payload(ret_error, "the value must be a number, true, false or a text");
}

static int read_id(const json_t *id, struct command *ret, const char **ret_error)
{
	if (!id)
		return 0;
	if (!json_is_string(id) || json_string_length(id) >= sizeof(ret->id))
		return refuse_payload(ret_error, "id must be a text of at most 64 bytes");
	memcpy(ret->id, json_string_value(id), json_string_length(id) + 1);
	return 0;
}

static int read_ttl(const json_t *ttl, struct command *ret, const char **ret_error)
{
	if (!ttl)
		return 0;
	double ms = json_is_number(ttl) ? json_number_value(ttl) : -1;
	if (!(ms > 0 && ms <= TTL_MAX_MS))
		return refuse_payload(ret_error,
				      "ttl_ms must be a number of milliseconds, more than 0 and at most a day");
	ret->ttl_us = (uint64_t)llround(ms * 1000);
	return 0;
}

/* jansson keeps the order of an object's members. */
static size_t index_of(json_t *object, const char *wanted)
{
	size_t n = 0;
	const char *key;
	json_t *member;
	json_object_foreach(object, key, member)
	{
		if (strcmp(key, wanted) == 0)
			break;
		n++;
	}
	return n;
}

static int read_object(json_t *object, const char *text, size_t size, struct command *ret, const char **ret_error)
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
		return refuse_payload(ret_error, "the object has no \"value\"");
	size_t at = find_member(text, size, index_of(object, "value"));
	return read_value(value, text + at, size - at, ret, ret_error);
}

int json_command_payload(const void *payload, size_t size, struct command *ret, const char **ret_error)
{
	if (size == 0)
		return refuse_payload(ret_error, "the message is empty");
	if (size > COMMAND_MAX_BYTES)
		return refuse_payload(ret_error, "the message is longer than 64 KB");
	if (too_deep(payload, size))
		return refuse_payload(ret_error, "the message is not a JSON value that a command can have");
	json_error_t error;
	json_t *root =
		json_loadb(payload, size, JSON_DECODE_ANY | JSON_DECODE_INT_AS_REAL | JSON_REJECT_DUPLICATES, &error);
	if (!root)
		return refuse_payload(ret_error, json_error_code(&error) == json_error_numeric_overflow
							 ? NUMBER_TOO_LARGE
							 : "the message is not valid JSON");
	size_t at = skip_space(payload, size, 0);
	int r = json_is_object(root) ? read_object(root, payload, size, ret, ret_error)
				     : read_value(root, (const char *)payload + at, size - at, ret, ret_error);
	json_decref(root);
	return r;
}

void json_write_answer(struct buf *out, const char *id, const struct write_answer *answer)
{
	bool has_value = answer->value.type != HAY_TYPE_NONE && json_value_fits(&answer->value);

	json_open(out, '{');
	if (id[0]) {
		json_key(out, "id");
		json_text(out, id);
	}
	json_key(out, "ok");
	json_bool(out, answer->done == WRITE_DONE);
	json_key(out, "done");
	json_text(out, write_done_to_string(answer->done));
	if (has_value) {
		json_key(out, "value");
		json_value(out, &answer->value);
	}
	if (has_value && answer->asked.type != HAY_TYPE_NONE) {
		json_key(out, "asked");
		json_value(out, &answer->asked);
	}
	if (answer->done == WRITE_DONE) {
		json_key(out, "read_back");
		json_bool(out, answer->read_back);
	}
	if (answer->text) {
		json_key(out, answer->done == WRITE_DONE ? "note" : "error");
		json_text(out, answer->text);
	}
	json_close(out, '}');
}
