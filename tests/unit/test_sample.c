/* SPDX-License-Identifier: Apache-2.0 */
/* The blob: what goes in comes out, and nothing that is damaged is believed. */
#include "model/sample.h"
#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#include <errno.h>
#include <math.h>
#include <string.h>

#define TEXT(text)                                                                                                     \
	{                                                                                                              \
		.data = (text), .size = sizeof(text) - 1                                                               \
	}

static const struct sample_reading all[] = {
	{.series = 7, .value = {.type = HAY_BOOL, .b = true}},
	{.series = 3, .value = {.type = HAY_INT16, .i = -32768}},
	{.series = UINT32_MAX, .value = {.type = HAY_INT64, .i = INT64_MIN}},
	{.series = 1, .value = {.type = HAY_UINT64, .u = UINT64_MAX}},
	{.series = 2, .value = {.type = HAY_UINT32, .u = 0}},
	{.series = 4, .value = {.type = HAY_FLOAT32, .f = -1.5f}},
	{.series = 5, .value = {.type = HAY_FLOAT64, .d = 61.2}},
	{.series = 6, .value = {.type = HAY_STRING, .s = TEXT("°C\0x")}},
	{.series = 8, .value = {.type = HAY_BYTES, .s = {.data = "", .size = 0}}},
	{.series = 9,
	 .quality = HAY_UNCERTAIN,
	 .reason = HAY_OUT_OF_RANGE,
	 .value = {.type = HAY_INT32, .i = 2147483647}},
	{.series = 10, .quality = HAY_BAD, .reason = HAY_TIMEOUT, .value = {.type = HAY_FLOAT64}},
	{.series = 11,
	 .quality = HAY_BAD,
	 .reason = HAY_EXCEPTION,
	 .exception = "illegal data address",
	 .exception_size = 20,
	 .value = {.type = HAY_TYPE_NONE}},
};

static void assert_same(const struct sample_reading *a, const struct sample_reading *b)
{
	assert_int_equal(a->series, b->series);
	assert_int_equal(a->quality, b->quality);
	assert_int_equal(a->reason, b->reason);
	assert_int_equal(a->value.type, b->value.type);
	assert_int_equal(a->exception_size, b->exception_size);
	if (a->exception_size > 0)
		assert_memory_equal(a->exception, b->exception, a->exception_size);
	if (a->quality == HAY_BAD)
		return;
	switch (a->value.type) {
	case HAY_BOOL:
		assert_int_equal(a->value.b, b->value.b);
		break;
	case HAY_FLOAT32:
		assert_memory_equal(&a->value.f, &b->value.f, sizeof(float));
		break;
	case HAY_STRING:
	case HAY_BYTES:
		assert_int_equal(a->value.s.size, b->value.s.size);
		assert_memory_equal(a->value.s.data, b->value.s.data, a->value.s.size);
		break;
	default:
		assert_true(a->value.u == b->value.u);
	}
}

static void test_round_trip(void **state _unused_)
{
	_cleanup_(sample_unrefp) struct sample *sample = sample_new(12, 345, all, ELEMENTS(all));
	struct sample_cursor cursor;
	struct sample_reading reading;

	assert_non_null(sample);
	assert_int_equal(sample->device, 12);
	assert_int_equal(sample->time_us, 345);
	assert_int_equal(sample_begin(sample, &cursor), 0);
	for (size_t i = 0; i < ELEMENTS(all); i++) {
		assert_int_equal(sample_next(&cursor, &reading), 1);
		assert_same(&all[i], &reading);
	}
	assert_int_equal(sample_next(&cursor, &reading), 0);
}

/* A single reading of a neighbouring series costs a few bytes. */
static void test_compact(void **state _unused_)
{
	struct sample_reading readings[10];

	for (uint32_t i = 0; i < 10; i++)
		readings[i] = (struct sample_reading){.series = 100 + i, .value = {.type = HAY_UINT16, .u = 90}};
	_cleanup_(sample_unrefp) struct sample *sample = sample_new(1, 0, readings, 10);

	assert_int_equal(sample->size, 2 + 1 + 10 * 3);
}

/* Walk to the end or to the error; what comes is in range. */
static int walk(const struct sample *sample)
{
	struct sample_cursor cursor;
	struct sample_reading reading;
	int r = sample_begin(sample, &cursor);

	while (r == 0 && (r = sample_next(&cursor, &reading)) > 0) {
		assert_true(reading.value.type < HAY_N_TYPES && reading.reason < HAY_N_REASONS);
		r = 0;
	}
	return r;
}

static void test_every_cut_is_found(void **state _unused_)
{
	_cleanup_(sample_unrefp) struct sample *whole = sample_new(1, 1, all, ELEMENTS(all));

	for (uint32_t size = 0; size < whole->size; size++) {
		_cleanup_(sample_unrefp) struct sample *cut = sample_from_blob(1, 1, whole->blob, size);
		struct sample_cursor cursor;
		struct sample_reading reading;
		int r = sample_begin(cut, &cursor);

		while (r == 0) {
			r = sample_next(&cursor, &reading);
			if (r == 0)
				fail_msg("a blob cut to %u bytes was taken for whole", size);
			if (r > 0)
				r = 0;
		}
		assert_int_equal(r, -EBADMSG);
	}
}

static void test_every_flipped_bit_is_survived(void **state _unused_)
{
	_cleanup_(sample_unrefp) struct sample *sample = sample_new(1, 1, all, ELEMENTS(all));

	for (uint32_t bit = 0; bit < sample->size * 8; bit++) {
		sample->blob[bit / 8] ^= (uint8_t)(1 << bit % 8);
		walk(sample);
		sample->blob[bit / 8] ^= (uint8_t)(1 << bit % 8);
	}
	assert_int_equal(walk(sample), 0);
}

static void test_a_count_that_lies(void **state _unused_)
{
	static const uint8_t huge[] = {1, 0xff, 0xff, 0xff, 0xff, 0x0f, 2, 1, 1};
	static const uint8_t version[] = {2, 0};
	_cleanup_(sample_unrefp) struct sample *a = sample_from_blob(1, 1, huge, sizeof(huge));
	_cleanup_(sample_unrefp) struct sample *b = sample_from_blob(1, 1, version, sizeof(version));
	struct sample_cursor cursor;

	assert_int_equal(sample_begin(a, &cursor), -EBADMSG);
	assert_int_equal(sample_begin(b, &cursor), -EBADMSG);
}

/* Whole rows of a damaged page pass for blobs: what such a one says of itself does not fit its bytes. */
static void test_what_does_not_fit_its_blob(void **state _unused_)
{
	static const struct {
		uint8_t blob[8];
		uint32_t size;
	} cases[] = {
		{{1, 1, 2, HAY_STRING, 3, 'a', 'b'}, 7},     /* a text of three bytes, and two are left */
		{{1, 1, 2, HAY_BOOL, 1, 0}, 6},		     /* a byte behind the last reading */
		{{1, 1, 1, HAY_BOOL, 1}, 5},		     /* series -1 */
		{{1, 2, 2, HAY_BOOL, 1, 3, HAY_BOOL, 1}, 8}, /* a step back from series 1 to -1 */
		{{1, 1, 2, HAY_BOOL, 2}, 5},		     /* neither true nor false */
	};

	for (size_t i = 0; i < ELEMENTS(cases); i++) {
		_cleanup_(sample_unrefp) struct sample *sample = sample_from_blob(1, 1, cases[i].blob, cases[i].size);
		struct sample_cursor cursor;
		struct sample_reading reading;
		uint64_t most;

		assert_int_equal(sample_begin(sample, &cursor), 0);
		most = cursor.left - (i != 1);
		for (uint64_t n = 0; n < most; n++)
			assert_int_equal(sample_next(&cursor, &reading), 1);
		assert_int_equal(sample_next(&cursor, &reading), -EBADMSG);
	}
}

static void test_counting(void **state _unused_)
{
	struct sample *sample = sample_new(1, 1, NULL, 0);

	assert_ptr_equal(sample_ref(sample), sample);
	assert_null(sample_unref(sample));
	assert_int_equal(walk(sample), 0);
	sample_unref(sample);
	assert_null(sample_unref(NULL));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_round_trip),	   cmocka_unit_test(test_compact),
		cmocka_unit_test(test_every_cut_is_found), cmocka_unit_test(test_every_flipped_bit_is_survived),
		cmocka_unit_test(test_a_count_that_lies),  cmocka_unit_test(test_what_does_not_fit_its_blob),
		cmocka_unit_test(test_counting),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
