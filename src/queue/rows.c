/* SPDX-License-Identifier: Apache-2.0 */
/* The table of samples: a row each, with a checksum over all of it. */
#include "queue/rows.h"
#include <errno.h>
#include <stdio.h>
#include <zlib.h>

uint32_t row_crc_of(uint64_t id, uint64_t time_us, uint32_t boot, uint32_t device, const void *blob, size_t size)
{
	uint64_t words[3] = {id, time_us, (uint64_t)boot << 32 | device};
	uint8_t bytes[sizeof(words)];
	uLong crc;

	for (size_t i = 0; i < sizeof(bytes); i++)
		bytes[i] = (uint8_t)(words[i / 8] >> (8 * (i % 8)));
	crc = crc32(0, bytes, sizeof(bytes));
	return (uint32_t)crc32(crc, blob, (uInt)size);
}

static uint32_t row_crc(const struct sample *sample)
{
	return row_crc_of(sample->id, sample->time_us, sample->boot, sample->device, sample->blob, sample->size);
}

int rows_insert(struct db *db, const struct sample *sample)
{
	sqlite3_stmt *statement;
	int r = db_statement(db, ROWS_INSERT, "INSERT OR REPLACE INTO samples VALUES (?, ?, ?, ?, ?, ?)", &statement);

	if (r < 0)
		return r;
	sqlite3_bind_int64(statement, 1, (sqlite3_int64)sample->id);
	sqlite3_bind_int64(statement, 2, sample->boot);
	sqlite3_bind_int64(statement, 3, (sqlite3_int64)sample->time_us);
	sqlite3_bind_int64(statement, 4, sample->device);
	sqlite3_bind_int64(statement, 5, row_crc(sample));
	sqlite3_bind_blob64(statement, 6, sample->blob, sample->size, SQLITE_STATIC);
	r = db_step(db, statement);
	sqlite3_reset(statement);
	return r;
}

/* 0: *ret is the sample, or NULL where it is damaged. */
static int row_sample(sqlite3_stmt *row, struct sample **ret)
{
	uint32_t crc = (uint32_t)sqlite3_column_int64(row, 4);
	struct sample *sample;

	sample = sample_from_blob((uint32_t)sqlite3_column_int64(row, 3), (uint64_t)sqlite3_column_int64(row, 2),
				  sqlite3_column_blob(row, 5), (size_t)sqlite3_column_bytes(row, 5));
	if (!sample)
		return -ENOMEM;
	sample->id = (uint64_t)sqlite3_column_int64(row, 0);
	sample->boot = (uint32_t)sqlite3_column_int64(row, 1);
	if (row_crc(sample) != crc)
		sample = sample_unref(sample);
	*ret = sample;
	return 0;
}

/* Ids that do not grow: a page is not where it should be. */
static int out_of_order(struct db *db)
{
	snprintf(db->message, sizeof(db->message), "rows are out of order");
	return -EBADMSG;
}

int rows_read(struct db *db, uint64_t after, uint64_t to, struct sample_row *rows, size_t max, size_t max_bytes,
	      size_t *ret_n)
{
	sqlite3_stmt *statement;
	size_t n = 0, bytes = 0;
	int r = db_statement(
		db, ROWS_READ,
		"SELECT id, boot, time_us, device, crc, blob FROM samples WHERE id > ? AND id <= ? ORDER BY id",
		&statement);

	*ret_n = 0;
	if (r < 0)
		return r;
	sqlite3_bind_int64(statement, 1, (sqlite3_int64)after);
	sqlite3_bind_int64(statement, 2, (sqlite3_int64)to);
	r = 1;
	while (n < max && bytes < max_bytes) {
		r = db_step(db, statement);
		if (r <= 0)
			break;
		rows[n].id = (uint64_t)sqlite3_column_int64(statement, 0);
		if (rows[n].id <= after || rows[n].id > to) {
			r = out_of_order(db);
			break;
		}
		after = rows[n].id;
		r = row_sample(statement, &rows[n].sample);
		if (r < 0)
			break;
		bytes += rows[n].sample ? sample_cost(rows[n].sample) : 0;
		n++;
		r = 1;
	}
	sqlite3_reset(statement);
	*ret_n = n;
	return r;
}

int rows_headers(struct db *db, uint64_t after, struct row_header *heads, size_t max, size_t *ret_n)
{
	sqlite3_stmt *statement;
	size_t n = 0;
	int r = db_statement(db, ROWS_HEADERS,
			     "SELECT id, boot, time_us, device, length(blob) FROM samples WHERE id > ? ORDER BY id",
			     &statement);

	*ret_n = 0;
	if (r < 0)
		return r;
	sqlite3_bind_int64(statement, 1, (sqlite3_int64)after);
	while (n < max && (r = db_step(db, statement)) > 0) {
		uint64_t id = (uint64_t)sqlite3_column_int64(statement, 0);

		if (id <= after) {
			r = out_of_order(db);
			break;
		}
		after = id;
		heads[n++] = (struct row_header){
			.id = (uint64_t)sqlite3_column_int64(statement, 0),
			.boot = (uint32_t)sqlite3_column_int64(statement, 1),
			.time_us = (uint64_t)sqlite3_column_int64(statement, 2),
			.device = (uint32_t)sqlite3_column_int64(statement, 3),
			.size = (uint32_t)sqlite3_column_int64(statement, 4),
		};
	}
	sqlite3_reset(statement);
	*ret_n = n;
	return r < 0 ? r : 0;
}

int rows_ids(struct db *db, uint64_t after, uint64_t to, uint64_t *ids, size_t max, size_t *ret_n)
{
	sqlite3_stmt *row;
	size_t n = 0;
	int r = db_prepare(db, "SELECT id FROM samples WHERE id > ? AND id <= ? ORDER BY id", &row);

	*ret_n = 0;
	if (r < 0)
		return r;
	sqlite3_bind_int64(row, 1, (sqlite3_int64)after);
	sqlite3_bind_int64(row, 2, (sqlite3_int64)MIN(to, (uint64_t)INT64_MAX));
	while (n < max && (r = db_step(db, row)) > 0) {
		ids[n] = (uint64_t)sqlite3_column_int64(row, 0);
		if (ids[n] <= after) {
			r = out_of_order(db);
			break;
		}
		after = ids[n++];
	}
	sqlite3_finalize(row);
	*ret_n = n;
	return MIN(r, 0);
}

int rows_last(struct db *db, uint64_t *ret_id, bool *ret_is_right)
{
	struct sample *sample = NULL;
	sqlite3_stmt *row;
	int r = db_prepare(db, "SELECT id, boot, time_us, device, crc, blob FROM samples ORDER BY id DESC LIMIT 1",
			   &row);

	*ret_id = 0;
	*ret_is_right = true;
	if (r < 0)
		return r;
	r = db_step(db, row);
	if (r > 0) {
		*ret_id = (uint64_t)sqlite3_column_int64(row, 0);
		r = row_sample(row, &sample);
		*ret_is_right = sample != NULL;
		sample_unref(sample);
	}
	sqlite3_finalize(row);
	return MIN(r, 0);
}

int rows_remove(struct db *db, uint64_t from, uint64_t to)
{
	sqlite3_stmt *statement;
	int r = db_statement(db, ROWS_REMOVE, "DELETE FROM samples WHERE id >= ? AND id <= ?", &statement);

	if (r < 0)
		return r;
	sqlite3_bind_int64(statement, 1, (sqlite3_int64)from);
	sqlite3_bind_int64(statement, 2, (sqlite3_int64)to);
	r = db_step(db, statement);
	sqlite3_reset(statement);
	return r;
}
