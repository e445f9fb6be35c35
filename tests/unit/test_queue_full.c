/* SPDX-License-Identifier: Apache-2.0 */
/* Full: the disk, or the file up to max_size. What goes is counted over restarts, what was sent does not come again, and
   what can stay stays. */
#include "queue_fixture.h"
#include <dirent.h>
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
		for (; status_of(f).disk != QUEUE_DISK_FULL; n += 200) {
			append_numbers(f, n + 1, n + 200);
			queue_flush(f->queue, 20 * USEC_PER_SEC);
		}
		drain(reader, n);
		while (status_of(f).disk_samples > 0 || queue_reader_depth(reader) > 0 || status_of(f).disk_bytes == 0)
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

static unsigned count_files(const struct fixture *f, const char *word)
{
	DIR *folder = opendir(f->folder);
	unsigned n = 0;

	assert_non_null(folder);
	for (struct dirent *entry; (entry = readdir(folder));)
		n += strstr(entry->d_name, word) != NULL;
	closedir(folder);
	return n;
}

/* Others fill the disk before the gateway starts: the backlog goes up all the same, and nothing is set aside. */
static void check_full_at_the_start(struct fixture *f, bool with_reserve)
{
	struct queue_reader *reader;

	fixture_open(f);
	reader = open_reader(f, "cloud");
	append_flushed(f, 1, 1000, 500);
	queue_lost(f->queue, f->device->number);
	assert_int_equal(queue_flush(f->queue, 20 * USEC_PER_SEC), 0);
	queue_reader_close(reader);
	fixture_close(f);
	if (!with_reserve) {
		char reserve[128];

		snprintf(reserve, sizeof(reserve), "%s/queue.db.reserve", f->folder);
		assert_int_equal(unlink(reserve), 0);
	}
	fill_disk(f, 0);

	fixture_open(f);
	reader = open_reader(f, "cloud");
	append_numbers(f, 1001, 1010);
	assert_int_equal(charged(reader, DROP_NO_MEMORY), 1);
	assert_int_equal(drain(reader, 1010), 1010);
	free_disk(f);
	append_numbers(f, 1011, 1020);
	assert_int_equal(queue_flush(f->queue, 20 * USEC_PER_SEC), 0);
	assert_int_equal(status_of(f).disk, QUEUE_DISK_OK);
	assert_int_equal(count_files(f, ".left-") + count_files(f, ".damaged-"), 0);
	queue_reader_close(reader);
	fixture_close(f);

	fixture_open(f);
	reader = open_reader(f, "cloud");
	expect_numbers(reader, 1011, 1020);
	assert_int_equal(charged(reader, DROP_NO_MEMORY), 1);
	queue_reader_close(reader);
}

static void test_full_at_the_start(void **state)
{
	check_full_at_the_start(*state, true);
}

static void test_full_at_the_start_without_reserve(void **state)
{
	check_full_at_the_start(*state, false);
}

static struct sample *sample_of(const struct series_device *device, const struct series *point, uint64_t n)
{
	struct sample_reading reading = {.series = point->number, .value = {.type = HAY_UINT64, .u = n}};

	return sample_new(device->number, clock_now(), &reading, 1);
}

/* The disk is not there when the gateway starts, and comes later, with a backlog on it, counts nobody was told, and other
   numbers of devices: its samples go up first, under their names and numbers, and then all that was taken since. */
static void test_a_disk_that_comes_late(void **state)
{
	struct fixture *f = *state;
	const struct series_device *pump, *boiler;
	const struct series *flow, *temp;
	char there[128], away[128];
	struct queue_reader *reader, *other;
	struct sample *sample;
	uint64_t seq = 0, id = 0;

	snprintf(there, sizeof(there), "%s/disk", f->folder);
	snprintf(away, sizeof(away), "%s/away", f->folder);
	assert_int_equal(mkdir(there, 0750), 0);
	snprintf(f->path, sizeof(f->path), "%s/disk/queue.db", f->folder);
	fixture_open(f);
	reader = open_reader(f, "cloud");
	other = open_reader(f, "other");
	pump = series_device_intern(f->series, "pump", "bus", NULL, 0);
	flow = series_intern(f->series, pump, "flow", "l", HAY_UINT64);
	for (uint64_t n = 1; n <= 100; n++)
		queue_append(f->queue, n % 2 ? numbered(f, n) : sample_of(pump, flow, n));
	queue_lost(f->queue, pump->number);
	assert_int_equal(queue_flush(f->queue, 20 * USEC_PER_SEC), 0);
	queue_reader_ack(other, expect_numbers(other, 1, 30));
	sample = take_one(reader);
	seq = queue_seq(f->queue, sample);
	sample_unref(sample);
	queue_reader_close(reader);
	queue_reader_close(other);
	fixture_close(f);
	assert_int_equal(rename(there, away), 0);

	fixture_open(f);
	wait_notice(f, "No such file");
	boiler = series_device_intern(f->series, "boiler", "bus", NULL, 0);
	temp = series_intern(f->series, boiler, "temp", "K", HAY_UINT64);
	reader = open_reader(f, "cloud");
	other = open_reader(f, "other");
	append_numbers(f, 101, 110);
	queue_append(f->queue, sample_of(boiler, temp, 111));
	id = expect_numbers(reader, 101, 105);
	assert_int_equal(rename(away, there), 0);
	wait_notice(f, "goes up first");
	wait_notice(f, "were saved");
	/* The acknowledgement of what was under way meanwhile does not pass for the older ones, and it does not come again. */
	queue_reader_ack(reader, id);
	for (uint64_t n = 1; n <= 111; n = n == 100 ? 106 : n + 1) {
		const struct series_device *device;
		struct sample_cursor cursor;
		struct sample_reading reading;

		sample = take_one(reader);
		assert_int_equal(number_of(sample), n);
		device = series_device_by_number(f->series, sample->device);
		assert_string_equal(device->name, n == 111 ? "boiler" : n <= 100 && n % 2 == 0 ? "pump" : "meter");
		assert_int_equal(sample_begin(sample, &cursor), 0);
		assert_int_equal(sample_next(&cursor, &reading), 1);
		assert_ptr_equal(series_by_number(f->series, reading.series)->device, device);
		if (n <= 100)
			assert_int_equal(queue_seq(f->queue, sample), seq + n - 1);
		id = sample->id;
		sample_unref(sample);
	}
	queue_reader_ack(reader, id);
	assert_int_equal(charged(reader, DROP_NO_MEMORY), 1);
	expect_numbers(other, 31, 111);
	assert_int_equal(queue_flush(f->queue, 20 * USEC_PER_SEC), 0);
	assert_int_equal(queue_reader_depth(reader), 0);
	assert_int_equal(queue_reader_depth(other), 81);
	queue_reader_close(reader);
	queue_reader_close(other);
	fixture_close(f);

	fixture_open(f);
	other = open_reader(f, "other");
	expect_numbers(other, 31, 111);
	queue_reader_close(other);
	for (size_t i = 0; i < DROP_N_CAUSES; i++)
		assert_int_equal(status_of(f).dropped[i], 0);
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
		cmocka_unit_test_setup_teardown(test_full_at_the_start, setup_mount, teardown_mount),
		cmocka_unit_test_setup_teardown(test_full_at_the_start_without_reserve, setup_mount, teardown_mount),
		cmocka_unit_test_setup_teardown(test_a_disk_that_comes_late, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
