/* SPDX-License-Identifier: Apache-2.0 */
/* What the queue must not outgrow when the disk refuses or hangs: its numbers, its memory, its folder, its time. */
#include "queue/queue_files.h"
#include "queue/runs.h"
#include "queue/tail.h"
#include "queue_fixture.h"
#include <dirent.h>
#include <dlfcn.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <sys/resource.h>

static int setup(void **state)
{
	static struct fixture fixture;

	fixture_init(&fixture);
	clock_set_trusted(true);
	*state = &fixture;
	return 0;
}

static int teardown(void **state)
{
	fixture_done(*state);
	return 0;
}

/* No file grows: neither the queue nor its mark can be written. */
static struct rlimit limit_before;

static void stop_writing(void)
{
	struct rlimit none;

	assert_int_equal(getrlimit(RLIMIT_FSIZE, &limit_before), 0);
	none = (struct rlimit){0, limit_before.rlim_max};
	signal(SIGXFSZ, SIG_IGN);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &none), 0);
}

static void go_on_writing(void)
{
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit_before), 0);
}

/* ---- numbers ---- */

#define PIECE 1000

/* n samples appended, taken and acknowledged; their numbers into seqs. */
static void pass(struct fixture *f, struct queue_reader *reader, uint64_t *seqs, size_t n)
{
	for (size_t at = 0; at < n; at += PIECE) {
		uint64_t id = 0;

		append_numbers(f, at + 1, at + PIECE);
		for (size_t i = 0; i < PIECE; i++) {
			struct sample *sample = take_one(reader);

			seqs[at + i] = queue_seq(f->queue, sample);
			id = sample->id;
			sample_unref(sample);
		}
		queue_reader_ack(reader, id);
	}
}

static int compare(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return (x > y) - (x < y);
}

/* The mark cannot be moved on while more samples pass than it covers, and the next process finds a disk that is well. */
static void test_no_number_past_the_mark(void **state)
{
	struct fixture *f = *state;
	const size_t before = 1200000, after = 2000000;
	uint64_t *seqs = malloc((before + after) * sizeof(*seqs));
	struct clock_fake fake = {.now = clock_now(), .wall = clock_wall() - (int64_t)USEC_PER_DAY};
	struct queue_reader *reader;

	assert_non_null(seqs);
	/* The gateway was set up yesterday. */
	clock_set_fake(&fake);
	fixture_open(f);
	clock_set_fake(NULL);
	reader = open_reader(f, "cloud");
	stop_writing();
	pass(f, reader, seqs, before);
	wait_notice(f, "numbers");
	queue_reader_close(reader);
	fixture_close(f);
	go_on_writing();

	/* The clock is not known at once. */
	clock_set_trusted(false);
	fixture_open(f);
	reader = open_reader(f, "cloud");
	pass(f, reader, seqs + before, PIECE);
	clock_set_trusted(true);
	queue_clock_changed(f->queue);
	pass(f, reader, seqs + before + PIECE, after - PIECE);
	queue_reader_close(reader);
	fixture_close(f);
	qsort(seqs, before + after, sizeof(*seqs), compare);
	for (size_t i = 1; i < before + after; i++)
		assert_true(seqs[i] > seqs[i - 1]);
	free(seqs);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_no_number_past_the_mark, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
