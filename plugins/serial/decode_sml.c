/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An SML file (BSI TR-03109-1, annex IV; "Smart Message Language" 1.04) without its transport: of its messages the
 * answers of GetList, each entry under its OBIS number as text, 1-0:1.8.0. The number's last part is left out where
 * it is 255.
 */
#include "decode.h"
#include <math.h>
#include <string.h>

#define MESSAGE_FIELDS 6
#define LIST_FIELDS 7
#define ENTRY_FIELDS 7
#define GET_LIST_ANSWER 0x0701

enum sml_type { SML_OCTETS = 0, SML_BOOL = 4, SML_INT = 5, SML_UINT = 6, SML_LIST = 7 };

struct sml {
	const uint8_t *at, *end;
};

struct sml_value {
	enum sml_type type;
	const uint8_t *data; /* of a list: none */
	size_t size;	     /* bytes; of a list: how many elements follow */
};

/* The next element; of a list only its head. */
static bool take_value(struct sml *sml, struct sml_value *ret)
{
	size_t size = 0, head = 0;
	uint8_t byte;

	if (sml->at == sml->end)
		return false;
	ret->type = (enum sml_type)(*sml->at >> 4 & 7);
	do {
		if (sml->at == sml->end || size > 0xffff)
			return false;
		byte = *sml->at++;
		size = size << 4 | (byte & 15);
		head++;
	} while (byte & 0x80);
	ret->data = sml->at;
	ret->size = size;
	if (ret->type == SML_LIST)
		return true;
	/* The length counts the head; the end of a message is a head of none. */
	if (size < head)
		return size == 0;
	ret->size = size - head;
	if ((size_t)(sml->end - sml->at) < ret->size)
		return false;
	sml->at += ret->size;
	return true;
}

/* One element with all that is in it. */
static bool skip_value(struct sml *sml)
{
	struct sml_value value;
	size_t left = 1;

	for (; left > 0; left--) {
		if (!take_value(sml, &value))
			return false;
		if (value.type == SML_LIST)
			left += value.size;
	}
	return true;
}

static bool skip_n(struct sml *sml, size_t n)
{
	while (n > 0 && skip_value(sml))
		n--;
	return n == 0;
}

static bool take_list(struct sml *sml, size_t n)
{
	struct sml_value value;

	return take_value(sml, &value) && value.type == SML_LIST && value.size == n;
}

static uint64_t raw_of(const struct sml_value *value)
{
	uint64_t raw = value->type == SML_INT && value->size > 0 && value->data[0] & 0x80 ? UINT64_MAX : 0;

	for (size_t i = 0; i < value->size && i < 8; i++)
		raw = raw << 8 | value->data[i];
	return raw;
}

/* DLMS/COSEM, "Blue Book", the enumeration of units. */
static const char *unit_of(const struct sml_value *value)
{
	static const char *const units[] = {
		[7] = "s",    [8] = "°",   [9] = "°C",	 [13] = "m³",	[14] = "m³", [27] = "W", [28] = "VA",
		[29] = "var", [30] = "Wh", [31] = "VAh", [32] = "varh", [33] = "A",  [35] = "V", [44] = "Hz",
	};
	uint64_t code = value->size > 0 ? raw_of(value) : 0;

	return code < sizeof(units) / sizeof(units[0]) ? units[code] : NULL;
}

static struct text hex_of(struct serial_record *record, const struct sml_value *value)
{
	size_t room = record->names_size - record->names_used;
	char *at = record->names + record->names_used;

	if (value->size > room / 2)
		return (struct text){0};
	for (size_t i = 0; i < value->size; i++) {
		at[2 * i] = "0123456789abcdef"[value->data[i] >> 4];
		at[2 * i + 1] = "0123456789abcdef"[value->data[i] & 15];
	}
	record->names_used += 2 * value->size;
	return (struct text){at, 2 * value->size};
}

/* Octets that print are text; others are written in hex. */
static bool add_octets(struct serial_record *record, const struct sml_value *value, struct serial_item *item)
{
	size_t n = 0;

	while (n < value->size && value->data[n] >= 0x20 && value->data[n] < 0x7f)
		n++;
	item->is_text = item->is_name = true;
	item->text = (struct text){(const char *)value->data, value->size};
	if (n < value->size)
		item->text = hex_of(record, value);
	return item->text.data != NULL;
}

static void add_number(const struct sml_value *value, int scaler, struct serial_item *item)
{
	uint64_t raw = raw_of(value);
	double real = value->type == SML_INT ? (double)(int64_t)raw : (double)raw;

	if (scaler == 0 && (value->type == SML_INT || raw <= INT64_MAX))
		item->value = (struct hay_value){.type = HAY_INT64, .i = (int64_t)raw};
	else /* divided, so that 123 tenths are 12.3 and not what 123 × 0.1 gives */
		item->value = (struct hay_value){.type = HAY_FLOAT64,
						 .d = scaler < 0 ? real / pow(10, -scaler) : real * pow(10, scaler)};
}

/* Its name, from the six bytes of its number. */
static struct text obis_name(struct serial_record *record, const uint8_t *obis)
{
	static const char between[] = {'-', ':', '.', '.', '*'};
	char name[6 * 4], digits[TEXT_NUMBER_MAX];
	size_t n = 0;

	for (size_t i = 0; i < (obis[5] == 255 ? 5 : 6); i++) {
		struct text part = text_of_number(obis[i], digits);

		if (i > 0)
			name[n++] = between[i - 1];
		memcpy(name + n, part.data, part.size);
		n += part.size;
	}
	return record_name(record, (struct text){name, n}, "", (struct text){0}, "");
}

static bool read_entry(struct sml *sml, struct serial_record *record)
{
	struct sml_value name, unit, scaler, value;
	struct serial_item item = {0};

	if (!take_list(sml, ENTRY_FIELDS) || !take_value(sml, &name) || !skip_n(sml, 2) || !take_value(sml, &unit) ||
	    !take_value(sml, &scaler))
		return false;

	struct sml behind = *sml;

	if (!take_value(sml, &value) || name.type == SML_LIST || unit.type == SML_LIST || scaler.type == SML_LIST)
		return false;
	if (value.type == SML_LIST || name.size != 6) { /* a load profile, or the like */
		*sml = behind;
		return skip_n(sml, 2);
	}
	item.unit = unit_of(&unit);
	if (value.type == SML_OCTETS) {
		if (value.size > 0 && !add_octets(record, &value, &item))
			return false;
	} else if (value.type == SML_BOOL) {
		item.value = (struct hay_value){.type = HAY_BOOL, .b = raw_of(&value) != 0};
	} else if (value.size == 0 || value.size > 8) {
		return false;
	} else {
		add_number(&value, scaler.size == 1 ? (int8_t)scaler.data[0] : 0, &item);
	}
	item.name = obis_name(record, name.data);
	return item.name.data && record_add(record, &item) == 0 && skip_value(sml);
}

static bool get_list_answer(struct sml *sml, struct serial_record *record)
{
	struct sml_value server, entries;

	if (!take_list(sml, LIST_FIELDS) || !skip_value(sml) || !take_value(sml, &server) ||
	    server.type != SML_OCTETS || !skip_n(sml, 2) || !take_value(sml, &entries) || entries.type != SML_LIST)
		return false;
	if (record_add_text(record, text_of("server"), hex_of(record, &server), true) < 0)
		return false;
	for (size_t i = 0; i < entries.size; i++)
		if (!read_entry(sml, record))
			return false;
	return skip_n(sml, 2);
}

enum serial_decoded decode_sml(struct text frame, struct serial_record *record, const char **ret_error)
{
	struct sml sml = {(const uint8_t *)frame.data, (const uint8_t *)frame.data + frame.size};
	struct sml_value kind;

	*ret_error = "it is no SML file";
	while (sml.at < sml.end) {
		if (*sml.at == 0) { /* filled up to a multiple of four bytes */
			sml.at++;
			continue;
		}
		if (!take_list(&sml, MESSAGE_FIELDS) || !skip_n(&sml, 3) || !take_list(&sml, 2) ||
		    !take_value(&sml, &kind) || kind.type != SML_UINT)
			return DECODED_WRONG;
		if (raw_of(&kind) == GET_LIST_ANSWER ? !get_list_answer(&sml, record) : !skip_value(&sml))
			return DECODED_WRONG;
		if (!skip_n(&sml, 2))
			return DECODED_WRONG;
	}
	return record->n > 0 ? DECODED : DECODED_OTHER;
}
