/* SPDX-License-Identifier: Apache-2.0 */
#include "binary.h"
#include <errno.h>
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

int binary_form(const char *type, const char *order, struct ble_binary_form *ret)
{
	for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++) {
		struct ble_binary_form form = {.type = types[i].type,
					       .n_bytes = types[i].n_bytes,
					       .is_signed = types[i].is_signed,
					       .is_float = types[i].is_float};
		int r = 0;

		if (strcmp(types[i].name, type ? type : "bytes") != 0)
			continue;
		for (uint8_t at = 0; at < form.n_bytes; at++)
			form.order[at] = (uint8_t)(form.n_bytes - 1 - at);
		if (order)
			r = hay_byte_order(order, form.n_bytes, form.order) < 0 ? -EDOM : 0;
		if (r == 0)
			*ret = form;
		return r;
	}
	return -EINVAL;
}

int binary_decode(const struct ble_binary_form *form, const uint8_t *data, size_t size, size_t at,
		  struct hay_value *ret)
{
	uint64_t bits;

	if (at > size || form->n_bytes > size - at)
		return -EBADMSG;
	*ret = (struct hay_value){.type = form->type};
	if (form->n_bytes == 0) {
		ret->s.data = (const char *)data + at;
		ret->s.size = size - at;
		return 0;
	}
	bits = hay_get_ordered(data + at, form->n_bytes, form->order);
	if (form->type == HAY_BOOL) {
		ret->b = bits != 0;
	} else if (form->type == HAY_FLOAT32) {
		ret->f = hay_float_of_bits((uint32_t)bits);
	} else {
		/* a double's bits are the union's too */
		ret->u = form->is_signed ? (uint64_t)hay_sign_extend(bits, form->n_bytes) : bits;
	}
	return 0;
}

int value_convert(const struct hay_value *value, enum hay_type type, struct hay_value *ret)
{
	bool from_text = hay_type_is_text(value->type), to_text = hay_type_is_text(type);
	double number = hay_value_as_double(value);

	*ret = *value;
	ret->type = type;
	if (value->type == type)
		return 0;
	if (from_text || to_text || type == HAY_TYPE_NONE)
		return from_text && to_text ? 0 : -EINVAL;
	switch (type) {
	case HAY_BOOL:
		ret->b = number != 0;
		return 0;
	case HAY_FLOAT32:
		ret->f = (float)number;
		return 0;
	case HAY_FLOAT64:
		ret->d = number;
		return 0;
	default:
		return hay_value_of_double(number, type, ret) < 0 ? -ERANGE
								  : 0; /* what is no number has no place either */
	}
}

int binary_encode(const struct ble_binary_form *form, const struct hay_value *value, uint8_t data[HAY_NUMBER_BYTES_MAX])
{
	unsigned width = 8u * form->n_bytes;
	struct hay_value fitted;
	uint64_t bits;
	int r = value_convert(value, form->type, &fitted);

	if (r < 0)
		return r;
	if (form->type == HAY_BOOL) {
		bits = fitted.b;
	} else if (form->type == HAY_FLOAT32) {
		bits = hay_bits_of_float(fitted.f);
	} else {
		bits = fitted.u;
		if (form->is_signed && width < 64 &&
		    (fitted.i < -(INT64_C(1) << (width - 1)) || fitted.i >= INT64_C(1) << (width - 1)))
			return -ERANGE;
		if (!form->is_signed && !form->is_float && width < 64 && bits >> width)
			return -ERANGE;
	}
	hay_put_ordered(data, form->n_bytes, form->order, bits);
	return 0;
}
