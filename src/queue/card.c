/* SPDX-License-Identifier: Apache-2.0 */
#include "queue/series.h"
#include <string.h>

struct device_card *device_card_new(const struct series_device *device, bool online, uint64_t since_us,
				    const char *reason, const struct card_point *points, size_t n_points)
{
	size_t points_size = n_points * sizeof(*points), reason_size = reason ? strlen(reason) + 1 : 0;
	struct device_card *card = malloc(sizeof(*card) + points_size + reason_size);

	if (!card)
		return NULL;
	card->refs = 1;
	card->device = device;
	card->online = online;
	card->since_us = since_us;
	card->reason = NULL;
	card->n_points = n_points;
	if (n_points > 0)
		memcpy(card->points, points, points_size);
	if (reason)
		card->reason = memcpy((char *)card->points + points_size, reason, reason_size);
	return card;
}

struct device_card *device_card_ref(struct device_card *card)
{
	__atomic_add_fetch(&card->refs, 1, __ATOMIC_RELAXED);
	return card;
}

struct device_card *device_card_unref(struct device_card *card)
{
	if (card && __atomic_sub_fetch(&card->refs, 1, __ATOMIC_ACQ_REL) == 0)
		free(card);
	return NULL;
}
