/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a device says: values, their quality, and the sample that carries them.
 *
 * A *reading* is one point's value at one moment. A *sample* is what one device said at one moment:
 * one poll round, one frame, one advertisement, one notification.
 */
#ifndef HAYWAIN_READING_H
#define HAYWAIN_READING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* The type of a point, and of the raw value a plugin hands over for it. */
enum hay_type {
	HAY_TYPE_NONE, /* no value: the reading is bad, and only its reason counts */
	HAY_BOOL,      /* value.b */
	HAY_INT16,     /* value.i, as all signed ones */
	HAY_INT32,
	HAY_INT64,
	HAY_UINT16, /* value.u, as all unsigned ones */
	HAY_UINT32,
	HAY_UINT64,
	HAY_FLOAT32, /* value.f */
	HAY_FLOAT64, /* value.d */
	HAY_STRING,  /* value.s, UTF-8, not terminated */
	HAY_BYTES,   /* value.s */
	HAY_N_TYPES
};

enum hay_quality {
	HAY_GOOD,
	HAY_UNCERTAIN, /* there is a value, and a reason to doubt it */
	HAY_BAD,       /* there is no value, and a reason why */
};

/* Why a reading is not good. The list is closed: consumers compare these words. */
enum hay_reason {
	HAY_NO_REASON,
	HAY_TIMEOUT,	   /* "timeout": no answer in time */
	HAY_OFFLINE,	   /* "offline": the device or its link is known to be away */
	HAY_REFUSED,	   /* "refused": the connection or the request was refused */
	HAY_OUT_OF_RANGE,  /* "out of range" */
	HAY_NOT_A_NUMBER,  /* "not a number": NaN or infinity */
	HAY_DECODE,	   /* "decode": an answer that makes no sense */
	HAY_EXCEPTION,	   /* a protocol's own exception, by its name */
	HAY_NOT_AVAILABLE, /* "not available": the device itself says that it has no value */
	HAY_N_REASONS
};

struct hay_value {
	enum hay_type type;
	union {
		bool b;
		int64_t i;
		uint64_t u;
		float f;
		double d;
		struct {
			const char *data;
			size_t size; /* bytes, at most 65535 */
		} s;
	};
};

struct hay_reading {
	uint32_t point; /* index into the device's points */
	enum hay_quality quality;
	enum hay_reason reason;
	const char *exception;	/* with HAY_EXCEPTION: its name, at most 63 bytes; else NULL */
	struct hay_value value; /* good or uncertain: of the point's type; bad: may stay empty */
	uintptr_t reserved[2];	/* 0: for members to come */
};

struct hay_sample {
	/* When it was measured, on the clock of hay_host.now(). What a logger measured before the machine's start
	   has a time below 0, modulo 2^64. */
	uint64_t time_us;
	const struct hay_reading *readings;
	size_t n_readings;
	uintptr_t reserved[2]; /* 0 */
};

#ifdef __cplusplus
}
#endif

#endif
