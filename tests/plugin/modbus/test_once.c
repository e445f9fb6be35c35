/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a write promises: it is sent once, whatever becomes of its answer, and it is told as done, not done, or not known.
 * A device that took a write and closed the connection without an answer, as one does that is told to restart, got it twice;
 * with `retries` a lost answer had the same effect, and a toggle was back where it had been.
 */
#include "../fake_host.h"
#include "slave.h"
#include <math.h>

extern const struct hay_plugin hay_plugin;

enum { COIL, WORD, WIDE, BIT, TEXT, HALF, N_POINTS };

struct rig {
	struct slave slave;
	struct fake_host *host;
	struct hay_device *device;
};

static void rig_open(struct rig *rig, enum fake_mode mode, const char *timeout, const char *retries)
{
	const unsigned w = HAY_POINT_WRITABLE;
	struct hay_link *link;

	rig->host = fake_host_new(&hay_plugin, mode);
	link = fake_link(rig->host, "panel", rig->slave.where[0] == '/' ? "port" : "url", rig->slave.where, "timeout",
			 timeout, "retries", retries, NULL);
	assert_non_null(link);
	rig->device = fake_device(link, "plc", "unit", "1", NULL);
	assert_non_null(fake_point(rig->device, "coil", NULL, w, "coil", "3", NULL));
	assert_non_null(fake_point(rig->device, "word", "int16", w, "holding", "40", NULL));
	assert_non_null(fake_point(rig->device, "wide", "uint32", w, "holding", "50", NULL));
	assert_non_null(fake_point(rig->device, "bit", NULL, w, "holding", "60", "bits", "9", NULL));
	assert_non_null(fake_point(rig->device, "text", "string", w, "holding", "70", "length", "3", NULL));
	assert_non_null(fake_point(rig->device, "half", "float16", w, "holding", "80", NULL));
	assert_int_equal(fake_open(link), 0);
	assert_int_equal(fake_start(rig->device), 0);
}

/* A slave on TCP with those acts, and no time but the test's own: what is answered is answered at once. */
static void rig_open_still(struct rig *rig, const uint16_t *acts, size_t n_acts)
{
	rig->slave.acts = acts;
	rig->slave.n_acts = n_acts;
	slave_start_tcp(&rig->slave, FRAMING_TCP);
	rig_open(rig, FAKE_INLINE, "10s", "0");
	fake_stop_time(rig->host);
}

static void rig_done(struct rig *rig)
{
	fake_host_free(rig->host);
	slave_stop(&rig->slave);
}

static struct hay_value value_for(uint32_t point)
{
	switch (point) {
	case COIL:
	case BIT:
		return (struct hay_value){.type = HAY_BOOL, .b = true};
	case WIDE:
		return (struct hay_value){.type = HAY_UINT32, .u = 0x12345678};
	case TEXT:
		return (struct hay_value){.type = HAY_STRING, .s = {"pump", 4}};
	case HALF:
		return (struct hay_value){.type = HAY_FLOAT32, .f = 0.1f};
	default:
		return (struct hay_value){.type = HAY_INT16, .i = 7};
	}
}

static void begin_write(struct rig *rig, uint32_t point)
{
	struct hay_command *command;

	assert_int_equal(fake_write(rig->device, point, value_for(point), &command), 0);
}

static void expect(const struct fake_event *done, enum hay_outcome outcome, const char *part)
{
	const char *text = done->text ? done->text : "";

	if (done->outcome != outcome || !strstr(text, part))
		fail_msg("outcome %d, \"%s\", and not %d with \"%s\"", done->outcome, text, outcome, part);
}

static const struct fake_event *write_to(struct rig *rig, uint32_t point)
{
	begin_write(rig, point);
	return fake_wait(rig->host, FAKE_COMMAND_DONE);
}

static unsigned count_writes(const struct rig *rig)
{
	unsigned n = 0;

	for (unsigned i = 0; i < rig->slave.n_requests; i++) {
		uint8_t function = rig->slave.asked[i].pdu.bytes[0];

		n += function == 5 || function == 6 || function == 15 || function == 16 || function == 22;
	}
	return n;
}

static bool was_asked(void *userdata)
{
	return ((struct slave *)userdata)->n_requests > 0;
}

static bool has_closed(void *userdata)
{
	return ((struct slave *)userdata)->n_closed > 0;
}

/* ---- no right answer ---- */

static void lose_answer(enum framing framing, bool is_line, uint16_t act, uint32_t point)
{
	uint16_t acts[] = {act, ACT_ANSWER};
	struct rig rig = {.slave = {.acts = acts, .n_acts = 2}};

	if (is_line)
		slave_start_line(&rig.slave);
	else
		slave_start_tcp(&rig.slave, framing);
	rig_open(&rig, FAKE_THREAD, "60ms", "3");
	expect(write_to(&rig, point), HAY_UNKNOWN, "");
	fake_run_until(rig.host, was_asked, &rig.slave);
	/* All that the link's thread had to do is done: nothing more can come. */
	fake_stop(rig.device);
	assert_int_equal(rig.slave.n_requests, 1);
	rig_done(&rig);
}

static void test_a_write_without_a_right_answer_is_sent_once(void **state)
{
	static const uint16_t acts[] = {ACT_SILENT, ACT_WRONG_CRC, ACT_CUT, ACT_OTHER_UNIT, ACT_CLOSE};

	(void)state;
	for (unsigned i = 0; i < 5; i++)
		for (uint32_t point = 0; point < N_POINTS; point++) {
			lose_answer(FRAMING_TCP, false, acts[i], point);
			lose_answer(FRAMING_RTU, false, acts[i], point);
			if (acts[i] != ACT_CLOSE)
				lose_answer(FRAMING_RTU, true, acts[i], point);
		}
}

/* A gateway that had no answer from the device had sent it on; a device that failed may have done half of it. */
static void test_exceptions_that_leave_it_open(void **state)
{
	static const uint16_t codes[] = {4, 11};

	(void)state;
	for (unsigned i = 0; i < 2; i++) {
		uint16_t acts[] = {(uint16_t)(ACT_EXCEPTION + codes[i])};
		struct rig rig = {0};

		rig_open_still(&rig, acts, 1);
		expect(write_to(&rig, WORD), HAY_UNKNOWN,
		       codes[i] == 4 ? "server device failure" : "failed to respond");
		assert_int_equal(rig.slave.n_requests, 1);
		rig_done(&rig);
	}
}

/* Where many was tried instead of one, or a read came first, the same holds for the write that follows. */
static void test_a_replaced_write_is_sent_once_too(void **state)
{
	static const uint16_t one[] = {ACT_EXCEPTION + 1, ACT_SILENT, ACT_ANSWER},
			      bits[] = {ACT_EXCEPTION + 2, ACT_ANSWER, ACT_CLOSE, ACT_ANSWER};
	struct rig rig = {.slave = {.acts = one, .n_acts = 3}}, masked = {.slave = {.acts = bits, .n_acts = 4}};

	(void)state;
	slave_start_tcp(&rig.slave, FRAMING_TCP);
	rig_open(&rig, FAKE_THREAD, "60ms", "3");
	expect(write_to(&rig, WORD), HAY_UNKNOWN, "no answer");
	fake_stop(rig.device);
	assert_int_equal(rig.slave.n_requests, 2);
	assert_int_equal(rig.slave.asked[1].pdu.bytes[0], 16);
	rig_done(&rig);

	slave_start_tcp(&masked.slave, FRAMING_TCP);
	rig_open(&masked, FAKE_THREAD, "10s", "3");
	expect(write_to(&masked, BIT), HAY_UNKNOWN, "closed");
	fake_stop(masked.device);
	assert_int_equal(masked.slave.n_requests, 3);
	assert_int_equal(masked.slave.asked[2].pdu.bytes[0], 6);
	rig_done(&masked);
}

/* The adapter hands back what it sends, which nobody knows yet, and the device is away: its echo is no acknowledgement. */
static void test_an_echo_is_no_acknowledgement(void **state)
{
	struct rig rig = {.slave = {.echo = true, .unit = 9}};

	(void)state;
	slave_start_line(&rig.slave);
	rig_open(&rig, FAKE_THREAD, "100ms", "0");
	expect(write_to(&rig, WORD), HAY_UNKNOWN, "cannot be read back");
	assert_int_equal(count_writes(&rig), 1);
	rig_done(&rig);
}

static enum hay_outcome write_on_echoing_line(const uint16_t acts[2], const char *part)
{
	struct rig rig = {.slave = {.echo = true, .acts = acts, .n_acts = 2}};
	const struct fake_event *done;
	enum hay_outcome outcome;

	slave_start_line(&rig.slave);
	rig_open(&rig, FAKE_THREAD, "500ms", "0");
	done = write_to(&rig, WORD);
	outcome = done->outcome;
	if (part)
		expect(done, HAY_UNKNOWN, part);
	assert_int_equal(count_writes(&rig), 1);
	rig_done(&rig);
	return outcome;
}

/*
 * The same adapter, and a device that lost the write or refused it: the echo stood for the acknowledgement, and the old
 * value that was read back was told as written. The look itself shows that the line echoes.
 */
static void test_a_lost_write_behind_an_echo_is_not_written(void **state)
{
	static const uint16_t lost[] = {ACT_DEAF, ACT_ANSWER}, unreadable[] = {ACT_DEAF, ACT_EXCEPTION + 2},
			      refused[] = {ACT_EXCEPTION + 2, ACT_ANSWER};

	(void)state;
	write_on_echoing_line(lost, "its acknowledgement may have been its echo");
	write_on_echoing_line(unreadable, "its echo, and it cannot be read back: illegal data address");
	/* In one piece with the echo the refusal is seen, and else there is doubt. */
	assert_int_not_equal(write_on_echoing_line(refused, NULL), HAY_WRITTEN);
}

/* Where a read has shown that the line hands nothing back, the acknowledgement is one: a device that is busy with its memory
   after it, and silent, has taken the write. */
static void test_no_echo_no_doubt(void **state)
{
	static const uint16_t acts[] = {ACT_ANSWER, ACT_ANSWER, ACT_SILENT};
	const uint32_t word = WORD;
	struct rig rig = {.slave = {.acts = acts, .n_acts = 3}};

	(void)state;
	slave_start_line(&rig.slave);
	rig_open(&rig, FAKE_THREAD, "300ms", "0");
	assert_int_equal(fake_poll_some(rig.device, &word, 1), 0);
	assert_int_equal(fake_wait(rig.host, FAKE_ROUND_DONE)->result, HAY_OK);
	expect(write_to(&rig, WORD), HAY_WRITTEN, "cannot be read back: no answer");
	assert_int_equal(count_writes(&rig), 1);
	rig_done(&rig);
}

/* ---- nothing was sent ---- */

/* The other border: a connection that the device closed while nothing was under way costs no write. */
static void test_a_dead_idle_connection_is_made_anew(void **state)
{
	static const uint16_t acts[] = {ACT_ANSWER, ACT_ANSWER_CLOSE, ACT_ANSWER};
	struct rig rig = {.slave = {.acts = acts, .n_acts = 3}};

	(void)state;
	slave_start_tcp(&rig.slave, FRAMING_TCP);
	rig_open(&rig, FAKE_THREAD, "10s", "0");
	expect(write_to(&rig, WORD), HAY_WRITTEN, "");
	fake_run_until(rig.host, has_closed, &rig.slave);
	expect(write_to(&rig, WIDE), HAY_WRITTEN, "");
	assert_int_equal(count_writes(&rig), 2);
	rig_done(&rig);
}

/* Many devices close the connection after each answer, some moments later: a write that came in that moment was lost in
   it, as the one that follows a read at once, and nobody knew. */
static void test_a_device_that_closes_after_each_answer(void **state)
{
	static const uint16_t acts[] = {ACT_ANSWER_CLOSE};
	struct rig rig = {.slave = {.acts = acts, .n_acts = 1, .unknown = {[6] = true, [22] = true}}};

	(void)state;
	slave_start_tcp(&rig.slave, FRAMING_TCP);
	rig_open(&rig, FAKE_THREAD, "10s", "0");
	assert_int_equal(fake_poll(rig.device), 0);
	assert_int_equal(fake_wait(rig.host, FAKE_ROUND_DONE)->result, HAY_OK);
	for (unsigned i = 0; i < 10; i++) {
		/* Function 22 or none, a read, 6 and then 16, and the look. */
		expect(write_to(&rig, BIT), HAY_WRITTEN, "");
		expect(write_to(&rig, WIDE), HAY_WRITTEN, "");
	}
	rig_done(&rig);
}

static void test_without_a_connection_it_is_not_written(void **state)
{
	struct rig rig = {0};

	(void)state;
	slave_start_tcp(&rig.slave, FRAMING_TCP);
	slave_stop(&rig.slave);
	rig_open(&rig, FAKE_THREAD, "10s", "3");
	expect(write_to(&rig, WORD), HAY_NOT_WRITTEN, "connection refused");
	fake_host_free(rig.host);
}

/* ttl_ms was looked at only before the plugin had it: behind a round that waited for its time-outs it came late. */
static void test_what_has_expired_is_not_sent(void **state)
{
	struct hay_command wanted = {.point = WORD, .value = value_for(WORD), .low = (double)NAN, .high = (double)NAN},
			   *command;
	struct rig rig = {0};

	(void)state;
	rig_open_still(&rig, NULL, 0);
	wanted.device = rig.device;
	wanted.expires_us = rig.device->link->host->now() - 1;
	assert_int_equal(fake_write_command(&wanted, &command), 0);
	expect(fake_wait(rig.host, FAKE_COMMAND_DONE), HAY_EXPIRED, "expired");
	assert_int_equal(rig.slave.n_requests, 0);
	wanted.expires_us += 1;
	assert_int_equal(fake_write_command(&wanted, &command), 0);
	expect(fake_wait(rig.host, FAKE_COMMAND_DONE), HAY_WRITTEN, "");
	rig_done(&rig);
}

static void test_refused(void **state)
{
	static const uint16_t codes[] = {2, 3, 7, 10};

	(void)state;
	for (unsigned i = 0; i < 4; i++) {
		uint16_t acts[] = {(uint16_t)(ACT_EXCEPTION + codes[i])};
		struct rig rig = {0};

		rig_open_still(&rig, acts, 1);
		expect(write_to(&rig, WORD), HAY_NOT_WRITTEN, "refused: ");
		assert_int_equal(rig.slave.n_requests, 1);
		rig_done(&rig);
	}
}

/* What fits no register is not begun. */
static void test_what_does_not_fit_is_not_begun(void **state)
{
	struct hay_value long_text = {.type = HAY_STRING, .s = {"seventy", 7}};
	struct hay_command *command;
	struct rig rig = {0};

	(void)state;
	rig_open_still(&rig, NULL, 0);
	assert_int_equal(fake_write(rig.device, TEXT, long_text, &command), -ERANGE);
	rig_done(&rig);
}

/* ---- busy, and accepted ---- */

/* Exception 6 says that it was not done and may be asked again (V1.1b3, 7): for 1 s, and then the caller is told. */
static void test_a_busy_device_is_asked_again_for_a_second(void **state)
{
	static const uint16_t busy[] = {ACT_EXCEPTION + 6},
			      twice[] = {ACT_EXCEPTION + 6, ACT_EXCEPTION + 6, ACT_ANSWER};
	struct rig rig = {0}, better = {0};

	(void)state;
	rig_open_still(&rig, busy, 1);
	begin_write(&rig, WORD);
	fake_advance(rig.host, 999000);
	assert_null(fake_take(rig.host, FAKE_COMMAND_DONE));
	fake_advance(rig.host, 2000);
	expect(fake_take(rig.host, FAKE_COMMAND_DONE), HAY_NOT_WRITTEN, "busy");
	assert_int_equal(count_writes(&rig), 6);
	fake_advance(rig.host, 10000000);
	assert_int_equal(count_writes(&rig), 6);
	rig_done(&rig);

	rig_open_still(&better, twice, 3);
	begin_write(&better, WORD);
	fake_advance(better.host, 1000000);
	expect(fake_take(better.host, FAKE_COMMAND_DONE), HAY_WRITTEN, "");
	assert_int_equal(count_writes(&better), 3);
	rig_done(&better);
}

/* Exception 5, "accepted, it takes a while", was told as a refusal of what the device then did. */
static void test_what_is_accepted_is_looked_for(void **state)
{
	static const uint16_t acts[] = {ACT_EXCEPTION + 5, ACT_EXCEPTION + 6, ACT_ANSWER},
			      blind[] = {ACT_EXCEPTION + 5, ACT_EXCEPTION + 2};
	const struct fake_event *done;
	struct rig rig = {0}, never = {0}, unseen = {0};

	(void)state;
	rig_open_still(&rig, acts, 3);
	begin_write(&rig, WORD);
	fake_advance(rig.host, 300000);
	assert_null(fake_take(rig.host, FAKE_COMMAND_DONE));
	rig.slave.registers[40] = 7;
	fake_advance(rig.host, 100000);
	done = fake_take(rig.host, FAKE_COMMAND_DONE);
	expect(done, HAY_WRITTEN, "");
	assert_true(done->read_back);
	assert_int_equal(count_writes(&rig), 1);
	rig_done(&rig);

	rig_open_still(&never, acts, 3);
	begin_write(&never, WORD);
	fake_advance(never.host, 1001000);
	done = fake_take(never.host, FAKE_COMMAND_DONE);
	expect(done, HAY_UNKNOWN, "accepted");
	assert_int_equal(done->value.i, 40);
	assert_int_equal(count_writes(&never), 1);
	rig_done(&never);

	rig_open_still(&unseen, blind, 2);
	expect(write_to(&unseen, WORD), HAY_UNKNOWN, "accepted by the device, and it cannot be read back");
	assert_int_equal(count_writes(&unseen), 1);
	rig_done(&unseen);
}

/* ---- what the device holds ---- */

/* Shown 400 ms after it was acknowledged, it was told as failed, and automations wrote it again. Others have their turn
   in between. */
static void test_a_value_that_shows_late(void **state)
{
	static const uint16_t acts[] = {ACT_IGNORE_WRITE, ACT_ANSWER};
	const struct fake_event *done;
	struct rig rig = {0};

	(void)state;
	rig_open_still(&rig, acts, 2);
	begin_write(&rig, WORD);
	fake_advance(rig.host, 0);
	assert_int_equal(fake_poll(rig.device), 0);
	fake_advance(rig.host, 0);
	assert_int_equal(fake_take(rig.host, FAKE_ROUND_DONE)->result, HAY_OK);
	fake_advance(rig.host, 400000);
	assert_null(fake_take(rig.host, FAKE_COMMAND_DONE));
	rig.slave.registers[40] = 7;
	fake_advance(rig.host, 300000);
	done = fake_take(rig.host, FAKE_COMMAND_DONE);
	expect(done, HAY_WRITTEN, "");
	assert_true(done->read_back);
	assert_int_equal(done->value.i, 7);
	assert_int_equal(count_writes(&rig), 1);
	rig_done(&rig);
}

/* The registers of a value need not show it at the same time: half of it is not what was asked for. */
static void test_a_value_of_which_half_shows_late(void **state)
{
	static const uint16_t acts[] = {ACT_IGNORE_WRITE, ACT_ANSWER};
	const struct fake_event *done;
	struct rig rig = {0};

	(void)state;
	rig_open_still(&rig, acts, 2);
	begin_write(&rig, WIDE);
	rig.slave.registers[50] = 0x1234;
	fake_advance(rig.host, 400000);
	assert_null(fake_take(rig.host, FAKE_COMMAND_DONE));
	rig.slave.registers[51] = 0x5678;
	fake_advance(rig.host, 300000);
	done = fake_take(rig.host, FAKE_COMMAND_DONE);
	expect(done, HAY_WRITTEN, "");
	assert_int_equal(done->value.u, 0x12345678);
	assert_int_equal(count_writes(&rig), 1);
	rig_done(&rig);
}

/* Clamped, rounded, or a state where a command was written: the device took it, and what it holds is told. */
static void test_another_value_is_told_and_no_failure(void **state)
{
	static const uint16_t acts[] = {ACT_IGNORE_WRITE, ACT_ANSWER};
	static const uint32_t points[] = {COIL, WORD, BIT, TEXT};

	(void)state;
	for (unsigned i = 0; i < 4; i++) {
		struct rig rig = {0};
		const struct fake_event *done;

		rig_open_still(&rig, acts, 2);
		rig.slave.registers[70] = 'o' << 8 | 'n';
		rig.slave.registers[71] = rig.slave.registers[72] = ' ' << 8 | ' ';
		begin_write(&rig, points[i]);
		fake_advance(rig.host, 1001000);
		done = fake_take(rig.host, FAKE_COMMAND_DONE);
		expect(done, HAY_WRITTEN, "");
		assert_true(done->read_back);
		if (points[i] == WORD)
			assert_int_equal(done->value.i, 40);
		else if (points[i] == TEXT)
			assert_memory_equal(done->value.s.data, "on", done->value.s.size);
		else
			assert_false(done->value.b);
		assert_int_equal(count_writes(&rig), 1);
		rig_done(&rig);
	}
}

/* A register that can only be written answered 502 to every write that it took. */
static void test_what_cannot_be_read_is_written_all_the_same(void **state)
{
	static const uint16_t acts[] = {ACT_ANSWER, ACT_EXCEPTION + 2}, failing[] = {ACT_ANSWER, ACT_EXCEPTION + 4};
	const struct fake_event *done;
	struct rig rig = {0}, other = {0};

	(void)state;
	/* What was sent is told, as far as the wire form has digits for it. */
	rig_open_still(&rig, acts, 2);
	done = write_to(&rig, HALF);
	expect(done, HAY_WRITTEN, "cannot be read back: illegal data address");
	assert_false(done->read_back);
	assert_true(done->value.f == 0.0999755859375f);
	rig_done(&rig);

	rig_open_still(&other, failing, 2);
	done = write_to(&other, COIL);
	expect(done, HAY_WRITTEN, "cannot be read back: server device failure");
	assert_true(done->value.b && !done->read_back);
	rig_done(&other);
}

/* Bits are changed by a read and a write where the device refuses function 22 by any of the exceptions that are seen for it;
   the read may be asked again. */
static void test_bits_without_function_22(void **state)
{
	(void)state;
	for (uint16_t code = 1; code <= 3; code++) {
		uint16_t acts[] = {(uint16_t)(ACT_EXCEPTION + code), ACT_SILENT, ACT_ANSWER};
		struct rig rig = {.slave = {.acts = acts, .n_acts = 3}};

		slave_start_tcp(&rig.slave, FRAMING_TCP);
		rig_open(&rig, FAKE_THREAD, "200ms", "1");
		expect(write_to(&rig, BIT), HAY_WRITTEN, "");
		assert_int_equal(rig.slave.registers[60], 60 | 1 << 9);
		assert_int_equal(count_writes(&rig), 2);
		rig_done(&rig);
	}
}

static void write_half(struct rig *rig, float value, double low, double high, int expected, float held)
{
	struct hay_command wanted = {.device = rig->device,
				     .point = HALF,
				     .value = {.type = HAY_FLOAT32, .f = value},
				     .low = low,
				     .high = high},
			   *command;
	const struct fake_event *done;

	assert_int_equal(fake_write_command(&wanted, &command), expected);
	if (expected < 0)
		return;
	done = fake_wait(rig->host, FAKE_COMMAND_DONE);
	expect(done, HAY_WRITTEN, "");
	assert_true(done->value.f == held);
}

/* A float16 has steps of 2 above 2048: 2051 was rounded to 2052, past a max of 2051. */
static void test_a_coarser_form_stays_within_the_limits(void **state)
{
	struct rig rig = {0};

	(void)state;
	rig_open_still(&rig, NULL, 0);
	write_half(&rig, 2051, (double)NAN, (double)NAN, 0, 2052);
	write_half(&rig, 2051, (double)NAN, 2051, 0, 2050);
	write_half(&rig, 2049, 2049, (double)NAN, 0, 2050);
	write_half(&rig, -2051, -2051, 0, 0, -2050);
	write_half(&rig, 2051, 2051, 2051, -ERANGE, 0);
	write_half(&rig, 1e-9f, 1e-10, 1, 0, 0x1p-24f);
	write_half(&rig, 70000, (double)NAN, (double)NAN, -ERANGE, 0);
	rig_done(&rig);
}

/* ---- stopped in between ---- */

static void test_a_device_that_is_stopped_answers_its_write(void **state)
{
	static const uint16_t late[] = {ACT_IGNORE_WRITE, ACT_ANSWER}, busy[] = {ACT_EXCEPTION + 6},
			      accepted[] = {ACT_EXCEPTION + 5, ACT_ANSWER};
	static const struct {
		const uint16_t *acts;
		size_t n;
		enum hay_outcome outcome;
	} cases[] = {{late, 2, HAY_WRITTEN}, {busy, 1, HAY_NOT_WRITTEN}, {accepted, 2, HAY_UNKNOWN}};

	(void)state;
	for (unsigned i = 0; i < 3; i++) {
		struct rig rig = {0};

		rig_open_still(&rig, cases[i].acts, cases[i].n);
		begin_write(&rig, WORD);
		fake_advance(rig.host, 0);
		assert_null(fake_take(rig.host, FAKE_COMMAND_DONE));
		fake_stop(rig.device);
		expect(fake_take(rig.host, FAKE_COMMAND_DONE), cases[i].outcome, "");
		rig_done(&rig);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_a_write_without_a_right_answer_is_sent_once),
		cmocka_unit_test(test_exceptions_that_leave_it_open),
		cmocka_unit_test(test_a_replaced_write_is_sent_once_too),
		cmocka_unit_test(test_an_echo_is_no_acknowledgement),
		cmocka_unit_test(test_a_lost_write_behind_an_echo_is_not_written),
		cmocka_unit_test(test_no_echo_no_doubt),
		cmocka_unit_test(test_a_dead_idle_connection_is_made_anew),
		cmocka_unit_test(test_a_device_that_closes_after_each_answer),
		cmocka_unit_test(test_without_a_connection_it_is_not_written),
		cmocka_unit_test(test_what_has_expired_is_not_sent),
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_what_does_not_fit_is_not_begun),
		cmocka_unit_test(test_a_busy_device_is_asked_again_for_a_second),
		cmocka_unit_test(test_what_is_accepted_is_looked_for),
		cmocka_unit_test(test_a_value_that_shows_late),
		cmocka_unit_test(test_a_value_of_which_half_shows_late),
		cmocka_unit_test(test_another_value_is_told_and_no_failure),
		cmocka_unit_test(test_what_cannot_be_read_is_written_all_the_same),
		cmocka_unit_test(test_bits_without_function_22),
		cmocka_unit_test(test_a_coarser_form_stays_within_the_limits),
		cmocka_unit_test(test_a_device_that_is_stopped_answers_its_write),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
