/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One connection to Modbus devices: question and answer. It blocks, so it is used by the link's worker only;
 * it is made before the first work and freed after the last. The only file that knows libmodbus.
 */
#ifndef MODBUS_TRANSPORT_H
#define MODBUS_TRANSPORT_H

#include "frame.h"
#include "url.h"
#include <haywain/reading.h>

struct transport;

/* Frames of libmodbus end at 260 bytes; a lying length byte must not matter even if it forgot to look (CVE-2023-26793). */
#define TRANSPORT_FRAME_BYTES 512

enum exchange_end {
	EXCHANGE_ANSWERED, /* the answer, be it an exception */
	EXCHANGE_FAILED,   /* connected, but no answer or none that is right; the connection was closed */
	EXCHANGE_DOWN,	   /* no connection could be made */
};

struct exchange {
	/* The question. */
	uint8_t unit;
	struct plan_place place;

	/* The answer. */
	enum exchange_end end;
	struct frame_answer answer; /* inside frame */
	uint64_t answered_us;	    /* when it had come */
	uint64_t rtt_us;
	enum hay_reason reason; /* where there is none */
	const char *detail;	/* why, in words; a string that lives for ever */

	uint8_t frame[TRANSPORT_FRAME_BYTES];
};

/* now: the host's clock. timeout_us: for a connect, and for an answer. -ENOMEM. */
int transport_new_tcp(const struct url *url, uint64_t timeout_us, uint64_t (*now)(void), struct transport **ret);
struct transport *transport_free(struct transport *transport);

/*
 * Ask and wait for the answer, at most the time-out for it; connect first where there is no connection. A connection
 * that turns out closed before any byte of the answer is made anew once: many devices close it after each answer.
 */
void transport_exchange(struct transport *transport, struct exchange *exchange);

#endif
