/* SPDX-License-Identifier: Apache-2.0 */
#include "transport.h"
#include <errno.h>
#include <modbus.h>
#include <netdb.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/select.h>
#include <sys/socket.h>
#include <unistd.h>

#define USEC_PER_SEC 1000000u

struct transport {
	modbus_t *modbus;
	char *host;
	char port[8];
	uint64_t timeout_us;
	uint64_t (*now)(void);
	int fd; /* -1: not connected */

	/* Runs on over new connections: an answer that a gateway delivers late on the next one still does not fit. */
	uint16_t transaction;
};

int transport_new_tcp(const struct url *url, uint64_t timeout_us, uint64_t (*now)(void), struct transport **ret)
{
	struct transport *t = calloc(1, sizeof(*t));

	if (!t)
		return -ENOMEM;
	t->fd = -1;
	t->timeout_us = timeout_us;
	t->now = now;
	snprintf(t->port, sizeof(t->port), "%u", url->port);
	t->host = strndup(url->host, url->host_size);
	/* The address is never used: the socket is our own, which also carries IPv6. */
	t->modbus = modbus_new_tcp("127.0.0.1", url->port);
	if (!t->host || !t->modbus) {
		transport_free(t);
		return -ENOMEM;
	}
	modbus_set_error_recovery(t->modbus, MODBUS_ERROR_RECOVERY_NONE);
	modbus_set_response_timeout(t->modbus, (uint32_t)(timeout_us / USEC_PER_SEC),
				    (uint32_t)(timeout_us % USEC_PER_SEC));
	/* Without a time-out between bytes the one above is for the answer as a whole, which a slow dripper cannot stretch. */
	modbus_set_byte_timeout(t->modbus, 0, 0);
	*ret = t;
	return 0;
}

static void disconnect(struct transport *t)
{
	if (t->fd >= 0)
		close(t->fd);
	t->fd = -1;
	modbus_set_socket(t->modbus, -1);
}

struct transport *transport_free(struct transport *t)
{
	if (t) {
		if (t->modbus) {
			disconnect(t);
			modbus_free(t->modbus);
		}
		free(t->host);
		free(t);
	}
	return NULL;
}

static void fail(struct exchange *x, enum exchange_end end, enum hay_reason reason, const char *detail)
{
	x->end = end;
	x->reason = reason;
	x->detail = detail;
}

static void fail_connect(struct exchange *x, int error)
{
	const char *detail = strerrordesc_np(error);

	switch (error) {
	case ECONNREFUSED:
		fail(x, EXCHANGE_DOWN, HAY_REFUSED, "connection refused");
		break;
	case ECONNRESET:
		fail(x, EXCHANGE_DOWN, HAY_REFUSED, "connection reset");
		break;
	case ETIMEDOUT:
		fail(x, EXCHANGE_DOWN, HAY_TIMEOUT, "no answer to the connect");
		break;
	case EHOSTUNREACH:
	case ENETUNREACH:
		fail(x, EXCHANGE_DOWN, HAY_OFFLINE, "no route to the host");
		break;
	case EMFILE:
		fail(x, EXCHANGE_DOWN, HAY_OFFLINE, "too many open descriptors (libmodbus takes none above 1023)");
		break;
	default:
		fail(x, EXCHANGE_DOWN, HAY_OFFLINE, detail ? detail : "cannot connect");
		break;
	}
}

/* Connect to one address, at most that long. The descriptor, or -errno. */
static int connect_to(struct transport *t, const struct addrinfo *address, uint64_t wait_us)
{
	int fd = socket(address->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	int error = 0, one = 1, n;
	socklen_t size = sizeof(error);
	uint64_t end = t->now() + wait_us, now;

	if (fd < 0)
		return -errno;
	if (fd >= FD_SETSIZE) {
		/* libmodbus waits with select(): a larger one would write past its set. */
		close(fd);
		return -EMFILE;
	}
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	if (connect(fd, address->ai_addr, address->ai_addrlen) < 0) {
		struct pollfd wait = {.fd = fd, .events = POLLOUT};

		error = errno;
		if (error == EINPROGRESS) {
			do {
				now = t->now();
				n = poll(&wait, 1, now < end ? (int)((end - now + 999) / 1000) : 0);
			} while (n < 0 && errno == EINTR);
			error = ETIMEDOUT;
			if (n > 0 && getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &size) < 0)
				error = errno;
		}
	}
	if (error) {
		close(fd);
		return -error;
	}
	return fd;
}

static bool connect_anew(struct transport *t, struct exchange *x)
{
	struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICSERV | AI_ADDRCONFIG};
	struct addrinfo *addresses = NULL;
	uint64_t end, now;
	unsigned n = 0;
	int r;

	r = getaddrinfo(t->host, t->port, &hints, &addresses);
	if (r == EAI_ADDRFAMILY || r == EAI_NONAME) {
		/* An address of this machine itself needs no configured interface. */
		hints.ai_flags &= ~AI_ADDRCONFIG;
		r = getaddrinfo(t->host, t->port, &hints, &addresses);
	}
	if (r != 0) {
		fail(x, EXCHANGE_DOWN, HAY_OFFLINE, gai_strerror(r));
		return false;
	}
	for (const struct addrinfo *a = addresses; a; a = a->ai_next)
		n++;
	/* All addresses together get one time-out, so that a silent one leaves the next its share. */
	end = t->now() + t->timeout_us;
	r = -EHOSTUNREACH;
	for (const struct addrinfo *a = addresses; a && t->fd < 0 && n > 0; a = a->ai_next, n--) {
		now = t->now();
		r = connect_to(t, a, now < end ? (end - now) / n : 0);
		if (r >= 0)
			t->fd = r;
	}
	freeaddrinfo(addresses);
	if (t->fd < 0) {
		fail_connect(x, -r);
		return false;
	}
	modbus_set_socket(t->modbus, t->fd);
	return true;
}

/* Throw away what came unasked; modbus_flush() would not tell of an end. False: closed, or it does not stop. */
static bool drain(struct transport *t, uint8_t *scratch)
{
	for (unsigned i = 0; i < 64; i++) {
		ssize_t n = recv(t->fd, scratch, TRANSPORT_FRAME_BYTES, MSG_DONTWAIT);

		if (n < 0 && errno != EINTR)
			return errno == EAGAIN || errno == EWOULDBLOCK;
		if (n == 0)
			return false;
	}
	return false;
}

/* Ask over the connection there is. False: it is closed, and not a byte of an answer came. */
static bool ask(struct transport *t, struct exchange *x)
{
	uint8_t request[FRAME_REQUEST_BYTES], unlike;
	uint64_t sent;
	ssize_t n;
	int size;

	frame_build(++t->transaction, x->unit, &x->place, request);
	/* The request is sent from here because libmodbus would number raw requests 0, compare no unit, and know no
	   units from 248 to 254. */
	sent = t->now();
	n = send(t->fd, request, sizeof(request), MSG_NOSIGNAL);
	if (n != (ssize_t)sizeof(request)) {
		fail(x, EXCHANGE_FAILED, HAY_REFUSED, "connection closed");
		return false;
	}
	/* The first byte that comes replaces this one: where it is still there, none came. */
	x->frame[0] = unlike = (uint8_t)~request[0];
	size = modbus_receive_confirmation(t->modbus, x->frame);
	if (size < 0) {
		bool silent = x->frame[0] == unlike;

		if (errno == ETIMEDOUT)
			fail(x, EXCHANGE_FAILED, HAY_TIMEOUT, silent ? "no answer" : "an answer cut short");
		else if (errno == EMBBADDATA)
			fail(x, EXCHANGE_FAILED, HAY_DECODE, "not a Modbus frame");
		else if (silent) {
			fail(x, EXCHANGE_FAILED, HAY_REFUSED, "connection closed without an answer");
			return false;
		} else
			fail(x, EXCHANGE_FAILED, HAY_REFUSED, "connection closed within an answer");
		return true;
	}
	x->answered_us = t->now();
	x->rtt_us = x->answered_us - sent;
	if (frame_check(request, x->frame, (size_t)size, &x->answer, &x->detail) < 0)
		fail(x, EXCHANGE_FAILED, HAY_DECODE, x->detail);
	else
		x->end = EXCHANGE_ANSWERED;
	return true;
}

void transport_exchange(struct transport *t, struct exchange *x)
{
	if (t->fd >= 0 && !drain(t, x->frame))
		disconnect(t);
	for (unsigned attempt = 0; attempt < 2; attempt++) {
		if (t->fd < 0 && !connect_anew(t, x))
			return;
		if (ask(t, x))
			break;
		disconnect(t);
	}
	/* After a time-out or nonsense nobody knows what comes next on this connection: the next question has a new one. */
	if (x->end != EXCHANGE_ANSWERED)
		disconnect(t);
}
