/* SPDX-License-Identifier: Apache-2.0 */
/* One spoilt queue: it is opened, drained by its readers, and every sample is accounted for. */
#ifndef HAYWAIN_TORTURE_ACCOUNT_H
#define HAYWAIN_TORTURE_ACCOUNT_H

#include "stock.h"
#include <stdio.h>

struct account_reader {
	uint64_t came;	  /* samples of the stock past the cursor */
	uint64_t again;	  /* samples at or before it: allowed, where a cursor was lost */
	uint64_t lost;	  /* past the cursor, and never came; and the drops that were pending */
	uint64_t counted; /* as dropped */
	uint64_t after;	  /* counted, after one more end and start */
};

/* Shared with the process that fills it. */
struct account {
	bool ended;	    /* it came to the end of its account */
	bool said_unknown;  /* the queue said that an unknown number is missing: in a notice, or to an uplink */
	uint64_t uncertain; /* samples whose time the queue no longer knows, and says so */
	struct account_reader readers[STOCK_READERS];
	char wrong[200]; /* the first wrong thing; empty: none */
	char stuck[100]; /* what never came; empty: it came */
};

/* What the notice of a queue says that cannot count what it lost. */
#define ACCOUNT_UNKNOWN "unknown number"

/* Open the queue at path and do it all. show: the notices go there, or NULL. */
void account_take(const struct stock *stock, const char *path, FILE *show, struct account *ret);

/* Open it, and die at some moment within the next life_us; only ret->said_unknown is set. */
_Noreturn void account_die(const char *path, uint64_t life_us, FILE *show, struct account *ret);

#endif
