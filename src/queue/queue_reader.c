/* SPDX-License-Identifier: Apache-2.0 */
/* Readers: a cursor each, samples from memory, and what the store read ahead from the disk for them. */
#include "base/clock.h"
#include "queue/queue_private.h"
#include <errno.h>
#include <string.h>
#include <sys/eventfd.h>

#define AHEAD_LOW_BYTES ((size_t)64 * 1024) /* below it the store reads on */

struct queue_reader *reader_find(struct queue *queue, const char *name)
{
	for (struct queue_reader *reader = queue->readers; reader; reader = reader->next)
		if (strcmp(reader->name, name) == 0)
			return reader;
	return NULL;
}

bool readers_are_unknown(const struct queue *queue)
{
	return queue->readers_unknown && clock_now() < queue->readers_unknown_until;
}

struct queue_reader *reader_by_number(struct queue *queue, uint64_t number)
{
	for (struct queue_reader *reader = queue->readers; reader; reader = reader->next)
		if (reader->number == number)
			return reader;
	return NULL;
}

struct queue_reader *reader_new(struct queue *queue, const char *name, uint64_t acked)
{
	struct queue_reader *reader = calloc(1, sizeof(*reader));

	if (!reader)
		return NULL;
	reader->name = strdup(name);
	if (!reader->name || drops_init(&reader->drops) < 0) {
		free(reader->name);
		free(reader);
		return NULL;
	}
	reader->queue = queue;
	reader->number = ++queue->last_reader;
	reader->first_seen = queue->tail.next;
	reader->appended_before = queue->appended;
	reader->fd = -1;
	reader->acked = reader->taken = reader->ahead_to = acked;
	reader->next = queue->readers;
	queue->readers = reader;
	return reader;
}

void reader_forget_ahead(struct queue_reader *reader)
{
	for (size_t i = reader->ahead_at; i < reader->ahead_n; i++)
		sample_unref(reader->ahead[i]);
	free(reader->ahead);
	reader->ahead = NULL;
	reader->ahead_at = reader->ahead_n = reader->ahead_bytes = 0;
	reader->ahead_to = reader->taken;
	reader->generation++;
}

void reader_free(struct queue_reader *reader)
{
	reader_forget_ahead(reader);
	drops_done(&reader->drops);
	if (reader->fd >= 0)
		close(reader->fd);
	free(reader->name);
	free(reader);
}

void reader_signal(struct queue_reader *reader)
{
	uint64_t one = 1;

	if (reader->fd < 0 || reader->signalled)
		return;
	reader->signalled = write(reader->fd, &one, sizeof(one)) == (ssize_t)sizeof(one);
}

bool reader_will_be_signalled(struct queue_reader *reader)
{
	if (reader->fd < 0 || reader->signalled)
		return false;
	reader->signalled = true;
	return true;
}

void readers_signal(struct queue *queue)
{
	for (struct queue_reader *reader = queue->readers; reader; reader = reader->next)
		reader_signal(reader);
}

uint64_t readers_limit(const struct queue *queue)
{
	uint64_t limit = queue->salvaging ? 0 : numbers_limit(queue);

	/* In `through` only what is on disk goes out; but a disk that has failed does not hold up everything for
	   ever. */
	if (queue->conf.write == QUEUE_WRITE_THROUGH && queue->disk_state == QUEUE_DISK_OK)
		return MIN(limit, MAX(queue->written, queue->min_acked));
	return limit;
}

uint64_t reader_depth(const struct queue_reader *reader)
{
	const struct queue *queue = reader->queue;
	uint64_t from = reader->acked, last = queue->tail.next - 1;

	/* Nothing is left of what lies before the parts. */
	if (queue->disk_first <= queue->written)
		from = MAX(from, queue->disk_first - 1);
	else if (queue->tail.first > 0)
		from = MAX(from, queue->tail.first - 1);
	return runs_between(&queue->sequence.runs, MAX(from, MAX(queue->counted_from, (uint64_t)1) - 1), last);
}

uint64_t reader_counted(const struct queue_reader *reader)
{
	return reader->purged_in_salvage ? reader->purged_after : reader->acked;
}

bool reader_needs_disk(struct queue_reader *reader, uint64_t *ret_after)
{
	const struct queue *queue = reader->queue;
	uint64_t after = MAX(reader->taken, reader->ahead_to);

	if (queue->disk_first > 0)
		after = MAX(after, queue->disk_first - 1);
	if (after >= queue->written || after + 1 >= queue->tail.first)
		return false;
	*ret_after = after;
	return true;
}

static void want_ahead(struct queue_reader *reader) REQUIRES(reader->queue->lock)
{
	uint64_t after;

	if (reader->wants_ahead || reader->ahead_bytes >= AHEAD_LOW_BYTES || !reader_needs_disk(reader, &after))
		return;
	reader->wants_ahead = true;
	queue_wake_store(reader->queue, 0);
}

/* ---- the interface ---- */

int queue_reader_open(struct queue *queue, const char *name, struct queue_reader **ret)
{
	struct queue_reader *reader;
	int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK), r = 0;

	if (fd < 0)
		return -errno;
	mutex_lock(&queue->lock);
	reader = reader_find(queue, name);
	if (reader && reader->fd >= 0) {
		r = -EEXIST;
	} else if (!reader) {
		/* Its place may be what was lost: then it gets all that is there. */
		reader = reader_new(queue, name, readers_are_unknown(queue) ? queue->low : queue->tail.next - 1);
		if (reader && readers_are_unknown(queue) && queue->unknown_losses > 0)
			drops_add(&reader->drops, DROP_DAMAGED, DROPS_NUMBER_UNKNOWN, 1);
		r = reader ? 0 : -ENOMEM;
	}
	if (r == 0) {
		reader->fd = fd;
		reader->signalled = false;
		reader->taken = reader->acked;
		reader_forget_ahead(reader);
		reader_signal(reader);
		deferred_apply(reader);
		if (queue->salvaging)
			queue_wake_store(queue, 0);
		queue_forget_acked(queue);
	}
	mutex_unlock(&queue->lock);
	if (r < 0) {
		close(fd);
		return r;
	}
	*ret = reader;
	return 0;
}

struct queue_reader *queue_reader_close(struct queue_reader *reader)
{
	struct queue *queue;

	if (!reader)
		return NULL;
	queue = reader->queue;
	mutex_lock(&queue->lock);
	close(reader->fd);
	reader->fd = -1;
	reader->taken = reader->acked;
	reader->given_before = reader->acked_before;
	reader->wants_ahead = false;
	reader_forget_ahead(reader);
	mutex_unlock(&queue->lock);
	return NULL;
}

int queue_reader_fd(const struct queue_reader *reader)
{
	return reader->fd;
}

/* Where the descriptor is about to be written it stays marked, and is drained the next time. */
static void drain(struct queue_reader *reader)
{
	uint64_t count;

	if (reader->signalled && read(reader->fd, &count, sizeof(count)) == (ssize_t)sizeof(count))
		reader->signalled = false;
}

/* Before older samples came: it waits for its acknowledgement, and does not come once more behind them. */
static bool was_given(const struct queue_reader *reader, uint64_t id)
{
	return id >= reader->queue->first_id && id <= reader->given_before;
}

static size_t take_ahead(struct queue_reader *reader, struct sample **ret, size_t max, uint64_t limit)
{
	size_t n = 0;

	while (n < max && reader->ahead_at < reader->ahead_n) {
		struct sample *sample = reader->ahead[reader->ahead_at];

		if (sample->id > limit)
			return n;
		reader->ahead_at++;
		reader->ahead_bytes -= sample_cost(sample);
		/* Dropped since it was read, or given out before older ones came. */
		if (sample->id <= reader->taken || was_given(reader, sample->id)) {
			reader->taken = MAX(reader->taken, sample->id);
			sample_unref(sample);
			continue;
		}
		reader->taken = sample->id;
		ret[n++] = sample;
	}
	if (reader->ahead_at == reader->ahead_n)
		reader->taken = MAX(reader->taken, MIN(reader->ahead_to, limit));
	return n;
}

static size_t take_tail(struct queue_reader *reader, struct sample **ret, size_t max, uint64_t limit)
{
	struct tail *tail = &reader->queue->tail;
	size_t n = 0;

	TAIL_FOREACH(slot, tail, reader->taken + 1)
	{
		if (slot->sample->id > limit)
			break;
		if (was_given(reader, slot->sample->id))
			continue;
		if (n == max)
			return n;
		ret[n++] = sample_ref(slot->sample);
		reader->taken = slot->sample->id;
	}
	reader->taken = MAX(reader->taken, limit); /* all there is was taken */
	return n;
}

size_t queue_reader_next(struct queue_reader *reader, struct sample **ret, size_t max)
{
	struct queue *queue = reader->queue;
	uint64_t limit, after;
	size_t n;

	mutex_lock(&queue->lock);
	limit = readers_limit(queue);
	n = take_ahead(reader, ret, max, limit);
	if (limit > 0) {
		if (n < max && reader->ahead_at == reader->ahead_n && !reader_needs_disk(reader, &after))
			n += take_tail(reader, ret + n, max - n, limit);
		want_ahead(reader);
	}
	/* With all of max there may be more at once: the descriptor stays as it is. */
	if (n < max)
		drain(reader);
	else
		reader_signal(reader);
	mutex_unlock(&queue->lock);
	return n;
}

/* What it had taken and not acknowledged comes again. */
static void start_over(struct queue_reader *reader) REQUIRES(reader->queue->lock)
{
	reader->taken = reader->acked;
	reader->given_before = reader->acked_before;
	reader_forget_ahead(reader);
}

void queue_reader_rewind(struct queue_reader *reader)
{
	mutex_lock(&reader->queue->lock);
	start_over(reader);
	reader_signal(reader);
	mutex_unlock(&reader->queue->lock);
}

static bool has_older(const struct queue_reader *reader)
{
	const struct queue *queue = reader->queue;

	return queue->salvaging ||
	       runs_between(&queue->sequence.runs, MAX(reader->acked, queue->low), queue->first_id - 1) > 0;
}

void reader_settle_join(struct queue_reader *reader)
{
	if (!reader->joined || has_older(reader))
		return;
	reader->acked = MAX(reader->acked, reader->acked_before);
	reader->taken = MAX(reader->taken, reader->acked);
	reader->joined = false;
}

/* Of a sample that was given out before older ones came: the cursor cannot pass these. */
static bool is_of_before_the_join(struct queue_reader *reader, uint64_t id)
{
	if (!reader->joined || !was_given(reader, id) || !has_older(reader))
		return false;
	reader->acked_before = MAX(reader->acked_before, id);
	return true;
}

static void acknowledge(struct queue_reader *reader, uint64_t id) REQUIRES(reader->queue->lock)
{
	struct queue *queue = reader->queue;
	bool last = reader->acked == queue->min_acked;

	/* What came late was given out behind those. */
	if (reader->joined && id < queue->first_id)
		reader->acked_before = reader->given_before;
	reader->acked = id;
	reader->taken = MAX(reader->taken, id);
	reader_settle_join(reader);
	if (last)
		queue_forget_acked(queue);
}

void queue_reader_ack(struct queue_reader *reader, uint64_t id)
{
	struct queue *queue = reader->queue;

	mutex_lock(&queue->lock);
	id = MIN(id, queue->tail.next - 1);
	if (id > reader->acked && !is_of_before_the_join(reader, id))
		acknowledge(reader, id);
	mutex_unlock(&queue->lock);
}

void queue_reader_refused(struct queue_reader *reader, const struct sample *sample)
{
	struct queue *queue = reader->queue;

	mutex_lock(&queue->lock);
	drops_add(&reader->drops, DROP_REFUSED, sample->device, 1);
	queue->dropped[DROP_REFUSED]++;
	mutex_unlock(&queue->lock);
}

uint64_t queue_reader_depth(const struct queue_reader *reader)
{
	uint64_t depth;

	mutex_lock(&reader->queue->lock);
	depth = reader_depth(reader);
	mutex_unlock(&reader->queue->lock);
	return depth;
}

size_t queue_drops_pending(struct queue_reader *reader, struct queue_drop **ret)
{
	size_t n;

	mutex_lock(&reader->queue->lock);
	n = drops_list(&reader->drops, reader->queue->series, ret);
	mutex_unlock(&reader->queue->lock);
	return n;
}

void queue_drops_reported(struct queue_reader *reader, const struct queue_drop *drops, size_t n_drops)
{
	struct queue *queue = reader->queue;

	mutex_lock(&queue->lock);
	drops_take(&reader->drops, queue->series, drops, n_drops);
	queue_wake_store(queue, 0);
	mutex_unlock(&queue->lock);
}

void queue_keep_readers(struct queue *queue, const char *const *names, size_t n_names)
{
	mutex_lock(&queue->lock);
	for (struct queue_reader **at = &queue->readers, *reader; (reader = *at);) {
		char **removed;
		size_t i = 0;

		while (i < n_names && strcmp(names[i], reader->name) != 0)
			i++;
		if (i < n_names || reader->fd >= 0) {
			at = &reader->next;
			continue;
		}
		removed = realloc(queue->removed, (queue->n_removed + 1) * sizeof(*removed));
		if (!removed)
			break;
		queue->removed = removed;
		queue_notify(
			queue, HAY_LOG_NOTICE,
			"uplink %s is no longer configured: its place in the queue is forgotten, with %llu samples it had not sent",
			reader->name, (unsigned long long)reader_depth(reader));
		*at = reader->next;
		queue->removed[queue->n_removed++] = reader->name;
		reader->name = NULL;
		reader_free(reader);
	}
	/* All that there are were opened by now. */
	queue->readers_unknown = false;
	queue_forget_acked(queue);
	queue_wake_store(queue, 0);
	mutex_unlock(&queue->lock);
}

int readers_begin_charges(const struct queue *queue, struct charges *charges)
{
	size_t n = 0;

	*charges = (struct charges){0};
	for (const struct queue_reader *reader = queue->readers; reader; reader = reader->next)
		n++;
	charges->readers = calloc(n + 1, sizeof(*charges->readers));
	if (!charges->readers)
		return -ENOMEM;
	for (const struct queue_reader *reader = queue->readers; reader; reader = reader->next) {
		struct charges_reader *to = &charges->readers[charges->n_readers];

		to->number = reader->number;
		to->acked = reader->acked;
		if (drops_init(&to->drops) < 0)
			return -ENOMEM;
		charges->n_readers++;
	}
	return 0;
}

void readers_apply_charges(struct queue *queue, const struct charges *charges)
{
	for (size_t i = 0; i < charges->n_readers; i++) {
		struct queue_reader *reader = reader_by_number(queue, charges->readers[i].number);
		const struct drops *drops = &charges->readers[i].drops;

		for (size_t row = 0; reader && row < drops->n; row++)
			drops_add(&reader->drops, drops->rows[row].cause, drops->rows[row].device,
				  drops->rows[row].count);
	}
	queue->low = MAX(queue->low, charges->low);
	for (size_t i = 0; i < DROP_N_CAUSES; i++)
		queue->dropped[i] += charges->samples[i];
}
