/* SPDX-License-Identifier: Apache-2.0 */
/* When what is due: a heap of due times under one timer of the main loop. Main thread. */
#ifndef HAYWAIN_FIELD_SCHEDULE_H
#define HAYWAIN_FIELD_SCHEDULE_H

#include "base/util.h"
#include <systemd/sd-event.h>

/* Embedded in what is due. Zeroed: not scheduled. */
struct schedule_entry {
	uint64_t due_us;
	size_t place; /* in the heap, from 1 */
};

struct schedule;

/* due: called for every entry whose time has come, earliest first; the entry is no longer scheduled then. */
int schedule_new(sd_event *event, void (*due)(struct schedule_entry *entry, void *userdata), void *userdata,
		 struct schedule **ret);
struct schedule *schedule_free(struct schedule *schedule);

/* Put, or move, an entry. -ENOMEM. */
int schedule_put(struct schedule *schedule, struct schedule_entry *entry, uint64_t due_us);
void schedule_remove(struct schedule *schedule, struct schedule_entry *entry);

/*
 * The next moment of a period that counts from an origin: the first origin + n * every later than `after`.
 */
uint64_t schedule_next(uint64_t origin_us, uint64_t every_us, uint64_t after_us);

/*
 * When the n-th device starts: within its period from now, so that many spread evenly whatever their number (the golden
 * ratio's multiples leave no large gap), but in slots, a twentieth of the period and at most 50 ms wide, that devices
 * of one period share: each wake-up of the daemon then serves a few of them.
 */
uint64_t schedule_start(uint64_t now_us, uint64_t every_us, uint64_t n);

/*
 * When the n-th device is asked for the first time: as above where its period is short, else within 10 s, spread over
 * them. Its period counts from schedule_start() all the same: devices that start together are not asked together later.
 */
uint64_t schedule_first(uint64_t now_us, uint64_t every_us, uint64_t n);

#endif
