/* SPDX-License-Identifier: Apache-2.0 */
/* When it was measured, and from when on a line is listened to. */
#include "base/clock.h"
#include "board.h"

static void time_stamps_of_the_device(void **state)
{
	struct fake_host *host = fake_host_new(&hay_plugin, FAKE_INLINE);
	struct board board;
	const struct fake_event *event;
	char line[128];
	uint64_t before;

	(void)state;
	board_new(&board);
	plug(&board);
	struct hay_link *link = fake_link(host, "l", "port", board.path, "time_field", "ts", "time_unit", "ms", NULL);
	struct hay_device *device = fake_device(link, "d", NULL);

	fake_point(device, "t", NULL, 0, NULL);
	fake_open(link);
	fake_start(device);
	begin(host, &board);
	before = link->host->now();
	snprintf(line, sizeof(line), "{\"t\":1,\"ts\":%lld}\n", ((long long)time(NULL) - 2) * 1000);
	say(&board, line);
	event = fake_wait(host, FAKE_EMIT);
	/* Two to three seconds ago, whatever the test's own pace. */
	assert_true(event->sample.time_us + 1000000 < link->host->now());
	assert_true(event->sample.time_us + 3100000 > before);
	say(&board, "{\"t\":1,\"ts\":1000}\n");
	event = fake_wait(host, FAKE_EMIT);
	assert_true(event->sample.time_us >= before);
	expect_line(host, "too old");
	assert_int_equal(fake_reading(event, 0)->quality, HAY_UNCERTAIN);
	assert_int_equal(fake_reading(event, 0)->reason, HAY_OUT_OF_RANGE);
	snprintf(line, sizeof(line), "{\"t\":1,\"ts\":%lld}\n", ((long long)time(NULL) + 60) * 1000);
	say(&board, line);
	event = fake_wait(host, FAKE_EMIT);
	assert_true(event->sample.time_us >= before);
	assert_int_equal(fake_reading(event, 0)->quality, HAY_UNCERTAIN);
	/* A frame that says no time was measured when it came. */
	say(&board, "{\"t\":1}\n");
	event = fake_wait(host, FAKE_EMIT);
	assert_int_equal(fake_reading(event, 0)->quality, HAY_GOOD);
	fake_host_free(host);
	board_free(&board);
}

/* After a power cut a logger hands over what it measured while the machine was off: each keeps its own time, below 0 on
   a clock that began with the machine. All of it was stamped with the time of arrival. */
static void what_was_measured_before_the_machines_start(void **state)
{
	struct fake_host *host = fake_host_new(&hay_plugin, FAKE_INLINE);
	const struct fake_event *event;
	struct clock_fake young;
	struct board board;
	char line[128];

	(void)state;
	board_new(&board);
	plug(&board);
	struct hay_link *link = fake_link(host, "l", "port", board.path, "time_field", "ts", NULL);
	struct hay_device *device = fake_device(link, "d", NULL);

	fake_point(device, "t", NULL, 0, NULL);
	fake_open(link);
	fake_start(device);
	begin(host, &board);
	young = (struct clock_fake){.now = 60 * USEC_PER_SEC, .wall = clock_wall()};
	clock_set_fake(&young);
	for (int minutes = 30; minutes < 1440; minutes += 700) {
		snprintf(line, sizeof(line), "{\"t\":1,\"ts\":%lld}\n", (long long)time(NULL) - 60 * minutes);
		say(&board, line);
		event = fake_wait(host, FAKE_EMIT);
		assert_int_equal(fake_reading(event, 0)->quality, HAY_GOOD);
		/* A second for the stamp's own, and some for the test's pace. */
		assert_in_range((uint64_t)(60 - (int64_t)event->sample.time_us / 1000000), 60 * (unsigned)minutes,
				60 * (unsigned)minutes + 15);
	}
	clock_set_fake(NULL);
	fake_host_free(host);
	board_free(&board);
}

/* A frame whose `ts` says, in that unit, that it is two seconds old; or one that nobody can read. */
static void expect_age(const char *unit, const char *stamp, bool read)
{
	struct fake_host *host = fake_host_new(&hay_plugin, FAKE_INLINE);
	const struct fake_event *event;
	struct board board;
	char line[128];
	uint64_t before;

	board_new(&board);
	plug(&board);
	struct hay_link *link = fake_link(host, "l", "port", board.path, "time_field", "ts", "time_unit", unit, NULL);
	struct hay_device *device = fake_device(link, "d", NULL);

	fake_point(device, "t", NULL, 0, NULL);
	fake_open(link);
	fake_start(device);
	begin(host, &board);
	before = link->host->now();
	snprintf(line, sizeof(line), "{\"t\":1,\"ts\":%s}\n", stamp);
	say(&board, line);
	event = fake_wait(host, FAKE_EMIT);
	if (read) {
		assert_true(event->sample.time_us + 1000000 < link->host->now());
		assert_true(event->sample.time_us + 3100000 > before);
	} else {
		assert_true(event->sample.time_us >= before);
		expect_line(host, "no time that can be read");
		assert_int_equal(fake_reading(event, 0)->quality, HAY_UNCERTAIN);
		assert_int_equal(fake_reading(event, 0)->reason, HAY_DECODE);
	}
	fake_host_free(host);
	board_free(&board);
}

static void time_stamps_in_each_unit(void **state)
{
	time_t then = time(NULL) - 2, east = then + 5400, west = then - 3600;
	char stamp[64];

	(void)state;
	snprintf(stamp, sizeof(stamp), "%lld", (long long)then);
	expect_age("s", stamp, true);
	snprintf(stamp, sizeof(stamp), "%lld000000", (long long)then);
	expect_age("us", stamp, true);
	strftime(stamp, sizeof(stamp), "\"%FT%T.000Z\"", gmtime(&then));
	expect_age("iso", stamp, true);
	strftime(stamp, sizeof(stamp), "\"%F %T\"", gmtime(&then));
	expect_age("iso", stamp, true);
	strftime(stamp, sizeof(stamp), "\"%FT%T+01:30\"", gmtime(&east));
	expect_age("iso", stamp, true);
	strftime(stamp, sizeof(stamp), "\"%FT%T-0100\"", gmtime(&west));
	expect_age("iso", stamp, true);
	expect_age("iso", "\"yesterday\"", false);
	expect_age("s", "\"yesterday\"", false);
}

/* What comes right after opening may be the rest of a frame; after a silence it is none. */
static void the_first_frame_may_be_a_part_of_one(void **state)
{
	struct fake_host *host = fake_host_new(&hay_plugin, FAKE_INLINE);
	struct board board;

	(void)state;
	board_new(&board);
	plug(&board);
	struct hay_link *link = fake_link(host, "l", "port", board.path, NULL);
	struct hay_device *device = fake_device(link, "d", NULL);

	fake_point(device, "t", NULL, 0, NULL);
	fake_open(link);
	fake_start(device);
	fake_stop_time(host);
	expect_line(host, "is open");
	say(&board, "{\"t\":1}\n{\"t\":2}\n"); /* of {"was":{"t":1} */
	assert_float_equal(number(fake_wait(host, FAKE_EMIT), 0), 2, 0);
	assert_int_equal(fake_count(host, FAKE_EMIT), 1);
	unplug(&board);
	fake_wait(host, FAKE_LINK_DOWN);
	plug(&board);
	fake_advance(host, 300000); /* looked for again */
	expect_line(host, "is open");
	fake_advance(host, 200000);
	say(&board, "{\"t\":3}\n");
	assert_float_equal(number(fake_wait(host, FAKE_EMIT), 0), 3, 0);
	fake_host_free(host);
	clock_set_fake(NULL);
	board_free(&board);
}

/* Bytes that never make a frame: a wrong baud rate or delimiter is said within seconds, not in silence. */
static void bytes_without_a_frame_are_told(void **state)
{
	struct fake_host *host = fake_host_new(&hay_plugin, FAKE_INLINE);
	struct board board;

	(void)state;
	board_new(&board);
	plug(&board);
	struct hay_link *link = fake_link(host, "l", "port", board.path, "delimiter", "\\n", NULL);
	struct hay_device *device = fake_device(link, "d", NULL);

	fake_point(device, "t", NULL, 0, NULL);
	fake_open(link);
	fake_start(device);
	expect_line(host, "is open");
	fake_stop_time(host);
	for (int i = 0; i < 4; i++) {
		say_in_stopped_time(host, &board, link, "{\"t\":1}\r", 8);
		fake_advance(host, 2000000);
	}
	expect_line(host, "no frame among them");
	clock_set_fake(NULL);
	fake_host_free(host);
	board_free(&board);
}

/* With the default delimiter they are lines. */
static void lines_that_end_with_a_carriage_return(void **state)
{
	struct fake_host *host = fake_host_new(&hay_plugin, FAKE_INLINE);
	struct board board;

	(void)state;
	board_new(&board);
	plug(&board);
	struct hay_link *link = fake_link(host, "l", "port", board.path, NULL);
	struct hay_device *device = fake_device(link, "d", NULL);

	fake_point(device, "t", NULL, 0, NULL);
	fake_open(link);
	fake_start(device);
	expect_line(host, "is open");
	say(&board, "rest\r{\"t\":1}\r{\"t\":2}\r");
	assert_float_equal(number(fake_wait(host, FAKE_EMIT), 0), 1, 0);
	assert_float_equal(number(fake_wait(host, FAKE_EMIT), 0), 2, 0);
	fake_host_free(host);
	board_free(&board);
}

/* A board that restarts when its port is opened says things that are no readings. */
static void a_board_settles(void **state)
{
	struct fake_host *host = fake_host_new(&hay_plugin, FAKE_INLINE);
	struct board board;

	(void)state;
	board_new(&board);
	plug(&board);
	struct hay_link *link = fake_link(host, "l", "port", board.path, "settle", "300ms", NULL);
	struct hay_device *device = fake_device(link, "d", NULL);

	fake_point(device, "t", NULL, 0, NULL);
	fake_open(link);
	fake_start(device);
	expect_line(host, "is open");
	say(&board, "\n{\"t\":1}\n{\"t\":1}\n");
	silence_until = link->host->now() + 500000;
	fake_run_until(host, silence_passed, link);
	say(&board, "{\"t\":2}\n");
	assert_float_equal(number(fake_wait(host, FAKE_EMIT), 0), 2, 0);
	assert_int_equal(fake_count(host, FAKE_EMIT), 1);
	fake_host_free(host);
	board_free(&board);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(time_stamps_of_the_device),
		cmocka_unit_test(what_was_measured_before_the_machines_start),
		cmocka_unit_test(time_stamps_in_each_unit),
		cmocka_unit_test(the_first_frame_may_be_a_part_of_one),
		cmocka_unit_test(bytes_without_a_frame_are_told),
		cmocka_unit_test(lines_that_end_with_a_carriage_return),
		cmocka_unit_test(a_board_settles),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
