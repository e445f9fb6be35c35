/* SPDX-License-Identifier: Apache-2.0 */
/* Which device an advertisement is from, also where its address changes. Pure. */
#ifndef BLE_MATCH_H
#define BLE_MATCH_H

#include "advertisement.h"

struct match {
	bool by_address, by_name, by_service, by_manufacturer, by_irk; /* all that are set have to hold */
	struct ble_address address;
	const char *name;
	struct uuid service;
	uint16_t manufacturer;
	uint8_t irk[16]; /* as printed, either end first */
};

/* The random address hash of Core specification vol 3 part H 2.2.2: the lower 24 bits. -EIO. */
int irk_hash(const uint8_t irk[16], uint32_t prand, uint32_t *ret_hash);
/* Whether a resolvable private address was made with this key. */
bool irk_resolves(const uint8_t irk[16], const struct ble_address *address);

bool match_advert(const struct match *match, const struct advert *advert);

#endif
