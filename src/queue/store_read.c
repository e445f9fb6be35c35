/* SPDX-License-Identifier: Apache-2.0 */
/* What the store reads back from the disk for uplinks that are behind, and what it finds damaged there. */
#include "base/backoff.h"
#include "base/clock.h"
#include "queue/queue_private.h"
#include <errno.h>
#include <stdio.h>
#include <string.h>

#define AHEAD_ROWS 1000			/* read at once */
#define AHEAD_BYTES ((size_t)64 * 1024) /* about so many; a reader holds twice that */
#define UNREADABLE_US USEC_PER_MINUTE
#define READ_PAUSE_MIN_US USEC_PER_SEC
#define READ_PAUSE_MAX_US (10 * USEC_PER_SEC)

static bool hand_over(struct queue_reader *reader, struct sample_row *rows, size_t n, uint64_t to)
{
	struct sample **ahead = NULL;
	size_t left = reader->ahead_n - reader->ahead_at, at = 0;

	if (left + n > 0) {
		ahead = malloc((left + n) * sizeof(struct sample *));
		if (!ahead)
			return false;
	}
	for (size_t i = reader->ahead_at; i < reader->ahead_n; i++)
		ahead[at++] = reader->ahead[i];
	for (size_t i = 0; i < n; i++) {
		if (!rows[i].sample)
			continue;
		reader->ahead_bytes += sample_cost(rows[i].sample);
		ahead[at++] = rows[i].sample;
		rows[i].sample = NULL;
	}
	free(reader->ahead);
	reader->ahead = ahead;
	reader->ahead_at = 0;
	reader->ahead_n = at;
	reader->ahead_to = to;
	return true;
}

/* In one transaction, with their count. Lock held at the beginning and the end. */
static int remove_damaged_rows(struct queue *queue, const struct sample_row *rows, size_t n) REQUIRES(queue->lock)
{
	_cleanup_(charges_done) struct charges charges = {0};
	struct db *db = &queue->store.db;
	struct state *state = NULL;
	int r = readers_begin_charges(queue, &charges);

	for (size_t i = 0; r == 0 && i < n; i++) {
		if (rows[i].sample)
			continue;
		charges_add(&charges, DROP_DAMAGED, rows[i].id, 0);
		runs_skip(&queue->sequence.runs, rows[i].id);
		queue->sequence.version++;
	}
	if (r == 0)
		state = state_take(queue, &charges);
	mutex_unlock(&queue->lock);
	r = state ? db_begin(db) : -ENOMEM;
	for (size_t i = 0; r == 0 && i < n; i++)
		if (!rows[i].sample)
			r = rows_remove(db, rows[i].id, rows[i].id);
	if (r == 0)
		r = state_save(queue, state);
	if (r == 0)
		r = db_commit(db);
	else
		db_rollback(db);
	mutex_lock(&queue->lock);
	if (r == 0) {
		readers_apply_charges(queue, &charges);
		state_saved(queue, state);
		store_count(queue);
	} else {
		state_failed(queue, &charges);
	}
	state_free(state);
	return r;
}

/* A row whose checksum is wrong is counted for all at once, and removed so that nobody counts it again. Where the disk
   cannot be written it comes again: each reader counts it for itself, once. Lock held. */
static void drop_damaged_rows(struct queue *queue, uint64_t number, const struct sample_row *rows, size_t n)
	REQUIRES(queue->lock)
{
	struct queue_reader *reader;
	size_t damaged = 0;

	for (size_t i = 0; i < n; i++)
		damaged += !rows[i].sample;
	if (damaged == 0 || (!queue->store.db.read_only && remove_damaged_rows(queue, rows, n) == 0))
		return;
	reader = reader_by_number(queue, number);
	for (size_t i = 0; reader && i < n; i++) {
		if (rows[i].sample || rows[i].id <= MAX(reader->damaged_to, reader->acked))
			continue;
		drops_add(&reader->drops, DROP_DAMAGED, 0, 1);
		queue->dropped[DROP_DAMAGED]++;
		reader->damaged_to = rows[i].id;
	}
}

/* Whether as many rows came as the id ranges say there are: of a tree that is damaged whole pages may be passed
   over. */
static bool rows_are_missing(struct queue *queue, uint64_t after, uint64_t to, size_t n)
{
	uint64_t expected;

	mutex_lock(&queue->lock);
	expected = after >= queue->unsure_to ? runs_between(&queue->sequence.runs, after, to) : 0;
	mutex_unlock(&queue->lock);
	if (n >= expected)
		return false;
	snprintf(queue->store.db.message, sizeof(queue->store.db.message), "rows are missing");
	return true;
}

/* What names a device, a point or a boot that is lost is of no use. */
static void drop_nameless(struct queue *queue, struct sample_row *rows, size_t n)
{
	for (size_t i = 0; queue->names_missing && i < n; i++)
		if (rows[i].sample && !sample_is_named(queue, rows[i].sample))
			rows[i].sample = sample_unref(rows[i].sample);
}

static void forget_rows(struct sample_row *rows, size_t n)
{
	for (size_t i = 0; i < n; i++)
		sample_unref(rows[i].sample);
}

/* Damage is quarantined at once; a place that the disk cannot read only when it could not for a minute, for it may
   be the disk that is away. -EAGAIN: all is read from another file now; -EBADMSG: it should be, and could not be
   quarantined. */
static int judge_failure(struct queue *queue, int error)
{
	struct store *store = &queue->store;
	uint64_t now = clock_now();

	if (store->unread_since == 0)
		store->unread_since = now;
	if (error != -EBADMSG && (error != -EIO || now < store->unread_since + UNREADABLE_US))
		return error;
	return store_damaged(queue) == 0 ? -EAGAIN : -EBADMSG;
}

/* Samples are written and sent from memory all the same: it is the file that waits. */
static void read_failed(struct queue *queue, int error) REQUIRES(queue->lock)
{
	struct store *store = &queue->store;
	uint64_t now = clock_now();
	bool first = store->read_pause_us == 0;

	store->read_pause_us = hay_backoff_next(store->read_pause_us, READ_PAUSE_MIN_US, READ_PAUSE_MAX_US);
	store->read_at = MAX(now + store->read_pause_us, store->damaged_until);
	if (error == -EBADMSG)
		store_failed(queue, -EIO);
	else if (first)
		queue_notify(
			queue, HAY_LOG_WARNING,
			"the file of the queue cannot be read (%s: %s): the samples in it wait; trying again, for a minute at most",
			queue->path, store->db.message[0] ? store->db.message : strerror(-error));
}

void store_read_ahead(struct queue *queue, struct queue_reader *reader)
{
	struct sample_row *rows = malloc(AHEAD_ROWS * sizeof(*rows));
	unsigned generation = reader->generation;
	uint64_t after, to = queue->written;
	size_t n = 0;
	int r = 0;

	reader->wants_ahead = false;
	if (!rows || !reader_needs_disk(reader, &after)) {
		free(rows);
		reader_signal(reader);
		return;
	}
	to = MIN(to, queue->tail.first - 1);
	/* It may be removed meanwhile: it is looked up again by its number. */
	uint64_t number = reader->number;

	mutex_unlock(&queue->lock);
	r = rows_read(&queue->store.db, after, to, rows, AHEAD_ROWS, AHEAD_BYTES, &n);
	if (n > 0 && r != 0)
		to = rows[n - 1].id;
	if ((n > 0 || r == 0) && rows_are_missing(queue, after, to, n)) {
		forget_rows(rows, n);
		n = 0;
		r = -EBADMSG;
	}
	drop_nameless(queue, rows, n);
	if (n > 0 || r >= 0)
		queue->store.unread_since = queue->store.read_at = queue->store.read_pause_us = 0;
	else
		r = judge_failure(queue, r);
	mutex_lock(&queue->lock);
	drop_damaged_rows(queue, number, rows, n);
	reader = reader_by_number(queue, number);
	if (reader && reader->generation == generation && (r >= 0 || n > 0)) {
		if (hand_over(reader, rows, n, to))
			reader_signal(reader);
	} else if (r < 0 && n == 0 && r != -EAGAIN) {
		/* It asks again when the disk can be read; it may be gone, but the disk is no better for it. */
		if (reader)
			reader->wants_ahead = true;
		read_failed(queue, r);
	} else if (reader) {
		reader_signal(reader);
	}
	forget_rows(rows, n);
	free(rows);
}
