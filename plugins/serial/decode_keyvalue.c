/* SPDX-License-Identifier: Apache-2.0 */
/* Pairs in a line: T=21.5;H=40 */
#include "decode.h"
#include <string.h>

/* Where the pair ends, and how long the separator is. */
static size_t find_separator(struct text text, struct text separator, size_t *ret_size)
{
	const char *end = NULL;
	size_t at = 0;

	if (separator.size > 0) {
		end = text.size > 0 ? memmem(text.data, text.size, separator.data, separator.size) : NULL;
		*ret_size = end ? separator.size : 0;
		return end ? (size_t)(end - text.data) : text.size;
	}
	while (at < text.size && !memchr(";, \t\r\n", text.data[at], 6))
		at++;
	*ret_size = at < text.size;
	return at;
}

enum decoded decode_keyvalue(const struct decode_rules *rules, struct text frame, struct record *record,
			     const char **ret_error)
{
	struct text rest = text_trim(frame), assign = rules->assign;
	size_t n_pairs = 0;

	while (rest.size > 0) {
		size_t skip, size = find_separator(rest, rules->separator, &skip);
		struct text pair = text_trim((struct text){rest.data, size});
		const char *at = pair.size > 0 ? memmem(pair.data, pair.size, assign.data, assign.size) : NULL;

		rest.data += size + skip;
		rest.size -= size + skip;
		if (!at || at == pair.data)
			continue; /* a word between the pairs */

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
