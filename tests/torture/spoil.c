/* SPDX-License-Identifier: Apache-2.0 */
#include "spoil.h"
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

enum { DB, WAL, SEQ };
#define PAGE ((size_t)4096)
#define SECTOR ((size_t)512)
/* A prime: with it every sector has its turn, and the first hundreds lie all over the file. */
#define STRIDE 7919

/* ---- one spoil ---- */

static void add(char *text, size_t size, const char *format, ...) _printf_(3, 4);
static void add(char *text, size_t size, const char *format, ...)
{
	size_t used = strlen(text);
	va_list args;

	va_start(args, format);
	vsnprintf(text + used, size - used, format, args);
	va_end(args);
}

static const char *file_name(size_t file)
{
	return file == DB ? "db" : file == WAL ? "wal" : "seq";
}

/* Where a byte is, as somebody with a hex editor and SQLite's file format wants it. */
static void add_place(char *text, size_t size, size_t file, size_t at)
{
	add(text, size, "%s%s byte %zu", *text ? ", " : "", file_name(file), at);
	if (file == DB)
		add(text, size, " (page %zu + %zu)", at / PAGE + 1, at % PAGE);
	else if (file == WAL && at >= 32)
		add(text, size, " (frame %zu + %zu)", (at - 32) / (PAGE + 24) + 1, (at - 32) % (PAGE + 24));
}

/* Without the zeros at the end of a log: room that nothing was written to yet. */
static size_t used_size(const struct stock_file *file)
{
	size_t size = file->size;

	while (size > 1 && file->bytes[size - 1] == 0)
		size--;
	return size;
}

static void flip(struct stock_file *files, size_t file, struct dice *dice, char *text, size_t size)
{
	uint64_t bit = dice_below(dice, used_size(&files[file]) * 8);

	files[file].bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
	add_place(text, size, file, bit / 8);
	add(text, size, ": bit %d flipped", (int)(bit % 8));
}

enum fill { ZEROS, ONES, NOISE };

static void fill(struct stock_file *files, size_t file, size_t at, size_t length, enum fill how, struct dice *dice,
		 char *text, size_t size)
{
	length = MIN(length, files[file].size - at);
	for (size_t i = 0; i < length; i++)
		files[file].bytes[at + i] = how == ZEROS ? 0 : how == ONES ? 0xff : (uint8_t)dice_next(dice);
	add_place(text, size, file, at);
	add(text, size, ": %zu bytes of %s", length, how == ZEROS ? "0x00" : how == ONES ? "0xff" : "noise");
}

static void cut(struct stock_file *files, size_t file, size_t length, char *text, size_t size)
{
	add_place(text, size, file, length);
	add(text, size, ": cut off");
	files[file].size = length;
}

/* Pages of queue.db, frames of the log: one is where another should be; with swap the other is here. */
static void move_page(struct stock_file *files, size_t file, bool swap, struct dice *dice, char *text, size_t size)
{
	size_t start = file == WAL ? 32 : 0, unit = file == WAL ? PAGE + 24 : PAGE;
	size_t used = used_size(&files[file]), n = used > start ? (used - start + unit - 1) / unit : 0;
	uint8_t page[PAGE + 24], *to, *from;
	size_t a, b;

	if (n < 2) {
		flip(files, file, dice, text, size);
		return;
	}
	a = dice_below(dice, n);
	b = (a + 1 + dice_below(dice, n - 1)) % n;
	to = files[file].bytes + start + a * unit;
	from = files[file].bytes + start + b * unit;
	memcpy(page, to, unit);
	memcpy(to, from, unit);
	if (swap)
		memcpy(from, page, unit);
	add(text, size, "%s%s: %s %zu %s %zu", *text ? ", " : "", file_name(file), file == WAL ? "frame" : "page",
	    a + 1, swap ? "changed places with" : "became a copy of", b + 1);
}

/* ---- kinds ---- */

static void bit_db(struct stock_file *files, uint64_t index _unused_, struct dice *dice, char *text, size_t size)
{
	flip(files, DB, dice, text, size);
}

static void bit_log(struct stock_file *files, uint64_t index _unused_, struct dice *dice, char *text, size_t size)
{
	flip(files, WAL, dice, text, size);
}

static void sector(struct stock_file *files, size_t file, uint64_t index, char *text, size_t size)
{
	size_t n = (used_size(&files[file]) + SECTOR - 1) / SECTOR, at = (index * STRIDE) % (2 * n);

	fill(files, file, at / 2 * SECTOR, SECTOR, at % 2 == 0 ? ZEROS : ONES, NULL, text, size);
}

static void sector_db(struct stock_file *files, uint64_t index, struct dice *dice _unused_, char *text, size_t size)
{
	sector(files, DB, index, text, size);
}

static void sector_log(struct stock_file *files, uint64_t index, struct dice *dice _unused_, char *text, size_t size)
{
	sector(files, WAL, index, text, size);
}

static void page(struct stock_file *files, uint64_t index, struct dice *dice, char *text, size_t size)
{
	size_t n = files[DB].size / PAGE, at = (index * STRIDE) % (3 * n);

	fill(files, DB, at / 3 * PAGE, PAGE, (enum fill)(at % 3), dice, text, size);
}

static void swap(struct stock_file *files, uint64_t index _unused_, struct dice *dice, char *text, size_t size)
{
	size_t file = files[WAL].size > 0 && dice_below(dice, 2) == 0 ? WAL : DB;

	move_page(files, file, dice_below(dice, 2) == 0, dice, text, size);
}

static void cut_off(struct stock_file *files, uint64_t index _unused_, struct dice *dice, char *text, size_t size)
{
	size_t file = files[WAL].size > 0 && dice_below(dice, 2) == 0 ? WAL : DB,
	       length = dice_below(dice, used_size(&files[file]));

	/* Where a file system loses the end of a file it is mostly whole blocks. */
	if (dice_below(dice, 2) == 0)
		length = length / SECTOR * SECTOR;
	cut(files, file, length, text, size);
}

static void mark(struct stock_file *files, uint64_t index _unused_, struct dice *dice, char *text, size_t size)
{
	switch (dice_below(dice, 4)) {
	case 0:
		cut(files, SEQ, dice_below(dice, files[SEQ].size), text, size);
		break;
	case 1:
		fill(files, SEQ, 0, files[SEQ].size, (enum fill)dice_below(dice, 3), dice, text, size);
		break;
	default:
		flip(files, SEQ, dice, text, size);
	}
}

static void one_of_many(struct stock_file *files, struct dice *dice, char *text, size_t size)
{
	uint64_t which = dice_below(dice, 10), how = dice_below(dice, 8);
	size_t file = which < 6 ? DB : which < 9 ? WAL : SEQ, at;

	if (files[file].size == 0)
		file = DB;
	if (files[file].size == 0)
		return;
	at = dice_below(dice, used_size(&files[file]));
	if (how == 0)
		cut(files, file, at, text, size);
	else if (how == 1 && file != SEQ)
		move_page(files, file, dice_below(dice, 2) == 0, dice, text, size);
	else if (how < 4)
		flip(files, file, dice, text, size);
	else
		fill(files, file, at, 1 + dice_below(dice, how == 7 ? 8192 : 64), (enum fill)dice_below(dice, 3), dice,
		     text, size);
}

static void mess(struct stock_file *files, uint64_t index _unused_, struct dice *dice, char *text, size_t size)
{
	for (uint64_t n = 1 + dice_below(dice, 4); n > 0; n--)
		one_of_many(files, dice, text, size);
}

static void nothing(struct stock_file *files _unused_, uint64_t index _unused_, struct dice *dice _unused_, char *text,
		    size_t size)
{
	add(text, size, "nothing");
}

const struct spoil_kind spoil_kinds[] = {
	{"none", "nothing, for comparison", STOCK_N_ENDS, 1, false, nothing},
	{"bit", "one bit of queue.db, clean end", STOCK_CLEAN, 16, false, bit_db},
	{"bit-unclean", "one bit of queue.db, unclean end", STOCK_UNCLEAN, 10, false, bit_db},
	{"bit-log", "one bit of queue.db-wal", STOCK_UNCLEAN_LOG, 10, false, bit_log},
	{"sector", "512 bytes of 0x00 or 0xff, clean end", STOCK_CLEAN, 8, false, sector_db},
	{"sector-unclean", "the same, unclean end", STOCK_UNCLEAN, 8, false, sector_db},
	{"sector-log", "the same in queue.db-wal", STOCK_UNCLEAN_LOG, 6, false, sector_log},
	{"page", "a page of 0x00, 0xff or noise", STOCK_N_ENDS, 8, false, page},
	{"swap", "two pages, or frames of the log, swapped", STOCK_N_ENDS, 6, false, swap},
	{"cut", "queue.db or its log cut off", STOCK_N_ENDS, 5, false, cut_off},
	{"mark", "queue.db.seq", STOCK_N_ENDS, 2, false, mark},
	{"mess", "1 to 4 spoils of all three files", STOCK_N_ENDS, 14, false, mess},
	{"killed", "the same, and killed while it is mended", STOCK_N_ENDS, 6, true, mess},
};
const size_t spoil_n_kinds = ELEMENTS(spoil_kinds);

void spoil_files(const struct spoil_kind *kind, uint64_t index, struct dice *dice, struct stock_file files[STOCK_FILES],
		 char *text, size_t size)
{
	text[0] = '\0';
	kind->spoil(files, index, dice, text, size);
}
