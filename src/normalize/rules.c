/* SPDX-License-Identifier: Apache-2.0 */
#include "normalize/rules.h"
#include "base/units.h"
#include <errno.h>
#include <math.h>

static bool is_signed(enum hay_type type)
{
	return type >= HAY_INT16 && type <= HAY_INT64;
}

static bool is_unsigned(enum hay_type type)
{
	return type >= HAY_UINT16 && type <= HAY_UINT64;
}

static bool is_number(enum hay_type type)
{
	return type >= HAY_INT16 && type <= HAY_FLOAT64;
}

static bool is_whole(double value)
{
	return value == floor(value) && fabs(value) < 9.0e15;
}

static bool scales(const struct point_rules *rules)
{
	return rules->scale != 1.0 || rules->offset != 0.0;
}

/* "a float64 unless both are whole numbers": only whole raw numbers stay whole. */
enum hay_type rules_type(const struct point_rules *rules, enum hay_type raw)
{
	if (!is_number(raw) || !scales(rules))
		return raw;
	if ((is_signed(raw) || is_unsigned(raw)) && is_whole(rules->scale) && is_whole(rules->offset))
		return HAY_INT64;
	return HAY_FLOAT64;
}

static void make_bad(struct hay_reading *reading, enum hay_reason reason)
{
	reading->quality = HAY_BAD;
	reading->reason = reason;
}

static double as_double(const struct hay_value *value)
{
	if (is_signed(value->type))
		return (double)value->i;
	if (is_unsigned(value->type))
		return (double)value->u;
	return value->type == HAY_FLOAT32 ? (double)value->f : value->d;
}

/* Whole number times whole number plus whole number; false: it does not fit. */
static bool scale_whole(const struct point_rules *rules, const struct hay_value *raw, int64_t *ret)
{
	int64_t value;

	if (is_unsigned(raw->type)) {
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
	double value = as_double(raw) * rules->scale + rules->offset;

	/* 612 x 0.1 is 61.2 and not 61.2000000000000028: as many decimals as were written. */
	if (is_signed(raw->type) || is_unsigned(raw->type))
		value = round_decimals(value, MAX(decimals_of(rules->scale), decimals_of(rules->offset)));
	return value;
}

static void check_range(const struct point_rules *rules, struct hay_reading *reading)
{
	double value = as_double(&reading->value);

	/* NaN limits compare false: none. */
	if ((value < rules->min || value > rules->max) && reading->quality == HAY_GOOD) {
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
	if (!is_number(raw))
		return;
	if (means_not_available(rules, value)) {
		make_bad(reading, HAY_NOT_AVAILABLE);
		return;
	}
	if (scales(rules) && type == HAY_INT64) {
		int64_t whole;

		if (!scale_whole(rules, value, &whole)) {
			make_bad(reading, HAY_OUT_OF_RANGE);
			return;
		}
		value->i = whole;
	} else if (scales(rules)) {
		value->d = scale_number(rules, value);
	}
	value->type = type;

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

static bool fits(enum hay_type type, double value)
{
	static const double low[HAY_N_TYPES] = {[HAY_INT16] = -32768.0,
						[HAY_INT32] = -2147483648.0,
						[HAY_INT64] = -9223372036854775808.0,
						[HAY_FLOAT32] = -3.4028234663852886e38};
	static const double high[HAY_N_TYPES] = {
		[HAY_INT16] = 32767.0,
		[HAY_INT32] = 2147483647.0,
		[HAY_INT64] = 9223372036854774784.0,
		[HAY_UINT16] = 65535.0,
		[HAY_UINT32] = 4294967295.0,
		[HAY_UINT64] = 18446744073709549568.0,
		[HAY_FLOAT32] = 3.4028234663852886e38,
	};

	return type == HAY_FLOAT64 || (value >= low[type] && value <= high[type]);
}

static int find_raw(const struct point_rules *rules, enum hay_type raw, const struct hay_value *value,
		    struct hay_value *ret)
{
	if (!is_number(raw)) {
		if (value->type != raw)
			return -EINVAL;
		*ret = *value;
		return 0;
	}
	if (!is_number(value->type))
		return -EINVAL;

	double wanted = as_double(value);

	if (!isfinite(wanted) || wanted < rules->min || wanted > rules->max)
		return -ERANGE;

	struct hay_value result = {.type = raw};

	/* A whole number that is not scaled keeps all its digits. */
	if (!scales(rules) && is_signed(value->type) && is_signed(raw) && (raw == HAY_INT64 || fits(raw, wanted))) {
		result.i = value->i;
		*ret = result;
		return 0;
	}
	if (!scales(rules) && (is_signed(value->type) ? value->i >= 0 : is_unsigned(value->type)) && is_unsigned(raw) &&
	    (raw == HAY_UINT64 || fits(raw, wanted))) {
		result.u = value->u;
		*ret = result;
		return 0;
	}
	double number = (wanted - rules->offset) / rules->scale;

	if (is_signed(raw) || is_unsigned(raw))
		number = round(number);
	if (!fits(raw, number))
		return -ERANGE;
	if (is_signed(raw))
		result.i = (int64_t)number;
	else if (is_unsigned(raw))
		result.u = (uint64_t)number;
	else if (raw == HAY_FLOAT32)
		result.f = (float)number;
	else
		result.d = number;
	*ret = result;
	return 0;
}

int rules_invert(const struct point_rules *rules, enum hay_type raw, const struct hay_value *value,
		 struct hay_value *ret)
{
	struct hay_value found;
	int r = find_raw(rules, raw, value, &found);

	if (r < 0)
		return r;
	/* The device would then say that it has no value. */
	if (is_number(raw) && means_not_available(rules, &found))
		return -ERANGE;
	*ret = found;
	return 0;
}
