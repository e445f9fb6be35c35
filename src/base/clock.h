/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Two clocks. The monotonic one (CLOCK_BOOTTIME: it runs on through suspend) orders and measures everything;
 * the wall clock is only ever an offset added at the end, because a Raspberry Pi has no battery clock and
 * learns the time minutes after its first readings.
 *
 * Any thread.
 */
#ifndef HAYWAIN_BASE_CLOCK_H
#define HAYWAIN_BASE_CLOCK_H

#include "base/util.h"
#include <stdbool.h>
#include <time.h>

uint64_t clock_now(void);	 /* µs since boot */
int64_t clock_wall(void);	 /* µs since 1970, UTC */
int64_t clock_wall_offset(void); /* wall - now: what to add to a monotonic time of this boot */

/* delay_us from now, for pthread_cond_timedwait() on a condition of CLOCK_MONOTONIC. */
struct timespec clock_deadline(uint64_t delay_us);

/* Whether the wall clock can be believed: synchronised (NTP), or gateway.clock = "trust". Default: not. */
void clock_set_trusted(bool trusted);
bool clock_trusted(void);
/* It was set from a clock with a battery: minutes off perhaps, but not years. Nobody needs to wait for a better one;
   times stay marked as uncertain until it is trusted. Default: not. */
void clock_set_plausible(bool plausible);
bool clock_usable(void); /* trusted, or plausible */

/* This boot's id, 32 hex digits, from the kernel; all zeros where there is none. */
const char *clock_boot_id(void);

/* Tests step both clocks by hand. NULL goes back to the real ones. */
struct clock_fake {
	uint64_t now;
	int64_t wall;
};
void clock_set_fake(const struct clock_fake *fake); /* borrowed; read at every call */

#endif
