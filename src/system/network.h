/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Whether the network has changed: an interface came up, got an address, or a route appeared (rtnetlink(7)). What waits
 * for its next try can then try at once. Main thread; never blocks.
 */
#ifndef HAYWAIN_SYSTEM_NETWORK_H
#define HAYWAIN_SYSTEM_NETWORK_H

#include <systemd/sd-event.h>

struct network_watch;

/* changed: something came, at most once in two seconds. -errno: the kernel or a sandbox does not tell
   (-EAFNOSUPPORT). */
int network_watch_new(sd_event *event, void (*changed)(void *userdata), void *userdata, struct network_watch **ret);
struct network_watch *network_watch_free(struct network_watch *watch);

#endif
