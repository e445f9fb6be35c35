/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Input: max_registers, max_hole, then 4 bytes for each point: table and size, address (2), whether it is due and
 * whether a cut is known there. Every due point stands in one request, whole, no request is larger than it may be, and
 * cut at what plan_find_cut() says none runs across.
 */
#include "../../../plugins/modbus/plan.h"
#include <stdbool.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* A value that itself lies across the cut cannot be read otherwise. */
static bool has_straddler(const struct plan *plan, const struct plan_request *request, const struct plan_place *places,
			  const struct plan_cut *cut)
{
	for (size_t i = request->first; i < request->first + request->n; i++) {
		const struct plan_place *place = &places[plan->points[i]];

		if (place->address < cut->address && place->address + place->count > cut->address)
			return true;
	}
	return false;
}

static void expect(bool condition)
{
	if (!condition)
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	enum { MAX_POINTS = 256 };
	struct plan_place places[MAX_POINTS];
	uint32_t due[MAX_POINTS];
	size_t n_due = 0, seen = 0;
	struct plan_cut cuts[MAX_POINTS + 1];
	struct plan_limits limits;
	struct plan *plan, *split;

	if (size < 2)
		return 0;
	limits = (struct plan_limits){.max_registers = 1 + data[0] % PLAN_MAX_REGISTERS,
				      .max_hole = data[1] % (PLAN_MAX_REGISTERS + 1),
				      .cuts = cuts};
	for (size_t i = 0; i < MAX_POINTS && 2 + i * 4 + 4 <= size; i++) {
		const uint8_t *at = data + 2 + i * 4;
		unsigned address = at[1] * 256u + at[2];
		unsigned count = at[0] % N_TABLES < TABLE_HOLDING ? 1 : 1u << (at[0] / N_TABLES % 3);

		if (address + count > 65536)
			address = 65536 - count;
		places[i] = (struct plan_place){at[0] % N_TABLES, (uint16_t)address, (uint16_t)count};
		if (at[3] & 2)
			cuts[limits.n_cuts++] =
				(struct plan_cut){.table = at[0] % N_TABLES, .address = (uint16_t)address};
		if (at[3] & 1)
			due[n_due++] = (uint32_t)i;
	}
	if (plan_new(places, due, n_due, &limits, &plan) < 0)
		return 0;
	for (size_t i = 0; i < plan->n_requests; i++) {
		const struct plan_request *request = &plan->requests[i];
		unsigned most = limits.max_registers * (request->place.table < TABLE_HOLDING ? 16 : 1);

		expect(request->first == seen && request->n > 0);
		expect(request->place.address + request->place.count <= 65536);
		expect(request->place.count <= most || request->n == 1);
		for (size_t k = request->first; k < request->first + request->n; k++) {
			const struct plan_place *place = &places[plan->points[k]];

			expect(place->table == request->place.table && place->address >= request->place.address);
			expect(place->address + place->count <= request->place.address + request->place.count);
			seen++;
		}
	}
	expect(seen == n_due);
	for (size_t i = 0; i < plan->n_requests; i++) {
		if (!plan_find_cut(plan, &plan->requests[i], places, &cuts[limits.n_cuts]))
			continue;
		limits.n_cuts++;
		expect(plan_new(places, due, n_due, &limits, &split) == 0);
		for (size_t k = 0; k < split->n_requests; k++) {
			const struct plan_place *place = &split->requests[k].place;
			const struct plan_cut *cut = &cuts[limits.n_cuts - 1];

			expect(place->table != cut->table || place->address >= cut->address ||
			       place->address + place->count <= cut->address ||
			       has_straddler(split, &split->requests[k], places, cut));
		}
		plan_free(split);
		limits.n_cuts--;
	}
	plan_free(plan);
	return 0;
}
