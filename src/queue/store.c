/* SPDX-License-Identifier: Apache-2.0 */
/* The store thread: it looks at what is due, does one thing, and looks again. */
#include "base/clock.h"
#include "base/units.h"
#include "queue/queue_files.h"
#include "queue/queue_private.h"
#include "storage/reserve.h"
#include <errno.h>

#define SIDE_PERIOD_US USEC_PER_SEC
#define DROP_NOTICE_PERIOD_US (10 * USEC_PER_MINUTE)
#define SPARE_BYTES ((size_t)64 * 1024) /* so much must be free for a full disk to be one no more */
#define BESIDE_PAUSE_US (30 * USEC_PER_SEC)
#define UNREADABLE_US USEC_PER_MINUTE
#define SALVAGE_PAUSE_US USEC_PER_SEC

static bool can_write(const struct queue *queue)
{
	return queue->store.db.handle && !queue->store.db.read_only && queue->store.retry_at == 0;
}

/* Open, but the disk takes no more. */
static bool is_full(const struct queue *queue)
{
	return queue->disk_state == QUEUE_DISK_FULL && queue->store.retry_at > 0 && queue->store.db.handle &&
	       !queue->store.db.read_only;
}

static bool disk_is_empty(const struct queue *queue)
{
	return queue->disk_first > queue->written;
}

/* ---- what is due when ---- */

static uint64_t samples_due_at(struct queue *queue) REQUIRES(queue->lock)
{
	const struct tail_slot *slot = tail_from(&queue->tail, queue_first_unwritten(queue));

	if (!slot)
		return USEC_NEVER;
	if (queue->conf.write == QUEUE_WRITE_THROUGH || queue->unwritten_bytes > queue->conf.memory / 2)
		return 0;
	return slot->appended_us + queue->conf.commit_us;
}

/* Of what stands beside the samples. */
static uint64_t beside_due_at(struct queue *queue, uint64_t now) REQUIRES(queue->lock)
{
	struct store *store = &queue->store;

	if (store->side_at == 0 && (state_is_dirty(queue) || queue_disk_is_done(queue)))
		store->side_at = now + SIDE_PERIOD_US;
	return store->side_at > 0 ? store->side_at : USEC_NEVER;
}

static uint64_t commit_due_at(struct queue *queue, uint64_t now) REQUIRES(queue->lock)
{
	uint64_t beside = beside_due_at(queue, now);

	return queue->store.removing ? 0 : MIN(samples_due_at(queue), beside);
}

static uint64_t drop_notice_due_at(const struct queue *queue)
{
	uint64_t at = USEC_NEVER;

	for (size_t i = 0; i < DROP_N_CAUSES; i++)
		if (i != DROP_REFUSED && i != DROP_PURGED && queue->dropped[i] > queue->dropped_told[i])
			at = MIN(at, queue->drop_notice_at[i]);
	return at;
}

/* Since when what is on the disk cannot be read from it; USEC_NEVER: it can, or what is damaged is being moved over. */
static uint64_t unread_since(const struct queue *queue) REQUIRES(queue->lock)
{
	const struct store *store = &queue->store;

	if (queue->salvaging || queue->disk_state != QUEUE_DISK_FAILED)
		return USEC_NEVER;
	if (store->unread_since > 0)
		return MAX(store->unread_since, queue->failed_since);
	return store->db.handle ? USEC_NEVER : queue->failed_since;
}

static uint64_t wake_at(struct queue *queue, uint64_t now) REQUIRES(queue->lock)
{
	uint64_t at = drop_notice_due_at(queue), commit_at, unread;

	if (numbers_wait_for_day(queue))
		at = MIN(at, now + USEC_PER_SEC);
	/* The next try may be far off. */
	unread = unread_since(queue);
	if (unread != USEC_NEVER && now < unread + UNREADABLE_US)
		at = MIN(at, unread + UNREADABLE_US);
	if (now < queue->store.read_at)
		at = MIN(at, queue->store.read_at);
	if (is_full(queue))
		at = MIN(at, beside_due_at(queue, now));
	if (!can_write(queue))
		return MIN(at, queue->store.retry_at);
	if (queue->store.salvage)
		at = MIN(at,
			 MAX(queue->store.salvage_at, readers_are_unknown(queue) ? queue->readers_unknown_until : 0));
	commit_at = commit_due_at(queue, now);
	at = MIN(at, commit_at);
	if (!disk_is_empty(queue))
		at = MIN(at, queue->store.minute_at);
	return at;
}

/* ---- what is done ---- */

/* now: USEC_NEVER tells all that was not told. */
static void notice_drops(struct queue *queue, uint64_t now) REQUIRES(queue->lock)
{
	char text[MAX(SIZE_TEXT_MAX, DURATION_TEXT_MAX)];

	for (size_t i = 0; i < DROP_N_CAUSES; i++) {
		unsigned long long n = queue->dropped[i] - queue->dropped_told[i];

		/* Refusals are logged by the uplink, purges by the local API. */
		if (i == DROP_REFUSED || i == DROP_PURGED || n == 0 || now < queue->drop_notice_at[i])
			continue;
		if (i == DROP_QUEUE_FULL)
			queue_notify(
				queue, HAY_LOG_WARNING,
				"the queue has reached max_size (%s): %llu samples dropped, the %s first; it goes on like this until an uplink takes some",
				format_size(queue->conf.max_size, text), n,
				queue->conf.when_full == QUEUE_DROP_NEWEST ? "newest" : "oldest");
		else if (i == DROP_MEMORY_FULL)
			queue_notify(
				queue, HAY_LOG_WARNING,
				"%llu samples dropped, the %s first: the disk does not take them and the memory for them (%s) is full",
				n, queue->conf.when_full == QUEUE_DROP_NEWEST ? "newest" : "oldest",
				format_size(queue->conf.memory, text));
		else if (i == DROP_TOO_OLD)
			queue_notify(queue, HAY_LOG_WARNING, "%llu samples older than max_age (%s) dropped unsent", n,
				     format_duration(queue->conf.max_age_us, text));
		else if (i == DROP_NO_MEMORY)
			queue_notify(queue, HAY_LOG_ERROR, "%llu samples are lost: this machine is out of memory", n);
		else
			queue_notify(queue, HAY_LOG_ERROR,
				     "%llu samples could not be read back from %s and are lost; the others go on", n,
				     queue->path);
		queue->dropped_told[i] = queue->dropped[i];
		queue->drop_notice_at[i] = now == USEC_NEVER ? now : now + DROP_NOTICE_PERIOD_US;
	}
}

static int commit_all(struct queue *queue) REQUIRES(queue->lock)
{
	int r;

	/* After a damaged file the new one; that one, empty as it is, is not quarantined. */
	do
		r = store_commit(queue);
	while (r == -EAGAIN || r == 1);
	return r;
}

static bool retry(struct queue *queue, uint64_t now) REQUIRES(queue->lock)
{
	struct store *store = &queue->store;
	bool full = is_full(queue);
	int r;

	if (store->retry_at == 0 || now < store->retry_at)
		return false;
	mutex_unlock(&queue->lock);
	/* On a full disk the file stays open, and what would fit is the question. */
	r = full ? store_make_reserve(queue, SPARE_BYTES) : store_reopen(queue);
	mutex_lock(&queue->lock);
	if (r == -ENOSPC && full && samples_due_at(queue) <= now) {
		store->retry_at = 0;
		store_commit(queue);
	} else if (r < 0) {
		store_failed(queue, r);
	} else {
		/* That it can be opened is not enough. */
		store->retry_at = 0;
		commit_all(queue);
	}
	for (struct queue_reader *reader = queue->readers; reader && store->retry_at == 0; reader = reader->next)
		reader->wants_ahead = reader->fd >= 0;
	return true;
}

/* Write what waits now, whatever the pause after a failure. A connection that failed may fail for ever: one that was
   opened as the disk was read-only stays so. */
static int write_all(struct queue *queue) REQUIRES(queue->lock)
{
	struct store *store = &queue->store;
	int r;

	if (!store->db.handle || store->db.read_only || (store->retry_at > 0 && !is_full(queue))) {
		mutex_unlock(&queue->lock);
		r = store_reopen(queue);
		mutex_lock(&queue->lock);
		if (r < 0) {
			store_failed(queue, r);
			return r;
		}
	}
	return commit_all(queue);
}

/* The process ends, and the disk does not take these: they are lost, and that is counted as far as it can be
   written. */
static void give_up_unwritten(struct queue *queue) REQUIRES(queue->lock)
{
	struct tail *tail = &queue->tail;
	uint64_t from = queue_first_unwritten(queue);

	for (struct tail_slot *slot; (slot = tail_from(tail, from));) {
		uint64_t id = slot->sample->id;

		queue_charge(queue, DROP_MEMORY_FULL, id, slot->sample->device);
		queue->unwritten_bytes -= sample_cost(slot->sample);
		queue->left_unwritten++;
		tail_drop(tail, id);
		runs_skip(&queue->sequence.runs, id);
	}
	queue->sequence.version++;
	if (is_full(queue))
		store_commit_beside(queue);
}

static bool flush(struct queue *queue) REQUIRES(queue->lock)
{
	uint64_t wanted = queue->flush_wanted;

	if (queue->flush_done == wanted)
		return false;
	queue->flush_result = write_all(queue);
	if (queue->leaving) {
		if (queue->flush_result < 0)
			give_up_unwritten(queue);
		notice_drops(queue, USEC_NEVER);
	}
	queue->flush_done = wanted;
	writer_announce(&queue->writer);
	return true;
}

/* Also where the disk takes nothing: what is on it may be read all the same. */
static bool read_ahead(struct queue *queue, uint64_t now) REQUIRES(queue->lock)
{
	if (!queue->store.db.handle || queue->salvaging || now < queue->store.read_at)
		return false;
	for (struct queue_reader *reader = queue->readers; reader; reader = reader->next) {
		if (reader->wants_ahead) {
			store_read_ahead(queue, reader);
			return true;
		}
	}
	return false;
}

/* Without the lock. On a full disk the reserve is given up: then it is worth another try at once. */
static int use_reserve(struct queue *queue, int r)
{
	if (r != -ENOSPC || reserve_remove(queue->path) < 0)
		return r;
	queue->store.reserve_lacks = true;
	return 0;
}

static bool reserve(struct queue *queue) REQUIRES(queue->lock)
{
	int r;

	if (!queue->sequence.reserve_wanted)
		return false;
	mutex_unlock(&queue->lock);
	r = use_reserve(queue, numbers_reserve(queue));
	mutex_lock(&queue->lock);
	if (r < 0)
		store_failed(queue, r);
	return true;
}

static bool salvage(struct queue *queue, uint64_t now) REQUIRES(queue->lock)
{
	int r;

	/* What it counts is for uplinks that are open soon. */
	if (!queue->store.salvage || (readers_are_unknown(queue) && !queue->readers) || now < queue->store.salvage_at)
		return false;
	mutex_unlock(&queue->lock);
	r = use_reserve(queue, salvage_step(queue));
	mutex_lock(&queue->lock);
	/* The disk of the new file is no worse for it. */
	queue->store.salvage_at = r == -EAGAIN ? clock_now() + SALVAGE_PAUSE_US : 0;
	if (r < 0 && r != -EAGAIN)
		store_failed(queue, r);
	return true;
}

static bool count_aside(struct queue *queue) REQUIRES(queue->lock)
{
	if (!queue->store.counting)
		return false;
	mutex_unlock(&queue->lock);
	quarantine_count_step(queue);
	mutex_lock(&queue->lock);
	return true;
}

static bool minute(struct queue *queue, uint64_t now) REQUIRES(queue->lock)
{
	struct store *store = &queue->store;
	bool reserve_again = queue->disk_state == QUEUE_DISK_OK;
	int r;

	if (now < store->minute_at || disk_is_empty(queue))
		return false;
	store->minute_at = now + USEC_PER_MINUTE;
	mutex_unlock(&queue->lock);
	r = retention_expire(queue);
	if (r == -EBADMSG)
		r = store_damaged(queue);
	r = use_reserve(queue, r);
	if (r == 0 && reserve_again)
		store_first_reserve(queue); /* it may be there; without space it comes later */
	mutex_lock(&queue->lock);
	if (r > 0)
		store->minute_at = 0;
	if (r < 0)
		store_failed(queue, r);
	return true;
}

/* The backlog is gone: its pages go back to the file system, a megabyte at once. */
static bool shrink(struct queue *queue) REQUIRES(queue->lock)
{
	struct store *store = &queue->store;
	int r;

	if (!store->shrinking)
		return false;
	mutex_unlock(&queue->lock);
	r = db_shrink(&store->db);
	if (r == 0)
		r = db_checkpoint(&store->db, true);
	mutex_lock(&queue->lock);
	if (r <= 0)
		store->shrinking = false;
	store_count(queue);
	return true;
}

static bool configure(struct queue *queue) REQUIRES(queue->lock)
{
	uint64_t max_size = queue->conf.max_size;

	if (!queue->conf_changed)
		return false;
	queue->conf_changed = false;
	mutex_unlock(&queue->lock);
	db_set_max_size(&queue->store.db, max_size);
	mutex_lock(&queue->lock);
	queue->store.trimming = true;
	return true;
}

/* max_size is lower than it was. With drop-newest what is there stays until it was sent. */
static bool trim(struct queue *queue) REQUIRES(queue->lock)
{
	struct store *store = &queue->store;
	int r;

	if (!store->trimming || queue->conf.when_full == QUEUE_DROP_NEWEST)
		return false;
	mutex_unlock(&queue->lock);
	r = retention_trim(queue);
	if (r == -EBADMSG)
		r = store_damaged(queue);
	r = use_reserve(queue, r);
	mutex_lock(&queue->lock);
	if (r == 0)
		store->trimming = false;
	if (r < 0)
		store_failed(queue, r);
	return true;
}

/* The file could not be read for long: its samples cannot hold up the fresh ones for ever. */
static bool skip_unreadable(struct queue *queue, uint64_t now) REQUIRES(queue->lock)
{
	uint64_t unread = unread_since(queue);
	bool skipped = false;

	if (unread == USEC_NEVER || now < unread + UNREADABLE_US)
		return false;
	for (struct queue_reader *reader = queue->readers; reader; reader = reader->next) {
		uint64_t after, to = MIN(queue->written, queue->tail.first - 1);

		/* What was read before goes out first. */
		if (reader->fd < 0 || reader->ahead_at < reader->ahead_n || !reader_needs_disk(reader, &after))
			continue;
		/* Also what was taken, and would not come again after a lost connection. */
		queue_charge_reader(reader, DROP_DAMAGED, MAX(reader->acked + 1, queue->disk_first), to);
		reader->acked = reader->taken = MAX(reader->taken, to);
		reader_signal(reader);
		skipped = true;
	}
	if (skipped) {
		queue_notify(queue, HAY_LOG_ERROR,
			     "the file of the queue cannot be read: the uplinks go on without the samples in it");
		queue_forget_acked(queue);
	}
	return skipped;
}

/* Do the most urgent thing. False: there is nothing to do. */
static bool work(struct queue *queue) REQUIRES(queue->lock)
{
	uint64_t now = clock_now();

	notice_drops(queue, now);
	if (numbers_wait_for_day(queue))
		numbers_find_base(queue);
	if (flush(queue) || retry(queue, now) || (queue->sequence.base_is_new && reserve(queue)))
		return true;
	if (can_write(queue)) {
		/* The mark goes first: rows are not to be past it. */
		if (reserve(queue))
			return true;
		if (commit_due_at(queue, now) <= now) {
			store_commit(queue);
			return true;
		}
		if (configure(queue))
			return true;
	} else if (is_full(queue) && beside_due_at(queue, now) <= now) {
		/* What was sent does not come again for want of space. */
		if (store_commit_beside(queue) < 0)
			queue->store.side_at = now + BESIDE_PAUSE_US;
		return true;
	}
	bool answered = asks_answer(queue);

	/* An uplink's samples do not wait for one who only looks. */
	if (read_ahead(queue, now) || answered || skip_unreadable(queue, now))
		return true;
	if (can_write(queue) && (salvage(queue, now) || minute(queue, now) || trim(queue) || shrink(queue)))
		return true;
	return count_aside(queue);
}

static void finish(struct queue *queue) REQUIRES(queue->lock)
{
	struct db *db = &queue->store.db;

	if (write_all(queue) < 0) {
		give_up_unwritten(queue);
		return;
	}
	bool wanted = queue->sequence.reserve_wanted, certain = !queue->sequence.may_have_left_mark;
	uint64_t last_id = queue->written;

	mutex_unlock(&queue->lock);
	/* A clean end says that no number past the mark was given out, by whomever. */
	if ((!wanted || numbers_reserve(queue) == 0) && db_begin(db) == 0) {
		struct state_meta meta = queue->store.meta;

		meta.clean = certain;
		meta.last_id = last_id;
		if (state_save_meta(queue, &meta) == 0)
			db_commit(db);
		else
			db_rollback(db);
	}
	db_checkpoint(db, true);
	db_close(db);
	mutex_lock(&queue->lock);
}

/* ---- the hooks of the writer ---- */

static bool store_work(void *userdata) UNCHECKED
{
	return work(userdata);
}

static uint64_t store_due_at(void *userdata) UNCHECKED
{
	return wake_at(userdata, clock_now());
}

static void store_finish(void *userdata) UNCHECKED
{
	finish(userdata);
}

const struct writer_hooks store_hooks = {.work = store_work, .due_at = store_due_at, .finish = store_finish};
