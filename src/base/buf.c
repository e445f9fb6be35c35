/* SPDX-License-Identifier: Apache-2.0 */
#include "base/buf.h"
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

void buf_done(struct buf *buf)
{
	free(buf->data);
	*buf = (struct buf){0};
}

void buf_clear(struct buf *buf)
{
	buf->size = 0;
	buf->failed = false;
}

char *buf_reserve(struct buf *buf, size_t size)
{
	if (buf->failed)
		return NULL;
	if (buf->capacity - buf->size < size) {
		size_t capacity = MAX(buf->capacity * 2, buf->size + size + 64);
		char *data = capacity > size ? realloc(buf->data, capacity) : NULL;

		if (!data) {
			buf->failed = true;
			return NULL;
		}
		buf->data = data;
		buf->capacity = capacity;
	}
	return buf->data + buf->size;
}

void buf_add(struct buf *buf, const void *data, size_t size)
{
	char *room = size > 0 ? buf_reserve(buf, size) : NULL;

	if (!room)
		return;
	memcpy(room, data, size);
	buf->size += size;
}

void buf_add_text(struct buf *buf, const char *text)
{
	buf_add(buf, text, strlen(text));
}

void buf_add_char(struct buf *buf, char c)
{
	buf_add(buf, &c, 1);
}

void buf_printf(struct buf *buf, const char *format, ...)
{
	va_list args, again;

	va_start(args, format);
	va_copy(again, args);
	int length = vsnprintf(NULL, 0, format, args);
	va_end(args);
	char *room = length < 0 ? NULL : buf_reserve(buf, (size_t)length + 1);

	if (room) {
		vsnprintf(room, (size_t)length + 1, format, again);
		buf->size += (size_t)length;
	}
	va_end(again);
}

const char *buf_text(struct buf *buf)
{
	char *end = buf_reserve(buf, 1);

	if (!end)
		return "";
	*end = 0;
	return buf->data;
}

void buf_add_varint(struct buf *buf, uint64_t value)
{
	uint8_t bytes[10];
	size_t n = 0;

	while (value >= 0x80) {
		bytes[n++] = (uint8_t)(value | 0x80);
		value >>= 7;
	}
	bytes[n++] = (uint8_t)value;
	buf_add(buf, bytes, n);
}

void buf_add_svarint(struct buf *buf, int64_t value)
{
	buf_add_varint(buf, ((uint64_t)value << 1) ^ (value < 0 ? UINT64_MAX : 0));
}

int read_varint(const uint8_t **at, const uint8_t *end, uint64_t *ret)
{
	uint64_t value = 0;

	for (unsigned shift = 0; *at < end && shift < 64; shift += 7) {
		uint8_t byte = *(*at)++;

		if (shift == 63 && byte > 1)
			return -EBADMSG;
		value |= (uint64_t)(byte & 0x7f) << shift;
		if (!(byte & 0x80)) {
			*ret = value;
			return 0;
		}
	}
	return -EBADMSG;
}

int read_svarint(const uint8_t **at, const uint8_t *end, int64_t *ret)
{
	uint64_t value;
	int r = read_varint(at, end, &value);

	if (r == 0)
		*ret = (int64_t)(value >> 1) ^ -(int64_t)(value & 1);
	return r;
}
