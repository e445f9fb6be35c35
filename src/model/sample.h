/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The sample as it is queued: encoded once into a compact typed blob, immutable, counted, shared by threads.
 *
 * Blob, version 1: u8 version; varint n; n times
 *     svarint  series number less the one before (the first: less 0)
 *     u8       type | quality << 4
 *     u8       reason, where quality is not good; HAY_EXCEPTION is followed by u8 length and the name
 *     value    where quality is not bad: bool u8; signed svarint; unsigned varint; float32/64 little endian;
 *              string and bytes varint length and the bytes
 * The queue file adds a CRC32 that also covers the row's other columns.
 */
#ifndef HAYWAIN_MODEL_SAMPLE_H
#define HAYWAIN_MODEL_SAMPLE_H

#include "base/buf.h"
#include "base/util.h"
#include <haywain/reading.h>
#include <stdatomic.h>

#define SAMPLE_EXCEPTION_MAX 255 /* bytes of an exception's name; more is cut */

struct sample {
	atomic_uint refs;
	uint32_t device;  /* number in the series set */
	uint32_t boot;	  /* number in the queue's table of boots; set by queue_append() */
	uint32_t size;	  /* of the blob */
	uint64_t id;	  /* its place in the queue, growing; set by queue_append(); queue_seq() makes the seq of it */
	uint64_t time_us; /* monotonic time of that boot */
	uint8_t blob[];
};

/* One reading of a sample; in memory as the blob has it, the series by number. */
struct sample_reading {
	uint32_t series;
	enum hay_quality quality;
	enum hay_reason reason;
	const char *exception; /* with HAY_EXCEPTION; not terminated */
	size_t exception_size;
	struct hay_value value; /* type as the series'; strings point into the blob; HAY_BAD: type only */
};

/* A sample with the number and the wall time that it goes up with. */
struct stamped_sample {
	const struct sample *sample;
	uint64_t seq;
	int64_t ts_ms;
	bool certain;  /* false: the clock could not be trusted */
	bool historic; /* taken before the connection it is sent on was made */
};

/* Encode. One reference, the caller's. NULL: out of memory. */
struct sample *sample_new(uint32_t device, uint64_t time_us, const struct sample_reading *readings, size_t n_readings);
struct sample *sample_from_blob(uint32_t device, uint64_t time_us, const void *blob, size_t size);
struct sample *sample_ref(struct sample *sample);
struct sample *sample_unref(struct sample *sample); /* NULL is fine; returns NULL */
DEFINE_CLEANUP(struct sample *, sample_unref)

/* What a sample costs in memory, for the tail's bound. */
static inline size_t sample_cost(const struct sample *sample)
{
	return sizeof(*sample) + sample->size + 16;
}

/* Walk over a sample's readings. Trusts nothing in the blob. */
struct sample_cursor {
	const uint8_t *at, *end;
	uint64_t left;
	uint32_t series;
};
int sample_begin(const struct sample *sample, struct sample_cursor *cursor); /* -EBADMSG: damaged */
/* 1: *ret is filled; 0: no more; -EBADMSG. */
int sample_next(struct sample_cursor *cursor, struct sample_reading *ret);

/* "timeout", "out of range": the word of a reason; HAY_EXCEPTION gives "exception". */
const char *reason_to_string(enum hay_reason reason);

#endif
