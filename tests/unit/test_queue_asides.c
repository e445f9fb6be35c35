/* SPDX-License-Identifier: Apache-2.0 */
/* Files that were set aside: which are kept, in which order, and what is told of those that go. */
#include "queue/queue_files.h"
#include "queue_fixture.h"
#include "storage/quarantine.h"
#include <dlfcn.h>
#include <pthread.h>
#include <sqlite3.h>

#define STARTS_1970 ((int64_t)USEC_PER_MINUTE)

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

/* The daemon that wrote it was a newer one. */
static void make_newer(const struct fixture *f)
{
	sqlite3 *db;

	assert_int_equal(sqlite3_open(f->path, &db), SQLITE_OK);
	assert_int_equal(
		sqlite3_exec(db, "PRAGMA user_version = 99; CREATE TABLE IF NOT EXISTS later (x);", NULL, NULL, NULL),
		SQLITE_OK);
	sqlite3_close(db);
}

/* 1 to n on the disk; cloud has got `cloud` of them, other `other`. Closed, and made newer. */
static void leave_newer(struct fixture *f, uint64_t n, uint64_t cloud, uint64_t other)
{
	struct queue_reader *readers[2];

	fixture_open(f);
	readers[0] = open_reader(f, "cloud");
	readers[1] = open_reader(f, "other");
	for (uint64_t at = 1; at <= n; at += 1000) {
		append_numbers(f, at, MIN(at + 999, n));
		assert_int_equal(queue_flush(f->queue, 20 * USEC_PER_SEC), 0);
	}
	if (cloud > 0)
		queue_reader_ack(readers[0], expect_numbers(readers[0], 1, cloud));
	if (other > 0)
		queue_reader_ack(readers[1], expect_numbers(readers[1], 1, other));
	queue_reader_close(readers[0]);
	queue_reader_close(readers[1]);
	fixture_close(f);
	make_newer(f);
}

static void expect_lost(struct queue_reader *reader, uint64_t samples)
{
	_cleanup_free_ struct queue_drop *drops = NULL;

	assert_int_equal(queue_drops_pending(reader, &drops), 1);
	assert_int_equal(drops[0].cause, DROP_QUEUE_FULL);
	assert_string_equal(drops[0].device, "meter");
	assert_int_equal(drops[0].samples, samples);
}

static size_t count_asides(const struct fixture *f)
{
	struct quarantined *asides;
	size_t n;

	assert_int_equal(quarantine_list(f->path, &asides, &n), 0);
	quarantine_list_free(asides, n);
	return n;
}

/* The one just set aside is kept, larger than max_size as it is; with the next one it goes, and what nobody had got of it
   is charged to the uplinks it was for. */
static void test_newer_and_larger_than_max_size(void **state)
{
	struct fixture *f = *state;
	_cleanup_free_ struct queue_drop *drops = NULL;
	struct queue_reader *cloud, *other;
	struct queue_notice notice;

	leave_newer(f, 100000, 10, 300);
	f->conf.max_size = 1024 * 1024;
	fixture_open(f);
	wait_notice(f, "of a newer version");
	cloud = open_reader(f, "cloud");
	assert_int_equal(queue_flush(f->queue, 10 * USEC_PER_SEC), 0);
	assert_int_equal(count_asides(f), 1);
	assert_int_equal(queue_drops_pending(cloud, &drops), 0);
	queue_reader_close(cloud);
	fixture_close(f);
	assert_int_equal(count_asides(f), 1);

	make_newer(f);
	fixture_open(f);
	notice = wait_notice(f, "removed");
	assert_non_null(strstr(notice.text, "with 99990 unsent samples"));
	cloud = open_reader(f, "cloud");
	other = open_reader(f, "other");
	expect_lost(cloud, 99990);
	expect_lost(other, 99700);
	assert_int_equal(status_of(f).dropped[DROP_QUEUE_FULL], 99990);
	assert_int_equal(count_asides(f), 1);
	/* It is not that the queue is full. */
	append_numbers(f, 1, 10);
	assert_int_equal(queue_flush(f->queue, 10 * USEC_PER_SEC), 0);
	while (queue_next_notice(f->queue, &notice))
		assert_null(strstr(notice.text, "has reached max_size"));
	queue_reader_close(cloud);
	queue_reader_close(other);
	fixture_close(f);

	/* What was charged is on the disk. */
	fixture_open(f);
	cloud = open_reader(f, "cloud");
	expect_lost(cloud, 99990);
	queue_reader_close(cloud);
}

/* Where it cannot be counted it is said so. */
static void test_newer_and_not_readable(void **state)
{
	struct fixture *f = *state;
	struct queue_reader *reader;
	sqlite3 *db;

	leave_newer(f, 100, 0, 0);
	assert_int_equal(sqlite3_open(f->path, &db), SQLITE_OK);
	assert_int_equal(sqlite3_exec(db, "DROP TABLE samples", NULL, NULL, NULL), SQLITE_OK);
	sqlite3_close(db);
	fixture_open(f);
	reader = open_reader(f, "cloud");
	queue_reader_close(reader);
	fixture_close(f);
	for (unsigned i = 0; i < 8; i++) {
		make_newer(f);
		fixture_open(f);
		if (i == 7)
			wait_notice(f, "removed with samples that cannot be counted");
		fixture_close(f);
	}
	assert_int_equal(count_asides(f), 8);
}

/* The clock goes anywhere, also back to 1970: the order is that of setting aside. */
static void test_order_whatever_the_clock_says(void **state)
{
	static const char *const kinds[] = {"damaged", "newer", "left"};
	struct fixture *f = *state;
	const int64_t day = (int64_t)USEC_PER_DAY, now = clock_wall();
	const int64_t walls[] = {now,		now,	       now - day, STARTS_1970, STARTS_1970,
				 now + 1,	now + day,     now,	  STARTS_1970, now + 2 * day,
				 now + 2 * day, now + 2 * day, now,	  now,	       now};
	char *paths[ELEMENTS(walls)];
	struct quarantined *asides;
	size_t n;

	clock_set_fake(&f->fake);
	for (size_t i = 0; i < ELEMENTS(walls); i++) {
		FILE *file = fopen(f->path, "w");

		assert_non_null(file);
		fclose(file);
		f->fake.wall = walls[i];
		assert_int_equal(quarantine_file(f->path, kinds[i % ELEMENTS(kinds)], &paths[i]), 0);
	}
	assert_int_equal(quarantine_list(f->path, &asides, &n), 0);
	assert_int_equal(n, ELEMENTS(walls));
	for (size_t i = 0; i < n; i++) {
		assert_string_equal(asides[i].path, paths[i]);
		assert_int_equal(asides[i].is_damaged, i % ELEMENTS(kinds) == 0);
		free(paths[i]);
	}
	quarantine_list_free(asides, n);
}

/* ---- configured meanwhile ---- */

static atomic_bool rows_are_refused, is_done;

__attribute__((visibility("default"))) int sqlite3_step(sqlite3_stmt *statement)
{
	static int (*real)(sqlite3_stmt *);
	const char *sql;

	if (!real)
		real = (int (*)(sqlite3_stmt *))dlsym(RTLD_NEXT, "sqlite3_step");
	sql = atomic_load(&rows_are_refused) ? sqlite3_sql(statement) : NULL;
	return sql && strstr(sql, "INTO samples") ? SQLITE_CORRUPT : real(statement);
}

static void *spoil(void *userdata)
{
	struct fixture *f = userdata;

	for (uint64_t i = 1; i <= 20; i++) {
		queue_flush(f->queue, 10 * USEC_PER_SEC);
		atomic_store(&rows_are_refused, i % 2 == 1);
	}
	atomic_store(&rows_are_refused, false);
	atomic_store(&is_done, true);
	return NULL;
}

/* For the thread sanitizer: max_size is changed while files are opened and set aside. */
static void test_configured_while_set_aside(void **state)
{
	struct fixture *f = *state;
	struct queue_reader *reader;
	pthread_t thread;
	uint64_t n = 0;

	atomic_store(&is_done, false);
	fixture_open(f);
	reader = open_reader(f, "cloud");
	append_numbers(f, 1, 10);
	assert_int_equal(queue_flush(f->queue, 10 * USEC_PER_SEC), 0);
	assert_int_equal(pthread_create(&thread, NULL, spoil, f), 0);
	while (!atomic_load(&is_done)) {
		n++;
		append_numbers(f, 10 + n, 10 + n);
		f->conf.max_size += 4096;
		queue_configure(f->queue, &f->conf);
	}
	pthread_join(thread, NULL);
	assert_true(count_asides(f) >= 1);
	queue_reader_close(reader);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_newer_and_larger_than_max_size, setup, teardown),
		cmocka_unit_test_setup_teardown(test_newer_and_not_readable, setup, teardown),
		cmocka_unit_test_setup_teardown(test_order_whatever_the_clock_says, setup, teardown),
		cmocka_unit_test_setup_teardown(test_configured_while_set_aside, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
