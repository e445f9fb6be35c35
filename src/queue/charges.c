/* SPDX-License-Identifier: Apache-2.0 */
#include "queue/charges.h"
#include "queue/queue_private.h"
#include <errno.h>

void charges_done(struct charges *charges)
{
	for (size_t i = 0; i < charges->n_readers; i++)
		drops_done(&charges->readers[i].drops);
	free(charges->readers);
	*charges = (struct charges){0};
}

int charges_begin(struct charges *charges, const struct queue *queue)
{
	size_t n = 0;

	*charges = (struct charges){0};
	for (const struct queue_reader *reader = queue->readers; reader; reader = reader->next)
		n++;
	charges->readers = calloc(n + 1, sizeof(*charges->readers));
	if (!charges->readers)
		return -ENOMEM;
	for (const struct queue_reader *reader = queue->readers; reader; reader = reader->next) {
		struct charges_reader *to = &charges->readers[charges->n_readers];

		to->number = reader->number;
		to->acked = reader->acked;
		if (drops_init(&to->drops) < 0)
			return -ENOMEM;
		charges->n_readers++;
	}
	return 0;
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

void charges_apply(struct charges *charges, struct queue *queue)
{
	for (size_t i = 0; i < charges->n_readers; i++) {
		struct queue_reader *reader = reader_by_number(queue, charges->readers[i].number);
		const struct drops *drops = &charges->readers[i].drops;

		for (size_t row = 0; reader && row < drops->n; row++)
			drops_add(&reader->drops, drops->rows[row].cause, drops->rows[row].device,
				  drops->rows[row].count);
	}
	queue->low = MAX(queue->low, charges->low);
	for (size_t i = 0; i < DROP_N_CAUSES; i++)
		queue->dropped[i] += charges->samples[i];
}
