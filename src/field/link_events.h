/* SPDX-License-Identifier: Apache-2.0 */
/* The descriptors and timers of a link's plugin: lists on the link, so that nothing outlives it. Main thread. */
#ifndef HAYWAIN_FIELD_LINK_EVENTS_H
#define HAYWAIN_FIELD_LINK_EVENTS_H

#include <haywain/plugin.h>
#include <systemd/sd-event.h>

/* Embedded; event set, the rest zeroed. */
struct link_events {
	sd_event *event;
	struct hay_fd *fds;
	struct hay_timer *timers;
};

/* As the functions of struct hay_host. */
int link_events_add_fd(struct link_events *on, int descriptor, uint32_t events, hay_fd_fn fn, void *userdata,
		       struct hay_fd **ret_fd);
int link_events_mod_fd(struct hay_fd *fd, uint32_t events);
void link_events_del_fd(struct hay_fd *fd);
int link_events_add_timer(struct link_events *on, uint64_t delay_us, hay_timer_fn fn, void *userdata,
			  struct hay_timer **ret_timer);
void link_events_set_timer(struct hay_timer *timer, uint64_t delay_us);
void link_events_del_timer(struct hay_timer *timer);

/* Remove what the plugin left. */
void link_events_release(struct link_events *on);

#endif
