/* SPDX-License-Identifier: Apache-2.0 */
/* What is left of a trouble once it is over: a write that failed, a place that could not be read, an unclean end. */
#include "queue_fixture.h"
#include <dlfcn.h>
#include <pthread.h>
#include <sqlite3.h>

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
	bool is_full; /* for samples */
	bool hangs;   /* when the next sample is written */
	bool inside;  /* one is being written, and hangs */
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
	rc = disk.is_full ? SQLITE_FULL : SQLITE_OK;
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
	return rc == SQLITE_OK ? real(statement) : rc;
}

static void disk_set(bool is_full, bool hangs)
{
	pthread_mutex_lock(&disk.lock);
	disk.is_full = is_full;
	disk.hangs = hangs;
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
	disk_set(false, false);
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
	disk_set(true, false);
	append_numbers(f, 1, 5000);
	assert_int_not_equal(queue_flush(f->queue, 10 * USEC_PER_SEC), 0);
	disk_set(true, true);
	assert_int_equal(pthread_create(&thread, NULL, flush_thread, f->queue), 0);
	wait_until_it_hangs();
	append_numbers(f, 5001, 5001);
	disk_set(true, false);
	pthread_join(thread, NULL);
	append_numbers(f, 5002, last);
	status = status_of(f);
	lost = status.dropped[DROP_MEMORY_FULL];
	assert_int_equal(status.tail_samples, last - lost);
	assert_true(status.tail_bytes <= f->conf.memory && status.tail_bytes > f->conf.memory / 2);
	disk_set(false, false);
	assert_int_equal(queue_flush(f->queue, 10 * USEC_PER_SEC), 0);

	assert_int_equal(queue_reader_depth(reader), last - lost);
	queue_reader_ack(reader, expect_numbers(reader, lost + 1, last));
	assert_int_equal(queue_reader_depth(reader), 0);
	queue_reader_close(reader);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_newest_after_a_failed_write, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
