/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the log says of single points: that a device which answers refuses one, or sends what is no number, is told once, and so
 * is the end of it. Time-outs are the device's own lines.
 */
#ifndef HAYWAIN_FIELD_POINTS_TOLD_H
#define HAYWAIN_FIELD_POINTS_TOLD_H

#include "base/fold.h"
#include <haywain/plugin.h>

/* Embedded in a device, zeroed. */
struct points_told {
	bool *bad; /* by point, as last told */
	uint32_t n;
	struct fold fold;
};

void points_told_done(struct points_told *told);

/* A device that answers has sent this: say what is new about its points. */
void points_tell(struct points_told *told, const struct hay_device *device, const struct hay_sample *sample);

#endif
