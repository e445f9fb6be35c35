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

/* dirs: the folders in which NAME.so is looked for, with `:` between them; NULL: $HAYWAIN_PLUGIN_DIR, else those
   that were compiled in. NULL: out of memory. */
struct plugin_set *plugin_set_new(const char *dirs);
struct plugin_set *plugin_set_free(struct plugin_set *set);

/* Find or load. NULL: *ret_error says why and what would be right; the string is the set's until the next call. */
const struct plugin *plugin_get(struct plugin_set *set, const char *name, const char **ret_error);

/* The names of the plugins that are there, sorted; one that stands in several folders once. NULL-terminated; the
   list is the caller's, the names are the set's. -errno, and *ret_error as above. */
int plugin_names(struct plugin_set *set, const char ***ret, const char **ret_error);

/* A plugin linked into the program: HAY_PLUGIN_BUILTIN. */
const struct plugin *plugin_add(struct plugin_set *set, const struct hay_plugin *descriptor);

#endif
