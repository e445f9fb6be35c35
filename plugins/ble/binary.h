/* SPDX-License-Identifier: Apache-2.0 */
/* Values at a place in bytes: characteristics and raw data. Pure. */
#ifndef BLE_BINARY_H
#define BLE_BINARY_H

#include <haywain/helpers.h>

struct ble_binary_form {
	enum hay_type type; /* of the value */
	uint8_t n_bytes;    /* 0: all that is there, of a string or bytes */
	bool is_signed, is_float;
	uint8_t order[HAY_NUMBER_BYTES_MAX]; /* of hay_byte_order() */
};

extern const char *const binary_types[]; /* besides those everybody knows: int8, uint8, int24, uint24 */

/* type: as written, NULL: bytes. order: "DCBA" (A the most significant) or NULL: the least significant first.
   -EINVAL: no such type; -EDOM: the order does not fit it. */
int binary_form(const char *type, const char *order, struct ble_binary_form *ret);

/* -EBADMSG: too short. A string's bytes stay where they are. */
int binary_decode(const struct ble_binary_form *form, const uint8_t *data, size_t size, size_t at,
		  struct hay_value *ret);

/* The bytes of a value; -ERANGE where it does not fit. */
int binary_encode(const struct ble_binary_form *form, const struct hay_value *value,
		  uint8_t data[HAY_NUMBER_BYTES_MAX]);

/* A value in another type; -ERANGE where it does not fit, -EINVAL where there is no way. */
int value_convert(const struct hay_value *value, enum hay_type type, struct hay_value *ret);

#endif
