/* SPDX-License-Identifier: Apache-2.0 */
/* The window of an uplink and the token bucket of its backlog: pure, so no broker here. */
#include "upstream/replay.h"
#include "upstream/window.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static struct window *make(size_t messages, size_t batch, uint64_t wait_us)
{
	struct window *window;
	const struct window_limits limits = {.messages = messages, .batch = batch, .batch_wait_us = wait_us};
	assert_int_equal(window_new(&limits, &window), 0);
	return window;
}

static int push(struct window *window, uint64_t id, uint32_t group, uint64_t now)
{
	struct sample *sample = sample_new(1, 0, NULL, 0);
	assert_non_null(sample);
	sample->id = id;
	return window_push(window, sample, group, false, now);
}

static void sent(struct window *window, int mid, uint64_t now)
{
	const struct window_message message = {.sent_us = now, .n_packets = 1};
	assert_int_equal(window_next(window), mid);
	window_sent(window, &message);
}

/* Picks the next message and sends it as mid; gives the ids in it as text, "" for none. */
static const char *send_next(struct window *window, int mid, uint64_t now)
{
	static char text[256];
	struct sample *const *samples;
	size_t n = window_pick(window, now, &samples), used = 0;
	text[0] = '\0';
	for (size_t i = 0; i < n; i++)
		used += (size_t)snprintf(text + used, sizeof(text) - used, "%s%llu", i ? " " : "",
					 (unsigned long long)samples[i]->id);
	if (n)
		sent(window, mid, now);
	return text;
}

static uint64_t cursor(struct window *window)
{
	uint64_t id = 0;
	return window_cursor(window, &id) ? id : 0;
}

static size_t ack(struct window *window, int mid)
{
	return window_acked(window, (uint64_t)mid);
}

static void test_cursor_is_the_acknowledged_prefix(void **state)
{
	(void)state;
	struct window *window = make(4, 1, 0);
	for (uint64_t id = 11; id <= 14; id++)
		push(window, id, 0, 0);
	for (int mid = 1; mid <= 4; mid++)
		send_next(window, mid, 0);
	assert_int_equal(ack(window, 2), 1);
	assert_int_equal(ack(window, 4), 1);
	assert_int_equal(cursor(window), 0);
	ack(window, 1);
	assert_int_equal(cursor(window), 12);
	assert_int_equal(cursor(window), 0);
	ack(window, 3);
	assert_int_equal(cursor(window), 14);
	assert_int_equal(ack(window, 3), 0);
	window_free(window);
}

static void test_no_more_in_flight_than_allowed(void **state)
{
	(void)state;
	struct window *window = make(3, 1, 0);
	assert_int_equal(window_space(window), 3);
	for (uint64_t id = 1; id <= 3; id++)
		push(window, id, 0, 0);
	assert_int_equal(window_space(window), 0);
	window_set_messages(window, 2);
	assert_string_equal(send_next(window, 1, 0), "1");
	assert_string_equal(send_next(window, 2, 0), "2");
	assert_string_equal(send_next(window, 3, 0), "");
	assert_int_equal(window_inflight(window), 2);
	ack(window, 2);
	assert_string_equal(send_next(window, 3, 0), "3");
	/* The first is still open: what it holds up bounds what is read ahead. */
	assert_int_equal(window_space(window), 0);
	ack(window, 1);
	assert_int_equal(window_space(window), 2);
	window_free(window);
}

static void test_batches_hold_one_group_oldest_first(void **state)
{
	(void)state;
	struct window *window = make(10, 3, 0);
	for (uint64_t id = 1; id <= 8; id++)
		push(window, id, id % 2, 0);
	assert_string_equal(send_next(window, 1, 0), "1 3 5");
	assert_string_equal(send_next(window, 2, 0), "2 4 6");
	assert_string_equal(send_next(window, 3, 0), "7");
	assert_string_equal(send_next(window, 4, 0), "8");
	assert_int_equal(ack(window, 1), 3);
	assert_int_equal(cursor(window), 1);
	ack(window, 2);
	assert_int_equal(cursor(window), 6);
	window_free(window);
}

static void test_batch_wait(void **state)
{
	(void)state;
	struct window *window = make(10, 2, 1000);
	push(window, 1, 7, 100);
	push(window, 2, 8, 200);
	assert_string_equal(send_next(window, 1, 300), "");
	assert_int_equal(window_due_us(window), 1100);
	push(window, 3, 8, 400);
	assert_string_equal(send_next(window, 1, 500), "2 3");
	assert_string_equal(send_next(window, 2, 1099), "");
	assert_string_equal(send_next(window, 2, 1100), "1");
	assert_true(window_due_us(window) == UINT64_MAX);
	window_free(window);
}

/* More groups than the table begins with, and full ones among them while it grows. */
static void test_many_groups_keep_their_order(void **state)
{
	(void)state;
	struct window *window = make(500, 2, 1000000);
	uint64_t id = 1;
	for (uint32_t group = 0; group < 200; group++) {
		push(window, id++, group * 7919, 0);
		push(window, id++, group * 7919, 0);
	}
	for (int mid = 1; mid <= 200; mid++) {
		char expected[32];
		snprintf(expected, sizeof(expected), "%d %d", 2 * mid - 1, 2 * mid);
		assert_string_equal(send_next(window, mid, 1), expected);
	}
	window_free(window);
}

static void test_refused_goes_before_later_ones(void **state)
{
	(void)state;
	struct window *window = make(10, 2, 0);
	for (uint64_t id = 1; id <= 6; id++)
		push(window, id, 0, 0);
	send_next(window, 1, 0);
	send_next(window, 2, 0);
	window_returned(window, 1);
	window_returned(window, 2);
	assert_int_equal(window_inflight(window), 0);
	assert_string_equal(send_next(window, 3, 0), "1 2");
	assert_string_equal(send_next(window, 4, 0), "3 4");
	assert_string_equal(send_next(window, 5, 0), "5 6");
	/* And whatever the order of the answers is. */
	window_returned(window, 5);
	window_returned(window, 3);
	ack(window, 4);
	assert_string_equal(send_next(window, 6, 0), "1 2");
	assert_string_equal(send_next(window, 7, 0), "5 6");
	ack(window, 6);
	assert_int_equal(cursor(window), 4);
	window_free(window);
}

static void test_what_was_acknowledged_is_not_sent_again(void **state)
{
	(void)state;
	struct window *window = make(5, 1, 0);
	for (uint64_t id = 1; id <= 5; id++)
		push(window, id, 0, 0);
	for (int mid = 1; mid <= 5; mid++)
		send_next(window, mid, 0);
	ack(window, 1);
	ack(window, 3);
	ack(window, 5);
	assert_int_equal(cursor(window), 1);
	window_break(window);
	assert_int_equal(push(window, 2, 0, 0), 0);
	assert_int_equal(push(window, 3, 0, 0), 1);
	/* A second break before all came again: 5 is still remembered. */
	window_break(window);
	assert_int_equal(push(window, 2, 0, 0), 0);
	assert_int_equal(push(window, 3, 0, 0), 1);
	assert_int_equal(push(window, 4, 0, 0), 0);
	assert_int_equal(push(window, 5, 0, 0), 1);
	assert_int_equal(push(window, 6, 0, 0), 0);
	assert_string_equal(send_next(window, 1, 0), "2");
	assert_string_equal(send_next(window, 2, 0), "4");
	ack(window, 1);
	ack(window, 2);
	assert_int_equal(cursor(window), 5);
	window_free(window);
}

/* A file of the queue turned up late: older samples follow newer ones, and the connection ends before the newer ones are
   acknowledged. These lie between the ids of those that are, and are sent all the same. */
static void test_older_samples_behind_newer_ones(void **state)
{
	(void)state;
	struct window *window = make(5, 1, 0);
	push(window, 100, 0, 0);
	push(window, 101, 0, 0);
	push(window, 1, 0, 0);
	push(window, 2, 0, 0);
	push(window, 102, 0, 0);
	for (int mid = 1; mid <= 5; mid++)
		send_next(window, mid, 0);
	ack(window, 1);
	assert_int_equal(cursor(window), 100);
	ack(window, 3);
	ack(window, 4);
	ack(window, 5);
	assert_int_equal(cursor(window), 0);
	window_break(window);
	push(window, 1, 0, 0);
	push(window, 2, 0, 0);
	assert_int_equal(push(window, 101, 0, 0), 0);
	push(window, 102, 0, 0);
	window_free(window);
}

/* One that came back few at a time: the next when these have passed, twice as many; and at once all after them. */
static void test_narrowed_by_halves(void **state)
{
	(void)state;
	struct window *window = make(8, 1, 0);
	for (uint64_t id = 1; id <= 8; id++)
		push(window, id, 0, 0);
	window_narrow(window, 5, 2);
	assert_string_equal(send_next(window, 1, 0), "1");
	assert_string_equal(send_next(window, 2, 0), "2");
	assert_string_equal(send_next(window, 3, 0), "");
	ack(window, 1);
	assert_string_equal(send_next(window, 3, 0), "3");
	assert_string_equal(send_next(window, 4, 0), "");
	ack(window, 2);
	ack(window, 3);
	for (int mid = 4; mid <= 7; mid++)
		assert_string_not_equal(send_next(window, mid, 0), "");
	/* 6 and 7 follow 4 and 5, which are not through yet. */
	assert_string_equal(send_next(window, 8, 0), "");
	for (int mid = 4; mid <= 7; mid++)
		ack(window, mid);
	assert_string_equal(send_next(window, 8, 0), "8");
	window_free(window);
}

/* After one ordinary end of a connection the pace is what it was: a whole batch, and several of them. */
static void test_a_break_changes_no_pace(void **state)
{
	(void)state;
	struct window *window = make(3, 4, 0);
	for (int life = 0; life < 2; life++) {
		for (uint64_t id = 1; id <= 12; id++)
			push(window, id, 0, 0);
		assert_string_equal(send_next(window, 1, 0), "1 2 3 4");
		assert_string_equal(send_next(window, 2, 0), "5 6 7 8");
		assert_string_equal(send_next(window, 3, 0), "9 10 11 12");
		uint64_t first, last;
		uint64_t oldest;
		assert_int_equal(window_under_way(window, &first, &last, &oldest), 12);
		assert_int_equal(first, 1);
		assert_int_equal(last, 12);
		assert_int_equal(oldest, 1);
		window_break(window);
	}
	window_free(window);
}

/* A batch that is turned down for good goes again by halves, until the one to blame is alone. */
static void test_a_refused_batch_is_halved(void **state)
{
	(void)state;
	struct window *window = make(4, 8, 0);
	for (uint64_t id = 1; id <= 16; id++)
		push(window, id, 0, 0);
	assert_string_equal(send_next(window, 1, 0), "1 2 3 4 5 6 7 8");
	window_halved(window, 1);
	assert_string_equal(send_next(window, 2, 0), "1 2 3 4");
	assert_string_equal(send_next(window, 3, 0), "");
	window_halved(window, 2);
	assert_string_equal(send_next(window, 3, 0), "1 2");
	ack(window, 3);
	assert_string_equal(send_next(window, 4, 0), "3 4 5 6");
	window_halved(window, 4);
	assert_string_equal(send_next(window, 5, 0), "3 4");
	window_halved(window, 5);
	assert_string_equal(send_next(window, 6, 0), "3");
	struct sample *const *samples;
	assert_int_equal(window_samples(window, 6, &samples), 1);
	ack(window, 6);
	assert_string_equal(send_next(window, 7, 0), "4 5");
	ack(window, 7);
	assert_string_equal(send_next(window, 8, 0), "6 7 8 9");
	ack(window, 8);
	/* And at once whole batches. */
	assert_string_equal(send_next(window, 9, 0), "10 11 12 13 14 15 16");
	ack(window, 9);
	assert_int_equal(cursor(window), 16);
	window_free(window);
}

/* A topic that is refused waits, in its order, and holds up neither the others nor what is read ahead. */
static void test_a_held_group(void **state)
{
	(void)state;
	struct window *window = make(4, 1, 0);
	uint64_t id = 0;
	push(window, ++id, 7, 0);
	assert_string_equal(send_next(window, 1, 0), "1");
	window_returned(window, 1);
	window_hold_group(window, 7);
	assert_int_equal(window_held(window), 1);
	for (int mid = 2; mid < 2000; mid++) {
		assert_true(window_space(window) > 0);
		push(window, ++id, mid % 2 ? 7 : 8, 0);
		if (mid % 2)
			continue;
		char expected[16];
		int number = mid / 2 + 1;
		snprintf(expected, sizeof(expected), "%d", mid);
		assert_string_equal(send_next(window, number, 0), expected);
		assert_int_equal(ack(window, number), 1);
	}
	assert_int_equal(cursor(window), 0);
	assert_int_equal(window_held(window), 1000);
	assert_int_equal(window_done_ahead(window), 999);
	/* A break forgets none of it. */
	window_break(window);
	for (uint64_t again = 1; again <= id; again++)
		assert_int_equal(push(window, again, again % 2 ? 7 : 8, 0), again % 2 == 0);
	window_hold_group(window, 7);
	assert_int_equal(window_held(window), 1000);
	assert_int_equal(window_waiting(window), 0);
	struct sample *const *samples;
	assert_int_equal(window_pick(window, 0, &samples), 0);
	assert_int_equal(window_pick_group(window, 7, &samples), 1);
	assert_int_equal(samples[0]->id, 1);
	sent(window, 1, 0);
	ack(window, 1);
	assert_int_equal(cursor(window), 2);
	window_release_group(window, 7);
	for (uint64_t next = 3; next <= id; next += 2) {
		char expected[16];
		snprintf(expected, sizeof(expected), "%d", (int)next);
		int number = (int)next / 2 + 1;
		assert_string_equal(send_next(window, number, 0), expected);
		ack(window, number);
		assert_int_equal(cursor(window), next + (next < id));
	}
	assert_int_equal(window_done_ahead(window), 0);
	window_free(window);
}

/* What is held is bounded, and then nothing more is taken. */
static void test_too_much_is_held(void **state)
{
	(void)state;
	struct window *window = make(4, 1, 0);
	uint64_t id = 0;
	push(window, ++id, 7, 0);
	window_hold_group(window, 7);
	while (window_space(window) > 0 && id < 1000000)
		push(window, ++id, 7, 0);
	assert_in_range(id, 1000, 20000);
	assert_true(window_held_full(window));
	window_release_group(window, 7);
	assert_false(window_held_full(window));
	assert_int_equal(window_space(window), 0);
	assert_string_equal(send_next(window, 1, 0), "1");
	ack(window, 1);
	assert_int_equal(cursor(window), 1);
	window_free(window);
}

/* Large samples fill the memory long before there are many of them. */
static void test_too_many_bytes_are_held(void **state)
{
	(void)state;
	static const uint8_t blob[100000];
	struct window *window = make(4, 1, 0);
	uint64_t id = 0;
	push(window, ++id, 7, 0);
	window_hold_group(window, 7);
	while (window_space(window) > 0 && id < 1000) {
		struct sample *sample = sample_from_blob(1, 0, blob, sizeof(blob));
		assert_non_null(sample);
		sample->id = ++id;
		assert_int_equal(window_push(window, sample, 7, false, 0), 0);
	}
	assert_in_range(id, 80, 100);
	assert_true(window_held_full(window));
	window_free(window);
}

/* Room is made while one of another group still waits: it is the next to go, and not lost among the held ones. */
static void test_room_is_made_around_a_waiting_one(void **state)
{
	(void)state;
	struct window *window = make(4, 1, 0);
	push(window, 1, 7, 0);
	window_hold_group(window, 7);
	push(window, 2, 8, 0);
	for (uint64_t id = 3; id <= 6; id++)
		push(window, id, 7, 0);
	assert_int_equal(window_held(window), 5);
	assert_string_equal(send_next(window, 1, 0), "2");
	window_free(window);
}

/* One sample is under suspicion: the others of its group pass it, and it goes when it is asked for. */
static void test_a_sample_held_by_itself(void **state)
{
	(void)state;
	struct window *window = make(3, 2, 0);
	push(window, 1, 0, 0);
	struct sample *sample = sample_new(1, 0, NULL, 0);
	sample->id = 2;
	assert_int_equal(window_push(window, sample, 0, true, 0), 0);
	push(window, 3, 0, 0);
	assert_string_equal(send_next(window, 1, 0), "1 3");
	ack(window, 1);
	assert_int_equal(cursor(window), 1);
	struct sample *const *samples;
	assert_int_equal(window_pick_held(window, 3, &samples), 0);
	assert_int_equal(window_pick_held(window, 2, &samples), 1);
	sent(window, 2, 0);
	window_returned(window, 2);
	assert_int_equal(window_held(window), 1);
	assert_int_equal(window_pick_held(window, 2, &samples), 1);
	window_drop_picked(window);
	assert_int_equal(cursor(window), 3);
	window_free(window);
}

/* A sample of several packets is done when all of them are, and goes again whole when one is turned down. */
static void test_a_message_of_several_packets(void **state)
{
	(void)state;
	struct window *window = make(3, 1, 0);
	struct sample *const *samples;
	const struct window_message message = {.sent_us = 7, .n_packets = 3};
	push(window, 1, 0, 0);
	for (uint64_t number = 1; number <= 2; number++) {
		assert_int_equal(window_pick(window, 0, &samples), 1);
		window_sent(window, &message);
		assert_int_equal(window_message(window, number)->sent_us, 7);
		assert_false(window_packet_acked(window, number));
		assert_false(window_packet_acked(window, number));
		if (number == 1)
			window_returned(window, number);
	}
	/* What is still answered of the first time is nobody's. */
	assert_null(window_message(window, 1));
	assert_false(window_packet_acked(window, 1));
	assert_true(window_packet_acked(window, 2));
	assert_int_equal(ack(window, 2), 1);
	assert_int_equal(cursor(window), 1);
	window_free(window);
}

/* A line that is slow takes smaller messages; what is full then may go. */
static void test_a_smaller_batch(void **state)
{
	(void)state;
	struct window *window = make(3, 100, 1000000);
	for (uint64_t id = 1; id <= 5; id++)
		push(window, id, 0, 0);
	assert_string_equal(send_next(window, 1, 0), "");
	window_set_batch(window, 3);
	assert_string_equal(send_next(window, 1, 0), "1 2 3");
	assert_string_equal(send_next(window, 2, 0), "");
	assert_string_equal(send_next(window, 2, 1000000), "4 5");
	window_free(window);
}

static void test_unsendable_samples_are_taken_out_one_by_one(void **state)
{
	(void)state;
	struct window *window = make(5, 3, 0);
	for (uint64_t id = 1; id <= 3; id++)
		push(window, id, 0, 0);
	struct sample *const *samples;
	assert_int_equal(window_pick(window, 0, &samples), 3);
	assert_int_equal(window_pick_half(window, &samples), 2);
	assert_int_equal(window_pick_half(window, &samples), 1);
	assert_int_equal(samples[0]->id, 1);
	window_drop_picked(window);
	assert_int_equal(cursor(window), 1);
	assert_string_equal(send_next(window, 1, 0), "2 3");
	window_free(window);
}

static void test_a_long_run_wraps_the_rings(void **state)
{
	(void)state;
	struct window *window = make(7, 3, 0);
	uint64_t id = 0, seen = 0;
	int mid = 0, oldest = 1;
	for (int turn = 0; turn < 5000; turn++) {
		while (window_space(window) > 0) {
			id++;
			push(window, id, (uint32_t)(id % 5), 0);
		}
		struct sample *const *samples;
		while (window_pick(window, 0, &samples) > 0)
			sent(window, ++mid, 0);
		/* Out of order, the older one later. */
		if (oldest < mid)
			ack(window, oldest + 1);
		ack(window, oldest);
		oldest += 2;
		uint64_t now = cursor(window);
		assert_true(now == 0 || now > seen);
		seen = now ? now : seen;
	}
	assert_true(seen > 10000);
	window_free(window);
}

static void test_replay_without_a_limit(void **state)
{
	(void)state;
	struct replay replay;
	replay_start(&replay, 0, 0, 0);
	assert_true(replay_allowance(&replay, 1, 0, 5) == SIZE_MAX);
	replay_take(&replay, 1000);
	assert_int_equal(replay_wait_us(&replay), 0);
}

/* 100 a second of backlog, and 10 a second taken meanwhile: after 10 s the backlog is 1000 less, not 900. */
static void test_replay_drains_on_top_of_live_traffic(void **state)
{
	(void)state;
	struct replay replay;
	uint64_t appended = 5000, sent = 0;
	replay_start(&replay, 100, 0, appended);
	for (uint64_t now = 0; now <= 10 * USEC_PER_SEC; now += 10000) {
		appended += now % 100000 == 0 && now > 0;
		size_t n = replay_allowance(&replay, now, appended, appended - sent);
		replay_take(&replay, n);
		sent += n;
	}
	assert_in_range(sent, 1098, 1101);
	assert_in_range(replay_wait_us(&replay), 1, 10001);
}

/* Tokens are not saved up over an idle night, and live samples never wait for them. */
static void test_replay_saves_one_second(void **state)
{
	(void)state;
	struct replay replay;
	replay_start(&replay, 10, 0, 0);
	assert_int_equal(replay_allowance(&replay, USEC_PER_HOUR, 0, 100), 10);
	replay_take(&replay, 10);
	assert_int_equal(replay_allowance(&replay, USEC_PER_HOUR, 300, 300), 300);
	replay_take(&replay, 300);
	assert_int_equal(replay_allowance(&replay, USEC_PER_HOUR, 300, 300), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_cursor_is_the_acknowledged_prefix),
		cmocka_unit_test(test_no_more_in_flight_than_allowed),
		cmocka_unit_test(test_batches_hold_one_group_oldest_first),
		cmocka_unit_test(test_batch_wait),
		cmocka_unit_test(test_many_groups_keep_their_order),
		cmocka_unit_test(test_refused_goes_before_later_ones),
		cmocka_unit_test(test_what_was_acknowledged_is_not_sent_again),
		cmocka_unit_test(test_older_samples_behind_newer_ones),
		cmocka_unit_test(test_narrowed_by_halves),
		cmocka_unit_test(test_a_break_changes_no_pace),
		cmocka_unit_test(test_a_refused_batch_is_halved),
		cmocka_unit_test(test_a_held_group),
		cmocka_unit_test(test_too_much_is_held),
		cmocka_unit_test(test_too_many_bytes_are_held),
		cmocka_unit_test(test_room_is_made_around_a_waiting_one),
		cmocka_unit_test(test_a_sample_held_by_itself),
		cmocka_unit_test(test_a_message_of_several_packets),
		cmocka_unit_test(test_a_smaller_batch),
		cmocka_unit_test(test_unsendable_samples_are_taken_out_one_by_one),
		cmocka_unit_test(test_a_long_run_wraps_the_rings),
		cmocka_unit_test(test_replay_without_a_limit),
		cmocka_unit_test(test_replay_drains_on_top_of_live_traffic),
		cmocka_unit_test(test_replay_saves_one_second),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
