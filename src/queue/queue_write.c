/* SPDX-License-Identifier: Apache-2.0 */
/* What stands beside the samples, written: rows with checksums, and a seal that says how many there are. */
#include "queue/queue_state.h"
#include <errno.h>
#include <string.h>

struct state_writer {
	struct db *db;
	uint64_t stamp;
	struct state_seal seal;
	bool knows_seal;
};

static int prepared(struct state_writer *writer, enum queue_statement which, sqlite3_stmt **ret)
{
	static const char *const sql[] = {
		[STATE_PUT] = "INSERT OR REPLACE INTO state VALUES (?, ?, ?, ?)",
		[STATE_PUT_COPY] = "INSERT OR REPLACE INTO state_copy VALUES (?, ?, ?, ?)",
		[STATE_LOOK_UP] = "SELECT stamp, crc, body FROM state WHERE key = ?",
	};

	return db_statement(writer->db, which, sql[which], ret);
}

static int put_in(struct state_writer *writer, enum queue_statement which, uint64_t key, uint32_t crc,
		  const struct buf *body)
{
	sqlite3_stmt *statement;
	int r = prepared(writer, which, &statement);

	if (r < 0)
		return r;
	sqlite3_bind_int64(statement, 1, (sqlite3_int64)key);
	sqlite3_bind_int64(statement, 2, (sqlite3_int64)writer->stamp);
	sqlite3_bind_int64(statement, 3, crc);
	sqlite3_bind_blob64(statement, 4, body->data ? body->data : "", body->size, SQLITE_STATIC);
	r = db_step(writer->db, statement);
	sqlite3_reset(statement);
	return r < 0 ? r : 0;
}

/* The checksum of the row that is there. 1: there is one; 0: there is none. */
static int look_up(struct state_writer *writer, uint64_t key, uint32_t *ret_crc)
{
	sqlite3_stmt *statement;
	int r = prepared(writer, STATE_LOOK_UP, &statement);

	if (r < 0)
		return r;
	sqlite3_bind_int64(statement, 1, (sqlite3_int64)key);
	r = db_step(writer->db, statement);
	if (r > 0)
		*ret_crc = (uint32_t)sqlite3_column_int64(statement, 1);
	if (r > 0 && state_kind_of(key) == STATE_SEAL) {
		struct state_row row = {
			.body = (uint8_t *)sqlite3_column_blob(statement, 2),
			.size = (size_t)sqlite3_column_bytes(statement, 2),
		};

		r = state_get_seal(&row, &writer->seal) < 0 ? -EBADMSG : 1;
	}
	sqlite3_reset(statement);
	return r;
}

static int know_seal(struct state_writer *writer)
{
	uint32_t crc;
	int r = 0;

	if (!writer->knows_seal)
		r = look_up(writer, state_key(STATE_SEAL, 0), &crc);
	writer->knows_seal = r >= 0;
	return r < 0 ? r : 0;
}

/* Rows that change rarely, and that many samples need, are stored twice. */
static bool has_copy(uint64_t key)
{
	enum state_kind kind = state_kind_of(key);

	return kind != STATE_READER && kind != STATE_DROP && kind != STATE_SEAL;
}

static int put(struct state_writer *writer, uint64_t key, const struct buf *body)
{
	uint32_t before = 0, crc;
	int r;

	if (buf_failed(body))
		return -ENOMEM;
	crc = state_crc(key, writer->stamp, body->data, body->size);
	r = know_seal(writer);
	if (r == 0)
		r = look_up(writer, key, &before);
	if (r < 0)
		return r;
	writer->seal.rows += r == 0;
	writer->seal.sum += (uint64_t)crc - before;
	r = put_in(writer, STATE_PUT, key, crc, body);
	return r == 0 && has_copy(key) ? put_in(writer, STATE_PUT_COPY, key, crc, body) : r;
}

static int take_away(struct state_writer *writer, uint64_t key)
{
	sqlite3_stmt *statement;
	uint32_t before;
	int r = know_seal(writer);

	if (r == 0)
		r = look_up(writer, key, &before);
	if (r <= 0)
		return r;
	writer->seal.rows--;
	writer->seal.sum -= before;
	r = db_prepare(writer->db, "DELETE FROM state WHERE key = ?", &statement);
	if (r < 0)
		return r;
	sqlite3_bind_int64(statement, 1, (sqlite3_int64)key);
	r = db_step(writer->db, statement);
	sqlite3_finalize(statement);
	return r < 0 ? r : 0;
}

/* Behind all the others. */
static int put_seal(struct state_writer *writer)
{
	_cleanup_buf_ struct buf body = {0};
	uint64_t key = state_key(STATE_SEAL, 0);

	if (!writer->knows_seal)
		return 0;
	state_put_seal(&body, &writer->seal);
	if (buf_failed(&body))
		return -ENOMEM;
	return put_in(writer, STATE_PUT, key, state_crc(key, writer->stamp, body.data, body.size), &body);
}

/* ---- what is in a snapshot ---- */

static int save_cursors(struct state_writer *writer, const struct state *state)
{
	_cleanup_buf_ struct buf body = {0};
	int r = 0;

	for (size_t i = 0; r == 0 && i < state->n_cursors; i++) {
		const struct state_reader reader = {state->cursors[i].name, state->cursors[i].acked};

		buf_clear(&body);
		state_put_reader(&body, &reader);
		r = put(writer, state_key_by_name(STATE_READER, reader.name, 0, 0), &body);
	}
	return r;
}

/* A count that was told stays, as 0: an older version of the row is not taken for it. */
static int save_drops(struct state_writer *writer, const struct state *state)
{
	_cleanup_buf_ struct buf body = {0};
	int r = 0;

	for (size_t i = 0; r == 0 && i < state->n_drops; i++) {
		const struct state_drop *drop = &state->drops[i];
		const struct state_drops row = {drop->name, drop->cause, drop->device, drop->count};

		buf_clear(&body);
		state_put_drops(&body, &row);
		r = put(writer, state_key_by_name(STATE_DROP, row.reader, row.cause, row.device), &body);
	}
	return r;
}

/* The keys of a reader's counts. */
static int find_drops(struct db *db, const char *name, struct state_rows *ret)
{
	sqlite3_stmt *statement;
	int r = db_prepare(db, "SELECT key, body FROM state WHERE key BETWEEN ? AND ?", &statement);

	if (r < 0)
		return r;
	sqlite3_bind_int64(statement, 1, (sqlite3_int64)state_key(STATE_DROP, 0));
	sqlite3_bind_int64(statement, 2, (sqlite3_int64)state_key(STATE_DROP, UINT64_MAX));
	while ((r = db_step(db, statement)) > 0) {
		struct state_row row = {
			.body = (uint8_t *)sqlite3_column_blob(statement, 1),
			.size = (size_t)sqlite3_column_bytes(statement, 1),
		};
		struct state_drops drops;

		if (state_get_drops(&row, &drops) < 0 || strcmp(drops.reader, name) != 0)
			continue;
		r = state_rows_add(ret, (uint64_t)sqlite3_column_int64(statement, 0), 0, NULL, 0);
		if (r < 0)
			break;
	}
	sqlite3_finalize(statement);
	return r;
}

static int save_removed(struct state_writer *writer, const struct state *state)
{
	int r = 0;

	for (size_t i = 0; r == 0 && i < state->n_removed; i++) {
		struct state_rows drops = {0};

		r = take_away(writer, state_key_by_name(STATE_READER, state->removed[i], 0, 0));
		if (r == 0)
			r = find_drops(writer->db, state->removed[i], &drops);
		for (size_t row = 0; r == 0 && row < drops.n; row++)
			r = take_away(writer, drops.at[row].key);
		state_rows_done(&drops);
	}
	return r;
}

static int save_runs(struct state_writer *writer, const struct state *state)
{
	_cleanup_buf_ struct buf body = {0};

	if (!state->runs)
		return 0;
	state_put_runs(&body, state->low, state->unsure_to, state->runs, state->n_runs);
	return put(writer, state_key(STATE_RUNS, 0), &body);
}

static int save_boots(struct state_writer *writer, const struct state *state)
{
	_cleanup_buf_ struct buf body = {0};
	int r = 0;

	for (size_t i = 0; r == 0 && i < state->n_boots; i++) {
		const struct boot *boot = &state->boots[i];
		const struct state_boot row = {boot->id, boot->offset_us, boot->trusted};

		buf_clear(&body);
		state_put_boot(&body, &row);
		r = put(writer, state_key(STATE_BOOT, boot->number), &body);
	}
	return r;
}

static int save_devices(struct state_writer *writer, struct queue *queue, const struct state *state)
{
	_cleanup_buf_ struct buf body = {0};
	int r = 0;

	for (uint32_t n = queue->store.saved_devices + 1; r == 0 && n <= state->n_devices; n++) {
		const struct series_device *device = series_device_by_number(queue->series, n);

		if (!device)
			continue;
		buf_clear(&body);
		state_put_device(&body, device);
		r = put(writer, state_key(STATE_DEVICE, n), &body);
	}
	return r;
}

static int save_series(struct state_writer *writer, struct queue *queue, const struct state *state)
{
	_cleanup_buf_ struct buf body = {0};
	int r = 0;

	for (uint32_t n = queue->store.saved_series + 1; r == 0 && n <= state->n_series; n++) {
		const struct series *series = series_by_number(queue->series, n);

		if (!series)
			continue;
		const struct state_series row = {series->device->number, series->point, series->unit,
						 type_to_string(series->type)};

		buf_clear(&body);
		state_put_series(&body, &row);
		r = put(writer, state_key(STATE_SERIES, n), &body);
	}
	return r;
}

static int save_meta(struct state_writer *writer, const struct state_meta *meta)
{
	_cleanup_buf_ struct buf body = {0};

	state_put_meta(&body, meta);
	return put(writer, state_key(STATE_META, 0), &body);
}

static struct state_writer begin_writing(struct queue *queue)
{
	return (struct state_writer){.db = &queue->store.db, .stamp = ++queue->store.stamp};
}

int state_save(struct queue *queue, const struct state *state)
{
	struct state_writer writer = begin_writing(queue);
	int r = save_removed(&writer, state);

	if (r == 0)
		r = save_cursors(&writer, state);
	if (r == 0)
		r = save_drops(&writer, state);
	if (r == 0)
		r = save_runs(&writer, state);
	if (r == 0)
		r = save_boots(&writer, state);
	if (r == 0)
		r = save_devices(&writer, queue, state);
	if (r == 0)
		r = save_series(&writer, queue, state);
	if (r == 0 && state->with_meta)
		r = save_meta(&writer, &state->meta);
	return r == 0 ? put_seal(&writer) : r;
}

int state_save_meta(struct queue *queue, const struct state_meta *meta)
{
	struct state_writer writer = begin_writing(queue);
	int r = save_meta(&writer, meta);

	return r == 0 ? put_seal(&writer) : r;
}
