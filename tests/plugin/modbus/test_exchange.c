/* SPDX-License-Identifier: Apache-2.0 */
/* The whole plugin against slaves that misbehave in every way seen in the field. */
#include "../fake_host.h"
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

extern const struct hay_plugin hay_plugin;

/* ---- the slave: what it does with each request ---- */

enum act {
	ANSWER,
	SILENT,		/* nothing, and keep the answer */
	KEPT_FIRST,	/* the kept answer, then the right one */
	TWICE,		/* the right answer, and once more */
	OTHER_ID,	/* the wrong transaction id */
	OTHER_PROTOCOL, /* a protocol id that is not Modbus */
	OTHER_UNIT,
	OTHER_FUNCTION,
	OTHER_LENGTH, /* a register less than was asked for, in a frame that is right */
	CUT,	      /* half the answer */
	CUT_CLOSE,    /* half the answer, then the end */
	GARBAGE,
	ANSWER_CLOSE, /* the answer, then the end */
	ANSWER_LEAVE, /* the same, and nobody listens any more */
	CLOSE,	      /* the end instead of an answer */
	RESET,	      /* the same, hard */
	EXCEPTION,    /* + code */
};

/*
 * Every register holds 1000 × (number of the request, from 1) + its address, so that each answer is told from any
 * other; every third bit is set.
 */
struct slave {
	pthread_t thread;
	int listener, stop;
	const uint16_t *acts; /* the last one goes on for ever */
	size_t n_acts;
	atomic_uint n_requests, n_connections;
	uint8_t kept[260];
	size_t n_kept;
	uint8_t asked[64][12];
};

static size_t make_answer(struct slave *s, const uint8_t *request, unsigned number, uint8_t *frame)
{
	unsigned address = request[8] * 256u + request[9], count = request[10] * 256u + request[11];
	size_t n = request[7] <= 2 ? (count + 7) / 8 : count * 2;

	(void)s;
	memcpy(frame, request, 8);
	frame[4] = 0;
	frame[5] = (uint8_t)(n + 3);
	frame[8] = (uint8_t)n;
	memset(frame + 9, 0, n);
	for (unsigned i = 0; i < count; i++) {
		unsigned value = 1000 * number + address + i;

		if (request[7] <= 2) {
			if ((address + i) % 3 == 0)
				frame[9 + i / 8] |= (uint8_t)(1u << (i % 8));
		} else {
			frame[9 + 2 * i] = (uint8_t)(value >> 8);
			frame[10 + 2 * i] = (uint8_t)value;
		}
	}
	return n + 9;
}

static void say(int fd, const void *data, size_t size)
{
	(void)!send(fd, data, size, MSG_NOSIGNAL);
}

/* False: the connection is to be closed. */
static bool act_on(struct slave *s, int fd, const uint8_t *request, unsigned number)
{
	unsigned act = s->acts[number - 1 < s->n_acts ? number - 1 : s->n_acts - 1];
	struct linger hard = {.l_onoff = 1};
	uint8_t frame[300];
	size_t n = make_answer(s, request, number, frame);

	if (act >= EXCEPTION) {
		frame[5] = 3;
		frame[7] |= 0x80;
		frame[8] = (uint8_t)(act - EXCEPTION);
		say(fd, frame, 9);
		return true;
	}
	switch (act) {
	case SILENT:
		memcpy(s->kept, frame, n);
		s->n_kept = n;
		return true;
	case KEPT_FIRST:
		say(fd, s->kept, s->n_kept);
		break;
	case TWICE:
		memcpy(frame + n, frame, n);
		n *= 2;
		break;
	case OTHER_ID:
		frame[1] ^= 1;
		break;
	case OTHER_PROTOCOL:
		frame[3] = 7;
		break;
	case OTHER_UNIT:
		frame[6]++;
		break;
	case OTHER_FUNCTION:
		frame[7] ^= 7;
		break;
	case OTHER_LENGTH:
		frame[5] -= 2;
		frame[8] -= 2;
		n -= 2;
		break;
	case CUT:
	case CUT_CLOSE:
		n /= 2;
		break;
	case GARBAGE:
		memset(frame, 0xa5, sizeof(frame));
		n = 200;
		break;
	case CLOSE:
		return false;
	case RESET:
		setsockopt(fd, SOL_SOCKET, SO_LINGER, &hard, sizeof(hard));
		return false;
	case ANSWER_LEAVE:
		shutdown(s->listener, SHUT_RDWR);
		break;
	default:
		break;
	}
	say(fd, frame, n);
	return act != ANSWER_CLOSE && act != CUT_CLOSE && act != ANSWER_LEAVE;
}

/* Whether there is something to read before the slave is to stop. */
static bool readable(struct slave *s, int fd)
{
	struct pollfd fds[2] = {{.fd = fd, .events = POLLIN}, {.fd = s->stop, .events = POLLIN}};

	while (poll(fds, 2, -1) < 0 && errno == EINTR)
		;
	return !fds[1].revents;
}

static void *slave_main(void *userdata)
{
	struct slave *s = userdata;
	uint8_t request[12];

	while (readable(s, s->listener)) {
		int fd = accept(s->listener, NULL, NULL);

		if (fd < 0)
			return NULL;
		s->n_connections++;
		while (readable(s, fd) && recv(fd, request, sizeof(request), MSG_WAITALL) == sizeof(request)) {
			unsigned number = ++s->n_requests;

			if (number <= 64)
				memcpy(s->asked[number - 1], request, sizeof(request));
			if (!act_on(s, fd, request, number))
				break;
		}
		close(fd);
	}
	return NULL;
}

static int listen_on(int family, char url[64])
{
	struct sockaddr_storage address = {.ss_family = (sa_family_t)family};
	socklen_t size = sizeof(address);
	int fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (family == AF_INET)
		((struct sockaddr_in *)&address)->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	else
		((struct sockaddr_in6 *)&address)->sin6_addr = in6addr_loopback;
	if (fd < 0 || bind(fd, (struct sockaddr *)&address, sizeof(address)) < 0 || listen(fd, 8) < 0 ||
	    getsockname(fd, (struct sockaddr *)&address, &size) < 0) {
		close(fd);
		return -1;
	}
	/* The port lies at the same place for both families. */
	snprintf(url, 64, "tcp://%s:%u", family == AF_INET ? "127.0.0.1" : "[::1]",
		 ntohs(((struct sockaddr_in *)&address)->sin_port));
	return fd;
}

/* ---- a test: a slave, a link and a device of three input registers and a wide one apart ---- */

struct rig {
	struct slave slave;
	struct fake_host *host;
	struct hay_link *link;
	struct hay_device *device;
	char url[64];
};

static void rig_host(struct rig *rig, const char *timeout, const char *retries)
{
	rig->host = fake_host_new(&hay_plugin, FAKE_THREAD);
	rig->link = fake_link(rig->host, "panel", "url", rig->url, "timeout", timeout, "retries", retries, NULL);
	assert_non_null(rig->link);
	rig->device = fake_device(rig->link, "meter", "unit", "7", NULL);
	assert_non_null(rig->device);
	assert_non_null(fake_point(rig->device, "a", NULL, 0, "input", "10", NULL));
	assert_non_null(fake_point(rig->device, "b", "uint32", 0, "input", "11", "order", "CDAB", NULL));
	assert_non_null(fake_point(rig->device, "far", "int16", 0, "input", "300", NULL));
	assert_int_equal(fake_open(rig->link), 0);
	assert_int_equal(fake_start(rig->device), 0);
}

static void rig_slave(struct rig *rig, int family, const uint16_t *acts, size_t n_acts)
{
	rig->slave.listener = listen_on(family, rig->url);
	assert_true(rig->slave.listener >= 0);
	rig->slave.stop = eventfd(0, EFD_CLOEXEC);
	rig->slave.acts = acts;
	rig->slave.n_acts = n_acts;
	assert_int_equal(pthread_create(&rig->slave.thread, NULL, slave_main, &rig->slave), 0);
}

#define RIG(rig, timeout, retries, ...)                                                                                \
	static const uint16_t acts[] = {__VA_ARGS__};                                                                  \
	struct rig rig = {0};                                                                                          \
	rig_slave(&rig, AF_INET, acts, sizeof(acts) / sizeof(acts[0]));                                                \
	rig_host(&rig, timeout, retries)

static void rig_done(struct rig *rig)
{
	fake_host_free(rig->host);
	if (!rig->slave.stop)
		return;
	eventfd_write(rig->slave.stop, 1);
	pthread_join(rig->slave.thread, NULL);
	close(rig->slave.stop);
	close(rig->slave.listener);
}

static const struct fake_event *poll_all(struct rig *rig)
{
	assert_int_equal(fake_poll(rig->device), 0);
	return fake_wait(rig->host, FAKE_ROUND_DONE);
}

/* A round in which everything was read; the requests in it are number first and first + 1. */
static void expect_good(const struct fake_event *done, unsigned first)
{
	assert_int_equal(done->result, HAY_OK);
	assert_int_equal(done->sample.n_readings, 3);
	for (uint32_t i = 0; i < 3; i++)
		assert_int_equal(fake_reading(done, i)->quality, HAY_GOOD);
	assert_int_equal(fake_reading(done, 0)->value.u, 1000 * first + 10);
	assert_int_equal(fake_reading(done, 1)->value.u, (1000 * first + 12) << 16 | (1000 * first + 11));
	assert_int_equal(fake_reading(done, 2)->value.i, 1000 * (first + 1) + 300);
}

/* The same for the first round of a device that was absent: that it is back is asked by one point alone. */
static void expect_back(const struct fake_event *done, unsigned first)
{
	assert_int_equal(done->result, HAY_OK);
	assert_int_equal(done->sample.n_readings, 3);
	assert_int_equal(fake_reading(done, 1)->value.u, (1000 * first + 12) << 16 | (1000 * first + 11));
	assert_int_equal(fake_reading(done, 0)->value.u, 1000 * (first + 1) + 10);
	assert_int_equal(fake_reading(done, 2)->value.i, 1000 * (first + 2) + 300);
}

/* A round without any answer; reason: of its first request. */
static void expect_bad(const struct fake_event *done, enum hay_reason reason)
{
	assert_int_equal(done->result, HAY_FAILED);
	assert_int_equal(done->reason, reason);
	assert_int_equal(done->sample.n_readings, 3);
	for (uint32_t i = 0; i < 3; i++)
		assert_int_equal(fake_reading(done, i)->quality, HAY_BAD);
	assert_int_equal(fake_reading(done, 0)->reason, reason);
	assert_non_null(done->text);
}

/* ---- tests ---- */

static void test_reads(void **state)
{
	(void)state;
	RIG(rig, "10s", "0", ANSWER);
	expect_good(poll_all(&rig), 1);
	expect_good(poll_all(&rig), 3);
	/* 10 to 12 were joined into one request; both rounds went over one connection, which was told once. */
	assert_memory_equal(rig.slave.asked[0] + 2, "\0\0\0\6\7\4\0\12\0\3", 10);
	assert_memory_equal(rig.slave.asked[1] + 2, "\0\0\0\6\7\4\1\54\0\1", 10);
	assert_int_equal(rig.slave.n_connections, 1);
	assert_int_equal(fake_count(rig.host, FAKE_LINK_UP), 1);
	assert_int_equal(fake_count(rig.host, FAKE_LINK_DOWN), 0);
	rig_done(&rig);
}

static void test_some_points(void **state)
{
	static const uint32_t due[] = {2};
	const struct fake_event *done;

	(void)state;
	RIG(rig, "10s", "0", ANSWER);
	assert_int_equal(fake_poll_some(rig.device, due, 1), 0);
	done = fake_wait(rig.host, FAKE_ROUND_DONE);
	assert_int_equal(done->sample.n_readings, 1);
	assert_int_equal(fake_reading(done, 2)->value.i, 1300);
	expect_good(poll_all(&rig), 2);
	rig_done(&rig);
}

static void test_time_is_of_the_first_answer(void **state)
{
	const struct fake_event *done;
	uint64_t before, after;

	(void)state;
	RIG(rig, "300ms", "0", ANSWER, SILENT);
	before = rig.link->host->now();
	done = poll_all(&rig);
	after = rig.link->host->now();
	assert_true(done->sample.time_us >= before);
	/* The second request waited its time-out for nothing after the first was answered. */
	assert_true(done->sample.time_us + 300000 <= after);
	assert_int_equal(done->result, HAY_OK);
	assert_int_equal(fake_reading(done, 1)->quality, HAY_GOOD);
	assert_int_equal(fake_reading(done, 2)->reason, HAY_TIMEOUT);
	rig_done(&rig);
}

static void test_all_tables(void **state)
{
	const struct fake_event *done;
	struct rig rig = {0};
	static const uint16_t acts[] = {ANSWER};

	(void)state;
	rig_slave(&rig, AF_INET, acts, 1);
	rig.host = fake_host_new(&hay_plugin, FAKE_INLINE);
	rig.link = fake_link(rig.host, "panel", "url", rig.url, NULL);
	rig.device = fake_device(rig.link, "plc", "unit", "250", "max_hole", "1", NULL);
	assert_non_null(fake_point(rig.device, "h", "float32", 0, "holding", "0x10", NULL));
	assert_non_null(fake_point(rig.device, "i", "uint16", 0, "input", "65535", NULL));
	assert_non_null(fake_point(rig.device, "c0", NULL, 0, "coil", "3", NULL));
	assert_non_null(fake_point(rig.device, "c1", NULL, 0, "coil", "13", NULL));
	assert_non_null(fake_point(rig.device, "c2", NULL, 0, "coil", "30", NULL));
	assert_non_null(fake_point(rig.device, "d", "bool", 0, "discrete", "9", NULL));
	assert_int_equal(fake_open(rig.link), 0);
	assert_int_equal(fake_start(rig.device), 0);
	done = poll_all(&rig);
	assert_int_equal(done->result, HAY_OK);
	assert_int_equal(done->sample.n_readings, 6);
	/* Table by table; 16 bits weigh as much as one register, so the hole of 16 between the coils is allowed. */
	assert_int_equal(rig.slave.n_requests, 4);
	for (unsigned i = 0; i < 4; i++) {
		assert_int_equal(rig.slave.asked[i][6], 250);
		assert_int_equal(rig.slave.asked[i][7], i + 1);
	}
	assert_true(fake_reading(done, 2)->value.b);
	assert_false(fake_reading(done, 3)->value.b);
	assert_true(fake_reading(done, 4)->value.b);
	assert_true(fake_reading(done, 5)->value.b);
	assert_int_equal(fake_reading(done, 0)->value.type, HAY_FLOAT32);
	assert_int_equal(fake_reading(done, 1)->value.u, (4000 + 65535) & 0xffff);
	rig_done(&rig);
}

static void test_ipv6_and_names(void **state)
{
	static const uint16_t acts[] = {ANSWER};
	struct rig rig = {0};
	char url[64];

	(void)state;
	rig_slave(&rig, AF_INET6, acts, 1);
	rig_host(&rig, "10s", "0");
	expect_good(poll_all(&rig), 1);
	rig_done(&rig);

	memset(&rig, 0, sizeof(rig));
	rig_slave(&rig, AF_INET, acts, 1);
	snprintf(url, sizeof(url), "tcp://localhost%s", strrchr(rig.url, ':'));
	memcpy(rig.url, url, sizeof(url));
	rig_host(&rig, "10s", "0");
	expect_good(poll_all(&rig), 1);
	rig_done(&rig);
}

static void test_silent(void **state)
{
	(void)state;
	RIG(rig, "200ms", "0", SILENT, SILENT, SILENT, ANSWER);
	expect_bad(poll_all(&rig), HAY_TIMEOUT);
	/* Two in a row: it has gone. From then on a probe is one request. */
	assert_int_equal(rig.slave.n_requests, 2);
	expect_bad(poll_all(&rig), HAY_TIMEOUT);
	assert_int_equal(rig.slave.n_requests, 3);
	/* Each question after a time-out came over a new connection. The link is up all the time. */
	assert_int_equal(poll_all(&rig)->result, HAY_OK);
	assert_int_equal(rig.slave.n_requests, 5);
	assert_int_equal(rig.slave.n_connections, 4);
	assert_int_equal(fake_count(rig.host, FAKE_LINK_DOWN), 0);
	rig_done(&rig);
}

static void test_late_answer_is_never_the_next(void **state)
{
	(void)state;
	/* As a gateway to a serial bus does it: what was late comes over the new connection, before the answer. */
	RIG(rig, "300ms", "0", SILENT, KEPT_FIRST, ANSWER);
	expect_bad(poll_all(&rig), HAY_TIMEOUT);
	assert_int_equal(rig.slave.n_requests, 2);
	expect_back(poll_all(&rig), 3);
	expect_good(poll_all(&rig), 6);
	rig_done(&rig);
}

static void test_double_answer_is_flushed(void **state)
{
	(void)state;
	RIG(rig, "10s", "0", TWICE, TWICE, ANSWER);
	expect_good(poll_all(&rig), 1);
	expect_good(poll_all(&rig), 3);
	assert_int_equal(rig.slave.n_connections, 1);
	rig_done(&rig);
}

static void test_wrong_answers(void **state)
{
	static const uint16_t wrong[] = {OTHER_ID, OTHER_PROTOCOL, OTHER_UNIT, OTHER_FUNCTION, OTHER_LENGTH, GARBAGE};

	(void)state;
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		const uint16_t acts[] = {wrong[i], wrong[i], ANSWER};
		struct rig rig = {0};

		rig_slave(&rig, AF_INET, acts, 3);
		rig_host(&rig, "2s", "0");
		expect_bad(poll_all(&rig), HAY_DECODE);
		expect_back(poll_all(&rig), 3);
		assert_int_equal(rig.slave.n_connections, 3);
		rig_done(&rig);
	}
}

static void test_cut_answers(void **state)
{
	(void)state;
	RIG(rig, "300ms", "0", CUT, CUT, CUT_CLOSE, ANSWER, ANSWER, ANSWER, CUT_CLOSE, CUT_CLOSE);
	expect_bad(poll_all(&rig), HAY_TIMEOUT);
	expect_bad(poll_all(&rig), HAY_REFUSED);
	assert_int_equal(poll_all(&rig)->result, HAY_OK);
	assert_int_equal(poll_all(&rig)->result, HAY_OK);
	expect_bad(poll_all(&rig), HAY_REFUSED);
	rig_done(&rig);
}

static void test_retries(void **state)
{
	(void)state;
	RIG(rig, "300ms", "2", SILENT, OTHER_UNIT, ANSWER, ANSWER, SILENT, SILENT, SILENT, SILENT, SILENT, ANSWER);
	expect_good(poll_all(&rig), 3);
	/* No answer: three times; the next request, once; and from then on each probe, once. */
	expect_bad(poll_all(&rig), HAY_TIMEOUT);
	assert_int_equal(rig.slave.n_requests, 8);
	expect_bad(poll_all(&rig), HAY_TIMEOUT);
	assert_int_equal(rig.slave.n_requests, 9);
	rig_done(&rig);
}

static void test_exceptions(void **state)
{
	static const struct {
		unsigned code;
		const char *name;
	} answers[] = {
		{1, "illegal function"},    {3, "illegal data value"}, {4, "server device failure"},
		{5, "acknowledge"},	    {6, "server device busy"}, {7, "negative acknowledge"},
		{8, "memory parity error"}, {9, "exception 0x09"},
	};

	(void)state;
	RIG(rig, "10s", "0", EXCEPTION + 1, ANSWER, EXCEPTION + 3, ANSWER, EXCEPTION + 4, ANSWER, EXCEPTION + 5, ANSWER,
	    EXCEPTION + 6, ANSWER, EXCEPTION + 7, ANSWER, EXCEPTION + 8, ANSWER, EXCEPTION + 9, ANSWER);
	for (unsigned n = 0; n < sizeof(answers) / sizeof(answers[0]); n++) {
		const struct fake_event *done = poll_all(&rig);

		/* The device is there, and the round goes on with the next request. */
		assert_int_equal(done->result, HAY_OK);
		assert_int_equal(done->sample.n_readings, 3);
		for (uint32_t i = 0; i < 2; i++) {
			assert_int_equal(fake_reading(done, i)->quality, HAY_BAD);
			assert_int_equal(fake_reading(done, i)->reason, HAY_EXCEPTION);
			assert_string_equal(fake_reading(done, i)->exception, answers[n].name);
		}
		assert_int_equal(fake_reading(done, 2)->value.i, (int16_t)(2000 * (n + 1) + 300));
	}
	assert_int_equal(rig.slave.n_connections, 1);
	rig_done(&rig);
}

/* A gateway that does not reach the unit: no answer of the unit's, as a time-out is none. */
static void test_gateway_without_the_unit(void **state)
{
	const struct fake_event *done;

	(void)state;
	RIG(rig, "10s", "0", EXCEPTION + 10, EXCEPTION + 11, EXCEPTION + 10, ANSWER);
	done = poll_all(&rig);
	expect_bad(done, HAY_EXCEPTION);
	assert_non_null(strstr(done->text, "gateway path unavailable"));
	assert_string_equal(fake_reading(done, 1)->exception, "gateway path unavailable");
	assert_string_equal(fake_reading(done, 2)->exception, "gateway target device failed to respond");
	assert_int_equal(rig.slave.n_requests, 2);
	expect_bad(poll_all(&rig), HAY_EXCEPTION);
	assert_int_equal(rig.slave.n_requests, 3);
	assert_int_equal(poll_all(&rig)->result, HAY_OK);
	assert_int_equal(fake_count(rig.host, FAKE_LINK_DOWN), 0);
	rig_done(&rig);
}

static void test_closes_after_each_answer(void **state)
{
	(void)state;
	RIG(rig, "10s", "0", ANSWER_CLOSE);
	expect_good(poll_all(&rig), 1);
	expect_good(poll_all(&rig), 3);
	assert_int_equal(rig.slave.n_connections, 4);
	assert_int_equal(fake_count(rig.host, FAKE_LINK_UP), 1);
	assert_int_equal(fake_count(rig.host, FAKE_LINK_DOWN), 0);
	rig_done(&rig);
}

static void test_closed_before_an_answer(void **state)
{
	(void)state;
	/* Once is made good in silence; twice is a failure. */
	RIG(rig, "10s", "0", CLOSE, ANSWER, RESET, ANSWER, CLOSE, RESET, RESET, CLOSE, ANSWER);
	assert_int_equal(poll_all(&rig)->result, HAY_OK);
	assert_int_equal(rig.slave.n_requests, 4);
	expect_bad(poll_all(&rig), HAY_REFUSED);
	assert_int_equal(rig.slave.n_requests, 8);
	expect_back(poll_all(&rig), 9);
	expect_good(poll_all(&rig), 12);
	rig_done(&rig);
}

static void test_refused_and_back(void **state)
{
	static const uint16_t acts[] = {ANSWER};
	const struct fake_event *down;
	struct rig rig = {0};
	int holder = listen_on(AF_INET, rig.url);

	(void)state;
	close(holder);
	rig_host(&rig, "10s", "3");
	expect_bad(poll_all(&rig), HAY_REFUSED);
	down = fake_take(rig.host, FAKE_LINK_DOWN);
	assert_int_equal(down->reason, HAY_REFUSED);
	assert_string_equal(down->text, "connection refused");
	expect_bad(poll_all(&rig), HAY_REFUSED);
	assert_int_equal(fake_count(rig.host, FAKE_LINK_DOWN), 1);
	assert_int_equal(fake_count(rig.host, FAKE_LINK_UP), 0);
	fake_host_free(rig.host);

	/* There, gone, and there again. */
	rig_slave(&rig, AF_INET, acts, 1);
	rig_host(&rig, "10s", "0");
	expect_good(poll_all(&rig), 1);
	eventfd_write(rig.slave.stop, 1);
	pthread_join(rig.slave.thread, NULL);
	close(rig.slave.listener);
	expect_bad(poll_all(&rig), HAY_REFUSED);
	assert_non_null(fake_take(rig.host, FAKE_LINK_DOWN));
	close(rig.slave.stop);
	rig.slave.stop = 0;
	rig_done(&rig);
}

/* The connection is gone in the middle of a round: what was read before goes up, before the link is down. */
static void test_gone_within_a_round(void **state)
{
	const struct fake_event *early, *done, *at;

	(void)state;
	RIG(rig, "10s", "0", ANSWER_LEAVE);
	done = poll_all(&rig);
	assert_int_equal(done->result, HAY_FAILED);
	assert_int_equal(done->sample.n_readings, 1);
	assert_int_equal(fake_reading(done, 2)->quality, HAY_BAD);
	early = fake_take(rig.host, FAKE_EMIT);
	assert_int_equal(early->sample.n_readings, 2);
	assert_int_equal(fake_reading(early, 0)->value.u, 1010);
	for (at = early; at && at->kind != FAKE_LINK_DOWN; at = at->next)
		;
	assert_non_null(at);
	rig_done(&rig);
}

static void test_unknown_name(void **state)
{
	struct rig rig = {.url = "tcp://no-such-host.invalid:502"};
	const struct fake_event *down;

	(void)state;
	rig_host(&rig, "10s", "0");
	expect_bad(poll_all(&rig), HAY_OFFLINE);
	down = fake_take(rig.host, FAKE_LINK_DOWN);
	assert_non_null(down);
	/* With fifty links it is the name that one wants to know. */
	assert_non_null(strstr(down->text, "no-such-host.invalid"));
	rig_done(&rig);
}

static void test_stopped_within_a_round(void **state)
{
	const struct fake_event *done;

	(void)state;
	RIG(rig, "10s", "0", ANSWER);
	assert_int_equal(fake_poll(rig.device), 0);
	fake_refuse_work(rig.host, true);
	done = fake_wait(rig.host, FAKE_ROUND_DONE);
	assert_int_equal(done->result, HAY_FAILED);
	assert_int_equal(fake_poll(rig.device), -ESHUTDOWN);
	fake_refuse_work(rig.host, false);
	expect_good(poll_all(&rig), 2);
	/* Stopping while a request is under way awaits it. */
	assert_int_equal(fake_poll(rig.device), 0);
	rig_done(&rig);
}

static void expect_error(struct fake_host *host, const char *part)
{
	if (!strstr(fake_error(host), part))
		fail_msg("\"%s\" does not contain \"%s\"", fake_error(host), part);
}

static void test_configuration(void **state)
{
	static const struct {
		const char *type, *key, *value, *key2, *value2, *error;
	} bad[] = {
		{NULL, NULL, NULL, NULL, NULL, "not none"},
		{NULL, "coil", "1", "input", "2", "not several"},
		{"bytes", "holding", "1", NULL, NULL, "not read from registers"},
		{"string", "holding", "1", NULL, NULL, "needs its length"},
		{"string", "holding", "1", "length", "4", "max_registers"},
		{NULL, "reference", "40001", "input", "2", "not several"},
		{NULL, "reference", "4001", NULL, NULL, "5 or 6 digits"},
		{NULL, "reference", "4000001", NULL, NULL, "5 or 6 digits"},
		{NULL, "reference", "4000x", NULL, NULL, "5 or 6 digits"},
		{NULL, "reference", "50001", NULL, NULL, "begins with"},
		{NULL, "reference", "40000", NULL, NULL, "counts from 1"},
		{NULL, "reference", "465537", NULL, NULL, "counts from 1"},
		{"uint32", "reference", "465536", NULL, NULL, "past the last one"},
		{NULL, "holding", "1", "bits", "8-3", "from the lower"},
		{"float32", "holding", "1", "bits", "3", "does not go with bits"},
		{NULL, "coil", "1", "bits", "3", "has no bits"},
		{"uint16", "coil", "1", NULL, NULL, "is a bit"},
		{NULL, "coil", "1", "order", "AB", "no order"},
		{"uint32", "input", "65535", NULL, NULL, "past the last one"},
		{"float32", "input", "1", "order", "ABCE", "\"CDAB\""},
		{"uint16", "input", "1", "order", "ABCD", "\"BA\""},
		{"float64", "input", "1", NULL, NULL, "max_registers"},
	};
	static const struct {
		const char *port, *key, *value, *error;
	} bad_ports[] = {
		{"ttyUSB0", NULL, NULL, "is a path"},	    {"/dev/a", "url", "tcp://a", "both"},
		{"/dev/a", "baud", "9601", "not a speed"},  {"/dev/a", "mode", "9N1", "\"8E1\""},
		{"/dev/a", "mode", "7E1", "8 data bits"},   {"/dev/a", "gap", "11s", "gap"},
		{"/dev/a", "rts_delay", "2s", "rts_delay"},
	};
	static const char *const of_ports[][2] = {
		{"baud", "9600"}, {"mode", "8N1"}, {"rs485", "true"}, {"rts_delay", "1ms"}};
	static const char *const bad_urls[] = {"192.0.2.1",	"udp://192.0.2.1", "tcp://",	  "tcp://a:0",
					       "tcp://a:65536", "tcp://a:",	   "tcp://::1",	  "tcp://[::1",
					       "tcp://a/b",	"tcp://a:1x",	   "rtu+tcp://a", "rtu+udp://a:1"};
	struct fake_host *host = fake_host_new(&hay_plugin, FAKE_INLINE);
	struct hay_link *link;
	struct hay_device *device;

	(void)state;
	for (size_t i = 0; i < sizeof(bad_urls) / sizeof(bad_urls[0]); i++) {
		assert_null(fake_link(host, "x", "url", bad_urls[i], NULL));
		expect_error(host, bad_urls[i]);
	}
	for (size_t i = 0; i < sizeof(bad_ports) / sizeof(bad_ports[0]); i++) {
		assert_null(
			fake_link(host, "x", "port", bad_ports[i].port, bad_ports[i].key, bad_ports[i].value, NULL));
		expect_error(host, bad_ports[i].error);
	}
	for (size_t i = 0; i < sizeof(of_ports) / sizeof(of_ports[0]); i++) {
		assert_null(fake_link(host, "x", "url", i % 2 ? "tcp://a" : "rtu+tcp://a:1", of_ports[i][0],
				      of_ports[i][1], NULL));
		expect_error(host, "belongs to a `port`");
	}
	assert_null(fake_link(host, "x", NULL));
	expect_error(host, "either a url or a port");
	link = fake_link(host, "x", "port", "/dev/null", NULL);
	assert_non_null(link);
	assert_null(fake_device(link, "d", "unit", "0", NULL));
	expect_error(host, "broadcast");
	/* Relay boards at 255, Renogy's charge controllers, PZEM's general address 248: reserved, but out there. */
	assert_non_null(fake_device(link, "d", "unit", "248", NULL));
	expect_error(host, "warning: unit: unit = 248 is reserved");
	assert_non_null(fake_device(link, "d", "unit", "255", NULL));
	assert_null(fake_device(link, "d", "unit", "256", NULL));
	link = fake_link(host, "x", "url", "tcp://[2001:db8::20]", NULL);
	assert_non_null(link);
	assert_null(fake_device(link, "d", NULL));
	assert_null(fake_device(link, "d", "unit", "256", NULL));
	device = fake_device(link, "d", "unit", "1", "max_registers", "3", NULL);
	assert_non_null(device);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		assert_null(fake_point(device, "p", bad[i].type, 0, bad[i].key, bad[i].value, bad[i].key2,
				       bad[i].value2, NULL));
		expect_error(host, bad[i].error);
	}
	fake_host_free(host);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_reads),
		cmocka_unit_test(test_some_points),
		cmocka_unit_test(test_time_is_of_the_first_answer),
		cmocka_unit_test(test_all_tables),
		cmocka_unit_test(test_ipv6_and_names),
		cmocka_unit_test(test_silent),
		cmocka_unit_test(test_late_answer_is_never_the_next),
		cmocka_unit_test(test_double_answer_is_flushed),
		cmocka_unit_test(test_wrong_answers),
		cmocka_unit_test(test_cut_answers),
		cmocka_unit_test(test_retries),
		cmocka_unit_test(test_exceptions),
		cmocka_unit_test(test_gateway_without_the_unit),
		cmocka_unit_test(test_closes_after_each_answer),
		cmocka_unit_test(test_closed_before_an_answer),
		cmocka_unit_test(test_refused_and_back),
		cmocka_unit_test(test_gone_within_a_round),
		cmocka_unit_test(test_unknown_name),
		cmocka_unit_test(test_stopped_within_a_round),
		cmocka_unit_test(test_configuration),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
