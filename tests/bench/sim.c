/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sim PORT DEVICES [UNITS]: that many Modbus TCP devices on ports PORT, PORT+1, ... in one thread. With UNITS each
 * port is a gateway with units 1..UNITS. Function 3 only; as many registers as are asked for.
 *
 * Commands on standard input, each answered by a line: "silent DEVICE UNIT" (from now on it does not answer),
 * "answer DEVICE UNIT", "counts" (device unit polls, one line each, then ".").
 */
#include "bench.h"
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

struct unit {
	uint32_t polls;
	bool silent;
};

struct peer {
	int fd;
	unsigned device;
	bool listening;
	size_t fill;
	uint8_t in[1024];
};

static struct unit *units;
static unsigned n_devices, n_units = 1;
static int epoll;

static void watch(int fd, unsigned device, bool listening)
{
	struct peer *peer = calloc(1, sizeof(*peer));

	if (!peer)
		bench_die("calloc");
	*peer = (struct peer){.fd = fd, .device = device, .listening = listening};
	struct epoll_event event = {.events = EPOLLIN, .data.ptr = peer};

	if (epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event) < 0)
		bench_die("epoll_ctl");
}

static void listen_on(unsigned port, unsigned device)
{
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), on = 1;
	struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};

	address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	if (fd < 0)
		bench_die("socket");
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	if (bind(fd, (struct sockaddr *)&address, sizeof(address)) < 0 || listen(fd, 64) < 0)
		bench_die("bind");
	watch(fd, device, true);
}

static void put16(uint8_t *at, unsigned value)
{
	at[0] = (uint8_t)(value >> 8);
	at[1] = (uint8_t)value;
}

/* One request of 12 bytes; the answer's length, 0: silence. */
static size_t answer(const struct peer *peer, const uint8_t *in, uint8_t *out)
{
	unsigned number = in[6], address = (unsigned)in[8] << 8 | in[9], count = (unsigned)in[10] << 8 | in[11];
	struct unit *unit;
	uint64_t now;

	if (number < 1 || number > n_units)
		return 0;
	unit = &units[peer->device * n_units + number - 1];
	if (unit->silent)
		return 0;
	memcpy(out, in, 7);
	if (in[7] != 3 || count < 1 || count > 125) {
		put16(out + 4, 3);
		out[7] = in[7] | 0x80;
		out[8] = in[7] == 3 ? 3 : 1;
		return 9;
	}
	if (address == BENCH_COUNTER_AT)
		unit->polls++;
	now = bench_now_ns();
	put16(out + 4, 3 + 2 * count);
	out[7] = 3;
	out[8] = (uint8_t)(2 * count);
	for (unsigned i = 0; i < count; i++) {
		unsigned at = address + i, value;

		if (at < BENCH_TIME_AT)
			value = unit->polls >> (16 * (1 - at));
		else if (at < BENCH_VALUES_AT)
			value = (unsigned)(now >> (16 * (BENCH_VALUES_AT - 1 - at)));
		else
			value = unit->polls * 7 + at;
		put16(out + 9 + 2 * i, value & 0xffff);
	}
	return 9 + 2 * count;
}

static void serve(struct peer *peer)
{
	ssize_t n = recv(peer->fd, peer->in + peer->fill, sizeof(peer->in) - peer->fill, 0);

	if (n <= 0) {
		close(peer->fd);
		free(peer);
		return;
	}
	peer->fill += (size_t)n;
	size_t at = 0;

	while (peer->fill - at >= 12) {
		uint8_t out[9 + 250];
		size_t size = answer(peer, peer->in + at, out);

		at += 12;
		if (size > 0 && send(peer->fd, out, size, MSG_NOSIGNAL) != (ssize_t)size)
			break;
	}
	memmove(peer->in, peer->in + at, peer->fill - at);
	peer->fill -= at;
}

static void obey(char *line)
{
	unsigned device, unit;
	char word[16];

	if (sscanf(line, "%15s %u %u", word, &device, &unit) == 3 && device < n_devices && unit >= 1 &&
	    unit <= n_units) {
		units[device * n_units + unit - 1].silent = strcmp(word, "silent") == 0;
		puts("ok");
	} else {
		for (unsigned i = 0; i < n_devices * n_units; i++)
			printf("%u %u %u\n", i / n_units, i % n_units + 1, units[i].polls);
		puts(".");
	}
	fflush(stdout);
}

int main(int argc, char **argv)
{
	struct epoll_event events[64];

	if (argc < 3)
		return 2;
	n_devices = (unsigned)atoi(argv[2]);
	if (argc > 3)
		n_units = (unsigned)atoi(argv[3]);
	units = calloc(n_devices * n_units, sizeof(*units));
	epoll = epoll_create1(EPOLL_CLOEXEC);
	if (!units || epoll < 0)
		bench_die("start");
	for (unsigned i = 0; i < n_devices; i++)
		listen_on((unsigned)atoi(argv[1]) + i, i);
	struct epoll_event event = {.events = EPOLLIN, .data.ptr = NULL};

	if (epoll_ctl(epoll, EPOLL_CTL_ADD, STDIN_FILENO, &event) < 0)
		bench_die("epoll_ctl");
	puts("ready");
	fflush(stdout);
	for (;;) {
		int n = epoll_wait(epoll, events, 64, -1);

		if (n < 0 && errno != EINTR)
			bench_die("epoll_wait");
		for (int i = 0; i < n; i++) {
			struct peer *peer = events[i].data.ptr;

			if (!peer) {
				char line[128];
				ssize_t size = read(STDIN_FILENO, line, sizeof(line) - 1);

				if (size <= 0)
					return 0;
				line[size] = '\0';
				obey(line);
			} else if (peer->listening) {
				int fd = accept4(peer->fd, NULL, NULL, SOCK_CLOEXEC), on = 1;

				if (fd >= 0) {
					setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
					watch(fd, peer->device, false);
				}
			} else {
				serve(peer);
			}
		}
	}
}
