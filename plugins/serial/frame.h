/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Frames out of a stream of bytes, in pieces of any size. Pure: no descriptor, no clock. Memory is bounded by
 * max_frame; what is longer, or does not hold its checksum, is dropped and counted, and the next frame is found again.
 */
#ifndef SERIAL_FRAME_H
#define SERIAL_FRAME_H

#include "checksum.h"

enum frame_kind { FRAME_LINE, FRAME_FIXED, FRAME_LENGTH_PREFIXED, FRAME_STX_ETX, FRAME_IDLE, FRAME_SML };

#define MARK_MAX 16

struct mark {
	uint8_t bytes[MARK_MAX];
	size_t size;
};

/* Which bytes a checksum is made of. */
enum checked { CHECKED_CONTENT, CHECKED_END, CHECKED_MARKS }; /* the end mark too; the start mark as well */

struct frame_rules {
	enum frame_kind kind;
	struct mark delimiter; /* line; a carriage return before "\n" is taken off too */
	bool any_newline;      /* line, delimiter "\n": a carriage return alone ends one too */
	bool hex_messages; /* line: VE.Direct's, ":…\n", stand between and inside frames and belong to none (Victron,
				   "VE.Direct Protocol": asynchronous HEX messages) */
	struct mark start, end; /* stx-etx; start also where a fixed or length-prefixed frame begins with it */
	int escape;		/* stx-etx: the byte after this one stands for itself; -1: none */
	size_t length;		/* fixed: of the whole frame */
	size_t length_at;	/* length-prefixed: where the length stands, … */
	size_t length_size;	/* … in 1 or 2 bytes, … */
	bool length_little;	/* … the low one first */
	int64_t length_adds;	/* bytes after the length = its value + this */
	size_t max_frame;
	enum checksum checksum; /* at the end of what is between the marks, … */
	bool checksum_hex;	/* … as hexadecimal digits, with or without a `*` before them */
	bool checksum_after;	/* line, stx-etx: behind the delimiter or the end mark */
	enum checked checked;	/* line, stx-etx; else the whole frame is */
};

struct frame_counts {
	uint64_t frames, too_long, bad_checksum, lost_bytes;
};

struct framer;

/* A frame without delimiter, marks and checksum; not empty. The bytes are the framer's until the function returns,
   which must not push or reset. */
typedef void (*frame_fn)(const uint8_t *frame, size_t size, void *userdata);

/* rules are copied; they are right: serial.c has checked them. NULL: out of memory. */
struct framer *framer_new(const struct frame_rules *rules, frame_fn fn, void *userdata);
struct framer *framer_free(struct framer *framer);

/* Forget what was begun. at_start: the next byte begins a frame; else it may be from the middle of one, which is
   thrown away without being counted. */
void framer_reset(struct framer *framer, bool at_start);
void framer_push(struct framer *framer, const uint8_t *data, size_t size);

/* The line has been silent for the gap: an idle frame ends, half a frame of bytes alone is given up. */
void framer_idle(struct framer *framer);
/* Whether framer_idle() would do anything. */
bool framer_wants_idle(const struct framer *framer);

/* Nothing is begun: the next byte begins a frame. */
bool framer_is_empty(const struct framer *framer);

const struct frame_counts *framer_counts(const struct framer *framer);

#endif
