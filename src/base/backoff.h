/* SPDX-License-Identifier: Apache-2.0 */
/* The pause between tries of what fails: doubled each time, up to a bound. 0: nothing has failed. */
#ifndef HAYWAIN_BASE_BACKOFF_H
#define HAYWAIN_BASE_BACKOFF_H

#include "base/units.h"
#include "base/util.h"
#include <stdio.h>

static inline uint64_t backoff_next(uint64_t pause_us, uint64_t first_us, uint64_t last_us)
{
	return pause_us == 0 ? first_us : MIN(pause_us * 2, last_us);
}

/* What a line about a failure ends with: "trying again in 1 s, later every 1 min", "trying again every 1 min". */
#define BACKOFF_TEXT_MAX (2 * DURATION_TEXT_MAX + 40)
static inline const char *backoff_text(uint64_t pause_us, uint64_t last_us, char buffer[BACKOFF_TEXT_MAX])
{
	char pause[DURATION_TEXT_MAX], last[DURATION_TEXT_MAX];

	if (pause_us >= last_us)
		snprintf(buffer, BACKOFF_TEXT_MAX, "trying again every %s", format_duration(pause_us, pause));
	else
		snprintf(buffer, BACKOFF_TEXT_MAX, "trying again in %s, later every %s",
			 format_duration(pause_us, pause), format_duration(last_us, last));
	return buffer;
}

#endif
