/* SPDX-License-Identifier: Apache-2.0 */
/* Ranges of ids against a plain array of what is there: counting, numbers, and what is left after any sequence of steps. */
#include "queue/runs.h"
#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#include <errno.h>
#include <string.h>

#define IDS 400

/* What runs_count_to() and the numbers say, kept the plain way. */
struct model {
	bool there[IDS + 1];
	uint64_t seq[IDS + 1]; /* 0: not known */
	uint64_t next;	       /* the next id */
};

static void check(const struct runs *runs, const struct model *model)
{
	uint64_t count = 0;

	for (size_t i = 1; i < runs->n; i++)
		assert_true(runs->at[i].first_id > runs->at[i - 1].first_id);
	for (uint64_t id = 1; id < model->next; id++) {
		const struct run *run = runs_of(runs, id);

		count += model->there[id];
		assert_int_equal(runs_count_to(runs, id) - runs_count_to(runs, 0), count);
		if (!model->there[id])
			continue;
		assert_non_null(run);
		assert_int_equal(run->known ? (uint64_t)((int64_t)id + run->base) : 0, model->seq[id]);
	}
}

/* The numbers are lost from a random id on, and found again. */
static void change_numbers(struct runs *runs, struct model *model, uint64_t *seq, unsigned *random)
{
	uint64_t from = 1 + (uint64_t)rand_r(random) % model->next;

	assert_int_equal(runs_forget_base(runs, from), 0);
	*seq += IDS * 10;
	from = runs_first_unknown(runs);
	assert_true(from > 0);
	runs_know(runs, *seq);
	for (uint64_t id = from; id <= IDS; id++)
		model->seq[id] = *seq + id - from;
}

/* Samples are dropped from anywhere while the base of the numbers changes: never two ranges with one beginning. The file
   once refused such a pair, and was called damaged for it. */
static void test_random_steps(void **state _unused_)
{
	for (unsigned seed = 1; seed <= 300; seed++) {
		struct model model = {.next = 1};
		struct runs runs = {0};
		struct run first = {.first_id = 1, .base = 999, .known = true};
		unsigned random = seed;
		uint64_t seq = 1000;

		assert_int_equal(runs_add(&runs, &first), 0);
		for (uint64_t id = 1; id <= IDS; id++)
			model.seq[id] = 999 + id;
		while (model.next < IDS) {
			unsigned step = (unsigned)rand_r(&random) % 8;

			model.there[model.next++] = true;
			if (step < 4) {
				uint64_t id =
					step == 0 ? model.next - 1 : 1 + (uint64_t)rand_r(&random) % (model.next - 1);

				if (!model.there[id])
					continue;
				assert_int_equal(runs_skip(&runs, id), 0);
				model.there[id] = false;
			} else if (step == 5 && rand_r(&random) % 8 == 0) {
				uint64_t to = 1 + (uint64_t)rand_r(&random) % (model.next - 1);
				uint64_t from = 1 + (uint64_t)rand_r(&random) % to;

				assert_int_equal(runs_skip_range(&runs, from, to), 0);
				memset(&model.there[from], 0, to - from + 1);
			} else if (step == 4 && rand_r(&random) % 4 == 0) {
				change_numbers(&runs, &model, &seq, &random);
			}
		}
		check(&runs, &model);
		runs_done(&runs);
	}
}

/* The last id of a range whose successor begins right behind it, as when the clock is set within the commit that drops it. */
static void test_a_range_that_becomes_empty(void **state _unused_)
{
	struct runs runs = {0};
	struct run first = {.first_id = 1, .base = 9, .known = true};

	assert_int_equal(runs_add(&runs, &first), 0);
	assert_int_equal(runs_forget_base(&runs, 10), 0);
	assert_int_equal(runs_forget_base(&runs, 11), 0);
	runs_know(&runs, 5000);
	assert_int_equal(runs_add(&runs, &(struct run){.first_id = 11, .base = 1}), -EINVAL);
	assert_int_equal(runs_skip(&runs, 10), 0);
	for (size_t i = 1; i < runs.n; i++)
		assert_true(runs.at[i].first_id > runs.at[i - 1].first_id);
	assert_int_equal(runs_count_to(&runs, 20) - runs_count_to(&runs, 0), 19);
	assert_int_equal(runs_of(&runs, 11)->base + 11, 5001);
	runs_done(&runs);
	assert_int_equal(runs_skip(&runs, 1), 0);
}

/* A file that turned up late, and what was taken before it did: the place of the slowest uplink may be a sample that was
   dropped while it was on its way. Hundreds of samples were lost uncounted where it was, for the ranges said fewer. */
static void test_what_follows_a_late_file(void **state _unused_)
{
	for (unsigned seed = 1; seed <= 2000; seed++) {
		struct runs runs = {0}, more = {0};
		unsigned random = seed;
		bool there[IDS + 1] = {false};
		uint64_t after = (uint64_t)rand_r(&random) % (IDS + 1), count = 0;

		assert_int_equal(runs_add(&runs, &(struct run){.first_id = 1, .base = 9, .known = true}), 0);
		assert_int_equal(
			runs_add(&more, &(struct run){.first_id = 201, .base = 19, .known = true, .skipped = 200}), 0);
		for (uint64_t id = 1; id <= IDS; id++)
			there[id] = id <= 100 || id > MAX(after, (uint64_t)200);
		for (unsigned i = 0; i < 100; i++) {
			uint64_t id = 201 + (uint64_t)rand_r(&random) % 200, n = 1 + (uint64_t)rand_r(&random) % 9;

			assert_int_equal(runs_skip_range(&more, id, MIN(id + n, (uint64_t)IDS)), 0);
			for (uint64_t gone = id; gone <= MIN(id + n, (uint64_t)IDS); gone++)
				there[gone] = false;
			i += (unsigned)n * (seed % 5);
		}
		assert_int_equal(runs_join(&runs, 100, &more, after), 0);
		for (uint64_t id = 1; id <= IDS; id++) {
			count += there[id];
			if (id <= 100 || there[id])
				assert_int_equal(runs_count_to(&runs, id) - runs_count_to(&runs, 0), count);
			if (there[id])
				assert_int_equal(runs_of(&runs, id)->base, id <= 100 ? 9 : 19);
		}
		runs_done(&runs);
		runs_done(&more);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_random_steps),
		cmocka_unit_test(test_a_range_that_becomes_empty),
		cmocka_unit_test(test_what_follows_a_late_file),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
