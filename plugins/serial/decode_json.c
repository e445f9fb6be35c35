/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A JSON text (RFC 8259): each of its leaves under its path, "env.temp", "list[0]", "list[0].t".
 *
 * Boards print what is no JSON where a sensor is broken (nan, as printf has it), and numbers that jansson refuses
 * because they fit none of its types. Those become texts of a kind that no JSON text has, "\u0000nan", and the rest of
 * the message is read: one broken sensor must not take the others with it.
 */
#include "decode.h"
#include <errno.h>
#include <jansson.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define DEPTH_MAX 16
static const char strange_mark[] = "\"\\u0000";
#define STRANGE_ADDS (sizeof(strange_mark) - 1 + 1)
#define STRANGE_MIN 3 /* inf */
#define LONGEST_SHORT_NUMBER 63

/* ---- what jansson does not take ---- */

static bool is_word_byte(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '+' || c == '-' ||
	       c == '.';
}

static bool is_beyond_double(struct text number)
{
	char *copy = strndup(number.data, number.size);
	bool beyond = copy && isinf(strtod(copy, NULL));

	free(copy);
	return beyond;
}

/* Not a number, or one that is too large for a signed integer of 64 bits or for a double. */
static bool is_strange(struct text word)
{
	struct serial_item item = {.is_text = true, .text = word};
	bool real = memchr(word.data, '.', word.size) || memchr(word.data, 'e', word.size) ||
		    memchr(word.data, 'E', word.size);
	struct hay_value value;

	if (text_is_not_a_number(word))
		return !text_equal(word, text_of("null"));
	if (word.data[0] == '+')
		return false;
	if (word.size > LONGEST_SHORT_NUMBER)
		return text_looks_numeric(word) && (!real || is_beyond_double(word));
	return item_value(&item, real ? HAY_FLOAT64 : HAY_INT64, &value) == -ERANGE;
}

/* A string up to behind its end. False: it has none, or holds the mark itself. */
static bool copy_string(struct text *rest, char *into, size_t *used)
{
	size_t at = 1;

	while (at < rest->size && rest->data[at] != '"') {
		bool escape = rest->data[at] == '\\';

		if (escape && rest->size - at >= 6 && memcmp(rest->data + at, "\\u0000", 6) == 0)
			return false;
		at += 1 + escape;
	}
	if (at >= rest->size)
		return false;
	at++;
	memcpy(into + *used, rest->data, at);
	*used += at;
	rest->data += at;
	rest->size -= at;
	return true;
}

static void copy_word(struct text *rest, char *into, size_t *used)
{
	struct text word = {rest->data, 0};
	bool strange;

	while (word.size < rest->size && is_word_byte(word.data[word.size]))
		word.size++;
	strange = is_strange(word);
	if (strange) {
		memcpy(into + *used, strange_mark, sizeof(strange_mark) - 1);
		*used += sizeof(strange_mark) - 1;
	}
	memcpy(into + *used, word.data, word.size);
	*used += word.size;
	if (strange)
		into[(*used)++] = '"';
	rest->data += word.size;
	rest->size -= word.size;
}

static json_t *load_strange(struct text rest)
{
	/* Two words have a byte between them. */
	char *copy = malloc(rest.size + (rest.size / (STRANGE_MIN + 1) + 1) * STRANGE_ADDS);
	json_error_t error;
	json_t *tree = NULL;
	size_t used = 0;
	bool good = copy;

	while (good && rest.size > 0) {
		if (rest.data[0] == '"') {
			good = copy_string(&rest, copy, &used);
		} else if (is_word_byte(rest.data[0])) {
			copy_word(&rest, copy, &used);
		} else {
			copy[used++] = *rest.data++;
			rest.size--;
		}
	}
	if (good)
		tree = json_loadb(copy, used, JSON_ALLOW_NUL, &error);
	free(copy);
	return tree;
}

/* ---- leaves ---- */

static int add_leaf(struct serial_record *record, struct text name, const json_t *leaf)
{
	struct serial_item item = {.name = name};

	switch (json_typeof(leaf)) {
	case JSON_STRING:
		if (json_string_length(leaf) > 1 && json_string_value(leaf)[0] == 0) {
			item.is_text = item.is_number = true;
			item.text = (struct text){json_string_value(leaf) + 1, json_string_length(leaf) - 1};
			break;
		}
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

static int add_tree(struct serial_record *record, struct text path, json_t *tree, unsigned depth);

static int add_member(struct serial_record *record, struct text path, const char *key, json_t *member, unsigned depth)
{
	struct text name = path.size > 0 ? record_name(record, path, ".", text_of(key), "") : text_of(key);

	return name.data ? add_tree(record, name, member, depth + 1) : -E2BIG;
}

static int add_tree(struct serial_record *record, struct text path, json_t *tree, unsigned depth)
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

enum serial_decoded decode_json(struct text frame, struct serial_record *record, const char **ret_error)
{
	json_error_t error;
	json_t *tree = json_loadb(frame.data, frame.size, 0, &error);

	if (!tree)
		tree = load_strange(frame);
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

void decode_json_clear(struct serial_record *record)
{
	json_decref(record->tree);
	record->tree = NULL;
}
