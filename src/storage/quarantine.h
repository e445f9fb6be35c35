/* SPDX-License-Identifier: Apache-2.0 */
/* Files that are not used any more and not thrown away: PATH.KIND-<UTC time>, KIND one of damaged, newer, left. */
#ifndef HAYWAIN_STORAGE_QUARANTINE_H
#define HAYWAIN_STORAGE_QUARANTINE_H

#include "base/util.h"
#include <stdbool.h>

/* The name for the next file that is quarantined, and the moving. */
int quarantine_name(const char *path, const char *kind, char **ret);
int quarantine_move(const char *path, const char *new_path);

/* Both steps: rename queue.db and its log to queue.db.KIND-<UTC time>; *ret is the new name. Where the clock is
   behind one that was quarantined before, it is that one's time and a count: names are in the order in which files
   were quarantined. */
int quarantine_file(const char *path, const char *kind, char **ret);

/* A file that was quarantined, and its log. */
struct quarantined {
	char *path;
	uint64_t bytes;
	bool is_damaged; /* what could be read of it was moved over, and the rest counted */
};
/* All of them, in the order in which they were quarantined. */
int quarantine_list(const char *path, struct quarantined **ret, size_t *ret_n);
void quarantine_list_free(struct quarantined *list, size_t n);

/* Remove queue.db, or one that was quarantined, with what SQLite keeps beside it. */
int storage_discard(const char *path);

#endif
