/* SPDX-License-Identifier: Apache-2.0 */
#include "record.h"
#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { LONGEST_NUMBER = 63 };

int record_init(struct serial_record *record, size_t names_size)
{
	*record = (struct serial_record){.names_size = names_size};
	record->names = malloc(names_size);
	return record->names ? 0 : -ENOMEM;
}

void record_done(struct serial_record *record)
{
	free(record->items);
	free(record->names);
	*record = (struct serial_record){0};
}

void record_clear(struct serial_record *record)
{
	record->n = 0;
	record->names_used = 0;
	record->note = NULL;
}

int record_add(struct serial_record *record, const struct serial_item *item)
{
	if (record->n == RECORD_ITEMS_MAX)
		return -E2BIG;
	if (record->n == record->capacity) {
		size_t capacity = record->capacity ? record->capacity * 2 : 16;
		struct serial_item *items = reallocarray(record->items, capacity, sizeof(*items));

		if (!items)
			return -ENOMEM;
		record->items = items;
		record->capacity = capacity;
	}
	record->items[record->n++] = *item;
	return 0;
}

int record_add_text(struct serial_record *record, struct text name, struct text text, bool hidden)
{
	struct serial_item item = {
		.name = name, .is_text = true, .text = text, .hidden = hidden, .comma = record->comma};

	return record_add(record, &item);
}

struct text record_name(struct serial_record *record, struct text first, const char *between, struct text second,
			const char *behind)
{
	const struct text parts[] = {first, text_of(between), second, text_of(behind)};
	size_t room = record->names_size - record->names_used, n = 0;
	char *at = record->names + record->names_used;

	for (size_t i = 0; i < 4; i++) {
		if (parts[i].size > room - n)
			return (struct text){0};
		if (parts[i].size > 0)
			memcpy(at + n, parts[i].data, parts[i].size);
		n += parts[i].size;
	}
	record->names_used += n;
	return (struct text){at, n};
}

const struct serial_item *record_get(const struct serial_record *record, struct text name, size_t *hint)
{
	if (*hint < record->n && text_equal(record->items[*hint].name, name))
		return &record->items[*hint];
	for (size_t i = 0; i < record->n; i++)
		if (text_equal(record->items[i].name, name)) {
			*hint = i;
			return &record->items[i];
		}
	return NULL;
}

/* ---- texts ---- */

struct text text_of(const char *string)
{
	return (struct text){string, string ? strlen(string) : 0};
}

struct text text_of_number(size_t number, char buffer[TEXT_NUMBER_MAX])
{
	size_t at = TEXT_NUMBER_MAX;

	do {
		buffer[--at] = (char)('0' + number % 10);
		number /= 10;
	} while (number > 0);
	return (struct text){buffer + at, TEXT_NUMBER_MAX - at};
}

static bool is_blank(char c)
{
	return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

struct text text_trim(struct text text)
{
	while (text.size > 0 && is_blank(text.data[0])) {
		text.data++;
		text.size--;
	}
	while (text.size > 0 && is_blank(text.data[text.size - 1]))
		text.size--;
	return text;
}

/* A copy that strtod and the like can read. False: too long for a number, or nothing, or with other than a number's
   characters (strtod would take "0x1p3" too). With decimal commas a point would be one of thousands, and the other way
   round: 1.013 may be a thousand times 1,013, and is refused. */
static bool copy_number(struct text text, bool comma, char into[LONGEST_NUMBER + 1])
{
	static const bool of_numbers[256] = {
		['0'] = true, ['1'] = true, ['2'] = true, ['3'] = true, ['4'] = true,
		['5'] = true, ['6'] = true, ['7'] = true, ['8'] = true, ['9'] = true,
		['+'] = true, ['-'] = true, ['.'] = true, ['e'] = true, ['E'] = true,
	};

	size_t n = 0;

	text = text_trim(text);
	if (text.size == 0 || text.size > LONGEST_NUMBER)
		return false;
	for (size_t i = 0; i < text.size; i++) {
		char c = text.data[i];

		if (is_blank(c) && n == 1 && (into[0] == '-' || into[0] == '+'))
			continue; /* scales print "-  450.38" */

		if (comma && (c == ',' || c == '.')) {
			if (c == '.')
				return false;
			c = '.';
		}
		if (!of_numbers[(uint8_t)c])
			return false;
		into[n++] = c;
	}
	into[n] = 0;
	return true;
}

static bool read_number(struct text text, bool comma, double *ret)
{
	char copy[LONGEST_NUMBER + 1], *end;
	double value;

	if (!copy_number(text, comma, copy))
		return false;
	value = strtod(copy, &end);
	if (*end || !isfinite(value))
		return false;
	*ret = value;
	return true;
}

bool text_number(struct text text, double *ret)
{
	return read_number(text, false, ret);
}

bool text_looks_numeric(struct text text)
{
	bool digit = false;

	text = text_trim(text);
	for (size_t i = 0; i < text.size; i++) {
		if (text.data[i] >= '0' && text.data[i] <= '9')
			digit = true;
		else if (!memchr("+-.,", text.data[i], 4) && (!digit || !memchr("eE", text.data[i], 2)))
			return false;
	}
	return digit;
}

static bool equals_word(struct text text, const char *word)
{
	return text.size == strlen(word) && strncasecmp(text.data, word, text.size) == 0;
}

bool text_is_not_a_number(struct text text)
{
	static const char *const words[] = {"nan", "-nan", "inf", "+inf", "-inf", "infinity", "-infinity", "null"};

	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
		if (equals_word(text, words[i]))
			return true;
	return false;
}

static int bool_from_text(struct text text, bool *ret)
{
	static const char *const yes[] = {"1", "true", "on", "yes"}, *const no[] = {"0", "false", "off", "no"};

	for (size_t i = 0; i < 4; i++) {
		if (equals_word(text, yes[i]) || equals_word(text, no[i])) {
			*ret = equals_word(text, yes[i]);
			return 0;
		}
	}
	return -EINVAL;
}

int text_unescape(const char *text, uint8_t *into, size_t size)
{
	static const char letters[] = "rnt0\\", bytes[] = "\r\n\t\0\\";
	size_t n = 0;

	for (; *text; text++) {
		unsigned byte = (uint8_t)*text;

		if (*text == '\\') {
			const char *letter = *++text ? memchr(letters, *text, 5) : NULL;

			if (letter)
				byte = (uint8_t)bytes[letter - letters];
			else if (*text == 'x' && sscanf(text + 1, "%2x", &byte) == 1 &&
				 strspn(text + 1, "0123456789abcdefABCDEF") >= 2)
				text += 2;
			else
				return -EINVAL;
		}
		if (n == size)
			return -ENOSPC;
		into[n++] = (uint8_t)byte;
	}
	return (int)n;
}

/* ---- values ---- */

/* negative: the number is -magnitude */
static int whole_value(bool negative, uint64_t magnitude, enum hay_type type, struct hay_value *ret)
{
	if (!negative || magnitude == 0)
		return hay_value_of_unsigned(magnitude, type, ret);
	if (magnitude - 1 > INT64_MAX)
		return -ERANGE;
	return hay_value_of_signed(-(int64_t)(magnitude - 1) - 1, type, ret);
}

static int number_from_text(struct text text, bool comma, enum hay_type type, struct hay_value *ret)
{
	char copy[LONGEST_NUMBER + 1], *end;
	double number;

	if (!copy_number(text, comma, copy))
		return text_is_not_a_number(text) ? -EDOM : -EINVAL;
	if (hay_type_is_whole(type) && !strpbrk(copy, ".eE")) {
		const char *digits = copy + (*copy == '+' || *copy == '-');
		uint64_t magnitude;

		if (*digits < '0' || *digits > '9')
			return -EINVAL;
		errno = 0;
		magnitude = strtoull(digits, &end, 10);
		if (*end)
			return -EINVAL;
		return errno == ERANGE ? -ERANGE : whole_value(*copy == '-', magnitude, type, ret);
	}
	number = strtod(copy, &end);
	if (*end)
		return -EINVAL;
	return isfinite(number) ? hay_value_of_double(number, type, ret) : -ERANGE;
}

static int value_from_text(struct text text, bool comma, enum hay_type type, struct hay_value *ret)
{
	if (type == HAY_STRING || type == HAY_BYTES) {
		if (text.size > UINT16_MAX)
			return -ERANGE;
		if (type == HAY_STRING && !hay_is_utf8(text.data, text.size))
			return -EINVAL;
		*ret = (struct hay_value){.type = type, .s = {text.data, text.size}};
		return 0;
	}
	text = text_trim(text);
	if (type == HAY_BOOL) {
		*ret = (struct hay_value){.type = HAY_BOOL};
		return bool_from_text(text, &ret->b);
	}
	return number_from_text(text, comma, type, ret);
}

/* Its text makes no text of it: a point that is one refuses every other number, too. */
static int value_from_number(struct text text, enum hay_type type, struct hay_value *ret)
{
	if (type == HAY_STRING || type == HAY_BYTES)
		return text_is_not_a_number(text) ? -EDOM : -EINVAL;
	return text.size > LONGEST_NUMBER ? -ERANGE : value_from_text(text, false, type, ret);
}

int item_value(const struct serial_item *item, enum hay_type type, struct hay_value *ret)
{
	const struct hay_value *value = &item->value;

	if (item->is_number)
		return value_from_number(item->text, type, ret);
	if (item->is_text)
		return value_from_text(item->text, item->comma, type, ret);
	switch (value->type) {
	case HAY_STRING:
		return value_from_text((struct text){value->s.data, value->s.size}, false, type, ret);
	case HAY_BOOL:
		if (type == HAY_STRING)
			*ret = (struct hay_value){.type = HAY_STRING,
						  .s = {value->b ? "true" : "false", value->b ? 4 : 5}};
		else
			return hay_value_of_double(value->b, type, ret);
		return 0;
	case HAY_INT64:
		return hay_value_of_signed(value->i, type, ret);
	case HAY_FLOAT64:
		return hay_value_of_double(value->d, type, ret);
	default:
		return value->type == HAY_TYPE_NONE ? -EDOM : -EINVAL;
	}
}

struct text item_text(const struct serial_item *item, char buffer[32])
{
	const struct hay_value *value = &item->value;
	int n = 0;

	if (item->is_text)
		return text_trim(item->text);
	switch (value->type) {
	case HAY_STRING:
		return (struct text){value->s.data, value->s.size};
	case HAY_BOOL:
		return text_of(value->b ? "true" : "false");
	case HAY_INT64:
		n = snprintf(buffer, 32, "%" PRId64, value->i);
		break;
	case HAY_FLOAT64:
		n = snprintf(buffer, 32, "%.15g", value->d);
		break;
	default:
		break;
	}
	return (struct text){buffer, n > 0 ? (size_t)n : 0};
}

bool item_is_beyond_64_bits(const struct serial_item *item)
{
	char copy[LONGEST_NUMBER + 1];
	const char *digits = copy;
	struct hay_value value;

	if (!item->is_text || !copy_number(item->text, item->comma, copy) || strpbrk(copy, ".eE"))
		return false;
	digits += *copy == '-' || *copy == '+';
	return number_from_text(text_of(digits), false, HAY_UINT64, &value) == -ERANGE ||
	       (*copy == '-' && number_from_text(text_of(copy), false, HAY_INT64, &value) == -ERANGE);
}

bool item_number(const struct serial_item *item, double *ret)
{
	struct hay_value value;

	if (item_value(item, HAY_FLOAT64, &value) < 0)
		return false;
	*ret = value.d;
	return true;
}

/* -1e400, 1.5e400, 1e+400. Without a sign or a point it may be a serial number in hexadecimal: 0012e9345678. */
static bool is_number_beyond_double(const struct serial_item *item, struct text text)
{
	char copy[LONGEST_NUMBER + 1], *end;

	return copy_number(text, item->comma, copy) && strpbrk(copy, "+-.") && isinf(strtod(copy, &end)) && !*end;
}

enum hay_type item_natural_type(const struct serial_item *item)
{
	if (!item->is_text)
		return item->value.type == HAY_INT64 ? HAY_FLOAT64 : item->value.type;
	struct text text = text_trim(item->text);
	double number;

	if (text.size == 0)
		return HAY_TYPE_NONE;
	if (item->is_name)
		return HAY_STRING;
	if (item->is_number || read_number(text, item->comma, &number) || text_is_not_a_number(text) ||
	    is_number_beyond_double(item, text))
		return HAY_FLOAT64;
	if (equals_word(text, "true") || equals_word(text, "false"))
		return HAY_BOOL;
	return HAY_STRING;
}
