/* SPDX-License-Identifier: Apache-2.0 */
#include "frame_private.h"
#include <stdlib.h>
#include <string.h>

/* What finding a frame again may cost: so many bytes of checksums for each byte that came, and so many in stock. */
#define EFFORT_PER_BYTE 32
#define EFFORT_MAX (256 * 1024)

struct framer *framer_new(const struct frame_rules *rules, frame_fn fn, void *userdata)
{
	struct framer *framer = calloc(1, sizeof(*framer));

	if (!framer)
		return NULL;
	framer->rules = *rules;
	framer->fn = fn;
	framer->userdata = userdata;
	framer->capacity = rules->max_frame + 2 * MARK_MAX + CHECKSUM_WIRE_MAX;
	framer->bytes = malloc(framer->capacity);
	if (!framer->bytes)
		return framer_free(framer);
	framer_reset(framer, true);
	return framer;
}

struct framer *framer_free(struct framer *framer)
{
	if (framer)
		free(framer->bytes);
	free(framer);
	return NULL;
}

const struct frame_counts *framer_counts(const struct framer *framer)
{
	return &framer->counts;
}

bool framer_is_empty(const struct framer *framer)
{
	return framer->size == 0 && framer->awaited == 0 && !framer->inside && !framer->skipping;
}

/* Frames of bytes alone that carry no mark and no checksum can only be told apart by silence. */
static bool needs_silence(const struct framer *framer)
{
	const struct frame_rules *rules = &framer->rules;

	return rules->kind == FRAME_IDLE || ((rules->kind == FRAME_FIXED || rules->kind == FRAME_LENGTH_PREFIXED) &&
					     rules->start.size == 0 && rules->checksum == CHECKSUM_NONE);
}

void framer_reset(struct framer *framer, bool at_start)
{
	framer->size = 0;
	framer->inside = framer->escaped = false;
	framer->literal = framer->awaited = framer->n_held = 0;
	framer->lost = !at_start; /* what is wrong at first is no news */
	framer->skipping = !at_start && (framer->rules.kind == FRAME_LINE || needs_silence(framer));
}

/* Whether the checksum of a frame on the wire, as it stands there, is right. before, behind: marks that count. */
static bool checksum_holds(const struct framer *framer, const struct mark *before, const uint8_t *frame, size_t size,
			   const struct mark *behind, const uint8_t *wire)
{
	enum checksum kind = framer->rules.checksum;
	uint16_t value = checksum_start(kind), said;

	if (!checksum_read(kind, framer->rules.checksum_hex, wire, &said))
		return false;
	if (before)
		value = checksum_add(kind, value, before->bytes, before->size);
	value = checksum_add(kind, value, frame, size);
	if (behind)
		value = checksum_add(kind, value, behind->bytes, behind->size);
	return checksum_end(kind, value) == said;
}

/* The checksum at the end of a frame: off with it. False: it is wrong. */
static bool take_checksum(const struct framer *framer, const uint8_t *frame, size_t size, size_t *ret_size)
{
	const struct frame_rules *rules = &framer->rules;
	size_t n = checksum_wire_size(rules->checksum, rules->checksum_hex);
	const uint8_t *wire;

	*ret_size = size;
	if (rules->checksum == CHECKSUM_NONE)
		return true;
	if (size < n)
		return false;
	*ret_size = size -= n;
	wire = frame + size;
	if (rules->checksum_hex && size > 0 && frame[size - 1] == '*')
		*ret_size = --size;
	return checksum_holds(framer,
			      rules->kind == FRAME_STX_ETX && rules->checked == CHECKED_MARKS ? &rules->start : NULL,
			      frame, size, NULL, wire);
}

void framer_hand_over(struct framer *framer, const uint8_t *frame, size_t size, bool good)
{
	if (!good) {
		framer->counts.bad_checksum++;
		return;
	}
	framer->counts.frames++;
	if (size > 0)
		framer->fn(frame, size, framer->userdata);
}

static size_t without_return(const struct framer *framer, size_t size)
{
	const struct mark *delimiter = &framer->rules.delimiter;
	bool newline = framer->rules.kind == FRAME_LINE && delimiter->size == 1 && delimiter->bytes[0] == '\n';

	return size - (newline && size > 0 && framer->bytes[size - 1] == '\r');
}

void framer_deliver(struct framer *framer, size_t size)
{
	size_t without;
	bool good;

	size = without_return(framer, size);
	if (size == 0)
		return;
	good = take_checksum(framer, framer->bytes, size, &without);
	framer_hand_over(framer, framer->bytes, without, good);
}

/* ---- a checksum behind the end ---- */

void framer_await_checksum(struct framer *framer, size_t content)
{
	framer->content = content;
	framer->awaited = checksum_wire_size(framer->rules.checksum, framer->rules.checksum_hex);
}

size_t framer_push_checksum(struct framer *framer, const uint8_t *data, size_t size)
{
	const struct frame_rules *rules = &framer->rules;
	const struct mark *end = rules->kind == FRAME_LINE ? &rules->delimiter : &rules->end;
	const struct mark *start = rules->kind == FRAME_LINE ? NULL : &rules->start;
	size_t take = MIN(size, framer->awaited), content = framer->content;
	bool skipped = framer->skipping, good;

	memcpy(framer->bytes + framer->size, data, take);
	framer->size += take;
	framer->awaited -= take;
	if (framer->awaited > 0)
		return take;
	good = checksum_holds(framer, rules->checked == CHECKED_MARKS ? start : NULL, framer->bytes, content,
			      rules->checked == CHECKED_CONTENT ? NULL : end,
			      framer->bytes + framer->size - checksum_wire_size(rules->checksum, rules->checksum_hex));
	framer->size = framer->literal = 0;
	framer->skipping = false;
	if (!skipped)
		framer_hand_over(framer, framer->bytes, without_return(framer, content), good);
	return take;
}

void framer_give_up_long(struct framer *framer)
{
	framer->counts.too_long++;
	framer->counts.lost_bytes += framer->size;
	framer->size = 0;
}

bool framer_ends_with(const struct framer *framer, const struct mark *mark)
{
	return mark->size > 0 && framer->size >= framer->literal + mark->size &&
	       memcmp(framer->bytes + framer->size - mark->size, mark->bytes, mark->size) == 0;
}

/* ---- start and end ---- */

static void push_marked_byte(struct framer *framer, uint8_t byte)
{
	const struct frame_rules *rules = &framer->rules;

	if (framer->awaited > 0) {
		framer_push_checksum(framer, &byte, 1);
		return;
	}
	framer->bytes[framer->size++] = byte;
	if (!framer->inside) {
		if (framer_ends_with(framer, &rules->start)) {
			framer->counts.lost_bytes += framer->size - rules->start.size;
			framer->inside = true;
			framer->size = 0;
		} else if (framer->size == rules->start.size) {
			memmove(framer->bytes, framer->bytes + 1, --framer->size);
			framer->counts.lost_bytes++;
		}
		return;
	}
	if (framer->escaped) {
		framer->escaped = false;
		framer->literal = framer->size;
	} else if (byte == rules->escape) {
		framer->size--;
		framer->escaped = true;
	} else if (framer_ends_with(framer, &rules->end)) {
		size_t size = framer->size - rules->end.size;

		/* One mark may end a frame and begin the next. */
		framer->inside = size == 0 && rules->end.size == rules->start.size &&
				 memcmp(rules->end.bytes, rules->start.bytes, rules->end.size) == 0;
		if (rules->checksum_after && !framer->inside) {
			framer_await_checksum(framer, size);
			return;
		}
		framer->size = framer->literal = 0;
		framer_deliver(framer, size);
		return;
	} else if (framer_ends_with(framer, &rules->start)) {
		framer->counts.lost_bytes += framer->size;
		framer->size = framer->literal = 0; /* the end of the last one got lost */
	}
	if (framer->size >= rules->max_frame + rules->end.size) {
		framer_give_up_long(framer);
		framer->inside = framer->escaped = false;
		framer->literal = 0;
	}
}

/* ---- bytes: fixed and length-prefixed ---- */

static void drop_first(struct framer *framer, size_t n)
{
	framer->size -= n;
	memmove(framer->bytes, framer->bytes + n, framer->size);
	framer->counts.lost_bytes += n;
}

/* Up to where the start mark may stand. False: it does not stand there in full yet. */
static bool find_start(struct framer *framer)
{
	const struct mark *start = &framer->rules.start;
	size_t at = 0;

	while (at < framer->size && memcmp(framer->bytes + at, start->bytes, MIN(start->size, framer->size - at)) != 0)
		at++;
	if (at > 0)
		drop_first(framer, at);
	return framer->size >= start->size;
}

/* The size of the whole frame at the start of the bytes; 0: not known yet; SIZE_MAX: it cannot be one. */
static size_t whole_size(const struct framer *framer)
{
	const struct frame_rules *rules = &framer->rules;
	size_t header = rules->length_at + rules->length_size;
	const uint8_t *at = framer->bytes + rules->length_at;
	int64_t value;

	if (rules->kind == FRAME_FIXED)
		return rules->length;
	if (framer->size < header)
		return 0;
	value = rules->length_size == 1 ? at[0] : rules->length_little ? at[0] | at[1] << 8 : at[0] << 8 | at[1];
	value += rules->length_adds;
	if (value < 0 || (uint64_t)value + header > rules->max_frame || value + (int64_t)header == 0)
		return SIZE_MAX;
	return header + (size_t)value;
}

/* The frame at the start is wrong: look for the next one a byte further, or wait for silence. */
static void look_further(struct framer *framer, uint64_t *count, size_t cost)
{
	if (!framer->lost)
		(*count)++;
	framer->lost = true;
	if (needs_silence(framer) || cost > framer->effort) {
		framer->counts.lost_bytes += framer->size;
		framer->size = 0;
		framer->skipping = needs_silence(framer);
		return;
	}
	framer->effort -= cost;
	drop_first(framer, 1);
}

static void take_whole(struct framer *framer, size_t whole)
{
	framer->size -= whole;
	memmove(framer->bytes, framer->bytes + whole, framer->size);
}

/* The frames that lie in the bytes. */
static void cut_bytes(struct framer *framer)
{
	while (framer->size > 0 && !framer->skipping) {
		size_t whole, without;

		if (framer->rules.start.size > 0 && !find_start(framer))
			return;
		whole = whole_size(framer);
		if (whole == SIZE_MAX) {
			look_further(framer, &framer->counts.too_long, framer->size);
			continue;
		}
		if (whole == 0 || framer->size < whole)
			return;
		if (!take_checksum(framer, framer->bytes, whole, &without)) {
			look_further(framer, &framer->counts.bad_checksum, whole + framer->size);
			continue;
		}
		framer->lost = false;
		framer->counts.frames++;
		if (without > 0)
			framer->fn(framer->bytes, without, framer->userdata);
		take_whole(framer, whole);
	}
}

static void push_bytes(struct framer *framer, const uint8_t *data, size_t size)
{
	while (size > 0 && !framer->skipping) {
		/* In small pieces: a byte dropped moves the rest. */
		size_t n = MIN(MIN(size, (size_t)256), framer->capacity - framer->size);

		memcpy(framer->bytes + framer->size, data, n);
		framer->size += n;
		framer->effort = MIN(framer->effort + n * EFFORT_PER_BYTE, (size_t)EFFORT_MAX);
		data += n;
		size -= n;
		cut_bytes(framer);
	}
	framer->counts.lost_bytes += size;
}

/* ---- idle ---- */

static void push_idle(struct framer *framer, const uint8_t *data, size_t size)
{
	if (!framer->skipping && size > framer->rules.max_frame - framer->size) {
		framer_give_up_long(framer);
		framer->skipping = true;
	}
	if (framer->skipping) {
		framer->counts.lost_bytes += size;
		framer->size = 0;
		return;
	}
	memcpy(framer->bytes + framer->size, data, size);
	framer->size += size;
}

void framer_push(struct framer *framer, const uint8_t *data, size_t size)
{
	switch (framer->rules.kind) {
	case FRAME_LINE:
		framer_push_line(framer, data, size);
		break;
	case FRAME_STX_ETX:
		for (size_t i = 0; i < size; i++)
			push_marked_byte(framer, data[i]);
		break;
	case FRAME_SML:
		framer_push_sml(framer, data, size);
		break;
	case FRAME_FIXED:
	case FRAME_LENGTH_PREFIXED:
		push_bytes(framer, data, size);
		break;
	case FRAME_IDLE:
		push_idle(framer, data, size);
		break;
	}
}

bool framer_wants_idle(const struct framer *framer)
{
	enum frame_kind kind = framer->rules.kind;

	if (kind == FRAME_LINE || kind == FRAME_STX_ETX || kind == FRAME_SML)
		return false;
	return framer->skipping || framer->size > 0;
}

void framer_idle(struct framer *framer)
{
	size_t size = framer->size;
	bool skipped = framer->skipping;

	if (!framer_wants_idle(framer))
		return;
	framer->size = 0;
	framer->skipping = false;
	if (framer->rules.kind == FRAME_IDLE) {
		if (!skipped)
			framer_deliver(framer, size);
		return;
	}
	framer->counts.lost_bytes += size; /* half a frame */
}
