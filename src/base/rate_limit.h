/* SPDX-License-Identifier: Apache-2.0 */
/* How often the log says what happens again and again: in full a few times in ten minutes, then a count. Pure. */
#ifndef HAYWAIN_BASE_RATE_LIMIT_H
#define HAYWAIN_BASE_RATE_LIMIT_H

#include "base/util.h"
#include <haywain/helpers.h>
#include <inttypes.h>
#include <stdio.h>

#define RATE_LIMIT_WINDOW_US (10 * USEC_PER_MINUTE)
#define RATE_LIMIT_LINES 6 /* said in full within a window */

/* As hay_rate_limit_allows(), but *ret_before counts all of the window that has ended, where some were not said. */
static inline bool rate_limit_allows(struct hay_rate_limit *limit, uint64_t now_us, uint64_t *ret_before)
{
	bool is_allowed = hay_rate_limit_allows(limit, RATE_LIMIT_LINES, RATE_LIMIT_WINDOW_US, now_us, ret_before);

	if (*ret_before > 0)
		*ret_before += RATE_LIMIT_LINES;
	return is_allowed;
}

/* The end of a line about a change that rate_limit_allows() let through: that it changes often, or nothing. */
#define RATE_LIMIT_TEXT_MAX 80
static inline const char *rate_limit_text(const struct hay_rate_limit *limit, uint64_t before,
					  char buffer[RATE_LIMIT_TEXT_MAX])
{
	buffer[0] = '\0';
	if (before > 0)
		snprintf(buffer, RATE_LIMIT_TEXT_MAX, "; %" PRIu64 " such changes in the last 10 min", before);
	else if (limit->n_logged == RATE_LIMIT_LINES)
		snprintf(buffer, RATE_LIMIT_TEXT_MAX, "; it keeps changing, logged again in 10 min");
	return buffer;
}

#endif
