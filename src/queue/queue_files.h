/* SPDX-License-Identifier: Apache-2.0 */
/* The small files beside queue.db that are the queue's own: the mark of sequence numbers, and what salvage has to
   do. */
#ifndef HAYWAIN_QUEUE_FILES_H
#define HAYWAIN_QUEUE_FILES_H

#include "base/buf.h"
#include "base/util.h"
#include <stdbool.h>
#include <sys/types.h>

/* The reserved mark. -ENOENT: none; -EBADMSG: damaged. Writing is atomic and reaches the disk; *ret_bytes += what it
   cost. */
int queue_mark_read(const char *path, uint64_t *ret);
/* What else is to be known should the queue be damaged; read: empty, where it is not there. */
int queue_mark_read_more(const char *path, struct buf *ret);
int queue_mark_write(const char *path, uint64_t mark, const struct buf *more, uint64_t *bytes);

/* A small file beside it, PATH and end: whole or not at all, and on the disk. */
int queue_write_small(const char *path, const char *end, const char *text, size_t size);

/* What is left to do with files that were quarantined: queue.db.salvage says it from before the first of them is
   moved until all in them is in the new file, whatever the process and the queue itself come to. */
#define SALVAGE_FILES_MAX 8
struct salvage_list {
	char *paths[SALVAGE_FILES_MAX]; /* the oldest first */
	size_t n_paths;
	unsigned starts;  /* by so many processes */
	uint64_t end;	  /* the last id that can be in one of them; 0: not known yet */
	uint64_t last;	  /* the last id that was in one of them, as far as known */
	bool is_exact;	  /* `last` is known for sure */
	bool is_doubtful; /* what is lost cannot be counted */
	/* Of each: how many processes ago began that gave devices, points and boots their numbers in it, without
	   having read a file of before. 0: they are as in the new file. */
	uint8_t generations[SALVAGE_FILES_MAX];
};
int salvage_list_read(const char *path, struct salvage_list *ret); /* -ENOENT: nothing; -EBADMSG: it is damaged */
int salvage_list_write(const char *path, const struct salvage_list *pending);
int salvage_list_remove(const char *path);
void salvage_list_done(struct salvage_list *pending);

#endif
