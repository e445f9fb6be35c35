/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A file of SQLite and its connection, used by one thread at a time. WAL, synchronous=FULL, explicit
 * checkpoints, a hard cap. Every function gives 0 or one of these:
 *     -EBADMSG  the file is damaged       -ENOSPC  the disk is full        -EFBIG  max_size is reached
 *     -EROFS    it cannot be written      -ENOMEM                          -EIO    anything else
 * and db->message says it in SQLite's words.
 */
#ifndef HAYWAIN_STORAGE_DB_H
#define HAYWAIN_STORAGE_DB_H

#include "base/buf.h"
#include <sqlite3.h>
#include <stdbool.h>

#define DB_PAGE_BYTES 4096
/* No row is longer: a blob of 65535 bytes for each of some hundred points. */
#define DB_ROW_MAX (16 * 1024 * 1024)

#define DB_STATEMENTS 8

struct db {
	sqlite3 *handle;
	bool read_only;
	bool in_transaction;
	bool commit_failed; /* the last one: whether it is in the file shows when that is opened anew */
	uint64_t max_size;
	uint64_t wal_limit; /* bytes: past it a checkpoint is due */
	uint64_t wal_bytes; /* now in the log */
	uint64_t pages;	    /* of the file, as of the last commit */
	uint64_t bytes_written;
	sqlite3_stmt *statements[DB_STATEMENTS]; /* db_statement(): by numbers that its user gives */
	int reason;				 /* errno of the system call that failed, or 0 */
	char message[160];
};

/* read_only: of a file system that is, or of a file that was quarantined: nothing is locked, nothing is made. */
int db_open(struct db *db, const char *path, uint64_t max_size, bool read_only);
void db_close(struct db *db);
/* The same, and the files stay as they are: of a damaged one. */
void db_abandon(struct db *db);
int db_set_max_size(struct db *db, uint64_t max_size);

int db_fail(struct db *db, int rc); /* SQLite's result code to ours; remembers the message */
int db_exec(struct db *db, const char *sql);
int db_prepare(struct db *db, const char *sql, sqlite3_stmt **ret);
int db_step(struct db *db, sqlite3_stmt *statement); /* 1: a row; 0: done; -errno */
int db_number(struct db *db, const char *sql, uint64_t *ret);
/* A statement that is kept until the file is closed, prepared at first use: the table may not be there when it is
   opened. which: below DB_STATEMENTS. Borrowed; reset it after use. */
int db_statement(struct db *db, unsigned which, const char *sql, sqlite3_stmt **ret);

int db_begin(struct db *db);
/* So many bytes of rows will be written, or many pages changed by a removal: the log has room for them beforehand. */
void db_expect(struct db *db, uint64_t bytes);
#define DB_REMOVAL_BYTES ((uint64_t)128 * 1024)
int db_commit(struct db *db); /* also rolls back where it fails */
void db_rollback(struct db *db);

/* Whether so many bytes of rows fit below max_size. */
int db_has_room(struct db *db, uint64_t bytes, bool *ret);
/* Whether they would fit if it were empty. */
bool db_can_hold(const struct db *db, uint64_t bytes);
/* Whether they fit into what is free in the file, so that it does not grow: it may be larger than a max_size that was
   lowered. */
int db_fits(struct db *db, uint64_t bytes, bool *ret);
/* By how many pages the file is too large, and how many in it are free. */
int db_excess(struct db *db, uint64_t *ret_pages, uint64_t *ret_unused);
static inline uint64_t db_bytes(const struct db *db)
{
	return db->pages * DB_PAGE_BYTES + db->wal_bytes; /* file and log */
}
/* Read the whole file and see whether its structure holds. */
int db_check(struct db *db);

int db_checkpoint(struct db *db, bool truncate);
/* Give some free pages back to the file system. 1: there may be more; 0: enough. */
int db_shrink(struct db *db);
int db_vacuum(struct db *db); /* a megabyte of them */

#endif
