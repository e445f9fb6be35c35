/* SPDX-License-Identifier: Apache-2.0 */
/* The tables beside the samples, read at open. */
#include "queue/queue_private.h"
#include <errno.h>
#include <stdio.h>
#include <string.h>

struct loader {
	struct queue *queue;
	struct state_marks marks;
};

static const char *text_at(sqlite3_stmt *row, int column)
{
	return (const char *)sqlite3_column_text(row, column);
}

static int load_meta(struct loader *loader, sqlite3_stmt *row)
{
	const char *key = text_at(row, 0);

	if (key && strcmp(key, "seq_reserved") == 0)
		loader->marks.seq = (uint64_t)sqlite3_column_int64(row, 1);
	else if (key && strcmp(key, "clean") == 0)
		loader->marks.clean = sqlite3_column_int64(row, 1) != 0;
	else if (key && strcmp(key, "salvage_end") == 0)
		loader->marks.salvage_end = (uint64_t)sqlite3_column_int64(row, 1);
	else if (key && strcmp(key, "salvage") == 0 && text_at(row, 1))
		snprintf(loader->marks.salvage, sizeof(loader->marks.salvage), "%s", text_at(row, 1));
	return 0;
}

static int load_run(struct loader *loader, sqlite3_stmt *row)
{
	struct run run = {
		.first_id = (uint64_t)sqlite3_column_int64(row, 0),
		.base = sqlite3_column_int64(row, 1),
		.known = sqlite3_column_type(row, 1) != SQLITE_NULL,
		.skipped = (uint64_t)sqlite3_column_int64(row, 2),
	};

	return runs_add(&loader->queue->runs, &run);
}

static int load_boot(struct loader *loader, sqlite3_stmt *row)
{
	const char *id = text_at(row, 1);

	if (boot_by_number(loader->queue, (uint32_t)sqlite3_column_int64(row, 0)))
		return 0;
	return boot_add(loader->queue, (uint32_t)sqlite3_column_int64(row, 0), id ? id : "",
			sqlite3_column_int64(row, 2), sqlite3_column_int64(row, 3) != 0, true);
}

#define TAGS_MAX 64

static int load_device(struct loader *loader, sqlite3_stmt *row)
{
	const char *name = text_at(row, 1), *link = text_at(row, 2), *at = sqlite3_column_blob(row, 3);
	const char *end = at ? at + sqlite3_column_bytes(row, 3) : NULL;
	struct tag tags[TAGS_MAX];
	size_t n = 0;

	while (at && at < end && n < TAGS_MAX) {
		const char *value = memchr(at, 0, (size_t)(end - at));
		const char *stop = value ? memchr(value + 1, 0, (size_t)(end - value - 1)) : NULL;

		if (!stop)
			break;
		tags[n++] = (struct tag){.name = at, .value = value + 1};
		at = stop + 1;
	}
	return series_device_restore(loader->queue->series, (uint32_t)sqlite3_column_int64(row, 0), name ? name : "",
				     link, tags, n);
}

static int load_series(struct loader *loader, sqlite3_stmt *row)
{
	const char *point = text_at(row, 2), *type = text_at(row, 4);

	return series_restore(loader->queue->series, (uint32_t)sqlite3_column_int64(row, 0),
			      (uint32_t)sqlite3_column_int64(row, 1), point ? point : "", text_at(row, 3),
			      type_from_name(type ? type : ""));
}

static int load_reader(struct loader *loader, sqlite3_stmt *row)
{
	const char *name = text_at(row, 0);
	struct queue_reader *reader;

	if (!name || reader_find(loader->queue, name))
		return 0;
	reader = reader_new(loader->queue, name, (uint64_t)sqlite3_column_int64(row, 1));
	if (!reader)
		return -ENOMEM;
	reader->saved = reader->acked;
	reader->is_saved = true;
	return 0;
}

static int load_drop(struct loader *loader, sqlite3_stmt *row)
{
	const char *name = text_at(row, 0);
	struct queue_reader *reader = name ? reader_find(loader->queue, name) : NULL;
	uint32_t cause = (uint32_t)sqlite3_column_int64(row, 1);
	struct drop_row *drop;

	if (!reader || cause >= DROP_N_CAUSES)
		return 0;
	drop = drops_row(&reader->drops, cause, (uint32_t)sqlite3_column_int64(row, 2), true);
	if (!drop)
		return -ENOMEM;
	drop->count = drop->saved = (uint64_t)sqlite3_column_int64(row, 3);
	return 0;
}

static const struct {
	const char *sql;
	int (*load)(struct loader *loader, sqlite3_stmt *row);
} tables[] = {
	{"SELECT key, value FROM meta", load_meta},
	{"SELECT first_id, base, skipped FROM runs ORDER BY first_id", load_run},
	{"SELECT number, boot, offset_us, trusted FROM boots ORDER BY number", load_boot},
	{"SELECT number, name, link, tags FROM devices ORDER BY number", load_device},
	{"SELECT number, device, point, unit, type FROM series ORDER BY number", load_series},
	{"SELECT name, acked FROM readers", load_reader},
	{"SELECT reader, cause, device, samples FROM drops", load_drop},
};

static int load_table(struct loader *loader, struct body *body, size_t i)
{
	sqlite3_stmt *statement;
	int r = body_prepare(body, tables[i].sql, &statement);

	if (r < 0)
		return r;
	while ((r = body_step(body, statement)) > 0) {
		r = tables[i].load(loader, statement);
		/* A row that does not fit to the others is left out; only memory is a reason to stop. */
		if (r == -ENOMEM)
			break;
	}
	sqlite3_finalize(statement);
	return r;
}

int state_load(struct queue *queue, struct body *body, bool tolerant, struct state_marks *ret_marks)
{
	struct loader loader = {.queue = queue};

	for (size_t i = 0; i < ELEMENTS(tables); i++) {
		int r = load_table(&loader, body, i);

		if (r < 0 && (!tolerant || r == -ENOMEM))
			return r;
	}
	queue->store.saved_devices = series_device_count(queue->series);
	queue->store.saved_series = series_count(queue->series);
	*ret_marks = loader.marks;
	return 0;
}
