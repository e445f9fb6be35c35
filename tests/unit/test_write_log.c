/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the log tells of writes. Commands over MQTT in a loop were a line each: 1.5 MB of log in 20 seconds; and a log
 * that leaves out what it cannot bear shall still tell who wrote what, and how often.
 */
#include "api/write_log.h"
#include "base/buf.h"
#include "base/clock.h"
#include "base/log.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static struct clock_fake fake;
static struct buf logged;

static void sink(enum hay_log_level level, const struct log_subject *subject _unused_, const char *text)
{
	assert_int_equal(level, HAY_LOG_INFO);
	buf_printf(&logged, "%s\n", text);
}

struct rig {
	sd_event *event;
	struct write_log *log;
};

static int set_up(void **state)
{
	struct rig *rig = calloc(1, sizeof(*rig));

	fake = (struct clock_fake){.now = USEC_PER_HOUR};
	clock_set_fake(&fake);
	buf_clear(&logged);
	log_set_sink(sink);
	assert_true(sd_event_new(&rig->event) >= 0);
	assert_int_equal(write_log_new(rig->event, &rig->log), 0);
	*state = rig;
	return 0;
}

static int tear_down(void **state)
{
	struct rig *rig = *state;

	write_log_free(rig->log);
	sd_event_unref(rig->event);
	log_set_sink(NULL);
	clock_set_fake(NULL);
	buf_done(&logged);
	free(rig);
	return 0;
}

/* How many of n writes, of the values from `from` up, are told in full. */
static unsigned write_many(struct rig *rig, const char *by, const char *point, int64_t from, unsigned n)
{
	unsigned told = 0;
	const char *more;

	for (unsigned i = 0; i < n; i++) {
		const struct hay_value value = {.type = HAY_INT64, .i = from + i};

		told += write_log_allows(rig->log, by, "boiler", point, &value, &more);
	}
	return told;
}

static void go_on_for(struct rig *rig, uint64_t us)
{
	fake.now += us;
	write_log_sum_up(rig->log, false);
}

static void who_writes_now_and_then_is_told_of_each_time(void **state)
{
	struct rig *rig = *state;

	for (unsigned i = 0; i < 100; i++) {
		assert_int_equal(write_many(rig, "uplink cloud", "setpoint", i, 1), 1);
		go_on_for(rig, 10 * USEC_PER_MINUTE);
	}
	assert_string_equal(buf_text(&logged), "");
}

static void a_loop_is_summed_up_with_every_write_counted(void **state)
{
	struct rig *rig = *state;

	assert_int_equal(write_many(rig, "uplink cloud", "setpoint", 0, 1000), 6);
	/* Nobody hides behind it: neither another point, nor somebody else. */
	assert_int_equal(write_many(rig, "uplink cloud", "pump", 1, 1), 1);
	assert_int_equal(write_many(rig, "user 1000 over the local API", "setpoint", 7, 1), 1);
	go_on_for(rig, 9 * USEC_PER_MINUTE);
	assert_string_equal(buf_text(&logged), "");
	go_on_for(rig, USEC_PER_MINUTE);
	assert_string_equal(
		buf_text(&logged),
		"device boiler: setpoint was written 994 times more in the last 10 min by uplink cloud: from 6 to 999, last 999\n");
	/* It goes on: one line in 10 minutes, no more. */
	buf_clear(&logged);
	assert_int_equal(write_many(rig, "uplink cloud", "setpoint", 40, 500), 0);
	go_on_for(rig, 10 * USEC_PER_MINUTE);
	assert_string_equal(
		buf_text(&logged),
		"device boiler: setpoint was written 500 times more in the last 10 min by uplink cloud: from 40 to 539, last 539\n");
	/* And once it has been quiet for so long, all is told again. */
	go_on_for(rig, 10 * USEC_PER_MINUTE);
	assert_int_equal(write_many(rig, "uplink cloud", "setpoint", 1, 1), 1);
}

static void the_last_line_before_the_sum_says_so(void **state)
{
	struct rig *rig = *state;
	const struct hay_value value = {.type = HAY_STRING, .s = {"eco", 3}};
	const char *more;

	for (unsigned i = 1; i <= 6; i++) {
		assert_true(write_log_allows(rig->log, "uplink cloud", "boiler", "mode", &value, &more));
		assert_int_equal(strlen(more) > 0, i == 6);
	}
	assert_false(write_log_allows(rig->log, "uplink cloud", "boiler", "mode", &value, &more));
	/* The end comes before the sum is due. */
	write_log_sum_up(rig->log, true);
	assert_string_equal(
		buf_text(&logged),
		"device boiler: mode was written once more in the last 10 min by uplink cloud: last \"eco\"\n");
}

static void more_points_than_there_is_room_for_are_counted_together(void **state)
{
	struct rig *rig = *state;
	unsigned told = 0;

	for (unsigned i = 0; i < 10000; i++) {
		char point[16];

		snprintf(point, sizeof(point), "p%u", i);
		told += write_many(rig, "uplink cloud", point, 1, 1);
	}
	assert_int_equal(told, 128 + 6);
	go_on_for(rig, 10 * USEC_PER_MINUTE);
	assert_string_equal(buf_text(&logged),
			    "9866 writes in the last 10 min to points beyond those that are logged one by one\n");
}

int main(void)
{
#define test(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		test(who_writes_now_and_then_is_told_of_each_time),
		test(a_loop_is_summed_up_with_every_write_counted),
		test(the_last_line_before_the_sum_says_so),
		test(more_points_than_there_is_room_for_are_counted_together),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
