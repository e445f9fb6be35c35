/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Input: 6 bytes of rules, then the stream. Cut into pieces of any size it gives the same frames as in one, none
 * longer than max_frame.
 */
#include "../../../plugins/serial/frame.h"
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct tally {
	size_t n, most;
	uint64_t hash;
};

static void take(const uint8_t *frame, size_t size, void *userdata)
{
	struct tally *tally = userdata;

	tally->n++;
	if (size > tally->most)
		abort();
	for (size_t i = 0; i < size; i++)
		tally->hash = (tally->hash ^ frame[i]) * 1099511628211u;
	tally->hash = (tally->hash ^ size) * 1099511628211u;
}

static struct tally run(const struct frame_rules *rules, const uint8_t *data, size_t size, size_t piece)
{
	struct tally tally = {.most = rules->max_frame};
	struct framer *framer = framer_new(rules, take, &tally);

	for (size_t at = 0; at < size; at += piece)
		framer_push(framer, data + at, size - at < piece ? size - at : piece);
	framer_idle(framer);
	framer_push(framer, data, size < 40 ? size : 40);
	framer_reset(framer, false);
	framer_push(framer, data, size < 40 ? size : 40);
	framer_free(framer);
	return tally;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct frame_rules rules = {.escape = -1, .max_frame = 32, .delimiter = {"\n", 1}};
	struct tally whole, pieces;

	if (size < 6)
		return 0;
	rules.kind = (enum frame_kind)(data[0] % 6);
	rules.checksum = (enum checksum)(data[1] % N_CHECKSUMS);
	rules.checksum_hex = data[1] & 64;
	if (rules.checksum != CHECKSUM_NONE && (rules.kind == FRAME_LINE || rules.kind == FRAME_STX_ETX)) {
		rules.checksum_after = data[1] & 128;
		rules.checked = (enum checked)((data[1] >> 3 & 7) % (rules.checksum_after ? 3 : 1));
	}
	rules.any_newline = data[2] & 64 && !rules.checksum_after;
	rules.hex_messages = data[2] & 128;
	if (data[2] & 1 && !rules.any_newline)
		rules.delimiter = (struct mark){"\r\n", 2};
	if (rules.kind == FRAME_STX_ETX || data[2] & 2)
		rules.start = (struct mark){"\x02\x05", 1 + (data[2] >> 2 & 1)};
	rules.end = data[2] & 8 ? (struct mark){"\x02", 1} : (struct mark){"\x03\x04", 1 + (data[2] >> 4 & 1)};
	if (data[2] & 32)
		rules.escape = 0x10;
	rules.length = 3 + data[3] % 30;
	rules.length_at = data[4] % 8;
	rules.length_size = 1 + (data[4] >> 3 & 1);
	rules.length_little = data[4] & 16;
	rules.length_adds = (int8_t)data[5];
	data += 6;
	size -= 6;
	whole = run(&rules, data, size, size ? size : 1);
	pieces = run(&rules, data, size, 1);
	/* What a search for the next frame may cost depends on how much is there, in rare streams: no comparison there. */
	if ((rules.kind == FRAME_LINE || rules.kind == FRAME_STX_ETX || rules.kind == FRAME_SML) &&
	    (whole.n != pieces.n || whole.hash != pieces.hash))
		abort();
	return 0;
}
