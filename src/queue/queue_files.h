/* SPDX-License-Identifier: Apache-2.0 */
/* The small files beside queue.db: the lock, the mark of sequence numbers, the reserve, and what was set aside. */
#ifndef HAYWAIN_QUEUE_FILES_H
#define HAYWAIN_QUEUE_FILES_H

#include "base/buf.h"
#include "base/util.h"
#include <stdbool.h>
#include <sys/types.h>

/* A file of its own, because the POSIX locks of queue.db would go when any descriptor of it is closed.
   -EWOULDBLOCK: another process has it (*ret_pid: who, or 0). */
int queue_lock(const char *path, int *ret_fd, pid_t *ret_pid);

/* The reserved mark. -ENOENT: none; -EBADMSG: damaged. Writing is atomic and reaches the disk; *ret_bytes += what it cost. */
int queue_mark_read(const char *path, uint64_t *ret);
/* What else is to be known should the queue be damaged; read: empty, where it is not there. */
int queue_mark_read_more(const char *path, struct buf *ret);
int queue_mark_write(const char *path, uint64_t mark, const struct buf *more, uint64_t *bytes);

/* A small file beside it, PATH and end: whole or not at all, and on the disk. */
int queue_write_small(const char *path, const char *end, const char *text, size_t size);

/* Space held back for the day the disk is full. -ENOSPC also where less than `spare` would be free beside it. */
int queue_reserve_make(const char *path, size_t size, size_t spare);
int queue_reserve_remove(const char *path); /* -ENOENT: it was gone */

/* What is left to do with files that were set aside: queue.db.salvage says it from before the first of them is moved until
   all in them is in the new file, whatever the process and the queue itself come to. */
#define QUEUE_TODO_FILES 8
struct queue_todo {
	char *paths[QUEUE_TODO_FILES]; /* the oldest first */
	size_t n_paths;
	unsigned starts;  /* by so many processes */
	uint64_t end;	  /* the last id that can be in one of them; 0: not known yet */
	uint64_t last;	  /* the last id that was in one of them, as far as known */
	bool is_exact;	  /* `last` is known for sure */
	bool is_doubtful; /* what is lost cannot be counted */
	/* Of each: how many processes ago began that gave devices, points and boots their numbers in it, without having read
	   a file of before. 0: they are as in the new file. */
	uint8_t generations[QUEUE_TODO_FILES];
};
int queue_todo_read(const char *path, struct queue_todo *ret); /* -ENOENT: nothing; -EBADMSG: it is damaged */
int queue_todo_write(const char *path, const struct queue_todo *todo);
int queue_todo_remove(const char *path);
void queue_todo_done(struct queue_todo *todo);

/* The name for the next file that is set aside, and the moving. */
int queue_aside_name(const char *path, const char *kind, char **ret);
int queue_move_aside(const char *path, const char *aside);

/* How the log of a queue that nobody has open ends. */
enum queue_log {
	QUEUE_LOG_WHOLE,   /* or there is none */
	QUEUE_LOG_SHORT,   /* without the room that version 2 keeps behind the last frame: it was cut off */
	QUEUE_LOG_CUT,	   /* with a transaction that is not whole: a power cut in the middle of a write, or damage */
	QUEUE_LOG_DAMAGED, /* transactions that were complete cannot be read from it */
};
/* *ret_bytes: what of it is right. -errno: it cannot be read, which is no damage. */
int queue_log_look(const char *path, enum queue_log *ret, uint64_t *ret_bytes);

/* Both steps: rename queue.db and its log to queue.db.KIND-<UTC time>; *ret is the new name. Where the clock is behind one that was
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
