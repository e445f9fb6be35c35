/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The wire to a broker: one TCP connection, and TLS over it. Nothing here blocks; what the network does not take at
 * once is kept. One thread.
 */
#ifndef HAYWAIN_UPSTREAM_WIRE_H
#define HAYWAIN_UPSTREAM_WIRE_H

#include "upstream/reason.h"
#include <openssl/ssl.h>
#include <stdbool.h>
#include <sys/socket.h>

enum wire_phase {
	WIRE_CONNECTING, /* TCP */
	WIRE_HANDSHAKE,	 /* TLS */
	WIRE_OPEN,
};

struct wire;

/* Begin to connect. Takes tls (NULL: plain) in any case. -errno and the reason. */
int wire_new(const struct sockaddr *address, socklen_t address_size, SSL *tls, struct wire **ret,
	     struct reason *ret_reason);
struct wire *wire_free(struct wire *wire);

enum wire_phase wire_phase(const struct wire *wire);
const char *wire_address(const struct wire *wire); /* "192.0.2.1:1883", for people */
const SSL *wire_tls(const struct wire *wire);	   /* NULL: plain */

int wire_fd(const struct wire *wire);
short wire_events(const struct wire *wire); /* what poll() is to wait for */

/* Go on connecting as poll() found. -errno and the reason. */
int wire_advance(struct wire *wire, short revents, struct reason *ret_reason);

/* Once it is open. Bytes read; 0: the peer has closed; -EAGAIN; -EPROTO: TLS failed (see tls_explain()); -errno. */
ssize_t wire_read(struct wire *wire, void *data, size_t size);
bool wire_has_more(const struct wire *wire); /* to read that poll() does not know of */
/* Send, and keep what cannot be sent yet. -errno: nothing more goes out. */
int wire_write(struct wire *wire, const void *data, size_t size);
int wire_flush(struct wire *wire);
size_t wire_kept(const struct wire *wire); /* bytes that wait for the network */
/* These, and those that the peer's TCP has not acknowledged. */
size_t wire_unsent(const struct wire *wire);
uint64_t wire_written(const struct wire *wire); /* bytes given to the kernel or to TLS, since the start */

#endif
