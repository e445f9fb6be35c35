/* SPDX-License-Identifier: Apache-2.0 */
/* Serial lines and RTU frames over TCP: slaves that are late, noisy, absent or echoed, and ports that come and go. */
#include "../fake_host.h"
#include "slave.h"
#include <sys/stat.h>

extern const struct hay_plugin hay_plugin;

struct rig {
	struct slave slave;
	struct fake_host *host;
	struct hay_link *link;
	struct hay_device *device, *neighbour; /* units 7 and 8 */
};

static struct hay_device *add_device(struct rig *rig, const char *name, const char *unit)
{
	struct hay_device *device = fake_device(rig->link, name, "unit", unit, NULL);

	assert_non_null(device);
	assert_non_null(fake_point(device, "a", NULL, 0, "holding", "10", NULL));
	assert_non_null(fake_point(device, "b", "uint32", 0, "holding", "11", NULL));
	return device;
}

static void rig_open(struct rig *rig, const char *where, const char *timeout)
{
	rig->host = fake_host_new(&hay_plugin, FAKE_THREAD);
	if (where[0] == '/')
		rig->link = fake_link(rig->host, "bus", "port", where, "timeout", timeout, "retries", "0", "baud",
				      "115200", NULL);
	else
		rig->link = fake_link(rig->host, "bus", "url", where, "timeout", timeout, "retries", "0", NULL);
	assert_non_null(rig->link);
	rig->device = add_device(rig, "meter", "7");
	rig->neighbour = add_device(rig, "neighbour", "8");
	assert_int_equal(fake_open(rig->link), 0);
	assert_int_equal(fake_start(rig->device), 0);
	assert_int_equal(fake_start(rig->neighbour), 0);
}

#define RIG(rig, timeout, ...)                                                                                         \
	static const uint16_t acts[] = {__VA_ARGS__};                                                                  \
	struct rig rig = {.slave = {.acts = acts, .n_acts = sizeof(acts) / sizeof(acts[0])}};                          \
	slave_start_line(&rig.slave);                                                                                  \
	rig_open(&rig, rig.slave.where, timeout)

static void rig_done(struct rig *rig)
{
	fake_host_free(rig->host);
	slave_stop(&rig->slave);
}

static const struct fake_event *poll_device(struct rig *rig, struct hay_device *device)
{
	assert_int_equal(fake_poll(device), 0);
	return fake_wait(rig->host, FAKE_ROUND_DONE);
}

static void expect_good(const struct fake_event *done)
{
	assert_int_equal(done->result, HAY_OK);
	assert_int_equal(fake_reading(done, 0)->value.u, 10);
	assert_int_equal(fake_reading(done, 1)->value.u, 11 << 16 | 12);
}

static void expect_bad(const struct fake_event *done, enum hay_reason reason, const char *part)
{
	assert_int_equal(done->result, HAY_FAILED);
	assert_int_equal(done->reason, reason);
	if (!strstr(done->text, part))
		fail_msg("\"%s\" does not contain \"%s\"", done->text, part);
}

static void test_reads(void **state)
{
	(void)state;
	RIG(rig, "10s", ACT_ANSWER);
	expect_good(poll_device(&rig, rig.device));
	expect_good(poll_device(&rig, rig.neighbour));
	assert_int_equal(rig.slave.n_requests, 2);
	assert_int_equal(rig.slave.asked[1].unit, 8);
	assert_int_equal(fake_count(rig.host, FAKE_LINK_UP), 1);
	rig_done(&rig);
}

static void test_faults(void **state)
{
	(void)state;
	RIG(rig, "300ms", ACT_OTHER_UNIT, ACT_WRONG_CRC, ACT_CUT, ACT_SILENT, ACT_EXCEPTION + 4, ACT_EXCEPTION + 11,
	    ACT_NOISE_FIRST, ACT_OTHERS_FIRST, ACT_ANSWER);
	expect_bad(poll_device(&rig, rig.device), HAY_DECODE, "another unit");
	expect_bad(poll_device(&rig, rig.device), HAY_DECODE, "wrong CRC");
	expect_bad(poll_device(&rig, rig.device), HAY_TIMEOUT, "cut short");
	expect_bad(poll_device(&rig, rig.device), HAY_TIMEOUT, "no answer (asked for holding register");
	assert_string_equal(fake_reading(poll_device(&rig, rig.device), 0)->exception, "server device failure");
	expect_bad(poll_device(&rig, rig.device), HAY_EXCEPTION, "failed to respond");
	/* Noise when the line turns round, and a frame of somebody else, do no harm. */
	expect_good(poll_device(&rig, rig.device));
	expect_good(poll_device(&rig, rig.device));
	expect_good(poll_device(&rig, rig.device));
	assert_int_equal(fake_count(rig.host, FAKE_LINK_DOWN), 0);
	rig_done(&rig);
}

/* Each answer carries the number of its request: a late one would be seen. */
static void late_answers(struct rig *rig)
{
	static const uint32_t first[] = {0};
	const struct fake_event *done;

	/* The first is late and comes while the line is kept silent; so do some of the later ones. */
	for (unsigned round = 0; round < 6; round++) {
		pthread_mutex_lock(&rig->slave.mutex);
		rig->slave.registers[10] = (uint16_t)(1000 + round);
		pthread_mutex_unlock(&rig->slave.mutex);
		assert_int_equal(fake_poll_some(rig->device, first, 1), 0);
		done = fake_wait(rig->host, FAKE_ROUND_DONE);
		if (round % 2 == 0) {
			expect_bad(done, HAY_TIMEOUT, "no answer");
		} else {
			assert_int_equal(done->result, HAY_OK);
			assert_int_equal(fake_reading(done, 0)->value.u, 1000 + round);
		}
	}
}

static void test_late_answer_is_never_the_next(void **state)
{
	(void)state;
	RIG(rig, "200ms", ACT_LATE, ACT_ANSWER, ACT_LATE, ACT_ANSWER, ACT_LATE, ACT_ANSWER);
	rig.slave.late_us = 300000;
	late_answers(&rig);
	rig_done(&rig);
}

static void test_late_answer_over_tcp(void **state)
{
	static const uint16_t acts[] = {ACT_LATE, ACT_ANSWER, ACT_LATE, ACT_ANSWER, ACT_LATE, ACT_ANSWER};
	struct rig rig = {.slave = {.acts = acts, .n_acts = 6, .late_us = 300000}};

	(void)state;
	slave_start_tcp(&rig.slave, FRAMING_RTU);
	rig_open(&rig, rig.slave.where, "200ms");
	late_answers(&rig);
	rig_done(&rig);
}

/* One that never answers costs its neighbours a second time-out once, and from then on none. */
/*
 * A device that hangs for a while and then answers both the request and its repetition: the second answer was taken for
 * that to the next request, the value of another register, with quality good.
 */
static void test_two_answers_after_a_hang(void **state)
{
	static const uint32_t both[] = {0, 1};
	static const uint16_t acts[] = {ACT_LATE, ACT_SOON, ACT_ANSWER};
	struct rig rig = {.slave = {.acts = acts, .n_acts = 3, .late_us = 500000}};
	const struct fake_event *done;

	(void)state;
	slave_start_line(&rig.slave);
	rig.host = fake_host_new(&hay_plugin, FAKE_THREAD);
	rig.link = fake_link(rig.host, "bus", "port", rig.slave.where, "timeout", "200ms", "retries", "1", "baud",
			     "115200", NULL);
	rig.device = fake_device(rig.link, "meter", "unit", "7", NULL);
	assert_non_null(fake_point(rig.device, "a", NULL, 0, "holding", "10", NULL));
	assert_non_null(fake_point(rig.device, "b", NULL, 0, "holding", "500", NULL));
	assert_int_equal(fake_open(rig.link), 0);
	assert_int_equal(fake_start(rig.device), 0);
	assert_int_equal(fake_poll_some(rig.device, both, 2), 0);
	done = fake_wait(rig.host, FAKE_ROUND_DONE);
	assert_int_equal(done->result, HAY_OK);
	assert_int_equal(fake_reading(done, 0)->value.u, 10);
	assert_int_equal(fake_reading(done, 1)->value.u, 500);
	rig_done(&rig);
}

static void test_absent_unit_and_its_neighbours(void **state)
{
	uint64_t waited[3];

	(void)state;
	RIG(rig, "500ms", ACT_ANSWER);
	rig.slave.unit = 8;
	for (unsigned i = 0; i < 3; i++) {
		uint64_t before;

		expect_bad(poll_device(&rig, rig.device), HAY_TIMEOUT, "no answer");
		before = rig.link->host->now();
		expect_good(poll_device(&rig, rig.neighbour));
		waited[i] = rig.link->host->now() - before;
	}
	assert_true(waited[0] >= 400000);
	assert_true(waited[1] < 400000 || waited[2] < 400000);
	rig_done(&rig);
}

static void test_echo(void **state)
{
	(void)state;
	RIG(rig, "300ms", ACT_ANSWER, ACT_ANSWER, ACT_SILENT, ACT_ANSWER);
	rig.slave.echo = true;
	expect_good(poll_device(&rig, rig.device));
	expect_good(poll_device(&rig, rig.neighbour));
	expect_bad(poll_device(&rig, rig.device), HAY_TIMEOUT, "nothing but the echo");
	expect_good(poll_device(&rig, rig.device));
	rig_done(&rig);
}

static void test_gaps(void **state)
{
	struct rig rig = {0};

	(void)state;
	slave_start_line(&rig.slave);
	rig.host = fake_host_new(&hay_plugin, FAKE_THREAD);
	rig.link = fake_link(rig.host, "bus", "port", rig.slave.where, "gap", "20ms", "unit_gap", "60ms", NULL);
	rig.device = add_device(&rig, "meter", "7");
	rig.neighbour = add_device(&rig, "neighbour", "8");
	assert_int_equal(fake_open(rig.link), 0);
	assert_int_equal(fake_start(rig.device), 0);
	assert_int_equal(fake_start(rig.neighbour), 0);
	expect_good(poll_device(&rig, rig.device));
	expect_good(poll_device(&rig, rig.device));
	expect_good(poll_device(&rig, rig.neighbour));
	assert_true(rig.slave.asked[1].at_us - rig.slave.asked[0].at_us >= 20000);
	assert_true(rig.slave.asked[2].at_us - rig.slave.asked[1].at_us >= 60000);
	rig_done(&rig);
}

static void test_no_port(void **state)
{
	struct rig rig = {0};
	const struct fake_event *down;

	(void)state;
	rig_open(&rig, "/dev/no-such-port", "10s");
	expect_bad(poll_device(&rig, rig.device), HAY_OFFLINE, "is not there");
	down = fake_take(rig.host, FAKE_LINK_DOWN);
	assert_string_equal(down->text, "the port is not there");
	fake_host_free(rig.host);

	rig_open(&rig, "/dev/null", "10s");
	expect_bad(poll_device(&rig, rig.device), HAY_OFFLINE, "no serial port");
	fake_host_free(rig.host);
}

/* The port is a link, as those in /dev/serial/by-id are; its end is seen while nobody asks, and it is found again. */
static void test_unplugged_and_back(void **state)
{
	char directory[] = "/tmp/haywain-modbus-XXXXXX", path[64];
	struct rig rig = {0};
	uint64_t gone;

	(void)state;
	assert_non_null(mkdtemp(directory));
	snprintf(path, sizeof(path), "%s/port", directory);
	slave_start_line(&rig.slave);
	assert_int_equal(symlink(rig.slave.where, path), 0);
	rig_open(&rig, path, "10s");
	expect_good(poll_device(&rig, rig.device));
	fake_wait(rig.host, FAKE_LINK_UP);
	for (unsigned i = 0; i < 3; i++) {
		unlink(path);
		slave_stop(&rig.slave);
		assert_int_equal(fake_wait(rig.host, FAKE_LINK_DOWN)->reason, HAY_OFFLINE);
		if (i == 1) /* asked meanwhile it says so at once */
			expect_bad(poll_device(&rig, rig.device), HAY_OFFLINE, "the port");
		rig.slave = (struct slave){0};
		slave_start_line(&rig.slave);
		assert_int_equal(symlink(rig.slave.where, path), 0);
		gone = rig.link->host->now();
		fake_wait(rig.host, FAKE_LINK_UP);
		assert_true(rig.link->host->now() - gone < 1000000);
		expect_good(poll_device(&rig, rig.device));
	}
	assert_int_equal(fake_count(rig.host, FAKE_LINK_DOWN), 3);
	unlink(path);
	rmdir(directory);
	rig_done(&rig);
}

static void test_vanishes_within_a_request(void **state)
{
	(void)state;
	RIG(rig, "10s", ACT_SILENT);
	assert_int_equal(fake_poll(rig.device), 0);
	while (!rig.slave.n_requests)
		usleep(1000);
	slave_stop(&rig.slave);
	expect_bad(fake_wait(rig.host, FAKE_ROUND_DONE), HAY_OFFLINE, "has gone");
	/* The host hears of the link before it hears of the round. */
	assert_non_null(fake_take(rig.host, FAKE_LINK_DOWN));
	fake_host_free(rig.host);
}

static void test_two_cannot_have_one_port(void **state)
{
	struct rig other = {0};

	(void)state;
	RIG(rig, "10s", ACT_ANSWER);
	expect_good(poll_device(&rig, rig.device));
	rig_open(&other, rig.slave.where, "10s");
	expect_bad(poll_device(&other, other.device), HAY_OFFLINE, "another program");
	expect_good(poll_device(&rig, rig.device));
	fake_close(rig.link);
	fake_wait(other.host, FAKE_LINK_UP);
	expect_good(poll_device(&other, other.device));
	fake_host_free(other.host);
	rig_done(&rig);
}

static void test_rs485_is_told_where_it_cannot_be(void **state)
{
	struct rig rig = {0};

	(void)state;
	slave_start_line(&rig.slave);
	rig.host = fake_host_new(&hay_plugin, FAKE_THREAD);
	rig.link = fake_link(rig.host, "bus", "port", rig.slave.where, "rs485", "true", "rts_delay", "2ms", NULL);
	rig.device = add_device(&rig, "meter", "7");
	assert_int_equal(fake_open(rig.link), 0);
	assert_int_equal(fake_start(rig.device), 0);
	expect_good(poll_device(&rig, rig.device));
	assert_non_null(strstr(fake_take(rig.host, FAKE_LOG)->text, "TIOCSRS485"));
	rig_done(&rig);
}

static void test_rtu_over_tcp(void **state)
{
	static const uint16_t acts[] = {ACT_ANSWER, ACT_WRONG_CRC, ACT_ANSWER, ACT_SILENT, ACT_ANSWER};
	struct rig rig = {.slave = {.acts = acts, .n_acts = 5}};

	(void)state;
	slave_start_tcp(&rig.slave, FRAMING_RTU);
	rig_open(&rig, rig.slave.where, "300ms");
	expect_good(poll_device(&rig, rig.device));
	expect_bad(poll_device(&rig, rig.device), HAY_DECODE, "wrong CRC");
	expect_good(poll_device(&rig, rig.neighbour));
	expect_bad(poll_device(&rig, rig.device), HAY_TIMEOUT, "no answer");
	expect_good(poll_device(&rig, rig.device));
	rig_done(&rig);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_reads),
		cmocka_unit_test(test_faults),
		cmocka_unit_test(test_late_answer_is_never_the_next),
		cmocka_unit_test(test_late_answer_over_tcp),
		cmocka_unit_test(test_two_answers_after_a_hang),
		cmocka_unit_test(test_absent_unit_and_its_neighbours),
		cmocka_unit_test(test_echo),
		cmocka_unit_test(test_gaps),
		cmocka_unit_test(test_no_port),
		cmocka_unit_test(test_unplugged_and_back),
		cmocka_unit_test(test_vanishes_within_a_request),
		cmocka_unit_test(test_two_cannot_have_one_port),
		cmocka_unit_test(test_rs485_is_told_where_it_cannot_be),
		cmocka_unit_test(test_rtu_over_tcp),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
