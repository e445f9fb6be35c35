/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A file that turns up when ids and numbers of devices were given out already: the disk answered late. Its samples are older
 * than all that this process has taken and their ids are below ours, so they go first; but devices, points and boots are
 * numbered by each process, and each sample is encoded anew.
 */
#include "queue/store_opening.h"
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

/* Called with the lock held. */
static int map_boot(struct queue *queue, struct join_maps *maps, const struct state_row *row)
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
	pthread_mutex_lock(&queue->lock);
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
	pthread_mutex_unlock(&queue->lock);
	return r;
}

int store_find_maps(struct queue *queue, struct queue_todo *todo)
{
	struct queue_todo copy = {.paths = {todo->paths[0]}, .n_paths = 1};
	struct state_marks marks = {0};
	struct state_rows rows = {0};
	int r = store_gather(queue, &copy, true, &rows, &marks);

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

/* Called with the lock held, as all below. Their ranges come first; ours go on from where they end. */
static int join_runs(struct queue *queue, struct runs *theirs, uint64_t last)
{
	uint64_t gone = queue->min_acked, skipped;
	struct runs ours = queue->runs;
	int r = 0;

	/* What all uplinks had got by now from memory is in neither. */
	while (ours.n > 1 && ours.at[1].first_id <= gone + 1) {
		ours.n--;
		memmove(ours.at, ours.at + 1, ours.n * sizeof(*ours.at));
	}
	ours.at[0].first_id = MAX(ours.at[0].first_id, gone + 1);
	skipped = ours.at[0].first_id - 1 - runs_count_to(theirs, last) - ours.at[0].skipped;
	for (size_t i = 0; r == 0 && i < ours.n; i++) {
		struct run run = ours.at[i];

		run.skipped += skipped;
		r = runs_add(theirs, &run);
	}
	runs_done(&ours);
	queue->runs = *theirs;
	*theirs = (struct runs){0};
	queue->runs_version++;
	return r;
}

static int join_reader(struct queue *queue, const struct state_row *row)
{
	struct state_reader state;
	struct queue_reader *reader;

	if (state_get_reader(row, &state) < 0)
		return 0;
	reader = reader_find(queue, state.name);
	if (!reader)
		return reader_new(queue, state.name, state.acked) ? 0 : -ENOMEM;
	reader->join_before = reader->taken;
	reader->join_floor = queue->first_id - 1; /* until all of them were given out */
	reader->acked = reader->taken = MIN(reader->acked, state.acked);
	reader->is_saved = false;
	reader->joined = true;
	reader_forget_ahead(reader);
	return 0;
}

static void join_drops(struct queue *queue, const struct state_row *row)
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
		      uint64_t last)
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
	return r;
}

/* Their samples can go before ours, each with the number it has. */
static bool can_join(const struct queue *queue, const struct runs *runs, uint64_t last)
{
	if (runs->n == 0 || last >= queue->first_id || runs->at[runs->n - 1].first_id >= queue->first_id)
		return false;
	return runs_first_unknown(runs) == 0;
}

static int join_rows(struct queue *queue, struct queue_todo *todo, struct state_rows *rows, struct state_marks *marks)
{
	const struct state_row *meta = state_rows_find(rows, state_key(STATE_META, 0));
	const struct state_row *row = state_rows_find(rows, state_key(STATE_RUNS, 0));
	uint64_t low = 0, unsure_to = 0;
	struct runs runs = {0};
	int r = row ? state_get_runs(row, &low, &unsure_to, &runs) : -ENOENT;

	marks->has_meta = meta && state_get_meta(meta, &marks->meta) == 0;
	if (r == -ENOMEM)
		return r;
	store_judge_last(todo, marks);
	pthread_mutex_lock(&queue->lock);
	if (marks->meta.seq <= SEQ_MAX)
		queue->seq_floor = MAX(queue->seq_floor, marks->meta.seq);
	r = can_join(queue, &runs, todo->last) ? 0 : -EEXIST;
	pthread_mutex_unlock(&queue->lock);
	if (r == 0)
		r = find_maps(queue, rows);
	if (r == 0) {
		pthread_mutex_lock(&queue->lock);
		queue->unsure_to = MIN(unsure_to, queue->first_id - 1);
		r = join_state(queue, rows, &runs, low, todo->last);
		pthread_mutex_unlock(&queue->lock);
	}
	runs_done(&runs);
	return r;
}

int store_join(struct queue *queue)
{
	struct store *store = &queue->store;
	struct queue_todo todo = {.end = queue->first_id - 1, .joins = true};
	struct state_marks marks = {0};
	struct state_rows rows = {0};
	int r, begun;

	if (store->body.db)
		body_abandon(&store->body);
	r = store_move_aside(queue, "left", &todo);
	if (r < 0)
		return r;
	r = store_gather(queue, &todo, false, &rows, &marks);
	if (r == 0)
		r = join_rows(queue, &todo, &rows, &marks);
	state_rows_done(&rows);
	pthread_mutex_lock(&queue->lock);
	queue_notify(
		queue, HAY_LOG_WARNING,
		r == 0 ? "the queue's file could not be read at the start, and is there now: what is in it is moved to "
			 "a "
			 "new one (from %s), and goes up first"
		       : "the queue's file could not be read at the start, and is there now, but its samples cannot go "
			 "before those taken since: it is kept as %s, and a new one is begun",
		todo.paths[0]);
	pthread_mutex_unlock(&queue->lock);
	store->loaded = true;
	begun = r == -ENOMEM ? r : store_begin_new(queue);
	if (r == 0 && begun != -ENOMEM)
		r = salvage_begin(queue, &todo);
	else
		queue_todo_remove(queue->path);
	queue_todo_done(&todo);
	if (r == -ENOMEM || begun < 0)
		return begun < 0 ? begun : r;
	asides_bound(queue);
	return 0;
}
