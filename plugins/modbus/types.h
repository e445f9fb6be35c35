/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From registers to values and back. Pure.
 *
 * A register is two bytes on the wire, the high one first (MODBUS Application Protocol V1.1b3, 4.2). What a value
 * of several registers looks like is every maker's own choice, so the order of its bytes is written out: "ABCD"
 * is the value 0xAABBCCDD with its most significant byte (A) first on the wire, "CDAB" has its low register first.
 */
#ifndef MODBUS_TYPES_H
#define MODBUS_TYPES_H

#include <haywain/reading.h>

#define TYPES_BYTES_MAX 8

/* How one value lies in registers. */
struct value_form {
	enum hay_type type;
	uint8_t n_bytes;		/* 2, 4 or 8 */
	uint8_t order[TYPES_BYTES_MAX]; /* where on the wire each byte lies, the most significant one first */
};

/* Registers that a value of the type takes: 1, 2 or 4; 0 for a type that does not lie in registers. */
unsigned types_registers(enum hay_type type);

/*
 * The form of a type in an order: some arrangement of as many letters, from A on, as the type has bytes ("BA",
 * "CDAB", "GHEFCDAB"). NULL: the most significant byte first. -ENOTSUP: not a type of registers; -EINVAL: not an
 * order of that type.
 */
int types_form(enum hay_type type, const char *order, struct value_form *ret);

/* Decode the form->n_bytes bytes of its registers as they came. A bool is true where any bit is set. */
void types_decode(const struct value_form *form, const uint8_t *wire, struct hay_value *ret);

/* Encode into form->n_bytes bytes. -EINVAL: the value is of another type; -ERANGE: it does not fit. */
int types_encode(const struct value_form *form, const struct hay_value *value, uint8_t *ret_wire);

/* One bit of an answer to a read of coils or discrete inputs (6.1: the first is the lowest bit of the first byte). */
bool types_bit(const uint8_t *wire, unsigned index);

/* The name of an exception code (7), without capitals: "illegal data address". Never NULL, lives for ever. */
const char *types_exception(uint8_t code);

#endif
