/* SPDX-License-Identifier: Apache-2.0 */
/* Check values of frames. Pure. */
#ifndef SERIAL_CHECKSUM_H
#define SERIAL_CHECKSUM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum checksum {
	CHECKSUM_NONE,
	CHECKSUM_XOR,	    /* of all bytes */
	CHECKSUM_SUM8,	    /* of all bytes, modulo 256 */
	CHECKSUM_SUM8_ZERO, /* all bytes and this one are 0, modulo 256 (Victron, "VE.Direct Protocol") */
	CHECKSUM_SUM16,	    /* of all bytes; high byte first (Plantower, "PMS5003 series data manual", appendix I) */
	CHECKSUM_CRC16_MODBUS, /* polynomial 0xA001 reflected, from 0xFFFF; low byte first (MODBUS over serial line 1.02, 6.2.2) */
	CHECKSUM_CRC16_CCITT, /* polynomial 0x1021, from 0xFFFF ("CCITT-FALSE"); high byte first */
	CHECKSUM_CRC16_ARC,   /* polynomial 0xA001 reflected, from 0; low byte first (DSMR 5.0.2 P1, 5.2.7) */
	CHECKSUM_CRC16_X25,   /* polynomial 0x8408 reflected, from 0xFFFF, inverted; low byte first (ISO/IEC 13239) */
	N_CHECKSUMS
};

/* How many bytes the value takes on the wire: 0, 1 or 2. */
size_t checksum_size(enum checksum kind);

/* In pieces: start, add as often as there are pieces, end. */
uint16_t checksum_start(enum checksum kind);
uint16_t checksum_add(enum checksum kind, uint16_t value, const uint8_t *data, size_t size);
uint16_t checksum_end(enum checksum kind, uint16_t value);

/* What a value takes on the wire, as bytes or as hexadecimal digits, the most significant first; and back. */
#define CHECKSUM_WIRE_MAX 4
size_t checksum_wire_size(enum checksum kind, bool hex);
void checksum_print(enum checksum kind, bool hex, uint16_t value, uint8_t into[CHECKSUM_WIRE_MAX]);
/* False: those are no digits. */
bool checksum_read(enum checksum kind, bool hex, const uint8_t *wire, uint16_t *ret);

#endif
