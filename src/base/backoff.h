/* SPDX-License-Identifier: Apache-2.0 */
/* What the log says of a pause between tries: hay_backoff_next() doubles it each time, up to a bound. */
#ifndef HAYWAIN_BASE_BACKOFF_H
#define HAYWAIN_BASE_BACKOFF_H

#include "base/units.h"
#include <haywain/helpers.h>
#include <stdio.h>

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
