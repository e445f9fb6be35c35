/* SPDX-License-Identifier: Apache-2.0 */
/* A pattern with named groups. Frames are bytes: no UTF mode, so that nothing that comes in can be refused. */
#define PCRE2_CODE_UNIT_WIDTH 8
#include "decode.h"
#include <errno.h>
#include <pcre2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A pattern that tries without end is stopped: a frame of 4 KB needs far less of both. */
#define MATCH_LIMIT 200000
#define DEPTH_LIMIT 2000
#define HEAP_LIMIT_KB 2048

struct regex {
	pcre2_code *code;
	pcre2_match_data *match;
	pcre2_match_context *context;
	uint32_t n_names, entry_size;
	PCRE2_SPTR names; /* entries: the group's number in 2 bytes, then its name */
};

int regex_new(const char *pattern, bool need_groups, struct regex **ret, char error[DECODE_ERROR_MAX])
{
	struct regex *regex = calloc(1, sizeof(*regex));
	PCRE2_SIZE at;
	int code;

	if (!regex)
		return -ENOMEM;
	regex->code = pcre2_compile((PCRE2_SPTR)pattern, PCRE2_ZERO_TERMINATED, PCRE2_DUPNAMES, &code, &at, NULL);
	if (!regex->code) {
		PCRE2_UCHAR text[160] = "";

		pcre2_get_error_message(code, text, sizeof(text));
		snprintf(error, DECODE_ERROR_MAX, "%s, at character %zu", (const char *)text, (size_t)at + 1);
		regex_free(regex);
		return -EINVAL;
	}
	pcre2_pattern_info(regex->code, PCRE2_INFO_NAMECOUNT, &regex->n_names);
	pcre2_pattern_info(regex->code, PCRE2_INFO_NAMEENTRYSIZE, &regex->entry_size);
	pcre2_pattern_info(regex->code, PCRE2_INFO_NAMETABLE, &regex->names);
	if (need_groups && regex->n_names == 0) {
		snprintf(error, DECODE_ERROR_MAX, "it has no named group, like (?<temp>[0-9.]+)");
		regex_free(regex);
		return -EINVAL;
	}
	regex->match = pcre2_match_data_create_from_pattern(regex->code, NULL);
	regex->context = pcre2_match_context_create(NULL);
	if (!regex->match || !regex->context) {
		regex_free(regex);
		return -ENOMEM;
	}
	pcre2_set_match_limit(regex->context, MATCH_LIMIT);
	pcre2_set_depth_limit(regex->context, DEPTH_LIMIT);
	pcre2_set_heap_limit(regex->context, HEAP_LIMIT_KB);
	*ret = regex;
	return 0;
}

struct regex *regex_free(struct regex *regex)
{
	if (regex) {
		pcre2_match_context_free(regex->context);
		pcre2_match_data_free(regex->match);
		pcre2_code_free(regex->code);
	}
	free(regex);
	return NULL;
}

static const char *group_name(const struct regex *regex, uint32_t i)
{
	return (const char *)regex->names + (size_t)i * regex->entry_size + 2;
}

bool regex_has_group(const struct regex *regex, const char *name)
{
	for (uint32_t i = 0; i < regex->n_names; i++)
		if (strcmp(group_name(regex, i), name) == 0)
			return true;
	return false;
}

int regex_match(struct regex *regex, struct text text, struct serial_record *record)
{
	const PCRE2_SIZE *places;
	int n = pcre2_match(regex->code, (PCRE2_SPTR)(text.data ? text.data : ""), text.size, 0, 0, regex->match,
			    regex->context);

	if (n == PCRE2_ERROR_NOMATCH)
		return 0;
	if (n < 0)
		return -E2BIG;
	places = pcre2_get_ovector_pointer(regex->match);
	for (uint32_t i = 0; record && i < regex->n_names; i++) {
		const uint8_t *entry = regex->names + (size_t)i * regex->entry_size;
		unsigned group = (unsigned)entry[0] << 8 | entry[1];
		struct text name = text_of((const char *)entry + 2), value;

		if (group >= (unsigned)n || places[2 * group] == PCRE2_UNSET ||
		    places[2 * group] > places[2 * group + 1])
			continue;
		value = (struct text){text.data + places[2 * group], places[2 * group + 1] - places[2 * group]};
		if (record_add_text(record, name, value, false) < 0)
			return -E2BIG;
	}
	return 1;
}
