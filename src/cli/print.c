/* SPDX-License-Identifier: Apache-2.0 */
#include "base/clock.h"
#include "base/units.h"
#include "cli/cli.h"
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#define WRAP_MIN 24 /* columns of a last cell that are worth reading */
#define INDENT 4

const char *colour_on(const struct cli *cli, enum colour colour)
{
	static const char *const codes[] = {"", "\x1b[1m", "\x1b[2m", "\x1b[31m", "\x1b[32m", "\x1b[33m"};

	return cli->colour ? codes[colour] : "";
}

const char *colour_off(const struct cli *cli)
{
	return cli->colour ? "\x1b[0m" : "";
}

void table_add(struct table *table, enum colour colour, const char *format, ...)
{
	va_list args;
	char *text = NULL;

	if (table->n_cells == table->capacity) {
		size_t capacity = MAX(table->capacity * 2, (size_t)64);
		struct table_cell *cells = reallocarray(table->cells, capacity, sizeof(*cells));

		if (!cells)
			abort();
		table->cells = cells;
		table->capacity = capacity;
	}
	va_start(args, format);
	if (vasprintf(&text, format, args) < 0)
		abort();
	va_end(args);
	text_make_printable(text);
	table->cells[table->n_cells++] = (struct table_cell){text, colour};
}

/* Characters, not bytes. */
static size_t width_of(const char *text)
{
	size_t n = 0;

	for (; *text; text++)
		n += ((unsigned char)*text & 0xc0) != 0x80;
	return n;
}

/* Of the terminal; SIZE_MAX: there is none, or it does not say. */
static size_t terminal_columns(void)
{
	struct winsize size = {0};

	return isatty(STDOUT_FILENO) && ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0 ? size.ws_col
													: SIZE_MAX;
}

/* How many bytes of text fit into so many columns, up to a blank where there is one. */
static size_t fitting(const char *text, size_t columns)
{
	size_t at = 0, blank = 0;

	for (size_t n = 0; text[at]; at++) {
		n += ((unsigned char)text[at] & 0xc0) != 0x80;
		if (n > columns)
			return blank > 0 ? blank : at;
		if (text[at] == ' ')
			blank = at;
	}
	return at;
}

/* A last cell that does not fit goes on in the lines below, under its own beginning; where that is too narrow to read,
   under the row. */
static void print_wrapped(const char *text, size_t indent)
{
	size_t columns = terminal_columns(), width = columns > indent ? columns - indent : 0;

	if (width < WRAP_MIN && columns >= 2 * INDENT + 1 && width_of(text) > width) {
		indent = INDENT;
		width = columns - indent;
		printf("\n%*s", (int)indent, "");
	}
	for (size_t n = fitting(text, width); width > 0 && text[n]; n = fitting(text, width)) {
		printf("%.*s\n%*s", (int)n, text, (int)indent, "");
		text += n;
		text += *text == ' ';
	}
	fputs(text, stdout);
}

void table_print(const struct cli *cli, struct table *table)
{
	size_t indent = 0;

	for (size_t i = 0; i < table->n_cells; i++) {
		const struct table_cell *cell = &table->cells[i];
		size_t column = i % table->n_columns, width = 0;
		bool last = column + 1 == table->n_columns;

		for (size_t k = column; k < table->n_cells; k += table->n_columns)
			width = MAX(width, width_of(table->cells[k].text));
		fputs(colour_on(cli, i < table->n_columns ? BOLD : cell->colour), stdout);
		if (last)
			print_wrapped(cell->text, indent);
		else
			fputs(cell->text, stdout);
		fputs(colour_off(cli), stdout);
		if (last)
			putchar('\n');
		else
			printf("%*s", (int)(width - width_of(cell->text) + 2), "");
		indent = last ? 0 : indent + width + 2;
	}
	for (size_t i = 0; i < table->n_cells; i++)
		free(table->cells[i].text);
	free(table->cells);
	table->cells = NULL;
	table->n_cells = table->capacity = 0;
}

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

const char *since_text(const json_t *object, const char *key, char *buffer)
{
	int64_t since_us = json_int_of(object, key) * (int64_t)USEC_PER_MSEC, now = clock_wall();

	return format_duration(now > since_us && since_us > 0 ? (uint64_t)(now - since_us) : 0, buffer);
}
