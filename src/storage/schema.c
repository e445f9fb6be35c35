/* SPDX-License-Identifier: Apache-2.0 */
/* How the text of a file's tables is told from what damage made of it. */
#include "storage/schema.h"
#include <errno.h>
#include <stdio.h>
#include <string.h>

static bool has_table(const struct schema_table *table, unsigned version)
{
	return table->first <= version && version <= table->last;
}

static int check_text(const struct schema *schema, struct db *db, unsigned version)
{
	sqlite3_stmt *row;
	size_t found = 0, wanted = 0, rows = 0;
	int r = db_prepare(db, "SELECT type, name, tbl_name, sql FROM sqlite_schema", &row);

	for (size_t i = 0; i < schema->n_tables; i++)
		wanted += has_table(&schema->tables[i], version);
	while (r >= 0 && (r = db_step(db, row)) > 0) {
		const char *text[4];

		rows++;
		for (int i = 0; i < 4; i++) {
			text[i] = (const char *)sqlite3_column_text(row, i);
			text[i] = text[i] ? text[i] : "";
		}
		for (size_t i = 0; i < schema->n_tables; i++)
			found += has_table(&schema->tables[i], version) && strcmp(text[0], "table") == 0 &&
				 strcmp(text[1], schema->tables[i].name) == 0 && strcmp(text[2], text[1]) == 0 &&
				 strcmp(text[3], schema->tables[i].sql) == 0;
	}
	sqlite3_finalize(row);
	if (r < 0)
		return r;
	if (found == wanted && rows == wanted)
		return 0;
	snprintf(db->message, sizeof(db->message), "its tables are not what they were");
	return -EBADMSG;
}

int schema_version(const struct schema *schema, struct db *db, unsigned *ret)
{
	uint64_t application, version, n_tables;
	int r;

	r = db_number(db, "PRAGMA application_id", &application);
	if (r == 0)
		r = db_number(db, "PRAGMA user_version", &version);
	if (r == 0)
		r = db_number(db, "SELECT count(*) FROM sqlite_schema", &n_tables);
	if (r < 0)
		return r;
	if (n_tables == 0 && application == 0 && version == 0) {
		*ret = 0;
		return 0;
	}
	if (application != schema->application_id || version == 0) {
		snprintf(db->message, sizeof(db->message), "it is not %s", schema->what);
		return -EBADMSG;
	}
	/* A newer version has other tables: with ours it is the number that is damaged. */
	if (version > schema->version && check_text(schema, db, schema->version) != 0)
		return -ENOTSUP;
	if (version > schema->version) {
		snprintf(db->message, sizeof(db->message), "its version is not what it was");
		return -EBADMSG;
	}
	*ret = (unsigned)version;
	return check_text(schema, db, (unsigned)version);
}

int schema_make(const struct schema *schema, struct db *db)
{
	char sql[96];
	unsigned version;
	int r = schema_version(schema, db, &version);

	for (size_t i = 0; r == 0 && i < schema->n_tables; i++)
		if (has_table(&schema->tables[i], schema->version) && !has_table(&schema->tables[i], version))
			r = db_exec(db, schema->tables[i].sql);
	snprintf(sql, sizeof(sql), "PRAGMA application_id=%d; PRAGMA user_version=%d;", (int)schema->application_id,
		 (int)schema->version);
	return r == 0 ? db_exec(db, sql) : r;
}

int schema_drop_old(const struct schema *schema, struct db *db)
{
	for (size_t i = 0; i < schema->n_tables; i++) {
		char sql[64];
		int r;

		if (!has_table(&schema->tables[i], 1) || has_table(&schema->tables[i], schema->version))
			continue;
		snprintf(sql, sizeof(sql), "DROP TABLE %s", schema->tables[i].name);
		r = db_exec(db, sql);
		if (r < 0)
			return r;
	}
	return 0;
}
