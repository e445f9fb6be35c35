/* SPDX-License-Identifier: Apache-2.0 */
#include "advertisement.h"
#include <ctype.h>
#include <errno.h>
#include <haywain/helpers.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void advert_done(struct advert *advert)
{
	free(advert->manufacturer);
	free(advert->service);
	free(advert->uuids);
	*advert = (struct advert){0};
}

void advert_clear(struct advert *advert)
{
	*advert = (struct advert){
		.rssi = RSSI_UNKNOWN,
		.manufacturer = advert->manufacturer,
		.service = advert->service,
		.uuids = advert->uuids,
		.room_manufacturer = advert->room_manufacturer,
		.room_service = advert->room_service,
		.room_uuids = advert->room_uuids,
	};
}

/* Room for one more. */
static void *grow_items(void *items, size_t n, size_t *room, size_t size)
{
	void *more;

	if (n < *room)
		return items;
	more = reallocarray(items, n + 4, size);
	if (more)
		*room = n + 4;
	return more;
}

int advert_add_manufacturer(struct advert *advert, uint16_t company, const uint8_t *data, size_t size)
{
	struct advert_data *items =
		grow_items(advert->manufacturer, advert->n_manufacturer, &advert->room_manufacturer, sizeof(*items));

	if (!items)
		return -ENOMEM;
	advert->manufacturer = items;
	items[advert->n_manufacturer++] = (struct advert_data){.company = company, .data = data, .size = size};
	return 0;
}

int advert_add_service(struct advert *advert, const struct uuid *uuid, const uint8_t *data, size_t size)
{
	struct advert_data *items =
		grow_items(advert->service, advert->n_service, &advert->room_service, sizeof(*items));

	if (!items)
		return -ENOMEM;
	advert->service = items;
	items[advert->n_service++] = (struct advert_data){.uuid = *uuid, .data = data, .size = size};
	return 0;
}

int advert_add_uuid(struct advert *advert, const struct uuid *uuid)
{
	struct uuid *items = grow_items(advert->uuids, advert->n_uuids, &advert->room_uuids, sizeof(*items));

	if (!items)
		return -ENOMEM;
	advert->uuids = items;
	items[advert->n_uuids++] = *uuid;
	return 0;
}

const struct advert_data *advert_of_company(const struct advert *advert, uint16_t company)
{
	for (size_t i = 0; i < advert->n_manufacturer; i++)
		if (advert->manufacturer[i].company == company)
			return &advert->manufacturer[i];
	return NULL;
}

const struct advert_data *advert_of_service(const struct advert *advert, uint16_t uuid16)
{
	for (size_t i = 0; i < advert->n_service; i++)
		if (uuid_short(&advert->service[i].uuid) == uuid16)
			return &advert->service[i];
	return NULL;
}

static int parse_address(const char *text, struct ble_address *ret)
{
	struct ble_address address;

	for (unsigned i = 0; i < 6; i++, text += 3) {
		int byte = hay_hex_byte(text);

		if (byte < 0 || (i < 5 && text[2] != ':' && text[2] != '_' && text[2] != '-'))
			return -EINVAL;
		address.bytes[i] = (uint8_t)byte;
	}
	*ret = address;
	return 0;
}

int address_parse(const char *text, struct ble_address *ret)
{
	return strlen(text) == ADDRESS_TEXT_SIZE - 1 ? parse_address(text, ret) : -EINVAL;
}

void address_print(const struct ble_address *address, char text[ADDRESS_TEXT_SIZE])
{
	const uint8_t *b = address->bytes;

	snprintf(text, ADDRESS_TEXT_SIZE, "%02X:%02X:%02X:%02X:%02X:%02X", b[0], b[1], b[2], b[3], b[4], b[5]);
}

bool address_equal(const struct ble_address *a, const struct ble_address *b)
{
	return !memcmp(a->bytes, b->bytes, sizeof(a->bytes));
}

int address_of_path(const char *path, struct ble_address *ret)
{
	const char *at = strstr(path, "/dev_");

	return at ? parse_address(at + 5, ret) : -EINVAL;
}

static const struct uuid base_uuid = {{0, 0, 0, 0, 0, 0, 0x10, 0, 0x80, 0, 0, 0x80, 0x5f, 0x9b, 0x34,
				       0xfb}}; /* Core specification, vol 3 part B 2.5.1 */

struct uuid uuid_from_short(uint16_t uuid16)
{
	struct uuid uuid = base_uuid;

	uuid.bytes[2] = (uint8_t)(uuid16 >> 8);
	uuid.bytes[3] = (uint8_t)uuid16;
	return uuid;
}

uint16_t uuid_short(const struct uuid *uuid)
{
	if (uuid->bytes[0] || uuid->bytes[1] || memcmp(uuid->bytes + 4, base_uuid.bytes + 4, 12))
		return 0;
	return (uint16_t)(uuid->bytes[2] << 8 | uuid->bytes[3]);
}

bool uuid_equal(const struct uuid *a, const struct uuid *b)
{
	return !memcmp(a->bytes, b->bytes, sizeof(a->bytes));
}

int uuid_parse(const char *text, struct uuid *ret)
{
	static const unsigned dashes[] = {8, 13, 18, 23};
	struct uuid uuid;
	unsigned n = 0;

	if (text[0] == '0' && (text[1] == 'x' || text[1] == 'X'))
		text += 2;
	if (strlen(text) == 4) {
		int high = hay_hex_byte(text), low = hay_hex_byte(text + 2);

		if (high < 0 || low < 0)
			return -EINVAL;
		*ret = uuid_from_short((uint16_t)(high << 8 | low));
		return 0;
	}
	if (strlen(text) != 36)
		return -EINVAL;
	for (unsigned i = 0; i < 4; i++)
		if (text[dashes[i]] != '-')
			return -EINVAL;
	for (unsigned i = 0; i < 36; i += 2) {
		int byte;

		if (text[i] == '-')
			i++;
		byte = hay_hex_byte(text + i);
		if (byte < 0)
			return -EINVAL;
		uuid.bytes[n++] = (uint8_t)byte;
	}
	*ret = uuid;
	return 0;
}

void uuid_print(const struct uuid *uuid, char text[37])
{
	size_t at = 0;

	for (unsigned i = 0; i < 16; i++) {
		if (i == 4 || i == 6 || i == 8 || i == 10)
			text[at++] = '-';
		snprintf(text + at, 3, "%02x", uuid->bytes[i]);
		at += 2;
	}
}

int hex_parse(const char *text, uint8_t *data, size_t size)
{
	size_t n = 0;

	for (;;) {
		while (isspace((unsigned char)*text) || *text == ':')
			text++;
		if (!*text)
			return n == size ? 0 : -EINVAL;

		int byte = hay_hex_byte(text);

		if (byte < 0 || n == size)
			return -EINVAL;
		data[n++] = (uint8_t)byte;
		text += 2;
	}
}
