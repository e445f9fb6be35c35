/* SPDX-License-Identifier: Apache-2.0 */
/* At which pace an uplink sends: the broker's quota, the line's rate, the topics that wait. Pure, in played time. */
#include "upstream/held_topics.h"
#include "upstream/line_rate.h"
#include "upstream/quota.h"
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

struct counted {
	double passed, refused; /* in the second half */
	unsigned said;
};

/* A broker that takes `per_s` messages a second, counted by windows of so many seconds, against all that may be sent. */
static struct counted play_quota(double per_s, uint64_t window_s)
{
	struct quota quota = {0};
	struct counted counted = {0};
	const uint64_t end_us = 20 * USEC_PER_MINUTE;
	uint64_t window = 0, resumes_us = 0;
	double in_window = 0;
	for (uint64_t now = 1; now < end_us; now += USEC_PER_MSEC) {
		if (now / (window_s * USEC_PER_SEC) != window) {
			window = now / (window_s * USEC_PER_SEC);
			in_window = 0;
		}
		for (int burst = 0; now >= resumes_us && burst < 20 && quota_allows(&quota, now); burst++) {
			quota_take(&quota);
			if (in_window < per_s * (double)window_s) {
				in_window++;
				counted.passed += now > end_us / 2;
				quota_passed(&quota, now);
			} else {
				counted.refused += now > end_us / 2;
				counted.said += quota_exceeded(&quota, now, now);
				resumes_us = now + USEC_PER_SEC;
			}
		}
	}
	counted.passed /= per_s * (double)(end_us / 2) / (double)USEC_PER_SEC;
	return counted;
}

/* The rate found is near the quota, hardly anything is refused, and it is said once, not each time. */
static void test_a_quota_is_found_and_kept(void **state)
{
	(void)state;
	static const double rates[] = {2, 10, 50, 500};
	for (size_t i = 0; i < ELEMENTS(rates); i++) {
		struct counted by_second = play_quota(rates[i], 1);
		assert_true(by_second.passed > 0.8 && by_second.passed <= 1);
		assert_true(by_second.refused < 0.02 * rates[i] * 600);
		assert_int_equal(by_second.said, 1);
		struct counted by_minute = play_quota(rates[i], 60);
		assert_true(by_minute.passed > 0.8 && by_minute.passed <= 1);
		assert_true(by_minute.said <= 6);
	}
}

/* A broker under load that halts now and then: the rate found jumps, and each jump was a line in the log. */
static void test_a_quota_that_jumps_is_said_rarely(void **state)
{
	(void)state;
	struct quota quota = {0};
	uint64_t now = USEC_PER_SEC;
	unsigned said = 0;
	for (int minute = 0; minute < 30; minute++) {
		for (int i = 0; i < (minute % 2 ? 1000 : 10); i++)
			quota_passed(&quota, now);
		now += USEC_PER_MINUTE;
		said += quota_exceeded(&quota, now, now);
	}
	assert_in_range(said, 1, 3);
}

/* A hundred messages are on their way when the first refusal comes: theirs are answers to the old rate, and each would have
   lowered the new one by a quarter. */
static void test_refusals_of_the_old_rate_do_not_lower_the_new_one(void **state)
{
	(void)state;
	struct quota quota = {0};
	uint64_t now = USEC_PER_HOUR;
	for (int i = 0; i < 1000; i++, now += USEC_PER_SEC / 100)
		quota_passed(&quota, now);
	uint64_t sent_us = now;
	quota_exceeded(&quota, sent_us, now + USEC_PER_MSEC);
	double per_s = quota.per_s;
	assert_true(per_s > 50 && per_s < 100);
	for (int i = 0; i < 100; i++) {
		quota_passed(&quota, now + 2 * USEC_PER_MSEC);
		assert_false(quota_exceeded(&quota, sent_us, now + 2 * USEC_PER_MSEC));
	}
	assert_true(quota.per_s >= per_s);
	assert_true(quota.per_s < 1.1 * per_s);
}

static void test_a_quota_that_is_gone_is_forgotten(void **state)
{
	(void)state;
	struct quota quota = {0};
	uint64_t now = USEC_PER_SEC;
	assert_true(quota_is_shut(&quota));
	for (int i = 0; i < 100; i++)
		quota_passed(&quota, now);
	assert_true(quota_exceeded(&quota, now, now + 1));
	/* What was under way then comes back too: it is the same time. */
	assert_false(quota_exceeded(&quota, now, now + 2));
	assert_true(quota.per_s > 50 && quota.per_s < 100);
	assert_false(quota_allows(&quota, now + 2));
	assert_in_range(quota_wait_us(&quota), 1, USEC_PER_SEC / 50);
	assert_true(quota_allows(&quota, now + USEC_PER_HOUR));
	assert_int_equal(quota_wait_us(&quota), 0);
	assert_true(quota.per_s <= 0);
}

static void send(struct line_rate *line, double line_per_s, size_t message, uint64_t seconds, double *ret_most_waits_s)
{
	uint64_t now = USEC_PER_HOUR;
	double unsent = 0;
	*ret_most_waits_s = 0;
	line_rate_start(line);
	for (uint64_t end = now + seconds * USEC_PER_SEC; now < end; now += 10 * USEC_PER_MSEC) {
		unsent = MAX(0, unsent - line_per_s / 100);
		line_rate_observe(line, (uint64_t)unsent, now);
		while (!line_rate_full(line)) {
			line_rate_queued(line, message, now);
			unsent += (double)message;
		}
		*ret_most_waits_s = MAX(*ret_most_waits_s, unsent / line_per_s);
		line_rate_observe(line, (uint64_t)unsent, now);
	}
}

/* 16 kbit/s: what waits in this machine is some seconds' worth, and the line is never idle. A fast one is not held back. */
static void test_no_more_waits_than_the_line_takes(void **state)
{
	(void)state;
	struct line_rate slow = {0}, fast = {0};
	double waits_s;
	send(&slow, 2000, 1000, 60, &waits_s);
	assert_true(slow.per_s > 1800 && slow.per_s < 2200);
	assert_true(waits_s < 10);
	assert_true(slow.left > 59 * 2000);
	assert_in_range(line_rate_message_max(&slow), 16000, 20000);
	send(&fast, 1e6, 1000, 60, &waits_s);
	assert_true(fast.left > 50 * 1000000);
	assert_true(line_rate_message_max(&fast) > 1000000);
	/* It became slow: that is learnt within seconds. */
	send(&fast, 2000, 1000, 60, &waits_s);
	send(&fast, 2000, 1000, 60, &waits_s);
	assert_true(fast.per_s < 2200);
}

static void test_a_line_that_is_stuck(void **state)
{
	(void)state;
	struct line_rate line = {0};
	line_rate_start(&line);
	assert_true(line_rate_stuck_since(&line) == UINT64_MAX);
	line_rate_queued(&line, 1000, 5000);
	line_rate_observe(&line, 1000, 6000);
	assert_int_equal(line_rate_stuck_since(&line), 5000);
	line_rate_observe(&line, 999, 9000);
	assert_int_equal(line_rate_stuck_since(&line), 9000);
	line_rate_observe(&line, 0, 10000);
	assert_true(line_rate_stuck_since(&line) == UINT64_MAX);
	/* Long after that, something new: it is not stuck since then. */
	line_rate_queued(&line, 10, 90000);
	assert_int_equal(line_rate_stuck_since(&line), 90000);
}

static void test_topics_that_wait(void **state)
{
	(void)state;
	struct held_topics topics = {0};
	bool say;
	struct held_topic *topic = held_topics_refuse(&topics, "p/data/a", "not authorized", false, 100, &say);
	assert_true(say);
	assert_ptr_equal(held_topics_find(&topics, "p/data/a"), topic);
	assert_null(held_topics_find(&topics, "p/data/b"));
	/* Its group is not known in this connection yet. */
	assert_null(held_topics_due(&topics, 3, USEC_PER_HOUR));
	assert_true(held_topics_due_us(&topics, 3) == UINT64_MAX);
	topic->connection = 3;
	assert_null(held_topics_due(&topics, 3, 200));
	assert_ptr_equal(held_topics_due(&topics, 3, USEC_PER_HOUR), topic);
	uint64_t now = 100, last = 0;
	unsigned n_logged = 0;
	for (int i = 0; i < 200; i++) {
		last = now;
		now = held_topics_due_us(&topics, 3);
		assert_ptr_equal(held_topics_refuse(&topics, "p/data/a", "not authorized", false, now, &say), topic);
		n_logged += say;
	}
	/* In the end once a minute, and said once an hour. */
	assert_int_equal(now - last, USEC_PER_MINUTE);
	assert_int_equal(n_logged, 3);
	/* Where a try costs the connection, every ten. */
	for (int i = 0; i < 8; i++) {
		last = now;
		now = held_topics_due_us(&topics, 3);
		held_topics_refuse(&topics, "p/data/a", "not authorized", true, now, &say);
	}
	assert_int_equal(now - last, 10 * USEC_PER_MINUTE);
	held_topics_refuse(&topics, "p/data/b", "not authorized", false, now, &say);
	held_topics_remove(&topics, topic);
	assert_int_equal(topics.n, 1);
	held_topics_done(&topics);
	assert_int_equal(topics.n, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_a_quota_is_found_and_kept),
		cmocka_unit_test(test_a_quota_that_jumps_is_said_rarely),
		cmocka_unit_test(test_refusals_of_the_old_rate_do_not_lower_the_new_one),
		cmocka_unit_test(test_a_quota_that_is_gone_is_forgotten),
		cmocka_unit_test(test_no_more_waits_than_the_line_takes),
		cmocka_unit_test(test_a_line_that_is_stuck),
		cmocka_unit_test(test_topics_that_wait),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
