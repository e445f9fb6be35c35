/* SPDX-License-Identifier: Apache-2.0 */
/* The tables of a file, in all versions that there were, and which of them it has. */
#ifndef HAYWAIN_STORAGE_SCHEMA_H
#define HAYWAIN_STORAGE_SCHEMA_H

#include "storage/db.h"

struct schema_table {
	const char *name, *sql; /* never changed once released: a file's tables are compared with it */
	unsigned first, last;	/* versions that have it */
};

struct schema {
	uint32_t application_id; /* PRAGMA application_id: whose file it is */
	const char *what;	 /* "a queue of Haywain" */
	unsigned version;	 /* the newest; before it are those from 1 on */
	const struct schema_table *tables;
	size_t n_tables;
};

/* The version of the file; 0: it is empty. -EBADMSG also for another program's file, and where the text of its
   tables is not what it was; -ENOTSUP for a newer version. */
int schema_version(const struct schema *schema, struct db *db, unsigned *ret);
/* In a transaction: the tables of the newest version that are not there yet. */
int schema_make(const struct schema *schema, struct db *db);
/* In a transaction, after a migration: without those of version 1 that the newest one has not. */
int schema_drop_old(const struct schema *schema, struct db *db);

#endif
