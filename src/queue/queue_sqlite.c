/* SPDX-License-Identifier: Apache-2.0 */
#include "queue/queue_sqlite.h"
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <zlib.h>

#define KB ((uint64_t)1024)
#define OTHER_PAGES 16 /* what the tables beside the samples take, as a rule */
#define WAL_SPARE_BYTES ((uint64_t)64 * 1024)
#define WAL_FRAME_BYTES (BODY_PAGE_BYTES + 24)

/* ---- errors ---- */

/* What the disk said last to a read or a write of the file, or of its log. */
static int last_errno(struct body *body, int which)
{
	sqlite3_file *file = NULL;
	int error = 0;

	if (!body->db || sqlite3_file_control(body->db, "main", which, &file) != SQLITE_OK || !file ||
	    !file->pMethods || file->pMethods->xFileControl(file, SQLITE_FCNTL_LAST_ERRNO, &error) != SQLITE_OK)
		return 0;
	return error;
}

/* SQLite calls a place that the disk cannot read (EIO) malformed: its VDBE makes SQLITE_CORRUPT of SQLITE_IOERR_CORRUPTFS.
   A connection that has met one is not believed about damage: the next one tells. */
static int read_error(struct body *body)
{
	static const int pointers[] = {SQLITE_FCNTL_FILE_POINTER, SQLITE_FCNTL_JOURNAL_POINTER};

	for (size_t i = 0; i < ELEMENTS(pointers); i++) {
		int error = last_errno(body, pointers[i]);

		if (error == EIO || error == ENXIO)
			return error;
	}
	return 0;
}

int body_fail(struct body *body, int rc)
{
	int reason = body->db ? sqlite3_system_errno(body->db) : 0;

	if ((rc & 0xff) == SQLITE_CORRUPT && (reason = read_error(body)) != 0)
		rc = SQLITE_IOERR;
	body->reason = 0;
	snprintf(body->message, sizeof(body->message), "%s", body->db ? sqlite3_errmsg(body->db) : sqlite3_errstr(rc));
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
		body->reason = reason;
		if (reason != 0)
			snprintf(body->message, sizeof(body->message), "%s", strerror(reason));
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

int body_exec(struct body *body, const char *sql)
{
	int rc = sqlite3_exec(body->db, sql, NULL, NULL, NULL);

	return rc == SQLITE_OK ? 0 : body_fail(body, rc);
}

int body_prepare(struct body *body, const char *sql, sqlite3_stmt **ret)
{
	int rc = sqlite3_prepare_v3(body->db, sql, -1, SQLITE_PREPARE_PERSISTENT, ret, NULL);

	return rc == SQLITE_OK ? 0 : body_fail(body, rc);
}

int body_step(struct body *body, sqlite3_stmt *statement)
{
	int rc = sqlite3_step(statement);

	if (rc == SQLITE_ROW)
		return 1;
	return rc == SQLITE_DONE ? 0 : body_fail(body, rc);
}

int body_number(struct body *body, const char *sql, uint64_t *ret)
{
	sqlite3_stmt *statement;
	int r = body_prepare(body, sql, &statement);

	if (r < 0)
		return r;
	r = body_step(body, statement);
	if (r >= 0)
		*ret = r == 1 ? (uint64_t)sqlite3_column_int64(statement, 0) : 0;
	sqlite3_finalize(statement);
	return r < 0 ? r : 0;
}

/* Prepared at first use: the table is not there yet when the file is opened. */
static int prepared(struct body *body, sqlite3_stmt **statement, const char *sql)
{
	return *statement ? 0 : body_prepare(body, sql, statement);
}

/* ---- opening ---- */

static uint64_t max_pages(const struct body *body)
{
	return (body->max_size - 2 * body->wal_limit) / BODY_PAGE_BYTES;
}

int body_set_max_size(struct body *body, uint64_t max_size)
{
	char sql[128];

	body->max_size = max_size;
	/* The log has its share of max_size: it reaches twice the limit before the checkpoint that empties it. */
	body->wal_limit = MIN(MAX(max_size / 16, 128 * KB), 2048 * KB);
	/* The cap of SQLite itself is a second fence: deleting needs a few pages for itself. */
	snprintf(sql, sizeof(sql), "PRAGMA journal_size_limit=%llu; PRAGMA max_page_count=%llu",
		 (unsigned long long)body->wal_limit, (unsigned long long)(max_pages(body) + 64));
	return body_exec(body, sql);
}

static int configure(struct body *body)
{
	uint64_t pages;
	int r = body_exec(
		body,
		"PRAGMA locking_mode=EXCLUSIVE; PRAGMA cache_size=-512; PRAGMA temp_store=MEMORY;PRAGMA mmap_size=0;");

	if (r < 0 || body->read_only)
		return r;
	r = body_number(body, "PRAGMA page_count", &pages);
	/* It counts only before the first table is made; later each open would write it once more. */
	if (r == 0 && pages == 0)
		r = body_exec(body, "PRAGMA page_size=4096; PRAGMA auto_vacuum=INCREMENTAL");
	if (r == 0)
		r = body_exec(body, "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; PRAGMA wal_autocheckpoint=0;"
				    "PRAGMA secure_delete=OFF;");
	return r == 0 ? body_set_max_size(body, body->max_size) : r;
}

static int count_wal(void *userdata, sqlite3 *db _unused_, const char *name _unused_, int pages)
{
	struct body *body = userdata;

	body->wal_bytes = (uint64_t)pages * WAL_FRAME_BYTES;
	return SQLITE_OK;
}

/* A file system that is read-only refuses locks, and to make a log where there is none. "unix-none" takes no locks;
   without a log the file is `immutable`. */
static int open_read_only(struct body *body, const char *path, int flags)
{
	_cleanup_buf_ struct buf uri = {0};
	bool has_log;

	buf_printf(&uri, "%s-wal", path);
	has_log = !buf_failed(&uri) && access(buf_text(&uri), F_OK) == 0;
	if (has_log)
		return sqlite3_open_v2(path, &body->db, flags, "unix-none");
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
	return sqlite3_open_v2(buf_text(&uri), &body->db, flags | SQLITE_OPEN_URI, NULL);
}

int body_open(struct body *body, const char *path, uint64_t max_size, bool read_only)
{
	int flags =
		SQLITE_OPEN_NOMUTEX | (read_only ? SQLITE_OPEN_READONLY : SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE);
	int rc, r;

	*body = (struct body){.read_only = read_only, .max_size = max_size};
	rc = read_only ? open_read_only(body, path, flags) : sqlite3_open_v2(path, &body->db, flags, NULL);
	r = rc == SQLITE_OK ? 0 : body_fail(body, rc);
	/* SQLite opens for reading what it may not write, and says so only later, in other words. */
	if (r == 0 && !read_only && sqlite3_db_readonly(body->db, "main") == 1) {
		snprintf(body->message, sizeof(body->message), "%s",
			 access(path, W_OK) < 0 ? strerror(errno) : "read-only");
		r = -EROFS;
	}
	if (r == 0) {
		/* A length that says more is damage, and not worth the memory. */
		sqlite3_limit(body->db, SQLITE_LIMIT_LENGTH, BODY_ROW_MAX);
		r = configure(body);
	}
	if (r < 0) {
		body_abandon(body);
		return r;
	}
	sqlite3_wal_hook(body->db, count_wal, body);
	body_number(body, "PRAGMA page_count", &body->pages);
	return 0;
}

void body_abandon(struct body *body)
{
	/* Else SQLite moves what it takes for the log into the file, and removes the rest of it. */
	if (body->db)
		sqlite3_db_config(body->db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL);
	body_close(body);
}

void body_close(struct body *body)
{
	sqlite3_finalize(body->insert);
	sqlite3_finalize(body->read);
	sqlite3_finalize(body->oldest);
	sqlite3_finalize(body->remove);
	for (size_t i = 0; i < ELEMENTS(body->state); i++) {
		sqlite3_finalize(body->state[i]);
		body->state[i] = NULL;
	}
	body->insert = body->read = body->oldest = body->remove = NULL;
	sqlite3_close(body->db);
	body->db = NULL;
	body->in_transaction = false;
}

/* ---- transactions ---- */

/* Behind the last frame of the log there is always room made of zeros: a log that ends without it was cut off, and what is
   missing does not go unsaid. It takes no space. A failure costs only that. */
static void keep_spare(struct body *body, uint64_t bytes)
{
	const char *log = sqlite3_filename_wal(sqlite3_db_filename(body->db, "main"));
	uint64_t end = body->wal_bytes + WAL_FRAME_BYTES + bytes;
	struct stat st;

	if (!body->read_only && stat(log, &st) == 0 && (uint64_t)st.st_size < end &&
	    truncate(log, (off_t)(end + WAL_SPARE_BYTES)) < 0)
		errno = 0;
}

int body_begin(struct body *body)
{
	int r = body_exec(body, "BEGIN IMMEDIATE");

	body->commit_failed = false;

	keep_spare(body, WAL_SPARE_BYTES / 2);

	body->in_transaction = r == 0;
	return r;
}

void body_expect(struct body *body, uint64_t bytes)
{
	keep_spare(body, 2 * bytes + WAL_SPARE_BYTES);
}

void body_rollback(struct body *body)
{
	/* SQLite may have rolled back by itself: an error of this ROLLBACK means nothing. */
	if (body->in_transaction && !sqlite3_get_autocommit(body->db))
		sqlite3_exec(body->db, "ROLLBACK", NULL, NULL, NULL);
	body->in_transaction = false;
}

static void count_pages(struct body *body)
{
	int pages = 0, high;

	body_number(body, "PRAGMA page_count", &body->pages);
	if (sqlite3_db_status(body->db, SQLITE_DBSTATUS_CACHE_WRITE, &pages, &high, 1) == SQLITE_OK)
		body->bytes_written += (uint64_t)pages * WAL_FRAME_BYTES;
}

int body_commit(struct body *body)
{
	int r = body_exec(body, "COMMIT");

	body->commit_failed = r < 0;
	if (r < 0)
		body_rollback(body);
	else
		keep_spare(body, 0);
	body->in_transaction = false;
	count_pages(body);
	return r;
}

int body_checkpoint(struct body *body, bool truncate)
{
	int in_log = 0, moved = 0;
	int rc = sqlite3_wal_checkpoint_v2(
		body->db, NULL, truncate ? SQLITE_CHECKPOINT_TRUNCATE : SQLITE_CHECKPOINT_RESTART, &in_log, &moved);

	if (rc != SQLITE_OK)
		return body_fail(body, rc);
	if (!truncate && moved > 0)
		body->bytes_written += (uint64_t)moved * BODY_PAGE_BYTES;
	else if (truncate)
		body->bytes_written += body->wal_bytes / WAL_FRAME_BYTES * BODY_PAGE_BYTES;
	body->wal_bytes = 0;
	return 0;
}

/* ---- samples ---- */

uint32_t body_row_crc(uint64_t id, uint64_t time_us, uint32_t boot, uint32_t device, const void *blob, size_t size)
{
	uint64_t words[3] = {id, time_us, (uint64_t)boot << 32 | device};
	uint8_t bytes[sizeof(words)];
	uLong crc;

	for (size_t i = 0; i < sizeof(bytes); i++)
		bytes[i] = (uint8_t)(words[i / 8] >> (8 * (i % 8)));
	crc = crc32(0, bytes, sizeof(bytes));
	return (uint32_t)crc32(crc, blob, (uInt)size);
}

static uint32_t row_crc(const struct sample *sample)
{
	return body_row_crc(sample->id, sample->time_us, sample->boot, sample->device, sample->blob, sample->size);
}

int body_insert(struct body *body, const struct sample *sample)
{
	sqlite3_stmt *insert;
	int r = prepared(body, &body->insert, "INSERT OR REPLACE INTO samples VALUES (?, ?, ?, ?, ?, ?)");

	if (r < 0)
		return r;
	insert = body->insert;
	sqlite3_bind_int64(insert, 1, (sqlite3_int64)sample->id);
	sqlite3_bind_int64(insert, 2, sample->boot);
	sqlite3_bind_int64(insert, 3, (sqlite3_int64)sample->time_us);
	sqlite3_bind_int64(insert, 4, sample->device);
	sqlite3_bind_int64(insert, 5, row_crc(sample));
	sqlite3_bind_blob64(insert, 6, sample->blob, sample->size, SQLITE_STATIC);
	r = body_step(body, insert);
	sqlite3_reset(insert);
	return r;
}

/* 0: *ret is the sample, or NULL where it is damaged. */
static int row_sample(sqlite3_stmt *row, struct sample **ret)
{
	uint32_t crc = (uint32_t)sqlite3_column_int64(row, 4);
	struct sample *sample;

	sample = sample_from_blob((uint32_t)sqlite3_column_int64(row, 3), (uint64_t)sqlite3_column_int64(row, 2),
				  sqlite3_column_blob(row, 5), (size_t)sqlite3_column_bytes(row, 5));
	if (!sample)
		return -ENOMEM;
	sample->id = (uint64_t)sqlite3_column_int64(row, 0);
	sample->boot = (uint32_t)sqlite3_column_int64(row, 1);
	if (row_crc(sample) != crc)
		sample = sample_unref(sample);
	*ret = sample;
	return 0;
}

/* Ids that do not grow: a page is not where it should be. */
static int body_disorder(struct body *body)
{
	snprintf(body->message, sizeof(body->message), "rows are out of order");
	return -EBADMSG;
}

int body_read(struct body *body, uint64_t after, uint64_t to, struct body_row *rows, size_t max, size_t max_bytes,
	      size_t *ret_n)
{
	size_t n = 0, bytes = 0;
	int r = prepared(
		body, &body->read,
		"SELECT id, boot, time_us, device, crc, blob FROM samples WHERE id > ? AND id <= ? ORDER BY id");

	*ret_n = 0;
	if (r < 0)
		return r;
	sqlite3_bind_int64(body->read, 1, (sqlite3_int64)after);
	sqlite3_bind_int64(body->read, 2, (sqlite3_int64)to);
	r = 1;
	while (n < max && bytes < max_bytes) {
		r = body_step(body, body->read);
		if (r <= 0)
			break;
		rows[n].id = (uint64_t)sqlite3_column_int64(body->read, 0);
		if (rows[n].id <= after || rows[n].id > to) {
			r = body_disorder(body);
			break;
		}
		after = rows[n].id;
		r = row_sample(body->read, &rows[n].sample);
		if (r < 0)
			break;
		bytes += rows[n].sample ? sample_cost(rows[n].sample) : 0;
		n++;
		r = 1;
	}
	sqlite3_reset(body->read);
	*ret_n = n;
	return r;
}

int body_heads(struct body *body, uint64_t after, struct body_head *heads, size_t max, size_t *ret_n)
{
	size_t n = 0;
	int r = prepared(body, &body->oldest,
			 "SELECT id, boot, time_us, device, length(blob) FROM samples WHERE id > ? ORDER BY id");

	*ret_n = 0;
	if (r < 0)
		return r;
	sqlite3_bind_int64(body->oldest, 1, (sqlite3_int64)after);
	while (n < max && (r = body_step(body, body->oldest)) > 0) {
		uint64_t id = (uint64_t)sqlite3_column_int64(body->oldest, 0);

		if (id <= after) {
			r = body_disorder(body);
			break;
		}
		after = id;
		heads[n++] = (struct body_head){
			.id = (uint64_t)sqlite3_column_int64(body->oldest, 0),
			.boot = (uint32_t)sqlite3_column_int64(body->oldest, 1),
			.time_us = (uint64_t)sqlite3_column_int64(body->oldest, 2),
			.device = (uint32_t)sqlite3_column_int64(body->oldest, 3),
			.size = (uint32_t)sqlite3_column_int64(body->oldest, 4),
		};
	}
	sqlite3_reset(body->oldest);
	*ret_n = n;
	return r < 0 ? r : 0;
}

int body_ids(struct body *body, uint64_t after, uint64_t to, uint64_t *ids, size_t max, size_t *ret_n)
{
	sqlite3_stmt *row;
	size_t n = 0;
	int r = body_prepare(body, "SELECT id FROM samples WHERE id > ? AND id <= ? ORDER BY id", &row);

	*ret_n = 0;
	if (r < 0)
		return r;
	sqlite3_bind_int64(row, 1, (sqlite3_int64)after);
	sqlite3_bind_int64(row, 2, (sqlite3_int64)MIN(to, (uint64_t)INT64_MAX));
	while (n < max && (r = body_step(body, row)) > 0) {
		ids[n] = (uint64_t)sqlite3_column_int64(row, 0);
		if (ids[n] <= after) {
			r = body_disorder(body);
			break;
		}
		after = ids[n++];
	}
	sqlite3_finalize(row);
	*ret_n = n;
	return MIN(r, 0);
}

int body_last(struct body *body, uint64_t *ret_id, bool *ret_is_right)
{
	struct sample *sample = NULL;
	sqlite3_stmt *row;
	int r = body_prepare(body, "SELECT id, boot, time_us, device, crc, blob FROM samples ORDER BY id DESC LIMIT 1",
			     &row);

	*ret_id = 0;
	*ret_is_right = true;
	if (r < 0)
		return r;
	r = body_step(body, row);
	if (r > 0) {
		*ret_id = (uint64_t)sqlite3_column_int64(row, 0);
		r = row_sample(row, &sample);
		*ret_is_right = sample != NULL;
		sample_unref(sample);
	}
	sqlite3_finalize(row);
	return MIN(r, 0);
}

int body_remove(struct body *body, uint64_t from, uint64_t to)
{
	int r = prepared(body, &body->remove, "DELETE FROM samples WHERE id >= ? AND id <= ?");

	if (r < 0)
		return r;
	sqlite3_bind_int64(body->remove, 1, (sqlite3_int64)from);
	sqlite3_bind_int64(body->remove, 2, (sqlite3_int64)to);
	r = body_step(body, body->remove);
	sqlite3_reset(body->remove);
	return r;
}

/* ---- room ---- */

static uint64_t pages_for(uint64_t bytes)
{
	return bytes / (BODY_PAGE_BYTES - 64) + 4;
}

static int count_room(struct body *body, uint64_t *ret_pages, uint64_t *ret_unused)
{
	int r = body_number(body, "PRAGMA page_count", ret_pages);

	return r == 0 ? body_number(body, "PRAGMA freelist_count", ret_unused) : r;
}

int body_has_room(struct body *body, uint64_t bytes, bool *ret)
{
	uint64_t pages, unused;
	int r = count_room(body, &pages, &unused);

	if (r == 0)
		*ret = pages + pages_for(bytes) <= max_pages(body) + unused;
	return r;
}

bool body_can_hold(const struct body *body, uint64_t bytes)
{
	return pages_for(bytes) + OTHER_PAGES <= max_pages(body);
}

int body_fits(struct body *body, uint64_t bytes, bool *ret)
{
	uint64_t pages, unused;
	int r = count_room(body, &pages, &unused);

	if (r == 0)
		*ret = pages_for(bytes) <= unused;
	return r;
}

int body_excess(struct body *body, uint64_t *ret_pages, uint64_t *ret_unused)
{
	uint64_t pages;
	int r = count_room(body, &pages, ret_unused);

	if (r == 0)
		*ret_pages = pages > max_pages(body) ? pages - max_pages(body) : 0;
	return r;
}

int body_check(struct body *body)
{
	sqlite3_stmt *statement;
	int r = body_prepare(body, "PRAGMA quick_check(1)", &statement);

	if (r < 0)
		return r;
	r = body_step(body, statement);
	if (r == 1 && strcmp((const char *)sqlite3_column_text(statement, 0), "ok") != 0) {
		snprintf(body->message, sizeof(body->message), "%s", (const char *)sqlite3_column_text(statement, 0));
		r = -EBADMSG;
	}
	sqlite3_finalize(statement);
	return r < 0 ? r : 0;
}

int body_shrink(struct body *body)
{
	uint64_t unused;
	int r = body_number(body, "PRAGMA freelist_count", &unused);

	/* A megabyte stays for the next backlog. */
	if (r < 0 || unused <= 256)
		return r;
	r = body_vacuum(body);
	return r < 0 ? r : 1;
}

int body_vacuum(struct body *body)
{
	int r;

	/* 256 pages, and those that point to them. */
	keep_spare(body, 512 * WAL_FRAME_BYTES);
	r = body_exec(body, "PRAGMA incremental_vacuum(256)");

	count_pages(body);
	return r;
}
