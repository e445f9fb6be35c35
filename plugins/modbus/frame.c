/* SPDX-License-Identifier: Apache-2.0 */
#include "frame.h"
#include <errno.h>
#include <string.h>

enum { AT_TRANSACTION = 0, AT_PROTOCOL = 2, AT_LENGTH = 4, AT_UNIT = 6, TCP_HEADER_BYTES = 7 };
enum { RTU_MIN_BYTES = 5, CRC_BYTES = 2 };
enum { READ_COILS = 1, READ_INPUT = 4, WRITE_COIL = 5, WRITE_REGISTER = 6, WRITE_COILS = 15, WRITE_REGISTERS = 16 };
enum { REPORT_ID = 17, MASK_WRITE = 22, READ_WRITE = 23, ENCAPSULATED = 43, IDENTIFICATION = 14, EXCEPTION_BIT = 0x80 };

static void put_u16(uint8_t *at, unsigned value)
{
	at[0] = (uint8_t)(value >> 8);
	at[1] = (uint8_t)value;
}

static unsigned get_u16(const uint8_t *at)
{
	return (unsigned)at[0] << 8 | at[1];
}

/* The CRC of the serial line (V1.02, 6.2.2): polynomial 0xA001, from 0xFFFF. */
uint16_t frame_crc(const uint8_t *bytes, size_t size)
{
	unsigned crc = 0xffff;

	for (size_t i = 0; i < size; i++) {
		crc ^= bytes[i];
		for (unsigned bit = 0; bit < 8; bit++)
			crc = crc & 1 ? crc >> 1 ^ 0xa001 : crc >> 1;
	}
	return (uint16_t)crc;
}

/* ---- requests ---- */

static void pdu_begin(struct pdu *pdu, unsigned function, unsigned first, unsigned second)
{
	pdu->bytes[0] = (uint8_t)function;
	put_u16(pdu->bytes + 1, first);
	put_u16(pdu->bytes + 3, second);
	pdu->size = 5;
}

void pdu_read(const struct plan_place *place, struct pdu *ret)
{
	static const uint8_t functions[N_TABLES] = {
		[TABLE_COIL] = 1, [TABLE_DISCRETE] = 2, [TABLE_HOLDING] = 3, [TABLE_INPUT] = 4};

	pdu_begin(ret, functions[place->table], place->address, place->count);
}

void pdu_write_coil(uint16_t address, bool value, bool many, struct pdu *ret)
{
	pdu_begin(ret, many ? WRITE_COILS : WRITE_COIL, address, many ? 1 : value ? 0xff00 : 0);
	if (many) {
		ret->bytes[ret->size++] = 1;
		ret->bytes[ret->size++] = value;
	}
}

void pdu_write_registers(const struct plan_place *place, const uint8_t *wire, bool many, struct pdu *ret)
{
	many = many || place->count > 1;
	pdu_begin(ret, many ? WRITE_REGISTERS : WRITE_REGISTER, place->address, many ? place->count : get_u16(wire));
	if (many) {
		ret->bytes[ret->size++] = (uint8_t)(place->count * 2);
		memcpy(ret->bytes + ret->size, wire, place->count * 2u);
		ret->size = (uint16_t)(ret->size + place->count * 2u);
	}
}

void pdu_mask_write(uint16_t address, const uint8_t mask[2], const uint8_t value[2], struct pdu *ret)
{
	/* 6.16: (register AND and_mask) OR (or_mask AND NOT and_mask) */
	pdu_begin(ret, MASK_WRITE, address, ~get_u16(mask) & 0xffff);
	put_u16(ret->bytes + ret->size, get_u16(value) & get_u16(mask));
	ret->size += 2;
}

void pdu_identify(uint8_t category, uint8_t object, struct pdu *ret)
{
	ret->bytes[0] = ENCAPSULATED;
	ret->bytes[1] = IDENTIFICATION;
	ret->bytes[2] = category;
	ret->bytes[3] = object;
	ret->size = 4;
}

void frame_build(enum framing framing, uint16_t transaction, uint8_t unit, const struct pdu *pdu, struct frame *ret)
{
	uint8_t *at = ret->bytes;
	unsigned crc;

	ret->framing = framing;
	if (framing == FRAMING_TCP) {
		put_u16(at + AT_TRANSACTION, transaction);
		put_u16(at + AT_PROTOCOL, 0);
		put_u16(at + AT_LENGTH, pdu->size + 1u);
		at += AT_UNIT;
	}
	*at++ = unit;
	memcpy(at, pdu->bytes, pdu->size);
	at += pdu->size;
	if (framing == FRAMING_RTU) {
		crc = frame_crc(ret->bytes, (size_t)(at - ret->bytes));
		*at++ = (uint8_t)crc;
		*at++ = (uint8_t)(crc >> 8);
	}
	ret->size = (uint16_t)(at - ret->bytes);
}

/* ---- answers ---- */

/* The unit and PDU of a request. */
static const uint8_t *body_of(const struct frame *request)
{
	return request->bytes + (request->framing == FRAMING_TCP ? (unsigned)AT_UNIT : 0u);
}

static size_t body_size(const struct frame *request)
{
	return request->size - (request->framing == FRAMING_TCP ? (unsigned)AT_UNIT : (unsigned)CRC_BYTES);
}

/* Bytes that a read gives: its byte count. */
static size_t read_bytes(const uint8_t *body)
{
	unsigned count = get_u16(body + 4);

	return body[1] <= 2 ? (count + 7) / 8 : count * 2;
}

static bool is_read(unsigned function)
{
	return function >= READ_COILS && function <= READ_INPUT;
}

/* Unit and PDU of an answer against those of the request. */
static enum modbus_fault check_body(const uint8_t *asked, const uint8_t *body, size_t size, struct frame_answer *ret)
{
	unsigned function = asked[1];

	if (body[0] != asked[0])
		return FAULT_OTHER_UNIT;
	if ((body[1] & ~EXCEPTION_BIT & 0xff) != function)
		return FAULT_OTHER_FUNCTION;
	if (body[1] & EXCEPTION_BIT) {
		if (size != 3)
			return FAULT_OTHER_LENGTH;
		if (!body[2])
			return FAULT_NO_CODE;
		*ret = (struct frame_answer){.exception = body[2]};
		return FAULT_NONE;
	}
	if (is_read(function)) {
		size_t expected = read_bytes(asked);

		if (size != expected + 3 || body[2] != expected)
			return FAULT_OTHER_LENGTH;
		*ret = (struct frame_answer){.data = body + 3, .size = expected};
		return FAULT_NONE;
	}
	/* A write repeats function and address; what the device really holds is read back. */
	if (function == ENCAPSULATED ? size < 8 || body[2] != IDENTIFICATION
				     : size != (function == MASK_WRITE ? 8 : 6) || memcmp(body + 2, asked + 2, 2))
		return FAULT_NO_FIT;
	*ret = (struct frame_answer){.data = body + 2, .size = size - 2};
	return FAULT_NONE;
}

int frame_check(const struct frame *request, const uint8_t *bytes, size_t size, struct frame_answer *ret,
		enum modbus_fault *ret_fault)
{
	enum modbus_fault fault;

	if (request->framing == FRAMING_TCP) {
		if (size < TCP_HEADER_BYTES + 2 || get_u16(bytes + AT_PROTOCOL) ||
		    get_u16(bytes + AT_LENGTH) != size - AT_UNIT)
			fault = FAULT_NO_FRAME;
		else if (memcmp(bytes, request->bytes, 2))
			fault = FAULT_OTHER_REQUEST;
		else
			fault = check_body(body_of(request), bytes + AT_UNIT, size - AT_UNIT, ret);
	} else if (size < RTU_MIN_BYTES) {
		fault = FAULT_NO_FRAME;
	} else if (frame_crc(bytes, size) != 0) {
		fault = FAULT_WRONG_CRC;
	} else {
		fault = check_body(body_of(request), bytes, size - CRC_BYTES, ret);
	}
	if (fault == FAULT_NONE)
		return 0;
	*ret_fault = fault;
	return -EBADMSG;
}

/* The objects of an identification (6.21) have a length each. */
static size_t identification_length(const uint8_t *bytes, size_t size)
{
	size_t at = 8;

	if (size < at)
		return 0;
	for (unsigned i = 0; i < bytes[7]; i++) {
		if (size < at + 2)
			return 0;
		at += 2u + bytes[at + 1];
	}
	return at + CRC_BYTES;
}

/* How long an answer on a serial line is by what has come of it; 0: not known, or not yet. */
static size_t rtu_length(const uint8_t *bytes, size_t size)
{
	if (size < 3)
		return 0;
	if (bytes[1] & EXCEPTION_BIT)
		return 5;
	if (is_read(bytes[1]) || bytes[1] == REPORT_ID || bytes[1] == READ_WRITE)
		return 3u + bytes[2] + CRC_BYTES;
	switch (bytes[1]) {
	case WRITE_COIL:
	case WRITE_REGISTER:
	case WRITE_COILS:
	case WRITE_REGISTERS:
		return 8;
	case MASK_WRITE:
		return 10;
	case ENCAPSULATED:
		return identification_length(bytes, size);
	default:
		return 0;
	}
}

static enum frame_search find_tcp(const struct frame *request, const uint8_t *bytes, size_t size,
				  struct frame_answer *ret, enum modbus_fault *ret_fault)
{
	size_t length;

	*ret_fault = FAULT_NONE;
	if (size < TCP_HEADER_BYTES)
		return FRAME_MORE;
	length = get_u16(bytes + AT_LENGTH) + (size_t)AT_UNIT;
	if (get_u16(bytes + AT_PROTOCOL) || length > FRAME_BYTES || length < TCP_HEADER_BYTES + 2) {
		*ret_fault = FAULT_NO_FRAME;
		return FRAME_WRONG;
	}
	if (size < length)
		return FRAME_MORE;
	return frame_check(request, bytes, length, ret, ret_fault) < 0 ? FRAME_WRONG : FRAME_FOUND;
}

/* Whether the answer stands there or further behind. */
static bool has_answer_behind(const struct frame *request, const uint8_t *bytes, size_t size)
{
	struct frame_answer answer;
	enum modbus_fault fault;

	for (size_t at = 0; at + RTU_MIN_BYTES <= size; at++) {
		size_t length = rtu_length(bytes + at, size - at);

		if (length && at + length <= size && frame_check(request, bytes + at, length, &answer, &fault) == 0)
			return true;
	}
	return false;
}

static enum frame_search find_rtu(const struct frame *request, struct frame_line *line, const uint8_t *bytes,
				  size_t size, struct frame_answer *ret, enum modbus_fault *ret_fault)
{
	size_t same = size < request->size ? size : request->size, first = 0;
	bool echo = !memcmp(bytes, request->bytes, same), wrong = false;
	enum modbus_fault fault = FAULT_NONE;

	*ret_fault = FAULT_NONE;
	/* The right answer to some writes is the request once more: on a line that never echoed it is the answer,
	   unless there is one behind it, such as a refusal. */
	if (echo && same == request->size &&
	    (line->echoes || frame_check(request, bytes, same, ret, &fault) < 0 ||
	     (!line->is_plain && has_answer_behind(request, bytes + same, size - same)))) {
		line->echoes = true;
		first = same;
		*ret_fault = size == same ? FAULT_ONLY_ECHO : FAULT_NONE;
	}
	for (size_t at = first; at + RTU_MIN_BYTES <= size; at++) {
		size_t length = rtu_length(bytes + at, size - at);

		if (!length || at + length > size)
			continue;
		if (frame_check(request, bytes + at, length, ret, &fault) == 0) {
			line->is_plain = line->is_plain || (at == 0 && is_read(request->bytes[1]));
			return FRAME_FOUND;
		}
		if (frame_crc(bytes + at, length) == 0) {
			/* A whole frame: of another unit it may be late, and ours still comes. */
			*ret_fault = fault;
			if (bytes[at] == request->bytes[0])
				return FRAME_WRONG;
		} else if (at == first && !(echo && same < request->size) && bytes[at] == request->bytes[0] &&
			   (bytes[at + 1] & ~EXCEPTION_BIT & 0xff) == request->bytes[1]) {
			wrong = true;
		}
	}
	if (wrong) {
		*ret_fault = FAULT_WRONG_CRC;
		return FRAME_WRONG;
	}
	if (size >= FRAME_BYTES + first) {
		*ret_fault = FAULT_NO_FRAME;
		return FRAME_WRONG;
	}
	return FRAME_MORE;
}

enum frame_search frame_find(const struct frame *request, struct frame_line *line, const uint8_t *bytes, size_t size,
			     struct frame_answer *ret, enum modbus_fault *ret_fault)
{
	return request->framing == FRAMING_TCP ? find_tcp(request, bytes, size, ret, ret_fault)
					       : find_rtu(request, line, bytes, size, ret, ret_fault);
}

size_t frame_expected(const struct frame *request)
{
	const uint8_t *body = body_of(request);
	size_t around = request->size - body_size(request);

	return around + (is_read(body[1]) ? 3 + read_bytes(body) : body[1] == ENCAPSULATED ? 120 : 8);
}
