/* SPDX-License-Identifier: Apache-2.0 */
/* The table of samples, and the version of all tables of the queue. */
#ifndef HAYWAIN_QUEUE_ROWS_H
#define HAYWAIN_QUEUE_ROWS_H

#include "model/sample.h"
#include "storage/db.h"

/* db_statement() */
enum queue_statement { ROWS_INSERT, ROWS_READ, ROWS_HEADERS, ROWS_REMOVE, STATE_PUT, STATE_PUT_COPY, STATE_LOOK_UP };

/* What a row takes besides its blob, at most: id, four small columns, header, cell pointer. */
#define ROW_BYTES 44

/* Of a row of samples. */
uint32_t row_crc_of(uint64_t id, uint64_t time_us, uint32_t boot, uint32_t device, const void *blob, size_t size);
int rows_insert(struct db *db, const struct sample *sample);

struct sample_row {
	struct sample *sample; /* NULL: the row's checksum is wrong */
	uint64_t id;
};
/* Rows with after < id <= to, oldest first, at most max rows and, but for the last, max_bytes of memory. 1: there
   may be more of them; 0: that is all. Also after an error *ret_n rows are good. The caller owns the samples. */
int rows_read(struct db *db, uint64_t after, uint64_t to, struct sample_row *rows, size_t max, size_t max_bytes,
	      size_t *ret_n);

struct row_header {
	uint64_t id, time_us;
	uint32_t boot, device;
	uint32_t size; /* of the blob */
};
/* The same without the blobs: what retention looks at. */
int rows_headers(struct db *db, uint64_t after, struct row_header *heads, size_t max, size_t *ret_n);
/* Only the ids of rows with after < id <= to. */
int rows_ids(struct db *db, uint64_t after, uint64_t to, uint64_t *ids, size_t max, size_t *ret_n);
/* The last row whole. *ret_id 0: there is none; *ret_is_right: its checksum is. */
int rows_last(struct db *db, uint64_t *ret_id, bool *ret_is_right);
int rows_remove(struct db *db, uint64_t from, uint64_t to);

/* queue_tables.c: the version of the file; 0: it is empty. -EBADMSG also for another program's file, and where the text
   of its tables is not what it was; -ENOTSUP for a newer version. */
int queue_tables_version(struct db *db, unsigned *ret);
#define QUEUE_TABLES_VERSION 2
/* In a transaction: the tables of QUEUE_TABLES_VERSION; after a migration: without those of version 1. */
int queue_tables_make(struct db *db);
int queue_tables_drop_old(struct db *db);

#endif
