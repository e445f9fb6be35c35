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

/* Which model says so by its name: GVH5075_1234, Govee_H5074_1234, GV5179_1234, B51781234. 0: none does. */
static unsigned model_of(const char *name)
{
	static const char *const starts[] = {"GVH", "Govee_H", "GV", "B"};

	for (size_t i = 0; name && i < sizeof(starts) / sizeof(starts[0]); i++) {
		const char *digits = name + strlen(starts[i]);
		unsigned model = 0;

		if (strncmp(name, starts[i], strlen(starts[i])) != 0 || strspn(digits, "0123456789") < 4)
			continue;
		for (unsigned k = 0; k < 4; k++)
			model = model * 10 + (unsigned)(digits[k] - '0');
		return model;
	}
	return 0;
}

static bool is_one_of(unsigned model, const uint16_t *models, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (models[i] == model)
			return true;
	return false;
}
#define IS_ONE_OF(model, models) is_one_of(model, models, sizeof(models) / sizeof((models)[0]))

/* Temperature and humidity in one number of 24 bits: tenths of a degree times 1000, plus tenths of a per cent. */
static int add_packed(struct ble_decoded *out, const uint8_t *data, uint8_t battery)
{
	int64_t number = get_be(data, 3, false), magnitude = number & 0x7fffff;
	int64_t tenths = magnitude / 1000;

	if (battery > 100 ||
	    tenths > 1000) /* 128 and more: the sensor's own sign of a fault; or it is something else */
		return -EBADMSG;
	decoded_number(out, FIELD_TEMPERATURE, number & 0x800000 ? -tenths : tenths, 10);
	decoded_number(out, FIELD_HUMIDITY, magnitude % 1000, 10);
	decoded_number(out, FIELD_BATTERY, battery, 1);
	return 0;
}

/* H5106, with dust: 32 bits, the highest the sign: tenths of a degree, tenths of a per cent and µg/m³, three digits
   each for the last two. */
static int add_packed_dust(struct ble_decoded *out, const uint8_t *data)
{
	int64_t number = get_be(data, 4, false), magnitude = number & 0x7fffffff;
	int64_t tenths = magnitude / 1000000;

	if (tenths > 1000)
		return -EBADMSG;
	decoded_number(out, FIELD_TEMPERATURE, number & 0x80000000 ? -tenths : tenths, 10);
	decoded_number(out, FIELD_HUMIDITY, magnitude / 1000 % 1000, 10);
	decoded_number(out, FIELD_PM2_5, magnitude % 1000, 1);
	return 0;
}

/* Two numbers of 16 bits, hundredths. */
static int add_pair(struct ble_decoded *out, const uint8_t *data)
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

/* The company id 1 is Nokia's, which others took too, and Govee's models have several layouts of one size under it:
   only the name tells which. */
static int read_shared(const struct advert_data *maker, unsigned model, struct ble_decoded *out)
{
	static const uint16_t packed[] = {5100, 5101, 5102, 5103, 5104, 5105, 5108, 5110, 5174, 5177, 5179};
	size_t size = without_beacon(maker);

	if (size < 6 || maker->data[0] != 1 || maker->data[1] != 1)
		return -ENOMSG;
	if (model == 5106 && size == 6)
		return add_packed_dust(out, maker->data + 2);
	if (model == 5178 && size == 9) /* its own sensor, or the one outside */
		return add_packed(out, maker->data + 3, maker->data[6]);
	if (IS_ONE_OF(model, packed) && (size == 6 || size == 8))
		return add_packed(out, maker->data + 2, maker->data[5]);
	return -ENOMSG;
}

/* Govee's own company id: the size tells the layouts of these models apart, where no name says that it is another. */
static int read_own(const struct advert_data *maker, const char *name, unsigned model, struct ble_decoded *out)
{
	static const uint16_t packed[] = {5072, 5075}, pairs[] = {5051, 5052, 5071, 5074};
	size_t size = without_beacon(maker);

	if ((size == 6 || size == 8) && (!name || IS_ONE_OF(model, packed)))
		return add_packed(out, maker->data + 1, maker->data[4]);
	if ((size == 7 || size == 9) && (!name || IS_ONE_OF(model, pairs)))
		return add_pair(out, maker->data + 1);
	return -ENOMSG;
}

int decode_govee(const struct advert *advert, const struct decode_key *key, struct ble_decoded *out)
{
	static const uint8_t start[] = {0xec, 0x00, 0x01, 0x01};
	unsigned model = model_of(advert->name);
	const struct advert_data *maker = advert_of_company(advert, GOVEE_COMPANY);

	(void)key;
	if (maker)
		return read_own(maker, advert->name, model, out);
	maker = advert_of_company(advert, GOVEE_H5179);
	if (maker)
		return maker->size == 9 && memcmp(maker->data, start, sizeof(start)) == 0 &&
				       (!advert->name || model == 5179)
			       ? add_pair(out, maker->data + 4)
			       : -ENOMSG;
	maker = advert_of_company(advert, GOVEE_SHARED);
	return maker ? read_shared(maker, model, out) : -ENOMSG;
}

/* ---- Inkbird ---- */

/* Their data begins where the company's id ought to be. */
static int read_inkbird(const struct advert_data *maker, bool has_humidity, struct ble_decoded *out)
{
	const uint8_t *data = maker->data;
	int64_t humidity = get_le(data, 2, false);

	has_humidity = has_humidity && humidity > 0 && humidity != UINT16_MAX; /* 0, FFFF: none is fitted */
	if ((has_humidity && humidity > 10000) || data[5] > 100)
		return -EBADMSG;
	decoded_number(out, FIELD_TEMPERATURE, (int16_t)maker->company, 100);
	if (has_humidity)
		decoded_number(out, FIELD_HUMIDITY, humidity, 100);
	decoded_number(out, FIELD_BATTERY, data[5], 1);
	if (data[2] <= 1)
		decoded_bool(out, FIELD_EXTERNAL_PROBE, data[2]);
	return 0;
}

#define IBBQ_NO_PROBE (-10) /* nothing is plugged in */

/* A grill thermometer: behind the address one number of 16 bits for each probe, tenths. */
static int read_ibbq(const struct advert_data *maker, struct ble_decoded *out)
{
	bool any = false;

	for (size_t at = 8; at + 2 <= maker->size; at += 2) {
		int64_t raw = get_le(maker->data + at, 2, true);

		if (raw == IBBQ_NO_PROBE || raw < -500 || raw > 5000)
			continue;
		decoded_number(out, FIELD_TEMPERATURE, raw, 10);
		if (out->n_values > 0)
			out->values[out->n_values - 1].number = (uint8_t)((at - 8) / 2 + 1);
		any = true;
	}
	return any ? 0 : -ENOMSG;
}

int decode_inkbird(const struct advert *advert, const struct decode_key *key, struct ble_decoded *out)
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
		return maker->size >= 10 && maker->size % 2 == 0 ? read_ibbq(maker, out) : -EBADMSG;
	return -ENOMSG;
}

/* ---- SwitchBot ---- */

enum { SWITCHBOT_UUID = 0xFD3D, SWITCHBOT_OLD_UUID = 0x0D00 };

int decode_switchbot(const struct advert *advert, const struct decode_key *key, struct ble_decoded *out)
{
	const struct advert_data *service = advert_of_service(advert, SWITCHBOT_UUID);
	const uint8_t *data;
	int64_t tenths;

	(void)key;
	if (!service)
		service = advert_of_service(advert, SWITCHBOT_OLD_UUID);
	if (!service || service->size < 1 || !strchr("Tti", service->data[0] & 0x7f) || !(service->data[0] & 0x7f))
		return -ENOMSG;
	data = service->data;
	if (service->size != 6 || (data[3] & 0x0f) > 9 || (data[5] & 0x7f) > 100 || (data[2] & 0x7f) > 100)
		return -EBADMSG;
	tenths = (data[4] & 0x7f) * 10 + (data[3] & 0x0f);
	decoded_number(out, FIELD_TEMPERATURE, data[4] & 0x80 ? tenths : -tenths, 10);
	decoded_number(out, FIELD_HUMIDITY, data[5] & 0x7f, 1);
	decoded_number(out, FIELD_BATTERY, data[2] & 0x7f, 1);
	return 0;
}
