/* SPDX-License-Identifier: Apache-2.0 */
/* When what is due, and when devices start. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/clock.h"
#include "field/schedule.h"

static uint64_t heap_seen[64];
static size_t heap_n;

static void heap_due(struct schedule_entry *entry, void *userdata _unused_)
{
	heap_seen[heap_n++] = entry->due_us;
}

static void schedule_runs_in_order(void **state _unused_)
{
	struct schedule_entry entries[50] = {0};
	struct schedule *schedule;
	sd_event *event;
	uint64_t now = clock_now();
	unsigned seed = 7;

	assert_true(sd_event_new(&event) >= 0);
	assert_int_equal(schedule_new(event, heap_due, NULL, &schedule), 0);
	for (size_t i = 0; i < 50; i++) {
		seed = seed * 1103515245 + 12345;
		assert_int_equal(schedule_put(schedule, &entries[i], now + seed % 20000), 0);
	}
	for (size_t i = 0; i < 50; i += 5)
		schedule_remove(schedule, &entries[i]);
	schedule_put(schedule, &entries[1], now);
	/* Who is first is put off: the others do not wait for it. */
	for (size_t i = 0; i < 50; i++)
		if (entries[i].place == 1) {
			assert_int_equal(schedule_put(schedule, &entries[i], now + 25000), 0);
			break;
		}
	while (heap_n < 40)
		sd_event_run(event, USEC_PER_SEC);
	for (size_t i = 1; i < heap_n; i++)
		assert_true(heap_seen[i - 1] <= heap_seen[i]);
	schedule_free(schedule);
	sd_event_unref(event);
}

static void starts_are_spread_and_share_slots(void **state _unused_)
{
	enum { N_SLOTS = 20 };
	const uint64_t every_us = USEC_PER_SEC, slot_us = every_us / N_SLOTS, now_us = 123456789;

	for (unsigned n = 2; n <= 200; n++) {
		bool seen[N_SLOTS] = {0};
		unsigned gap = 0, widest = 0;

		for (unsigned i = 0; i < n; i++) {
			/* devices are not made in the same microsecond */
			uint64_t start_us = schedule_start(now_us + i * 7, every_us, i);

			assert_int_equal(start_us % slot_us, 0);
			assert_in_range(start_us, now_us + 1, now_us + every_us + slot_us);
			seen[start_us / slot_us % N_SLOTS] = true;
		}
		for (unsigned i = 0; i < 2 * N_SLOTS; i++) {
			gap = seen[i % N_SLOTS] ? 0 : gap + 1;
			widest = MAX(widest, gap);
		}
		assert_true(widest < 2.7 * N_SLOTS / n + 1);
	}
	/* slow ones share slots of 50 ms, the fastest have each its own microsecond */
	assert_int_equal(schedule_start(now_us, USEC_PER_MINUTE, 3) % 50000, 0);
	assert_in_range(schedule_start(now_us, 3, 5), now_us + 1, now_us + 4);
}

static void first_polls_come_soon_and_are_spread(void **state _unused_)
{
	const uint64_t now_us = 987654321, within_us = 10 * USEC_PER_SEC, slot_us = 50 * USEC_PER_MSEC;
	uint64_t earliest = UINT64_MAX, latest = 0;

	for (unsigned n = 0; n < 100; n++) {
		uint64_t first_us = schedule_first(now_us, USEC_PER_HOUR, n);

		assert_in_range(first_us, now_us + 1, now_us + within_us + slot_us);
		earliest = MIN(earliest, first_us);
		latest = MAX(latest, first_us);
		/* short periods begin where they go on */
		assert_int_equal(schedule_first(now_us, 2 * USEC_PER_SEC, n),
				 schedule_start(now_us, 2 * USEC_PER_SEC, n));
	}
	assert_true(earliest < now_us + within_us / 10);
	assert_true(latest > now_us + within_us * 9 / 10);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(schedule_runs_in_order),
		cmocka_unit_test(starts_are_spread_and_share_slots),
		cmocka_unit_test(first_polls_come_soon_and_are_spread),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
