/* SPDX-License-Identifier: Apache-2.0 */
/* A queue file that was quarantined and its log, read page by page for the rows in them. */
#ifndef HAYWAIN_QUEUE_SALVAGE_SOURCE_H
#define HAYWAIN_QUEUE_SALVAGE_SOURCE_H

#include "queue/carve.h"
#include <stdbool.h>

struct salvage_source {
	int fds[2];	   /* the file, its log; -1: it is not there */
	uint64_t pages[2]; /* in each */
	uint64_t at;	   /* of both, the log behind the file */
	bool is_open;
};

/* What is not there has no pages. -errno: it may be there, and cannot be opened now. */
int salvage_source_open(struct salvage_source *source, const char *path);
void salvage_source_close(struct salvage_source *source);

/* The rows of one page. carve->page is filled in. 1: there are more; 0: that was all; -errno: it cannot be read, and is
   tried again the next time; what the sink gave. */
int salvage_source_next(struct salvage_source *source, const struct carve *carve);
void salvage_source_skip(struct salvage_source *source); /* one page, unread */
uint64_t salvage_source_place(const struct salvage_source *source);
void salvage_source_seek(struct salvage_source *source, uint64_t place);
bool salvage_source_is_data(const struct salvage_source *source); /* in the file, not yet in its log */
unsigned salvage_source_percent(const struct salvage_source *source);

#endif
