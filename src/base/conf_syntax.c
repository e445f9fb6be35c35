/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The grammar of libconfig, walked so that every mistake is found and named, not only the first. After one the
 * walk goes on where a person would: at most one message a line, and a bracket that is missing is told once.
 */
#include "base/conf_internal.h"

#include <errno.h>
#include <string.h>

#define DEPTH_MAX 32
#define SYNTAX_GUESSES_MAX 20 /* each may look through the whole file */
#define KEYS_MAX 4096	      /* in one group: they are compared with each other */
#define WIDTH(token) (int)MIN((token)->size, (size_t)60), (token)->text

struct syntax_walk {
	struct conf_scan *scan;
	size_t at;
	unsigned depth;
	char open[DEPTH_MAX + 1]; /* the brackets around here: `depth` of them */
	bool out_of_memory;	  /* nothing more is told: the walk was cut short */
};

static void check_settings(struct syntax_walk *walk, const struct conf_token *opener);
static void check_value(struct syntax_walk *walk);

static const struct conf_token *peek_token(const struct syntax_walk *walk)
{
	return &walk->scan->tokens[walk->at];
}

static const struct conf_token *peek_next_token(const struct syntax_walk *walk)
{
	const struct conf_token *token = peek_token(walk);

	return token->type == TOKEN_END ? token : token + 1;
}

static const struct conf_token *take_token(struct syntax_walk *walk)
{
	const struct conf_token *token = peek_token(walk);

	if (token->type != TOKEN_END)
		walk->at++;
	return token;
}

static bool is_punct(const struct conf_token *token, const char *puncts)
{
	return token->type == TOKEN_PUNCT && strchr(puncts, token->punct);
}

static bool same_line(const struct conf_token *a, const struct conf_token *b)
{
	return a->line == b->line && strcmp(a->file, b->file) == 0;
}

static bool is_reported(const struct syntax_walk *walk, const struct conf_token *token)
{
	for (const struct conf_message *message = walk->scan->messages->first; message; message = message->next)
		if (message->line == token->line && strcmp(message->file, token->file) == 0)
			return true;
	return false;
}

#define syntax_error(walk, token, ...)                                                                                 \
	do {                                                                                                           \
		if ((walk)->out_of_memory)                                                                             \
			break;                                                                                         \
		if (!is_reported((walk), (token)))                                                                     \
			scan_error((walk)->scan, (token)->file, (token)->line, __VA_ARGS__);                           \
		else                                                                                                   \
			(walk)->scan->n_errors++;                                                                      \
	} while (0)

static char closer_of(char opener)
{
	return opener == '{' ? '}' : opener == '(' ? ')' : ']';
}

static void not_closed(struct syntax_walk *walk, const struct conf_token *opener, const struct conf_token *here)
{
	char closer = closer_of(opener->punct);

	/* Told where it was opened: that is where the person looks for its end. */
	if (here->type == TOKEN_END)
		syntax_error(walk, opener, "the `%c` is not closed: `%c` is missing before the end of the file",
			     opener->punct, closer);
	else
		syntax_error(walk, opener, "the `%c` is not closed: `%c` is missing before line %u", opener->punct,
			     closer, here->line);
}

/* How far the brackets fit each other from `at` on, with so many of those around it still open. */
static size_t fits_until(const struct syntax_walk *walk, size_t at, unsigned depth)
{
	const struct conf_token *tokens = walk->scan->tokens;
	char open[DEPTH_MAX + 1];

	memcpy(open, walk->open, depth);
	for (; tokens[at].type != TOKEN_END; at++) {
		if (is_punct(&tokens[at], "{([")) {
			if (depth == DEPTH_MAX)
				return at;
			open[depth++] = tokens[at].punct;
		} else if (is_punct(&tokens[at], "})]")) {
			if (depth == 0 || closer_of(open[depth - 1]) != tokens[at].punct)
				return at;
			depth--;
		}
	}
	return depth == 0 ? SIZE_MAX : at;
}

/*
 * A closing bracket that is not the opener's: either the opener's own was forgotten before it, or this one is one too
 * many. What makes more of the rest fit is what the person did. False: forgotten, and told so.
 */
static bool skip_stray(struct syntax_walk *walk, const struct conf_token *opener)
{
	const struct conf_token *token = peek_token(walk);

	if (token->type == TOKEN_END || walk->scan->n_errors > SYNTAX_GUESSES_MAX ||
	    fits_until(walk, walk->at + 1, walk->depth) <= fits_until(walk, walk->at, walk->depth - 1)) {
		not_closed(walk, opener, token);
		return false;
	}
	syntax_error(walk, token, "a `%c` too many: the `%c` of line %u is still open", token->punct, opener->punct,
		     opener->line);
	take_token(walk);
	return true;
}

/* To the end of a setting that went wrong, but not past its line or a closing bracket. */
static void skip_rest(struct syntax_walk *walk, const struct conf_token *from)
{
	while (peek_token(walk)->type != TOKEN_END && !is_punct(peek_token(walk), ";,)}]") &&
	       same_line(peek_token(walk), from))
		take_token(walk);
}

static bool is_value(const struct conf_token *token)
{
	return token->type == TOKEN_NUMBER || token->type == TOKEN_BOOL || token->type == TOKEN_STRING ||
	       token->type == TOKEN_BAD || is_punct(token, "{([");
}

static void check_elements(struct syntax_walk *walk, const struct conf_token *opener);

/* a = "x; b = "y": the text ends where the next one was meant to begin, and a word touches its quote. */
static void check_text_end(struct syntax_walk *walk, const struct conf_token *text)
{
	const struct conf_token *next = peek_token(walk);

	if (next->type != TOKEN_END && next->type != TOKEN_PUNCT && next->text == text->text + text->size + 1 &&
	    memchr(text->text, '=', text->size))
		syntax_error(walk, text, "a `\"` is missing: the text \"%.*s\" runs into `%.*s`", WIDTH(text),
			     WIDTH(next));
}

static void check_value(struct syntax_walk *walk)
{
	const struct conf_token *token = take_token(walk);

	if (token->type == TOKEN_STRING) {
		while (peek_token(walk)->type == TOKEN_STRING)
			token = take_token(walk);
		check_text_end(walk, token);
		return;
	}
	if (token->type != TOKEN_PUNCT)
		return;
	if (walk->depth >= DEPTH_MAX) {
		syntax_error(walk, token, "the brackets are nested deeper than %d", DEPTH_MAX);
		walk->at = walk->scan->n_tokens - 1;
		return;
	}
	walk->open[walk->depth++] = token->punct;
	if (token->punct == '{')
		check_settings(walk, token);
	else
		check_elements(walk, token);
	walk->depth--;
}

/* A bare word where a value belongs. */
static void check_unquoted(struct syntax_walk *walk, const struct conf_token *word)
{
	static const char *const switches[] = {"yes", "no", "on", "off"};

	for (size_t i = 0; i < ELEMENTS(switches); i++)
		if (strlen(switches[i]) == word->size && strncasecmp(switches[i], word->text, word->size) == 0) {
			syntax_error(walk, word, "%.*s makes no sense here: write true or false", WIDTH(word));
			return;
		}
	syntax_error(walk, word, "%.*s makes no sense here: a text needs quotes, \"%.*s\"", WIDTH(word), WIDTH(word));
}

/* What stands in ( … ) or [ … ]. */
static void check_elements(struct syntax_walk *walk, const struct conf_token *opener)
{
	char closer[2] = {closer_of(opener->punct), '\0'};
	const struct conf_token *last = NULL; /* the last of the element before, or its comma */
	bool after_comma = false, after_value = false;

	if (peek_token(walk)->type == TOKEN_NAME && is_punct(peek_next_token(walk), "=:")) {
		syntax_error(walk, opener, "a group is written { … }, a list of groups ( { … }, { … } )");
		check_settings(walk, opener);
		return;
	}
	for (;;) {
		const struct conf_token *token = peek_token(walk);

		if (is_punct(token, closer)) {
			if (after_comma)
				syntax_error(walk, last, "a `,` too many: nothing follows it before the `%s`", closer);
			take_token(walk);
			return;
		}
		if (token->type == TOKEN_END || is_punct(token, ")]}")) {
			if (!skip_stray(walk, opener))
				return;
			continue;
		}
		if (token->type == TOKEN_NAME && is_punct(peek_next_token(walk), "=:") && opener->line != token->line) {
			/* A key: the list ended before it, and its bracket was forgotten. */
			not_closed(walk, opener, token);
			return;
		}
		if (is_punct(token, ",")) {
			if (!after_value)
				syntax_error(walk, token, "a `,` too many: there is no value before it");
			after_comma = true;
			after_value = false;
			last = take_token(walk);
			continue;
		}
		if (is_punct(token, ";=:")) {
			syntax_error(walk, token,
				     token->punct == ';' ? "a `%c` where a `,` belongs" : "a `%c` makes no sense here",
				     token->punct);
			take_token(walk);
			after_value = after_comma = false;
			continue;
		}
		if (after_value)
			syntax_error(walk, last, "a `,` is missing after this");
		if (token->type == TOKEN_NAME && is_punct(peek_next_token(walk), "=:")) {
			syntax_error(walk, token, "`%.*s` needs braces around it: ( { %.*s = …; } )", WIDTH(token),
				     WIDTH(token));
			skip_rest(walk, token);
			after_value = after_comma = false;
			continue;
		}
		if (token->type == TOKEN_NAME) {
			check_unquoted(walk, token);
			take_token(walk);
		} else if (opener->punct == '[' && is_punct(token, "{([")) {
			syntax_error(walk, opener, "`[ ]` holds plain values: a list of groups is written ( … )");
			check_value(walk);
		} else {
			check_value(walk);
		}
		last = &walk->scan->tokens[walk->at - 1];
		after_value = true;
		after_comma = false;
	}
}

/* 0,1: the tokens 0 and , and 1 without anything between them. A group holds no values, so nobody means two. */
static bool is_decimal_comma(const struct conf_token *token)
{
	return is_punct(token + 1, ",") && token[2].type == TOKEN_NUMBER &&
	       token[1].text == token->text + token->size && token[2].text == token[1].text + 1;
}

static void check_setting(struct syntax_walk *walk, const struct conf_token *key)
{
	const struct conf_token *token = peek_token(walk);

	if (is_punct(token, "=:")) {
		take_token(walk);
	} else if (token->type == TOKEN_STRING && key->size == 7 && memcmp(key->text, "include", 7) == 0) {
		syntax_error(walk, key, "write @include \"%.*s\"", WIDTH(token));
		take_token(walk);
		return;
	} else {
		syntax_error(walk, key, "a `=` is missing after `%.*s`", WIDTH(key));
		if (!is_value(token) || !same_line(token, key)) {
			if (same_line(token, key))
				skip_rest(walk, key);
			return;
		}
	}

	token = peek_token(walk);
	if (token->type == TOKEN_NUMBER && is_decimal_comma(token)) {
		syntax_error(walk, token, "a comma in a number: write %.*s.%.*s, not %.*s,%.*s", WIDTH(token),
			     WIDTH(token + 2), WIDTH(token), WIDTH(token + 2));
		walk->at += 3;
	} else if (is_value(token)) {
		check_value(walk);
	} else if (token->type == TOKEN_NAME && (same_line(token, key) || !is_punct(peek_next_token(walk), "=:"))) {
		check_unquoted(walk, token);
		take_token(walk);
		skip_rest(walk, token);
	} else {
		syntax_error(walk, key, "`%.*s` has no value", WIDTH(key));
	}
}

static void check_twice(struct syntax_walk *walk, const struct conf_token *opener, const size_t *keys, size_t n_keys,
			const struct conf_token *key)
{
	for (size_t i = 0; i < n_keys; i++) {
		const struct conf_token *first = &walk->scan->tokens[keys[i]];

		if (first->size != key->size || memcmp(first->text, key->text, key->size) != 0)
			continue;
		/* At the top a list may go on in another file. */
		if (!opener && is_punct(peek_next_token(walk), "=:") && is_punct(peek_next_token(walk) + 1, "{"))
			syntax_error(walk, key,
				     "`%.*s` is defined twice; first defined at %s:%u: make one group of the two",
				     WIDTH(key), first->file, first->line);
		else if (opener || !is_punct(peek_next_token(walk), "=:") || !is_punct(peek_next_token(walk) + 1, "("))
			syntax_error(walk, key, "`%.*s` is defined twice in one group; first defined at %s:%u",
				     WIDTH(key), first->file, first->line);
		else
			syntax_error(
				walk, key,
				"`%.*s` is defined twice; first defined at %s:%u: merge the two lists, or move one to a file in conf.d",
				WIDTH(key), first->file, first->line);
		return;
	}
}

/* A bracket, or a key in quotes, where a key of the file belongs: somebody writes as in another format. */
static bool check_other_format(struct syntax_walk *walk, const struct conf_token *opener)
{
	const struct conf_token *token = peek_token(walk);

	if (token->type == TOKEN_STRING && is_punct(peek_next_token(walk), "=:")) {
		syntax_error(walk, token, "a key is written without quotes: %.*s", WIDTH(token));
		take_token(walk);
		check_setting(walk, token);
		return true;
	}
	if (opener || !is_punct(token, "[{"))
		return false;
	syntax_error(walk, token, "this looks like %s: here a section is written gateway: { id = \"…\"; };",
		     token->punct == '[' ? "TOML or INI" : "JSON");
	if (token->punct == '{')
		check_value(walk);
	else
		for (const struct conf_token *from = token;
		     peek_token(walk)->type != TOKEN_END && same_line(peek_token(walk), from);)
			take_token(walk);
	return true;
}

/* What stands in { … }, or in the file itself: opener NULL. In ( … ) it was told to be wrong. */
static void check_settings(struct syntax_walk *walk, const struct conf_token *opener)
{
	_cleanup_free_ size_t *keys = NULL;
	size_t n_keys = 0, n_allocated = 0;

	for (;;) {
		const struct conf_token *token = peek_token(walk);

		if (token->type == TOKEN_END) {
			if (opener)
				not_closed(walk, opener, token);
			return;
		}
		if (opener && token->type == TOKEN_PUNCT && token->punct == closer_of(opener->punct)) {
			take_token(walk);
			return;
		}
		if (is_punct(token, ")}]")) {
			if (opener) {
				if (!skip_stray(walk, opener))
					return;
				if (is_punct(peek_token(walk), ";,"))
					take_token(walk);
				continue;
			}
			syntax_error(walk, token, "a `%c` too many: nothing is open here", token->punct);
			take_token(walk);
			if (is_punct(peek_token(walk), ";,"))
				take_token(walk);
			continue;
		}
		if (token->type != TOKEN_NAME && check_other_format(walk, opener)) {
			if (is_punct(peek_token(walk), ";,"))
				take_token(walk);
			continue;
		}
		if (token->type != TOKEN_NAME) {
			if (is_punct(token, ";") && !opener && walk->at == 0)
				syntax_error(walk, token, "a `;` too many: a comment begins with #");
			else if (token->type == TOKEN_PUNCT)
				syntax_error(walk, token, "a `%c` too many", token->punct);
			else if (token->type != TOKEN_BAD)
				syntax_error(walk, token, "a key belongs here, not %.*s", WIDTH(token));
			if (is_punct(token, "{(["))
				check_value(walk);
			else
				take_token(walk);
			continue;
		}

		if (n_keys == n_allocated) {
			size_t n = n_allocated ? n_allocated * 2 : 16;
			size_t *grown = n <= KEYS_MAX ? reallocarray(keys, n, sizeof(*keys)) : NULL;

			if (!grown) {
				if (n > KEYS_MAX)
					syntax_error(walk, token, "there are too many keys in one group");
				else
					walk->out_of_memory = true;
				walk->at = walk->scan->n_tokens - 1;
				return;
			}
			keys = grown;
			n_allocated = n;
		}
		check_twice(walk, opener, keys, n_keys, token);
		keys[n_keys++] = walk->at;
		take_token(walk);
		check_setting(walk, token);
		if (is_punct(peek_token(walk), ";,"))
			take_token(walk);
	}
}

int syntax_check(struct conf_scan *scan)
{
	struct syntax_walk walk = {.scan = scan};

	check_settings(&walk, NULL);
	return walk.out_of_memory ? -ENOMEM : 0;
}
