/* SPDX-License-Identifier: Apache-2.0 */
/* BTHome v2: https://bthome.io/format and https://bthome.io/encryption */
#include "decode_private.h"
#include <errno.h>
#include <stdio.h>
#include <string.h>

#define BTHOME_UUID 0xFCD2
#define ENCRYPTED 0x01
#define VERSION_SHIFT 5

enum { PACKET_ID = 0x00, BUTTON = 0x3A, DIMMER = 0x3C, TEXT = 0x53, RAW = 0x54, FIRMWARE_4 = 0xF1, FIRMWARE_3 = 0xF2 };

struct object {
	uint8_t size; /* 0: there is no such object */
	bool is_signed;
	uint16_t field;
	uint16_t multiply; /* 0: 1 */
	uint32_t divide;   /* 0: 1 */
};

static const struct object objects[256] = {
	[0x01] = {1, false, FIELD_BATTERY, 0, 0},
	[0x02] = {2, true, FIELD_TEMPERATURE, 0, 100},
	[0x03] = {2, false, FIELD_HUMIDITY, 0, 100},
	[0x04] = {3, false, FIELD_PRESSURE, 0, 100},
	[0x05] = {3, false, FIELD_ILLUMINANCE, 0, 100},
	[0x06] = {2, false, FIELD_MASS_KG, 0, 100},
	[0x07] = {2, false, FIELD_MASS_LB, 0, 100},
	[0x08] = {2, true, FIELD_DEW_POINT, 0, 100},
	[0x09] = {1, false, FIELD_COUNT, 0, 0},
	[0x0A] = {3, false, FIELD_ENERGY, 0, 1000},
	[0x0B] = {3, false, FIELD_POWER, 0, 100},
	[0x0C] = {2, false, FIELD_VOLTAGE, 0, 1000},
	[0x0D] = {2, false, FIELD_PM2_5, 0, 0},
	[0x0E] = {2, false, FIELD_PM10, 0, 0},
	[0x0F] = {1, false, FIELD_GENERIC, 0, 0},
	[0x10] = {1, false, FIELD_POWER_ON, 0, 0},
	[0x11] = {1, false, FIELD_OPENING, 0, 0},
	[0x12] = {2, false, FIELD_CO2, 0, 0},
	[0x13] = {2, false, FIELD_TVOC, 0, 0},
	[0x14] = {2, false, FIELD_MOISTURE, 0, 100},
	[0x15] = {1, false, FIELD_BATTERY_LOW, 0, 0},
	[0x16] = {1, false, FIELD_BATTERY_CHARGING, 0, 0},
	[0x17] = {1, false, FIELD_CARBON_MONOXIDE, 0, 0},
	[0x18] = {1, false, FIELD_COLD, 0, 0},
	[0x19] = {1, false, FIELD_CONNECTIVITY, 0, 0},
	[0x1A] = {1, false, FIELD_DOOR, 0, 0},
	[0x1B] = {1, false, FIELD_GARAGE_DOOR, 0, 0},
	[0x1C] = {1, false, FIELD_GAS_DETECTED, 0, 0},
	[0x1D] = {1, false, FIELD_HEAT, 0, 0},
	[0x1E] = {1, false, FIELD_LIGHT, 0, 0},
	[0x1F] = {1, false, FIELD_LOCK, 0, 0},
	[0x20] = {1, false, FIELD_MOISTURE_DETECTED, 0, 0},
	[0x21] = {1, false, FIELD_MOTION, 0, 0},
	[0x22] = {1, false, FIELD_MOVING, 0, 0},
	[0x23] = {1, false, FIELD_OCCUPANCY, 0, 0},
	[0x24] = {1, false, FIELD_PLUG, 0, 0},
	[0x25] = {1, false, FIELD_PRESENCE, 0, 0},
	[0x26] = {1, false, FIELD_PROBLEM, 0, 0},
	[0x27] = {1, false, FIELD_RUNNING, 0, 0},
	[0x28] = {1, false, FIELD_SAFETY, 0, 0},
	[0x29] = {1, false, FIELD_SMOKE, 0, 0},
	[0x2A] = {1, false, FIELD_SOUND, 0, 0},
	[0x2B] = {1, false, FIELD_TAMPER, 0, 0},
	[0x2C] = {1, false, FIELD_VIBRATION, 0, 0},
	[0x2D] = {1, false, FIELD_WINDOW, 0, 0},
	[0x2E] = {1, false, FIELD_HUMIDITY, 0, 0},
	[0x2F] = {1, false, FIELD_MOISTURE, 0, 0},
	[0x3D] = {2, false, FIELD_COUNT, 0, 0},
	[0x3E] = {4, false, FIELD_COUNT, 0, 0},
	[0x3F] = {2, true, FIELD_ROTATION, 0, 10},
	[0x40] = {2, false, FIELD_DISTANCE_MM, 0, 0},
	[0x41] = {2, false, FIELD_DISTANCE, 0, 10},
	[0x42] = {3, false, FIELD_DURATION, 0, 1000},
	[0x43] = {2, false, FIELD_CURRENT, 0, 1000},
	[0x44] = {2, false, FIELD_SPEED, 0, 100},
	[0x45] = {2, true, FIELD_TEMPERATURE, 0, 10},
	[0x46] = {1, false, FIELD_UV_INDEX, 0, 10},
	[0x47] = {2, false, FIELD_VOLUME, 0, 10},
	[0x48] = {2, false, FIELD_VOLUME_ML, 0, 0},
	[0x49] = {2, false, FIELD_VOLUME_FLOW, 0, 1000},
	[0x4A] = {2, false, FIELD_VOLTAGE, 0, 10},
	[0x4B] = {3, false, FIELD_GAS, 0, 1000},
	[0x4C] = {4, false, FIELD_GAS, 0, 1000},
	[0x4D] = {4, false, FIELD_ENERGY, 0, 1000},
	[0x4E] = {4, false, FIELD_VOLUME, 0, 1000},
	[0x4F] = {4, false, FIELD_WATER, 0, 1000},
	[0x50] = {4, false, FIELD_TIMESTAMP, 0, 0},
	[0x51] = {2, false, FIELD_ACCELERATION, 0, 1000},
	[0x52] = {2, false, FIELD_GYROSCOPE, 0, 1000},
	[0x55] = {4, false, FIELD_VOLUME_STORAGE, 0, 1000},
	[0x56] = {2, false, FIELD_CONDUCTIVITY, 0, 0},
	[0x57] = {1, true, FIELD_TEMPERATURE, 0, 0},
	[0x58] = {1, true, FIELD_TEMPERATURE, 35, 100},
	[0x59] = {1, true, FIELD_COUNT, 0, 0},
	[0x5A] = {2, true, FIELD_COUNT, 0, 0},
	[0x5B] = {4, true, FIELD_COUNT, 0, 0},
	[0x5C] = {4, true, FIELD_POWER, 0, 100},
	[0x5D] = {2, true, FIELD_CURRENT, 0, 1000},
	[0x5E] = {2, false, FIELD_DIRECTION, 0, 100},
	[0x5F] = {2, false, FIELD_PRECIPITATION, 0, 10},
	[0x60] = {1, false, FIELD_CHANNEL, 0, 0},
	[0x61] = {2, false, FIELD_ROTATIONAL_SPEED, 0, 0},
	[0x62] = {4, true, FIELD_SPEED, 0, 1000000},
	[0x63] = {4, true, FIELD_ACCELERATION, 0, 1000000},
	[0x64] = {1, false, FIELD_LIGHT_LEVEL, 0, 0},
	[0xF0] = {2, false, FIELD_DEVICE_TYPE, 0, 0},
};

/* Which button it was counts, also where nothing happened to it: it keeps its number. */
static void add_button(struct ble_decoded *out, uint8_t event, unsigned *n_buttons)
{
	static const char *const presses[] = {"press",	    "double_press",	 "triple_press",
					      "long_press", "long_double_press", "long_triple_press"};
	const char *text = event == 0x80 ? "hold_press" : event >= 1 && event <= 6 ? presses[event - 1] : NULL;

	++*n_buttons;
	if (!text || out->n_values == DECODED_MAX)
		return;
	decoded_text(out, FIELD_BUTTON, text);
	out->values[out->n_values - 1].number = (uint8_t)*n_buttons;
	out->has_event = true;
}

static void add_dimmer(struct ble_decoded *out, const uint8_t *data, unsigned *n_dimmers)
{
	const char *text = data[0] == 1 ? "rotate_left" : data[0] == 2 ? "rotate_right" : NULL;

	++*n_dimmers;
	if (!text || out->n_values + 2 > DECODED_MAX)
		return;
	decoded_text(out, FIELD_DIMMER, text);
	out->values[out->n_values - 1].number = (uint8_t)*n_dimmers;
	decoded_number(out, FIELD_DIMMER_STEPS, data[1], 1);
	out->values[out->n_values - 1].number = (uint8_t)*n_dimmers;
	out->has_event = true;
}

static void add_firmware(struct ble_decoded *out, const uint8_t *data, unsigned n)
{
	char *text = decoded_room(out, 16);
	size_t size = 0;

	if (!text)
		return;
	for (unsigned i = n; i-- > 0;)
		size += (size_t)snprintf(text + size, 16 - size, i + 1 == n ? "%u" : ".%u", data[i]);
	decoded_bytes(out, FIELD_FIRMWARE, (const uint8_t *)text, size);
}

/* The size of an object's value; 0: the object is not known, and nothing behind it can be read. */
static size_t size_of(const uint8_t *at, size_t left)
{
	switch (at[0]) {
	case PACKET_ID:
	case BUTTON:
		return 1;
	case DIMMER:
		return 2;
	case TEXT:
	case RAW:
		return left > 1 ? 1u + at[1] : 1;
	case FIRMWARE_4:
		return 4;
	case FIRMWARE_3:
		return 3;
	default:
		return objects[at[0]].size;
	}
}

static void add_object(struct ble_decoded *out, const uint8_t *at, size_t size, unsigned *n_buttons,
		       unsigned *n_dimmers)
{
	const struct object *object = &objects[at[0]];

	switch (at[0]) {
	case PACKET_ID:
		out->has_packet = true;
		out->packet = at[1];
		break;
	case BUTTON:
		add_button(out, at[1], n_buttons);
		break;
	case DIMMER:
		add_dimmer(out, at + 1, n_dimmers);
		break;
	case TEXT:
		decoded_bytes(out, FIELD_TEXT, at + 2, size - 1);
		break;
	case RAW:
		decoded_bytes(out, FIELD_RAW, at + 2, size - 1);
		break;
	case FIRMWARE_4:
	case FIRMWARE_3:
		add_firmware(out, at + 1, (unsigned)size);
		break;
	default:
		decoded_number(out, (enum ble_field)object->field,
			       get_le(at + 1, object->size, object->is_signed) *
				       (object->multiply ? object->multiply : 1),
			       object->divide ? object->divide : 1);
	}
}

/* A receiver stops at the first object it does not know: newer ones come last. */
static int read_objects(const uint8_t *data, size_t size, struct ble_decoded *out)
{
	unsigned n_buttons = 0, n_dimmers = 0;

	for (size_t at = 0; at < size;) {
		size_t n = size_of(data + at, size - at);

		if (n == 0)
			return at > 0 ? 0 : -ENOMSG;
		if (n > size - at - 1)
			return -EBADMSG;
		add_object(out, data + at, n, &n_buttons, &n_dimmers);
		at += 1 + n;
	}
	return 0;
}

/* Behind the information byte: ciphertext, counter (4), tag (4). */
static int read_encrypted(const struct advert *advert, const struct advert_data *service, const struct decode_key *key,
			  struct ble_decoded *out)
{
	const uint8_t *data = service->data;
	struct ccm ccm = {.key = key, .n_nonce = 13};
	size_t size;
	char *plain;
	int r;

	if (service->size < 1 + 8)
		return -EBADMSG;
	if (key->size == 0)
		return -ENOKEY;
	size = service->size - 9;
	plain = decoded_room(out, size);
	if (!plain)
		return -EBADMSG;
	memcpy(ccm.nonce, advert->address.bytes, 6);
	ccm.nonce[6] = BTHOME_UUID & 0xff;
	ccm.nonce[7] = BTHOME_UUID >> 8;
	ccm.nonce[8] = data[0];
	memcpy(ccm.nonce + 9, data + 1 + size, 4);
	ccm.tag = data + 1 + size + 4;
	r = ccm_decrypt(&ccm, data + 1, size, (uint8_t *)plain);
	if (r < 0)
		return r;
	out->has_counter = true;
	out->counter = (uint32_t)get_le(data + 1 + size, 4, false);
	return read_objects((const uint8_t *)plain, size, out);
}

int decode_bthome(const struct advert *advert, const struct decode_key *key, struct ble_decoded *out)
{
	const struct advert_data *service = advert_of_service(advert, BTHOME_UUID);

	if (!service)
		return -ENOMSG;
	if (service->size < 1 || service->data[0] >> VERSION_SHIFT != 2)
		return -EBADMSG;
	if (service->data[0] & ENCRYPTED)
		return read_encrypted(advert, service, key, out);
	if (key->size > 0)
		return -EPERM;
	return read_objects(service->data + 1, service->size - 1, out);
}
