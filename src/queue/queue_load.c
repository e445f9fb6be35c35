/* SPDX-License-Identifier: Apache-2.0 */
/* What stands beside the samples, read at open: of this version, and of version 1. */
#include "queue/queue_private.h"
#include <errno.h>
#include <stdio.h>
#include <string.h>

/* ---- version 2 ---- */

struct count {
	uint64_t rows, sum, damaged;
};

static int read_rows(struct db *db, const char *sql, struct state_rows *rows, struct count *count)
{
	sqlite3_stmt *row;
	int r = db_prepare(db, sql, &row);

	while (r >= 0 && (r = db_step(db, row)) > 0) {
		uint64_t key = (uint64_t)sqlite3_column_int64(row, 0), stamp = (uint64_t)sqlite3_column_int64(row, 1);
		uint32_t crc = (uint32_t)sqlite3_column_int64(row, 2);
		const void *data = sqlite3_column_blob(row, 3);
		size_t size = (size_t)sqlite3_column_bytes(row, 3);

		if (state_crc(key, stamp, data, size) != crc) {
			count->damaged++;
			continue;
		}
		if (state_kind_of(key) != STATE_SEAL) {
			count->rows++;
			count->sum += crc;
		}
		r = state_rows_add(rows, key, stamp, data, size);
	}
	sqlite3_finalize(row);
	return r;
}

static int read_version_2(struct db *db, struct state_rows *rows)
{
	struct count count = {0}, copies = {0};
	struct state_seal seal = {0};
	const struct state_row *row;
	int r = read_rows(db, "SELECT key, stamp, crc, body FROM state", rows, &count), copy;

	if (r == -ENOMEM)
		return r;
	copy = read_rows(db, "SELECT key, stamp, crc, body FROM state_copy", rows, &copies);
	if (copy == -ENOMEM)
		return copy;
	state_rows_settle(rows);
	row = state_rows_find(rows, state_key(STATE_SEAL, 0));
	if (r < 0 || copy < 0)
		return r < 0 ? r : copy;
	if (count.damaged == 0 && copies.damaged == 0 && row && state_get_seal(row, &seal) == 0 &&
	    seal.rows == count.rows && seal.sum == count.sum)
		return 0;
	snprintf(db->message, sizeof(db->message), "rows beside the samples are damaged or missing");
	return -EBADMSG;
}

/* ---- version 1 ---- */

struct reading {
	sqlite3_stmt *row;
	struct state_rows *rows;
	struct state_marks *marks;
	struct buf body;
	struct runs runs;
};

static const char *text_at(const struct reading *reading, int column)
{
	return (const char *)sqlite3_column_text(reading->row, column);
}

static const char *text_or_empty(const struct reading *reading, int column)
{
	const char *text = text_at(reading, column);

	return text ? text : "";
}

static uint64_t number_at(const struct reading *reading, int column)
{
	return (uint64_t)sqlite3_column_int64(reading->row, column);
}

static int add_body(struct reading *reading, uint64_t key)
{
	if (buf_failed(&reading->body))
		return -ENOMEM;
	return state_rows_add(reading->rows, key, 0, reading->body.data, reading->body.size);
}

static int old_meta(struct reading *reading)
{
	struct state_marks *marks = reading->marks;
	const char *key = text_or_empty(reading, 0);

	if (strcmp(key, "seq_reserved") == 0)
		marks->meta.seq = number_at(reading, 1);
	else if (strcmp(key, "clean") == 0)
		marks->meta.clean = number_at(reading, 1) != 0;
	else if (strcmp(key, "salvage_end") == 0)
		marks->salvage_end = number_at(reading, 1);
	else if (strcmp(key, "salvage") == 0)
		snprintf(marks->salvage, sizeof(marks->salvage), "%s", text_or_empty(reading, 1));
	return 0;
}

static int old_run(struct reading *reading)
{
	struct run run = {
		.first_id = number_at(reading, 0),
		.base = sqlite3_column_int64(reading->row, 1),
		.known = sqlite3_column_type(reading->row, 1) != SQLITE_NULL,
		.skipped = number_at(reading, 2),
	};

	return runs_add(&reading->runs, &run) == -ENOMEM ? -ENOMEM : 0;
}

static int old_boot(struct reading *reading)
{
	struct state_boot boot = {text_or_empty(reading, 1), sqlite3_column_int64(reading->row, 2),
				  number_at(reading, 3) != 0};

	state_put_boot(&reading->body, &boot);
	return add_body(reading, state_key(STATE_BOOT, number_at(reading, 0)));
}

static int old_device(struct reading *reading)
{
	const char *at = sqlite3_column_blob(reading->row, 3);
	const char *end = at ? at + sqlite3_column_bytes(reading->row, 3) : NULL;
	struct series_device device = {.name = text_or_empty(reading, 1), .link = text_at(reading, 2)};
	struct tag tags[STATE_TAGS_MAX];

	while (at && at < end && device.n_tags < STATE_TAGS_MAX) {
		const char *value = memchr(at, 0, (size_t)(end - at));
		const char *stop = value ? memchr(value + 1, 0, (size_t)(end - value - 1)) : NULL;

		if (!stop)
			break;
		tags[device.n_tags++] = (struct tag){.name = at, .value = value + 1};
		at = stop + 1;
	}
	device.tags = tags;
	state_put_device(&reading->body, &device);
	return add_body(reading, state_key(STATE_DEVICE, number_at(reading, 0)));
}

static int old_series(struct reading *reading)
{
	struct state_series series = {(uint32_t)number_at(reading, 1), text_or_empty(reading, 2), text_at(reading, 3),
				      text_or_empty(reading, 4)};

	state_put_series(&reading->body, &series);
	return add_body(reading, state_key(STATE_SERIES, number_at(reading, 0)));
}

static int old_reader(struct reading *reading)
{
	struct state_reader reader = {text_or_empty(reading, 0), number_at(reading, 1)};

	state_put_reader(&reading->body, &reader);
	return add_body(reading, state_key_by_name(STATE_READER, reader.name, 0, 0));
}

static int old_drop(struct reading *reading)
{
	struct state_drops drops = {text_or_empty(reading, 0), (uint32_t)number_at(reading, 1),
				    (uint32_t)number_at(reading, 2), number_at(reading, 3)};

	state_put_drops(&reading->body, &drops);
	return add_body(reading, state_key_by_name(STATE_DROP, drops.reader, drops.cause, drops.device));
}

static int read_old_table(struct db *db, struct reading *reading, const char *sql, int (*read)(struct reading *))
{
	int r = db_prepare(db, sql, &reading->row);

	while (r >= 0 && (r = db_step(db, reading->row)) > 0) {
		buf_clear(&reading->body);
		r = read(reading);
	}
	sqlite3_finalize(reading->row);
	return r;
}

static int read_version_1(struct db *db, bool tolerant, struct state_rows *rows, struct state_marks *marks)
{
	static const struct {
		const char *sql;
		int (*read)(struct reading *reading);
	} tables[] = {
		{"SELECT key, value FROM meta", old_meta},
		{"SELECT first_id, base, skipped FROM runs ORDER BY first_id", old_run},
		{"SELECT number, boot, offset_us, trusted FROM boots", old_boot},
		{"SELECT number, name, link, tags FROM devices", old_device},
		{"SELECT number, device, point, unit, type FROM series", old_series},
		{"SELECT name, acked FROM readers", old_reader},
		{"SELECT reader, cause, device, samples FROM drops", old_drop},
	};
	struct reading reading = {.rows = rows, .marks = marks};
	int r = 0;

	for (size_t i = 0; i < ELEMENTS(tables) && r != -ENOMEM; i++) {
		int one = read_old_table(db, &reading, tables[i].sql, tables[i].read);

		r = one < 0 && (!tolerant || one == -ENOMEM) && r == 0 ? one : r;
	}
	if (r == 0) {
		buf_clear(&reading.body);
		state_put_meta(&reading.body, &marks->meta);
		r = add_body(&reading, state_key(STATE_META, 0));
	}
	if (r == 0 && reading.runs.n > 0) {
		buf_clear(&reading.body);
		/* It had no samples that this version has not seen. */
		state_put_runs(&reading.body, 0, INT64_MAX, reading.runs.at, reading.runs.n);
		r = add_body(&reading, state_key(STATE_RUNS, 0));
	}
	runs_done(&reading.runs);
	buf_done(&reading.body);
	state_rows_settle(rows);
	return r;
}

int state_read(struct db *db, bool tolerant, struct state_rows *rows, struct state_marks *marks)
{
	unsigned version;
	int r = queue_tables_version(db, &version);

	marks->knows_readers = false;
	if (r < 0 && (!tolerant || r == -ENOMEM || r == -ENOTSUP))
		return r;
	if (r == 0 && version == 0) {
		marks->knows_readers = true;
		return 0;
	}
	if (r == 0 && version == 1) {
		r = read_version_1(db, tolerant, rows, marks);
		marks->knows_readers = r == 0 && !tolerant;
		return r;
	}
	r = read_version_2(db, rows);
	marks->knows_readers = r == 0;
	return tolerant && r != -ENOMEM ? 0 : r;
}

int state_read_foreign(struct db *db, struct state_rows *rows)
{
	struct state_marks marks = {0};
	int r = read_version_2(db, rows);

	return r < 0 && r != -ENOMEM && rows->n == 0 ? read_version_1(db, false, rows, &marks)
						     : MIN(r == -EBADMSG ? 0 : r, 0);
}

/* ---- what the rows say ---- */

static int restore_runs(struct queue *queue, const struct state_row *row, struct state_marks *marks)
{
	struct runs runs;
	uint64_t low, unsure_to;
	int r = state_get_runs(row, &low, &unsure_to, &runs);

	if (r < 0)
		return r;
	runs_done(&queue->sequence.runs);
	queue->sequence.runs = runs;
	queue->low = low;
	queue->unsure_to = unsure_to;
	marks->knows_runs = true;
	return 0;
}

static int restore_boot(struct queue *queue, const struct state_row *row, uint32_t number) REQUIRES(queue->lock)
{
	struct state_boot boot;

	if (state_get_boot(row, &boot) < 0 || boot_by_number(queue, number))
		return 0;
	return boot_add(queue, number, boot.id, boot.offset_us, boot.trusted, true);
}

static int restore_device(struct queue *queue, const struct state_row *row, uint32_t number)
{
	struct state_device device;

	if (state_get_device(row, &device) < 0)
		return 0;
	return series_device_restore(queue->series, number, device.name, device.link, device.tags, device.n_tags);
}

static int restore_series(struct queue *queue, const struct state_row *row, uint32_t number)
{
	struct state_series series;

	if (state_get_series(row, &series) < 0)
		return 0;
	return series_restore(queue->series, number, series.device, series.point, series.unit,
			      type_from_name(series.type));
}

static int restore_reader(struct queue *queue, const struct state_row *row) REQUIRES(queue->lock)
{
	struct queue_reader *reader;
	struct state_reader state;

	if (state_get_reader(row, &state) < 0 || reader_find(queue, state.name))
		return 0;
	reader = reader_new(queue, state.name, state.acked);
	if (!reader)
		return -ENOMEM;
	reader->saved = reader->acked;
	reader->is_saved = true;
	return 0;
}

static int restore_drops(struct queue *queue, const struct state_row *row) REQUIRES(queue->lock)
{
	struct queue_reader *reader;
	struct state_drops state;
	struct drop_row *drop;

	if (state_get_drops(row, &state) < 0 || state.cause >= DROP_N_CAUSES || state.count == 0)
		return 0;
	reader = reader_find(queue, state.reader);
	if (!reader)
		return 0;
	drop = drops_row(&reader->drops, state.cause, state.device, true);
	if (!drop)
		return -ENOMEM;
	drop->count = drop->saved = state.count;
	return 0;
}

static int restore_row(struct queue *queue, const struct state_row *row, struct state_marks *marks)
	REQUIRES(queue->lock)
{
	uint32_t number = (uint32_t)row->key;

	switch (state_kind_of(row->key)) {
	case STATE_META:
		marks->has_meta = state_get_meta(row, &marks->meta) == 0;
		return 0;
	case STATE_RUNS:
		return restore_runs(queue, row, marks);
	case STATE_BOOT:
		return restore_boot(queue, row, number);
	case STATE_DEVICE:
		return restore_device(queue, row, number);
	case STATE_SERIES:
		return restore_series(queue, row, number);
	case STATE_READER:
		return restore_reader(queue, row);
	case STATE_DROP:
		return restore_drops(queue, row);
	default:
		return 0;
	}
}

/* Numbers of rows that are lost are not given out again: samples on disk still name them. */
static int skip_lost_names(struct queue *queue, const struct state_marks *marks) REQUIRES(queue->lock)
{
	uint32_t n_devices = series_device_count(queue->series), n_series = series_count(queue->series);
	/* With a log that is damaged the newest of them may be lost, and the row that says how many there were. */
	const uint32_t more = marks->has_meta && !marks->has_log ? 0 : LOST_NAMES_MAX;

	for (uint32_t n = 1; n <= marks->meta.n_devices && !queue->names_missing; n++)
		queue->names_missing = !series_device_by_number(queue->series, n);
	for (uint32_t n = 1; n <= marks->meta.n_series && !queue->names_missing; n++)
		queue->names_missing = !series_by_number(queue->series, n);
	for (uint32_t n = 1; n <= marks->meta.n_boots && !queue->names_missing; n++)
		queue->names_missing = !boot_by_number(queue, n);
	queue->names_missing |= !marks->has_meta;
	queue->lost_boots = (uint32_t)marks->meta.n_boots + more;
	for (size_t i = 0; i < queue->n_boots; i++)
		queue->lost_boots = MAX(queue->lost_boots, queue->boots[i].number + more);
	return series_skip(queue->series, (uint32_t)MAX(marks->meta.n_devices, n_devices) + more,
			   (uint32_t)MAX(marks->meta.n_series, n_series) + more);
}

/* No other thread has the queue yet. */
int state_restore(struct queue *queue, const struct state_rows *rows, struct state_marks *marks) UNCHECKED
{
	for (size_t i = 0; i < rows->n; i++) {
		int r = restore_row(queue, &rows->at[i], marks);

		/* A row that does not fit to the others is left out; only memory is a reason to stop. */
		if (r == -ENOMEM)
			return r;
		queue->store.stamp = MAX(queue->store.stamp, rows->at[i].stamp);
	}
	queue->store.meta = marks->meta;
	if ((rows->n > 0 || !marks->knows_readers) && skip_lost_names(queue, marks) < 0)
		return -ENOMEM;
	queue->store.saved_devices = series_device_count(queue->series);
	queue->store.saved_series = series_count(queue->series);
	return 0;
}

/* Boots are only added by the store thread, which is the one that asks. */
bool sample_is_named(struct queue *queue, const struct sample *sample) UNCHECKED
{
	const struct series_device *device = series_device_by_number(queue->series, sample->device);
	struct sample_reading reading;
	struct sample_cursor cursor;
	int r;

	if (!device || !boot_by_number(queue, sample->boot) || sample_begin(sample, &cursor) < 0)
		return false;
	while ((r = sample_next(&cursor, &reading)) > 0) {
		const struct series *series = series_by_number(queue->series, reading.series);

		if (!series || series->device != device)
			return false;
	}
	return r == 0;
}
