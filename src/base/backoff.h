/* SPDX-License-Identifier: Apache-2.0 */
/* The pause between tries of what fails: doubled each time, up to a bound. 0: nothing has failed. */
#ifndef HAYWAIN_BASE_BACKOFF_H
#define HAYWAIN_BASE_BACKOFF_H

#include "base/util.h"

static inline uint64_t backoff_next(uint64_t pause_us, uint64_t first_us, uint64_t last_us)
{
	return pause_us == 0 ? first_us : MIN(pause_us * 2, last_us);
}

#endif
