/* SPDX-License-Identifier: Apache-2.0 */
/* Looking at what waits in the queue: in pieces, so that neither the store nor a reader ever waits for it. */
#include "queue/queue_private.h"
#include <errno.h>
#include <string.h>

#define ASKS_MAX 8
#define PAGE_SAMPLES ((size_t)64)
#define PAGE_BYTES ((size_t)64 * 1024)
#define HEADS ((size_t)256)

/* ---- the store thread ---- */

/* Where the disk's part of what waits goes on, and where it ends. False: all that is left is in memory. */
static bool on_disk(const struct queue *queue, uint64_t after, uint64_t *ret_after, uint64_t *ret_to)
	REQUIRES(queue->lock)
{
	*ret_after = MAX(MAX(after, queue->min_acked), MAX(queue->disk_first, (uint64_t)1) - 1);
	*ret_to = MIN(queue->written, queue->tail.first - 1);
	return queue->disk_first <= queue->written && *ret_after < *ret_to;
}

static uint64_t first_in_memory(const struct queue *queue, uint64_t after) REQUIRES(queue->lock)
{
	return MAX(MAX(after, queue->min_acked) + 1, queue->tail.first);
}

static int page_from_disk(struct queue *queue, struct queue_ask *ask, uint64_t after, uint64_t to) REQUIRES(queue->lock)
{
	struct sample_row rows[PAGE_SAMPLES];
	size_t n = 0;
	int r;

	if (!queue->store.db.handle)
		return -EIO;
	mutex_unlock(&queue->lock);
	r = rows_read(&queue->store.db, after, to, rows, PAGE_SAMPLES, PAGE_BYTES, &n);
	mutex_lock(&queue->lock);
	for (size_t i = 0; i < n; i++)
		if (rows[i].sample) /* a damaged one is counted when its turn comes to go out */
			ask->samples[ask->n_samples++] = rows[i].sample;
	ask->after = r > 0 && n > 0 ? rows[n - 1].id : to;
	return MIN(r, 0);
}

static void page_from_memory(struct queue *queue, struct queue_ask *ask) REQUIRES(queue->lock)
{
	size_t bytes = 0;

	ask->end = true;
	TAIL_FOREACH(slot, &queue->tail, first_in_memory(queue, ask->after))
	{
		if (ask->n_samples == PAGE_SAMPLES || bytes >= PAGE_BYTES) {
			ask->end = false;
			break;
		}
		bytes += sample_cost(slot->sample);
		ask->samples[ask->n_samples++] = sample_ref(slot->sample);
		ask->after = slot->sample->id;
	}
	if (ask->end)
		ask->after = MAX(ask->after, queue->tail.next - 1);
}

/* True: done. */
static bool answer_page(struct queue *queue, struct queue_ask *ask) REQUIRES(queue->lock)
{
	uint64_t after, to;

	ask->samples = calloc(PAGE_SAMPLES, sizeof(struct sample *));
	if (!ask->samples)
		ask->result = -ENOMEM;
	else if (on_disk(queue, ask->after, &after, &to))
		ask->result = page_from_disk(queue, ask, after, to);
	else
		page_from_memory(queue, ask);
	return true;
}

static int count_one(struct queue_ask *ask, uint32_t device)
{
	if (device >= ask->n_devices) {
		/* A damaged row's number must not size the table: what nobody has is not counted. */
		size_t n = (size_t)device + 1;
		uint64_t *by_device = reallocarray(ask->by_device, n, sizeof(*by_device));

		if (!by_device)
			return -ENOMEM;
		memset(by_device + ask->n_devices, 0, (n - ask->n_devices) * sizeof(*by_device));
		ask->by_device = by_device;
		ask->n_devices = n;
	}
	ask->by_device[device]++;
	return 0;
}

static int count_on_disk(struct queue *queue, struct queue_ask *ask, uint64_t after, uint64_t to) REQUIRES(queue->lock)
{
	struct row_header heads[HEADS];
	uint32_t known = series_device_count(queue->series);
	size_t n = 0;
	int r;

	if (!queue->store.db.handle)
		return -EIO;
	mutex_unlock(&queue->lock);
	r = rows_headers(&queue->store.db, after, heads, HEADS, &n);
	mutex_lock(&queue->lock);
	for (size_t i = 0; i < n && r == 0; i++)
		if (heads[i].id <= to && heads[i].device <= known)
			r = count_one(ask, heads[i].device);
	ask->after = n < HEADS || heads[n - 1].id > to ? to : heads[n - 1].id;
	return r;
}

static bool answer_count(struct queue *queue, struct queue_ask *ask) REQUIRES(queue->lock)
{
	uint64_t after, to;

	if (on_disk(queue, ask->after, &after, &to)) {
		ask->result = count_on_disk(queue, ask, after, to);
		return ask->result < 0;
	}
	TAIL_FOREACH(slot, &queue->tail, first_in_memory(queue, ask->after))
	{
		ask->result = count_one(ask, slot->sample->device);
		if (ask->result < 0)
			break;
	}
	return true;
}

static void append(struct queue_ask **list, struct queue_ask *ask)
{
	while (*list)
		list = &(*list)->next;
	ask->next = NULL;
	*list = ask;
}

bool asks_answer(struct queue *queue)
{
	struct queue_ask *ask = queue->asks;
	uint64_t one = 1;
	bool done;

	if (!ask)
		return false;
	queue->asks = ask->next;
	/* It may unlock: who asks meanwhile is put behind. */
	done = ask->count ? answer_count(queue, ask) : answer_page(queue, ask);
	append(done ? &queue->answers : &queue->asks, ask);
	if (done && write(queue->answers_fd, &one, sizeof(one)) < 0)
		return true; /* it is readable already */
	return true;
}

void asks_free(struct queue *queue)
{
	struct queue_ask **lists[] = {&queue->asks, &queue->answers};

	for (size_t i = 0; i < ELEMENTS(lists); i++)
		while (*lists[i]) {
			struct queue_ask *ask = *lists[i];

			*lists[i] = ask->next;
			queue_ask_free(ask);
		}
}

/* ---- the main thread ---- */

static int put(struct queue *queue, bool count, uint64_t after, void *userdata)
{
	struct queue_ask *ask = calloc(1, sizeof(*ask));
	int r = 0;

	if (!ask)
		return -ENOMEM;
	ask->count = count;
	ask->after = after;
	ask->userdata = userdata;
	mutex_lock(&queue->lock);
	if (queue->n_asks >= ASKS_MAX) {
		r = -EBUSY;
	} else {
		queue->n_asks++;
		append(&queue->asks, ask);
		queue_wake_store(queue, 0);
	}
	mutex_unlock(&queue->lock);
	if (r < 0)
		free(ask);
	return r;
}

int queue_ask_page(struct queue *queue, uint64_t after, void *userdata)
{
	return put(queue, false, after, userdata);
}

int queue_ask_count(struct queue *queue, void *userdata)
{
	return put(queue, true, 0, userdata);
}

int queue_answers_fd(const struct queue *queue)
{
	return queue->answers_fd;
}

struct queue_ask *queue_next_answer(struct queue *queue)
{
	struct queue_ask *ask;
	uint64_t count;

	mutex_lock(&queue->lock);
	ask = queue->answers;
	if (ask) {
		queue->answers = ask->next;
		queue->n_asks--;
	} else if (read(queue->answers_fd, &count, sizeof(count)) < 0) {
		ask = NULL; /* it was not readable */
	}
	mutex_unlock(&queue->lock);
	return ask;
}

struct queue_ask *queue_ask_free(struct queue_ask *ask)
{
	if (!ask)
		return NULL;
	for (size_t i = 0; i < ask->n_samples; i++)
		sample_unref(ask->samples[i]);
	free(ask->samples);
	free(ask->by_device);
	free(ask);
	return NULL;
}

uint64_t queue_purge(struct queue *queue)
{
	uint64_t first, last, before, n;

	mutex_lock(&queue->lock);
	last = queue->tail.next - 1;
	first = queue->disk_first <= queue->written ? queue->disk_first : queue->tail.first;
	before = queue->dropped[DROP_PURGED];
	queue_charge_range(queue, DROP_PURGED, MAX(first, (uint64_t)1), last);
	n = queue->dropped[DROP_PURGED] - before;
	for (struct queue_reader *reader = queue->readers; reader; reader = reader->next) {
		/* How many there are of before nobody knows yet: the salvage counts them. */
		if (!reader->purged_in_salvage && reader->acked + 1 < queue->counted_from) {
			reader->purged_in_salvage = true;
			/* What went before has its count; what goes from now on goes with this. */
			reader->purged_after = MAX(reader->acked, queue->low);
		}
		reader->acked = MAX(reader->acked, last);
		reader->taken = MAX(reader->taken, last);
		reader_forget_ahead(reader);
	}
	queue_forget_acked(queue);
	queue_wake_store(queue, 0);
	mutex_unlock(&queue->lock);
	return n;
}
