/* SPDX-License-Identifier: Apache-2.0 */
/* SQLite says nothing of what it does not read of a log: this does. */
#ifndef HAYWAIN_STORAGE_LOG_CHECK_H
#define HAYWAIN_STORAGE_LOG_CHECK_H

#include "base/util.h"

/* How the log of a file that nobody has open ends. */
enum log_state {
	LOG_STATE_WHOLE,   /* or there is none */
	LOG_STATE_SHORT,   /* without the room that version 2 keeps behind the last frame: it was cut off */
	LOG_STATE_CUT,	   /* with a transaction that is not whole: a power cut in the middle of a write, or damage */
	LOG_STATE_DAMAGED, /* transactions that were complete cannot be read from it */
};
/* *ret_bytes: what of it is right. -errno: it cannot be read, which is no damage. */
int log_check(const char *path, enum log_state *ret, uint64_t *ret_bytes);

#endif
