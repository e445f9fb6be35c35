/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Series: what a queued value means. A sample in the queue names its device and its series by number; the
 * rows behind the numbers never change, so that a queued sample keeps the meaning it had when it was taken. A
 * change in the configuration makes a new row.
 *
 * The set is shared: the main thread adds, the store writes new rows to disk before the first sample that
 * needs them, uplinks look up. A pointer got from it stays valid as long as the set.
 */
#ifndef HAYWAIN_MODEL_SERIES_H
#define HAYWAIN_MODEL_SERIES_H

#include "base/util.h"
#include <haywain/reading.h>
#include <stdbool.h>

struct tag {
	const char *name, *value;
};

/* A device as it was configured when its samples were taken. */
struct series_device {
	uint32_t number; /* from 1 */
	const char *name, *link;
	const struct tag *tags; /* sorted by name */
	size_t n_tags;
};

struct series {
	uint32_t number; /* from 1 */
	const struct series_device *device;
	const char *point;
	const char *unit;   /* or NULL */
	enum hay_type type; /* of the value as it goes up, after scaling */
};

struct series_set;

struct series_set *series_set_new(void); /* NULL: out of memory */
struct series_set *series_set_free(struct series_set *set);

/* Find or add; every string is copied. NULL: out of memory. Main thread. */
const struct series_device *series_device_intern(struct series_set *set, const char *name, const char *link,
						 const struct tag *tags, size_t n_tags);
const struct series *series_intern(struct series_set *set, const struct series_device *device, const char *point,
				   const char *unit, enum hay_type type);

/* By number; NULL: nobody has it. Any thread. */
const struct series_device *series_device_by_number(struct series_set *set, uint32_t number);
const struct series *series_by_number(struct series_set *set, uint32_t number);

/* For the store: restore a row at open under its number (-EEXIST), and how many there are (numbers run from 1
   without a gap; gaps left by salvage read as NULL). */
int series_device_restore(struct series_set *set, uint32_t number, const char *name, const char *link,
			  const struct tag *tags, size_t n_tags);
int series_restore(struct series_set *set, uint32_t number, uint32_t device, const char *point, const char *unit,
		   enum hay_type type);
/* Numbers up to these are not given out: rows that were lost had them. -ENOMEM, -ERANGE. */
int series_skip(struct series_set *set, uint32_t n_devices, uint32_t n_series);
uint32_t series_device_count(struct series_set *set);
uint32_t series_count(struct series_set *set);

/* "float64": the name of a type in files and payloads. type_from_name gives HAY_TYPE_NONE for an unknown one. */
const char *type_to_string(enum hay_type type);
enum hay_type type_from_name(const char *name);

#endif
