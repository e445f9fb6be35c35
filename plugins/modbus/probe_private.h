/* SPDX-License-Identifier: Apache-2.0 */
/* What the parts of the probe share. One thread: the probe's. */
#ifndef MODBUS_PROBE_PRIVATE_H
#define MODBUS_PROBE_PRIVATE_H

#include "device.h"

struct modbus_probe {
	struct hay_work work; /* a request on the daemon's link */
	const struct hay_probe *hay;
	struct modbus_link_conf conf; /* as the arguments say; not used with a link */
	struct modbus_link *link;     /* the daemon's; NULL: transport is our own */
	struct transport *transport;
	struct modbus_exchange exchange; /* pdu: the question; the rest is what came of it */
};

/* Ask exchange.pdu. 0: an answer, be it an exception; -ETIMEDOUT: none; -EIO: nor will there be, which was printed;
   -ECANCELED. */
int probe_ask(struct modbus_probe *probe, unsigned unit);

/* The exception is a gateway's: the unit itself gave no answer. */
bool probe_is_of_gateway(uint8_t exception);

/* Which units answer, from first to last (at most 255), and a configuration for them. 0, -EINTR, -EIO or -ECANCELED. */
int probe_scan(struct modbus_probe *probe, unsigned first, unsigned last);

#endif
