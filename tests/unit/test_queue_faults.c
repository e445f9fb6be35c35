/* SPDX-License-Identifier: Apache-2.0 */
/* The queue when something breaks: the file, the disk, the process. Every sample is accounted for. */
#include "queue/rows.h"
#include "queue_fixture.h"
#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/resource.h>
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

/* A small disk of our own: full and read-only can only be had on one. */
static int setup_mount(void **state)
{
	struct fixture *f;

	setup(state);
	f = *state;
	if (mount("tmpfs", f->folder, "tmpfs", 0, "size=2M") < 0)
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

static void change_file(const struct fixture *f, off_t at, const void *data, size_t size)
{
	int fd = open(f->path, O_RDWR);

	assert_true(fd >= 0);
	assert_int_equal(pwrite(fd, data, size, at), size);
	close(fd);
}

static off_t file_size(const struct fixture *f)
{
	struct stat st;

	assert_int_equal(stat(f->path, &st), 0);
	return st.st_size;
}

static unsigned count_files(const struct fixture *f, const char *word)
{
	DIR *folder = opendir(f->folder);
	unsigned n = 0;

	assert_non_null(folder);
	for (struct dirent *entry; (entry = readdir(folder));)
		n += strstr(entry->d_name, word) != NULL && !strstr(entry->d_name, "-wal");
	closedir(folder);
	return n;
}

/* Read until the sample numbered `last`: growing numbers, the rest of which must be charged as damaged. */
static uint64_t read_to(struct queue_reader *reader, uint64_t last)
{
	uint64_t before = 0, n = 0, id = 0;

	while (before < last) {
		struct sample *sample = take_one(reader);
		uint64_t number = number_of(sample);

		assert_true(number > before);
		before = number;
		id = sample->id;
		n++;
		sample_unref(sample);
	}
	queue_reader_ack(reader, id);
	return n;
}

/* 1 to 50, a row with a flipped bit, 52 to 100: on disk and closed. */
static void fill_with_flipped_bit(struct fixture *f)
{
	struct queue_reader *reader;
	const struct series *odd;
	uint8_t needle[24], *file;
	off_t size;
	int fd;

	/* A row that can be found again in the file. */
	fixture_open(f);
	reader = open_reader(f, "cloud");
	odd = series_intern(f->series, f->device, "label", NULL, HAY_STRING);
	append_numbers(f, 1, 50);
	struct sample_reading reading = {
		.series = odd->number,
		.value = {.type = HAY_STRING, .s = {.data = "here is the needle", .size = 18}},
	};
	queue_append(f->queue, sample_new(f->device->number, clock_now(), &reading, 1));
	append_numbers(f, 52, 100);
	assert_int_equal(queue_flush(f->queue, 10 * USEC_PER_SEC), 0);
	queue_reader_close(reader);
	fixture_close(f);

	size = file_size(f);
	file = malloc((size_t)size);
	fd = open(f->path, O_RDONLY);
	assert_int_equal(pread(fd, file, (size_t)size, 0), size);
	close(fd);
	uint8_t *at = memmem(file, (size_t)size, "needle", 6);

	assert_non_null(at);
	memcpy(needle, at, 6);
	needle[2] ^= 4;
	change_file(f, at - file, needle, 6);
	free(file);
}

static void test_flipped_bit(void **state)
{
	struct fixture *f = *state;
	struct queue_reader *reader;

	fill_with_flipped_bit(f);
	fixture_open(f);
	reader = open_reader(f, "cloud");
	expect_numbers(reader, 1, 50);
	queue_reader_ack(reader, expect_numbers(reader, 52, 100));
	assert_int_equal(charged(reader, DROP_DAMAGED), 1);
	assert_int_equal(status_of(f).dropped[DROP_DAMAGED], 1);
	wait_notice(f, "could not be read back");
	assert_int_equal(count_files(f, "damaged"), 0);
	assert_int_equal(queue_flush(f->queue, 10 * USEC_PER_SEC), 0);
	assert_int_equal(status_of(f).disk_samples, 0);
	queue_reader_close(reader);
}

/* One page in the middle of the samples is gone: the file goes aside, the others come. */
static void test_zeroed_page(void **state)
{
	struct fixture *f = *state;
	struct queue_reader *reader;
	uint8_t zero[4096] = {0};
	uint64_t n;

	fill(f, 20000);
	change_file(f, file_size(f) / 4096 / 2 * 4096, zero, sizeof(zero));
	fixture_open(f);
	reader = open_reader(f, "cloud");
	append_numbers(f, 20001, 20010);
	n = read_to(reader, 20010);
	assert_true(n < 20010 && n > 19000);
	assert_int_equal(charged(reader, DROP_DAMAGED), 20010 - n);
	assert_int_equal(count_files(f, "damaged"), 1);
	wait_notice(f, "damaged");
	wait_notice(f, "were saved");
	assert_int_equal(queue_flush(f->queue, 10 * USEC_PER_SEC), 0);
	assert_int_equal(queue_reader_depth(reader), 0);
	assert_int_equal(status_of(f).disk, QUEUE_DISK_OK);
	queue_reader_close(reader);
	fixture_close(f);

	/* The new file is a whole one: cursors, numbers and series are in it. */
	fixture_open(f);
	assert_int_equal(series_count(f->series), 1);
	reader = open_reader(f, "cloud");
	append_numbers(f, 1, 1);
	expect_numbers(reader, 1, 1);
	assert_int_equal(count_files(f, "damaged"), 1);
	queue_reader_close(reader);
}

/* Nobody understands the file any more: every sample in it is known by its own checksum, and comes with its number. */
static void test_cut_off_header(void **state)
{
	struct fixture *f = *state;
	struct queue_reader *reader;
	uint8_t zero[100] = {0};
	struct sample *sample;
	uint64_t seq;

	fill(f, 1000);
	fixture_open(f);
	reader = open_reader(f, "cloud");
	sample = take_one(reader);
	seq = queue_seq(f->queue, sample);
	sample_unref(sample);
	queue_reader_close(reader);
	fixture_close(f);
	change_file(f, 0, zero, sizeof(zero));
	fixture_open(f);
	wait_notice(f, "damaged");
	reader = open_reader(f, "cloud");
	append_numbers(f, 1001, 1010);
	sample = take_one(reader);
	assert_int_equal(number_of(sample), 1);
	assert_int_equal(queue_seq(f->queue, sample), seq);
	sample_unref(sample);
	expect_numbers(reader, 2, 1010);
	assert_int_equal(charged(reader, DROP_DAMAGED), 0);
	assert_int_equal(count_files(f, "damaged"), 1);
	queue_reader_close(reader);
}

static void test_truncated_file(void **state)
{
	struct fixture *f = *state;
	struct queue_reader *reader;
	uint64_t n;

	fill(f, 20000);
	assert_int_equal(truncate(f->path, file_size(f) / 2 + 1000), 0);
	fixture_open(f);
	reader = open_reader(f, "cloud");
	append_numbers(f, 20001, 20010);
	n = read_to(reader, 20010);
	assert_true(n >= 10);
	assert_int_equal(count_files(f, "damaged"), 1);
	queue_reader_close(reader);
}

static void test_every_page_in_turn(void **state)
{
	struct fixture *f = *state;
	uint8_t junk[4096];

	fill(f, 3000);
	fixture_open(f); /* an empty one to compare with is not needed: only that none of them stops the queue */
	fixture_close(f);
	off_t pages = file_size(f) / 4096;
	uint8_t *whole = malloc((size_t)file_size(f));
	int fd = open(f->path, O_RDONLY);
	size_t size = (size_t)file_size(f);

	assert_int_equal(pread(fd, whole, size, 0), size);
	close(fd);
	memset(junk, 0xa5, sizeof(junk));
	for (off_t page = 0; page < pages; page++) {
		struct queue_reader *reader;

		fd = open(f->path, O_WRONLY | O_CREAT | O_TRUNC, 0640);
		assert_int_equal(write(fd, whole, size), size);
		close(fd);
		change_file(f, page * 4096, junk, sizeof(junk));
		fixture_open(f);
		reader = open_reader(f, "cloud");
		append_numbers(f, 3001, 3010);
		read_to(reader, 3010);
		assert_int_equal(queue_flush(f->queue, 20 * USEC_PER_SEC), 0);
		assert_int_equal(status_of(f).disk, QUEUE_DISK_OK);
		queue_reader_close(reader);
		fixture_close(f);
	}
	free(whole);
}

static void test_disk_full_and_healed(void **state)
{
	struct fixture *f = *state;
	struct queue_reader *reader;
	char ballast[128];
	uint64_t n, lost;
	int fd;

	f->conf.memory = 128 * 1024;
	fixture_open(f);
	reader = open_reader(f, "cloud");
	append_numbers(f, 1, 1000);
	assert_int_equal(queue_flush(f->queue, 10 * USEC_PER_SEC), 0);
	snprintf(ballast, sizeof(ballast), "%s/ballast", f->folder);
	fd = open(ballast, O_WRONLY | O_CREAT, 0600);
	while (posix_fallocate(fd, lseek(fd, 0, SEEK_END), 4096) == 0)
		continue;
	for (n = 1001; status_of(f).disk != QUEUE_DISK_FULL; n += 100) {
		append_numbers(f, n, n + 99);
		queue_flush(f->queue, 10 * USEC_PER_SEC);
		assert_true(n < 100000);
	}
	wait_notice(f, "disk of the queue is full");
	/* The memory is bounded, the field goes on. */
	append_numbers(f, n, n + 9999);
	n += 10000;
	assert_true(status_of(f).tail_bytes <= f->conf.memory);
	lost = status_of(f).dropped[DROP_MEMORY_FULL];
	assert_true(lost > 0);
	assert_int_equal(charged(reader, DROP_MEMORY_FULL), lost);
	unlink(ballast);
	close(fd);
	wait_notice(f, "written to disk again");
	assert_int_equal(queue_flush(f->queue, 10 * USEC_PER_SEC), 0);
	assert_int_equal(status_of(f).disk, QUEUE_DISK_OK);
	assert_int_equal(status_of(f).dropped[DROP_MEMORY_FULL], lost);
	assert_int_equal(queue_reader_depth(reader), n - 1 - lost);
	assert_int_equal(read_to(reader, n - 1), n - 1 - lost);
	assert_int_equal(queue_reader_depth(reader), 0);
	queue_reader_close(reader);
}

/* What is acknowledged can leave a full disk. */
static void test_full_disk_drains(void **state)
{
	struct fixture *f = *state;
	struct queue_reader *reader;
	char ballast[128];
	int fd;

	fixture_open(f);
	reader = open_reader(f, "cloud");
	append_numbers(f, 1, 5000);
	assert_int_equal(queue_flush(f->queue, 10 * USEC_PER_SEC), 0);
	snprintf(ballast, sizeof(ballast), "%s/ballast", f->folder);
	fd = open(ballast, O_WRONLY | O_CREAT, 0600);
	while (posix_fallocate(fd, lseek(fd, 0, SEEK_END), 4096) == 0)
		continue;
	close(fd);
	queue_reader_ack(reader, expect_numbers(reader, 1, 5000));
	append_numbers(f, 5001, 5010);
	assert_int_equal(queue_flush(f->queue, 10 * USEC_PER_SEC), 0);
	assert_int_equal(status_of(f).disk, QUEUE_DISK_OK);
	queue_reader_ack(reader, expect_numbers(reader, 5001, 5010));
	queue_reader_close(reader);
}

static void remount(const struct fixture *f, unsigned long flags)
{
	assert_int_equal(mount("tmpfs", f->folder, "tmpfs", MS_REMOUNT | flags, "size=2M"), 0);
}

/* The damaged row cannot be removed, and is counted all the same. */
static void test_flipped_bit_on_a_read_only_disk(void **state)
{
	struct fixture *f = *state;
	struct queue_reader *reader;

	fill_with_flipped_bit(f);
	remount(f, MS_RDONLY);
	fixture_open(f);
	reader = open_reader(f, "cloud");
	expect_numbers(reader, 1, 50);
	queue_reader_ack(reader, expect_numbers(reader, 52, 100));
	assert_int_equal(charged(reader, DROP_DAMAGED), 1);
	assert_int_equal(status_of(f).dropped[DROP_DAMAGED], 1);
	remount(f, 0);
	queue_reader_close(reader);
}

/* Read-only from the start: what is on the disk goes out, new samples too, from memory, with numbers of their own. */
static void test_read_only_from_the_start(void **state)
{
	struct fixture *f = *state;
	struct queue_reader *reader;
	struct sample *sample;
	uint64_t seq;

	fill(f, 1000);
	fixture_open(f);
	reader = open_reader(f, "cloud");
	append_numbers(f, 1001, 1001);
	sample = take_one(reader);
	seq = queue_seq(f->queue, sample);
	sample_unref(sample);
	queue_reader_close(reader);
	fixture_close(f);

	remount(f, MS_RDONLY);
	fixture_open(f);
	wait_notice(f, "cannot be written");
	assert_int_equal(status_of(f).disk, QUEUE_DISK_READ_ONLY);
	reader = open_reader(f, "cloud");
	append_numbers(f, 1002, 1010);
	sample = take_one(reader);
	assert_int_equal(number_of(sample), 1);
	assert_int_equal(queue_seq(f->queue, sample), seq);
	sample_unref(sample);
	queue_reader_ack(reader, expect_numbers(reader, 2, 1005));
	remount(f, 0);
	wait_notice(f, "written to disk again");
	expect_numbers(reader, 1006, 1010);
	queue_reader_close(reader);
	fixture_close(f);

	fixture_open(f);
	reader = open_reader(f, "cloud");
	expect_numbers(reader, 1006, 1010);
	queue_reader_close(reader);
}

/* `through` promises the disk first, but not to fall silent with it; the disk may also fail while the gateway runs. */
static void test_writing_fails_while_running(void **state)
{
	struct fixture *f = *state;
	struct queue_reader *reader;

	f->conf.write = QUEUE_WRITE_THROUGH;
	fixture_open(f);
	reader = open_reader(f, "cloud");
	append_numbers(f, 1, 10);
	expect_numbers(reader, 1, 10);
	/* A file that is open for writing keeps its file system from it: give the limit of the process instead. */
	struct rlimit before, none = {0, 0};

	assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
	none.rlim_max = before.rlim_max;
	signal(SIGXFSZ, SIG_IGN);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &none), 0);
	append_numbers(f, 11, 20);
	wait_notice(f, "samples stay in memory");
	expect_numbers(reader, 11, 20);
	assert_true(status_of(f).disk != QUEUE_DISK_OK);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
	wait_notice(f, "written to disk again");
	queue_reader_close(reader);
	fixture_close(f);
	fixture_open(f);
	reader = open_reader(f, "cloud");
	expect_numbers(reader, 1, 20);
	queue_reader_close(reader);
}

/* The folder does not exist: all lives in memory. */
static void test_no_folder(void **state)
{
	struct fixture *f = *state;
	struct queue_reader *reader;

	snprintf(f->path, sizeof(f->path), "%s/not/queue.db", f->folder);
	fixture_open(f);
	wait_notice(f, "No such file");
	assert_int_equal(status_of(f).disk, QUEUE_DISK_FAILED);
	reader = open_reader(f, "cloud");
	append_numbers(f, 1, 100);
	queue_reader_ack(reader, expect_numbers(reader, 1, 100));
	append_numbers(f, 101, 110);
	snprintf(f->path, sizeof(f->path), "%s/not", f->folder);
	assert_int_equal(mkdir(f->path, 0750), 0);
	assert_int_equal(queue_flush(f->queue, 10 * USEC_PER_SEC), 0);
	assert_int_equal(status_of(f).disk, QUEUE_DISK_OK);
	snprintf(f->path, sizeof(f->path), "%s/not/queue.db", f->folder);
	queue_reader_close(reader);
	fixture_close(f);
	fixture_open(f);
	reader = open_reader(f, "cloud");
	expect_numbers(reader, 101, 110);
	queue_reader_close(reader);
}

/* ---- SIGKILL at random moments ---- */

struct witness {
	_Atomic uint64_t appended; /* the last number appended */
	_Atomic uint64_t safe;	   /* all up to it were appended before a flush that came back */
	_Atomic uint64_t acked;	   /* the last number acknowledged */
};

static _Noreturn void run_child(struct fixture *f, struct witness *witness, uint64_t from, unsigned seed)
{
	struct queue_reader *reader;
	struct sample *sample;
	unsigned random = seed;

	fixture_open(f);
	reader = open_reader(f, "cloud");
	/* Numbers that died with the process before they were safe are given again. */
	for (uint64_t n = from;; n++) {
		append_numbers(f, n, n);
		atomic_store(&witness->appended, n);
		if (rand_r(&random) % 64 == 0 && queue_flush(f->queue, 10 * USEC_PER_SEC) == 0)
			atomic_store(&witness->safe, n);
		if (rand_r(&random) % 2 == 0 && queue_reader_next(reader, &sample, 1) == 1) {
			uint64_t number = number_of(sample);

			queue_reader_ack(reader, sample->id);
			sample_unref(sample);
			atomic_store(&witness->acked, number);
		}
	}
}

static void test_killed_at_random_moments(void **state)
{
	struct fixture *f = *state;
	struct witness *witness =
		mmap(NULL, sizeof(*witness), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	uint64_t seq = 0, from = 1;
	unsigned random = 7;

	assert_ptr_not_equal(witness, MAP_FAILED);
	for (unsigned round = 0; round < 30; round++) {
		struct queue_reader *reader;
		struct queue_notice notice;
		uint64_t expected, n, depth;
		pid_t child = fork();

		assert_true(child >= 0);
		if (child == 0)
			run_child(f, witness, from, round + 1);
		poll(NULL, 0, 20 + rand_r(&random) % 80);
		kill(child, SIGKILL);
		assert_int_equal(waitpid(child, NULL, 0), child);

		/* Everything safe and not acknowledged is there, in order, without a hole. */
		fixture_open(f);
		/* A kill leaves a log that ends anyhow, also between the two writes of a frame: that is no damage. */
		while (queue_next_notice(f->queue, &notice))
			assert_null(strstr(notice.text, "file is damaged"));
		assert_true(queue_first_seq(f->queue) > seq);
		seq = queue_first_seq(f->queue);
		reader = open_reader(f, "cloud");
		depth = queue_reader_depth(reader);
		expected = 0;
		for (n = 0; n < depth; n++) {
			struct sample *sample = take_one(reader);
			uint64_t number = number_of(sample);

			if (expected > 0)
				assert_int_equal(number, expected);
			else
				assert_true(number <= witness->acked + 1);
			expected = number + 1;
			assert_true(queue_seq(f->queue, sample) < seq);
			sample_unref(sample);
		}
		if (depth > 0)
			assert_true(expected > witness->safe);
		else
			assert_true(witness->acked >= witness->safe);
		from = MAX(MAX(expected, witness->acked + 1), from);
		queue_reader_close(reader);
		fixture_close(f);
	}
	munmap(witness, sizeof(*witness));
}

/* Opening the file writes nothing: where a gateway was switched off twice while it started, its log had two transactions and
   no room behind them, as one that was cut off, and an unknown number was said to be lost. */
static void test_an_open_writes_nothing(void **state)
{
	struct fixture *f = *state;
	struct db db;
	char log[128];
	struct stat st;

	fill(f, 100);
	snprintf(log, sizeof(log), "%s-wal", f->path);
	for (unsigned i = 0; i < 2; i++) {
		assert_int_equal(db_open(&db, f->path, f->conf.max_size, false), 0);
		db_abandon(&db);
		assert_true(stat(log, &st) < 0 || st.st_size == 0);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_an_open_writes_nothing, setup, teardown),
		cmocka_unit_test_setup_teardown(test_flipped_bit, setup, teardown),
		cmocka_unit_test_setup_teardown(test_zeroed_page, setup, teardown),
		cmocka_unit_test_setup_teardown(test_cut_off_header, setup, teardown),
		cmocka_unit_test_setup_teardown(test_truncated_file, setup, teardown),
		cmocka_unit_test_setup_teardown(test_every_page_in_turn, setup, teardown),
		cmocka_unit_test_setup_teardown(test_disk_full_and_healed, setup_mount, teardown_mount),
		cmocka_unit_test_setup_teardown(test_full_disk_drains, setup_mount, teardown_mount),
		cmocka_unit_test_setup_teardown(test_flipped_bit_on_a_read_only_disk, setup_mount, teardown_mount),
		cmocka_unit_test_setup_teardown(test_read_only_from_the_start, setup_mount, teardown_mount),
		cmocka_unit_test_setup_teardown(test_writing_fails_while_running, setup, teardown),
		cmocka_unit_test_setup_teardown(test_no_folder, setup, teardown),
		cmocka_unit_test_setup_teardown(test_killed_at_random_moments, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
