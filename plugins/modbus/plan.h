/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which requests read the points that are due. Pure.
 *
 * Points of one table that lie side by side, or with a small enough hole between them, are read by one request.
 * A value of several registers is never split. The plan for a set of due points is made once and kept.
 */
#ifndef MODBUS_PLAN_H
#define MODBUS_PLAN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { PLAN_MAX_REGISTERS = 125 }; /* and 2000 bits: MODBUS Application Protocol V1.1b3, 6.1 to 6.4 */

enum modbus_table { TABLE_COIL, TABLE_DISCRETE, TABLE_HOLDING, TABLE_INPUT, N_TABLES };

/* Where a point lies. address + count is at most 65536. */
struct plan_place {
	enum modbus_table table;
	uint16_t address;
	uint16_t count; /* registers or bits, at least 1 */
};

/* "coil 4", "holding registers 10 to 12": as a line in the log says it. Returns buffer. */
#define PLACE_TEXT_MAX 64
const char *plan_place_text(const struct plan_place *place, char buffer[PLACE_TEXT_MAX]);

/* No request runs across the beginning of that register, unless the cut is open: learn.c describes its life. */
struct plan_cut {
	enum modbus_table table;
	uint16_t address;
	bool is_open;	/* being tested: requests run across it */
	bool is_silent; /* the device stayed silent there; else it refused */
	bool is_new;	/* of this round */
	bool is_proven; /* and remembered */
	bool is_single; /* its next test is of it alone */
	uint64_t test_us, pause_us;
};

/* In registers; where a table holds bits, 16 of them weigh as much as one register. */
struct plan_limits {
	unsigned max_registers; /* in one request, 1 to 125 */
	unsigned max_hole;	/* of no point, between two points of one request */
	const struct plan_cut *cuts;
	size_t n_cuts;
};

struct plan_request {
	struct plan_place place;
	size_t first, n; /* its part of plan.points */
};

struct plan {
	size_t n_points;
	uint32_t *points; /* indices of the due points, in the order of the requests */
	size_t n_requests;
	struct plan_request *requests;
	uint32_t *due; /* what it was made for, as it was given */
	uint64_t used; /* the cache's */
};

/*
 * Plan the reading of places[due[0]], places[due[1]], …. A point that alone is larger than the limit gets a
 * request of its own. -ENOMEM.
 */
int plan_new(const struct plan_place *places, const uint32_t *due, size_t n_due, const struct plan_limits *limits,
	     struct plan **ret);
struct plan *plan_free(struct plan *plan);

/*
 * Where to cut a request that the device refused as a whole (illegal data address): in front of the largest hole, or
 * half-way where there is none. False: it reads one place only, which nothing but the device can help.
 */
bool plan_find_cut(const struct plan *plan, const struct plan_request *request, const struct plan_place *places,
		   struct plan_cut *ret);

/* The periods of points make few different sets: the plans of the last ones. Zeroed is empty. */
struct plan_cache {
	struct plan *plans[8];
	uint64_t clock;
};

/* The cached plan of that set, made where there is none. Stays valid until the next call. -ENOMEM. */
int plan_cache_get(struct plan_cache *cache, const struct plan_place *places, const uint32_t *due, size_t n_due,
		   const struct plan_limits *limits, const struct plan **ret);
void plan_cache_done(struct plan_cache *cache);

#endif
