/* SPDX-License-Identifier: Apache-2.0 */
/* Check values of frames. Pure. */
#ifndef SERIAL_CHECKSUM_H
#define SERIAL_CHECKSUM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum checksum {
	CHECKSUM_NONE,
	CHECKSUM_XOR,  /* of all bytes */
	CHECKSUM_SUM8, /* of all bytes, modulo 256 */
	CHECKSUM_CRC16_MODBUS, /* polynomial 0xA001 reflected, from 0xFFFF; low byte first (MODBUS over serial line 1.02, 6.2.2) */
	CHECKSUM_CRC16_CCITT, /* polynomial 0x1021, from 0xFFFF ("CCITT-FALSE"); high byte first */
};

/* How many bytes the value takes on the wire: 0, 1 or 2. */
size_t checksum_size(enum checksum kind);
uint16_t checksum_of(enum checksum kind, const uint8_t *data, size_t size);

/*
 * Whether a frame ends with the right value, and how long it is without. text: the value stands as hexadecimal
 * digits, the most significant first, with or without a `*` before them; else as bytes.
 */
bool checksum_holds(enum checksum kind, bool text, const uint8_t *frame, size_t size, size_t *ret_size);

#endif
