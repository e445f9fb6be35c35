/* SPDX-License-Identifier: Apache-2.0 */
/* The first open of the queue's file: whether it is whole, what of a damaged one is known, what was left to be done. */
#include "base/clock.h"
#include "base/mutex.h"
#include "queue/salvage_source.h"
#include "queue/store_opening.h"
#include "storage/log_check.h"
#include "storage/quarantine.h"
#include "storage/reserve.h"
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#define CHECK_MAX_BYTES ((uint64_t)4 * 1024 * 1024)
#define SCAN_PAGES 4096 /* 16 MB */

static int add_state(void *userdata, uint64_t key, uint64_t stamp, const void *body, size_t size)
{
	return state_rows_add(userdata, key, stamp, body, size);
}

/* Rows beside the samples, wherever they are in a file. They stand near its beginning, and in its log: of a large one
   the middle is not read now, for the field waits. */
static int scan_state(const char *path, struct state_rows *rows, struct state_marks *marks)
{
	struct carve carve = {.state = add_state, .userdata = rows};
	struct salvage_source source;
	int r = salvage_source_open(&source, path);

	if (r < 0) {
		marks->is_unread = true;
		return r == -ENOMEM ? r : 0;
	}
	marks->has_log |= source.pages[1] > 0;
	r = 1;
	while (r > 0) {
		uint64_t place = salvage_source_place(&source);

		if (place == SCAN_PAGES && place + SCAN_PAGES < source.pages[0])
			salvage_source_seek(&source, source.pages[0] - SCAN_PAGES);
		r = salvage_source_next(&source, &carve);
		if (r < 0 && r != -ENOMEM) {
			marks->is_unread = true;
			salvage_source_skip(&source);
			r = salvage_source_place(&source) < source.pages[0] + source.pages[1];
		}
	}
	salvage_source_close(&source);
	return r;
}

/* Whether the last row can be read, and nothing behind it is lost as far as the tree of the table knows. */
static bool knows_last(struct db *db, uint64_t *ret_last)
{
	bool is_right;

	return rows_last(db, ret_last, &is_right) == 0 && *ret_last > 0 && is_right;
}

/* The process that noted them could not read the queue's file: they count from zero, from its own ids on. */
static bool are_only_its_own(const struct runs *runs)
{
	return runs->at[0].first_id >= IDS_UNSEEN && runs->at[0].skipped == runs->at[0].first_id - 1;
}

/* The id ranges as they were at the last start: what was dropped since they do not say, but they give the numbers. */
static int restore_ranges(struct queue *queue, const struct salvage_list *pending, struct state_marks *marks)
{
	_cleanup_buf_ struct buf body = {0};
	struct state_row row = {0};
	uint64_t low, unsure_to;
	struct runs runs = {0};
	int r = queue_mark_read_more(queue->path, &body);

	row.body = (uint8_t *)body.data;
	row.size = body.size;
	if (r == 0)
		r = body.size > 0 ? state_get_runs(&row, &low, &unsure_to, &runs) : -ENOENT;
	if (r < 0 || runs.n == 0)
		return r;
	/* Those in the file tell more, if they are no older. */
	if (marks->knows_runs && queue->sequence.runs.n > 0 &&
	    runs.at[runs.n - 1].first_id <= queue->sequence.runs.at[queue->sequence.runs.n - 1].first_id) {
		runs_done(&runs);
		return 0;
	}
	if (are_only_its_own(&runs) && runs.at[0].first_id > MAX(pending->last, marks->meta.last_id)) {
		/* Those in the file are of what is in it. */
		if (marks->knows_runs)
			r = runs_join(&queue->sequence.runs, MAX(pending->last, marks->meta.last_id), &runs, 0);
		runs_done(&runs);
		return r;
	}
	runs_done(&queue->sequence.runs);
	queue->sequence.runs = runs;
	queue->low = MAX(queue->low, low);
	marks->knows_runs = true;
	return 0;
}

int store_gather(struct queue *queue, struct salvage_list *pending, bool is_torn, struct state_rows *rows,
		 struct state_marks *marks)
{
	struct db old;
	uint64_t edge = 0;
	bool knows_edge = false;
	int r = 0;

	r = db_open(&old, pending->paths[pending->n_paths - 1], queue_max_size(queue), true);
	marks->is_unread |= r < 0 && r != -EBADMSG && old.reason != ENOENT;
	if (r < 0) {
		r = r == -ENOMEM ? r : 0;
	} else {
		r = state_read(&old, true, rows, marks);
		marks->is_unread |= r < 0 && r != -EBADMSG;
		knows_edge = !is_torn && knows_last(&old, &edge);
		db_abandon(&old);
	}
	for (size_t i = 0; i < pending->n_paths && r != -ENOMEM; i++)
		if (pending->generations[i] == 0)
			r = scan_state(pending->paths[i], rows, marks);
	if (r == -ENOMEM)
		return r;
	state_rows_settle(rows);
	pending->is_doubtful |= !state_rows_are_all(rows);
	pending->is_exact = knows_edge;
	if (knows_edge)
		pending->last = MAX(pending->last, edge);
	return 0;
}

/* Files that were quarantined: all that can be known of them. */
static int load_damaged(struct queue *queue, struct salvage_list *pending, bool is_torn, struct state_marks *marks)
{
	struct state_rows rows = {0};
	int r = store_gather(queue, pending, is_torn, &rows, marks);

	if (r == 0)
		r = state_restore(queue, &rows, marks);
	state_rows_done(&rows);
	if (r == -ENOMEM)
		return r;
	pending->is_doubtful |= !marks->knows_runs || !marks->has_meta || marks->is_unread;
	if ((!marks->knows_runs || marks->has_log) && restore_ranges(queue, pending, marks) == -ENOMEM)
		return -ENOMEM;
	store_judge_last(pending, marks);
	marks->meta.clean = false;
	return 0;
}

void store_judge_last(struct salvage_list *pending, const struct state_marks *marks)
{
	/* A clean end leaves no log: with one, a newer row that says otherwise is lost. */
	if (marks->has_meta && marks->meta.clean && !marks->has_log)
		pending->is_exact = true;
	else if (pending->last < marks->meta.last_id)
		pending->is_exact = false;
	pending->last = MAX(pending->last, marks->meta.last_id);
}

static int set_damaged_aside_at_start(struct queue *queue, struct salvage_list *pending, struct state_marks *marks,
				      bool is_torn) REQUIRES(queue->lock)
{
	struct store *store = &queue->store;
	char reason[sizeof(store->db.message)];
	int r;

	memcpy(reason, store->db.message, sizeof(reason));
	if (store->db.handle)
		db_abandon(&store->db);
	store->damaged_at = clock_now();
	store->damage_pause_us = DAMAGE_PAUSE_MIN_US;
	pending->end = 0;
	r = store_move_aside(queue, "damaged", pending);
	if (r < 0)
		return r;
	store_notice_damaged(queue, reason, pending->paths[pending->n_paths - 1]);
	r = load_damaged(queue, pending, is_torn, marks);
	if (r < 0)
		return r;
	store->loaded = true;
	return store_begin_new(queue);
}

/* The samples with the smallest and the greatest id, and whether all are there that should be, as far as that tells. */
static int look_at_edges(struct queue *queue, const struct state_marks *marks, uint64_t *ret_first, uint64_t *ret_last)
{
	struct db *db = &queue->store.db;
	const struct runs *runs = &queue->sequence.runs;
	uint64_t low = UINT64_MAX, first, last, should = marks->meta.last_id;
	bool is_right, missing;
	int r = db_number(db, "SELECT min(id) FROM samples", &first);

	if (r == 0)
		r = rows_last(db, &last, &is_right);
	if (r < 0)
		return r;
	for (const struct queue_reader *reader = queue->readers; reader; reader = reader->next)
		low = MIN(low, reader->acked);
	low = MAX(low, MAX(queue->low, queue->unsure_to));
	missing = last > 0 && (!is_right || first > last);
	/* Version 1 kept no last id. */
	if (should > 0 && queue->readers && !missing) {
		if (last == 0)
			missing = runs_between(runs, low, should) > 0;
		else
			missing = runs_between(runs, low, first - 1) > 0 ||
				  runs_between(runs, MAX(low, last), should) > 0 ||
				  (marks->meta.clean && last > MAX(should, low));
	}
	/* Where older files are still to be moved over, rows are missing, and those that are there have used their
	   ids. */
	if (!missing || (is_right && first <= last)) {
		*ret_first = first;
		*ret_last = last;
	}
	if (!missing)
		return 0;
	snprintf(db->message, sizeof(db->message), "rows are missing");
	return -EBADMSG;
}

/* Open for writing, and what stands beside the samples restored. */
static int open_whole(struct queue *queue, struct state_marks *marks, unsigned *ret_version)
{
	struct state_rows rows = {0};
	unsigned version = 0;
	int r = store_open_file(queue, &rows, marks);

	if (r == 0)
		r = queue_tables_version(&queue->store.db, &version);
	*ret_version = version;
	if (r == 0)
		r = state_restore(queue, &rows, marks);
	state_rows_done(&rows);
	if (r == 0 && version < QUEUE_TABLES_VERSION)
		r = store_write_tables(queue, version);
	if (r == 0)
		queue->store.loaded = true;
	return r;
}

/* What is on it can still be sent. */
static int open_for_reading(struct queue *queue, struct state_marks *marks, int error)
{
	struct db *db = &queue->store.db;
	char reason[sizeof(db->message)];
	struct state_rows rows = {0};

	memcpy(reason, db->message, sizeof(reason));
	if (db->handle)
		db_abandon(db);
	if (db_open(db, queue->path, queue_max_size(queue), true) == 0) {
		int r = state_read(db, false, &rows, marks);

		if (r == 0)
			r = state_restore(queue, &rows, marks);
		queue->store.loaded = r == 0;
		if (r < 0)
			db_abandon(db);
		state_rows_done(&rows);
		if (r == -ENOMEM)
			error = r;
	}
	memcpy(db->message, reason, sizeof(reason));
	return error;
}

static int quarantine_newer(struct queue *queue) REQUIRES(queue->lock)
{
	char *moved_to;
	int r = store_replace_file(queue, "newer", &moved_to);

	if (r < 0)
		return r;
	queue_notify(queue, HAY_LOG_WARNING,
		     "the queue's file is of a newer version: it is kept as %s, and a new one is begun", moved_to);
	free(moved_to);
	queue->store.loaded = true;
	return store_begin_new(queue);
}

/* The process ended, or the power failed, between the steps of quarantining a file. */
static int finish_moving(struct queue *queue, struct salvage_list *pending)
{
	const char *moved_to;
	int r = salvage_list_read(queue->path, pending);

	if (r < 0)
		return r == -ENOENT ? 0 : r;
	pending->starts++;
	moved_to = pending->paths[pending->n_paths - 1];
	r = access(moved_to, F_OK) == 0 || errno != ENOENT ? 0 : quarantine_move(queue->path, moved_to);
	if (r == 0 || r == -ENOENT)
		r = salvage_list_write(queue->path, pending);
	return r;
}

/* What is to be done is damaged itself: it can only have been about the last of the files. */
static int guess_todo(struct queue *queue, struct salvage_list *pending)
{
	struct quarantined *files;
	size_t n;
	int r = quarantine_list(queue->path, &files, &n);

	if (r < 0)
		return r;
	if (n > 0 && files[n - 1].is_damaged) {
		*pending = (struct salvage_list){.paths = {strdup(files[n - 1].path)}, .n_paths = 1, .starts = 1};
		r = pending->paths[0] ? salvage_list_write(queue->path, pending) : -ENOMEM;
	} else {
		salvage_list_remove(queue->path);
	}
	quarantine_list_free(files, n);
	return r;
}

int store_read_todo(struct queue *queue, struct salvage_list *pending)
{
	int r = finish_moving(queue, pending);

	if (r == -EBADMSG)
		r = guess_todo(queue, pending);
	/* What cannot be written of it matters less than what it says. */
	return r == -ENOMEM ? r : r < 0 && pending->n_paths == 0 ? -EIO : 0;
}

/* A salvage the last process did not end, and a new file that is as it should be. error: it cannot be written now. */
static int resume(struct queue *queue, struct store_opening *opening, int error)
{
	struct salvage_list *pending = &opening->pending;
	int r;

	/* What the old files say was brought into it in its first transaction; but was that done? */
	if (pending->end > 0 && opening->marks.knows_runs)
		return error;
	/* Then the numbers in the last of them are ours. */
	for (size_t i = 0; i < pending->n_paths; i++)
		if (pending->generations[i] > 0)
			pending->generations[i]--;
	r = load_damaged(queue, pending, true, &opening->marks);
	if (r < 0)
		return r;
	return error < 0 ? error : store_write_tables(queue, QUEUE_TABLES_VERSION);
}

/* The counts are in the file before anything is written over what told of the loss. */
static int charge_lost(struct queue *queue, const char *why)
{
	int r;

	mutex_lock(&queue->lock);
	queue_charge_unknown(queue, why);
	mutex_unlock(&queue->lock);
	if (!queue->store.db.handle || queue->store.db.read_only)
		return 0;
	r = store_save_beside(queue);
	/* What told of it is gone then, and does not tell once more. A failure costs only that. */
	if (r == 0)
		db_checkpoint(&queue->store.db, true);
	return r;
}

/* No other thread has the queue yet. */
int store_first_open(struct queue *queue, struct store_opening *opening) UNCHECKED
{
	struct db *db = &queue->store.db;
	struct state_marks *marks = &opening->marks;
	enum log_state log = LOG_STATE_WHOLE;
	bool resumes, is_empty;
	uint64_t mark, log_bytes = 0;
	struct stat st;
	int r = store_read_todo(queue, &opening->pending);

	if (r == -ENOMEM)
		return r;
	if (r == -EIO) {
		snprintf(db->message, sizeof(db->message), "%s.salvage cannot be read", queue->path);
		return r;
	}
	resumes = opening->pending.n_paths > 0;
	is_empty = stat(queue->path, &st) == 0 && st.st_size == 0;
	r = log_check(queue->path, &log, &log_bytes);
	if (r == -ENOMEM)
		return r;
	if (r < 0) {
		snprintf(db->message, sizeof(db->message), "its log: %s", strerror(-r));
		return -EIO;
	}
	opening->log_is_short = log != LOG_STATE_WHOLE;
	if (log == LOG_STATE_DAMAGED) {
		snprintf(db->message, sizeof(db->message), "its log is");
		return set_damaged_aside_at_start(queue, &opening->pending, marks, true);
	}
	r = open_whole(queue, marks, &opening->version);
	if (r == -ENOSPC && reserve_remove(queue->path) == 0) {
		queue->store.reserve_lacks = true;
		r = open_whole(queue, marks, &opening->version);
	}
	/* SQLite tells only with the next transaction. */
	db->wal_bytes = MAX(db->wal_bytes, log_bytes);
	if (r == -ENOTSUP)
		return quarantine_newer(queue);
	if (r == -EROFS || r == -ENOSPC || r == -EIO)
		r = open_for_reading(queue, marks, r);
	/* A new file that is not filled yet has gaps. */
	if (queue->store.loaded) {
		int edges = look_at_edges(queue, marks, &opening->first_row, &opening->last_row);

		/* Small enough to be read in a moment, before the first sample is taken: none waits for it. */
		if (edges == 0 && r == 0 && !resumes && db_bytes(db) <= CHECK_MAX_BYTES)
			edges = db_check(db);
		if (edges == -ENOMEM || (edges < 0 && r == 0 && !resumes))
			r = edges;
	}
	if (r == -EBADMSG) {
		opening->first_row = opening->last_row = 0;
		return set_damaged_aside_at_start(queue, &opening->pending, marks, log != LOG_STATE_WHOLE);
	}
	if (log == LOG_STATE_CUT || (log == LOG_STATE_SHORT && opening->version == QUEUE_TABLES_VERSION)) {
		int charged = charge_lost(
			queue,
			"the log of the file does not end as it should, as after a power cut in the middle of a write");

		r = r == 0 ? charged : r;
	}
	/* Numbers were given out, so there was something in it. */
	if (r == 0 && is_empty && !resumes && opening->version == 0 && queue_mark_read(queue->path, &mark) == 0) {
		opening->all_is_lost = true;
		charge_lost(queue, "the file of the queue is empty");
	}
	return resumes && (r == 0 || queue->store.loaded) ? resume(queue, opening, r) : r;
}
