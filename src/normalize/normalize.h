/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Normalization: what a plugin says becomes a sample. Scale, offset, decimals, range, and the report rules, point by
 * point; then one sample goes to the stream. Main thread; logs nothing. A subscriber of the stream may call in again,
 * for the same device, too.
 */
#ifndef HAYWAIN_NORMALIZE_NORMALIZE_H
#define HAYWAIN_NORMALIZE_NORMALIZE_H

#include "model/series.h"
#include "model/stream.h"
#include "normalize/rules.h"
#include <systemd/sd-event.h>

struct normalize;

/* series, stream: borrowed, outlive it. */
struct normalize *normalize_new(sd_event *event, struct series_set *series, struct stream *stream);
struct normalize *normalize_free(struct normalize *normalize);

/* A device with its points and what was last reported of each. */
struct normal_device;

/* The device as its samples will name it, without points. -ENOMEM. */
int normal_device_new(struct normalize *normalize, const struct series_device *series, struct normal_device **ret);
struct normal_device *normal_device_free(struct normal_device *device);

/* Points are numbered in the order they are added, from 0. type: of the raw value. -ENOMEM. */
int normal_device_add_point(struct normal_device *device, const char *name, const char *unit, enum hay_type type,
			    const struct point_rules *rules);
/* From now on its values are of another type, in another series. What report rules held back is forgotten. -ENOMEM. */
int normal_device_set_type(struct normal_device *device, size_t index, enum hay_type type);

/* What was measured. Readings of unknown points are ignored. */
void normal_device_sample(struct normal_device *device, const struct hay_sample *sample);

/* The device is away: every point is bad for this reason, once. */
void normal_device_lost(struct normal_device *device, uint64_t time_us, enum hay_reason reason);

const struct series_device *normal_device_series(const struct normal_device *device);
size_t normal_device_points(const struct normal_device *device);
const struct series *normal_device_point(const struct normal_device *device, size_t index);

const struct point_rules *normal_device_rules(const struct normal_device *device, size_t index);

#endif
