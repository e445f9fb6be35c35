/* SPDX-License-Identifier: Apache-2.0 */
/* Writes. */
#include "../fake_host.h"
#include "slave.h"
#include <limits.h>

extern const struct hay_plugin hay_plugin;

enum { COIL, WORD, WIDE, BIT, RANGE, TEXT, FLOAT };

struct rig {
	struct slave slave;
	struct fake_host *host;
	struct hay_link *link;
	struct hay_device *device;
};

static void rig_open(struct rig *rig, const char *timeout)
{
	const unsigned w = HAY_POINT_WRITABLE;

	rig->host = fake_host_new(&hay_plugin, FAKE_THREAD);
	rig->link = fake_link(rig->host, "panel", rig->slave.where[0] == '/' ? "port" : "url", rig->slave.where,
			      "timeout", timeout, NULL);
	assert_non_null(rig->link);
	rig->device = fake_device(rig->link, "plc", "unit", "1", NULL);
	assert_non_null(fake_point(rig->device, "coil", NULL, w, "coil", "3", NULL));
	assert_non_null(fake_point(rig->device, "word", "int16", w, "reference", "40041", NULL));
	assert_non_null(fake_point(rig->device, "wide", "uint32", w, "holding", "50", "order", "CDAB", NULL));
	assert_non_null(fake_point(rig->device, "bit", NULL, w, "holding", "60", "bits", "9", NULL));
	assert_non_null(fake_point(rig->device, "range", NULL, w, "holding", "60", "bits", "4-7", NULL));
	assert_non_null(fake_point(rig->device, "text", "string", w, "holding", "70", "length", "3", NULL));
	assert_non_null(fake_point(rig->device, "float", "float32", w, "reference", "400081", NULL));
	assert_int_equal(fake_open(rig->link), 0);
	assert_int_equal(fake_start(rig->device), 0);
}

static void rig_done(struct rig *rig)
{
	fake_host_free(rig->host);
	slave_stop(&rig->slave);
}

static const struct fake_event *write_to(struct rig *rig, uint32_t point, struct hay_value value)
{
	struct hay_command *command;
	const struct fake_event *done;

	assert_int_equal(fake_write(rig->device, point, value, &command), 0);
	done = fake_wait(rig->host, FAKE_COMMAND_DONE);
	assert_ptr_equal(done->command, command);
	return done;
}

static void expect(const struct fake_event *done, enum hay_outcome outcome, const char *part)
{
	const char *text = done->text ? done->text : "";

	if (done->outcome != outcome || !strstr(text, part))
		fail_msg("outcome %d, \"%s\", and not %d with \"%s\"", done->outcome, text, outcome, part);
}

/* The device took it and holds it. */
static void expect_held(const struct fake_event *done)
{
	expect(done, HAY_WRITTEN, "");
	assert_null(done->text);
	assert_true(done->read_back);
}

static void write_each(struct rig *rig)
{
	expect_held(write_to(rig, COIL, (struct hay_value){.type = HAY_BOOL, .b = true}));
	assert_true(rig->slave.coils[3]);
	expect_held(write_to(rig, COIL, (struct hay_value){.type = HAY_BOOL, .b = false}));
	assert_false(rig->slave.coils[3]);
	expect_held(write_to(rig, WORD, (struct hay_value){.type = HAY_INT16, .i = -2}));
	assert_int_equal(rig->slave.registers[40], 0xfffe);
	expect_held(write_to(rig, WIDE, (struct hay_value){.type = HAY_UINT32, .u = 0x12345678}));
	assert_int_equal(rig->slave.registers[50], 0x5678);
	assert_int_equal(rig->slave.registers[51], 0x1234);
	rig->slave.registers[60] = 0xa5a5;
	expect_held(write_to(rig, BIT, (struct hay_value){.type = HAY_BOOL, .b = true}));
	assert_int_equal(rig->slave.registers[60], 0xa7a5);
	expect_held(write_to(rig, RANGE, (struct hay_value){.type = HAY_UINT16, .u = 3}));
	assert_int_equal(rig->slave.registers[60], 0xa735);
	expect_held(write_to(rig, TEXT, (struct hay_value){.type = HAY_STRING, .s = {"pump", 4}}));
	assert_int_equal(rig->slave.registers[70], 'p' << 8 | 'u');
	assert_int_equal(rig->slave.registers[72], 0);
	expect_held(write_to(rig, FLOAT, (struct hay_value){.type = HAY_FLOAT32, .f = 1.5f}));
	assert_int_equal(rig->slave.registers[80], 0x3fc0);
}

static void test_writes(void **state)
{
	struct rig rig = {0};

	(void)state;
	slave_start_tcp(&rig.slave, FRAMING_TCP);
	rig_open(&rig, "10s");
	write_each(&rig);
	/* One request, and one that reads back: coil, register, many registers at once, masked register. */
	assert_int_equal(rig.slave.asked[0].pdu.bytes[0], 5);
	assert_int_equal(rig.slave.asked[1].pdu.bytes[0], 1);
	assert_int_equal(rig.slave.asked[4].pdu.bytes[0], 6);
	assert_int_equal(rig.slave.asked[6].pdu.bytes[0], 16);
	assert_int_equal(rig.slave.asked[8].pdu.bytes[0], 22);
	assert_int_equal(rig.slave.n_requests, 16);
	rig_done(&rig);
}

static void test_writes_on_a_line_that_echoes(void **state)
{
	struct rig rig = {.slave.echo = true};

	(void)state;
	slave_start_line(&rig.slave);
	rig_open(&rig, "10s");
	write_each(&rig);
	rig_done(&rig);
}

/* Functions 5, 6 and 22 are not known to every device. */
static void test_other_functions(void **state)
{
	struct rig rig = {.slave.unknown = {[5] = true, [6] = true, [22] = true}};
	unsigned n;

	(void)state;
	slave_start_tcp(&rig.slave, FRAMING_TCP);
	rig_open(&rig, "10s");
	write_each(&rig);
	/* That it does not know mask-write is not asked again: read, 6, 16, read back. */
	n = rig.slave.n_requests;
	expect_held(write_to(&rig, RANGE, (struct hay_value){.type = HAY_UINT16, .u = 9}));
	assert_int_equal(rig.slave.n_requests, n + 4);
	rig_done(&rig);
}

/* Eight relays; the fifth is switched on. */
static void write_a_relay(enum coil_reads coil_reads, unsigned n_requests)
{
	struct rig rig = {.slave.coil_reads = coil_reads};
	const struct fake_event *done;

	slave_start_tcp(&rig.slave, FRAMING_TCP);
	rig.host = fake_host_new(&hay_plugin, FAKE_THREAD);
	rig.link = fake_link(rig.host, "panel", "url", rig.slave.where, "timeout", "10s", NULL);
	rig.device = fake_device(rig.link, "board", "unit", "1", NULL);
	for (unsigned i = 0; i < 8; i++) {
		char name[2] = {(char)('1' + i)}, address[2] = {(char)('0' + i)};

		assert_non_null(fake_point(rig.device, name, NULL, HAY_POINT_WRITABLE, "coil", address, NULL));
	}
	assert_int_equal(fake_open(rig.link), 0);
	assert_int_equal(fake_start(rig.device), 0);
	done = write_to(&rig, 4, (struct hay_value){.type = HAY_BOOL, .b = true});
	expect_held(done);
	assert_true(done->value.b);
	assert_true(rig.slave.coils[4]);
	assert_int_equal(rig.slave.n_requests, n_requests);
	rig_done(&rig);
}

/*
 * Waveshare's relay boards answer a read of one relay with all eight, or only a read of all eight: the state of relay 1
 * was told for that of relay 5, or it was told that relay 5 cannot be read back.
 */
static void test_a_bank_of_coils_is_read_back_as_it_is_polled(void **state)
{
	(void)state;
	write_a_relay(COILS_FIRST_EIGHT, 2);
	write_a_relay(COILS_ONLY_EIGHT, 2);
}

/* A neighbour that is not there takes nothing away. */
static void test_a_coil_is_read_back_alone_where_its_bank_is_refused(void **state)
{
	(void)state;
	write_a_relay(COILS_ONE_BY_ONE, 3);
}

static void test_write_comes_before_polls(void **state)
{
	struct hay_value word = {.type = HAY_INT16, .i = 7};
	struct hay_command *command;
	struct rig rig = {0};

	(void)state;
	slave_start_tcp(&rig.slave, FRAMING_TCP);
	rig_open(&rig, "10s");
	assert_int_equal(fake_poll(rig.device), 0);
	assert_int_equal(fake_write(rig.device, WORD, word, &command), 0);
	fake_wait(rig.host, FAKE_COMMAND_DONE);
	/* The round has more requests than came before the write. */
	assert_null(fake_take(rig.host, FAKE_ROUND_DONE));
	assert_int_equal(fake_wait(rig.host, FAKE_ROUND_DONE)->result, HAY_OK);
	rig_done(&rig);
}

static void test_no_write_to_what_is_read_only(void **state)
{
	struct fake_host *host = fake_host_new(&hay_plugin, FAKE_INLINE);
	struct hay_link *link = fake_link(host, "panel", "url", "tcp://192.0.2.1", NULL);
	struct hay_device *device = fake_device(link, "plc", "unit", "1", NULL);

	(void)state;
	assert_null(fake_point(device, "a", NULL, HAY_POINT_WRITABLE, "input", "1", NULL));
	assert_null(fake_point(device, "a", NULL, HAY_POINT_WRITABLE, "discrete", "1", NULL));
	assert_null(fake_point(device, "a", "uint32", HAY_POINT_WRITABLE, "holding", "1", "bits", "20", NULL));
	fake_host_free(host);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_writes),
		cmocka_unit_test(test_writes_on_a_line_that_echoes),
		cmocka_unit_test(test_other_functions),
		cmocka_unit_test(test_a_bank_of_coils_is_read_back_as_it_is_polled),
		cmocka_unit_test(test_a_coil_is_read_back_alone_where_its_bank_is_refused),
		cmocka_unit_test(test_write_comes_before_polls),
		cmocka_unit_test(test_no_write_to_what_is_read_only),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
