/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How fast a backlog may drain: a token for each sample, `per_s` of them a second and one more for every sample
 * that is taken meanwhile, so that the backlog shrinks at that rate whatever the live traffic is. Pure.
 */
#ifndef HAYWAIN_UPSTREAM_REPLAY_H
#define HAYWAIN_UPSTREAM_REPLAY_H

#include "base/util.h"

struct replay {
	double per_s; /* 0: no limit */
	double tokens;
	uint64_t live;
	uint64_t at_us, appended;
};

/* At every connect: what piled up before is backlog. appended: samples ever taken. */
void replay_start(struct replay *replay, double per_s, uint64_t now_us, uint64_t appended);

/* How many samples may be sent now. depth: samples not acknowledged. */
size_t replay_allowance(struct replay *replay, uint64_t now_us, uint64_t appended, uint64_t depth);
void replay_take(struct replay *replay, size_t n);

/* Until there is a token again; 0: there is one. */
uint64_t replay_wait_us(const struct replay *replay);

#endif
