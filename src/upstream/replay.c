/* SPDX-License-Identifier: Apache-2.0 */
#include "upstream/replay.h"

void replay_start(struct replay *replay, double per_s, uint64_t now_us, uint64_t appended)
{
	*replay = (struct replay){.per_s = per_s, .at_us = now_us, .appended = appended};
}

size_t replay_allowance(struct replay *replay, uint64_t now_us, uint64_t appended, uint64_t depth)
{
	if (replay->per_s <= 0)
		return SIZE_MAX;
	/* One second's worth is the most that is saved up; of live samples, as many as there are. */
	replay->tokens += replay->per_s * (double)(now_us - replay->at_us) / (double)USEC_PER_SEC;
	replay->tokens = MIN(replay->tokens, MAX(replay->per_s, 1));
	replay->live = MIN(replay->live + (appended - replay->appended), depth);
	replay->at_us = now_us;
	replay->appended = appended;
	return (size_t)MIN((uint64_t)replay->tokens + replay->live, (uint64_t)SIZE_MAX);
}

void replay_take(struct replay *replay, size_t n)
{
	if (replay->per_s <= 0)
		return;
	uint64_t live = MIN(replay->live, n);
	replay->live -= live;
	replay->tokens -= (double)(n - live);
}

uint64_t replay_wait_us(const struct replay *replay)
{
	if (replay->per_s <= 0 || replay->live > 0 || replay->tokens >= 1)
		return 0;
	return (uint64_t)((1 - replay->tokens) / replay->per_s * (double)USEC_PER_SEC) + 1;
}
