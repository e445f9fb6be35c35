/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a dialect with births that hold samples back, several packets a sample and one sequence number may rely on, against a broker that
 * misbehaves on purpose. A gap in the numbers, or a sample before its device's birth, makes its receivers throw samples away
 * that the broker has acknowledged.
 */
#include "double_dialect.h"
#include "fake_broker.h"
#include <inttypes.h>

#define DEVICES 3

static int register_doubles(void **state)
{
	(void)state;
	dialect_register(&dialect_double);
	dialect_register(&dialect_double_acked);
	return 0;
}

/* The devices are known before it connects: they are born with it. */
static void go_double(struct rig *rig, const struct fake *fake, const char *more)
{
	char url[64], all[200];
	snprintf(url, sizeof(url), "mqtt://127.0.0.1:%d", fake->port);
	snprintf(all, sizeof(all), "format = \"double-acked\"; login_life = \"1h\"; %s", more);
	struct uplink_conf *conf = read_uplink(rig, "cloud", url, all);
	assert_int_equal(uplink_new(conf, "barn-1", "1.2", rig->queue, rig->set, NULL, &rig->uplink), 0);
	announce_devices(rig, DEVICES, false);
	assert_int_equal(uplink_start(rig->uplink), 0);
}

/* Numbers run from 1 without a gap in each connection, and samples come behind the births. Returns how many samples' packets. */
static unsigned check_order(struct fake *fake)
{
	char connection[40] = "", was[40] = "";
	uint64_t seq = 0;
	unsigned births = 0, data = 0;
	char *text = strdup(values(fake, &fake->order)), *more;
	for (char *line = strtok_r(text, "\n", &more); line; line = strtok_r(NULL, "\n", &more)) {
		const char *conn = strstr(line, "conn="), *number = strstr(line, " seq=");
		sscanf(conn, "conn=%39s", connection);
		if (strcmp(connection, was) != 0)
			seq = births = 0;
		memcpy(was, connection, sizeof(was));
		if (number && strtoull(number + 5, NULL, 10) != seq + 1)
			fail_msg("%" PRIu64 " is followed by: %s", seq, line);
		seq += number != NULL;
		births += strstr(line, "/birth") != NULL;
		if (!strstr(line, "/data/"))
			continue;
		data++;
		if (births < DEVICES + 1)
			fail_msg("goes before the births: %s", line);
	}
	free(text);
	return data;
}

/* A broker that hangs up over a device's birth: samples do not go without it, however often that happens. */
static void test_a_birth_is_never_passed_over(void **state)
{
	struct rig *rig = *state;
	struct fake *fake = start_fake(HANGS_UP_OVER, "/birth/meter", 0);
	take(rig, 0, 1);
	go_double(rig, fake, "");
	take(rig, 0, 3);
	await(connects(fake) >= 5);
	assert_int_equal(check_order(fake), 0);
	/* It is that birth, and no second client of our name. */
	assert_false(logged("is another client called"));
	set_manner(fake, OBEDIENT);
	await(status_of(rig->uplink).backlog == 0);
	assert_int_equal(check_order(fake), 3 * DOUBLE_PARTS);
	leave(rig, fake);
}

/* A device's birth that was turned down is part of the next connection again: it was given up for a minute. */
static void test_a_birth_that_is_turned_down_comes_again(void **state)
{
	struct rig *rig = *state;
	struct fake *fake = start_fake(REFUSES, "/birth/meter", 0x87);
	go_double(rig, fake, "");
	take(rig, 0, 1);
	await(status_of(rig->uplink).delivered == 1);
	set_number(fake, &fake->code, 2); /* the connection ends behind the second of the messages that follow */
	set_manner(fake, ENDS_AFTER);
	take(rig, 0, 1);
	await(connects(fake) == 2);
	await(status_of(rig->uplink).backlog == 0 || connects(fake) > 2);
	check_order(fake);
	set_manner(fake, OBEDIENT);
	await(status_of(rig->uplink).backlog == 0);
	check_order(fake);
	leave(rig, fake);
}

/* The gateway's birth is to be acknowledged, and a refusal is no acknowledgement. */
static void test_nothing_goes_without_the_birth_that_must_be_acknowledged(void **state)
{
	struct rig *rig = *state;
	struct fake *fake = start_fake(REFUSES, "barn-1/birth", 0x87);
	go_double(rig, fake, "");
	take(rig, 0, 2);
	await(logged("the broker refuses haywain/barn-1/birth, which samples wait for: not authorized (0x87)"));
	await(connects(fake) >= 3);
	assert_int_equal(check_order(fake), 0);
	set_manner(fake, OBEDIENT);
	await(status_of(rig->uplink).backlog == 0);
	assert_int_equal(check_order(fake), 2 * DOUBLE_PARTS);
	leave(rig, fake);
}

/* One that the broker's bound does not let through: said, and samples wait. */
static void test_a_birth_that_is_too_large(void **state)
{
	struct rig *rig = *state;
	struct fake *fake = start_fake(OBEDIENT, "", 0);
	set_number(fake, &fake->max_packet, 45);
	go_double(rig, fake, "");
	take(rig, 0, 1);
	await(logged("which samples wait for, cannot be sent: it is larger than the broker accepts"));
	assert_int_equal(check_order(fake), 0);
	leave(rig, fake);
}

/* Of a sample's three packets the first is turned down while the third still waits for the broker's Receive Maximum. */
static void test_what_is_numbered_leaves_although_a_part_is_turned_down(void **state)
{
	struct rig *rig = *state;
	struct fake *fake = start_fake(REFUSES, "/data/boiler/1", 0x87);
	set_number(fake, &fake->receive_maximum, 2);
	go_double(rig, fake, "");
	take(rig, 0, 1);
	await(turned_down(fake) >= 1);
	take(rig, 1, 2);
	await(status_of(rig->uplink).delivered == 2);
	check_order(fake);
	set_manner(fake, OBEDIENT);
	await(status_of(rig->uplink).delivered == 3);
	check_order(fake);
	leave(rig, fake);
}

/* A topic that MQTT cannot carry is found before its packets have numbers; it left a gap of three. */
static void test_what_cannot_leave_takes_no_number(void **state)
{
	struct rig *rig = *state;
	struct fake *fake = start_fake(OBEDIENT, "", 0);
	go_double(rig, fake, "");
	rig->devices[1] = series_device_intern(rig->set, "wild#card", "rs485", NULL, 0);
	rig->series[1] = series_intern(rig->set, rig->devices[1], "v", NULL, HAY_INT64);
	take(rig, 0, 1);
	await(status_of(rig->uplink).delivered == 1);
	take(rig, 1, 2);
	take(rig, 2, 1);
	await(status_of(rig->uplink).backlog == 0);
	assert_int_equal(check_order(fake), 2 * DOUBLE_PARTS);
	assert_true(logged("is dropped and counted: MQTT cannot carry its topic"));
	leave(rig, fake);
}

/* Samples that ended connections are tried alone, behind the births; and all their packets leave, although the broker takes two at
   a time: the third one waited for ever. */
static void test_a_sample_of_many_packets_is_tried_alone(void **state)
{
	struct rig *rig = *state;
	struct fake *fake = start_fake(HANGS_UP_ON, " n=1 part=3", 0);
	set_number(fake, &fake->receive_maximum, 2);
	go_double(rig, fake, "");
	take(rig, 0, 6);
	await(connects(fake) >= 4);
	set_manner(fake, OBEDIENT);
	await(status_of(rig->uplink).backlog == 0);
	check_order(fake);
	assert_int_equal(status_of(rig->uplink).delivered, 6);
	leave(rig, fake);
}

/* A retained message that makes a dialect leave comes with each connection: hundreds of them a second were made. */
static void test_who_is_sent_away_each_time_pauses(void **state)
{
	struct rig *rig = *state;
	struct fake *fake = start_fake(ASKS_AFTER_SUBSCRIBE, "haywain/barn-1/ask/renewal", 0);
	go_double(rig, fake, "");
	await(logged("asked to; trying again in "));
	assert_int_equal(connects(fake), 1);
	leave(rig, fake);
}

int main(void)
{
#define test(name) cmocka_unit_test_setup_teardown(name, rig_up, rig_down)
	const struct CMUnitTest tests[] = {
		test(test_a_birth_is_never_passed_over),
		test(test_a_birth_that_is_turned_down_comes_again),
		test(test_nothing_goes_without_the_birth_that_must_be_acknowledged),
		test(test_a_birth_that_is_too_large),
		test(test_what_is_numbered_leaves_although_a_part_is_turned_down),
		test(test_what_cannot_leave_takes_no_number),
		test(test_who_is_sent_away_each_time_pauses),
		test(test_a_sample_of_many_packets_is_tried_alone),
	};
	return cmocka_run_group_tests(tests, register_doubles, NULL);
}
