/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <haywain/helpers.h>
#include <netdb.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static void explain_error(int error, enum hay_reason *ret_reason, const char **ret_detail)
{
	const char *words = strerrordesc_np(error);

	*ret_reason = error == ECONNREFUSED ? HAY_REFUSED : error == ETIMEDOUT ? HAY_TIMEOUT : HAY_OFFLINE;
	switch (error) {
	case ECONNREFUSED:
		*ret_detail = "connection refused";
		break;
	case ETIMEDOUT:
		*ret_detail = "no answer to the connect";
		break;
	case EHOSTUNREACH:
	case ENETUNREACH:
		*ret_detail = "no route to the host";
		break;
	default:
		*ret_detail = words ? words : "cannot connect";
		break;
	}
}

/* Connect to one address, at most that long. The descriptor, or -errno. */
static int connect_to(const struct addrinfo *address, uint64_t wait_us, uint64_t (*now)(void))
{
	int fd = socket(address->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	int error = 0, one = 1, n;
	socklen_t size = sizeof(error);
	uint64_t end = now() + wait_us, at;

	if (fd < 0)
		return -errno;
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	if (connect(fd, address->ai_addr, address->ai_addrlen) < 0) {
		struct pollfd wait = {.fd = fd, .events = POLLOUT};

		error = errno;
		if (error == EINPROGRESS) {
			do {
				at = now();
				n = poll(&wait, 1, at < end ? (int)((end - at + 999) / 1000) : 0);
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

int hay_connect(const char *host, const char *port, const char *unknown, uint64_t timeout_us, uint64_t (*now)(void),
		enum hay_reason *ret_reason, const char **ret_detail)
{
	struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICSERV | AI_ADDRCONFIG};
	struct addrinfo *addresses = NULL;
	uint64_t end, at;
	unsigned n = 0;
	int r;

	r = getaddrinfo(host, port, &hints, &addresses);
	if (r == EAI_ADDRFAMILY || r == EAI_NONAME) {
		/* An address of this machine itself needs no configured interface. */
		hints.ai_flags &= ~AI_ADDRCONFIG;
		r = getaddrinfo(host, port, &hints, &addresses);
	}
	if (r != 0) {
		*ret_reason = HAY_OFFLINE;
		*ret_detail = r == EAI_MEMORY ? gai_strerror(r) : unknown;
		return -1;
	}
	for (const struct addrinfo *a = addresses; a; a = a->ai_next)
		n++;
	/* A silent address leaves the next its share of the time. */
	end = now() + timeout_us;
	r = -EHOSTUNREACH;
	for (const struct addrinfo *a = addresses; a && r < 0 && n > 0; a = a->ai_next, n--) {
		at = now();
		r = connect_to(a, at < end ? (end - at) / n : 0, now);
	}
	freeaddrinfo(addresses);
	if (r >= 0)
		return r;
	explain_error(-r, ret_reason, ret_detail);
	return -1;
}
