/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The latest reading of every point. The main thread fills it, as a subscriber of the stream; any thread may copy
 * what it holds of a device. Its lock is held for the copying of one device at most, and no other is taken under it.
 */
#ifndef HAYWAIN_MODEL_LATEST_H
#define HAYWAIN_MODEL_LATEST_H

#include "model/device_info.h"
#include "model/sample.h"
#include "model/series.h"
#include "model/stream.h"

struct latest;

/* Subscribes. NULL: out of memory. */
struct latest *latest_new(struct stream *stream);
/* Before the stream, and after every thread that copies. NULL is fine. */
struct latest *latest_free(struct latest *latest);

/* Main thread. What the device has now: readings of points that it lost are forgotten. */
void latest_keep(struct latest *latest, const struct device_info *info);
void latest_forget(struct latest *latest, const char *device);

struct latest_reading {
	const struct series *series;
	uint64_t time_us;	       /* monotonic: when it was measured */
	struct sample_reading reading; /* strings are the snapshot's; long ones are cut at 4096 bytes */
};

/* The latest readings of one device as they were at one moment: all from whole samples. In no order. */
struct latest_snapshot {
	struct latest_reading *readings;
	size_t n_readings;
};

/* Any thread. A device that is unknown, or of which nothing was read yet, has 0 readings. -ENOMEM: *ret is empty,
   too. */
int latest_copy(struct latest *latest, const char *device, struct latest_snapshot *ret);
void latest_snapshot_done(struct latest_snapshot *snapshot);
#define _cleanup_latest_snapshot_ _cleanup_(latest_snapshot_done)

/* The reading of a point; NULL: none yet. */
const struct latest_reading *latest_snapshot_find(const struct latest_snapshot *snapshot, const char *point);

#endif
