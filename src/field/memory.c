/* SPDX-License-Identifier: Apache-2.0 */
#include "field/memory.h"
#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>

#define KEY_MAX 64
#define VALUE_MAX 4096

/* {"boiler": {"holes": "00ff…"}}: values in hex, so that the file can be read by people. */
struct memory {
	char *path;
	json_t *root;
};

struct memory *memory_new(const char *path)
{
	struct memory *memory = calloc(1, sizeof(*memory));

	if (!memory)
		return NULL;
	memory->path = path ? strdup(path) : NULL;
	memory->root = path ? json_load_file(path, JSON_REJECT_DUPLICATES, NULL) : NULL;
	if (!json_is_object(memory->root)) {
		json_decref(memory->root);
		memory->root = json_object();
	}
	return memory->root && (memory->path || !path) ? memory : memory_free(memory);
}

struct memory *memory_free(struct memory *memory)
{
	if (!memory)
		return NULL;
	json_decref(memory->root);
	free(memory->path);
	free(memory);
	return NULL;
}

static int save(const struct memory *memory)
{
	_cleanup_free_ char *temporary = NULL;

	if (!memory->path)
		return 0;
	if (asprintf(&temporary, "%s.new", memory->path) < 0) {
		temporary = NULL;
		return -ENOMEM;
	}
	if (json_dump_file(memory->root, temporary, JSON_INDENT(1) | JSON_SORT_KEYS) < 0 ||
	    rename(temporary, memory->path) < 0) {
		int r = errno > 0 ? -errno : -EIO;

		unlink(temporary);
		return r;
	}
	return 0;
}

int memory_put(struct memory *memory, const char *device, const char *key, const void *data, size_t size)
{
	static const char digits[] = "0123456789abcdef";
	const uint8_t *bytes = data;
	char text[VALUE_MAX * 2 + 1];

	if (strlen(key) > KEY_MAX || size > VALUE_MAX)
		return -EINVAL;
	for (size_t i = 0; i < size; i++) {
		text[i * 2] = digits[bytes[i] >> 4];
		text[i * 2 + 1] = digits[bytes[i] & 15];
	}
	text[size * 2] = 0;

	json_t *group = json_object_get(memory->root, device);
	const char *before = json_string_value(json_object_get(group, key));

	if (before ? strcmp(before, text) == 0 : size == 0)
		return 0;
	if (size == 0) {
		json_object_del(group, key);
		if (json_object_size(group) == 0)
			json_object_del(memory->root, device);
		return save(memory);
	}
	if (!json_is_object(group)) {
		group = json_object();
		if (json_object_set_new(memory->root, device, group) < 0)
			return -ENOMEM;
	}
	if (json_object_set_new(group, key, json_string(text)) < 0)
		return -ENOMEM;
	return save(memory);
}

static int hex_digit(char c)
{
	return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

int memory_get(struct memory *memory, const char *device, const char *key, void *data, size_t size)
{
	const char *text = json_string_value(json_object_get(json_object_get(memory->root, device), key));
	size_t n = text ? strlen(text) / 2 : 0;
	uint8_t *bytes = data;

	if (!text)
		return -ENOENT;
	if (n > VALUE_MAX)
		return -EBADMSG;
	for (size_t i = 0; i < n; i++) {
		int high = hex_digit(text[i * 2]), low = hex_digit(text[i * 2 + 1]);

		if (high < 0 || low < 0)
			return -EBADMSG;
		if (i < size)
			bytes[i] = (uint8_t)(high << 4 | low);
	}
	return (int)n;
}
