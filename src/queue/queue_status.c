/* SPDX-License-Identifier: Apache-2.0 */
/* What the queue tells about itself: numbers, times, status, notices. */
#include "base/clock.h"
#include "queue/queue_private.h"
#include <errno.h>
#include <string.h>

/* ---- numbers and times ---- */

static uint64_t seq_of(const struct queue *queue, uint64_t id)
{
	const struct run *run = runs_of(&queue->sequence.runs, id);

	return run && run->known ? (uint64_t)((int64_t)id + run->base) : 0;
}

uint64_t queue_seq(struct queue *queue, const struct sample *sample)
{
	uint64_t seq;

	mutex_lock(&queue->lock);
	seq = seq_of(queue, sample->id);
	mutex_unlock(&queue->lock);
	return seq;
}

uint64_t queue_first_seq(struct queue *queue)
{
	uint64_t seq;

	mutex_lock(&queue->lock);
	seq = queue->sequence.base_is_new ? 0 : seq_of(queue, queue->first_id);
	mutex_unlock(&queue->lock);
	return seq;
}

bool queue_waits_for_clock(struct queue *queue)
{
	bool waits;

	mutex_lock(&queue->lock);
	waits = queue->sequence.base_is_new || !queue->sequence.runs.at[queue->sequence.runs.n - 1].known;
	mutex_unlock(&queue->lock);
	return waits;
}

int64_t queue_wall(struct queue *queue, const struct sample *sample, bool *ret_certain)
{
	int64_t wall;

	mutex_lock(&queue->lock);
	wall = boot_wall(queue, sample->boot, sample->time_us, ret_certain);
	mutex_unlock(&queue->lock);
	return wall;
}

uint64_t queue_appended(struct queue *queue)
{
	uint64_t appended;

	mutex_lock(&queue->lock);
	appended = queue->appended;
	mutex_unlock(&queue->lock);
	return appended;
}

/* ---- status and notices ---- */

static uint64_t oldest_age(struct queue *queue, uint64_t now) REQUIRES(queue->lock)
{
	uint64_t first = MAX(queue->min_acked + 1, queue->tail.first), time_us = now;

	if (queue->disk_first <= queue->written && queue->min_acked < queue->written &&
	    queue->tail.first > queue->min_acked + 1) {
		bool certain;
		int64_t age = clock_wall() - boot_wall(queue, queue->oldest_boot, queue->oldest_time_us, &certain);

		if (queue->oldest_boot == 0)
			return 0;
		/* Nobody knows how long the gateway was off: since this boot at least. */
		if (queue->oldest_boot != queue->boot && (!certain || !clock_trusted()))
			return now;
		return (uint64_t)MAX(age, (int64_t)0);
	}
	const struct tail_slot *slot = tail_from(&queue->tail, first);

	if (slot)
		time_us = slot->appended_us;
	return now > time_us ? now - time_us : 0;
}

void queue_get_status(struct queue *queue, struct queue_status *ret)
{
	uint64_t last, from;

	mutex_lock(&queue->lock);
	last = queue->tail.next - 1;
	from = queue_first_unwritten(queue) - 1;
	*ret = (struct queue_status){
		.disk = queue->disk_state,
		.tail_samples = runs_between(&queue->sequence.runs, from, last),
		.tail_bytes = queue->unwritten_bytes,
		.disk_bytes = queue->disk_bytes,
		.oldest_age_us = oldest_age(queue, clock_now()),
		.appended = queue->appended,
		.written = queue->n_written,
		.bytes_written = queue->bytes_written,
		.commits = queue->commits,
		.fsync_last_us = queue->fsync_last_us,
		.fsync_max_us = queue->fsync_max_us,
		.unknown_losses = queue->unknown_losses,
	};
	if (queue->disk_first <= queue->written) {
		from = MAX(MAX(queue->min_acked, queue->disk_first - 1), MAX(queue->counted_from, (uint64_t)1) - 1);
		ret->disk_samples = runs_between(&queue->sequence.runs, from, queue->written);
	}
	/* What is left in the window of an uplink that has all of it, or is there for none, does not wait. */
	if (ret->tail_samples + ret->disk_samples == 0)
		ret->oldest_age_us = 0;
	memcpy(ret->dropped, queue->dropped, sizeof(ret->dropped));
	mutex_unlock(&queue->lock);
}

uint64_t queue_stuck_us(const struct queue *queue)
{
	return writer_stuck_us(&queue->writer);
}

int queue_notice_fd(const struct queue *queue)
{
	return queue->notice_fd;
}

bool queue_next_notice(struct queue *queue, struct queue_notice *ret)
{
	uint64_t count;
	bool more;

	mutex_lock(&queue->lock);
	more = queue->n_notices > 0;
	if (more) {
		*ret = queue->notices[queue->notice_at];
		queue->notice_at = (queue->notice_at + 1) % NOTICES_MAX;
		queue->n_notices--;
	} else if (read(queue->notice_fd, &count, sizeof(count)) < 0) {
		errno = 0; /* it was drained already */
	}
	mutex_unlock(&queue->lock);
	return more;
}
