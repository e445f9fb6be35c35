/* SPDX-License-Identifier: Apache-2.0 */
/* What a broken connection proves: pure, so the broker, the line and the clock are played here. */
#include "upstream/suspects.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define FILTER "p/command/+/+"
#define STATUS "p/status"

struct play {
	struct suspects *suspects;
	uint64_t now;
	struct suspects_finding finding;
	enum suspect_verdict begun;
};

static int play_up(void **state)
{
	struct play *play = calloc(1, sizeof(*play));
	play->suspects = suspects_new();
	play->now = USEC_PER_HOUR;
	*state = play;
	return 0;
}

static int play_down(void **state)
{
	struct play *play = *state;
	suspects_free(play->suspects);
	free(play);
	return 0;
}

static void wait_s(struct play *play, double seconds)
{
	play->now += (uint64_t)(seconds * (double)USEC_PER_SEC);
}

static void begin(struct play *play)
{
	wait_s(play, 1);
	play->begun = suspects_connected(play->suspects, true, play->now);
}

static enum suspect_verdict verdict(struct play *play, enum suspect_kind kind, const char *topic)
{
	return suspects_verdict(play->suspects, kind, topic, play->now);
}

static void samples_pass(struct play *play, uint64_t first, uint64_t last, uint32_t topic)
{
	suspects_samples_passed(play->suspects, first, last, topic, play->now);
}

/* It ends 100 ms after it was sent. */
static void broken_over(struct play *play, enum suspect_kind kind, const char *topic)
{
	const struct suspects_flight none = {0};
	uint64_t sent = play->now;
	wait_s(play, 0.1);
	suspects_end(play->suspects);
	suspects_under_way(play->suspects, kind, topic, sent);
	suspects_ended(play->suspects, &none, play->now, &play->finding);
}

static void broken_over_samples(struct play *play, uint64_t first, uint64_t last, uint32_t topic)
{
	const struct suspects_flight flight = {
		.n = last - first + 1, .first = first, .last = last, .topic = topic, .sent_us = play->now};
	wait_s(play, 0.1);
	suspects_end(play->suspects);
	suspects_ended(play->suspects, &flight, play->now, &play->finding);
}

static void broken_over_nothing(struct play *play)
{
	const struct suspects_flight none = {0};
	suspects_end(play->suspects);
	suspects_ended(play->suspects, &none, play->now, &play->finding);
}

/* A broker that hangs up over SUBSCRIBE (AWS IoT without iot:Subscribe): given up after five connections. */
static void test_a_subscribe_that_is_not_allowed(void **state)
{
	struct play *play = *state;
	int connections = 0;
	do {
		begin(play);
		connections++;
		samples_pass(play, 1, 1, 0);
		while (verdict(play, SUSPECT_SUBSCRIBE, FILTER) == SUSPECT_APART) {
			uint64_t due = suspects_due_us(play->suspects, play->now);
			assert_true(due > play->now && due < play->now + USEC_PER_MINUTE);
			play->now = due;
		}
		broken_over(play, SUSPECT_SUBSCRIBE, FILTER);
	} while (!play->finding.given_up);
	assert_in_range(connections, 3, 5);
	assert_string_equal(play->finding.topic, FILTER);
	assert_int_equal(play->finding.kind, SUSPECT_SUBSCRIBE);
	begin(play);
	assert_int_equal(verdict(play, SUSPECT_SUBSCRIBE, FILTER), SUSPECT_GIVEN_UP);
	samples_pass(play, 2, 2, 0);
	wait_s(play, 3500);
	assert_int_equal(verdict(play, SUSPECT_SUBSCRIBE, FILTER), SUSPECT_GIVEN_UP);
	/* An hour later, once; and it is not told again. */
	wait_s(play, 200);
	assert_int_equal(verdict(play, SUSPECT_SUBSCRIBE, FILTER), SUSPECT_TEST);
	broken_over(play, SUSPECT_SUBSCRIBE, FILTER);
	assert_false(play->finding.given_up);
	begin(play);
	assert_int_equal(verdict(play, SUSPECT_SUBSCRIBE, FILTER), SUSPECT_GIVEN_UP);
	/* Until it is allowed. */
	samples_pass(play, 3, 3, 0);
	wait_s(play, 4000);
	assert_int_equal(verdict(play, SUSPECT_SUBSCRIBE, FILTER), SUSPECT_TEST);
	suspects_passed(play->suspects, SUSPECT_SUBSCRIBE, FILTER, play->now);
	begin(play);
	assert_int_equal(verdict(play, SUSPECT_SUBSCRIBE, FILTER), SUSPECT_FREE);
}

/* A policy for the data topics only: all that is no reading goes apart after two connections, and is given up as a whole
   after a few more, however many devices there are. */
static void test_announcements_are_given_up_as_a_whole(void **state)
{
	struct play *play = *state;
	char topic[32];
	int connections = 0;
	for (int i = 0; i < 2; i++, connections++) {
		begin(play);
		suspects_end(play->suspects);
		suspects_under_way(play->suspects, SUSPECT_ANNOUNCEMENT, STATUS, play->now);
		for (int device = 0; device < 30; device++) {
			snprintf(topic, sizeof(topic), "p/device/d%d", device);
			suspects_under_way(play->suspects, SUSPECT_ANNOUNCEMENT, topic, play->now);
		}
		const struct suspects_flight flight = {.n = 5, .first = 1, .last = 5};
		suspects_ended(play->suspects, &flight, play->now + 1000, &play->finding);
		/* No reading is under suspicion for that. */
		assert_int_equal(play->finding.narrow_until, 0);
	}
	/* The readings go on alone. */
	while (!play->finding.given_up) {
		begin(play);
		connections++;
		assert_int_equal(verdict(play, SUSPECT_ANNOUNCEMENT, STATUS), SUSPECT_APART);
		assert_int_equal(verdict(play, SUSPECT_ANNOUNCEMENT, "p/device/d99"), SUSPECT_APART);
		samples_pass(play, 1, 5, 0);
		play->now = suspects_due_us(play->suspects, play->now);
		snprintf(topic, sizeof(topic), "p/device/d%d", connections);
		assert_int_equal(verdict(play, SUSPECT_ANNOUNCEMENT, topic), SUSPECT_TEST);
		broken_over(play, SUSPECT_ANNOUNCEMENT, topic);
	}
	assert_in_range(connections, 3, 5);
	assert_true(play->finding.whole_kind);
	begin(play);
	assert_int_equal(verdict(play, SUSPECT_ANNOUNCEMENT, STATUS), SUSPECT_GIVEN_UP);
	assert_int_equal(verdict(play, SUSPECT_ANNOUNCEMENT, "p/device/d99"), SUSPECT_GIVEN_UP);
	assert_int_equal(verdict(play, SUSPECT_REPLY, ""), SUSPECT_FREE);
}

/* One device's info of thirty: the others pass, and only it is given up. */
static void test_one_card_of_many(void **state)
{
	struct play *play = *state;
	for (int i = 0; i < 2; i++) {
		begin(play);
		suspects_end(play->suspects);
		suspects_under_way(play->suspects, SUSPECT_ANNOUNCEMENT, "p/device/good", play->now);
		suspects_under_way(play->suspects, SUSPECT_ANNOUNCEMENT, "p/device/bad", play->now);
		const struct suspects_flight none = {0};
		suspects_ended(play->suspects, &none, play->now + 1000, &play->finding);
	}
	do {
		begin(play);
		samples_pass(play, 1, 1, 0);
		play->now = suspects_due_us(play->suspects, play->now);
		if (verdict(play, SUSPECT_ANNOUNCEMENT, "p/device/good") == SUSPECT_TEST)
			suspects_passed(play->suspects, SUSPECT_ANNOUNCEMENT, "p/device/good", play->now);
		assert_int_equal(verdict(play, SUSPECT_ANNOUNCEMENT, "p/device/good"), SUSPECT_FREE);
		broken_over(play, SUSPECT_ANNOUNCEMENT, "p/device/bad");
		wait_s(play, 600);
	} while (!play->finding.given_up);
	assert_string_equal(play->finding.topic, "p/device/bad");
	begin(play);
	assert_int_equal(verdict(play, SUSPECT_ANNOUNCEMENT, "p/device/good"), SUSPECT_FREE);
	assert_int_equal(verdict(play, SUSPECT_ANNOUNCEMENT, "p/device/bad"), SUSPECT_GIVEN_UP);
}

/* One ordinary end while a backlog drains: nothing follows from it. */
static void test_one_end_proves_nothing(void **state)
{
	struct play *play = *state;
	begin(play);
	samples_pass(play, 1, 100, 0);
	broken_over_samples(play, 101, 10000, 0);
	assert_int_equal(play->finding.narrow_until, 0);
	assert_false(play->finding.twin);
	begin(play);
	samples_pass(play, 101, 10000, 0);
	wait_s(play, 60);
	broken_over_samples(play, 10001, 20000, 0);
	assert_int_equal(play->finding.narrow_until, 0);
}

/* The sample that ends every connection it is on: found by halves, set apart, dropped when others of its topic passed. */
static void test_a_sample_that_breaks_connections(void **state)
{
	struct play *play = *state;
	const uint64_t bad = 37;
	uint64_t first = 1, last = 100;
	int connections = 0;
	for (; !suspects_sample_apart(play->suspects, bad); connections++) {
		assert_true(connections < 12);
		begin(play);
		suspects_passed(play->suspects, SUSPECT_ANNOUNCEMENT, STATUS, play->now);
		/* Chunks that pass, and then the one with it. */
		while (bad > last) {
			samples_pass(play, first, last, 7);
			uint64_t n = 2 * (last - first + 1);
			first = last + 1;
			last = first + n - 1;
		}
		broken_over_samples(play, first, last, 7);
		if (play->finding.narrow_until) {
			assert_in_range(bad, first, play->finding.narrow_until);
			last = first + play->finding.narrow - 1;
		}
		assert_false(play->finding.hold_topic);
	}
	/* The others of its topic go on without it. */
	uint64_t id = 0;
	begin(play);
	samples_pass(play, bad + 1, bad + 50, 7);
	assert_int_equal(suspects_sample_due(play->suspects, play->now, &id), SUSPECT_FREE);
	play->now = suspects_due_us(play->suspects, play->now);
	assert_int_equal(suspects_sample_due(play->suspects, play->now, &id), SUSPECT_TEST);
	assert_int_equal(id, bad);
	broken_over_samples(play, bad, bad, 7);
	begin(play);
	assert_int_equal(suspects_sample_due(play->suspects, play->now, &id), SUSPECT_DROP);
	assert_int_equal(id, bad);
	suspects_sample_forget(play->suspects, bad);
	assert_false(suspects_sample_apart(play->suspects, bad));
}

/* It goes first with each connection and nothing passes before it, as the announcements are apart already: it was sent again for
   ever, and all others waited behind it. */
static void test_a_sample_that_breaks_connections_at_once(void **state)
{
	struct play *play = *state;
	uint64_t id = 0;
	int connections = 0;
	for (; !suspects_sample_apart(play->suspects, 4); connections++) {
		assert_in_range(connections, 0, 5);
		begin(play);
		assert_int_equal(suspects_sample_due(play->suspects, play->now, &id), SUSPECT_FREE);
		broken_over_samples(play, 4, 4, 7);
		assert_false(play->finding.hold_topic);
	}
	/* One end, or two, may be anything. */
	assert_in_range(connections, 3, 5);
	/* The others pass, and only then it is tried, three times, before it is dropped. */
	int tests = 0;
	for (;; tests++) {
		begin(play);
		samples_pass(play, 5 + 10 * (uint64_t)tests, 14 + 10 * (uint64_t)tests, 7);
		if (suspects_sample_due(play->suspects, play->now, &id) == SUSPECT_DROP)
			break;
		play->now = suspects_due_us(play->suspects, play->now);
		assert_int_equal(suspects_sample_due(play->suspects, play->now, &id), SUSPECT_TEST);
		assert_int_equal(id, 4);
		broken_over_samples(play, 4, 4, 7);
	}
	assert_int_equal(tests, 3);
}

/* The same over a line that is to blame: once it passes, all is forgotten. */
static void test_a_sample_that_was_only_unlucky(void **state)
{
	struct play *play = *state;
	uint64_t id = 0;
	for (int i = 0; i < 5 && !suspects_sample_apart(play->suspects, 4); i++) {
		begin(play);
		broken_over_samples(play, 4, 4, 7);
	}
	assert_true(suspects_sample_apart(play->suspects, 4));
	begin(play);
	samples_pass(play, 5, 14, 7);
	play->now = suspects_due_us(play->suspects, play->now);
	assert_int_equal(suspects_sample_due(play->suspects, play->now, &id), SUSPECT_TEST);
	samples_pass(play, 4, 4, 7);
	assert_false(suspects_sample_apart(play->suspects, 4));
	assert_int_equal(suspects_sample_due(play->suspects, play->now, &id), SUSPECT_FREE);
}

/* A topic over which the broker hangs up whatever is in it: its samples wait, and none is dropped. */
static void test_a_topic_that_breaks_connections(void **state)
{
	struct play *play = *state;
	uint64_t id = 0;
	for (int i = 0; i < 3; i++) {
		begin(play);
		suspects_passed(play->suspects, SUSPECT_ANNOUNCEMENT, STATUS, play->now);
		samples_pass(play, 50 + (uint64_t)i, 50 + (uint64_t)i, 8);
		if (!suspects_sample_apart(play->suspects, 1))
			broken_over_samples(play, 1, 1, 7);
	}
	assert_true(suspects_sample_apart(play->suspects, 1));
	/* The next of it, while those of another topic pass. */
	for (int i = 0; i < 3 && !play->finding.hold_topic; i++) {
		begin(play);
		samples_pass(play, 60 + (uint64_t)i, 60 + (uint64_t)i, 8);
		assert_int_not_equal(suspects_sample_due(play->suspects, play->now, &id), SUSPECT_DROP);
		broken_over_samples(play, 2, 2, 7);
	}
	assert_true(play->finding.hold_topic);
	assert_false(suspects_sample_apart(play->suspects, 1));
	assert_false(suspects_sample_apart(play->suspects, 2));
}

/* A line that flaps: ends with and without it alike, so nothing is given up and nothing dropped, however long it lasts. */
static void test_a_line_that_flaps(void **state)
{
	struct play *play = *state;
	uint64_t random = 42, id = 0, next = 1;
	for (int connection = 0; connection < 20000; connection++) {
		begin(play);
		random ^= random << 13, random ^= random >> 7, random ^= random << 17;
		/* It lives 0 to 12 s, an acknowledgement takes 6 s: what is alone in flight is so half of the time. */
		uint64_t ends = play->now + random % (12 * USEC_PER_SEC);
		const char *item = NULL;
		uint64_t sample = 0, sent = 0;
		suspects_passed(play->suspects, SUSPECT_ANNOUNCEMENT, "p/other", play->now);
		while (play->now < ends) {
			enum suspect_verdict due = suspects_sample_due(play->suspects, play->now, &id);
			assert_int_not_equal(due, SUSPECT_DROP);
			item = NULL;
			sample = 0;
			sent = play->now;
			if (verdict(play, SUSPECT_ANNOUNCEMENT, STATUS) == SUSPECT_TEST ||
			    (verdict(play, SUSPECT_ANNOUNCEMENT, STATUS) == SUSPECT_FREE && random % 3 == 0))
				item = STATUS;
			else
				sample = due == SUSPECT_TEST ? id : next;
			assert_int_not_equal(verdict(play, SUSPECT_ANNOUNCEMENT, STATUS), SUSPECT_GIVEN_UP);
			play->now += MIN(6 * USEC_PER_SEC, ends - play->now);
			if (play->now == ends)
				break;
			if (item)
				suspects_passed(play->suspects, SUSPECT_ANNOUNCEMENT, STATUS, play->now);
			else
				samples_pass(play, sample, sample, 7);
			next += sample == next;
			suspects_samples_gone(play->suspects, next - 1, play->now);
		}
		const struct suspects_flight flight = {
			.n = sample > 0, .first = sample, .last = sample, .topic = 7, .sent_us = sent};
		suspects_end(play->suspects);
		if (item)
			suspects_under_way(play->suspects, SUSPECT_ANNOUNCEMENT, item, sent);
		suspects_ended(play->suspects, &flight, play->now, &play->finding);
		assert_false(play->finding.given_up);
		assert_false(play->finding.hold_topic);
	}
	assert_true(next > 1000);
}

/* Young connections that end over nothing in particular: a twin takes our place each time. */
static void test_a_twin(void **state)
{
	struct play *play = *state;
	begin(play);
	wait_s(play, 3600);
	broken_over_nothing(play);
	assert_false(play->finding.twin);
	begin(play);
	samples_pass(play, 1, 5, 0);
	wait_s(play, 1);
	broken_over_samples(play, 6, 6, 0);
	assert_false(play->finding.twin);
	begin(play);
	samples_pass(play, 6, 9, 0);
	wait_s(play, 1);
	broken_over_samples(play, 10, 11, 0);
	assert_true(play->finding.twin);
	assert_false(play->finding.given_up);
}

/* Debian 12's mosquitto turns a topic down (PUBACK 0x87) and ends the connection as well: nothing else is to blame. */
static void test_an_answer_explains_the_end(void **state)
{
	struct play *play = *state;
	for (int i = 0; i < 10; i++) {
		begin(play);
		samples_pass(play, 5, 5, 0);
		suspects_answered_no(play->suspects, play->now);
		broken_over_samples(play, 6, 6, 0);
		assert_int_equal(play->finding.narrow_until, 0);
		assert_false(play->finding.hold_topic);
		assert_false(play->finding.twin);
	}
	assert_false(suspects_sample_apart(play->suspects, 6));
	assert_true(suspects_refused(play->suspects, SUSPECT_ANNOUNCEMENT, STATUS, play->now));
	assert_int_equal(verdict(play, SUSPECT_ANNOUNCEMENT, STATUS), SUSPECT_GIVEN_UP);
	begin(play);
	samples_pass(play, 6, 6, 0);
	wait_s(play, 61);
	assert_int_equal(verdict(play, SUSPECT_ANNOUNCEMENT, STATUS), SUSPECT_TEST);
	/* Said once, tried ever more rarely. */
	assert_false(suspects_refused(play->suspects, SUSPECT_ANNOUNCEMENT, STATUS, play->now));
	wait_s(play, 61);
	assert_int_equal(verdict(play, SUSPECT_ANNOUNCEMENT, STATUS), SUSPECT_GIVEN_UP);
	wait_s(play, 61);
	assert_int_equal(verdict(play, SUSPECT_ANNOUNCEMENT, STATUS), SUSPECT_TEST);
}

static bool will_goes(struct play *play)
{
	return suspects_verdict(play->suspects, SUSPECT_WILL, "", play->now) == SUSPECT_FREE;
}

/* A will for a topic that is not allowed: the broker hangs up before CONNACK, and takes us without it. */
static void test_a_will_that_is_not_allowed(void **state)
{
	struct play *play = *state;
	int tries = 0;
	enum suspect_verdict last;
	do {
		assert_true(++tries < 10);
		wait_s(play, 1);
		last = SUSPECT_FREE;
		if (will_goes(play))
			suspects_not_accepted(play->suspects, true, play->now);
		else
			last = suspects_connected(play->suspects, false, play->now);
	} while (last != SUSPECT_GIVEN_UP);
	assert_int_equal(tries, 5);
	broken_over_nothing(play);
	assert_false(will_goes(play));
	assert_int_equal(suspects_connected(play->suspects, false, play->now), SUSPECT_FREE);
	wait_s(play, 3601);
	assert_true(will_goes(play));
	suspects_not_accepted(play->suspects, true, play->now);
	assert_false(will_goes(play));
}

/* A broker that is away for a while, behind something that accepts connections: the will is back as soon as it is. */
static void test_a_broker_that_is_away(void **state)
{
	struct play *play = *state;
	for (int i = 0; i < 100 || will_goes(play); i++) {
		wait_s(play, 1);
		suspects_not_accepted(play->suspects, will_goes(play), play->now);
	}
	/* It is back just when we try without: that proves nothing yet. */
	assert_int_equal(suspects_connected(play->suspects, false, play->now), SUSPECT_TEST);
	broken_over_nothing(play);
	assert_true(will_goes(play));
	assert_int_equal(suspects_connected(play->suspects, true, play->now), SUSPECT_FREE);
	assert_true(will_goes(play));
}

static void test_too_large_is_said_once(void **state)
{
	struct play *play = *state;
	assert_true(suspects_too_large(play->suspects, SUSPECT_ANNOUNCEMENT, "p/device/a"));
	assert_false(suspects_too_large(play->suspects, SUSPECT_ANNOUNCEMENT, "p/device/a"));
	assert_true(suspects_too_large(play->suspects, SUSPECT_ANNOUNCEMENT, "p/device/b"));
	assert_int_equal(verdict(play, SUSPECT_ANNOUNCEMENT, "p/device/a"), SUSPECT_FREE);
}

/* Thousands of devices whose topics the broker refuses: those that do not fit into the memory for them were said anew
   with every connection. */
static void test_topics_that_do_not_fit_are_said_once(void **state)
{
	struct play *play = *state;
	char topic[32];
	for (int i = 0; i < 4096; i++) {
		snprintf(topic, sizeof(topic), "p/device/%d", i);
		assert_true(suspects_refused(play->suspects, SUSPECT_ANNOUNCEMENT, topic, play->now));
	}
	assert_true(suspects_refused(play->suspects, SUSPECT_ANNOUNCEMENT, "p/device/a", play->now));
	assert_false(suspects_refused(play->suspects, SUSPECT_ANNOUNCEMENT, "p/device/a", play->now));
	assert_false(suspects_refused(play->suspects, SUSPECT_ANNOUNCEMENT, "p/device/b", play->now));
	assert_true(suspects_too_large(play->suspects, SUSPECT_ANNOUNCEMENT, "p/device/c"));
	assert_false(suspects_too_large(play->suspects, SUSPECT_ANNOUNCEMENT, "p/device/c"));
	/* Those that fit are not concerned. */
	assert_false(suspects_refused(play->suspects, SUSPECT_ANNOUNCEMENT, "p/device/0", play->now));
	assert_true(suspects_too_large(play->suspects, SUSPECT_ANNOUNCEMENT, "p/device/0"));
}

int main(void)
{
#define test(name) cmocka_unit_test_setup_teardown(name, play_up, play_down)
	const struct CMUnitTest tests[] = {
		test(test_a_subscribe_that_is_not_allowed),
		test(test_announcements_are_given_up_as_a_whole),
		test(test_one_card_of_many),
		test(test_one_end_proves_nothing),
		test(test_a_sample_that_breaks_connections),
		test(test_a_sample_that_breaks_connections_at_once),
		test(test_a_sample_that_was_only_unlucky),
		test(test_a_topic_that_breaks_connections),
		test(test_a_line_that_flaps),
		test(test_a_twin),
		test(test_an_answer_explains_the_end),
		test(test_a_will_that_is_not_allowed),
		test(test_a_broker_that_is_away),
		test(test_too_large_is_said_once),
		test(test_topics_that_do_not_fit_are_said_once),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
