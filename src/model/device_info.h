/* SPDX-License-Identifier: Apache-2.0 */
/* What is told of a device besides its samples: whether it is there, and its points. */
#ifndef HAYWAIN_MODEL_DEVICE_INFO_H
#define HAYWAIN_MODEL_DEVICE_INFO_H

#include "model/series.h"

struct device_info_point {
	const struct series *series;
	bool writable;
};

/* Immutable and counted; any thread. */
struct device_info {
	unsigned refs; /* atomic */
	const struct series_device *device;
	bool online;
	uint64_t since_us;  /* monotonic: when it became so */
	const char *reason; /* offline: why, in a few words ("timeout"); online: NULL */
	size_t n_points;
	struct device_info_point points[];
};

/* points and reason are copied. NULL: out of memory. */
struct device_info *device_info_new(const struct series_device *device, bool online, uint64_t since_us,
				    const char *reason, const struct device_info_point *points, size_t n_points);
struct device_info *device_info_ref(struct device_info *info);
struct device_info *device_info_unref(struct device_info *info);

#endif
