/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Input: type, order, place and UUID (2), then what a characteristic holds. A value that is found lies inside, encodes
 * to the same bytes again, and converts to any type or says that it does not.
 */
#include "../../../plugins/ble/binary.h"
#include "../../../plugins/ble/decode.h"
#include "../../../plugins/ble/standard.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(const struct ble_binary_form *form, const uint8_t *bytes, size_t size, size_t at)
{
	uint8_t again[HAY_NUMBER_BYTES_MAX];
	struct hay_value value, other;

	if (binary_decode(form, bytes, size, at, &value) < 0)
		return;
	if (form->n_bytes == 0) {
		if ((const uint8_t *)value.s.data + value.s.size != bytes + size)
			abort();
	} else if (binary_encode(form, &value, again) < 0 ||
		   (form->type != HAY_BOOL && memcmp(again, bytes + at, form->n_bytes) != 0)) {
		abort();
	}
	for (int type = HAY_TYPE_NONE; type < HAY_N_TYPES; type++) {
		int r = value_convert(&value, (enum hay_type)type, &other);

		if (r != 0 && r != -ERANGE && r != -EINVAL)
			abort();
		if (r == 0 && other.type != (enum hay_type)type)
			abort();
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const char *const types[] = {"bool",    "int8",	 "uint8",  "int16", "uint16", "int24",
					    "uint24",  "int32",	 "uint32", "int64", "uint64", "float32",
					    "float64", "string", "bytes",  NULL};
	static const char *const orders[] = {NULL, "A", "AB", "BA", "ABC", "ABCD", "CDAB", "ABCDEFGH", "HH"};
	static struct ble_decoded decoded;
	struct ble_binary_form form;
	uint8_t *bytes;

	if (size < 5)
		return 0;
	bytes = malloc(size - 5 + (size == 5));
	memcpy(bytes, data + 5, size - 5);
	if (binary_form(types[data[0] % 16], orders[data[1] % 9], &form) == 0)
		check(&form, bytes, size - 5, data[2]);
	decoded.n_values = decoded.n_text = 0;
	if (standard_decode((uint16_t)(data[3] << 8 | data[4]), bytes, size - 5, &decoded) == 0 &&
	    decoded.n_values != 1)
		abort();
	free(bytes);
	return 0;
}
