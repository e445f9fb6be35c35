/* SPDX-License-Identifier: Apache-2.0 */
#include <haywain/helpers.h>
#include <time.h>

uint64_t hay_now(void)
{
	struct timespec now;

	clock_gettime(CLOCK_BOOTTIME, &now);
	return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

uint64_t hay_backoff_next(uint64_t pause_us, uint64_t first_us, uint64_t last_us)
{
	if (pause_us == 0)
		return first_us;
	return pause_us > last_us / 2 ? last_us : pause_us * 2;
}

uint64_t hay_backoff_spread(uint64_t pause_us, uint64_t *random)
{
	uint64_t x = *random;

	/* xorshift (Marsaglia, 2003): good enough to part two gateways. */
	x ^= x << 13;
	x ^= x >> 7;
	x ^= x << 17;
	*random = x;
	return pause_us * (800 + x % 401) / 1000;
}

bool hay_rate_limit_allows(struct hay_rate_limit *limit, uint64_t lines, uint64_t window_us, uint64_t now_us,
			   uint64_t *ret_suppressed)
{
	*ret_suppressed = 0;
	if (limit->n_logged == 0 || now_us - limit->since_us >= window_us) {
		*ret_suppressed = limit->suppressed;
		*limit = (struct hay_rate_limit){.since_us = now_us};
	}
	if (limit->n_logged >= lines) {
		limit->suppressed++;
		return false;
	}
	limit->n_logged++;
	return true;
}

uint64_t hay_rate_limit_take(struct hay_rate_limit *limit)
{
	uint64_t suppressed = limit->suppressed;

	limit->suppressed = 0;
	return suppressed;
}
