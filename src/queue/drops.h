/* SPDX-License-Identifier: Apache-2.0 */
/* What one uplink lost and has not yet told: counts by cause and device. Pure; the queue's lock guards it. */
#ifndef HAYWAIN_QUEUE_DROPS_H
#define HAYWAIN_QUEUE_DROPS_H

#include "base/util.h"
#include "model/series.h"
#include <stdbool.h>

enum drop_cause {
	DROP_QUEUE_FULL,  /* "queue full": max_size */
	DROP_MEMORY_FULL, /* "memory full": the tail, while the disk was slow or gone */
	DROP_TOO_OLD,	  /* "too old": max_age */
	DROP_REFUSED,	  /* "refused": by the broker */
	DROP_DAMAGED,	  /* "damaged": unreadable on disk */
	DROP_PURGED,	  /* "purged": a person emptied the queue */
	DROP_NO_MEMORY,	  /* "out of memory": of the machine; the file of the queue numbers the causes like this */
	DROP_N_CAUSES
};
const char *drop_cause_to_string(enum drop_cause cause);

struct queue_drop {
	enum drop_cause cause;
	const char *device; /* NULL: unknown (damaged) */
	uint64_t samples;
	uint64_t unknown; /* so often an unknown number more was lost; 0: `samples` is all */
};

/* As a device: what is counted are not samples, but losses whose number nobody knows. */
#define DROPS_NUMBER_UNKNOWN UINT32_MAX

struct drop_row {
	uint32_t cause, device; /* device: number in the series set; 0: unknown */
	uint64_t count;
	uint64_t saved; /* what the disk says */
};

struct drops {
	struct drop_row *rows; /* by cause, then device */
	size_t n, capacity;
	bool dirty; /* some count is not as saved */
};

/* With room for the first rows, so that counting does not fail when memory does. -ENOMEM. */
int drops_init(struct drops *drops);
void drops_done(struct drops *drops);
/* The row of a cause and device; with make: a new one where there is none. NULL. */
struct drop_row *drops_row(struct drops *drops, uint32_t cause, uint32_t device, bool make);
void drops_add(struct drops *drops, uint32_t cause, uint32_t device, uint64_t count);

/* Merged by cause and the device's name. Returns the number of rows; free(*ret). */
size_t drops_list(const struct drops *drops, struct series_set *series, struct queue_drop **ret);
/* They were told. */
void drops_take(struct drops *drops, struct series_set *series, const struct queue_drop *told, size_t n_told);
/* After a save: forget rows that are 0 here and on disk. */
void drops_saved(struct drops *drops);

#endif
