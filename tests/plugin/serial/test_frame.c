/* SPDX-License-Identifier: Apache-2.0 */
/* Streams cut into frames: whole, in single bytes, with garbage, too long, with wrong checksums. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "../../../plugins/serial/frame.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Frames seen, as text: "[abc][de]"; bytes that do not print as \xHH. */
static char seen[65536];

static void take(const uint8_t *frame, size_t size, void *userdata)
{
	size_t used = strlen(seen);

	(void)userdata;
	used += (size_t)snprintf(seen + used, sizeof(seen) - used, "[");
	for (size_t i = 0; i < size && used < sizeof(seen) - 8; i++)
		used += (size_t)snprintf(seen + used, sizeof(seen) - used,
					 frame[i] >= ' ' && frame[i] < 127 ? "%c" : "\\x%02x", frame[i]);
	snprintf(seen + used, sizeof(seen) - used, "]");
}

static struct frame_rules rules_of(enum frame_kind kind)
{
	struct frame_rules rules = {
		.kind = kind, .delimiter = {"\n", 1}, .escape = -1, .length_size = 1, .max_frame = 64};

	if (kind == FRAME_STX_ETX) {
		rules.start = (struct mark){"\x02", 1};
		rules.end = (struct mark){"\x03", 1};
	}
	return rules;
}

/* The stream in pieces of each size from 1 on gives the same frames. */
static void expect(const struct frame_rules *rules, const char *stream, size_t size, const char *frames)
{
	for (size_t piece = 1; piece <= size; piece++) {
		struct framer *framer = framer_new(rules, take, NULL);

		seen[0] = 0;
		for (size_t at = 0; at < size; at += piece)
			framer_push(framer, (const uint8_t *)stream + at, size - at < piece ? size - at : piece);
		if (strcmp(seen, frames) != 0)
			print_error("pieces of %zu\n", piece);
		assert_string_equal(seen, frames);
		framer_free(framer);
	}
}
#define EXPECT(rules, stream, frames) expect(rules, stream, sizeof(stream) - 1, frames)

static void lines(void **state)
{
	struct frame_rules rules = rules_of(FRAME_LINE);

	(void)state;
	EXPECT(&rules, "a\nbc\r\n\r\n\nd\0e\nrest", "[a][bc][d\\x00e]");
	rules.delimiter = (struct mark){"\r\n", 2};
	EXPECT(&rules, "a\nb\r\r\nc\r\n", "[a\\x0ab\\x0d][c]");
	rules.delimiter = (struct mark){";", 1};
	EXPECT(&rules, "a\r;b;", "[a\\x0d][b]");
}

/* A device that ends its lines with a carriage return alone was not heard at all, and nothing said so. */
static void lines_that_end_in_any_way(void **state)
{
	struct frame_rules rules = rules_of(FRAME_LINE);
	struct framer *framer = framer_new(&rules, take, NULL);

	(void)state;
	rules.any_newline = true;
	EXPECT(&rules, "a\rb\nc\r\nd\n\r\r\re\r", "[a][b][c][d][e]");
	rules.max_frame = 4;
	EXPECT(&rules, "abcde\rabcd\rabcdef\r\nab\r", "[abcd][ab]");
	framer_free(framer);
	framer = framer_new(&rules, take, NULL);
	seen[0] = 0;
	framer_reset(framer, false);
	framer_push(framer, (const uint8_t *)".5\r21\r", 6);
	assert_string_equal(seen, "[21]");
	framer_free(framer);
}

/* Asynchronous HEX messages of a Victron charger, between the blocks and inside them: the block behind each was lost. */
static void hex_messages_between_and_inside_blocks(void **state)
{
	struct frame_rules rules = rules_of(FRAME_LINE);
	char flood[300];

	(void)state;
	rules.delimiter = (struct mark){"\nC\t", 3};
	rules.checksum = CHECKSUM_SUM8_ZERO;
	rules.checksum_after = true;
	rules.checked = CHECKED_MARKS;
	rules.hex_messages = true;
	/* V, tab, 1 and the delimiter make 0xe6; their check value is 0x1a. */
	EXPECT(&rules, "V\t1\nC\t\x1a:A20\nV\t1\nC\t\x1a:A\n:ADB\nV\t1\nC\t\x1a", "[V\\x091][V\\x091][V\\x091]");
	EXPECT(&rules, "V:A1\n\t1:\n:FF\n\nC\t\x1aV\t1\nC:A\n\t\x1a", "[V\\x091][V\\x091]");
	/* What only begins like one counts. */
	EXPECT(&rules, "V\t1:x\nC\t\x68:V\t1\nC\t\xe0", "[V\\x091:x][:V\\x091]");
	/* The check value may be a colon. */
	EXPECT(&rules, "V\t1pp\nC\t:V\t1\nC\t\x1a", "[V\\x091pp][V\\x091]");
	/* Without an end it is none, and bounded like any line. */
	memset(flood, 'A', sizeof(flood));
	flood[0] = ':';
	memcpy(flood + 280, "\nC\t\x11V\t1\nC\t\x1a", 11);
	expect(&rules, flood, 291, "[V\\x091]");
}

static void a_line_begun_before_is_thrown_away(void **state)
{
	struct frame_rules rules = rules_of(FRAME_LINE);
	struct framer *framer = framer_new(&rules, take, NULL);

	(void)state;
	seen[0] = 0;
	framer_reset(framer, false);
	framer_push(framer, (const uint8_t *)".5\n21.5\n", 8);
	assert_string_equal(seen, "[21.5]");
	assert_int_equal(framer_counts(framer)->too_long, 0);
	framer_reset(framer, true);
	framer_push(framer, (const uint8_t *)"22\n", 3);
	assert_string_equal(seen, "[21.5][22]");
	framer_free(framer);
}

static void ten_megabytes_without_a_delimiter(void **state)
{
	struct frame_rules rules = rules_of(FRAME_LINE);
	struct framer *framer;
	uint8_t flood[8192];

	(void)state;
	rules.max_frame = 4096;
	framer = framer_new(&rules, take, NULL);
	memset(flood, 'x', sizeof(flood));
	seen[0] = 0;
	for (int i = 0; i < 10 * 128; i++)
		framer_push(framer, flood, sizeof(flood));
	framer_push(framer, (const uint8_t *)"\nwell\n", 6);
	assert_string_equal(seen, "[well]");
	assert_int_equal(framer_counts(framer)->too_long, 1); /* one line, however long */
	framer_free(framer);
	/* Exactly the bound still passes. */
	framer = framer_new(&rules, take, NULL);
	framer_push(framer, flood, 4096);
	framer_push(framer, (const uint8_t *)"\n", 1);
	assert_int_equal(framer_counts(framer)->frames, 1);
	framer_free(framer);
}

static void checksums_of_lines(void **state)
{
	struct frame_rules rules = rules_of(FRAME_LINE);

	(void)state;
	rules.checksum = CHECKSUM_XOR;
	rules.checksum_hex = true;
	EXPECT(&rules, "abc*60\nabc*61\nabc60\nab\n", "[abc][abc]");
	/* CRC catalogue: "123456789" gives 0x4B37 for MODBUS, 0x29B1 for CCITT-FALSE; sum8 is 0xDD */
	rules.checksum = CHECKSUM_CRC16_MODBUS;
	EXPECT(&rules, "123456789*4B37\n123456789*374B\n", "[123456789]");
	rules.checksum = CHECKSUM_CRC16_CCITT;
	EXPECT(&rules, "12345678929b1\n", "[123456789]");
	rules.checksum = CHECKSUM_SUM8;
	EXPECT(&rules, "123456789DD\n123456789DE\n", "[123456789]");
}

/* "123456789": CRC catalogue 0xBB3D for ARC, 0x906E for X-25; the sum is 0x1DD, and 0x23 makes it 0. */
static void checksums_behind_the_end(void **state)
{
	struct frame_rules rules = rules_of(FRAME_STX_ETX);

	(void)state;
	/* IEC 62056-21: a block check of all behind STX up to ETX; ETX may be the check itself. */
	rules.checksum = CHECKSUM_XOR;
	rules.checksum_after = true;
	rules.checked = CHECKED_END;
	EXPECT(&rules,
	       "..\x02"
	       "abc\x03\x63\x02"
	       "abc\x03\x60\x02"
	       "cb\x03\x02\x02"
	       "aa\x03\x03..",
	       "[abc][cb][aa]");
	rules.checked = CHECKED_CONTENT;
	EXPECT(&rules,
	       "\x02"
	       "abc\x03\x60",
	       "[abc]");
	rules.checked = CHECKED_MARKS;
	EXPECT(&rules,
	       "\x02"
	       "abc\x03\x61",
	       "[abc]");
	/* In digits, as DSMR meters have it. */
	rules.start = (struct mark){"1", 1};
	rules.end = (struct mark){"9", 1};
	rules.checksum_hex = true;
	rules.checksum = CHECKSUM_CRC16_ARC;
	EXPECT(&rules, "123456789BB3D\r\n123456789bb3e\r\n123456789bb3d", "[2345678][2345678]");
	rules.checksum = CHECKSUM_CRC16_X25;
	EXPECT(&rules, "123456789906E", "[2345678]");
	rules.checksum_hex = false;
	EXPECT(&rules, "123456789\x6e\x90", "[2345678]");
	rules.checksum = CHECKSUM_SUM16;
	EXPECT(&rules, "123456789\x01\xdd", "[2345678]");

	/* Frames of which one begins where the last one ended; the check may look like the delimiter. */
	rules = rules_of(FRAME_LINE);
	rules.delimiter = (struct mark){"=", 1};
	rules.checksum = CHECKSUM_SUM8_ZERO;
	rules.checksum_after = true;
	rules.checked = CHECKED_MARKS;
	EXPECT(&rules, "123456789=\xe6zz=\x01\x86=\x3d", "[123456789][\\x86]");
	rules.delimiter = (struct mark){"\n", 1};
	rules.checked = CHECKED_CONTENT;
	EXPECT(&rules, "123456789\n\x23", "[123456789]");
	/* The start mark counts where the checksum is inside, too. */
	rules = rules_of(FRAME_STX_ETX);
	rules.checksum = CHECKSUM_XOR;
	rules.checked = CHECKED_MARKS;
	EXPECT(&rules,
	       "\x02"
	       "abc\x62\x03",
	       "[abc]");
}

/* The frame that was begun before is thrown away with its checksum, and so is one that is too long. */
static void a_checksum_behind_what_is_thrown_away(void **state)
{
	struct frame_rules rules = rules_of(FRAME_LINE);
	struct framer *framer;
	char longer[100];

	(void)state;
	rules.checksum = CHECKSUM_SUM8;
	rules.checksum_after = true;
	framer = framer_new(&rules, take, NULL);
	seen[0] = 0;
	framer_reset(framer, false);
	framer_push(framer, (const uint8_t *)"56\n\nab\n\xc3", 8);
	assert_string_equal(seen, "[ab]");
	assert_int_equal(framer_counts(framer)->bad_checksum, 0);
	memset(longer, 'x', sizeof(longer));
	framer_push(framer, (const uint8_t *)longer, sizeof(longer));
	framer_push(framer, (const uint8_t *)"\n\nab\n\xc3", 6);
	assert_string_equal(seen, "[ab][ab]");
	assert_int_equal(framer_counts(framer)->too_long, 1);
	/* The line is cut while a checksum is awaited. */
	framer_push(framer, (const uint8_t *)"ab\n", 3);
	framer_reset(framer, true);
	framer_push(framer, (const uint8_t *)"ab\n\xc3", 4);
	assert_string_equal(seen, "[ab][ab][ab]");
	framer_free(framer);
}

static void fixed_frames_are_found_by_their_checksum(void **state)
{
	struct frame_rules rules = rules_of(FRAME_FIXED);

	(void)state;
	rules.length = 4;
	EXPECT(&rules, "abcdefgh", "[abcd][efgh]");
	rules.checksum = CHECKSUM_XOR;
	/* garbage before, between and inside; the broken frame is lost, the next is not */
	EXPECT(&rules,
	       "zabc\x60zzabc\x60"
	       "axbc\x61"
	       "bcd\x65",
	       "[abc][abc][bcd]");
	rules.checksum = CHECKSUM_CRC16_MODBUS;
	rules.length = 11;
	EXPECT(&rules, "..123456789\x37\x4b", "[123456789]");
}

static void fixed_frames_without_any_mark_need_silence(void **state)
{
	struct frame_rules rules = rules_of(FRAME_FIXED);
	struct framer *framer;

	(void)state;
	rules.length = 4;
	framer = framer_new(&rules, take, NULL);
	framer_reset(framer, false);
	seen[0] = 0;
	framer_push(framer, (const uint8_t *)"cd", 2);
	assert_true(framer_wants_idle(framer));
	framer_idle(framer);
	framer_push(framer, (const uint8_t *)"abcdef", 6);
	framer_idle(framer); /* half a frame: the line vanished */
	framer_push(framer, (const uint8_t *)"ghij", 4);
	assert_string_equal(seen, "[abcd][ghij]");
	framer_free(framer);
}

static void length_prefixed(void **state)
{
	struct frame_rules rules = rules_of(FRAME_LENGTH_PREFIXED);

	(void)state;
	EXPECT(&rules,
	       "\x01"
	       "a\x03"
	       "bcd",
	       "[\\x01a][\\x03bcd]");
	rules.length_size = 2;
	EXPECT(&rules,
	       "\0\x01"
	       "a\0\x02"
	       "bc",
	       "[\\x00\\x01a][\\x00\\x02bc]");
	rules.length_little = true;
	EXPECT(&rules, "\x01\0a", "[\\x01\\x00a]");
	/* A dust sensor's frame: 42 4D, length 2 bytes big endian, which counts what follows (PMS5003 data manual). */
	rules = rules_of(FRAME_LENGTH_PREFIXED);
	rules.start = (struct mark){"BM", 2};
	rules.length_at = 2;
	rules.length_size = 2;
	EXPECT(&rules,
	       "xBBM\0\x03"
	       "abcBM\xff\xff"
	       "BM\0\x01z",
	       "[BM\\x00\\x03abc][BM\\x00\\x01z]");
	/* The length counts the whole frame. */
	rules = rules_of(FRAME_LENGTH_PREFIXED);
	rules.length_adds = -1;
	EXPECT(&rules,
	       "\x03"
	       "ab\x02"
	       "c",
	       "[\\x03ab][\\x02c]");
}

static void stx_etx(void **state)
{
	struct frame_rules rules = rules_of(FRAME_STX_ETX);

	(void)state;
	EXPECT(&rules,
	       "zz\x02"
	       "abc\x03..\x02\x03\x02"
	       "d\x02"
	       "ef\x03",
	       "[abc][ef]");
	rules.escape = 0x10;
	EXPECT(&rules,
	       "\x02"
	       "a\x10\x03"
	       "b\x10\x10\x10\x02\x03\x02"
	       "c\x03",
	       "[a\\x03b\\x10\\x02][c]");
	rules = rules_of(FRAME_STX_ETX);
	rules.start = rules.end = (struct mark){"~", 1}; /* as HDLC does */
	EXPECT(&rules, "~ab~~cd~", "[ab][cd]");
	rules.start = (struct mark){"/", 1};
	rules.end = (struct mark){"\r\n!", 3};
	EXPECT(&rules, "!/ISK5\r\n!x\r\n!", "[ISK5]");
	/* Longer than allowed. */
	char longer[200];

	memset(longer, 'x', sizeof(longer));
	memcpy(longer, "/", 1);
	memcpy(longer + 190, "/ok\r\n!", 6);
	expect(&rules, longer, 196, "[ok]");
}

static void sml_transport(void **state)
{
	struct frame_rules rules = rules_of(FRAME_SML);
	struct framer *framer;

	(void)state;
	/* Garbage, a frame filled up by a byte, one with its CRC wrong, one whose end is lost, four escapes within. */
	EXPECT(&rules,
	       "\x1b\x1b\x1b..\x1b\x1b\x1b\x1b\x01\x01\x01\x01"
	       "abc\0\x1b\x1b\x1b\x1b\x1a\x01"
	       "\x65\x39"
	       "zz"
	       "\x1b\x1b\x1b\x1b\x01\x01\x01\x01"
	       "abc\0\x1b\x1b\x1b\x1b\x1a\x01xx"
	       "\x1b\x1b\x1b\x1b\x01\x01\x01\x01"
	       "lost"
	       "\x1b\x1b\x1b\x1b\x01\x01\x01\x01"
	       "a\x1b\x1b\x1b\x1b\x1b\x1b\x1b\x1b\x1b"
	       "bc\x1b\x1b\x1b\x1b\x1a\0"
	       "\x4e\x45",
	       "[abc][a\\x1b\\x1b\\x1b\\x1b\\x1bbc]");
	/* Never more than allowed, and found again. */
	framer = framer_new(&rules, take, NULL);
	seen[0] = 0;
	framer_push(framer, (const uint8_t *)"\x1b\x1b\x1b\x1b\x01\x01\x01\x01", 8);
	for (int i = 0; i < 100; i++)
		framer_push(framer, (const uint8_t *)"x", 1);
	framer_push(framer, (const uint8_t *)"\x1b\x1b\x1b\x1b\x01\x01\x01\x01", 8);
	framer_push(framer,
		    (const uint8_t *)"abc\0\x1b\x1b\x1b\x1b\x1a\x01"
				     "\x65\x39",
		    12);
	assert_string_equal(seen, "[abc]");
	assert_int_equal(framer_counts(framer)->too_long, 1);
	framer_free(framer);
}

static void idle(void **state)
{
	struct frame_rules rules = rules_of(FRAME_IDLE);
	struct framer *framer = framer_new(&rules, take, NULL);
	uint8_t much[65] = {0};

	(void)state;
	seen[0] = 0;
	framer_reset(framer, false);
	framer_push(framer, (const uint8_t *)"st", 2);
	framer_idle(framer);
	framer_push(framer, (const uint8_t *)"ab", 2);
	framer_push(framer, (const uint8_t *)"c", 1);
	framer_idle(framer);
	framer_idle(framer);
	framer_push(framer, much, sizeof(much));
	framer_idle(framer);
	framer_push(framer, (const uint8_t *)"d", 1);
	framer_idle(framer);
	assert_string_equal(seen, "[abc][d]");
	assert_int_equal(framer_counts(framer)->too_long, 1);
	framer_free(framer);
}

/* The value that each gives for "123456789" (as in the tables of such algorithms), and how it lies on the wire. */
static void checksums_on_the_wire(void **state)
{
	static const struct {
		enum checksum kind;
		uint8_t wire[2];
		const char *hex;
	} cases[] = {
		{CHECKSUM_XOR, {0x31}, "31"},
		{CHECKSUM_SUM8, {0xdd}, "DD"},
		{CHECKSUM_SUM8_ZERO, {0x23}, "23"},
		{CHECKSUM_SUM16, {0x01, 0xdd}, "01DD"},
		{CHECKSUM_CRC16_MODBUS, {0x37, 0x4b}, "4B37"},
		{CHECKSUM_CRC16_CCITT, {0x29, 0xb1}, "29B1"},
		{CHECKSUM_CRC16_ARC, {0x3d, 0xbb}, "BB3D"},
		{CHECKSUM_CRC16_X25, {0x6e, 0x90}, "906E"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		enum checksum kind = cases[i].kind;
		uint16_t value = checksum_add(kind, checksum_start(kind), (const uint8_t *)"12345", 5), read;
		uint8_t wire[CHECKSUM_WIRE_MAX];

		value = checksum_end(kind, checksum_add(kind, value, (const uint8_t *)"6789", 4));
		checksum_print(kind, false, value, wire);
		assert_memory_equal(wire, cases[i].wire, checksum_size(kind));
		assert_true(checksum_read(kind, false, wire, &read));
		assert_int_equal(read, value);
		checksum_print(kind, true, value, wire);
		assert_memory_equal(wire, cases[i].hex, checksum_wire_size(kind, true));
		assert_true(checksum_read(kind, true, wire, &read));
		assert_int_equal(read, value);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(lines),
		cmocka_unit_test(lines_that_end_in_any_way),
		cmocka_unit_test(hex_messages_between_and_inside_blocks),
		cmocka_unit_test(a_line_begun_before_is_thrown_away),
		cmocka_unit_test(ten_megabytes_without_a_delimiter),
		cmocka_unit_test(checksums_on_the_wire),
		cmocka_unit_test(checksums_of_lines),
		cmocka_unit_test(checksums_behind_the_end),
		cmocka_unit_test(a_checksum_behind_what_is_thrown_away),
		cmocka_unit_test(fixed_frames_are_found_by_their_checksum),
		cmocka_unit_test(fixed_frames_without_any_mark_need_silence),
		cmocka_unit_test(length_prefixed),
		cmocka_unit_test(stx_etx),
		cmocka_unit_test(sml_transport),
		cmocka_unit_test(idle),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
