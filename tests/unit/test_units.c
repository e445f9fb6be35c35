/* SPDX-License-Identifier: Apache-2.0 */
#include "base/units.h"

#include <errno.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static void durations(void **state _unused_)
{
	static const struct {
		const char *text;
		int r;
		uint64_t us;
	} cases[] = {
		{"250ms", 0, 250000},
		{"5s", 0, 5000000},
		{"10m", 0, 600000000},
		{"2h", 0, UINT64_C(7200000000)},
		{"30d", 0, UINT64_C(2592000000000)},
		{"0s", 0, 0},
		{"7us", 0, 7},
		{"1.5s", 0, 1500000},
		{"0.1d", 0, UINT64_C(8640000000)},
		{"0.0000001s", 0, 0},
		{"106751991d", 0, UINT64_C(9223372022400000000)},
		{"106751992d", -ERANGE, 0},
		{"99999999999999999999s", -ERANGE, 0},
		{"10", -EINVAL, 0},
		{"", -EINVAL, 0},
		{"s", -EINVAL, 0},
		{"-5s", -EINVAL, 0},
		{"5 s", -EINVAL, 0},
		{"5sec", -EINVAL, 0},
		{"5.s", -EINVAL, 0},
		{".5s", -EINVAL, 0},
		{"5S", -EINVAL, 0},
	};

	for (size_t i = 0; i < ELEMENTS(cases); i++) {
		uint64_t us = 0;

		assert_int_equal(parse_duration(cases[i].text, &us), cases[i].r);
		assert_true(us == cases[i].us);
	}
}

static void sizes_and_rates(void **state _unused_)
{
	uint64_t bytes = 0;
	double rate = 0;

	assert_int_equal(parse_size("64MB", &bytes), 0);
	assert_true(bytes == 64 * 1024 * 1024);
	assert_int_equal(parse_size("1.5KB", &bytes), 0);
	assert_true(bytes == 1536);
	assert_int_equal(parse_size("100B", &bytes), 0);
	assert_true(bytes == 100);
	assert_int_equal(parse_size("64", &bytes), -EINVAL);
	assert_int_equal(parse_size("64M", &bytes), -EINVAL);
	assert_int_equal(parse_size("9999999999GB", &bytes), -ERANGE);

	assert_int_equal(parse_rate("2000/s", &rate), 0);
	assert_true(rate == 2000);
	assert_int_equal(parse_rate("120/m", &rate), 0);
	assert_true(rate == 2);
	assert_int_equal(parse_rate("3600/h", &rate), 0);
	assert_true(rate == 1);
	assert_int_equal(parse_rate("2000", &rate), -EINVAL);
	assert_int_equal(parse_rate("2000/w", &rate), -EINVAL);
	assert_int_equal(parse_rate("1e5/s", &rate), -EINVAL);
	assert_int_equal(parse_rate("/s", &rate), -EINVAL);
}

static void texts_for_people(void **state _unused_)
{
	char duration[DURATION_TEXT_MAX], size[SIZE_TEXT_MAX];

	assert_string_equal(format_duration(0, duration), "0 s");
	assert_string_equal(format_duration(999, duration), "999 us");
	assert_string_equal(format_duration(250000, duration), "250 ms");
	assert_string_equal(format_duration(1500000, duration), "1.5 s");
	assert_string_equal(format_duration(59990000, duration), "59 s");
	assert_string_equal(format_duration(3 * USEC_PER_MINUTE, duration), "3 min");
	assert_string_equal(format_duration(130 * USEC_PER_MINUTE, duration), "2 h 10 min");
	assert_string_equal(format_duration(2 * USEC_PER_HOUR, duration), "2 h");
	assert_string_equal(format_duration(99 * USEC_PER_HOUR, duration), "4 d 3 h");
	format_duration(UINT64_MAX, duration);
	assert_string_equal(format_size(812, size), "812 B");
	assert_string_equal(format_size(4301, size), "4.2 KB");
	assert_string_equal(format_size(1048575, size), "1.0 MB");
	assert_string_equal(format_size(UINT64_MAX, size), "16.0 EB");
}

static void numbers_read_back(void **state _unused_)
{
	static const double doubles[] = {
		0, -0.0, 0.1, 61.2, 1.0 / 3, 1e300, 5e-324, 1.7976931348623157e308, 1.2345678901234568e17};
	static const float floats[] = {0.1f, 16777216.0f, 1.0f / 3, 3.4028235e38f, 1e-45f};
	char text[NUMBER_TEXT_MAX];

	for (size_t i = 0; i < ELEMENTS(doubles); i++) {
		size_t size = format_double(doubles[i], text);

		assert_int_equal(size, strlen(text));
		assert_true(strtod(text, NULL) == doubles[i]);
	}
	for (size_t i = 0; i < ELEMENTS(floats); i++) {
		size_t size = format_float(floats[i], text);

		assert_int_equal(size, strlen(text));
		assert_true(strtof(text, NULL) == floats[i]);
	}
	format_double(0.1, text);
	assert_string_equal(text, "0.1");
	format_float(0.1f, text);
	assert_string_equal(text, "0.1");
}

static void rounding(void **state _unused_)
{
	assert_int_equal(decimals_of(0.1), 1);
	assert_int_equal(decimals_of(0.025), 3);
	assert_int_equal(decimals_of(2), 0);
	assert_int_equal(decimals_of(1e-7), 7);
	assert_int_equal(decimals_of(2.5e-7), 8);
	assert_int_equal(decimals_of(1e20), 0);
	assert_int_equal(decimals_of(1e-30), 17);
	assert_int_equal(decimals_of((double)NAN), 0);

	assert_true(round_decimals(612 * 0.1, 1) == 61.2);
	assert_true(round_decimals(3 * 0.1, 1) == 0.3);
	assert_true(round_decimals(2.5, 0) == 3);
	assert_true(round_decimals(-2.5, 0) == -3);
	assert_true(round_decimals(1.005, 2) == 1.01);
	assert_true(round_decimals(2.675, 2) == 2.68);
	assert_true(round_decimals(1.0049999999999, 2) == 1.00);
	assert_true(round_decimals(0.49999999999999994, 0) == 0);
	assert_true(round_decimals(1e300, 3) == 1e300);
	assert_true(isnan(round_decimals((double)NAN, 2)));
	assert_true(isinf(round_decimals((double)INFINITY, 2)));
	/* Every raw register value times 0.1 must be the decimal one would write. */
	for (int raw = -32768; raw <= 65535; raw++)
		assert_true(round_decimals(raw * 0.1, 1) == (double)raw / 10);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(durations),	    cmocka_unit_test(sizes_and_rates),
		cmocka_unit_test(texts_for_people), cmocka_unit_test(numbers_read_back),
		cmocka_unit_test(rounding),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
