/* SPDX-License-Identifier: Apache-2.0 */
/* Input: place, length, type and order of a value, then a frame. */
#include "decode_target.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct serial_binary_form form = {0};
	struct hay_value value;
	uint8_t *frame;

	if (size < 4)
		return 0;
	form.at = data[0];
	form.n_bytes = 1 + data[1] % HAY_NUMBER_BYTES_MAX;
	form.type = (enum hay_type)(HAY_BOOL + data[2] % (HAY_N_TYPES - HAY_BOOL));
	binary_order(data[3] & 1 ? "little" : NULL, form.n_bytes, form.order);
	size -= 4;
	frame = malloc(size ? size : 1);
	memcpy(frame, data + 4, size);
	if (binary_value(&form, frame, size, &value) == 0 && (value.type == HAY_STRING || value.type == HAY_BYTES))
		touch((struct text){value.s.data, value.s.size});
	free(frame);
	return 0;
}
