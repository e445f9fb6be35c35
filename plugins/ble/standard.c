/* SPDX-License-Identifier: Apache-2.0 */
#include "standard.h"
#include "decode_private.h"
#include <errno.h>
#include <math.h>

enum form { WHOLE, TEXT, MEDICAL, HEART };

struct characteristic {
	uint16_t uuid;
	uint16_t field;
	enum form form;
	uint8_t size;
	bool is_signed;
	uint16_t divide;
	int64_t unknown; /* the raw value that means "not known"; 0: there is none */
};

static const struct characteristic characteristics[] = {
	{0x2A19, FIELD_BATTERY, WHOLE, 1, false, 1, 0},
	{0x2A1C, FIELD_TEMPERATURE, MEDICAL, 5, false, 1, 0},
	{0x2A26, FIELD_FIRMWARE, TEXT, 0, false, 1, 0},
	{0x2A37, FIELD_HEART_RATE, HEART, 2, false, 1, 0},
	{0x2A6C, FIELD_ELEVATION, WHOLE, 3, true, 100, 0},
	{0x2A6D, FIELD_PRESSURE, WHOLE, 4, false, 1000, 0}, /* tenths of a pascal */
	{0x2A6E, FIELD_TEMPERATURE, WHOLE, 2, true, 100, INT16_MIN},
	{0x2A6F, FIELD_HUMIDITY, WHOLE, 2, false, 100, UINT16_MAX},
	{0x2A70, FIELD_WIND_SPEED, WHOLE, 2, false, 100, 0},
	{0x2A71, FIELD_WIND_DIRECTION, WHOLE, 2, false, 100, 0},
	{0x2A76, FIELD_UV_INDEX, WHOLE, 1, false, 1, 0},
	{0x2A77, FIELD_IRRADIANCE, WHOLE, 2, false, 10, 0},
	{0x2A78, FIELD_RAINFALL, WHOLE, 2, false, 1, 0},
	{0x2A7B, FIELD_DEW_POINT, WHOLE, 1, true, 1, 0},
	{0x2AFB, FIELD_ILLUMINANCE, WHOLE, 3, false, 100, 0xffffff},
};

static const struct characteristic *find_characteristic(uint16_t uuid)
{
	for (size_t i = 0; i < sizeof(characteristics) / sizeof(characteristics[0]); i++)
		if (characteristics[i].uuid == uuid)
			return &characteristics[i];
	return NULL;
}

int standard_field(uint16_t uuid, enum ble_field *ret_field)
{
	const struct characteristic *c = find_characteristic(uuid);

	if (!c)
		return -ENOENT;
	*ret_field = (enum ble_field)c->field;
	return 0;
}

/* Temperature Measurement: flags, then an IEEE 11073 FLOAT: a mantissa of 24 bits and a power of ten. */
static int add_medical(const uint8_t *data, struct ble_decoded *out)
{
	int64_t mantissa = get_le(data + 1, 3, true);
	double number;

	if (mantissa >= 0x7ffffe || mantissa <= -0x7ffffe) /* not a number, not at this resolution, infinities */
		return -ENOMSG;
	number = (int8_t)data[4] < 0 ? (double)mantissa / pow(10, -(int8_t)data[4])
				     : (double)mantissa * pow(10, (int8_t)data[4]);
	decoded_double(out, FIELD_TEMPERATURE, data[0] & 1 ? (number - 32) * 5 / 9 : number);
	return 0;
}

/* Temperature Measurement: a time of 7 bytes and a type of one may follow. */
static size_t medical_size(uint8_t flags)
{
	return 5u + (flags & 2 ? 7 : 0) + (flags & 4 ? 1 : 0);
}

bool standard_is_longer(uint16_t uuid, const uint8_t *data, size_t size)
{
	const struct characteristic *c = find_characteristic(uuid);

	if (!c || size == 0)
		return false;
	return (c->form == WHOLE && size > c->size) || (c->form == MEDICAL && size > medical_size(data[0]));
}

int standard_decode(uint16_t uuid, const uint8_t *data, size_t size, struct ble_decoded *out)
{
	const struct characteristic *c = find_characteristic(uuid);
	int64_t raw;

	if (!c)
		return -ENOMSG;
	if (size < c->size)
		return -EBADMSG;
	switch (c->form) {
	case TEXT:
		decoded_bytes(out, (enum ble_field)c->field, data, size);
		return 0;
	case MEDICAL:
		return add_medical(data, out);
	case HEART: /* flag 0: the rate has 16 bits */
		if (data[0] & 1 && size < 3)
			return -EBADMSG;
		decoded_number(out, FIELD_HEART_RATE, get_le(data + 1, data[0] & 1 ? 2 : 1, false), 1);
		return 0;
	case WHOLE:
		break;
	}
	raw = get_le(data, c->size, c->is_signed);
	if (c->unknown && raw == c->unknown)
		return -ENOMSG;
	decoded_number(out, (enum ble_field)c->field, raw, c->divide);
	return 0;
}
