/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the log says of single points: that a device which answers refuses one, sends what is no number, or twice in a
 * row gives no right answer for it, is logged once, and so is the end of it.
 */
#ifndef HAYWAIN_FIELD_POINT_FAULTS_H
#define HAYWAIN_FIELD_POINT_FAULTS_H

#include "base/rate_limit.h"
#include <haywain/plugin.h>

/* Embedded in a device, zeroed. */
struct point_faults {
	struct point_fault {
		bool is_logged; /* as bad */
		uint64_t n_bad; /* in a row */
	} * points;
	uint32_t n;
	struct hay_rate_limit limit;
};

void point_faults_free(struct point_faults *faults);

/* A device that answers has sent this: say what is new about its points. */
void point_faults_log(struct point_faults *faults, const struct hay_device *device, const struct hay_sample *sample);

/* How often in a row that point was read without a value. */
uint64_t point_faults_bad(const struct point_faults *faults, uint32_t point);

#endif
