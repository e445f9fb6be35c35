/* SPDX-License-Identifier: Apache-2.0 */
#include "field/link_events.h"
#include "base/util.h"
#include <errno.h>

struct hay_fd {
	struct hay_fd *next, **before;
	sd_event_source *source;
	hay_fd_fn fn;
	void *userdata;
};

struct hay_timer {
	struct hay_timer *next, **before;
	sd_event_source *source;
	hay_timer_fn fn;
	void *userdata;
};

#define LIST_ADD(head, item)                                                                                           \
	do {                                                                                                           \
		(item)->next = (head);                                                                                 \
		(item)->before = &(head);                                                                              \
		if (head)                                                                                              \
			(head)->before = &(item)->next;                                                                \
		(head) = (item);                                                                                       \
	} while (0)

#define LIST_REMOVE(item)                                                                                              \
	do {                                                                                                           \
		*(item)->before = (item)->next;                                                                        \
		if ((item)->next)                                                                                      \
			(item)->next->before = (item)->before;                                                         \
	} while (0)

static int fd_ready(sd_event_source *source _unused_, int descriptor, uint32_t events, void *userdata)
{
	struct hay_fd *fd = userdata;

	fd->fn(descriptor, events, fd->userdata);
	return 0;
}

int link_events_add_fd(struct link_events *on, int descriptor, uint32_t events, hay_fd_fn fn, void *userdata,
		       struct hay_fd **ret_fd)
{
	struct hay_fd *fd = calloc(1, sizeof(*fd));

	if (!fd)
		return -ENOMEM;
	fd->fn = fn;
	fd->userdata = userdata;
	int r = sd_event_add_io(on->event, &fd->source, descriptor, events, fd_ready, fd);

	if (r < 0) {
		free(fd);
		return r;
	}
	LIST_ADD(on->fds, fd);
	*ret_fd = fd;
	return 0;
}

int link_events_mod_fd(struct hay_fd *fd, uint32_t events)
{
	return sd_event_source_set_io_events(fd->source, events);
}

void link_events_del_fd(struct hay_fd *fd)
{
	if (!fd)
		return;
	LIST_REMOVE(fd);
	sd_event_source_disable_unref(fd->source);
	free(fd);
}

static int timer_due(sd_event_source *source _unused_, uint64_t when _unused_, void *userdata)
{
	struct hay_timer *timer = userdata;

	timer->fn(timer->userdata);
	return 0;
}

void link_events_set_timer(struct hay_timer *timer, uint64_t delay_us)
{
	if (delay_us == UINT64_MAX) {
		sd_event_source_set_enabled(timer->source, SD_EVENT_OFF);
		return;
	}
	sd_event_source_set_time_relative(timer->source, delay_us);
	sd_event_source_set_enabled(timer->source, SD_EVENT_ONESHOT);
}

int link_events_add_timer(struct link_events *on, uint64_t delay_us, hay_timer_fn fn, void *userdata,
			  struct hay_timer **ret_timer)
{
	struct hay_timer *timer = calloc(1, sizeof(*timer));

	if (!timer)
		return -ENOMEM;
	timer->fn = fn;
	timer->userdata = userdata;
	int r = sd_event_add_time_relative(on->event, &timer->source, CLOCK_MONOTONIC, 0, USEC_PER_MSEC, timer_due,
					   timer);

	if (r < 0) {
		free(timer);
		return r;
	}
	link_events_set_timer(timer, delay_us);
	LIST_ADD(on->timers, timer);
	*ret_timer = timer;
	return 0;
}

void link_events_del_timer(struct hay_timer *timer)
{
	if (!timer)
		return;
	LIST_REMOVE(timer);
	sd_event_source_disable_unref(timer->source);
	free(timer);
}

void link_events_release(struct link_events *on)
{
	while (on->fds)
		link_events_del_fd(on->fds);
	while (on->timers)
		link_events_del_timer(on->timers);
}
