/* SPDX-License-Identifier: Apache-2.0 */
/* Frames that a delimiter ends. */
#include "frame_private.h"
#include <string.h>

static void end_line(struct framer *framer, size_t size)
{
	bool skipped = framer->skipping;

	if (framer->rules.checksum_after) {
		framer_await_checksum(framer, size);
		return;
	}
	framer->size = 0;
	framer->skipping = false;
	if (!skipped)
		framer_deliver(framer, size);
}

/* The next byte that may be a delimiter's last. */
static const uint8_t *find_end(const struct framer *framer, const uint8_t *data, size_t size)
{
	const struct mark *delimiter = &framer->rules.delimiter;
	const uint8_t *end = memchr(data, delimiter->bytes[delimiter->size - 1], size);
	const uint8_t *other = framer->rules.any_newline ? memchr(data, '\r', end ? (size_t)(end - data) : size) : NULL;

	return other ? other : end;
}

static void push_plain(struct framer *framer, const uint8_t *data, size_t size)
{
	const struct mark *delimiter = &framer->rules.delimiter;
	size_t most = framer->rules.max_frame + delimiter->size, keep = delimiter->size - 1;

	while (size > 0) {
		const uint8_t *last;
		size_t n, room, take;

		if (framer->awaited > 0) {
			take = framer_push_checksum(framer, data, size);
			data += take;
			size -= take;
			continue;
		}
		last = find_end(framer, data, size);
		n = last ? (size_t)(last - data) + 1 : size;
		room = most - framer->size;
		take = MIN(n, room);

		memcpy(framer->bytes + framer->size, data, take);
		framer->size += take;
		data += take;
		size -= take;
		if (take == n && last && (framer->rules.any_newline || framer_ends_with(framer, delimiter))) {
			end_line(framer, framer->size - delimiter->size);
		} else if (framer->size == most) {
			if (!framer->skipping)
				framer->counts.too_long++;
			framer->skipping = true;
			framer->counts.lost_bytes += framer->size - keep;
			memmove(framer->bytes, framer->bytes + framer->size - keep, keep);
			framer->size = keep;
		}
	}
}

/* ---- HEX messages between and inside the blocks of VE.Direct ---- */

static bool is_hex_digit(uint8_t byte)
{
	return (byte >= '0' && byte <= '9') || (byte >= 'A' && byte <= 'F');
}

static void release_held(struct framer *framer)
{
	size_t n = framer->n_held;

	framer->n_held = 0;
	push_plain(framer, framer->held, n);
}

/* ":A2001…\n" is left out wherever it stands, but for the place of the checksum, which may be a colon. */
static void push_without_hex(struct framer *framer, uint8_t byte)
{
	if (framer->n_held > 0 && byte == '\n') {
		framer->n_held = 0;
		return;
	}
	if (framer->n_held > 0 && framer->n_held < HEX_MESSAGE_MAX && is_hex_digit(byte)) {
		framer->held[framer->n_held++] = byte;
		return;
	}
	release_held(framer);
	if (byte == ':' && framer->awaited == 0)
		framer->held[framer->n_held++] = byte;
	else
		push_plain(framer, &byte, 1);
}

void framer_push_line(struct framer *framer, const uint8_t *data, size_t size)
{
	if (!framer->rules.hex_messages) {
		push_plain(framer, data, size);
		return;
	}
	for (size_t i = 0; i < size; i++)
		push_without_hex(framer, data[i]);
}
