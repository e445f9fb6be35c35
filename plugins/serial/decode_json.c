/* SPDX-License-Identifier: Apache-2.0 */
/* A JSON text (RFC 8259): each of its leaves under its path, "env.temp", "list[0]", "list[0].t". */
#include "decode.h"
#include <errno.h>
#include <jansson.h>

#define DEPTH_MAX 16

static int add_leaf(struct record *record, struct text name, const json_t *leaf)
{
	struct item item = {.name = name};

	switch (json_typeof(leaf)) {
	case JSON_STRING:
		item.value = (struct hay_value){.type = HAY_STRING,
						.s = {json_string_value(leaf), json_string_length(leaf)}};
		break;
	case JSON_INTEGER:
		item.value = (struct hay_value){.type = HAY_INT64, .i = json_integer_value(leaf)};
		break;
	case JSON_REAL:
		item.value = (struct hay_value){.type = HAY_FLOAT64, .d = json_real_value(leaf)};
		break;
	case JSON_TRUE:
	case JSON_FALSE:
		item.value = (struct hay_value){.type = HAY_BOOL, .b = json_is_true(leaf)};
		break;
	default:
		break;
	}
	return record_add(record, &item);
}

static int add_tree(struct record *record, struct text path, json_t *tree, unsigned depth);

static int add_member(struct record *record, struct text path, const char *key, json_t *member, unsigned depth)
{
	struct text name = path.size > 0 ? record_name(record, path, ".", text_of(key), "") : text_of(key);

	return name.data ? add_tree(record, name, member, depth + 1) : -E2BIG;
}

static int add_tree(struct record *record, struct text path, json_t *tree, unsigned depth)
{
	const char *key;
	json_t *member;
	size_t i;
	int r = 0;

	if (depth > DEPTH_MAX)
		return -E2BIG;
	if (json_is_object(tree)) {
		json_object_foreach(tree, key, member)
		{
			r = add_member(record, path, key, member, depth);
			if (r < 0)
				return r;
		}
		return 0;
	}
	if (json_is_array(tree)) {
		json_array_foreach(tree, i, member)
		{
			char number[TEXT_NUMBER_MAX];
			struct text name = record_name(record, path, "[", text_of_number(i, number), "]");

			r = name.data ? add_tree(record, name, member, depth + 1) : -E2BIG;
			if (r < 0)
				return r;
		}
		return 0;
	}
	return add_leaf(record, path, tree);
}

enum decoded decode_json(struct text frame, struct record *record, const char **ret_error)
{
	json_error_t error;
	json_t *tree = json_loadb(frame.data, frame.size, 0, &error);

	if (!tree) {
		*ret_error = "it is not JSON";
		return DECODED_WRONG;
	}
	record->tree = tree;
	if (add_tree(record, (struct text){0}, tree, 0) < 0) {
		*ret_error = "it holds too many values";
		return DECODED_WRONG;
	}
	return DECODED;
}

void decode_json_clear(struct record *record)
{
	json_decref(record->tree);
	record->tree = NULL;
}
