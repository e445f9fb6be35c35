/* SPDX-License-Identifier: Apache-2.0 */
#include "queue/state_rows.h"
#include <errno.h>
#include <string.h>
#include <zlib.h>

#define NUMBER_BITS 56
#define NUMBER_MASK (((uint64_t)1 << NUMBER_BITS) - 1)

uint64_t state_key(enum state_kind kind, uint64_t number)
{
	return (uint64_t)kind << NUMBER_BITS | (number & NUMBER_MASK);
}

uint64_t state_key_by_name(enum state_kind kind, const char *name, uint32_t a, uint32_t b)
{
	uint64_t hash = 0xcbf29ce484222325;
	const uint32_t numbers[2] = {a, b};

	for (; *name; name++)
		hash = (hash ^ (uint8_t)*name) * 0x100000001b3;
	for (size_t i = 0; i < 8; i++)
		hash = (hash ^ (uint8_t)(numbers[i / 4] >> (8 * (i % 4)))) * 0x100000001b3;
	return state_key(kind, hash ^ hash >> NUMBER_BITS);
}

enum state_kind state_kind_of(uint64_t key)
{
	return (enum state_kind)(key >> NUMBER_BITS);
}

uint32_t state_crc(uint64_t key, uint64_t stamp, const void *body, size_t size)
{
	const uint64_t words[2] = {key, stamp};
	uint8_t bytes[sizeof(words)];
	uLong crc;

	for (size_t i = 0; i < sizeof(bytes); i++)
		bytes[i] = (uint8_t)(words[i / 8] >> (8 * (i % 8)));
	crc = crc32(0, bytes, sizeof(bytes));
	return (uint32_t)crc32(crc, body, (uInt)size);
}

/* ---- many of them ---- */

void state_rows_done(struct state_rows *rows)
{
	for (size_t i = 0; i < rows->n; i++)
		free(rows->at[i].body);
	free(rows->at);
	*rows = (struct state_rows){0};
}

int state_rows_add(struct state_rows *rows, uint64_t key, uint64_t stamp, const void *body, size_t size)
{
	uint8_t *copy = malloc(size + 1);

	if (rows->n == rows->capacity) {
		size_t capacity = MAX(rows->capacity * 2, (size_t)64);
		struct state_row *at = reallocarray(rows->at, capacity, sizeof(*at));

		if (at) {
			rows->at = at;
			rows->capacity = capacity;
		}
	}
	if (!copy || rows->n == rows->capacity) {
		free(copy);
		return -ENOMEM;
	}
	if (size > 0)
		memcpy(copy, body, size);
	rows->at[rows->n++] = (struct state_row){.key = key, .stamp = stamp, .body = copy, .size = size};
	return 0;
}

static int compare_rows(const void *a, const void *b)
{
	const struct state_row *x = a, *y = b;

	if (x->key != y->key)
		return x->key < y->key ? -1 : 1;
	return (x->stamp < y->stamp) - (x->stamp > y->stamp);
}

void state_rows_settle(struct state_rows *rows)
{
	size_t n = 0;

	if (rows->n > 1)
		qsort(rows->at, rows->n, sizeof(*rows->at), compare_rows);
	for (size_t i = 0; i < rows->n; i++) {
		if (n > 0 && rows->at[n - 1].key == rows->at[i].key)
			free(rows->at[i].body);
		else
			rows->at[n++] = rows->at[i];
	}
	rows->n = n;
}

const struct state_row *state_rows_find(const struct state_rows *rows, uint64_t key)
{
	size_t low = 0, high = rows->n;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (rows->at[middle].key == key)
			return &rows->at[middle];
		if (rows->at[middle].key < key)
			low = middle + 1;
		else
			high = middle;
	}
	return NULL;
}

/* ---- bodies ---- */

struct body_reader {
	const uint8_t *at, *end;
	bool failed;
};

static struct body_reader reader_of(const struct state_row *row)
{
	return (struct body_reader){.at = row->body, .end = row->body + row->size};
}

static uint64_t get_number(struct body_reader *reader)
{
	uint64_t number = 0;

	if (read_varint(&reader->at, reader->end, &number) < 0)
		reader->failed = true;
	return number;
}

static int64_t get_signed(struct body_reader *reader)
{
	int64_t number = 0;

	if (read_svarint(&reader->at, reader->end, &number) < 0)
		reader->failed = true;
	return number;
}

static const char *get_text(struct body_reader *reader)
{
	const char *text = (const char *)reader->at;
	const uint8_t *end =
		reader->at < reader->end ? memchr(reader->at, 0, (size_t)(reader->end - reader->at)) : NULL;

	if (!end) {
		reader->failed = true;
		return "";
	}
	reader->at = end + 1;
	return text;
}

static const char *get_text_or_null(struct body_reader *reader)
{
	return get_number(reader) ? get_text(reader) : NULL;
}

static int reader_result(const struct body_reader *reader)
{
	return reader->failed || reader->at != reader->end ? -EBADMSG : 0;
}

static void put_text(struct buf *buf, const char *text)
{
	buf_add(buf, text, strlen(text) + 1);
}

static void put_text_or_null(struct buf *buf, const char *text)
{
	buf_add_varint(buf, text != NULL);
	if (text)
		put_text(buf, text);
}

void state_put_meta(struct buf *buf, const struct state_meta *meta)
{
	buf_add_varint(buf, meta->seq);
	buf_add_varint(buf, meta->last_id);
	buf_add_varint(buf, meta->clean);
	buf_add_varint(buf, meta->n_devices);
	buf_add_varint(buf, meta->n_series);
	buf_add_varint(buf, meta->n_boots);
}

int state_get_meta(const struct state_row *row, struct state_meta *ret)
{
	struct body_reader reader = reader_of(row);
	struct state_meta meta;

	meta.seq = get_number(&reader);
	meta.last_id = get_number(&reader);
	meta.clean = get_number(&reader) != 0;
	meta.n_devices = get_number(&reader);
	meta.n_series = get_number(&reader);
	meta.n_boots = get_number(&reader);
	if (reader_result(&reader) < 0)
		return -EBADMSG;
	*ret = meta;
	return 0;
}

void state_put_runs(struct buf *buf, uint64_t low, uint64_t unsure_to, const struct run *runs, size_t n)
{
	buf_add_varint(buf, low);
	buf_add_varint(buf, unsure_to);
	buf_add_varint(buf, n);
	for (size_t i = 0; i < n; i++) {
		buf_add_varint(buf, runs[i].first_id);
		buf_add_varint(buf, runs[i].known);
		buf_add_svarint(buf, runs[i].base);
		buf_add_varint(buf, runs[i].skipped);
	}
}

int state_get_runs(const struct state_row *row, uint64_t *ret_low, uint64_t *ret_unsure_to, struct runs *ret)
{
	struct body_reader reader = reader_of(row);
	uint64_t low = get_number(&reader), unsure_to = get_number(&reader), n = get_number(&reader);
	struct runs runs = {0};
	int r = 0;

	for (uint64_t i = 0; i < n && !reader.failed && r == 0; i++) {
		struct run run;

		run.first_id = get_number(&reader);
		run.known = get_number(&reader) != 0;
		run.base = get_signed(&reader);
		run.skipped = get_number(&reader);
		if (!reader.failed)
			r = runs_add(&runs, &run);
	}
	if (r == 0)
		r = reader_result(&reader);
	if (r < 0) {
		runs_done(&runs);
		return r == -ENOMEM ? r : -EBADMSG;
	}
	*ret_low = low;
	*ret_unsure_to = unsure_to;
	*ret = runs;
	return 0;
}

void state_put_boot(struct buf *buf, const struct state_boot *boot)
{
	put_text(buf, boot->id);
	buf_add_svarint(buf, boot->offset_us);
	buf_add_varint(buf, boot->trusted);
}

int state_get_boot(const struct state_row *row, struct state_boot *ret)
{
	struct body_reader reader = reader_of(row);

	ret->id = get_text(&reader);
	ret->offset_us = get_signed(&reader);
	ret->trusted = get_number(&reader) != 0;
	return reader_result(&reader);
}

void state_put_device(struct buf *buf, const struct series_device *device)
{
	put_text(buf, device->name);
	put_text_or_null(buf, device->link);
	buf_add_varint(buf, device->n_tags);
	for (size_t i = 0; i < device->n_tags; i++) {
		put_text(buf, device->tags[i].name);
		put_text(buf, device->tags[i].value);
	}
}

int state_get_device(const struct state_row *row, struct state_device *ret)
{
	struct body_reader reader = reader_of(row);
	uint64_t n;

	ret->name = get_text(&reader);
	ret->link = get_text_or_null(&reader);
	n = get_number(&reader);
	ret->n_tags = 0;
	for (uint64_t i = 0; i < n && !reader.failed; i++) {
		struct tag tag = {.name = get_text(&reader)};

		tag.value = get_text(&reader);
		if (ret->n_tags < STATE_TAGS_MAX)
			ret->tags[ret->n_tags++] = tag;
	}
	return reader_result(&reader);
}

void state_put_series(struct buf *buf, const struct state_series *series)
{
	buf_add_varint(buf, series->device);
	put_text(buf, series->point);
	put_text_or_null(buf, series->unit);
	put_text(buf, series->type);
}

int state_get_series(const struct state_row *row, struct state_series *ret)
{
	struct body_reader reader = reader_of(row);

	ret->device = (uint32_t)get_number(&reader);
	ret->point = get_text(&reader);
	ret->unit = get_text_or_null(&reader);
	ret->type = get_text(&reader);
	return reader_result(&reader);
}

void state_put_reader(struct buf *buf, const struct state_reader *row)
{
	put_text(buf, row->name);
	buf_add_varint(buf, row->acked);
}

int state_get_reader(const struct state_row *row, struct state_reader *ret)
{
	struct body_reader reader = reader_of(row);

	ret->name = get_text(&reader);
	ret->acked = get_number(&reader);
	return reader_result(&reader);
}

void state_put_drops(struct buf *buf, const struct state_drops *drops)
{
	put_text(buf, drops->reader);
	buf_add_varint(buf, drops->cause);
	buf_add_varint(buf, drops->device);
	buf_add_varint(buf, drops->count);
}

int state_get_drops(const struct state_row *row, struct state_drops *ret)
{
	struct body_reader reader = reader_of(row);

	ret->reader = get_text(&reader);
	ret->cause = (uint32_t)get_number(&reader);
	ret->device = (uint32_t)get_number(&reader);
	ret->count = get_number(&reader);
	return reader_result(&reader);
}

void state_put_seal(struct buf *buf, const struct state_seal *seal)
{
	buf_add_varint(buf, seal->rows);
	buf_add_varint(buf, seal->sum);
}

int state_get_seal(const struct state_row *row, struct state_seal *ret)
{
	struct body_reader reader = reader_of(row);

	ret->rows = get_number(&reader);
	ret->sum = get_number(&reader);
	return reader_result(&reader);
}

bool state_rows_are_all(const struct state_rows *rows)
{
	const struct state_row *row = state_rows_find(rows, state_key(STATE_SEAL, 0));
	struct state_seal seal, found = {0};

	if (!row || state_get_seal(row, &seal) < 0)
		return false;
	for (size_t i = 0; i < rows->n; i++) {
		if (state_kind_of(rows->at[i].key) == STATE_SEAL)
			continue;
		/* What is newer was written behind that seal. */
		if (rows->at[i].stamp > row->stamp)
			return false;
		found.rows++;
		found.sum += state_crc(rows->at[i].key, rows->at[i].stamp, rows->at[i].body, rows->at[i].size);
	}
	return found.rows == seal.rows && found.sum == seal.sum;
}
