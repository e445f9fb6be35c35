/* SPDX-License-Identifier: Apache-2.0 */
/* The account of what an uplink lost: nothing is told twice, and nothing forgotten. */
#include "queue/drops.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

struct account {
	struct series_set *series;
	struct drops drops;
	uint32_t meter, pump;
};

static int setup(void **state)
{
	static struct account account;

	account = (struct account){.series = series_set_new()};
	assert_non_null(account.series);
	assert_int_equal(drops_init(&account.drops), 0);
	account.meter = series_device_intern(account.series, "meter", "bus", NULL, 0)->number;
	account.pump = series_device_intern(account.series, "pump", "bus", NULL, 0)->number;
	*state = &account;
	return 0;
}

static int teardown(void **state)
{
	struct account *account = *state;

	drops_done(&account->drops);
	series_set_free(account->series);
	return 0;
}

/* A report is under way, and more is lost: the answer to it takes off what it told, and the rest stays. */
static void what_is_lost_during_a_report_stays(void **state)
{
	struct account *account = *state;
	struct queue_drop *told, *left;
	size_t n;

	drops_add(&account->drops, DROP_QUEUE_FULL, account->meter, 5);
	drops_add(&account->drops, DROP_QUEUE_FULL, account->pump, 1);
	drops_add(&account->drops, DROP_DAMAGED, DROPS_NUMBER_UNKNOWN, 1);
	n = drops_list(&account->drops, account->series, &told);
	assert_int_equal(n, 3);
	drops_add(&account->drops, DROP_QUEUE_FULL, account->meter, 2);
	drops_add(&account->drops, DROP_TOO_OLD, account->meter, 3);
	drops_add(&account->drops, DROP_DAMAGED, DROPS_NUMBER_UNKNOWN, 1);
	drops_take(&account->drops, account->series, told, n);
	free(told);
	n = drops_list(&account->drops, account->series, &left);
	assert_int_equal(n, 3);
	for (size_t i = 0; i < n; i++) {
		assert_int_equal(left[i].samples, left[i].cause == DROP_QUEUE_FULL ? 2
						  : left[i].cause == DROP_TOO_OLD  ? 3
										   : 0);
		assert_int_equal(left[i].unknown, left[i].cause == DROP_DAMAGED);
	}
	free(left);
}

/* What was told is forgotten once the disk says so too, and not before: a restart would tell it again. */
static void what_was_told_is_kept_until_it_is_saved(void **state)
{
	struct account *account = *state;
	struct queue_drop *told;
	size_t n;

	drops_add(&account->drops, DROP_QUEUE_FULL, account->meter, 5);
	drops_row(&account->drops, DROP_QUEUE_FULL, account->meter, false)->saved = 5;
	drops_saved(&account->drops);
	assert_false(account->drops.dirty);
	n = drops_list(&account->drops, account->series, &told);
	drops_take(&account->drops, account->series, told, n);
	free(told);
	assert_true(account->drops.dirty);
	drops_saved(&account->drops);
	assert_true(account->drops.dirty);
	assert_non_null(drops_row(&account->drops, DROP_QUEUE_FULL, account->meter, false));
	drops_row(&account->drops, DROP_QUEUE_FULL, account->meter, false)->saved = 0;
	drops_saved(&account->drops);
	assert_false(account->drops.dirty);
	assert_null(drops_row(&account->drops, DROP_QUEUE_FULL, account->meter, false));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(what_is_lost_during_a_report_stays, setup, teardown),
		cmocka_unit_test_setup_teardown(what_was_told_is_kept_until_it_is_saved, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
