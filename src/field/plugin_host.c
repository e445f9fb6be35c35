/* SPDX-License-Identifier: Apache-2.0 */
#include "field/plugin_host.h"
#include "base/clock.h"
#include "base/log.h"
#include "field/command.h"
#include "field/device.h"
#include "field/field_private.h"
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

/* Links and devices that plugins see are the first member of ours. */
static struct link *link_of(struct hay_link *hay)
{
	return container_of(hay, struct link, hay);
}

static struct device *device_of(struct hay_device *hay)
{
	return container_of(hay, struct device, hay);
}

static void host_log(struct hay_link *link, struct hay_device *device, enum hay_log_level level, const char *format,
		     ...) _printf_(4, 5);
static void host_log(struct hay_link *link, struct hay_device *device, enum hay_log_level level, const char *format,
		     ...)
{
	const struct hay_link *on = link ? link : device ? device->link : NULL;
	struct log_subject subject = {.link = on ? on->name : NULL, .device = device ? device->name : NULL};
	va_list args;

	va_start(args, format);
	log_about_v(&subject, level, format, args);
	va_end(args);
}

/* Not by an answer to a round: the pause until its next one is for who does not answer. */
static void came_by_itself(struct device *device)
{
	bool was_offline = device->state == DEVICE_OFFLINE;

	device_went_online(device);
	if (was_offline && !device->link->down)
		device_reschedule(device);
}

static void host_emit(struct hay_device *hay, const struct hay_sample *sample)
{
	struct device *device = device_of(hay);

	if (device->stopping || device->link->lent)
		return;
	device->failures = 0;
	came_by_itself(device);
	point_faults_log(&device->faults, &device->hay, sample);
	normal_device_sample(device->normal, sample);
}

static void host_round_done(struct hay_device *hay, const struct hay_sample *sample, enum hay_result result,
			    enum hay_reason reason, const char *detail, uint64_t rtt_us)
{
	device_end_round(device_of(hay), sample, result, reason, detail, rtt_us);
}

static void host_command_done(struct hay_command *command, const struct hay_command_result *result)
{
	command_finish(command, result);
}

static void host_device_online(struct hay_device *hay)
{
	struct device *device = device_of(hay);

	if (!device->stopping && !device->link->lent)
		came_by_itself(device);
}

static void host_device_offline(struct hay_device *hay, enum hay_reason reason, const char *detail)
{
	struct device *device = device_of(hay);

	if (!device->stopping)
		device_went_offline(device, reason, detail, false);
}

static void host_link_up(struct hay_link *hay)
{
	link_went_up(link_of(hay));
}

static void host_link_down(struct hay_link *hay, enum hay_reason reason, const char *detail)
{
	link_went_down(link_of(hay), reason, detail);
}

static int host_add_point(struct hay_device *hay, const char *name, enum hay_type type, const char *unit,
			  uint32_t *ret_point)
{
	return device_add_point(device_of(hay), name, type, unit, ret_point);
}

/* ---- descriptors and timers: lists on the link, so that nothing outlives it ---- */

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

static int host_add_fd(struct hay_link *hay, int descriptor, uint32_t events, hay_fd_fn fn, void *userdata,
		       struct hay_fd **ret_fd)
{
	struct link *link = link_of(hay);
	struct hay_fd *fd = calloc(1, sizeof(*fd));

	if (!fd)
		return -ENOMEM;
	fd->fn = fn;
	fd->userdata = userdata;
	int r = sd_event_add_io(link->field->event, &fd->source, descriptor, events, fd_ready, fd);

	if (r < 0) {
		free(fd);
		return r;
	}
	LIST_ADD(link->fds, fd);
	*ret_fd = fd;
	return 0;
}

static int host_mod_fd(struct hay_fd *fd, uint32_t events)
{
	return sd_event_source_set_io_events(fd->source, events);
}

static void host_del_fd(struct hay_fd *fd)
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

static void host_set_timer(struct hay_timer *timer, uint64_t delay_us)
{
	if (delay_us == UINT64_MAX) {
		sd_event_source_set_enabled(timer->source, SD_EVENT_OFF);
		return;
	}
	sd_event_source_set_time_relative(timer->source, delay_us);
	sd_event_source_set_enabled(timer->source, SD_EVENT_ONESHOT);
}

static int host_add_timer(struct hay_link *hay, uint64_t delay_us, hay_timer_fn fn, void *userdata,
			  struct hay_timer **ret_timer)
{
	struct link *link = link_of(hay);
	struct hay_timer *timer = calloc(1, sizeof(*timer));

	if (!timer)
		return -ENOMEM;
	timer->fn = fn;
	timer->userdata = userdata;
	int r = sd_event_add_time_relative(link->field->event, &timer->source, CLOCK_MONOTONIC, 0, USEC_PER_MSEC,
					   timer_due, timer);

	if (r < 0) {
		free(timer);
		return r;
	}
	host_set_timer(timer, delay_us);
	LIST_ADD(link->timers, timer);
	*ret_timer = timer;
	return 0;
}

static void host_del_timer(struct hay_timer *timer)
{
	if (!timer)
		return;
	LIST_REMOVE(timer);
	sd_event_source_disable_unref(timer->source);
	free(timer);
}

void plugin_host_release(struct link *link)
{
	while (link->fds)
		host_del_fd(link->fds);
	while (link->timers)
		host_del_timer(link->timers);
}

/* ---- work ---- */

static void work_done(struct hay_work *work, void *userdata)
{
	struct link *link = userdata;
	struct hay_device *hay = work->device; /* the work is the plugin's again once done() has it */
	struct field *field = link->field;

	if (hay)
		device_of(hay)->outstanding--;
	else
		link->outstanding--;
	bool is_awaited = link->stopping || link->lent || (hay && device_of(hay)->stopping);

	work->done(work);
	if (is_awaited)
		field_unsettle(field);
}

static int host_submit(struct hay_link *hay, struct hay_work *work, enum hay_lane lane)
{
	struct link *link = link_of(hay);
	struct device *device = work->device ? device_of(work->device) : NULL;

	if (link->stopping || link->lent || (device && device->stopping))
		return -ESHUTDOWN;
	if (!link->worker) {
		int r = worker_new(link->field->event, link->conf->name, work_done, link, &link->worker);

		if (r < 0)
			return r;
	}
	if (device)
		device->outstanding++;
	else
		link->outstanding++;
	worker_submit(link->worker, work, lane);
	return 0;
}

static void *host_event(struct hay_link *hay)
{
	return link_of(hay)->field->event;
}

/* ---- memory ---- */

static int host_remember(struct hay_device *hay, const char *key, const void *data, size_t size)
{
	const struct device *device = device_of(hay);

	return device->forgotten ? 0 : plugin_state_put(device->link->field->memory, hay->name, key, data, size);
}

static int host_recall(struct hay_device *hay, const char *key, void *data, size_t size)
{
	return plugin_state_get(device_of(hay)->link->field->memory, hay->name, key, data, size);
}

const struct hay_host plugin_host = {
	.size = sizeof(struct hay_host),
	.log = host_log,
	.now = clock_now,
	.emit = host_emit,
	.round_done = host_round_done,
	.command_done = host_command_done,
	.device_online = host_device_online,
	.device_offline = host_device_offline,
	.link_up = host_link_up,
	.link_down = host_link_down,
	.add_point = host_add_point,
	.add_fd = host_add_fd,
	.mod_fd = host_mod_fd,
	.del_fd = host_del_fd,
	.add_timer = host_add_timer,
	.set_timer = host_set_timer,
	.del_timer = host_del_timer,
	.submit = host_submit,
	.event = host_event,
	.remember = host_remember,
	.recall = host_recall,
};
