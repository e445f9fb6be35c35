/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <haywain/helpers.h>
#include <math.h>

bool hay_fits_signed(enum hay_type type, int64_t number)
{
	return type == HAY_INT16   ? number >= INT16_MIN && number <= INT16_MAX
	       : type == HAY_INT32 ? number >= INT32_MIN && number <= INT32_MAX
	       : type == HAY_INT64 ? true
				   : number >= 0 && hay_fits_unsigned(type, (uint64_t)number);
}

bool hay_fits_unsigned(enum hay_type type, uint64_t number)
{
	static const uint64_t most[HAY_N_TYPES] = {
		[HAY_INT16] = INT16_MAX,   [HAY_INT32] = INT32_MAX,   [HAY_INT64] = INT64_MAX,
		[HAY_UINT16] = UINT16_MAX, [HAY_UINT32] = UINT32_MAX, [HAY_UINT64] = UINT64_MAX,
	};

	return hay_type_is_whole(type) && number <= most[type];
}

double hay_value_as_double(const struct hay_value *value)
{
	if (hay_type_is_signed(value->type))
		return (double)value->i;
	if (hay_type_is_unsigned(value->type))
		return (double)value->u;
	switch (value->type) {
	case HAY_BOOL:
		return value->b ? 1 : 0;
	case HAY_FLOAT32:
		return (double)value->f;
	case HAY_FLOAT64:
		return value->d;
	default:
		return (double)NAN;
	}
}

int hay_value_of_signed(int64_t number, enum hay_type type, struct hay_value *ret)
{
	if (number >= 0)
		return hay_value_of_unsigned((uint64_t)number, type, ret);
	if (!hay_type_is_whole(type))
		return hay_value_of_double((double)number, type, ret);
	if (!hay_fits_signed(type, number))
		return -ERANGE;
	*ret = (struct hay_value){.type = type, .i = number};
	return 0;
}

int hay_value_of_unsigned(uint64_t number, enum hay_type type, struct hay_value *ret)
{
	if (!hay_type_is_whole(type))
		return hay_value_of_double((double)number, type, ret);
	if (!hay_fits_unsigned(type, number))
		return -ERANGE;
	*ret = (struct hay_value){.type = type};
	if (hay_type_is_signed(type))
		ret->i = (int64_t)number;
	else
		ret->u = number;
	return 0;
}

int hay_value_of_double(double number, enum hay_type type, struct hay_value *ret)
{
	struct hay_value value = {.type = type};

	if (type != HAY_BOOL && !hay_type_is_number(type))
		return -EINVAL;
	if (!isfinite(number))
		return -EDOM;
	if (hay_type_is_whole(type)) {
		number = round(number);
		if (!(number >= -9223372036854775808.0 && number < 18446744073709551616.0))
			return -ERANGE;
		return number < 0 ? hay_value_of_signed((int64_t)number, type, ret)
				  : hay_value_of_unsigned((uint64_t)number, type, ret);
	}
	if (type == HAY_BOOL) {
		if (number != 0 && number != 1)
			return -EINVAL;
		value.b = number != 0;
	} else if (type == HAY_FLOAT32) {
		value.f = (float)number;
		if (!isfinite(value.f))
			return -ERANGE;
	} else {
		value.d = number;
	}
	*ret = value;
	return 0;
}
