/* SPDX-License-Identifier: Apache-2.0 */
#include "model/device_info.h"
#include "model/series.h"
#include <string.h>

struct device_info *device_info_new(const struct series_device *device, bool online, uint64_t since_us,
				    const char *reason, const struct device_info_point *points, size_t n_points)
{
	size_t points_size = n_points * sizeof(*points), reason_size = reason ? strlen(reason) + 1 : 0;
	struct device_info *info = malloc(sizeof(*info) + points_size + reason_size);

	if (!info)
		return NULL;
	info->refs = 1;
	info->device = device;
	info->online = online;
	info->since_us = since_us;
	info->reason = NULL;
	info->n_points = n_points;
	if (n_points > 0)
		memcpy(info->points, points, points_size);
	if (reason)
		info->reason = memcpy((char *)info->points + points_size, reason, reason_size);
	return info;
}

struct device_info *device_info_ref(struct device_info *info)
{
	__atomic_add_fetch(&info->refs, 1, __ATOMIC_RELAXED);
	return info;
}

struct device_info *device_info_unref(struct device_info *info)
{
	if (info && __atomic_sub_fetch(&info->refs, 1, __ATOMIC_ACQ_REL) == 0)
		free(info);
	return NULL;
}
