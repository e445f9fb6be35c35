/* SPDX-License-Identifier: Apache-2.0 */
#include "api/http_request.h"
#include <ctype.h>
#include <haywain/helpers.h>
#include <string.h>
#include <strings.h>

/* A line without its end; NULL: it is not complete. */
static const char *take_line(const char **at, const char *end, size_t *ret_size)
{
	const char *begin = *at, *newline = memchr(begin, '\n', (size_t)(end - begin));

	if (!newline)
		return NULL;
	*at = newline + 1;
	*ret_size = (size_t)(newline - begin);
	if (*ret_size > 0 && newline[-1] == '\r')
		(*ret_size)--;
	return begin;
}

/* Decoded and terminated. 0; -400: what cannot be in a path; -414: it does not fit. */
static int decode_percent(const char *text, size_t size, char *ret, size_t ret_size)
{
	size_t n = 0;

	for (size_t i = 0; i < size; i++) {
		unsigned char c = (unsigned char)text[i];

		if (c == '%') {
			int byte = i + 2 < size ? hay_hex_byte(text + i + 1) : -1;

			if (byte < 0)
				return -400;
			c = (unsigned char)byte;
			i += 2;
		}
		if (c < 0x20 || c == 0x7f)
			return -400;
		if (n + 1 >= ret_size)
			return -414;
		ret[n++] = (char)c;
	}
	ret[n] = 0;
	return 0;
}

/* "GET /v1/status?x HTTP/1.1" */
static int parse_request_line(const char *line, size_t size, struct http_request *ret)
{
	const char *end = line + size, *space = memchr(line, ' ', size), *target, *query;
	size_t method_size = space ? (size_t)(space - line) : 0;

	if (method_size == 0)
		return -400;
	if (method_size >= sizeof(ret->method))
		return -501;
	for (size_t i = 0; i < method_size; i++)
		if (!isupper((unsigned char)line[i]))
			return -400;
	memcpy(ret->method, line, method_size);
	ret->method[method_size] = 0;
	target = space + 1;
	space = memchr(target, ' ', (size_t)(end - target));
	if (!space || target == space || *target != '/')
		return -400;
	if (end - space != strlen(" HTTP/1.1") || strncmp(space, " HTTP/1.", strlen(" HTTP/1.")) != 0)
		return end - space > 6 && strncmp(space, " HTTP/", 6) == 0 ? -505 : -400;
	if (end[-1] != '0' && end[-1] != '1')
		return -505;
	ret->keep_alive = end[-1] == '1';
	query = memchr(target, '?', (size_t)(space - target));
	if (query) {
		size_t query_size = (size_t)(space - query - 1);

		if (query_size >= sizeof(ret->query))
			return -414;
		memcpy(ret->query, query + 1, query_size);
		ret->query[query_size] = 0;
	}
	return decode_percent(target, (size_t)((query ? query : space) - target), ret->path, sizeof(ret->path));
}

static bool same_token(const char *text, size_t size, const char *word)
{
	return size == strlen(word) && strncasecmp(text, word, size) == 0;
}

static int parse_length(const char *text, size_t size, uint64_t *ret)
{
	uint64_t length = 0;

	if (size == 0)
		return -400;
	for (size_t i = 0; i < size; i++) {
		if (!isdigit((unsigned char)text[i]))
			return -400;
		if (length > UINT32_MAX)
			return -413;
		length = length * 10 + (uint64_t)(text[i] - '0');
	}
	*ret = length;
	return 0;
}

static int parse_header(const char *line, size_t size, struct http_request *ret, bool *has_length)
{
	const char *colon = memchr(line, ':', size), *value, *end = line + size;
	size_t name_size, value_size;

	/* A line that begins with a space would continue the one before: obsolete, and refused (section 5.2). */
	if (!colon || colon == line || isspace((unsigned char)*line) || isspace((unsigned char)colon[-1]))
		return -400;
	name_size = (size_t)(colon - line);
	for (value = colon + 1; value < end && isblank((unsigned char)*value); value++)
		;
	while (end > value && isblank((unsigned char)end[-1]))
		end--;
	value_size = (size_t)(end - value);
	if (same_token(line, name_size, "content-length")) {
		uint64_t length;
		int r = parse_length(value, value_size, &length);

		if (r < 0 || (*has_length && length != ret->body_size))
			return r < 0 ? r : -400;
		*has_length = true;
		ret->body_size = length;
	} else if (same_token(line, name_size, "transfer-encoding")) {
		return -501;
	} else if (same_token(line, name_size, "connection")) {
		if (same_token(value, value_size, "close"))
			ret->keep_alive = false;
	} else if (same_token(line, name_size, "expect")) {
		if (!same_token(value, value_size, "100-continue"))
			return -417;
		ret->wants_continue = true;
	}
	return 0;
}

int http_request_parse(const char *data, size_t size, struct http_request *ret)
{
	const char *at = data, *end = data + size, *line;
	bool has_length = false;
	size_t line_size;
	int r = 0;

	*ret = (struct http_request){0};
	line = take_line(&at, end, &line_size);
	if (line)
		r = parse_request_line(line, line_size, ret);
	while (line && r == 0) {
		line = take_line(&at, end, &line_size);
		if (line && line_size == 0)
			return at - data > HTTP_HEAD_MAX ? -431 : (int)(at - data);
		if (line)
			r = parse_header(line, line_size, ret, &has_length);
	}
	if (r < 0)
		return r;
	return size >= HTTP_HEAD_MAX ? -431 : 0;
}

static bool is_key(const char *parameter, size_t size, const char *key)
{
	return size == strlen(key) && strncmp(parameter, key, size) == 0;
}

int http_query_get(const char *query, const char *key, char *ret, size_t ret_size)
{
	int found = 0;

	while (*query) {
		size_t size = strcspn(query, "&"), key_size = strcspn(query, "=&");

		if (is_key(query, key_size, key)) {
			const char *value = query + key_size + (query[key_size] == '=');
			int r = found ? -400 : decode_percent(value, size - (size_t)(value - query), ret, ret_size);

			if (r < 0)
				return r;
			found = 1;
		}
		query += size;
		query += *query == '&';
	}
	return found;
}

size_t http_query_other(const char *query, const char *known, const char **ret)
{
	while (*query) {
		size_t key_size = strcspn(query, "=&");

		if (key_size > 0 && !(known && is_key(query, key_size, known))) {
			*ret = query;
			return key_size;
		}
		query += strcspn(query, "&");
		query += *query == '&';
	}
	return 0;
}
