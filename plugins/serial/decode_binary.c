/* SPDX-License-Identifier: Apache-2.0 */
/* Values at fixed places of a frame of bytes. */
#include "decode.h"
#include <errno.h>
#include <math.h>
#include <string.h>

int binary_order(const char *text, size_t n_bytes, uint8_t order[HAY_NUMBER_BYTES_MAX])
{
	bool little = text && strcmp(text, "little") == 0;

	if (text && strcmp(text, "big") == 0)
		text = NULL;
	if (!little)
		return hay_byte_order(text, n_bytes, order);
	for (size_t i = 0; i < n_bytes; i++)
		order[i] = (uint8_t)(n_bytes - 1 - i);
	return 0;
}

int binary_value(const struct serial_binary_form *form, const uint8_t *frame, size_t size, struct hay_value *ret)
{
	uint64_t bits;

	if (form->at > size || size - form->at < form->n_bytes)
		return -EINVAL;
	frame += form->at;
	*ret = (struct hay_value){.type = form->type};
	if (form->type == HAY_STRING || form->type == HAY_BYTES) {
		struct serial_item item = {.is_text = true, .text = {(const char *)frame, form->n_bytes}};

		if (form->type == HAY_STRING)
			item.text.size = strnlen(item.text.data, form->n_bytes); /* filled up with zeros */
		return item_value(&item, form->type, ret) < 0 ? -EINVAL : 0;
	}
	bits = hay_get_ordered(frame, form->n_bytes, form->order);
	switch (form->type) {
	case HAY_BOOL:
		ret->b = bits != 0;
		return 0;
	case HAY_INT16:
	case HAY_INT32:
	case HAY_INT64:
		ret->i = hay_sign_extend(bits, form->n_bytes);
		return 0;
	case HAY_FLOAT32:
		ret->f = hay_float_of_bits((uint32_t)bits);
		return isfinite(ret->f) ? 0 : -EDOM;
	case HAY_FLOAT64:
		ret->d = hay_double_of_bits(bits);
		return isfinite(ret->d) ? 0 : -EDOM;
	default:
		ret->u = bits;
		return 0;
	}
}
