/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the log says of single points: that a device which answers refuses one, sends what is no number, or twice in a
 * row gives no right answer for it, is told once, and so is the end of it.
 */
#ifndef HAYWAIN_FIELD_POINTS_TOLD_H
#define HAYWAIN_FIELD_POINTS_TOLD_H

#include "base/fold.h"
#include <haywain/plugin.h>

/* Embedded in a device, zeroed. */
struct points_told {
	struct point_told {
		bool is_told;	/* as bad */
		uint64_t n_bad; /* in a row */
	} * points;
	uint32_t n;
	struct fold fold;
};

void points_told_done(struct points_told *told);

/* A device that answers has sent this: say what is new about its points. */
void points_tell(struct points_told *told, const struct hay_device *device, const struct hay_sample *sample);

/* How often in a row that point was read without a value. */
uint64_t points_told_bad(const struct points_told *told, uint32_t point);

#endif
