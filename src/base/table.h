/* SPDX-License-Identifier: Apache-2.0 */
/* Tables and colours for people who look at a terminal. */
#ifndef HAYWAIN_BASE_TABLE_H
#define HAYWAIN_BASE_TABLE_H

#include "base/util.h"

enum colour { PLAIN, BOLD, DIM, RED, GREEN, YELLOW };
/* What begins and ends a colour; "" where there are none. */
const char *colour_code(bool on, enum colour colour);
const char *colour_reset(bool on);

/* Columns as wide as their widest cell; printed when all rows are there. */
struct table {
	size_t n_columns, n_cells, capacity;
	struct table_cell *cells;
};
struct table_cell {
	char *text;
	enum colour colour;
};
void table_add(struct table *table, enum colour colour, const char *format, ...) _printf_(3, 4);
/* And empties it; the first row is the heading. A last cell that does not fit the terminal is wrapped. */
void table_print(struct table *table, bool colour);
void table_clear(struct table *table);

#endif
