/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How fast the line takes what we send, measured by what is still unsent on this machine, and how much may wait there:
 * some seconds' worth, so that a ping and the newest reading do not wait for minutes behind a backlog. Pure.
 */
#ifndef HAYWAIN_UPSTREAM_LINE_RATE_H
#define HAYWAIN_UPSTREAM_LINE_RATE_H

#include "base/util.h"

struct line_rate {
	double per_s;	 /* bytes; 0: not known yet. Kept over connections */
	uint64_t queued; /* bytes given to the library in this connection */
	uint64_t left;	 /* of them, gone from this machine */
	uint64_t moved_us;
	uint64_t mark, mark_us; /* what had left when measuring began */
};

void line_rate_start(struct line_rate *rate); /* a new connection */
void line_rate_queued(struct line_rate *rate, size_t bytes, uint64_t now_us);
void line_rate_observe(struct line_rate *rate, uint64_t unsent, uint64_t now_us);

bool line_rate_full(const struct line_rate *rate); /* no more for now */
/* How large a message may be that the line takes in some seconds. */
size_t line_rate_message_max(const struct line_rate *rate);
/* Something waits, and since then nothing has moved; UINT64_MAX: nothing waits. */
uint64_t line_rate_stuck_since(const struct line_rate *rate);

#endif
