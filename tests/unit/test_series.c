/* SPDX-License-Identifier: Apache-2.0 */
/* Numbers of devices and series: the same thing has one number, anything else another. */
#include "model/device_info.h"
#include "model/series.h"
#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#include <errno.h>
#include <stdio.h>
#include <string.h>

static void test_intern(void **state _unused_)
{
	struct series_set *set = series_set_new();
	struct tag tags[] = {{"room", "cellar"}, {"floor", "0"}}, turned[] = {{"floor", "0"}, {"room", "cellar"}};
	const struct series_device *a = series_device_intern(set, "meter", "bus", tags, 2);

	assert_int_equal(a->number, 1);
	assert_string_equal(a->tags[0].name, "floor");
	assert_ptr_equal(series_device_intern(set, "meter", "bus", turned, 2), a);
	assert_ptr_not_equal(series_device_intern(set, "meter", "bus", turned, 1), a);
	assert_ptr_not_equal(series_device_intern(set, "meter", "bus2", turned, 2), a);
	assert_int_equal(series_device_count(set), 3);

	const struct series *power = series_intern(set, a, "power", "W", HAY_FLOAT64);

	assert_int_equal(power->number, 1);
	assert_ptr_equal(series_intern(set, a, "power", "W", HAY_FLOAT64), power);
	assert_ptr_not_equal(series_intern(set, a, "power", "W", HAY_FLOAT32), power);
	assert_ptr_not_equal(series_intern(set, a, "power", "kW", HAY_FLOAT64), power);
	assert_ptr_not_equal(series_intern(set, a, "power", NULL, HAY_FLOAT64), power);
	assert_ptr_not_equal(series_intern(set, series_device_by_number(set, 2), "power", "W", HAY_FLOAT64), power);
	assert_int_equal(series_count(set), 5);
	assert_ptr_equal(series_by_number(set, 1), power);
	assert_null(series_by_number(set, 0));
	assert_null(series_by_number(set, 6));
	series_set_free(set);
}

static void test_many_stay_where_they_are(void **state _unused_)
{
	struct series_set *set = series_set_new();
	const struct series_device *device = series_device_intern(set, "d", NULL, NULL, 0);
	const struct series *first = series_intern(set, device, "p0", NULL, HAY_BOOL);
	char name[16];

	for (unsigned i = 1; i < 5000; i++) {
		snprintf(name, sizeof(name), "p%u", i);
		assert_int_equal(series_intern(set, device, name, NULL, HAY_BOOL)->number, i + 1);
	}
	assert_ptr_equal(series_by_number(set, 1), first);
	for (unsigned i = 0; i < 5000; i++) {
		snprintf(name, sizeof(name), "p%u", i);
		assert_int_equal(series_intern(set, device, name, NULL, HAY_BOOL)->number, i + 1);
	}
	series_set_free(set);
}

static void test_restore(void **state _unused_)
{
	struct series_set *set = series_set_new();

	assert_int_equal(series_device_restore(set, 2, "meter", "bus", NULL, 0), 0);
	assert_int_equal(series_device_restore(set, 2, "other", "bus", NULL, 0), -EEXIST);
	assert_int_equal(series_device_restore(set, 0, "other", "bus", NULL, 0), -EINVAL);
	assert_int_equal(series_device_restore(set, UINT32_MAX, "other", "bus", NULL, 0), -ERANGE);
	assert_null(series_device_by_number(set, 1));
	assert_int_equal(series_restore(set, 3, 2, "power", "W", HAY_FLOAT64), 0);
	assert_int_equal(series_restore(set, 3, 2, "energy", "kWh", HAY_FLOAT64), -EEXIST);
	assert_int_equal(series_restore(set, 4, 1, "power", "W", HAY_FLOAT64), -ENOENT);
	/* What was restored is found again, and new ones go on after the last. */
	assert_int_equal(series_device_intern(set, "meter", "bus", NULL, 0)->number, 2);
	assert_int_equal(series_device_intern(set, "scale", "bus", NULL, 0)->number, 3);
	assert_int_equal(series_intern(set, series_device_by_number(set, 2), "power", "W", HAY_FLOAT64)->number, 3);
	assert_int_equal(series_intern(set, series_device_by_number(set, 2), "energy", "kWh", HAY_FLOAT64)->number, 4);
	series_set_free(set);
}

/* Of a damaged file it is known how many there were: a new device with the number of a lost one would give its name to the
   samples of that one. */
static void test_lost_numbers_are_not_given_out_again(void **state _unused_)
{
	struct series_set *set = series_set_new();
	const struct series_device *device;

	assert_int_equal(series_device_restore(set, 1, "meter", "bus", NULL, 0), 0);
	assert_int_equal(series_skip(set, 7, 20), 0);
	device = series_device_intern(set, "scale", "bus", NULL, 0);
	assert_int_equal(device->number, 8);
	assert_int_equal(series_intern(set, device, "weight", "kg", HAY_FLOAT64)->number, 21);
	assert_null(series_device_by_number(set, 7));
	assert_int_equal(series_skip(set, 3, 3), 0);
	assert_int_equal(series_device_count(set), 8);
	series_set_free(set);
}

static void test_type_names(void **state _unused_)
{
	for (int type = HAY_TYPE_NONE + 1; type < HAY_N_TYPES; type++)
		assert_int_equal(type_from_name(type_to_string((enum hay_type)type)), type);
	assert_int_equal(type_from_name("none"), HAY_TYPE_NONE);
	assert_int_equal(type_from_name("float"), HAY_TYPE_NONE);
}

static void test_card(void **state _unused_)
{
	struct series_set *set = series_set_new();
	const struct series_device *device = series_device_intern(set, "meter", "bus", NULL, 0);
	struct device_info_point point = {.series = series_intern(set, device, "power", "W", HAY_FLOAT64),
					  .writable = true};
	char reason[] = "timeout";
	struct device_info *info = device_info_new(device, false, 5, reason, &point, 1);

	reason[0] = 'x';
	assert_string_equal(info->reason, "timeout");
	assert_true(info->points[0].writable);
	assert_ptr_equal(device_info_ref(info), info);
	device_info_unref(info);
	assert_string_equal(info->reason, "timeout");
	device_info_unref(info);
	series_set_free(set);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_intern),	cmocka_unit_test(test_many_stay_where_they_are),
		cmocka_unit_test(test_restore), cmocka_unit_test(test_type_names),
		cmocka_unit_test(test_card),	cmocka_unit_test(test_lost_numbers_are_not_given_out_again),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
