/* SPDX-License-Identifier: Apache-2.0 */
/* Values at fixed places of a frame of bytes. */
#include "decode.h"
#include <errno.h>
#include <math.h>
#include <string.h>

int binary_order(const char *text, size_t n_bytes, uint8_t order[BINARY_BYTES_MAX])
{
	unsigned seen = 0;
	bool little = text && strcmp(text, "little") == 0;

	if (!text || little || strcmp(text, "big") == 0) {
		for (size_t i = 0; i < n_bytes; i++)
			order[i] = (uint8_t)(little ? n_bytes - 1 - i : i);
		return 0;
	}
	if (strlen(text) != n_bytes)
		return -EINVAL;
	for (size_t i = 0; i < n_bytes; i++) {
		unsigned place = (unsigned)(text[i] - 'A');

		if (place >= n_bytes || seen & 1u << place)
			return -EINVAL;
		seen |= 1u << place;
		order[i] = (uint8_t)place;
	}
	return 0;
}

int binary_value(const struct binary_form *form, const uint8_t *frame, size_t size, struct hay_value *ret)
{
	uint64_t bits = 0;
	unsigned unused = 64 - 8 * (unsigned)form->n_bytes;

	if (form->at > size || size - form->at < form->n_bytes)
		return -EINVAL;
	frame += form->at;
	*ret = (struct hay_value){.type = form->type};
	if (form->type == HAY_STRING || form->type == HAY_BYTES) {
		struct item item = {.is_text = true, .text = {(const char *)frame, form->n_bytes}};

		if (form->type == HAY_STRING)
			item.text.size = strnlen(item.text.data, form->n_bytes); /* filled up with zeros */
		return item_value(&item, form->type, ret) < 0 ? -EINVAL : 0;
	}
	for (size_t i = 0; i < form->n_bytes; i++)
		bits |= (uint64_t)frame[i] << 8 * (form->n_bytes - 1 - form->order[i]);
	switch (form->type) {
	case HAY_BOOL:
		ret->b = bits != 0;
		return 0;
	case HAY_INT16:
	case HAY_INT32:
	case HAY_INT64:
		ret->i = (int64_t)(bits << unused) >> unused; /* the sign of 3 bytes too */
		return 0;
	case HAY_FLOAT32: {
		uint32_t half = (uint32_t)bits;

		memcpy(&ret->f, &half, sizeof(half));
		return isfinite(ret->f) ? 0 : -EDOM;
	}
	case HAY_FLOAT64:
		memcpy(&ret->d, &bits, sizeof(bits));
		return isfinite(ret->d) ? 0 : -EDOM;
	default:
		ret->u = bits;
		return 0;
	}
}
