/* SPDX-License-Identifier: Apache-2.0 */
/* The packets of a connection, in their order: which wait, which are under way, and which answer is whose. Pure. */
#include "upstream/outbox.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

struct answers {
	char text[256]; /* "owner:code " of each, in the order they came */
};

static void take_answer(void *userdata, struct outgoing *outgoing, unsigned code)
{
	struct answers *answers = userdata;
	size_t used = strlen(answers->text);
	snprintf(answers->text + used, sizeof(answers->text) - used, "%llu:%u ", (unsigned long long)outgoing->owner,
		 code);
}

static struct outgoing *add(struct outbox *outbox, enum outgoing_kind kind, uint64_t owner, int qos,
			    enum barrier barrier)
{
	struct message message = {.qos = qos, .barrier = barrier};
	buf_add_text(&message.topic, "t");
	struct outgoing *outgoing = outbox_add(outbox, kind, owner, &message);
	assert_non_null(outgoing);
	/* The content is the outbox's now. */
	assert_int_equal(message.topic.size, 0);
	assert_string_equal(buf_text(&outgoing->message.topic), "t");
	message_done(&message);
	return outgoing;
}

static const char *answer(struct outbox *outbox, int mid, unsigned code)
{
	static struct answers answers;
	answers.text[0] = '\0';
	outbox_answered(outbox, mid, code, take_answer, &answers);
	return answers.text;
}

static void test_packets_are_answered_once_in_any_order(void **state)
{
	(void)state;
	struct outbox *outbox = outbox_new(false);
	for (uint64_t i = 1; i <= 3; i++)
		outbox_sent(outbox, add(outbox, OUTGOING_DATA, i, 1, BARRIER_NONE), (int)i + 10, i * 100, i);
	outbox_sent(outbox, add(outbox, OUTGOING_SUBSCRIBE, 4, 1, BARRIER_NONE), 14, 400, 4);
	assert_int_equal(outbox_waiting(outbox), 0);
	assert_int_equal(outbox_receives(outbox), 3);
	assert_int_equal(outbox_others_under_way(outbox), 1);
	assert_string_equal(answer(outbox, 12, 135), "2:135 ");
	assert_string_equal(answer(outbox, 12, 0), "");
	assert_string_equal(answer(outbox, 14, 0), "4:0 ");
	assert_int_equal(outbox_others_under_way(outbox), 0);
	assert_int_equal(outbox_receives(outbox), 2);
	assert_string_equal(answer(outbox, 11, 0), "1:0 ");
	assert_string_equal(answer(outbox, 13, 16), "3:16 ");
	assert_int_equal(outbox_under_way(outbox), 0);
	outbox_free(outbox);
}

/* A message that must go first holds samples back until it has left, or until it is acknowledged. */
static void test_barriers(void **state)
{
	(void)state;
	struct outbox *outbox = outbox_new(false);
	struct outgoing *birth = add(outbox, OUTGOING_BIRTH, 0, 1, BARRIER_ACKED);
	struct outgoing *device = add(outbox, OUTGOING_DEVICE, 0, 1, BARRIER_SENT);
	struct outgoing *plain = add(outbox, OUTGOING_DEVICE, 0, 1, BARRIER_NONE);
	assert_true(outbox_barred(outbox));
	outbox_sent(outbox, birth, 1, 100, 1);
	assert_true(outbox_barred(outbox));
	answer(outbox, 1, 0);
	assert_true(outbox_barred(outbox));
	outbox_sent(outbox, device, 2, 200, 2);
	assert_false(outbox_barred(outbox));
	outbox_remove(outbox, plain);
	/* One that is given up holds nothing back. */
	outbox_remove(outbox, add(outbox, OUTGOING_BIRTH, 0, 1, BARRIER_ACKED));
	assert_false(outbox_barred(outbox));
	add(outbox, OUTGOING_BIRTH, 0, 1, BARRIER_SENT);
	outbox_clear(outbox);
	assert_false(outbox_barred(outbox));
	assert_int_equal(outbox_under_way(outbox), 0);
	outbox_free(outbox);
}

/* Packets keep their order on a connection: an answer proves all of QoS 0 that were written before it, and none behind it. */
static void test_an_answer_proves_what_was_before_it(void **state)
{
	(void)state;
	struct outbox *outbox = outbox_new(true);
	for (uint64_t i = 1; i <= 3; i++)
		outbox_sent(outbox, add(outbox, OUTGOING_DATA, i, 0, BARRIER_NONE), (int)i, i * 100, i);
	assert_int_equal(outbox_unproved(outbox), 3);
	assert_int_equal(outbox_receives(outbox), 0);
	/* Written is not taken. */
	assert_string_equal(answer(outbox, 1, 0), "");
	assert_string_equal(answer(outbox, 2, 0), "");
	outbox_sent(outbox, add(outbox, OUTGOING_PROBE, 0, 1, BARRIER_NONE), 9, 400, 4);
	assert_int_equal(outbox_unproved(outbox), 0);
	outbox_sent(outbox, add(outbox, OUTGOING_DATA, 5, 0, BARRIER_NONE), 5, 500, 5);
	assert_string_equal(answer(outbox, 5, 0), "");
	/* The third was not even written: the broker cannot have answered behind it, and it is not called done. */
	assert_string_equal(answer(outbox, 9, 0), "1:0 2:0 0:0 ");
	assert_int_equal(outbox_under_way(outbox), 2);
	outbox_free(outbox);
}

/* Without proof, one of QoS 0 is done when it is written. */
static void test_qos_0_without_proof(void **state)
{
	(void)state;
	struct outbox *outbox = outbox_new(false);
	outbox_sent(outbox, add(outbox, OUTGOING_DATA, 1, 0, BARRIER_NONE), 1, 100, 1);
	assert_int_equal(outbox_unproved(outbox), 0);
	assert_string_equal(answer(outbox, 1, 0), "1:0 ");
	outbox_free(outbox);
}

/* Sent is when it left this machine: what waits for the line is not late. */
static void test_when_a_packet_left(void **state)
{
	(void)state;
	struct outbox *outbox = outbox_new(false);
	for (uint64_t i = 1; i <= 3; i++)
		outbox_sent(outbox, add(outbox, OUTGOING_DATA, i, 1, BARRIER_NONE), (int)i, i * 100, 5);
	assert_true(outbox_oldest_left_us(outbox) == UINT64_MAX);
	outbox_left(outbox, 250, 70);
	assert_int_equal(outbox_oldest_left_us(outbox), 70);
	outbox_left(outbox, 299, 80);
	assert_int_equal(outbox_oldest_left_us(outbox), 70);
	answer(outbox, 1, 0);
	answer(outbox, 2, 0);
	assert_true(outbox_oldest_left_us(outbox) == UINT64_MAX);
	outbox_left(outbox, 300, 90);
	assert_int_equal(outbox_oldest_left_us(outbox), 90);
	outbox_free(outbox);
}

/* Of a sample's packets those that wait go with it, and no other's. */
static void test_the_packets_of_one_sample_are_taken_back(void **state)
{
	(void)state;
	struct outbox *outbox = outbox_new(false);
	struct outgoing *device = add(outbox, OUTGOING_DEVICE, 7, 1, BARRIER_NONE);
	for (uint64_t i = 0; i < 6; i++)
		add(outbox, OUTGOING_DATA, 7 + i / 3, 1, BARRIER_NONE);
	assert_true(outbox_first(outbox) == device);
	outbox_sent(outbox, outbox_first_data(outbox), 1, 100, 1);
	outbox_remove_data(outbox, 7);
	assert_int_equal(outbox_waiting(outbox), 4);
	assert_int_equal(outbox_first_data(outbox)->owner, 8);
	outbox_remove_data(outbox, 8);
	assert_null(outbox_first_data(outbox));
	assert_false(outbox_data_waits(outbox));
	assert_true(outbox_first(outbox) == device);
	assert_int_equal(outbox_under_way(outbox), 1);
	outbox_free(outbox);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_packets_are_answered_once_in_any_order),
		cmocka_unit_test(test_barriers),
		cmocka_unit_test(test_an_answer_proves_what_was_before_it),
		cmocka_unit_test(test_qos_0_without_proof),
		cmocka_unit_test(test_when_a_packet_left),
		cmocka_unit_test(test_the_packets_of_one_sample_are_taken_back),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
