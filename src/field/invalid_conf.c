/* SPDX-License-Identifier: Apache-2.0 */
/* `invalid` of a point: the raw values by which a device says that it has none. */
#include "base/pool.h"
#include "field/field_conf_private.h"

#include <errno.h>
#include <haywain/helpers.h>
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

static unsigned bits_of(enum hay_type type)
{
	return type == HAY_INT16 || type == HAY_UINT16 ? 16 : type == HAY_INT32 || type == HAY_UINT32 ? 32 : 64;
}

/* A manual writes 0x8000 for an int16 where we say -32768: both are taken. */
static bool set_whole(enum hay_type type, bool negative, uint64_t magnitude, struct hay_value *ret)
{
	unsigned bits = bits_of(type);
	uint64_t all = UINT64_MAX >> (64 - bits), half = UINT64_C(1) << (bits - 1);

	if (negative ? !hay_type_is_signed(type) || magnitude > half : magnitude > all)
		return false;
	if (!hay_type_is_signed(type))
		ret->u = magnitude;
	else if (negative || magnitude < half)
		ret->i = negative ? (int64_t)(0 - magnitude) : (int64_t)magnitude;
	else
		ret->i = (int64_t)(magnitude | ~all);
	return true;
}

static void set_float(enum hay_type type, double number, struct hay_value *ret)
{
	if (type == HAY_FLOAT32)
		ret->f = (float)number;
	else
		ret->d = number;
}

/* In quotes stand "nan", and what has no other place in the file: whole numbers of 64 bits without a sign. */
static bool set_text(enum hay_type type, const char *text, struct hay_value *ret)
{
	bool hex = strncasecmp(text, "0x", 2) == 0;
	uint64_t magnitude;
	char *end;

	if (type >= HAY_FLOAT32) {
		if (strcasecmp(text, "nan") != 0)
			return false;
		set_float(type, (double)NAN, ret);
		return true;
	}
	if (*text < '0' || *text > '9')
		return false;
	errno = 0;
	magnitude = strtoull(text, &end, hex ? 16 : 10);
	return errno == 0 && *end == '\0' && set_whole(type, false, magnitude, ret);
}

/* NULL: fine. Else what the value must be. */
static const char *read_value(enum hay_type type, const config_setting_t *setting, struct hay_value *ret)
{
	static const char *const expected[HAY_N_TYPES] = {
		[HAY_INT16] = "a whole number of 16 bits",
		[HAY_UINT16] = "a whole number of 16 bits without a sign",
		[HAY_INT32] = "a whole number of 32 bits",
		[HAY_UINT32] = "a whole number of 32 bits without a sign",
		[HAY_INT64] = "a whole number of 64 bits",
		[HAY_UINT64] = "a whole number of 64 bits without a sign, in quotes if it is above 0x7fffffffffffffff",
		[HAY_FLOAT32] = "a number or \"nan\"",
		[HAY_FLOAT64] = "a number or \"nan\"",
	};
	int kind = config_setting_type(setting);
	bool taken = false;

	*ret = (struct hay_value){.type = type};
	if (kind == CONFIG_TYPE_INT || kind == CONFIG_TYPE_INT64) {
		int64_t number = config_setting_get_int64(setting);

		if (type >= HAY_FLOAT32)
			set_float(type, (double)number, ret);
		taken = type >= HAY_FLOAT32 ||
			set_whole(type, number < 0, number < 0 ? 0 - (uint64_t)number : (uint64_t)number, ret);
	} else if (kind == CONFIG_TYPE_FLOAT && type >= HAY_FLOAT32) {
		set_float(type, config_setting_get_float(setting), ret);
		taken = true;
	} else if (kind == CONFIG_TYPE_STRING) {
		taken = set_text(type, config_setting_get_string(setting), ret);
	}
	return taken ? NULL : expected[type];
}

unsigned invalid_conf_read(const struct conf_group *group, struct pool *pool, struct conf_messages *messages,
			   struct point_conf *point)
{
	const config_setting_t *setting = conf_group_get(group, "invalid");
	enum hay_type type = point->point.type;
	unsigned n_errors = 0;
	bool list;
	int n;

	if (!setting)
		return 0;
	if (type < HAY_INT16 || type > HAY_FLOAT64)
		return conf_error_at(messages, setting, "`invalid` is for numbers, but this is a %s",
				     type_to_string(type));
	list = config_setting_is_list(setting) || config_setting_is_array(setting);
	n = list ? config_setting_length(setting) : 1;
	point->invalid = pool_alloc(pool, (size_t)MAX(n, 1) * sizeof(*point->invalid));
	if (!point->invalid)
		return conf_error_at(messages, setting, "out of memory");
	for (int i = 0; i < n; i++) {
		const config_setting_t *one = list ? config_setting_get_elem(setting, (unsigned)i) : setting;
		const char *expected = read_value(type, one, &point->invalid[point->n_invalid]);

		if (expected)
			n_errors += conf_error_at(messages, one, "`invalid` must be %s: the raw value, before `scale`",
						  expected);
		else
			point->n_invalid++;
	}
	return n_errors;
}
