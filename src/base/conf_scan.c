/* SPDX-License-Identifier: Apache-2.0 */
/* Configuration text as tokens, by the lexical rules of libconfig; what it would read wrongly in silence is told. */
#include "base/conf_internal.h"

#include <ctype.h>
#include <errno.h>
#include <haywain/helpers.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#define INCLUDE_DEPTH_MAX 10 /* libconfig's own limit */
#define TOTAL_SIZE_MAX ((size_t)16 * 1024 * 1024)
#define ERRORS_MAX 100 /* in one file: past that it is no configuration */
#define QUOTED_MAX 60  /* how much of the text a message repeats */

struct conf_cursor {
	struct conf_scan *scan;
	const char *file;
	const char *at, *end;
	const char *line_start;
	unsigned line;
	unsigned depth;
};

static int scan_file(struct conf_scan *scan, const char *path, const char *text, size_t size, unsigned depth);

void scan_error(struct conf_scan *scan, const char *file, unsigned line, const char *format, ...)
{
	va_list args;

	if (scan->n_errors++ >= ERRORS_MAX)
		return;
	va_start(args, format);
	conf_error_v(scan->messages, file, line, format, args);
	va_end(args);
}

#define cursor_error(cursor, ...) scan_error((cursor)->scan, (cursor)->file, (cursor)->line, __VA_ARGS__)

static int add_token(struct conf_cursor *cursor, enum token_type type, const char *text, size_t size)
{
	struct conf_scan *scan = cursor->scan;

	if (scan->n_tokens == scan->n_allocated) {
		size_t n = scan->n_allocated ? scan->n_allocated * 2 : 256;
		struct conf_token *tokens = reallocarray(scan->tokens, n, sizeof(*tokens));

		if (!tokens)
			return -ENOMEM;
		scan->tokens = tokens;
		scan->n_allocated = n;
	}
	scan->tokens[scan->n_tokens++] = (struct conf_token){
		.type = type,
		.punct = type == TOKEN_PUNCT ? *text : '\0',
		.line = cursor->line,
		.file = cursor->file,
		.text = text,
		.size = size,
	};
	return 0;
}

static void new_line(struct conf_cursor *cursor)
{
	cursor->line++;
	cursor->line_start = cursor->at;
}

static bool is_name_char(char c)
{
	return isalnum((unsigned char)c) || c == '_' || c == '-' || c == '*';
}

static bool is_blank(char c)
{
	return c == ' ' || c == '\t' || c == '\r' || c == '\f';
}

/* What a page or a PDF brings along and no editor shows: how many bytes it takes, and its name; 0: it is none. */
static size_t invisible_size(const char *at, const char *end, const char **ret_name)
{
	static const struct {
		const char *bytes, *name;
	} characters[] = {
		{"\xc2\xa0", "a no-break space (U+00A0)"},
		{"\xc2\xad", "a soft hyphen (U+00AD)"},
		{"\xe2\x80\xaf", "a narrow no-break space (U+202F)"},
		{"\xe2\x80\x8b", "a zero-width space (U+200B)"},
		{"\xe2\x80\x8c", "a zero-width non-joiner (U+200C)"},
		{"\xe2\x80\x8d", "a zero-width joiner (U+200D)"},
		{"\xe2\x80\x8e", "a left-to-right mark (U+200E)"},
		{"\xe2\x80\x8f", "a right-to-left mark (U+200F)"},
		{"\xe2\x81\xa0", "a word joiner (U+2060)"},
		{"\xef\xbb\xbf", "a byte order mark (U+FEFF)"},
	};

	for (size_t i = 0; i < ELEMENTS(characters); i++) {
		size_t size = strlen(characters[i].bytes);

		if ((size_t)(end - at) >= size && memcmp(at, characters[i].bytes, size) == 0) {
			*ret_name = characters[i].name;
			return size;
		}
	}
	return 0;
}

static bool ends_token(char c)
{
	return is_blank(c) || c == '\n' || strchr("=;,(){}[]\"#", c) != NULL; /* strchr: the terminator, too */
}

/* ---- numbers ---- */

/* A whole number as libconfig takes it; false: it is none. */
static bool check_whole(struct conf_cursor *cursor, const char *text, size_t size)
{
	size_t at = 0, digits;
	bool negative = text[0] == '-', hex, is_long, too_long = false;
	uint64_t value = 0, limit;
	int width = (int)MIN(size, (size_t)QUOTED_MAX);

	hex = size > 2 && text[0] == '0' && (text[1] == 'x' || text[1] == 'X');
	if (hex)
		at = 2;
	else if (text[0] == '-' || text[0] == '+')
		at = 1;
	for (digits = at;
	     digits < size && (hex ? isxdigit((unsigned char)text[digits]) : isdigit((unsigned char)text[digits]));
	     digits++) {
		unsigned base = hex ? 16 : 10;
		unsigned char c = (unsigned char)tolower((unsigned char)text[digits]);
		unsigned digit = isdigit(c) ? (unsigned)(c - '0') : (unsigned)(c - 'a') + 10;

		if (__builtin_mul_overflow(value, (uint64_t)base, &value) ||
		    __builtin_add_overflow(value, (uint64_t)digit, &value))
			too_long = true;
	}
	if (digits == at)
		return false;
	is_long = digits < size && text[digits] == 'L';
	if (is_long && digits + 1 < size && text[digits + 1] == 'L')
		digits++;
	if (digits + (is_long ? 1 : 0) != size)
		return false;

	limit = (uint64_t)INT64_MAX + (negative ? 1 : 0);
	if (too_long || value > limit)
		cursor_error(cursor, "%.*s does not fit 64 bits: a whole number is at most 9223372036854775807", width,
			     text);
	else if (!is_long && value > (uint64_t)INT32_MAX + (negative ? 1 : 0))
		cursor_error(
			cursor,
			"%.*s does not fit 32 bits: write %.*sL; a time or a size has a unit, like \"5s\" or \"4KB\"",
			width, text, width, text);
	return true;
}

static bool check_float(struct conf_cursor *cursor, const char *text, size_t size)
{
	size_t at = 0, n_digits = 0;
	bool dotted = false, exponent = false;
	char *end;
	double value;

	if (text[at] == '-' || text[at] == '+')
		at++;
	for (; at < size && isdigit((unsigned char)text[at]); at++)
		n_digits++;
	if (at < size && text[at] == '.') {
		dotted = true;
		for (at++; at < size && isdigit((unsigned char)text[at]); at++)
			n_digits++;
	}
	if (n_digits > 0 && at < size && (text[at] == 'e' || text[at] == 'E')) {
		exponent = true;
		at++;
		if (at < size && (text[at] == '-' || text[at] == '+'))
			at++;
		if (at == size)
			return false;
		while (at < size && isdigit((unsigned char)text[at]))
			at++;
	}
	if (at != size || n_digits == 0 || !(dotted || exponent))
		return false;
	value = strtod(text, &end);
	if (!isfinite(value))
		cursor_error(cursor, "%.*s does not fit a float64", (int)MIN(size, (size_t)QUOTED_MAX), text);
	return true;
}

/* ---- the rest ---- */

/* What word processors and foreign keyboards put for a quote: how many bytes it takes, 0: it is none. */
static size_t foreign_quote(const char *at, const char *end)
{
	static const char *const quotes[] = {"“", "”", "„", "‟", "‘", "’", "‚", "«", "»", "″", "'", "`", "´"};

	for (size_t i = 0; i < ELEMENTS(quotes); i++)
		if ((size_t)(end - at) >= strlen(quotes[i]) && memcmp(at, quotes[i], strlen(quotes[i])) == 0)
			return strlen(quotes[i]);
	return 0;
}

/* A text between quotes that are none here, to its end as the person meant it. */
static int scan_foreign_string(struct conf_cursor *cursor)
{
	const char *start = cursor->at + foreign_quote(cursor->at, cursor->end), *at = start;

	while (at < cursor->end && *at != '\n' && *at != '"' && !foreign_quote(at, cursor->end))
		at++;
	cursor->at = at;
	if (at == cursor->end || *at == '\n')
		while (cursor->at > start && strchr(" \t\r;,)}]", cursor->at[-1]))
			cursor->at--;
	else
		cursor->at += *at == '"' ? 1 : foreign_quote(at, cursor->end);
	at = MIN(at, cursor->at);
	if (hay_is_utf8(start, (size_t)(at - start)))
		cursor_error(cursor, "wrong quotes: a text is written in straight double quotes, \"%.*s\"",
			     (int)MIN(at - start, QUOTED_MAX), start);
	else
		cursor_error(cursor, "this is not UTF-8: save the file as UTF-8");
	return add_token(cursor, TOKEN_BAD, start, (size_t)(at - start));
}

static int scan_string(struct conf_cursor *cursor)
{
	const char *start = ++cursor->at;
	const char *at;

	for (at = start; at < cursor->end && *at != '\n'; at++) {
		if (*at == '\\' && at + 1 < cursor->end && at[1] != '\n') {
			at++;
			continue;
		}
		if (*at != '"')
			continue;
		cursor->at = at + 1;
		if (!hay_is_utf8(start, (size_t)(at - start)))
			cursor_error(cursor, "this text is not UTF-8: save the file as UTF-8");
		return add_token(cursor, TOKEN_STRING, start, (size_t)(at - start));
	}
	for (const char *quote = start; quote < at; quote++) {
		size_t size = foreign_quote(quote, at);

		if (size == 0 || *quote == '\'')
			continue;
		cursor_error(cursor, "the text ends with %.*s, which is not a quote here: use \"", (int)size, quote);
		cursor->at = quote + size;
		return add_token(cursor, TOKEN_BAD, start, (size_t)(quote - start));
	}
	cursor_error(cursor, "the quote is not closed: a text begins and ends with \" on one line");
	/* What closes things at the end of the line does so still; this keeps one mistake from becoming five. */
	while (at > start && strchr(" \t\r;,)}]", at[-1]))
		at--;
	cursor->at = at;
	return add_token(cursor, TOKEN_BAD, start, (size_t)(at - start));
}

static int scan_include(struct conf_cursor *cursor)
{
	const char *at = cursor->at + strlen("@include"), *start;
	_cleanup_free_ char *name = NULL;
	struct conf_scan *scan = cursor->scan;
	struct conf_source *source;
	int r;

	for (const char *before = cursor->line_start; before < cursor->at; before++)
		if (!is_blank(*before)) {
			cursor_error(cursor, "@include must begin a line");
			goto skip_line;
		}
	while (at < cursor->end && is_blank(*at))
		at++;
	if (at == cursor->at + strlen("@include") || at == cursor->end || *at != '"') {
		cursor_error(cursor, "@include needs a file in quotes, like @include \"devices.conf\"");
		goto skip_line;
	}
	start = ++at;
	while (at < cursor->end && *at != '"' && *at != '\n')
		at++;
	if (at == cursor->end || *at != '"') {
		cursor_error(cursor, "the quote of @include is not closed");
		goto skip_line;
	}
	cursor->at = at + 1;
	name = strndup(start, (size_t)(at - start));
	if (!name)
		return -ENOMEM;
	if (!scan->include_dir) {
		cursor_error(cursor, "@include is not allowed here");
		return 0;
	}
	if (name[0] == '/') {
		cursor_error(cursor, "@include takes a path relative to this file, not %s", name);
		return 0;
	}
	if (cursor->depth >= INCLUDE_DEPTH_MAX) {
		cursor_error(cursor, "@include is nested deeper than %d files: does a file include itself?",
			     INCLUDE_DEPTH_MAX);
		return -ELOOP;
	}

	source = calloc(1, sizeof(*source));
	if (!source)
		return -ENOMEM;
	source->next = scan->sources;
	scan->sources = source;
	if (asprintf(&source->path, "%s/%s", scan->include_dir, name) < 0) {
		source->path = NULL;
		return -ENOMEM;
	}
	r = source_read(source->path, &source->text, &source->size);
	if (r == -ENOENT && strpbrk(name, "*?[")) {
		cursor_error(
			cursor,
			"@include takes one file, not a pattern; files in conf.d that end in .conf are read anyway");
		return 0;
	}
	if (r < 0) {
		_cleanup_buf_ struct buf advice = {0};

		conf_add_advice(&advice, scan->messages, source->path, -r);
		cursor_error(cursor, "the included file %s cannot be read: %s%s", source->path, strerror(-r),
			     buf_text(&advice));
		return 0;
	}
	return scan_file(scan, source->path, source->text, source->size, cursor->depth + 1);

skip_line:
	while (cursor->at < cursor->end && *cursor->at != '\n')
		cursor->at++;
	return 0;
}

static int scan_comment(struct conf_cursor *cursor)
{
	unsigned first_line = cursor->line;

	if (*cursor->at == '#' || cursor->at[1] == '/') {
		while (cursor->at < cursor->end && *cursor->at != '\n')
			cursor->at++;
		return 0;
	}
	for (cursor->at += 2; cursor->at + 1 < cursor->end; cursor->at++) {
		if (cursor->at[0] == '*' && cursor->at[1] == '/') {
			cursor->at += 2;
			return 0;
		}
		if (*cursor->at == '\n') {
			cursor->line++;
			cursor->line_start = cursor->at + 1;
		}
	}
	cursor->at = cursor->end;
	scan_error(cursor->scan, cursor->file, first_line, "the comment is not closed: */ is missing");
	return 0;
}

static int scan_name_or_number(struct conf_cursor *cursor)
{
	const char *start = cursor->at, *at = start;
	size_t size;
	int width;

	if (isalpha((unsigned char)*at) || *at == '*') {
		while (at < cursor->end && is_name_char(*at))
			at++;
		size = (size_t)(at - start);
		cursor->at = at;
		if ((size == 4 && strncasecmp(start, "true", 4) == 0) ||
		    (size == 5 && strncasecmp(start, "false", 5) == 0))
			return add_token(cursor, TOKEN_BOOL, start, size);
		return add_token(cursor, TOKEN_NAME, start, size);
	}

	/* A comment may follow a number without a space. */
	while (at < cursor->end && !ends_token(*at) && !invisible_size(at, cursor->end, &(const char *){NULL}) &&
	       !(*at == '/' && at + 1 < cursor->end && (at[1] == '/' || at[1] == '*')))
		at++;
	if (at == start)
		at++;
	size = (size_t)(at - start);
	cursor->at = at;
	if (check_whole(cursor, start, size) || check_float(cursor, start, size))
		return add_token(cursor, TOKEN_NUMBER, start, size);
	width = (int)MIN(size, (size_t)QUOTED_MAX);
	if (hay_is_utf8(start, size))
		cursor_error(cursor, "%.*s makes no sense here: a text needs quotes, \"%.*s\"", width, start, width,
			     start);
	else
		cursor_error(cursor, "this is not UTF-8: save the file as UTF-8");
	return add_token(cursor, TOKEN_BAD, start, size);
}

static int scan_token(struct conf_cursor *cursor)
{
	const char *name;
	size_t size = invisible_size(cursor->at, cursor->end, &name);
	char c = *cursor->at;

	if (size > 0) {
		cursor_error(cursor, "invisible character: %s; delete it, or replace it with a space", name);
		cursor->at += size;
		return 0;
	}
	if (c == '#' || (c == '/' && cursor->at + 1 < cursor->end && (cursor->at[1] == '/' || cursor->at[1] == '*')))
		return scan_comment(cursor);
	if (c == '"')
		return scan_string(cursor);
	if (foreign_quote(cursor->at, cursor->end))
		return scan_foreign_string(cursor);
	if (strchr("=:;,{}()[]", c)) {
		cursor->at++;
		return add_token(cursor, TOKEN_PUNCT, cursor->at - 1, 1);
	}
	if (strncmp(cursor->at, "@include", strlen("@include")) == 0)
		return scan_include(cursor);
	return scan_name_or_number(cursor);
}

static int scan_file(struct conf_scan *scan, const char *path, const char *text, size_t size, unsigned depth)
{
	struct conf_cursor cursor = {
		.scan = scan,
		.file = path,
		.at = text,
		.end = text + size,
		.line_start = text,
		.line = 1,
		.depth = depth,
	};
	int r;

	if (memchr(text, '\0', size)) {
		bool utf16 = size >= 2 && (memcmp(text, "\xff\xfe", 2) == 0 || memcmp(text, "\xfe\xff", 2) == 0);

		cursor_error(&cursor, utf16 ? "this file is UTF-16: save it as UTF-8"
					    : "not a text file: it contains a zero byte");
		return -EBADMSG;
	}
	scan->total_size += size;
	if (scan->total_size > TOTAL_SIZE_MAX) {
		cursor_error(&cursor, "the configuration is larger than 16 MB");
		return -EBADMSG;
	}
	if (memchr(text, '\r', size) && !memchr(text, '\n', size)) {
		cursor_error(&cursor, "this file has old Mac line endings (CR): save it with Unix line endings (LF)");
		return -EBADMSG;
	}
	while (cursor.at < cursor.end) {
		if (*cursor.at == '\n') {
			cursor.at++;
			new_line(&cursor);
		} else if (is_blank(*cursor.at)) {
			cursor.at++;
		} else {
			r = scan_token(&cursor);
			if (r < 0)
				return r;
		}
	}
	scan->last_line = cursor.line;
	if (cursor.at > text && cursor.at[-1] == '\n' && cursor.line > 1)
		scan->last_line--;
	return 0;
}

int scan_text(struct conf_scan *scan, const char *path, const char *text, size_t size)
{
	struct conf_cursor last = {.scan = scan, .file = path};
	int r;

	r = scan_file(scan, path, text, size, 0);
	if (r == -ENOMEM)
		return r;
	if (r < 0)
		return -EBADMSG; /* told; what follows would make no sense */
	last.line = scan->last_line;
	return add_token(&last, TOKEN_END, "", 0);
}

void scan_done(struct conf_scan *scan)
{
	while (scan->sources) {
		struct conf_source *next = scan->sources->next;

		free(scan->sources->path);
		free(scan->sources->text);
		free(scan->sources);
		scan->sources = next;
	}
	free(scan->tokens);
	*scan = (struct conf_scan){0};
}
