/* SPDX-License-Identifier: Apache-2.0 */
/* Cells in a line: separated, or in quotes as RFC 4180 has them. Columns are counted from 1. */
#include "decode.h"
#include <stdlib.h>
#include <string.h>

#define COLUMNS_MAX (RECORD_ITEMS_MAX / 2)

/* A cell in quotes, with "" for a quote: undone in the names' room. False: there is no end of it. */
static bool take_quoted(struct text *rest, struct serial_record *record, struct text *ret)
{
	size_t room = record->names_size - record->names_used, n = 0, at = 1;
	char *into = record->names + record->names_used;

	for (; at < rest->size; at++) {
		if (rest->data[at] == '"' && (at + 1 == rest->size || rest->data[at + 1] != '"'))
			break;
		if (n == room)
			return false;
		into[n++] = rest->data[at];
		at += rest->data[at] == '"';
	}
	if (at >= rest->size)
		return false;
	record->names_used += n;
	*ret = (struct text){into, n};
	rest->data += at + 1;
	rest->size -= at + 1;
	return true;
}

/* The next cell, past its separator. 1: there is one; 0: no more; -1: the quotes are wrong. */
static int take_cell(struct text *rest, struct text separator, struct serial_record *record, struct text *ret,
		     bool *more)
{
	bool blank = separator.size == 1 && separator.data[0] == ' ', quoted = false;
	const char *end;

	if (!*more)
		return 0;
	*more = false;
	if (rest->size > 0 && rest->data[0] == '"') {
		if (!take_quoted(rest, record, ret))
			return -1;
		quoted = true;
	}
	end = rest->size > 0 ? memmem(rest->data, rest->size, separator.data, separator.size) : NULL;

	size_t size = end ? (size_t)(end - rest->data) : rest->size;

	if (!quoted)
		*ret = text_trim((struct text){rest->data, size});
	else if (text_trim((struct text){rest->data, size}).size > 0)
		return -1;
	if (end) {
		size += separator.size;
		while (blank && size < rest->size && rest->data[size] == ' ')
			size++;
		*more = true;
	}
	rest->data += size;
	rest->size -= size;
	return 1;
}

/* "- 450.38" cut at its blanks: minus 450.38, or a value that is missing before 450.38. That cannot be known, so it
   is no number at all. */
static void doubt_sign_apart(struct serial_record *record)
{
	struct text sign = record->n > 1 ? record->items[record->n - 2].text : (struct text){0};

	if (sign.size == 1 && memchr("+-", sign.data[0], 2) && text_looks_numeric(record->items[record->n - 1].text))
		record->items[record->n - 1].text.size = 0;
}

static bool is_header(const struct serial_record *record)
{
	bool any = false;

	for (size_t i = 0; i < record->n; i++) {
		struct text cell = record->items[i].text;

		/* 21,5 where no decimal comma was configured, or nan: broken values, and no names. */
		if (text_looks_numeric(cell) || text_is_not_a_number(text_trim(cell)))
			return false;
		any = any || cell.size > 0;
	}
	return any;
}

static bool keep_header(struct csv_columns *columns, const struct serial_record *record)
{
	size_t size = 1;
	char *names, *at;

	for (size_t i = 0; i < record->n; i++)
		size += record->items[i].text.size + 1;
	names = at = malloc(size);
	if (!names)
		return false;
	for (size_t i = 0; i < record->n; i++) {
		struct text cell = record->items[i].text;

		if (cell.size > 0)
			memcpy(at, cell.data, cell.size);
		for (size_t k = 0; k < cell.size; k++)
			if (at[k] == 0)
				at[k] = ' ';
		at += cell.size;
		*at++ = 0;
	}
	free(columns->names);
	*columns = (struct csv_columns){names, record->n};
	return true;
}

/* The name of the next column, from "a,b,c" of the configuration. */
static struct text next_column(const char **at)
{
	struct text name = {*at, strcspn(*at, ",")};

	*at += name.size + ((*at)[name.size] == ',');
	return text_trim(name);
}

static enum serial_decoded name_cells(const struct decode_rules *rules, const struct csv_columns *columns,
				      struct serial_record *record, const char **ret_error)
{
	const char *at = rules->columns ? rules->columns : columns->names ? columns->names : "";
	size_t n = record->n, named = 0;

	for (size_t i = 0; i < n; i++) {
		char digits[TEXT_NUMBER_MAX];
		struct text name = {0}, number = text_of_number(i + 1, digits);

		if (rules->columns) {
			name = next_column(&at);
		} else if (i < columns->n) {
			name = text_of(at);
			at += name.size + 1;
		}
		number = record_name(record, number, "", (struct text){0}, "");
		if (!number.data) {
			*ret_error = "it has too many cells";
			return DECODED_WRONG;
		}
		record->items[i].name = name.size > 0 ? name : number;
		named += name.size > 0;
		if (name.size > 0 && record_add_text(record, number, record->items[i].text, true) < 0) {
			*ret_error = "it has too many cells";
			return DECODED_WRONG;
		}
	}
	if ((rules->columns && *at) || (!rules->columns && n < columns->n)) {
		*ret_error = "it has fewer cells than there are columns";
		return DECODED_WRONG;
	}
	/* Before the header it is not known what the cells are; by their numbers they can be had. */
	if (rules->header && !rules->columns && named == 0)
		for (size_t i = 0; i < n; i++)
			record->items[i].hidden = true;
	return DECODED;
}

enum serial_decoded decode_csv(const struct decode_rules *rules, struct csv_columns *columns, struct text frame,
			       struct serial_record *record, const char **ret_error)
{
	struct text separator = rules->separator.size > 0 ? rules->separator : (struct text){",", 1};
	struct text rest = text_trim(frame), cell;
	bool more = true;
	int r;

	if (separator.size == 1 && separator.data[0] == '\t')
		rest = frame; /* an empty first or last cell is a blank there */
	*ret_error = "it has too many cells";
	while ((r = take_cell(&rest, separator, record, &cell, &more)) > 0) {
		if (record->n == COLUMNS_MAX || record_add_text(record, (struct text){0}, cell, false) < 0)
			return DECODED_WRONG;
		if (text_equal(separator, text_of(" ")))
			doubt_sign_apart(record);
	}
	if (r < 0) {
		*ret_error = "its quotes do not match";
		return DECODED_WRONG;
	}
	if (rules->header && is_header(record)) {
		*ret_error = "out of memory";
		return rules->columns || keep_header(columns, record) ? DECODED_OTHER : DECODED_WRONG;
	}
	return name_cells(rules, columns, record, ret_error);
}
