/* SPDX-License-Identifier: Apache-2.0 */
/* The tables of the queue's file, in all its versions. */
#include "queue/rows.h"
#include "storage/schema.h"

#define APPLICATION_ID 0x48415957 /* "HAYW" */

/* Never changed once released: a file's tables are compared with it. */
static const struct schema_table tables[] = {
	/* Version 1, of 0.1.0: a table for each thing, without checksums. */
	{"meta", "CREATE TABLE meta (key TEXT PRIMARY KEY, value) WITHOUT ROWID", 1, 1},
	{"runs", "CREATE TABLE runs (first_id INTEGER PRIMARY KEY, base INTEGER, skipped INTEGER NOT NULL)", 1, 1},
	{"boots",
	 "CREATE TABLE boots (number INTEGER PRIMARY KEY, boot TEXT NOT NULL, offset_us INTEGER NOT NULL, trusted INTEGER NOT NULL)",
	 1, 1},
	{"devices", "CREATE TABLE devices (number INTEGER PRIMARY KEY, name TEXT NOT NULL, link TEXT, tags BLOB)", 1,
	 1},
	{"series",
	 "CREATE TABLE series (number INTEGER PRIMARY KEY, device INTEGER NOT NULL, point TEXT NOT NULL, unit TEXT, type TEXT NOT NULL)",
	 1, 1},
	{"readers", "CREATE TABLE readers (name TEXT PRIMARY KEY, acked INTEGER NOT NULL) WITHOUT ROWID", 1, 1},
	{"drops",
	 "CREATE TABLE drops (reader TEXT, cause INTEGER, device INTEGER, samples INTEGER NOT NULL, PRIMARY KEY (reader, cause, device)) WITHOUT ROWID",
	 1, 1},
	{"samples",
	 "CREATE TABLE samples (id INTEGER PRIMARY KEY, boot INTEGER NOT NULL, time_us INTEGER NOT NULL, device INTEGER NOT NULL, crc INTEGER NOT NULL, blob BLOB NOT NULL)",
	 1, QUEUE_TABLES_VERSION},
	/* Version 2: rows as in state_rows.h; those that change rarely and that many samples need are stored twice. */
	{"state",
	 "CREATE TABLE state (key INTEGER PRIMARY KEY, stamp INTEGER NOT NULL, crc INTEGER NOT NULL, body BLOB NOT NULL)",
	 2, QUEUE_TABLES_VERSION},
	{"state_copy",
	 "CREATE TABLE state_copy (key INTEGER PRIMARY KEY, stamp INTEGER NOT NULL, crc INTEGER NOT NULL, body BLOB NOT NULL)",
	 2, QUEUE_TABLES_VERSION},
};

static const struct schema schema = {
	.application_id = APPLICATION_ID,
	.what = "a queue of Haywain",
	.version = QUEUE_TABLES_VERSION,
	.tables = tables,
	.n_tables = ELEMENTS(tables),
};

int queue_tables_version(struct db *db, unsigned *ret)
{
	return schema_version(&schema, db, ret);
}

int queue_tables_make(struct db *db)
{
	return schema_make(&schema, db);
}

int queue_tables_drop_old(struct db *db)
{
	return schema_drop_old(&schema, db);
}
