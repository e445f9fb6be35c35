/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Queue files whose content is known to the last reading. A stock is made by three boots of a gateway: the clock of the
 * first and the third was trusted, that of the second never was. Samples 1 ... STOCK_SAMPLES of three devices, good,
 * uncertain and bad readings; three readers whose cursors stand at different places; and STOCK_LOST samples of one device
 * that were lost before they came here, so that counts are pending too.
 */
#ifndef HAYWAIN_TORTURE_STOCK_H
#define HAYWAIN_TORTURE_STOCK_H

#include "queue/queue.h"

enum {
	STOCK_SAMPLES = 500,
	STOCK_LOST = 3,
	STOCK_FRESH = 4, /* what a variant appends itself: STOCK_SAMPLES + 1 ... */
	STOCK_ALL = STOCK_SAMPLES + STOCK_FRESH,
	STOCK_READERS = 3,
	STOCK_FILES = 3,
};

enum stock_end {
	STOCK_CLEAN,	   /* ended in order: one file, no log */
	STOCK_UNCLEAN,	   /* killed when all of the log had just been moved into the file */
	STOCK_UNCLEAN_LOG, /* killed with half of the samples in the log */
	STOCK_N_ENDS
};

extern const char *const stock_readers[STOCK_READERS];
extern const char *const stock_files[STOCK_FILES]; /* "", "-wal", ".seq": what is added to the path */

struct stock_file {
	uint8_t *bytes; /* NULL: it is not there */
	size_t size;
};

struct stock {
	struct stock_file files[STOCK_FILES];
	uint64_t acked[STOCK_READERS];	 /* the sample each reader's cursor stands at */
	uint64_t seq[STOCK_SAMPLES + 1]; /* by sample */
	int64_t wall[STOCK_SAMPLES + 1]; /* as queue_wall() has to tell it after the next boot */
	bool certain[STOCK_SAMPLES + 1];
	uint64_t last_seq; /* the greatest that was given out */
};

/* How every queue here is configured. */
struct queue_conf stock_conf(const char *path);

/* Make one in folder, by processes of its own, and read its files. Ends the program where that fails. */
void stock_make(const char *folder, enum stock_end end, struct stock *ret);

/* The devices and points in a series set, as the configuration of the gateway has them. */
struct stock_series;
struct stock_series *stock_intern(struct series_set *set);

/* Sample n, taken at time_us. */
struct sample *stock_sample(const struct stock_series *series, uint64_t n, uint64_t time_us);

/* Which sample this is, 1 ... STOCK_ALL, and whether its device and readings are that one's to the last bit: NULL, or
   what is wrong. *ret_n is 0 where nobody can tell. */
const char *stock_compare(struct series_set *set, const struct sample *sample, uint64_t *ret_n);

#endif
