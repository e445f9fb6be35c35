/* SPDX-License-Identifier: Apache-2.0 */
/* The tables beside the samples: what changed is written with each commit. */
#include "base/clock.h"
#include "queue/queue_private.h"
#include <errno.h>
#include <string.h>

/* ---- a snapshot of what changed ---- */

struct state_cursor {
	char *name;
	uint64_t reader; /* its number */
	uint64_t acked;
};

struct state_drop {
	char *name;
	uint64_t reader;
	uint32_t cause, device;
	uint64_t count;
};

struct state {
	struct state_cursor *cursors;
	size_t n_cursors;
	struct state_drop *drops;
	size_t n_drops;
	char **removed; /* taken from the queue; given back where the commit fails */
	size_t n_removed;
	struct run *runs; /* all of them, or NULL: nothing changed */
	size_t n_runs;
	uint64_t runs_version;
	struct boot *boots;
	size_t n_boots;
	uint32_t n_devices, n_series;
};

struct state *state_free(struct state *state)
{
	if (!state)
		return NULL;
	for (size_t i = 0; i < state->n_cursors; i++)
		free(state->cursors[i].name);
	for (size_t i = 0; i < state->n_drops; i++)
		free(state->drops[i].name);
	for (size_t i = 0; i < state->n_removed; i++)
		free(state->removed[i]);
	free(state->cursors);
	free(state->drops);
	free(state->removed);
	free(state->runs);
	free(state->boots);
	free(state);
	return NULL;
}

static int take_drops(struct queue_reader *reader, struct charges *charges, struct state *state)
{
	for (size_t i = 0; i < reader->drops.n; i++) {
		const struct drop_row *row = &reader->drops.rows[i];
		struct state_drop *drop = &state->drops[state->n_drops];
		uint64_t count = row->count;

		if (charges)
			count += charges_of(charges, reader->number, row->cause, row->device);
		if (count == row->saved)
			continue;
		*drop = (struct state_drop){strdup(reader->name), reader->number, row->cause, row->device, count};
		if (!drop->name)
			return -ENOMEM;
		state->n_drops++;
	}
	return 0;
}

/* What will be charged has a row to be counted in. */
static void make_rows(struct queue *queue, const struct charges *charges)
{
	for (size_t i = 0; i < charges->n_readers; i++) {
		struct queue_reader *reader = reader_by_number(queue, charges->readers[i].number);
		const struct drops *drops = &charges->readers[i].drops;

		for (size_t row = 0; reader && row < drops->n; row++)
			drops_row(&reader->drops, drops->rows[row].cause, drops->rows[row].device, true);
	}
}

static int take_cursors(struct queue *queue, struct charges *charges, struct state *state)
{
	size_t n_readers = 0, n_drops = 0;

	if (charges)
		make_rows(queue, charges);
	for (struct queue_reader *reader = queue->readers; reader; reader = reader->next) {
		n_readers++;
		n_drops += reader->drops.n;
	}
	state->cursors = calloc(n_readers + 1, sizeof(*state->cursors));
	state->drops = calloc(n_drops + 1, sizeof(*state->drops));
	if (!state->cursors || !state->drops)
		return -ENOMEM;
	for (struct queue_reader *reader = queue->readers; reader; reader = reader->next) {
		if (!reader->is_saved || reader->saved != reader->acked) {
			struct state_cursor *cursor = &state->cursors[state->n_cursors];

			cursor->name = strdup(reader->name);
			if (!cursor->name)
				return -ENOMEM;
			cursor->reader = reader->number;
			cursor->acked = reader->acked;
			state->n_cursors++;
		}
		if ((reader->drops.dirty || charges) && take_drops(reader, charges, state) < 0)
			return -ENOMEM;
	}
	return 0;
}

bool state_is_empty(const struct state *state)
{
	return state->n_cursors == 0 && state->n_drops == 0 && state->n_removed == 0;
}

static int take_removed(struct queue *queue, struct state *state)
{
	if (queue->n_removed == 0)
		return 0;
	state->removed = calloc(queue->n_removed, sizeof(*state->removed));
	if (!state->removed)
		return -ENOMEM;
	for (size_t i = 0; i < queue->n_removed; i++) {
		state->removed[i] = strdup(queue->removed[i]);
		if (!state->removed[i])
			return -ENOMEM;
		state->n_removed++;
	}
	return 0;
}

static int take_boots(struct queue *queue, struct state *state)
{
	bool dirty = boot_is_dirty(queue);

	for (size_t i = 0; i < queue->n_boots; i++)
		dirty |= !queue->boots[i].saved;
	if (!dirty)
		return 0;
	state->boots = malloc(queue->n_boots * sizeof(*state->boots));
	if (!state->boots)
		return -ENOMEM;
	for (size_t i = 0; i < queue->n_boots; i++) {
		struct boot *boot = &state->boots[state->n_boots];

		*boot = queue->boots[i];
		if (boot->number == queue->boot) {
			boot->offset_us = clock_wall_offset();
			boot->trusted = clock_trusted();
		}
		state->n_boots += boot->number == queue->boot || !boot->saved;
	}
	return 0;
}

struct state *state_take(struct queue *queue, struct charges *charges)
{
	struct state *state = calloc(1, sizeof(*state));

	if (!state)
		return NULL;
	if (take_cursors(queue, charges, state) < 0 || take_removed(queue, state) < 0)
		return state_free(state);
	state->runs_version = queue->runs_version;
	if (queue->runs_version != queue->runs_saved && queue->runs.n > 0) {
		state->runs = malloc(queue->runs.n * sizeof(*state->runs));
		if (!state->runs)
			return state_free(state);
		memcpy(state->runs, queue->runs.at, queue->runs.n * sizeof(*state->runs));
		state->n_runs = queue->runs.n;
	}
	if (take_boots(queue, state) < 0)
		return state_free(state);
	state->n_devices = series_device_count(queue->series);
	state->n_series = series_count(queue->series);
	return state;
}

bool state_is_dirty(const struct queue *queue)
{
	for (const struct queue_reader *reader = queue->readers; reader; reader = reader->next) {
		if (reader->drops.dirty)
			return true;
		/* Only where a row on disk would come again. */
		if (reader->is_saved && reader->saved < reader->acked && queue->body_first <= queue->written &&
		    reader->saved < queue->written)
			return true;
	}
	/* A row on disk is worth nothing without the time of its boot. */
	return queue->n_removed > 0 || (queue->body_first <= queue->written && boot_is_dirty(queue));
}

/* ---- writing ---- */

static int run_once(struct body *body, sqlite3_stmt *statement)
{
	int r = body_step(body, statement);

	sqlite3_reset(statement);
	return r < 0 ? r : 0;
}

static int save_cursors(struct body *body, const struct state *state)
{
	sqlite3_stmt *statement;
	int r;

	if (state->n_cursors == 0)
		return 0;
	r = body_prepare(body, "INSERT OR REPLACE INTO readers VALUES (?, ?)", &statement);
	for (size_t i = 0; r == 0 && i < state->n_cursors; i++) {
		sqlite3_bind_text(statement, 1, state->cursors[i].name, -1, SQLITE_STATIC);
		sqlite3_bind_int64(statement, 2, (sqlite3_int64)state->cursors[i].acked);
		r = run_once(body, statement);
	}
	sqlite3_finalize(statement);
	return r;
}

static int save_drops(struct body *body, const struct state *state)
{
	sqlite3_stmt *statement;
	int r;

	if (state->n_drops == 0)
		return 0;
	r = body_prepare(body, "INSERT OR REPLACE INTO drops VALUES (?, ?, ?, ?)", &statement);
	for (size_t i = 0; r == 0 && i < state->n_drops; i++) {
		sqlite3_bind_text(statement, 1, state->drops[i].name, -1, SQLITE_STATIC);
		sqlite3_bind_int64(statement, 2, state->drops[i].cause);
		sqlite3_bind_int64(statement, 3, state->drops[i].device);
		sqlite3_bind_int64(statement, 4, (sqlite3_int64)state->drops[i].count);
		r = run_once(body, statement);
	}
	sqlite3_finalize(statement);
	return r == 0 ? body_exec(body, "DELETE FROM drops WHERE samples = 0") : r;
}

static int save_removed(struct body *body, const struct state *state)
{
	static const char *const sql[] = {"DELETE FROM readers WHERE name = ?", "DELETE FROM drops WHERE reader = ?"};

	for (size_t i = 0; state->n_removed > 0 && i < ELEMENTS(sql); i++) {
		sqlite3_stmt *statement;
		int r = body_prepare(body, sql[i], &statement);

		for (size_t at = 0; r == 0 && at < state->n_removed; at++) {
			sqlite3_bind_text(statement, 1, state->removed[at], -1, SQLITE_STATIC);
			r = run_once(body, statement);
		}
		sqlite3_finalize(statement);
		if (r < 0)
			return r;
	}
	return 0;
}

static int save_runs(struct body *body, const struct state *state)
{
	sqlite3_stmt *statement;
	int r;

	if (!state->runs)
		return 0;
	r = body_exec(body, "DELETE FROM runs");
	if (r == 0)
		r = body_prepare(body, "INSERT OR REPLACE INTO runs VALUES (?, ?, ?)", &statement);
	if (r < 0)
		return r;
	for (size_t i = 0; r == 0 && i < state->n_runs; i++) {
		const struct run *run = &state->runs[i];

		sqlite3_bind_int64(statement, 1, (sqlite3_int64)run->first_id);
		if (run->known)
			sqlite3_bind_int64(statement, 2, run->base);
		else
			sqlite3_bind_null(statement, 2);
		sqlite3_bind_int64(statement, 3, (sqlite3_int64)run->skipped);
		r = run_once(body, statement);
	}
	sqlite3_finalize(statement);
	return r;
}

static int save_boots(struct queue *queue, const struct state *state)
{
	struct body *body = &queue->store.body;
	sqlite3_stmt *statement;
	int r;

	if (state->n_boots == 0)
		return 0;
	r = body_prepare(body, "INSERT OR REPLACE INTO boots VALUES (?, ?, ?, ?)", &statement);
	if (r < 0)
		return r;
	for (size_t i = 0; r == 0 && i < state->n_boots; i++) {
		sqlite3_bind_int64(statement, 1, state->boots[i].number);
		sqlite3_bind_text(statement, 2, state->boots[i].id, -1, SQLITE_STATIC);
		sqlite3_bind_int64(statement, 3, state->boots[i].offset_us);
		sqlite3_bind_int64(statement, 4, state->boots[i].trusted);
		r = run_once(body, statement);
	}
	sqlite3_finalize(statement);
	return r;
}

static int save_device(struct body *body, sqlite3_stmt *statement, const struct series_device *device)
{
	_cleanup_buf_ struct buf tags = {0};
	int r;

	for (size_t i = 0; i < device->n_tags; i++) {
		buf_add(&tags, device->tags[i].name, strlen(device->tags[i].name) + 1);
		buf_add(&tags, device->tags[i].value, strlen(device->tags[i].value) + 1);
	}
	if (buf_failed(&tags))
		return -ENOMEM;
	sqlite3_bind_int64(statement, 1, device->number);
	sqlite3_bind_text(statement, 2, device->name, -1, SQLITE_STATIC);
	sqlite3_bind_text(statement, 3, device->link, -1, SQLITE_STATIC);
	sqlite3_bind_blob64(statement, 4, tags.data, tags.size, SQLITE_STATIC);
	r = run_once(body, statement);
	sqlite3_clear_bindings(statement);
	return r;
}

static int save_series(struct queue *queue, const struct state *state)
{
	struct body *body = &queue->store.body;
	sqlite3_stmt *statement = NULL;
	int r = 0;

	if (queue->store.saved_devices < state->n_devices)
		r = body_prepare(body, "INSERT OR REPLACE INTO devices VALUES (?, ?, ?, ?)", &statement);
	for (uint32_t n = queue->store.saved_devices + 1; r == 0 && n <= state->n_devices; n++) {
		const struct series_device *device = series_device_by_number(queue->series, n);

		if (device)
			r = save_device(body, statement, device);
	}
	sqlite3_finalize(statement);
	statement = NULL;
	if (r == 0 && queue->store.saved_series < state->n_series)
		r = body_prepare(body, "INSERT OR REPLACE INTO series VALUES (?, ?, ?, ?, ?)", &statement);
	for (uint32_t n = queue->store.saved_series + 1; r == 0 && n <= state->n_series; n++) {
		const struct series *series = series_by_number(queue->series, n);

		if (!series)
			continue;
		sqlite3_bind_int64(statement, 1, series->number);
		sqlite3_bind_int64(statement, 2, series->device->number);
		sqlite3_bind_text(statement, 3, series->point, -1, SQLITE_STATIC);
		sqlite3_bind_text(statement, 4, series->unit, -1, SQLITE_STATIC);
		sqlite3_bind_text(statement, 5, type_name(series->type), -1, SQLITE_STATIC);
		r = run_once(body, statement);
	}
	sqlite3_finalize(statement);
	return r;
}

int state_save(struct queue *queue, const struct state *state)
{
	struct body *body = &queue->store.body;
	int r = save_removed(body, state);

	if (r == 0)
		r = save_cursors(body, state);
	if (r == 0)
		r = save_drops(body, state);
	if (r == 0)
		r = save_runs(body, state);
	if (r == 0)
		r = save_boots(queue, state);
	if (r == 0)
		r = save_series(queue, state);
	return r;
}

static void forget_removed(struct queue *queue, const struct state *state)
{
	/* New ones are appended at the end, so what was saved is the beginning. */
	for (size_t i = 0; i < state->n_removed; i++)
		free(queue->removed[i]);
	queue->n_removed -= state->n_removed;
	if (state->n_removed > 0)
		memmove(queue->removed, queue->removed + state->n_removed, queue->n_removed * sizeof(char *));
}

void state_saved(struct queue *queue, const struct state *state)
{
	for (size_t i = 0; i < state->n_cursors; i++) {
		struct queue_reader *reader = reader_by_number(queue, state->cursors[i].reader);

		if (reader) {
			reader->saved = state->cursors[i].acked;
			reader->is_saved = true;
		}
	}
	for (size_t i = 0; i < state->n_drops; i++) {
		struct queue_reader *reader = reader_by_number(queue, state->drops[i].reader);
		struct drop_row *row =
			reader ? drops_row(&reader->drops, state->drops[i].cause, state->drops[i].device, false) : NULL;

		if (row)
			row->saved = state->drops[i].count;
	}
	for (struct queue_reader *reader = queue->readers; reader; reader = reader->next)
		drops_saved(&reader->drops);
	forget_removed(queue, state);
	queue->runs_saved = state->runs_version;
	for (size_t i = 0; i < state->n_boots; i++) {
		struct boot *boot = boot_by_number(queue, state->boots[i].number);

		*boot = state->boots[i];
		boot->saved = true;
	}
	queue->store.saved_devices = state->n_devices;
	queue->store.saved_series = state->n_series;
}

void state_forget_saved(struct queue *queue)
{
	for (struct queue_reader *reader = queue->readers; reader; reader = reader->next) {
		reader->is_saved = false;
		for (size_t i = 0; i < reader->drops.n; i++)
			reader->drops.rows[i].saved = 0;
		drops_saved(&reader->drops);
	}
	for (size_t i = 0; i < queue->n_boots; i++)
		queue->boots[i].saved = false;
	queue->runs_version++;
	queue->store.saved_devices = queue->store.saved_series = 0;
}

/* ---- marks ---- */

static int save_meta(struct body *body, const char *key, uint64_t value)
{
	sqlite3_stmt *statement;
	int r = body_prepare(body, "INSERT OR REPLACE INTO meta VALUES (?, ?)", &statement);

	if (r < 0)
		return r;
	sqlite3_bind_text(statement, 1, key, -1, SQLITE_STATIC);
	sqlite3_bind_int64(statement, 2, (sqlite3_int64)value);
	r = run_once(body, statement);
	sqlite3_finalize(statement);
	return r;
}

int state_save_mark(struct body *body, uint64_t mark)
{
	return save_meta(body, "seq_reserved", mark);
}

int state_save_clean(struct body *body, bool clean)
{
	return save_meta(body, "clean", clean);
}

int state_save_salvage(struct body *body, const char *name, uint64_t end)
{
	sqlite3_stmt *statement;
	int r;

	if (!name)
		return body_exec(body, "DELETE FROM meta WHERE key IN ('salvage', 'salvage_end')");
	r = save_meta(body, "salvage_end", end);
	if (r == 0)
		r = body_prepare(body, "INSERT OR REPLACE INTO meta VALUES ('salvage', ?)", &statement);
	if (r < 0)
		return r;
	sqlite3_bind_text(statement, 1, name, -1, SQLITE_STATIC);
	r = run_once(body, statement);
	sqlite3_finalize(statement);
	return r;
}
