/* SPDX-License-Identifier: Apache-2.0 */
#include "model/sample.h"
#include <errno.h>
#include <haywain/helpers.h>
#include <string.h>

#define BLOB_VERSION 1

static void add_little_endian(struct buf *buf, uint64_t bits, unsigned size)
{
	uint8_t bytes[8];

	for (unsigned i = 0; i < size; i++)
		bytes[i] = (uint8_t)(bits >> (8 * i));
	buf_add(buf, bytes, size);
}

static void add_value(struct buf *buf, const struct hay_value *value)
{
	if (value->type == HAY_BOOL) {
		buf_add_char(buf, value->b ? 1 : 0);
	} else if (hay_type_is_signed(value->type)) {
		buf_add_svarint(buf, value->i);
	} else if (hay_type_is_unsigned(value->type)) {
		buf_add_varint(buf, value->u);
	} else if (value->type == HAY_FLOAT32) {
		uint32_t bits;

		memcpy(&bits, &value->f, sizeof(bits));
		add_little_endian(buf, bits, 4);
	} else if (value->type == HAY_FLOAT64) {
		uint64_t bits;

		memcpy(&bits, &value->d, sizeof(bits));
		add_little_endian(buf, bits, 8);
	} else if (value->type == HAY_STRING || value->type == HAY_BYTES) {
		buf_add_varint(buf, value->s.size);
		if (value->s.size > 0)
			buf_add(buf, value->s.data, value->s.size);
	}
}

static void encode_readings(struct buf *buf, const struct sample_reading *readings, size_t n_readings)
{
	int64_t before = 0;

	buf_add_char(buf, BLOB_VERSION);
	buf_add_varint(buf, n_readings);
	for (size_t i = 0; i < n_readings; i++) {
		const struct sample_reading *reading = &readings[i];

		buf_add_svarint(buf, (int64_t)reading->series - before);
		before = reading->series;
		buf_add_char(buf, (char)((unsigned)reading->value.type | (unsigned)reading->quality << 4));
		if (reading->quality != HAY_GOOD) {
			buf_add_char(buf, (char)reading->reason);
			if (reading->reason == HAY_EXCEPTION) {
				size_t size = MIN(reading->exception_size, (size_t)SAMPLE_EXCEPTION_MAX);

				buf_add_char(buf, (char)(uint8_t)size);
				if (size > 0)
					buf_add(buf, reading->exception, size);
			}
		}
		if (reading->quality != HAY_BAD)
			add_value(buf, &reading->value);
	}
}

struct sample *sample_from_blob(uint32_t device, uint64_t time_us, const void *blob, size_t size)
{
	struct sample *sample;

	if (size > UINT32_MAX)
		return NULL;
	sample = malloc(sizeof(*sample) + size);
	if (!sample)
		return NULL;
	atomic_init(&sample->refs, 1);
	sample->device = device;
	sample->boot = 0;
	sample->size = (uint32_t)size;
	sample->id = 0;
	sample->time_us = time_us;
	if (size > 0)
		memcpy(sample->blob, blob, size);
	return sample;
}

struct sample *sample_new(uint32_t device, uint64_t time_us, const struct sample_reading *readings, size_t n_readings)
{
	_cleanup_buf_ struct buf buf = {0};

	encode_readings(&buf, readings, n_readings);
	if (buf_failed(&buf))
		return NULL;
	return sample_from_blob(device, time_us, buf.data, buf.size);
}

struct sample *sample_ref(struct sample *sample)
{
	atomic_fetch_add_explicit(&sample->refs, 1, memory_order_relaxed);
	return sample;
}

struct sample *sample_unref(struct sample *sample)
{
	if (sample && atomic_fetch_sub_explicit(&sample->refs, 1, memory_order_acq_rel) == 1)
		free(sample);
	return NULL;
}

int sample_begin(const struct sample *sample, struct sample_cursor *cursor)
{
	const uint8_t *at = sample->blob, *end = sample->blob + sample->size;
	uint64_t n;

	if (at == end || *at++ != BLOB_VERSION)
		return -EBADMSG;
	if (read_varint(&at, end, &n) < 0)
		return -EBADMSG;
	/* A reading takes two bytes at least. */
	if (n > (uint64_t)(end - at) / 2)
		return -EBADMSG;
	*cursor = (struct sample_cursor){.at = at, .end = end, .left = n};
	return 0;
}

static int read_byte(struct sample_cursor *cursor, uint8_t *ret)
{
	if (cursor->at == cursor->end)
		return -EBADMSG;
	*ret = *cursor->at++;
	return 0;
}

static int read_little_endian(struct sample_cursor *cursor, unsigned size, uint64_t *ret)
{
	uint64_t bits = 0;

	if ((size_t)(cursor->end - cursor->at) < size)
		return -EBADMSG;
	for (unsigned i = 0; i < size; i++)
		bits |= (uint64_t)cursor->at[i] << (8 * i);
	cursor->at += size;
	*ret = bits;
	return 0;
}

static int read_bytes(struct sample_cursor *cursor, uint64_t size, const char **ret)
{
	if (size > (uint64_t)(cursor->end - cursor->at))
		return -EBADMSG;
	*ret = (const char *)cursor->at;
	cursor->at += size;
	return 0;
}

static int read_value(struct sample_cursor *cursor, struct hay_value *value)
{
	uint64_t bits;
	uint8_t byte;
	int r = 0;

	if (value->type == HAY_BOOL) {
		r = read_byte(cursor, &byte);
		if (r == 0 && byte > 1)
			r = -EBADMSG;
		value->b = r == 0 && byte == 1;
	} else if (hay_type_is_signed(value->type)) {
		r = read_svarint(&cursor->at, cursor->end, &value->i);
	} else if (hay_type_is_unsigned(value->type)) {
		r = read_varint(&cursor->at, cursor->end, &value->u);
	} else if (value->type == HAY_FLOAT32) {
		r = read_little_endian(cursor, 4, &bits);
		if (r == 0) {
			uint32_t small = (uint32_t)bits;

			memcpy(&value->f, &small, sizeof(small));
		}
	} else if (value->type == HAY_FLOAT64) {
		r = read_little_endian(cursor, 8, &bits);
		if (r == 0)
			memcpy(&value->d, &bits, sizeof(bits));
	} else if (value->type == HAY_STRING || value->type == HAY_BYTES) {
		r = read_varint(&cursor->at, cursor->end, &bits);
		if (r == 0)
			r = read_bytes(cursor, bits, &value->s.data);
		if (r == 0)
			value->s.size = (size_t)bits;
	} else {
		/* A reading without a type carries no value. */
		r = -EBADMSG;
	}
	return r < 0 ? -EBADMSG : 0;
}

static int read_reason(struct sample_cursor *cursor, struct sample_reading *reading)
{
	uint8_t byte;

	if (read_byte(cursor, &byte) < 0 || byte >= HAY_N_REASONS)
		return -EBADMSG;
	reading->reason = (enum hay_reason)byte;
	if (reading->reason != HAY_EXCEPTION)
		return 0;
	if (read_byte(cursor, &byte) < 0)
		return -EBADMSG;
	reading->exception_size = byte;
	return read_bytes(cursor, byte, &reading->exception);
}

int sample_next(struct sample_cursor *cursor, struct sample_reading *ret)
{
	struct sample_reading reading = {0};
	int64_t step;
	uint8_t byte;

	if (cursor->left == 0)
		return cursor->at == cursor->end ? 0 : -EBADMSG;
	if (read_svarint(&cursor->at, cursor->end, &step) < 0)
		return -EBADMSG;
	if (step < -(int64_t)UINT32_MAX || step > (int64_t)UINT32_MAX)
		return -EBADMSG;
	step += cursor->series;
	if (step < 0 || step > (int64_t)UINT32_MAX)
		return -EBADMSG;
	reading.series = cursor->series = (uint32_t)step;
	if (read_byte(cursor, &byte) < 0 || (byte & 15) >= HAY_N_TYPES || byte >> 4 > HAY_BAD)
		return -EBADMSG;
	reading.value.type = (enum hay_type)(byte & 15);
	reading.quality = (enum hay_quality)(byte >> 4);
	if (reading.quality != HAY_GOOD && read_reason(cursor, &reading) < 0)
		return -EBADMSG;
	if (reading.quality != HAY_BAD && read_value(cursor, &reading.value) < 0)
		return -EBADMSG;
	cursor->left--;
	*ret = reading;
	return 1;
}

DEFINE_TO_STRING(reason_to_string, enum hay_reason,
		 HAY_N_REASONS, [HAY_NO_REASON] = "", [HAY_TIMEOUT] = "timeout", [HAY_OFFLINE] = "offline",
		 [HAY_REFUSED] = "refused", [HAY_OUT_OF_RANGE] = "out of range", [HAY_NOT_A_NUMBER] = "not a number",
		 [HAY_DECODE] = "decode", [HAY_EXCEPTION] = "exception", [HAY_NOT_AVAILABLE] = "not available")
