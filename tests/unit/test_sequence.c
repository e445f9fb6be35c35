/* SPDX-License-Identifier: Apache-2.0 */
/* Sequence numbers by themselves: which may go out, where the next process begins, and no number twice. Pure. */
#include "queue/sequence.h"
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#define DAY ((uint64_t)1700000000000000)

static void begin(struct sequence *sequence, uint64_t first_id, bool known, int64_t base)
{
	*sequence = (struct sequence){0};
	assert_int_equal(runs_add(&sequence->runs, &(struct run){.first_id = first_id, .base = base, .known = known}),
			 0);
}

static uint64_t number_of(const struct sequence *sequence, uint64_t id)
{
	const struct run *run = runs_of(&sequence->runs, id);

	return run->known ? (uint64_t)((int64_t)id + run->base) : 0;
}

/* Without a clock and without a mark no number goes out; the day gives one, but not before its mark stands. */
static void test_a_new_queue_waits_for_the_day_and_its_mark(void **state)
{
	struct sequence sequence;
	(void)state;

	begin(&sequence, 1, false, 0);
	assert_int_equal(sequence_limit(&sequence, 10), 0);
	assert_int_equal(sequence_wanted_mark(&sequence, 10), 0);
	assert_false(sequence_find_base(&sequence, 10, 0));
	assert_true(sequence_find_base(&sequence, 10, DAY));
	assert_int_equal(number_of(&sequence, 1), DAY);
	assert_int_equal(sequence_limit(&sequence, 10), 0);
	uint64_t mark = sequence_wanted_mark(&sequence, 10);
	assert_int_equal(mark, DAY + 9 + SEQ_BLOCK);
	assert_true(sequence_mark_written(&sequence, sequence.generation, mark, 0));
	assert_int_equal(sequence_limit(&sequence, 10), 9);
	runs_done(&sequence.runs);
}

/* A disk that takes no mark is no reason to keep the numbers back for ever. */
static void test_a_mark_that_cannot_be_written(void **state)
{
	struct sequence sequence;
	(void)state;

	begin(&sequence, 1, false, 0);
	assert_true(sequence_find_base(&sequence, 10, DAY));
	assert_true(
		sequence_mark_written(&sequence, sequence.generation, sequence_wanted_mark(&sequence, 10), -ENOSPC));
	assert_true(sequence.reserve_wanted);
	assert_int_equal(sequence.reserved, 0);
	assert_int_equal(sequence_limit(&sequence, 10), 9);
	runs_done(&sequence.runs);
}

/* Rows that stand on the disk without their base keep the numbers back until it stands there too: the next process would
   find another. What is in memory only does not wait. */
static void test_rows_without_their_base(void **state)
{
	struct sequence sequence;
	(void)state;

	begin(&sequence, 5, false, 0);
	sequence.stored_to = 7;
	assert_true(sequence_find_base(&sequence, 10, DAY));
	uint64_t version = sequence.version;
	assert_true(sequence_mark_written(&sequence, sequence.generation, sequence_wanted_mark(&sequence, 10), 0));
	assert_true(sequence_holds_rows(&sequence));
	assert_int_equal(sequence_limit(&sequence, 10), 4);
	/* A commit that began before it was found. */
	assert_false(sequence_ranges_written(&sequence, version - 1));
	assert_int_equal(sequence_limit(&sequence, 10), 4);
	assert_true(sequence_ranges_written(&sequence, version));
	assert_int_equal(sequence_limit(&sequence, 10), 9);
	assert_false(sequence_ranges_written(&sequence, version));
	runs_done(&sequence.runs);

	begin(&sequence, 5, false, 0);
	sequence.stored_to = 4;
	assert_true(sequence_find_base(&sequence, 10, DAY));
	assert_true(sequence_mark_written(&sequence, sequence.generation, sequence_wanted_mark(&sequence, 10), 0));
	assert_int_equal(sequence_limit(&sequence, 10), 9);
	runs_done(&sequence.runs);
}

/* Numbers stop at the mark: behind it the next process begins. */
static void test_no_number_past_the_mark(void **state)
{
	struct sequence sequence;
	(void)state;

	begin(&sequence, 100, true, 1000);
	sequence.reserved = 1200;
	assert_int_equal(sequence_limit(&sequence, 150), 149);
	assert_int_equal(sequence_covered(&sequence), 200);
	assert_int_equal(sequence_limit(&sequence, 500), 199);
	assert_true(sequence_runs_short(&sequence, 150));
	sequence.reserved = 1100 + 2 * SEQ_BLOCK;
	assert_false(sequence_runs_short(&sequence, 150));
	runs_done(&sequence.runs);
}

/* A day that is not well past every mark that may be found again would give a number twice. */
static void test_a_day_before_the_floor_is_none(void **state)
{
	struct sequence sequence;
	(void)state;

	begin(&sequence, 1, false, 0);
	sequence.floor = DAY;
	assert_false(sequence_find_base(&sequence, 2, DAY + SEQ_BLOCK - 1));
	assert_true(sequence_find_base(&sequence, 2, DAY + SEQ_BLOCK));
	runs_done(&sequence.runs);
}

/* After an unclean end the numbers go on at the mark, unless the day is so far past it that the last process may have left it. */
static void test_an_unclean_end(void **state)
{
	struct sequence sequence;
	(void)state;

	begin(&sequence, 10, true, 90);
	sequence.reserved = 100 + SEQ_BLOCK;
	sequence.may_have_left_mark = true;
	assert_false(sequence_find_base(&sequence, 11, sequence.reserved + SEQ_BLOCK - 1));
	assert_false(sequence.may_have_left_mark);
	assert_int_equal(number_of(&sequence, 10), 100);

	sequence.may_have_left_mark = true;
	assert_true(sequence_find_base(&sequence, SEQ_BLOCK + 20, DAY));
	assert_true(sequence.base_is_new);
	/* What the mark covers keeps its number. */
	assert_int_equal(number_of(&sequence, 10), 100);
	assert_int_equal(number_of(&sequence, 10 + SEQ_BLOCK), DAY);
	runs_done(&sequence.runs);
}

/* A mark that was on its way while the clock told another base is none of it, but may be found again. */
static void test_a_mark_of_another_base(void **state)
{
	struct sequence sequence;
	(void)state;

	begin(&sequence, 1, false, 0);
	sequence.floor = 5000;
	unsigned generation = sequence.generation;
	uint64_t mark = sequence_wanted_mark(&sequence, 3);
	assert_int_equal(mark, 5000 + 2 + SEQ_BLOCK);
	assert_true(sequence_find_base(&sequence, 3, DAY));
	assert_false(sequence_mark_written(&sequence, generation, mark, 0));
	assert_int_equal(sequence.floor, mark);
	assert_true(sequence.reserve_wanted && sequence.base_is_new);
	assert_int_equal(sequence_limit(&sequence, 3), 0);
	runs_done(&sequence.runs);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_a_new_queue_waits_for_the_day_and_its_mark),
		cmocka_unit_test(test_a_mark_that_cannot_be_written),
		cmocka_unit_test(test_rows_without_their_base),
		cmocka_unit_test(test_no_number_past_the_mark),
		cmocka_unit_test(test_a_day_before_the_floor_is_none),
		cmocka_unit_test(test_an_unclean_end),
		cmocka_unit_test(test_a_mark_of_another_base),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
