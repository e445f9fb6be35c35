/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A slave with registers and coils, on a pty or a TCP port, in a thread of its own, that can also misbehave. Each
 * test program has its own copy.
 */
#ifndef TESTS_MODBUS_SLAVE_H
#define TESTS_MODBUS_SLAVE_H

#include "../../../plugins/modbus/frame.h"
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

enum act {
	ACT_ANSWER,
	ACT_SILENT,
	ACT_LATE,	  /* after late_us */
	ACT_SOON,	  /* after 30 ms */
	ACT_OTHER_UNIT,	  /* a whole frame of the next unit instead */
	ACT_OTHERS_FIRST, /* the same, and then the answer */
	ACT_WRONG_CRC,
	ACT_CUT,
	ACT_NOISE_FIRST,
	ACT_IGNORE_WRITE, /* say yes and do nothing */
	ACT_DEAF,	  /* say nothing and do nothing */
	ACT_CLOSE,	  /* do it, and close the connection without an answer */
	ACT_ANSWER_CLOSE, /* close it after the answer */
	ACT_EXCEPTION,	  /* + code */
};

/* How coils are read. */
enum coil_reads {
	COILS_ANY,
	COILS_FIRST_EIGHT, /* whatever is asked for, the answer is the first eight */
	COILS_ONLY_EIGHT,  /* anything but the first eight in one request is refused */
	COILS_ONE_BY_ONE,  /* several in one request are refused */
};

struct slave {
	pthread_t thread;
	int listener, stop; /* eventfd */
	enum framing framing;
	int fd;		/* a pty's master; -1: TCP */
	char where[64]; /* the pty's name, or a URL */

	const uint16_t *acts; /* of the requests in turn; the last one goes on for ever; NULL: ANSWER */
	size_t n_acts;
	atomic_uint late_us;
	atomic_bool echo;
	_Atomic uint8_t unit; /* 0: all */
	bool closes;	      /* the connection, now; its thread's */

	pthread_mutex_t mutex;
	_Atomic uint16_t registers[1024];
	atomic_bool coils[64];
	enum coil_reads coil_reads;
	bool refused[1024]; /* registers that are not there */
	bool unknown[256];  /* functions that are not known */
	bool mute[256];	    /* functions that are not even refused */
	/* What a read that touches the register gets instead: an enum act, but for ACT_LATE; 0: nothing. */
	_Atomic uint16_t faults[1024];
	_Atomic uint16_t fault;	   /* and any read */
	atomic_uint n_reads[1024]; /* that touched the register */

	atomic_uint n_requests, n_closed; /* connections */
	struct {
		_Atomic uint8_t unit;
		struct pdu pdu;
		_Atomic uint64_t at_us, said_us; /* when it came, and when its answer went out; 0: none did */
	} asked[256];
};

static inline uint64_t slave_now(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

static inline unsigned slave_u16(const uint8_t *at)
{
	return at[0] * 256u + at[1];
}

/* The answer's PDU; its size. */
static inline size_t slave_answer(struct slave *s, const uint8_t *pdu, uint8_t *answer, bool deaf)
{
	unsigned address = slave_u16(pdu + 1), count = slave_u16(pdu + 3);
	unsigned function = pdu[0];

	answer[0] = (uint8_t)function;
	if (s->unknown[function]) {
		answer[0] |= 0x80;
		answer[1] = 1;
		return 2;
	}
	if (function == 6 || function == 22)
		count = 1;
	if (function == 3 || function == 4 || function == 6 || function == 16 || function == 22)
		for (unsigned i = address; i < address + count; i++)
			if (i >= 1024 || s->refused[i]) {
				answer[0] |= 0x80;
				answer[1] = 2;
				return 2;
			}
	if (function == 1 && ((s->coil_reads == COILS_ONLY_EIGHT && (address != 0 || count != 8)) ||
			      (s->coil_reads == COILS_ONE_BY_ONE && count > 1))) {
		answer[0] |= 0x80;
		answer[1] = 2;
		return 2;
	}
	if (function == 1 && s->coil_reads == COILS_FIRST_EIGHT) {
		address = 0;
		count = 8;
	}
	switch (function) {
	case 1:
	case 2:
		answer[1] = (uint8_t)((count + 7) / 8);
		memset(answer + 2, 0, answer[1]);
		for (unsigned i = 0; i < count; i++)
			if (s->coils[(address + i) % 64])
				answer[2 + i / 8] |= (uint8_t)(1u << (i % 8));
		return 2u + answer[1];
	case 3:
	case 4:
		answer[1] = (uint8_t)(count * 2);
		for (unsigned i = 0; i < count; i++) {
			answer[2 + i * 2] = (uint8_t)(s->registers[address + i] >> 8);
			answer[3 + i * 2] = (uint8_t)s->registers[address + i];
		}
		return 2u + answer[1];
	case 5:
	case 15:
		if (!deaf)
			s->coils[address % 64] = function == 5 ? pdu[3] == 0xff : pdu[6] & 1;
		break;
	case 6:
		if (!deaf)
			s->registers[address] = (uint16_t)slave_u16(pdu + 3);
		break;
	case 16:
		for (unsigned i = 0; i < count && !deaf; i++)
			s->registers[address + i] = (uint16_t)slave_u16(pdu + 6 + i * 2);
		break;
	case 22:
		if (!deaf)
			s->registers[address] = (uint16_t)((s->registers[address] & slave_u16(pdu + 3)) |
							   (slave_u16(pdu + 5) & ~slave_u16(pdu + 3)));
		memcpy(answer + 1, pdu + 1, 6);
		return 7;
	case 43:
		/* Vendor "Acme", product "M-1", revision "2.0" */
		memcpy(answer, "\x2b\x0e\1\1\0\0\3\0\4Acme\1\3M-1\2\0032.0", 23);
		return 23;
	default:
		answer[0] |= 0x80;
		answer[1] = 1;
		return 2;
	}
	memcpy(answer + 1, pdu + 1, 4);
	return 5;
}

/* How long a request is on a serial line. */
static inline size_t slave_request_size(const uint8_t *bytes, size_t n)
{
	if (n < 2)
		return 0;
	if (bytes[1] == 15 || bytes[1] == 16)
		return n < 7 ? 0 : 9u + bytes[6];
	return bytes[1] == 22 ? 10 : bytes[1] == 43 ? 7 : 8;
}

static inline void slave_say(int fd, const uint8_t *bytes, size_t n)
{
	while (n > 0) {
		ssize_t r = write(fd, bytes, n);

		if (r <= 0)
			return;
		bytes += r;
		n -= (size_t)r;
	}
}

/* What is done with a request: its registers may say more than the script. */
static inline unsigned slave_choose(struct slave *s, unsigned number, const uint8_t *pdu)
{
	unsigned act = !s->acts ? ACT_ANSWER : s->acts[number < s->n_acts ? number : s->n_acts - 1];
	unsigned address = slave_u16(pdu + 1), end = address + slave_u16(pdu + 3);

	if (s->mute[pdu[0]])
		return ACT_SILENT;
	if (pdu[0] != 3 && pdu[0] != 4)
		return act;
	for (unsigned i = address; i < end && i < 1024; i++) {
		s->n_reads[i]++;
		if (s->faults[i])
			act = s->faults[i];
	}
	return s->fault ? s->fault : act;
}

static inline void slave_act(struct slave *s, int fd, const uint8_t *header, uint8_t unit, const uint8_t *pdu,
			     size_t size)
{
	unsigned number = s->n_requests, act = slave_choose(s, number, pdu);
	struct pdu answer = {0};
	struct frame frame;

	if (number < 256) {
		s->asked[number].unit = unit;
		s->asked[number].pdu.size = (uint16_t)size;
		s->asked[number].at_us = slave_now();
		memcpy(s->asked[number].pdu.bytes, pdu, size);
	}
	pthread_mutex_lock(&s->mutex);
	answer.size = (uint16_t)slave_answer(s, pdu, answer.bytes,
					     act == ACT_IGNORE_WRITE || act == ACT_DEAF || act >= ACT_EXCEPTION);
	pthread_mutex_unlock(&s->mutex);
	s->n_requests++;
	if (act >= ACT_EXCEPTION) {
		answer.bytes[0] = pdu[0] | 0x80;
		answer.bytes[1] = (uint8_t)(act - ACT_EXCEPTION);
		answer.size = 2;
	}
	s->closes = act == ACT_CLOSE || act == ACT_ANSWER_CLOSE;
	if (act == ACT_CLOSE || act == ACT_SILENT || act == ACT_DEAF || (s->unit && s->unit != unit))
		return;
	if (act == ACT_LATE)
		usleep(s->late_us);
	if (act == ACT_SOON)
		usleep(30000);
	if (act == ACT_OTHER_UNIT || act == ACT_OTHERS_FIRST) {
		struct pdu other = answer;

		other.bytes[2] ^= 0x5a;
		frame_build(s->framing, 0, (uint8_t)(unit + 1), &other, &frame);
		slave_say(fd, frame.bytes, frame.size);
		if (act == ACT_OTHER_UNIT)
			return;
	}
	frame_build(s->framing, (uint16_t)slave_u16(header), unit, &answer, &frame);
	if (act == ACT_NOISE_FIRST)
		slave_say(fd, (const uint8_t *)"\0\xff", 2);
	if (act == ACT_WRONG_CRC)
		frame.bytes[3] ^= 0x10;
	if (number < 256)
		s->asked[number].said_us = slave_now(); /* before it: nobody can have it earlier */
	slave_say(fd, frame.bytes, act == ACT_CUT ? frame.size / 2u : frame.size);
	if (act == ACT_ANSWER_CLOSE)
		usleep(5000); /* what comes meanwhile is not read any more */
}

/* False: the slave is to stop, or the other side has gone. */
static inline bool slave_serve(struct slave *s, int fd)
{
	uint8_t bytes[1024];
	size_t n = 0;

	for (;;) {
		struct pollfd fds[2] = {{.fd = s->stop, .events = POLLIN}, {.fd = fd, .events = POLLIN}};
		ssize_t r;

		while (poll(fds, 2, -1) < 0 && errno == EINTR)
			;
		if (fds[0].revents)
			return false;
		r = read(fd, bytes + n, sizeof(bytes) - n);
		if (r <= 0) {
			/* Nobody has the pty open: that comes and goes. */
			if (s->fd < 0)
				return true;
			n = 0;
			poll(fds, 1, 5);
			continue;
		}
		n += (size_t)r;
		for (;;) {
			size_t size = s->framing == FRAMING_RTU ? slave_request_size(bytes, n)
				      : n < 6			? 0
								: 6 + slave_u16(bytes + 4);

			if (!size || n < size)
				break;
			if (s->echo)
				slave_say(fd, bytes, size);
			if (s->framing == FRAMING_TCP)
				slave_act(s, fd, bytes, bytes[6], bytes + 7, size - 7);
			else if (frame_crc(bytes, size) == 0)
				slave_act(s, fd, bytes, bytes[0], bytes + 1, size - 3);
			if (s->closes)
				return true;
			memmove(bytes, bytes + size, n - size);
			n -= size;
		}
	}
}

static inline void *slave_main(void *userdata)
{
	struct slave *s = userdata;
	struct pollfd fds[2] = {{.fd = s->stop, .events = POLLIN}, {.fd = s->listener, .events = POLLIN}};

	if (s->fd >= 0) {
		slave_serve(s, s->fd);
		return NULL;
	}
	for (;;) {
		while (poll(fds, 2, -1) < 0 && errno == EINTR)
			;
		if (fds[0].revents)
			return NULL;
		int fd = accept(s->listener, NULL, NULL);
		bool more = slave_serve(s, fd);

		close(fd);
		s->n_closed++;
		if (!more)
			return NULL;
	}
}

static inline void slave_run(struct slave *s)
{
	pthread_mutex_init(&s->mutex, NULL);
	s->stop = eventfd(0, EFD_CLOEXEC);
	for (unsigned i = 0; i < 1024; i++)
		if (!s->registers[i])
			s->registers[i] = (uint16_t)i;
	assert_int_equal(pthread_create(&s->thread, NULL, slave_main, s), 0);
}

/* On a new pty. */
static inline void slave_start_line(struct slave *s)
{
	struct termios raw;

	s->framing = FRAMING_RTU;
	s->listener = -1;
	s->fd = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);
	assert_true(s->fd >= 0 && grantpt(s->fd) == 0 && unlockpt(s->fd) == 0);
	assert_int_equal(ptsname_r(s->fd, s->where, sizeof(s->where)), 0);
	tcgetattr(s->fd, &raw);
	cfmakeraw(&raw);
	tcsetattr(s->fd, TCSANOW, &raw);
	slave_run(s);
}

static inline void slave_start_tcp(struct slave *s, enum framing framing)
{
	struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t size = sizeof(address);

	s->framing = framing;
	s->fd = -1;
	s->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(bind(s->listener, (struct sockaddr *)&address, sizeof(address)), 0);
	assert_int_equal(listen(s->listener, 8), 0);
	assert_int_equal(getsockname(s->listener, (struct sockaddr *)&address, &size), 0);
	snprintf(s->where, sizeof(s->where), "%stcp://127.0.0.1:%u", framing == FRAMING_RTU ? "rtu+" : "",
		 ntohs(address.sin_port));
	slave_run(s);
}

static inline void slave_stop(struct slave *s)
{
	eventfd_write(s->stop, 1);
	pthread_join(s->thread, NULL);
	close(s->stop);
	if (s->fd >= 0)
		close(s->fd);
	if (s->listener >= 0)
		close(s->listener);
	pthread_mutex_destroy(&s->mutex);
}

#endif
