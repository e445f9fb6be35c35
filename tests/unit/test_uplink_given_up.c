/* SPDX-License-Identifier: Apache-2.0 */
/* What is no sample and breaks connections is given up, and readings go on: the uplink against a scripted broker. */
#include "fake_broker.h"

/* A policy without iot:Subscribe (AWS IoT) or deny_action = disconnect (EMQX): SUBSCRIBE is answered by hanging up. */
static void test_a_subscribe_that_breaks_the_connection(void **state)
{
	struct rig *rig = *state;
	struct fake *fake = start_fake(HANGS_UP_OVER_SUBSCRIBE, "", 0);
	go(rig, fake, "commands = true;");
	announce_devices(rig, 1, true);
	for (uint64_t n = 1; !logged("the broker hangs up when we subscribe to commands (haywain/barn-1/command/+/+)");
	     n++) {
		take(rig, 0, 1);
		await(status_of(rig->uplink).delivered == n);
		assert_in_range(connects(fake), 1, 10);
	}
	unsigned n = connects(fake);
	take(rig, 0, 50);
	await(status_of(rig->uplink).backlog == 0);
	assert_in_range(connects(fake), n, n + 1);
	assert_int_equal(dropped(rig), 0);
	leave(rig, fake);
}

/* A policy for the data topics only: readings go on at once, the rest is given up in a few connections, however many there
   are, and that is said once. */
static void test_only_data_topics_are_allowed(void **state)
{
	struct rig *rig = *state;
	struct fake *fake = start_fake(HANGS_UP_OVER, "/barn-1/", 0);
	go(rig, fake, "");
	announce_devices(rig, 3, false);
	take(rig, 0, 5);
	await(status_of(rig->uplink).delivered >= 5);
	assert_false(logged("given up"));
	await(logged("and to others that are no readings (status, device, event): given up"));
	assert_in_range(connects(fake), 1, 10);
	take(rig, 1, 20);
	await(status_of(rig->uplink).backlog == 0);
	unsigned n = connects(fake);
	take(rig, 2, 20);
	await(status_of(rig->uplink).delivered == 45);
	assert_in_range(connects(fake), n, n + 1);
	assert_int_equal(said("given up"), 1);
	assert_int_equal(dropped(rig), 0);
	leave(rig, fake);
}

/* A broker that closes the connection over one device's info: the other devices', and all samples, go on. */
static void test_a_card_that_breaks_the_connection(void **state)
{
	struct rig *rig = *state;
	struct fake *fake = start_fake(HANGS_UP_OVER, "/device/boiler", 0);
	go(rig, fake, "");
	announce_devices(rig, 2, false);
	take(rig, 0, 5);
	await(status_of(rig->uplink).delivered == 5);
	await(logged("the broker hangs up over messages to haywain/barn-1/device/boiler: given up"));
	take(rig, 1, 20);
	await(status_of(rig->uplink).delivered == 25);
	unsigned n = connects(fake);
	await(count_words(fake, "\"event\":\"started\"") > 0);
	take(rig, 1, 20);
	await(status_of(rig->uplink).delivered == 45);
	assert_in_range(connects(fake), n, n + 1);
	assert_int_equal(said("given up"), 1);
	leave(rig, fake);
}

/* A will for a topic that a policy forbids: the broker hangs up before it accepts us, and takes us without. */
static void test_a_will_that_breaks_the_connection(void **state)
{
	struct rig *rig = *state;
	struct fake *fake = start_fake(HANGS_UP_OVER_A_WILL, "", 0);
	go(rig, fake, "");
	take(rig, 0, 5);
	await(status_of(rig->uplink).delivered == 5);
	assert_true(logged("the broker accepts the connection only without a will"));
	/* The first connection without one is ended by us: the broker is there, so the pause begins anew, at 1 s at most, and
	   readings do not wait for what the failures before have grown. */
	const char *pause = strstr(logged_text(), "whether the broker rejects the will; trying again in ");
	assert_non_null(pause);
	unsigned n = 0;
	char unit[4] = "";
	assert_int_equal(sscanf(strstr(pause, " in ") + 4, "%u %3[a-z]", &n, unit), 2);
	assert_true(strcmp(unit, "ms") == 0 || (strcmp(unit, "s") == 0 && n == 1));
	assert_in_range(fake->wills, 2, 3);
	leave(rig, fake);
}

static void come_back_after(struct rig *rig, struct fake *fake)
{
	go(rig, fake, "");
	take(rig, 0, 5);
	await(connects(fake) >= 3);
	pthread_mutex_lock(&fake->lock);
	fake->manner = OBEDIENT;
	pthread_mutex_unlock(&fake->lock);
	await(status_of(rig->uplink).delivered == 5);
}

/* A login page in between, or a broker that says that it is not available, told nothing about our will; and yet the first
   connection after it had none, was ended again for that, and readings waited for the whole of a long pause. */
static void test_a_login_page_is_not_about_the_will(void **state)
{
	struct rig *rig = *state;
	struct fake *fake = start_fake(IS_A_WEB_SERVER, "", 0);
	come_back_after(rig, fake);
	assert_int_equal(fake->wills, connects(fake));
	leave(rig, fake);
}

static void test_a_broker_not_available_is_not_about_the_will(void **state)
{
	struct rig *rig = *state;
	struct fake *fake = start_fake(TURNS_AWAY, "", 0x88);
	come_back_after(rig, fake);
	assert_int_equal(fake->wills, connects(fake));
	leave(rig, fake);
}

int main(void)
{
#define test(name) cmocka_unit_test_setup_teardown(name, rig_up, rig_down)
	const struct CMUnitTest tests[] = {
		test(test_a_subscribe_that_breaks_the_connection),
		test(test_only_data_topics_are_allowed),
		test(test_a_card_that_breaks_the_connection),
		test(test_a_will_that_breaks_the_connection),
		test(test_a_login_page_is_not_about_the_will),
		test(test_a_broker_not_available_is_not_about_the_will),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
