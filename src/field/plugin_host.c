/* SPDX-License-Identifier: Apache-2.0 */
#include "field/plugin_host.h"
#include "base/clock.h"
#include "base/log.h"
#include "field/device.h"
#include "field/field_private.h"
#include "field/writes.h"

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

/* Unsolicited data arrived: cancel the offline back-off. */
static void heard_unasked(struct device *device)
{
	bool was_offline = device_is_offline(device);

	device_went_online(device);
	if (was_offline && !link_is_down(device->link))
		device_reschedule(device);
}

static void host_emit(struct hay_device *hay, const struct hay_sample *sample)
{
	struct device *device = device_of(hay);

	if (device_is_stopping(device) || link_is_suspended(device->link))
		return;
	device->failures = 0;
	heard_unasked(device);
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
	writes_finish(command, result);
}

static void host_device_online(struct hay_device *hay)
{
	struct device *device = device_of(hay);

	if (!device_is_stopping(device) && !link_is_suspended(device->link))
		heard_unasked(device);
}

static void host_device_offline(struct hay_device *hay, enum hay_reason reason, const char *detail)
{
	struct device *device = device_of(hay);

	if (!device_is_stopping(device))
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

/* ---- descriptors, timers, work ---- */

static int host_add_fd(struct hay_link *hay, int descriptor, uint32_t events, hay_fd_fn fn, void *userdata,
		       struct hay_fd **ret_fd)
{
	return link_events_add_fd(&link_of(hay)->events, descriptor, events, fn, userdata, ret_fd);
}

static int host_add_timer(struct hay_link *hay, uint64_t delay_us, hay_timer_fn fn, void *userdata,
			  struct hay_timer **ret_timer)
{
	return link_events_add_timer(&link_of(hay)->events, delay_us, fn, userdata, ret_timer);
}

static int host_submit(struct hay_link *hay, struct hay_work *work, enum hay_lane lane)
{
	return link_submit(link_of(hay), work, lane);
}

static void *host_event(struct hay_link *hay)
{
	return link_of(hay)->field->event;
}

/* ---- memory ---- */

static int host_remember(struct hay_device *hay, const char *key, const void *data, size_t size)
{
	const struct device *device = device_of(hay);

	return device->afterwards == AFTERWARDS_FORGET
		       ? 0
		       : plugin_state_put(device->link->field->memory, hay->name, key, data, size);
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
	.mod_fd = link_events_mod_fd,
	.del_fd = link_events_del_fd,
	.add_timer = host_add_timer,
	.set_timer = link_events_set_timer,
	.del_timer = link_events_del_timer,
	.submit = host_submit,
	.event = host_event,
	.remember = host_remember,
	.recall = host_recall,
};
