/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Whether the wall clock is trusted. Asks org.freedesktop.timedate1 (NTPSynchronized) over the system bus, where
 * there is none the kernel (adjtimex), and watches for the clock being set. A clock with a battery
 * (/sys/class/rtc) is better than nothing: clock_usable(). Main thread; never blocks.
 */
#ifndef HAYWAIN_SYSTEM_TIMESYNC_H
#define HAYWAIN_SYSTEM_TIMESYNC_H

#include <stdbool.h>
#include <systemd/sd-event.h>

struct timesync;

/* changed: after the clock was set or became trusted (clock_trusted() says). trust: always, without asking. */
int timesync_new(sd_event *event, bool trust, void (*changed)(void *userdata), void *userdata, struct timesync **ret);
void timesync_set_trust(struct timesync *timesync, bool trust);
struct timesync *timesync_free(struct timesync *timesync);

#endif
