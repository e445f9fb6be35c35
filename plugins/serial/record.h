/* SPDX-License-Identifier: Apache-2.0 */
/* What a frame says, as names and values, and how texts become values. Pure. */
#ifndef SERIAL_RECORD_H
#define SERIAL_RECORD_H

#include <haywain/helpers.h>

struct text {
	const char *data;
	size_t size;
};

struct serial_item {
	struct text name;
	bool hidden;  /* a further name of another item, or none of the device's values: never a point by itself */
	bool is_text; /* text is what stood there; else value is */
	bool comma;   /* text's decimal sign is a comma, and not a point */
	bool is_name; /* text that is no number even where it looks like one: a serial number, "039601e2" */
	/* text that is a number by the frame's own rules (JSON), also one that no type holds, and nan */
	bool is_number;
	struct text text;
	struct hay_value value; /* HAY_TYPE_NONE: null */
	const char *unit;	/* of measure, where the protocol says it; else NULL */
};

#define RECORD_ITEMS_MAX 1024

/* Embedded; record_init, record_done. */
struct serial_record {
	struct serial_item *items;
	size_t n, capacity;
	char *names; /* room for names that do not stand in the frame */
	size_t names_used, names_size;
	const char *note; /* what of the frame was left out; NULL: nothing */
	bool comma;	  /* what record_add_text() adds has decimal commas */
	void *tree;	  /* json: what the items point into */
};

int record_init(struct serial_record *record, size_t names_size);
void record_done(struct serial_record *record);
void record_clear(struct serial_record *record);

/* -E2BIG past RECORD_ITEMS_MAX, -ENOMEM. */
int record_add(struct serial_record *record, const struct serial_item *item);
int record_add_text(struct serial_record *record, struct text name, struct text text, bool hidden);
/* A name put together of four parts; lives as long as the record's content. NULL data: no room. */
struct text record_name(struct serial_record *record, struct text first, const char *between, struct text second,
			const char *behind);

/* The item of that name; *hint: where to look first, and where it was. NULL: there is none. */
const struct serial_item *record_get(const struct serial_record *record, struct text name, size_t *hint);

static inline bool text_equal(struct text a, struct text b)
{
	return a.size == b.size && (a.size == 0 || __builtin_memcmp(a.data, b.data, a.size) == 0);
}
struct text text_of(const char *string); /* NULL: empty */
#define TEXT_NUMBER_MAX 20
struct text text_of_number(size_t number, char buffer[TEXT_NUMBER_MAX]);
struct text text_trim(struct text text); /* without blanks around it */

/* A number as devices print it: decimal, with sign, fraction and exponent, blanks around it. */
bool text_number(struct text text, double *ret);
/* nan, inf and the like, in any case; null. */
bool text_is_not_a_number(struct text text);
/* Made of digits, signs, points and commas alone: a number of some kind, also where nothing says which. */
bool text_looks_numeric(struct text text);

/* As a value of that type. 0; -EINVAL: it is none; -ERANGE: out of the type's range; -EDOM: NaN or infinity. */
int item_value(const struct serial_item *item, enum hay_type type, struct hay_value *ret);
/* As text, for comparing: numbers in shortest form. buffer holds what the item itself does not. */
struct text item_text(const struct serial_item *item, char buffer[32]);
/* A whole number of more than 64 bits: as float64 it is a rounded one. */
bool item_is_beyond_64_bits(const struct serial_item *item);
/* As a number, if it is one. */
bool item_number(const struct serial_item *item, double *ret);
/* The type an item has as a point of its own: bool, float64 or string; HAY_TYPE_NONE for null. */
enum hay_type item_natural_type(const struct serial_item *item);

/* \r \n \t \0 \\ \xHH in place of the bytes. -EINVAL: another escape; -ENOSPC: more than size bytes. The length. */
int text_unescape(const char *text, uint8_t *into, size_t size);

#endif
