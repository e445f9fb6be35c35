/* SPDX-License-Identifier: Apache-2.0 */
/* Why something did not work, in words. */
#ifndef HAYWAIN_UPSTREAM_REASON_H
#define HAYWAIN_UPSTREAM_REASON_H

#include "base/util.h"

#define REASON_MAX 192

struct reason {
	char text[REASON_MAX];
};

void reason_set(struct reason *reason, const char *format, ...) _printf_(2, 3);

#endif
