/* SPDX-License-Identifier: Apache-2.0 */
/* Xiaomi MiBeacon, versions 2 to 5. */
#include "decode_private.h"
#include <errno.h>
#include <math.h>
#include <string.h>

#define XIAOMI_UUID 0xFE95

enum { /* frame control */
       ENCRYPTED = 1 << 3,
       HAS_ADDRESS = 1 << 4,
       HAS_CAPABILITY = 1 << 5,
       HAS_OBJECT = 1 << 6,
       VERSION_SHIFT = 12,
};
#define CAPABILITY_IO 0x20
#define PRODUCT_DIMMER 0x03B6

static float get_float(const uint8_t *data)
{
	uint32_t bits = (uint32_t)get_le(data, 4, false);
	float number;

	memcpy(&number, &bits, sizeof(number));
	return number;
}

static void add_button(struct ble_decoded *out, const uint8_t *data)
{
	static const char *const presses[] = {"press", "double_press", "long_press", "triple_press"};

	if (data[2] >= 4)
		return;
	decoded_text(out, FIELD_BUTTON, presses[data[2]]);
	out->has_event = true;
}

/* A knob: how it was touched, how far (to the left is negative), 3 for a press or 4 for a turn. */
static void add_knob(struct ble_decoded *out, const uint8_t *data)
{
	int64_t steps = get_le(data + 1, 1, true);

	if (data[2] == 3 && data[0] <= 1) {
		decoded_text(out, FIELD_BUTTON, data[0] == 0 ? "press" : "long_press");
	} else if (data[2] == 4 && data[0] == 0) {
		decoded_text(out, FIELD_DIMMER, steps < 0 ? "rotate_left" : "rotate_right");
		decoded_number(out, FIELD_DIMMER_STEPS, steps < 0 ? -steps : steps, 1);
	} else {
		return;
	}
	out->has_event = true;
}

/* 0: open, 1: closed, 2: left open */
static void add_door(struct ble_decoded *out, uint8_t state)
{
	if (state > 2)
		return;
	decoded_bool(out, FIELD_DOOR, state != 1);
	decoded_bool(out, FIELD_DOOR_LEFT_OPEN, state == 2);
}

struct simple {
	uint16_t id;
	uint8_t size;
	bool is_signed;
	uint16_t field;
	uint16_t divide;
};

static const struct simple simples[] = {
	{0x1004, 2, true, FIELD_TEMPERATURE, 10},    {0x1006, 2, false, FIELD_HUMIDITY, 10},
	{0x1007, 3, false, FIELD_ILLUMINANCE, 1},    {0x1008, 1, false, FIELD_MOISTURE, 1},
	{0x1009, 2, false, FIELD_CONDUCTIVITY, 1},   {0x100A, 1, false, FIELD_BATTERY, 1},
	{0x1010, 2, false, FIELD_FORMALDEHYDE, 100}, {0x1012, 1, false, FIELD_POWER_ON, 1},
	{0x1013, 1, false, FIELD_CONSUMABLE, 1},     {0x1014, 1, false, FIELD_MOISTURE_DETECTED, 1},
	{0x1015, 1, false, FIELD_SMOKE, 1},	     {0x1017, 4, false, FIELD_IDLE_TIME, 1},
	{0x1018, 1, false, FIELD_LIGHT, 1},	     {0x4802, 1, false, FIELD_HUMIDITY, 1},
	{0x4803, 1, false, FIELD_BATTERY, 1},	     {0x4A01, 1, false, FIELD_BATTERY_LOW, 1},
	{0x4C02, 1, false, FIELD_HUMIDITY, 1},	     {0x4C03, 1, false, FIELD_BATTERY, 1},
};

static void add_float(struct ble_decoded *out, enum ble_field field, const uint8_t *data, double scale)
{
	float number = get_float(data);

	if (isfinite(number))
		decoded_double(out, field, round((double)number * scale) / scale);
}

/* An object of another length than its own is another one. */
static void add_object(struct ble_decoded *out, unsigned product, unsigned id, const uint8_t *data, size_t size)
{
	for (size_t i = 0; i < sizeof(simples) / sizeof(simples[0]); i++)
		if (simples[i].id == id && size == simples[i].size) {
			decoded_number(out, (enum ble_field)simples[i].field,
				       get_le(data, simples[i].size, simples[i].is_signed), simples[i].divide);
			return;
		}
	if (id == 0x0003 && size == 1) {
		decoded_bool(out, FIELD_MOTION, true);
		out->has_event = true;
	} else if (id == 0x0008 && (size == 1 || size == 5)) { /* a lock's; with the time of it */
		decoded_bool(out, FIELD_ARMED, data[0]);
	} else if (id == 0x000F && size == 3) { /* motion, and how light it is */
		decoded_bool(out, FIELD_MOTION, true);
		decoded_number(out, FIELD_ILLUMINANCE, get_le(data, 3, false), 1);
		out->has_event = true;
	} else if (id == 0x1001 && size == 3 && product == PRODUCT_DIMMER) {
		add_knob(out, data);
	} else if (id == 0x1001 && size == 3) {
		add_button(out, data);
	} else if (id == 0x1005 && size == 2) { /* a kettle */
		decoded_bool(out, FIELD_POWER_ON, data[0]);
		decoded_number(out, FIELD_TEMPERATURE, data[1], 1);
	} else if (id == 0x100D && size == 4) {
		decoded_number(out, FIELD_TEMPERATURE, get_le(data, 2, true), 10);
		decoded_number(out, FIELD_HUMIDITY, get_le(data + 2, 2, false), 10);
	} else if (id == 0x1019 && size == 1) {
		add_door(out, data[0]);
	} else if ((id == 0x4801 || id == 0x4C01) && size == 4) {
		add_float(out, FIELD_TEMPERATURE, data, 100);
	} else if ((id == 0x4808 || id == 0x4C08) && size == 4) {
		add_float(out, FIELD_HUMIDITY, data, 100);
	}
}

/* Each: id (2), size (1), value. */
static int read_objects(unsigned product, const uint8_t *data, size_t size, struct ble_decoded *out)
{
	for (size_t at = 0; at < size;) {
		if (size - at < 3 || data[at + 2] > size - at - 3)
			return -EBADMSG;
		add_object(out, product, (unsigned)get_le(data + at, 2, false), data + at + 3, data[at + 2]);
		at += 3u + data[at + 2];
	}
	return 0;
}

/* The object, then the upper three bytes of the counter, then the tag. */
static int read_encrypted(const struct advert *advert, const struct advert_data *service, size_t at,
			  const struct decode_key *key, struct ble_decoded *out)
{
	static const uint8_t extra[] = {0x11};
	const uint8_t *data = service->data;
	struct ccm ccm = {.key = key, .n_nonce = 12, .extra = extra, .n_extra = sizeof(extra)};
	size_t size;
	char *plain;
	int r;

	if (service->size - at < 7 + 3)
		return -EBADMSG;
	if (key->size == 0)
		return -ENOKEY;
	size = service->size - at - 7;
	plain = decoded_room(out, size);
	if (!plain)
		return -EBADMSG;
	for (unsigned i = 0; i < 6; i++)
		ccm.nonce[i] = advert->address.bytes[5 - i];
	memcpy(ccm.nonce + 6, data + 2, 3);
	memcpy(ccm.nonce + 9, data + at + size, 3);
	ccm.tag = data + at + size + 3;
	r = ccm_decrypt(&ccm, data + at, size, (uint8_t *)plain);
	if (r < 0)
		return r;
	out->has_counter = true;
	out->counter = (uint32_t)(get_le(data + at + size, 3, false) << 8 | data[4]);
	return read_objects((unsigned)get_le(data + 2, 2, false), (const uint8_t *)plain, size, out);
}

/*
 * Before version 4: the object, then the upper three bytes of the counter, then one byte. There is no tag: a repeat is
 * told by the counter, an old advertisement sent again is not.
 */
static int read_encrypted_early(const struct advert *advert, const struct advert_data *service, size_t at,
				const struct decode_key *key, struct ble_decoded *out)
{
	static const uint8_t middle[] = {0x8d, 0x3d, 0x3c, 0x97};
	const uint8_t *data = service->data;
	uint8_t bytes[KEY_SIZE], nonce[13];
	size_t size, half = KEY_SIZE_SHORT / 2;
	char *plain;
	int r;

	if (service->size - at < 4 + 3)
		return -EBADMSG;
	if (key->size == 0)
		return -ENOKEY;
	size = service->size - at - 4;
	plain = decoded_room(out, size);
	if (!plain)
		return -EBADMSG;
	memcpy(bytes, key->bytes, half);
	memcpy(bytes + half, middle, sizeof(middle));
	memcpy(bytes + half + sizeof(middle), key->bytes + half, half);
	memcpy(nonce, data, 5);
	memcpy(nonce + 5, data + at + size, 3);
	for (unsigned i = 0; i < 5; i++)
		nonce[8 + i] = advert->address.bytes[5 - i];
	r = key->size == KEY_SIZE_SHORT ? ccm_decrypt_unchecked(bytes, nonce, data + at, size, (uint8_t *)plain)
					: -EKEYREJECTED;
	explicit_bzero(bytes, sizeof(bytes));
	if (r == 0)
		r = read_objects((unsigned)get_le(data + 2, 2, false), (const uint8_t *)plain, size, out);
	if (r < 0)
		return -EKEYREJECTED; /* noise */
	out->packet = (uint32_t)(get_le(data + at + size, 3, false) << 8 | data[4]);
	out->has_packet = out->n_values > 0;
	return 0;
}

int decode_xiaomi(const struct advert *advert, const struct decode_key *key, struct ble_decoded *out)
{
	const struct advert_data *service = advert_of_service(advert, XIAOMI_UUID);
	const uint8_t *data;
	unsigned control;
	size_t at = 5; /* frame control (2), product (2), frame counter (1) */

	if (!service)
		return -ENOMSG;
	if (service->size < at)
		return -EBADMSG;
	data = service->data;
	control = (unsigned)get_le(data, 2, false);
	at += control & HAS_ADDRESS ? 6 : 0;
	if (control & HAS_CAPABILITY) {
		if (at >= service->size)
			return -EBADMSG;
		at += data[at] & CAPABILITY_IO ? 2 : 1;
	}
	if (at > service->size)
		return -EBADMSG;
	if (!(control & HAS_OBJECT) || at == service->size)
		return -ENOMSG; /* it says no more than that it is there */
	if (control & ENCRYPTED)
		return control >> VERSION_SHIFT < 4 ? read_encrypted_early(advert, service, at, key, out)
						    : read_encrypted(advert, service, at, key, out);
	if (key->size > 0)
		return -EPERM;
	out->has_packet = true;
	out->packet = data[4];
	return read_objects((unsigned)get_le(data + 2, 2, false), data + at, service->size - at, out);
}
