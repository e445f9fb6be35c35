/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Rows found by their form and checksum in pages of an SQLite file or its log, whatever else in them is spoilt: no page
 * header, no pointer and no schema is believed. Form of a table leaf cell: https://www.sqlite.org/fileformat2.html,
 * section 1.6; of a record: section 2.1. Trusts nothing. Pure.
 */
#ifndef HAYWAIN_QUEUE_CARVE_H
#define HAYWAIN_QUEUE_CARVE_H

#include "model/sample.h"

#define CARVE_PAGE_BYTES ((size_t)4096)
#define CARVE_BLOB_MAX ((size_t)16 * 1024 * 1024) /* of a row; what says to be larger is none */

struct carve {
	/* A row of samples; the reference is the sink's. <0 ends the page with that. */
	int (*sample)(void *userdata, struct sample *sample);
	/* A row beside them. NULL: not wanted. */
	int (*state)(void *userdata, uint64_t key, uint64_t stamp, const void *body, size_t size);
	/* A page by its number, for rows that do not fit into one: false: there is none. */
	bool (*page)(void *userdata, uint32_t number, uint8_t page[CARVE_PAGE_BYTES]);
	void *userdata;
};

/* size: what there is of it, CARVE_PAGE_BYTES at most. */
int carve_page(const struct carve *carve, const uint8_t *page, size_t size);

#endif
