/* SPDX-License-Identifier: Apache-2.0 */
/* Boots: a sample holds the monotonic time of its boot; this table makes a wall-clock time of it. */
#include "base/clock.h"
#include "queue/queue_private.h"
#include <errno.h>
#include <stdio.h>
#include <string.h>

#define OFFSET_STEP_US (10 * (int64_t)USEC_PER_MSEC) /* smaller ones are not worth a row */

struct boot *boot_by_number(const struct queue *queue, uint32_t number)
{
	for (size_t i = queue->n_boots; i > 0; i--)
		if (queue->boots[i - 1].number == number)
			return &queue->boots[i - 1];
	return NULL;
}

int boot_add(struct queue *queue, uint32_t number, const char *id, int64_t offset_us, bool trusted, bool saved)
{
	struct boot *boots = realloc(queue->boots, (queue->n_boots + 1) * sizeof(*boots));
	struct boot *boot;

	if (!boots)
		return -ENOMEM;
	queue->boots = boots;
	boot = &boots[queue->n_boots++];
	*boot = (struct boot){.number = number, .offset_us = offset_us, .trusted = trusted, .saved = saved};
	snprintf(boot->id, sizeof(boot->id), "%s", id);
	return 0;
}

int boot_begin(struct queue *queue)
{
	const char *id = clock_boot_id();
	uint32_t highest = queue->lost_boots;

	for (size_t i = 0; i < queue->n_boots; i++) {
		highest = MAX(highest, queue->boots[i].number);
		/* All zeros: the kernel has none, so nobody knows whether it is the same boot. */
		if (strcmp(queue->boots[i].id, id) == 0 && strspn(id, "0") < strlen(id)) {
			queue->boot = queue->boots[i].number;
			return 0;
		}
	}
	queue->boot = highest + 1;
	return boot_add(queue, queue->boot, id, clock_wall_offset(), clock_trusted(), false);
}

bool boot_is_dirty(const struct queue *queue)
{
	const struct boot *boot = boot_by_number(queue, queue->boot);
	int64_t step;

	if (!boot)
		return false;
	step = clock_wall_offset() - boot->offset_us;
	return !boot->saved || step > OFFSET_STEP_US || step < -OFFSET_STEP_US || boot->trusted != clock_trusted();
}

int64_t boot_wall(const struct queue *queue, uint32_t number, uint64_t time_us, bool *ret_certain)
{
	const struct boot *boot;

	if (number == queue->boot) {
		*ret_certain = clock_trusted();
		return (int64_t)time_us + clock_wall_offset();
	}
	boot = boot_by_number(queue, number);
	*ret_certain = boot && boot->trusted;
	return (int64_t)time_us + (boot ? boot->offset_us : 0);
}
