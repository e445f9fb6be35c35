/* SPDX-License-Identifier: Apache-2.0 */
/* A running device: its points and periods, whether it is there, and what it has cost. */
#ifndef HAYWAIN_FIELD_DEVICE_H
#define HAYWAIN_FIELD_DEVICE_H

#include "base/rate_limit.h"
#include "field/field_conf.h"
#include "field/link.h"
#include "field/point_faults.h"
#include "field/schedule.h"
#include "normalize/normalize.h"

enum device_state {
	DEVICE_NEW, /* not heard yet */
	DEVICE_ONLINE,
	DEVICE_OFFLINE,
	DEVICE_OFFLINE_WITH_LINK, /* the link's line in the log speaks for it */
	DEVICE_N_STATES
};

/* Where a device is between its first moment and its last. */
enum device_phase {
	DEVICE_STARTING, /* the plugin's start() has not succeeded yet */
	DEVICE_STARTED,
	DEVICE_PAUSED,		/* stopped for the plugin only: its link is suspended */
	DEVICE_STOPPING,	/* removed once nothing of its is under way */
	DEVICE_STOPPING_PAUSED, /* the same, and the plugin has stopped it already */
};

/* What becomes of a device that was stopped. */
enum device_afterwards {
	AFTERWARDS_NOTHING, /* it is gone, or its new form is started */
	AFTERWARDS_RESTART, /* stopped only with its link: it goes on, as it was, on the new one */
	AFTERWARDS_FORGET,  /* gone for good: what its plugin would remember is not kept */
};

/* Points with the same period. */
struct device_period {
	uint64_t every_us, next_us;
	uint32_t *points; /* ascending */
	size_t n_points;
};

struct device {
	struct hay_device hay; /* what the plugin sees */
	struct device *next;   /* on its link */
	struct link *link;
	struct device_conf *conf;
	struct normal_device *normal;

	const struct hay_point **points;
	struct pool *added; /* points the plugin added, and their names */

	struct schedule_entry due;
	uint64_t origin_us;
	struct device_period *periods;
	size_t n_periods;
	uint32_t *round; /* room for the indices of a mixed round */

	bool waiting; /* in the link's line */
	struct device *next_waiting;

	enum device_phase phase;
	enum device_afterwards afterwards; /* stopping: what follows */
	unsigned outstanding;		   /* work submitted on its behalf and not handed back */

	struct command *commands; /* not answered, the first one with the plugin: field/writes.h */
	unsigned n_commands;

	enum device_state state;
	char *reason;  /* offline: why, as consumers compare it */
	char *detail;  /* offline: why, as a person wants to know it */
	char *failure; /* new: why its last round failed; NULL: none did */
	uint64_t since_us;
	struct point_faults faults;
	struct hay_rate_limit limit; /* of its lines in the log about coming and going */
	unsigned failures;	     /* in a row */
	uint64_t pause_us;	     /* offline: the present back-off */

	uint64_t rounds, failed, late;	/* since it was started */
	uint64_t rtt_us;		/* of the last good round */
	uint64_t round_us;		/* that a round takes, smoothed; 0: unknown */
	uint64_t errors[HAY_N_REASONS]; /* rounds with that fault, in a point or as a whole */
};

/* n: index of the device, used to stagger the first polls. Takes conf in any case. */
int device_new(struct link *link, struct device_conf *conf, uint64_t n, struct device **ret);
struct device *device_free(struct device *device);

/* A point the plugin found by itself. As hay_host.add_point. */
int device_add_point(struct device *device, const char *name, enum hay_type type, const char *unit,
		     uint32_t *ret_point);

/* Whether the host asks it, by its plugin and by what the plugin's start() said of it. */
bool device_is_polled(const struct device *device);

/* Of its points, or its own. */
uint64_t device_shortest_period(const struct device *device);
/* The share of its link's time that it needs, while it is online. */
double device_load(const struct device *device);

/* Its link is closed and opened again: the plugin's stop() and start(). What the device is to others stays. */
void device_pause(struct device *device);
void device_resume(struct device *device);

static inline bool device_is_stopping(const struct device *device)
{
	return device->phase == DEVICE_STOPPING || device->phase == DEVICE_STOPPING_PAUSED;
}

static inline bool device_is_offline(const struct device *device)
{
	return device->state == DEVICE_OFFLINE || device->state == DEVICE_OFFLINE_WITH_LINK;
}

void device_begin_round(struct device *device);
void device_end_round(struct device *device, const struct hay_sample *sample, enum hay_result result,
		      enum hay_reason reason, const char *detail, uint64_t rtt_us);

/* Due at once, whatever its periods say. */
void device_poll_now(struct device *device);

/* When it is next due, by its periods or by its back-off. Not for a device whose link is down. */
void device_reschedule(struct device *device);
void device_unschedule(struct device *device);

void device_went_online(struct device *device);
/* because_of_link: the link's line in the log speaks for its devices. */
void device_went_offline(struct device *device, enum hay_reason reason, const char *detail, bool because_of_link);
void device_publish_info(struct device *device);

#endif
