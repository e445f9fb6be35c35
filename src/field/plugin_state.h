/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What plugins learnt about devices, kept over restarts in one small JSON file. Counters that tell an old
 * advertisement from a new one rest on it, so it reaches the disk before it takes its name. A thread of its own
 * writes it, what changed within a few seconds at once: no caller waits for the disk.
 */
#ifndef HAYWAIN_FIELD_PLUGIN_STATE_H
#define HAYWAIN_FIELD_PLUGIN_STATE_H

#include "base/util.h"
#include <stdbool.h>

struct plugin_state;

/* path: NULL: not kept. A file that cannot be read is logged, quarantined as PATH.damaged, and counts as empty.
   NULL: out of memory. */
struct plugin_state *plugin_state_new(const char *path);
/* Awaits the disk, unlike plugin_state_flush(). */
struct plugin_state *plugin_state_free(struct plugin_state *state);

/* As hay_host.remember and recall. -EINVAL for a long key or value. That the file cannot be written is logged,
   and it is tried again. */
int plugin_state_put(struct plugin_state *state, const char *device, const char *key, const void *data, size_t size);
int plugin_state_get(struct plugin_state *state, const char *device, const char *key, void *data, size_t size);

/* Forget all devices but those of which is_wanted() says so. */
void plugin_state_retain(struct plugin_state *state, bool (*is_wanted)(const char *device, void *userdata),
			 void *userdata);

/* Write what was put at once, and wait for it. -ETIMEDOUT: the disk takes longer. 0 also where it was logged that
   the file cannot be written. */
int plugin_state_flush(struct plugin_state *state, uint64_t timeout_us);

#endif
