/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A file that turns up when ids and numbers of devices were given out already: the disk answered late. Its samples are
 * older than all that this process has taken and their ids are below ours, so they go first; but devices, points and
 * boots are numbered by each process, and each sample is encoded anew.
 */
#include "base/mutex.h"
#include "queue/store_opening.h"
#include "storage/log_check.h"
#include "storage/quarantine.h"
#include <errno.h>
#include <stdio.h>
#include <string.h>

struct map {
	uint32_t *ours; /* by their number; 0: there is none */
	uint32_t n;
};

struct join_maps {
	struct map devices, series, boots;
};

/* ---- numbers ---- */

static uint32_t our_number(const struct map *map, uint32_t theirs)
{
	return theirs < map->n ? map->ours[theirs] : 0;
}

static int map_add(struct map *map, uint32_t theirs, uint32_t ours)
{
	if (theirs >= map->n) {
		uint32_t n = MAX(theirs + 1, map->n * 2);
		uint32_t *more = theirs < UINT32_MAX / 2 ? reallocarray(map->ours, n, sizeof(*more)) : NULL;

		if (!more)
			return -ENOMEM;
		memset(more + map->n, 0, (n - map->n) * sizeof(*more));
		map->ours = more;
		map->n = n;
	}
	map->ours[theirs] = ours;
	return 0;
}

void join_forget_maps(struct queue *queue)
{
	struct join_maps *maps = queue->store.maps;

	if (!maps)
		return;
	free(maps->devices.ours);
	free(maps->series.ours);
	free(maps->boots.ours);
	free(maps);
	queue->store.maps = NULL;
}

static int map_device(struct queue *queue, struct join_maps *maps, const struct state_row *row)
{
	const struct series_device *device;
	struct state_device state;

	if (state_get_device(row, &state) < 0)
		return 0;
	device = series_device_intern(queue->series, state.name, state.link, state.tags, state.n_tags);
	return device ? map_add(&maps->devices, (uint32_t)row->key, device->number) : -ENOMEM;
}

static int map_series(struct queue *queue, struct join_maps *maps, const struct state_row *row)
{
	const struct series_device *device;
	const struct series *series;
	struct state_series state;

	if (state_get_series(row, &state) < 0)
		return 0;
	device = series_device_by_number(queue->series, our_number(&maps->devices, state.device));
	if (!device)
		return 0;
	series = series_intern(queue->series, device, state.point, state.unit, type_from_name(state.type));
	return series ? map_add(&maps->series, (uint32_t)row->key, series->number) : -ENOMEM;
}

static int map_boot(struct queue *queue, struct join_maps *maps, const struct state_row *row) REQUIRES(queue->lock)
{
	struct state_boot state;
	uint32_t number = 0;

	if (state_get_boot(row, &state) < 0)
		return 0;
	for (size_t i = 0; i < queue->n_boots && number == 0; i++) {
		const struct boot *boot = &queue->boots[i];

		if (strcmp(boot->id, state.id) == 0 && strspn(state.id, "0") < strlen(state.id) &&
		    (boot->number == queue->boot || boot->offset_us == state.offset_us))
			number = boot->number;
	}
	for (size_t i = 0; i < queue->n_boots && number == 0; i++)
		queue->lost_boots = MAX(queue->lost_boots, queue->boots[i].number);
	if (number == 0) {
		number = ++queue->lost_boots;
		if (boot_add(queue, number, state.id, state.offset_us, state.trusted, false) < 0)
			return -ENOMEM;
	}
	return map_add(&maps->boots, (uint32_t)row->key, number);
}

static int find_maps(struct queue *queue, const struct state_rows *rows)
{
	struct join_maps *maps = calloc(1, sizeof(*maps));
	int r = maps ? 0 : -ENOMEM;

	join_forget_maps(queue);
	queue->store.maps = maps;
	mutex_lock(&queue->lock);
	for (size_t i = 0; r == 0 && i < rows->n; i++) {
		const struct state_row *row = &rows->at[i];

		switch (state_kind_of(row->key)) {
		case STATE_BOOT:
			r = map_boot(queue, maps, row);
			break;
		case STATE_DEVICE:
			r = map_device(queue, maps, row);
			break;
		case STATE_SERIES:
			r = map_series(queue, maps, row);
			break;
		default:
			break;
		}
	}
	mutex_unlock(&queue->lock);
	return r;
}

int store_find_maps(struct queue *queue, const char *path)
{
	struct salvage_list only = {.paths = {(char *)path}, .n_paths = 1};
	struct state_marks marks = {0};
	struct state_rows rows = {0};
	int r = store_gather(queue, &only, true, &rows, &marks);

	if (r == 0 && marks.is_unread)
		r = -EIO;
	if (r == 0)
		r = find_maps(queue, &rows);
	state_rows_done(&rows);
	return r;
}

/* ---- samples ---- */

struct sample *join_translate(struct queue *queue, struct sample *sample)
{
	const struct join_maps *maps = queue->store.maps;
	_cleanup_(sample_unrefp) struct sample *theirs = sample;
	struct sample_reading *readings = NULL, reading;
	struct sample_cursor cursor;
	struct sample *ours;
	size_t n = 0;

	if (!maps) {
		theirs = NULL;
		return sample;
	}
	if (sample_begin(sample, &cursor) == 0)
		readings = calloc((size_t)cursor.left + 1, sizeof(*readings));
	if (!readings)
		return NULL;
	while (sample_next(&cursor, &reading) > 0) {
		reading.series = our_number(&maps->series, reading.series);
		readings[n++] = reading;
	}
	ours = sample_new(our_number(&maps->devices, sample->device), sample->time_us, readings, n);
	free(readings);
	if (!ours)
		return NULL;
	ours->id = sample->id;
	ours->boot = our_number(&maps->boots, sample->boot);
	return ours;
}

/* ---- what stands beside them ---- */

/* Their ranges come first; ours go on from where they end. What all uplinks had got by now from memory is in neither. */
static int join_runs(struct queue *queue, struct runs *theirs, uint64_t last) REQUIRES(queue->lock)
{
	int r = runs_join(theirs, last, &queue->sequence.runs, queue->min_acked);

	runs_done(&queue->sequence.runs);
	queue->sequence.runs = *theirs;
	*theirs = (struct runs){0};
	queue->sequence.version++;
	return r;
}

/* It had its place in the file all along: what this process took before it knew of it, and has not in memory any
   more. */
static void charge_before(struct queue_reader *reader)
{
	struct tail *tail = &reader->queue->tail;
	uint64_t kept = 0;

	TAIL_FOREACH(slot, tail, tail->first)
	kept += slot->sample->id < reader->first_seen;
	if (reader->appended_before > kept)
		drops_add(&reader->drops, DROP_MEMORY_FULL, 0, reader->appended_before - kept);
	reader->appended_before = 0;
}

static int join_reader(struct queue *queue, const struct state_row *row) REQUIRES(queue->lock)
{
	struct state_reader state;
	struct queue_reader *reader;

	if (state_get_reader(row, &state) < 0)
		return 0;
	reader = reader_find(queue, state.name);
	if (!reader) {
		reader = reader_new(queue, state.name, state.acked);
		if (reader)
			charge_before(reader);
		return reader ? 0 : -ENOMEM;
	}
	charge_before(reader);
	reader->given_before = reader->taken;
	reader->acked_before = reader->acked;
	reader->acked = reader->taken = MIN(reader->acked, state.acked);
	reader->is_saved = false;
	reader->joined = true;
	reader_forget_ahead(reader);
	return 0;
}

static void join_drops(struct queue *queue, const struct state_row *row) REQUIRES(queue->lock)
{
	struct queue_reader *reader;
	struct state_drops state;

	if (state_get_drops(row, &state) < 0 || state.cause >= DROP_N_CAUSES || state.count == 0)
		return;
	reader = reader_find(queue, state.reader);
	if (reader)
		drops_add(&reader->drops, state.cause,
			  state.device == DROPS_NUMBER_UNKNOWN ? state.device
							       : our_number(&queue->store.maps->devices, state.device),
			  state.count);
}

static int join_state(struct queue *queue, const struct state_rows *rows, struct runs *runs, uint64_t low,
		      uint64_t last) REQUIRES(queue->lock)
{
	uint64_t min = UINT64_MAX;
	int r = join_runs(queue, runs, last);

	for (size_t i = 0; r == 0 && i < rows->n; i++) {
		if (state_kind_of(rows->at[i].key) == STATE_READER)
			r = join_reader(queue, &rows->at[i]);
		else if (state_kind_of(rows->at[i].key) == STATE_DROP)
			join_drops(queue, &rows->at[i]);
	}
	for (const struct queue_reader *reader = queue->readers; reader; reader = reader->next)
		min = MIN(min, reader->acked);
	queue->min_acked = MIN(queue->min_acked, min);
	queue->low = low;
	queue->counted_from = queue->first_id;
	queue->salvaging = true;
	return r;
}

/* Their samples can go before ours, each with the number it has. */
static bool can_join(const struct queue *queue, const struct runs *runs, uint64_t last)
{
	if (runs->n == 0 || last >= queue->first_id || runs->at[runs->n - 1].first_id >= queue->first_id)
		return false;
	return runs_first_unknown(runs) == 0;
}

/* They cannot: what is in them is lost to the uplinks, and counted. */
static int count_left(struct queue *queue, const struct salvage_list *pending, const struct state_rows *rows)
{
	const struct state_row *row = state_rows_find(rows, state_key(STATE_RUNS, 0));
	uint64_t low = 0, unsure_to = 0, most = 0;
	struct runs runs = {0};
	int r = row ? state_get_runs(row, &low, &unsure_to, &runs) : 0, found = find_maps(queue, rows);

	mutex_lock(&queue->lock);
	for (size_t i = 0; r == 0 && found == 0 && i < rows->n; i++) {
		struct state_reader state;
		struct queue_reader *reader;
		uint64_t n;

		if (state_get_reader(&rows->at[i], &state) < 0 || state_kind_of(rows->at[i].key) != STATE_READER)
			continue;
		reader = reader_find(queue, state.name);
		if (!reader)
			reader = reader_new(queue, state.name, queue->first_id - 1);
		if (!reader) {
			found = -ENOMEM;
			break;
		}
		charge_before(reader);
		n = runs.n > 0 ? runs_between(&runs, MAX(state.acked, low), pending->last) : 0;
		if (n > 0)
			drops_add(&reader->drops, DROP_DAMAGED, 0, n);
		most = MAX(most, n);
	}
	for (size_t i = 0; found == 0 && i < rows->n; i++)
		if (state_kind_of(rows->at[i].key) == STATE_DROP)
			join_drops(queue, &rows->at[i]);
	queue->dropped[DROP_DAMAGED] += most;
	if (runs.n == 0 || !pending->is_exact || pending->is_doubtful)
		queue_charge_unknown(queue, "what the file that was left says of them is not complete");
	mutex_unlock(&queue->lock);
	join_forget_maps(queue);
	runs_done(&runs);
	return r == -ENOMEM ? r : found;
}

static int join_rows(struct queue *queue, struct salvage_list *pending, struct state_rows *rows,
		     struct state_marks *marks)
{
	const struct state_row *meta = state_rows_find(rows, state_key(STATE_META, 0));
	const struct state_row *row = state_rows_find(rows, state_key(STATE_RUNS, 0));
	uint64_t low = 0, unsure_to = 0;
	struct runs runs = {0};
	int r = row ? state_get_runs(row, &low, &unsure_to, &runs) : -ENOENT;

	marks->has_meta = meta && state_get_meta(meta, &marks->meta) == 0;
	if (r == -ENOMEM)
		return r;
	store_judge_last(pending, marks);
	mutex_lock(&queue->lock);
	if (marks->meta.seq <= SEQ_MAX)
		queue->sequence.floor = MAX(queue->sequence.floor, marks->meta.seq);
	r = can_join(queue, &runs, pending->last) ? 0 : -EEXIST;
	mutex_unlock(&queue->lock);
	if (r == 0)
		r = find_maps(queue, rows);
	if (r == 0) {
		mutex_lock(&queue->lock);
		queue->unsure_to = MIN(unsure_to, queue->first_id - 1);
		r = join_state(queue, rows, &runs, low, pending->last);
		mutex_unlock(&queue->lock);
	}
	runs_done(&runs);
	return r;
}

/* All that stands beside its samples, while it lies where it was: what cannot be read now is tried again. */
static int look_at_left(struct queue *queue, struct salvage_list *left, struct state_rows *rows,
			struct state_marks *marks)
{
	enum log_state log;
	uint64_t log_bytes;
	int r = log_check(left->paths[0], &log, &log_bytes);

	if (r == 0)
		r = store_gather(queue, left, log == LOG_STATE_DAMAGED, rows, marks);
	if (r == 0 && marks->is_unread)
		r = -EIO;
	if (r == -ENOMEM)
		return r;
	if (r < 0) {
		snprintf(queue->store.db.message, sizeof(queue->store.db.message), "it cannot be read");
		return -EIO;
	}
	left->is_doubtful |= log != LOG_STATE_WHOLE;
	return 0;
}

/* It may have been a new one itself, that files of before were still being moved to: these are moved on. */
static int take_todo(struct queue *queue, struct salvage_list *pending)
{
	struct store *store = &queue->store;

	store->salvage = salvage_free(store->salvage);
	return store_read_todo(queue, pending);
}

/* Its samples go with those of the files before it; none of these has our numbers. */
static void add_left(struct queue *queue, struct salvage_list *pending, const struct salvage_list *left)
{
	bool is_first = pending->n_paths == 0;

	pending->end = queue->first_id - 1;
	pending->is_exact = left->is_exact && (is_first || pending->is_exact);
	pending->is_doubtful |= left->is_doubtful;
	pending->last = MAX(pending->last, left->last);
	for (size_t i = 0; i < SALVAGE_FILES_MAX; i++)
		pending->generations[i]++;
}

/* Where the process ended between quarantining a file and beginning the next one, the last that was quarantined is
   it. */
static int quarantine_left(struct queue *queue, struct salvage_list *pending, bool is_new, struct state_rows *rows,
			   struct state_marks *marks)
{
	struct salvage_list left = {.paths = {is_new ? pending->paths[pending->n_paths - 1] : queue->path},
				    .n_paths = 1};
	int r = look_at_left(queue, &left, rows, marks);

	if (r < 0)
		return r;
	add_left(queue, pending, &left);
	return is_new ? salvage_list_write(queue->path, pending) : store_move_aside(queue, "left", pending);
}

/* Its samples are counted, and not once more when it is removed: it gets the name of a damaged one. */
static void forget_left(struct queue *queue, const struct salvage_list *pending)
{
	const char *left = pending->paths[pending->n_paths - 1];
	_cleanup_free_ char *name = NULL;
	bool is_renamed = quarantine_name(queue->path, "damaged", &name) == 0 && quarantine_move(left, name) == 0;

	salvage_list_remove(queue->path);
	mutex_lock(&queue->lock);
	queue_notify(
		queue, HAY_LOG_ERROR,
		"the queue's file could not be read at the start, and is there now, but its samples cannot go before those taken since: they are lost and counted, it is kept as %s, and a new one is begun",
		is_renamed ? name : left);
	mutex_unlock(&queue->lock);
}

int store_join(struct queue *queue, bool is_new)
{
	struct store *store = &queue->store;
	struct salvage_list pending = {0};
	struct state_marks marks = {0};
	struct state_rows rows = {0};
	int r, begun;

	r = take_todo(queue, &pending);
	if (r == 0 && is_new && pending.n_paths == 0)
		return store_write_tables(queue, 0);
	if (store->db.handle)
		db_abandon(&store->db);
	if (r == 0)
		r = quarantine_left(queue, &pending, is_new, &rows, &marks);
	if (r < 0) {
		state_rows_done(&rows);
		salvage_list_done(&pending);
		return r;
	}
	r = join_rows(queue, &pending, &rows, &marks);
	if (r < 0 && r != -ENOMEM && count_left(queue, &pending, &rows) == -ENOMEM)
		r = -ENOMEM;
	state_rows_done(&rows);
	if (r == 0) {
		mutex_lock(&queue->lock);
		queue_notify(
			queue, HAY_LOG_WARNING,
			"the queue's file could not be read at the start, and is there now: what is in it is moved to a new one (from %s), and goes up first",
			pending.paths[pending.n_paths - 1]);
		mutex_unlock(&queue->lock);
	}
	store->loaded = true;
	begun = r == -ENOMEM ? r : store_begin_new(queue);
	if (r == 0 && begun != -ENOMEM)
		r = salvage_begin(queue, &pending);
	else if (begun == 0)
		forget_left(queue, &pending);
	salvage_list_done(&pending);
	if (r == -ENOMEM || begun < 0)
		return begun < 0 ? begun : r;
	quarantine_bound(queue);
	return 0;
}
