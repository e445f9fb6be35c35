/* SPDX-License-Identifier: Apache-2.0 */
/* The field as its own files see it. */
#ifndef HAYWAIN_FIELD_PRIVATE_H
#define HAYWAIN_FIELD_PRIVATE_H

#include "field/device.h"
#include "field/field.h"
#include "field/link.h"
#include "field/plugin_state.h"
#include "field/schedule.h"

struct field {
	sd_event *event;
	struct series_set *series;
	struct normalize *normalize;
	struct schedule *schedule;
	struct plugin_state *memory;
	struct field_hooks hooks;
	const struct hay_host *host; /* what plugins are handed */

	struct link *links; /* running, or being stopped */
	struct scan *scan;  /* the one under way; NULL: none */

	/* Wanted, and waiting for one of the same name to end. */
	struct link_conf **pending_links;
	size_t n_pending_links;
	struct device_conf **pending_devices;
	size_t n_pending_devices;

	sd_event_source *advance; /* runs once the loop comes round: ends what is idle, starts what waits */
	bool stopping;		  /* for good: nothing is removed, it is only over */
	uint64_t n_devices_started;
	uint64_t rounds, failures, late;
};

/* NULL: none has that name. */
struct link *field_find_link(const struct field *field, const char *name);
struct device *field_find_device(const struct field *field, const char *name);

/* The device or link is to end, as soon as nothing of its is under way. */
void field_stop_device(struct device *device);
void field_stop_link(struct link *link);

/* Something may be ready to end or to start. */
void field_advance_soon(struct field *field);

#endif
