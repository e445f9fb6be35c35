/* SPDX-License-Identifier: Apache-2.0 */
/* What one advertisement said, as BlueZ hands it over: addresses, data by company and by service. Pure. */
#ifndef BLE_ADVERTISEMENT_H
#define BLE_ADVERTISEMENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define RSSI_UNKNOWN 127
#define ADDRESS_TEXT_SIZE 18

struct ble_address {
	uint8_t bytes[6]; /* as printed: the most significant one first */
};

struct uuid {
	uint8_t bytes[16]; /* as printed */
};

struct advert_data {
	uint16_t company; /* manufacturer data */
	struct uuid uuid; /* service data */
	const uint8_t *data;
	size_t size;
};

/* The parts point into what the advertisement was read from. */
struct advert {
	struct ble_address address;
	bool is_random; /* the address is; false where unknown */
	int rssi;	/* dBm, RSSI_UNKNOWN */
	const char *name;
	struct advert_data *manufacturer;
	size_t n_manufacturer;
	struct advert_data *service;
	size_t n_service;
	struct uuid *uuids; /* services it says it has */
	size_t n_uuids;

	/* room, kept from one advertisement to the next */
	size_t room_manufacturer, room_service, room_uuids;
};

void advert_done(struct advert *advert);
void advert_clear(struct advert *advert); /* empty, keeps the room */
/* 0 or -ENOMEM */
int advert_add_manufacturer(struct advert *advert, uint16_t company, const uint8_t *data, size_t size);
int advert_add_service(struct advert *advert, const struct uuid *uuid, const uint8_t *data, size_t size);
int advert_add_uuid(struct advert *advert, const struct uuid *uuid);

/* The data of a company or service, or NULL. */
const struct advert_data *advert_of_company(const struct advert *advert, uint16_t company);
const struct advert_data *advert_of_service(const struct advert *advert, uint16_t uuid16);

/* "A4:C1:38:00:00:01"; the separator may be '_'. -EINVAL. */
int address_parse(const char *text, struct ble_address *ret);
void address_print(const struct ble_address *address, char text[ADDRESS_TEXT_SIZE]);
bool address_equal(const struct ble_address *a, const struct ble_address *b);
/* The address in an object's path, ".../dev_A4_C1_38_00_00_01" or an object below it. -EINVAL. */
int address_of_path(const char *path, struct ble_address *ret);

/* "181a", "0x181A", or the long form. -EINVAL. */
int uuid_parse(const char *text, struct uuid *ret);
bool uuid_equal(const struct uuid *a, const struct uuid *b);
/* The short form of an assigned one, else 0. */
uint16_t uuid_short(const struct uuid *uuid);
struct uuid uuid_from_short(uint16_t uuid16);
void uuid_print(const struct uuid *uuid, char text[37]);

/* Hexadecimal digits, spaces and colons between them allowed; exactly size bytes. -EINVAL. */
int hex_parse(const char *text, uint8_t *data, size_t size);

#endif
