/* SPDX-License-Identifier: Apache-2.0 */
/* RuuviTag and Ruuvi Air: data formats 3, 5 and 6 of https://docs.ruuvi.com/communication/bluetooth-advertisements */
#include "decode_private.h"
#include <errno.h>
#include <math.h>

#define RUUVI_COMPANY 0x0499

/* A field that holds the value for "not available" is left out. */
static void add_signed(struct ble_decoded *out, enum ble_field field, const uint8_t *data, unsigned divisor)
{
	int64_t raw = get_be(data, 2, true);

	if (raw != INT16_MIN)
		decoded_number(out, field, raw, divisor);
}

static void add_unsigned(struct ble_decoded *out, enum ble_field field, const uint8_t *data, int64_t offset,
			 unsigned divisor)
{
	int64_t raw = get_be(data, 2, false);

	if (raw != UINT16_MAX)
		decoded_number(out, field, raw + offset, divisor);
}

static int read_3(const uint8_t *data, size_t size, struct ble_decoded *out)
{
	int64_t hundredths;

	if (size != 14)
		return -EBADMSG;
	decoded_number(out, FIELD_HUMIDITY, data[1], 2);
	hundredths = (data[2] & 0x7f) * 100 + data[3]; /* sign and magnitude */
	decoded_number(out, FIELD_TEMPERATURE, data[2] & 0x80 ? -hundredths : hundredths, 100);
	decoded_number(out, FIELD_PRESSURE, get_be(data + 4, 2, false) + 50000, 100);
	decoded_number(out, FIELD_ACCELERATION_X, get_be(data + 6, 2, true), 1000);
	decoded_number(out, FIELD_ACCELERATION_Y, get_be(data + 8, 2, true), 1000);
	decoded_number(out, FIELD_ACCELERATION_Z, get_be(data + 10, 2, true), 1000);
	decoded_number(out, FIELD_BATTERY_VOLTAGE, get_be(data + 12, 2, false), 1000);
	return 0;
}

static int read_5(const uint8_t *data, size_t size, struct ble_decoded *out)
{
	unsigned power;

	if (size != 24)
		return -EBADMSG;
	power = (unsigned)get_be(data + 13, 2, false);
	add_signed(out, FIELD_TEMPERATURE, data + 1, 200);
	add_unsigned(out, FIELD_HUMIDITY, data + 3, 0, 400);
	add_unsigned(out, FIELD_PRESSURE, data + 5, 50000, 100);
	add_signed(out, FIELD_ACCELERATION_X, data + 7, 1000);
	add_signed(out, FIELD_ACCELERATION_Y, data + 9, 1000);
	add_signed(out, FIELD_ACCELERATION_Z, data + 11, 1000);
	if (power >> 5 != 0x7ff)
		decoded_number(out, FIELD_BATTERY_VOLTAGE, (power >> 5) + 1600, 1000);
	if ((power & 0x1f) != 0x1f)
		decoded_number(out, FIELD_TX_POWER, (int)(power & 0x1f) * 2 - 40, 1);
	if (data[15] != 0xff)
		decoded_number(out, FIELD_MOVEMENTS, data[15], 1);
	if (get_be(data + 16, 2, false) != UINT16_MAX) {
		out->has_packet = true;
		out->packet = (uint32_t)get_be(data + 16, 2, false);
		decoded_number(out, FIELD_SEQUENCE, out->packet, 1);
	}
	return 0;
}

static int read_6(const uint8_t *data, size_t size, struct ble_decoded *out)
{
	unsigned voc, nox, flags;

	if (size != 20)
		return -EBADMSG;
	flags = data[16];
	/* Nine bits each: eight in their own byte, the least significant one among the flags. */
	voc = data[11] * 2u | (flags >> 6 & 1);
	nox = data[12] * 2u | (flags >> 7 & 1);
	add_signed(out, FIELD_TEMPERATURE, data + 1, 200);
	add_unsigned(out, FIELD_HUMIDITY, data + 3, 0, 400);
	add_unsigned(out, FIELD_PRESSURE, data + 5, 50000, 100);
	add_unsigned(out, FIELD_PM2_5, data + 7, 0, 10);
	add_unsigned(out, FIELD_CO2, data + 9, 0, 1);
	if (voc != 0x1ff)
		decoded_number(out, FIELD_VOC_INDEX, voc, 1);
	if (nox != 0x1ff)
		decoded_number(out, FIELD_NOX_INDEX, nox, 1);
	if (data[13] != 0xff) /* logarithmic: 254 steps up to 65535 lx, good for two decimals */
		decoded_double(out, FIELD_ILLUMINANCE, round((exp(data[13] * log(65536) / 254) - 1) * 100) / 100);
	decoded_bool(out, FIELD_CALIBRATING, flags & 1);
	out->has_packet = true;
	out->packet = data[15];
	decoded_number(out, FIELD_SEQUENCE, out->packet, 1);
	return 0;
}

int decode_ruuvi(const struct advert *advert, const struct decode_key *key, struct ble_decoded *out)
{
	const struct advert_data *maker = advert_of_company(advert, RUUVI_COMPANY);

	(void)key;
	if (!maker)
		return -ENOMSG;
	if (maker->size < 1)
		return -EBADMSG;
	switch (maker->data[0]) {
	case 3:
		return read_3(maker->data, maker->size, out);
	case 5:
		return read_5(maker->data, maker->size, out);
	case 6:
		return read_6(maker->data, maker->size, out);
	default:
		return -ENOMSG;
	}
}
