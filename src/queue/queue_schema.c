/* SPDX-License-Identifier: Apache-2.0 */
/* The tables, and how a file of an older version gets them. */
#include "queue/queue_sqlite.h"
#include <errno.h>
#include <stdio.h>

#define APPLICATION_ID 0x48415957 /* "HAYW" */

/* Step n brings a file of version n to n + 1. Steps are never changed once released, only added. */
static const char *const steps[] = {
	/* seq_reserved, clean, salvage (the name of a file that is not read to its end), salvage_end (the last id in it) */
	"CREATE TABLE meta (key TEXT PRIMARY KEY, value) WITHOUT ROWID;"
	/* base NULL: not known yet */
	"CREATE TABLE runs (first_id INTEGER PRIMARY KEY, base INTEGER, skipped INTEGER NOT NULL);"
	/* offset_us: wall clock less monotonic clock */
	"CREATE TABLE boots (number INTEGER PRIMARY KEY, boot TEXT NOT NULL, offset_us INTEGER NOT NULL,"
	" trusted INTEGER NOT NULL);"
	/* tags: name, 0, value, 0, and so on */
	"CREATE TABLE devices (number INTEGER PRIMARY KEY, name TEXT NOT NULL, link TEXT, tags BLOB);"
	"CREATE TABLE series (number INTEGER PRIMARY KEY, device INTEGER NOT NULL, point TEXT NOT NULL, unit TEXT,"
	" type TEXT NOT NULL);"
	"CREATE TABLE readers (name TEXT PRIMARY KEY, acked INTEGER NOT NULL) WITHOUT ROWID;"
	/* device 0: unknown */
	"CREATE TABLE drops (reader TEXT, cause INTEGER, device INTEGER, samples INTEGER NOT NULL,"
	" PRIMARY KEY (reader, cause, device)) WITHOUT ROWID;"
	"CREATE TABLE samples (id INTEGER PRIMARY KEY, boot INTEGER NOT NULL, time_us INTEGER NOT NULL,"
	" device INTEGER NOT NULL, crc INTEGER NOT NULL, blob BLOB NOT NULL);",
};

static int run_steps(struct body *body, size_t from)
{
	char sql[96];
	int r;

	for (size_t i = from; i < ELEMENTS(steps); i++) {
		r = body_exec(body, steps[i]);
		if (r < 0)
			return r;
	}
	snprintf(sql, sizeof(sql), "PRAGMA application_id=%d; PRAGMA user_version=%zu;", APPLICATION_ID,
		 ELEMENTS(steps));
	return body_exec(body, sql);
}

int body_migrate(struct body *body)
{
	uint64_t application, version, tables;
	int r;

	r = body_number(body, "PRAGMA application_id", &application);
	if (r == 0)
		r = body_number(body, "PRAGMA user_version", &version);
	if (r == 0)
		r = body_number(body, "SELECT count(*) FROM sqlite_schema", &tables);
	if (r < 0)
		return r;
	if (tables > 0 && application != APPLICATION_ID)
		return -EBADMSG;
	if (version > ELEMENTS(steps))
		return -ENOTSUP;
	if (version == ELEMENTS(steps))
		return 0;
	r = body_begin(body);
	if (r < 0)
		return r;
	r = run_steps(body, (size_t)version);
	if (r < 0) {
		body_rollback(body);
		return r;
	}
	return body_commit(body);
}
