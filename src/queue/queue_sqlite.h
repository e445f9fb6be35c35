/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The queue's part on disk: one SQLite connection, used by one thread at a time. WAL, synchronous=FULL, explicit
 * checkpoints, a hard cap. Every function gives 0 or one of these:
 *     -EBADMSG  the file is damaged       -ENOSPC  the disk is full        -EFBIG  max_size is reached
 *     -EROFS    it cannot be written      -ENOMEM                          -EIO    anything else
 * and body->message says it in SQLite's words.
 */
#ifndef HAYWAIN_QUEUE_SQLITE_H
#define HAYWAIN_QUEUE_SQLITE_H

#include "base/buf.h"
#include "model/sample.h"
#include <sqlite3.h>
#include <stdbool.h>

#define BODY_PAGE_BYTES 4096
/* What a row takes besides its blob, at most: id, four small columns, header, cell pointer. */
#define BODY_ROW_BYTES 44

/* No row is longer: a blob of 65535 bytes for each of some hundred points. */
#define BODY_ROW_MAX (16 * 1024 * 1024)

struct body {
	sqlite3 *db;
	bool read_only;
	bool in_transaction;
	bool commit_failed; /* the last one: whether it is in the file shows when that is opened anew */
	uint64_t max_size;
	uint64_t wal_limit; /* bytes: past it a checkpoint is due */
	uint64_t wal_bytes; /* now in the log */
	uint64_t pages;	    /* of the file, as of the last commit */
	uint64_t bytes_written;
	sqlite3_stmt *insert, *read, *oldest, *remove;
	sqlite3_stmt *state[3]; /* queue_state.c: put, put the copy, look up */
	int reason;		/* errno of the system call that failed, or 0 */
	char message[160];
};

/* read_only: of a file system that is, or of a file that was set aside: nothing is locked, nothing is made. */
int body_open(struct body *body, const char *path, uint64_t max_size, bool read_only);
void body_close(struct body *body);
/* The same, and the files stay as they are: of a damaged one. */
void body_abandon(struct body *body);
int body_set_max_size(struct body *body, uint64_t max_size);

/* For the tables beside the samples. */
int body_fail(struct body *body, int rc); /* SQLite's result code to ours; remembers the message */
int body_exec(struct body *body, const char *sql);
int body_prepare(struct body *body, const char *sql, sqlite3_stmt **ret);
int body_step(struct body *body, sqlite3_stmt *statement); /* 1: a row; 0: done; -errno */
int body_number(struct body *body, const char *sql, uint64_t *ret);

int body_begin(struct body *body);
/* So many bytes of samples will be written, or many pages changed by a removal: the log has room for them beforehand. */
void body_expect(struct body *body, uint64_t bytes);
#define BODY_REMOVAL_BYTES ((uint64_t)128 * 1024)
int body_commit(struct body *body); /* also rolls back where it fails */
void body_rollback(struct body *body);

/* Of a row of samples. */
uint32_t body_row_crc(uint64_t id, uint64_t time_us, uint32_t boot, uint32_t device, const void *blob, size_t size);
int body_insert(struct body *body, const struct sample *sample);

struct body_row {
	struct sample *sample; /* NULL: the row's checksum is wrong */
	uint64_t id;
};
/* Rows with after < id <= to, oldest first, at most max rows and, but for the last, max_bytes of memory. 1: there may be
   more of them; 0: that is all. Also after an error *ret_n rows are good. The caller owns the samples. */
int body_read(struct body *body, uint64_t after, uint64_t to, struct body_row *rows, size_t max, size_t max_bytes,
	      size_t *ret_n);

struct body_head {
	uint64_t id, time_us;
	uint32_t boot, device;
	uint32_t size; /* of the blob */
};
/* The same without the blobs: what retention looks at. */
int body_heads(struct body *body, uint64_t after, struct body_head *heads, size_t max, size_t *ret_n);
/* Only the ids of rows with after < id <= to. */
int body_ids(struct body *body, uint64_t after, uint64_t to, uint64_t *ids, size_t max, size_t *ret_n);
/* The last row whole. *ret_id 0: there is none; *ret_is_right: its checksum is. */
int body_last(struct body *body, uint64_t *ret_id, bool *ret_is_right);
int body_remove(struct body *body, uint64_t from, uint64_t to);

/* Whether so many bytes of samples fit below max_size. */
int body_has_room(struct body *body, uint64_t bytes, bool *ret);
/* Whether they would fit if it were empty. */
bool body_can_hold(const struct body *body, uint64_t bytes);
/* Whether they fit into what is free in the file, so that it does not grow: it may be larger than a max_size that was
   lowered. */
int body_fits(struct body *body, uint64_t bytes, bool *ret);
/* By how many pages the file is too large, and how many in it are free. */
int body_excess(struct body *body, uint64_t *ret_pages, uint64_t *ret_unused);
static inline uint64_t body_bytes(const struct body *body)
{
	return body->pages * BODY_PAGE_BYTES + body->wal_bytes; /* file and log */
}
/* Read the whole file and see whether its structure holds. */
int body_check(struct body *body);

int body_checkpoint(struct body *body, bool truncate);
/* Give some free pages back to the file system. 1: there may be more; 0: enough. */
int body_shrink(struct body *body);
int body_vacuum(struct body *body); /* a megabyte of them */

/* queue_schema.c: the version of the file; 0: it is empty. -EBADMSG also for another program's file, and where the text
   of its tables is not what it was; -ENOTSUP for a newer version. */
int body_version(struct body *body, unsigned *ret);
#define BODY_VERSION 2
/* In a transaction: the tables of BODY_VERSION; after a migration: without those of version 1. */
int body_make_tables(struct body *body);
int body_drop_old_tables(struct body *body);

#endif
