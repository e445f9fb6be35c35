/* SPDX-License-Identifier: Apache-2.0 */
#include "base/json_read.h"
#include "base/buf.h"
#include "base/units.h"
#include "base/util.h"
#include <string.h>

static size_t size_of_number(const char *text, size_t size)
{
	size_t n = 0;

	while (n < size && text[n] && strchr("-+.eE0123456789", text[n]))
		n++;
	return n;
}

json_t *json_read(const char *text, size_t size)
{
	_cleanup_buf_ struct buf out = {0};
	bool quoted = false;

	for (size_t at = 0; at < size;) {
		size_t n = quoted ? 0 : size_of_number(text + at, size - at);
		bool long_whole = n >= strlen("9223372036854775808") && !memchr(text + at, '.', n) &&
				  !memchr(text + at, 'e', n) && !memchr(text + at, 'E', n);

		if (n == 0) {
			n = quoted && text[at] == '\\' && at + 1 < size ? 2 : 1;
			quoted ^= text[at] == '"';
		}
		buf_printf(&out, "%s%.*s%s", long_whole ? "\"" : "", (int)n, text + at, long_whole ? "\"" : "");
		at += n;
	}
	return buf_failed(&out) ? NULL : json_loadb(buf_text(&out), out.size, 0, NULL);
}

const char *json_text_of(const json_t *object, const char *key)
{
	const char *text = json_string_value(json_object_get(object, key));

	return text ? text : "";
}

int64_t json_int_of(const json_t *object, const char *key)
{
	return json_integer_value(json_object_get(object, key));
}

double json_number_of(const json_t *object, const char *key)
{
	return json_number_value(json_object_get(object, key));
}

char *json_show(const json_t *value)
{
	char number[NUMBER_TEXT_MAX];

	if (json_is_string(value)) {
		char *text = strdup(json_string_value(value));

		if (text)
			text_make_printable(text);
		return text;
	}
	if (json_is_real(value)) {
		format_double(json_real_value(value), number);
		return strdup(number);
	}
	return value ? json_dumps(value, JSON_ENCODE_ANY) : strdup("-");
}
