/* SPDX-License-Identifier: Apache-2.0 */
/* Whose answer it is: late answers, echoes of the request, confirmations that equal the command. */
#include "base/clock.h"
#include "board.h"

/* Time stands still, so that no time-out depends on how busy the machine is. */
#define TIMEOUT_US 200000 /* of all links here */

/* The round or command under way gets no answer; the line may be used again. */
static void let_time_out(struct fake_host *host)
{
	fake_advance(host, 2 * TIMEOUT_US);
}

static void begin_in_stopped_time(struct fake_host *host)
{
	expect_line(host, "is open");
	fake_stop_time(host);
}

/* Two modules that answer without an address, as those of the ADAM-4000 kind do. */
struct bus {
	struct fake_host *host;
	struct board board;
	struct hay_link *link;
	struct hay_device *first, *second;
};

static struct hay_device *module(struct hay_link *link, const char *name, const char *request)
{
	struct hay_device *device = fake_device(link, name, "request", request, NULL);

	fake_point(device, "v", NULL, 0, NULL);
	assert_int_equal(fake_start(device), 0);
	return device;
}

static void bus_new(struct bus *bus, const char *pattern)
{
	bus->host = fake_host_new(&hay_plugin, FAKE_INLINE);
	board_new(&bus->board);
	plug(&bus->board);
	bus->link = fake_link(bus->host, "bus", "port", bus->board.path, "decode", "regex", "delimiter", "\\r",
			      "pattern", pattern, "timeout", "200ms", NULL);
	assert_int_equal(fake_open(bus->link), 0);
	bus->first = module(bus->link, "first", "#01\\r");
	bus->second = module(bus->link, "second", "#02\\r");
	begin_in_stopped_time(bus->host);
}

static void bus_free(struct bus *bus)
{
	fake_host_free(bus->host);
	clock_set_fake(NULL);
	board_free(&bus->board);
}

/* The field: 25.12 of a slow module became the good value of its neighbour, round after round. */
static void a_late_answer_goes_to_no_other_device(void **state)
{
	const struct fake_event *event;
	struct bus bus;

	(void)state;
	bus_new(&bus, "^>(?<v>[-+][0-9.]+)");
	fake_poll(bus.first);
	expect_request(bus.host, &bus.board, "#01\r");
	fake_advance(bus.host, TIMEOUT_US);
	event = fake_wait(bus.host, FAKE_ROUND_DONE);
	assert_int_equal(event->reason, HAY_TIMEOUT);
	say(&bus.board, ">+025.12\r");
	expect_line(bus.host, "nothing was asked");
	assert_int_equal(fake_count(bus.host, FAKE_EMIT), 0);
	let_time_out(bus.host);
	fake_poll(bus.second);
	expect_request(bus.host, &bus.board, "#02\r");
	say(&bus.board, ">-003.50\r");
	event = fake_wait(bus.host, FAKE_ROUND_DONE);
	assert_ptr_equal(event->device, bus.second);
	assert_float_equal(number(event, 0), -3.5, 0);
	assert_int_equal(fake_count(bus.host, FAKE_EMIT), 0);
	bus_free(&bus);
}

/* What is said unasked goes to the devices that speak by themselves, also while nothing is asked. */
static void what_nobody_asked_for_is_for_those_that_speak_unasked(void **state)
{
	struct fake_host *host = fake_host_new(&hay_plugin, FAKE_INLINE);
	const struct fake_event *event;
	struct board board;

	(void)state;
	board_new(&board);
	plug(&board);
	struct hay_link *link = fake_link(host, "l", "port", board.path, "timeout", "200ms", NULL);
	struct hay_device *talker = fake_device(link, "talker", NULL);

	fake_point(talker, "v", NULL, 0, NULL);
	fake_open(link);
	fake_start(talker);
	struct hay_device *asked = module(link, "asked", "?\\n");

	begin(host, &board);
	fake_stop_time(host);
	say(&board, "{\"v\":1}\n");
	event = fake_wait(host, FAKE_EMIT);
	assert_ptr_equal(event->device, talker);
	fake_poll(asked);
	expect_request(host, &board, "?\n");
	say(&board, "{\"v\":2}\n");
	event = fake_wait(host, FAKE_ROUND_DONE);
	assert_float_equal(number(event, 0), 2, 0);
	assert_int_equal(fake_count(host, FAKE_EMIT), 1);
	fake_host_free(host);
	clock_set_fake(NULL);
	board_free(&board);
}

/* The end of a late answer, cut in two by the next request, would be a shorter number. */
static void a_late_answer_is_not_cut_in_two(void **state)
{
	const struct fake_event *event;
	struct bus bus;

	(void)state;
	bus_new(&bus, "(?<v>[-+]?[0-9.]+)$");
	fake_poll(bus.first);
	expect_request(bus.host, &bus.board, "#01\r");
	fake_advance(bus.host, TIMEOUT_US);
	event = fake_wait(bus.host, FAKE_ROUND_DONE);
	assert_int_equal(event->reason, HAY_TIMEOUT);
	fake_poll(bus.second);
	fake_advance(bus.host, 195000);
	say(&bus.board, ">+1\r>+02");
	expect_line(bus.host, "nothing was asked");
	fake_advance(bus.host, 10000); /* past the quiet time, in the middle of an answer */
	say_in_stopped_time(bus.host, &bus.board, bus.link, "5.12\r", 5);
	fake_advance(bus.host, 100000);
	expect_request(bus.host, &bus.board, "#02\r");
	assert_null(fake_take(bus.host, FAKE_ROUND_DONE));
	say(&bus.board, ">-003.50\r");
	event = fake_wait(bus.host, FAKE_ROUND_DONE);
	assert_float_equal(number(event, 0), -3.5, 0);
	bus_free(&bus);
}

/* ---- echoes ---- */

/* A Daly battery's request is a frame of the same form as its answer: 13 bytes, the last their sum. */
#define ASK "\xa5\x40\x90\x08\x00\x00\x00\x00\x00\x00\x00\x00\x7d"
#define STATE "\xa5\x01\x90\x08\x02\x14\x00\x00\x75\x45\x03\x78\x89"

struct battery {
	struct fake_host *host;
	struct board board;
	struct hay_device *device;
};

static void battery_new(struct battery *battery)
{
	battery->host = fake_host_new(&hay_plugin, FAKE_INLINE);
	board_new(&battery->board);
	plug(&battery->board);
	struct hay_link *link =
		fake_link(battery->host, "l", "port", battery->board.path, "decode", "binary", "frame", "fixed",
			  "length", "13", "start", "\\xA5", "checksum", "sum8", "timeout", "200ms", NULL);

	battery->device = fake_device(link, "d", "request",
				      "\\xA5\\x40\\x90\\x08\\x00\\x00\\x00\\x00\\x00\\x00\\x00\\x00{checksum}", NULL);
	fake_point(battery->device, "voltage", "uint16", 0, "at", "4", NULL);
	fake_open(link);
	fake_start(battery->device);
	begin_in_stopped_time(battery->host);
}

static void battery_ask(struct battery *battery)
{
	struct serial_heard heard = {.board = &battery->board, .wanted = 13};

	fake_poll(battery->device);
	fake_run_until(battery->host, heard_enough, &heard);
	assert_memory_equal(heard.text, ASK, 13);
}

static void battery_free(struct battery *battery)
{
	fake_host_free(battery->host);
	clock_set_fake(NULL);
	board_free(&battery->board);
}

/* The field: an adapter that hears itself made 0 V and -3000 A of the request. */
static void the_echo_of_a_request_is_not_its_answer(void **state)
{
	const struct fake_event *event;
	struct battery battery;

	(void)state;
	battery_new(&battery);
	/* A glitch of the driver first, the echo in pieces, the answer behind it. */
	battery_ask(&battery);
	say_in_stopped_time(battery.host, &battery.board, battery.device->link, "\0" ASK, 6);
	say_n(&battery.board, &"\0" ASK[6], 8);
	say_n(&battery.board, STATE, 13);
	event = fake_wait(battery.host, FAKE_ROUND_DONE);
	assert_int_equal(event->result, HAY_OK);
	assert_int_equal(fake_reading(event, 0)->value.u, 532);

	/* Only the echo: the device is away, and that is what is said. */
	for (int i = 0; i < 2; i++) {
		battery_ask(&battery);
		say_in_stopped_time(battery.host, &battery.board, battery.device->link, ASK, 13);
		let_time_out(battery.host);
		event = fake_wait(battery.host, FAKE_ROUND_DONE);
		assert_int_equal(event->result, HAY_FAILED);
		assert_int_equal(event->reason, HAY_TIMEOUT);
		assert_non_null(strstr(event->text, "echo"));
	}
	battery_free(&battery);
}

/* Where requests met silence the line does not hear itself: what equals the request was said by the device. */
static void an_answer_that_equals_its_request_is_one_where_the_line_has_no_echo(void **state)
{
	const struct fake_event *event;
	struct battery battery;

	(void)state;
	battery_new(&battery);
	for (int i = 0; i < 2; i++) {
		battery_ask(&battery);
		let_time_out(battery.host);
		event = fake_wait(battery.host, FAKE_ROUND_DONE);
		assert_int_equal(event->reason, HAY_TIMEOUT);
	}
	battery_ask(&battery);
	say_n(&battery.board, ASK, 13);
	event = fake_wait(battery.host, FAKE_ROUND_DONE);
	assert_int_equal(event->result, HAY_OK);
	assert_int_equal(fake_reading(event, 0)->value.u, 0);
	battery_free(&battery);
}

/* Bytes without marks: what is left of the echo would be read at the answer's places. */
static void an_echo_of_another_length_shifts_nothing(void **state)
{
	struct fake_host *host = fake_host_new(&hay_plugin, FAKE_INLINE);
	const struct fake_event *event;
	struct board board;

	(void)state;
	board_new(&board);
	plug(&board);
	struct hay_link *link = fake_link(host, "l", "port", board.path, "decode", "binary", "frame", "fixed", "length",
					  "6", "timeout", "200ms", NULL);
	struct hay_device *device = fake_device(link, "d", "request", "\\x01\\x03\\x00\\x08", NULL);

	fake_point(device, "level", "uint16", 0, "at", "2", NULL);
	fake_open(link);
	fake_start(device);
	begin_in_stopped_time(host);
	for (int i = 0; i < 2; i++) {
		struct serial_heard heard = {.board = &board, .wanted = 4};

		fake_poll(device);
		fake_run_until(host, heard_enough, &heard);
		say_n(&board, "\x01\x03\x00\x08\x01\x03\x01\x2c\x00\x00", 10);
		event = fake_wait(host, FAKE_ROUND_DONE);
		assert_int_equal(fake_reading(event, 0)->value.u, 300);
	}
	/* An answer that begins like the request, and goes on otherwise, is whole. */
	struct serial_heard heard = {.board = &board, .wanted = 4};

	fake_poll(device);
	fake_run_until(host, heard_enough, &heard);
	say_n(&board, "\x01\x03\x00\x09\x00\x00", 6);
	event = fake_wait(host, FAKE_ROUND_DONE);
	assert_int_equal(fake_reading(event, 0)->value.u, 9);
	fake_host_free(host);
	clock_set_fake(NULL);
	board_free(&board);
}

/* Asked "T", a board says "T=21.5": that begins with the request, and is all answer. */
static void an_answer_that_begins_with_its_request_is_whole(void **state)
{
	struct fake_host *host = fake_host_new(&hay_plugin, FAKE_INLINE);
	const struct fake_event *event;
	struct board board;

	(void)state;
	board_new(&board);
	plug(&board);
	struct hay_link *link =
		fake_link(host, "l", "port", board.path, "decode", "keyvalue", "timeout", "200ms", NULL);
	struct hay_device *device = fake_device(link, "d", "request", "T", NULL);

	fake_point(device, "T", NULL, 0, NULL);
	fake_open(link);
	fake_start(device);
	begin_in_stopped_time(host);
	fake_poll(device);
	expect_request(host, &board, "T");
	say(&board, "T=21.5\n");
	event = fake_wait(host, FAKE_ROUND_DONE);
	assert_int_equal(event->result, HAY_OK);
	assert_float_equal(number(event, 0), 21.5, 0);
	fake_host_free(host);
	clock_set_fake(NULL);
	board_free(&board);
}

/* ---- commands ---- */

struct lamp {
	struct fake_host *host;
	struct board board;
	struct hay_device *device;
};

static void lamp_new(struct lamp *lamp)
{
	lamp->host = fake_host_new(&hay_plugin, FAKE_INLINE);
	board_new(&lamp->board);
	plug(&lamp->board);
	struct hay_link *link =
		fake_link(lamp->host, "l", "port", lamp->board.path, "decode", "keyvalue", "timeout", "200ms", NULL);

	lamp->device = fake_device(link, "d", "request", "?\\n", NULL);
	fake_point(lamp->device, "L", NULL, HAY_POINT_WRITABLE, "write_template", "L={value}\\n", "write_ack",
		   "^(L=[0-9]+|OK)$", NULL);
	fake_open(link);
	fake_start(lamp->device);
	begin_in_stopped_time(lamp->host);
}

static void lamp_write(struct lamp *lamp)
{
	struct hay_value value = {.type = HAY_FLOAT64, .d = 1};
	struct hay_command *command;

	assert_int_equal(fake_write(lamp->device, 0, value, &command), 0);
	expect_request(lamp->host, &lamp->board, "L=1\n");
}

/* Its bytes come back, and nothing else does. */
static void lamp_echo(struct lamp *lamp)
{
	say_in_stopped_time(lamp->host, &lamp->board, lamp->device->link, "L=1\n", 4);
	let_time_out(lamp->host);
}

static void lamp_poll(struct lamp *lamp, const char *answer, enum hay_result result)
{
	fake_poll(lamp->device);
	expect_request(lamp->host, &lamp->board, "?\n");
	if (*answer)
		say(&lamp->board, answer);
	else
		let_time_out(lamp->host);
	assert_int_equal(fake_wait(lamp->host, FAKE_ROUND_DONE)->result, result);
}

static void lamp_free(struct lamp *lamp)
{
	fake_host_free(lamp->host);
	clock_set_fake(NULL);
	board_free(&lamp->board);
}

/*
 * A confirmation that equals the command: where nothing has shown yet whether the line hears itself it may be an echo, and was
 * told as done, on a line with an echo also for a device that was switched off. Done is what the device confirmed.
 */
static void a_confirmation_that_equals_the_command_is_one(void **state)
{
	const struct fake_event *done;
	struct lamp lamp;

	(void)state;
	lamp_new(&lamp);
	for (int i = 0; i < 2; i++) {
		lamp_write(&lamp);
		lamp_echo(&lamp);
		done = fake_wait(lamp.host, FAKE_COMMAND_DONE);
		assert_int_equal(done->outcome, HAY_UNKNOWN);
		assert_non_null(strstr(done->text, "hears itself"));
		assert_int_equal(done->value.type, HAY_TYPE_NONE);
	}
	lamp_poll(&lamp, "", HAY_FAILED);
	lamp_poll(&lamp, "L=0\n", HAY_OK);
	lamp_write(&lamp);
	say(&lamp.board, "L=1\n");
	assert_int_equal(fake_wait(lamp.host, FAKE_COMMAND_DONE)->outcome, HAY_WRITTEN);
	lamp_free(&lamp);
}

/* A poll and a command wait for the line: whoever switches the lamp is not kept waiting by a period. */
static void a_command_goes_before_a_poll(void **state)
{
	struct hay_value value = {.type = HAY_FLOAT64, .d = 1};
	struct hay_command *command;
	struct lamp lamp;

	(void)state;
	lamp_new(&lamp);
	fake_poll(lamp.device);
	expect_request(lamp.host, &lamp.board, "?\n");
	assert_int_equal(fake_write(lamp.device, 0, value, &command), 0);
	say(&lamp.board, "L=0\n");
	assert_int_equal(fake_wait(lamp.host, FAKE_ROUND_DONE)->result, HAY_OK);
	fake_poll(lamp.device);
	expect_request(lamp.host, &lamp.board, "L=1\n");
	say(&lamp.board, "OK\n");
	assert_int_equal(fake_wait(lamp.host, FAKE_COMMAND_DONE)->outcome, HAY_WRITTEN);
	expect_request(lamp.host, &lamp.board, "?\n");
	say(&lamp.board, "L=1\n");
	assert_int_equal(fake_wait(lamp.host, FAKE_ROUND_DONE)->result, HAY_OK);
	lamp_free(&lamp);
}

/* On a line that hears itself a command's echo is no acknowledgement, however the pattern reads. */
static void the_echo_of_a_command_is_not_its_acknowledgement(void **state)
{
	const struct fake_event *done;
	struct lamp lamp;

	(void)state;
	lamp_new(&lamp);
	lamp_poll(&lamp, "?\nL=0\n", HAY_OK);
	lamp_write(&lamp);
	lamp_echo(&lamp);
	done = fake_wait(lamp.host, FAKE_COMMAND_DONE);
	assert_int_equal(done->outcome, HAY_UNKNOWN);
	assert_non_null(strstr(done->text, "echo"));
	lamp_write(&lamp);
	say(&lamp.board, "L=1\nL=1\n");
	assert_int_equal(fake_wait(lamp.host, FAKE_COMMAND_DONE)->outcome, HAY_WRITTEN);
	lamp_free(&lamp);
}

/* A command that waits for no acknowledgement is over when it is sent: its echo meets the next request. */
static void the_echo_of_a_command_is_not_the_answer_to_the_next_request(void **state)
{
	struct fake_host *host = fake_host_new(&hay_plugin, FAKE_INLINE);
	struct hay_value value = {.type = HAY_FLOAT64, .d = 1};
	const struct fake_event *event;
	struct hay_command *command;
	struct board board;

	(void)state;
	board_new(&board);
	plug(&board);
	struct hay_link *link =
		fake_link(host, "l", "port", board.path, "decode", "keyvalue", "timeout", "200ms", NULL);
	struct hay_device *device = fake_device(link, "d", "request", "?\\n", NULL);

	fake_point(device, "L", NULL, HAY_POINT_WRITABLE, "write_template", "L={value}\\n", NULL);
	fake_open(link);
	fake_start(device);
	begin_in_stopped_time(host);
	fake_write(device, 0, value, &command);
	fake_poll(device);
	expect_request(host, &board, "L=1\n?\n");
	say(&board, "L=1\n?\nL=0\n");
	event = fake_wait(host, FAKE_ROUND_DONE);
	assert_float_equal(number(event, 0), 0, 0);
	fake_host_free(host);
	clock_set_fake(NULL);
	board_free(&board);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_late_answer_goes_to_no_other_device),
		cmocka_unit_test(what_nobody_asked_for_is_for_those_that_speak_unasked),
		cmocka_unit_test(a_late_answer_is_not_cut_in_two),
		cmocka_unit_test(the_echo_of_a_request_is_not_its_answer),
		cmocka_unit_test(an_answer_that_equals_its_request_is_one_where_the_line_has_no_echo),
		cmocka_unit_test(an_echo_of_another_length_shifts_nothing),
		cmocka_unit_test(an_answer_that_begins_with_its_request_is_whole),
		cmocka_unit_test(a_confirmation_that_equals_the_command_is_one),
		cmocka_unit_test(a_command_goes_before_a_poll),
		cmocka_unit_test(the_echo_of_a_command_is_not_its_acknowledgement),
		cmocka_unit_test(the_echo_of_a_command_is_not_the_answer_to_the_next_request),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
