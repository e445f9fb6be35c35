/* SPDX-License-Identifier: Apache-2.0 */
/* The latest reading of every point, for those who ask. Main thread. */
#ifndef HAYWAIN_MODEL_LATEST_H
#define HAYWAIN_MODEL_LATEST_H

#include "model/device_info.h"
#include "model/sample.h"
#include "model/series.h"

struct latest_reading {
	struct latest_reading *next; /* of the same device */
	const struct series *series;
	uint64_t time_us;	       /* monotonic: when it was measured */
	struct sample_reading reading; /* strings are the table's */
	char *text;
};

struct latest;

struct latest *latest_new(struct series_set *series); /* NULL: out of memory */
struct latest *latest_free(struct latest *latest);

/* A subscriber of normalize: struct latest as userdata. */
void latest_take(struct sample *sample, void *latest);

/* What the device has now: readings of points that it lost are forgotten. */
void latest_keep(struct latest *latest, const struct device_info *info);
void latest_forget(struct latest *latest, const char *device);

/* The readings of a device, in no order; NULL: none. Valid until the loop goes on. */
const struct latest_reading *latest_of(const struct latest *latest, const char *device);

#endif
