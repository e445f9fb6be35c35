/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What plugins learnt about devices, kept over restarts in one small JSON file. Losing it costs only
 * the learning again, so it is replaced atomically but not synced: the main thread never waits for the disk.
 */
#ifndef HAYWAIN_FIELD_MEMORY_H
#define HAYWAIN_FIELD_MEMORY_H

#include "base/util.h"

struct memory;

/* path: NULL: not kept. A file that cannot be read counts as empty. NULL: out of memory. */
struct memory *memory_new(const char *path);
struct memory *memory_free(struct memory *memory);

/* As hay_host.remember and recall. -EINVAL for a long key or value, -errno where the file cannot be written. */
int memory_put(struct memory *memory, const char *device, const char *key, const void *data, size_t size);
int memory_get(struct memory *memory, const char *device, const char *key, void *data, size_t size);

#endif
