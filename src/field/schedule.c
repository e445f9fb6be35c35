/* SPDX-License-Identifier: Apache-2.0 */
#include "field/schedule.h"
#include "base/clock.h"
#include <errno.h>

#define ACCURACY_US ((uint64_t)500)
#define SLOTS 20
#define SLOT_MAX_US (50 * USEC_PER_MSEC)
#define FIRST_MAX_US (10 * USEC_PER_SEC)

struct schedule {
	sd_event_source *timer;
	void (*due)(struct schedule_entry *entry, void *userdata);
	void *userdata;
	struct schedule_entry **heap; /* heap[0] is place 1 */
	size_t n, capacity;
	bool running; /* inside the timer: it is armed once, at the end */
};

static void put_at(struct schedule *schedule, size_t place, struct schedule_entry *entry)
{
	schedule->heap[place - 1] = entry;
	entry->place = place;
}

static void sift_up(struct schedule *schedule, struct schedule_entry *entry)
{
	size_t place = entry->place;

	while (place > 1 && schedule->heap[place / 2 - 1]->due_us > entry->due_us) {
		put_at(schedule, place, schedule->heap[place / 2 - 1]);
		place /= 2;
	}
	put_at(schedule, place, entry);
}

static void sift_down(struct schedule *schedule, struct schedule_entry *entry)
{
	size_t place = entry->place;

	for (size_t child; (child = place * 2) <= schedule->n; place = child) {
		if (child < schedule->n && schedule->heap[child]->due_us < schedule->heap[child - 1]->due_us)
			child++;
		if (schedule->heap[child - 1]->due_us >= entry->due_us)
			break;
		put_at(schedule, place, schedule->heap[child - 1]);
	}
	put_at(schedule, place, entry);
}

static void arm_timer(struct schedule *schedule)
{
	if (schedule->running)
		return;
	if (schedule->n == 0) {
		sd_event_source_set_enabled(schedule->timer, SD_EVENT_OFF);
		return;
	}
	uint64_t now = clock_now(), due = schedule->heap[0]->due_us;

	sd_event_source_set_time_relative(schedule->timer, due > now ? due - now : 0);
	sd_event_source_set_enabled(schedule->timer, SD_EVENT_ONESHOT);
}

void schedule_remove(struct schedule *schedule, struct schedule_entry *entry)
{
	size_t place = entry->place;

	if (place == 0)
		return;
	entry->place = 0;

	struct schedule_entry *last = schedule->heap[--schedule->n];

	if (last != entry) {
		put_at(schedule, place, last);
		sift_up(schedule, last);
		sift_down(schedule, last);
	}
	if (place == 1)
		arm_timer(schedule);
}

int schedule_put(struct schedule *schedule, struct schedule_entry *entry, uint64_t due_us)
{
	if (entry->place == 0) {
		if (schedule->n == schedule->capacity) {
			size_t capacity = MAX(schedule->capacity * 2, (size_t)16);
			struct schedule_entry **heap = reallocarray(schedule->heap, capacity, sizeof(*schedule->heap));

			if (!heap)
				return -ENOMEM;
			schedule->heap = heap;
			schedule->capacity = capacity;
		}
		put_at(schedule, ++schedule->n, entry);
	}
	bool was_first = entry->place == 1;

	entry->due_us = due_us;
	sift_up(schedule, entry);
	sift_down(schedule, entry);
	if (was_first || entry->place == 1)
		arm_timer(schedule);
	return 0;
}

static int run_due(sd_event_source *source _unused_, uint64_t when _unused_, void *userdata)
{
	struct schedule *schedule = userdata;
	uint64_t now = clock_now() + ACCURACY_US;

	schedule->running = true;
	while (schedule->n > 0 && schedule->heap[0]->due_us <= now) {
		struct schedule_entry *entry = schedule->heap[0];

		schedule_remove(schedule, entry);
		schedule->due(entry, schedule->userdata);
	}
	schedule->running = false;
	arm_timer(schedule);
	return 0;
}

int schedule_new(sd_event *event, void (*due)(struct schedule_entry *entry, void *userdata), void *userdata,
		 struct schedule **ret)
{
	struct schedule *schedule = calloc(1, sizeof(*schedule));

	if (!schedule)
		return -ENOMEM;
	schedule->due = due;
	schedule->userdata = userdata;
	int r = sd_event_add_time_relative(event, &schedule->timer, CLOCK_MONOTONIC, 0, ACCURACY_US, run_due, schedule);

	if (r < 0) {
		free(schedule);
		return r;
	}
	sd_event_source_set_enabled(schedule->timer, SD_EVENT_OFF);
	*ret = schedule;
	return 0;
}

struct schedule *schedule_free(struct schedule *schedule)
{
	if (!schedule)
		return NULL;
	sd_event_source_disable_unref(schedule->timer);
	free(schedule->heap);
	free(schedule);
	return NULL;
}

uint64_t schedule_next(uint64_t origin_us, uint64_t every_us, uint64_t after_us)
{
	if (after_us < origin_us)
		return origin_us;
	return origin_us + ((after_us - origin_us) / every_us + 1) * every_us;
}

uint64_t schedule_start(uint64_t now_us, uint64_t every_us, uint64_t n)
{
	const uint64_t golden = UINT64_C(11400714819323198485); /* 2^64 / golden ratio */
	uint64_t slot_us = MAX(MIN(every_us / SLOTS, SLOT_MAX_US), (uint64_t)1);
	uint64_t phase_us = (uint64_t)((double)(n * golden) / 18446744073709551616.0 * (double)every_us);

	return now_us - now_us % slot_us + slot_us + phase_us - phase_us % slot_us;
}

uint64_t schedule_first(uint64_t now_us, uint64_t every_us, uint64_t n)
{
	return schedule_start(now_us, MIN(every_us, FIRST_MAX_US), n);
}
