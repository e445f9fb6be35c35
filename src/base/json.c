/* SPDX-License-Identifier: Apache-2.0 */
#include "base/json.h"
#include "base/units.h"
#include <haywain/helpers.h>
#include <math.h>
#include <string.h>

/* A comma belongs before a value unless it opens the document, a list, or follows its key. */
static void add_comma(struct buf *out)
{
	if (out->failed || out->size == 0)
		return;
	char last = out->data[out->size - 1];

	if (last != '{' && last != '[' && last != ':')
		buf_add_char(out, ',');
}

void json_open(struct buf *out, char bracket)
{
	add_comma(out);
	buf_add_char(out, bracket);
}

void json_close(struct buf *out, char bracket)
{
	buf_add_char(out, bracket);
}

static void add_escaped(struct buf *out, const char *text, size_t size)
{
	const unsigned char *at = (const unsigned char *)text, *end = at + size, *plain = at;

	while (at < end) {
		if (*at >= 0x20 && *at < 0x7f && *at != '"' && *at != '\\') {
			at++;
			continue;
		}
		size_t n = *at < 0x80 ? 0 : hay_utf8_length((const char *)at, (size_t)(end - at));

		if (n > 0) {
			at += n;
			continue;
		}
		buf_add(out, plain, (size_t)(at - plain));
		switch (*at) {
		case '"':
		case '\\':
			buf_add_char(out, '\\');
			buf_add_char(out, (char)*at);
			break;
		case '\n':
			buf_add_text(out, "\\n");
			break;
		case '\r':
			buf_add_text(out, "\\r");
			break;
		case '\t':
			buf_add_text(out, "\\t");
			break;
		default:
			if (*at < 0x80)
				buf_printf(out, "\\u%04x", *at);
			else
				buf_add_text(out, "\xef\xbf\xbd");
		}
		plain = ++at;
	}
	buf_add(out, plain, (size_t)(at - plain));
}

void json_text_n(struct buf *out, const char *text, size_t size)
{
	add_comma(out);
	buf_add_char(out, '"');
	add_escaped(out, text, size);
	buf_add_char(out, '"');
}

void json_text(struct buf *out, const char *text)
{
	json_text_n(out, text, strlen(text));
}

void json_key(struct buf *out, const char *key)
{
	json_text(out, key);
	buf_add_char(out, ':');
}

void json_bytes(struct buf *out, const void *data, size_t size)
{
	static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
	const uint8_t *bytes = data;

	add_comma(out);
	buf_add_char(out, '"');
	for (size_t i = 0; i < size; i += 3) {
		size_t n = MIN(size - i, (size_t)3);
		uint32_t word = (uint32_t)bytes[i] << 16 | (n > 1 ? (uint32_t)bytes[i + 1] << 8 : 0) |
				(n > 2 ? bytes[i + 2] : 0);
		char group[4] = {digits[word >> 18], digits[word >> 12 & 63], n > 1 ? digits[word >> 6 & 63] : '=',
				 n > 2 ? digits[word & 63] : '='};

		buf_add(out, group, sizeof(group));
	}
	buf_add_char(out, '"');
}

static void add_digits(struct buf *out, uint64_t value, bool negative)
{
	char digits[21];
	char *at = digits + sizeof(digits);

	do
		*--at = (char)('0' + value % 10);
	while ((value /= 10) > 0);
	if (negative)
		*--at = '-';
	add_comma(out);
	buf_add(out, at, (size_t)(digits + sizeof(digits) - at));
}

void json_int(struct buf *out, int64_t value)
{
	add_digits(out, value < 0 ? 0 - (uint64_t)value : (uint64_t)value, value < 0);
}

void json_uint(struct buf *out, uint64_t value)
{
	add_digits(out, value, false);
}

void json_double(struct buf *out, double value)
{
	char text[NUMBER_TEXT_MAX];

	if (!isfinite(value)) {
		json_raw(out, "null");
		return;
	}
	add_comma(out);
	buf_add(out, text, format_double(value, text));
}

void json_float(struct buf *out, float value)
{
	char text[NUMBER_TEXT_MAX];

	if (!isfinite(value)) {
		json_raw(out, "null");
		return;
	}
	add_comma(out);
	buf_add(out, text, format_float(value, text));
}

void json_bool(struct buf *out, bool value)
{
	json_raw(out, value ? "true" : "false");
}

void json_raw(struct buf *out, const char *json)
{
	add_comma(out);
	buf_add_text(out, json);
}
