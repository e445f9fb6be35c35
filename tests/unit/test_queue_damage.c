/* SPDX-License-Identifier: Apache-2.0 */
/* A damaged file: what is saved of it, what that costs meanwhile, and that it comes to an end. */
#include "queue_fixture.h"
#include <sqlite3.h>

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

/* SQLite syncs through us. */
static atomic_uint syncs;

__attribute__((visibility("default"))) int fdatasync(int fd _unused_)
{
	atomic_fetch_add(&syncs, 1);
	return 0;
}

__attribute__((visibility("default"))) int fsync(int fd _unused_)
{
	atomic_fetch_add(&syncs, 1);
	return 0;
}

static uint64_t charged(struct queue_reader *reader, enum drop_cause cause)
{
	_cleanup_free_ struct queue_drop *drops = NULL;
	size_t n = queue_drops_pending(reader, &drops);
	uint64_t samples = 0;

	for (size_t i = 0; i < n; i++)
		if (drops[i].cause == cause)
			samples += drops[i].samples;
	return samples;
}

/* Samples 1 to n on disk, nothing acknowledged, closed. */
static void fill(struct fixture *f, uint64_t n)
{
	struct queue_reader *reader;

	fixture_open(f);
	reader = open_reader(f, "cloud");
	for (uint64_t at = 1; at <= n; at += 1000) {
		append_numbers(f, at, MIN(at + 999, n));
		assert_int_equal(queue_flush(f->queue, 20 * USEC_PER_SEC), 0);
	}
	queue_reader_close(reader);
	fixture_close(f);
}

static void change(const struct fixture *f, const char *sql)
{
	sqlite3 *db;

	assert_int_equal(sqlite3_open(f->path, &db), SQLITE_OK);
	assert_int_equal(sqlite3_exec(db, sql, NULL, NULL, NULL), SQLITE_OK);
	assert_true(sqlite3_changes(db) > 0);
	sqlite3_close(db);
}

/* 3000 rows with wrong checksums: removed together, so that a commit of new samples never waits for each of them. With
   one transaction a row a new sample was on the disk after 20 s. */
static void test_many_damaged_rows(void **state)
{
	struct fixture *f = *state;
	struct queue_reader *reader;
	uint64_t id = 0;

	fill(f, 6000);
	change(f, "UPDATE samples SET crc = crc + 1 WHERE id % 2 = 1");
	fixture_open(f);
	reader = open_reader(f, "cloud");
	atomic_store(&syncs, 0);
	for (unsigned i = 0; i < 3000; i++) {
		struct sample *sample = take_one(reader);

		assert_true(sample->id > id);
		id = sample->id;
		sample_unref(sample);
	}
	queue_reader_ack(reader, id);
	append_numbers(f, 6001, 6001);
	queue_reader_ack(reader, expect_numbers(reader, 6001, 6001));
	assert_true(atomic_load(&syncs) < 3000 / 10);
	assert_int_equal(charged(reader, DROP_DAMAGED), 3000);
	assert_int_equal(status_of(f).dropped[DROP_DAMAGED], 3000);
	assert_int_equal(queue_reader_depth(reader), 0);
	queue_reader_close(reader);
	fixture_close(f);

	/* Counted once, and not forgotten. */
	fixture_open(f);
	reader = open_reader(f, "cloud");
	assert_int_equal(charged(reader, DROP_DAMAGED), 3000);
	queue_reader_close(reader);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_many_damaged_rows, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
