/* SPDX-License-Identifier: Apache-2.0 */
#include "account.h"
#include "base/clock.h"
#include "torture.h"
#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <stdarg.h>
#include <string.h>

#define CLOSE_US (20 * USEC_PER_SEC)
#define STUCK_US (30 * USEC_PER_SEC)

struct reader {
	struct queue_reader *queue;
	size_t batch;	   /* how many it takes at once */
	bool acks_at_once; /* or only when it has them all */
	uint64_t last;	   /* the newest sample that came */
	uint64_t last_id;
	bool came[STOCK_ALL + 1];
};

struct life {
	const struct stock *stock;
	struct queue *queue;
	struct series_set *set;
	struct stock_series *series;
	struct reader readers[STOCK_READERS];
	uint64_t seq[STOCK_ALL + 1]; /* as first seen by any reader */
	FILE *show;
	struct account *account;
};

static void wrong(struct life *life, const char *reader, uint64_t n, const char *format, ...) _printf_(4, 5);
static void wrong(struct life *life, const char *reader, uint64_t n, const char *format, ...)
{
	char *text = life->account->wrong;
	size_t size = sizeof(life->account->wrong), used;
	va_list args;

	if (*text)
		return;
	used = (size_t)snprintf(text, size, "%s, sample %" PRIu64 ": ", reader, n);
	va_start(args, format);
	vsnprintf(text + used, size - used, format, args);
	va_end(args);
}

static void hear(struct queue *queue, FILE *show, struct account *account)
{
	struct queue_notice notice;

	while (queue_next_notice(queue, &notice)) {
		account->said_unknown |= strstr(notice.text, ACCOUNT_UNKNOWN) != NULL;
		if (show)
			fprintf(show, "    %s\n", notice.text);
	}
}

/* ---- one sample ---- */

static void check_seq(struct life *life, const char *reader, uint64_t n, uint64_t seq)
{
	if (life->seq[n] && seq != life->seq[n])
		wrong(life, reader, n, "under number %" PRIu64 ", and under %" PRIu64 " before", seq, life->seq[n]);
	if (n <= STOCK_SAMPLES && seq != life->stock->seq[n])
		wrong(life, reader, n, "under number %" PRIu64 "; it has %" PRIu64, seq, life->stock->seq[n]);
	if (n > STOCK_SAMPLES && seq <= life->stock->last_seq)
		wrong(life, reader, n, "under number %" PRIu64 ", that an older one may have", seq);
	if (n > STOCK_SAMPLES + 1 && life->seq[n - 1] && seq <= life->seq[n - 1])
		wrong(life, reader, n, "its number does not grow");
	if (seq >= (uint64_t)1 << 53)
		wrong(life, reader, n, "its number %" PRIu64 " is past 2^53", seq);
	life->seq[n] = seq;
}

static void check_time(struct life *life, const char *reader, uint64_t n, const struct sample *sample)
{
	int64_t wall, off;
	bool certain;

	wall = queue_wall(life->queue, sample, &certain);
	if (n > STOCK_SAMPLES)
		off = wall - clock_wall();
	else
		off = wall - life->stock->wall[n];
	if (!certain) {
		if (n > STOCK_SAMPLES)
			wrong(life, reader, n, "its time is told as uncertain");
		else
			life->account->uncertain += life->stock->certain[n];
		return;
	}
	if (n <= STOCK_SAMPLES && !life->stock->certain[n])
		wrong(life, reader, n, "its time is told as certain");
	/* A fresh one was taken a moment ago. */
	if (n > STOCK_SAMPLES ? llabs(off) > (int64_t)USEC_PER_MINUTE : off != 0)
		wrong(life, reader, n, "its time is %" PRId64 " µs off", off);
}

static void check_sample(struct life *life, size_t at, const struct sample *sample)
{
	struct reader *reader = &life->readers[at];
	struct account_reader *account = &life->account->readers[at];
	const char *name = stock_readers[at], *why;
	uint64_t n;

	why = stock_compare(life->set, sample, &n);
	if (why)
		wrong(life, name, n, "%s", why);
	if (n == 0)
		return;
	check_seq(life, name, n, queue_seq(life->queue, sample));
	check_time(life, name, n, sample);
	/* What was taken before may come once more, and then all behind it. */
	if (!reader->came[n] && (n < reader->last || sample->id <= reader->last_id))
		wrong(life, name, n, "after sample %" PRIu64, reader->last);
	if (n <= STOCK_SAMPLES && !reader->came[n]) {
		if (n > life->stock->acked[at])
			account->came++;
		else
			account->again++;
	}
	reader->came[n] = true;
	reader->last = MAX(reader->last, n);
	reader->last_id = MAX(reader->last_id, sample->id);
}

/* ---- a life ---- */

static bool life_open(struct life *life, const char *path)
{
	struct queue_conf conf = stock_conf(path);
	pid_t pid;
	int r;

	clock_set_fake(NULL);
	clock_set_trusted(true);
	life->set = series_set_new();
	r = life->set ? queue_open(&conf, life->set, &life->queue, &pid) : -ENOMEM;
	if (r < 0) {
		snprintf(life->account->stuck, sizeof(life->account->stuck), "the queue cannot be opened: %s",
			 strerror(-r));
		return false;
	}
	life->series = stock_intern(life->set);
	for (size_t i = 0; i < STOCK_READERS; i++) {
		if (queue_reader_open(life->queue, stock_readers[i], &life->readers[i].queue) < 0) {
			snprintf(life->account->stuck, sizeof(life->account->stuck), "a reader cannot be opened");
			return false;
		}
	}
	return true;
}

static bool life_close(struct life *life)
{
	for (size_t i = 0; i < STOCK_READERS; i++)
		queue_reader_close(life->readers[i].queue);
	hear(life->queue, life->show, life->account);
	life->queue = queue_close(life->queue, CLOSE_US);
	if (life->queue) {
		snprintf(life->account->stuck, sizeof(life->account->stuck), "the queue does not end");
		return false;
	}
	series_set_free(life->set);
	free(life->series);
	return true;
}

/* All that is there now. */
static bool drain_reader(struct life *life, size_t at)
{
	struct reader *reader = &life->readers[at];
	struct sample *samples[32];
	bool any = false;
	size_t n;

	while ((n = queue_reader_next(reader->queue, samples, reader->batch)) > 0) {
		for (size_t i = 0; i < n; i++)
			check_sample(life, at, samples[i]);
		if (reader->acks_at_once)
			queue_reader_ack(reader->queue, samples[n - 1]->id);
		for (size_t i = 0; i < n; i++)
			sample_unref(samples[i]);
		any = true;
	}
	return any;
}

static size_t still_waiting(const struct life *life)
{
	size_t n = 0;

	for (size_t i = 0; i < STOCK_READERS; i++)
		n += !life->readers[i].came[STOCK_ALL];
	return n;
}

/* Until the last fresh sample has come to everybody. */
static bool drain(struct life *life)
{
	uint64_t until = torture_now() + STUCK_US;

	while (still_waiting(life) > 0) {
		struct pollfd wait[STOCK_READERS + 1];
		bool any = false;

		for (size_t i = 0; i < STOCK_READERS; i++)
			any |= drain_reader(life, i);
		hear(life->queue, life->show, life->account);
		if (any)
			continue;
		if (torture_now() >= until) {
			snprintf(life->account->stuck, sizeof(life->account->stuck),
				 "%zu readers wait for the last sample", still_waiting(life));
			return false;
		}
		for (size_t i = 0; i < STOCK_READERS; i++)
			wait[i] = (struct pollfd){.fd = queue_reader_fd(life->readers[i].queue), .events = POLLIN};
		wait[STOCK_READERS] = (struct pollfd){.fd = queue_notice_fd(life->queue), .events = POLLIN};
		poll(wait, ELEMENTS(wait), 1000);
	}
	for (size_t i = 0; i < STOCK_READERS; i++)
		queue_reader_ack(life->readers[i].queue, life->readers[i].last_id);
	return true;
}

static uint64_t count_drops(struct account *account, struct queue_reader *reader)
{
	struct queue_drop *drops;
	size_t n = queue_drops_pending(reader, &drops);
	uint64_t samples = 0;

	for (size_t i = 0; i < n; i++) {
		samples += drops[i].samples;
		account->said_unknown |= drops[i].unknown > 0;
	}
	free(drops);
	return samples;
}

static void settle(struct life *life)
{
	for (size_t i = 0; i < STOCK_READERS; i++) {
		struct account_reader *account = &life->account->readers[i];

		for (uint64_t n = STOCK_SAMPLES + 1; n <= STOCK_ALL; n++)
			if (!life->readers[i].came[n])
				wrong(life, stock_readers[i], n, "taken after the damage, and lost");
		account->lost = STOCK_SAMPLES - life->stock->acked[i] - account->came + STOCK_LOST;
		account->counted = count_drops(life->account, life->readers[i].queue);
	}
}

void account_take(const struct stock *stock, const char *path, FILE *show, struct account *ret)
{
	struct life life = {.stock = stock, .show = show, .account = ret}, next = life;

	life.readers[0].batch = 16;
	life.readers[0].acks_at_once = true;
	life.readers[1].batch = 32;
	life.readers[2].batch = 1;
	life.readers[2].acks_at_once = true;
	if (!life_open(&life, path))
		return;
	for (uint64_t n = STOCK_SAMPLES + 1; n <= STOCK_ALL; n++)
		queue_append(life.queue, stock_sample(life.series, n, clock_now()));
	if (!drain(&life))
		return;
	settle(&life);
	if (!life_close(&life))
		return;
	/* Counts outlive an end in order. */
	if (!life_open(&next, path))
		return;
	for (size_t i = 0; i < STOCK_READERS; i++)
		ret->readers[i].after = count_drops(ret, next.readers[i].queue);
	ret->ended = life_close(&next);
}

_Noreturn void account_die(const char *path, uint64_t life_us, FILE *show, struct account *ret)
{
	struct life life = {.show = show, .account = ret};
	uint64_t until = torture_now() + life_us, now;

	if (!life_open(&life, path))
		_exit(0);
	while ((now = torture_now()) < until) {
		struct pollfd wait = {.fd = queue_notice_fd(life.queue), .events = POLLIN};
		struct timespec pause = {.tv_nsec = (long)(MIN(until - now, USEC_PER_SEC - 1) * 1000)};

		ppoll(&wait, 1, &pause, NULL);
		hear(life.queue, show, ret);
	}
	_exit(0);
}
