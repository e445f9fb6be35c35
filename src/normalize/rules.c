/* SPDX-License-Identifier: Apache-2.0 */
#include "normalize/rules.h"
#include "base/units.h"
#include <errno.h>
#include <haywain/helpers.h>
#include <math.h>

#define TWO_53 9007199254740992.0
#define TWO_63 9223372036854775808.0
#define TWO_64 18446744073709551616.0

static bool is_whole(double value)
{
	return value == floor(value) && fabs(value) < 9.0e15;
}

static bool has_scale(const struct point_rules *rules)
{
	return rules->scale != 1.0 || rules->offset != 0.0;
}

/* "a float64 unless both are whole numbers": only whole raw numbers stay whole. */
enum hay_type rules_type(const struct point_rules *rules, enum hay_type raw)
{
	if (!hay_type_is_number(raw) || !has_scale(rules))
		return raw;
	if ((hay_type_is_signed(raw) || hay_type_is_unsigned(raw)) && is_whole(rules->scale) && is_whole(rules->offset))
		return HAY_INT64;
	return HAY_FLOAT64;
}

static void make_bad(struct hay_reading *reading, enum hay_reason reason)
{
	reading->quality = HAY_BAD;
	reading->reason = reason;
}

/* Whole number times whole number plus whole number; false: it does not fit. */
static bool scale_whole(const struct point_rules *rules, const struct hay_value *raw, int64_t *ret)
{
	int64_t value;

	if (hay_type_is_unsigned(raw->type)) {
		if (raw->u > INT64_MAX)
			return false;
		value = (int64_t)raw->u;
	} else {
		value = raw->i;
	}
	return !__builtin_mul_overflow(value, (int64_t)rules->scale, &value) &&
	       !__builtin_add_overflow(value, (int64_t)rules->offset, ret);
}

static double scale_number(const struct point_rules *rules, const struct hay_value *raw)
{
	double value = hay_value_as_double(raw) * rules->scale + rules->offset;

	/* 612 x 0.1 is 61.2 and not 61.2000000000000028: as many decimals as were written. */
	if (hay_type_is_signed(raw->type) || hay_type_is_unsigned(raw->type))
		value = round_decimals(value, MAX(decimals_of(rules->scale), decimals_of(rules->offset)));
	return value;
}

/* Scale in place, without rounding to decimals. False: it does not fit. */
static bool scale_value(const struct point_rules *rules, struct hay_value *value)
{
	enum hay_type type = rules_type(rules, value->type);
	int64_t whole;

	if (!has_scale(rules))
		return true;
	if (type == HAY_INT64) {
		if (!scale_whole(rules, value, &whole))
			return false;
		value->i = whole;
	} else {
		value->d = scale_number(rules, value);
	}
	value->type = type;
	return true;
}

/* Above or below a limit, exactly: not every whole number has a double. NaN: neither. */
static int compare_signed(int64_t value, double limit)
{
	if (!(limit < TWO_63))
		return isnan(limit) ? 0 : -1;
	if (limit < -TWO_63)
		return 1;

	int64_t whole = (int64_t)floor(limit);

	return value > whole ? 1 : value < whole || limit > floor(limit) ? -1 : 0;
}

static int compare_unsigned(uint64_t value, double limit)
{
	if (!(limit < TWO_64))
		return isnan(limit) ? 0 : -1;
	if (limit < 0)
		return 1;

	uint64_t whole = (uint64_t)floor(limit);

	return value > whole ? 1 : value < whole || limit > floor(limit) ? -1 : 0;
}

static int compare_to_limit(const struct hay_value *value, double limit)
{
	if (hay_type_is_signed(value->type))
		return compare_signed(value->i, limit);
	if (hay_type_is_unsigned(value->type))
		return compare_unsigned(value->u, limit);

	double number = hay_value_as_double(value);

	return (number > limit) - (number < limit);
}

/* NaN limits compare equal: none. */
static bool is_within(const struct point_rules *rules, const struct hay_value *value)
{
	return compare_to_limit(value, rules->min) >= 0 && compare_to_limit(value, rules->max) <= 0;
}

static void check_range(const struct point_rules *rules, struct hay_reading *reading)
{
	if (!is_within(rules, &reading->value) && reading->quality == HAY_GOOD) {
		reading->quality = HAY_UNCERTAIN;
		reading->reason = HAY_OUT_OF_RANGE;
	}
}

/* A NaN in the list means every NaN, whatever its bits. */
static bool same_number(const struct hay_value *a, const struct hay_value *b)
{
	if (a->type == HAY_FLOAT32)
		return a->f == b->f || (isnan(a->f) && isnan(b->f));
	if (a->type == HAY_FLOAT64)
		return a->d == b->d || (isnan(a->d) && isnan(b->d));
	return a->u == b->u; /* the same bits as i */
}

static bool means_not_available(const struct point_rules *rules, const struct hay_value *raw)
{
	for (size_t i = 0; i < rules->n_invalid; i++)
		if (same_number(&rules->invalid[i], raw))
			return true;
	return false;
}

/* The plugin has made a NaN bad already; the configuration may know more of it. */
static bool nan_means_not_available(const struct point_rules *rules, enum hay_type raw)
{
	struct hay_value nan = {.type = raw};

	if (raw == HAY_FLOAT32)
		nan.f = NAN;
	else if (raw == HAY_FLOAT64)
		nan.d = (double)NAN;
	else
		return false;
	return means_not_available(rules, &nan);
}

void rules_apply(const struct point_rules *rules, enum hay_type raw, struct hay_reading *reading)
{
	enum hay_type type = rules_type(rules, raw);
	struct hay_value *value = &reading->value;

	if (reading->quality == HAY_BAD) {
		if (reading->reason == HAY_NOT_A_NUMBER && nan_means_not_available(rules, raw))
			reading->reason = HAY_NOT_AVAILABLE;
		return;
	}
	if (value->type != raw) { /* a plugin that does not keep to its own types */
		make_bad(reading, HAY_DECODE);
		return;
	}
	if (!hay_type_is_number(raw))
		return;
	if (means_not_available(rules, value)) {
		make_bad(reading, HAY_NOT_AVAILABLE);
		return;
	}
	if (!scale_value(rules, value)) {
		make_bad(reading, HAY_OUT_OF_RANGE);
		return;
	}

	if ((type == HAY_FLOAT64 && !isfinite(value->d)) || (type == HAY_FLOAT32 && !isfinite(value->f))) {
		make_bad(reading, HAY_NOT_A_NUMBER);
		return;
	}
	if (rules->decimals >= 0 && type == HAY_FLOAT64)
		value->d = round_decimals(value->d, rules->decimals);
	else if (rules->decimals >= 0 && type == HAY_FLOAT32)
		value->f = (float)round_decimals((double)value->f, rules->decimals);
	check_range(rules, reading);
}

/* ---- back to raw values ---- */

/* A whole number that stands for a whole raw one, digit for digit: half away from zero. -ERANGE: none does. */
static int unscale_whole(const struct point_rules *rules, const struct hay_value *value, struct hay_value *ret)
{
	int64_t scale = (int64_t)rules->scale, number, rest;

	if (hay_type_is_unsigned(value->type) && value->u > INT64_MAX) {
		ret->u = value->u;
		return hay_type_is_unsigned(ret->type) && !has_scale(rules) && hay_fits_unsigned(ret->type, ret->u)
			       ? 0
			       : -ERANGE;
	}
	number = hay_type_is_unsigned(value->type) ? (int64_t)value->u : value->i;
	if (__builtin_sub_overflow(number, (int64_t)rules->offset, &number) || (number == INT64_MIN && scale == -1))
		return -ERANGE;
	rest = number % scale;
	number /= scale;
	if (2 * llabs(rest) >= llabs(scale))
		number += (rest < 0) == (scale < 0) ? 1 : -1;
	if (hay_type_is_signed(ret->type)) {
		ret->i = number;
		return hay_fits_signed(ret->type, number) ? 0 : -ERANGE;
	}
	ret->u = (uint64_t)number;
	return number >= 0 && hay_fits_unsigned(ret->type, ret->u) ? 0 : -ERANGE;
}

static int nearest_raw(const struct point_rules *rules, const struct hay_value *value, struct hay_value *ret)
{
	bool to_whole = hay_type_is_signed(ret->type) || hay_type_is_unsigned(ret->type);

	if (to_whole && is_whole(rules->scale) && is_whole(rules->offset) &&
	    (hay_type_is_signed(value->type) || hay_type_is_unsigned(value->type)))
		return unscale_whole(rules, value, ret);
	/* 0 is added so that it has no sign: a device may not know -0. */
	return hay_value_of_double((hay_value_as_double(value) - rules->offset) / rules->scale + 0.0, ret->type, ret) <
			       0
		       ? -ERANGE
		       : 0;
}

/* The next raw value upwards or downwards. Past 2^53, where scaling is no more exact than a double, the next one that
   has a double. False: the type ends there. */
static bool step_raw(struct hay_value *raw, bool up)
{
	uint64_t by = 1;

	if (raw->type == HAY_FLOAT32) {
		raw->f = nextafterf(raw->f, up ? INFINITY : -INFINITY);
		return isfinite(raw->f);
	}
	if (raw->type == HAY_FLOAT64) {
		raw->d = nextafter(raw->d, up ? INFINITY : -INFINITY);
		return isfinite(raw->d);
	}
	double size = fabs(hay_value_as_double(raw));

	if (size >= TWO_53)
		by = (uint64_t)(nextafter(size, INFINITY) - size);
	if (hay_type_is_signed(raw->type)) {
		bool past = up ? __builtin_add_overflow(raw->i, (int64_t)by, &raw->i)
			       : __builtin_sub_overflow(raw->i, (int64_t)by, &raw->i);

		return !past && hay_fits_signed(raw->type, raw->i);
	}
	bool past = up ? __builtin_add_overflow(raw->u, by, &raw->u) : __builtin_sub_overflow(raw->u, by, &raw->u);

	return !past && hay_fits_unsigned(raw->type, raw->u);
}

/* Whether a raw value, scaled as a reading is, lies between min and max. */
static bool is_allowed(const struct point_rules *rules, struct hay_value raw)
{
	return scale_value(rules, &raw) && isfinite(hay_value_as_double(&raw)) && is_within(rules, &raw);
}

/* One step does for whole numbers; a double may be off by more where an offset takes digits away. */
#define STEPS_MAX 4

static int find_raw(const struct point_rules *rules, enum hay_type raw, const struct hay_value *value,
		    struct hay_value *ret)
{
	if (!hay_type_is_number(raw)) {
		if (value->type != raw)
			return -EINVAL;
		*ret = *value;
		return 0;
	}
	if (!hay_type_is_number(value->type))
		return -EINVAL;
	if (!isfinite(hay_value_as_double(value)) || !is_within(rules, value))
		return -ERANGE;

	struct hay_value nearest = {.type = raw};
	int r = nearest_raw(rules, value, &nearest);

	if (r < 0)
		return r;
	if (is_allowed(rules, nearest)) {
		*ret = nearest;
		return 0;
	}
	/* The nearest one is past a limit, as 12 is past 10 where the device counts in fours: one towards the range
	   is not. */
	struct hay_value up = nearest, down = nearest;
	bool is_up = true, is_down = true;

	for (unsigned i = 0; i < STEPS_MAX; i++) {
		is_up = is_up && step_raw(&up, true);
		if (is_up && is_allowed(rules, up)) {
			*ret = up;
			return 0;
		}
		is_down = is_down && step_raw(&down, false);
		if (is_down && is_allowed(rules, down)) {
			*ret = down;
			return 0;
		}
	}
	return -EDOM;
}

static double raw_limit(const struct point_rules *rules, enum hay_type raw, double limit)
{
	struct hay_value value = {.type = HAY_FLOAT64, .d = limit}, found;

	return find_raw(rules, raw, &value, &found) == 0 ? hay_value_as_double(&found) : (double)NAN;
}

void rules_raw_limits(const struct point_rules *rules, enum hay_type raw, double *ret_low, double *ret_high)
{
	bool is_float = raw == HAY_FLOAT32 || raw == HAY_FLOAT64, turned = rules->scale < 0;

	*ret_low = *ret_high = (double)NAN;
	if (is_float && !isnan(rules->min))
		*(turned ? ret_high : ret_low) = raw_limit(rules, raw, rules->min);
	if (is_float && !isnan(rules->max))
		*(turned ? ret_low : ret_high) = raw_limit(rules, raw, rules->max);
}

int rules_invert(const struct point_rules *rules, enum hay_type raw, const struct hay_value *value,
		 struct hay_value *ret)
{
	struct hay_value found;
	int r = find_raw(rules, raw, value, &found);

	if (r < 0)
		return r;
	/* The device would then say that it has no value. */
	if (hay_type_is_number(raw) && means_not_available(rules, &found))
		return -ERANGE;
	*ret = found;
	return 0;
}
