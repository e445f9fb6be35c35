/* SPDX-License-Identifier: Apache-2.0 */
/* What a broken connection proves about samples: the uplink against a scripted broker. */
#include "fake_broker.h"

/* One sample over which the broker hangs up: only it is dropped, when others of its device passed without it. */
static void test_a_sample_that_breaks_the_connection(void **state)
{
	struct rig *rig = *state;
	struct fake *fake = start_fake(HANGS_UP_ON, "\"v\":3}", 0);
	go(rig, fake, "");
	await(status_of(rig->uplink).state == UPLINK_CONNECTED);
	take(rig, 0, 6);
	await(status_of(rig->uplink).delivered == 5);
	await(status_of(rig->uplink).backlog == 0);
	assert_true(logged(
		"a sample for haywain/barn-1/data/boiler is dropped and counted: the broker ended every connection it was sent on"));
	assert_non_null(strstr(values(fake, &fake->good), "4 5 "));
	assert_int_equal(dropped(rig), 1);
	leave(rig, fake);
}

/* The same where nothing else of its topic comes: it waits, for it may be the topic. */
static void test_a_lone_sample_is_not_dropped(void **state)
{
	struct rig *rig = *state;
	struct fake *fake = start_fake(HANGS_UP_OVER_DATA, "/data/boiler", 0);
	go(rig, fake, "");
	await(status_of(rig->uplink).state == UPLINK_CONNECTED);
	take(rig, 0, 1);
	take(rig, 1, 3);
	await(status_of(rig->uplink).delivered == 3);
	await(connects(fake) >= 4);
	assert_int_equal(dropped(rig), 0);
	await(status_of(rig->uplink).backlog == 1);
	set_manner(fake, OBEDIENT);
	await(status_of(rig->uplink).backlog == 0);
	assert_int_equal(dropped(rig), 0);
	leave(rig, fake);
}

/* A broker that hangs up over all samples of one device: they wait in their order, the others go on, nothing is dropped. */
static void test_a_topic_that_breaks_the_connection(void **state)
{
	struct rig *rig = *state;
	struct fake *fake = start_fake(HANGS_UP_OVER_DATA, "/data/boiler", 0);
	go(rig, fake, "");
	await(status_of(rig->uplink).state == UPLINK_CONNECTED);
	take(rig, 0, 5);
	take(rig, 1, 5);
	await(logged("the broker hangs up over messages to haywain/barn-1/data/boiler"));
	take(rig, 1, 20);
	await(status_of(rig->uplink).delivered == 25);
	await(status_of(rig->uplink).backlog == 5);
	/* It comes and goes with the connection, which a try costs. */
	await(status_of(rig->uplink).state == UPLINK_REFUSED);
	set_manner(fake, OBEDIENT);
	await(status_of(rig->uplink).backlog == 0);
	assert_non_null(strstr(values(fake, &fake->good), "0 1 2 3 4 "));
	assert_int_equal(dropped(rig), 0);
	assert_true(logged("the broker accepts messages to haywain/barn-1/data/boiler again"));
	leave(rig, fake);
}

/* One ordinary end while a backlog drains: afterwards whole batches go again, and nothing comes twice that was answered. */
static void test_one_end_does_not_slow_a_backlog(void **state)
{
	struct rig *rig = *state;
	struct fake *fake = start_fake(ENDS_AFTER, "", 3);
	go(rig, fake, "batch = 20; inflight = 10;");
	take(rig, 0, 2000);
	await(connects(fake) >= 2);
	set_manner(fake, OBEDIENT);
	await(status_of(rig->uplink).backlog == 0);
	/* 100 messages carry them; those in flight at an end are sent again. */
	assert_in_range(fake->data_messages, 100, 100 + 40 + 12 * connects(fake));
	assert_int_equal(dropped(rig), 0);
	leave(rig, fake);
}

/* A broker that hangs up over large messages without a word (128 KB at AWS IoT): smaller ones go from then on. */
static void test_a_batch_that_is_too_large(void **state)
{
	struct rig *rig = *state;
	struct fake *fake = start_fake(HANGS_UP_OVER_LARGE, "", 4000);
	go(rig, fake, "batch = 100; inflight = 4;");
	take(rig, 0, 3000);
	await(status_of(rig->uplink).backlog == 0);
	assert_int_equal(status_of(rig->uplink).delivered, 3000);
	assert_int_equal(dropped(rig), 0);
	/* Each time anew it would be two for every message. */
	assert_in_range(connects(fake), 3, 25);
	assert_int_equal(said("samples ended connections, smaller ones pass"), 1);
	leave(rig, fake);
}

/* Connections that end young, over nothing in particular. */
static void test_a_twin_is_guessed(void **state)
{
	struct rig *rig = *state;
	struct fake *fake = start_fake(ENDS_AFTER, "", 1);
	go(rig, fake, "");
	for (uint64_t n = 1; !logged("is another client called `barn-1-cloud` connected?"); n++) {
		take(rig, 0, 1);
		await(status_of(rig->uplink).delivered == n);
		assert_in_range(n, 1, 10);
	}
	assert_int_equal(dropped(rig), 0);
	assert_int_equal(said("given up"), 0);
	leave(rig, fake);
}

int main(void)
{
#define test(name) cmocka_unit_test_setup_teardown(name, rig_up, rig_down)
	const struct CMUnitTest tests[] = {
		test(test_a_sample_that_breaks_the_connection), test(test_a_lone_sample_is_not_dropped),
		test(test_a_topic_that_breaks_the_connection),	test(test_one_end_does_not_slow_a_backlog),
		test(test_a_batch_that_is_too_large),		test(test_a_twin_is_guessed),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
