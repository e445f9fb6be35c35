/* SPDX-License-Identifier: Apache-2.0 */
/* What is left of a trouble once it is over: a write that failed, a place that could not be read, an unclean end. */
#include "queue_fixture.h"
#include <dlfcn.h>
#include <pthread.h>
#include <signal.h>
#include <sqlite3.h>
#include <sys/wait.h>

static int setup(void **state)
{
	static struct fixture fixture;

	fixture_init(&fixture);
	clock_set_trusted(true);
	*state = &fixture;
	return 0;
}

/* ---- a disk of our own: SQLite steps through us ---- */

static struct {
	pthread_mutex_t lock;
	pthread_cond_t changed;
	int refuses;	 /* samples, with this code of SQLite */
	bool hangs;	 /* when the next sample is written */
	bool inside;	 /* one is being written, and hangs */
	bool is_unread;	 /* samples cannot be read back */
	bool open_heals; /* only a new connection is given what the disk can do again */
} disk = {.lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER};

static int on_insert(void)
{
	int rc;

	pthread_mutex_lock(&disk.lock);
	disk.inside = disk.hangs;
	pthread_cond_broadcast(&disk.changed);
	while (disk.hangs)
		pthread_cond_wait(&disk.changed, &disk.lock);
	disk.inside = false;
	rc = disk.refuses;
	pthread_mutex_unlock(&disk.lock);
	return rc;
}

static int on_read(void)
{
	int rc;

	pthread_mutex_lock(&disk.lock);
	rc = disk.is_unread ? SQLITE_CORRUPT : SQLITE_OK;
	pthread_mutex_unlock(&disk.lock);
	return rc;
}

__attribute__((visibility("default"))) int sqlite3_step(sqlite3_stmt *statement)
{
	static int (*real)(sqlite3_stmt *);
	const char *sql = sqlite3_sql(statement);
	int rc = SQLITE_OK;

	if (!real)
		real = (int (*)(sqlite3_stmt *))dlsym(RTLD_NEXT, "sqlite3_step");
	if (sql && strstr(sql, "INTO samples"))
		rc = on_insert();
	else if (sql && strstr(sql, "crc, blob FROM samples"))
		rc = on_read();
	return rc == SQLITE_OK ? real(statement) : rc;
}

__attribute__((visibility("default"))) int sqlite3_open_v2(const char *path, sqlite3 **db, int flags, const char *vfs)
{
	static int (*real)(const char *, sqlite3 **, int, const char *);

	if (!real)
		real = (int (*)(const char *, sqlite3 **, int, const char *))dlsym(RTLD_NEXT, "sqlite3_open_v2");
	pthread_mutex_lock(&disk.lock);
	if (disk.open_heals)
		disk.refuses = SQLITE_OK;
	pthread_mutex_unlock(&disk.lock);
	return real(path, db, flags, vfs);
}

static void disk_set(int refuses, bool hangs, bool is_unread)
{
	pthread_mutex_lock(&disk.lock);
	disk.refuses = refuses;
	disk.hangs = hangs;
	disk.is_unread = is_unread;
	disk.open_heals = false;
	pthread_cond_broadcast(&disk.changed);
	pthread_mutex_unlock(&disk.lock);
}

static void wait_until_it_hangs(void)
{
	pthread_mutex_lock(&disk.lock);
	while (!disk.inside)
		pthread_cond_wait(&disk.changed, &disk.lock);
	pthread_mutex_unlock(&disk.lock);
}

static int teardown(void **state)
{
	disk_set(SQLITE_OK, false, false);
	fixture_done(*state);
	return 0;
}

/* ---- memory ---- */

static void *flush_thread(void *queue)
{
	queue_flush(queue, 20 * USEC_PER_SEC);
	return NULL;
}

/* The disk is full, the memory too; a try to write fails while one more is appended. Then the memory holds the newest on. */
static void test_newest_after_a_failed_write(void **state)
{
	struct fixture *f = *state;
	const uint64_t last = 20000;
	struct queue_reader *reader;
	struct queue_status status;
	uint64_t lost;
	pthread_t thread;

	f->conf.memory = 64 * 1024;
	fixture_open(f);
	reader = open_reader(f, "cloud");
	assert_int_equal(queue_flush(f->queue, 10 * USEC_PER_SEC), 0);
	disk_set(SQLITE_FULL, false, false);
	append_numbers(f, 1, 5000);
	assert_int_not_equal(queue_flush(f->queue, 10 * USEC_PER_SEC), 0);
	disk_set(SQLITE_FULL, true, false);
	assert_int_equal(pthread_create(&thread, NULL, flush_thread, f->queue), 0);
	wait_until_it_hangs();
	append_numbers(f, 5001, 5001);
	disk_set(SQLITE_FULL, false, false);
	pthread_join(thread, NULL);
	append_numbers(f, 5002, last);
	status = status_of(f);
	lost = status.dropped[DROP_MEMORY_FULL];
	assert_int_equal(status.tail_samples, last - lost);
	assert_true(status.tail_bytes <= f->conf.memory && status.tail_bytes > f->conf.memory / 2);
	disk_set(SQLITE_OK, false, false);
	assert_int_equal(queue_flush(f->queue, 10 * USEC_PER_SEC), 0);

	assert_int_equal(queue_reader_depth(reader), last - lost);
	queue_reader_ack(reader, expect_numbers(reader, lost + 1, last));
	assert_int_equal(queue_reader_depth(reader), 0);
	queue_reader_close(reader);
}

/* ---- damage in the pause after a damage ---- */

/* The clock of the test goes on; the store looks at it. */
static void pass(struct fixture *f, uint64_t us)
{
	__atomic_fetch_add(&f->fake.now, us, __ATOMIC_RELAXED);
	__atomic_fetch_add(&f->fake.wall, (int64_t)us, __ATOMIC_RELAXED);
	queue_clock_changed(f->queue);
}

/* The file is set aside `times` times, each as soon as it may be: the pause after the last is 10 s, 20 s, 40 s, 80 s. Then
   4000 samples lie on the disk that cannot be read from it, and what is written to it can. */
static struct queue_reader *spoil(struct fixture *f, unsigned times)
{
	struct queue_reader *reader;
	uint64_t pause = 10 * USEC_PER_SEC;

	f->conf.memory = 64 * 1024;
	f->fake = (struct clock_fake){.now = clock_now(), .wall = clock_wall()};
	clock_set_fake(&f->fake);
	fixture_open(f);
	reader = open_reader(f, "cloud");
	for (unsigned i = 0; i < times; i++, pause *= 2) {
		append_numbers(f, 1, 1);
		assert_int_equal(queue_flush(f->queue, 10 * USEC_PER_SEC), 0);
		disk_set(SQLITE_CORRUPT, false, false);
		append_numbers(f, 2, 2);
		assert_int_not_equal(queue_flush(f->queue, 10 * USEC_PER_SEC), 0);
		disk_set(SQLITE_OK, false, false);
		assert_int_equal(queue_flush(f->queue, 10 * USEC_PER_SEC), 0);
		wait_notice(f, "were saved");
		expect_numbers(reader, 1, 1);
		queue_reader_ack(reader, expect_numbers(reader, 2, 2));
		if (i + 1 < times)
			pass(f, pause);
	}
	for (uint64_t n = 1; n <= 4000; n += 500) {
		append_numbers(f, n, n + 499);
		assert_int_equal(queue_flush(f->queue, 10 * USEC_PER_SEC), 0);
	}
	disk_set(SQLITE_OK, false, true);
	queue_reader_rewind(reader);
	assert_int_equal(queue_reader_next(reader, &(struct sample *){NULL}, 1), 0);
	wait_notice(f, "cannot be used");
	return reader;
}

/* Writing works, reading does not. Nothing heals before the file may be set aside, and nothing says so. */
static void test_no_healing_in_the_pause(void **state)
{
	struct fixture *f = *state;
	struct queue_reader *reader = spoil(f, 1);
	struct queue_notice notice;

	for (unsigned i = 0; i < 9; i++) {
		pass(f, USEC_PER_SEC);
		assert_int_equal(queue_flush(f->queue, 10 * USEC_PER_SEC), 0);
		assert_int_equal(status_of(f).disk, QUEUE_DISK_FAILED);
	}
	while (queue_next_notice(f->queue, &notice))
		fail_msg("%s", notice.text);
	disk_set(SQLITE_OK, false, false);
	pass(f, 2 * USEC_PER_SEC);
	wait_notice(f, "written to disk again");
	queue_reader_ack(reader, expect_numbers(reader, 1, 4000));
	queue_reader_close(reader);
}

/* A pause of more than a minute: the uplinks go on without what cannot be read. */
static void test_unreadable_in_a_long_pause(void **state)
{
	struct fixture *f = *state;
	struct queue_reader *reader = spoil(f, 4);
	struct sample *sample;

	pass(f, 61 * USEC_PER_SEC);
	wait_notice(f, "go on without the samples");
	assert_true(status_of(f).dropped[DROP_DAMAGED] > 0);
	sample = take_one(reader);
	assert_int_equal(number_of(sample), status_of(f).dropped[DROP_DAMAGED] + 1);
	queue_reader_ack(reader, sample->id);
	sample_unref(sample);
	queue_reader_close(reader);
}

/* ---- a disk that takes nothing ---- */

/* The disk was read-only for a while, and SQLite opened the log like that: this connection never writes again. The gateway ends
   in order after the disk was healed and before the next try: what was in memory is there. It was given up. */
static void test_an_end_before_the_next_try(void **state)
{
	struct fixture *f = *state;
	struct queue_reader *reader;

	f->fake = (struct clock_fake){.now = clock_now(), .wall = clock_wall()};
	clock_set_fake(&f->fake);
	fixture_open(f);
	reader = open_reader(f, "cloud");
	append_numbers(f, 1, 10);
	assert_int_equal(queue_flush(f->queue, 10 * USEC_PER_SEC), 0);
	disk_set(SQLITE_READONLY, false, false);
	append_numbers(f, 11, 20);
	pass(f, USEC_PER_SEC);
	wait_notice(f, "cannot be written");
	pthread_mutex_lock(&disk.lock);
	disk.open_heals = true;
	pthread_mutex_unlock(&disk.lock);
	queue_reader_close(reader);
	fixture_close(f);
	fixture_open(f);
	reader = open_reader(f, "cloud");
	queue_reader_ack(reader, expect_numbers(reader, 1, 20));
	queue_reader_close(reader);
}

/* Nothing can be written for longer than a minute, and what is on the disk can be read: it goes up. It was given up as what
   cannot be read. */
static void test_what_is_there_goes_up_while_nothing_is_written(void **state)
{
	struct fixture *f = *state;
	struct queue_reader *reader;

	f->conf.memory = 64 * 1024;
	f->fake = (struct clock_fake){.now = clock_now(), .wall = clock_wall()};
	clock_set_fake(&f->fake);
	fixture_open(f);
	reader = open_reader(f, "cloud");
	for (uint64_t n = 1; n <= 4000; n += 500) {
		append_numbers(f, n, n + 499);
		assert_int_equal(queue_flush(f->queue, 10 * USEC_PER_SEC), 0);
	}
	disk_set(SQLITE_IOERR, false, false);
	append_numbers(f, 4001, 4001);
	assert_int_not_equal(queue_flush(f->queue, 10 * USEC_PER_SEC), 0);
	for (unsigned i = 0; i < 10; i++) {
		pass(f, 30 * USEC_PER_SEC);
		assert_int_not_equal(queue_flush(f->queue, 10 * USEC_PER_SEC), 0);
	}
	queue_reader_ack(reader, expect_numbers(reader, 1, 4001));
	assert_int_equal(status_of(f).dropped[DROP_DAMAGED], 0);
	queue_reader_close(reader);
}

/* ---- numbers after an unclean end ---- */

static uint64_t seq_of_one(struct fixture *f)
{
	struct queue_reader *reader = open_reader(f, "cloud");
	struct sample *sample;
	uint64_t seq;

	append_numbers(f, 1, 1);
	sample = take_one(reader);
	seq = queue_seq(f->queue, sample);
	queue_reader_ack(reader, sample->id);
	sample_unref(sample);
	queue_reader_close(reader);
	return seq;
}

/* A life that passes one sample and is killed; its number. */
static uint64_t seq_of_a_killed_one(struct fixture *f)
{
	int pipes[2];
	uint64_t seq;
	pid_t child;

	assert_int_equal(pipe(pipes), 0);
	child = fork();
	assert_true(child >= 0);
	if (child == 0) {
		fixture_open(f);
		seq = seq_of_one(f);
		if (write(pipes[1], &seq, sizeof(seq)) != sizeof(seq))
			_exit(1);
		kill(getpid(), SIGKILL);
	}
	assert_int_equal(waitpid(child, NULL, 0), child);
	assert_int_equal(read(pipes[0], &seq, sizeof(seq)), sizeof(seq));
	close(pipes[0]);
	close(pipes[1]);
	return seq;
}

/* Killed, then a run that never learns the time and ends in order, then one that knows it: that one leaps. */
static void test_unclean_end_is_not_forgotten(void **state)
{
	struct fixture *f = *state;
	int64_t wall = clock_wall();
	uint64_t first, second, third;

	f->fake = (struct clock_fake){.now = clock_now(), .wall = wall - (int64_t)USEC_PER_DAY};
	clock_set_fake(&f->fake);
	first = seq_of_a_killed_one(f);

	clock_set_trusted(false);
	f->fake.wall = wall;
	fixture_open(f);
	second = seq_of_one(f);
	assert_true(second > first && second < (uint64_t)wall);
	fixture_close(f);
	clock_set_trusted(true);
	fixture_open(f);
	third = seq_of_one(f);
	assert_true(third >= (uint64_t)wall);
	fixture_close(f);

	/* That was found out: an end in order is one again, and counting goes on. */
	f->fake.wall += (int64_t)USEC_PER_DAY;
	fixture_open(f);
	first = seq_of_one(f);
	assert_true(first > third && first < (uint64_t)f->fake.wall);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_newest_after_a_failed_write, setup, teardown),
		cmocka_unit_test_setup_teardown(test_no_healing_in_the_pause, setup, teardown),
		cmocka_unit_test_setup_teardown(test_unreadable_in_a_long_pause, setup, teardown),
		cmocka_unit_test_setup_teardown(test_what_is_there_goes_up_while_nothing_is_written, setup, teardown),
		cmocka_unit_test_setup_teardown(test_an_end_before_the_next_try, setup, teardown),
		cmocka_unit_test_setup_teardown(test_unclean_end_is_not_forgotten, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
