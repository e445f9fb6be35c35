/* SPDX-License-Identifier: Apache-2.0 */
/* Commissioning by hand: what the probe prints about slaves that answer only part of what they are asked. */
#include "../fake_host.h"
#include "slave.h"

extern const struct hay_plugin hay_plugin;

struct printed {
	struct hay_probe hay;
	char text[65536];
	size_t size;
	unsigned n_lines;
};

static void print_line(const struct hay_probe *hay, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void print_line(const struct hay_probe *hay, const char *format, ...)
{
	struct printed *printed = (struct printed *)hay;
	va_list args;

	va_start(args, format);
	printed->size +=
		(size_t)vsnprintf(printed->text + printed->size, sizeof(printed->text) - printed->size, format, args);
	va_end(args);
	assert_true(printed->size + 1 < sizeof(printed->text));
	printed->text[printed->size++] = '\n';
	printed->n_lines++;
}

static void ignore_progress(const struct hay_probe *hay, unsigned done, unsigned total, const char *what)
{
	(void)hay;
	(void)what;
	assert_true(done <= total);
}

static bool never_cancelled(const struct hay_probe *hay)
{
	(void)hay;
	return false;
}

/* What `haywaind --probe modbus ARGUMENTS` gives, an argument a word. */
static int probe(struct printed *printed, const char *format, ...) __attribute__((format(printf, 2, 3)));
static int probe(struct printed *printed, const char *format, ...)
{
	char text[512], *argv[16], *rest = text;
	int argc = 0;
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	while ((argv[argc] = strtok_r(rest, " ", &rest)))
		argc++;
	memset(printed, 0, sizeof(*printed));
	printed->hay = (struct hay_probe){.size = sizeof(printed->hay),
					  .argc = argc,
					  .argv = argv,
					  .print = print_line,
					  .progress = ignore_progress,
					  .cancelled = never_cancelled};
	return hay_plugin.probe(&printed->hay);
}

static void expect_text(const struct printed *printed, const char *part)
{
	if (!strstr(printed->text, part))
		fail_msg("\"%s\" is not in\n%s", part, printed->text);
}

static void expect_no_text(const struct printed *printed, const char *part)
{
	if (strstr(printed->text, part))
		fail_msg("\"%s\" is in\n%s", part, printed->text);
}

static void make_silent(struct slave *slave, unsigned first, unsigned last)
{
	for (unsigned i = first; i <= last; i++)
		slave->faults[i] = ACT_SILENT;
}

/* ---- dump ---- */

/* A device that is silent on a range with a register that it does not have: nothing was printed, though five were there. */
static void test_dump_looks_closer_where_the_device_is_silent(void **state)
{
	struct slave slave = {0};
	struct printed printed;

	(void)state;
	make_silent(&slave, 3, 4);
	make_silent(&slave, 7, 7);
	slave_start_tcp(&slave, FRAMING_TCP);
	assert_int_equal(probe(&printed, "dump %s 1 holding 0 8 timeout=100", slave.where), 0);
	for (unsigned i = 0; i < 8; i++) {
		char line[32];

		snprintf(line, sizeof(line), "%5u 0x%04x  %04x ", i, i, i);
		if (slave.faults[i])
			expect_no_text(&printed, line);
		else
			expect_text(&printed, line);
	}
	expect_text(&printed, "    3 0x0003  no answer\n");
	expect_text(&printed, "3 addresses are not answered");
	slave_stop(&slave);
}

/* The same behind a gateway, which says for the device that it did not answer; and in a table of bits. */
static void test_dump_behind_a_gateway(void **state)
{
	static const uint16_t acts[] = {ACT_EXCEPTION + 11, ACT_EXCEPTION + 11, ACT_EXCEPTION + 11, ACT_ANSWER};
	struct slave slave = {.acts = acts, .n_acts = 4};
	struct printed printed;

	(void)state;
	slave_start_tcp(&slave, FRAMING_TCP);
	/* 4, 2 and 1 bits from the first on are not answered, then the other three are. */
	assert_int_equal(probe(&printed, "dump %s 1 coil 0 4 timeout=5000", slave.where), 0);
	expect_text(&printed, "    0 0x0000  gateway target device failed to respond\n    1 0x0001  0\n");
	expect_text(&printed, "    3 0x0003  0\n");
	slave_stop(&slave);
}

/* An absent unit, and a long stretch of silence, end by themselves. */
static void test_dump_gives_up_on_silence(void **state)
{
	struct slave slave = {0};
	struct printed printed;

	(void)state;
	for (unsigned i = 0; i < 1024; i++)
		slave.faults[i] = ACT_EXCEPTION + 11;
	slave_start_tcp(&slave, FRAMING_TCP);
	assert_int_equal(probe(&printed, "dump %s 1 holding 0 1000 timeout=5000", slave.where), -ETIMEDOUT);
	expect_text(&printed, "unit 1: gateway target device failed to respond\n");
	assert_true(slave.n_requests < 16);
	slave.faults[0] = 0;
	assert_int_equal(probe(&printed, "dump %s 1 holding 0 1000 timeout=5000", slave.where), 0);
	expect_text(&printed, "    0 0x0000  0000 ");
	expect_text(&printed, "16 addresses in a row without an answer: not asked from 17 on\n");
	assert_true(slave.n_requests < 60);
	slave_stop(&slave);
}

/* ---- settings ---- */

/* A port that needs rs485 = true could not be probed before its link was in the configuration. */
static void test_settings_of_an_rs485_port(void **state)
{
	struct slave slave = {0};
	struct printed printed;

	(void)state;
	slave_start_line(&slave);
	assert_int_equal(probe(&printed, "dump %s 1 holding 5 rs485=true rts_delay=2 gap=5 timeout=5000", slave.where),
			 0);
	/* A pty cannot do it: that is how it is seen that it was asked to. */
	expect_text(&printed, "TIOCSRS485");
	expect_text(&printed, "    5 0x0005  0005 ");
	assert_int_equal(probe(&printed, "dump %s 1 holding 5 rs485=maybe", slave.where), -EINVAL);
	expect_text(&printed, "rs485=true");
	assert_int_equal(probe(&printed, "dump %s 1 holding 5 rts_delay=1001", slave.where), -EINVAL);
	assert_int_equal(probe(&printed, "dump %s 1 holding 5 gap=10001", slave.where), -EINVAL);
	slave_stop(&slave);
	assert_int_equal(probe(&printed, "dump tcp://127.0.0.1:1 1 holding 5 rs485=true"), -EINVAL);
	expect_text(&printed, "`rs485` says nothing here");
}

static void test_the_gap_holds_for_a_scan(void **state)
{
	struct slave slave = {0};
	struct printed printed;

	(void)state;
	slave_start_tcp(&slave, FRAMING_TCP);
	assert_int_equal(probe(&printed, "scan %s 1-4 gap=20 timeout=5000", slave.where), 0);
	assert_int_equal(slave.n_requests, 4);
	for (unsigned i = 1; i < 4; i++)
		assert_true(slave.asked[i].at_us - slave.asked[i - 1].said_us >= 20000);
	slave_stop(&slave);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_dump_looks_closer_where_the_device_is_silent),
		cmocka_unit_test(test_dump_behind_a_gateway),
		cmocka_unit_test(test_dump_gives_up_on_silence),
		cmocka_unit_test(test_settings_of_an_rs485_port),
		cmocka_unit_test(test_the_gap_holds_for_a_scan),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
