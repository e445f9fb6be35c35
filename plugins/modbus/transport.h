/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One way to Modbus devices, a connection or a serial port: question and answer. It blocks, so it is used by the
 * link's worker only; it is made before the first work and freed after the last.
 *
 * On a serial line, and behind a converter that carries its frames over TCP, an answer bears no number: nothing but
 * time to distinguish a late one from the next. So after a time-out the line is kept silent for one time-out more, and
 * what comes then is thrown away. A unit that stayed silent all that time is taken for absent: from then on its
 * time-outs make only itself wait, not its neighbours.
 */
#ifndef MODBUS_TRANSPORT_H
#define MODBUS_TRANSPORT_H

#include "frame.h"
#include "tty.h"
#include "url.h"
#include <haywain/reading.h>

struct transport;

struct transport_conf {
	enum framing framing;
	const struct url *url;	    /* NULL: a serial port */
	const struct tty_conf *tty; /* copied, its path too */
	uint64_t timeout_us;	    /* for a connect, and for an answer */
	uint64_t gap_us;	    /* silence before a request */
	uint64_t unit_gap_us;	    /* where it goes to another unit than the last */
	uint64_t (*now)(void);	    /* the host's clock */
};

enum exchange_end {
	EXCHANGE_ANSWERED, /* the answer, be it an exception */
	EXCHANGE_FAILED,   /* connected, but no answer or none that is right */
	EXCHANGE_DOWN,	   /* no connection could be made, or the port has gone */
};

struct modbus_exchange {
	/* The question. */
	uint8_t unit;
	struct pdu pdu;
	bool once;	       /* it writes: once a byte of it is out, it is never sent again */
	uint64_t not_after_us; /* not to be sent after this; 0: no limit */
	bool is_quiet;	       /* no answer is expected: where none comes, RTU, only this unit waits for a late one */

	/* The answer. */
	enum exchange_end end;
	bool sent;		    /* a byte of the question, at least, is out: the device may have acted on it */
	bool is_mirror;		    /* the answer was the question once more, on a serial line that may echo */
	bool echoes;		    /* the line hands back what is sent, as this exchange or one before has shown */
	struct frame_answer answer; /* inside bytes */
	uint64_t answered_us;	    /* when it had come */
	uint64_t rtt_us;
	enum modbus_fault fault; /* why there is none; FAULT_NONE: it is there */
	enum hay_reason reason;	 /* of the fault */
	const char *detail;	 /* the same in words, for people; lives for ever */

	int port_fd;	    /* the serial port, while it is open and well; else -1 */
	const char *notice; /* what is odd about the port that was opened for this; NULL: nothing */

	uint8_t bytes[FRAME_BYTES * 2]; /* an echo may stand before the answer */
};

/* -ENOMEM. */
int transport_new(const struct transport_conf *conf, struct transport **ret);
struct transport *transport_free(struct transport *transport);

/*
 * Ask and wait for the answer, at most the time-out for it; connect first where there is no connection. A connection
 * that turns out closed before any byte of the answer is made anew once: many devices close it after each answer. What
 * goes `once` is sent over the new one only where not a byte of it went over the old one. A serial port that fails is
 * left alone, DOWN, until transport_reopen(): the caller that watches it lets go of it first.
 */
void transport_exchange(struct transport *transport, struct modbus_exchange *exchange);

/* Close the serial port. */
void transport_close(struct transport *transport);
/* Open the serial port where it is closed; EXCHANGE_ANSWERED: it is open. */
void transport_reopen(struct transport *transport, struct modbus_exchange *exchange);

#endif
