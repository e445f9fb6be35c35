/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What stands beside the samples in the queue's file, as rows of one form: a key (kind and number), a stamp that grows
 * with every transaction, a checksum over all of it, and a body. A row can be told from anything else wherever it is
 * found, and of two versions of it the newer one is known. Pure.
 */
#ifndef HAYWAIN_QUEUE_STATE_ROWS_H
#define HAYWAIN_QUEUE_STATE_ROWS_H

#include "base/buf.h"
#include "model/series.h"
#include "queue/runs.h"

enum state_kind {
	STATE_META = 1,
	STATE_RUNS,
	STATE_BOOT,
	STATE_DEVICE,
	STATE_SERIES,
	STATE_READER,
	STATE_DROP,
	STATE_SEAL, /* how many rows there are, and the sum of their checksums */
	STATE_N_KINDS
};

/* A number below 2^56. */
uint64_t state_key(enum state_kind kind, uint64_t number);
/* Of what has a name instead of a number. */
uint64_t state_key_by_name(enum state_kind kind, const char *name, uint32_t a, uint32_t b);
enum state_kind state_kind_of(uint64_t key);
uint32_t state_crc(uint64_t key, uint64_t stamp, const void *body, size_t size);

struct state_row {
	uint64_t key, stamp;
	uint8_t *body;
	size_t size;
};
struct state_rows {
	struct state_row *at;
	size_t n, capacity;
};
void state_rows_done(struct state_rows *rows);
int state_rows_add(struct state_rows *rows, uint64_t key, uint64_t stamp, const void *body, size_t size); /* -ENOMEM */
/* By key; of each key the newest stays. */
void state_rows_settle(struct state_rows *rows);
/* After that: whether the newest seal says that these are all. */
bool state_rows_are_all(const struct state_rows *rows);
/* After that. NULL: there is none. */
const struct state_row *state_rows_find(const struct state_rows *rows, uint64_t key);

/* ---- bodies: written to the end of a buffer; read: -EBADMSG. Texts point into the body. ---- */

struct state_meta {
	uint64_t seq;	  /* the reserved mark, or 0 */
	uint64_t last_id; /* samples up to this one were written */
	bool clean;	  /* it was closed in order: last_id is exact */
	uint64_t n_devices, n_series, n_boots;
};
void state_put_meta(struct buf *buf, const struct state_meta *meta);
int state_get_meta(const struct state_row *row, struct state_meta *ret);

/* low: what lies up to this id was dropped; unsure_to: up to this id the ranges may count samples that are not
   there, for version 1 did not keep them so well. */
void state_put_runs(struct buf *buf, uint64_t low, uint64_t unsure_to, const struct run *runs, size_t n);
int state_get_runs(const struct state_row *row, uint64_t *ret_low, uint64_t *ret_unsure_to,
		   struct runs *ret); /* -ENOMEM */

struct state_boot {
	const char *id;
	int64_t offset_us;
	bool trusted;
};
void state_put_boot(struct buf *buf, const struct state_boot *boot);
int state_get_boot(const struct state_row *row, struct state_boot *ret);

#define STATE_TAGS_MAX 64
struct state_device {
	const char *name, *link; /* link: or NULL */
	struct tag tags[STATE_TAGS_MAX];
	size_t n_tags;
};
void state_put_device(struct buf *buf, const struct series_device *device);
int state_get_device(const struct state_row *row, struct state_device *ret);

struct state_series {
	uint32_t device;
	const char *point, *unit, *type; /* unit: or NULL */
};
void state_put_series(struct buf *buf, const struct state_series *series);
int state_get_series(const struct state_row *row, struct state_series *ret);

struct state_reader {
	const char *name;
	uint64_t acked;
};
void state_put_reader(struct buf *buf, const struct state_reader *reader);
int state_get_reader(const struct state_row *row, struct state_reader *ret);

struct state_drops {
	const char *reader;
	uint32_t cause, device;
	uint64_t count;
};
void state_put_drops(struct buf *buf, const struct state_drops *drops);
int state_get_drops(const struct state_row *row, struct state_drops *ret);

struct state_seal {
	uint64_t rows, sum;
};
void state_put_seal(struct buf *buf, const struct state_seal *seal);
int state_get_seal(const struct state_row *row, struct state_seal *ret);

#endif
