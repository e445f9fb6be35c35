/* SPDX-License-Identifier: Apache-2.0 */
#include "upstream/reason.h"
#include <stdarg.h>
#include <stdio.h>

void reason_set(struct reason *reason, const char *format, ...)
{
	char text[REASON_MAX]; /* an argument may be the old text */
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	memcpy(reason->text, text, sizeof(text));
}
