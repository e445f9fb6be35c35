/* SPDX-License-Identifier: Apache-2.0 */
/* How the queue's file is opened, replaced, and where ids and sequence numbers go on. */
#include "base/backoff.h"
#include "base/clock.h"
#include "base/units.h"
#include "queue/queue_files.h"
#include "queue/queue_private.h"
#include "queue/salvage_source.h"
#include "queue/store_opening.h"
#include "storage/lock_file.h"
#include "storage/quarantine.h"
#include "storage/reserve.h"
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

static int lock_file(struct queue *queue, pid_t *ret_pid)
{
	struct store *store = &queue->store;
	int r;

	if (store->lock_fd >= 0)
		return 0;
	r = storage_lock(queue->path, &store->lock_fd, ret_pid);
	if (r < 0 && r != -EWOULDBLOCK && r != -ENOMEM) {
		snprintf(store->db.message, sizeof(store->db.message), "%s", strerror(-r));
		r = r == -ENOSPC || r == -EDQUOT ? -ENOSPC : r == -EROFS || r == -EACCES || r == -EPERM ? -EROFS : -EIO;
	}
	return r;
}

/* Open for writing. What stands beside the samples comes with it, where rows are wanted. */
int store_open_file(struct queue *queue, struct state_rows *rows, struct state_marks *marks)
{
	struct db *db = &queue->store.db;
	uint64_t written = db->bytes_written;
	unsigned version;
	int r = db_open(db, queue->path, queue_max_size(queue), false);

	db->bytes_written = written;
	if (r < 0)
		return r;
	r = rows ? state_read(db, false, rows, marks) : queue_tables_version(db, &version);
	if (r < 0)
		db_abandon(db);
	return r;
}

/* In one transaction the tables and all that is known: a file that is there is whole. */
int store_write_tables(struct queue *queue, unsigned version)
{
	struct db *db = &queue->store.db;
	struct state *state;
	int r;

	mutex_lock(&queue->lock);
	state_forget_saved(queue);
	queue->sequence.reserve_wanted = true;
	state = state_take(queue, NULL);
	mutex_unlock(&queue->lock);
	r = state ? db_begin(db) : -ENOMEM;
	if (r == 0)
		r = queue_tables_make(db);
	if (r == 0)
		r = state_save(queue, state);
	if (r == 0 && version == 1)
		r = queue_tables_drop_old(db);
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

/* Quarantine the file and begin a new one. *ret_path: where it is now. */
int store_replace_file(struct queue *queue, const char *kind, char **ret_path)
{
	struct store *store = &queue->store;
	int r;

	if (store->db.handle)
		db_abandon(&store->db);
	r = quarantine_file(queue->path, kind, ret_path);
	if (r < 0) {
		snprintf(store->db.message, sizeof(store->db.message), "quarantining it: %s", strerror(-r));
		return r == -EROFS || r == -EACCES ? -EROFS : r == -ENOSPC ? -ENOSPC : -EIO;
	}
	return 0;
}

int store_begin_new(struct queue *queue)
{
	int r = store_open_file(queue, NULL, NULL);

	queue->store.holds_nothing = true;
	return r == 0 ? store_write_tables(queue, 0) : r;
}

/* ---- damaged files ---- */

/* No sample is in it: there is nothing to keep. */
static int begin_anew(struct queue *queue)
{
	struct store *store = &queue->store;
	char reason[sizeof(store->db.message)];
	int r;

	memcpy(reason, store->db.message, sizeof(reason));
	db_close(&store->db);
	r = storage_discard(queue->path);
	if (r == 0)
		r = store_begin_new(queue);
	if (r == 0)
		memcpy(store->db.message, reason, sizeof(reason));
	return -EIO;
}

/* A disk that spoils file after file would fill with them: from one to the next time passes. */
static bool is_too_soon(struct store *store)
{
	uint64_t now = clock_now(), until = store->damaged_at + store->damage_pause_us;

	if (store->damage_pause_us > 0 && now < until) {
		store->damaged_until = until;
		return true;
	}
	store->damaged_until = 0;
	if (now > store->damaged_at + 2 * DAMAGE_PAUSE_MAX_US)
		store->damage_pause_us = 0;
	store->damage_pause_us = hay_backoff_next(store->damage_pause_us, DAMAGE_PAUSE_MIN_US, DAMAGE_PAUSE_MAX_US);
	store->damaged_at = now;
	return false;
}

/* What is to be done is written down before the file is moved, and with it what is known of its ids. */
int store_move_aside(struct queue *queue, const char *kind, struct salvage_list *pending)
{
	struct store *store = &queue->store;
	char *moved_to;
	int r;

	if (pending->n_paths == SALVAGE_FILES_MAX)
		return -EIO;
	r = quarantine_name(queue->path, kind, &moved_to);
	if (r == 0) {
		pending->paths[pending->n_paths++] = moved_to;
		r = salvage_list_write(queue->path, pending);
		if (r == -ENOSPC && reserve_remove(queue->path) == 0) {
			store->reserve_lacks = true;
			r = salvage_list_write(queue->path, pending);
		}
		if (r == 0)
			r = quarantine_move(queue->path, moved_to);
		if (r < 0) {
			free(moved_to);
			if (--pending->n_paths == 0)
				salvage_list_remove(queue->path);
			else
				salvage_list_write(queue->path, pending);
		}
	}
	if (r == 0)
		return 0;
	snprintf(store->db.message, sizeof(store->db.message), "quarantining it: %s", strerror(-r));
	return r == -EROFS || r == -EACCES ? -EROFS : r == -ENOSPC ? -ENOSPC : r == -ENOMEM ? r : -EIO;
}

void store_notice_damaged(struct queue *queue, const char *reason, const char *moved_to)
{
	queue_notify(queue, HAY_LOG_ERROR,
		     "the queue's file is damaged (%s): it is kept as %s, what can be read of it is moved to a new one",
		     reason, moved_to);
}

/* While the daemon runs: the last id is known. */
static int quarantine_damaged(struct queue *queue)
{
	struct store *store = &queue->store;
	struct salvage_list own = {0}, *pending = store->salvage ? salvage_pending(store->salvage) : &own;
	char reason[sizeof(store->db.message)];
	int r;

	if (store->holds_nothing)
		return begin_anew(queue);
	/* The files before it are to be read first. */
	if (is_too_soon(store) || pending->n_paths == SALVAGE_FILES_MAX)
		return -EIO;
	memcpy(reason, store->db.message, sizeof(reason));
	if (store->db.handle)
		db_abandon(&store->db);
	mutex_lock(&queue->lock);
	pending->end = queue->tail.first - 1;
	pending->last = MAX(pending->last,
			    queue->written >= queue->first_id ? MIN(queue->written, pending->end) : queue->last_row);
	/* What the last process left is known to its end where it ended in order, or where none of it waits any
	   more. */
	if (!store->salvage)
		pending->is_exact = queue->old_is_exact || queue->min_acked + 1 >= queue->first_id;
	mutex_unlock(&queue->lock);
	r = store_move_aside(queue, "damaged", pending);
	if (r < 0) {
		salvage_list_done(&own);
		return r;
	}
	store->unread_since = store->read_at = store->read_pause_us = 0;
	mutex_lock(&queue->lock);
	store_notice_damaged(queue, reason, pending->paths[pending->n_paths - 1]);
	/* Copies still in memory are written again. */
	if (queue->written >= queue->tail.first) {
		queue->written = queue->tail.first - 1;
		queue->unwritten_bytes = 0;
		TAIL_FOREACH(slot, &queue->tail, queue_first_unwritten(queue))
		queue->unwritten_bytes += sample_cost(slot->sample);
	}
	mutex_unlock(&queue->lock);
	r = store_begin_new(queue);
	/* Damaged again while its forerunner is being read: both are read. */
	if (store->salvage)
		salvage_again(queue);
	else if (salvage_begin(queue, &own) < 0)
		return -ENOMEM;
	quarantine_bound(queue);
	return r;
}

int store_damaged(struct queue *queue)
{
	return quarantine_damaged(queue);
}

/* ---- later opens ---- */

/* Rows of a commit that failed and was done all the same: these samples are in memory and will be written, or were
   dropped from there and counted, or are acknowledged. */
static int remove_unwritten(struct db *db, uint64_t written)
{
	uint64_t last;
	int r;

	/* What cannot be read shows with the next reading. */
	if (db_number(db, "SELECT max(id) FROM samples", &last) < 0 || last <= written)
		return 0;
	r = db_begin(db);
	if (r == 0)
		r = rows_remove(db, written + 1, INT64_MAX);
	if (r == 0)
		return db_commit(db);
	db_rollback(db);
	return r;
}

int store_reopen(struct queue *queue)
{
	struct store *store = &queue->store;
	struct state_rows rows = {0};
	struct state_marks marks = {0};
	unsigned version;
	uint64_t written;
	int r;

	if (store->db.handle)
		db_close(&store->db);
	r = lock_file(queue, NULL);
	if (r == -EWOULDBLOCK) {
		snprintf(store->db.message, sizeof(store->db.message), "another process has it");
		return -EIO;
	}
	if (r == 0)
		r = store_open_file(queue, &rows, &marks);
	if (r == 0)
		r = queue_tables_version(&store->db, &version);
	if (r == 0 && store->loaded && version == QUEUE_TABLES_VERSION) {
		mutex_lock(&queue->lock);
		state_found(queue, &rows);
		written = queue->written;
		mutex_unlock(&queue->lock);
		r = remove_unwritten(&store->db, written);
	}
	if (r == -EBADMSG && store->loaded)
		r = store_damaged(queue);
	else if (r == 0 && version == 0 && store->loaded)
		r = store_write_tables(queue, 0); /* it is a new one */
	else if (r == 0 && store->loaded && version < QUEUE_TABLES_VERSION)
		r = store_write_tables(queue, version); /* until now it could only be read */
	else if ((r == 0 || r == -EBADMSG) && !store->loaded)
		r = store_join(queue, r == 0 && version == 0);
	state_rows_done(&rows);
	if (r == -ENOTSUP)
		return -EIO;
	store->loaded |= r == 0;
	if ((r == -EROFS || r == -ENOSPC) && store->loaded && !store->db.handle) {
		char reason[sizeof(store->db.message)];

		/* Reading goes on. */
		memcpy(reason, store->db.message, sizeof(reason));
		if (db_open(&store->db, queue->path, queue_max_size(queue), true) < 0)
			store->db.handle = NULL;
		memcpy(store->db.message, reason, sizeof(reason));
	}
	return r;
}

int store_open(struct queue *queue, pid_t *ret_pid)
{
	struct store *store = &queue->store;
	struct store_opening opening = {.marks = {.meta = {.clean = true}}};
	bool found;
	int r, placed;

	tail_init(&queue->tail, 1);
	r = lock_file(queue, ret_pid);
	if (r == -EWOULDBLOCK || r == -ENOMEM)
		return r;
	if (r == 0 || r == -EROFS || r == -ENOSPC)
		r = store_first_open(queue, &opening);
	if (r != -ENOMEM) {
		placed = store_place(queue, &opening);
		r = placed < 0 ? placed : r;
	}
	if (r != -ENOMEM && opening.pending.n_paths > 0 && salvage_begin(queue, &opening.pending) < 0)
		r = -ENOMEM;
	salvage_list_done(&opening.pending);
	if (r == -ENOMEM)
		return r;
	if (store->salvage)
		salvage_set_end(queue, queue->first_id - 1);
	store->trimming = true;
	if (r == 0) {
		store_first_reserve(queue);
		retention_look_at_oldest(queue);
		quarantine_bound(queue);
	}
	mutex_lock(&queue->lock);
	queue_forget_acked(queue);
	numbers_find_base(queue);
	found = queue->sequence.base_is_new;
	if (r < 0)
		store_failed(queue, r);
	store_count(queue);
	mutex_unlock(&queue->lock);
	/* Where it fails the store thread tries again. */
	if (found)
		numbers_reserve(queue);
	return 0;
}
