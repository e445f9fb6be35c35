/* SPDX-License-Identifier: Apache-2.0 */
#include "queue/carve.h"
#include "queue/rows.h"
#include "queue/state_rows.h"
#include <errno.h>
#include <string.h>

/* What of a payload lies in the leaf itself (section 1.6): U = 4096, no reserved bytes. */
#define LOCAL_MAX (CARVE_PAGE_BYTES - 35)
#define LOCAL_MIN ((CARVE_PAGE_BYTES - 12) * 32 / 255 - 23)
#define OVERFLOW_BYTES (CARVE_PAGE_BYTES - 4)
#define INTS_MAX 4

struct record {
	uint64_t rowid;
	uint64_t ints[INTS_MAX];
	unsigned n_ints;
	const uint8_t *blob; /* what of it is in this page */
	size_t local, size;  /* of the blob: here, and in all */
	uint32_t overflow;   /* the page where it goes on; 0: nowhere */
	size_t end;	     /* of the cell in this page */
};

/* SQLite's: big endian, the ninth byte counts whole. */
static bool get_varint(const uint8_t **at, const uint8_t *end, uint64_t *ret)
{
	uint64_t value = 0;

	for (unsigned i = 0; i < 9; i++) {
		if (*at >= end)
			return false;
		uint8_t byte = *(*at)++;

		if (i == 8) {
			*ret = value << 8 | byte;
			return true;
		}
		value = value << 7 | (byte & 0x7f);
		if (!(byte & 0x80))
			break;
	}
	*ret = value;
	return true;
}

/* Of a whole number by its serial type; -1: it is none. */
static int int_size(uint64_t type)
{
	static const int sizes[] = {-1, 1, 2, 3, 4, 6, 8, -1, 0, 0};

	return type < ELEMENTS(sizes) ? sizes[type] : -1;
}

static uint64_t get_int(const uint8_t *at, uint64_t type)
{
	int size = int_size(type);
	uint64_t value;

	if (size == 0)
		return type - 8;
	value = at[0] & 0x80 ? UINT64_MAX : 0;
	for (int i = 0; i < size; i++)
		value = value << 8 | at[i];
	return value;
}

/* The header of a record: NULL for the key, two or four whole numbers, a blob. */
static bool read_header(const uint8_t **at, const uint8_t *end, uint64_t types[INTS_MAX], unsigned *ret_n,
			uint64_t *ret_blob)
{
	const uint8_t *start = *at, *stop;
	uint64_t length, type;
	unsigned n = 0;

	if (!get_varint(at, end, &length) || length < 5 || length > 24 || (size_t)(end - start) < length)
		return false;
	stop = start + length;
	if (*at >= stop || *(*at)++ != 0)
		return false;
	for (;;) {
		if (!get_varint(at, stop, &type))
			return false;
		if (int_size(type) < 0)
			break;
		if (n == INTS_MAX)
			return false;
		types[n++] = type;
	}
	if (*at != stop || (n != 2 && n != 4) || type < 12 || type % 2 != 0)
		return false;
	*ret_n = n;
	*ret_blob = (type - 12) / 2;
	return true;
}

static size_t local_bytes(uint64_t payload)
{
	size_t local;

	if (payload <= LOCAL_MAX)
		return (size_t)payload;
	local = LOCAL_MIN + (size_t)((payload - LOCAL_MIN) % OVERFLOW_BYTES);
	return local <= LOCAL_MAX ? local : LOCAL_MIN;
}

static bool read_record(const uint8_t *page, size_t size, size_t offset, struct record *ret)
{
	const uint8_t *at = page + offset, *end = page + size, *start;
	uint64_t payload, blob, types[INTS_MAX], ints = 0;
	size_t local, header;

	if (!get_varint(&at, end, &payload) || payload < 6 || payload > CARVE_BLOB_MAX ||
	    !get_varint(&at, end, &ret->rowid))
		return false;
	start = at;
	if (!read_header(&at, end, types, &ret->n_ints, &blob))
		return false;
	header = (size_t)(at - start);
	for (unsigned i = 0; i < ret->n_ints; i++)
		ints += (uint64_t)int_size(types[i]);
	local = local_bytes(payload);
	if (payload != header + ints + blob || local < header + ints ||
	    (size_t)(end - start) < local + (local < payload ? 4 : 0))
		return false;
	for (unsigned i = 0; i < ret->n_ints; i++) {
		ret->ints[i] = get_int(at, types[i]);
		at += int_size(types[i]);
	}
	ret->blob = at;
	ret->local = local - header - (size_t)ints;
	ret->size = (size_t)blob;
	ret->overflow = 0;
	at = start + local;
	if (local < payload) {
		ret->overflow = (uint32_t)at[0] << 24 | (uint32_t)at[1] << 16 | (uint32_t)at[2] << 8 | at[3];
		at += 4;
	}
	ret->end = (size_t)(at - page);
	return true;
}

/* The whole blob: where it is in the page, or *ret_memory, to be freed. NULL: it is not whole. */
static const uint8_t *whole_blob(const struct carve *carve, const struct record *record, uint8_t **ret_memory)
{
	uint8_t page[CARVE_PAGE_BYTES];
	uint32_t next = record->overflow;
	size_t n = record->local;
	uint8_t *memory;

	*ret_memory = NULL;
	if (record->local == record->size)
		return record->blob;
	memory = *ret_memory = malloc(record->size);
	if (!memory)
		return NULL;
	memcpy(memory, record->blob, n);
	while (n < record->size) {
		size_t here = MIN(record->size - n, OVERFLOW_BYTES);

		if (next == 0 || !carve->page(carve->userdata, next, page))
			return NULL;
		memcpy(memory + n, page + 4, here);
		n += here;
		next = (uint32_t)page[0] << 24 | (uint32_t)page[1] << 16 | (uint32_t)page[2] << 8 | page[3];
	}
	return memory;
}

static int give_sample(const struct carve *carve, const struct record *record, const uint8_t *blob)
{
	struct sample *sample = sample_from_blob((uint32_t)record->ints[2], record->ints[1], blob, record->size);

	if (!sample)
		return -ENOMEM;
	sample->id = record->rowid;
	sample->boot = (uint32_t)record->ints[0];
	return carve->sample(carve->userdata, sample);
}

/* 1: it is a row, and was given. */
static int give(const struct carve *carve, const struct record *record)
{
	bool is_sample = record->n_ints == 4;
	uint8_t *memory = NULL;
	const uint8_t *blob;
	int r = 0;

	if (is_sample ? !carve->sample : (!carve->state || state_kind_of(record->rowid) >= STATE_N_KINDS))
		return 0;
	blob = whole_blob(carve, record, &memory);
	if (blob && is_sample &&
	    row_crc_of(record->rowid, record->ints[1], (uint32_t)record->ints[0], (uint32_t)record->ints[2], blob,
		       record->size) == record->ints[3]) {
		r = give_sample(carve, record, blob);
		r = r < 0 ? r : 1;
	} else if (blob && !is_sample &&
		   state_crc(record->rowid, record->ints[0], blob, record->size) == record->ints[1]) {
		r = carve->state(carve->userdata, record->rowid, record->ints[0], blob, record->size);
		r = r < 0 ? r : 1;
	}
	free(memory);
	return r;
}

int carve_page(const struct carve *carve, const uint8_t *page, size_t size)
{
	for (size_t at = 0; at + 8 < size;) {
		struct record record;
		int r = 0;

		if (page[at] != 0 && read_record(page, size, at, &record))
			r = give(carve, &record);
		if (r < 0)
			return r;
		at = r > 0 ? record.end : at + 1;
	}
	return 0;
}
