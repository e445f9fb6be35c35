/* SPDX-License-Identifier: Apache-2.0 */
/* Scaling, ranges and the report rules, as docs/configuration.md promises them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/clock.h"
#include "normalize/normalize.h"
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

static const struct point_rules plain = {.scale = 1, .decimals = -1, .min = NAN, .max = NAN};

static struct hay_reading number(enum hay_type type, double value)
{
	struct hay_reading reading = {.value.type = type};

	if (type >= HAY_INT16 && type <= HAY_INT64)
		reading.value.i = (int64_t)value;
	else if (type >= HAY_UINT16 && type <= HAY_UINT64)
		reading.value.u = (uint64_t)value;
	else if (type == HAY_FLOAT32)
		reading.value.f = (float)value;
	else
		reading.value.d = value;
	return reading;
}

static void whole_numbers_scale_to_the_decimals_written(void **state _unused_)
{
	struct point_rules rules = plain;
	int ugly = 0;

	rules.scale = 0.1;
	for (int raw = -32768; raw < 32768; raw++) {
		struct hay_reading reading = number(HAY_INT16, raw);
		char expected[32], got[32];

		rules_apply(&rules, HAY_INT16, &reading);
		assert_int_equal(reading.value.type, HAY_FLOAT64);
		snprintf(expected, sizeof(expected), "%s%d.%d", raw < 0 ? "-" : "", abs(raw) / 10, abs(raw) % 10);
		snprintf(got, sizeof(got), "%.17g", reading.value.d);
		assert_true(reading.value.d == strtod(expected, NULL));
		ugly += raw * 0.1 != reading.value.d;
	}
	assert_true(ugly > 1000); /* the plain product would have been wrong that often */
}

/* A meter wired to one phase says 0xffffffff V for the others: as a number that was 429496729.5 V, quality good. */
static void raw_values_that_mean_not_available_are_bad(void **state _unused_)
{
	const struct hay_value whole[] = {{.type = HAY_UINT32, .u = UINT32_MAX}, {.type = HAY_UINT32, .u = 7}};
	struct point_rules rules = plain;

	rules.scale = 0.1;
	rules.invalid = whole;
	rules.n_invalid = 2;
	for (int i = 0; i < 4; i++) {
		static const double raws[] = {(double)UINT32_MAX, 7, (double)UINT32_MAX - 1, 70};
		struct hay_reading reading = number(HAY_UINT32, raws[i]);

		rules_apply(&rules, HAY_UINT32, &reading);
		assert_int_equal(reading.quality, i < 2 ? HAY_BAD : HAY_GOOD);
		assert_int_equal(reading.reason, i < 2 ? HAY_NOT_AVAILABLE : HAY_NO_REASON);
	}

	/* A command must not write what the device then reads as "not available". */
	struct hay_value wanted = {.type = HAY_FLOAT64, .d = 0.7}, raw;

	assert_int_equal(rules_invert(&rules, HAY_UINT32, &wanted, &raw), -ERANGE);
	wanted.d = 0.8;
	assert_int_equal(rules_invert(&rules, HAY_UINT32, &wanted, &raw), 0);
	assert_int_equal(raw.u, 8);
}

static void a_float_that_is_not_a_number_can_mean_not_available(void **state _unused_)
{
	const struct hay_value floats[] = {{.type = HAY_FLOAT32, .f = NAN}, {.type = HAY_FLOAT32, .f = -999.9f}};
	struct point_rules rules = plain;
	struct hay_reading reading = number(HAY_FLOAT32, (double)NAN);

	rules_apply(&rules, HAY_FLOAT32, &reading);
	assert_int_equal(reading.reason, HAY_NOT_A_NUMBER);
	rules.invalid = floats;
	rules.n_invalid = 2;
	reading = number(HAY_FLOAT32, (double)NAN);
	rules_apply(&rules, HAY_FLOAT32, &reading);
	assert_int_equal(reading.quality, HAY_BAD);
	assert_int_equal(reading.reason, HAY_NOT_AVAILABLE);
	reading = number(HAY_FLOAT32, (double)-999.9f);
	rules_apply(&rules, HAY_FLOAT32, &reading);
	assert_int_equal(reading.reason, HAY_NOT_AVAILABLE);
	reading = number(HAY_FLOAT32, (double)INFINITY);
	rules_apply(&rules, HAY_FLOAT32, &reading);
	assert_int_equal(reading.reason, HAY_NOT_A_NUMBER);

	/* A plugin may have found the NaN itself. */
	reading = (struct hay_reading){.quality = HAY_BAD, .reason = HAY_NOT_A_NUMBER};
	rules_apply(&rules, HAY_FLOAT32, &reading);
	assert_int_equal(reading.reason, HAY_NOT_AVAILABLE);
}

static void whole_scale_keeps_whole_numbers(void **state _unused_)
{
	struct point_rules rules = plain;
	struct hay_reading reading = number(HAY_UINT16, 7);

	rules.scale = 10;
	rules.offset = -3;
	assert_int_equal(rules_type(&rules, HAY_UINT16), HAY_INT64);
	rules_apply(&rules, HAY_UINT16, &reading);
	assert_int_equal(reading.value.i, 67);
	assert_int_equal(rules_type(&rules, HAY_FLOAT32), HAY_FLOAT64);
	assert_int_equal(rules_type(&plain, HAY_UINT16), HAY_UINT16);

	reading = (struct hay_reading){.value = {.type = HAY_INT64, .i = INT64_MAX}};
	rules_apply(&rules, HAY_INT64, &reading);
	assert_int_equal(reading.quality, HAY_BAD);
	assert_int_equal(reading.reason, HAY_OUT_OF_RANGE);
}

/* A counter of 64 bits above 2^63, or at the end of its range, wrapped round: a negative number, quality good. */
static void whole_numbers_that_do_not_fit_are_bad(void **state _unused_)
{
	static const struct {
		double scale, offset;
		struct hay_value raw;
	} cases[] = {
		{1, -3, {.type = HAY_UINT64, .u = (uint64_t)INT64_MAX + 4}},
		{1, 1, {.type = HAY_INT64, .i = INT64_MAX}},
		{1, -1, {.type = HAY_INT64, .i = INT64_MIN}},
		{2, 0, {.type = HAY_INT64, .i = INT64_MIN / 2 - 1}},
	};

	for (size_t i = 0; i < ELEMENTS(cases); i++) {
		struct point_rules rules = plain;
		struct hay_reading reading = {.value = cases[i].raw};

		rules.scale = cases[i].scale;
		rules.offset = cases[i].offset;
		rules_apply(&rules, cases[i].raw.type, &reading);
		assert_int_equal(reading.quality, HAY_BAD);
		assert_int_equal(reading.reason, HAY_OUT_OF_RANGE);
	}
}

static void a_value_of_another_type_than_its_point_is_bad(void **state _unused_)
{
	struct hay_reading reading = number(HAY_INT16, 5);

	rules_apply(&plain, HAY_UINT16, &reading);
	assert_int_equal(reading.quality, HAY_BAD);
	assert_int_equal(reading.reason, HAY_DECODE);
}

static void what_is_no_number_is_bad(void **state _unused_)
{
	struct hay_reading reading = number(HAY_FLOAT32, (double)NAN);

	rules_apply(&plain, HAY_FLOAT32, &reading);
	assert_int_equal(reading.quality, HAY_BAD);
	assert_int_equal(reading.reason, HAY_NOT_A_NUMBER);
	reading = number(HAY_FLOAT64, INFINITY);
	rules_apply(&plain, HAY_FLOAT64, &reading);
	assert_int_equal(reading.reason, HAY_NOT_A_NUMBER);
}

static void out_of_range_is_uncertain_and_delivered(void **state _unused_)
{
	struct point_rules rules = plain;
	struct hay_reading reading = number(HAY_INT16, 80);

	rules.min = 30;
	rules.max = 75;
	rules_apply(&rules, HAY_INT16, &reading);
	assert_int_equal(reading.quality, HAY_UNCERTAIN);
	assert_int_equal(reading.reason, HAY_OUT_OF_RANGE);
	assert_int_equal(reading.value.i, 80);

	/* The plugin knows a better reason to doubt it. */
	reading = number(HAY_INT16, 80);
	reading.quality = HAY_UNCERTAIN;
	reading.reason = HAY_DECODE;
	rules_apply(&rules, HAY_INT16, &reading);
	assert_int_equal(reading.quality, HAY_UNCERTAIN);
	assert_int_equal(reading.reason, HAY_DECODE);
}

static void decimals_round_both_kinds_of_floats(void **state _unused_)
{
	struct point_rules rules = plain;
	struct hay_reading reading = number(HAY_FLOAT32, 21.567);

	rules.decimals = 1;
	rules_apply(&rules, HAY_FLOAT32, &reading);
	assert_true(reading.value.f == 21.6f);
	reading = number(HAY_FLOAT64, -21.567);
	rules_apply(&rules, HAY_FLOAT64, &reading);
	assert_true(reading.value.d == -21.6);
}

static void commands_are_scaled_back(void **state _unused_)
{
	struct point_rules rules = plain;
	struct hay_value raw, wanted = {.type = HAY_FLOAT64, .d = 21.5};

	rules.scale = 0.1;
	rules.min = 5;
	rules.max = 30;
	assert_int_equal(rules_invert(&rules, HAY_INT16, &wanted, &raw), 0);
	assert_int_equal(raw.i, 215);
	wanted.d = 31;
	assert_int_equal(rules_invert(&rules, HAY_INT16, &wanted, &raw), -ERANGE);
	wanted.d = 70000;
	assert_int_equal(rules_invert(&plain, HAY_UINT16, &wanted, &raw), -ERANGE);
	wanted = (struct hay_value){.type = HAY_INT64, .i = INT64_MAX - 1};
	assert_int_equal(rules_invert(&plain, HAY_INT64, &wanted, &raw), 0);
	assert_true(raw.i == INT64_MAX - 1);
	wanted.i = -1;
	assert_int_equal(rules_invert(&plain, HAY_UINT16, &wanted, &raw), -ERANGE);
}

/* ---- report rules: one point, and what came out of it ---- */

struct bench {
	sd_event *event;
	struct series_set *series;
	struct stream *stream;
	struct normalize *normalize;
	struct normal_device *device;
	char said[512];
	uint64_t times[32];
	size_t n, n_lost;
};

static void take(const struct stream_sample *sample, void *userdata)
{
	struct bench *bench = userdata;
	size_t used = strlen(bench->said);

	for (size_t i = 0; i < sample->n_readings; i++) {
		struct sample_reading reading = sample->readings[i];

		if (reading.quality == HAY_BAD)
			used += (size_t)snprintf(bench->said + used, sizeof(bench->said) - used, "bad:%s ",
						 reason_to_string(reading.reason));
		else if (reading.value.type == HAY_STRING)
			used += (size_t)snprintf(bench->said + used, sizeof(bench->said) - used, "%.*s ",
						 (int)reading.value.s.size, reading.value.s.data);
		else
			used += (size_t)snprintf(bench->said + used, sizeof(bench->said) - used, "%g ",
						 reading.value.d);
	}
	bench->times[bench->n++] = sample->sample->time_us;
}

static void count_loss(uint32_t device, void *userdata)
{
	struct bench *bench = userdata;

	assert_int_equal(device, 1);
	bench->n_lost++;
}

static void setup_subscribers(struct bench *bench, stream_subscriber first, enum hay_type type,
			      const struct point_rules *rules)
{
	*bench = (struct bench){.series = series_set_new()};
	assert_true(sd_event_new(&bench->event) >= 0);
	bench->stream = stream_new(count_loss, bench);
	bench->normalize = normalize_new(bench->event, bench->series, bench->stream);
	if (first)
		assert_non_null(stream_subscribe(bench->stream, first, bench));
	assert_non_null(stream_subscribe(bench->stream, take, bench));
	assert_int_equal(normal_device_new(bench->normalize,
					   series_device_intern(bench->series, "boiler", "rs485", NULL, 0),
					   &bench->device),
			 0);
	assert_int_equal(normal_device_add_point(bench->device, "t", "°C", type, rules), 0);
}

static void setup(struct bench *bench, enum hay_type type, const struct point_rules *rules)
{
	setup_subscribers(bench, NULL, type, rules);
}

static void teardown(struct bench *bench)
{
	normal_device_free(bench->device);
	normalize_free(bench->normalize);
	stream_free(bench->stream);
	series_set_free(bench->series);
	sd_event_unref(bench->event);
}

static void measure(struct bench *bench, uint64_t time_us, double value)
{
	struct hay_reading reading = number(HAY_FLOAT64, value);

	normal_device_sample(bench->device,
			     &(struct hay_sample){.time_us = time_us, .readings = &reading, .n_readings = 1});
}

static void measure_bad(struct bench *bench, uint64_t time_us, enum hay_reason reason)
{
	struct hay_reading reading = {.quality = HAY_BAD, .reason = reason};

	normal_device_sample(bench->device,
			     &(struct hay_sample){.time_us = time_us, .readings = &reading, .n_readings = 1});
}

static void without_rules_everything_goes_up(void **state _unused_)
{
	struct bench bench;

	setup(&bench, HAY_FLOAT64, &plain);
	measure(&bench, 1, 5);
	measure(&bench, 2, 5);
	assert_string_equal(bench.said, "5 5 ");
	teardown(&bench);
}

static void deadband_lets_small_moves_go(void **state _unused_)
{
	struct point_rules rules = plain;
	struct bench bench;

	rules.report = (struct report_conf){.set = true, .deadband = 0.2};
	setup(&bench, HAY_FLOAT64, &rules);
	measure(&bench, 1, 0.1);
	measure(&bench, 2, 0.25);
	measure(&bench, 3, 0.3); /* 0.3 - 0.1 is a hair less than 0.2 in binary */
	measure(&bench, 4, 0.3);
	measure(&bench, 5, 0.1);
	assert_string_equal(bench.said, "0.1 0.3 0.1 ");
	teardown(&bench);
}

static void percent_is_of_the_last_reported_value(void **state _unused_)
{
	struct point_rules rules = plain;
	struct bench bench;

	rules.report = (struct report_conf){.set = true, .deadband = 10, .percent = true};
	setup(&bench, HAY_FLOAT64, &rules);
	measure(&bench, 1, 0);
	measure(&bench, 2, 0.001); /* of zero: any change */
	measure(&bench, 3, 100);
	measure(&bench, 4, 109);
	measure(&bench, 5, 110);
	assert_string_equal(bench.said, "0 0.001 100 110 ");
	teardown(&bench);
}

static void percent_of_a_value_below_zero(void **state _unused_)
{
	struct point_rules rules = plain;
	struct bench bench;

	rules.report = (struct report_conf){.set = true, .deadband = 10, .percent = true};
	setup(&bench, HAY_FLOAT64, &rules);
	measure(&bench, 1, -100);
	measure(&bench, 2, -109);
	measure(&bench, 3, -110);
	assert_string_equal(bench.said, "-100 -110 ");
	teardown(&bench);
}

/* A device's deadband is for its numbers: a switch has none, and each of its changes counts. */
static void a_deadband_does_not_hold_a_switch_back(void **state _unused_)
{
	struct point_rules rules = plain;
	struct bench bench;

	rules.report = (struct report_conf){.set = true, .deadband = 5};
	setup(&bench, HAY_BOOL, &rules);
	for (uint64_t i = 0; i < 4; i++) {
		struct hay_reading reading = {.value = {.type = HAY_BOOL, .b = i >= 2}};

		normal_device_sample(bench.device,
				     &(struct hay_sample){.time_us = i, .readings = &reading, .n_readings = 1});
	}
	assert_int_equal(bench.n, 2);
	assert_int_equal(bench.times[1], 2);
	teardown(&bench);
}

static void measure_exception(struct bench *bench, uint64_t time_us, const char *exception)
{
	struct hay_reading reading = {.quality = HAY_BAD, .reason = HAY_EXCEPTION, .exception = exception};

	normal_device_sample(bench->device,
			     &(struct hay_sample){.time_us = time_us, .readings = &reading, .n_readings = 1});
}

/* First busy, then "illegal data address" for good: whoever only saw the first waited for it to pass. */
static void another_exception_is_another_state(void **state _unused_)
{
	struct point_rules rules = plain;
	struct bench bench;

	rules.report = (struct report_conf){.set = true, .deadband = 1};
	setup(&bench, HAY_FLOAT64, &rules);
	measure_exception(&bench, 1, "busy");
	measure_exception(&bench, 2, "busy");
	measure_exception(&bench, 3, "illegal data address");
	assert_int_equal(bench.n, 2);
	assert_int_equal(bench.times[1], 3);
	teardown(&bench);
}

static void quality_changes_go_at_once_and_only_once(void **state _unused_)
{
	struct point_rules rules = plain;
	struct bench bench;

	rules.report = (struct report_conf){.set = true, .deadband = 1, .min_interval_us = USEC_PER_HOUR};
	setup(&bench, HAY_FLOAT64, &rules);
	measure(&bench, 1, 5);
	measure_bad(&bench, 2, HAY_TIMEOUT);
	measure_bad(&bench, 3, HAY_TIMEOUT);
	measure_bad(&bench, 4, HAY_DECODE);
	measure(&bench, 5, 5);
	assert_string_equal(bench.said, "5 bad:timeout bad:decode 5 ");
	teardown(&bench);
}

static void max_interval_sends_what_did_not_move(void **state _unused_)
{
	struct point_rules rules = plain;
	struct bench bench;

	rules.report = (struct report_conf){.set = true, .deadband = 1, .max_interval_us = 100};
	setup(&bench, HAY_FLOAT64, &rules);
	measure(&bench, 1000, 5);
	measure(&bench, 1050, 5);
	measure(&bench, 1100, 5);
	measure(&bench, 1150, 5);
	assert_int_equal(bench.n, 2);
	assert_int_equal(bench.times[1], 1100);
	teardown(&bench);
}

/* What is measured too early is kept, the latest only, and goes up when the time is over, with its own time. */
static void min_interval_keeps_the_latest(void **state _unused_)
{
	struct point_rules rules = plain;
	struct bench bench;
	uint64_t now = clock_now();

	rules.report = (struct report_conf){.set = true, .deadband = 1, .min_interval_us = 50 * USEC_PER_MSEC};
	setup(&bench, HAY_FLOAT64, &rules);
	measure(&bench, now, 5);
	measure(&bench, now + 1000, 20);
	measure(&bench, now + 2000, 9);
	assert_int_equal(bench.n, 1);
	while (bench.n < 2)
		assert_true(sd_event_run(bench.event, 5 * USEC_PER_SEC) > 0);
	assert_string_equal(bench.said, "5 9 ");
	assert_int_equal(bench.times[1], now + 2000);
	teardown(&bench);
}

/* What a logger measured before the machine's start has a time below 0: it is held and let go as any other. */
static void min_interval_before_the_machines_start(void **state _unused_)
{
	struct point_rules rules = plain;
	struct bench bench;
	uint64_t before = (uint64_t) - (int64_t)(600 * USEC_PER_SEC);

	rules.report = (struct report_conf){.set = true, .deadband = 1, .min_interval_us = 10 * USEC_PER_SEC};
	setup(&bench, HAY_FLOAT64, &rules);
	measure(&bench, before, 5);
	measure(&bench, before + USEC_PER_SEC, 20);
	assert_int_equal(bench.n, 1);
	while (bench.n < 2)
		assert_true(sd_event_run(bench.event, 5 * USEC_PER_SEC) > 0);
	assert_string_equal(bench.said, "5 20 ");
	assert_true(bench.times[1] == before + USEC_PER_SEC);
	teardown(&bench);
}

/* A point that was a text becomes a number: another series, and the text is no last value of it. */
static void a_point_becomes_a_number(void **state _unused_)
{
	struct hay_reading text = {.value = {.type = HAY_STRING, .s = {"init", 4}}};
	struct point_rules rules = plain;
	struct bench bench;

	rules.report = (struct report_conf){.set = true, .deadband = 1};
	setup(&bench, HAY_STRING, &rules);
	const struct series *before = normal_device_point(bench.device, 0);

	normal_device_sample(bench.device, &(struct hay_sample){.time_us = 1, .readings = &text, .n_readings = 1});
	assert_int_equal(normal_device_set_type(bench.device, 0, HAY_FLOAT64), 0);
	const struct series *after = normal_device_point(bench.device, 0);

	assert_int_not_equal(before->number, after->number);
	assert_int_equal(after->type, HAY_FLOAT64);
	assert_string_equal(after->point, before->point);
	measure(&bench, 2, 5);
	measure(&bench, 3, 5);
	assert_int_equal(bench.n, 2);
	teardown(&bench);
}

static void what_came_back_in_time_is_not_sent(void **state _unused_)
{
	struct point_rules rules = plain;
	struct bench bench;
	uint64_t now = clock_now();

	rules.report = (struct report_conf){.set = true, .deadband = 1, .min_interval_us = 20 * USEC_PER_MSEC};
	setup(&bench, HAY_FLOAT64, &rules);
	measure(&bench, now, 5);
	measure(&bench, now + 1000, 20);
	measure(&bench, now + 2000, 5);
	assert_true(sd_event_run(bench.event, 5 * USEC_PER_SEC) > 0);
	assert_string_equal(bench.said, "5 ");
	teardown(&bench);
}

/* The next measurement may come before the timer that would have sent what is held: then that is old. */
static void what_came_back_before_the_timer_is_not_sent(void **state _unused_)
{
	struct point_rules rules = plain;
	struct bench bench;
	uint64_t now = clock_now();

	rules.report = (struct report_conf){.set = true, .deadband = 1, .min_interval_us = 20 * USEC_PER_MSEC};
	setup(&bench, HAY_FLOAT64, &rules);
	measure(&bench, now, 5);
	measure(&bench, now + 1000, 20);
	measure(&bench, now + 30 * USEC_PER_MSEC, 5);
	assert_true(sd_event_run(bench.event, 5 * USEC_PER_SEC) > 0);
	assert_string_equal(bench.said, "5 ");
	teardown(&bench);
}

static void strings_are_kept_beyond_the_sample(void **state _unused_)
{
	struct point_rules rules = plain;
	struct bench bench;
	uint64_t now = clock_now();

	rules.report = (struct report_conf){.set = true, .deadband = NAN, .min_interval_us = 20 * USEC_PER_MSEC};
	setup(&bench, HAY_STRING, &rules);
	for (int i = 0; i < 3; i++) {
		char text[8];
		struct hay_reading reading = {.value = {.type = HAY_STRING, .s = {text, 3}}};

		snprintf(text, sizeof(text), "ab%d", i);
		normal_device_sample(bench.device, &(struct hay_sample){.time_us = now + (uint64_t)i * 1000,
									.readings = &reading,
									.n_readings = 1});
		memset(text, '#', sizeof(text));
	}
	while (bench.n < 2)
		assert_true(sd_event_run(bench.event, 5 * USEC_PER_SEC) > 0);
	assert_string_equal(bench.said, "ab0 ab2 ");
	teardown(&bench);
}

static void a_lost_device_says_so_once(void **state _unused_)
{
	struct bench bench;

	setup(&bench, HAY_FLOAT64, &plain);
	measure(&bench, 1, 5);
	normal_device_lost(bench.device, 2, HAY_OFFLINE);
	normal_device_lost(bench.device, 3, HAY_OFFLINE);
	measure(&bench, 4, 5);
	normal_device_lost(bench.device, 5, HAY_OFFLINE);
	assert_string_equal(bench.said, "5 bad:offline 5 bad:offline ");
	teardown(&bench);
}

/* A computed point publishes from within the callback: what it said overwrote the sample on its way, so that whoever
   came next was given its readings, and the first ones were lost. */
static void answer_with_another_reading(const struct stream_sample *sample, void *userdata)
{
	struct bench *bench = userdata;

	if (sample->n_readings == 2) {
		struct hay_reading reading = {.point = 1, .value = {.type = HAY_STRING, .s = {"computed", 8}}};

		normal_device_sample(bench->device, &(struct hay_sample){.time_us = sample->sample->time_us,
									 .readings = &reading,
									 .n_readings = 1});
	}
}

static void a_subscriber_emits_for_the_same_device(void **state _unused_)
{
	struct point_rules rules = plain;
	struct bench bench;

	rules.report = (struct report_conf){.set = true, .deadband = NAN};
	/* The one that answers is called before the one that looks. */
	setup_subscribers(&bench, answer_with_another_reading, HAY_FLOAT64, &plain);
	assert_int_equal(normal_device_add_point(bench.device, "s", NULL, HAY_STRING, &rules), 0);
	for (int i = 0; i < 2; i++) {
		struct hay_reading readings[2] = {
			{.point = 0, .value = {.type = HAY_FLOAT64, .d = i}},
			{.point = 1, .value = {.type = HAY_STRING, .s = {i == 0 ? "one" : "two", 3}}}};

		normal_device_sample(
			bench.device,
			&(struct hay_sample){.time_us = (uint64_t)i, .readings = readings, .n_readings = 2});
	}
	assert_string_equal(bench.said, "0 one computed 1 two computed ");
	assert_int_equal(bench.n, 4);
	teardown(&bench);
}

/* The sanitizers' allocators would rather abort. */
__attribute__((visibility("default"))) const char *__asan_default_options(void);
const char *__asan_default_options(void)
{
	return "allocator_may_return_null=1";
}

__attribute__((visibility("default"))) const char *__tsan_default_options(void);
const char *__tsan_default_options(void)
{
	return "allocator_may_return_null=1";
}

/* No machine has the memory for this one: it is told, and the next goes up. */
static void a_sample_without_memory_is_told(void **state _unused_)
{
	struct point_rules rules = {.scale = 1, .decimals = -1, .min = NAN, .max = NAN, .report = {.deadband = NAN}};
	struct bench bench;
	struct hay_reading reading = {.value = {.type = HAY_STRING, .s = {.data = "x", .size = (size_t)1 << 60}}};
	struct hay_sample sample = {.time_us = 1, .readings = &reading, .n_readings = 1};

	setup(&bench, HAY_STRING, &rules);
	normal_device_sample(bench.device, &sample);
	assert_int_equal(bench.n_lost, 1);
	reading.value.s.size = 1;
	normal_device_sample(bench.device, &sample);
	assert_int_equal(bench.n_lost, 1);
	teardown(&bench);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(whole_numbers_scale_to_the_decimals_written),
		cmocka_unit_test(raw_values_that_mean_not_available_are_bad),
		cmocka_unit_test(a_float_that_is_not_a_number_can_mean_not_available),
		cmocka_unit_test(whole_scale_keeps_whole_numbers),
		cmocka_unit_test(whole_numbers_that_do_not_fit_are_bad),
		cmocka_unit_test(a_value_of_another_type_than_its_point_is_bad),
		cmocka_unit_test(what_is_no_number_is_bad),
		cmocka_unit_test(out_of_range_is_uncertain_and_delivered),
		cmocka_unit_test(decimals_round_both_kinds_of_floats),
		cmocka_unit_test(commands_are_scaled_back),
		cmocka_unit_test(without_rules_everything_goes_up),
		cmocka_unit_test(a_sample_without_memory_is_told),
		cmocka_unit_test(a_subscriber_emits_for_the_same_device),
		cmocka_unit_test(deadband_lets_small_moves_go),
		cmocka_unit_test(percent_is_of_the_last_reported_value),
		cmocka_unit_test(percent_of_a_value_below_zero),
		cmocka_unit_test(a_deadband_does_not_hold_a_switch_back),
		cmocka_unit_test(another_exception_is_another_state),
		cmocka_unit_test(quality_changes_go_at_once_and_only_once),
		cmocka_unit_test(max_interval_sends_what_did_not_move),
		cmocka_unit_test(min_interval_keeps_the_latest),
		cmocka_unit_test(min_interval_before_the_machines_start),
		cmocka_unit_test(a_point_becomes_a_number),
		cmocka_unit_test(what_came_back_in_time_is_not_sent),
		cmocka_unit_test(what_came_back_before_the_timer_is_not_sent),
		cmocka_unit_test(strings_are_kept_beyond_the_sample),
		cmocka_unit_test(a_lost_device_says_so_once),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
