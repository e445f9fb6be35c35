/* SPDX-License-Identifier: Apache-2.0 */
/* A growing byte buffer. A failed allocation is remembered: callers check buf_failed() once, at the end. */
#ifndef HAYWAIN_BASE_BUF_H
#define HAYWAIN_BASE_BUF_H

#include "base/util.h"
#include <stdbool.h>

struct buf {
	char *data; /* buf_text() makes it a string */
	size_t size;
	size_t capacity;
	bool failed;
};

void buf_done(struct buf *buf);
#define _cleanup_buf_ _cleanup_(buf_done)

void buf_clear(struct buf *buf); /* keeps the memory */
void buf_add(struct buf *buf, const void *data, size_t size);
void buf_add_text(struct buf *buf, const char *text);
void buf_add_char(struct buf *buf, char c);
void buf_printf(struct buf *buf, const char *format, ...) _printf_(2, 3);
char *buf_reserve(struct buf *buf, size_t size); /* room for size bytes at the end, or NULL; then buf->size += n */
const char *buf_text(struct buf *buf);		 /* terminated; "" after a failure */
static inline bool buf_failed(const struct buf *buf)
{
	return buf->failed;
}

/* LEB128, as in protocol buffers; signed ones zigzag first. */
void buf_add_varint(struct buf *buf, uint64_t value);
void buf_add_svarint(struct buf *buf, int64_t value);
/* Advances *at; -EBADMSG past end or over 64 bits. */
int read_varint(const uint8_t **at, const uint8_t *end, uint64_t *ret);
int read_svarint(const uint8_t **at, const uint8_t *end, int64_t *ret);

#endif
