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

/* A device that is silent on a range with a register that it does not have: nothing was printed of what is there. */
static void test_dump_looks_closer_where_the_device_is_silent(void **state)
{
	struct slave slave = {0};
	struct printed printed;

	(void)state;
	make_silent(&slave, 3, 4);
	make_silent(&slave, 7, 7);
	slave_start_tcp(&slave, FRAMING_TCP);
	assert_int_equal(probe(&printed, "dump %s 1 holding 0 8 timeout=300", slave.where), 0);
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

/* ---- scan ---- */

/* A unit that answers input registers only, or coils only, and is silent on all else, was not found. */
static void test_scan_asks_other_functions_of_a_silent_unit(void **state)
{
	static const struct {
		const char *line, *point;
		unsigned functions[2], silent;
	} units[] = {
		{"unit 7   answers in ", "unit = 7; points: ( { name = \"value\"; input = 0; } );", {1, 3}, 1023},
		{" for input 1, but not for holding 0\n", "points: ( { name = \"value\"; input = 1; } );", {1, 3}, 0},
		{" for coil 0, but not for holding 0\n", "points: ( { name = \"value\"; coil = 0; } );", {3, 4}, 1023},
	};
	struct printed printed;

	(void)state;
	for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++) {
		struct slave slave = {.unit = 7};

		for (unsigned k = 0; k < 2; k++)
			slave.mute[units[i].functions[k]] = true;
		make_silent(&slave, units[i].silent, units[i].silent);
		slave_start_tcp(&slave, FRAMING_TCP);
		assert_int_equal(probe(&printed, "scan %s 7-7 timeout=300", slave.where), 0);
		expect_text(&printed, units[i].line);
		expect_text(&printed, "1 unit found\n");
		expect_text(&printed, units[i].point);
		/* What is absent costs a bounded number of time-outs. */
		assert_true(slave.n_requests <= 4);
		slave_stop(&slave);
	}
}

/* An exception is an answer: nothing more is asked of that unit. */
static void test_scan_takes_a_refusal_for_an_answer(void **state)
{
	struct slave slave = {.unknown[3] = true};
	struct printed printed;

	(void)state;
	slave_start_tcp(&slave, FRAMING_TCP);
	assert_int_equal(probe(&printed, "scan %s 1-2 timeout=5000", slave.where), 0);
	expect_text(&printed, "unit 1   answers in ");
	expect_text(&printed, " ms: illegal function\n");
	expect_text(&printed, "2 units found\n");
	expect_text(&printed, "  # refused: holding 0\n");
	assert_int_equal(slave.n_requests, 2);
	slave_stop(&slave);
}

/* A device on TCP that ignores the unit id gave 247 lines, and no word that all answer alike. */
static void test_scan_of_a_device_that_ignores_the_unit(void **state)
{
	struct slave slave = {0};
	struct printed printed;

	(void)state;
	slave_start_tcp(&slave, FRAMING_TCP);
	assert_int_equal(probe(&printed, "scan %s timeout=5000", slave.where), 0);
	expect_text(&printed, "units 1-247 all answer alike, in ");
	expect_text(&printed, "ignores the unit id\n");
	expect_text(&printed, "247 units found, all alike\n");
	expect_text(&printed, "unit = 1;");
	expect_no_text(&printed, "unit = 2;");
	assert_true(printed.n_lines < 12);
	slave_stop(&slave);
}

/* Units that do not hold the same, or are not all there, are told one by one. */
static void test_scan_of_units_that_differ(void **state)
{
	static const uint16_t acts[] = {ACT_ANSWER,	   ACT_ANSWER, ACT_ANSWER,	  ACT_ANSWER,
					ACT_ANSWER,	   ACT_ANSWER, ACT_ANSWER,	  ACT_ANSWER,
					ACT_EXCEPTION + 2, ACT_ANSWER, ACT_EXCEPTION + 10};
	struct slave slave = {.acts = acts, .n_acts = 11};
	struct printed printed;

	(void)state;
	slave_start_tcp(&slave, FRAMING_TCP);
	assert_int_equal(probe(&printed, "scan %s 1-10 timeout=5000", slave.where), 0);
	expect_text(&printed, "10 units found\n");
	for (unsigned i = 1; i <= 10; i++) {
		char line[32];

		snprintf(line, sizeof(line), "unit %-3u answers", i);
		expect_text(&printed, line);
		snprintf(line, sizeof(line), "unit = %u;", i);
		expect_text(&printed, line);
	}
	slave_stop(&slave);

	slave = (struct slave){.acts = acts, .n_acts = 11};
	slave_start_tcp(&slave, FRAMING_TCP);
	assert_int_equal(probe(&printed, "scan %s 1-12 timeout=5000", slave.where), 0);
	expect_text(&printed, "10 units found\n");
	expect_text(&printed, "unit 8   answers");
	slave_stop(&slave);
}

/* Nothing found was all that was said: the usual causes are named, those of what was scanned. */
static void test_scan_that_finds_nothing_says_what_it_may_be(void **state)
{
	static const uint16_t nobody[] = {ACT_EXCEPTION + 11}, broken[] = {ACT_WRONG_CRC};
	struct slave silent = {.unit = 200}, gateway = {.acts = nobody, .n_acts = 1},
		     noisy = {.acts = broken, .n_acts = 1};
	struct printed printed;

	(void)state;
	slave_start_line(&silent);
	assert_int_equal(probe(&printed, "scan %s 1-1 timeout=20", silent.where), 0);
	expect_text(&printed, "0 units found\nnothing answered. What it may be:\n");
	expect_text(&printed, "baud rate or parity (baud=19200, mode=8E1)\n");
	expect_text(&printed, "A and B swapped");
	expect_text(&printed, "longer to answer than 20 ms");
	expect_text(&printed, "other than 1 to 1\n");
	expect_no_text(&printed, "links:");
	slave_stop(&silent);

	slave_start_tcp(&gateway, FRAMING_TCP);
	assert_int_equal(probe(&printed, "scan %s 1-2 timeout=5000", gateway.where), 0);
	expect_text(&printed, "the gateway answers, but no unit behind it.");
	expect_text(&printed, "often want 0, 1 or 255");
	slave_stop(&gateway);

	slave_start_tcp(&noisy, FRAMING_RTU);
	assert_int_equal(probe(&printed, "scan %s 1-1 timeout=300", noisy.where), 0);
	expect_text(&printed, "unit 1   ?  ");
	expect_text(&printed, "something answers, but not rightly.");
	expect_text(&printed, "which the converter or gateway has set\n");
	slave_stop(&noisy);
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
	/* Once it is found so, that is how it is to be written. */
	assert_int_equal(probe(&printed, "scan %s 5-5 rs485=true rts_delay=2 gap=5 mode=8E1 timeout=5000", slave.where),
			 0);
	expect_text(&printed, "baud = 9600; mode = \"8E1\"; rs485 = true; rts_delay = \"2ms\"; gap = \"5ms\"; "
			      "timeout = \"5000ms\"; }\n");
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
		cmocka_unit_test(test_scan_asks_other_functions_of_a_silent_unit),
		cmocka_unit_test(test_scan_takes_a_refusal_for_an_answer),
		cmocka_unit_test(test_scan_of_a_device_that_ignores_the_unit),
		cmocka_unit_test(test_scan_of_units_that_differ),
		cmocka_unit_test(test_scan_that_finds_nothing_says_what_it_may_be),
		cmocka_unit_test(test_settings_of_an_rs485_port),
		cmocka_unit_test(test_the_gap_holds_for_a_scan),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
