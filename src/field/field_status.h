/* SPDX-License-Identifier: Apache-2.0 */
/* How the field is: what status, metrics and the local API show of it. Read only; main thread. */
#ifndef HAYWAIN_FIELD_STATUS_H
#define HAYWAIN_FIELD_STATUS_H

#include "field/field.h"

/* Strings live until the loop goes on. Times are monotonic, in µs; 0: never. */

struct field_link_status {
	const char *name, *plugin;
	const char *target; /* port, url or adapter, as configured; or NULL */
	bool internal;	    /* the gateway's own, from no file */
	const char *state;  /* "unused": nothing was tried on it yet; "up", "down" */
	const char *reason; /* down: why, or NULL */
	uint64_t since_us;
	uint64_t busy_us; /* time with a round under way, since it was opened */
	unsigned devices, devices_online;
};

struct field_device_status {
	const char *name, *link, *plugin;
	const char *model; /* or NULL */
	bool internal;
	const char *state;	 /* "new", "online", "offline" */
	const char *reason;	 /* offline: why; new: why its last round failed; or NULL */
	const char *link_reason; /* its link is down: why, or NULL. Then it is this that keeps the device away */
	uint64_t since_us;
	uint64_t every_us;
	bool polled;			 /* else it speaks unasked */
	uint64_t first_poll_us;		 /* when it is polled for the first time; 0: it was, or is not polled */
	uint64_t rounds, failures, late; /* since it was started */
	uint64_t rtt_us;		 /* of the last good round; 0: unknown */
	size_t n_points;
	const struct series_device *series;
};

struct field_point_status {
	const struct series *series;
	bool writable;
	uint64_t every_us;
	double min, max; /* NaN: none */
	uint64_t bad;	 /* reads in a row that gave no value */
};

/* Called for each in turn; false ends the walk. */
typedef bool (*field_link_fn)(const struct field_link_status *link, void *userdata);
typedef bool (*field_device_fn)(const struct field_device_status *device, void *userdata);
typedef bool (*field_point_fn)(const struct field_point_status *point, void *userdata);

void field_each_link(const struct field *field, field_link_fn fn, void *userdata);
void field_each_device(const struct field *field, field_device_fn fn, void *userdata);

/* False: there is no device of that name. */
bool field_get_device(const struct field *field, const char *name, struct field_device_status *ret);
bool field_each_point(const struct field *field, const char *device, field_point_fn fn, void *userdata);

#endif
