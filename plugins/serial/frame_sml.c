/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The transport of SML, version 1: four escapes and 01 01 01 01 begin a frame; within, four escapes and what is behind
 * them are four escapes, or 1a, how many bytes were filled in, and the CRC of all before it. framer->literal counts
 * escapes, framer->awaited what is behind them.
 */
#include "frame_private.h"
#include <string.h>

#define SML_ESCAPE 0x1b
#define SML_GROUP 4

static void end_sml(struct framer *framer, const uint8_t *group)
{
	size_t filled = group[1];
	uint16_t said;
	bool good = filled < SML_GROUP && filled <= framer->size &&
		    checksum_read(CHECKSUM_CRC16_X25, false, group + 2, &said) &&
		    checksum_end(CHECKSUM_CRC16_X25, checksum_add(CHECKSUM_CRC16_X25, framer->crc, group, 2)) == said;
	size_t size = good ? framer->size - filled : 0;

	framer->inside = false;
	framer->size = 0;
	framer_hand_over(framer, framer->bytes, size, good);
}

/* Four escapes and four bytes have come. */
static void take_group(struct framer *framer, const uint8_t *group)
{
	static const uint8_t escapes[SML_GROUP] = {SML_ESCAPE, SML_ESCAPE, SML_ESCAPE, SML_ESCAPE};
	static const uint8_t begin[SML_GROUP] = {1, 1, 1, 1};

	if (memcmp(group, begin, SML_GROUP) == 0) {
		framer->counts.lost_bytes += framer->size; /* the end of the last one got lost */
		framer->size = 0;
		framer->inside = true;
		framer->crc = checksum_add(CHECKSUM_CRC16_X25, checksum_start(CHECKSUM_CRC16_X25), escapes, SML_GROUP);
		framer->crc = checksum_add(CHECKSUM_CRC16_X25, framer->crc, begin, SML_GROUP);
		return;
	}
	if (!framer->inside)
		return;
	framer->crc = checksum_add(CHECKSUM_CRC16_X25, framer->crc, escapes, SML_GROUP);
	if (group[0] == 0x1a) {
		end_sml(framer, group);
		return;
	}
	framer->crc = checksum_add(CHECKSUM_CRC16_X25, framer->crc, group, SML_GROUP);
	if (memcmp(group, escapes, SML_GROUP) == 0 && framer->size + SML_GROUP <= framer->rules.max_frame) {
		memcpy(framer->bytes + framer->size, escapes, SML_GROUP);
		framer->size += SML_GROUP;
		return;
	}
	framer->counts.bad_checksum++; /* nothing that version 1 knows: something got lost */
	framer->inside = false;
	framer->size = 0;
}

static void push_sml_byte(struct framer *framer, uint8_t byte)
{
	if (framer->awaited > 0) {
		framer->group[SML_GROUP - framer->awaited--] = byte;
		if (framer->awaited == 0)
			take_group(framer, framer->group);
		return;
	}
	if (byte == SML_ESCAPE && ++framer->literal == SML_GROUP) {
		framer->literal = 0;
		framer->awaited = SML_GROUP;
		return;
	}
	if (byte == SML_ESCAPE)
		return;
	for (; framer->inside; framer->literal--) { /* fewer escapes than four are what they are */
		uint8_t next = framer->literal > 0 ? SML_ESCAPE : byte;

		if (framer->size == framer->rules.max_frame) {
			framer_give_up_long(framer);
			framer->inside = false;
			break;
		}
		framer->crc = checksum_add(CHECKSUM_CRC16_X25, framer->crc, &next, 1);
		framer->bytes[framer->size++] = next;
		if (framer->literal == 0)
			return;
	}
	framer->literal = 0;
}

void framer_push_sml(struct framer *framer, const uint8_t *data, size_t size)
{
	for (size_t i = 0; i < size; i++)
		push_sml_byte(framer, data[i]);
}
