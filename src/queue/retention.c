/* SPDX-License-Identifier: Apache-2.0 */
/* What leaves the disk unsent: the oldest when there is no room, and what is too old. */
#include "base/clock.h"
#include "queue/queue_private.h"
#include <errno.h>

#define HEADS 500

static int remove_and_save(struct queue *queue, const struct row_header *heads, size_t n, const struct state *state)
{
	struct db *db = &queue->store.db;
	int r = db_begin(db);

	if (r < 0)
		return r;
	db_expect(db, DB_REMOVAL_BYTES);
	r = rows_remove(db, heads[0].id, heads[n - 1].id);
	if (r == 0)
		r = state_save(queue, state);
	if (r == 0)
		return db_commit(db);
	db_rollback(db);
	return r;
}

/* What a salvage has not moved over yet is older than these, and goes with them: afterwards it is not moved any
   more. */
static void charge_older(struct queue *queue, struct charges *charges, enum drop_cause cause,
			 const struct row_header *heads, size_t n)
{
	uint64_t to, most = 0;

	if (!queue->store.salvage)
		return;
	to = MIN(heads[n - 1].id, salvage_last(queue->store.salvage));
	for (size_t i = 0; i < charges->n_readers; i++) {
		uint64_t after = MAX(charges->readers[i].acked, queue->low),
			 older = runs_between(&queue->sequence.runs, after, to);

		for (size_t at = 0; at < n && older > 0; at++)
			older -= heads[at].id > after && heads[at].id <= to;
		charges_add_many(charges, cause, i, older);
		most = MAX(most, older);
	}
	charges->samples[cause] += most;
}

/* Drop rows heads[0] to heads[n - 1] in a transaction of their own, with their count. */
static int drop(struct queue *queue, enum drop_cause cause, const struct row_header *heads, size_t n)
{
	_cleanup_(charges_done) struct charges charges = {0};
	struct db *db = &queue->store.db;
	struct state *state = NULL;
	int r;

	mutex_lock(&queue->lock);
	r = heads[n - 1].id <= queue->written ? readers_begin_charges(queue, &charges) : -EBADMSG;
	for (size_t i = 0; r == 0 && i < n; i++)
		charges_add(&charges, cause, heads[i].id, heads[i].device);
	if (r == 0)
		charge_older(queue, &charges, cause, heads, n);
	charges.low = heads[n - 1].id;
	state = r == 0 ? state_take(queue, &charges) : NULL;
	mutex_unlock(&queue->lock);
	if (!state)
		return r < 0 ? r : -ENOMEM;
	r = remove_and_save(queue, heads, n, state);
	mutex_lock(&queue->lock);
	if (r < 0) {
		state_failed(queue, &charges);
		mutex_unlock(&queue->lock);
		state_free(state);
		return r;
	}
	readers_apply_charges(queue, &charges);
	state_saved(queue, state);
	queue_disk_dropped(queue, heads[n - 1].id);
	store_count(queue);
	mutex_unlock(&queue->lock);
	state_free(state);
	/* Room for a much smaller max_size takes many steps: each is progress. */
	writer_gets_on(&queue->writer);
	return db->wal_bytes > db->wal_limit ? db_checkpoint(db, false) : 0;
}

int retention_make_room(struct queue *queue, uint64_t bytes)
{
	_cleanup_free_ struct row_header *heads = NULL;

	/* What would not fit into an empty file makes no room by emptying it. */
	if (!db_can_hold(&queue->store.db, bytes))
		return -EFBIG;
	heads = malloc(HEADS * sizeof(*heads));
	if (!heads)
		return -ENOMEM;
	for (;;) {
		uint64_t freed = 0;
		size_t found, n = 0;
		bool room;
		int r = db_has_room(&queue->store.db, bytes, &room);

		/* After max_size was lowered the rest of the way is retention_trim()'s: samples do not wait for it. */
		if (r == 0 && !room)
			r = db_fits(&queue->store.db, bytes, &room);
		if (r < 0 || room)
			return r;
		r = rows_headers(&queue->store.db, 0, heads, HEADS, &found);
		if (r < 0)
			return r;
		if (found == 0)
			return -EFBIG;
		/* A little more than what is needed now, so that not every commit has to do it. */
		while (n < found && freed < 2 * bytes + 64 * 1024)
			freed += heads[n++].size + ROW_BYTES;
		r = drop(queue, DROP_QUEUE_FULL, heads, n);
		if (r < 0)
			return r;
	}
}

int retention_trim(struct queue *queue)
{
	struct db *db = &queue->store.db;
	uint64_t excess, unused, before;
	size_t n;
	int r = db_excess(db, &excess, &unused);

	if (r < 0)
		return r;
	if (excess == 0)
		return db_set_max_size(db, db->max_size); /* SQLite's cap was never below the file */
	if (excess > unused) {
		_cleanup_free_ struct row_header *heads = malloc(HEADS * sizeof(*heads));

		if (!heads)
			return -ENOMEM;
		r = rows_headers(db, 0, heads, HEADS, &n);
		if (r == 0 && n > 0)
			r = drop(queue, DROP_QUEUE_FULL, heads, n);
		return r < 0 ? r : n > 0;
	}
	before = db->pages;
	r = db_vacuum(db);
	if (r == 0)
		r = db_checkpoint(db, true);
	mutex_lock(&queue->lock);
	store_count(queue);
	mutex_unlock(&queue->lock);
	return r < 0 ? r : db->pages < before;
}

static bool is_too_old(const struct queue *queue, const struct row_header *head, int64_t limit) REQUIRES(queue->lock)
{
	bool certain;
	int64_t wall = boot_wall(queue, head->boot, head->time_us, &certain);

	return certain && wall < limit;
}

int retention_expire(struct queue *queue)
{
	_cleanup_free_ struct row_header *heads = malloc(HEADS * sizeof(*heads));
	size_t found, n = 0;
	int64_t limit;
	int r;

	if (!heads)
		return -ENOMEM;
	r = rows_headers(&queue->store.db, 0, heads, HEADS, &found);
	if (r < 0)
		return r;
	mutex_lock(&queue->lock);
	limit = clock_wall() - (int64_t)MIN(queue->conf.max_age_us, (uint64_t)INT64_MAX);
	if (clock_trusted())
		while (n < found && is_too_old(queue, &heads[n], limit))
			n++;
	mutex_unlock(&queue->lock);
	if (n > 0) {
		r = drop(queue, DROP_TOO_OLD, heads, n);
		if (r < 0)
			return r;
	}
	if (n == HEADS)
		return 1;
	return retention_look_at_oldest(queue);
}

int retention_look_at_oldest(struct queue *queue)
{
	struct row_header head;
	uint64_t min_acked;
	size_t n;
	int r;

	mutex_lock(&queue->lock);
	min_acked = queue->min_acked;
	mutex_unlock(&queue->lock);
	r = rows_headers(&queue->store.db, min_acked, &head, 1, &n);
	if (r < 0)
		return r;
	mutex_lock(&queue->lock);
	queue->oldest_boot = n > 0 ? head.boot : 0;
	queue->oldest_time_us = n > 0 ? head.time_us : 0;
	mutex_unlock(&queue->lock);
	return 0;
}
