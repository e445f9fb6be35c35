/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The bytes of a request and of its answer. Pure.
 *
 * On TCP (MODBUS Messaging on TCP/IP Implementation Guide V1.0b, 3.1.3) a frame is: transaction id (2 bytes),
 * protocol id 0 (2), length of what follows (2), unit (1), function (1), data.
 */
#ifndef MODBUS_FRAME_H
#define MODBUS_FRAME_H

#include "plan.h"

enum { FRAME_REQUEST_BYTES = 12 }; /* of a request to read, on TCP */

/* What a right answer says. */
struct frame_answer {
	uint8_t exception;   /* its code; 0: none */
	const uint8_t *data; /* the registers or bits, inside the frame */
	size_t size;
};

/* A request to read a place. */
void frame_build(uint16_t transaction, uint8_t unit, const struct plan_place *place, uint8_t ret[FRAME_REQUEST_BYTES]);

/*
 * Whether bytes are the answer to that request, and nothing but that. -EBADMSG: *ret_error says why not.
 * libmodbus compares neither the unit nor the length in the header, so it is done here.
 */
int frame_check(const uint8_t request[FRAME_REQUEST_BYTES], const uint8_t *bytes, size_t size, struct frame_answer *ret,
		const char **ret_error);

#endif
