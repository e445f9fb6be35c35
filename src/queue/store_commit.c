/* SPDX-License-Identifier: Apache-2.0 */
/* What the store thread does with an open file: writes in groups, reads ahead for readers, and what follows a
   failure. */
#include "base/backoff.h"
#include "base/clock.h"
#include "base/units.h"
#include "queue/queue_files.h"
#include "queue/queue_private.h"
#include "storage/reserve.h"
#include <errno.h>
#include <string.h>

#define REMOVAL_IDS 5000  /* removed in one transaction */
#define REMOVAL_PERIOD 10 /* commits */
#define RESERVE_MORE_BYTES ((size_t)256 * 1024)
#define RESERVE_MIN_BYTES ((size_t)64 * 1024)
#define BACKOFF_MIN_US USEC_PER_SEC
#define BACKOFF_MAX_US (30 * USEC_PER_SEC)

/* ---- failing and healing ---- */

static const char *failure_words(enum queue_disk state)
{
	switch (state) {
	case QUEUE_DISK_FULL:
		return "the disk of the queue is full";
	case QUEUE_DISK_READ_ONLY:
		return "the disk of the queue cannot be written";
	default:
		return "the file of the queue cannot be used";
	}
}

void store_failed(struct queue *queue, int error)
{
	struct store *store = &queue->store;
	enum queue_disk state = error == -ENOSPC  ? QUEUE_DISK_FULL
				: error == -EROFS ? QUEUE_DISK_READ_ONLY
						  : QUEUE_DISK_FAILED;
	char pause[DURATION_TEXT_MAX], memory[SIZE_TEXT_MAX];
	uint64_t now = clock_now();

	if (now < store->damaged_until) {
		/* Until then a try would only find the same damage. */
		store->retry_at = store->damaged_until;
	} else {
		store->backoff_us = hay_backoff_next(store->backoff_us, BACKOFF_MIN_US, BACKOFF_MAX_US);
		store->retry_at = now + store->backoff_us;
	}
	if (queue->disk_state == QUEUE_DISK_OK) {
		queue->failed_since = now;
		queue->dropped_before = queue->dropped[DROP_MEMORY_FULL];
	}
	if (queue->disk_state != state)
		queue_notify(queue, HAY_LOG_WARNING,
			     "%s (%s: %s): samples stay in memory, up to %s; trying again in %s", failure_words(state),
			     queue->path, store->db.message[0] ? store->db.message : strerror(-error),
			     format_size(queue->conf.memory, memory), format_duration(store->retry_at - now, pause));
	queue->disk_state = state;
	numbers_leave_mark(queue);
	readers_signal(queue);
}

void store_healed(struct queue *queue)
{
	struct store *store = &queue->store;
	char lasted[DURATION_TEXT_MAX];

	store->retry_at = store->backoff_us = store->damaged_until = 0;
	if (queue->disk_state == QUEUE_DISK_OK)
		return;
	queue->disk_state = QUEUE_DISK_OK;
	queue_notify(queue, HAY_LOG_NOTICE,
		     "the queue is written to disk again after %s; %llu samples were dropped meanwhile",
		     format_duration(clock_now() - queue->failed_since, lasted),
		     (unsigned long long)(queue->dropped[DROP_MEMORY_FULL] - queue->dropped_before));
}

void store_count(struct queue *queue)
{
	queue->bytes_written = queue->store.db.bytes_written + queue->mark_bytes;
	queue->disk_bytes = db_bytes(&queue->store.db);
}

/* ---- the reserve ---- */

/* With it the log can always be moved into the file, and then be written anew in the space it has: what a full log adds
   to the file, and something for the log itself. */
static size_t reserve_wanted(const struct queue *queue)
{
	return (size_t)queue->store.db.wal_limit + RESERVE_MORE_BYTES;
}

void store_first_reserve(struct queue *queue)
{
	size_t bytes = reserve_wanted(queue);

	while (reserve_make(queue->path, bytes, 0) < 0 && bytes / 2 >= RESERVE_MIN_BYTES)
		bytes /= 2;
	queue->store.reserve_bytes = bytes;
}

int store_make_reserve(struct queue *queue, size_t spare)
{
	struct store *store = &queue->store;
	int r = reserve_make(queue->path, MAX(store->reserve_bytes, RESERVE_MIN_BYTES), spare);

	store->reserve_lacks = r == -ENOSPC;
	/* Part of it is better than nothing. */
	for (size_t bytes = store->reserve_bytes / 2; store->reserve_lacks && bytes >= RESERVE_MIN_BYTES; bytes /= 2)
		if (reserve_make(queue->path, bytes, 0) == 0)
			break;
	return r;
}

/* ---- committing ---- */

struct batch {
	struct sample **samples;
	size_t n;
	uint64_t bytes, to;
	struct state *state;
	uint64_t remove_from, remove_to; /* acknowledged rows; remove_to 0: none */
	bool remove, more;		 /* more samples wait than one batch takes */
	uint64_t remains;		 /* after the removal the first row on disk; 0: none */
	bool removed;
	bool is_beside; /* all but the samples was written */
	uint64_t fsync_us;
};

static void batch_done(struct batch *batch)
{
	for (size_t i = 0; i < batch->n; i++)
		sample_unref(batch->samples[i]);
	free(batch->samples);
	state_free(batch->state);
}

/* What one transaction takes at most: a batch near max_size would push out all that is in the file. */
static uint64_t batch_limit(const struct queue *queue)
{
	return queue->conf.max_size / 4;
}

/* with_samples: else only what stands beside them, and the removal. */
static int batch_take(struct queue *queue, struct batch *batch, bool with_samples) REQUIRES(queue->lock)
{
	uint64_t from = queue_first_unwritten(queue), limit = batch_limit(queue);
	size_t most = with_samples ? tail_count_from(&queue->tail, from) : 0;

	batch->state = state_take(queue, NULL);
	if (!batch->state)
		return -ENOMEM;
	batch->to = queue->written;
	if (most > 0) {
		batch->samples = malloc(most * sizeof(struct sample *));
		if (!batch->samples)
			return -ENOMEM;
	}
	for (struct tail_slot *slot = most > 0 ? tail_from(&queue->tail, from) : NULL; slot;
	     slot = tail_after(&queue->tail, slot)) {
		uint64_t bytes = slot->sample->size + ROW_BYTES;

		if (batch->n > 0 && batch->bytes + bytes > limit) {
			batch->more = true;
			break;
		}
		batch->samples[batch->n++] = sample_ref(slot->sample);
		batch->bytes += bytes;
		batch->to = slot->sample->id;
	}
	if (with_samples && !batch->more)
		batch->to = queue->tail.next - 1;
	queue->writing_to = batch->to;
	if (queue->disk_first <= queue->written && queue->min_acked >= queue->disk_first) {
		batch->remove_from = queue->disk_first;
		batch->remove_to = MIN(queue->min_acked, queue->written);
		batch->remove = queue->store.removing || queue_disk_is_done(queue) ||
				queue->store.commits_since_removal + 1 >= REMOVAL_PERIOD;
	}
	return 0;
}

/* Remove acknowledged rows, some thousand at most, and see where the rest begins. */
static int remove_acked(struct db *db, struct batch *batch)
{
	struct row_header head;
	size_t n;
	int r = rows_headers(db, batch->remove_from - 1, &head, 1, &n);

	if (r == 0 && n > 0 && head.id <= batch->remove_to)
		r = rows_remove(db, head.id, MIN(batch->remove_to, head.id + REMOVAL_IDS - 1));
	if (r == 0)
		r = rows_headers(db, batch->remove_from - 1, &head, 1, &n);
	if (r < 0)
		return r;
	batch->remains = n > 0 ? head.id : 0;
	batch->removed = true;
	return 0;
}

static int batch_transaction(struct queue *queue, struct batch *batch, bool with_samples)
{
	struct db *db = &queue->store.db;
	uint64_t before;
	int r = db_begin(db);

	if (r < 0)
		return r;
	db_expect(db, (with_samples ? batch->bytes : 0) + (batch->remove ? DB_REMOVAL_BYTES : 0));
	/* First, so that the pages serve the new rows. */
	if (batch->remove)
		r = remove_acked(db, batch);
	for (size_t i = 0; r == 0 && with_samples && i < batch->n; i++)
		r = rows_insert(db, batch->samples[i]);
	if (r == 0)
		r = state_save(queue, batch->state);
	if (r < 0) {
		db_rollback(db);
		return r;
	}
	before = clock_now();
	r = db_commit(db);
	batch->fsync_us = clock_now() - before;
	if (with_samples && batch->n > 0 && (r == 0 || db->commit_failed)) {
		mutex_lock(&queue->lock);
		state_rows_written(queue, batch->state, batch->to);
		mutex_unlock(&queue->lock);
	}
	return r;
}

/* The disk is full. The reserve is for the places of the uplinks, for removal and for the account: samples wait in
   memory until there is room, but for those that fit where others were removed. */
static int batch_write_beside(struct queue *queue, struct batch *batch)
{
	int r;

	if (batch->remove_to == 0 && state_is_empty(batch->state))
		return -ENOSPC;
	batch->remove = batch->remove_to > 0;
	r = batch_transaction(queue, batch, false);
	if (r == -ENOSPC && reserve_remove(queue->path) == 0)
		r = batch_transaction(queue, batch, false);
	if (r < 0)
		return r;
	batch->is_beside = true;
	batch->remove = false;
	if (batch->n > 0 && batch->removed)
		batch->is_beside = batch_transaction(queue, batch, true) < 0;
	/* The log begins anew in the space it has. */
	db_checkpoint(&queue->store.db, false);
	store_make_reserve(queue, 0);
	return 0;
}

/* The oldest go. What is beside them was written with that, and an older account must not be written over it. */
static int batch_make_room(struct queue *queue, struct batch *batch)
{
	int r = retention_make_room(queue, batch->bytes);

	if (r < 0)
		return r;
	mutex_lock(&queue->lock);
	state_free(batch->state);
	batch->state = state_take(queue, NULL);
	mutex_unlock(&queue->lock);
	return batch->state ? 0 : -ENOMEM;
}

/* -EFBIG: max_size is reached and what is new shall go. */
static int batch_write(struct queue *queue, struct batch *batch, bool drop_newest)
{
	struct db *db = &queue->store.db;
	bool room = true;
	int r = 0;

	/* Before samples take what space there is, the reserve has to be whole again. */
	if (batch->n > 0 && queue->store.reserve_lacks && store_make_reserve(queue, 0) < 0)
		return batch_write_beside(queue, batch);
	if (batch->n > 0)
		r = db_has_room(db, batch->bytes, &room);
	if (r < 0)
		return r;
	if (!room && drop_newest) {
		/* What was sent makes room first. */
		batch->remove = batch->remove_to > 0;
		if (batch->remove)
			r = batch_transaction(queue, batch, false);
		if (r == 0)
			r = db_has_room(db, batch->bytes, &room);
		if (r == 0 && !room)
			r = -EFBIG;
		batch->remove = false;
	} else if (!room) {
		r = batch_make_room(queue, batch);
	}
	if (r < 0)
		return r;
	r = batch_transaction(queue, batch, true);
	if (r == -ENOSPC)
		r = batch_write_beside(queue, batch);
	if (r == 0 && db->wal_bytes > db->wal_limit)
		db_checkpoint(db, false); /* a failure shows at the next commit, and loses nothing */
	return r;
}

/* The new ones do not fit: their count goes into the file at once, in its own transaction. */
static int batch_drop(struct queue *queue, struct batch *batch)
{
	_cleanup_(charges_done) struct charges charges = {0};
	int r;

	mutex_lock(&queue->lock);
	r = readers_begin_charges(queue, &charges);
	if (r == 0) {
		for (size_t i = 0; i < batch->n; i++)
			charges_add(&charges, DROP_QUEUE_FULL, batch->samples[i]->id, batch->samples[i]->device);
		state_free(batch->state);
		batch->state = state_take(queue, &charges);
		r = batch->state ? 0 : -ENOMEM;
	}
	mutex_unlock(&queue->lock);
	if (r == 0)
		r = batch_transaction(queue, batch, false);
	if (r < 0)
		return r;
	mutex_lock(&queue->lock);
	readers_apply_charges(queue, &charges);
	state_saved(queue, batch->state);
	for (size_t i = 0; i < batch->n; i++) {
		const struct sample *sample = batch->samples[i];

		if (sample->id < queue->tail.first)
			continue;
		if (sample->id >= queue_first_unwritten(queue))
			queue->unwritten_bytes -= sample_cost(sample);
		tail_drop(&queue->tail, sample->id);
		runs_skip(&queue->sequence.runs, sample->id);
	}
	queue->sequence.version++;
	store_count(queue);
	mutex_unlock(&queue->lock);
	return 0;
}

static void batch_removed(struct queue *queue, const struct batch *batch)
{
	struct store *store = &queue->store;
	/* Not where the next row is found: should one be missing, nobody would miss it. */
	uint64_t first = MIN(batch->remains > 0 ? batch->remains : UINT64_MAX, batch->remove_to + 1);

	store->commits_since_removal = 0;
	store->removing = batch->remains > 0 && batch->remains <= batch->remove_to;
	queue->disk_first = MAX(queue->disk_first, first);
	if (batch->remains == 0 && batch->n == 0) {
		queue->disk_first = queue->written + 1;
		store->shrinking = true;
	}
}

static void batch_written(struct queue *queue, const struct batch *batch) REQUIRES(queue->lock)
{
	struct store *store = &queue->store;
	bool was_empty = queue->disk_first > queue->written;

	queue_settle(queue, batch->to);
	if (batch->n > 0 && was_empty) {
		queue->disk_first = batch->samples[0]->id;
		queue->oldest_boot = batch->samples[0]->boot;
		queue->oldest_time_us = batch->samples[0]->time_us;
	}
	queue->written = MAX(queue->written, batch->to);
	/* Nothing is on disk: the first id that could be. */
	if (batch->n == 0 && was_empty)
		queue->disk_first = queue->written + 1;
	store->commits_since_removal++;
	if (batch->removed)
		batch_removed(queue, batch);
	state_saved(queue, batch->state);
	/* The ranges of what a salvage has not moved over yet give it its numbers. */
	if (!queue->salvaging && runs_prune(&queue->sequence.runs, MIN(queue->min_acked + 1, queue->disk_first)))
		queue->sequence.version++;
	store->side_at = 0;
	store->holds_nothing &= batch->n == 0;
	queue->n_written += batch->n;
	queue->commits++;
	queue->fsync_last_us = batch->fsync_us;
	queue->fsync_max_us = MAX(queue->fsync_max_us, batch->fsync_us);
	store_count(queue);
	if (queue->conf.write == QUEUE_WRITE_THROUGH)
		readers_signal(queue);
}

/* The samples are not written; what stands beside them is. */
static void batch_leave_samples(struct queue *queue, struct batch *batch)
{
	for (size_t i = 0; i < batch->n; i++)
		sample_unref(batch->samples[i]);
	batch->n = 0;
	batch->to = queue->written;
}

int store_commit(struct queue *queue)
{
	_cleanup_(batch_done) struct batch batch = {0};
	bool drop_newest = queue->conf.when_full == QUEUE_DROP_NEWEST, dropped = false;
	int r = batch_take(queue, &batch, true);

	if (r == 0) {
		mutex_unlock(&queue->lock);
		r = batch_write(queue, &batch, drop_newest);
		if (r == -EFBIG) {
			r = batch_drop(queue, &batch);
			dropped = r == 0;
		}
		if (r == -EBADMSG)
			r = store_damaged(queue) == 0 ? -EAGAIN : -EIO;
		mutex_lock(&queue->lock);
	}
	queue->writing_to = 0;
	if (dropped) {
		if (batch.removed)
			batch_removed(queue, &batch);
		queue->store.side_at = 0;
		store_healed(queue);
	} else if (r == 0 && batch.is_beside) {
		bool left = batch.n > 0;

		batch_leave_samples(queue, &batch);
		batch_written(queue, &batch);
		if (left) {
			r = -ENOSPC;
			store_failed(queue, r);
		}
	} else if (r == 0) {
		batch_written(queue, &batch);
		/* Where nothing was to be written nobody knows better than before that the file is damaged. */
		if (batch.n > 0 || clock_now() >= queue->store.damaged_until)
			store_healed(queue);
	} else if (r != -EAGAIN) {
		store_failed(queue, r);
	}
	return r == 0 && batch.more ? 1 : r;
}

int store_commit_beside(struct queue *queue)
{
	_cleanup_(batch_done) struct batch batch = {0};
	int r = batch_take(queue, &batch, false);

	queue->writing_to = 0;
	if (r == 0) {
		mutex_unlock(&queue->lock);
		r = batch_write_beside(queue, &batch);
		mutex_lock(&queue->lock);
	}
	if (r == 0)
		batch_written(queue, &batch);
	return r;
}

int store_save_beside(struct queue *queue)
{
	struct db *db = &queue->store.db;
	struct state *state;
	int r;

	mutex_lock(&queue->lock);
	state = state_take(queue, NULL);
	mutex_unlock(&queue->lock);
	r = state ? db_begin(db) : -ENOMEM;
	if (r == 0)
		r = state_save(queue, state);
	if (r == 0)
		r = db_commit(db);
	else
		db_rollback(db);
	if (r == 0) {
		mutex_lock(&queue->lock);
		state_saved(queue, state);
		mutex_unlock(&queue->lock);
	}
	state_free(state);
	return r;
}
