/* SPDX-License-Identifier: Apache-2.0 */
#include "../../../plugins/modbus/plan.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define N(array) (sizeof(array) / sizeof((array)[0]))

static struct plan *make(const struct plan_place *places, size_t n, unsigned max_registers, unsigned max_hole)
{
	const struct plan_limits limits = {.max_registers = max_registers, .max_hole = max_hole};
	uint32_t due[1024];
	struct plan *plan;

	for (uint32_t i = 0; i < n; i++)
		due[i] = i;
	assert_int_equal(plan_new(places, due, n, &limits, &plan), 0);
	return plan;
}

static void expect(const struct plan *plan, size_t i, enum modbus_table table, unsigned address, unsigned count)
{
	assert_true(i < plan->n_requests);
	assert_int_equal(plan->requests[i].place.table, table);
	assert_int_equal(plan->requests[i].place.address, address);
	assert_int_equal(plan->requests[i].place.count, count);
}

static void test_joins_neighbours_of_one_table(void **state)
{
	static const struct plan_place places[] = {{TABLE_INPUT, 12, 2},
						   {TABLE_HOLDING, 10, 1},
						   {TABLE_INPUT, 10, 2},
						   {TABLE_INPUT, 14, 1},
						   {TABLE_HOLDING, 12, 1}};
	struct plan *plan = make(places, N(places), 125, 0);

	(void)state;
	assert_int_equal(plan->n_requests, 3);
	expect(plan, 0, TABLE_HOLDING, 10, 1);
	expect(plan, 1, TABLE_HOLDING, 12, 1);
	expect(plan, 2, TABLE_INPUT, 10, 5);
	assert_int_equal(plan->points[plan->requests[2].first], 2);
	assert_int_equal(plan->requests[2].n, 3);
	plan_free(plan);
}

static void test_holes(void **state)
{
	static const struct plan_place places[] = {
		{TABLE_HOLDING, 0, 2}, {TABLE_HOLDING, 5, 1}, {TABLE_HOLDING, 10, 1}};
	struct plan *plan = make(places, N(places), 125, 3);

	(void)state;
	assert_int_equal(plan->n_requests, 2);
	expect(plan, 0, TABLE_HOLDING, 0, 6);
	expect(plan, 1, TABLE_HOLDING, 10, 1);
	plan_free(plan);
}

static void test_never_splits_a_value(void **state)
{
	struct plan_place places[100];
	struct plan *plan;

	(void)state;
	for (uint16_t i = 0; i < N(places); i++)
		places[i] = (struct plan_place){TABLE_HOLDING, (uint16_t)(i * 4), 4};
	plan = make(places, N(places), 125, 0);
	/* 31 values of 4 registers go into 125. */
	assert_int_equal(plan->n_requests, 4);
	expect(plan, 0, TABLE_HOLDING, 0, 124);
	expect(plan, 3, TABLE_HOLDING, 372, 28);
	plan_free(plan);
	plan = make(places, 3, 3, 0);
	assert_int_equal(plan->n_requests, 3);
	plan_free(plan);
}

static void test_overlaps(void **state)
{
	/* A long value, one of its registers as well, and the same twice. */
	static const struct plan_place places[] = {
		{TABLE_INPUT, 100, 4}, {TABLE_INPUT, 101, 1}, {TABLE_INPUT, 100, 4}, {TABLE_INPUT, 103, 2}};
	struct plan *plan = make(places, N(places), 125, 0);

	(void)state;
	assert_int_equal(plan->n_requests, 1);
	expect(plan, 0, TABLE_INPUT, 100, 5);
	plan_free(plan);
}

static void test_limits_of_bits(void **state)
{
	struct plan_place places[2] = {{TABLE_COIL, 0, 1}, {TABLE_COIL, 1999, 1}};
	struct plan *plan = make(places, 2, 125, 125);

	(void)state;
	assert_int_equal(plan->n_requests, 1);
	expect(plan, 0, TABLE_COIL, 0, 2000);
	plan_free(plan);
	places[1].address = 2000;
	plan = make(places, 2, 125, 125);
	assert_int_equal(plan->n_requests, 2);
	plan_free(plan);
}

static void test_end_of_the_address_space(void **state)
{
	static const struct plan_place places[] = {{TABLE_HOLDING, 65535, 1}, {TABLE_HOLDING, 65531, 4}};
	struct plan *plan = make(places, N(places), 125, 0);

	(void)state;
	assert_int_equal(plan->n_requests, 1);
	expect(plan, 0, TABLE_HOLDING, 65531, 5);
	plan_free(plan);
}

/* Whatever the points: each stands in one request, whole; requests keep the limits, and holes are no larger than said. */
static void test_any_points(void **state)
{
	struct plan_place places[60];
	uint32_t due[60];
	struct plan *plan;

	(void)state;
	srand(1);
	for (unsigned round = 0; round < 3000; round++) {
		const struct plan_limits limits = {.max_registers = 4 + (unsigned)rand() % 122,
						   .max_hole = (unsigned)rand() % 20};
		size_t n = 1 + (unsigned)rand() % 60, n_due = 0, seen = 0;
		bool used[60] = {false};

		for (size_t i = 0; i < n; i++) {
			places[i].table = (enum modbus_table)(rand() % N_TABLES);
			places[i].address = (uint16_t)(rand() % 300);
			places[i].count = (uint16_t)(places[i].table < TABLE_HOLDING ? 1 : 1 << rand() % 3);
			if (rand() % 3)
				due[n_due++] = (uint32_t)i;
		}
		assert_int_equal(plan_new(places, due, n_due, &limits, &plan), 0);
		for (size_t i = 0; i < plan->n_requests; i++) {
			const struct plan_request *request = &plan->requests[i];
			unsigned weight = request->place.table < TABLE_HOLDING ? 16 : 1, begin = request->place.address,
				 end = begin;

			assert_true(request->place.count <= limits.max_registers * weight);
			assert_true(request->n > 0);
			for (size_t k = request->first; k < request->first + request->n; k++) {
				const struct plan_place *place = &places[plan->points[k]];

				assert_int_equal(place->table, request->place.table);
				assert_true(place->address >= begin);
				assert_true(place->address <= end + limits.max_hole * weight);
				if (place->address + place->count > end)
					end = (unsigned)place->address + place->count;
				assert_false(used[plan->points[k]]);
				used[plan->points[k]] = true;
				seen++;
			}
			assert_int_equal(end, begin + request->place.count);
		}
		assert_int_equal(seen, n_due);
		plan_free(plan);
	}
}

static void test_cache(void **state)
{
	static const struct plan_place places[] = {{TABLE_HOLDING, 0, 1}, {TABLE_HOLDING, 1, 1}, {TABLE_HOLDING, 2, 1},
						   {TABLE_HOLDING, 3, 1}, {TABLE_HOLDING, 4, 1}, {TABLE_HOLDING, 5, 1}};
	static const struct plan_limits limits = {.max_registers = 125};
	struct plan_cache cache = {0};
	const struct plan *plan, *usual;
	uint32_t due[6];

	(void)state;
	due[0] = 5;
	assert_int_equal(plan_cache_get(&cache, places, due, 1, &limits, &usual), 0);
	/* The usual set stays while many others come and go. */
	for (unsigned set = 1; set < 64; set++) {
		size_t n = 0;

		for (uint32_t i = 0; i < 6; i++)
			if (set & 1u << i)
				due[n++] = i;
		assert_int_equal(plan_cache_get(&cache, places, due, n, &limits, &plan), 0);
		assert_int_equal(plan->n_points, n);
		assert_memory_equal(plan->due, due, n * sizeof(due[0]));
		due[0] = 5;
		assert_int_equal(plan_cache_get(&cache, places, due, 1, &limits, &plan), 0);
		assert_ptr_equal(plan, usual);
	}
	plan_cache_done(&cache);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_joins_neighbours_of_one_table),
		cmocka_unit_test(test_holes),
		cmocka_unit_test(test_never_splits_a_value),
		cmocka_unit_test(test_overlaps),
		cmocka_unit_test(test_limits_of_bits),
		cmocka_unit_test(test_end_of_the_address_space),
		cmocka_unit_test(test_any_points),
		cmocka_unit_test(test_cache),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
