/* SPDX-License-Identifier: Apache-2.0 */
/* Durations, sizes, rates and numbers as people write them. */
#include "base/units.h"

#include <ctype.h>
#include <errno.h>
#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

struct unit_factor {
	const char *name;
	uint64_t factor;
};

static const struct unit_factor durations[] = {
	{"us", 1},
	{"ms", USEC_PER_MSEC},
	{"s", USEC_PER_SEC},
	{"m", USEC_PER_MINUTE},
	{"h", USEC_PER_HOUR},
	{"d", USEC_PER_DAY},
	{NULL, 0},
};

static const struct unit_factor sizes[] = {
	{"B", 1},
	{"KB", UINT64_C(1) << 10},
	{"MB", UINT64_C(1) << 20},
	{"GB", UINT64_C(1) << 30},
	{"TB", UINT64_C(1) << 40},
	{NULL, 0},
};

/* DIGITS[.DIGITS]UNIT, exactly: 0.1 of a day is no rounding error. */
static int parse_with_unit(const char *text, const struct unit_factor *units, uint64_t *ret)
{
	uint64_t whole = 0, fraction = 0, fraction_of = 1, value, part;
	const struct unit_factor *unit;
	bool too_large = false;

	if (!isdigit((unsigned char)*text))
		return -EINVAL;
	for (; isdigit((unsigned char)*text); text++)
		if (__builtin_mul_overflow(whole, (uint64_t)10, &whole) ||
		    __builtin_add_overflow(whole, (uint64_t)(*text - '0'), &whole))
			too_large = true;
	if (*text == '.') {
		text++;
		if (!isdigit((unsigned char)*text))
			return -EINVAL;
		for (; isdigit((unsigned char)*text); text++)
			if (fraction_of < 1000000000) {
				fraction = fraction * 10 + (uint64_t)(*text - '0');
				fraction_of *= 10;
			}
	}
	for (unit = units; unit->name; unit++)
		if (strcmp(unit->name, text) == 0)
			break;
	if (!unit->name)
		return -EINVAL;

	/* fraction x factor / fraction_of in two steps: the whole product need not fit 64 bits. */
	part = fraction * (unit->factor / fraction_of) + fraction * (unit->factor % fraction_of) / fraction_of;
	if (too_large || __builtin_mul_overflow(whole, unit->factor, &value) ||
	    __builtin_add_overflow(value, part, &value) || value > INT64_MAX)
		return -ERANGE;
	*ret = value;
	return 0;
}

int parse_duration(const char *text, uint64_t *ret_us)
{
	return parse_with_unit(text, durations, ret_us);
}

int parse_size(const char *text, uint64_t *ret_bytes)
{
	return parse_with_unit(text, sizes, ret_bytes);
}

int parse_rate(const char *text, double *ret_per_s)
{
	static const struct {
		const char *name;
		double seconds;
	} periods[] = {{"/s", 1}, {"/m", 60}, {"/h", 3600}, {"/d", 86400}};
	const char *slash = strchr(text, '/');
	double value;
	char *end;

	if (!slash || !isdigit((unsigned char)*text))
		return -EINVAL;
	for (const char *c = text; c < slash; c++)
		if (!isdigit((unsigned char)*c) && *c != '.')
			return -EINVAL;
	value = strtod(text, &end);
	if (end != slash)
		return -EINVAL;
	for (size_t i = 0; i < ELEMENTS(periods); i++) {
		if (strcmp(slash, periods[i].name) != 0)
			continue;
		if (!isfinite(value))
			return -ERANGE;
		*ret_per_s = value / periods[i].seconds;
		return 0;
	}
	return -EINVAL;
}

const char *format_duration(uint64_t us, char buffer[DURATION_TEXT_MAX])
{
	uint64_t minutes, hours;

	if (us == 0) {
		snprintf(buffer, DURATION_TEXT_MAX, "0 s");
	} else if (us < USEC_PER_MSEC) {
		snprintf(buffer, DURATION_TEXT_MAX, "%llu us", (unsigned long long)us);
	} else if (us < USEC_PER_SEC) {
		snprintf(buffer, DURATION_TEXT_MAX, "%llu ms", (unsigned long long)(us / USEC_PER_MSEC));
	} else if (us < USEC_PER_MINUTE) {
		uint64_t tenths = us / (USEC_PER_SEC / 10);

		if (tenths % 10 == 0 || tenths >= 100)
			snprintf(buffer, DURATION_TEXT_MAX, "%llu s", (unsigned long long)(tenths / 10));
		else
			snprintf(buffer, DURATION_TEXT_MAX, "%llu.%llu s", (unsigned long long)(tenths / 10),
				 (unsigned long long)(tenths % 10));
	} else if (us < USEC_PER_HOUR) {
		snprintf(buffer, DURATION_TEXT_MAX, "%llu min", (unsigned long long)(us / USEC_PER_MINUTE));
	} else if (us < USEC_PER_DAY) {
		minutes = us / USEC_PER_MINUTE;
		if (minutes % 60 == 0)
			snprintf(buffer, DURATION_TEXT_MAX, "%llu h", (unsigned long long)(minutes / 60));
		else
			snprintf(buffer, DURATION_TEXT_MAX, "%llu h %llu min", (unsigned long long)(minutes / 60),
				 (unsigned long long)(minutes % 60));
	} else {
		hours = us / USEC_PER_HOUR;
		if (hours % 24 == 0)
			snprintf(buffer, DURATION_TEXT_MAX, "%llu d", (unsigned long long)(hours / 24));
		else
			snprintf(buffer, DURATION_TEXT_MAX, "%llu d %llu h", (unsigned long long)(hours / 24),
				 (unsigned long long)(hours % 24));
	}
	return buffer;
}

const char *format_size(uint64_t bytes, char buffer[SIZE_TEXT_MAX])
{
	static const char *const names[] = {"B", "KB", "MB", "GB", "TB", "PB", "EB"};
	double value = (double)bytes;
	size_t i = 0;

	if (bytes < 1024) {
		snprintf(buffer, SIZE_TEXT_MAX, "%u B", (unsigned)bytes);
		return buffer;
	}
	/* 1023.96 KB would print as 1024.0 KB. */
	while (value >= 1023.95 && i + 1 < ELEMENTS(names)) {
		value /= 1024;
		i++;
	}
	snprintf(buffer, SIZE_TEXT_MAX, "%.1f %s", value, names[i]);
	return buffer;
}

size_t format_double(double value, char buffer[NUMBER_TEXT_MAX])
{
	int n = 0;

	for (int digits = 15; digits <= 17; digits++) {
		n = snprintf(buffer, NUMBER_TEXT_MAX, "%.*g", digits, value);
		if (strtod(buffer, NULL) == value)
			break;
	}
	return (size_t)n;
}

size_t format_float(float value, char buffer[NUMBER_TEXT_MAX])
{
	int n = 0;

	for (int digits = 6; digits <= 9; digits++) {
		n = snprintf(buffer, NUMBER_TEXT_MAX, "%.*g", digits, (double)value);
		if (strtof(buffer, NULL) == value)
			break;
	}
	return (size_t)n;
}

int decimals_of(double value)
{
	char text[NUMBER_TEXT_MAX];
	const char *dot, *exponent;
	long decimals = 0;

	if (!isfinite(value))
		return 0;
	format_double(value, text);
	exponent = strchr(text, 'e');
	dot = strchr(text, '.');
	if (dot)
		decimals = (exponent ? exponent : text + strlen(text)) - dot - 1;
	if (exponent)
		decimals -= strtol(exponent + 1, NULL, 10);
	return (int)MAX(0, MIN(decimals, 17));
}

/* Whether the shortest text of value lies at or past the half between two results. */
static bool is_half_or_more(double value, int decimals)
{
	char text[NUMBER_TEXT_MAX];
	const char *dot;

	format_double(value, text);
	dot = strchr(text, '.');
	if (!dot || strchr(text, 'e') || strlen(dot + 1) <= (size_t)decimals)
		return true;
	return dot[1 + decimals] >= '5';
}

double round_decimals(double value, int decimals)
{
	static const double powers[] = {1e0, 1e1,  1e2,	 1e3,  1e4,  1e5,  1e6,	 1e7,  1e8,
					1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16, 1e17};
	double power, scaled, whole, past;

	decimals = MAX(0, MIN(decimals, 17));
	power = powers[decimals];
	scaled = fabs(value) * power;
	/* Past 2^53 a double has no digits left to take away. NaN stays what it is. */
	if (!(scaled < 9007199254740992.0))
		return value;
	whole = floor(scaled);
	past = scaled - whole;
	/* The product is off by an ulp: 1.005 × 100 gives 100.49999999999999. Near the half the decimal text
	   decides. */
	if (fabs(past - 0.5) <= 4 * (nextafter(scaled, INFINITY) - scaled)) {
		if (is_half_or_more(value, decimals))
			whole += 1;
	} else if (past > 0.5) {
		whole += 1;
	}
	/* Both are whole and exact, so the quotient is the double nearest to the decimal result. */
	return copysign(whole / power, value);
}
