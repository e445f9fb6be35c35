/* SPDX-License-Identifier: Apache-2.0 */
#include "base/table.h"
#include "base/util.h"
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#define WRAP_MIN 24 /* columns of a last cell that are worth reading */
#define INDENT 4

const char *colour_code(bool on, enum colour colour)
{
	static const char *const codes[] = {"", "\x1b[1m", "\x1b[2m", "\x1b[31m", "\x1b[32m", "\x1b[33m"};

	return on ? codes[colour] : "";
}

const char *colour_reset(bool on)
{
	return on ? "\x1b[0m" : "";
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
static size_t fitting_size(const char *text, size_t columns)
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
	for (size_t n = fitting_size(text, width); width > 0 && text[n]; n = fitting_size(text, width)) {
		printf("%.*s\n%*s", (int)n, text, (int)indent, "");
		text += n;
		text += *text == ' ';
	}
	fputs(text, stdout);
}

void table_print(struct table *table, bool colour)
{
	size_t indent = 0;

	for (size_t i = 0; i < table->n_cells; i++) {
		const struct table_cell *cell = &table->cells[i];
		size_t column = i % table->n_columns, width = 0;
		bool last = column + 1 == table->n_columns;

		for (size_t k = column; k < table->n_cells; k += table->n_columns)
			width = MAX(width, width_of(table->cells[k].text));
		fputs(colour_code(colour, i < table->n_columns ? BOLD : cell->colour), stdout);
		if (last)
			print_wrapped(cell->text, indent);
		else
			fputs(cell->text, stdout);
		fputs(colour_reset(colour), stdout);
		if (last)
			putchar('\n');
		else
			printf("%*s", (int)(width - width_of(cell->text) + 2), "");
		indent = last ? 0 : indent + width + 2;
	}
	table_clear(table);
}

void table_clear(struct table *table)
{
	for (size_t i = 0; i < table->n_cells; i++)
		free(table->cells[i].text);
	free(table->cells);
	table->cells = NULL;
	table->n_cells = table->capacity = 0;
}
