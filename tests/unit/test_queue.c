/* SPDX-License-Identifier: Apache-2.0 */
/* The queue when nothing is broken: order, cursors, deadlines, numbers, what is written and what is not. */
#include "queue_fixture.h"
#include <signal.h>
#include <sys/wait.h>

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

static void test_order(void **state)
{
	struct fixture *f = *state;
	struct queue_reader *reader;

	fixture_open(f);
	reader = open_reader(f, "cloud");
	append_numbers(f, 1, 100);
	assert_int_equal(queue_reader_depth(reader), 100);
	queue_reader_ack(reader, expect_numbers(reader, 1, 100));
	assert_int_equal(queue_reader_depth(reader), 0);
	queue_reader_close(reader);
}

static void test_reopen(void **state)
{
	struct fixture *f = *state;
	struct queue_reader *reader;
	uint64_t id, seq;
	struct sample *sample;

	fixture_open(f);
	reader = open_reader(f, "cloud");
	append_numbers(f, 1, 1000);
	id = expect_numbers(reader, 1, 400);
	queue_reader_ack(reader, id);
	sample = take_one(reader);
	seq = queue_seq(f->queue, sample);
	sample_unref(sample);
	queue_reader_close(reader);
	fixture_close(f);

	fixture_open(f);
	reader = open_reader(f, "cloud");
	assert_int_equal(queue_reader_depth(reader), 600);
	append_numbers(f, 1001, 1010);
	sample = take_one(reader);
	assert_int_equal(number_of(sample), 401);
	assert_int_equal(queue_seq(f->queue, sample), seq);
	assert_string_equal(series_device_by_number(f->series, sample->device)->name, "meter");
	sample_unref(sample);
	queue_reader_ack(reader, expect_numbers(reader, 402, 1010));
	assert_int_equal(queue_reader_depth(reader), 0);
	assert_true(queue_first_seq(f->queue) > seq);
	queue_reader_close(reader);
}

/* Brokers acknowledge in any order, and twice: the cursor goes forward only, and never past what there is. */
static void test_acknowledgements_out_of_order(void **state)
{
	struct fixture *f = *state;
	struct queue_reader *reader, *dead;
	uint64_t fifth, last;

	fixture_open(f);
	reader = open_reader(f, "cloud");
	/* All stay for this one: what the other had could be given to it again. */
	dead = open_reader(f, "dead");
	append_numbers(f, 1, 10);
	fifth = expect_numbers(reader, 1, 5);
	last = expect_numbers(reader, 6, 10);
	queue_reader_ack(reader, last);
	queue_reader_ack(reader, fifth);
	assert_int_equal(queue_reader_depth(reader), 0);
	append_numbers(f, 11, 12);
	queue_reader_rewind(reader);
	last = expect_numbers(reader, 11, 12);
	queue_reader_ack(reader, last + 1000);
	append_numbers(f, 13, 15);
	assert_int_equal(queue_reader_depth(reader), 3);
	expect_numbers(reader, 13, 15);
	queue_reader_close(reader);
	queue_reader_close(dead);
}

static void test_two_readers_one_dead(void **state)
{
	struct fixture *f = *state;
	struct queue_reader *live, *dead;

	fixture_open(f);
	live = open_reader(f, "live");
	dead = open_reader(f, "dead");
	for (uint64_t n = 1; n <= 3000; n += 100) {
		append_numbers(f, n, n + 99);
		queue_reader_ack(live, expect_numbers(live, n, n + 99));
	}
	assert_int_equal(queue_reader_depth(live), 0);
	assert_int_equal(queue_reader_depth(dead), 3000);
	queue_reader_close(live);
	queue_reader_close(dead);
	fixture_close(f);

	fixture_open(f);
	live = open_reader(f, "live");
	dead = open_reader(f, "dead");
	assert_int_equal(queue_reader_depth(live), 0);
	assert_int_equal(queue_reader_depth(dead), 3000);
	append_numbers(f, 3001, 3001);
	queue_reader_ack(live, expect_numbers(live, 3001, 3001));
	queue_reader_ack(dead, expect_numbers(dead, 1, 3001));
	assert_int_equal(queue_flush(f->queue, 10 * USEC_PER_SEC), 0);
	assert_int_equal(status_of(f).disk_samples, 0);
	queue_reader_close(live);
	queue_reader_close(dead);
}

/* A cursor known from the disk holds its samples before its uplink is there; a forgotten one does not. */
static void test_cursor_of_nobody_yet(void **state)
{
	struct fixture *f = *state;
	struct queue_reader *reader, *other;
	const char *const names[] = {"other"};

	fixture_open(f);
	reader = open_reader(f, "cloud");
	append_numbers(f, 1, 10);
	queue_reader_close(reader);
	fixture_close(f);

	fixture_open(f);
	other = open_reader(f, "other");
	append_numbers(f, 11, 20);
	queue_reader_ack(other, expect_numbers(other, 11, 20));
	reader = open_reader(f, "cloud");
	assert_int_equal(queue_reader_open(f->queue, "cloud", &reader), -EEXIST);
	expect_numbers(reader, 1, 20);
	queue_reader_close(reader);
	queue_keep_readers(f->queue, names, 1);
	assert_int_equal(wait_notice(f, "uplink cloud").level, HAY_LOG_NOTICE);
	queue_reader_close(other);
	fixture_close(f);

	fixture_open(f);
	reader = open_reader(f, "cloud");
	append_numbers(f, 21, 22);
	expect_numbers(reader, 21, 22);
	queue_reader_close(reader);
}

static void test_rewind(void **state)
{
	struct fixture *f = *state;
	struct queue_reader *reader;
	uint64_t id;

	fixture_open(f);
	reader = open_reader(f, "cloud");
	append_numbers(f, 1, 50);
	id = expect_numbers(reader, 1, 10);
	expect_numbers(reader, 11, 50);
	queue_reader_ack(reader, id);
	queue_reader_rewind(reader);
	expect_numbers(reader, 11, 50);
	queue_reader_close(reader);
}

/* What is acknowledged within the deadline never touches the disk. */
static void test_nothing_is_written_while_the_reader_keeps_up(void **state)
{
	struct fixture *f = *state;
	struct queue_status before, after;
	struct queue_reader *reader;

	f->conf.commit_us = 10 * USEC_PER_SEC;
	fixture_open(f);
	reader = open_reader(f, "cloud");
	append_numbers(f, 1, 1);
	queue_reader_ack(reader, expect_numbers(reader, 1, 1));
	before = status_of(f);
	for (uint64_t n = 2; n < 5000; n++) {
		append_numbers(f, n, n);
		queue_reader_ack(reader, expect_numbers(reader, n, n));
	}
	after = status_of(f);
	assert_int_equal(after.commits, before.commits);
	assert_int_equal(after.bytes_written, before.bytes_written);
	assert_int_equal(after.written, 0);
	assert_int_equal(after.appended, 4999);
	assert_int_equal(after.tail_samples, 0);
	queue_reader_close(reader);
}

static void wait_written(struct fixture *f, uint64_t n)
{
	for (unsigned i = 0; i < WAIT_MS && status_of(f).written < n; i++)
		poll(NULL, 0, 1);
	assert_true(status_of(f).written >= n);
}

/* What is not acknowledged when the oldest has waited `commit` is written, all of it in one transaction; nothing before,
   and nothing that was acknowledged. */
static void test_deadline(void **state)
{
	struct fixture *f = *state;
	struct queue_status before, after;
	struct queue_reader *reader;

	f->fake = (struct clock_fake){.now = USEC_PER_HOUR, .wall = 1732287845 * (int64_t)USEC_PER_SEC};
	clock_set_fake(&f->fake);
	fixture_open(f);
	reader = open_reader(f, "cloud");
	before = status_of(f);
	append_numbers(f, 1, 100);
	queue_reader_ack(reader, expect_numbers(reader, 1, 60));
	f->fake.now += f->conf.commit_us - 1;
	queue_clock_changed(f->queue);
	append_numbers(f, 101, 110);
	assert_int_equal(status_of(f).written, 0);
	f->fake.now++;
	queue_clock_changed(f->queue);
	wait_written(f, 50);
	after = status_of(f);
	assert_int_equal(after.written, 50);
	assert_int_equal(after.commits, before.commits + 1);
	assert_int_equal(after.tail_samples, 0);
	queue_reader_close(reader);
}

static void test_through(void **state)
{
	struct fixture *f = *state;
	struct queue_reader *reader;

	f->conf.write = QUEUE_WRITE_THROUGH;
	f->conf.commit_us = 60 * USEC_PER_SEC;
	fixture_open(f);
	reader = open_reader(f, "cloud");
	for (uint64_t n = 1; n <= 20; n++) {
		append_numbers(f, n, n);
		queue_reader_ack(reader, expect_numbers(reader, n, n));
		assert_true(status_of(f).written >= n);
	}
	queue_reader_close(reader);
}

static uint64_t first_seq(struct fixture *f)
{
	uint64_t seq;

	fixture_open(f);
	seq = queue_first_seq(f->queue);
	fixture_close(f);
	return seq;
}

static void remove_file(const struct fixture *f, const char *end)
{
	char path[128];

	snprintf(path, sizeof(path), "%s%s", f->path, end);
	unlink(path);
}

static void test_numbers_never_repeat(void **state)
{
	struct fixture *f = *state;
	uint64_t seq, next;

	f->fake = (struct clock_fake){.now = USEC_PER_HOUR, .wall = 1732287845 * (int64_t)USEC_PER_SEC};
	clock_set_fake(&f->fake);
	seq = first_seq(f);
	assert_int_equal(seq, 1732287845000000);
	next = first_seq(f);
	assert_true(next > seq);
	/* Either mark is enough. */
	seq = next;
	remove_file(f, ".seq");
	next = first_seq(f);
	assert_true(next > seq);
	seq = next;
	remove_file(f, "");
	next = first_seq(f);
	assert_true(next > seq);
	/* Both lost: the clock has to tell, once it can be trusted. */
	seq = next;
	remove_file(f, "");
	remove_file(f, ".seq");
	clock_set_trusted(false);
	f->fake.wall += 3600 * (int64_t)USEC_PER_SEC;
	fixture_open(f);
	assert_true(queue_waits_for_clock(f->queue));
	assert_int_equal(queue_first_seq(f->queue), 0);
	fixture_close(f);
	clock_set_trusted(true);
	assert_true(first_seq(f) > seq);
	assert_true(next < ((uint64_t)1 << 53));
}

static void test_readers_wait_for_the_clock(void **state)
{
	struct fixture *f = *state;
	struct queue_reader *reader;
	struct sample *sample;
	bool certain;

	clock_set_trusted(false);
	fixture_open(f);
	reader = open_reader(f, "cloud");
	append_numbers(f, 1, 10);
	assert_int_equal(queue_reader_next(reader, &sample, 1), 0);
	queue_reader_close(reader);
	fixture_close(f);

	/* Also over a restart. */
	fixture_open(f);
	reader = open_reader(f, "cloud");
	append_numbers(f, 11, 20);
	assert_int_equal(queue_reader_next(reader, &sample, 1), 0);
	assert_true(queue_waits_for_clock(f->queue));
	clock_set_trusted(true);
	queue_clock_changed(f->queue);
	sample = take_one(reader);
	assert_false(queue_waits_for_clock(f->queue));
	assert_int_equal(number_of(sample), 1);
	assert_true(queue_seq(f->queue, sample) > 1700000000 * USEC_PER_SEC);
	assert_true(queue_wall(f->queue, sample, &certain) <= clock_wall());
	assert_true(certain);
	sample_unref(sample);
	expect_numbers(reader, 2, 20);
	queue_reader_close(reader);
}

/* Samples that were on the disk before the clock was known: killed right after the first went out under its number, each
   comes again under the same one. They had another, and no consumer knew them for what it had. */
static void test_a_number_outlives_a_kill(void **state)
{
	struct fixture *f = *state;
	struct queue_reader *reader;
	struct sample *sample;
	uint64_t seq = 0;
	int ends[2];
	pid_t child;

	assert_int_equal(pipe(ends), 0);
	clock_set_trusted(false);
	child = fork();
	assert_true(child >= 0);
	if (child == 0) {
		fixture_open(f);
		reader = open_reader(f, "cloud");
		append_numbers(f, 1, 10);
		if (queue_flush(f->queue, 20 * USEC_PER_SEC) < 0)
			_exit(1);
		clock_set_trusted(true);
		queue_clock_changed(f->queue);
		seq = queue_seq(f->queue, take_one(reader));
		if (write(ends[1], &seq, sizeof(seq)) == sizeof(seq))
			kill(getpid(), SIGKILL);
		_exit(1);
	}
	assert_int_equal(waitpid(child, NULL, 0), child);
	assert_int_equal(read(ends[0], &seq, sizeof(seq)), sizeof(seq));
	close(ends[0]);
	close(ends[1]);
	assert_true(seq > 0);
	clock_set_trusted(true);
	fixture_open(f);
	reader = open_reader(f, "cloud");
	sample = take_one(reader);
	assert_int_equal(number_of(sample), 1);
	assert_int_equal(queue_seq(f->queue, sample), seq);
	sample_unref(sample);
	queue_reader_close(reader);
}

static void test_many_blocks_of_numbers(void **state)
{
	struct fixture *f = *state;
	struct queue_reader *reader;
	struct sample *sample;
	uint64_t seq;

	fixture_open(f);
	reader = open_reader(f, "cloud");
	for (uint64_t n = 1; n <= 1600000; n += 1000) {
		struct sample *taken[1000];
		size_t got;

		append_numbers(f, n, n + 999);
		got = queue_reader_next(reader, taken, 1000);
		assert_int_equal(got, 1000);
		queue_reader_ack(reader, taken[999]->id);
		for (size_t i = 0; i < got; i++)
			sample_unref(taken[i]);
	}
	append_numbers(f, 1, 1);
	sample = take_one(reader);
	seq = queue_seq(f->queue, sample);
	queue_reader_ack(reader, sample->id);
	sample_unref(sample);
	queue_reader_close(reader);
	fixture_close(f);
	fixture_open(f);
	assert_true(queue_first_seq(f->queue) > seq);
}

static void test_second_daemon(void **state)
{
	struct fixture *f = *state;
	struct series_set *series = series_set_new();
	struct queue *second;
	pid_t pid = 0;

	fixture_open(f);
	assert_int_equal(queue_open(&f->conf, series, &second, &pid), -EWOULDBLOCK);
	assert_int_equal(pid, getpid());
	fixture_close(f);
	assert_int_equal(queue_open(&f->conf, series, &second, &pid), 0);
	queue_close(second, 10 * USEC_PER_SEC);
	series_set_free(series);
}

static void test_no_reader_no_sample(void **state)
{
	struct fixture *f = *state;

	fixture_open(f);
	append_numbers(f, 1, 1000);
	assert_int_equal(queue_appended(f->queue), 1000);
	assert_int_equal(status_of(f).tail_samples, 0);
	assert_int_equal(queue_flush(f->queue, 10 * USEC_PER_SEC), 0);
	assert_int_equal(status_of(f).written, 0);
}

static void backlog(struct fixture *f, uint64_t n)
{
	for (uint64_t at = 1; at <= n; at += 1000) {
		append_numbers(f, at, MIN(at + 999, n));
		assert_int_equal(queue_flush(f->queue, 20 * USEC_PER_SEC), 0);
	}
}

/* A long backlog comes in order from the disk while new samples arrive, and the file gives its space back. */
static void test_backlog(void **state)
{
	struct fixture *f = *state;
	struct queue_reader *reader;
	struct queue_status full;
	uint64_t id = 0;

	f->conf.memory = 128 * 1024;
	fixture_open(f);
	reader = open_reader(f, "cloud");
	backlog(f, 50000);
	full = status_of(f);
	assert_int_equal(full.disk_samples, 50000);
	for (uint64_t n = 1; n <= 50000; n += 500) {
		id = expect_numbers(reader, n, n + 499);
		queue_reader_ack(reader, id);
		append_numbers(f, 50000 + n, 50000 + n);
		append_numbers(f, 50001 + n, 50499 + n);
		assert_int_equal(queue_flush(f->queue, 20 * USEC_PER_SEC), 0);
	}
	queue_reader_ack(reader, expect_numbers(reader, 50001, 100000));
	assert_int_equal(queue_reader_depth(reader), 0);
	assert_int_equal(status_of(f).dropped[DROP_MEMORY_FULL], 0);
	for (unsigned i = 0; i < WAIT_MS / 10 && status_of(f).disk_bytes > full.disk_bytes / 2; i++)
		poll(NULL, 0, 10);
	assert_true(status_of(f).disk_bytes < full.disk_bytes / 2);
	queue_reader_close(reader);
}

/* The same over a restart, after which nothing new comes: the rows go all the same. */
static void test_backlog_of_the_last_process(void **state)
{
	struct fixture *f = *state;
	struct queue_reader *reader;
	uint64_t full;

	fixture_open(f);
	reader = open_reader(f, "cloud");
	backlog(f, 60000);
	full = status_of(f).disk_bytes;
	queue_reader_close(reader);
	fixture_close(f);

	fixture_open(f);
	reader = open_reader(f, "cloud");
	queue_reader_ack(reader, expect_numbers(reader, 1, 60000));
	for (unsigned i = 0; i < WAIT_MS / 10 && status_of(f).disk_bytes > full / 2; i++)
		poll(NULL, 0, 10);
	assert_true(status_of(f).disk_bytes < full / 2);
	queue_reader_close(reader);
}

static uint64_t drops_of(struct queue_reader *reader, enum drop_cause cause, const char *device)
{
	_cleanup_free_ struct queue_drop *drops = NULL;
	size_t n = queue_drops_pending(reader, &drops);
	uint64_t samples = 0;

	for (size_t i = 0; i < n; i++)
		if (drops[i].cause == cause && (!device || strcmp(drops[i].device, device) == 0))
			samples += drops[i].samples;
	return samples;
}

static void test_full_drops_oldest(void **state)
{
	struct fixture *f = *state;
	struct queue_reader *reader;
	uint64_t lost;
	struct sample *sample;

	f->conf.max_size = 1024 * 1024;
	f->conf.memory = 128 * 1024;
	fixture_open(f);
	reader = open_reader(f, "cloud");
	backlog(f, 40000);
	lost = status_of(f).dropped[DROP_QUEUE_FULL];
	assert_true(lost > 0 && lost < 40000);
	assert_int_equal(drops_of(reader, DROP_QUEUE_FULL, "meter"), lost);
	assert_true(status_of(f).disk_bytes <= f->conf.max_size);
	assert_int_equal(queue_reader_depth(reader), 40000 - lost);
	wait_notice(f, "max_size");
	sample = take_one(reader);
	assert_int_equal(number_of(sample), lost + 1);
	sample_unref(sample);
	queue_reader_ack(reader, expect_numbers(reader, lost + 2, 40000));
	assert_int_equal(queue_reader_depth(reader), 0);
	queue_reader_close(reader);
}

static void test_full_drops_newest(void **state)
{
	struct fixture *f = *state;
	struct queue_reader *reader;
	uint64_t lost;

	f->conf.max_size = 1024 * 1024;
	/* Only the flushes of backlog() write: a thousand at a time, whole or not. A smaller piece could still find room. */
	f->conf.memory = 4 * 1024 * 1024;
	f->conf.commit_us = 60 * USEC_PER_SEC;
	f->conf.when_full = QUEUE_DROP_NEWEST;
	fixture_open(f);
	reader = open_reader(f, "cloud");
	backlog(f, 40000);
	lost = status_of(f).dropped[DROP_QUEUE_FULL];
	assert_true(lost > 0 && lost < 40000 && lost % 1000 == 0);
	assert_int_equal(queue_reader_depth(reader), 40000 - lost);
	queue_reader_ack(reader, expect_numbers(reader, 1, 40000 - lost));
	/* There is room again. */
	backlog(f, 2000);
	assert_int_equal(status_of(f).dropped[DROP_QUEUE_FULL], lost);
	queue_reader_ack(reader, expect_numbers(reader, 1, 2000));
	assert_int_equal(queue_reader_depth(reader), 0);
	queue_reader_close(reader);
}

static void test_max_age(void **state)
{
	struct fixture *f = *state;
	struct queue_reader *reader;

	f->fake = (struct clock_fake){.now = USEC_PER_HOUR, .wall = 1732287845 * (int64_t)USEC_PER_SEC};
	clock_set_fake(&f->fake);
	f->conf.max_age_us = USEC_PER_HOUR;
	fixture_open(f);
	reader = open_reader(f, "cloud");
	/* More than one step drops. */
	append_numbers(f, 1, 1600);
	assert_int_equal(queue_flush(f->queue, 10 * USEC_PER_SEC), 0);
	f->fake.now += USEC_PER_HOUR / 2;
	f->fake.wall += (int64_t)USEC_PER_HOUR / 2;
	append_numbers(f, 1601, 1700);
	assert_int_equal(queue_flush(f->queue, 10 * USEC_PER_SEC), 0);
	/* A clock that nobody trusts makes nothing old. */
	clock_set_trusted(false);
	f->fake.now += USEC_PER_HOUR * 2 / 3;
	f->fake.wall += (int64_t)USEC_PER_HOUR * 2 / 3;
	queue_clock_changed(f->queue);
	assert_int_equal(queue_flush(f->queue, 10 * USEC_PER_SEC), 0);
	assert_int_equal(status_of(f).dropped[DROP_TOO_OLD], 0);
	clock_set_trusted(true);
	f->fake.now += 2 * USEC_PER_MINUTE;
	f->fake.wall += 2 * (int64_t)USEC_PER_MINUTE;
	queue_clock_changed(f->queue);
	wait_notice(f, "max_age");
	while (status_of(f).dropped[DROP_TOO_OLD] < 1600)
		assert_int_equal(queue_flush(f->queue, 10 * USEC_PER_SEC), 0);
	assert_int_equal(drops_of(reader, DROP_TOO_OLD, "meter"), 1600);
	assert_int_equal(queue_reader_depth(reader), 100);
	queue_reader_ack(reader, expect_numbers(reader, 1601, 1700));
	queue_reader_close(reader);
}

/* Drops are remembered over a restart until they were told, and a refused sample is one. */
static void test_drops_are_remembered(void **state)
{
	struct fixture *f = *state;
	struct queue_reader *reader;
	struct queue_drop *drops;
	struct sample *sample;
	size_t n;

	fixture_open(f);
	reader = open_reader(f, "cloud");
	append_numbers(f, 1, 1);
	sample = take_one(reader);
	queue_reader_refused(reader, sample);
	queue_reader_ack(reader, sample->id);
	sample_unref(sample);
	queue_reader_close(reader);
	fixture_close(f);

	fixture_open(f);
	reader = open_reader(f, "cloud");
	n = queue_drops_pending(reader, &drops);
	assert_int_equal(n, 1);
	assert_int_equal(drops[0].cause, DROP_REFUSED);
	assert_string_equal(drops[0].device, "meter");
	assert_int_equal(drops[0].samples, 1);
	queue_drops_reported(reader, drops, n);
	free(drops);
	queue_reader_close(reader);
	fixture_close(f);

	fixture_open(f);
	reader = open_reader(f, "cloud");
	assert_int_equal(queue_drops_pending(reader, &drops), 0);
	free(drops);
	queue_reader_close(reader);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_order, setup, teardown),
		cmocka_unit_test_setup_teardown(test_reopen, setup, teardown),
		cmocka_unit_test_setup_teardown(test_acknowledgements_out_of_order, setup, teardown),
		cmocka_unit_test_setup_teardown(test_two_readers_one_dead, setup, teardown),
		cmocka_unit_test_setup_teardown(test_cursor_of_nobody_yet, setup, teardown),
		cmocka_unit_test_setup_teardown(test_rewind, setup, teardown),
		cmocka_unit_test_setup_teardown(test_nothing_is_written_while_the_reader_keeps_up, setup, teardown),
		cmocka_unit_test_setup_teardown(test_deadline, setup, teardown),
		cmocka_unit_test_setup_teardown(test_through, setup, teardown),
		cmocka_unit_test_setup_teardown(test_numbers_never_repeat, setup, teardown),
		cmocka_unit_test_setup_teardown(test_readers_wait_for_the_clock, setup, teardown),
		cmocka_unit_test_setup_teardown(test_a_number_outlives_a_kill, setup, teardown),
		cmocka_unit_test_setup_teardown(test_many_blocks_of_numbers, setup, teardown),
		cmocka_unit_test_setup_teardown(test_second_daemon, setup, teardown),
		cmocka_unit_test_setup_teardown(test_no_reader_no_sample, setup, teardown),
		cmocka_unit_test_setup_teardown(test_backlog, setup, teardown),
		cmocka_unit_test_setup_teardown(test_backlog_of_the_last_process, setup, teardown),
		cmocka_unit_test_setup_teardown(test_full_drops_oldest, setup, teardown),
		cmocka_unit_test_setup_teardown(test_full_drops_newest, setup, teardown),
		cmocka_unit_test_setup_teardown(test_max_age, setup, teardown),
		cmocka_unit_test_setup_teardown(test_drops_are_remembered, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
