/* SPDX-License-Identifier: Apache-2.0 */
#include "upstream/dial.h"
#include "base/clock.h"
#include <errno.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

void reason_set(struct reason *reason, const char *format, ...)
{
	va_list args;
	va_start(args, format);
	vsnprintf(reason->text, sizeof(reason->text), format, args);
	va_end(args);
}

static int await(int fd, uint64_t deadline_us, int cancel_fd)
{
	for (;;) {
		uint64_t now = clock_now();
		if (now >= deadline_us)
			return -ETIMEDOUT;
		struct pollfd fds[] = {{.fd = fd, .events = POLLOUT}, {.fd = cancel_fd, .events = POLLIN}};
		int r = poll(fds, 2, (int)((deadline_us - now) / USEC_PER_MSEC) + 1);
		if (r < 0 && errno != EINTR)
			return -errno;
		if (r <= 0)
			continue;
		if (fds[1].revents)
			return -ECANCELED;
		int error = 0;
		socklen_t size = sizeof(error);
		if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &size) < 0)
			return -errno;
		return -error;
	}
}

static int try_address(const struct addrinfo *address, uint64_t deadline_us, int cancel_fd)
{
	_cleanup_close_ int fd = socket(address->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return -errno;
	if (connect(fd, address->ai_addr, address->ai_addrlen) == 0)
		return 0;
	return errno == EINPROGRESS ? await(fd, deadline_us, cancel_fd) : -errno;
}

static void explain(struct reason *reason, int error, const char *address, uint16_t port)
{
	const char *open = strchr(address, ':') ? "[" : "", *close = open[0] ? "]" : "";
	if (error == -ECONNREFUSED)
		reason_set(reason, "nothing listens at %s%s%s:%u (connection refused)", open, address, close, port);
	else if (error == -ETIMEDOUT)
		reason_set(reason, "%s%s%s:%u does not answer", open, address, close, port);
	else
		reason_set(reason, "%s%s%s:%u cannot be reached: %s", open, address, close, port, strerror(-error));
}

int dial(const char *host, uint16_t port, uint64_t timeout_us, int cancel_fd, char ret_address[NI_MAXHOST],
	 struct reason *ret_reason)
{
	char service[8];
	snprintf(service, sizeof(service), "%u", port);
	struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICSERV};
	struct addrinfo *addresses;
	int r = getaddrinfo(host, service, &hints, &addresses);
	if (r != 0) {
		reason_set(ret_reason, "the name %s cannot be resolved: %s", host,
			   r == EAI_SYSTEM ? strerror(errno) : gai_strerror(r));
		return -EHOSTUNREACH;
	}
	size_t left = 0;
	for (const struct addrinfo *at = addresses; at; at = at->ai_next)
		left++;

	/* A name may have addresses that lead nowhere: none gets more than its share of the time. */
	uint64_t deadline = clock_now() + timeout_us;
	r = -EHOSTUNREACH;
	for (const struct addrinfo *at = addresses; at; at = at->ai_next, left--) {
		uint64_t now = clock_now();
		uint64_t share = now < deadline ? (deadline - now) / left : 0;
		r = try_address(at, now + share, cancel_fd);
		if (r == -ECANCELED)
			break;
		char address[NI_MAXHOST];
		int unnamed =
			getnameinfo(at->ai_addr, at->ai_addrlen, address, sizeof(address), NULL, 0, NI_NUMERICHOST);
		if (unnamed != 0) {
			/* It may be reached, but whoever connects next needs it in words. */
			reason_set(ret_reason, "an address of %s cannot be told: %s", host,
				   unnamed == EAI_SYSTEM ? strerror(errno) : gai_strerror(unnamed));
			r = r == 0 ? -EHOSTUNREACH : r;
			continue;
		}
		if (r == 0) {
			memcpy(ret_address, address, sizeof(address));
			break;
		}
		explain(ret_reason, r, address, port);
	}
	freeaddrinfo(addresses);
	return r;
}
