/* SPDX-License-Identifier: Apache-2.0 */
/*
 * line BAUD: Modbus RTU slaves, units 1 to 247, on a pty that takes the time of a real line: a request has come when
 * its last bit would have, an answer is there when its last bit would be, and between the two the slave is silent for
 * 1.75 ms or 3.5 characters, whatever is more. 10 bits make a character. Function 3 only.
 *
 * Prints "ready" and then the port. "counts" on standard input is answered by a line: requests, time the line was
 * busy with frames in microseconds.
 */
#include "bench.h"
#include <fcntl.h>
#include <poll.h>
#include <stdbool.h>
#include <string.h>
#include <termios.h>
#include <unistd.h>

static uint64_t char_ns, silence_ns;
static unsigned long long n_requests, busy_ns;

static unsigned crc_of(const uint8_t *bytes, size_t size)
{
	unsigned crc = 0xffff;

	for (size_t i = 0; i < size; i++) {
		crc ^= bytes[i];
		for (unsigned bit = 0; bit < 8; bit++)
			crc = crc & 1 ? crc >> 1 ^ 0xa001 : crc >> 1;
	}
	return crc;
}

static void wait_until(uint64_t at_ns)
{
	struct timespec at = {.tv_sec = (time_t)(at_ns / 1000000000u), .tv_nsec = (long)(at_ns % 1000000000u)};

	clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &at, NULL);
}

/* A request of 8 bytes, written to us at begin_ns. */
static void answer(int fd, const uint8_t *request, uint64_t begin_ns)
{
	unsigned count = (unsigned)request[4] << 8 | request[5], crc;
	size_t size = 5 + (size_t)count * 2;
	uint8_t frame[260];

	if (request[1] != 3 || count > 125 || crc_of(request, 8) != 0)
		return;
	frame[0] = request[0];
	frame[1] = 3;
	frame[2] = (uint8_t)(count * 2);
	for (unsigned i = 0; i < count; i++) {
		frame[3 + i * 2] = request[0];
		frame[4 + i * 2] = (uint8_t)i;
	}
	crc = crc_of(frame, size - 2);
	frame[size - 2] = (uint8_t)crc;
	frame[size - 1] = (uint8_t)(crc >> 8);
	wait_until(begin_ns + (8 + size) * char_ns + silence_ns);
	if (write(fd, frame, size) != (ssize_t)size)
		bench_die("write");
	n_requests++;
	busy_ns += (8 + size) * char_ns;
}

int main(int argc, char **argv)
{
	struct termios raw;
	uint8_t in[256];
	size_t fill = 0;
	int fd = posix_openpt(O_RDWR | O_NOCTTY);

	if (argc < 2 || fd < 0 || grantpt(fd) < 0 || unlockpt(fd) < 0)
		bench_die("pty");
	char_ns = 10 * UINT64_C(1000000000) / (uint64_t)atoll(argv[1]);
	silence_ns = char_ns * 7 / 2 > 1750000 ? char_ns * 7 / 2 : 1750000;
	/* One descriptor on the other side stays open, else its first close would end the pty. */
	int other = open(ptsname(fd), O_RDWR | O_NOCTTY);

	tcgetattr(other, &raw);
	cfmakeraw(&raw);
	tcsetattr(other, TCSANOW, &raw);
	printf("ready\n%s\n", ptsname(fd));
	fflush(stdout);
	for (;;) {
		struct pollfd fds[2] = {{.fd = STDIN_FILENO, .events = POLLIN}, {.fd = fd, .events = POLLIN}};
		char line[64];

		poll(fds, 2, -1);
		if (fds[0].revents) {
			if (read(STDIN_FILENO, line, sizeof(line)) <= 0)
				return 0;
			printf("%llu %llu\n", n_requests, busy_ns / 1000);
			fflush(stdout);
		}
		if (fds[1].revents) {
			uint64_t begin = bench_now_ns();
			ssize_t n = read(fd, in + fill, sizeof(in) - fill);

			if (n <= 0)
				bench_die("read");
			for (fill += (size_t)n; fill >= 8; fill -= 8) {
				answer(fd, in, begin);
				memmove(in, in + 8, fill - 8);
			}
		}
	}
}
