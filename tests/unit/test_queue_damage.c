/* SPDX-License-Identifier: Apache-2.0 */
#undef _FORTIFY_SOURCE /* pread64() is ours here */
/* A damaged file: what is saved of it, what that costs meanwhile, and that it comes to an end. */
#include "queue_fixture.h"
#include <dlfcn.h>
#include <fcntl.h>
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

static off_t file_size(const struct fixture *f)
{
	struct stat st;

	assert_int_equal(stat(f->path, &st), 0);
	return st.st_size;
}

static void change_bytes(const struct fixture *f, off_t at, const void *data, size_t size)
{
	int fd = open(f->path, O_RDWR);

	assert_true(fd >= 0);
	assert_int_equal(pwrite(fd, data, size, at), size);
	close(fd);
}

static uint64_t unknown_losses(struct queue_reader *reader)
{
	_cleanup_free_ struct queue_drop *drops = NULL;
	size_t n = queue_drops_pending(reader, &drops);
	uint64_t unknown = 0;

	for (size_t i = 0; i < n; i++)
		unknown += drops[i].unknown;
	return unknown;
}

/* All there is, in order, to the sample numbered last; how many came. */
static uint64_t drain(struct queue_reader *reader, uint64_t last)
{
	uint64_t n = 0, id = 0, number = 0;

	while (number < last) {
		struct sample *sample = take_one(reader);

		assert_true(number_of(sample) > number);
		number = number_of(sample);
		id = sample->id;
		n++;
		sample_unref(sample);
	}
	queue_reader_ack(reader, id);
	return n;
}

static void remove_all(const struct fixture *f)
{
	nftw(f->folder, remove_entry, 8, FTW_DEPTH | FTW_PHYS);
	assert_int_equal(mkdir(f->folder, 0700), 0);
}

/* A few zeros anywhere: it ends, and each sample comes or is counted. Ids that were out of order once kept a salvage going
   round for ever. */
static void test_a_few_zeros_anywhere(void **state)
{
	struct fixture *f = *state;
	uint8_t zeros[34] = {0}, *whole;
	off_t size;
	int fd;

	fill(f, 500);
	size = file_size(f);
	whole = malloc((size_t)size);
	fd = open(f->path, O_RDONLY);
	assert_int_equal(pread(fd, whole, (size_t)size, 0), size);
	close(fd);
	for (off_t at = 17; at + 34 < size; at += 773) {
		struct queue_reader *reader;
		uint64_t n;

		remove_all(f);
		fd = open(f->path, O_WRONLY | O_CREAT | O_TRUNC, 0640);
		assert_int_equal(write(fd, whole, (size_t)size), size);
		close(fd);
		change_bytes(f, at, zeros, sizeof(zeros));
		fixture_open(f);
		reader = open_reader(f, "cloud");
		append_numbers(f, 501, 501);
		n = drain(reader, 501);
		if (unknown_losses(reader) == 0)
			assert_int_equal(n + charged(reader, DROP_DAMAGED), 501);
		assert_true(n > 501 - 34);
		queue_reader_close(reader);
		fixture_close(f);
	}
	free(whole);
}

/* A leaf in the middle: what was in it is lost, and nothing behind it. */
static void test_only_what_was_in_the_leaf(void **state)
{
	struct fixture *f = *state;
	struct queue_reader *reader;
	uint8_t page[4096], zeros[4096] = {0};
	off_t at;
	unsigned cells = 0;
	int fd;

	fill(f, 20000);
	fd = open(f->path, O_RDONLY);
	for (at = file_size(f) / 4096 / 2 * 4096; cells < 50; at += 4096) {
		assert_int_equal(pread(fd, page, sizeof(page), at), sizeof(page));
		cells = page[0] == 13 ? (unsigned)page[3] << 8 | page[4] : 0;
	}
	close(fd);
	change_bytes(f, at - 4096, zeros, sizeof(zeros));
	fixture_open(f);
	reader = open_reader(f, "cloud");
	append_numbers(f, 20001, 20001);
	assert_int_equal(drain(reader, 20001), 20001 - cells);
	assert_int_equal(charged(reader, DROP_DAMAGED), cells);
	assert_int_equal(unknown_losses(reader), 0);
	queue_reader_close(reader);
}

/* What had gone for want of space before the damage is no gap in the new file: that one was taken for damaged in its turn
   where an uplink's place lay before it. */
static void test_what_was_dropped_before_is_no_gap(void **state)
{
	struct fixture *f = *state;
	uint8_t zeros[4096] = {0};
	struct queue_reader *reader;
	struct queue_notice notice;
	unsigned damaged = 0;
	uint64_t dropped, n;

	f->conf.max_size = 1024 * 1024;
	fill(f, 60000);
	change_bytes(f, file_size(f) / 4096 / 2 * 4096, zeros, sizeof(zeros));
	fixture_open(f);
	reader = open_reader(f, "cloud");
	dropped = charged(reader, DROP_QUEUE_FULL);
	assert_true(dropped > 0);
	append_numbers(f, 60001, 60001);
	n = drain(reader, 60001);
	assert_int_equal(n + charged(reader, DROP_DAMAGED) + charged(reader, DROP_QUEUE_FULL), 60001);
	while (queue_next_notice(f->queue, &notice))
		damaged += strstr(notice.text, "file is damaged") != NULL;
	assert_int_equal(damaged, 1);
	queue_reader_close(reader);
}

/* A row that says to be longer than any: it is lost, and not what is behind it. It once passed for want of memory. */
static void test_a_row_with_a_wrong_length(void **state)
{
	struct fixture *f = *state;
	struct queue_reader *reader;
	uint64_t n;

	fill(f, 500);
	change(f, "UPDATE samples SET blob = zeroblob(17000000) WHERE id = (SELECT min(id) + 99 FROM samples)");
	fixture_open(f);
	reader = open_reader(f, "cloud");
	append_numbers(f, 501, 501);
	/* What it was before may still be in the file, and then it is found. */
	n = drain(reader, 501);
	assert_true(n >= 500);
	assert_int_equal(n + charged(reader, DROP_DAMAGED), 501);
	assert_int_equal(status_of(f).disk, QUEUE_DISK_OK);
	queue_reader_close(reader);
}

/* Killed at any moment while a damaged file is moved over: nothing of it is forgotten. */
static void test_killed_while_it_is_moved_over(void **state)
{
	struct fixture *f = *state;

	for (unsigned i = 0; i < 16; i++) {
		uint8_t zeros[4096] = {0};
		struct queue_reader *reader;
		uint64_t n;

		remove_all(f);
		fill(f, 5000);
		change_bytes(f, file_size(f) / 4096 / 2 * 4096, zeros, sizeof(zeros));
		for (unsigned life = 0; life < 2; life++) {
			pid_t child = fork();

			assert_true(child >= 0);
			if (child == 0) {
				fixture_open(f);
				open_reader(f, "cloud");
				poll(NULL, 0, -1);
			}
			poll(NULL, 0, (int)(i * (life + 1)));
			kill(child, SIGKILL);
			assert_int_equal(waitpid(child, NULL, 0), child);
		}
		fixture_open(f);
		reader = open_reader(f, "cloud");
		append_numbers(f, 5001, 5001);
		n = drain(reader, 5001);
		assert_true(n > 4500);
		assert_int_equal(n + charged(reader, DROP_DAMAGED), 5001);
		queue_reader_close(reader);
		fixture_close(f);
	}
}

/* ---- a place that cannot be read for a moment ---- */

static atomic_uint reads_fail;

static bool read_fails(int fd)
{
	char link[64], path[256];
	ssize_t n;

	if (atomic_load(&reads_fail) == 0)
		return false;
	snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	n = readlink(link, path, sizeof(path) - 1);
	if (n < 0)
		return false;
	path[n] = '\0';
	if (!strstr(path, ".damaged-"))
		return false;
	atomic_fetch_sub(&reads_fail, 1);
	return true;
}

__attribute__((visibility("default"))) ssize_t pread64(int fd, void *data, size_t size, off64_t at)
{
	static ssize_t (*real)(int, void *, size_t, off64_t);

	if (!real)
		real = (ssize_t(*)(int, void *, size_t, off64_t))dlsym(RTLD_NEXT, "pread64");
	if (read_fails(fd)) {
		errno = EIO;
		return -1;
	}
	return real(fd, data, size, at);
}

/* A read error while a damaged file is moved over is tried again: what is there a second later is no damage. */
static void test_read_error_is_no_damage(void **state)
{
	struct fixture *f = *state;
	struct queue_reader *reader;
	uint8_t zeros[4096] = {0};
	uint64_t n;

	fill(f, 20000);
	change_bytes(f, file_size(f) / 4096 / 2 * 4096, zeros, sizeof(zeros));
	fixture_open(f);
	wait_notice(f, "is damaged");
	atomic_store(&reads_fail, 2);
	reader = open_reader(f, "cloud");
	append_numbers(f, 20001, 20001);
	n = drain(reader, 20001);
	assert_true(n > 20001 - 200);
	assert_int_equal(n + charged(reader, DROP_DAMAGED), 20001);
	queue_reader_close(reader);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_many_damaged_rows, setup, teardown),
		cmocka_unit_test_setup_teardown(test_a_few_zeros_anywhere, setup, teardown),
		cmocka_unit_test_setup_teardown(test_only_what_was_in_the_leaf, setup, teardown),
		cmocka_unit_test_setup_teardown(test_what_was_dropped_before_is_no_gap, setup, teardown),
		cmocka_unit_test_setup_teardown(test_a_row_with_a_wrong_length, setup, teardown),
		cmocka_unit_test_setup_teardown(test_killed_while_it_is_moved_over, setup, teardown),
		cmocka_unit_test_setup_teardown(test_read_error_is_no_damage, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
