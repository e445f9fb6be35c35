/* SPDX-License-Identifier: Apache-2.0 */
#include "queue/drops.h"
#include <errno.h>
#include <string.h>

void drops_done(struct drops *drops)
{
	free(drops->rows);
	*drops = (struct drops){0};
}

static int grow(struct drops *drops)
{
	size_t capacity = MAX(drops->capacity * 2, (size_t)16);
	struct drop_row *rows = realloc(drops->rows, capacity * sizeof(*rows));

	if (!rows)
		return -ENOMEM;
	drops->rows = rows;
	drops->capacity = capacity;
	return 0;
}

int drops_init(struct drops *drops)
{
	*drops = (struct drops){0};
	return grow(drops);
}

struct drop_row *drops_row(struct drops *drops, uint32_t cause, uint32_t device, bool make)
{
	uint64_t key = (uint64_t)cause << 32 | device;
	size_t low = 0, high = drops->n;

	while (low < high) {
		size_t middle = low + (high - low) / 2;
		struct drop_row *row = &drops->rows[middle];
		uint64_t at = (uint64_t)row->cause << 32 | row->device;

		if (at == key)
			return row;
		if (at < key)
			low = middle + 1;
		else
			high = middle;
	}
	if (!make)
		return NULL;
	if (drops->n == drops->capacity && grow(drops) < 0)
		return NULL;
	memmove(&drops->rows[low + 1], &drops->rows[low], (drops->n - low) * sizeof(*drops->rows));
	drops->n++;
	drops->rows[low] = (struct drop_row){.cause = cause, .device = device};
	return &drops->rows[low];
}

static struct drop_row *same_cause(struct drops *drops, uint32_t cause)
{
	for (size_t i = 0; i < drops->n; i++)
		if (drops->rows[i].cause == cause)
			return &drops->rows[i];
	return NULL;
}

void drops_add(struct drops *drops, uint32_t cause, uint32_t device, uint64_t count)
{
	struct drop_row *row = drops_row(drops, cause, device, true);

	/* No memory to count it by its device: by another's, then. What is lost is not forgotten. */
	if (!row)
		row = same_cause(drops, cause);
	if (!row)
		return;
	row->count += count;
	drops->dirty = true;
}

static const char *name_of(struct series_set *series, uint32_t device)
{
	const struct series_device *found =
		device && device != DROPS_NUMBER_UNKNOWN ? series_device_by_number(series, device) : NULL;

	return found ? found->name : NULL;
}

static bool same_name(const char *a, const char *b)
{
	return a && b ? strcmp(a, b) == 0 : a == b;
}

size_t drops_list(const struct drops *drops, struct series_set *series, struct queue_drop **ret)
{
	struct queue_drop *list = drops->n > 0 ? malloc(drops->n * sizeof(*list)) : NULL;
	size_t n = 0;

	*ret = list;
	if (!list)
		return 0;
	for (size_t i = 0; i < drops->n; i++) {
		const struct drop_row *row = &drops->rows[i];
		const char *name = name_of(series, row->device);
		size_t at = 0;

		if (row->count == 0)
			continue;
		while (at < n && (list[at].cause != (enum drop_cause)row->cause || !same_name(list[at].device, name)))
			at++;
		if (at == n)
			list[n++] = (struct queue_drop){.cause = (enum drop_cause)row->cause, .device = name};
		if (row->device == DROPS_NUMBER_UNKNOWN)
			list[at].unknown += row->count;
		else
			list[at].samples += row->count;
	}
	return n;
}

void drops_take(struct drops *drops, struct series_set *series, const struct queue_drop *told, size_t n_told)
{
	for (size_t i = 0; i < n_told; i++) {
		uint64_t samples = told[i].samples, unknown = told[i].unknown;

		for (size_t at = 0; at < drops->n; at++) {
			struct drop_row *row = &drops->rows[at];
			uint64_t *left = row->device == DROPS_NUMBER_UNKNOWN ? &unknown : &samples;
			uint64_t n = MIN(*left, row->count);

			if (n == 0 || row->cause != (uint32_t)told[i].cause ||
			    !same_name(name_of(series, row->device), told[i].device))
				continue;
			row->count -= n;
			*left -= n;
			drops->dirty = true;
		}
	}
}

void drops_saved(struct drops *drops)
{
	size_t n = 0;

	drops->dirty = false;
	for (size_t i = 0; i < drops->n; i++) {
		const struct drop_row *row = &drops->rows[i];

		if (row->count != row->saved)
			drops->dirty = true;
		if (row->count > 0 || row->saved > 0)
			drops->rows[n++] = *row;
	}
	drops->n = n;
}

const char *drop_cause_to_string(enum drop_cause cause)
{
	static const char *const words[DROP_N_CAUSES] = {
		[DROP_QUEUE_FULL] = "queue full",   [DROP_MEMORY_FULL] = "memory full", [DROP_TOO_OLD] = "too old",
		[DROP_REFUSED] = "refused",	    [DROP_DAMAGED] = "damaged",		[DROP_PURGED] = "purged",
		[DROP_NO_MEMORY] = "out of memory",
	};

	return (unsigned)cause < DROP_N_CAUSES ? words[cause] : "";
}
