/* SPDX-License-Identifier: Apache-2.0 */
#include "storage/db.h"
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#define KB ((uint64_t)1024)
#define OTHER_PAGES 16 /* what the tables beside the samples take, as a rule */
#define WAL_SPARE_BYTES ((uint64_t)64 * 1024)
#define WAL_FRAME_BYTES (DB_PAGE_BYTES + 24)

/* ---- errors ---- */

/* What the disk said last to a read or a write of the file, or of its log. */
static int last_errno(struct db *db, int which)
{
	sqlite3_file *file = NULL;
	int error = 0;

	if (!db->handle || sqlite3_file_control(db->handle, "main", which, &file) != SQLITE_OK || !file ||
	    !file->pMethods || file->pMethods->xFileControl(file, SQLITE_FCNTL_LAST_ERRNO, &error) != SQLITE_OK)
		return 0;
	return error;
}

/* SQLite calls a place that the disk cannot read (EIO) malformed: its VDBE makes SQLITE_CORRUPT of
   SQLITE_IOERR_CORRUPTFS. A connection that has met one is not believed about damage: the next one tells. */
static int read_error(struct db *db)
{
	static const int pointers[] = {SQLITE_FCNTL_FILE_POINTER, SQLITE_FCNTL_JOURNAL_POINTER};

	for (size_t i = 0; i < ELEMENTS(pointers); i++) {
		int error = last_errno(db, pointers[i]);

		if (error == EIO || error == ENXIO)
			return error;
	}
	return 0;
}

int db_fail(struct db *db, int rc)
{
	int reason = db->handle ? sqlite3_system_errno(db->handle) : 0;

	if ((rc & 0xff) == SQLITE_CORRUPT && (reason = read_error(db)) != 0)
		rc = SQLITE_IOERR;
	db->reason = 0;
	snprintf(db->message, sizeof(db->message), "%s", db->handle ? sqlite3_errmsg(db->handle) : sqlite3_errstr(rc));
	switch (rc & 0xff) {
	case SQLITE_CORRUPT:
	case SQLITE_NOTADB:
	case SQLITE_FORMAT:
	case SQLITE_ERROR: /* our SQL is constant: a table is not what it was */
	case SQLITE_SCHEMA:
	case SQLITE_MISMATCH:
	case SQLITE_TOOBIG: /* no row of ours is so long */
		return -EBADMSG;
	case SQLITE_NOMEM:
		return -ENOMEM;
	case SQLITE_FULL:
		/* Either the cap or the disk; the caller, who asked for room before, can tell. */
		return -ENOSPC;
	case SQLITE_READONLY:
	case SQLITE_PERM:
	case SQLITE_AUTH:
		return -EROFS;
	case SQLITE_IOERR:
	case SQLITE_CANTOPEN:
		db->reason = reason;
		if (reason != 0)
			snprintf(db->message, sizeof(db->message), "%s", strerror(reason));
		if (reason == ENOSPC || reason == EDQUOT)
			return -ENOSPC;
		if (reason == EROFS || reason == EACCES || reason == EPERM)
			return -EROFS;
		return -EIO;
	default:
		return -EIO;
	}
}

/* ---- statements ---- */

int db_exec(struct db *db, const char *sql)
{
	int rc = sqlite3_exec(db->handle, sql, NULL, NULL, NULL);

	return rc == SQLITE_OK ? 0 : db_fail(db, rc);
}

int db_prepare(struct db *db, const char *sql, sqlite3_stmt **ret)
{
	int rc = sqlite3_prepare_v3(db->handle, sql, -1, SQLITE_PREPARE_PERSISTENT, ret, NULL);

	return rc == SQLITE_OK ? 0 : db_fail(db, rc);
}

int db_step(struct db *db, sqlite3_stmt *statement)
{
	int rc = sqlite3_step(statement);

	if (rc == SQLITE_ROW)
		return 1;
	return rc == SQLITE_DONE ? 0 : db_fail(db, rc);
}

int db_number(struct db *db, const char *sql, uint64_t *ret)
{
	sqlite3_stmt *statement;
	int r = db_prepare(db, sql, &statement);

	if (r < 0)
		return r;
	r = db_step(db, statement);
	if (r >= 0)
		*ret = r == 1 ? (uint64_t)sqlite3_column_int64(statement, 0) : 0;
	sqlite3_finalize(statement);
	return r < 0 ? r : 0;
}

int db_statement(struct db *db, unsigned which, const char *sql, sqlite3_stmt **ret)
{
	int r = db->statements[which] ? 0 : db_prepare(db, sql, &db->statements[which]);

	*ret = db->statements[which];
	return r;
}

/* ---- opening ---- */

static uint64_t max_pages(const struct db *db)
{
	return (db->max_size - 2 * db->wal_limit) / DB_PAGE_BYTES;
}

int db_set_max_size(struct db *db, uint64_t max_size)
{
	char sql[128];

	db->max_size = max_size;
	/* The log has its share of max_size: it reaches twice the limit before the checkpoint that empties it. */
	db->wal_limit = MIN(MAX(max_size / 16, 128 * KB), 2048 * KB);
	/* The cap of SQLite itself is a second fence: deleting needs a few pages for itself. */
	snprintf(sql, sizeof(sql), "PRAGMA journal_size_limit=%llu; PRAGMA max_page_count=%llu",
		 (unsigned long long)db->wal_limit, (unsigned long long)(max_pages(db) + 64));
	return db_exec(db, sql);
}

static int configure(struct db *db)
{
	uint64_t pages;
	int r = db_exec(
		db,
		"PRAGMA locking_mode=EXCLUSIVE; PRAGMA cache_size=-512; PRAGMA temp_store=MEMORY;PRAGMA mmap_size=0;");

	if (r < 0 || db->read_only)
		return r;
	r = db_number(db, "PRAGMA page_count", &pages);
	/* It counts only before the first table is made; later each open would write it once more. */
	if (r == 0 && pages == 0)
		r = db_exec(db, "PRAGMA page_size=4096; PRAGMA auto_vacuum=INCREMENTAL");
	if (r == 0)
		r = db_exec(db, "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; PRAGMA wal_autocheckpoint=0;"
				"PRAGMA secure_delete=OFF;");
	return r == 0 ? db_set_max_size(db, db->max_size) : r;
}

static int count_wal(void *userdata, sqlite3 *handle _unused_, const char *name _unused_, int pages)
{
	struct db *db = userdata;

	db->wal_bytes = (uint64_t)pages * WAL_FRAME_BYTES;
	return SQLITE_OK;
}

/* A file system that is read-only refuses locks, and to make a log where there is none. "unix-none" takes no locks;
   without a log the file is `immutable`. */
static int open_read_only(struct db *db, const char *path, int flags)
{
	_cleanup_buf_ struct buf uri = {0};
	bool has_log;

	buf_printf(&uri, "%s-wal", path);
	has_log = !buf_failed(&uri) && access(buf_text(&uri), F_OK) == 0;
	if (has_log)
		return sqlite3_open_v2(path, &db->handle, flags, "unix-none");
	buf_clear(&uri);
	buf_add_text(&uri, "file:");
	for (const char *c = path; *c; c++) {
		if (strchr("%?#", *c))
			buf_printf(&uri, "%%%02X", (unsigned char)*c);
		else
			buf_add_char(&uri, *c);
	}
	buf_add_text(&uri, "?immutable=1");
	if (buf_failed(&uri))
		return SQLITE_NOMEM;
	return sqlite3_open_v2(buf_text(&uri), &db->handle, flags | SQLITE_OPEN_URI, NULL);
}

int db_open(struct db *db, const char *path, uint64_t max_size, bool read_only)
{
	int flags =
		SQLITE_OPEN_NOMUTEX | (read_only ? SQLITE_OPEN_READONLY : SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE);
	int rc, r;

	*db = (struct db){.read_only = read_only, .max_size = max_size};
	rc = read_only ? open_read_only(db, path, flags) : sqlite3_open_v2(path, &db->handle, flags, NULL);
	r = rc == SQLITE_OK ? 0 : db_fail(db, rc);
	/* SQLite opens for reading what it may not write, and says so only later, in other words. */
	if (r == 0 && !read_only && sqlite3_db_readonly(db->handle, "main") == 1) {
		snprintf(db->message, sizeof(db->message), "%s",
			 access(path, W_OK) < 0 ? strerror(errno) : "read-only");
		r = -EROFS;
	}
	if (r == 0) {
		/* A length that says more is damage, and not worth the memory. */
		sqlite3_limit(db->handle, SQLITE_LIMIT_LENGTH, DB_ROW_MAX);
		r = configure(db);
	}
	if (r < 0) {
		db_abandon(db);
		return r;
	}
	sqlite3_wal_hook(db->handle, count_wal, db);
	db_number(db, "PRAGMA page_count", &db->pages);
	return 0;
}

void db_abandon(struct db *db)
{
	/* Else SQLite moves what it takes for the log into the file, and removes the rest of it. */
	if (db->handle)
		sqlite3_db_config(db->handle, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL);
	db_close(db);
}

void db_close(struct db *db)
{
	for (size_t i = 0; i < DB_STATEMENTS; i++) {
		sqlite3_finalize(db->statements[i]);
		db->statements[i] = NULL;
	}
	sqlite3_close(db->handle);
	db->handle = NULL;
	db->in_transaction = false;
}

/* ---- transactions ---- */

/* Behind the last frame of the log there is always room made of zeros: a log that ends without it was cut off, and
   what is missing does not go unsaid. It takes no space. A failure costs only that. */
static void keep_spare(struct db *db, uint64_t bytes)
{
	const char *log = sqlite3_filename_wal(sqlite3_db_filename(db->handle, "main"));
	uint64_t end = db->wal_bytes + WAL_FRAME_BYTES + bytes;
	struct stat st;

	if (!db->read_only && stat(log, &st) == 0 && (uint64_t)st.st_size < end &&
	    truncate(log, (off_t)(end + WAL_SPARE_BYTES)) < 0)
		errno = 0;
}

int db_begin(struct db *db)
{
	int r = db_exec(db, "BEGIN IMMEDIATE");

	db->commit_failed = false;

	keep_spare(db, WAL_SPARE_BYTES / 2);

	db->in_transaction = r == 0;
	return r;
}

void db_expect(struct db *db, uint64_t bytes)
{
	keep_spare(db, 2 * bytes + WAL_SPARE_BYTES);
}

void db_rollback(struct db *db)
{
	/* SQLite may have rolled back by itself: an error of this ROLLBACK means nothing. */
	if (db->in_transaction && !sqlite3_get_autocommit(db->handle))
		sqlite3_exec(db->handle, "ROLLBACK", NULL, NULL, NULL);
	db->in_transaction = false;
}

static void count_pages(struct db *db)
{
	int pages = 0, high;

	db_number(db, "PRAGMA page_count", &db->pages);
	if (sqlite3_db_status(db->handle, SQLITE_DBSTATUS_CACHE_WRITE, &pages, &high, 1) == SQLITE_OK)
		db->bytes_written += (uint64_t)pages * WAL_FRAME_BYTES;
}

int db_commit(struct db *db)
{
	int r = db_exec(db, "COMMIT");

	db->commit_failed = r < 0;
	if (r < 0)
		db_rollback(db);
	else
		keep_spare(db, 0);
	db->in_transaction = false;
	count_pages(db);
	return r;
}

int db_checkpoint(struct db *db, bool truncate)
{
	int in_log = 0, moved = 0;
	int rc = sqlite3_wal_checkpoint_v2(
		db->handle, NULL, truncate ? SQLITE_CHECKPOINT_TRUNCATE : SQLITE_CHECKPOINT_RESTART, &in_log, &moved);

	if (rc != SQLITE_OK)
		return db_fail(db, rc);
	if (!truncate && moved > 0)
		db->bytes_written += (uint64_t)moved * DB_PAGE_BYTES;
	else if (truncate)
		db->bytes_written += db->wal_bytes / WAL_FRAME_BYTES * DB_PAGE_BYTES;
	db->wal_bytes = 0;
	return 0;
}

/* ---- room ---- */

static uint64_t pages_for(uint64_t bytes)
{
	return bytes / (DB_PAGE_BYTES - 64) + 4;
}

static int count_room(struct db *db, uint64_t *ret_pages, uint64_t *ret_unused)
{
	int r = db_number(db, "PRAGMA page_count", ret_pages);

	return r == 0 ? db_number(db, "PRAGMA freelist_count", ret_unused) : r;
}

int db_has_room(struct db *db, uint64_t bytes, bool *ret)
{
	uint64_t pages, unused;
	int r = count_room(db, &pages, &unused);

	if (r == 0)
		*ret = pages + pages_for(bytes) <= max_pages(db) + unused;
	return r;
}

bool db_can_hold(const struct db *db, uint64_t bytes)
{
	return pages_for(bytes) + OTHER_PAGES <= max_pages(db);
}

int db_fits(struct db *db, uint64_t bytes, bool *ret)
{
	uint64_t pages, unused;
	int r = count_room(db, &pages, &unused);

	if (r == 0)
		*ret = pages_for(bytes) <= unused;
	return r;
}

int db_excess(struct db *db, uint64_t *ret_pages, uint64_t *ret_unused)
{
	uint64_t pages;
	int r = count_room(db, &pages, ret_unused);

	if (r == 0)
		*ret_pages = pages > max_pages(db) ? pages - max_pages(db) : 0;
	return r;
}

int db_check(struct db *db)
{
	sqlite3_stmt *statement;
	int r = db_prepare(db, "PRAGMA quick_check(1)", &statement);

	if (r < 0)
		return r;
	r = db_step(db, statement);
	if (r == 1 && strcmp((const char *)sqlite3_column_text(statement, 0), "ok") != 0) {
		snprintf(db->message, sizeof(db->message), "%s", (const char *)sqlite3_column_text(statement, 0));
		r = -EBADMSG;
	}
	sqlite3_finalize(statement);
	return r < 0 ? r : 0;
}

int db_shrink(struct db *db)
{
	uint64_t unused;
	int r = db_number(db, "PRAGMA freelist_count", &unused);

	/* A megabyte stays for the next backlog. */
	if (r < 0 || unused <= 256)
		return r;
	r = db_vacuum(db);
	return r < 0 ? r : 1;
}

int db_vacuum(struct db *db)
{
	int r;

	/* 256 pages, and those that point to them. */
	keep_spare(db, 512 * WAL_FRAME_BYTES);
	r = db_exec(db, "PRAGMA incremental_vacuum(256)");

	count_pages(db);
	return r;
}
