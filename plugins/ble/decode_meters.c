/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Thermometers whose formats their makers did not publish (Govee, Inkbird; known from recordings, see
 * tests/recordings/ble), and SwitchBot's meters: https://github.com/OpenWonderLabs/SwitchBotAPI-BLE
 */
#include "decode_private.h"
#include <errno.h>
#include <string.h>

/* ---- Govee ---- */

enum { GOVEE_COMPANY = 0xEC88, GOVEE_H5179 = 0x8801, GOVEE_SHARED = 0x0001 };

/* Temperature and humidity in one number of 24 bits: tenths of a degree times 1000, plus tenths of a per cent. */
static int add_packed(struct decoded *out, const uint8_t *data, uint8_t battery)
{
	int64_t number = get_be(data, 3, false), magnitude = number & 0x7fffff;
	int64_t tenths = magnitude / 1000;

	if (battery & 0x80 || tenths > 1000) /* the sensor's own sign of a fault; or it is something else */
		return -EBADMSG;
	decoded_number(out, FIELD_TEMPERATURE, number & 0x800000 ? -tenths : tenths, 10);
	decoded_number(out, FIELD_HUMIDITY, magnitude % 1000, 10);
	decoded_number(out, FIELD_BATTERY, battery, 1);
	return 0;
}

/* Two numbers of 16 bits, hundredths. */
static int add_pair(struct decoded *out, const uint8_t *data)
{
	int64_t humidity = get_le(data + 2, 2, false);

	if (humidity > 10000 || data[4] > 100)
		return -EBADMSG;
	decoded_number(out, FIELD_TEMPERATURE, get_le(data, 2, true), 100);
	decoded_number(out, FIELD_HUMIDITY, humidity, 100);
	decoded_number(out, FIELD_BATTERY, data[4], 1);
	return 0;
}

/* Some send a beacon of 25 bytes, "INTELLI_ROCKS…", glued to their own data. */
static size_t without_beacon(const struct advert_data *maker)
{
	static const char mark[] = "INTELLI_ROCKS";
	const uint8_t *at = maker->size > 0 ? memmem(maker->data, maker->size, mark, sizeof(mark) - 1) : NULL;
	size_t size = at ? (size_t)(at - maker->data) : maker->size;

	if (at && size >= 4 && at[-4] == 0x4c && at[-3] == 0x00) /* with the company's id in front */
		return size - 4;
	return at && size >= 2 ? size - 2 : size;
}

int decode_govee(const struct advert *advert, const struct decode_key *key, struct decoded *out)
{
	const struct advert_data *maker = advert_of_company(advert, GOVEE_COMPANY);
	size_t size;

	(void)key;
	if (maker) {
		size = without_beacon(maker);
		if (size == 6 || size == 8) /* H5072, H5075 */
			return add_packed(out, maker->data + 1, maker->data[4]);
		if (size == 7 || size == 9) /* H5074; H5051, H5052, H5071 */
			return add_pair(out, maker->data + 1);
		return -EBADMSG;
	}
	maker = advert_of_company(advert, GOVEE_H5179);
	if (maker)
		return maker->size == 9 ? add_pair(out, maker->data + 4) : -EBADMSG;
	/* The company id 1 is Nokia's: others than Govee took it too. */
	maker = advert_of_company(advert, GOVEE_SHARED);
	if (maker && maker->size > 1 && maker->data[0] == 1 && maker->data[1] == 1) {
		size = without_beacon(maker);
		if (size == 6 || size == 8) /* H5101, H5102, H5177 */
			return add_packed(out, maker->data + 2, maker->data[5]);
		if (size == 9) /* H5178: its own sensor, or the one outside */
			return add_packed(out, maker->data + 3, maker->data[6]);
	}
	return -ENOMSG;
}

/* ---- Inkbird ---- */

/* Their data begins where the company's id ought to be. */
static int read_inkbird(const struct advert_data *maker, bool has_humidity, struct decoded *out)
{
	const uint8_t *data = maker->data;
	int64_t humidity = get_le(data, 2, false);

	if (humidity > 10000 || data[5] > 100)
		return -EBADMSG;
	decoded_number(out, FIELD_TEMPERATURE, (int16_t)maker->company, 100);
	if (has_humidity && humidity > 0)
		decoded_number(out, FIELD_HUMIDITY, humidity, 100);
	decoded_number(out, FIELD_BATTERY, data[5], 1);
	if (data[2] <= 1)
		decoded_bool(out, FIELD_EXTERNAL_PROBE, data[2]);
	return 0;
}

/* A grill thermometer: behind the address one number of 16 bits for each probe, tenths. */
static int read_ibbq(const struct advert_data *maker, struct decoded *out)
{
	bool any = false;

	for (size_t at = 8; at + 2 <= maker->size; at += 2) {
		int64_t raw = get_le(maker->data + at, 2, true);

		if (raw < -500 || raw > 5000) /* nothing plugged in */
			continue;
		decoded_number(out, FIELD_TEMPERATURE, raw, 10);
		if (out->n_values > 0)
			out->values[out->n_values - 1].number = (uint8_t)((at - 8) / 2 + 1);
		any = true;
	}
	return any ? 0 : -ENOMSG;
}

int decode_inkbird(const struct advert *advert, const struct decode_key *key, struct decoded *out)
{
	const char *name = advert->name;

	(void)key;
	if (!name || advert->n_manufacturer == 0)
		return -ENOMSG;
	/* BlueZ keeps what it heard under other ids: the temperature changes the id, and only the last one counts. */
	const struct advert_data *maker = &advert->manufacturer[advert->n_manufacturer - 1];

	if (!strcmp(name, "sps") || !strcmp(name, "tps"))
		return advert->n_manufacturer == 1 && maker->size == 7 ? read_inkbird(maker, name[0] == 's', out)
								       : -EBADMSG;
	if (!strcmp(name, "iBBQ"))
		return maker->size >= 10 ? read_ibbq(maker, out) : -EBADMSG;
	return -ENOMSG;
}

/* ---- SwitchBot ---- */

enum { SWITCHBOT_UUID = 0xFD3D, SWITCHBOT_OLD_UUID = 0x0D00 };

int decode_switchbot(const struct advert *advert, const struct decode_key *key, struct decoded *out)
{
	const struct advert_data *service = advert_of_service(advert, SWITCHBOT_UUID);
	const uint8_t *data;
	int64_t tenths;

	(void)key;
	if (!service)
		service = advert_of_service(advert, SWITCHBOT_OLD_UUID);
	if (!service || service->size < 1 || !strchr("Tti", service->data[0] & 0x7f) || !(service->data[0] & 0x7f))
		return -ENOMSG;
	if (service->size < 6 || (service->data[3] & 0x0f) > 9)
		return -EBADMSG;
	data = service->data;
	tenths = (data[4] & 0x7f) * 10 + (data[3] & 0x0f);
	decoded_number(out, FIELD_TEMPERATURE, data[4] & 0x80 ? tenths : -tenths, 10);
	decoded_number(out, FIELD_HUMIDITY, data[5] & 0x7f, 1);
	decoded_number(out, FIELD_BATTERY, data[2] & 0x7f, 1);
	return 0;
}
