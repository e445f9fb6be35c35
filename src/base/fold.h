/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Folding: the same thing said again and again becomes a few lines and a count. Pure.
 */
#ifndef HAYWAIN_BASE_FOLD_H
#define HAYWAIN_BASE_FOLD_H

#include "base/util.h"
#include <stdbool.h>
#include <stdio.h>

#define FOLD_WINDOW_US (10 * USEC_PER_MINUTE)
#define FOLD_LINES 6 /* said in full within a window */

/* Embedded, zeroed. */
struct fold {
	uint64_t since_us;
	unsigned count; /* happened in this window */
};

/*
 * It happened again: may it be said? *ret_before: how often it happened in the window that has ended, where some of
 * those were not said; else 0: the line can tell.
 */
static inline bool fold_says(struct fold *fold, uint64_t now_us, unsigned *ret_before)
{
	*ret_before = 0;
	if (fold->count == 0 || now_us - fold->since_us >= FOLD_WINDOW_US) {
		if (fold->count > FOLD_LINES)
			*ret_before = fold->count;
		fold->since_us = now_us;
		fold->count = 0;
	}
	return ++fold->count <= FOLD_LINES;
}

/* The end of a line that fold_says() let through: that what it says happens often, or nothing. */
#define FOLD_TEXT_MAX 80
static inline const char *fold_text(const struct fold *fold, unsigned before, char buffer[FOLD_TEXT_MAX])
{
	buffer[0] = '\0';
	if (before > 0)
		snprintf(buffer, FOLD_TEXT_MAX, "; %u such changes in the last 10 min", before);
	else if (fold->count == FOLD_LINES)
		snprintf(buffer, FOLD_TEXT_MAX, "; it keeps changing, told again in 10 min");
	return buffer;
}

#endif
