/* SPDX-License-Identifier: Apache-2.0 */
#include "queue/queue.h"
#include "base/clock.h"
#include "base/worker.h"
#include "queue/queue_private.h"
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>

#define CURSOR_PERIOD_US USEC_PER_SEC
#define SIGNALS_AT_ONCE 8

void queue_notify(struct queue *queue, enum hay_log_level level, const char *format, ...)
{
	struct queue_notice *notice;
	uint64_t one = 1;
	va_list args;

	/* Nobody reads them: the oldest goes. */
	if (queue->n_notices == NOTICES_MAX) {
		queue->notice_at = (queue->notice_at + 1) % NOTICES_MAX;
		queue->n_notices--;
	}
	notice = &queue->notices[(queue->notice_at + queue->n_notices++) % NOTICES_MAX];
	notice->level = level;
	va_start(args, format);
	vsnprintf(notice->text, sizeof(notice->text), format, args);
	va_end(args);
	if (write(queue->notice_fd, &one, sizeof(one)) < 0)
		return; /* it is readable already */
}

void queue_wake_store(struct queue *queue, uint64_t at)
{
	writer_wake(&queue->writer, at);
}

uint64_t queue_first_unwritten(const struct queue *queue)
{
	return MAX(MAX(queue->written, queue->min_acked) + 1, queue->tail.first);
}

bool queue_disk_is_done(const struct queue *queue)
{
	return queue->disk_first <= queue->written && runs_count_to(&queue->sequence.runs, queue->min_acked) >=
							      runs_count_to(&queue->sequence.runs, queue->written);
}

void queue_settle(struct queue *queue, uint64_t to)
{
	TAIL_FOREACH(slot, &queue->tail, queue_first_unwritten(queue))
	{
		if (slot->sample->id > to)
			break;
		queue->unwritten_bytes -= sample_cost(slot->sample);
	}
}

void queue_forget_acked(struct queue *queue)
{
	uint64_t min = readers_are_unknown(queue) ? queue->low : queue->tail.next - 1;

	for (const struct queue_reader *reader = queue->readers; reader; reader = reader->next)
		min = MIN(min, reader_counted(reader));
	/* A cursor read from an older file can lie before what was forgotten already. */
	if (min > queue->min_acked) {
		queue_settle(queue, min);
		queue->min_acked = min;
	}
	while (queue->tail.first < queue->tail.next && queue->tail.first <= queue->min_acked)
		tail_pop(&queue->tail);
	if (queue->disk_first <= queue->written)
		queue_wake_store(queue, clock_now() + CURSOR_PERIOD_US);
}

void queue_charge(struct queue *queue, enum drop_cause cause, uint64_t id, uint32_t device)
{
	bool charged = false;

	for (struct queue_reader *reader = queue->readers; reader; reader = reader->next) {
		if (reader->acked >= id)
			continue;
		drops_add(&reader->drops, cause, device, 1);
		charged = true;
	}
	if (charged)
		queue->dropped[cause]++;
}

static uint64_t charge_range(struct queue_reader *reader, enum drop_cause cause, uint64_t from, uint64_t to)
	REQUIRES(reader->queue->lock)
{
	uint64_t n =
		runs_between(&reader->queue->sequence.runs,
			     MAX(MAX(reader->acked, from - 1), MAX(reader->queue->counted_from, (uint64_t)1) - 1), to);

	if (n > 0)
		drops_add(&reader->drops, cause, 0, n);
	return n;
}

void queue_charge_range(struct queue *queue, enum drop_cause cause, uint64_t from, uint64_t to)
{
	uint64_t most = 0;

	for (struct queue_reader *reader = queue->readers; reader; reader = reader->next) {
		uint64_t n = charge_range(reader, cause, from, to);

		most = MAX(most, n);
	}
	queue->dropped[cause] += most;
}

void queue_charge_reader(struct queue_reader *reader, enum drop_cause cause, uint64_t from, uint64_t to)
{
	reader->queue->dropped[cause] += charge_range(reader, cause, from, to);
}

void queue_charge_unknown(struct queue *queue, const char *why)
{
	for (struct queue_reader *reader = queue->readers; reader; reader = reader->next)
		drops_add(&reader->drops, DROP_DAMAGED, DROPS_NUMBER_UNKNOWN, 1);
	queue->unknown_losses++;
	queue_notify(queue, HAY_LOG_ERROR,
		     "an unknown number of samples may be lost besides those that are counted: %s", why);
}

void queue_disk_dropped(struct queue *queue, uint64_t id)
{
	queue->disk_first = MAX(queue->disk_first, id + 1);
	/* Nor does a copy in memory go out after a rewind. */
	while (queue->tail.first < queue->tail.next && queue->tail.first <= MIN(id, queue->written))
		tail_pop(&queue->tail);
	/* What a reader has read ahead of it counts as dropped: it does not go out. */
	for (struct queue_reader *reader = queue->readers; reader; reader = reader->next)
		reader->taken = MAX(reader->taken, id);
}

/* Room for one more sample. False: it is the one that goes. */
static bool make_room(struct queue *queue, size_t cost) REQUIRES(queue->lock)
{
	struct tail *tail = &queue->tail;
	uint64_t limit = MAX(queue->conf.memory, cost), from;

	/* Copies of what is on disk have half of the memory at most. */
	while (tail->first < tail->next && tail->first <= queue->written && tail->bytes + cost > limit / 2)
		tail_pop(tail);
	if (tail->bytes + cost <= limit)
		return true;
	if (queue->conf.when_full == QUEUE_DROP_NEWEST)
		return false;
	/* What is being written just now is left alone. */
	from = MAX(queue_first_unwritten(queue), queue->writing_to + 1);
	while (tail->bytes + cost > limit) {
		const struct tail_slot *slot = tail_from(tail, from);
		uint64_t id;

		if (!slot)
			break;
		id = slot->sample->id;
		queue_charge(queue, DROP_MEMORY_FULL, id, slot->sample->device);
		queue->unwritten_bytes -= sample_cost(slot->sample);
		tail_drop(tail, id);
		runs_skip(&queue->sequence.runs, id);
		queue->sequence.version++;
	}
	return tail->bytes + cost <= limit;
}

/* ---- appending ---- */

static void drop_new(struct queue *queue, enum drop_cause cause, struct sample *sample) REQUIRES(queue->lock)
{
	queue_charge(queue, cause, UINT64_MAX, sample->device);
	sample_unref(sample);
}

/* *ret_news: the readers are to be told. */
static void append(struct queue *queue, struct sample *sample, bool *ret_news) REQUIRES(queue->lock)
{
	size_t cost = sample_cost(sample);
	uint64_t now;

	queue->appended++;
	if (!queue->readers) {
		sample_unref(sample);
		return;
	}
	if (!make_room(queue, cost)) {
		drop_new(queue, DROP_MEMORY_FULL, sample);
		return;
	}
	now = clock_now();
	sample->id = queue->tail.next;
	sample->boot = queue->boot;
	if (tail_push(&queue->tail, sample, now) < 0) {
		drop_new(queue, DROP_NO_MEMORY, sample);
		return;
	}
	queue->unwritten_bytes += cost;
	numbers_want_more(queue);
	if (queue->conf.write == QUEUE_WRITE_THROUGH) {
		if (queue->disk_state != QUEUE_DISK_OK)
			readers_signal(queue);
		queue_wake_store(queue, now);
		return;
	}
	*ret_news = true;
	queue_wake_store(queue, queue->unwritten_bytes > queue->conf.memory / 2 ? now : now + queue->conf.commit_us);
}

/* The descriptors are written without the lock: the uplinks would wake up only to wait for it. Readers come and go on
   this thread alone, so the descriptors stay. */
void queue_append(struct queue *queue, struct sample *sample)
{
	int fds[SIGNALS_AT_ONCE];
	size_t n = 0;
	bool news = false;

	mutex_lock(&queue->lock);
	append(queue, sample, &news);
	for (struct queue_reader *reader = news ? queue->readers : NULL; reader; reader = reader->next) {
		if (n == ELEMENTS(fds))
			reader_signal(reader);
		else if (reader_will_be_signalled(reader))
			fds[n++] = reader->fd;
	}
	mutex_unlock(&queue->lock);
	for (size_t i = 0; i < n; i++)
		eventfd_write(fds[i], 1);
}

void queue_lost(struct queue *queue, uint32_t device)
{
	mutex_lock(&queue->lock);
	queue->appended++;
	queue_charge(queue, DROP_NO_MEMORY, UINT64_MAX, device);
	queue_wake_store(queue, 0);
	mutex_unlock(&queue->lock);
}

void queue_clock_changed(struct queue *queue)
{
	mutex_lock(&queue->lock);
	numbers_find_base(queue);
	/* Ages and offsets are looked at anew. */
	queue_wake_store(queue, 0);
	mutex_unlock(&queue->lock);
}

/* ---- opening and closing ---- */

static char *find_path(const struct queue_conf *conf)
{
	const char *folder = getenv("STATE_DIRECTORY");
	char *path;

	if (conf->path)
		return strdup(conf->path);
	/* systemd separates several by colons: the first is ours. */
	if (folder && *folder)
		return asprintf(&path, "%.*s/queue.db", (int)strcspn(folder, ":"), folder) < 0 ? NULL : path;
	return strdup("queue.db");
}

const char *queue_path(const struct queue *queue)
{
	return queue->path;
}

/* No other thread has it any more. */
void queue_free(struct queue *queue) UNCHECKED
{
	while (queue->readers) {
		struct queue_reader *reader = queue->readers;

		queue->readers = reader->next;
		reader_free(reader);
	}
	salvage_free(queue->store.salvage);
	join_forget_maps(queue);
	charges_done(&queue->store.doubtful);
	quarantine_count_free(queue->store.counting);
	deferred_forget(queue);
	if (queue->store.db.handle)
		db_close(&queue->store.db);
	if (queue->store.lock_fd >= 0)
		close(queue->store.lock_fd);
	tail_done(&queue->tail);
	runs_done(&queue->sequence.runs);
	for (size_t i = 0; i < queue->n_removed; i++)
		free(queue->removed[i]);
	free(queue->removed);
	free(queue->boots);
	asks_free(queue);
	if (queue->notice_fd >= 0)
		close(queue->notice_fd);
	if (queue->answers_fd >= 0)
		close(queue->answers_fd);
	writer_done(&queue->writer);
	mutex_destroy(&queue->lock);
	free(queue->path);
	free(queue);
}

int queue_open(const struct queue_conf *conf, struct series_set *series, struct queue **ret, pid_t *ret_pid)
{
	struct queue *queue = calloc(1, sizeof(*queue));
	int r;

	if (!queue)
		return -ENOMEM;
	mutex_init(&queue->lock);
	queue->store.lock_fd = -1;
	queue->series = series;
	queue->conf = *conf;
	queue->conf.path = NULL;
	queue->path = find_path(conf);
	queue->notice_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	queue->answers_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	r = writer_init(&queue->writer, &queue->lock, &store_hooks, queue);
	if (r == 0 && (queue->notice_fd < 0 || queue->answers_fd < 0))
		r = -errno;
	if (r == 0 && !queue->path)
		r = -ENOMEM;
	if (r == 0)
		r = store_open(queue, ret_pid);
	if (r == 0)
		r = writer_start(&queue->writer, "store");
	if (r < 0) {
		queue_free(queue);
		return r;
	}
	*ret = queue;
	return 0;
}

static int flush(struct queue *queue, uint64_t timeout_us) REQUIRES(queue->lock)
{
	struct timespec until = clock_deadline(timeout_us);
	uint64_t wanted;
	int r = 0;

	wanted = ++queue->flush_wanted;
	queue_wake_store(queue, 0);
	while (queue->flush_done < wanted && r == 0)
		r = writer_await(&queue->writer, &until);
	/* Done as the time ended is done. */
	if (queue->flush_done >= wanted)
		r = queue->flush_result;
	return r;
}

int queue_flush(struct queue *queue, uint64_t timeout_us)
{
	int r;

	mutex_lock(&queue->lock);
	r = flush(queue, timeout_us);
	mutex_unlock(&queue->lock);
	return r;
}

int queue_leave(struct queue *queue, uint64_t timeout_us, uint64_t *ret_lost)
{
	int r;

	mutex_lock(&queue->lock);
	queue->leaving = true;
	r = flush(queue, timeout_us);
	*ret_lost = queue->left_unwritten;
	mutex_unlock(&queue->lock);
	return r;
}

struct queue *queue_close(struct queue *queue, uint64_t timeout_us)
{
	if (!queue)
		return NULL;
	if (!writer_stop(&queue->writer, timeout_us))
		return queue;
	queue_free(queue);
	return NULL;
}

uint64_t queue_max_size(struct queue *queue)
{
	uint64_t max_size;

	mutex_lock(&queue->lock);
	max_size = queue->conf.max_size;
	mutex_unlock(&queue->lock);
	return max_size;
}

void queue_configure(struct queue *queue, const struct queue_conf *conf)
{
	mutex_lock(&queue->lock);
	queue->conf = *conf;
	queue->conf.path = NULL;
	queue->conf_changed = true;
	/* Samples that waited for the disk may go out at once in `behind`. */
	readers_signal(queue);
	queue_wake_store(queue, 0);
	mutex_unlock(&queue->lock);
}
