/* SPDX-License-Identifier: Apache-2.0 */
#include "types.h"
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

const char *const types_own[] = {"float16", "bcd16", "bcd32", NULL};

/* ---- forms ---- */

static unsigned number_bytes(enum hay_type type)
{
	switch (type) {
	case HAY_BOOL:
	case HAY_INT16:
	case HAY_UINT16:
		return 2;
	case HAY_INT32:
	case HAY_UINT32:
	case HAY_FLOAT32:
		return 4;
	case HAY_INT64:
	case HAY_UINT64:
	case HAY_FLOAT64:
		return 8;
	case HAY_TYPE_NONE:
	case HAY_STRING:
	case HAY_BYTES:
	case HAY_N_TYPES:
		break;
	}
	return 0;
}

/* "3" or "4-7" */
static bool set_bits(struct value_form *form, const char *bits)
{
	unsigned ends[2] = {0, 0};
	const char *at = bits;

	for (unsigned i = 0; i < 2; i++) {
		size_t digits = strspn(at, "0123456789");

		if (digits < 1 || digits > 2)
			return false;
		ends[i] = (unsigned)strtoul(at, NULL, 10);
		at += digits;
		if (i == 0 && !*at) {
			ends[1] = ends[0];
			break;
		}
		if (*at++ != (i == 0 ? '-' : '\0'))
			return false;
	}
	if (ends[0] > ends[1] || ends[1] >= form->n_bytes * 8u)
		return false;
	form->low = (uint8_t)ends[0];
	form->width = (uint8_t)(ends[1] - ends[0] + 1);
	return true;
}

static int wrong_key(const char *key, const char *error, const char **ret_key, const char **ret_error)
{
	*ret_key = key;
	*ret_error = error;
	return -EINVAL;
}

static int string_form(const struct value_words *words, struct value_form *ret, const char **ret_key,
		       const char **ret_error)
{
	if (words->order)
		return wrong_key("order", "is for numbers; a string has string_order = \"AB\" or \"BA\"", ret_key,
				 ret_error);
	if (words->bits)
		return wrong_key("bits", "are taken from a whole number, not from a string", ret_key, ret_error);
	if (!words->length)
		return wrong_key("length", "a string needs its length, in registers: 1 to 125", ret_key, ret_error);
	if (words->string_order && strcmp(words->string_order, "AB") && strcmp(words->string_order, "BA"))
		return wrong_key("string_order",
				 "is \"AB\" (the first character of a register is its high byte) or \"BA\"", ret_key,
				 ret_error);
	*ret = (struct value_form){.type = HAY_STRING,
				   .kind = KIND_STRING,
				   .n_bytes = (uint16_t)(words->length * 2),
				   .swapped = words->string_order && words->string_order[0] == 'B'};
	return 0;
}

/* A bit is a bool, several are a uint16, unless the type says more. */
static int bits_form(enum hay_type type, const char *bits, struct value_form *form, const char **ret_key,
		     const char **ret_error)
{
	if (form->kind != KIND_PLAIN || (type != HAY_TYPE_NONE && type != HAY_BOOL && type != HAY_UINT16 &&
					 type != HAY_UINT32 && type != HAY_UINT64))
		return wrong_key("type",
				 "does not go with bits; right would be \"bool\", \"uint16\", \"uint32\" or \"uint64\"",
				 ret_key, ret_error);
	if (!set_bits(form, bits))
		return wrong_key(
			"bits",
			"is one bit, \"3\", or a range from the lower to the higher one, \"4-7\", and the lowest bit of a register is 0",
			ret_key, ret_error);
	form->kind = KIND_BITS;
	form->type = type != HAY_TYPE_NONE ? type : form->width == 1 ? HAY_BOOL : HAY_UINT16;
	if (form->type == HAY_BOOL && form->width > 1)
		return wrong_key("type", "several bits are no bool; leave the type out, or uint16", ret_key, ret_error);
	return 0;
}

int types_form(enum hay_type type, const struct value_words *words, struct value_form *ret, const char **ret_key,
	       const char **ret_error)
{
	static const char *const examples[TYPES_BYTES_MAX + 1] = {
		[2] = "does not fit the type; right would be \"AB\" or \"BA\"",
		[4] = "does not fit the type; right would be \"ABCD\", \"CDAB\", \"BADC\" or \"DCBA\"",
		[8] = "does not fit the type; right would be \"ABCDEFGH\", \"GHEFCDAB\", \"BADCFEHG\", \"HGFEDCBA\" or the like",
	};
	struct value_form form = {.type = type};

	if (type == HAY_STRING)
		return string_form(words, ret, ret_key, ret_error);
	if (words->length)
		return wrong_key("length", "is for strings; a number has the length of its type", ret_key, ret_error);
	if (words->string_order)
		return wrong_key("string_order", "is for strings; a number has an order", ret_key, ret_error);
	if (type == HAY_TYPE_NONE && words->type) {
		form.kind = !strcmp(words->type, "float16") ? KIND_FLOAT16 : KIND_BCD;
		form.type = form.kind == KIND_FLOAT16	    ? HAY_FLOAT32
			    : !strcmp(words->type, "bcd16") ? HAY_UINT16
							    : HAY_UINT32;
		form.n_bytes = form.type == HAY_UINT32 ? 4 : 2;
	} else {
		if (type == HAY_TYPE_NONE)
			form.type = HAY_UINT16;
		form.n_bytes = (uint16_t)number_bytes(form.type);
	}
	if (!form.n_bytes)
		return wrong_key("type", "is not read from registers; right would be a number, bool or string", ret_key,
				 ret_error);
	if (hay_byte_order(words->order, form.n_bytes, form.order) < 0)
		return wrong_key("order", examples[form.n_bytes], ret_key, ret_error);
	if (words->bits) {
		int r = bits_form(words->type ? type : HAY_TYPE_NONE, words->bits, &form, ret_key, ret_error);

		if (r < 0)
			return r;
	}
	*ret = form;
	return 0;
}

/* ---- bytes of numbers ---- */

static uint64_t bits_mask(const struct value_form *form)
{
	return (form->width >= 64 ? UINT64_MAX : (UINT64_C(1) << form->width) - 1) << form->low;
}

void types_mask(const struct value_form *form, uint8_t *ret_wire)
{
	hay_put_ordered(ret_wire, form->n_bytes, form->order, bits_mask(form));
}

/* IEEE 754 binary16: sign, 5 bits of exponent with bias 15, 10 of fraction. */
static float half_to_float(uint16_t half)
{
	unsigned exponent = half >> 10 & 31, fraction = half & 1023;
	float value = exponent == 31 ? (fraction ? NAN : INFINITY)
		      : exponent     ? ldexpf((float)(fraction | 1024), (int)exponent - 25)
				     : ldexpf((float)fraction, -24);

	return half & 0x8000 ? -value : value;
}

/* To the nearest, ties to even, as rint() does it. */
static int float_to_half(float value, uint64_t *ret)
{
	unsigned sign = signbit(value) ? 0x8000 : 0;
	float size = fabsf(value), fraction;
	int exponent;

	if (!isfinite(value))
		return -ERANGE;
	(void)frexpf(size, &exponent);
	/* size = f × 2^exponent with f from 0.5 to 1: eleven bits of it are kept, fewer below the normal numbers. */
	exponent = size == 0 || exponent < -13 ? -13 : exponent;
	fraction = rintf(ldexpf(size, 11 - exponent));
	if (fraction >= 2048) {
		fraction /= 2;
		exponent++;
	}
	if (exponent > 16)
		return -ERANGE;
	*ret = sign |
	       (fraction < 1024 ? (unsigned)fraction : ((unsigned)(exponent + 14) << 10 | ((unsigned)fraction & 1023)));
	return 0;
}

static int bcd_decode(uint64_t raw, unsigned digits, uint64_t *ret)
{
	uint64_t value = 0;

	for (unsigned i = digits; i-- > 0;) {
		unsigned digit = raw >> (i * 4) & 15;

		if (digit > 9)
			return -EBADMSG;
		value = value * 10 + digit;
	}
	*ret = value;
	return 0;
}

static int bcd_encode(uint64_t value, unsigned digits, uint64_t *ret)
{
	uint64_t raw = 0;

	for (unsigned i = 0; i < digits; i++, value /= 10)
		raw |= value % 10 << (i * 4);
	*ret = raw;
	return value ? -ERANGE : 0;
}

/* ---- strings ---- */

static void decode_string(const struct value_form *form, const uint8_t *wire, char *text, struct hay_value *ret)
{
	uint8_t bytes[TYPES_STRING_REGISTERS_MAX * 2];
	size_t n = 0, size = 0;

	while (n < form->n_bytes && wire[form->swapped ? n ^ 1 : n]) {
		bytes[n] = wire[form->swapped ? n ^ 1 : n];
		n++;
	}
	while (n > 0 && bytes[n - 1] == ' ')
		n--;
	if (hay_is_utf8((const char *)bytes, n)) {
		memcpy(text, bytes, n);
		size = n;
	} else {
		for (size_t i = 0; i < n; i++) {
			if (bytes[i] >= 0x80)
				text[size++] = (char)(0xc0 | bytes[i] >> 6);
			text[size++] = (char)(bytes[i] >= 0x80 ? 0x80 | (bytes[i] & 0x3f) : bytes[i]);
		}
	}
	ret->s.data = text;
	ret->s.size = size;
}

static int encode_string(const struct value_form *form, const struct hay_value *value, uint8_t *wire)
{
	if (value->s.size > form->n_bytes)
		return -ERANGE;
	for (size_t i = 0; i < form->n_bytes; i++)
		wire[form->swapped ? i ^ 1 : i] = i < value->s.size ? (uint8_t)value->s.data[i] : 0;
	return 0;
}

/* ---- values ---- */

int types_decode(const struct value_form *form, const uint8_t *wire, char *text, struct hay_value *ret)
{
	struct hay_value value = {.type = form->type};
	uint64_t raw;
	int r;

	if (form->kind == KIND_STRING) {
		decode_string(form, wire, text, &value);
		*ret = value;
		return 0;
	}
	raw = hay_get_ordered(wire, form->n_bytes, form->order);
	if (form->kind == KIND_BCD) {
		r = bcd_decode(raw, form->n_bytes * 2u, &raw);
		if (r < 0)
			return r;
	} else if (form->kind == KIND_BITS) {
		raw = (raw & bits_mask(form)) >> form->low;
	}
	switch (form->type) {
	case HAY_BOOL:
		value.b = raw != 0;
		break;
	case HAY_INT16:
	case HAY_INT32:
	case HAY_INT64:
		value.i = hay_sign_extend(raw, form->n_bytes);
		break;
	case HAY_FLOAT32:
		value.f = form->kind == KIND_FLOAT16 ? half_to_float((uint16_t)raw) : hay_float_of_bits((uint32_t)raw);
		break;
	case HAY_FLOAT64:
		value.d = hay_double_of_bits(raw);
		break;
	default:
		value.u = raw;
		break;
	}
	*ret = value;
	return 0;
}

static int encode_unsigned(uint64_t value, unsigned bits, uint64_t *ret)
{
	if (bits < 64 && value >> bits)
		return -ERANGE;
	*ret = value;
	return 0;
}

int types_encode(const struct value_form *form, const struct hay_value *value, uint8_t *wire)
{
	unsigned bits = form->n_bytes * 8u;
	uint64_t raw = 0;
	int r = 0;

	if (value->type != form->type)
		return -EINVAL;
	if (form->kind == KIND_STRING)
		return encode_string(form, value, wire);
	switch (form->type) {
	case HAY_BOOL:
		raw = value->b;
		break;
	case HAY_INT16:
	case HAY_INT32:
	case HAY_INT64:
		raw = (uint64_t)value->i;
		r = hay_fits_signed(form->type, value->i) ? 0 : -ERANGE;
		break;
	case HAY_UINT16:
	case HAY_UINT32:
	case HAY_UINT64:
		r = form->kind == KIND_BCD
			    ? bcd_encode(value->u, form->n_bytes * 2u, &raw)
			    : encode_unsigned(value->u, form->kind == KIND_BITS ? form->width : bits, &raw);
		break;
	case HAY_FLOAT32:
		raw = hay_bits_of_float(value->f);
		if (form->kind == KIND_FLOAT16)
			r = float_to_half(value->f, &raw);
		break;
	case HAY_FLOAT64:
		raw = hay_bits_of_double(value->d);
		break;
	default:
		return -EINVAL;
	}
	if (r < 0)
		return r;
	if (form->kind == KIND_BITS)
		raw = (hay_get_ordered(wire, form->n_bytes, form->order) & ~bits_mask(form)) | raw << form->low;
	hay_put_ordered(wire, form->n_bytes, form->order, raw);
	return 0;
}

/* The next half in that direction; of 0 there are two. */
static uint16_t half_next(uint16_t half, bool up)
{
	bool is_negative = half & 0x8000;

	if (!(half & 0x7fff))
		return up ? 1 : 0x8001;
	return (uint16_t)(is_negative == up ? half - 1 : half + 1);
}

int types_round(const struct value_form *form, double low, double high, struct hay_value *value)
{
	uint64_t half;
	float rounded;
	int r;

	if (form->kind != KIND_FLOAT16)
		return 0;
	r = float_to_half(value->f, &half);
	if (r < 0)
		return r;
	rounded = half_to_float((uint16_t)half);
	if ((double)rounded < low || (double)rounded > high)
		rounded = half_to_float(half_next((uint16_t)half, (double)rounded < low));
	if ((double)rounded < low || (double)rounded > high || !isfinite(rounded))
		return -ERANGE;
	value->f = rounded;
	return 0;
}

bool types_bit(const uint8_t *wire, unsigned index)
{
	return wire[index / 8] >> (index % 8) & 1;
}
