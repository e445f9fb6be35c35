/* SPDX-License-Identifier: Apache-2.0 */
#include "device_fanout.h"
#include "base/clock.h"
#include "builtin/self.h"
#include <string.h>

void device_fanout_info(struct device_info *info, void *userdata)
{
	struct device_fanout *fanout = userdata;

	latest_keep(fanout->latest, info);
	uplink_set_device(fanout->uplinks, info);
}

void device_fanout_removed(const char *device, void *userdata)
{
	struct device_fanout *fanout = userdata;

	latest_forget(fanout->latest, device);
	uplink_set_device_removed(fanout->uplinks, device);
}

static bool is_configured(const struct config *config, const char *device)
{
	for (size_t i = 0; i < config->n_devices; i++)
		if (strcmp(config->device_names[i], device) == 0)
			return true;
	return config->self_every_us > 0 && strcmp(device, SELF_DEVICE) == 0;
}

/* Devices that left the file while the daemon was away, or the uplink: the broker may still retain what they were. */
static void publish_gone(const struct device_fanout *fanout)
{
	/* Which devices a file names that could not be read is not known. */
	if (fanout->config->n_bad > 0)
		return;
	for (uint32_t n = 1; n <= series_device_count(fanout->series); n++) {
		const struct series_device *device = series_device_by_number(fanout->series, n);
		struct device_info *info;

		if (!device || is_configured(fanout->config, device->name))
			continue;
		info = device_info_new(device, false, clock_now(), NULL, NULL, 0);
		if (info)
			uplink_set_device_gone(fanout->uplinks, info);
		device_info_unref(info);
	}
}

void device_fanout_all(struct device_fanout *fanout)
{
	if (fanout->field)
		field_publish_infos(fanout->field);
	publish_gone(fanout);
}
