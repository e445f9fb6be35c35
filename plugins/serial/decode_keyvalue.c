/* SPDX-License-Identifier: Apache-2.0 */
/* Pairs in a line: T=21.5;H=40 */
#include "decode.h"
#include <string.h>

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static size_t find_blank(struct text text, const char *any_of)
{
	size_t at = 0, n = strlen(any_of);

	while (at < text.size && !memchr(any_of, text.data[at], n))
		at++;
	return at;
}

/* 21,5 is one number. In 1=21,2=40 the comma separates: a key stands behind it. */
static bool comma_separates(struct text text, size_t at, struct text assign)
{
	struct text behind = {text.data + at + 1, text.size - at - 1};

	if (at == 0 || behind.size == 0 || !is_digit(text.data[at - 1]) || !is_digit(behind.data[0]))
		return true;
	behind.size = find_blank(behind, ";, \t\r\n");
	return memmem(behind.data, behind.size, assign.data, assign.size) != NULL;
}

/* Where the pair ends, and how long the separator is. */
static size_t find_separator(struct text text, const struct decode_rules *rules, size_t *ret_size)
{
	struct text separator = rules->separator;
	const char *end = NULL;
	size_t at = 0;

	if (separator.size > 0) {
		end = text.size > 0 ? memmem(text.data, text.size, separator.data, separator.size) : NULL;
		*ret_size = end ? separator.size : 0;
		return end ? (size_t)(end - text.data) : text.size;
	}
	for (;; at++) {
		at += find_blank((struct text){text.data + at, text.size - at}, ";, \t\r\n");
		if (at == text.size || text.data[at] != ',' || comma_separates(text, at, rules->assign))
			break;
	}
	*ret_size = at < text.size;
	return at;
}

/* A value torn from its key: the 5 of "T=21 5" would be ignored, and 21 taken for all of it. Before the first pair a
   number may count lines or name a sensor, unless an equals sign stands there: "T = 21". */
static bool is_torn(struct text word, size_t assign_size, bool behind_pair)
{
	struct text rest = text_trim((struct text){word.data + assign_size, word.size - assign_size});

	if (assign_size > 0 && rest.size == 0)
		return true;
	return (behind_pair || assign_size > 0) && text_looks_numeric(rest);
}

enum serial_decoded decode_keyvalue(const struct decode_rules *rules, struct text frame, struct serial_record *record,
				    const char **ret_error)
{
	struct text rest = text_trim(frame), assign = rules->assign;
	size_t n_pairs = 0;

	while (rest.size > 0) {
		size_t skip, size = find_separator(rest, rules, &skip);
		struct text pair = text_trim((struct text){rest.data, size});
		const char *at = pair.size > 0 ? memmem(pair.data, pair.size, assign.data, assign.size) : NULL;

		rest.data += size + skip;
		rest.size -= size + skip;
		if (!at || at == pair.data) {
			if (is_torn(pair, at ? assign.size : 0, n_pairs > 0)) {
				*ret_error = "a number stands in it without a key";
				return DECODED_WRONG;
			}
			continue; /* a word between the pairs */
		}

		struct text name = {pair.data, (size_t)(at - pair.data)};
		struct text value = {at + assign.size, pair.size - name.size - assign.size};

		if (record_add_text(record, text_trim(name), text_trim(value), false) < 0) {
			*ret_error = "it holds too many pairs";
			return DECODED_WRONG;
		}
		n_pairs++;
	}
	if (n_pairs > 0)
		return DECODED;
	*ret_error = "it holds no pair";
	return DECODED_WRONG;
}
