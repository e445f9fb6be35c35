/* SPDX-License-Identifier: Apache-2.0 */
/* Full: the disk, or the file up to max_size. What goes is counted over restarts, what was sent does not come again, and
   what can stay stays. */
#include "queue_fixture.h"
#include <fcntl.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/stat.h>
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

/* A small disk of our own. */
static int setup_mount(void **state)
{
	struct fixture *f;

	setup(state);
	f = *state;
	if (mount("tmpfs", f->folder, "tmpfs", 0, "size=8M") < 0)
		fail_msg("a tmpfs cannot be mounted (%s): this test needs root", strerror(errno));
	return 0;
}

static int teardown_mount(void **state)
{
	struct fixture *f = *state;

	if (f->queue)
		fixture_close(f);
	assert_int_equal(umount2(f->folder, MNT_DETACH), 0);
	return teardown(state);
}

/* Others fill the disk, but for some pages. */
static void fill_disk(const struct fixture *f, unsigned free_pages)
{
	char ballast[128];
	off_t size = 0;
	int fd;

	snprintf(ballast, sizeof(ballast), "%s/ballast", f->folder);
	fd = open(ballast, O_WRONLY | O_CREAT, 0600);
	assert_true(fd >= 0);
	while (posix_fallocate(fd, size, 4096) == 0)
		size += 4096;
	assert_int_equal(ftruncate(fd, MAX(size - (off_t)free_pages * 4096, 0)), 0);
	close(fd);
}

static void free_disk(const struct fixture *f)
{
	char ballast[128];

	snprintf(ballast, sizeof(ballast), "%s/ballast", f->folder);
	assert_int_equal(unlink(ballast), 0);
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

static uint64_t append_flushed(struct fixture *f, uint64_t from, uint64_t to, uint64_t step)
{
	for (uint64_t at = from; at <= to; at += step) {
		append_numbers(f, at, MIN(at + step - 1, to));
		assert_int_equal(queue_flush(f->queue, 20 * USEC_PER_SEC), 0);
	}
	return to;
}

/* All there is, to the sample numbered last; how many came. */
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

/* ---- max_size ---- */

/* Until the file is full and some thousand samples were dropped for it; the last number. */
static uint64_t fill_file(struct fixture *f)
{
	uint64_t n = 0;

	while (status_of(f).dropped[DROP_QUEUE_FULL] < 2000) {
		append_flushed(f, n + 1, n + 500, 500);
		n += 500;
		assert_true(n < 100000);
	}
	return n;
}

/* The file is full as the gateway ends in order, with samples in memory: each is there afterwards, or counted. */
static void check_count_of_last_commit(struct fixture *f, int when_full)
{
	struct queue_reader *reader;
	uint64_t n, came;

	f->conf.max_size = 1024 * 1024;
	f->conf.when_full = when_full;
	fixture_open(f);
	reader = open_reader(f, "cloud");
	n = fill_file(f);
	append_numbers(f, n + 1, n + 500);
	n += 500;
	queue_reader_close(reader);
	fixture_close(f);

	fixture_open(f);
	reader = open_reader(f, "cloud");
	append_numbers(f, n + 1, n + 1);
	came = drain(reader, n + 1);
	assert_int_equal(came + charged(reader, DROP_QUEUE_FULL), n + 1);
	queue_reader_close(reader);
}

static void test_count_of_last_commit_oldest(void **state)
{
	check_count_of_last_commit(*state, QUEUE_DROP_OLDEST);
}

static void test_count_of_last_commit_newest(void **state)
{
	check_count_of_last_commit(*state, QUEUE_DROP_NEWEST);
}

/* Killed right behind a drop: the count stands in the file with it, not a second later. */
static void check_count_when_killed(struct fixture *f, int when_full)
{
	struct queue_reader *reader;
	uint64_t n, depth;
	int pipes[2];
	pid_t child;

	f->conf.max_size = 1024 * 1024;
	f->conf.when_full = when_full;
	assert_int_equal(pipe(pipes), 0);
	child = fork();
	assert_true(child >= 0);
	if (child == 0) {
		fixture_open(f);
		open_reader(f, "cloud");
		n = fill_file(f);
		if (write(pipes[1], &n, sizeof(n)) != sizeof(n))
			_exit(1);
		kill(getpid(), SIGKILL);
	}
	assert_int_equal(waitpid(child, NULL, 0), child);
	assert_int_equal(read(pipes[0], &n, sizeof(n)), sizeof(n));
	close(pipes[0]);
	close(pipes[1]);
	fixture_open(f);
	reader = open_reader(f, "cloud");
	depth = queue_reader_depth(reader);
	assert_int_equal(depth + charged(reader, DROP_QUEUE_FULL), n);
	queue_reader_close(reader);
}

static void test_count_when_killed_oldest(void **state)
{
	check_count_when_killed(*state, QUEUE_DROP_OLDEST);
}

static void test_count_when_killed_newest(void **state)
{
	check_count_when_killed(*state, QUEUE_DROP_NEWEST);
}

/* max_size is not larger than the memory. The disk was full for a while and heals: the file holds what fits into it. Once
   all of memory was one transaction, for which the whole file was emptied; then it did not fit. */
static void test_max_size_not_above_memory(void **state)
{
	struct fixture *f = *state;
	struct queue_reader *reader;
	uint64_t n, depth;

	f->conf.max_size = 1024 * 1024;
	f->conf.memory = 2 * 1024 * 1024;
	fixture_open(f);
	reader = open_reader(f, "cloud");
	n = append_flushed(f, 1, 5000, 500);
	fill_disk(f, 0);
	while (status_of(f).dropped[DROP_MEMORY_FULL] == 0) {
		append_numbers(f, n + 1, n + 600);
		n += 600;
	}
	assert_int_not_equal(queue_flush(f->queue, 20 * USEC_PER_SEC), 0);
	free_disk(f);
	assert_int_equal(queue_flush(f->queue, 20 * USEC_PER_SEC), 0);
	depth = queue_reader_depth(reader);
	assert_true(depth > 5000);
	assert_int_equal(depth + charged(reader, DROP_QUEUE_FULL) + charged(reader, DROP_MEMORY_FULL), n);
	assert_int_equal(drain(reader, n), depth);
	queue_reader_close(reader);
}

/* ---- a full disk ---- */

/* Sent from a full disk, with nothing new that waits: the place of the uplink is on the disk soon, and what was sent does
   not come again after a power cut. */
static void test_place_on_a_full_disk(void **state)
{
	struct fixture *f = *state;
	struct queue_reader *reader;
	int pipes[2];
	uint64_t n = 20000;
	pid_t child;

	assert_int_equal(pipe(pipes), 0);
	child = fork();
	assert_true(child >= 0);
	if (child == 0) {
		fixture_open(f);
		reader = open_reader(f, "cloud");
		append_flushed(f, 1, n, 500);
		fill_disk(f, 0);
		for (; status_of(f).body != QUEUE_BODY_FULL; n += 200) {
			append_numbers(f, n + 1, n + 200);
			queue_flush(f->queue, 20 * USEC_PER_SEC);
		}
		drain(reader, n);
		while (status_of(f).body_samples > 0 || queue_reader_depth(reader) > 0 || status_of(f).body_bytes == 0)
			poll(NULL, 0, 10);
		/* Removal and place are written in one: nothing on the disk is behind the place any more. */
		for (uint64_t commits = status_of(f).commits; status_of(f).commits == commits;)
			poll(NULL, 0, 10);
		if (write(pipes[1], &n, sizeof(n)) != sizeof(n))
			_exit(1);
		kill(getpid(), SIGKILL);
	}
	assert_int_equal(waitpid(child, NULL, 0), child);
	assert_int_equal(read(pipes[0], &n, sizeof(n)), sizeof(n));
	close(pipes[0]);
	close(pipes[1]);
	fixture_open(f);
	reader = open_reader(f, "cloud");
	assert_int_equal(queue_reader_depth(reader), 0);
	queue_reader_close(reader);
}

/* The disk is full, memory too, and the gateway is stopped: what was dropped and what could not be written is in the log,
   and after the next start told upstream. */
static void test_account_at_the_end_on_a_full_disk(void **state)
{
	struct fixture *f = *state;
	struct queue_reader *reader;
	struct queue_notice notice;
	uint64_t n, lost, left = 0, told = 0, depth;

	f->conf.memory = 64 * 1024;
	fixture_open(f);
	reader = open_reader(f, "cloud");
	n = append_flushed(f, 1, 1000, 500);
	fill_disk(f, 0);
	while (status_of(f).dropped[DROP_MEMORY_FULL] < 1000) {
		append_numbers(f, n + 1, n + 100);
		n += 100;
		queue_flush(f->queue, 20 * USEC_PER_SEC);
	}
	queue_reader_close(reader);
	assert_int_not_equal(queue_leave(f->queue, 20 * USEC_PER_SEC, &left), 0);
	assert_true(left > 0);
	lost = status_of(f).dropped[DROP_MEMORY_FULL];
	while (queue_next_notice(f->queue, &notice)) {
		unsigned long long said;

		if (sscanf(notice.text, "%llu samples dropped", &said) == 1)
			told += said;
	}
	assert_int_equal(told, lost);
	fixture_close(f);
	free_disk(f);

	fixture_open(f);
	reader = open_reader(f, "cloud");
	depth = queue_reader_depth(reader);
	assert_int_equal(charged(reader, DROP_MEMORY_FULL), lost);
	assert_int_equal(depth + lost, n);
	queue_reader_close(reader);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_count_of_last_commit_oldest, setup, teardown),
		cmocka_unit_test_setup_teardown(test_count_of_last_commit_newest, setup, teardown),
		cmocka_unit_test_setup_teardown(test_count_when_killed_oldest, setup, teardown),
		cmocka_unit_test_setup_teardown(test_count_when_killed_newest, setup, teardown),
		cmocka_unit_test_setup_teardown(test_max_size_not_above_memory, setup_mount, teardown_mount),
		cmocka_unit_test_setup_teardown(test_place_on_a_full_disk, setup_mount, teardown_mount),
		cmocka_unit_test_setup_teardown(test_account_at_the_end_on_a_full_disk, setup_mount, teardown_mount),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
