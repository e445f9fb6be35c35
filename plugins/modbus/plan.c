/* SPDX-License-Identifier: Apache-2.0 */
#include "plan.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { N_PLANS = sizeof(((struct plan_cache *)NULL)->plans) / sizeof(struct plan *) };

static int compare_places(const void *a, const void *b, void *userdata)
{
	const struct plan_place *places = userdata;
	uint32_t left = *(const uint32_t *)a, right = *(const uint32_t *)b;
	const struct plan_place *x = &places[left], *y = &places[right];

	if (x->table != y->table)
		return x->table < y->table ? -1 : 1;
	if (x->address != y->address)
		return x->address < y->address ? -1 : 1;
	return left < right ? -1 : left > right;
}

/* Whether the request can be made to read that place too; if so, it is. */
static bool request_join(struct plan_request *request, const struct plan_place *place, const struct plan_limits *limits)
{
	unsigned weight = place->table < TABLE_HOLDING ? 16 : 1;
	uint32_t end = (uint32_t)request->place.address + request->place.count;
	uint32_t new_end = (uint32_t)place->address + place->count;

	if (request->place.table != place->table)
		return false;
	if (place->address > end && place->address - end > limits->max_hole * weight)
		return false;
	if (new_end < end)
		new_end = end;
	if (new_end - request->place.address > limits->max_registers * weight)
		return false;
	for (size_t i = 0; i < limits->n_cuts; i++)
		if (!limits->cuts[i].is_open && limits->cuts[i].table == place->table &&
		    limits->cuts[i].address > request->place.address && limits->cuts[i].address <= place->address)
			return false;
	request->place.count = (uint16_t)(new_end - request->place.address);
	request->n++;
	return true;
}

int plan_new(const struct plan_place *places, const uint32_t *due, size_t n_due, const struct plan_limits *limits,
	     struct plan **ret)
{
	struct plan *plan = calloc(1, sizeof(*plan));
	struct plan_request *request = NULL;

	if (!plan)
		return -ENOMEM;
	plan->points = calloc(n_due + 1, sizeof(*plan->points));
	plan->due = calloc(n_due + 1, sizeof(*plan->due));
	plan->requests = calloc(n_due + 1, sizeof(*plan->requests));
	if (!plan->points || !plan->due || !plan->requests) {
		plan_free(plan);
		return -ENOMEM;
	}
	plan->n_points = n_due;
	for (size_t i = 0; i < n_due; i++)
		plan->points[i] = plan->due[i] = due[i];
	qsort_r(plan->points, n_due, sizeof(*plan->points), compare_places, (void *)places);

	for (size_t i = 0; i < n_due; i++) {
		const struct plan_place *place = &places[plan->points[i]];

		if (request && request_join(request, place, limits))
			continue;
		request = &plan->requests[plan->n_requests++];
		*request = (struct plan_request){.place = *place, .first = i, .n = 1};
	}
	*ret = plan;
	return 0;
}

struct plan *plan_free(struct plan *plan)
{
	if (plan) {
		free(plan->points);
		free(plan->due);
		free(plan->requests);
		free(plan);
	}
	return NULL;
}

bool plan_find_cut(const struct plan *plan, const struct plan_request *request, const struct plan_place *places,
		   struct plan_cut *ret)
{
	uint32_t end = 0, widest = 0, middle = request->place.address + request->place.count / 2u,
		 best_off = UINT32_MAX;
	bool found = false;

	for (size_t i = request->first; i < request->first + request->n; i++) {
		const struct plan_place *place = &places[plan->points[i]];
		uint32_t off = place->address > middle ? place->address - middle : middle - place->address;

		if (i > request->first && place->address >= end &&
		    (place->address - end > widest || (place->address - end == widest && off < best_off))) {
			widest = place->address - end;
			best_off = off;
			*ret = (struct plan_cut){.table = place->table, .address = place->address};
			found = true;
		}
		if (place->address + (uint32_t)place->count > end)
			end = place->address + (uint32_t)place->count;
	}
	return found;
}

int plan_cache_get(struct plan_cache *cache, const struct plan_place *places, const uint32_t *due, size_t n_due,
		   const struct plan_limits *limits, const struct plan **ret)
{
	struct plan **oldest = &cache->plans[0], *plan;
	int r;

	for (unsigned i = 0; i < N_PLANS; i++) {
		plan = cache->plans[i];
		if (!plan) {
			oldest = &cache->plans[i];
			break;
		}
		if (plan->n_points == n_due && !memcmp(plan->due, due, n_due * sizeof(*due))) {
			plan->used = ++cache->clock;
			*ret = plan;
			return 0;
		}
		if (plan->used < (*oldest)->used)
			oldest = &cache->plans[i];
	}
	r = plan_new(places, due, n_due, limits, &plan);
	if (r < 0)
		return r;
	plan_free(*oldest);
	*oldest = plan;
	plan->used = ++cache->clock;
	*ret = plan;
	return 0;
}

void plan_cache_done(struct plan_cache *cache)
{
	for (unsigned i = 0; i < N_PLANS; i++)
		cache->plans[i] = plan_free(cache->plans[i]);
}

const char *plan_place_text(const struct plan_place *place, char buffer[PLACE_TEXT_MAX])
{
	static const char *const names[N_TABLES] = {"coil", "discrete input", "holding register", "input register"};
	unsigned last = place->address + place->count - 1u;

	if (place->count == 1)
		snprintf(buffer, PLACE_TEXT_MAX, "%s %u", names[place->table], place->address);
	else
		snprintf(buffer, PLACE_TEXT_MAX, "%ss %u to %u", names[place->table], place->address, last);
	return buffer;
}
