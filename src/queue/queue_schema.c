/* SPDX-License-Identifier: Apache-2.0 */
/* The tables, and how their text is told from what damage made of it. */
#include "queue/queue_sqlite.h"
#include <errno.h>
#include <stdio.h>
#include <string.h>

#define APPLICATION_ID 0x48415957 /* "HAYW" */

struct table {
	const char *name, *sql;
	unsigned first, last; /* versions that have it */
};

/* Never changed once released: a file's tables are compared with it. */
static const struct table tables[] = {
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
	 1, BODY_VERSION},
	/* Version 2: rows as in state_rows.h; those that change rarely and that many samples need stand twice. */
	{"state",
	 "CREATE TABLE state (key INTEGER PRIMARY KEY, stamp INTEGER NOT NULL, crc INTEGER NOT NULL, body BLOB NOT NULL)",
	 2, BODY_VERSION},
	{"state_copy",
	 "CREATE TABLE state_copy (key INTEGER PRIMARY KEY, stamp INTEGER NOT NULL, crc INTEGER NOT NULL, body BLOB NOT NULL)",
	 2, BODY_VERSION},
};

static bool has_table(const struct table *table, unsigned version)
{
	return table->first <= version && version <= table->last;
}

static int check_text(struct body *body, unsigned version)
{
	sqlite3_stmt *row;
	size_t found = 0, wanted = 0, rows = 0;
	int r = body_prepare(body, "SELECT type, name, tbl_name, sql FROM sqlite_schema", &row);

	for (size_t i = 0; i < ELEMENTS(tables); i++)
		wanted += has_table(&tables[i], version);
	while (r >= 0 && (r = body_step(body, row)) > 0) {
		const char *text[4];

		rows++;
		for (int i = 0; i < 4; i++) {
			text[i] = (const char *)sqlite3_column_text(row, i);
			text[i] = text[i] ? text[i] : "";
		}
		for (size_t i = 0; i < ELEMENTS(tables); i++)
			found += has_table(&tables[i], version) && strcmp(text[0], "table") == 0 &&
				 strcmp(text[1], tables[i].name) == 0 && strcmp(text[2], text[1]) == 0 &&
				 strcmp(text[3], tables[i].sql) == 0;
	}
	sqlite3_finalize(row);
	if (r < 0)
		return r;
	if (found == wanted && rows == wanted)
		return 0;
	snprintf(body->message, sizeof(body->message), "its tables are not what they were");
	return -EBADMSG;
}

int body_version(struct body *body, unsigned *ret)
{
	uint64_t application, version, n_tables;
	int r;

	r = body_number(body, "PRAGMA application_id", &application);
	if (r == 0)
		r = body_number(body, "PRAGMA user_version", &version);
	if (r == 0)
		r = body_number(body, "SELECT count(*) FROM sqlite_schema", &n_tables);
	if (r < 0)
		return r;
	if (n_tables == 0 && application == 0 && version == 0) {
		*ret = 0;
		return 0;
	}
	if (application != APPLICATION_ID || version == 0) {
		snprintf(body->message, sizeof(body->message), "it is not a queue of Haywain");
		return -EBADMSG;
	}
	/* A newer version has other tables: with ours it is the number that is damaged. */
	if (version > BODY_VERSION && check_text(body, BODY_VERSION) != 0)
		return -ENOTSUP;
	if (version > BODY_VERSION) {
		snprintf(body->message, sizeof(body->message), "its version is not what it was");
		return -EBADMSG;
	}
	*ret = (unsigned)version;
	return check_text(body, (unsigned)version);
}

int body_make_tables(struct body *body)
{
	char sql[96];
	unsigned version;
	int r = body_version(body, &version);

	for (size_t i = 0; r == 0 && i < ELEMENTS(tables); i++)
		if (has_table(&tables[i], BODY_VERSION) && !has_table(&tables[i], version))
			r = body_exec(body, tables[i].sql);
	snprintf(sql, sizeof(sql), "PRAGMA application_id=%d; PRAGMA user_version=%d;", APPLICATION_ID, BODY_VERSION);
	return r == 0 ? body_exec(body, sql) : r;
}

int body_drop_old_tables(struct body *body)
{
	for (size_t i = 0; i < ELEMENTS(tables); i++) {
		char sql[64];
		int r;

		if (!has_table(&tables[i], 1) || has_table(&tables[i], BODY_VERSION))
			continue;
		snprintf(sql, sizeof(sql), "DROP TABLE %s", tables[i].name);
		r = body_exec(body, sql);
		if (r < 0)
			return r;
	}
	return 0;
}
