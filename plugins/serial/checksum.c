/* SPDX-License-Identifier: Apache-2.0 */
#include "checksum.h"
#include <haywain/helpers.h>

size_t checksum_size(enum checksum kind)
{
	return kind == CHECKSUM_NONE ? 0 : kind <= CHECKSUM_SUM8_ZERO ? 1 : 2;
}

static bool is_high_first(enum checksum kind)
{
	return kind == CHECKSUM_SUM16 || kind == CHECKSUM_CRC16_CCITT;
}

/* From the low bit on. */
static uint16_t crc_reflected(uint16_t polynomial, uint16_t crc, const uint8_t *data, size_t size)
{
	unsigned value = crc;

	for (size_t i = 0; i < size; i++) {
		value ^= data[i];
		for (int bit = 0; bit < 8; bit++)
			value = value & 1 ? value >> 1 ^ polynomial : value >> 1;
	}
	return (uint16_t)value;
}

static uint16_t crc_ccitt(uint16_t crc, const uint8_t *data, size_t size)
{
	unsigned value = crc;

	for (size_t i = 0; i < size; i++) {
		value ^= (unsigned)data[i] << 8;
		for (int bit = 0; bit < 8; bit++)
			value = value & 0x8000 ? value << 1 ^ 0x1021 : value << 1;
	}
	return (uint16_t)value;
}

uint16_t checksum_start(enum checksum kind)
{
	return kind == CHECKSUM_CRC16_MODBUS || kind == CHECKSUM_CRC16_CCITT || kind == CHECKSUM_CRC16_X25 ? 0xffff : 0;
}

uint16_t checksum_add(enum checksum kind, uint16_t value, const uint8_t *data, size_t size)
{
	switch (kind) {
	case CHECKSUM_NONE:
	case N_CHECKSUMS:
		break;
	case CHECKSUM_XOR:
		for (size_t i = 0; i < size; i++)
			value ^= data[i];
		break;
	case CHECKSUM_SUM8:
	case CHECKSUM_SUM8_ZERO:
		for (size_t i = 0; i < size; i++)
			value = (uint8_t)(value + data[i]);
		break;
	case CHECKSUM_SUM16:
		for (size_t i = 0; i < size; i++)
			value = (uint16_t)(value + data[i]);
		break;
	case CHECKSUM_CRC16_MODBUS:
	case CHECKSUM_CRC16_ARC:
		return crc_reflected(0xa001, value, data, size);
	case CHECKSUM_CRC16_X25:
		return crc_reflected(0x8408, value, data, size);
	case CHECKSUM_CRC16_CCITT:
		return crc_ccitt(value, data, size);
	}
	return value;
}

uint16_t checksum_end(enum checksum kind, uint16_t value)
{
	if (kind == CHECKSUM_SUM8_ZERO)
		return (uint8_t)-value;
	return kind == CHECKSUM_CRC16_X25 ? (uint16_t)~value : value;
}

size_t checksum_wire_size(enum checksum kind, bool hex)
{
	return checksum_size(kind) * (hex ? 2 : 1);
}

void checksum_print(enum checksum kind, bool hex, uint16_t value, uint8_t into[CHECKSUM_WIRE_MAX])
{
	size_t n = checksum_wire_size(kind, hex);

	if (hex) {
		for (size_t i = 0; i < n; i++)
			into[i] = (uint8_t) "0123456789ABCDEF"[value >> 4 * (n - 1 - i) & 15];
		return;
	}
	for (size_t i = 0; i < n; i++)
		into[i] = (uint8_t)(value >> 8 * (is_high_first(kind) ? n - 1 - i : i));
}

bool checksum_read(enum checksum kind, bool hex, const uint8_t *wire, uint16_t *ret)
{
	size_t n = checksum_wire_size(kind, hex);
	unsigned value = 0;

	for (size_t i = 0; i < n; i++) {
		int digit = hex ? hay_hex_digit((char)wire[i]) : wire[i];

		if (digit < 0)
			return false;
		if (hex)
			value = value << 4 | (unsigned)digit;
		else
			value |= (unsigned)digit << 8 * (is_high_first(kind) ? n - 1 - i : i);
	}
	*ret = (uint16_t)value;
	return true;
}
