/* SPDX-License-Identifier: Apache-2.0 */
#include "upstream/line_rate.h"

#define WORTH_S 4 /* the library pings after the keepalive, 5 s at least, and waits as long for the answer */
#define FLOOR ((uint64_t)16384)
#define MEASURE_US USEC_PER_SEC

void line_rate_start(struct line_rate *rate)
{
	*rate = (struct line_rate){.per_s = rate->per_s};
}

void line_rate_queued(struct line_rate *rate, size_t bytes, uint64_t now_us)
{
	if (rate->queued == rate->left) {
		rate->mark = rate->left;
		rate->mark_us = rate->moved_us = now_us;
	}
	rate->queued += bytes;
}

void line_rate_observe(struct line_rate *rate, uint64_t unsent, uint64_t now_us)
{
	uint64_t left = rate->queued - MIN(unsent, rate->queued);
	if (left > rate->left) {
		rate->left = left;
		rate->moved_us = now_us;
	}
	uint64_t took_us = now_us - rate->mark_us;
	bool empty = rate->left == rate->queued;
	if (rate->left == rate->mark || took_us == 0 || (!empty && took_us < MEASURE_US))
		return;
	double per_s = (double)(rate->left - rate->mark) * (double)USEC_PER_SEC / (double)took_us;
	/* A line that was not kept busy may be faster than that, not slower. */
	if (empty)
		rate->per_s = MAX(rate->per_s, per_s);
	else
		rate->per_s = rate->per_s > 0 ? (rate->per_s + per_s) / 2 : per_s;
	rate->mark = rate->left;
	rate->mark_us = now_us;
}

size_t line_rate_message_max(const struct line_rate *rate)
{
	return (size_t)MIN(MAX((double)FLOOR, WORTH_S * rate->per_s), (double)(SIZE_MAX / 2));
}

bool line_rate_full(const struct line_rate *rate)
{
	return rate->queued - rate->left >= line_rate_message_max(rate);
}

uint64_t line_rate_stuck_since(const struct line_rate *rate)
{
	return rate->left < rate->queued ? rate->moved_us : UINT64_MAX;
}
