/* SPDX-License-Identifier: Apache-2.0 */
/* The uplink against a broker that misbehaves on purpose: a few lines of MQTT 5 with a script. */
#include "fake_broker.h"

static void test_backward_acknowledgements(void **state)
{
	struct rig *rig = *state;
	struct fake *fake = start_fake(ACKS_BACKWARDS, "", 0);
	go(rig, fake, "");
	take(rig, 0, 40);
	await(status_of(rig->uplink).delivered == 40);
	await(status_of(rig->uplink).backlog == 0);
	leave(rig, fake);
}

static void test_receive_maximum_is_kept(void **state)
{
	struct rig *rig = *state;
	struct fake *fake = start_fake(NEVER_ACKS, "", 0);
	fake->receive_maximum = 3;
	go(rig, fake, "");
	take(rig, 0, 10);
	await(strcmp(values(fake, &fake->got), "0 1 2 ") == 0);
	await(status_of(rig->uplink).inflight == 3);
	leave(rig, fake);
}

static void test_a_silent_broker_is_left(void **state)
{
	struct rig *rig = *state;
	struct fake *fake = start_fake(SILENT, "", 0);
	go(rig, fake, "connect_timeout = \"1s\";");
	await(logged("the broker accepted the connection but did not answer within 1 s; trying again in"));
	set_manner(fake, OBEDIENT);
	take(rig, 0, 1);
	await(status_of(rig->uplink).delivered == 1);
	leave(rig, fake);
}

/* Slow, but steady: acknowledgements come late, and all come. */
static void test_a_slow_broker_is_kept(void **state)
{
	struct rig *rig = *state;
	struct fake *fake = start_fake(ACKS_LATE, "", 0);
	go(rig, fake, "");
	await(status_of(rig->uplink).state == UPLINK_CONNECTED);
	for (uint64_t n = 1; n <= 300; n++) {
		take(rig, 0, 1);
		if (n > LATENESS)
			await(status_of(rig->uplink).delivered == n - LATENESS);
	}
	await(status_of(rig->uplink).backlog == LATENESS);
	/* Each came once, and in order. */
	char expected[2048] = "";
	size_t used = 0;
	for (int n = 0; n < 300; n++)
		used += (size_t)snprintf(expected + used, sizeof(expected) - used, "%d ", n);
	pthread_mutex_lock(&fake->lock);
	assert_string_equal(buf_text(&fake->got), expected);
	assert_int_equal(fake->connects, 1);
	pthread_mutex_unlock(&fake->lock);
	leave(rig, fake);
}

/* Samples lost by two causes while the broker was away: an event for each, with its count, once. */
static void test_two_causes_of_loss(void **state)
{
	struct rig *rig = *state;
	struct fake *fake = start_fake(SILENT, "", 0);
	go(rig, fake, "");
	take(rig, 0, 3);
	take(rig, 1, 2);
	assert_int_equal(queue_purge(rig->queue), 5);
	queue_lost(rig->queue, rig->devices[0]->number);
	queue_lost(rig->queue, rig->devices[2]->number);
	stop_uplink(rig->uplink);
	set_manner(fake, OBEDIENT);
	go(rig, fake, "");
	await(count_words(fake, "\"reason\":\"purged\"") > 0 && count_words(fake, "\"reason\":\"out of memory\"") > 0);
	assert_int_equal(count_words(fake, "\"samples\":5,\"reason\":\"purged\""), 1);
	assert_int_equal(count_words(fake, "\"samples\":2,\"reason\":\"out of memory\""), 1);
	/* Acknowledged, they are not told again: not with the next connection either. */
	take(rig, 0, 1);
	await(status_of(rig->uplink).delivered == 1);
	stop_uplink(rig->uplink);
	go(rig, fake, "");
	take(rig, 0, 1);
	await(status_of(rig->uplink).delivered == 1);
	assert_int_equal(count_words(fake, "\"event\":\"dropped\""), 2);
	leave(rig, fake);
}

static void test_only_qos_0(void **state)
{
	struct rig *rig = *state;
	struct fake *fake = start_fake(ONLY_QOS_0, "", 0);
	/* Samples may be lost on the way without anybody noticing: not unless it is asked for. */
	go(rig, fake, "");
	take(rig, 0, 5);
	await(logged("the broker offers only QoS 0, which may lose samples; `qos = 0` in this uplink accepts that"));
	assert_int_equal(status_of(rig->uplink).delivered, 0);
	stop_uplink(rig->uplink);
	go(rig, fake, "qos = 0;");
	await(status_of(rig->uplink).delivered == 5);
	stop_uplink(rig->uplink);
	/* It may also turn away the will. */
	fake->code = 0x9b;
	set_manner(fake, TURNS_AWAY);
	size_t said = strlen(logged_text());
	go(rig, fake, "");
	await(strstr(logged_text() + said, "`qos = 0` in this uplink accepts that"));
	leave(rig, fake);
}

static void test_refused_by_state_loses_nothing(void **state)
{
	struct rig *rig = *state;
	struct fake *fake = start_fake(REFUSES, "/data/boiler", 0x97);
	go(rig, fake, "");
	take(rig, 0, 3);
	take(rig, 1, 2);
	await(status_of(rig->uplink).state == UPLINK_REFUSED);
	await(logged("the broker refuses messages to haywain/barn-1/data/boiler: quota exceeded (0x97); nothing is "
		     "lost, trying again in"));
	set_manner(fake, OBEDIENT);
	await(logged("the broker accepts messages again"));
	await(status_of(rig->uplink).backlog == 0);
	assert_int_equal(status_of(rig->uplink).state, UPLINK_CONNECTED);
	assert_int_equal(status_of(rig->uplink).delivered, 5);
	assert_int_equal(fake->connects, 1);
	/* The device that was refused arrives in order. */
	const char *good = values(fake, &fake->good);
	const char *zero = strstr(good, "0 "), *one = strstr(good, "1 "), *two = strstr(good, "2 ");
	assert_true(zero && one && two && zero < one && one < two);
	leave(rig, fake);
}

static void test_a_message_that_can_never_pass(void **state)
{
	struct rig *rig = *state;
	struct fake *fake = start_fake(REFUSES, "/data/boiler", 0x99);
	go(rig, fake, "");
	take(rig, 0, 1);
	take(rig, 1, 1);
	await(status_of(rig->uplink).backlog == 0);
	assert_int_equal(status_of(rig->uplink).delivered, 1);
	await(logged("a sample for haywain/barn-1/data/boiler is dropped and counted: the broker refuses it: payload "
		     "format invalid (0x99)"));
	leave(rig, fake);
}

static void test_a_refused_status_does_not_stop_samples(void **state)
{
	struct rig *rig = *state;
	struct fake *fake = start_fake(REFUSES, "/status", 0x87);
	go(rig, fake, "");
	take(rig, 0, 4);
	await(status_of(rig->uplink).delivered == 4);
	await(logged("the broker refuses haywain/barn-1/status: not authorized (0x87); samples continue"));
	leave(rig, fake);
}

static void test_reasons_in_words(void **state)
{
	static const struct {
		enum manner manner;
		unsigned code;
		const char *words;
	} cases[] = {
		{TURNS_AWAY, 0x86,
		 "no connection: the broker refuses the login: bad username or password; trying again in"},
		{TURNS_AWAY, 0x87, "the broker refuses the login: not authorized"},
		{TURNS_AWAY, 0x84, "version = 311"},
		{TURNS_AWAY, 0x88, "the broker refuses the login: server unavailable (0x88)"},
		{TAKES_OVER, 0, "another client has connected to the broker with the same client_id"},
	};
	struct rig *rig = *state;
	for (size_t i = 0; i < ELEMENTS(cases); i++) {
		struct fake *fake = start_fake(cases[i].manner, "", cases[i].code);
		go(rig, fake, "");
		await(logged(cases[i].words));
		await(status_of(rig->uplink).state == UPLINK_DOWN);
		leave(rig, fake);
	}
}

/* A broker that never acknowledges keeps us for a second at most, one that is away not at all. */
static void test_stop_is_prompt(void **state)
{
	struct rig *rig = *state;
	struct fake *fake = start_fake(NEVER_ACKS, "", 0);
	go(rig, fake, "");
	take(rig, 0, 1);
	await(strcmp(values(fake, &fake->got), "0 ") == 0);
	leave(rig, fake);
	fake = start_fake(SILENT, "", 0);
	go(rig, fake, "");
	await(status_of(rig->uplink).state == UPLINK_CONNECTING);
	leave(rig, fake);
	clock_set_trusted(false);
	rig->uplink = start_uplink(rig, "cloud", "mqtt://127.0.0.1:1", "");
	await(status_of(rig->uplink).state == UPLINK_WAITS_FOR_CLOCK);
	assert_non_null(strstr(status_of(rig->uplink).reason, " for the clock, at most "));
	assert_int_equal(uplink_stuck_us(rig->uplink), 0);
}

static void test_waiting_for_the_clock_ends(void **state)
{
	struct rig *rig = *state;
	clock_set_trusted(false);
	struct fake *fake = start_fake(OBEDIENT, "", 0);
	go(rig, fake, "clock_wait = \"1s\";");
	await(logged("waiting for this machine's clock to be set, at most 1 s"));
	await(status_of(rig->uplink).state == UPLINK_CONNECTED);
	assert_true(logged("is still not set; going on, samples are marked"));
	leave(rig, fake);
}

/* libmosquitto 2.0.11 unlocks a mutex twice when the broker says DISCONNECT; it has one thread here. */
__attribute__((visibility("default"))) const char *__tsan_default_suppressions(void);
const char *__tsan_default_suppressions(void)
{
	return "mutex:libmosquitto.so";
}

int main(void)
{
#define test(name) cmocka_unit_test_setup_teardown(name, rig_up, rig_down)
	const struct CMUnitTest tests[] = {
		test(test_backward_acknowledgements),
		test(test_receive_maximum_is_kept),
		test(test_a_silent_broker_is_left),
		test(test_refused_by_state_loses_nothing),
		test(test_a_message_that_can_never_pass),
		test(test_a_refused_status_does_not_stop_samples),
		test(test_reasons_in_words),
		test(test_only_qos_0),
		test(test_a_slow_broker_is_kept),
		test(test_two_causes_of_loss),
		test(test_stop_is_prompt),
		test(test_waiting_for_the_clock_ends),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
