/* SPDX-License-Identifier: Apache-2.0 */
#include "queue/charges.h"

void charges_done(struct charges *charges)
{
	for (size_t i = 0; i < charges->n_readers; i++)
		drops_done(&charges->readers[i].drops);
	free(charges->readers);
	*charges = (struct charges){0};
}

void charges_add(struct charges *charges, enum drop_cause cause, uint64_t id, uint32_t device)
{
	bool charged = false;

	for (size_t i = 0; i < charges->n_readers; i++) {
		if (charges->readers[i].acked >= id)
			continue;
		drops_add(&charges->readers[i].drops, cause, device, 1);
		charged = true;
	}
	charges->samples[cause] += charged;
}

void charges_add_many(struct charges *charges, enum drop_cause cause, size_t reader, uint64_t n)
{
	if (n > 0)
		drops_add(&charges->readers[reader].drops, cause, 0, n);
}

uint64_t charges_of(struct charges *charges, uint64_t reader, uint32_t cause, uint32_t device)
{
	for (size_t i = 0; i < charges->n_readers; i++) {
		const struct drop_row *row;

		if (charges->readers[i].number != reader)
			continue;
		row = drops_row(&charges->readers[i].drops, cause, device, false);
		return row ? row->count : 0;
	}
	return 0;
}
