/* SPDX-License-Identifier: Apache-2.0 */
/* Plugins: found by name, loaded once, never unloaded (RTLD_NODELETE), refused with one clear line. Main thread. */
#ifndef HAYWAIN_FIELD_PLUGIN_LOAD_H
#define HAYWAIN_FIELD_PLUGIN_LOAD_H

#include <haywain/plugin.h>

/* What the host knows of a loaded plugin: the descriptor, completed to the size this host knows. */
struct plugin {
	struct plugin *next;
	struct hay_plugin descriptor;
};

struct plugin_set;

/* dir: where NAME.so lie; NULL: $HAYWAIN_PLUGIN_DIR, else the installed place. */
struct plugin_set *plugin_set_new(const char *dir);
struct plugin_set *plugin_set_free(struct plugin_set *set);

/* Find or load. NULL: *ret_error says why and what would be right; the string is the set's until the next call. */
const struct plugin *plugin_get(struct plugin_set *set, const char *name, const char **ret_error);

/* A plugin linked into the caller, for tests. */
const struct plugin *plugin_add(struct plugin_set *set, const struct hay_plugin *descriptor);

#endif
