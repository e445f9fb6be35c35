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

#include <haywain/helpers.h>

#define TYPES_BYTES_MAX 8 /* of a number */
#define TYPES_STRING_REGISTERS_MAX 125

enum value_kind { KIND_PLAIN, KIND_FLOAT16, KIND_BCD, KIND_BITS, KIND_STRING };

/* How one value lies in registers. */
struct value_form {
	enum hay_type type; /* of the value */
	enum value_kind kind;
	uint16_t n_bytes;		/* 2, 4 or 8; of a string up to 250 */
	uint8_t order[TYPES_BYTES_MAX]; /* where on the wire each byte lies, the most significant one first */
	uint8_t low, width;		/* BITS: the lowest bit and how many */
	bool swapped;			/* STRING: the second character of a register is its high byte */
};

/* What a person wrote about a value; NULL and 0: nothing. */
struct value_words {
	const char *type; /* "int16", "bcd32", … */
	const char *order, *bits, *string_order;
	unsigned length; /* registers of a string */
};

/* The types that only this protocol has. NULL-terminated. */
extern const char *const types_own[];

/*
 * The form of a value. type is what the name stands for in every protocol, HAY_TYPE_NONE for one of types_own or
 * where nothing was written. -EINVAL: *ret_key and *ret_error say what is wrong.
 *
 * An order is some arrangement of as many letters, from A on, as the type has bytes ("BA", "CDAB", "GHEFCDAB");
 * without one the most significant byte comes first. Bits count from 0, the lowest: "3" or "4-7".
 */
int types_form(enum hay_type type, const struct value_words *words, struct value_form *ret, const char **ret_key,
	       const char **ret_error);

/* Registers that a value takes. */
static inline unsigned types_registers(const struct value_form *form)
{
	return form->n_bytes / 2u;
}

/* Bytes of text that decoding may need. */
static inline size_t types_text_room(const struct value_form *form)
{
	return form->kind == KIND_STRING ? 2u * form->n_bytes : 0;
}

/*
 * Decode the form->n_bytes bytes of its registers as they came. A bool is true where any bit is set. A string ends
 * at its first NUL, without the blanks before that; bytes that are no UTF-8 are taken for Latin-1. Its characters
 * are written to text, which has types_text_room() bytes. -EBADMSG: digits that are none (BCD).
 */
int types_decode(const struct value_form *form, const uint8_t *wire, char *text, struct hay_value *ret);

/*
 * Encode into form->n_bytes bytes; of BITS only theirs are touched. -EINVAL: the value is of another type; -ERANGE: it
 * does not fit.
 */
int types_encode(const struct value_form *form, const struct hay_value *value, uint8_t *wire);

/*
 * Round a value to one that the form holds to the last digit, as types_encode() would, but not out of low and high
 * (NaN: none). -ERANGE: there is none. Only float16 has fewer digits than its type.
 */
int types_round(const struct value_form *form, double low, double high, struct hay_value *value);

/* BITS: the register bits that are theirs, as they lie on the wire. */
void types_mask(const struct value_form *form, uint8_t *ret_wire);

/* One bit of an answer to a read of coils or discrete inputs (6.1: the first is the lowest bit of the first byte). */
bool types_bit(const uint8_t *wire, unsigned index);

#endif
