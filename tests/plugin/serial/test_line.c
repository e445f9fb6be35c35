/* SPDX-License-Identifier: Apache-2.0 */
/* Links on pseudo-terminals: what is said, asked, written, unplugged and plugged in again. */
#include "base/clock.h"
#include "board.h"
#include <math.h>

static void json_lines_become_readings(void **state)
{
	struct fake_host *host = fake_host_new(&hay_plugin, FAKE_INLINE);
	struct board board;
	const struct fake_event *event;

	(void)state;
	board_new(&board);
	plug(&board);
	struct hay_link *link = fake_link(host, "pico", "port", board.path, NULL);
	struct hay_device *device = fake_device(link, "pico", NULL);

	fake_point(device, "temp", NULL, 0, "field", "env.temp", NULL);
	fake_point(device, "second", "int16", 0, "field", "list[1]", NULL);
	fake_point(device, "name", "string", 0, NULL);
	assert_int_equal(fake_open(link), 0);
	assert_int_equal(fake_start(device), 0);
	assert_true(device->flags & HAY_DEVICE_UNPOLLED);
	begin(host, &board);

	say(&board, "{\"env\":{\"temp\":21.5},\"list\":[1,-7],\"name\":\"Gr\xc3\xbc\xc3\x9f\"}\r\n");
	event = fake_wait(host, FAKE_EMIT);
	assert_float_equal(number(event, 0), 21.5, 0);
	assert_int_equal(fake_reading(event, 1)->value.i, -7);
	assert_memory_equal(fake_reading(event, 2)->value.s.data, "Gr\xc3\xbc\xc3\x9f", 6);

	/* Values that are none are bad, and fields that are not there are not in the sample. */
	say(&board, "{\"env\":{\"temp\":\"warm\"},\"list\":[1,70000],\"name\":null}\n{\"name\":\"b\"}\n");
	event = fake_wait(host, FAKE_EMIT);
	assert_int_equal(fake_reading(event, 0)->reason, HAY_DECODE);
	assert_int_equal(fake_reading(event, 1)->reason, HAY_OUT_OF_RANGE);
	assert_int_equal(fake_reading(event, 2)->quality, HAY_BAD);
	event = fake_wait(host, FAKE_EMIT);
	assert_int_equal(event->sample.n_readings, 1);

	/* Larger than any whole type: what a float64 makes of it is told to be uncertain. */
	say(&board, "{\"env\":{\"temp\":18446744073709551616},\"list\":[0,18446744073709551616]}\n");
	event = fake_wait(host, FAKE_EMIT);
	assert_int_equal(fake_reading(event, 0)->quality, HAY_UNCERTAIN);
	assert_int_equal(fake_reading(event, 0)->reason, HAY_OUT_OF_RANGE);
	assert_int_equal(fake_reading(event, 1)->quality, HAY_BAD);

	/* Garbage before, between and inside; binary zeros; invalid UTF-8: told once, and the next line is right. */
	static const char garbage[] = "\x00\xff\xfe{\n{\"env\":{\"te\x00mp\":1}}\n{\"name\":\"\xc3\x28\"}\n"
				      "{\"env\":{\"temp\":3}}\n";

	say_n(&board, garbage, sizeof(garbage) - 1);
	event = fake_wait(host, FAKE_EMIT);
	assert_float_equal(number(event, 0), 3, 0);
	expect_line(host, "makes no sense");
	assert_int_equal(fake_count(host, FAKE_EMIT), 5);
	fake_host_free(host);
	board_free(&board);
}

static void without_points_every_field_becomes_one(void **state)
{
	struct fake_host *host = fake_host_new(&hay_plugin, FAKE_INLINE);
	struct board board;
	const struct fake_event *event;

	(void)state;
	board_new(&board);
	plug(&board);
	struct hay_link *link =
		fake_link(host, "l", "port", board.path, "decode", "keyvalue", "match_field", "id", NULL);
	struct hay_device *a = fake_device(link, "a", "match", "7", NULL),
			  *b = fake_device(link, "b", "match", "x", NULL);

	fake_open(link);
	fake_start(a);
	fake_start(b);
	begin(host, &board);
	say(&board, "id=7;T=21.5;H=40;state=on air;T=99\n");
	event = fake_wait(host, FAKE_EMIT);
	assert_ptr_equal(event->device, a);
	assert_int_equal(a->n_points, 3);
	assert_string_equal(a->points[0]->name, "T");
	assert_float_equal(number(event, 0), 21.5, 0);
	assert_int_equal(fake_reading(event, 2)->value.type, HAY_STRING);
	say(&board, "id=nobody;T=1\nT=2\nid=x;T=-3e1\n");
	event = fake_wait(host, FAKE_EMIT);
	assert_ptr_equal(event->device, b);
	assert_float_equal(number(event, 0), -30, 0);
	assert_int_equal(fake_count(host, FAKE_EMIT), 2);
	expect_line(host, "no device has that `match`");
	fake_host_free(host);
	board_free(&board);
}

/* Frames, one a line, for a device without points; the last one's value of `t` as the sample has it. */
static const struct hay_reading *last_of(struct fake_host *host, const struct board *board, const char *const *frames,
					 size_t n)
{
	const struct fake_event *event = NULL;

	for (size_t i = 0; i < n; i++) {
		say(board, frames[i]);
		event = fake_wait(host, FAKE_EMIT);
	}
	return fake_reading(event, 0);
}

/* The field: a board that says "init" once and numbers from then on was bad until the daemon was started again. */
static void the_first_word_does_not_fix_the_type(void **state)
{
	static const char *const json[] = {"{\"t\":\"init\"}\n", "{\"t\":\"warm-up\"}\n", "{\"t\":21.5}\n"},
				 *const words[] = {"t=init\n", "t=init\n", "t=21.5\n"},
				 *const names[] = {"t=12AB\n", "t=7C1F\n", "t=2150\n"};
	const struct hay_reading *reading;

	(void)state;
	for (int i = 0; i < 3; i++) {
		struct fake_host *host = fake_host_new(&hay_plugin, FAKE_INLINE);
		struct board board;

		board_new(&board);
		plug(&board);
		struct hay_link *link =
			fake_link(host, "l", "port", board.path, "decode", i == 0 ? "json" : "keyvalue", NULL);
		struct hay_device *device = fake_device(link, "d", NULL);

		fake_open(link);
		fake_start(device);
		begin(host, &board);
		reading = last_of(host, &board, i == 0 ? json : i == 1 ? words : names, 3);
		assert_int_equal(device->n_points, 1);
		assert_int_equal(reading->quality, HAY_GOOD);
		if (i < 2) {
			assert_int_equal(reading->value.type, HAY_FLOAT64);
			assert_float_equal(reading->value.d, 21.5, 0);
			/* Numbers win: a word among them is bad, and the next number good. */
			reading = last_of(host, &board, i == 0 ? json : words, 1);
			assert_int_equal(reading->reason, HAY_DECODE);
			reading = last_of(host, &board, i == 0 ? json + 2 : words + 2, 1);
			assert_int_equal(reading->quality, HAY_GOOD);
		} else {
			/* A name that is all digits once stays a name. */
			assert_int_equal(reading->value.type, HAY_STRING);
			assert_memory_equal(reading->value.s.data, "2150", 4);
		}
		fake_host_free(host);
		board_free(&board);
	}
}

/* The field: {"t":1e400} as the first value of a device without points made a text of it, and went up as a good value. */
static void a_number_beyond_a_double_is_no_text(void **state)
{
	static const char *const frames[] = {"{\"t\":1e400}\n", "{\"t\":21.5}\n", "{\"t\":-1e400}\n"};
	struct fake_host *host = fake_host_new(&hay_plugin, FAKE_INLINE);
	struct board board;

	(void)state;
	board_new(&board);
	plug(&board);
	struct hay_link *link = fake_link(host, "l", "port", board.path, NULL);
	struct hay_device *device = fake_device(link, "d", NULL);

	fake_open(link);
	fake_start(device);
	begin(host, &board);
	for (int i = 0; i < 3; i++) {
		const struct hay_reading *reading = last_of(host, &board, frames + i, 1);

		assert_int_equal(device->n_points, 1);
		assert_int_equal(device->points[0]->type, HAY_FLOAT64);
		assert_int_equal(reading->quality, i == 1 ? HAY_GOOD : HAY_BAD);
		assert_int_equal(reading->reason, i == 1 ? HAY_NO_REASON : HAY_OUT_OF_RANGE);
	}
	fake_host_free(host);
	board_free(&board);
}

static void unplugged_and_plugged_in_again(void **state)
{
	struct fake_host *host = fake_host_new(&hay_plugin, FAKE_INLINE);
	struct board board;
	const struct fake_event *event;

	(void)state;
	board_new(&board);
	struct hay_link *link = fake_link(host, "l", "port", board.path, NULL);
	struct hay_device *device = fake_device(link, "d", NULL);

	fake_point(device, "t", NULL, 0, NULL);
	fake_open(link);
	fake_start(device);
	event = fake_wait(host, FAKE_LINK_DOWN);
	assert_non_null(strstr(event->text, "is not there"));
	for (int i = 0; i < 3; i++) {
		plug(&board);
		fake_wait(host, FAKE_LINK_UP);
		begin(host, &board);
		say(&board, "{\"t\":1}\n{\"t\":"); /* vanishes in a frame */
		event = fake_wait(host, FAKE_EMIT);
		assert_float_equal(number(event, 0), 1, 0);
		unplug(&board);
		event = fake_wait(host, FAKE_LINK_DOWN);
		assert_non_null(strstr(event->text, "unplugged"));
		assert_int_equal(event->reason, HAY_OFFLINE);
	}
	assert_int_equal(fake_count(host, FAKE_EMIT), 3); /* half a frame is no reading */
	fake_host_free(host);
	board_free(&board);
}

/* The rest of a line lies there when the port is open, and the loop comes to it late: it is still no line. */
static void the_rest_of_a_line_is_no_line_however_busy_the_loop_was(void **state)
{
	struct fake_host *host = fake_host_new(&hay_plugin, FAKE_INLINE);
	struct board board;
	struct clock_fake later;
	const struct fake_event *event;

	(void)state;
	board_new(&board);
	plug(&board);
	struct hay_link *link = fake_link(host, "l", "port", board.path, "decode", "csv", "columns", "n,copy", NULL);
	struct hay_device *device = fake_device(link, "d", NULL);

	fake_point(device, "n", NULL, 0, NULL);
	fake_open(link);
	fake_start(device);
	expect_line(host, "is open");
	say(&board, "34,1234\n");
	later = (struct clock_fake){.now = clock_now() + USEC_PER_SEC, .wall = clock_wall()};
	clock_set_fake(&later);
	say(&board, "1235,1235\n");
	event = fake_wait(host, FAKE_EMIT);
	clock_set_fake(NULL);
	assert_float_equal(number(event, 0), 1235, 0);
	fake_host_free(host);
	board_free(&board);
}

static void a_port_is_one_programs(void **state)
{
	struct fake_host *host = fake_host_new(&hay_plugin, FAKE_INLINE);
	struct board board;
	const struct fake_event *event;

	(void)state;
	board_new(&board);
	plug(&board);
	struct hay_link *first = fake_link(host, "a", "port", board.path, NULL);
	struct hay_link *second = fake_link(host, "b", "port", board.path, NULL);

	fake_open(first);
	expect_line(host, "is open");
	fake_open(second);
	event = fake_wait(host, FAKE_LINK_DOWN);
	assert_ptr_equal(event->link, second);
	assert_int_equal(event->reason, HAY_REFUSED);
	assert_non_null(strstr(event->text, "another program"));
	fake_close(first);
	event = fake_wait(host, FAKE_LINK_UP);
	while (event->link != second)
		event = fake_wait(host, FAKE_LINK_UP);
	fake_host_free(host);
	board_free(&board);
}

static void asked_and_answered(void **state)
{
	struct fake_host *host = fake_host_new(&hay_plugin, FAKE_INLINE);
	struct board board;
	const struct fake_event *event;

	(void)state;
	board_new(&board);
	plug(&board);
	struct hay_link *link = fake_link(host, "l", "port", board.path, "decode", "regex", "pattern",
					  "^S[ST] +(?<weight>-?[0-9.]+) kg", "timeout", "300ms", NULL);
	struct hay_device *device = fake_device(link, "scale", "request", "\\x51\\r\\n", NULL);

	fake_point(device, "weight", NULL, 0, NULL);
	fake_open(link);
	fake_start(device);
	assert_true(device->flags & HAY_DEVICE_POLLED_WHOLE);
	assert_int_equal(fake_poll(device), 0);
	expect_request(host, &board, "Q\r\n");
	say(&board, "Q\r\nSS   12.340 kg\r\n"); /* its echo first */
	event = fake_wait(host, FAKE_ROUND_DONE);
	assert_int_equal(event->result, HAY_OK);
	assert_float_equal(number(event, 0), 12.34, 0);

	/* Silence. */
	fake_poll(device);
	expect_request(host, &board, "Q\r\n");
	event = fake_wait(host, FAKE_ROUND_DONE);
	assert_int_equal(event->result, HAY_FAILED);
	assert_int_equal(event->reason, HAY_TIMEOUT);
	assert_int_equal(fake_reading(event, 0)->reason, HAY_TIMEOUT);

	/* The answer to that one comes late, and is not taken for the next one's. */
	say(&board, "SS   99.990 kg\r\n");
	fake_poll(device);
	expect_request(host, &board, "Q\r\n");
	say(&board, "ST   -0.020 kg\r\n");
	event = fake_wait(host, FAKE_ROUND_DONE);
	assert_float_equal(number(event, 0), -0.02, 0);

	/* Nonsense. */
	fake_poll(device);
	expect_request(host, &board, "Q\r\n");
	say(&board, "ES\r\n");
	event = fake_wait(host, FAKE_ROUND_DONE);
	assert_int_equal(event->reason, HAY_DECODE);

	/* Gone while it is asked. */
	fake_poll(device);
	expect_request(host, &board, "Q\r\n");
	unplug(&board);
	event = fake_wait(host, FAKE_ROUND_DONE);
	assert_int_equal(event->reason, HAY_OFFLINE);
	fake_poll(device);
	event = fake_wait(host, FAKE_ROUND_DONE);
	assert_int_equal(event->reason, HAY_OFFLINE);
	fake_host_free(host);
	board_free(&board);
}

static void written_and_acknowledged(void **state)
{
	struct fake_host *host = fake_host_new(&hay_plugin, FAKE_INLINE);
	struct hay_value on = {.type = HAY_BOOL, .b = true}, text = {.type = HAY_STRING, .s = {"a\nb", 3}},
			 half = {.type = HAY_FLOAT64, .d = 0.5};
	struct hay_command *command;
	struct board board;
	const struct fake_event *event;

	(void)state;
	board_new(&board);
	plug(&board);
	struct hay_link *link = fake_link(host, "l", "port", board.path, "timeout", "200ms", NULL);
	struct hay_device *device = fake_device(link, "d", NULL);

	fake_point(device, "led", "bool", HAY_POINT_WRITABLE, "write_template", "{\"led\":{value}}\\n", "write_ack",
		   "\"ok\" *: *\"led\"", NULL);
	fake_point(device, "text", "string", HAY_POINT_WRITABLE, "write_template", "say {value}\\n", NULL);
	fake_point(device, "dim", NULL, HAY_POINT_WRITABLE, "write_template", "D{value},{value}\\r", NULL);
	fake_open(link);
	fake_start(device);
	begin(host, &board);

	assert_int_equal(fake_write(device, 0, on, &command), 0);
	expect_request(host, &board, "{\"led\":1}\n");
	assert_null(fake_take(host, FAKE_COMMAND_DONE));
	say(&board, "{\"dim\":4}\n{\"ok\":\"led\"}\n");
	event = fake_wait(host, FAKE_COMMAND_DONE);
	assert_ptr_equal(event->command, command);
	assert_int_equal(event->outcome, HAY_WRITTEN);
	assert_false(event->read_back);
	assert_float_equal(number(fake_wait(host, FAKE_EMIT), 2), 4, 0); /* what comes between is heard too */

	/* Not acknowledged; the next one waits its turn. */
	fake_write(device, 0, on, &command);
	assert_int_equal(fake_write(device, 2, half, &command), 0);
	event = fake_wait(host, FAKE_COMMAND_DONE);
	assert_string_equal(event->text, "timeout: no acknowledgement came");
	assert_int_equal(event->outcome, HAY_UNKNOWN);
	event = fake_wait(host, FAKE_COMMAND_DONE);
	assert_int_equal(event->outcome, HAY_WRITTEN);
	assert_float_equal(event->value.d, 0.5, 0);
	expect_request(host, &board, "{\"led\":1}\nD0.5,0.5\r");

	/* A text that would be two messages. */
	fake_write(device, 1, text, &command);
	event = fake_wait(host, FAKE_COMMAND_DONE);
	assert_non_null(strstr(event->text, "control characters"));
	assert_int_equal(event->outcome, HAY_NOT_WRITTEN);
	fake_host_free(host);
	board_free(&board);
}

/* The port vanishes: what was on its way may have been done, what waited was not. */
static void unplugged_in_a_write(void **state)
{
	struct fake_host *host = fake_host_new(&hay_plugin, FAKE_INLINE);
	struct hay_value on = {.type = HAY_BOOL, .b = true};
	struct hay_command *first, *second;
	struct board board;
	const struct fake_event *event;

	(void)state;
	board_new(&board);
	plug(&board);
	struct hay_link *link = fake_link(host, "l", "port", board.path, "timeout", "60s", NULL);
	struct hay_device *device = fake_device(link, "d", NULL), *other = fake_device(link, "e", NULL);

	fake_point(device, "led", "bool", HAY_POINT_WRITABLE, "write_template", "L{value}\\n", "write_ack", "ok", NULL);
	fake_point(other, "led", "bool", HAY_POINT_WRITABLE, "write_template", "M{value}\\n", "write_ack", "ok", NULL);
	fake_open(link);
	fake_start(device);
	fake_start(other);
	begin(host, &board);
	assert_int_equal(fake_write(device, 0, on, &first), 0);
	expect_request(host, &board, "L1\n");
	assert_int_equal(fake_write(other, 0, on, &second), 0);
	unplug(&board);
	event = fake_wait(host, FAKE_COMMAND_DONE);
	assert_ptr_equal(event->command, first);
	assert_int_equal(event->outcome, HAY_UNKNOWN);
	assert_non_null(strstr(event->text, "unplugged"));
	event = fake_wait(host, FAKE_COMMAND_DONE);
	assert_ptr_equal(event->command, second);
	assert_int_equal(event->outcome, HAY_NOT_WRITTEN);
	/* It is back, and nothing of it is sent again. */
	while (fake_take(host, FAKE_LINK_UP))
		continue;
	plug(&board);
	fake_wait(host, FAKE_LINK_UP);
	assert_int_equal(fake_write(other, 0, on, &second), 0);
	expect_request(host, &board, "M1\n");
	fake_host_free(host);
	board_free(&board);
}

/* A device is stopped with a write under way and one that waits: only the first may have been done. */
static void stopped_in_a_write(void **state)
{
	struct fake_host *host = fake_host_new(&hay_plugin, FAKE_INLINE);
	struct hay_value on = {.type = HAY_BOOL, .b = true};
	struct hay_command wanted = {.value = on, .low = (double)NAN, .high = (double)NAN}, *command;
	struct board board;

	(void)state;
	board_new(&board);
	plug(&board);
	struct hay_link *link = fake_link(host, "l", "port", board.path, "timeout", "100ms", NULL);
	struct hay_device *device = fake_device(link, "d", NULL), *other = fake_device(link, "e", NULL);

	fake_point(device, "led", "bool", HAY_POINT_WRITABLE, "write_template", "L{value}\\n", "write_ack", "ok", NULL);
	fake_point(other, "led", "bool", HAY_POINT_WRITABLE, "write_template", "M{value}\\n", "write_ack", "ok", NULL);
	fake_open(link);
	fake_start(device);
	fake_start(other);
	begin(host, &board);
	fake_write(device, 0, on, &command);
	expect_request(host, &board, "L1\n");
	fake_write(other, 0, on, &command);
	fake_stop(other);
	assert_int_equal(fake_take(host, FAKE_COMMAND_DONE)->outcome, HAY_NOT_WRITTEN);
	fake_stop(device);
	assert_int_equal(fake_take(host, FAKE_COMMAND_DONE)->outcome, HAY_UNKNOWN);
	/* Its time was over while it waited for the line. */
	fake_start(other);
	wanted.device = other;
	wanted.expires_us = link->host->now() + 1;
	fake_write_command(&wanted, &command);
	assert_int_equal(fake_wait(host, FAKE_COMMAND_DONE)->outcome, HAY_EXPIRED);
	wanted.expires_us = 0;
	fake_write_command(&wanted, &command);
	expect_request(host, &board, "M1\n");
	fake_host_free(host);
	board_free(&board);
}

static void a_board_that_does_not_read_holds_up_nobody(void **state)
{
	struct fake_host *host = fake_host_new(&hay_plugin, FAKE_INLINE);
	struct hay_value value = {.type = HAY_STRING};
	struct hay_command *command;
	struct board board;
	const struct fake_event *event = NULL;
	char *big = malloc(60000);

	(void)state;
	board_new(&board);
	plug(&board);
	struct hay_link *link = fake_link(host, "l", "port", board.path, "timeout", "100ms", NULL);
	struct hay_device *device = fake_device(link, "d", NULL);

	fake_point(device, "text", "string", HAY_POINT_WRITABLE, "write_template", "{value}", NULL);
	fake_open(link);
	fake_start(device);
	begin(host, &board);
	memset(big, 'x', 60000);
	value.s.data = big;
	value.s.size = 60000;
	fake_write(device, 0, value, &command);
	/* Meanwhile it is heard. */
	say(&board, "{\"text\":\"still here\"}\n");
	fake_wait(host, FAKE_EMIT);
	event = fake_wait(host, FAKE_COMMAND_DONE);
	assert_string_equal(event->text, "timeout: the other side does not take what is sent");
	assert_int_equal(event->outcome, HAY_UNKNOWN); /* some of it was taken */
	free(big);
	fake_host_free(host);
	board_free(&board);
}

static void bytes_at_their_places(void **state)
{
	struct fake_host *host = fake_host_new(&hay_plugin, FAKE_INLINE);
	struct board board;
	const struct fake_event *event;

	(void)state;
	board_new(&board);
	plug(&board);
	struct hay_link *link = fake_link(host, "l", "port", board.path, "frame", "fixed", "length", "9", "checksum",
					  "sum8", "decode", "binary", "match_field", "0", NULL);
	struct hay_device *device = fake_device(link, "d", "match", "255", NULL);

	fake_point(device, "co2", "uint16", 0, "at", "2", NULL);
	fake_point(device, "little", "uint16", 0, "at", "2", "order", "little", NULL);
	fake_point(device, "t", "int8", 0, "at", "4", NULL);
	fake_point(device, "three", "int24", 0, "at", "4", NULL);
	fake_open(link);
	fake_start(device);
	begin(host, &board);
	say_n(&board, "\xff\x86\x02\x60\xfe\x00\x00\x00\xe5", 9);
	event = fake_wait(host, FAKE_EMIT);
	assert_int_equal(fake_reading(event, 0)->value.u, 0x260);
	assert_int_equal(fake_reading(event, 1)->value.u, 0x6002);
	assert_int_equal(fake_reading(event, 2)->value.i, -2);
	assert_int_equal(fake_reading(event, 3)->value.i, -131072);
	fake_host_free(host);
	board_free(&board);
}

static void frames_that_end_in_silence(void **state)
{
	struct fake_host *host = fake_host_new(&hay_plugin, FAKE_INLINE);
	const struct fake_event *event;
	struct board board;

	(void)state;
	board_new(&board);
	plug(&board);
	struct hay_link *link = fake_link(host, "l", "port", board.path, "frame", "idle", "gap", "30ms", "decode",
					  "csv", "columns", "a,b", NULL);
	struct hay_device *device = fake_device(link, "d", NULL);

	fake_open(link);
	fake_start(device);
	begin(host, &board); /* may be the end of a frame, and is thrown away */
	silence_until = link->host->now() + 100000;
	fake_run_until(host, silence_passed, link);
	say(&board, "1,2");
	event = fake_wait(host, FAKE_EMIT);
	assert_float_equal(number(event, 0), 1, 0);
	assert_float_equal(number(event, 1), 2, 0);
	assert_string_equal(device->points[1]->name, "b");
	fake_host_free(host);
	board_free(&board);
}

static void mistakes_are_told(void **state)
{
	struct fake_host *host = fake_host_new(&hay_plugin, FAKE_INLINE);
	struct hay_link *link;

	(void)state;
	assert_null(fake_link(host, "a", "port", "/x", "mode", "8X1", NULL));
	assert_non_null(strstr(fake_error(host), "mode \"8X1\""));
	assert_null(fake_link(host, "a", "port", "/x", "decode", "regex", NULL));
	assert_non_null(strstr(fake_error(host), "needs a `pattern`"));
	assert_null(fake_link(host, "a", "port", "/x", "decode", "regex", "pattern", "(?<t>[0-9", NULL));
	assert_non_null(strstr(fake_error(host), "at character"));
	assert_null(fake_link(host, "a", "port", "/x", "decode", "regex", "pattern", "[0-9]", NULL));
	assert_non_null(strstr(fake_error(host), "no named group"));
	assert_null(fake_link(host, "a", "port", "/x", "frame", "fixed", NULL));
	assert_null(fake_link(host, "a", "port", "/x", "request", "\\y", NULL));
	assert_non_null(strstr(fake_error(host), "escape"));
	assert_null(fake_link(host, "a", "port", "/x", "separator", ";", NULL));
	assert_non_null(strstr(fake_error(host), "belongs to"));
	assert_null(fake_link(host, "a", "port", "/x", "request", "?{checksum}\\r", NULL));
	assert_non_null(strstr(fake_error(host), "no `checksum`"));
	assert_null(fake_link(host, "a", "port", "/x", "checksum_at", "after", NULL));
	assert_non_null(strstr(fake_error(host), "belongs to a `checksum`"));
	assert_null(fake_link(host, "a", "port", "/x", "checksum", "xor", "checksum_of", "end", NULL));
	assert_non_null(strstr(fake_error(host), "needs checksum_at"));
	assert_null(fake_link(host, "a", "port", "/x", "decimal", ",", NULL));
	assert_non_null(strstr(fake_error(host), "belongs to"));
	assert_null(fake_link(host, "a", "port", "/x", "decode", "csv", "decimal", ",", NULL));
	assert_non_null(strstr(fake_error(host), "another `separator`"));
	link = fake_link(host, "a", "port", "/x", "match_field", "id", NULL);
	assert_null(fake_device(link, "d", NULL));
	assert_non_null(strstr(fake_error(host), "needs `match`"));
	link = fake_link(host, "b", "port", "/x", "decode", "regex", "pattern", "(?<t>.)", NULL);
	assert_null(fake_point(fake_device(link, "d", NULL), "u", NULL, 0, NULL));
	assert_non_null(strstr(fake_error(host), "no group `u`"));
	link = fake_link(host, "c", "port", "/x", NULL);
	assert_null(fake_point(fake_device(link, "e", NULL), "u", NULL, HAY_POINT_WRITABLE, NULL));
	assert_non_null(strstr(fake_error(host), "needs `write_template`"));
	fake_host_free(host);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(json_lines_become_readings),
		cmocka_unit_test(without_points_every_field_becomes_one),
		cmocka_unit_test(the_first_word_does_not_fix_the_type),
		cmocka_unit_test(a_number_beyond_a_double_is_no_text),
		cmocka_unit_test(unplugged_and_plugged_in_again),
		cmocka_unit_test(the_rest_of_a_line_is_no_line_however_busy_the_loop_was),
		cmocka_unit_test(a_port_is_one_programs),
		cmocka_unit_test(asked_and_answered),
		cmocka_unit_test(written_and_acknowledged),
		cmocka_unit_test(unplugged_in_a_write),
		cmocka_unit_test(stopped_in_a_write),
		cmocka_unit_test(a_board_that_does_not_read_holds_up_nobody),
		cmocka_unit_test(bytes_at_their_places),
		cmocka_unit_test(frames_that_end_in_silence),
		cmocka_unit_test(mistakes_are_told),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
