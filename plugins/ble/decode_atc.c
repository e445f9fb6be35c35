/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The two formats of the open firmware for Xiaomi thermometers, plain and encrypted, told apart by their size:
 * https://github.com/pvvx/ATC_MiThermometer#bluetooth-advertising-formats
 */
#include "decode_private.h"
#include <errno.h>
#include <string.h>

#define ENVIRONMENTAL_UUID 0x181A
enum { ATC_PLAIN = 13, ATC_ENCRYPTED = 8, PVVX_PLAIN = 15, PVVX_ENCRYPTED = 11 };

/* The plain formats say who sent them, pvvx's with the last byte first: service data of that size alone is not enough,
   others send the environmental service's too. */
static bool is_of_sender(const struct advert *advert, const uint8_t *data, bool reversed)
{
	for (unsigned i = 0; i < 6; i++)
		if (data[i] != advert->address.bytes[reversed ? 5 - i : i])
			return false;
	return true;
}

/*
 * A counter of one byte, ciphertext, tag (4). The nonce: address, least significant byte first, then the four bytes
 * that stand before the data in the air, then the counter. A counter of one byte soon comes round: it tells repeats
 * apart and cannot prove that a packet is not an old one.
 */
static int decrypt_atc(const struct advert *advert, const struct advert_data *service, const struct decode_key *key,
		       struct ble_decoded *out, uint8_t *plain)
{
	static const uint8_t extra[] = {0x11};
	const uint8_t *data = service->data;
	struct ccm ccm = {.key = key, .n_nonce = 11, .extra = extra, .n_extra = sizeof(extra)};

	if (key->size == 0)
		return -ENOKEY;
	for (unsigned i = 0; i < 6; i++)
		ccm.nonce[i] = advert->address.bytes[5 - i];
	ccm.nonce[6] = (uint8_t)(service->size + 3);
	ccm.nonce[7] = 0x16; /* service data of a 16-bit UUID */
	ccm.nonce[8] = ENVIRONMENTAL_UUID & 0xff;
	ccm.nonce[9] = ENVIRONMENTAL_UUID >> 8;
	ccm.nonce[10] = data[0];
	ccm.tag = data + service->size - 4;
	out->has_packet = true;
	out->packet = data[0];
	return ccm_decrypt(&ccm, data + 1, service->size - 5, plain);
}

int decode_atc(const struct advert *advert, const struct decode_key *key, struct ble_decoded *out)
{
	const struct advert_data *service = advert_of_service(advert, ENVIRONMENTAL_UUID);
	const uint8_t *data;
	uint8_t plain[ATC_ENCRYPTED - 5];
	int r;

	if (!service || (service->size != ATC_PLAIN && service->size != ATC_ENCRYPTED))
		return -ENOMSG;
	data = service->data;
	if (service->size == ATC_ENCRYPTED) {
		r = decrypt_atc(advert, service, key, out, plain);
		if (r < 0)
			return r;
		decoded_number(out, FIELD_TEMPERATURE, plain[0] - 80, 2);
		decoded_number(out, FIELD_HUMIDITY, plain[1], 2);
		decoded_number(out, FIELD_BATTERY, plain[2] & 0x7f, 1);
		decoded_bool(out, FIELD_TRIGGER, plain[2] & 0x80);
		return 0;
	}
	if (!is_of_sender(advert, data, false))
		return -ENOMSG;
	if (key->size > 0)
		return -EPERM;
	decoded_number(out, FIELD_TEMPERATURE, get_be(data + 6, 2, true), 10);
	decoded_number(out, FIELD_HUMIDITY, data[8], 1);
	decoded_number(out, FIELD_BATTERY, data[9], 1);
	decoded_number(out, FIELD_BATTERY_VOLTAGE, get_be(data + 10, 2, false), 1000);
	out->has_packet = true;
	out->packet = data[12];
	return 0;
}

static void add_flags(struct ble_decoded *out, uint8_t flags)
{
	decoded_bool(out, FIELD_REED_SWITCH, flags & 1);
	decoded_bool(out, FIELD_TRIGGER, flags & 2);
}

int decode_pvvx(const struct advert *advert, const struct decode_key *key, struct ble_decoded *out)
{
	const struct advert_data *service = advert_of_service(advert, ENVIRONMENTAL_UUID);
	const uint8_t *data;
	uint8_t plain[PVVX_ENCRYPTED - 5];
	int r;

	if (!service || (service->size != PVVX_PLAIN && service->size != PVVX_ENCRYPTED))
		return -ENOMSG;
	data = service->data;
	if (service->size == PVVX_ENCRYPTED) {
		r = decrypt_atc(advert, service, key, out, plain);
		if (r < 0)
			return r;
		decoded_number(out, FIELD_TEMPERATURE, get_le(plain, 2, true), 100);
		decoded_number(out, FIELD_HUMIDITY, get_le(plain + 2, 2, false), 100);
		decoded_number(out, FIELD_BATTERY, plain[4], 1);
		add_flags(out, plain[5]);
		return 0;
	}
	if (!is_of_sender(advert, data, true))
		return -ENOMSG;
	if (key->size > 0)
		return -EPERM;
	decoded_number(out, FIELD_TEMPERATURE, get_le(data + 6, 2, true), 100);
	decoded_number(out, FIELD_HUMIDITY, get_le(data + 8, 2, false), 100);
	decoded_number(out, FIELD_BATTERY_VOLTAGE, get_le(data + 10, 2, false), 1000);
	decoded_number(out, FIELD_BATTERY, data[12], 1);
	add_flags(out, data[14]);
	out->has_packet = true;
	out->packet = data[13];
	return 0;
}
