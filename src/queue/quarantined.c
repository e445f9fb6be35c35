/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How many of the files that were quarantined are kept. What could be read of a damaged one was moved over and the rest
 * was counted; but of one that is newer than this daemon, or came too late, nobody has seen a sample. Its own cursors
 * say what had not been sent: that is charged when it goes.
 */
#include "base/clock.h"
#include "base/units.h"
#include "queue/queue_files.h"
#include "queue/queue_private.h"
#include "storage/quarantine.h"
#include <errno.h>
#include <stdio.h>
#include <string.h>

#define ASIDES_MAX 8
#define HEADS 2000

/* An uplink the file knows. */
struct quarantined_reader {
	char *name;
	uint64_t acked;
	struct drops drops; /* by the numbers of the file */
};

struct quarantine_count {
	char *path;
	uint64_t bytes;
	struct db db;
	struct state_rows rows; /* what stands beside its samples */
	struct quarantined_reader *readers;
	size_t n_readers;
	uint64_t at; /* counted up to this id */
	uint64_t unsent;
};

/* Of an uplink that is not open yet. */
struct deferred {
	struct deferred *next;
	char *name;
	struct drops drops;
};

struct quarantine_count *quarantine_count_free(struct quarantine_count *counting)
{
	if (!counting)
		return NULL;
	for (size_t i = 0; i < counting->n_readers; i++) {
		free(counting->readers[i].name);
		drops_done(&counting->readers[i].drops);
	}
	free(counting->readers);
	state_rows_done(&counting->rows);
	if (counting->db.handle)
		db_close(&counting->db);
	free(counting->path);
	free(counting);
	return NULL;
}

/* ---- deferred counts ---- */

static struct drops *deferred_of(struct queue *queue, const char *name)
{
	struct deferred *deferred = queue->deferred;

	while (deferred && strcmp(deferred->name, name) != 0)
		deferred = deferred->next;
	if (deferred)
		return &deferred->drops;
	deferred = calloc(1, sizeof(*deferred));
	if (!deferred)
		return NULL;
	deferred->name = strdup(name);
	if (!deferred->name || drops_init(&deferred->drops) < 0) {
		free(deferred->name);
		free(deferred);
		return NULL;
	}
	deferred->next = queue->deferred;
	queue->deferred = deferred;
	return &deferred->drops;
}

static void deferred_free(struct deferred *deferred)
{
	free(deferred->name);
	drops_done(&deferred->drops);
	free(deferred);
}

static void add_all(struct drops *to, const struct drops *from)
{
	for (size_t i = 0; i < from->n; i++)
		drops_add(to, from->rows[i].cause, from->rows[i].device, from->rows[i].count);
}

void deferred_apply(struct queue_reader *reader)
{
	for (struct deferred **at = &reader->queue->deferred; *at; at = &(*at)->next) {
		struct deferred *deferred = *at;

		if (strcmp(deferred->name, reader->name) != 0)
			continue;
		add_all(&reader->drops, &deferred->drops);
		queue_wake_store(reader->queue, 0);
		*at = deferred->next;
		deferred_free(deferred);
		break;
	}
}

void deferred_forget(struct queue *queue)
{
	while (queue->deferred) {
		struct deferred *deferred = queue->deferred;

		queue->deferred = deferred->next;
		deferred_free(deferred);
	}
}

/* ---- counting ---- */

static int add_reader(struct quarantine_count *counting, const char *name, uint64_t acked)
{
	struct quarantined_reader *readers = reallocarray(counting->readers, counting->n_readers + 1, sizeof(*readers));
	struct quarantined_reader reader = {.name = strdup(name), .acked = acked};

	if (readers)
		counting->readers = readers;
	if (!readers || !reader.name || drops_init(&reader.drops) < 0) {
		free(reader.name);
		return -ENOMEM;
	}
	counting->readers[counting->n_readers++] = reader;
	return 0;
}

static int load_readers(struct quarantine_count *counting)
{
	int r = state_read_foreign(&counting->db, &counting->rows);

	counting->at = UINT64_MAX;
	for (size_t i = 0; r == 0 && i < counting->rows.n; i++) {
		struct state_reader reader;

		if (state_kind_of(counting->rows.at[i].key) != STATE_READER ||
		    state_get_reader(&counting->rows.at[i], &reader) < 0)
			continue;
		r = add_reader(counting, reader.name, reader.acked);
		counting->at = MIN(counting->at, reader.acked);
	}
	return r;
}

/* The number a device of the file has here; 0: none has its name. */
static uint32_t translate(struct queue *queue, const struct quarantine_count *counting, uint32_t number)
{
	const struct state_row *row = state_rows_find(&counting->rows, state_key(STATE_DEVICE, number));
	uint32_t n = series_device_count(queue->series);
	struct state_device named;

	if (!row || state_get_device(row, &named) < 0)
		return 0;
	for (uint32_t i = 1; i <= n; i++) {
		const struct series_device *device = series_device_by_number(queue->series, i);

		if (device && strcmp(device->name, named.name) == 0)
			return i;
	}
	return 0;
}

/* The file's numbers of devices become those of this process. */
static void translate_all(struct queue *queue, struct quarantine_count *counting)
{
	for (size_t i = 0; i < counting->n_readers; i++) {
		struct drops here, *drops = &counting->readers[i].drops;

		if (drops_init(&here) < 0)
			continue;
		for (size_t row = 0; row < drops->n; row++)
			drops_add(&here, drops->rows[row].cause, translate(queue, counting, drops->rows[row].device),
				  drops->rows[row].count);
		drops_done(drops);
		*drops = here;
	}
}

static void count(struct quarantine_count *counting, const struct row_header *head)
{
	counting->unsent++;
	for (size_t i = 0; i < counting->n_readers; i++)
		if (counting->readers[i].acked < head->id)
			drops_add(&counting->readers[i].drops, DROP_QUEUE_FULL, head->device, 1);
	counting->at = head->id;
}

/* 1: there is more; 0: that is all; -errno: the rest cannot be read. */
static int count_some(struct quarantine_count *counting)
{
	_cleanup_free_ struct row_header *heads = NULL;
	size_t n;
	int r;

	/* No uplink has ever waited for them. */
	if (counting->n_readers == 0)
		return 0;
	heads = malloc(HEADS * sizeof(*heads));
	if (!heads)
		return -ENOMEM;
	r = rows_headers(&counting->db, counting->at, heads, HEADS, &n);
	for (size_t i = 0; i < n; i++)
		count(counting, &heads[i]);
	return r < 0 ? r : n == HEADS;
}

/* ---- removing ---- */

static void charge(struct queue *queue, const struct quarantine_count *counting) REQUIRES(queue->lock)
{
	for (size_t i = 0; i < counting->n_readers; i++) {
		const struct quarantined_reader *from = &counting->readers[i];
		struct queue_reader *reader = reader_find(queue, from->name);
		struct drops *to = reader ? &reader->drops : deferred_of(queue, from->name);

		if (to)
			add_all(to, &from->drops);
	}
	/* The line about the file tells them. */
	queue->dropped[DROP_QUEUE_FULL] += counting->unsent;
	queue->dropped_told[DROP_QUEUE_FULL] += counting->unsent;
}

static bool discard(struct queue *queue, const char *path, uint64_t bytes, const struct quarantine_count *counted,
		    bool all)
{
	char size[SIZE_TEXT_MAX], most[SIZE_TEXT_MAX], lost[64] = "";

	if (storage_discard(path) < 0)
		return false;
	if (counted && counted->unsent > 0)
		snprintf(lost, sizeof(lost), " with %s%llu unsent samples", all ? "" : "at least ",
			 (unsigned long long)counted->unsent);
	else if (!all)
		snprintf(lost, sizeof(lost), " with samples that cannot be counted");
	mutex_lock(&queue->lock);
	if (counted)
		charge(queue, counted);
	queue_notify(
		queue, HAY_LOG_WARNING,
		"%s (%s) removed%s: of the quarantined files the last is kept, the others while there are no more than %d, together no more than max_size (%s)",
		path, format_size(bytes, size), lost, ASIDES_MAX, format_size(queue->conf.max_size, most));
	mutex_unlock(&queue->lock);
	return true;
}

void quarantine_count_step(struct queue *queue)
{
	struct quarantine_count *counting = queue->store.counting;
	int r = count_some(counting);
	bool discarded;

	if (r > 0)
		return;
	if (r == -ENOMEM) {
		queue->store.counting = quarantine_count_free(counting);
		return;
	}
	translate_all(queue, counting);
	db_close(&counting->db);
	queue->store.counting = NULL;
	discarded = discard(queue, counting->path, counting->bytes, counting, r == 0);
	quarantine_count_free(counting);
	if (discarded)
		quarantine_bound(queue);
}

/* -errno: nothing in it can be counted; -ENOMEM: not now. */
static int begin_counting(struct queue *queue, const struct quarantined *found)
{
	struct quarantine_count *counting = calloc(1, sizeof(*counting));
	int r = 0;

	if (!counting)
		return -ENOMEM;
	counting->bytes = found->bytes;
	counting->path = strdup(found->path);
	if (!counting->path)
		r = -ENOMEM;
	if (r == 0)
		r = db_open(&counting->db, counting->path, queue_max_size(queue), true);
	if (r == 0)
		r = load_readers(counting);
	if (r < 0) {
		quarantine_count_free(counting);
		return r;
	}
	queue->store.counting = counting;
	return 0;
}

void quarantine_bound(struct queue *queue)
{
	uint64_t max_size = queue_max_size(queue), bytes = 0;
	struct quarantined *files;
	size_t n, left;

	if (queue->store.counting || quarantine_list(queue->path, &files, &n) < 0)
		return;
	for (size_t i = 0; i < n; i++)
		bytes += files[i].bytes;
	left = n;
	for (size_t i = 0; i + 1 < n && (left > ASIDES_MAX || bytes > max_size); i++) {
		if (salvage_has(queue->store.salvage, files[i].path))
			continue;
		if (!files[i].is_damaged) {
			int r = begin_counting(queue, &files[i]);

			/* When it is counted it goes, and then the next. */
			if (r == 0 || r == -ENOMEM)
				break;
		}
		if (!discard(queue, files[i].path, files[i].bytes, NULL, files[i].is_damaged))
			continue;
		left--;
		bytes -= files[i].bytes;
	}
	quarantine_list_free(files, n);
}
