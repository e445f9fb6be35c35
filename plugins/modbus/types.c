/* SPDX-License-Identifier: Apache-2.0 */
#include "types.h"
#include <errno.h>
#include <string.h>

unsigned types_registers(enum hay_type type)
{
	switch (type) {
	case HAY_BOOL:
	case HAY_INT16:
	case HAY_UINT16:
		return 1;
	case HAY_INT32:
	case HAY_UINT32:
	case HAY_FLOAT32:
		return 2;
	case HAY_INT64:
	case HAY_UINT64:
	case HAY_FLOAT64:
		return 4;
	case HAY_TYPE_NONE:
	case HAY_STRING:
	case HAY_BYTES:
	case HAY_N_TYPES:
		break;
	}
	return 0;
}

int types_form(enum hay_type type, const char *order, struct value_form *ret)
{
	struct value_form form = {.type = type};
	unsigned n = types_registers(type) * 2, seen = 0;

	if (!n)
		return -ENOTSUP;
	if (order && strlen(order) != n)
		return -EINVAL;
	form.n_bytes = (uint8_t)n;
	for (unsigned i = 0; i < n; i++) {
		unsigned letter = order ? (unsigned char)order[i] - (unsigned)'A' : i;

		if (letter >= n || seen & 1u << letter)
			return -EINVAL;
		seen |= 1u << letter;
		form.order[letter] = (uint8_t)i;
	}
	*ret = form;
	return 0;
}

void types_decode(const struct value_form *form, const uint8_t *wire, struct hay_value *ret)
{
	uint64_t raw = 0;
	uint32_t raw32;

	for (unsigned i = 0; i < form->n_bytes; i++)
		raw = raw << 8 | wire[form->order[i]];
	*ret = (struct hay_value){.type = form->type};
	switch (form->type) {
	case HAY_BOOL:
		ret->b = raw != 0;
		break;
	case HAY_INT16:
		ret->i = (int16_t)(uint16_t)raw;
		break;
	case HAY_INT32:
		ret->i = (int32_t)(uint32_t)raw;
		break;
	case HAY_INT64:
		ret->i = (int64_t)raw;
		break;
	case HAY_FLOAT32:
		raw32 = (uint32_t)raw;
		memcpy(&ret->f, &raw32, sizeof(ret->f));
		break;
	case HAY_FLOAT64:
		memcpy(&ret->d, &raw, sizeof(ret->d));
		break;
	default:
		ret->u = raw;
		break;
	}
}

int types_encode(const struct value_form *form, const struct hay_value *value, uint8_t *ret_wire)
{
	unsigned bits = form->n_bytes * 8u;
	uint64_t raw = 0;
	uint32_t raw32;

	if (value->type != form->type)
		return -EINVAL;
	switch (form->type) {
	case HAY_BOOL:
		raw = value->b;
		break;
	case HAY_INT16:
	case HAY_INT32:
		if (value->i < -((int64_t)1 << (bits - 1)) || value->i >= (int64_t)1 << (bits - 1))
			return -ERANGE;
		raw = (uint64_t)value->i;
		break;
	case HAY_INT64:
		raw = (uint64_t)value->i;
		break;
	case HAY_UINT16:
	case HAY_UINT32:
		if (value->u >> bits)
			return -ERANGE;
		raw = value->u;
		break;
	case HAY_UINT64:
		raw = value->u;
		break;
	case HAY_FLOAT32:
		memcpy(&raw32, &value->f, sizeof(raw32));
		raw = raw32;
		break;
	case HAY_FLOAT64:
		memcpy(&raw, &value->d, sizeof(raw));
		break;
	default:
		return -EINVAL;
	}
	for (unsigned i = form->n_bytes; i-- > 0; raw >>= 8)
		ret_wire[form->order[i]] = (uint8_t)raw;
	return 0;
}

bool types_bit(const uint8_t *wire, unsigned index)
{
	return wire[index / 8] >> (index % 8) & 1;
}

/* Codes that the standard does not name are told apart by their number. */
#define NAME(high, low) "exception 0x" #high #low
#define NAMES(high)                                                                                                    \
	NAME(high, 0), NAME(high, 1), NAME(high, 2), NAME(high, 3), NAME(high, 4), NAME(high, 5), NAME(high, 6),       \
		NAME(high, 7), NAME(high, 8), NAME(high, 9), NAME(high, a), NAME(high, b), NAME(high, c),              \
		NAME(high, d), NAME(high, e), NAME(high, f)

const char *types_exception(uint8_t code)
{
	static const char *const known[] = {
		[0x01] = "illegal function",
		[0x02] = "illegal data address",
		[0x03] = "illegal data value",
		[0x04] = "server device failure",
		[0x05] = "acknowledge",
		[0x06] = "server device busy",
		[0x07] = "negative acknowledge",
		[0x08] = "memory parity error",
		[0x0a] = "gateway path unavailable",
		[0x0b] = "gateway target device failed to respond",
	};
	static const char *const others[256] = {
		NAMES(0), NAMES(1), NAMES(2), NAMES(3), NAMES(4), NAMES(5), NAMES(6), NAMES(7),
		NAMES(8), NAMES(9), NAMES(a), NAMES(b), NAMES(c), NAMES(d), NAMES(e), NAMES(f),
	};

	if (code < sizeof(known) / sizeof(known[0]) && known[code])
		return known[code];
	return others[code];
}
