/* SPDX-License-Identifier: Apache-2.0 */
#include "base/pool.h"
#include <stdalign.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define CHUNK_BYTES ((size_t)1024)

struct chunk {
	struct chunk *next;
	alignas(max_align_t) char data[];
};

struct pool {
	struct chunk *chunks;
	char *at;
	size_t left;
};

struct pool *pool_new(void)
{
	return calloc(1, sizeof(struct pool));
}

struct pool *pool_free(struct pool *pool)
{
	if (!pool)
		return NULL;
	for (struct chunk *chunk = pool->chunks, *next; chunk; chunk = next) {
		next = chunk->next;
		free(chunk);
	}
	free(pool);
	return NULL;
}

static void *take_bytes(struct pool *pool, size_t size, size_t alignment)
{
	size_t skip = pool->at ? -(uintptr_t)pool->at & (alignment - 1) : 0;

	if (skip + size > pool->left) {
		size_t room = MAX(CHUNK_BYTES - sizeof(struct chunk), size);
		struct chunk *chunk = calloc(1, sizeof(*chunk) + room);

		if (!chunk)
			return NULL;
		chunk->next = pool->chunks;
		pool->chunks = chunk;
		/* A piece of its own leaves the current chunk to the small ones. */
		if (room - size < pool->left)
			return chunk->data;
		pool->at = chunk->data;
		pool->left = room;
		skip = 0;
	}
	char *memory = pool->at + skip;

	pool->at += skip + size;
	pool->left -= skip + size;
	return memory;
}

void *pool_alloc(struct pool *pool, size_t size)
{
	return take_bytes(pool, MAX(size, (size_t)1), alignof(max_align_t));
}

char *pool_strndup(struct pool *pool, const char *text, size_t size)
{
	char *copy = take_bytes(pool, size + 1, 1);

	if (copy)
		memcpy(copy, text, size); /* chunks are zeroed: it is terminated */
	return copy;
}

char *pool_strdup(struct pool *pool, const char *text)
{
	return pool_strndup(pool, text, strlen(text));
}

char *pool_printf(struct pool *pool, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	int length = vsnprintf(NULL, 0, format, args);
	va_end(args);
	if (length < 0)
		return NULL;

	char *text = take_bytes(pool, (size_t)length + 1, 1);

	if (!text)
		return NULL;
	va_start(args, format);
	vsnprintf(text, (size_t)length + 1, format, args);
	va_end(args);
	return text;
}
