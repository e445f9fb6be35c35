/* SPDX-License-Identifier: Apache-2.0 */
/* What one uplink lost and has not yet told: counts by cause and device. Pure; the queue's lock guards it. */
#ifndef HAYWAIN_QUEUE_DROPS_H
#define HAYWAIN_QUEUE_DROPS_H

#include "queue/queue.h"

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
