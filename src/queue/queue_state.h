/* SPDX-License-Identifier: Apache-2.0 */
/* A snapshot of what stands beside the samples, on its way to the disk. Only queue_state.c and queue_write.c. */
#ifndef HAYWAIN_QUEUE_STATE_H
#define HAYWAIN_QUEUE_STATE_H

#include "queue/queue_private.h"

struct state_cursor {
	char *name;
	uint64_t reader; /* its number */
	uint64_t acked;
};

struct state_drop {
	char *name;
	uint64_t reader;
	uint32_t cause, device;
	uint64_t count;
};

struct state {
	struct state_cursor *cursors;
	size_t n_cursors;
	struct state_drop *drops;
	size_t n_drops;
	char **removed; /* taken from the queue; given back where the commit fails */
	size_t n_removed;
	struct run *runs; /* all of them, or NULL: nothing changed */
	size_t n_runs;
	uint64_t runs_version;
	bool is_nameless; /* the newest ids have no number yet */
	bool names_rows;  /* rows on the disk wait for theirs */
	struct boot *boots;
	size_t n_boots;
	uint64_t low, unsure_to;
	uint32_t n_devices, n_series;
	struct state_meta meta;
	bool with_meta;
};

#endif
