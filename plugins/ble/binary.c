/* SPDX-License-Identifier: Apache-2.0 */
#include "binary.h"
#include <errno.h>
#include <math.h>
#include <string.h>

const char *const binary_types[] = {"int8", "uint8", "int24", "uint24", NULL};

static const struct {
	const char *name;
	enum hay_type type;
	uint8_t n_bytes;
	bool is_signed, is_float;
} types[] = {
	{"bool", HAY_BOOL, 1, false, false},	  {"int8", HAY_INT16, 1, true, false},
	{"uint8", HAY_UINT16, 1, false, false},	  {"int16", HAY_INT16, 2, true, false},
	{"uint16", HAY_UINT16, 2, false, false},  {"int24", HAY_INT32, 3, true, false},
	{"uint24", HAY_UINT32, 3, false, false},  {"int32", HAY_INT32, 4, true, false},
	{"uint32", HAY_UINT32, 4, false, false},  {"int64", HAY_INT64, 8, true, false},
	{"uint64", HAY_UINT64, 8, false, false},  {"float32", HAY_FLOAT32, 4, false, true},
	{"float64", HAY_FLOAT64, 8, false, true}, {"string", HAY_STRING, 0, false, false},
	{"bytes", HAY_BYTES, 0, false, false},
};

static int read_order(const char *order, struct binary_form *form)
{
	bool seen[BINARY_BYTES_MAX] = {false};

	if (strlen(order) != form->n_bytes)
		return -EDOM;
	for (unsigned i = 0; i < form->n_bytes; i++) {
		unsigned weight = (unsigned)('A' + form->n_bytes - 1 - order[i]);

		if (order[i] < 'A' || weight >= form->n_bytes || seen[weight])
			return -EDOM;
		seen[weight] = true;
		form->place[weight] = (uint8_t)i;
	}
	return 0;
}

int binary_form(const char *type, const char *order, struct binary_form *ret)
{
	for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++) {
		struct binary_form form = {.type = types[i].type,
					   .n_bytes = types[i].n_bytes,
					   .is_signed = types[i].is_signed,
					   .is_float = types[i].is_float};
		int r = 0;

		if (strcmp(types[i].name, type ? type : "bytes") != 0)
			continue;
		for (uint8_t at = 0; at < form.n_bytes; at++)
			form.place[at] = at;
		if (order)
			r = read_order(order, &form);
		if (r == 0)
			*ret = form;
		return r;
	}
	return -EINVAL;
}

int binary_decode(const struct binary_form *form, const uint8_t *data, size_t size, size_t at, struct hay_value *ret)
{
	uint64_t bits = 0;
	unsigned unused;
	float number;

	if (at > size || form->n_bytes > size - at)
		return -EBADMSG;
	*ret = (struct hay_value){.type = form->type};
	if (form->n_bytes == 0) {
		ret->s.data = (const char *)data + at;
		ret->s.size = size - at;
		return 0;
	}
	for (unsigned weight = form->n_bytes; weight-- > 0;)
		bits = bits << 8 | data[at + form->place[weight]];
	unused = 64 - 8u * form->n_bytes;
	if (form->type == HAY_BOOL) {
		ret->b = bits != 0;
	} else if (form->type == HAY_FLOAT32) {
		uint32_t narrow = (uint32_t)bits;

		memcpy(&number, &narrow, sizeof(number));
		ret->f = number;
	} else {
		/* a double's bits are the union's too */
		ret->u = form->is_signed ? (uint64_t)((int64_t)(bits << unused) >> unused) : bits;
	}
	return 0;
}

static bool is_signed_type(enum hay_type type)
{
	return type == HAY_INT16 || type == HAY_INT32 || type == HAY_INT64;
}

static double to_double(const struct hay_value *value)
{
	return value->type == HAY_FLOAT64    ? value->d
	       : value->type == HAY_FLOAT32  ? (double)value->f
	       : value->type == HAY_BOOL     ? (value->b ? 1 : 0)
	       : is_signed_type(value->type) ? (double)value->i
					     : (double)value->u;
}

static int to_whole(double number, enum hay_type type, struct hay_value *ret)
{
	static const struct {
		double low, high;
	} ranges[HAY_N_TYPES] = {
		[HAY_INT16] = {INT16_MIN, INT16_MAX},	[HAY_INT32] = {INT32_MIN, INT32_MAX},
		[HAY_INT64] = {-0x1p63, 0x1p63 - 1024}, [HAY_UINT16] = {0, UINT16_MAX},
		[HAY_UINT32] = {0, UINT32_MAX},		[HAY_UINT64] = {0, 0x1p64 - 2048},
	};

	number = round(number);
	if (!(number >= ranges[type].low && number <= ranges[type].high))
		return -ERANGE;
	if (is_signed_type(type))
		ret->i = (int64_t)number;
	else
		ret->u = (uint64_t)number;
	return 0;
}

int value_convert(const struct hay_value *value, enum hay_type type, struct hay_value *ret)
{
	bool from_text = value->type == HAY_STRING || value->type == HAY_BYTES;
	bool to_text = type == HAY_STRING || type == HAY_BYTES;

	*ret = *value;
	ret->type = type;
	if (value->type == type)
		return 0;
	if (from_text || to_text || type == HAY_TYPE_NONE)
		return from_text && to_text ? 0 : -EINVAL;
	switch (type) {
	case HAY_BOOL:
		ret->b = to_double(value) != 0;
		return 0;
	case HAY_FLOAT32:
		ret->f = (float)to_double(value);
		return 0;
	case HAY_FLOAT64:
		ret->d = to_double(value);
		return 0;
	default:
		return to_whole(to_double(value), type, ret);
	}
}

int binary_encode(const struct binary_form *form, const struct hay_value *value, uint8_t data[BINARY_BYTES_MAX])
{
	unsigned width = 8u * form->n_bytes;
	struct hay_value fitted;
	uint64_t bits;
	uint32_t narrow;
	int r = value_convert(value, form->type, &fitted);

	if (r < 0)
		return r;
	if (form->type == HAY_BOOL) {
		bits = fitted.b;
	} else if (form->type == HAY_FLOAT32) {
		memcpy(&narrow, &fitted.f, sizeof(narrow));
		bits = narrow;
	} else {
		bits = fitted.u;
		if (form->is_signed && width < 64 &&
		    (fitted.i < -(INT64_C(1) << (width - 1)) || fitted.i >= INT64_C(1) << (width - 1)))
			return -ERANGE;
		if (!form->is_signed && !form->is_float && width < 64 && bits >> width)
			return -ERANGE;
	}
	for (unsigned weight = 0; weight < form->n_bytes; weight++)
		data[form->place[weight]] = (uint8_t)(bits >> (8 * weight));
	return 0;
}
