/* SPDX-License-Identifier: Apache-2.0 */
/* A disk that cannot be read for a while (EIO): nothing is damaged by that, nothing is lost, and no sample changes its
   device, its time or its number. */
#undef _FORTIFY_SOURCE /* pread64() and read() are ours here */
#include "queue_fixture.h"
#include <dirent.h>
#include <dlfcn.h>
#include <fcntl.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/stat.h>
#include <sys/wait.h>

/* ---- the disk: reads and opens of files with this in their path fail ---- */

static _Atomic(const char *) unreadable;
static atomic_bool unopenable;

static bool matches(const char *path)
{
	const char *word = atomic_load(&unreadable);

	return word && path && strstr(path, word);
}

static bool read_fails(int fd)
{
	char link[64], path[256];
	ssize_t n;

	if (!atomic_load(&unreadable))
		return false;
	snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	n = readlink(link, path, sizeof(path) - 1);
	if (n < 0)
		return false;
	path[n] = '\0';
	return matches(path);
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

/* SQLite may be built to read like this. */
__attribute__((visibility("default"))) ssize_t read(int fd, void *data, size_t size)
{
	static ssize_t (*real)(int, void *, size_t);

	if (!real)
		real = (ssize_t(*)(int, void *, size_t))dlsym(RTLD_NEXT, "read");
	if (read_fails(fd)) {
		errno = EIO;
		return -1;
	}
	return real(fd, data, size);
}

__attribute__((visibility("default"))) int open64(const char *path, int flags, ...)
{
	static int (*real)(const char *, int, ...);
	mode_t mode = 0;
	va_list args;

	if (!real)
		real = (int (*)(const char *, int, ...))dlsym(RTLD_NEXT, "open64");
	va_start(args, flags);
	if (flags & O_CREAT)
		mode = va_arg(args, mode_t);
	va_end(args);
	if (atomic_load(&unopenable) && matches(path)) {
		errno = EIO;
		return -1;
	}
	return real(path, flags, mode);
}

static void disk_fails(const char *word, bool opens_too)
{
	atomic_store(&unopenable, opens_too);
	atomic_store(&unreadable, word);
}

static void disk_heals(void)
{
	atomic_store(&unreadable, NULL);
	atomic_store(&unopenable, false);
}

/* ---- ---- */

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
	disk_heals();
	fixture_done(*state);
	return 0;
}

static uint64_t charged(struct queue_reader *reader, bool *ret_unknown)
{
	struct queue_drop *drops = NULL;
	size_t n = queue_drops_pending(reader, &drops);
	uint64_t samples = 0;

	*ret_unknown = false;
	for (size_t i = 0; i < n; i++) {
		samples += drops[i].samples;
		*ret_unknown |= drops[i].unknown > 0;
	}
	free(drops);
	return samples;
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

/* Samples 1 to n on disk, nothing acknowledged, closed. */
static void fill(struct fixture *f, uint64_t n)
{
	fixture_open(f);
	open_reader(f, "cloud");
	for (uint64_t at = 1; at <= n; at += 1000) {
		append_numbers(f, at, MIN(at + 999, n));
		assert_int_equal(queue_flush(f->queue, 20 * USEC_PER_SEC), 0);
	}
	fixture_close(f);
}

/* The same in a process that is killed: the log is left. */
static void fill_and_be_killed(struct fixture *f, uint64_t n)
{
	pid_t child = fork();

	assert_true(child >= 0);
	if (child == 0) {
		fixture_open(f);
		open_reader(f, "cloud");
		append_numbers(f, 1, n);
		if (queue_flush(f->queue, 20 * USEC_PER_SEC) < 0)
			_exit(1);
		kill(getpid(), SIGKILL);
	}
	assert_int_equal(waitpid(child, NULL, 0), child);
}

/* The clock of the test goes on; the store looks at it. */
static void pass(struct fixture *f, uint64_t us)
{
	__atomic_fetch_add(&f->fake.now, us, __ATOMIC_RELAXED);
	__atomic_fetch_add(&f->fake.wall, (int64_t)us, __ATOMIC_RELAXED);
	queue_clock_changed(f->queue);
}

static void take_until_notice(struct fixture *f, struct queue_reader *reader, struct queue_notice *ret)
{
	while (!queue_next_notice(f->queue, ret)) {
		struct pollfd fds[] = {{.fd = queue_notice_fd(f->queue), .events = POLLIN},
				       {.fd = queue_reader_fd(reader), .events = POLLIN}};
		struct sample *sample;

		while (queue_reader_next(reader, &sample, 1) > 0)
			sample_unref(sample);
		assert_true(poll(fds, ELEMENTS(fds), WAIT_MS) > 0);
	}
}

/* SQLite says "malformed" of a page that the disk did not give: an SD card with a bad moment had its queue set aside. */
static void test_a_read_error_is_not_called_damage(void **state)
{
	struct fixture *f = *state;
	struct queue_reader *reader;
	struct queue_notice notice;

	f->conf.memory = 64 * 1024;
	fill(f, 30000);
	f->fake = (struct clock_fake){.now = clock_now(), .wall = clock_wall()};
	clock_set_fake(&f->fake);
	fixture_open(f);
	reader = open_reader(f, "cloud");
	queue_reader_ack(reader, expect_numbers(reader, 1, 1));
	disk_fails("queue.db", false);
	take_until_notice(f, reader, &notice);
	assert_non_null(strstr(notice.text, "cannot be read"));
	/* However often it is tried in this time. Writing may work meanwhile, or need what cannot be read. */
	for (unsigned i = 0; i < 5; i++) {
		queue_flush(f->queue, 20 * USEC_PER_SEC);
		pass(f, 5 * USEC_PER_SEC);
	}
	while (queue_next_notice(f->queue, &notice))
		assert_null(strstr(notice.text, "is damaged"));
	disk_heals();
	pass(f, 30 * USEC_PER_SEC);
	queue_reader_rewind(reader);
	queue_reader_ack(reader, expect_numbers(reader, 2, 30000));
	assert_int_equal(count_files(f, ".damaged-"), 0);
}

/* A place that the disk cannot read for longer than a minute is damage: what is around it goes up. */
static void test_a_place_that_stays_unreadable(void **state)
{
	struct fixture *f = *state;
	struct queue_reader *reader;
	struct queue_notice notice;

	f->conf.memory = 64 * 1024;
	fill(f, 30000);
	f->fake = (struct clock_fake){.now = clock_now(), .wall = clock_wall()};
	clock_set_fake(&f->fake);
	fixture_open(f);
	reader = open_reader(f, "cloud");
	queue_reader_ack(reader, expect_numbers(reader, 1, 1));
	disk_fails("queue.db", false);
	take_until_notice(f, reader, &notice);
	pass(f, 61 * USEC_PER_SEC);
	wait_notice(f, "is damaged (Input/output error)");
	disk_heals();
	pass(f, 2 * USEC_PER_SEC);
	queue_reader_rewind(reader);
	queue_reader_ack(reader, expect_numbers(reader, 2, 30000));
}

/* A log that cannot be read at the start is no damaged log; its samples come when it can. */
static void test_a_log_that_cannot_be_read(void **state)
{
	struct fixture *f = *state;
	struct queue_reader *reader;
	struct queue_notice notice;
	bool is_unknown;

	fill_and_be_killed(f, 500);
	disk_fails("queue.db-wal", false);
	fixture_open(f);
	reader = open_reader(f, "cloud");
	notice = wait_notice(f, "queue.db");
	assert_non_null(strstr(notice.text, "cannot be used"));
	assert_int_equal(count_files(f, ".damaged-"), 0);
	disk_heals();
	wait_notice(f, "is written to disk again");
	queue_reader_ack(reader, expect_numbers(reader, 1, 500));
	assert_int_equal(charged(reader, &is_unknown), 0);
}

/* What was set aside can be opened a moment later: it is not taken for a file with nothing in it. */
static void test_a_file_set_aside_that_cannot_be_opened(void **state)
{
	struct fixture *f = *state;
	struct queue_reader *reader;
	uint64_t id = 0, n = 0, lost;
	uint8_t zeros[4096] = {0};
	bool is_unknown;
	int fd;

	fill(f, 20000);
	fd = open(f->path, O_RDWR);
	assert_true(fd >= 0);
	assert_int_equal(pwrite(fd, zeros, sizeof(zeros), 60 * 4096), sizeof(zeros));
	close(fd);
	fixture_open(f);
	wait_notice(f, "is damaged");
	disk_fails(".damaged-", true);
	reader = open_reader(f, "cloud");
	wait_notice(f, "cannot be read");
	disk_heals();
	append_numbers(f, 20001, 20001);
	while (n < 20001) {
		struct sample *sample = take_one(reader);

		n = number_of(sample);
		sample_unref(sample);
		id++;
	}
	lost = charged(reader, &is_unknown);
	assert_true(lost < 300);
	assert_int_equal(id + lost, 20001);
}

/* A second gateway life whose disk cannot be read either, in the middle of moving over the file of the first one: the file
   of what is to be done cannot be read, and was written over. The third life sends all of them. */
static void test_unread_twice(void **state)
{
	struct fixture *f = *state;
	struct queue_reader *reader;

	fill(f, 3000);
	disk_fails("queue.db", true);
	fixture_open(f);
	reader = open_reader(f, "cloud");
	append_numbers(f, 3001, 3010);
	wait_notice(f, "cannot be used");
	/* It turns up, but cannot be moved yet. */
	disk_fails(".left-", true);
	wait_notice(f, "goes up first");
	fixture_close(f);
	disk_fails("queue.db", true);
	fixture_open(f);
	reader = open_reader(f, "cloud");
	append_numbers(f, 3011, 3020);
	wait_notice(f, "cannot be used");
	disk_heals();
	wait_notice(f, "is written to disk again");
	wait_notice(f, "samples were saved");
	fixture_close(f);
	fixture_open(f);
	reader = open_reader(f, "cloud");
	queue_reader_ack(reader, expect_numbers(reader, 1, 3020));
}

/* A purge while a file is still to be moved over counts what is in it. */
static void test_purged_before_it_was_moved_over(void **state)
{
	struct fixture *f = *state;
	struct queue_reader *reader;
	bool is_unknown;

	fill(f, 3000);
	disk_fails("queue.db", true);
	fixture_open(f);
	reader = open_reader(f, "cloud");
	append_numbers(f, 3001, 3010);
	wait_notice(f, "cannot be used");
	disk_fails(".left-", true);
	wait_notice(f, "goes up first");
	assert_int_equal(queue_purge(f->queue), 10);
	disk_heals();
	wait_notice(f, "samples were saved");
	assert_int_equal(charged(reader, &is_unknown), 3010);
	assert_false(is_unknown);
	append_numbers(f, 3011, 3011);
	queue_reader_ack(reader, expect_numbers(reader, 3011, 3011));
}

/* And then the new file is full, and its oldest go, before the other could be moved: none of its samples is forgotten. */
static void test_purged_and_full_before_it_was_moved_over(void **state)
{
	struct fixture *f = *state;
	struct queue_reader *reader;
	uint64_t n = 3000;
	bool is_unknown;

	f->conf.max_size = 1024 * 1024;
	fill(f, n);
	disk_fails("queue.db", true);
	fixture_open(f);
	reader = open_reader(f, "cloud");
	append_numbers(f, n + 1, n + 10);
	n += 10;
	wait_notice(f, "cannot be used");
	disk_fails(".left-", true);
	wait_notice(f, "goes up first");
	queue_purge(f->queue);
	while (status_of(f).dropped[DROP_QUEUE_FULL] == 0) {
		append_numbers(f, n + 1, n + 500);
		n += 500;
		assert_int_equal(queue_flush(f->queue, 20 * USEC_PER_SEC), 0);
	}
	disk_heals();
	wait_notice(f, "samples were saved");
	assert_int_equal(charged(reader, &is_unknown) + queue_reader_depth(reader), n);
	assert_false(is_unknown);
}

/* A file that turns up late knows an uplink that this process did not: what went out of the memory before counts for it. */
static void test_an_uplink_that_only_the_file_knew(void **state)
{
	struct fixture *f = *state;
	struct queue_reader *reader;
	bool is_unknown;

	fixture_open(f);
	open_reader(f, "cloud");
	open_reader(f, "other");
	fixture_close(f);
	disk_fails("queue.db", true);
	fixture_open(f);
	reader = open_reader(f, "cloud");
	append_numbers(f, 1, 10);
	queue_reader_ack(reader, expect_numbers(reader, 1, 10));
	append_numbers(f, 11, 20);
	disk_heals();
	wait_notice(f, "goes up first");
	reader = open_reader(f, "other");
	assert_int_equal(charged(reader, &is_unknown), 10);
	expect_numbers(reader, 11, 20);
}

/* A file turned up late: what was given out before does not come once more behind what is in it, and its acknowledgement
   counts when the older ones have theirs. */
static void test_what_was_given_out_before_a_late_file(void **state)
{
	struct fixture *f = *state;
	struct queue_reader *reader;
	uint64_t given, last;
	bool is_unknown;

	fill(f, 3000);
	disk_fails("queue.db", true);
	fixture_open(f);
	reader = open_reader(f, "cloud");
	append_numbers(f, 3001, 3010);
	given = expect_numbers(reader, 3001, 3010);
	wait_notice(f, "cannot be used");
	disk_heals();
	wait_notice(f, "samples were saved");
	append_numbers(f, 3011, 3020);
	for (uint64_t n = 1; n <= 3000; n++) {
		struct sample *sample = take_one(reader);

		assert_int_equal(number_of(sample), n);
		last = sample->id;
		sample_unref(sample);
	}
	queue_reader_ack(reader, given);
	assert_int_equal(queue_reader_depth(reader), 3020);
	/* In their order, as an uplink acknowledges: those before are with them. */
	queue_reader_ack(reader, last);
	assert_int_equal(queue_reader_depth(reader), 10);
	last = expect_numbers(reader, 3011, 3020);
	queue_reader_rewind(reader);
	assert_int_equal(expect_numbers(reader, 3011, 3020), last);
	queue_reader_ack(reader, last);
	assert_int_equal(queue_reader_depth(reader), 0);
	assert_int_equal(charged(reader, &is_unknown), 0);
}

/* The connection is lost between: all that is not acknowledged comes again, the older ones first. */
static void test_a_late_file_and_a_lost_connection(void **state)
{
	struct fixture *f = *state;
	struct queue_reader *reader;
	uint64_t first;

	fill(f, 100);
	disk_fails("queue.db", true);
	fixture_open(f);
	reader = open_reader(f, "cloud");
	append_numbers(f, 101, 110);
	first = expect_numbers(reader, 101, 102);
	expect_numbers(reader, 103, 110);
	wait_notice(f, "cannot be used");
	disk_heals();
	wait_notice(f, "samples were saved");
	expect_numbers(reader, 1, 50);
	queue_reader_ack(reader, first);
	queue_reader_rewind(reader);
	expect_numbers(reader, 1, 100);
	queue_reader_ack(reader, expect_numbers(reader, 103, 110));
	assert_int_equal(queue_reader_depth(reader), 0);
}

/* A process that could not read the file noted only its own ids, far from those in it. The next one found the file damaged,
   took that note for the ranges of all, and the samples went up under numbers below zero: 1.7e19. */
static void test_numbers_after_a_process_that_saw_nothing(void **state)
{
	struct fixture *f = *state;
	struct queue_reader *reader;
	struct sample *sample;
	uint64_t seq = 0, n = 1;
	char log[128], zero = 0;
	int ends[2], fd;
	pid_t child;

	assert_int_equal(pipe(ends), 0);
	child = fork();
	assert_true(child >= 0);
	if (child == 0) {
		fixture_open(f);
		reader = open_reader(f, "cloud");
		append_numbers(f, 1, 500);
		if (queue_flush(f->queue, 20 * USEC_PER_SEC) < 0)
			_exit(1);
		seq = queue_seq(f->queue, take_one(reader));
		if (write(ends[1], &seq, sizeof(seq)) == sizeof(seq))
			kill(getpid(), SIGKILL);
		_exit(1);
	}
	assert_int_equal(waitpid(child, NULL, 0), child);
	assert_int_equal(read(ends[0], &seq, sizeof(seq)), sizeof(seq));
	close(ends[0]);
	close(ends[1]);
	child = fork();
	assert_true(child >= 0);
	if (child == 0) {
		disk_fails("queue.db-wal", false);
		fixture_open(f);
		kill(getpid(), SIGKILL);
	}
	assert_int_equal(waitpid(child, NULL, 0), child);
	/* The first of its transactions: what is in the others is found. */
	snprintf(log, sizeof(log), "%s-wal", f->path);
	fd = open(log, O_RDWR);
	assert_true(fd >= 0);
	assert_int_equal(pwrite(fd, &zero, 1, 32 + 24 + 1), 1);
	close(fd);
	fixture_open(f);
	wait_notice(f, "is damaged");
	reader = open_reader(f, "cloud");
	append_numbers(f, 501, 501);
	while (n < 501) {
		sample = take_one(reader);
		n = number_of(sample);
		if (n < 501)
			assert_int_equal(queue_seq(f->queue, sample), seq + n - 1);
		else
			assert_in_range(queue_seq(f->queue, sample), seq + 500, (uint64_t)1 << 53);
		sample_unref(sample);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_a_read_error_is_not_called_damage, setup, teardown),
		cmocka_unit_test_setup_teardown(test_a_place_that_stays_unreadable, setup, teardown),
		cmocka_unit_test_setup_teardown(test_a_log_that_cannot_be_read, setup, teardown),
		cmocka_unit_test_setup_teardown(test_a_file_set_aside_that_cannot_be_opened, setup, teardown),
		cmocka_unit_test_setup_teardown(test_unread_twice, setup, teardown),
		cmocka_unit_test_setup_teardown(test_purged_before_it_was_moved_over, setup, teardown),
		cmocka_unit_test_setup_teardown(test_purged_and_full_before_it_was_moved_over, setup, teardown),
		cmocka_unit_test_setup_teardown(test_an_uplink_that_only_the_file_knew, setup, teardown),
		cmocka_unit_test_setup_teardown(test_what_was_given_out_before_a_late_file, setup, teardown),
		cmocka_unit_test_setup_teardown(test_a_late_file_and_a_lost_connection, setup, teardown),
		cmocka_unit_test_setup_teardown(test_numbers_after_a_process_that_saw_nothing, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
