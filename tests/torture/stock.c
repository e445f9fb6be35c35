/* SPDX-License-Identifier: Apache-2.0 */
#include "stock.h"
#include "base/clock.h"
#include "torture.h"
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sqlite3.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>

#define FLUSH_US (20 * USEC_PER_SEC)
#define BATCH 25 /* samples in a transaction */
#define TEXT_MAX 9000
#define LONG_EVERY 60 /* samples: one of them is longer than a page */

const char *const stock_readers[STOCK_READERS] = {"cloud", "local", "field"};
const char *const stock_files[STOCK_FILES] = {"", "-wal", ".seq"};

/* ---- what is in a sample ---- */

static const struct {
	const char *name, *link;
	struct tag tags[2];
	size_t n_tags;
} devices[] = {
	{"boiler", "bus", {{"floor", "-1"}, {"site", "north"}}, 2},
	{"meter", "bus", {{"site", "north"}}, 1},
	{"probe", "air", {{NULL, NULL}}, 0},
};

static const struct {
	const char *name, *unit;
	enum hay_type type;
} points[] = {
	{"count", NULL, HAY_UINT64}, {"power", "W", HAY_FLOAT64}, {"level", "mm", HAY_INT32},
	{"on", NULL, HAY_BOOL},	     {"state", NULL, HAY_STRING},
};

struct stock_series {
	const struct series_device *devices[ELEMENTS(devices)];
	const struct series *points[ELEMENTS(devices)][ELEMENTS(points)];
};

struct stock_series *stock_intern(struct series_set *set)
{
	struct stock_series *series = calloc(1, sizeof(*series));

	for (size_t i = 0; series && i < ELEMENTS(devices); i++) {
		series->devices[i] =
			series_device_intern(set, devices[i].name, devices[i].link, devices[i].tags, devices[i].n_tags);
		for (size_t j = 0; series->devices[i] && j < ELEMENTS(points); j++)
			series->points[i][j] =
				series_intern(set, series->devices[i], points[j].name, points[j].unit, points[j].type);
	}
	return series;
}

/* Readings of sample n; .series is an index of points. text: room for a string, some are longer than a page of the file.
   Returns how many. */
static size_t readings_of(uint64_t n, struct sample_reading *ret, char text[TEXT_MAX])
{
	size_t i = 0;

	ret[i++] = (struct sample_reading){.series = 0, .value = {.type = HAY_UINT64, .u = n}};
	ret[i] = (struct sample_reading){.series = 1, .value = {.type = HAY_FLOAT64, .d = (double)n * 1.5}};
	if (n % 5 == 1) {
		ret[i].quality = HAY_UNCERTAIN;
		ret[i].reason = HAY_OUT_OF_RANGE;
	} else if (n % 5 == 2) {
		ret[i].quality = HAY_BAD;
		ret[i].reason = HAY_EXCEPTION;
		ret[i].exception = "illegal data address";
		ret[i].exception_size = strlen(ret[i].exception);
	} else if (n % 5 == 3) {
		ret[i].quality = HAY_BAD;
		ret[i].reason = HAY_TIMEOUT;
	}
	i++;
	if (n % 2 == 0)
		ret[i++] = (struct sample_reading){.series = 2, .value = {.type = HAY_INT32, .i = -(int64_t)n * 1000}};
	if (n % 3 != 0)
		ret[i++] = (struct sample_reading){.series = 3, .value = {.type = HAY_BOOL, .b = n % 7 == 0}};
	if (n % 4 == 0) {
		size_t length = (size_t)snprintf(text, TEXT_MAX, "state of %llu", (unsigned long long)n);

		if (n % LONG_EVERY == 0) {
			memset(text + length, (int)('a' + n % 26), TEXT_MAX - length);
			length = TEXT_MAX - (size_t)n;
		}
		ret[i++] = (struct sample_reading){
			.series = 4,
			.value = {.type = HAY_STRING, .s = {.data = text, .size = length}},
		};
	}
	return i;
}

struct sample *stock_sample(const struct stock_series *series, uint64_t n, uint64_t time_us)
{
	struct sample_reading readings[ELEMENTS(points)];
	size_t device = n % ELEMENTS(devices), n_readings;
	struct sample *sample;
	char text[TEXT_MAX];

	n_readings = readings_of(n, readings, text);
	for (size_t i = 0; i < n_readings; i++)
		readings[i].series = series->points[device][readings[i].series]->number;
	sample = sample_new(series->devices[device]->number, time_us, readings, n_readings);
	if (!sample)
		torture_die("out of memory");
	return sample;
}

static bool same_value(const struct sample_reading *a, const struct sample_reading *b)
{
	if (a->quality == HAY_BAD)
		return true;
	switch (a->value.type) {
	case HAY_BOOL:
		return a->value.b == b->value.b;
	case HAY_INT32:
		return a->value.i == b->value.i;
	case HAY_FLOAT64:
		return memcmp(&a->value.d, &b->value.d, sizeof(a->value.d)) == 0;
	case HAY_STRING:
		return a->value.s.size == b->value.s.size &&
		       memcmp(a->value.s.data, b->value.s.data, a->value.s.size) == 0;
	default:
		return a->value.u == b->value.u;
	}
}

static const char *compare_device(const struct series_device *device, size_t i)
{
	if (!device || !text_same(device->name, devices[i].name))
		return "another device's name";
	if (!text_same(device->link, devices[i].link))
		return "another link";
	if (device->n_tags != devices[i].n_tags)
		return "other tags";
	for (size_t j = 0; j < device->n_tags; j++)
		if (!text_same(device->tags[j].name, devices[i].tags[j].name) ||
		    !text_same(device->tags[j].value, devices[i].tags[j].value))
			return "other tags";
	return NULL;
}

static const char *compare_reading(struct series_set *set, const struct sample *sample,
				   const struct sample_reading *reading, const struct sample_reading *right)
{
	const struct series *series = series_by_number(set, reading->series);

	if (!series || series->device->number != sample->device ||
	    !text_same(series->point, points[right->series].name))
		return "another point's name";
	if (!text_same(series->unit, points[right->series].unit))
		return "another unit";
	if (series->type != points[right->series].type || reading->value.type != right->value.type)
		if (right->quality != HAY_BAD || series->type != points[right->series].type)
			return "another type";
	if (reading->quality != right->quality || reading->reason != right->reason)
		return "another quality";
	if (reading->exception_size != right->exception_size ||
	    (right->exception && memcmp(reading->exception, right->exception, right->exception_size) != 0))
		return "another exception";
	return same_value(reading, right) ? NULL : "another value";
}

const char *stock_compare(struct series_set *set, const struct sample *sample, uint64_t *ret_n)
{
	struct sample_reading right[ELEMENTS(points)], reading;
	struct sample_cursor cursor;
	const char *wrong;
	char text[TEXT_MAX];
	size_t n_right;
	uint64_t n;

	*ret_n = 0;
	if (sample_begin(sample, &cursor) < 0 || sample_next(&cursor, &reading) != 1 ||
	    reading.value.type != HAY_UINT64)
		return "it cannot be read";
	n = reading.value.u;
	if (n < 1 || n > STOCK_ALL)
		return "nobody ever took it";
	*ret_n = n;
	wrong = compare_device(series_device_by_number(set, sample->device), n % ELEMENTS(devices));
	n_right = readings_of(n, right, text);
	for (size_t i = 0; !wrong && i < n_right; i++) {
		if (i > 0 && sample_next(&cursor, &reading) != 1)
			return "a reading is missing";
		wrong = compare_reading(set, sample, &reading, &right[i]);
	}
	if (!wrong && sample_next(&cursor, &reading) != 0)
		return "there is more in it than there was";
	return wrong;
}

/* ---- making one ---- */

struct queue_conf stock_conf(const char *path)
{
	return (struct queue_conf){
		.path = path,
		.commit_us = 20 * USEC_PER_MSEC,
		.memory = (uint64_t)2 << 20,
		.max_size = (uint64_t)64 << 20,
		.max_age_us = 36500 * USEC_PER_DAY,
	};
}

/* One boot of the gateway: samples from ... to; acked: up to which samples each reader is done with. */
struct boot_plan {
	const char *id;
	struct clock_fake clock;
	bool trusted;
	uint64_t from, to, lost, acked[STOCK_READERS];
};

/* The last one's numbers go on from the mark: an hour between boots is more than what is reserved. */
static const struct boot_plan plans[] = {
	{"1111111111111111aaaaaaaaaaaaaaaa",
	 {1000 * USEC_PER_SEC, 1700000000 * (int64_t)USEC_PER_SEC},
	 true,
	 1,
	 150,
	 0,
	 {40, 120, 90}},
	{"2222222222222222bbbbbbbbbbbbbbbb",
	 {77 * USEC_PER_SEC, 1000 * (int64_t)USEC_PER_SEC},
	 false,
	 151,
	 250,
	 0,
	 {40, 160, 90}},
	{"3333333333333333cccccccccccccccc",
	 {5000 * USEC_PER_SEC, 1700090000 * (int64_t)USEC_PER_SEC},
	 true,
	 251,
	 STOCK_SAMPLES,
	 STOCK_LOST,
	 {60, 220, 330}},
};

struct making {
	struct stock *stock;
	struct queue *queue;
	struct series_set *set;
	struct queue_reader *readers[STOCK_READERS];
	uint64_t ids[STOCK_SAMPLES + 1];
};

static void flush(struct making *making)
{
	int r = queue_flush(making->queue, FLUSH_US);

	if (r < 0)
		torture_die("making a stock: %s", strerror(-r));
}

static void take_one(struct making *making, struct queue_reader *reader, const struct boot_plan *plan)
{
	struct sample *sample;
	uint64_t n;

	while (queue_reader_next(reader, &sample, 1) == 0) {
		struct pollfd wait = {.fd = queue_reader_fd(reader), .events = POLLIN};

		if (poll(&wait, 1, (int)(FLUSH_US / 1000)) != 1)
			torture_die("making a stock: a sample does not come");
	}
	if (stock_compare(making->set, sample, &n) || n > STOCK_SAMPLES)
		torture_die("making a stock: a sample is not what it was");
	making->ids[n] = sample->id;
	if (n >= plan->from) {
		making->stock->seq[n] = queue_seq(making->queue, sample);
		making->stock->last_seq = making->stock->seq[n];
		making->stock->wall[n] = queue_wall(making->queue, sample, &making->stock->certain[n]);
	}
	sample_unref(sample);
}

static void live_one_boot(const char *path, const struct boot_plan *plan, bool clean, struct stock *stock)
{
	struct making making = {.stock = stock};
	struct queue_conf conf = stock_conf(path);
	uint64_t waiting = 0;
	struct stock_series *series;
	pid_t pid;

	torture_set_boot(plan->id);
	clock_set_fake(&plan->clock);
	clock_set_trusted(plan->trusted);
	making.set = series_set_new();
	if (!making.set || queue_open(&conf, making.set, &making.queue, &pid) < 0)
		torture_die("making a stock: cannot open %s", path);
	series = stock_intern(making.set);
	for (size_t i = 0; i < STOCK_READERS; i++)
		if (queue_reader_open(making.queue, stock_readers[i], &making.readers[i]) < 0)
			torture_die("making a stock: no reader");
	for (uint64_t n = plan->from; n <= plan->to; n += BATCH) {
		for (uint64_t i = n; i < n + BATCH; i++)
			queue_append(making.queue,
				     stock_sample(series, i, plan->clock.now - (STOCK_SAMPLES - i) * 1000));
		flush(&making);
	}
	for (size_t i = 0; i < STOCK_READERS; i++) {
		/* To the end, so that every number is seen; in what order the readers do so decides nothing. */
		for (waiting = queue_reader_depth(making.readers[i]); waiting > 0; waiting--)
			take_one(&making, making.readers[i], plan);
		if (making.ids[plan->acked[i]] > 0)
			queue_reader_ack(making.readers[i], making.ids[plan->acked[i]]);
		stock->acked[i] = plan->acked[i];
	}
	for (uint64_t i = 0; i < plan->lost; i++)
		queue_lost(making.queue, series->devices[0]->number);
	flush(&making);
	if (!clean)
		_exit(0);
	for (size_t i = 0; i < STOCK_READERS; i++)
		queue_reader_close(making.readers[i]);
	if (queue_close(making.queue, FLUSH_US))
		torture_die("making a stock: the queue does not end");
	_exit(0);
}

/* As after a checkpoint of the whole log and a power cut. */
static void move_log(const char *path)
{
	sqlite3 *db;

	if (sqlite3_open(path, &db) != SQLITE_OK ||
	    sqlite3_exec(db, "PRAGMA wal_checkpoint(TRUNCATE)", NULL, NULL, NULL) != SQLITE_OK)
		torture_die("making a stock: %s", sqlite3_errmsg(db));
	sqlite3_close(db);
}

static struct stock_file read_file(const char *path)
{
	struct stock_file file = {0};
	_cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC);
	struct stat st;

	if (fd < 0)
		return file;
	if (fstat(fd, &st) < 0 || !(file.bytes = malloc((size_t)st.st_size + 1)) ||
	    read(fd, file.bytes, (size_t)st.st_size) != st.st_size)
		torture_die("cannot read %s: %s", path, strerror(errno));
	file.size = (size_t)st.st_size;
	return file;
}

void stock_make(const char *folder, enum stock_end end, struct stock *ret)
{
	struct stock *shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	char path[300], name[310];

	if (shared == MAP_FAILED)
		torture_die("out of memory");
	snprintf(path, sizeof(path), "%s/queue.db", folder);
	for (size_t i = 0; i < ELEMENTS(plans); i++) {
		pid_t pid = fork();
		int status;

		if (pid == 0)
			live_one_boot(path, &plans[i], end == STOCK_CLEAN || i + 1 < ELEMENTS(plans), shared);
		if (pid < 0 || waitpid(pid, &status, 0) != pid || status != 0)
			torture_die("making a stock: boot %zu failed", i + 1);
	}
	if (end == STOCK_UNCLEAN)
		move_log(path);
	for (size_t i = 0; i < STOCK_FILES; i++) {
		snprintf(name, sizeof(name), "%s%s", path, stock_files[i]);
		shared->files[i] = read_file(name);
	}
	*ret = *shared;
	munmap(shared, sizeof(*shared));
}
