/* SPDX-License-Identifier: Apache-2.0 */
#include "upstream/quota.h"

#define LOWER 0.75
#define LEAST_PER_S 0.1
/* Up to nine tenths of what was too much in some 8 s, from there on slowly: then it is exceeded about once a minute. */
#define NEAR 0.9
#define FAST 0.02
#define SLOW 0.002
#define FORGET 2.0 /* the quota is another one, or gone */
#define SAY_AGAIN 2.0
#define SAY_AGAIN_US (10 * USEC_PER_MINUTE)

static void quota_grow(struct quota *quota, uint64_t now_us)
{
	double passed_s = (double)(now_us - quota->at_us) / (double)USEC_PER_SEC;
	quota->at_us = now_us;
	if (quota->per_s <= 0)
		return;
	quota->per_s += quota->exceeded * passed_s * (quota->per_s < NEAR * quota->exceeded ? FAST : SLOW);
	if (quota->per_s > FORGET * quota->exceeded)
		quota->per_s = 0;
	/* A broker that counts by the second must not meet a burst. */
	quota->tokens = MIN(quota->tokens + quota->per_s * passed_s, MAX(quota->per_s / 10, 1));
}

void quota_passed(struct quota *quota, uint64_t now_us)
{
	if (quota->passed++ == 0 && !quota->since_us)
		quota->since_us = now_us;
}

bool quota_is_shut(const struct quota *quota)
{
	return quota->passed == 0;
}

bool quota_exceeded(struct quota *quota, uint64_t sent_us, uint64_t now_us)
{
	if (quota_is_shut(quota) || (quota->lowered_us && sent_us < quota->lowered_us))
		return false;
	quota_grow(quota, now_us);
	double seconds = (double)(now_us - quota->since_us) / (double)USEC_PER_SEC;
	double rate = (double)quota->passed / MAX(seconds, 1);
	/* Without a limit yet it was a burst, or all of a long time; with one, no more than that was sent. */
	quota->exceeded = quota->per_s > 0 ? MIN(quota->per_s, MAX(rate, quota->per_s / 2)) : rate;
	quota->per_s = MAX(LOWER * quota->exceeded, LEAST_PER_S);
	quota->tokens = 0;
	quota->passed = 0;
	quota->since_us = quota->lowered_us = now_us;
	/* A machine or a broker that halts for a second makes the rate jump: not each time a line. */
	bool differs = quota->per_s > SAY_AGAIN * quota->said || quota->per_s < quota->said / SAY_AGAIN;
	bool say = quota->said <= 0 || (differs && now_us - quota->said_us >= SAY_AGAIN_US);
	if (say) {
		quota->said = quota->per_s;
		quota->said_us = now_us;
	}
	return say;
}

bool quota_allows(struct quota *quota, uint64_t now_us)
{
	quota_grow(quota, now_us);
	return quota->per_s <= 0 || quota->tokens >= 1;
}

void quota_take(struct quota *quota)
{
	if (quota->per_s > 0)
		quota->tokens -= 1;
}

uint64_t quota_wait_us(const struct quota *quota)
{
	if (quota->per_s <= 0 || quota->tokens >= 1)
		return 0;
	return (uint64_t)((1 - quota->tokens) / quota->per_s * (double)USEC_PER_SEC) + 1;
}
