/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a removal costs the uplinks: worked out before its transaction, written in it, and counted once that is done.
 * So no count is lost with the process, and none is told of a removal that failed.
 */
#ifndef HAYWAIN_QUEUE_CHARGES_H
#define HAYWAIN_QUEUE_CHARGES_H

#include "queue/drops.h"

struct charges_reader {
	uint64_t number; /* of the reader */
	uint64_t acked;	 /* as it was at the beginning */
	struct drops drops;
};

struct charges {
	struct charges_reader *readers;
	size_t n_readers;
	uint64_t samples[DROP_N_CAUSES]; /* charged to any uplink */
	uint64_t low;			 /* all samples up to this id are gone with it; 0: not so */
};

void charges_done(struct charges *charges);

/* A sample is dropped: each uplink that had not acknowledged it is charged. */
void charges_add(struct charges *charges, enum drop_cause cause, uint64_t id, uint32_t device);
/* So many samples at once, of unknown devices, that a reader had not acknowledged. */
void charges_add_many(struct charges *charges, enum drop_cause cause, size_t reader, uint64_t n);
/* What they add to one count of a reader. */
uint64_t charges_of(struct charges *charges, uint64_t reader, uint32_t cause, uint32_t device);

#endif
