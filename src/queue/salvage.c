/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What can be read of a damaged file comes into the new one, row by row, each with its checksum tested. A torn leaf
 * stops a scan, but a query for ids past it works: so the scan goes on behind it, found by doubling and halving. Readers
 * wait until all is done, for order's sake; the field goes on meanwhile.
 */
#include "queue/queue_private.h"
#include <errno.h>
#include <string.h>

#define STEP_ROWS 4000
#define STEP_BYTES ((size_t)256 * 1024)
#define SALVAGE_MAX_SIZE ((uint64_t)1 << 30) /* only counts for writing */

struct salvage {
	char *path;
	struct body old;
	uint64_t at;  /* done up to this id */
	uint64_t end; /* the last id that can be in it */
	uint64_t found;
	uint64_t counted_to; /* damaged rows up to this id were charged */
};

struct salvage *salvage_free(struct salvage *salvage)
{
	if (!salvage)
		return NULL;
	if (salvage->old.db)
		body_close(&salvage->old);
	free(salvage->path);
	free(salvage);
	return NULL;
}

static uint64_t begins_after(const struct queue *queue)
{
	return MAX(queue->min_acked, MAX(queue->body_first, (uint64_t)1) - 1);
}

int salvage_begin(struct queue *queue, char *path, uint64_t end)
{
	struct salvage *salvage = calloc(1, sizeof(*salvage));

	if (!salvage) {
		free(path);
		return -ENOMEM;
	}
	salvage->path = path;
	salvage->end = end;
	/* A header nobody understands: there is nothing to read. */
	if (body_open(&salvage->old, path, SALVAGE_MAX_SIZE, true) < 0)
		salvage->old.db = NULL;
	pthread_mutex_lock(&queue->lock);
	salvage->at = begins_after(queue);
	queue->salvaging = true;
	pthread_mutex_unlock(&queue->lock);
	queue->store.salvage = salvage;
	return 0;
}

/* Whether anything with an id past `after` can be read. *ret: it was an answer, be it "no more". */
static bool readable(struct salvage *salvage, uint64_t after, bool *ret_more, uint64_t *ret_id)
{
	struct body_row row;
	size_t n;
	int r = body_read(&salvage->old, after, salvage->end, &row, 1, 1, &n);

	if (r < 0 && n == 0)
		return false;
	*ret_more = n > 0;
	if (n > 0) {
		*ret_id = row.id;
		sample_unref(row.sample);
	}
	return true;
}

/* Past `at` there is damage: find the first id behind it. False: nothing more. */
static bool jump(struct salvage *salvage, uint64_t *ret)
{
	uint64_t bad = salvage->at, step = 1, good, id = 0;
	bool more = false;

	for (;;) {
		if (step > salvage->end - bad) {
			/* The very last ids may be readable, but nothing says where they begin. */
			return false;
		}
		good = bad + step;
		if (readable(salvage, good, &more, &id))
			break;
		bad = good;
		step *= 2;
	}
	while (good - bad > 1) {
		uint64_t middle = bad + (good - bad) / 2, found = 0;
		bool middle_more = false;

		if (readable(salvage, middle, &middle_more, &found)) {
			good = middle;
			more = middle_more;
			id = found;
		} else {
			bad = middle;
		}
	}
	*ret = id;
	return more;
}

uint64_t salvage_last(struct salvage *salvage)
{
	uint64_t last;

	/* The right edge of the tree may be what is damaged: then nobody knows, and the mark has to tell. */
	if (!salvage->old.db || body_number(&salvage->old, "SELECT max(id) FROM samples", &last) < 0)
		return 0;
	return last;
}

void salvage_set_end(struct salvage *salvage, uint64_t end)
{
	if (salvage->end == INT64_MAX)
		salvage->end = end;
}

const char *salvage_path(const struct salvage *salvage)
{
	return salvage->path;
}

void salvage_again(struct queue *queue, uint64_t to)
{
	struct salvage *salvage = queue->store.salvage;

	if (to > salvage->end)
		queue_charge_range(queue, DROP_DAMAGED, salvage->end + 1, to);
	salvage->at = begins_after(queue);
	salvage->found = 0;
}

int salvage_save(struct queue *queue)
{
	struct body *body = &queue->store.body;
	const struct salvage *salvage = queue->store.salvage;
	const char *slash = salvage ? strrchr(salvage->path, '/') : NULL;
	const char *name = !salvage ? NULL : slash ? slash + 1 : salvage->path;
	int r = body_begin(body);

	if (r < 0)
		return r;
	r = state_save_salvage(body, name, salvage ? salvage->end : 0);
	if (r == 0)
		return body_commit(body);
	body_rollback(body);
	return r;
}

static int done(struct queue *queue, uint64_t lost_to)
{
	struct salvage *salvage = queue->store.salvage;

	int r;

	queue->store.salvage = NULL;
	r = salvage_save(queue);
	if (r < 0) {
		queue->store.salvage = salvage;
		return r;
	}
	pthread_mutex_lock(&queue->lock);
	if (lost_to > MAX(salvage->at, salvage->counted_to))
		queue_charge_range(queue, DROP_DAMAGED, MAX(salvage->at, salvage->counted_to) + 1, lost_to);
	queue->salvaging = false;
	if (salvage->found > 0)
		queue->body_first = queue->min_acked + 1;
	queue->store.minute_at = 0;
	queue_notify(queue, HAY_LOG_NOTICE, "%llu samples were saved from %s; the uplinks go on",
		     (unsigned long long)salvage->found, salvage->path);
	readers_signal(queue);
	pthread_mutex_unlock(&queue->lock);
	salvage_free(salvage);
	asides_bound(queue);
	return 0;
}

static int copy_rows(struct queue *queue, const struct body_row *rows, size_t n)
{
	struct body *body = &queue->store.body;
	int r = body_begin(body);

	for (size_t i = 0; r == 0 && i < n; i++)
		if (rows[i].sample)
			r = body_insert(body, rows[i].sample);
	if (r < 0) {
		body_rollback(body);
		return r;
	}
	r = body_commit(body);
	if (r == 0)
		queue->store.holds_nothing = false;
	if (r == 0 && body->wal_bytes > body->wal_limit)
		body_checkpoint(body, false);
	return r;
}

static int salvage_rows(struct queue *queue, const struct body_row *rows, size_t n)
{
	struct salvage *salvage = queue->store.salvage;
	uint64_t bytes = 0;
	bool room;
	int r;

	for (size_t i = 0; i < n; i++)
		bytes += rows[i].sample ? rows[i].sample->size + BODY_ROW_BYTES : 0;
	r = body_has_room(&queue->store.body, bytes, &room);
	if (r == 0 && !room)
		r = -EFBIG;
	if (r == 0)
		r = copy_rows(queue, rows, n);
	if (r < 0)
		return r;
	pthread_mutex_lock(&queue->lock);
	for (size_t i = 0; i < n; i++) {
		if (rows[i].sample)
			salvage->found++;
		else if (rows[i].id > salvage->counted_to)
			queue_charge(queue, DROP_DAMAGED, rows[i].id, 0);
	}
	salvage->counted_to = MAX(salvage->counted_to, rows[n - 1].id);
	store_count(queue);
	pthread_mutex_unlock(&queue->lock);
	salvage->at = rows[n - 1].id;
	return 0;
}

int salvage_step(struct queue *queue)
{
	struct salvage *salvage = queue->store.salvage;
	struct body_row *rows;
	uint64_t next;
	size_t n;
	int r, copied = 0;

	if (!salvage->old.db || salvage->at >= salvage->end)
		return done(queue, salvage->end);
	rows = malloc(STEP_ROWS * sizeof(*rows));
	if (!rows)
		return -ENOMEM;
	r = body_read(&salvage->old, salvage->at, salvage->end, rows, STEP_ROWS, STEP_BYTES, &n);
	if (n > 0)
		copied = salvage_rows(queue, rows, n);
	for (size_t i = 0; i < n; i++)
		sample_unref(rows[i].sample);
	free(rows);
	/* No room: what is left counts as lost. It stays in the file that was set aside, as long as that is kept. */
	if (copied == -EFBIG)
		return done(queue, salvage->end);
	if (copied < 0)
		return copied;
	if (r == 1)
		return 1;
	if (r == 0)
		return done(queue, salvage->end);
	if (!jump(salvage, &next))
		return done(queue, salvage->end);
	pthread_mutex_lock(&queue->lock);
	if (next > MAX(salvage->at, salvage->counted_to) + 1)
		queue_charge_range(queue, DROP_DAMAGED, MAX(salvage->at, salvage->counted_to) + 1, next - 1);
	salvage->counted_to = MAX(salvage->counted_to, next - 1);
	pthread_mutex_unlock(&queue->lock);
	salvage->at = next - 1;
	return 1;
}
