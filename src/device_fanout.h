/* SPDX-License-Identifier: Apache-2.0 */
/* What the field says of devices besides their samples goes to the latest values and to every uplink. Main thread. */
#ifndef HAYWAIN_DEVICE_FANOUT_H
#define HAYWAIN_DEVICE_FANOUT_H

#include "config.h"
#include "field/field.h"
#include "model/latest.h"
#include "upstream/uplink_set.h"

/* Embedded, zeroed; what it points to is borrowed. */
struct device_fanout {
	const struct config *config; /* set again at a reload */
	struct series_set *series;
	struct latest *latest;
	struct uplink_set *uplinks;
	struct field *field; /* NULL: not there yet, and so no device */
};

/* Hooks of the field: struct device_fanout as userdata. */
void device_fanout_info(struct device_info *info, void *fanout);
void device_fanout_removed(const char *device, void *fanout);

/* An uplink has been started: everything once more, and which devices are no longer there. A hook of the uplinks. */
void device_fanout_all(struct device_fanout *fanout);

#endif
