/* SPDX-License-Identifier: Apache-2.0 */
/* The characteristics that the Bluetooth SIG gave a meaning (GATT Specification Supplement), as their bytes lie in the air. */
#include "../../../plugins/ble/standard.h"
#include <errno.h>
#include <haywain/helpers.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

static void values(void **state)
{
	static const struct {
		uint16_t uuid;
		uint8_t bytes[8];
		size_t size;
		double value; /* NAN: it is not known */
	} cases[] = {
		{0x2A19, {87}, 1, 87},
		{0x2A6E, {0x0c, 0xfe}, 2, -5},
		{0x2A6E, {0x00, 0x80}, 2, NAN},
		{0x2A6F, {0x10, 0x27}, 2, 100},
		{0x2A6F, {0xff, 0xff}, 2, NAN},
		{0x2A6D, {0xcd, 0x75, 0x0f, 0x00}, 4, 1013.197},
		{0x2A7B, {0xf6}, 1, -10},
		{0x2A6C, {0x18, 0xfc, 0xff}, 3, -10},
		{0x2A37, {0x00, 72}, 2, 72},
		{0x2A37, {0x01, 0x2c, 0x01}, 3, 300},
		/* Temperature Measurement: 36.6 as 366 × 10^-1; the same in degrees Fahrenheit as 979 × 10^-1. */
		{0x2A1C, {0x00, 0x6e, 0x01, 0x00, 0xff}, 5, 36.6},
		{0x2A1C, {0x01, 0xd4, 0x03, 0x00, 0xff}, 5, (98.0 - 32) * 5 / 9},
		{0x2A1C, {0x00, 0xfe, 0xff, 0x7f, 0x00}, 5, NAN},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		static struct ble_decoded decoded;
		int r;

		decoded = (struct ble_decoded){0};
		r = standard_decode(cases[i].uuid, cases[i].bytes, cases[i].size, &decoded);
		if (isnan(cases[i].value)) {
			assert_int_equal(r, -ENOMSG);
			continue;
		}
		assert_int_equal(r, 0);
		assert_int_equal(decoded.n_values, 1);
		assert_true(fabs(hay_value_as_double(&decoded.values[0].value) - cases[i].value) < 1e-9);
	}
}

static void what_is_too_short_is_malformed(void **state)
{
	static const uint16_t uuids[] = {0x2A19, 0x2A1C, 0x2A6D, 0x2A6E, 0x2A37};
	struct ble_decoded decoded = {0};

	(void)state;
	for (size_t i = 0; i < sizeof(uuids) / sizeof(uuids[0]); i++)
		assert_int_equal(standard_decode(uuids[i], (const uint8_t *)"", 0, &decoded), -EBADMSG);
	assert_int_equal(standard_decode(0x2A37, (const uint8_t *)"\x01\x48", 2, &decoded), -EBADMSG);
	assert_int_equal(standard_decode(0x1234, (const uint8_t *)"\x01", 1, &decoded), -ENOMSG);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(values),
		cmocka_unit_test(what_is_too_short_is_malformed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
