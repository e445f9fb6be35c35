/* SPDX-License-Identifier: Apache-2.0 */
/* A queue file that an older version wrote is opened, and nothing in it is lost: samples, places, numbers, times, counts. */
#include "queue_fixture.h"
#include <fcntl.h>

#define FOLDER "tests/fixtures/queue-0.1.0"
#define SAMPLES 60

static void copy(const char *from, const char *to)
{
	int in = open(from, O_RDONLY), out = open(to, O_WRONLY | O_CREAT | O_TRUNC, 0640);
	char block[4096];
	ssize_t n;

	assert_true(in >= 0 && out >= 0);
	while ((n = read(in, block, sizeof(block))) > 0)
		assert_int_equal(write(out, block, (size_t)n), n);
	assert_int_equal(n, 0);
	close(in);
	close(out);
}

static int setup(void **state)
{
	static struct fixture fixture;
	struct fixture *f = &fixture;
	char mark[256];

	fixture_init(f);
	copy(FOLDER "/queue.db", f->path);
	snprintf(mark, sizeof(mark), "%s.seq", f->path);
	copy(FOLDER "/queue.db.seq", mark);
	/* A minute after the file was closed, with the same time of boot should it be the machine that made it. */
	f->fake = (struct clock_fake){.now = 3720 * USEC_PER_SEC, .wall = 1767225720LL * (int64_t)USEC_PER_SEC};
	clock_set_fake(&f->fake);
	clock_set_trusted(true);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	fixture_done(*state);
	return 0;
}

/* The sequence numbers as 0.1.0 gave them: each life went on at the time of day it began. */
static uint64_t seq_of(uint64_t n)
{
	if (n <= 30)
		return 1767225600000000 + n - 1;
	return n <= 50 ? 1767225601000000 + n - 31 : 1767225602000000 + n - 51;
}

static void expect_reading(struct fixture *f, struct sample_cursor *cursor, const char *point, const char *unit,
			   const struct sample_reading *expected)
{
	struct sample_reading reading;
	const struct series *series;

	assert_int_equal(sample_next(cursor, &reading), 1);
	series = series_by_number(f->series, reading.series);
	assert_non_null(series);
	assert_string_equal(series->point, point);
	assert_string_equal(series->unit ? series->unit : "", unit);
	assert_int_equal(series->type, expected->value.type);
	assert_int_equal(reading.quality, expected->quality);
	assert_int_equal(reading.reason, expected->reason);
	assert_int_equal(reading.exception_size, expected->exception_size);
	if (expected->exception_size > 0)
		assert_memory_equal(reading.exception, expected->exception, expected->exception_size);
	if (expected->quality == HAY_BAD)
		return;
	switch (expected->value.type) {
	case HAY_UINT64:
		assert_int_equal(reading.value.u, expected->value.u);
		break;
	case HAY_FLOAT64:
		assert_true(reading.value.d == expected->value.d);
		break;
	case HAY_FLOAT32:
		assert_true(reading.value.f == expected->value.f);
		break;
	case HAY_BOOL:
		assert_int_equal(reading.value.b, expected->value.b);
		break;
	default:
		assert_int_equal(expected->value.type, HAY_STRING);
		assert_int_equal(reading.value.s.size, expected->value.s.size);
		assert_memory_equal(reading.value.s.data, expected->value.s.data, expected->value.s.size);
	}
}

static void expect_meter(struct fixture *f, struct sample_cursor *cursor, uint64_t n)
{
	struct sample_reading power = {.value = {.type = HAY_FLOAT64, .d = (double)n / 4}};

	if (n % 2 == 0) {
		power.quality = HAY_UNCERTAIN;
		power.reason = HAY_OUT_OF_RANGE;
	}
	expect_reading(f, cursor, "count", "", &(struct sample_reading){.value = {.type = HAY_UINT64, .u = n}});
	expect_reading(f, cursor, "power", "W", &power);
}

static void expect_pump(struct fixture *f, struct sample_cursor *cursor, uint64_t n)
{
	expect_reading(f, cursor, "label", "",
		       &(struct sample_reading){.value = {.type = HAY_STRING, .s = {.data = "pump 7", .size = 6}}});
	expect_reading(f, cursor, "state", "", &(struct sample_reading){.value = {.type = HAY_BOOL, .b = n % 2 == 1}});
	expect_reading(f, cursor, "raw", "",
		       &(struct sample_reading){.quality = HAY_BAD,
						.reason = HAY_EXCEPTION,
						.exception = "illegal data address",
						.exception_size = 20,
						.value = {.type = HAY_BYTES}});
}

static void expect_boiler(struct fixture *f, struct sample_cursor *cursor, uint64_t n)
{
	expect_reading(f, cursor, "temp", "°C",
		       &(struct sample_reading){.value = {.type = HAY_FLOAT32, .f = (float)n / 2}});
	expect_reading(
		f, cursor, "level", "mm",
		&(struct sample_reading){.quality = HAY_BAD, .reason = HAY_TIMEOUT, .value = {.type = HAY_INT16}});
}

/* Samples from..SAMPLES come, each as 0.1.0 took it; the last one's id. */
static uint64_t expect_samples(struct fixture *f, struct queue_reader *reader, uint64_t from)
{
	static const char *const names[] = {"kessel-ü", "meter", "pump"};
	static void (*const expect[])(struct fixture *, struct sample_cursor *, uint64_t) = {expect_boiler,
											     expect_meter, expect_pump};
	uint64_t id = 0;

	for (uint64_t n = from; n <= SAMPLES; n++) {
		struct sample *sample = take_one(reader);
		const struct series_device *device = series_device_by_number(f->series, sample->device);
		struct sample_reading none;
		struct sample_cursor cursor;
		bool certain;

		assert_non_null(device);
		assert_string_equal(device->name, names[n % 3]);
		assert_int_equal(device->n_tags, n % 3 == 1 ? 2 : 0);
		assert_string_equal(device->link ? device->link : "", n % 3 == 0 ? "" : "bus");
		assert_int_equal(queue_seq(f->queue, sample), seq_of(n));
		assert_int_equal(queue_wall(f->queue, sample, &certain),
				 (1767225600 + (int64_t)n) * (int64_t)USEC_PER_SEC);
		assert_true(certain);
		assert_int_equal(sample_begin(sample, &cursor), 0);
		expect[n % 3](f, &cursor, n);
		assert_int_equal(sample_next(&cursor, &none), 0);
		id = sample->id;
		sample_unref(sample);
	}
	return id;
}

static uint64_t pending(struct queue_reader *reader, enum drop_cause cause, const char *device)
{
	_cleanup_free_ struct queue_drop *drops = NULL;
	size_t n = queue_drops_pending(reader, &drops);
	uint64_t samples = 0;

	for (size_t i = 0; i < n; i++)
		if (drops[i].cause == cause && drops[i].device && strcmp(drops[i].device, device) == 0)
			samples += drops[i].samples;
	return samples;
}

static void expect_drops(struct queue_reader *reader, uint64_t refused)
{
	_cleanup_free_ struct queue_drop *drops = NULL;

	assert_int_equal(queue_drops_pending(reader, &drops), refused > 0 ? 3 : 2);
	assert_int_equal(pending(reader, DROP_REFUSED, "meter"), refused);
	assert_int_equal(pending(reader, DROP_NO_MEMORY, "pump"), 2);
	assert_int_equal(pending(reader, DROP_NO_MEMORY, "kessel-ü"), 1);
}

static void expect_no_damage(struct fixture *f)
{
	struct queue_notice notice;

	while (queue_next_notice(f->queue, &notice))
		fail_msg("%s", notice.text);
	for (size_t i = 0; i < DROP_N_CAUSES; i++)
		assert_int_equal(status_of(f).dropped[i], 0);
}

/* The file of 0.1.0 as it is, then once more as this version left it, with a sample of its own behind the old ones. */
static void test_file_of_0_1_0(void **state)
{
	struct fixture *f = *state;
	struct queue_reader *cloud, *site;

	fixture_open(f);
	cloud = open_reader(f, "cloud");
	site = open_reader(f, "site");
	assert_int_equal(queue_reader_depth(cloud), SAMPLES - 20);
	assert_int_equal(queue_reader_depth(site), SAMPLES - 35);
	expect_samples(f, cloud, 21);
	expect_samples(f, site, 36);
	expect_drops(cloud, 1);
	expect_drops(site, 0);
	append_numbers(f, 61, 61);
	assert_int_equal(queue_flush(f->queue, 20 * USEC_PER_SEC), 0);
	expect_no_damage(f);
	queue_reader_close(cloud);
	queue_reader_close(site);
	fixture_close(f);

	fixture_open(f);
	cloud = open_reader(f, "cloud");
	site = open_reader(f, "site");
	expect_samples(f, cloud, 21);
	queue_reader_ack(cloud, expect_numbers(cloud, 61, 61));
	expect_samples(f, site, 36);
	queue_reader_ack(site, expect_numbers(site, 61, 61));
	expect_drops(cloud, 1);
	expect_drops(site, 0);
	expect_no_damage(f);
	queue_reader_close(cloud);
	queue_reader_close(site);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_file_of_0_1_0, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
