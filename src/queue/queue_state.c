/* SPDX-License-Identifier: Apache-2.0 */
/* The tables beside the samples: what changed is written with each commit. */
#include "queue/queue_state.h"
#include "base/clock.h"
#include <errno.h>
#include <string.h>

#define META_COMMITS 200 /* so often at most, for the last id alone */

/* ---- a snapshot of what changed ---- */

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
static void make_rows(struct queue *queue, const struct charges *charges) REQUIRES(queue->lock)
{
	for (size_t i = 0; i < charges->n_readers; i++) {
		struct queue_reader *reader = reader_by_number(queue, charges->readers[i].number);
		const struct drops *drops = &charges->readers[i].drops;

		for (size_t row = 0; reader && row < drops->n; row++)
			drops_row(&reader->drops, drops->rows[row].cause, drops->rows[row].device, true);
	}
}

static int take_cursors(struct queue *queue, struct charges *charges, struct state *state) REQUIRES(queue->lock)
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
		if (!reader->is_saved || reader->saved != reader_counted(reader)) {
			struct state_cursor *cursor = &state->cursors[state->n_cursors];

			cursor->name = strdup(reader->name);
			if (!cursor->name)
				return -ENOMEM;
			cursor->reader = reader->number;
			cursor->acked = reader_counted(reader);
			state->n_cursors++;
		}
		if ((reader->drops.dirty || charges) && take_drops(reader, charges, state) < 0)
			return -ENOMEM;
	}
	return 0;
}

bool state_is_empty(const struct state *state)
{
	return state->n_cursors == 0 && state->n_drops == 0 && state->n_removed == 0 && !state->names_rows;
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

static int take_boots(struct queue *queue, struct state *state) REQUIRES(queue->lock)
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

/* What stands in it besides the mark follows what is written, but not so often that it costs anything. */
static void take_meta(struct queue *queue, struct state *state)
{
	const struct store *store = &queue->store;

	state->meta = store->meta;
	state->meta.last_id = MAX(state->meta.last_id, queue->written);
	/* No cursor on disk says that these ids were used. */
	for (const struct queue_reader *reader = queue->readers; reader; reader = reader->next)
		if (reader->purged_in_salvage && reader->acked > state->meta.last_id) {
			state->meta.last_id = reader->acked;
			state->with_meta = true;
		}
	/* The end of the last process was in order; ours is not, until it is. */
	state->with_meta |= store->meta.clean;
	state->meta.clean = false;
	state->meta.n_devices = state->n_devices;
	state->meta.n_series = state->n_series;
	for (size_t i = 0; i < queue->n_boots; i++)
		state->meta.n_boots = MAX(state->meta.n_boots, queue->boots[i].number);
	state->with_meta |=
		state->meta.n_devices != store->meta.n_devices || state->meta.n_series != store->meta.n_series ||
		state->meta.n_boots != store->meta.n_boots ||
		(state->meta.last_id != store->meta.last_id && queue->commits >= store->meta_at + META_COMMITS);
}

struct state *state_take(struct queue *queue, struct charges *charges)
{
	struct state *state = calloc(1, sizeof(*state));

	if (!state)
		return NULL;
	if (take_cursors(queue, charges, state) < 0 || take_removed(queue, state) < 0)
		return state_free(state);
	state->runs_version = queue->sequence.version;
	state->is_nameless = !sequence_is_known(&queue->sequence);
	state->names_rows = sequence_holds_rows(&queue->sequence);
	state->unsure_to = queue->unsure_to;
	state->low = charges ? MAX(queue->low, charges->low) : queue->low;
	if ((queue->sequence.version != queue->sequence.saved || state->low > queue->low) &&
	    queue->sequence.runs.n > 0) {
		state->runs = malloc(queue->sequence.runs.n * sizeof(*state->runs));
		if (!state->runs)
			return state_free(state);
		memcpy(state->runs, queue->sequence.runs.at, queue->sequence.runs.n * sizeof(*state->runs));
		state->n_runs = queue->sequence.runs.n;
	}
	if (take_boots(queue, state) < 0)
		return state_free(state);
	state->n_devices = series_device_count(queue->series);
	state->n_series = series_count(queue->series);
	take_meta(queue, state);
	return state;
}

bool state_is_dirty(const struct queue *queue)
{
	for (const struct queue_reader *reader = queue->readers; reader; reader = reader->next) {
		if (reader->drops.dirty)
			return true;
		/* Only where a row on disk would come again. */
		if (reader->is_saved && reader->saved < reader_counted(reader) && queue->disk_first <= queue->written &&
		    reader->saved < queue->written)
			return true;
	}
	/* A row on disk is worth nothing without the time of its boot. */
	return queue->n_removed > 0 || sequence_holds_rows(&queue->sequence) ||
	       (queue->disk_first <= queue->written && boot_is_dirty(queue));
}

/* ---- what was written ---- */

static void forget_removed(struct queue *queue, const struct state *state)
{
	/* New ones are appended at the end, so what was saved is the beginning. */
	for (size_t i = 0; i < state->n_removed; i++)
		free(queue->removed[i]);
	queue->n_removed -= state->n_removed;
	if (state->n_removed > 0)
		memmove(queue->removed, queue->removed + state->n_removed, queue->n_removed * sizeof(char *));
}

void state_rows_written(struct queue *queue, const struct state *state, uint64_t to)
{
	if (state->is_nameless)
		queue->sequence.stored_to = MAX(queue->sequence.stored_to, to);
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
	if (sequence_ranges_written(&queue->sequence, state->runs_version))
		readers_signal(queue);
	for (size_t i = 0; i < state->n_boots; i++) {
		struct boot *boot = boot_by_number(queue, state->boots[i].number);

		*boot = state->boots[i];
		boot->saved = true;
	}
	queue->store.saved_devices = state->n_devices;
	queue->store.saved_series = state->n_series;
	if (state->with_meta) {
		queue->store.meta = state->meta;
		queue->store.meta_at = queue->commits;
	}
}

void state_failed(struct queue *queue, struct charges *charges)
{
	struct store *store = &queue->store;

	charges_done(&store->doubtful);
	store->doubtful_stamp = 0;
	if (!store->db.commit_failed)
		return;
	store->doubtful_stamp = store->stamp;
	store->doubtful = *charges;
	*charges = (struct charges){0};
}

/* What is on the disk may be newer than what was told of it: the last commit failed, and was done. */
static void find_row(struct queue *queue, const struct state_row *row) REQUIRES(queue->lock)
{
	struct queue_reader *reader;
	struct state_reader cursor;
	struct state_drops drops;
	struct drop_row *drop;

	if (state_kind_of(row->key) == STATE_READER && state_get_reader(row, &cursor) == 0) {
		reader = reader_find(queue, cursor.name);
		if (reader) {
			reader->saved = cursor.acked;
			reader->is_saved = true;
		}
	} else if (state_kind_of(row->key) == STATE_DROP && state_get_drops(row, &drops) == 0 &&
		   drops.cause < DROP_N_CAUSES) {
		reader = reader_find(queue, drops.reader);
		drop = reader ? drops_row(&reader->drops, drops.cause, drops.device, drops.count > 0) : NULL;
		if (drop)
			drop->saved = drops.count;
	}
}

void state_found(struct queue *queue, const struct state_rows *rows)
{
	struct store *store = &queue->store;
	uint64_t stamp = 0;

	for (size_t i = 0; i < rows->n; i++) {
		stamp = MAX(stamp, rows->at[i].stamp);
		find_row(queue, &rows->at[i]);
	}
	if (store->doubtful_stamp > 0 && store->doubtful_stamp == stamp) {
		readers_apply_charges(queue, &store->doubtful);
		queue_disk_dropped(queue, store->doubtful.low);
	}
	charges_done(&store->doubtful);
	store->doubtful_stamp = 0;
	for (struct queue_reader *reader = queue->readers; reader; reader = reader->next)
		drops_saved(&reader->drops);
	queue->sequence.version++;
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
	queue->sequence.version++;
	queue->store.saved_devices = queue->store.saved_series = 0;
	queue->store.meta.n_devices = queue->store.meta.n_series = 0;
}
