/* SPDX-License-Identifier: Apache-2.0 */
/* Memory that is freed all at once: the strings and structs of one piece of configuration. One thread at a time. */
#ifndef HAYWAIN_BASE_POOL_H
#define HAYWAIN_BASE_POOL_H

#include "base/util.h"

struct pool;

struct pool *pool_new(void); /* NULL: out of memory */
struct pool *pool_free(struct pool *pool);
DEFINE_CLEANUP(struct pool *, pool_free)

/* Zeroed and aligned for any type; NULL: out of memory. */
void *pool_alloc(struct pool *pool, size_t size);
char *pool_strdup(struct pool *pool, const char *text);
char *pool_strndup(struct pool *pool, const char *text, size_t size);
char *pool_printf(struct pool *pool, const char *format, ...) _printf_(2, 3);

#endif
