/* SPDX-License-Identifier: Apache-2.0 */
#include "field/field_status.h"
#include "base/clock.h"
#include "field/field_private.h"

static DEFINE_TO_STRING(link_state_to_string, enum link_state,
			LINK_N_STATES, [LINK_UNUSED] = "unused", [LINK_UP] = "up", [LINK_DOWN] = "down")

static DEFINE_TO_STRING(device_state_to_string, enum device_state,
			DEVICE_N_STATES, [DEVICE_NEW] = "new", [DEVICE_ONLINE] = "online", [DEVICE_OFFLINE] = "offline",
			[DEVICE_OFFLINE_WITH_LINK] = "offline")

static bool is_internal(const struct link *link)
{
	return !link->conf->file[0];
}

void field_get_status(const struct field *field, struct field_status *ret)
{
	*ret = (struct field_status){.rounds = field->rounds, .failures = field->failures, .late = field->late};
	for (const struct link *link = field->links; link; link = link->next) {
		if (is_internal(link))
			continue;
		ret->links++;
		ret->links_down += link_is_down(link);
		ret->links_unused += link->state == LINK_UNUSED;
		for (const struct device *device = link->devices; device; device = device->next) {
			ret->devices++;
			ret->devices_online += device->state == DEVICE_ONLINE;
		}
	}
}

void field_each_link(const struct field *field, field_link_fn fn, void *userdata)
{
	for (const struct link *link = field->links; link; link = link->next) {
		struct field_link_status status = {
			.name = link->conf->name,
			.plugin = link->plugin->name,
			.target = link_target(link),
			.internal = is_internal(link),
			.state = link_state_to_string(link->state),
			.reason = link_is_down(link) ? link->reason : NULL,
			.since_us = link->since_us,
			.busy_us = link_busy_us(link),
		};

		for (const struct device *device = link->devices; device; device = device->next) {
			status.devices++;
			status.devices_online += device->state == DEVICE_ONLINE;
		}
		if (!fn(&status, userdata))
			return;
	}
}

static uint64_t first_poll_us(const struct device *device)
{
	if (device->state != DEVICE_NEW || device->rounds > 0 || !device_is_polled(device) ||
	    device_is_stopping(device))
		return 0;
	return device->due.place > 0 ? device->due.due_us : clock_now();
}

static void fill_device(const struct device *device, struct field_device_status *ret)
{
	*ret = (struct field_device_status){
		.name = device->conf->name,
		.link = device->conf->link,
		.plugin = device->link->plugin->name,
		.model = device->conf->model,
		.internal = is_internal(device->link),
		.state = device_state_to_string(device->state),
		.reason = link_is_suspended(device->link) ? "its link is being scanned"
			  : device_is_offline(device)	  ? device->detail
			  : device->state == DEVICE_NEW	  ? device->failure
							  : NULL,
		.link_reason =
			link_is_down(device->link) && !link_is_suspended(device->link) ? device->link->reason : NULL,
		.since_us = device->since_us,
		.every_us = device->conf->every_us,
		.polled = device_is_polled(device),
		.first_poll_us = first_poll_us(device),
		.rounds = device->rounds,
		.failures = device->failed,
		.late = device->late,
		.rtt_us = device->rtt_us,
		.n_points = normal_device_points(device->normal),
		.series = normal_device_series(device->normal),
	};
}

void field_each_device(const struct field *field, field_device_fn fn, void *userdata)
{
	for (const struct link *link = field->links; link; link = link->next)
		for (const struct device *device = link->devices; device; device = device->next) {
			struct field_device_status status;

			fill_device(device, &status);
			if (!fn(&status, userdata))
				return;
		}
}

bool field_get_device(const struct field *field, const char *name, struct field_device_status *ret)
{
	const struct device *device = field_find_device(field, name);

	if (device)
		fill_device(device, ret);
	return device;
}

bool field_each_point(const struct field *field, const char *name, field_point_fn fn, void *userdata)
{
	const struct device *device = field_find_device(field, name);

	if (!device)
		return false;
	for (uint32_t i = 0; i < device->hay.n_points; i++) {
		const struct hay_point *point = device->points[i];
		const struct point_rules *rules = normal_device_rules(device->normal, i);
		struct field_point_status status = {
			.series = normal_device_point(device->normal, i),
			.writable = (point->flags & HAY_POINT_WRITABLE) && device->link->plugin->write,
			.every_us = point->every_us,
			.min = rules->min,
			.max = rules->max,
			.bad = point_faults_bad(&device->faults, i),
		};

		if (!fn(&status, userdata))
			break;
	}
	return true;
}
