/* SPDX-License-Identifier: Apache-2.0 */
#include "guess.h"
#include <string.h>

#define LINES_MAX 512

static bool is_text(uint8_t byte)
{
	return (byte >= 0x20 && byte != 0x7f) || byte == '\r' || byte == '\n' || byte == '\t';
}

/* Whole lines: the first may be half of one, the last is not done. */
static size_t split_lines(struct text rest, char delimiter, struct text lines[LINES_MAX])
{
	bool first = true;
	size_t n = 0;

	while (rest.size > 0 && n < LINES_MAX) {
		const char *end = memchr(rest.data, delimiter, rest.size);
		size_t size = end ? (size_t)(end - rest.data) : 0;
		struct text line;

		if (!end)
			break;
		line = text_trim((struct text){rest.data, size});
		if (!first && line.size > 0)
			lines[n++] = line;
		first = false;
		rest.data += size + 1;
		rest.size -= size + 1;
	}
	return n;
}

/* Numbers in every line, and as many cells in each: else any prose would be CSV. */
static bool is_table_row(const struct serial_record *record, size_t *columns)
{
	size_t n_cells = 0, n_numbers = 0;
	double number;

	for (size_t i = 0; i < record->n; i++) {
		if (record->items[i].hidden)
			continue;
		n_cells++;
		n_numbers += item_number(&record->items[i], &number);
	}
	if (n_numbers == 0)
		return false;
	if (*columns == 0)
		*columns = n_cells;
	return *columns == n_cells;
}

/* 21,5: a number with decimals behind a comma. */
static bool is_comma_number(const struct serial_item *item)
{
	struct serial_item with = *item;
	const char *comma = item->text.size > 0 ? memchr(item->text.data, ',', item->text.size) : NULL;
	double number;

	with.comma = true;
	return item->is_text && comma && comma > item->text.data && comma + 1 < item->text.data + item->text.size &&
	       comma[1] >= '0' && comma[1] <= '9' && item_number(&with, &number);
}

static bool has_comma_number(const struct serial_record *record)
{
	for (size_t i = 0; i < record->n; i++)
		if (!record->items[i].hidden && is_comma_number(&record->items[i]))
			return true;
	return false;
}

/* Whether a decoder's lines have decimal commas: in one line at least, and nowhere a decimal point. */
static bool has_commas(const struct guess *guess, const struct text *lines, size_t n, struct serial_record *record)
{
	char error[DECODE_ERROR_MAX];
	struct decode_rules rules;
	struct decoder *decoder;
	bool commas = false, points = false;
	const char *why;

	guess_rules(guess, &rules);
	if (decoder_new(&rules, &decoder, error) < 0)
		return false;
	for (size_t i = 0; i < n; i++) {
		if (decoder_run(decoder, (const uint8_t *)lines[i].data, lines[i].size, record, &why) != DECODED)
			continue;
		commas = commas || has_comma_number(record);
		for (size_t k = 0; k < record->n; k++)
			points = points || (text_looks_numeric(record->items[k].text) &&
					    memchr(record->items[k].text.data, '.', record->items[k].text.size));
	}
	decoder_clear(decoder, record);
	decoder_free(decoder);
	return commas && !points;
}

/* 21,5 in every line, and nothing else: it cannot be known whether that is one number. */
static bool is_one_or_two(const struct text *lines, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		struct serial_item whole = {.is_text = true, .text = lines[i]};

		if (!is_comma_number(&whole))
			return false;
	}
	return true;
}

/* "-  450.38 GN": cut at its blanks the number would lose its sign. */
static bool has_sign_apart(const struct text *lines, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		struct text behind = {lines[i].data + 1, lines[i].size - 1};

		if (!memchr("+-", lines[i].data[0], 2) || text_trim(behind).size == behind.size)
			continue;
		behind = text_trim(behind);
		if (behind.size > 0 && behind.data[0] >= '0' && behind.data[0] <= '9')
			return true;
	}
	return false;
}

/* Where no decoder fits: a comma between digits somewhere, and nowhere a point. */
static bool prose_has_commas(const struct text *lines, size_t n)
{
	bool commas = false, points = false;

	for (size_t i = 0; i < n; i++)
		for (size_t at = 1; at + 1 < lines[i].size; at++) {
			const char *c = lines[i].data + at;
			bool between = c[-1] >= '0' && c[-1] <= '9' && c[1] >= '0' && c[1] <= '9';

			commas = commas || (between && *c == ',');
			points = points || (between && *c == '.');
		}
	return commas && !points;
}

static unsigned try_lines(const struct decode_rules *rules, const struct text *lines, size_t n,
			  struct serial_record *record, struct text *ret_line)
{
	char error[DECODE_ERROR_MAX];
	struct decoder *decoder;
	const char *why;
	size_t n_good = 0, columns = 0;

	if (decoder_new(rules, &decoder, error) < 0)
		return 0;
	for (size_t i = 0; i < n; i++) {
		bool good =
			decoder_run(decoder, (const uint8_t *)lines[i].data, lines[i].size, record, &why) == DECODED &&
			record->n > 0;

		if (good && rules->kind == DECODE_JSON)
			good = lines[i].data[0] == '{' || lines[i].data[0] == '[';
		if (good && rules->kind == DECODE_CSV)
			good = is_table_row(record, &columns) &&
			       (!rules->comma || (columns > 1 && has_comma_number(record)));
		if (!good)
			continue;
		*ret_line = lines[i];
		n_good++;
	}
	decoder_clear(decoder, record);
	decoder_free(decoder);
	return (unsigned)(n_good * 100 / n);
}

void guess_rules(const struct guess *guess, struct decode_rules *ret)
{
	*ret = (struct decode_rules){.kind = guess->decode,
				     .separator = text_of(guess->separator),
				     .assign = text_of("="),
				     .comma = guess->comma,
				     .header = guess->header};
	if (guess->separator && strcmp(guess->separator, "\\t") == 0)
		ret->separator = text_of("\t");
}

/* A row without any number, as wide as the others, above them. */
static bool has_header(const struct guess *guess, const struct text *lines, size_t n, struct serial_record *record)
{
	struct guess with = *guess;
	struct decode_rules rules;
	struct decoder *decoder;
	char error[DECODE_ERROR_MAX];
	const char *why;
	bool found = false;

	with.header = true;
	guess_rules(&with, &rules);
	if (decoder_new(&rules, &decoder, error) < 0)
		return false;
	for (size_t i = 0; i < n && !found; i++)
		found = decoder_run(decoder, (const uint8_t *)lines[i].data, lines[i].size, record, &why) ==
				DECODED_OTHER &&
			record->n > 1;
	decoder_clear(decoder, record);
	decoder_free(decoder);
	return found;
}

void guess_make(const uint8_t *bytes, size_t size, struct guess *ret)
{
	static const struct {
		enum decode_kind decode;
		const char *separator;
		bool comma;
	} tries[] = {{DECODE_NMEA, NULL, false},
		     {DECODE_OBIS, NULL, false},
		     {DECODE_JSON, NULL, false},
		     {DECODE_KEYVALUE, NULL, false},
		     /* Before plain csv, which would cut each number in two. */
		     {DECODE_CSV, ";", true},
		     {DECODE_CSV, "\\t", true},
		     {DECODE_CSV, " ", true},
		     {DECODE_CSV, NULL, false},
		     {DECODE_CSV, ";", false},
		     {DECODE_CSV, "\\t", false},
		     {DECODE_CSV, " ", false}};
	struct text all = {(const char *)bytes, size}, lines[LINES_MAX];
	struct guess best = {.decode = DECODE_REGEX};
	struct serial_record record;
	size_t n_text = 0, n;

	for (size_t i = 0; i < size; i++)
		n_text += is_text(bytes[i]);
	best.is_sml = size > 0 && memmem(bytes, size, "\x1b\x1b\x1b\x1b\x01\x01\x01\x01", 8) != NULL;
	best.printable = size > 0 ? (unsigned)(n_text * 100 / size) : 0;
	best.only_returns = size > 0 && !memchr(bytes, '\n', size) && memchr(bytes, '\r', size);
	n = split_lines(all, best.only_returns ? '\r' : '\n', lines);
	best.n_lines = n;
	if (n > 0)
		best.line = lines[n - 1];
	best.sign_apart = has_sign_apart(lines, n);
	*ret = best;
	if (n == 0 || best.printable < 90 || record_init(&record, 65536) < 0)
		return;
	for (size_t i = 0; i < sizeof(tries) / sizeof(tries[0]); i++) {
		struct guess guess = best;
		struct decode_rules rules;

		if (best.sign_apart && tries[i].separator && strcmp(tries[i].separator, " ") == 0)
			continue;
		guess.decode = tries[i].decode;
		guess.separator = tries[i].separator;
		guess.comma = tries[i].comma;
		guess_rules(&guess, &rules);
		guess.score = try_lines(&rules, lines, n, &record, &guess.line);
		/* A later try must be better by far: what is less special fits more. */
		if (guess.score >= 30 && (ret->score == 0 || guess.score > ret->score + 20))
			*ret = guess;
	}
	if (ret->score == 0)
		ret->comma = prose_has_commas(lines, n);
	if (ret->score > 0 && ret->decode == DECODE_CSV && !ret->separator)
		ret->one_or_two = is_one_or_two(lines, n);
	if (ret->score > 0 && ret->decode == DECODE_KEYVALUE)
		ret->comma = has_commas(ret, lines, n, &record);
	if (ret->score > 0 && ret->decode == DECODE_CSV)
		ret->header = has_header(ret, lines, n, &record);
	record_done(&record);
}
