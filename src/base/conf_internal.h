/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of conf share among themselves. */
#ifndef HAYWAIN_BASE_CONF_INTERNAL_H
#define HAYWAIN_BASE_CONF_INTERNAL_H

#include "base/conf.h"

/* ---- source text as tokens ---- */

enum token_type {
	TOKEN_END,
	TOKEN_NAME,   /* a key, or a word that lacks its quotes */
	TOKEN_NUMBER, /* whole or not; its size was checked */
	TOKEN_BOOL,
	TOKEN_STRING,
	TOKEN_BAD,   /* was told already; stands where a value might */
	TOKEN_PUNCT, /* one of = : ; , { } ( ) [ ] */
};

struct conf_token {
	enum token_type type;
	char punct;
	unsigned line;
	const char *file;
	const char *text; /* in the source */
	size_t size;
};

struct conf_source {
	struct conf_source *next;
	char *path, *text;
	size_t size;
};

struct conf_scan {
	struct conf_messages *messages;
	unsigned n_errors;
	unsigned last_line;
	size_t total_size;
	const char *include_dir; /* NULL: no @include */
	struct conf_source *sources;
	struct conf_token *tokens;
	size_t n_tokens, n_allocated;
};

/* Reads a whole file of at most 16 MB, terminated. -EFBIG. */
int source_read(const char *path, char **ret, size_t *ret_size);

/* Tokens of path's text and of what it includes. 0 or -ENOMEM; mistakes are counted. */
int scan_text(struct conf_scan *scan, const char *path, const char *text, size_t size);
void scan_done(struct conf_scan *scan);
void scan_error(struct conf_scan *scan, const char *file, unsigned line, const char *format, ...) _printf_(4, 5);

/* The grammar over the tokens: every mistake becomes a message. */
int syntax_check(struct conf_scan *scan); /* -ENOMEM: not all was looked at */

/* ---- one option ---- */

/* The text of a default or of the command line. -EINVAL, -ERANGE. limits false: a default. */
int option_set_text(const struct hay_option *option, void *into, const char *text, bool limits, struct pool *pool);

/* The value of a setting; false: a mistake was told. */
bool option_set(const struct hay_option *option, void *into, const config_setting_t *setting, struct pool *pool,
		struct conf_messages *messages);

void option_defaults(const struct hay_option *table, void *into, struct pool *pool);

#endif
