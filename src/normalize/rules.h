/* SPDX-License-Identifier: Apache-2.0 */
/* What is done to one value on its way up: scale, offset, decimals, range; and when it is worth reporting. Pure. */
#ifndef HAYWAIN_NORMALIZE_RULES_H
#define HAYWAIN_NORMALIZE_RULES_H

#include <haywain/reading.h>

struct report_conf {
	bool set;
	double deadband;			   /* NaN: none */
	bool percent;				   /* deadband is a share of the last reported value, in percent */
	uint64_t min_interval_us, max_interval_us; /* 0: none */
};

struct point_rules {
	double scale, offset;		 /* 1, 0: as it is */
	int decimals;			 /* -1: as they come */
	double min, max;		 /* NaN: none */
	const struct hay_value *invalid; /* raw values that mean "not available", of the raw type; borrowed */
	size_t n_invalid;
	struct report_conf report;
};

/* The type of a value of raw type `raw` after scaling. */
enum hay_type rules_type(const struct point_rules *rules, enum hay_type raw);

/* Scale, round, check. In place; a reading that cannot be kept becomes bad with its reason. */
void rules_apply(const struct point_rules *rules, enum hay_type raw, struct hay_reading *reading);

/*
 * The raw value that a command's value stands for: the nearest one that, scaled as rules_apply() scales a reading, lies
 * between min and max. That is exact for whole raw numbers up to 2^53, and for all of them where scale and offset are
 * whole; else as exact as a double. -ERANGE: the value is not finite, outside min and max or the raw type, or means
 * "not available"; -EDOM: no raw value lies near it and between min and max; -EINVAL: no number.
 */
int rules_invert(const struct point_rules *rules, enum hay_type raw, const struct hay_value *value,
		 struct hay_value *ret);

/* min and max as raw values that are allowed themselves, the lower one first; NaN: none. For floats only: a whole
   number is never rounded on its way to the device. */
void rules_raw_limits(const struct point_rules *rules, enum hay_type raw, double *ret_low, double *ret_high);

#endif
