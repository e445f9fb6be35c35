/* SPDX-License-Identifier: Apache-2.0 */
/*
 * board FORMAT RATE: a board on a pty that prints a line of BOARD_POINTS values, as json or as csv, again and again: at
 * RATE bytes a second, each line when its last byte would have come, or as fast as they are taken where RATE is 0.
 * polls counts the lines, answered is the time of each (CLOCK_MONOTONIC ns).
 *
 * Prints "ready" and then the port. On standard input "go" and "halt" are answered by a line, and so is "counts": lines
 * and bytes so far.
 */
#include "bench.h"
#include <fcntl.h>
#include <poll.h>
#include <stdbool.h>
#include <string.h>
#include <termios.h>
#include <unistd.h>

static unsigned long long n_lines, n_bytes;

static size_t print_line(bool json, char *into, size_t size)
{
	unsigned long long n = ++n_lines, now = bench_now_ns();
	unsigned wave = (unsigned)(n % 1000);
	int used = snprintf(
		into, size,
		json ? "{\"polls\":%llu,\"answered\":%llu,\"env\":{\"temp\":%u.%02u,\"hum\":%u.%u},\"volt\":%u."
		       "%03u,\"on\":%u}\r\n"
		     : "%llu,%llu,%u.%02u,%u.%u,%u.%03u,%u\r\n",
		n, now, 20 + wave / 100, wave % 100, 40 + wave / 50, wave % 10, 3, 300 + wave / 4, wave & 1);

	if (used < 0 || (size_t)used >= size)
		bench_die("a line");
	return (size_t)used;
}

static void obey(bool *going, uint64_t *next_ns)
{
	char line[64];
	ssize_t n = read(STDIN_FILENO, line, sizeof(line) - 1);

	if (n <= 0)
		exit(0);
	line[n] = 0;
	if (strncmp(line, "go", 2) == 0) {
		*going = true;
		*next_ns = bench_now_ns();
	} else if (strncmp(line, "halt", 4) == 0) {
		*going = false;
	}
	printf("%llu %llu\n", n_lines, n_bytes);
	fflush(stdout);
}

int main(int argc, char **argv)
{
	int fd = posix_openpt(O_RDWR | O_NOCTTY | O_NONBLOCK);
	uint64_t rate, next_ns = 0;
	char line[512], heard[256];
	size_t size = 0, sent = 0;
	bool json, going = false;
	struct termios raw;

	if (argc < 3 || fd < 0 || grantpt(fd) < 0 || unlockpt(fd) < 0)
		bench_die("pty");
	json = strcmp(argv[1], "json") == 0;
	rate = (uint64_t)atoll(argv[2]);
	/* One descriptor on the other side stays open, else its first close would end the pty. */
	int other = open(ptsname(fd), O_RDWR | O_NOCTTY);

	tcgetattr(other, &raw);
	cfmakeraw(&raw);
	tcsetattr(other, TCSANOW, &raw);
	printf("ready\n%s\n", ptsname(fd));
	fflush(stdout);
	for (;;) {
		uint64_t now = bench_now_ns();
		bool due = going && now >= next_ns;
		int wait_ms = !going ? -1 : due ? (size ? 1000 : 0) : (int)((next_ns - now + 999999) / 1000000);
		struct pollfd fds[2] = {{.fd = STDIN_FILENO, .events = POLLIN},
					{.fd = fd, .events = (short)(due && size ? POLLIN | POLLOUT : POLLIN)}};

		if (due && size == 0) {
			size = print_line(json, line, sizeof(line));
			sent = 0;
		}
		if (due) {
			ssize_t n = write(fd, line + sent, size - sent);

			if (n > 0) {
				sent += (size_t)n;
				n_bytes += (size_t)n;
			}
			if (sent == size) {
				size = 0;
				if (rate)
					next_ns += sent * UINT64_C(1000000000) / rate;
				if (n_lines % 64 != 0)
					continue; /* a look at the commands now and then is enough */
				wait_ms = 0;
			}
		}
		if (poll(fds, 2, wait_ms) < 0)
			bench_die("poll");
		if (fds[0].revents)
			obey(&going, &next_ns);
		if (fds[1].revents & POLLIN && read(fd, heard, sizeof(heard)) < 0)
			continue;
	}
}
