/* SPDX-License-Identifier: Apache-2.0 */
/* Messages about the configuration, and the guess at what was meant. */
#include "base/conf.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

void conf_messages_done(struct conf_messages *messages)
{
	struct conf_message *message = messages->first;

	while (message) {
		struct conf_message *next = message->next;

		if (message != &messages->spare)
			free(message);
		message = next;
	}
	*messages = (struct conf_messages){0};
}

/* A model that three devices share is walked three times; its mistake is still one. */
static bool is_known(const struct conf_messages *messages, const struct conf_message *message)
{
	for (const struct conf_message *other = messages->first; other; other = other->next)
		if (other->line == message->line && other->warning == message->warning &&
		    strcmp(other->file, message->file) == 0 && strcmp(other->text, message->text) == 0)
			return true;
	return false;
}

/* What a setting holds may stand in a message: a line break in it must not break the message. Takes text. */
static char *escape_controls(char *text)
{
	size_t n = 0, size = strlen(text);
	char *escaped, *into;

	for (size_t i = 0; i < size; i++)
		n += (unsigned char)text[i] < ' ' || text[i] == 0x7f;
	if (n == 0)
		return text;
	escaped = into = calloc(1, size + 3 * n + 1);
	for (size_t i = 0; escaped && i < size; i++) {
		unsigned char c = (unsigned char)text[i];

		if (c >= ' ' && c != 0x7f)
			*into++ = (char)c;
		else if (c == '\n' || c == '\t')
			into = stpcpy(into, c == '\n' ? "\\n" : "\\t");
		else
			into += sprintf(into, "\\x%02x", c);
	}
	free(text);
	return escaped;
}

static void add_message(struct conf_messages *messages, bool warning, const char *file, unsigned line,
			const char *format, va_list args) _printf_(5, 0);
static void add_message(struct conf_messages *messages, bool warning, const char *file, unsigned line,
			const char *format, va_list args)
{
	struct conf_message *message = NULL;
	_cleanup_free_ char *text = NULL;

	if (vasprintf(&text, format, args) < 0)
		text = NULL;
	else
		text = escape_controls(text);
	if (text) {
		size_t text_size = strlen(text) + 1, file_size = strlen(file) + 1;
		char *words;

		message = malloc(sizeof(*message) + text_size + file_size);
		if (message) {
			words = (char *)(message + 1);
			memcpy(words, text, text_size);
			memcpy(words + text_size, file, file_size);
			*message = (struct conf_message){
				.warning = warning, .line = line, .file = words + text_size, .text = words};
		}
	}
	if (message && is_known(messages, message)) {
		free(message);
		return;
	}
	/* Counted even where there is no memory for the words, and told: a mistake must not pass for none. */
	if (!message && !messages->spare_used) {
		message = &messages->spare;
		*message = (struct conf_message){.warning = warning,
						 .file = "configuration",
						 .text = "out of memory: a message is missing here"};
		messages->spare_used = true;
	}
	if (message) {
		if (messages->last)
			messages->last->next = message;
		else
			messages->first = message;
		messages->last = message;
	}
	if (warning)
		messages->n_warnings++;
	else
		messages->n_errors++;
}

void conf_error_v(struct conf_messages *messages, const char *file, unsigned line, const char *format, va_list args)
{
	add_message(messages, false, file, line, format, args);
}

void conf_warning_v(struct conf_messages *messages, const char *file, unsigned line, const char *format, va_list args)
{
	add_message(messages, true, file, line, format, args);
}

void conf_error(struct conf_messages *messages, const char *file, unsigned line, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	add_message(messages, false, file, line, format, args);
	va_end(args);
}

void conf_warning(struct conf_messages *messages, const char *file, unsigned line, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	add_message(messages, true, file, line, format, args);
	va_end(args);
}

void conf_messages_print(const struct conf_messages *messages)
{
	for (const struct conf_message *at = messages->first; at; at = at->next) {
		fputs(at->file, stderr);
		if (at->line > 0)
			fprintf(stderr, ":%u", at->line);
		fprintf(stderr, ": %s%s\n", at->warning ? "warning: " : "", at->text);
	}
}

/* ---- the nearest word ---- */

#define WORD_MAX 64 /* longer words are not guessed at */

/* Edits that turn a into b, a swap of neighbours counting as one. */
static unsigned edit_distance(const char *a, size_t a_size, const char *b, size_t b_size)
{
	unsigned rows[3][WORD_MAX + 1];
	unsigned *before = rows[0], *last = rows[1], *row = rows[2];

	for (size_t j = 0; j <= b_size; j++)
		last[j] = (unsigned)j;
	for (size_t i = 1; i <= a_size; i++) {
		unsigned *swap;

		row[0] = (unsigned)i;
		for (size_t j = 1; j <= b_size; j++) {
			unsigned cost = a[i - 1] == b[j - 1] ? 0 : 1;
			unsigned best = MIN(MIN(last[j] + 1, row[j - 1] + 1), last[j - 1] + cost);

			if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
				best = MIN(best, before[j - 2] + 1);
			row[j] = best;
		}
		swap = before;
		before = last;
		last = row;
		row = swap;
	}
	return last[b_size];
}

void conf_nearest_try(struct conf_nearest *nearest, const char *candidate)
{
	size_t size = strlen(nearest->word), candidate_size = strlen(candidate);
	unsigned distance, limit;

	if (size == 0 || size > WORD_MAX || candidate_size == 0 || candidate_size > WORD_MAX)
		return;
	distance = edit_distance(nearest->word, size, candidate, candidate_size);
	limit = (unsigned)MAX(size, candidate_size) / 3;
	if (distance > MAX(limit, 1) || distance >= MIN(size, candidate_size)) {
		/* `user` of `username`, `addr` of `address`: short for it; any word with a mere slip is nearer. */
		if (size < 3 || strncmp(nearest->word, candidate, size) != 0)
			return;
		distance = WORD_MAX;
	}
	if (!nearest->best || distance < nearest->distance) {
		nearest->best = candidate;
		nearest->distance = distance;
	}
}

const char *conf_nearest_text(struct conf_nearest *nearest, struct pool *pool)
{
	const char *text;

	if (!nearest->best)
		return "";
	text = pool_printf(pool, ", did you mean `%s`?", nearest->best);
	return text ? text : "";
}
