/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The bytes of a request and of its answer. Pure.
 *
 * What is asked is a PDU: function (1 byte) and data (MODBUS Application Protocol V1.1b3, 4.1). On TCP (MODBUS
 * Messaging on TCP/IP Implementation Guide V1.0b, 3.1.3) it is sent as: transaction id (2 bytes), protocol id 0 (2),
 * length of what follows (2), unit (1), PDU. On a serial line (MODBUS over Serial Line V1.02, 2.5.1): unit (1), PDU,
 * CRC (2, the low byte first).
 */
#ifndef MODBUS_FRAME_H
#define MODBUS_FRAME_H

#include "fault.h"
#include "plan.h"
#include <stdbool.h>

enum framing { FRAMING_TCP, FRAMING_RTU };

enum {
	FRAME_PDU_BYTES = 253,
	FRAME_BYTES = FRAME_PDU_BYTES + 7,
};

enum exception {
	EXCEPTION_ILLEGAL_FUNCTION = 1,
	EXCEPTION_ILLEGAL_ADDRESS = 2,
	EXCEPTION_ILLEGAL_VALUE = 3,
	EXCEPTION_DEVICE_FAILURE = 4,
	EXCEPTION_ACKNOWLEDGE = 5,
	EXCEPTION_BUSY = 6,
	EXCEPTION_NO_PATH = 10,
	EXCEPTION_NO_TARGET = 11
};

struct pdu {
	uint16_t size;
	uint8_t bytes[FRAME_PDU_BYTES];
};

/* Read a place. */
void pdu_read(const struct plan_place *place, struct pdu *ret);
/* Write a coil (function 5, or 15 where many). */
void pdu_write_coil(uint16_t address, bool value, bool many, struct pdu *ret);
/* Write up to 123 registers as they lie on the wire; one by function 6, unless many: function 16. */
void pdu_write_registers(const struct plan_place *place, const uint8_t *wire, bool many, struct pdu *ret);
/* Set the bits of a register that are in mask to those of value; both as on the wire (function 22). */
void pdu_mask_write(uint16_t address, const uint8_t mask[2], const uint8_t value[2], struct pdu *ret);
/* Read device identification from an object on (function 43 / 14). */
void pdu_identify(uint8_t category, uint8_t object, struct pdu *ret);

/* A PDU to one unit, as it goes over the wire. */
struct frame {
	enum framing framing;
	uint16_t size;
	uint8_t bytes[FRAME_BYTES];
};

/* transaction: not on a serial line. */
void frame_build(enum framing framing, uint16_t transaction, uint8_t unit, const struct pdu *pdu, struct frame *ret);

/* What a right answer says. */
struct frame_answer {
	uint8_t exception;   /* its code; 0: none */
	const uint8_t *data; /* of a read the registers or bits, else what follows the function; inside the frame */
	size_t size;
};

/*
 * Whether bytes are the answer to that request, and nothing but that. -EBADMSG: *ret_fault says why not.
 */
int frame_check(const struct frame *request, const uint8_t *bytes, size_t size, struct frame_answer *ret,
		enum modbus_fault *ret_fault);

enum frame_search {
	FRAME_FOUND,
	FRAME_MORE,  /* not yet: *ret_fault says what there is, FAULT_NONE for nothing of note */
	FRAME_WRONG, /* nor will it come: *ret_fault says why */
};

/* What a serial line adds to the answers; kept from one request to the next. Zeroed is a new line. */
struct frame_line {
	bool echoes;   /* the adapter hands back what it sends (two wires) */
	bool is_plain; /* it does not: the answer to a read was the first that came */
};

/*
 * Look for the answer in what has come so far. On a serial line it may stand behind the echo of the request, behind
 * noise, or behind the late answer of another unit.
 */
enum frame_search frame_find(const struct frame *request, struct frame_line *line, const uint8_t *bytes, size_t size,
			     struct frame_answer *ret, enum modbus_fault *ret_fault);

/* How many bytes the answer will have if all goes well; for the time that a serial line takes. */
size_t frame_expected(const struct frame *request);

uint16_t frame_crc(const uint8_t *bytes, size_t size);

/* The name of an exception code (7), without capitals: "illegal data address". Never NULL, lives for ever. */
const char *exception_name(uint8_t code);

#endif
