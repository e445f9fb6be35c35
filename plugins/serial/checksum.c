/* SPDX-License-Identifier: Apache-2.0 */
#include "checksum.h"

size_t checksum_size(enum checksum kind)
{
	return kind == CHECKSUM_NONE ? 0 : kind == CHECKSUM_XOR || kind == CHECKSUM_SUM8 ? 1 : 2;
}

static uint16_t crc_modbus(const uint8_t *data, size_t size)
{
	unsigned crc = 0xffff;

	for (size_t i = 0; i < size; i++) {
		crc ^= data[i];
		for (int bit = 0; bit < 8; bit++)
			crc = crc & 1 ? crc >> 1 ^ 0xa001 : crc >> 1;
	}
	return (uint16_t)crc;
}

static uint16_t crc_ccitt(const uint8_t *data, size_t size)
{
	unsigned crc = 0xffff;

	for (size_t i = 0; i < size; i++) {
		crc ^= (unsigned)data[i] << 8;
		for (int bit = 0; bit < 8; bit++)
			crc = crc & 0x8000 ? crc << 1 ^ 0x1021 : crc << 1;
	}
	return (uint16_t)crc;
}

uint16_t checksum_of(enum checksum kind, const uint8_t *data, size_t size)
{
	unsigned value = 0;

	switch (kind) {
	case CHECKSUM_NONE:
		break;
	case CHECKSUM_XOR:
		for (size_t i = 0; i < size; i++)
			value ^= data[i];
		break;
	case CHECKSUM_SUM8:
		for (size_t i = 0; i < size; i++)
			value += data[i];
		value &= 0xff;
		break;
	case CHECKSUM_CRC16_MODBUS:
		return crc_modbus(data, size);
	case CHECKSUM_CRC16_CCITT:
		return crc_ccitt(data, size);
	}
	return (uint16_t)value;
}

static int hex_digit(uint8_t c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c |= 0x20;
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static bool holds_as_text(enum checksum kind, const uint8_t *frame, size_t size, size_t *ret_size)
{
	size_t n_digits = 2 * checksum_size(kind);
	unsigned value = 0;

	if (size < n_digits)
		return false;
	size -= n_digits;
	for (size_t i = 0; i < n_digits; i++) {
		int digit = hex_digit(frame[size + i]);

		if (digit < 0)
			return false;
		value = value << 4 | (unsigned)digit;
	}
	if (size > 0 && frame[size - 1] == '*')
		size--;
	*ret_size = size;
	return checksum_of(kind, frame, size) == value;
}

bool checksum_holds(enum checksum kind, bool text, const uint8_t *frame, size_t size, size_t *ret_size)
{
	size_t n = checksum_size(kind);
	unsigned value;

	if (kind == CHECKSUM_NONE) {
		*ret_size = size;
		return true;
	}
	if (text)
		return holds_as_text(kind, frame, size, ret_size);
	if (size < n)
		return false;
	size -= n;
	value = frame[size];
	if (kind == CHECKSUM_CRC16_MODBUS)
		value |= (unsigned)frame[size + 1] << 8;
	else if (n == 2)
		value = value << 8 | frame[size + 1];
	*ret_size = size;
	return checksum_of(kind, frame, size) == value;
}
