/* SPDX-License-Identifier: Apache-2.0 */
/* The characteristics everybody shares: Bluetooth SIG, GATT Specification Supplement. Pure. */
#ifndef BLE_STANDARD_H
#define BLE_STANDARD_H

#include "decode.h"

/* The field that a characteristic of this UUID holds. -ENOENT. */
int standard_field(uint16_t uuid, enum ble_field *ret_field);

/* Whether it is longer than such a characteristic is, and so something else. */
bool standard_is_longer(uint16_t uuid, const uint8_t *data, size_t size);

/* Its value is added to *out. -ENOMSG: not such a characteristic, or a value that means "not known"; -EBADMSG. */
int standard_decode(uint16_t uuid, const uint8_t *data, size_t size, struct ble_decoded *out);

#endif
