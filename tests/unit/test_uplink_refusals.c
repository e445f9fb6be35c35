/* SPDX-License-Identifier: Apache-2.0 */
/* What a refusal stops: the uplink against a scripted broker. */
#include "fake_broker.h"
#include "model/device_info.h"

/* A batch that is refused for good (bad payload): by halves, and only the bad sample is dropped. */
static void test_one_bad_sample_in_a_batch(void **state)
{
	struct rig *rig = *state;
	struct fake *fake = start_fake(REFUSES_PAYLOADS, "\"v\":57}", 0x99);
	go(rig, fake, "batch = 100;");
	take(rig, 0, 200);
	await(status_of(rig->uplink).backlog == 0);
	assert_int_equal(status_of(rig->uplink).delivered, 199);
	assert_int_equal(dropped(rig), 1);
	/* Halves, and twice as many again after each that passed: where the batches begin is a matter of time. One by one it
	   would be 100. */
	assert_in_range(fake->refused, 1, 15);
	assert_true(logged("is dropped and counted: the broker refuses it: payload format invalid (0x99)"));
	leave(rig, fake);
}

/* mosquitto's message_size_limit: a batch that is larger is turned down (0x95), and the connection ended. Its size is learnt:
   it was a connection for every message. */
static void test_batches_that_are_too_large(void **state)
{
	struct rig *rig = *state;
	struct fake *fake = start_fake(REFUSES_LARGE, "", 6000);
	go(rig, fake, "batch = 500;");
	for (int i = 0; i < 2000; i++)
		for (size_t device = 0; device < ELEMENTS(rig->devices); device++)
			take(rig, device, 1);
	await(status_of(rig->uplink).backlog == 0);
	assert_int_equal(status_of(rig->uplink).delivered, 6000);
	assert_int_equal(dropped(rig), 0);
	/* One for each halving of 500 samples, not one for each of some hundred messages. */
	assert_in_range(connects(fake), 2, 12);
	assert_int_equal(said("too large for the broker"), 1);
	leave(rig, fake);
}

/* The ACL line of one device was forgotten (PUBACK 0x87): it waits, in order, the others go on; with and without a broker
   that hangs up over it as well. */
static void one_topic_is_refused(struct rig *rig, enum manner manner)
{
	struct fake *fake = start_fake(manner, "/data/boiler", 0x87);
	go(rig, fake, "");
	await(status_of(rig->uplink).state == UPLINK_CONNECTED);
	int first = rig->next_value;
	for (int i = 0; i < 300; i++) {
		take(rig, 0, 1);
		take(rig, 1, 1);
	}
	await(status_of(rig->uplink).delivered == 300);
	await(status_of(rig->uplink).backlog == 300);
	await(status_of(rig->uplink).state == UPLINK_REFUSED);
	assert_int_equal(said("the broker refuses messages to haywain/barn-1/data/boiler: not authorized (0x87)"), 1);
	/* For each of the 300 it would be one. */
	assert_in_range(connects(fake), 1, 30);
	buf_clear(&fake->good);
	set_manner(fake, OBEDIENT);
	await(status_of(rig->uplink).backlog == 0);
	assert_int_equal(status_of(rig->uplink).delivered, 600);
	assert_int_equal(dropped(rig), 0);
	await(status_of(rig->uplink).state == UPLINK_CONNECTED);
	/* All of it, in order. */
	_cleanup_buf_ struct buf expected = {0};
	for (int i = 0; i < 300; i++)
		buf_printf(&expected, "%d ", first + 2 * i);
	assert_string_equal(values(fake, &fake->good), buf_text(&expected));
	leave(rig, fake);
}

static void test_one_topic_is_refused(void **state)
{
	one_topic_is_refused(*state, REFUSES);
}

static void test_one_topic_is_refused_and_the_connection_ended(void **state)
{
	one_topic_is_refused(*state, REFUSES_AND_HANGS_UP);
}

/* A quota of messages a second: found, kept, said once; more passes than is refused. */
static void test_a_quota(void **state)
{
	struct rig *rig = *state;
	struct fake *fake = start_fake(HAS_A_QUOTA, "", 100);
	go(rig, fake, "");
	take(rig, 0, 1000);
	await(status_of(rig->uplink).backlog == 0);
	assert_int_equal(status_of(rig->uplink).delivered, 1000);
	/* Each halt of a loaded machine costs some: a second's messages come in one. How near the rate comes is measured in
	   played time, in test_pace.c. */
	assert_in_range(fake->refused, 1, 999);
	assert_int_equal(said("the broker's quota is exceeded (0x97): sending "), 1);
	assert_int_equal(dropped(rig), 0);
	assert_int_equal(connects(fake), 1);
	leave(rig, fake);
}

/* Nobody is subscribed (PUBACK 0x10): it counts as delivered, and is said and counted. */
static void test_nobody_is_subscribed(void **state)
{
	struct rig *rig = *state;
	struct fake *fake = start_fake(ACKS_WITH, "", 0x10);
	go(rig, fake, "");
	take(rig, 0, 20);
	await(status_of(rig->uplink).delivered == 20);
	assert_int_equal(status_of(rig->uplink).no_subscribers, 20);
	assert_int_equal(status_of(rig->uplink).state, UPLINK_CONNECTED);
	assert_non_null(strstr(status_of(rig->uplink).reason, "no client is subscribed to haywain/barn-1/data/boiler"));
	assert_int_equal(
		said("no client is subscribed to haywain/barn-1/data/boiler: the broker acknowledges the readings and discards them"),
		1);
	set_manner(fake, OBEDIENT);
	take(rig, 0, 5);
	await(status_of(rig->uplink).delivered == 25);
	assert_int_equal(status_of(rig->uplink).no_subscribers, 20);
	leave(rig, fake);
}

/* subscriber = "required": what nobody would receive waits until somebody is there, and does not count as delivered. */
static void test_a_subscriber_is_required(void **state)
{
	struct rig *rig = *state;
	struct fake *fake = start_fake(ACKS_WITH, "", 0x10);
	go(rig, fake, "subscriber = \"required\";");
	take(rig, 0, 20);
	await(status_of(rig->uplink).state == UPLINK_REFUSED || status_of(rig->uplink).delivered > 0);
	assert_int_equal(status_of(rig->uplink).delivered, 0);
	assert_int_equal(status_of(rig->uplink).state, UPLINK_REFUSED);
	assert_int_equal(status_of(rig->uplink).backlog, 20);
	set_manner(fake, OBEDIENT);
	await(status_of(rig->uplink).delivered == 20);
	assert_int_equal(status_of(rig->uplink).no_subscribers, 0);
	assert_int_equal(status_of(rig->uplink).state, UPLINK_CONNECTED);
	assert_int_equal(dropped(rig), 0);
	leave(rig, fake);
}

/* A device with so many points that its info does not fit: said once, and the rest goes on. */
static void test_a_card_that_is_too_large(void **state)
{
	struct rig *rig = *state;
	struct fake *fake = start_fake(OBEDIENT, "", 0);
	fake->max_packet = 200;
	go(rig, fake, "");
	struct device_info_point points[20];
	for (size_t i = 0; i < ELEMENTS(points); i++) {
		char name[32];
		snprintf(name, sizeof(name), "point_number_%zu", i);
		points[i] = (struct device_info_point){
			.series = series_intern(rig->set, rig->devices[0], name, "kWh", HAY_INT64)};
	}
	for (int i = 0; i < 2; i++) {
		struct device_info *info =
			device_info_new(rig->devices[0], i, clock_now(), NULL, points, ELEMENTS(points));
		uplink_device(rig->uplink, info);
		device_info_unref(info);
		take(rig, 0, 1);
		await(status_of(rig->uplink).delivered == (uint64_t)i + 1);
	}
	await(logged("the message for haywain/barn-1/device/boiler is not sent: it has "));
	assert_true(logged("and the broker accepts at most 200; samples continue"));
	assert_int_equal(said("is not sent"), 1);
	leave(rig, fake);
}

int main(void)
{
#define test(name) cmocka_unit_test_setup_teardown(name, rig_up, rig_down)
	const struct CMUnitTest tests[] = {
		test(test_one_bad_sample_in_a_batch),
		test(test_batches_that_are_too_large),
		test(test_one_topic_is_refused),
		test(test_one_topic_is_refused_and_the_connection_ended),
		test(test_a_quota),
		test(test_nobody_is_subscribed),
		test(test_a_subscriber_is_required),
		test(test_a_card_that_is_too_large),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
