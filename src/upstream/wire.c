/* SPDX-License-Identifier: Apache-2.0 */
#include "upstream/wire.h"
#include "base/buf.h"
#include "upstream/packet_check.h"
#include <errno.h>
#include <linux/sockios.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>

struct wire {
	int fd;
	enum wire_phase phase;
	SSL *tls;
	bool heard; /* the peer's first bytes were looked at */
	bool broken;
	struct buf kept;
	size_t kept_at; /* its bytes before this are gone */
	uint64_t written;
	char address[NI_MAXHOST + 16];
};

static void name_address(struct wire *wire, const struct sockaddr *address, socklen_t size)
{
	char host[NI_MAXHOST], port[8];
	if (getnameinfo(address, size, host, sizeof(host), port, sizeof(port), NI_NUMERICHOST | NI_NUMERICSERV) != 0)
		snprintf(wire->address, sizeof(wire->address), "an unprintable address");
	else
		snprintf(wire->address, sizeof(wire->address), strchr(host, ':') ? "[%s]:%s" : "%s:%s", host, port);
}

static int cannot_connect(struct wire *wire, int error, struct reason *reason)
{
	if (error == ECONNREFUSED)
		reason_set(reason, "nothing listens at %s (connection refused)", wire->address);
	else if (error == ETIMEDOUT)
		reason_set(reason, "%s does not answer", wire->address);
	else
		reason_set(reason, "%s cannot be reached: %s", wire->address, strerror(error));
	return -error;
}

/* ---- TLS ---- */

static int handshake_failed(struct wire *wire, int result, struct reason *reason)
{
	int kind = SSL_get_error(wire->tls, result), error = errno;
	unsigned long code = ERR_peek_last_error();
	const char *text = code ? ERR_reason_error_string(code) : NULL;
	wire->broken = true;
	if (kind == SSL_ERROR_SYSCALL && error != 0 && error != ECONNRESET && error != EPIPE)
		reason_set(reason, "network error in the TLS handshake: %s", strerror(error));
	else if (kind != SSL_ERROR_SSL || ERR_GET_REASON(code) == SSL_R_UNEXPECTED_EOF_WHILE_READING)
		reason_set(reason,
			   "the broker hung up in the TLS handshake (does this port want mqtt://, without TLS?)");
	else
		reason_set(reason, "TLS failed: %s", text ? text : "unknown error");
	return -EPROTO;
}

static int shake_hands(struct wire *wire, struct reason *reason)
{
	if (!wire->heard) {
		uint8_t first[8];
		ssize_t n = recv(wire->fd, first, sizeof(first), MSG_PEEK | MSG_DONTWAIT);
		wire->heard = n > 0;
		if (n > 0 && packet_is_foreign(first, (size_t)n, true, reason)) {
			wire->broken = true;
			return -EPROTO;
		}
	}
	ERR_clear_error();
	errno = 0;
	int r = SSL_do_handshake(wire->tls);
	if (r == 1) {
		wire->phase = WIRE_OPEN;
		return 0;
	}
	int kind = SSL_get_error(wire->tls, r);
	return kind == SSL_ERROR_WANT_READ || kind == SSL_ERROR_WANT_WRITE ? 0 : handshake_failed(wire, r, reason);
}

/* What a call of OpenSSL that moved nothing means: 0 at the end, or -errno. */
static int tls_result(struct wire *wire, int result)
{
	int error = errno;
	switch (SSL_get_error(wire->tls, result)) {
	case SSL_ERROR_WANT_READ:
	case SSL_ERROR_WANT_WRITE:
		return -EAGAIN;
	case SSL_ERROR_ZERO_RETURN:
		return 0;
	case SSL_ERROR_SYSCALL:
		wire->broken = true;
		return error ? -error : 0;
	default:
		wire->broken = true;
		return -EPROTO;
	}
}

/* ---- life ---- */

static int wire_opened(struct wire *wire, struct reason *reason)
{
	int on = 1;
	setsockopt(wire->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	if (!wire->tls) {
		wire->phase = WIRE_OPEN;
		return 0;
	}
	wire->phase = WIRE_HANDSHAKE;
	if (SSL_set_fd(wire->tls, wire->fd) != 1) {
		reason_set(reason, "out of memory");
		return -ENOMEM;
	}
	return shake_hands(wire, reason);
}

static int begin_to_connect(struct wire *wire, const struct sockaddr *address, socklen_t size, struct reason *reason)
{
	wire->fd = socket(address->sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (wire->fd < 0)
		return cannot_connect(wire, errno, reason);
	if (connect(wire->fd, address, size) == 0)
		return wire_opened(wire, reason);
	return errno == EINPROGRESS ? 0 : cannot_connect(wire, errno, reason);
}

int wire_new(const struct sockaddr *address, socklen_t address_size, SSL *tls, struct wire **ret,
	     struct reason *ret_reason)
{
	struct wire *wire = calloc(1, sizeof(*wire));
	if (!wire) {
		SSL_free(tls);
		reason_set(ret_reason, "out of memory");
		return -ENOMEM;
	}
	wire->tls = tls;
	name_address(wire, address, address_size);
	int r = begin_to_connect(wire, address, address_size, ret_reason);
	if (r < 0) {
		wire_free(wire);
		return r;
	}
	*ret = wire;
	return 0;
}

struct wire *wire_free(struct wire *wire)
{
	if (!wire)
		return NULL;
	if (wire->tls && wire->phase == WIRE_OPEN && !wire->broken)
		SSL_shutdown(wire->tls);
	SSL_free(wire->tls);
	ERR_clear_error();
	if (wire->fd >= 0)
		close(wire->fd);
	buf_done(&wire->kept);
	free(wire);
	return NULL;
}

enum wire_phase wire_phase(const struct wire *wire)
{
	return wire->phase;
}

const char *wire_address(const struct wire *wire)
{
	return wire->address;
}

const SSL *wire_tls(const struct wire *wire)
{
	return wire->tls;
}

int wire_fd(const struct wire *wire)
{
	return wire->fd;
}

short wire_events(const struct wire *wire)
{
	switch (wire->phase) {
	case WIRE_CONNECTING:
		return POLLOUT;
	case WIRE_HANDSHAKE:
		return SSL_want_write(wire->tls) ? POLLOUT : POLLIN;
	default:
		return (short)(wire_kept(wire) > 0 ? POLLIN | POLLOUT : POLLIN);
	}
}

int wire_advance(struct wire *wire, short revents, struct reason *ret_reason)
{
	if (!revents)
		return 0;
	if (wire->phase == WIRE_HANDSHAKE)
		return shake_hands(wire, ret_reason);
	if (wire->phase != WIRE_CONNECTING)
		return 0;
	int error = 0;
	socklen_t size = sizeof(error);
	if (getsockopt(wire->fd, SOL_SOCKET, SO_ERROR, &error, &size) < 0)
		error = errno;
	return error ? cannot_connect(wire, error, ret_reason) : wire_opened(wire, ret_reason);
}

/* ---- bytes ---- */

ssize_t wire_read(struct wire *wire, void *data, size_t size)
{
	ssize_t n;
	if (wire->tls) {
		ERR_clear_error();
		errno = 0;
		int r = SSL_read(wire->tls, data, (int)size);
		n = r > 0 ? r : tls_result(wire, r);
	} else {
		n = recv(wire->fd, data, size, 0);
		if (n < 0)
			n = errno == EINTR ? -EAGAIN : -errno;
	}
	int on = 1;
	/* The kernel would hold the acknowledgement of a small burst back for 40 ms. */
	if (n > 0)
		setsockopt(wire->fd, IPPROTO_TCP, TCP_QUICKACK, &on, sizeof(on));
	return n;
}

bool wire_has_more(const struct wire *wire)
{
	return wire->tls && !wire->broken && SSL_has_pending(wire->tls);
}

/* Bytes taken, or -errno. */
static ssize_t write_some(struct wire *wire, const void *data, size_t size)
{
	ssize_t n;
	if (wire->tls) {
		ERR_clear_error();
		errno = 0;
		int r = SSL_write(wire->tls, data, (int)MIN(size, (size_t)INT32_MAX));
		n = r > 0 ? r : tls_result(wire, r);
		if (n == 0)
			n = -EPIPE;
	} else {
		n = send(wire->fd, data, size, MSG_NOSIGNAL);
		if (n < 0)
			n = errno == EINTR ? -EAGAIN : -errno;
	}
	if (n > 0)
		wire->written += (uint64_t)n;
	return n;
}

int wire_flush(struct wire *wire)
{
	while (wire_kept(wire) > 0) {
		ssize_t n = write_some(wire, wire->kept.data + wire->kept_at, wire_kept(wire));
		if (n < 0)
			return n == -EAGAIN ? 0 : (int)n;
		wire->kept_at += (size_t)n;
	}
	wire->kept_at = 0;
	/* It is used only where the network is slower than we are. */
	buf_done(&wire->kept);
	return 0;
}

int wire_write(struct wire *wire, const void *data, size_t size)
{
	int r = wire_flush(wire);
	while (r >= 0 && size > 0 && wire_kept(wire) == 0) {
		ssize_t n = write_some(wire, data, size);
		if (n == -EAGAIN)
			break;
		if (n < 0)
			return (int)n;
		data = (const char *)data + n;
		size -= (size_t)n;
	}
	if (r < 0 || size == 0)
		return r;
	if (wire->kept_at > 0) {
		memmove(wire->kept.data, wire->kept.data + wire->kept_at, wire_kept(wire));
		wire->kept.size -= wire->kept_at;
		wire->kept_at = 0;
	}
	buf_add(&wire->kept, data, size);
	return buf_failed(&wire->kept) ? -ENOMEM : 0;
}

size_t wire_kept(const struct wire *wire)
{
	return wire->kept.size - wire->kept_at;
}

size_t wire_unsent(const struct wire *wire)
{
	int unacknowledged = 0;
	if (wire->fd < 0 || ioctl(wire->fd, SIOCOUTQ, &unacknowledged) < 0)
		unacknowledged = 0;
	return wire_kept(wire) + (size_t)unacknowledged;
}

uint64_t wire_written(const struct wire *wire)
{
	return wire->written;
}
