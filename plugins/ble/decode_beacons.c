/* SPDX-License-Identifier: Apache-2.0 */
/* Beacons, and service data that needs no format of its own. */
#include "decode_private.h"
#include "standard.h"
#include <errno.h>
#include <stdio.h>
#include <string.h>

/* ---- Eddystone: https://github.com/google/eddystone ---- */

#define EDDYSTONE_UUID 0xFEAA
enum { FRAME_UID = 0x00, FRAME_TLM = 0x20 };

static int read_tlm(const uint8_t *data, size_t size, struct ble_decoded *out)
{
	int64_t millivolts, temperature;

	if (size != 14)
		return -EBADMSG;
	if (data[1] != 0) /* version 1 is encrypted for the owner's own server */
		return -ENOMSG;
	millivolts = get_be(data + 2, 2, false);
	temperature = get_be(data + 4, 2, true);
	if (millivolts > 0)
		decoded_number(out, FIELD_BATTERY_VOLTAGE, millivolts, 1000);
	if (temperature != INT16_MIN)
		decoded_number(out, FIELD_TEMPERATURE, temperature, 256);
	decoded_number(out, FIELD_ADVERTISEMENTS, get_be(data + 6, 4, false), 1);
	decoded_number(out, FIELD_UPTIME, get_be(data + 10, 4, false), 10);
	return 0;
}

int decode_eddystone(const struct advert *advert, const struct decode_key *key, struct ble_decoded *out)
{
	const struct advert_data *service = advert_of_service(advert, EDDYSTONE_UUID);

	(void)key;
	if (!service || service->size < 1)
		return -ENOMSG;
	if (service->data[0] == FRAME_TLM)
		return read_tlm(service->data, service->size, out);
	if (service->data[0] != FRAME_UID)
		return -ENOMSG;
	if (service->size != 18 && service->size != 20) /* two bytes are reserved */
		return -EBADMSG;
	decoded_hex(out, FIELD_NAMESPACE, service->data + 2, 10);
	decoded_hex(out, FIELD_INSTANCE, service->data + 12, 6);
	decoded_number(out, FIELD_TX_POWER, (int8_t)service->data[1], 1);
	out->is_presence = true;
	return 0;
}

/* ---- iBeacon ---- */

#define APPLE_COMPANY 0x004C
#define TX_POWER_MAX 20 /* dBm: no radio of that band sends more, and some put their battery there */

int decode_ibeacon(const struct advert *advert, const struct decode_key *key, struct ble_decoded *out)
{
	const struct advert_data *maker = advert_of_company(advert, APPLE_COMPANY);
	struct uuid uuid;
	char *text;

	(void)key;
	if (!maker || maker->size < 2 || maker->data[0] != 0x02 || maker->data[1] != 0x15)
		return -ENOMSG;
	if (maker->size != 23 && maker->size != 24) /* some say their battery in one more */
		return -EBADMSG;
	text = decoded_room(out, 37);
	if (!text)
		return -EBADMSG;
	memcpy(uuid.bytes, maker->data + 2, 16);
	uuid_print(&uuid, text);
	decoded_bytes(out, FIELD_UUID, (const uint8_t *)text, 36);
	decoded_number(out, FIELD_MAJOR, get_be(maker->data + 18, 2, false), 1);
	decoded_number(out, FIELD_MINOR, get_be(maker->data + 20, 2, false), 1);
	if ((int8_t)maker->data[22] <= TX_POWER_MAX)
		decoded_number(out, FIELD_TX_POWER, (int8_t)maker->data[22], 1);
	out->is_presence = true;
	return 0;
}

/* ---- characteristics as service data: battery, temperature, humidity, … ---- */

int decode_standard(const struct advert *advert, const struct decode_key *key, struct ble_decoded *out)
{
	int error = -ENOMSG;

	(void)key;
	for (size_t i = 0; i < advert->n_service; i++) {
		uint16_t uuid = uuid_short(&advert->service[i].uuid);
		int r;

		if (uuid == 0x180F) /* the battery service: its one characteristic */
			uuid = 0x2A19;
		r = uuid && !standard_is_longer(uuid, advert->service[i].data, advert->service[i].size)
			    ? standard_decode(uuid, advert->service[i].data, advert->service[i].size, out)
			    : -ENOMSG;
		if (r == -EBADMSG)
			error = r;
	}
	return out->n_values > 0 ? 0 : error;
}

/* ---- as it came ---- */

int decode_raw(const struct advert *advert, const struct decode_key *key, struct ble_decoded *out)
{
	(void)key;
	for (size_t i = 0; i < advert->n_manufacturer; i++)
		decoded_bytes(out, FIELD_MANUFACTURER_DATA, advert->manufacturer[i].data, advert->manufacturer[i].size);
	for (size_t i = 0; i < advert->n_service; i++)
		decoded_bytes(out, FIELD_SERVICE_DATA, advert->service[i].data, advert->service[i].size);
	return 0;
}
