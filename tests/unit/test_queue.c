/* SPDX-License-Identifier: Apache-2.0 */
/* The queue when nothing is broken: order, cursors, deadlines, numbers, what is written and what is not. */
#include "queue_fixture.h"

static int setup(void **state)
{
	static struct fixture fixture;

	fixture_init(&fixture);
	clock_set_trusted(true);
	*state = &fixture;
	return 0;
}

static int teardown(void **state)
{
	fixture_done(*state);
	return 0;
}

static void test_order(void **state)
{
	struct fixture *f = *state;
	struct queue_reader *reader;

	fixture_open(f);
	reader = open_reader(f, "cloud");
	append_numbers(f, 1, 100);
	assert_int_equal(queue_reader_depth(reader), 100);
	queue_reader_ack(reader, expect_numbers(reader, 1, 100));
	assert_int_equal(queue_reader_depth(reader), 0);
	queue_reader_close(reader);
}

static void test_reopen(void **state)
{
	struct fixture *f = *state;
	struct queue_reader *reader;
	uint64_t id, seq;
	struct sample *sample;

	fixture_open(f);
	reader = open_reader(f, "cloud");
	append_numbers(f, 1, 1000);
	id = expect_numbers(reader, 1, 400);
	queue_reader_ack(reader, id);
	sample = take_one(reader);
	seq = queue_seq(f->queue, sample);
	sample_unref(sample);
	queue_reader_close(reader);
	fixture_close(f);

	fixture_open(f);
	reader = open_reader(f, "cloud");
	assert_int_equal(queue_reader_depth(reader), 600);
	append_numbers(f, 1001, 1010);
	sample = take_one(reader);
	assert_int_equal(number_of(sample), 401);
	assert_int_equal(queue_seq(f->queue, sample), seq);
	assert_string_equal(series_device_by_number(f->series, sample->device)->name, "meter");
	sample_unref(sample);
	queue_reader_ack(reader, expect_numbers(reader, 402, 1010));
	assert_int_equal(queue_reader_depth(reader), 0);
	assert_true(queue_first_seq(f->queue) > seq);
	queue_reader_close(reader);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_order, setup, teardown),
		cmocka_unit_test_setup_teardown(test_reopen, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
