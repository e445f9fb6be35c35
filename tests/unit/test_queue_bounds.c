/* SPDX-License-Identifier: Apache-2.0 */
/* What the queue must not outgrow when the disk refuses or hangs: its numbers, its memory, its folder, its time. */
#include "queue/queue_files.h"
#include "queue/runs.h"
#include "queue/tail.h"
#include "queue_fixture.h"
#include <dirent.h>
#include <dlfcn.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <sqlite3.h>
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

/* No file grows: neither the queue nor its mark can be written. */
static struct rlimit limit_before;

static void stop_writing(void)
{
	struct rlimit none;

	assert_int_equal(getrlimit(RLIMIT_FSIZE, &limit_before), 0);
	none = (struct rlimit){0, limit_before.rlim_max};
	signal(SIGXFSZ, SIG_IGN);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &none), 0);
}

static void go_on_writing(void)
{
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit_before), 0);
}

/* ---- numbers ---- */

#define PIECE 1000

/* n samples appended, taken and acknowledged; their numbers into seqs. */
static void pass(struct fixture *f, struct queue_reader *reader, uint64_t *seqs, size_t n)
{
	for (size_t at = 0; at < n; at += PIECE) {
		uint64_t id = 0;

		append_numbers(f, at + 1, at + PIECE);
		for (size_t i = 0; i < PIECE; i++) {
			struct sample *sample = take_one(reader);

			seqs[at + i] = queue_seq(f->queue, sample);
			id = sample->id;
			sample_unref(sample);
		}
		queue_reader_ack(reader, id);
	}
}

static int compare(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return (x > y) - (x < y);
}

/* The mark cannot be moved on while more samples pass than it covers, and the next process finds a disk that is well. */
static void test_no_number_past_the_mark(void **state)
{
	struct fixture *f = *state;
	const size_t before = 1200000, after = 2000000;
	uint64_t *seqs = malloc((before + after) * sizeof(*seqs));
	struct queue_reader *reader;

	assert_non_null(seqs);
	/* The gateway was set up yesterday. */
	f->fake = (struct clock_fake){.now = clock_now(), .wall = clock_wall() - (int64_t)USEC_PER_DAY};
	clock_set_fake(&f->fake);
	fixture_open(f);
	clock_set_fake(NULL);
	reader = open_reader(f, "cloud");
	stop_writing();
	pass(f, reader, seqs, before);
	wait_notice(f, "numbers");
	queue_reader_close(reader);
	fixture_close(f);
	go_on_writing();

	/* An hour later; the clock is not known at once. */
	f->fake = (struct clock_fake){.now = clock_now(), .wall = clock_wall() + (int64_t)USEC_PER_HOUR};
	clock_set_fake(&f->fake);
	clock_set_trusted(false);
	fixture_open(f);
	reader = open_reader(f, "cloud");
	pass(f, reader, seqs + before, PIECE);
	clock_set_trusted(true);
	queue_clock_changed(f->queue);
	pass(f, reader, seqs + before + PIECE, after - PIECE);
	queue_reader_close(reader);
	fixture_close(f);
	qsort(seqs, before + after, sizeof(*seqs), compare);
	for (size_t i = 1; i < before + after; i++)
		assert_true(seqs[i] > seqs[i - 1]);
	free(seqs);
}

/* ---- memory ---- */

/* Against a plain array of what is there: pushed, dropped from anywhere, taken from the front. */
static void test_tail_with_holes(void **state)
{
	struct fixture *f = *state;
	static bool there[20001];
	unsigned random = 5;
	struct tail tail;

	fixture_open(f);
	tail_init(&tail, 1);
	for (uint64_t id = 1; id <= 20000; id++) {
		struct sample *sample = numbered(f, id);
		size_t alive = 0, bytes = 0;
		uint64_t at = 0;

		sample->id = id;
		assert_int_equal(tail_push(&tail, sample, id), 0);
		there[id] = true;
		for (unsigned i = rand_r(&random) % 3; i > 0; i--) {
			uint64_t gone = 1 + (uint64_t)rand_r(&random) % id;

			tail_drop(&tail, gone);
			there[gone] = false;
		}
		if (id % 1000 != 0)
			continue;
		TAIL_FOREACH(slot, &tail, 1)
		{
			uint64_t before = at;

			at = slot->sample->id;
			assert_true(there[at]);
			assert_int_equal(number_of(slot->sample), at);
			assert_int_equal(slot->appended_us, at);
			for (before++; before < at; before++)
				assert_false(there[before]);
			alive++;
			bytes += sample_cost(slot->sample);
			assert_ptr_equal(tail_from(&tail, at), slot);
		}
		assert_int_equal(tail.bytes, bytes);
		assert_true(tail_count_from(&tail, 1) >= alive);
		assert_int_equal(tail_count_from(&tail, tail.next), 0);
		assert_true(tail.capacity <= MAX(4 * alive, (size_t)512));
	}
	tail_done(&tail);
}

/* One that stays and millions behind it that do not: as while a write hangs. */
static void test_tail_behind_one_that_stays(void **state)
{
	struct fixture *f = *state;
	struct tail tail;

	fixture_open(f);
	tail_init(&tail, 7);
	for (uint64_t id = 7; id < 1000000; id++) {
		struct sample *sample = numbered(f, id);

		sample->id = id;
		assert_int_equal(tail_push(&tail, sample, id), 0);
		if (id >= 7 + 100)
			tail_drop(&tail, id - 99);
	}
	assert_true(tail.capacity <= 512);
	assert_int_equal(tail.first, 7);
	assert_int_equal(tail_from(&tail, 8)->sample->id, 1000000 - 99);
	tail_pop(&tail);
	assert_int_equal(tail.first, 1000000 - 99);
	tail_done(&tail);
	assert_int_equal(tail.first, tail.next);
}

/* SQLite syncs through us: a disk that hangs for as long as we say. */
static pthread_mutex_t disk_lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t disk_changed = PTHREAD_COND_INITIALIZER;
static bool disk_hangs;
static unsigned disk_waits;

static void disk_wait(void)
{
	pthread_mutex_lock(&disk_lock);
	disk_waits += disk_hangs;
	pthread_cond_broadcast(&disk_changed);
	while (disk_hangs)
		pthread_cond_wait(&disk_changed, &disk_lock);
	pthread_mutex_unlock(&disk_lock);
}

static atomic_bool sync_fails, data_sync_fails;

static int sync_file(void)
{
	disk_wait();
	if (!atomic_load(&sync_fails))
		return 0;
	errno = EIO;
	return -1;
}

/* SQLite's; the file of the mark is synced whole. */
__attribute__((visibility("default"))) int fdatasync(int fd _unused_)
{
	if (!atomic_load(&data_sync_fails))
		return sync_file();
	errno = EIO;
	return -1;
}

__attribute__((visibility("default"))) int fsync(int fd _unused_)
{
	return sync_file();
}

static void disk_hang(bool hangs)
{
	pthread_mutex_lock(&disk_lock);
	disk_hangs = hangs;
	disk_waits = 0;
	pthread_cond_broadcast(&disk_changed);
	pthread_mutex_unlock(&disk_lock);
}

static void wait_until_it_hangs(void)
{
	pthread_mutex_lock(&disk_lock);
	while (disk_waits == 0)
		pthread_cond_wait(&disk_changed, &disk_lock);
	pthread_mutex_unlock(&disk_lock);
}

/* A write hangs while many times the memory passes: what was being written and the newest are there, the rest is counted. */
static void test_memory_while_a_write_hangs(void **state)
{
	struct fixture *f = *state;
	const uint64_t last = 300000;
	struct queue_reader *reader;
	uint64_t lost, id = 0, n = 0, before = 0;

	f->conf.memory = 64 * 1024;
	fixture_open(f);
	reader = open_reader(f, "cloud");
	assert_int_equal(queue_flush(f->queue, 10 * USEC_PER_SEC), 0);
	disk_hang(true);
	append_numbers(f, 1, 100);
	wait_until_it_hangs();
	append_numbers(f, 101, last);
	lost = status_of(f).dropped[DROP_MEMORY_FULL];
	assert_int_equal(queue_reader_depth(reader), last - lost);
	assert_int_equal(status_of(f).tail_samples, last - lost);
	assert_true(status_of(f).tail_bytes <= f->conf.memory);
	disk_hang(false);
	assert_int_equal(queue_flush(f->queue, 10 * USEC_PER_SEC), 0);
	for (; before < last; n++) {
		struct sample *sample = take_one(reader);

		assert_true(number_of(sample) > before);
		before = number_of(sample);
		assert_true(before <= 100 || before > lost);
		id = sample->id;
		sample_unref(sample);
	}
	assert_int_equal(n, last - lost);
	queue_reader_ack(reader, id);
	assert_int_equal(queue_reader_depth(reader), 0);
	queue_reader_close(reader);
}

static uint64_t charged(struct queue_reader *reader)
{
	_cleanup_free_ struct queue_drop *drops = NULL;
	size_t n = queue_drops_pending(reader, &drops);
	uint64_t samples = 0;

	for (size_t i = 0; i < n; i++)
		samples += drops[i].samples;
	return samples;
}

/* Of two uplinks one had sent a hundred of the samples that went: they are no loss of its. */
static void test_memory_full_is_charged_to_who_lost_it(void **state)
{
	struct fixture *f = *state;
	const uint64_t last = 20000;
	struct queue_reader *live, *dead;
	uint64_t lost, lost_live, lost_dead, depth_live, depth_dead;

	f->conf.memory = 64 * 1024;
	fixture_open(f);
	live = open_reader(f, "live");
	dead = open_reader(f, "dead");
	assert_int_equal(queue_flush(f->queue, 10 * USEC_PER_SEC), 0);
	disk_hang(true);
	append_numbers(f, 1, 10);
	wait_until_it_hangs();
	append_numbers(f, 11, 110);
	queue_reader_ack(live, expect_numbers(live, 1, 110));
	append_numbers(f, 111, last);
	lost = status_of(f).dropped[DROP_MEMORY_FULL];
	lost_live = charged(live);
	lost_dead = charged(dead);
	depth_live = queue_reader_depth(live);
	depth_dead = queue_reader_depth(dead);
	disk_hang(false);
	assert_in_range(lost, 1000, last);
	assert_int_equal(lost_dead, lost);
	assert_int_equal(lost_live, lost - 100);
	assert_int_equal(depth_live, last - 110 - (lost - 100));
	assert_int_equal(depth_dead, last - lost);
	queue_reader_close(live);
	queue_reader_close(dead);
}

/* when_full = "drop_newest": the first stay, and each that does not fit any more is counted. */
static void test_memory_full_drops_the_newest(void **state)
{
	struct fixture *f = *state;
	const uint64_t last = 20000;
	struct queue_reader *reader;
	uint64_t lost, lost_reader, depth;

	f->conf.memory = 64 * 1024;
	f->conf.when_full = QUEUE_DROP_NEWEST;
	fixture_open(f);
	reader = open_reader(f, "cloud");
	assert_int_equal(queue_flush(f->queue, 10 * USEC_PER_SEC), 0);
	disk_hang(true);
	append_numbers(f, 1, 10);
	wait_until_it_hangs();
	append_numbers(f, 11, last);
	lost = status_of(f).dropped[DROP_MEMORY_FULL];
	lost_reader = charged(reader);
	depth = queue_reader_depth(reader);
	disk_hang(false);
	assert_in_range(lost, 1000, last - 100);
	assert_int_equal(lost_reader, lost);
	assert_int_equal(depth, last - lost);
	expect_numbers(reader, 1, last - lost);
	queue_reader_close(reader);
}

/* Samples went from memory while the disk was slow, and the oldest have to make room for the others: what the file says of both
   is true afterwards. A healthy file was called damaged at the next start, and its counts were those of before. */
static void test_room_is_made_after_drops_from_memory(void **state)
{
	struct fixture *f = *state;
	struct queue_reader *reader;
	struct queue_drop *drops;
	struct queue_notice notice;
	uint64_t n = 0, gone = 0;
	size_t n_drops;

	f->conf.memory = 64 * 1024;
	f->conf.max_size = 1024 * 1024;
	fixture_open(f);
	reader = open_reader(f, "cloud");
	while (status_of(f).dropped[DROP_QUEUE_FULL] == 0) {
		append_numbers(f, n + 1, n + 100);
		n += 100;
		assert_int_equal(queue_flush(f->queue, 20 * USEC_PER_SEC), 0);
	}
	for (unsigned i = 0; i < 10; i++) {
		disk_hang(true);
		append_numbers(f, n + 1, n + 50);
		wait_until_it_hangs();
		append_numbers(f, n + 51, n + 5000);
		n += 5000;
		disk_hang(false);
		assert_int_equal(queue_flush(f->queue, 20 * USEC_PER_SEC), 0);
	}
	assert_true(status_of(f).dropped[DROP_MEMORY_FULL] > 0);
	queue_reader_close(reader);
	fixture_close(f);

	fixture_open(f);
	reader = open_reader(f, "cloud");
	while (queue_next_notice(f->queue, &notice))
		assert_null(strstr(notice.text, "damaged"));
	n_drops = queue_drops_pending(reader, &drops);
	for (size_t i = 0; i < n_drops; i++)
		gone += drops[i].samples;
	free(drops);
	assert_int_equal(queue_reader_depth(reader) + gone, n);
	queue_reader_close(reader);
}

/* The file is full, and the disk says of each transaction that it failed, though it is there when the file is opened anew: what
   was removed to make room is counted all the same. */
static void test_a_commit_that_failed_and_was_done(void **state)
{
	struct fixture *f = *state;
	struct queue_reader *reader;
	struct queue_drop *drops;
	uint64_t n = 0, gone = 0;
	size_t n_drops;

	f->conf.max_size = 1024 * 1024;
	fixture_open(f);
	reader = open_reader(f, "cloud");
	while (status_of(f).dropped[DROP_QUEUE_FULL] == 0) {
		append_numbers(f, n + 1, n + 500);
		n += 500;
		assert_int_equal(queue_flush(f->queue, 20 * USEC_PER_SEC), 0);
	}
	atomic_store(&sync_fails, true);
	for (unsigned i = 0; i < 6; i++) {
		append_numbers(f, n + 1, n + 500);
		n += 500;
		assert_int_not_equal(queue_flush(f->queue, 20 * USEC_PER_SEC), 0);
	}
	atomic_store(&sync_fails, false);
	assert_int_equal(queue_flush(f->queue, 20 * USEC_PER_SEC), 0);
	queue_reader_close(reader);
	fixture_close(f);
	fixture_open(f);
	reader = open_reader(f, "cloud");
	n_drops = queue_drops_pending(reader, &drops);
	for (size_t i = 0; i < n_drops; i++)
		gone += drops[i].samples;
	free(drops);
	assert_int_equal(queue_reader_depth(reader) + gone, n);
	queue_reader_close(reader);
}

/* The queue's file took nothing as the gateway started, then did, and the process was killed: the end before that, which was in
   order, is no word about the samples written since. The file was called damaged. */
static void test_a_clean_end_of_before(void **state)
{
	struct fixture *f = *state;
	struct queue_reader *reader;
	struct queue_notice notice;
	pid_t child;

	fixture_open(f);
	open_reader(f, "cloud");
	append_numbers(f, 1, 100);
	fixture_close(f);
	child = fork();
	assert_true(child >= 0);
	if (child == 0) {
		atomic_store(&data_sync_fails, true);
		fixture_open(f);
		open_reader(f, "cloud");
		append_numbers(f, 101, 200);
		wait_notice(f, "cannot be used");
		atomic_store(&data_sync_fails, false);
		if (queue_flush(f->queue, 10 * USEC_PER_SEC) < 0)
			_exit(1);
		kill(getpid(), SIGKILL);
	}
	assert_int_equal(waitpid(child, NULL, 0), child);
	fixture_open(f);
	reader = open_reader(f, "cloud");
	while (queue_next_notice(f->queue, &notice))
		assert_null(strstr(notice.text, "file is damaged"));
	expect_numbers(reader, 1, 200);
	queue_reader_close(reader);
}

/* How long the disk took stands in the status: the last and the longest. */
static void test_sync_time_in_status(void **state)
{
	struct fixture *f = *state;
	const uint64_t least_us = 30 * USEC_PER_MSEC;
	struct queue_reader *reader;
	uint64_t until, longest;

	fixture_open(f);
	reader = open_reader(f, "cloud");
	assert_int_equal(queue_flush(f->queue, 10 * USEC_PER_SEC), 0);
	disk_hang(true);
	append_numbers(f, 1, 10);
	wait_until_it_hangs();
	for (until = clock_now() + least_us; clock_now() < until;)
		poll(NULL, 0, 1);
	disk_hang(false);
	assert_int_equal(queue_flush(f->queue, 10 * USEC_PER_SEC), 0);
	longest = status_of(f).fsync_max_us;
	assert_true(longest >= least_us);
	append_numbers(f, 11, 20);
	assert_int_equal(queue_flush(f->queue, 10 * USEC_PER_SEC), 0);
	assert_true(status_of(f).fsync_max_us >= longest);
	assert_true(status_of(f).fsync_last_us <= status_of(f).fsync_max_us);
	queue_reader_close(reader);
}

/* ---- files that were set aside ---- */

/* SQLite says that the file is damaged whenever a sample is to be written. */
static atomic_bool rows_are_refused;

__attribute__((visibility("default"))) int sqlite3_step(sqlite3_stmt *statement)
{
	static int (*real)(sqlite3_stmt * statement);

	if (!real)
		real = (int (*)(sqlite3_stmt *))dlsym(RTLD_NEXT, "sqlite3_step");
	const char *sql = atomic_load(&rows_are_refused) ? sqlite3_sql(statement) : NULL;

	if (sql && strstr(sql, "INTO samples"))
		return SQLITE_CORRUPT;
	return real(statement);
}

/* How many files there are beside the queue with this in their names, logs of SQLite aside; and how large they are. */
static unsigned count_files(const struct fixture *f, const char *word, uint64_t *ret_bytes)
{
	DIR *folder = opendir(f->folder);
	unsigned n = 0;

	assert_non_null(folder);
	*ret_bytes = 0;
	for (struct dirent *entry; (entry = readdir(folder));) {
		char path[512];
		struct stat st;

		if (!strstr(entry->d_name, word))
			continue;
		snprintf(path, sizeof(path), "%s/%s", f->folder, entry->d_name);
		assert_int_equal(stat(path, &st), 0);
		*ret_bytes += (uint64_t)st.st_size;
		n += !strstr(entry->d_name, "-wal");
	}
	closedir(folder);
	return n;
}

/* Nothing can be written, however often it is tried: one file is kept, the one that held samples. */
static void test_damaged_at_every_try(void **state)
{
	struct fixture *f = *state;
	struct queue_reader *reader;
	uint64_t bytes;

	fixture_open(f);
	reader = open_reader(f, "cloud");
	append_numbers(f, 1, 1000);
	assert_int_equal(queue_flush(f->queue, 10 * USEC_PER_SEC), 0);
	atomic_store(&rows_are_refused, true);
	for (unsigned i = 0; i < 30; i++) {
		append_numbers(f, 1001 + i, 1001 + i);
		assert_int_not_equal(queue_flush(f->queue, 10 * USEC_PER_SEC), 0);
	}
	assert_int_equal(count_files(f, "damaged", &bytes), 1);
	assert_int_not_equal(status_of(f).disk, QUEUE_DISK_OK);
	atomic_store(&rows_are_refused, false);
	assert_int_equal(queue_flush(f->queue, 10 * USEC_PER_SEC), 0);
	wait_notice(f, "samples were saved");
	queue_reader_ack(reader, expect_numbers(reader, 1, 1030));
	assert_int_equal(count_files(f, "damaged", &bytes), 1);
	assert_int_equal(status_of(f).disk, QUEUE_DISK_OK);
	queue_reader_close(reader);
}

/* Whether a notice said before that a file was removed. */
static bool wait_until_saved(struct fixture *f)
{
	struct queue_notice notice = {0};
	bool said = false;

	while (!strstr(notice.text, "were saved")) {
		if (!queue_next_notice(f->queue, &notice))
			wait_readable(queue_notice_fd(f->queue));
		said |= strstr(notice.text, "removed") != NULL;
	}
	return said;
}

/* Damaged again and again, with samples in each file. */
static void test_damaged_again_and_again(void **state)
{
	struct fixture *f = *state;
	struct queue_reader *reader;
	bool said = false;
	uint64_t bytes;

	f->fake = (struct clock_fake){.now = clock_now(), .wall = clock_wall()};
	clock_set_fake(&f->fake);
	fixture_open(f);
	reader = open_reader(f, "cloud");
	for (uint64_t i = 0; i < 40; i++) {
		append_numbers(f, 2 * i + 1, 2 * i + 1);
		assert_int_equal(queue_flush(f->queue, 10 * USEC_PER_SEC), 0);
		atomic_store(&rows_are_refused, true);
		append_numbers(f, 2 * i + 2, 2 * i + 2);
		assert_int_not_equal(queue_flush(f->queue, 10 * USEC_PER_SEC), 0);
		atomic_store(&rows_are_refused, false);
		if (i % 2 == 0) {
			assert_int_equal(queue_flush(f->queue, 10 * USEC_PER_SEC), 0);
			said |= wait_until_saved(f);
		}
		/* At once the next time nothing is set aside, an hour later it is. */
		assert_true(count_files(f, "damaged", &bytes) <= i / 2 + 1);
		if (i % 2 == 0)
			continue;
		f->fake.now += USEC_PER_HOUR;
		f->fake.wall += (int64_t)USEC_PER_HOUR;
	}
	assert_int_equal(count_files(f, "damaged", &bytes), 8);
	assert_int_equal(queue_flush(f->queue, 10 * USEC_PER_SEC), 0);
	queue_reader_ack(reader, expect_numbers(reader, 1, 80));
	assert_true(said);
	queue_reader_close(reader);
}

static void put_aside(const struct fixture *f, const char *end, off_t size)
{
	char path[160];
	int fd;

	snprintf(path, sizeof(path), "%s.%s", f->path, end);
	fd = open(path, O_WRONLY | O_CREAT | O_EXCL, 0640);
	assert_true(fd >= 0);
	assert_int_equal(ftruncate(fd, size), 0);
	close(fd);
}

/* Together they are no more than max_size; the oldest goes first, and nothing else in the folder is touched. */
static void test_bytes_aside(void **state)
{
	struct fixture *f = *state;
	struct queue_reader *reader;
	uint64_t bytes;

	f->conf.max_size = 8 * 1024 * 1024;
	put_aside(f, "left-20200101T000000Z", 3 * 1024 * 1024);
	put_aside(f, "damaged-20200102T000000Z", 3 * 1024 * 1024);
	put_aside(f, "damaged-20200102T000000Z-wal", 1024 * 1024);
	put_aside(f, "damaged-20200103T000000Z", 3 * 1024 * 1024);
	put_aside(f, "damaged-20200104T000000Z", 1024 * 1024);
	put_aside(f, "damaged-by-me", 64 * 1024 * 1024);
	fixture_open(f);
	reader = open_reader(f, "cloud");
	append_numbers(f, 1, 100);
	assert_int_equal(queue_flush(f->queue, 10 * USEC_PER_SEC), 0);
	atomic_store(&rows_are_refused, true);
	append_numbers(f, 101, 101);
	assert_int_not_equal(queue_flush(f->queue, 10 * USEC_PER_SEC), 0);
	atomic_store(&rows_are_refused, false);
	assert_int_equal(queue_flush(f->queue, 10 * USEC_PER_SEC), 0);
	wait_notice(f, "left-20200101T000000Z");
	wait_notice(f, "damaged-20200102T000000Z");
	assert_int_equal(count_files(f, "left-2020", &bytes), 0);
	assert_int_equal(count_files(f, "damaged-20200102", &bytes), 0);
	assert_int_equal(bytes, 0);
	assert_int_equal(count_files(f, "damaged-20200103", &bytes), 1);
	assert_int_equal(count_files(f, "damaged-20200104", &bytes), 1);
	assert_int_equal(count_files(f, "damaged-by-me", &bytes), 1);
	wait_notice(f, "samples were saved");
	queue_reader_ack(reader, expect_numbers(reader, 1, 101));
	queue_reader_close(reader);
}

/* ---- room ---- */

static void fill(struct fixture *f, uint64_t n)
{
	for (uint64_t at = 1; at <= n; at += 1000) {
		append_numbers(f, at, MIN(at + 999, n));
		assert_int_equal(queue_flush(f->queue, 20 * USEC_PER_SEC), 0);
	}
}

/* A much smaller max_size: a new sample is on the disk long before there is room for it by that. */
static void test_much_smaller_max_size(void **state)
{
	struct fixture *f = *state;
	const uint64_t n = 400000;
	struct queue_reader *reader;
	struct sample *sample;
	uint64_t lost;

	fixture_open(f);
	reader = open_reader(f, "cloud");
	fill(f, n);
	assert_true(status_of(f).disk_bytes > 10 * 1024 * 1024);
	f->conf.max_size = 1024 * 1024;
	queue_configure(f->queue, &f->conf);
	append_numbers(f, n + 1, n + 1);
	assert_int_equal(queue_flush(f->queue, 20 * USEC_PER_SEC), 0);
	assert_int_equal(status_of(f).tail_samples, 0);
	assert_true(queue_reader_depth(reader) > n / 2);
	while (status_of(f).disk_bytes > f->conf.max_size)
		assert_int_equal(queue_flush(f->queue, 20 * USEC_PER_SEC), 0);
	lost = status_of(f).dropped[DROP_QUEUE_FULL];
	assert_int_equal(queue_reader_depth(reader), n + 1 - lost);
	assert_true(n + 1 - lost > 5000);
	sample = take_one(reader);
	assert_int_equal(number_of(sample), lost + 1);
	sample_unref(sample);
	queue_reader_ack(reader, expect_numbers(reader, lost + 2, n + 1));
	/* It is the bound from now on. */
	fill(f, 50000);
	assert_true(status_of(f).disk_bytes <= f->conf.max_size);
	queue_reader_close(reader);
	fixture_close(f);

	/* The same at a start. */
	f->conf.max_size = 64 * 1024 * 1024;
	fixture_open(f);
	reader = open_reader(f, "cloud");
	fill(f, n);
	queue_reader_close(reader);
	fixture_close(f);
	f->conf.max_size = 1024 * 1024;
	fixture_open(f);
	while (status_of(f).disk_bytes > f->conf.max_size)
		assert_int_equal(queue_flush(f->queue, 20 * USEC_PER_SEC), 0);
}

/* What was dropped on the disk is not sent from its copy in memory. */
static void test_dropped_and_rewound(void **state)
{
	struct fixture *f = *state;
	const uint64_t n = 40000;
	struct queue_reader *reader;
	struct sample *sample;
	uint64_t lost;

	f->conf.max_size = 1024 * 1024;
	f->conf.memory = 16 * 1024 * 1024;
	fixture_open(f);
	reader = open_reader(f, "cloud");
	fill(f, n);
	lost = status_of(f).dropped[DROP_QUEUE_FULL];
	assert_true(lost > 0);
	queue_reader_rewind(reader);
	sample = take_one(reader);
	assert_int_equal(number_of(sample), lost + 1);
	sample_unref(sample);
	queue_reader_ack(reader, expect_numbers(reader, lost + 2, n));
	assert_int_equal(queue_reader_depth(reader), 0);
	queue_reader_close(reader);
}

/* Lost before it was a sample: counted all the same. */
static void test_lost_for_want_of_memory(void **state)
{
	struct fixture *f = *state;
	_cleanup_free_ struct queue_drop *drops = NULL;
	struct queue_reader *reader;

	fixture_open(f);
	reader = open_reader(f, "cloud");
	queue_lost(f->queue, f->device->number);
	queue_lost(f->queue, f->device->number);
	wait_notice(f, "out of memory");
	assert_int_equal(status_of(f).dropped[DROP_NO_MEMORY], 2);
	assert_int_equal(queue_drops_pending(reader, &drops), 1);
	assert_string_equal(drops[0].device, "meter");
	assert_string_equal(drop_cause_to_string(drops[0].cause), "out of memory");
	assert_int_equal(drops[0].samples, 2);
	queue_reader_close(reader);
}

/* ---- cursors ---- */

/* An uplink is removed and added again while a commit that knows of the first one hangs. */
static void test_removed_and_added_during_a_commit(void **state)
{
	struct fixture *f = *state;
	struct queue_reader *cloud, *other;
	const char *const kept[] = {"other"};

	fixture_open(f);
	cloud = open_reader(f, "cloud");
	other = open_reader(f, "other");
	append_numbers(f, 1, 10);
	queue_reader_ack(cloud, expect_numbers(cloud, 1, 10));
	assert_int_equal(queue_flush(f->queue, 10 * USEC_PER_SEC), 0);
	append_numbers(f, 11, 20);
	queue_reader_ack(cloud, expect_numbers(cloud, 11, 20));
	disk_hang(true);
	wait_until_it_hangs();
	queue_reader_close(cloud);
	queue_keep_readers(f->queue, kept, 1);
	cloud = open_reader(f, "cloud");
	disk_hang(false);
	append_numbers(f, 21, 30);
	assert_int_equal(queue_flush(f->queue, 10 * USEC_PER_SEC), 0);
	queue_reader_close(cloud);
	queue_reader_close(other);
	fixture_close(f);

	fixture_open(f);
	cloud = open_reader(f, "cloud");
	assert_int_equal(queue_reader_depth(cloud), 10);
	expect_numbers(cloud, 21, 30);
	queue_reader_close(cloud);
}

/* ---- flushing ---- */

static atomic_bool wakes_late;
static __thread bool is_main;

/* Woken, but only when the time is over too. */
int pthread_cond_timedwait(pthread_cond_t *restrict cond, pthread_mutex_t *restrict mutex,
			   const struct timespec *restrict until)
{
	static int (*real)(pthread_cond_t *, pthread_mutex_t *, const struct timespec *);
	int r;

	if (!real)
		real = (int (*)(pthread_cond_t *, pthread_mutex_t *, const struct timespec *))dlsym(
			RTLD_NEXT, "pthread_cond_timedwait");
	r = real(cond, mutex, until);
	return is_main && atomic_load(&wakes_late) ? ETIMEDOUT : r;
}

static void test_flush_done_as_time_ends(void **state)
{
	struct fixture *f = *state;
	struct queue_reader *reader;

	is_main = true;
	fixture_open(f);
	reader = open_reader(f, "cloud");
	append_numbers(f, 1, 10);
	atomic_store(&wakes_late, true);
	assert_int_equal(queue_flush(f->queue, 60 * USEC_PER_SEC), 0);
	atomic_store(&wakes_late, false);
	assert_int_equal(status_of(f).tail_samples, 0);
	queue_reader_close(reader);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_no_number_past_the_mark, setup, teardown),
		cmocka_unit_test_setup_teardown(test_tail_with_holes, setup, teardown),
		cmocka_unit_test_setup_teardown(test_tail_behind_one_that_stays, setup, teardown),
		cmocka_unit_test_setup_teardown(test_memory_while_a_write_hangs, setup, teardown),
		cmocka_unit_test_setup_teardown(test_memory_full_is_charged_to_who_lost_it, setup, teardown),
		cmocka_unit_test_setup_teardown(test_memory_full_drops_the_newest, setup, teardown),
		cmocka_unit_test_setup_teardown(test_room_is_made_after_drops_from_memory, setup, teardown),
		cmocka_unit_test_setup_teardown(test_a_commit_that_failed_and_was_done, setup, teardown),
		cmocka_unit_test_setup_teardown(test_a_clean_end_of_before, setup, teardown),
		cmocka_unit_test_setup_teardown(test_sync_time_in_status, setup, teardown),
		cmocka_unit_test_setup_teardown(test_damaged_at_every_try, setup, teardown),
		cmocka_unit_test_setup_teardown(test_damaged_again_and_again, setup, teardown),
		cmocka_unit_test_setup_teardown(test_bytes_aside, setup, teardown),
		cmocka_unit_test_setup_teardown(test_much_smaller_max_size, setup, teardown),
		cmocka_unit_test_setup_teardown(test_dropped_and_rewound, setup, teardown),
		cmocka_unit_test_setup_teardown(test_lost_for_want_of_memory, setup, teardown),
		cmocka_unit_test_setup_teardown(test_removed_and_added_during_a_commit, setup, teardown),
		cmocka_unit_test_setup_teardown(test_flush_done_as_time_ends, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
