/* SPDX-License-Identifier: Apache-2.0 */
/* The small files beside queue.db: the lock, the mark of sequence numbers, the reserve, and what was set aside. */
#ifndef HAYWAIN_QUEUE_FILES_H
#define HAYWAIN_QUEUE_FILES_H

#include "base/util.h"
#include <stdbool.h>
#include <sys/types.h>

/* A file of its own, because the POSIX locks of queue.db would go when any descriptor of it is closed.
   -EWOULDBLOCK: another process has it (*ret_pid: who, or 0). */
int queue_lock(const char *path, int *ret_fd, pid_t *ret_pid);

/* The reserved mark. -ENOENT: none; -EBADMSG: damaged. Writing is atomic and reaches the disk; *ret_bytes += what it cost. */
int queue_mark_read(const char *path, uint64_t *ret);
int queue_mark_write(const char *path, uint64_t mark, uint64_t *bytes);

/* Space held back for the day the disk is full. -ENOSPC also where less than `spare` would be free beside it. */
int queue_reserve_make(const char *path, size_t size, size_t spare);
int queue_reserve_remove(const char *path); /* -ENOENT: it was gone */

/* Rename queue.db and its log to queue.db.KIND-<UTC time>; *ret is the new name. Where the clock is behind one that was
   set aside before, it is that one's time and a count: names are in the order in which files were set aside. */
int queue_set_aside(const char *path, const char *kind, char **ret);

/* A file that was set aside, and its log. */
struct queue_aside {
	char *path;
	uint64_t bytes;
	bool is_damaged; /* what could be read of it was moved over, and the rest counted */
};
/* All of them, in the order in which they were set aside. */
int queue_asides(const char *path, struct queue_aside **ret, size_t *ret_n);
void queue_asides_free(struct queue_aside *asides, size_t n);

/* Remove queue.db, or one that was set aside, with what SQLite keeps beside it. */
int queue_discard(const char *path);

#endif
