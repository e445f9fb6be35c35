/* SPDX-License-Identifier: Apache-2.0 */
/* How the queue's file is opened, replaced, and where ids and sequence numbers go on. */
#include "base/backoff.h"
#include "base/clock.h"
#include "base/units.h"
#include "queue/queue_files.h"
#include "queue/queue_private.h"
#include <errno.h>
#include <stdio.h>
#include <string.h>

#define DAMAGE_PAUSE_MIN_US (10 * USEC_PER_SEC)
#define DAMAGE_PAUSE_MAX_US (10 * USEC_PER_MINUTE)

static int lock_file(struct queue *queue, pid_t *ret_pid)
{
	struct store *store = &queue->store;
	int r;

	if (store->lock_fd >= 0)
		return 0;
	r = queue_lock(queue->path, &store->lock_fd, ret_pid);
	if (r < 0 && r != -EWOULDBLOCK && r != -ENOMEM) {
		snprintf(store->body.message, sizeof(store->body.message), "%s", strerror(-r));
		r = r == -ENOSPC || r == -EDQUOT ? -ENOSPC : r == -EROFS || r == -EACCES || r == -EPERM ? -EROFS : -EIO;
	}
	return r;
}

/* Open for writing, with its tables. */
static int open_file(struct queue *queue)
{
	struct body *body = &queue->store.body;
	uint64_t written = body->bytes_written;
	int r = body_open(body, queue->path, queue_max_size(queue), false);

	body->bytes_written = written;
	if (r < 0)
		return r;
	r = body_migrate(body);
	if (r < 0)
		body_close(body);
	return r;
}

/* Set the file aside and begin a new one. *ret_path: where it is now. */
static int replace_file(struct queue *queue, const char *kind, char **ret_path)
{
	struct store *store = &queue->store;
	int r;

	if (store->body.db)
		body_close(&store->body);
	r = queue_set_aside(queue->path, kind, ret_path);
	if (r < 0) {
		snprintf(store->body.message, sizeof(store->body.message), "setting it aside: %s", strerror(-r));
		return r == -EROFS || r == -EACCES ? -EROFS : r == -ENOSPC ? -ENOSPC : -EIO;
	}
	return 0;
}

static int begin_new(struct queue *queue)
{
	int r = open_file(queue);

	queue->store.holds_nothing = true;
	pthread_mutex_lock(&queue->lock);
	state_forget_saved(queue);
	queue->reserve_wanted = true;
	pthread_mutex_unlock(&queue->lock);
	return r;
}

/* ---- damaged files ---- */

/* The tables of a file that was set aside, as far as they can be read. */
static void load_aside(struct queue *queue, const char *path, struct state_marks *marks)
{
	struct body old;

	if (body_open(&old, path, queue_max_size(queue), true) < 0)
		return;
	state_load(queue, &old, true, marks);
	body_close(&old);
}

/* No sample is in it: there is nothing to keep. */
static int begin_anew(struct queue *queue)
{
	struct store *store = &queue->store;
	char reason[sizeof(store->body.message)];
	int r;

	memcpy(reason, store->body.message, sizeof(reason));
	body_close(&store->body);
	r = queue_discard(queue->path);
	if (r == 0)
		r = begin_new(queue);
	if (r == 0 && store->salvage)
		r = salvage_save(queue);
	if (r == 0)
		memcpy(store->body.message, reason, sizeof(reason));
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
	store->damage_pause_us = backoff_next(store->damage_pause_us, DAMAGE_PAUSE_MIN_US, DAMAGE_PAUSE_MAX_US);
	store->damaged_at = now;
	return false;
}

/* marks: NULL after the first open. */
static int set_damaged_aside(struct queue *queue, struct state_marks *marks)
{
	struct store *store = &queue->store;
	char reason[sizeof(store->body.message)], *aside;
	uint64_t end;
	int r;

	if (store->holds_nothing)
		return begin_anew(queue);
	if (is_too_soon(store))
		return -EIO;
	memcpy(reason, store->body.message, sizeof(reason));
	r = replace_file(queue, "damaged", &aside);
	if (r < 0)
		return r;
	if (marks && !store->loaded)
		load_aside(queue, aside, marks);
	store->loaded = true;
	pthread_mutex_lock(&queue->lock);
	queue_notify(queue, HAY_LOG_ERROR,
		     "the queue's file is damaged (%s): it is kept as %s, what can be read of it is moved to a new one",
		     reason, aside);
	end = queue->tail.first - 1;
	if (store->salvage)
		salvage_again(queue, MIN(queue->written, end));
	/* Copies still in memory are written again. */
	if (queue->written >= queue->tail.first) {
		queue->written = queue->tail.first - 1;
		queue->unwritten_bytes = 0;
		TAIL_FOREACH(slot, &queue->tail, queue_first_unwritten(queue))
		queue->unwritten_bytes += sample_cost(slot->sample);
	}
	pthread_mutex_unlock(&queue->lock);
	r = begin_new(queue);
	/* Damaged again while its forerunner is being read: that one is read once more, this one is only kept. */
	if (store->salvage)
		free(aside);
	else if (salvage_begin(queue, aside, queue->first_id > 0 ? end : INT64_MAX) < 0)
		return -ENOMEM;
	asides_bound(queue);
	return r == 0 ? salvage_save(queue) : r;
}

int store_damaged(struct queue *queue)
{
	return set_damaged_aside(queue, NULL);
}

/* ---- numbers ---- */

/* Rows and cursors are not past the mark; but should they be, their numbers are used. */
static uint64_t number_after(const struct queue *queue, uint64_t last_row)
{
	const struct run *last = queue->runs.n > 0 ? &queue->runs.at[queue->runs.n - 1] : NULL;
	uint64_t used = last_row;

	if (!last || !last->known)
		return 0;
	for (const struct queue_reader *reader = queue->readers; reader; reader = reader->next)
		used = MAX(used, reader->acked);
	return used >= last->first_id ? (uint64_t)((int64_t)used + last->base) + 1 : 0;
}

/* Where the log of this process begins. mark: the next number nobody used, or 0; only where it could be moved on. */
static int place(struct queue *queue, uint64_t mark, uint64_t first_row, uint64_t last_row)
{
	const struct run *last = queue->runs.n > 0 ? &queue->runs.at[queue->runs.n - 1] : NULL;
	uint64_t used = last_row, first;
	int r = 0;

	for (const struct queue_reader *reader = queue->readers; reader; reader = reader->next)
		used = MAX(used, reader->acked);
	if (last && last->first_id > 0)
		used = MAX(used, last->first_id - 1);
	first = MAX(used + 1, mark);
	if (mark > 0 && last && !last->known) {
		/* What was kept before the count was found again goes first, with the numbers that follow the mark. */
		queue->seq_floor = mark;
		runs_know(&queue->runs, mark);
		queue->runs_version++;
		first = used + 1;
	} else if (mark > 0 || !last || last->known) {
		struct run run = {
			.first_id = first,
			.base = mark > 0 ? (int64_t)mark - (int64_t)first : 0,
			.known = mark > 0,
			.skipped = first - 1 - runs_count_to(&queue->runs, used),
		};

		/* A run in which nothing was kept gives way. */
		if (last && last->first_id == first)
			queue->runs.n--;
		r = runs_add(&queue->runs, &run);
		queue->runs_version++;
	}
	tail_init(&queue->tail, first);
	queue->first_id = first;
	queue->written = first - 1;
	queue->body_first = last_row > 0 ? first_row : first;
	queue->min_acked = 0;
	return r;
}

/* Salvage knows the rows; without it the table does. */
static int find_rows(struct queue *queue, uint64_t *ret_first, uint64_t *ret_last)
{
	struct body *body = &queue->store.body;
	int r = 0;

	*ret_first = *ret_last = 0;
	if (!body->db)
		return 0;
	r = body_number(body, "SELECT min(id) FROM samples", ret_first);
	if (r == 0)
		r = body_number(body, "SELECT max(id) FROM samples", ret_last);
	return r;
}

/* ---- the first open ---- */

static int first_open(struct queue *queue, struct state_marks *marks)
{
	struct store *store = &queue->store;
	char *aside;
	int r = open_file(queue);

	if (r == 0)
		r = state_load(queue, &store->body, false, marks);
	if (r == 0) {
		store->loaded = true;
		return 0;
	}
	if (r == -EBADMSG)
		return set_damaged_aside(queue, marks);
	if (r == -ENOTSUP) {
		r = replace_file(queue, "newer", &aside);
		if (r < 0)
			return r;
		pthread_mutex_lock(&queue->lock);
		queue_notify(queue, HAY_LOG_WARNING,
			     "the queue's file is of a newer version: it is kept as %s, and a new one is begun", aside);
		pthread_mutex_unlock(&queue->lock);
		free(aside);
		store->loaded = true;
		return begin_new(queue);
	}
	if (r == -EROFS) {
		char reason[sizeof(store->body.message)];

		/* What is on it can still be sent. */
		memcpy(reason, store->body.message, sizeof(reason));
		if (body_open(&store->body, queue->path, queue_max_size(queue), true) == 0) {
			if (state_load(queue, &store->body, true, marks) == 0)
				store->loaded = true;
			else
				body_close(&store->body);
		}
		memcpy(store->body.message, reason, sizeof(reason));
	}
	return r;
}

/* A salvage the last process did not end. */
static int resume_salvage(struct queue *queue, const struct state_marks *marks)
{
	const char *slash = strrchr(queue->path, '/');
	char *path;

	if (!marks->salvage[0] || queue->store.salvage)
		return 0;
	if (asprintf(&path, "%.*s%s", slash ? (int)(slash + 1 - queue->path) : 0, queue->path, marks->salvage) < 0)
		return -ENOMEM;
	return salvage_begin(queue, path, marks->salvage_end);
}

static int place_all(struct queue *queue, struct state_marks *marks)
{
	struct store *store = &queue->store;
	uint64_t mark = marks->seq, file_mark = 0, first_row = 0, last_row = 0;
	int r = 0;

	if (find_rows(queue, &first_row, &last_row) == -EBADMSG) {
		r = set_damaged_aside(queue, marks);
		if (r == -ENOMEM)
			return r;
		mark = MAX(mark, marks->seq);
		first_row = last_row = 0;
	}
	if (store->salvage) {
		uint64_t last = salvage_last(store->salvage);

		last_row = MAX(last_row, last);
	}
	if (queue_mark_read(queue->path, &file_mark) == 0)
		mark = MAX(mark, file_mark);
	if (mark > SEQ_MAX)
		mark = 0; /* no number of ours */
	if (mark > 0)
		mark = MAX(mark, number_after(queue, last_row));
	queue->seq_floor = mark;
	/* A mark that cannot be moved on is worth nothing: the next start would give the same numbers again. */
	if (mark > 0 && numbers_write_mark(queue, mark + SEQ_BLOCK) < 0)
		mark = 0;
	if (mark > 0)
		queue->reserved = mark + SEQ_BLOCK;
	if (place(queue, mark, first_row, last_row) < 0 || boot_begin(queue) < 0)
		return -ENOMEM;
	if (!queue->runs.at[queue->runs.n - 1].known && !clock_trusted())
		queue_notify(
			queue, HAY_LOG_WARNING,
			"the queue is a new one, and its numbers begin at the time of day: samples are kept, and go up "
			"once the clock is synchronised. Where it is right without NTP, set gateway.clock = \"trust\"");
	queue->reserve_wanted = mark == 0;
	queue->may_have_left_mark = !marks->clean || marks->seq == 0;
	return r;
}

int store_open(struct queue *queue, pid_t *ret_pid)
{
	struct store *store = &queue->store;
	struct state_marks marks = {.clean = true};
	int r, placed;
	bool found;

	tail_init(&queue->tail, 1);
	r = lock_file(queue, ret_pid);
	if (r == -EWOULDBLOCK || r == -ENOMEM)
		return r;
	if (r == 0 || r == -EROFS)
		r = first_open(queue, &marks);
	if (r == 0)
		r = resume_salvage(queue, &marks);
	if (r == -ENOMEM)
		return r;
	placed = place_all(queue, &marks);
	if (placed == -ENOMEM)
		return -ENOMEM;
	r = r == 0 ? placed : r;
	if (store->salvage)
		salvage_set_end(store->salvage, queue->first_id - 1);
	if (r == 0 && store->salvage)
		r = salvage_save(queue);
	store->check_wanted = !marks.clean;
	store->trimming = true;
	if (r == 0) {
		store_first_reserve(queue);
		retention_look_at_oldest(queue);
		asides_bound(queue);
	}
	pthread_mutex_lock(&queue->lock);
	queue_forget_acked(queue);
	numbers_find_base(queue);
	found = queue->base_is_new;
	if (r < 0)
		store_failed(queue, r);
	store_count(queue);
	pthread_mutex_unlock(&queue->lock);
	/* Where it fails the store thread tries again. */
	if (found)
		numbers_reserve(queue);
	return 0;
}

/* ---- later opens ---- */

/* A file that was not there, or not readable, when ids and series were given out: it cannot be joined to them. */
static int adopt(struct queue *queue)
{
	struct store *store = &queue->store;
	uint64_t rows = 0, mark = 0, file_mark = 0;
	char *aside;
	int r = body_number(&store->body, "SELECT count(*) FROM samples", &rows);

	if (r == 0)
		r = body_number(&store->body, "SELECT value FROM meta WHERE key = 'seq_reserved'", &mark);
	if (r < 0)
		return r;
	if (queue_mark_read(queue->path, &file_mark) == 0)
		mark = MAX(mark, file_mark);
	pthread_mutex_lock(&queue->lock);
	if (mark <= SEQ_MAX)
		queue->seq_floor = MAX(queue->seq_floor, mark);
	pthread_mutex_unlock(&queue->lock);
	store->loaded = true;
	r = replace_file(queue, "left", &aside);
	if (r < 0)
		return r;
	if (rows > 0) {
		pthread_mutex_lock(&queue->lock);
		queue_notify(queue, HAY_LOG_WARNING,
			     "the queue's file could not be read at the start and is joined too late: its %llu samples "
			     "are kept as %s, and a new file is begun",
			     (unsigned long long)rows, aside);
		pthread_mutex_unlock(&queue->lock);
		asides_bound(queue);
	} else {
		queue_discard(aside);
	}
	free(aside);
	return begin_new(queue);
}

int store_reopen(struct queue *queue)
{
	struct store *store = &queue->store;
	uint64_t rows = 0;
	int r;

	if (store->body.db)
		body_close(&store->body);
	r = lock_file(queue, NULL);
	if (r == -EWOULDBLOCK) {
		snprintf(store->body.message, sizeof(store->body.message), "another process has it");
		return -EIO;
	}
	if (r == 0)
		r = open_file(queue);
	if (r == -EBADMSG)
		return store_damaged(queue);
	if (r == -ENOTSUP)
		return -EIO;
	if (r == 0 && !store->loaded)
		r = adopt(queue);
	if (r == -EROFS && store->loaded) {
		char reason[sizeof(store->body.message)];

		/* Reading goes on. */
		memcpy(reason, store->body.message, sizeof(reason));
		if (body_open(&store->body, queue->path, queue_max_size(queue), true) < 0)
			store->body.db = NULL;
		memcpy(store->body.message, reason, sizeof(reason));
	}
	if (r < 0)
		return r;
	/* A new file in the old one's place knows no series. */
	r = body_number(&store->body, "SELECT count(*) FROM meta", &rows);
	if (r == 0 && rows == 0) {
		pthread_mutex_lock(&queue->lock);
		state_forget_saved(queue);
		queue->reserve_wanted = true;
		pthread_mutex_unlock(&queue->lock);
	}
	return r;
}
