/* SPDX-License-Identifier: Apache-2.0 */
/* What the framer's files share. */
#ifndef SERIAL_FRAME_PRIVATE_H
#define SERIAL_FRAME_PRIVATE_H

#include "frame.h"

#define HEX_MESSAGE_MAX 128 /* VE.Direct's longest carry 34 bytes, as 68 digits */

#ifndef MIN
#define MIN(a, b) ((a) < (b) ? (a) : (b))
#endif

struct framer {
	struct frame_rules rules;
	frame_fn fn;
	void *userdata;
	struct frame_counts counts;

	uint8_t *bytes; /* capacity: max_frame, its marks and what is behind them */
	size_t size, capacity;
	size_t awaited; /* bytes of a checksum behind the end; at the end of bytes they belong to… */
	size_t content; /* … a frame of this size */
	uint16_t crc;	/* sml: so far */
	uint8_t group[4];
	uint8_t held[HEX_MESSAGE_MAX]; /* line: of a HEX message, or what begins like one */
	size_t n_held;

	bool skipping;	/* up to the next delimiter, or silence */
	bool inside;	/* stx-etx: past the start */
	bool escaped;	/* stx-etx: the next byte stands for itself */
	size_t literal; /* stx-etx: up to here no mark can begin */
	bool lost;	/* bytes: the last frame was wrong; its followers are no news */
	size_t effort;
};

/* A frame to where it goes. good: its checksum was. */
void framer_hand_over(struct framer *framer, const uint8_t *frame, size_t size, bool good);
/* What has come of a frame is longer than one may be: counted, and forgotten. */
void framer_give_up_long(struct framer *framer);

/* The bytes so far, of that size, to where frames go: without a checksum at their end, if that is right. */
void framer_deliver(struct framer *framer, size_t size);
/* Whether the bytes end with a mark of which no byte stands for itself. */
bool framer_ends_with(const struct framer *framer, const struct mark *mark);
/* The end has come, with its mark or without it in the bytes: its checksum is awaited. */
void framer_await_checksum(struct framer *framer, size_t content);
/* How many of the bytes belonged to it. */
size_t framer_push_checksum(struct framer *framer, const uint8_t *data, size_t size);

/* frame_line.c */
void framer_push_line(struct framer *framer, const uint8_t *data, size_t size);

/* frame_sml.c */
void framer_push_sml(struct framer *framer, const uint8_t *data, size_t size);

#endif
