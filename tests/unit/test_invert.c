/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a command writes never reads as a value outside min and max, and is the nearest one that does not. Rounding to the
 * nearest whole raw number once went past both: with scale = 4 and max = 10 the command 10 wrote 3, which is 12.
 *
 * The expected results are computed in whole numbers: scales, offsets, limits and values are whole multiples of a power of
 * ten, and so the sums here are exact.
 */
#include "base/util.h"
#include "normalize/rules.h"
#include <errno.h>
#include <float.h>
#include <inttypes.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

static const struct point_rules plain = {
	.scale = 1, .decimals = -1, .min = NAN, .max = NAN, .report = {.deadband = NAN}};

static uint64_t state;

/* xorshift64*: the same numbers in each run. */
static uint64_t next_random(void)
{
	state ^= state >> 12;
	state ^= state << 25;
	state ^= state >> 27;
	return state * UINT64_C(2685821657736338717);
}

static int64_t between(int64_t low, int64_t high)
{
	return low + (int64_t)(next_random() % (uint64_t)(high - low + 1));
}

static bool is_signed(enum hay_type type)
{
	return type >= HAY_INT16 && type <= HAY_INT64;
}

static int64_t raw_of(const struct hay_value *value)
{
	return is_signed(value->type) ? value->i : (int64_t)value->u;
}

/* ---- whole raw numbers, scaled by decimals ---- */

struct trial {
	enum hay_type type;
	int64_t scale, offset, wanted, min, max; /* in units of 10^-decimals */
	bool has_min, has_max;
	int decimals;
};

static bool in_type(enum hay_type type, int64_t raw)
{
	return type == HAY_INT16    ? raw >= INT16_MIN && raw <= INT16_MAX
	       : type == HAY_UINT16 ? raw >= 0 && raw <= UINT16_MAX
	       : type == HAY_INT32  ? raw >= INT32_MIN && raw <= INT32_MAX
				    : raw >= 0 && raw <= UINT32_MAX;
}

static bool is_allowed(const struct trial *t, int64_t raw)
{
	int64_t value = raw * t->scale + t->offset;

	return in_type(t->type, raw) && (!t->has_min || value >= t->min) && (!t->has_max || value <= t->max);
}

static int64_t distance(const struct trial *t, int64_t raw)
{
	return llabs(raw * t->scale + t->offset - t->wanted);
}

static struct trial make_trial(void)
{
	static const enum hay_type types[] = {HAY_INT16, HAY_UINT16, HAY_INT32, HAY_UINT32};
	static const int64_t lows[] = {INT16_MIN, 0, INT32_MIN, 0},
			     highs[] = {INT16_MAX, UINT16_MAX, INT32_MAX, UINT32_MAX};
	unsigned which = (unsigned)(next_random() % ELEMENTS(types));
	struct trial t = {.type = types[which], .decimals = (int)between(0, 4)};
	int64_t raw = next_random() % 2 ? between(MAX(lows[which], -100), 100) : between(lows[which], highs[which]),
		reach;

	do
		t.scale = next_random() % 2 ? between(-12, 12) : between(-2000, 2000);
	while (!t.scale);
	t.offset = next_random() % 3 ? between(-100000, 100000) : 0;
	reach = 2 * llabs(t.scale);
	t.wanted = raw * t.scale + t.offset + between(-reach, reach);
	t.has_min = next_random() % 4 != 0;
	t.has_max = next_random() % 4 != 0;
	t.min = t.wanted - between(0, reach);
	t.max = t.wanted + between(0, reach);
	return t;
}

static void check_trial(const struct trial *t)
{
	static const double powers[] = {1, 10, 100, 1000, 10000};
	double unit = powers[t->decimals];
	struct point_rules rules = plain;
	struct hay_value wanted = {.type = HAY_FLOAT64, .d = (double)t->wanted / unit}, raw = {0};
	int64_t below = (t->wanted - t->offset) / t->scale, nearest, other, got;
	int r;

	rules.scale = (double)t->scale / unit;
	rules.offset = (double)t->offset / unit;
	rules.min = t->has_min ? (double)t->min / unit : (double)NAN;
	rules.max = t->has_max ? (double)t->max / unit : (double)NAN;
	if (t->decimals == 0 && next_random() % 2)
		wanted = (struct hay_value){.type = HAY_INT64, .i = t->wanted};
	/* The two raw numbers around it: division cuts towards zero. */
	if ((t->wanted - t->offset) % t->scale != 0 && ((t->wanted - t->offset < 0) != (t->scale < 0)))
		below--;
	nearest = distance(t, below) <= distance(t, below + 1) ? below : below + 1;
	other = nearest == below ? below + 1 : below;
	r = rules_invert(&rules, t->type, &wanted, &raw);
	got = r == 0 ? raw_of(&raw) : 0;
	if (r == 0 && is_allowed(t, got) && (got == nearest || got == other) &&
	    (distance(t, got) <= distance(t, nearest) || !is_allowed(t, nearest)))
		return;
	/* None, where none of the two is allowed, or the nearest one is past the end of the type. */
	if (r < 0 && !is_allowed(t, nearest) && (!is_allowed(t, other) || !in_type(t->type, nearest)))
		return;
	/* Halfway between two, the one that lies past the end of the type may be the nearest. */
	if (r == -ERANGE && distance(t, nearest) == distance(t, other) && !in_type(t->type, other))
		return;
	fail_msg("scale %" PRId64 " offset %" PRId64 " wanted %" PRId64 " min %s%" PRId64 " max %s%" PRId64
		 " decimals %d type %d: %d, raw %" PRId64 ", nearest %" PRId64 ", other %" PRId64,
		 t->scale, t->offset, t->wanted, t->has_min ? "" : "none ", t->min, t->has_max ? "" : "none ", t->max,
		 t->decimals, t->type, r, got, nearest, other);
}

static void whole_numbers_are_the_nearest_allowed_ones(void **unused _unused_)
{
	state = 20260727;
	for (unsigned i = 0; i < 300000; i++) {
		struct trial t = make_trial();

		check_trial(&t);
	}
}

/* ---- 64 bits, of which a double has 53 ---- */

static void check_wide(enum hay_type type, int64_t scale, int64_t offset, int64_t wanted, double min, double max)
{
	struct point_rules rules = plain;
	struct hay_value value = {.type = HAY_INT64, .i = wanted}, raw;
	int64_t back;
	int r;

	rules.scale = (double)scale;
	rules.offset = (double)offset;
	rules.min = min;
	rules.max = max;
	r = rules_invert(&rules, type, &value, &raw);
	if (r < 0)
		return;
	assert_true(type == HAY_INT64 || raw.u <= INT64_MAX);
	assert_false(__builtin_mul_overflow(raw_of(&raw), scale, &back));
	assert_false(__builtin_add_overflow(back, offset, &back));
	/* The limits are whole numbers here, and fit. */
	assert_true(isnan(min) || back >= (int64_t)min);
	assert_true(isnan(max) || back <= (int64_t)max);
	/* Less than a step away, and half a step where no limit is near. */
	assert_true((uint64_t)llabs(back - wanted) < (uint64_t)llabs(scale));
	if (isnan(min) && isnan(max))
		assert_true((uint64_t)llabs(back - wanted) * 2 <= (uint64_t)llabs(scale));
}

static void wide_numbers_keep_all_their_digits(void **unused _unused_)
{
	unsigned done = 0;

	state = 4711;
	for (unsigned i = 0; i < 100000; i++) {
		enum hay_type type = next_random() % 2 ? HAY_INT64 : HAY_UINT64;
		int64_t scale = between(1, 1000) * (next_random() % 2 ? 1 : -1), offset = between(-1000, 1000);
		int64_t wanted = (int64_t)(next_random() >> between(1, 40)) * (next_random() % 2 ? 1 : -1);
		/* Doubles near to it; a double between the two may be any. */
		double min = next_random() % 2 ? nextafter((double)wanted, -INFINITY) : (double)NAN;
		double max = next_random() % 2 ? nextafter((double)wanted, INFINITY) : (double)NAN;

		if (fabs((double)wanted) < 0x1p54 || fabs((double)wanted) > 0x1p62)
			min = max = (double)NAN;
		check_wide(type, scale, offset, wanted, min, max);
		done++;
	}
	assert_int_equal(done, 100000);
}

static void expect_wide(enum hay_type type, struct hay_value wanted, uint64_t bits)
{
	struct hay_value raw;

	assert_int_equal(rules_invert(&plain, type, &wanted, &raw), 0);
	assert_true(raw.u == bits);
}

static void the_ends_of_64_bits_are_written_as_they_are(void **unused _unused_)
{
	struct hay_value raw, over = {.type = HAY_UINT64, .u = (uint64_t)INT64_MAX + 1},
			      two_64 = {.type = HAY_FLOAT64, .d = 0x1p64}, minus_one = {.type = HAY_INT64, .i = -1};
	struct point_rules rules = plain;

	expect_wide(HAY_UINT64, (struct hay_value){.type = HAY_UINT64, .u = UINT64_MAX}, UINT64_MAX);
	expect_wide(HAY_UINT64, (struct hay_value){.type = HAY_INT64, .i = INT64_MAX}, INT64_MAX);
	expect_wide(HAY_INT64, (struct hay_value){.type = HAY_INT64, .i = INT64_MIN}, (uint64_t)INT64_MIN);
	expect_wide(HAY_INT64, (struct hay_value){.type = HAY_INT64, .i = 9007199254740993}, 9007199254740993);
	expect_wide(HAY_UINT64, (struct hay_value){.type = HAY_FLOAT64, .d = 0x1p63}, UINT64_C(1) << 63);
	assert_int_equal(rules_invert(&plain, HAY_INT64, &over, &raw), -ERANGE);
	assert_int_equal(rules_invert(&plain, HAY_UINT64, &two_64, &raw), -ERANGE);
	assert_int_equal(rules_invert(&plain, HAY_UINT64, &minus_one, &raw), -ERANGE);
	/* A limit that a double has, and a number next to it that it has not. */
	rules.max = 9007199254740992.0;
	over = (struct hay_value){.type = HAY_INT64, .i = 9007199254740993};
	assert_int_equal(rules_invert(&rules, HAY_INT64, &over, &raw), -ERANGE);
	rules.max = 0x1p63;
	over.i = INT64_MAX;
	assert_int_equal(rules_invert(&rules, HAY_INT64, &over, &raw), 0);
	/* What would overflow on its way back up. */
	rules = plain;
	rules.scale = 1000;
	over = (struct hay_value){.type = HAY_UINT64, .u = UINT64_MAX};
	assert_int_equal(rules_invert(&rules, HAY_UINT64, &over, &raw), -ERANGE);
	rules.scale = -1;
	over = (struct hay_value){.type = HAY_INT64, .i = INT64_MIN};
	assert_int_equal(rules_invert(&rules, HAY_INT64, &over, &raw), -ERANGE);
}

/* ---- floats ---- */

static double scaled(const struct point_rules *rules, const struct hay_value *raw)
{
	double number = raw->type == HAY_FLOAT32 ? (double)raw->f : raw->d;

	return rules->scale == 1 && rules->offset == 0 ? number : number * rules->scale + rules->offset;
}

static void check_float(enum hay_type type)
{
	struct point_rules rules = plain;
	double wanted = (double)between(-1000000, 1000000) / 1000, reach, error;
	struct hay_value value = {.type = HAY_FLOAT64, .d = wanted}, raw;
	int r;

	if (next_random() % 4) {
		do
			rules.scale = (double)between(-5000, 5000) / 1000;
		while (rules.scale == 0);
		rules.offset = (double)between(-50000, 50000) / 1000;
	}
	reach = (fabs(wanted) + fabs(rules.offset) + 1) *
		(type == HAY_FLOAT32 ? 2 * (double)FLT_EPSILON : 4 * DBL_EPSILON);
	/* Often the value is the limit itself. */
	rules.min = next_random() % 3 ? wanted - (next_random() % 2 ? reach : 0) : (double)NAN;
	rules.max = next_random() % 3 ? wanted + (next_random() % 2 ? reach : 0) : (double)NAN;
	r = rules_invert(&rules, type, &value, &raw);
	if (r < 0) {
		/* Only where the range is narrower than the type's numbers are apart. */
		assert_int_equal(r, -EDOM);
		assert_false(isnan(rules.min) || isnan(rules.max));
		assert_true(rules.max - rules.min <= 2 * reach);
		return;
	}
	assert_false(scaled(&rules, &raw) < rules.min || scaled(&rules, &raw) > rules.max);
	error = fabs(scaled(&rules, &raw) - wanted);
	if (error > 2 * reach)
		fail_msg("scale %.17g offset %.17g: %.17g became %.17g", rules.scale, rules.offset, wanted,
			 scaled(&rules, &raw));
}

static void floats_stay_within_the_limits(void **unused _unused_)
{
	state = 99;
	for (unsigned i = 0; i < 100000; i++)
		check_float(i % 2 ? HAY_FLOAT32 : HAY_FLOAT64);
}

static int invert_number(const struct point_rules *rules, enum hay_type type, double number, struct hay_value *ret)
{
	struct hay_value value = {.type = HAY_FLOAT64, .d = number};

	return rules_invert(rules, type, &value, ret);
}

static void what_is_not_finite_or_overflows_is_refused(void **unused _unused_)
{
	static const enum hay_type types[] = {HAY_INT16,  HAY_INT32,  HAY_INT64,   HAY_UINT16,
					      HAY_UINT32, HAY_UINT64, HAY_FLOAT32, HAY_FLOAT64};
	struct point_rules small = plain;
	struct hay_value raw;

	for (size_t i = 0; i < ELEMENTS(types); i++) {
		assert_int_equal(invert_number(&plain, types[i], (double)NAN, &raw), -ERANGE);
		assert_int_equal(invert_number(&plain, types[i], (double)INFINITY, &raw), -ERANGE);
		assert_int_equal(invert_number(&plain, types[i], -(double)INFINITY, &raw), -ERANGE);
		/* 0 has no sign: a device may not know -0. */
		assert_int_equal(invert_number(&plain, types[i], -0.0, &raw), 0);
		assert_true(raw.u == 0);
	}
	small.scale = 0.001;
	assert_int_equal(invert_number(&small, HAY_FLOAT64, 1e308, &raw), -ERANGE);
	assert_int_equal(invert_number(&small, HAY_FLOAT64, -1e308, &raw), -ERANGE);
	assert_int_equal(invert_number(&plain, HAY_FLOAT32, 1e39, &raw), -ERANGE);
	assert_int_equal(invert_number(&plain, HAY_FLOAT32, (double)FLT_MAX, &raw), 0);
	assert_int_equal(invert_number(&plain, HAY_INT16, 32767.4, &raw), 0);
	assert_int_equal(invert_number(&plain, HAY_INT16, 32767.5, &raw), -ERANGE);
	assert_int_equal(invert_number(&plain, HAY_UINT64, -0.4, &raw), 0);
	assert_true(raw.u == 0);
}

/* The two of the report that led to this. */
static void rounding_goes_towards_the_range(void **unused _unused_)
{
	struct point_rules rules = plain;
	struct hay_value raw;

	rules.scale = 4;
	rules.min = 0;
	rules.max = 10;
	assert_int_equal(invert_number(&rules, HAY_UINT16, 10, &raw), 0);
	assert_int_equal(raw.u, 2);
	rules.scale = 10;
	rules.max = 55;
	assert_int_equal(invert_number(&rules, HAY_UINT16, 55, &raw), 0);
	assert_int_equal(raw.u, 5);
	/* Between two steps there is none. */
	rules.min = 52;
	assert_int_equal(invert_number(&rules, HAY_UINT16, 54, &raw), -EDOM);
}

static void limits_of_a_coarser_wire_form(void **unused _unused_)
{
	struct point_rules rules = plain;
	double low, high;

	rules.scale = -0.5;
	rules.min = 10;
	rules.max = 30.3;
	rules_raw_limits(&rules, HAY_FLOAT32, &low, &high);
	assert_true(low * -0.5 <= 30.3 && low < -60.59 && high == -20);
	rules_raw_limits(&rules, HAY_UINT16, &low, &high);
	assert_true(isnan(low) && isnan(high));
	rules.max = (double)NAN;
	rules_raw_limits(&rules, HAY_FLOAT64, &low, &high);
	assert_true(isnan(low) && high == -20);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(whole_numbers_are_the_nearest_allowed_ones),
		cmocka_unit_test(wide_numbers_keep_all_their_digits),
		cmocka_unit_test(the_ends_of_64_bits_are_written_as_they_are),
		cmocka_unit_test(floats_stay_within_the_limits),
		cmocka_unit_test(what_is_not_finite_or_overflows_is_refused),
		cmocka_unit_test(rounding_goes_towards_the_range),
		cmocka_unit_test(limits_of_a_coarser_wire_form),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
