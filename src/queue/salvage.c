/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What can be read of files that were quarantined comes into the new one. They are read from their first byte to their
 * last, page by page, and each row is known by its checksum: nothing else in them is believed, so that it ends whatever
 * is in them, and a row is lost only with its own bytes. Then the new file is read through once: the id ranges say
 * which samples there were, and what is not there is counted. Readers wait until all is done, for order's sake; the
 * field goes on.
 */
#include "base/clock.h"
#include "base/mutex.h"
#include "base/units.h"
#include "queue/carve.h"
#include "queue/salvage_source.h"
#include "queue/store_opening.h"
#include "storage/quarantine.h"
#include <errno.h>
#include <string.h>

#define STEP_PAGES 32
#define ACCOUNT_IDS 4000
#define STARTS_MAX 3
#define NOTE_PERIOD_US USEC_PER_MINUTE
#define UNREADABLE_US USEC_PER_MINUTE

struct gap {
	uint64_t after, to;
};

struct salvage {
	struct salvage_list pending;
	struct salvage_source source; /* the file that is being read */
	size_t file;		      /* which one */
	bool is_open;

	struct sample **rows; /* of this step */
	size_t n_rows, capacity;
	uint64_t bytes;

	uint64_t greatest;	/* id that was found */
	bool greatest_is_twice; /* in the file itself: a page may be where another should be, perhaps the last one */
	uint64_t failed_since;	/* a place cannot be read; 0: none */
	bool told_unreadable;
	bool counts; /* all is read; now the new file is looked through */
	uint64_t counted_to, found;
	uint64_t first; /* id that can be in the new file */
	struct gap *gaps;
	size_t n_gaps, gaps_capacity;
	uint64_t noted_at;
};

struct salvage *salvage_free(struct salvage *salvage)
{
	if (!salvage)
		return NULL;
	salvage_source_close(&salvage->source);
	salvage_list_done(&salvage->pending);
	for (size_t i = 0; i < salvage->n_rows; i++)
		sample_unref(salvage->rows[i]);
	free(salvage->rows);
	free(salvage->gaps);
	free(salvage);
	return NULL;
}

/* ---- beginning ---- */

int salvage_begin(struct queue *queue, struct salvage_list *pending)
{
	struct salvage *salvage = calloc(1, sizeof(*salvage));

	if (!salvage) {
		salvage_list_done(pending);
		return -ENOMEM;
	}
	salvage->pending = *pending;
	*pending = (struct salvage_list){0};
	salvage->noted_at = clock_now();
	mutex_lock(&queue->lock);
	queue->salvaging = true;
	mutex_unlock(&queue->lock);
	queue->store.salvage = salvage;
	return 0;
}

void salvage_set_end(struct queue *queue, uint64_t end)
{
	struct salvage *salvage = queue->store.salvage;

	if (salvage->pending.end != 0)
		return;
	salvage->pending.end = end;
	/* Where it fails the next process finds its own end, which is not before this one. */
	salvage_list_write(queue->path, &salvage->pending);
}

bool salvage_has(const struct salvage *salvage, const char *path)
{
	for (size_t i = 0; salvage && i < salvage->pending.n_paths; i++)
		if (strcmp(salvage->pending.paths[i], path) == 0)
			return true;
	return false;
}

struct salvage_list *salvage_pending(struct salvage *salvage)
{
	return &salvage->pending;
}

static const char *first_path(const struct salvage *salvage)
{
	return salvage->pending.paths[0];
}

/* Rows up to this id are of no use to anybody. */
static uint64_t begins_after(struct queue *queue)
{
	uint64_t min = UINT64_MAX;

	mutex_lock(&queue->lock);
	for (const struct queue_reader *reader = queue->readers; reader; reader = reader->next)
		min = MIN(min, reader_counted(reader));
	if (queue->readers_unknown || min == UINT64_MAX)
		min = queue->low;
	min = MAX(min, queue->low);
	mutex_unlock(&queue->lock);
	return min;
}

void salvage_again(struct queue *queue)
{
	struct salvage *salvage = queue->store.salvage;

	salvage_source_close(&salvage->source);
	salvage->is_open = salvage->counts = false;
	salvage->greatest_is_twice = false;
	salvage->greatest = 0;
	salvage->file = 0;
	salvage->counted_to = salvage->found = 0;
	salvage->n_gaps = 0;
}

/* ---- rows ---- */

struct sink {
	struct queue *queue;
	struct salvage *salvage;
	uint64_t after, end;
};

static int take_sample(void *userdata, struct sample *sample)
{
	struct sink *sink = userdata;
	struct salvage *salvage = sink->salvage;

	if (sample->id > sink->after && sample->id <= sink->end)
		sample = join_translate(sink->queue, sample);
	if (!sample)
		return -ENOMEM;
	if (sample->id <= sink->after || sample->id > sink->end || !sample_is_named(sink->queue, sample)) {
		sample_unref(sample);
		return 0;
	}
	if (salvage->n_rows == salvage->capacity) {
		size_t capacity = MAX(salvage->capacity * 2, (size_t)1024);
		struct sample **rows = reallocarray(salvage->rows, capacity, sizeof(struct sample *));

		if (!rows) {
			sample_unref(sample);
			return -ENOMEM;
		}
		salvage->rows = rows;
		salvage->capacity = capacity;
	}
	if (sample->id == salvage->greatest && salvage_source_is_data(&salvage->source))
		salvage->greatest_is_twice = true;
	else if (sample->id > salvage->greatest)
		salvage->greatest_is_twice = false;
	salvage->greatest = MAX(salvage->greatest, sample->id);
	salvage->bytes += sample->size + ROW_BYTES;
	salvage->rows[salvage->n_rows++] = sample;
	return 0;
}

static int copy_rows(struct queue *queue)
{
	struct salvage *salvage = queue->store.salvage;
	struct db *db = &queue->store.db;
	bool room;
	int r = db_has_room(db, salvage->bytes, &room);

	if (r == 0 && !room)
		r = -EFBIG;
	if (r == 0)
		r = db_begin(db);
	if (r < 0)
		return r;
	db_expect(db, salvage->bytes);
	for (size_t i = 0; r == 0 && i < salvage->n_rows; i++)
		r = rows_insert(db, salvage->rows[i]);
	if (r < 0) {
		db_rollback(db);
		return r;
	}
	r = db_commit(db);
	if (r < 0)
		return r;
	queue->store.holds_nothing = false;
	if (db->wal_bytes > db->wal_limit)
		db_checkpoint(db, false);
	mutex_lock(&queue->lock);
	store_count(queue);
	mutex_unlock(&queue->lock);
	return 0;
}

static void forget_rows(struct salvage *salvage)
{
	for (size_t i = 0; i < salvage->n_rows; i++)
		sample_unref(salvage->rows[i]);
	salvage->n_rows = 0;
	salvage->bytes = 0;
}

/* A place that cannot be read may be readable in a moment: only after a minute it counts as damaged. */
static bool is_unreadable(struct queue *queue, struct salvage *salvage, int error)
{
	uint64_t now = clock_now();

	if (salvage->failed_since == 0)
		salvage->failed_since = now;
	if (!salvage->told_unreadable) {
		mutex_lock(&queue->lock);
		queue_notify(
			queue, HAY_LOG_WARNING,
			"%s cannot be read (%s): trying again; what cannot be read of it for a minute is lost and counted",
			salvage->pending.paths[salvage->file], strerror(-error));
		mutex_unlock(&queue->lock);
	}
	salvage->told_unreadable = true;
	return now - salvage->failed_since >= UNREADABLE_US;
}

/* With the names of what is in it. 1: it is open; 0: it cannot be, and is left out. */
static int open_source(struct queue *queue, struct salvage *salvage)
{
	const char *path = salvage->pending.paths[salvage->file];
	int r = 0;

	join_forget_maps(queue);
	if (salvage->pending.generations[salvage->file] > 0)
		r = store_find_maps(queue, path);
	if (r == 0)
		r = salvage_source_open(&salvage->source, path);
	if (r == 0) {
		salvage->is_open = true;
		return 1;
	}
	if (r == -ENOMEM)
		return r;
	if (!is_unreadable(queue, salvage, r))
		return -EAGAIN;
	salvage->failed_since = 0;
	salvage->file++;
	return 0;
}

/* 1: more to do. */
static int read_some(struct queue *queue)
{
	struct salvage *salvage = queue->store.salvage;
	struct sink sink = {queue, salvage, begins_after(queue),
			    salvage->pending.end ? salvage->pending.end : INT64_MAX};
	struct carve carve = {.sample = take_sample, .userdata = &sink};
	uint64_t place;
	int r = 1, copied;

	if (!salvage->is_open) {
		r = open_source(queue, salvage);
		if (r <= 0)
			return r < 0 ? r : 1;
	}
	place = salvage_source_place(&salvage->source);
	for (size_t i = 0; i < STEP_PAGES && r > 0; i++)
		r = salvage_source_next(&salvage->source, &carve);
	copied = r == -ENOMEM || salvage->n_rows == 0 ? 0 : copy_rows(queue);
	forget_rows(salvage);
	/* What was read is copied, or read once more. */
	if (copied < 0 && copied != -EFBIG)
		salvage_source_seek(&salvage->source, place);
	if (copied < 0)
		return copied;
	if (r == -ENOMEM)
		salvage_source_seek(&salvage->source, place);
	if (r == -ENOMEM)
		return r;
	if (r < 0 && !is_unreadable(queue, salvage, r))
		return -EAGAIN;
	if (r < 0) {
		salvage_source_skip(&salvage->source);
		return 1;
	}
	salvage->failed_since = 0;
	if (r > 0)
		return 1;
	salvage_source_close(&salvage->source);
	salvage->is_open = false;
	salvage->file++;
	return 1;
}

/* ---- the account ---- */

static int add_gap(struct salvage *salvage, uint64_t after, uint64_t to)
{
	if (salvage->n_gaps == salvage->gaps_capacity) {
		size_t capacity = MAX(salvage->gaps_capacity * 2, (size_t)64);
		struct gap *gaps = reallocarray(salvage->gaps, capacity, sizeof(*gaps));

		if (!gaps)
			return -ENOMEM;
		salvage->gaps = gaps;
		salvage->gaps_capacity = capacity;
	}
	salvage->gaps[salvage->n_gaps++] = (struct gap){after, to};
	return 0;
}

/* Up to id, which is there, or is the end. */
static int count_to(struct queue *queue, uint64_t id, bool is_there)
{
	struct salvage *salvage = queue->store.salvage;
	uint64_t missing, to = is_there ? id - 1 : id;

	mutex_lock(&queue->lock);
	missing = runs_between(&queue->sequence.runs, salvage->counted_to, to);
	mutex_unlock(&queue->lock);
	if (missing > 0 && add_gap(salvage, salvage->counted_to, to) < 0)
		return -ENOMEM;
	salvage->counted_to = id;
	salvage->found += is_there;
	return 0;
}

uint64_t salvage_last(const struct salvage *salvage)
{
	uint64_t last = MAX(salvage->pending.last, salvage->greatest);

	return salvage->pending.end ? MIN(last, salvage->pending.end) : last;
}

/* 1: more to do. */
static int count_some(struct queue *queue)
{
	struct salvage *salvage = queue->store.salvage;
	_cleanup_free_ uint64_t *ids = malloc(ACCOUNT_IDS * sizeof(*ids));
	uint64_t last = salvage_last(salvage), low = begins_after(queue);
	size_t n;
	int r;

	if (!ids)
		return -ENOMEM;
	salvage->counted_to = MAX(salvage->counted_to, low);
	r = rows_ids(&queue->store.db, salvage->counted_to, last, ids, ACCOUNT_IDS, &n);
	if (r < 0)
		return r;
	for (size_t i = 0; i < n; i++)
		if (count_to(queue, ids[i], true) < 0)
			return -ENOMEM;
	if (n == ACCOUNT_IDS)
		return 1;
	return last > salvage->counted_to ? count_to(queue, last, false) : 0;
}

/* Between two files of unknown length no id was given out. */
static void skip_ids_ahead(struct queue *queue, struct salvage *salvage) REQUIRES(queue->lock)
{
	size_t n = 0;

	for (size_t i = 0; i < salvage->n_gaps; i++) {
		const struct gap gap = salvage->gaps[i];

		if (runs_between(&queue->sequence.runs, gap.after, gap.to) >= IDS_AHEAD / 2)
			runs_skip_range(&queue->sequence.runs, gap.after + 1, gap.to);
		else
			salvage->gaps[n++] = gap;
	}
	salvage->n_gaps = n;
}

/* What was purged while nobody knew how many there are. */
static void charge_purged(struct queue *queue, uint64_t last) REQUIRES(queue->lock)
{
	uint64_t most = 0;

	for (struct queue_reader *reader = queue->readers; reader; reader = reader->next) {
		uint64_t n;

		if (!reader->purged_in_salvage)
			continue;
		n = runs_between(&queue->sequence.runs, reader->purged_after, last);
		if (n > 0)
			drops_add(&reader->drops, DROP_PURGED, 0, n);
		most = MAX(most, n);
		reader->purged_in_salvage = false;
	}
	queue->dropped[DROP_PURGED] += most;
}

/* From the last to the first, so that the ranges before stay as they were counted. */
static uint64_t charge_gaps(struct queue *queue, struct salvage *salvage) REQUIRES(queue->lock)
{
	uint64_t before = queue->dropped[DROP_DAMAGED];

	for (size_t i = salvage->n_gaps; i > 0; i--) {
		const struct gap *gap = &salvage->gaps[i - 1];

		queue_charge_range(queue, DROP_DAMAGED, gap->after + 1, gap->to);
		runs_skip_range(&queue->sequence.runs, gap->after + 1, gap->to);
	}
	salvage->n_gaps = 0;
	queue->sequence.version++;
	return queue->dropped[DROP_DAMAGED] - before;
}

/* How many samples are lost as far as that can be told. */
static uint64_t settle_account(struct queue *queue, struct salvage *salvage) REQUIRES(queue->lock)
{
	struct salvage_list *pending = &salvage->pending;
	uint64_t last = salvage_last(salvage), lost;

	queue->counted_from = 0;
	skip_ids_ahead(queue, salvage);
	charge_purged(queue, last);
	lost = charge_gaps(queue, salvage);
	if (pending->end > last)
		runs_skip_range(&queue->sequence.runs, last + 1, pending->end);
	if (pending->is_doubtful || !pending->is_exact || salvage->greatest > pending->last ||
	    (salvage->greatest == pending->last && salvage->greatest_is_twice))
		queue_charge_unknown(queue, "with what is damaged, what would tell their number is lost too");
	/* Not twice, should saving it fail. */
	pending->is_doubtful = false;
	pending->is_exact = true;
	pending->last = last;
	/* Should the new file be damaged, this is known of what is in it. */
	queue->old_is_exact = true;
	queue->last_row = MAX(queue->last_row, last);
	return lost;
}

/* All of it is in the new file, and it was no damaged one; or it was, and is kept as such. */
static void forget_joined(struct queue *queue, const struct salvage *salvage, uint64_t lost)
{
	for (size_t i = 0; i < salvage->pending.n_paths; i++) {
		const char *slash = strrchr(salvage->pending.paths[i], '/');
		_cleanup_free_ char *name = NULL;

		if (!strstr(slash ? slash : salvage->pending.paths[i], ".left-"))
			continue;
		if (lost == 0)
			storage_discard(salvage->pending.paths[i]);
		else if (quarantine_name(queue->path, "damaged", &name) == 0)
			quarantine_move(salvage->pending.paths[i], name);
	}
}

static int finish(struct queue *queue)
{
	struct salvage *salvage = queue->store.salvage;
	uint64_t lost;
	int r;

	/* Once: saving it may fail, and what was purged is counted by then. */
	if (salvage->first == 0)
		salvage->first = begins_after(queue) + 1;

	mutex_lock(&queue->lock);
	lost = settle_account(queue, salvage);
	mutex_unlock(&queue->lock);
	/* The counts first: what is to be done stands until they are on the disk. */
	r = store_save_beside(queue);
	if (r == 0)
		r = salvage_list_remove(queue->path) < 0 ? -EIO : 0;
	if (r < 0)
		return r;
	queue->store.salvage = NULL;
	join_forget_maps(queue);
	mutex_lock(&queue->lock);
	queue->salvaging = false;
	for (struct queue_reader *reader = queue->readers; reader; reader = reader->next)
		reader_settle_join(reader);
	queue_forget_acked(queue); /* what was purged meanwhile */
	if (salvage->found > 0)
		/* Places may lie before what had gone for want of space: there are no rows for the ranges to count. */
		queue->disk_first = MAX(MIN(queue->min_acked + 1, salvage->first), queue->low + 1);
	queue->store.minute_at = 0;
	queue_notify(queue, HAY_LOG_NOTICE, "%llu samples were saved from %s; the uplinks go on",
		     (unsigned long long)salvage->found, first_path(salvage));
	readers_signal(queue);
	mutex_unlock(&queue->lock);
	forget_joined(queue, salvage, lost);
	salvage_free(salvage);
	quarantine_bound(queue);
	return 0;
}

/* ---- the steps ---- */

static void note_progress(struct queue *queue)
{
	struct salvage *salvage = queue->store.salvage;
	uint64_t now = clock_now();

	if (now < salvage->noted_at + NOTE_PERIOD_US)
		return;
	salvage->noted_at = now;
	mutex_lock(&queue->lock);
	queue_notify(queue, HAY_LOG_NOTICE, "%s is still being moved to the new file: %s, %u %% of it",
		     first_path(salvage), salvage->counts ? "counting" : "reading",
		     salvage->counts ? 100 : salvage_source_percent(&salvage->source));
	mutex_unlock(&queue->lock);
}

int salvage_step(struct queue *queue)
{
	struct salvage *salvage = queue->store.salvage;
	int r;

	note_progress(queue);
	/* Something in it ends the process each time: then better without it. */
	if (salvage->pending.starts > STARTS_MAX && !salvage->counts) {
		salvage->pending.is_doubtful = true;
		salvage->counts = true;
	}
	if (!salvage->counts && salvage->file < salvage->pending.n_paths) {
		r = read_some(queue);
		/* No room: what is left counts as lost. It stays in the file that was quarantined, as long as that
		   is kept. */
		if (r != -EFBIG)
			return r;
	}
	salvage->counts = true;
	r = count_some(queue);
	return r == 0 ? finish(queue) : r;
}
