/* SPDX-License-Identifier: Apache-2.0 */
/* What the tests of the queue share: a folder of their own, samples with a number in them, readers that wait. */
#ifndef HAYWAIN_TESTS_QUEUE_FIXTURE_H
#define HAYWAIN_TESTS_QUEUE_FIXTURE_H

#include "base/clock.h"
#include "queue/queue.h"
#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#include <errno.h>
#include <ftw.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#define WAIT_MS 20000 /* for what must come; a test that fails waits so long */

struct fixture {
	char folder[64], path[96];
	struct queue_conf conf;
	struct series_set *series;
	struct queue *queue;
	const struct series_device *device;
	const struct series *point;
	struct clock_fake fake; /* here, as the store's thread looks at it until fixture_done */
};

static inline int remove_entry(const char *path, const struct stat *st _unused_, int type _unused_,
			       struct FTW *ftw _unused_)
{
	return remove(path);
}

static inline void fixture_init(struct fixture *f)
{
	memset(f, 0, sizeof(*f));
	snprintf(f->folder, sizeof(f->folder), "/tmp/test-queue-XXXXXX");
	assert_non_null(mkdtemp(f->folder));
	snprintf(f->path, sizeof(f->path), "%s/queue.db", f->folder);
	f->conf = (struct queue_conf){
		.path = f->path,
		.commit_us = 20 * USEC_PER_MSEC,
		.memory = 2 * 1024 * 1024,
		.max_size = 64 * 1024 * 1024,
		.max_age_us = 30 * USEC_PER_DAY,
	};
}

static inline void fixture_open(struct fixture *f)
{
	pid_t pid = 0;

	f->series = series_set_new();
	assert_non_null(f->series);
	assert_int_equal(queue_open(&f->conf, f->series, &f->queue, &pid), 0);
	f->device = series_device_intern(f->series, "meter", "bus", NULL, 0);
	f->point = series_intern(f->series, f->device, "power", "W", HAY_UINT64);
}

static inline void fixture_close(struct fixture *f)
{
	f->queue = queue_close(f->queue, 60 * USEC_PER_SEC);
	assert_null(f->queue);
	f->series = series_set_free(f->series);
}

static inline void fixture_done(struct fixture *f)
{
	if (f->queue)
		fixture_close(f);
	nftw(f->folder, remove_entry, 8, FTW_DEPTH | FTW_PHYS);
	clock_set_trusted(false);
	clock_set_fake(NULL);
}

static inline struct sample *numbered(const struct fixture *f, uint64_t n)
{
	struct sample_reading reading = {
		.series = f->point->number,
		.quality = HAY_GOOD,
		.value = {.type = HAY_UINT64, .u = n},
	};
	struct sample *sample = sample_new(f->device->number, clock_now(), &reading, 1);

	assert_non_null(sample);
	return sample;
}

static inline uint64_t number_of(const struct sample *sample)
{
	struct sample_cursor cursor;
	struct sample_reading reading;

	assert_int_equal(sample_begin(sample, &cursor), 0);
	assert_int_equal(sample_next(&cursor, &reading), 1);
	return reading.value.u;
}

static inline void append_numbers(struct fixture *f, uint64_t from, uint64_t to)
{
	for (uint64_t n = from; n <= to; n++)
		queue_append(f->queue, numbered(f, n));
}

static inline void wait_readable(int fd)
{
	struct pollfd poll_fd = {.fd = fd, .events = POLLIN};

	assert_int_equal(poll(&poll_fd, 1, WAIT_MS), 1);
}

/* The next sample, waited for. */
static inline struct sample *take_one(struct queue_reader *reader)
{
	struct sample *sample;

	while (queue_reader_next(reader, &sample, 1) == 0)
		wait_readable(queue_reader_fd(reader));
	return sample;
}

/* Samples numbered from..to come in this order; returns the last one's id. */
static inline uint64_t expect_numbers(struct queue_reader *reader, uint64_t from, uint64_t to)
{
	uint64_t id = 0;

	for (uint64_t n = from; n <= to; n++) {
		struct sample *sample = take_one(reader);

		assert_int_equal(number_of(sample), n);
		assert_true(sample->id > id);
		id = sample->id;
		sample_unref(sample);
	}
	return id;
}

static inline struct queue_reader *open_reader(struct fixture *f, const char *name)
{
	struct queue_reader *reader;

	assert_int_equal(queue_reader_open(f->queue, name, &reader), 0);
	return reader;
}

static inline struct queue_status status_of(struct fixture *f)
{
	struct queue_status status;

	queue_get_status(f->queue, &status);
	return status;
}

/* Wait until a notice with these words comes; what it said. */
static inline struct queue_notice wait_notice(struct fixture *f, const char *words)
{
	struct queue_notice notice;

	for (;;) {
		while (queue_next_notice(f->queue, &notice))
			if (strstr(notice.text, words))
				return notice;
		wait_readable(queue_notice_fd(f->queue));
	}
}

#endif
