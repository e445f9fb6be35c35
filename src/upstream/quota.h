/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The broker's quota (MQTT 5, PUBACK 0x97, section 3.4.2.1), which it does not tell: found by sending less when it is
 * exceeded, and slowly more afterwards. Lives as long as the uplink. Pure.
 */
#ifndef HAYWAIN_UPSTREAM_QUOTA_H
#define HAYWAIN_UPSTREAM_QUOTA_H

#include "base/util.h"

struct quota {
	double per_s;	 /* messages; 0: none was met */
	double exceeded; /* the rate at which it was exceeded last */
	double tokens;
	uint64_t at_us;
	uint64_t passed, since_us; /* messages, and since when they are counted */
	uint64_t lowered_us;
	double said; /* the rate that was told; 0: none */
	uint64_t said_us;
};

void quota_passed(struct quota *quota, uint64_t now_us);
/* A message sent then exceeded it. True: the rate found is to be told, the first time or because it is another one;
   at most every 10 min. */
bool quota_exceeded(struct quota *quota, uint64_t sent_us, uint64_t now_us);
/* Nothing at all passed since the last time: then it is not a matter of the rate. */
bool quota_is_shut(const struct quota *quota);

/* May a message be sent now? It then must be, with quota_take(). */
bool quota_allows(struct quota *quota, uint64_t now_us);
void quota_take(struct quota *quota);
uint64_t quota_wait_us(const struct quota *quota); /* until the next one may; 0: it may now */

#endif
