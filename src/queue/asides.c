/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How many of the files that were set aside are kept. What could be read of a damaged one was moved over and the rest was
 * counted; but of one that is newer than this daemon, or came too late, nobody has seen a sample. Its own cursors say what
 * had not been sent: that is charged when it goes.
 */
#include "base/clock.h"
#include "base/units.h"
#include "queue/queue_files.h"
#include "queue/queue_private.h"
#include <errno.h>
#include <stdio.h>
#include <string.h>

#define ASIDES_MAX 8
#define HEADS 2000

/* An uplink the file knows. */
struct aside_reader {
	char *name;
	uint64_t acked;
	struct drops drops; /* by the numbers of the file */
};

struct aside {
	char *path;
	uint64_t bytes;
	struct body body;
	struct state_rows rows; /* what stands beside its samples */
	struct aside_reader *readers;
	size_t n_readers;
	uint64_t at; /* counted up to this id */
	uint64_t unsent;
};

/* Of an uplink that is not open yet. */
struct owed {
	struct owed *next;
	char *name;
	struct drops drops;
};

struct aside *aside_free(struct aside *aside)
{
	if (!aside)
		return NULL;
	for (size_t i = 0; i < aside->n_readers; i++) {
		free(aside->readers[i].name);
		drops_done(&aside->readers[i].drops);
	}
	free(aside->readers);
	state_rows_done(&aside->rows);
	if (aside->body.db)
		body_close(&aside->body);
	free(aside->path);
	free(aside);
	return NULL;
}

/* ---- owed ---- */

static struct drops *owed_to(struct queue *queue, const char *name)
{
	struct owed *owed = queue->owed;

	while (owed && strcmp(owed->name, name) != 0)
		owed = owed->next;
	if (owed)
		return &owed->drops;
	owed = calloc(1, sizeof(*owed));
	if (!owed)
		return NULL;
	owed->name = strdup(name);
	if (!owed->name || drops_init(&owed->drops) < 0) {
		free(owed->name);
		free(owed);
		return NULL;
	}
	owed->next = queue->owed;
	queue->owed = owed;
	return &owed->drops;
}

static void owed_free(struct owed *owed)
{
	free(owed->name);
	drops_done(&owed->drops);
	free(owed);
}

static void add_all(struct drops *to, const struct drops *from)
{
	for (size_t i = 0; i < from->n; i++)
		drops_add(to, from->rows[i].cause, from->rows[i].device, from->rows[i].count);
}

void asides_pay(struct queue_reader *reader)
{
	for (struct owed **at = &reader->queue->owed; *at; at = &(*at)->next) {
		struct owed *owed = *at;

		if (strcmp(owed->name, reader->name) != 0)
			continue;
		add_all(&reader->drops, &owed->drops);
		queue_wake_store(reader->queue, 0);
		*at = owed->next;
		owed_free(owed);
		break;
	}
}

void asides_forget_owed(struct queue *queue)
{
	while (queue->owed) {
		struct owed *owed = queue->owed;

		queue->owed = owed->next;
		owed_free(owed);
	}
}

/* ---- counting ---- */

static int add_reader(struct aside *aside, const char *name, uint64_t acked)
{
	struct aside_reader *readers = reallocarray(aside->readers, aside->n_readers + 1, sizeof(*readers));
	struct aside_reader reader = {.name = strdup(name), .acked = acked};

	if (readers)
		aside->readers = readers;
	if (!readers || !reader.name || drops_init(&reader.drops) < 0) {
		free(reader.name);
		return -ENOMEM;
	}
	aside->readers[aside->n_readers++] = reader;
	return 0;
}

static int load_readers(struct aside *aside)
{
	int r = state_read_foreign(&aside->body, &aside->rows);

	aside->at = UINT64_MAX;
	for (size_t i = 0; r == 0 && i < aside->rows.n; i++) {
		struct state_reader reader;

		if (state_kind_of(aside->rows.at[i].key) != STATE_READER ||
		    state_get_reader(&aside->rows.at[i], &reader) < 0)
			continue;
		r = add_reader(aside, reader.name, reader.acked);
		aside->at = MIN(aside->at, reader.acked);
	}
	return r;
}

/* The number a device of the file has here; 0: none has its name. */
static uint32_t translate(struct queue *queue, const struct aside *aside, uint32_t number)
{
	const struct state_row *row = state_rows_find(&aside->rows, state_key(STATE_DEVICE, number));
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
static void translate_all(struct queue *queue, struct aside *aside)
{
	for (size_t i = 0; i < aside->n_readers; i++) {
		struct drops here, *drops = &aside->readers[i].drops;

		if (drops_init(&here) < 0)
			continue;
		for (size_t row = 0; row < drops->n; row++)
			drops_add(&here, drops->rows[row].cause, translate(queue, aside, drops->rows[row].device),
				  drops->rows[row].count);
		drops_done(drops);
		*drops = here;
	}
}

static void count(struct aside *aside, const struct body_head *head)
{
	aside->unsent++;
	for (size_t i = 0; i < aside->n_readers; i++)
		if (aside->readers[i].acked < head->id)
			drops_add(&aside->readers[i].drops, DROP_QUEUE_FULL, head->device, 1);
	aside->at = head->id;
}

/* 1: there is more; 0: that is all; -errno: the rest cannot be read. */
static int count_some(struct aside *aside)
{
	_cleanup_free_ struct body_head *heads = NULL;
	size_t n;
	int r;

	/* No uplink has ever waited for them. */
	if (aside->n_readers == 0)
		return 0;
	heads = malloc(HEADS * sizeof(*heads));
	if (!heads)
		return -ENOMEM;
	r = body_heads(&aside->body, aside->at, heads, HEADS, &n);
	for (size_t i = 0; i < n; i++)
		count(aside, &heads[i]);
	return r < 0 ? r : n == HEADS;
}

/* ---- removing ---- */

static void charge(struct queue *queue, const struct aside *aside) REQUIRES(queue->lock)
{
	for (size_t i = 0; i < aside->n_readers; i++) {
		const struct aside_reader *from = &aside->readers[i];
		struct queue_reader *reader = reader_find(queue, from->name);
		struct drops *to = reader ? &reader->drops : owed_to(queue, from->name);

		if (to)
			add_all(to, &from->drops);
	}
	/* The line about the file tells them. */
	queue->dropped[DROP_QUEUE_FULL] += aside->unsent;
	queue->dropped_told[DROP_QUEUE_FULL] += aside->unsent;
}

static bool discard(struct queue *queue, const char *path, uint64_t bytes, const struct aside *counted, bool all)
{
	char size[SIZE_TEXT_MAX], most[SIZE_TEXT_MAX], lost[64] = "";

	if (queue_discard(path) < 0)
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
		"%s (%s) removed%s: of the files that were set aside the last is kept, the others while there are no more than %d, together no more than max_size (%s)",
		path, format_size(bytes, size), lost, ASIDES_MAX, format_size(queue->conf.max_size, most));
	mutex_unlock(&queue->lock);
	return true;
}

void asides_step(struct queue *queue)
{
	struct aside *aside = queue->store.aside;
	int r = count_some(aside);
	bool discarded;

	if (r > 0)
		return;
	if (r == -ENOMEM) {
		queue->store.aside = aside_free(aside);
		return;
	}
	translate_all(queue, aside);
	body_close(&aside->body);
	queue->store.aside = NULL;
	discarded = discard(queue, aside->path, aside->bytes, aside, r == 0);
	aside_free(aside);
	if (discarded)
		asides_bound(queue);
}

/* -errno: nothing in it can be counted; -ENOMEM: not now. */
static int begin_counting(struct queue *queue, const struct queue_aside *found)
{
	struct aside *aside = calloc(1, sizeof(*aside));
	int r = 0;

	if (!aside)
		return -ENOMEM;
	aside->bytes = found->bytes;
	aside->path = strdup(found->path);
	if (!aside->path)
		r = -ENOMEM;
	if (r == 0)
		r = body_open(&aside->body, aside->path, queue_max_size(queue), true);
	if (r == 0)
		r = load_readers(aside);
	if (r < 0) {
		aside_free(aside);
		return r;
	}
	queue->store.aside = aside;
	return 0;
}

void asides_bound(struct queue *queue)
{
	uint64_t max_size = queue_max_size(queue), bytes = 0;
	struct queue_aside *asides;
	size_t n, left;

	if (queue->store.aside || queue_asides(queue->path, &asides, &n) < 0)
		return;
	for (size_t i = 0; i < n; i++)
		bytes += asides[i].bytes;
	left = n;
	for (size_t i = 0; i + 1 < n && (left > ASIDES_MAX || bytes > max_size); i++) {
		if (salvage_has(queue->store.salvage, asides[i].path))
			continue;
		if (!asides[i].is_damaged) {
			int r = begin_counting(queue, &asides[i]);

			/* When it is counted it goes, and then the next. */
			if (r == 0 || r == -ENOMEM)
				break;
		}
		if (!discard(queue, asides[i].path, asides[i].bytes, NULL, asides[i].is_damaged))
			continue;
		left--;
		bytes -= asides[i].bytes;
	}
	queue_asides_free(asides, n);
}
