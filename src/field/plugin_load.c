/* SPDX-License-Identifier: Apache-2.0 */
#include "field/plugin_load.h"
#include "base/buf.h"
#include "base/conf.h"
#include "base/pool.h"
#include "base/util.h"
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

struct plugin_set {
	struct pool *pool;
	char **dirs; /* in which plugins are looked for, in this order; NULL-terminated */
	struct plugin *plugins;
	char *error;
};

static int split_dirs(struct plugin_set *set, const char *dirs)
{
	size_t n = 1;

	for (const char *at = dirs; *at; at++)
		n += *at == ':';
	set->dirs = pool_alloc(set->pool, (n + 1) * sizeof(*set->dirs));
	if (!set->dirs)
		return -ENOMEM;
	n = 0;
	while (*dirs) {
		size_t size = strcspn(dirs, ":");

		if (size > 0) {
			set->dirs[n] = pool_strndup(set->pool, dirs, size);
			if (!set->dirs[n++])
				return -ENOMEM;
		}
		dirs += size + (dirs[size] == ':');
	}
	return 0;
}

struct plugin_set *plugin_set_new(const char *dirs)
{
	struct plugin_set *set = calloc(1, sizeof(*set));

	if (!set)
		return NULL;
	if (!dirs)
		dirs = getenv("HAYWAIN_PLUGIN_DIR");
	set->pool = pool_new();
	if (!set->pool || split_dirs(set, dirs ? dirs : HAYWAIN_PLUGIN_DIRS) < 0)
		return plugin_set_free(set);
	return set;
}

struct plugin_set *plugin_set_free(struct plugin_set *set)
{
	if (!set)
		return NULL;
	free(set->error);
	pool_free(set->pool);
	free(set);
	return NULL;
}

/* Keeps what is common to the plugin's idea of the descriptor and ours; what it does not know is zero. */
const struct plugin *plugin_add(struct plugin_set *set, const struct hay_plugin *descriptor)
{
	struct plugin *plugin = pool_alloc(set->pool, sizeof(*plugin));

	if (!plugin)
		return NULL;
	memcpy(&plugin->descriptor, descriptor, MIN((size_t)descriptor->size, sizeof(plugin->descriptor)));
	plugin->next = set->plugins;
	set->plugins = plugin;
	return plugin;
}

static const struct plugin *fail_load(struct plugin_set *set, const char **ret_error, const char *format, ...)
	_printf_(3, 4);
static const struct plugin *fail_load(struct plugin_set *set, const char **ret_error, const char *format, ...)
{
	va_list args;

	free(set->error);
	va_start(args, format);
	if (vasprintf(&set->error, format, args) < 0)
		set->error = NULL;
	va_end(args);
	*ret_error = set->error ? set->error : "out of memory";
	return NULL;
}

static int is_plugin(const struct dirent *entry)
{
	size_t size = strlen(entry->d_name);

	return entry->d_name[0] != '.' && size > 3 && strcmp(entry->d_name + size - 3, ".so") == 0;
}

static int compare_names(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* One folder's, behind the n that are there. -errno. */
static int add_names(struct plugin_set *set, const char *dir, const char ***names, size_t *n)
{
	struct dirent **entries = NULL;
	int n_entries = scandir(dir, &entries, is_plugin, alphasort), r = 0;
	const char **more;

	if (n_entries < 0)
		return errno == ENOENT ? 0 : -errno;
	more = reallocarray(*names, *n + (size_t)n_entries + 1, sizeof(*more));
	if (more)
		*names = more;
	for (int i = 0; i < n_entries; i++) {
		const char *name = pool_strndup(set->pool, entries[i]->d_name, strlen(entries[i]->d_name) - 3);
		bool known = false;

		free(entries[i]);
		if (!more || !name)
			r = -ENOMEM;
		for (size_t j = 0; r == 0 && j < *n; j++)
			known |= strcmp(more[j], name) == 0;
		if (r == 0 && !known)
			more[(*n)++] = name;
	}
	free(entries);
	return r;
}

int plugin_names(struct plugin_set *set, const char ***ret, const char **ret_error)
{
	const char **names = calloc(1, sizeof(*names));
	size_t n = 0;
	int r = names ? 0 : -ENOMEM;

	for (char **dir = set->dirs; *dir && r == 0; dir++) {
		r = add_names(set, *dir, &names, &n);
		if (r < 0)
			fail_load(set, ret_error, "the folder %s cannot be read: %s", *dir, strerror(-r));
	}
	if (r < 0) {
		free(names);
		return r;
	}
	qsort(names, n, sizeof(*names), compare_names);
	names[n] = NULL;
	*ret = names;
	return 0;
}

/* There is no file for it: which are there, and which of them may have been meant. */
static const struct plugin *fail_unknown(struct plugin_set *set, const char *name, const char **ret_error)
{
	struct conf_nearest nearest = {.word = name};
	_cleanup_buf_ struct buf all = {0}, where = {0};
	_cleanup_free_ const char **names = NULL;
	const char *error = "out of memory";

	if (plugin_names(set, &names, &error) < 0) {
		_cleanup_free_ char *why = strdup(error);

		return fail_load(set, ret_error, "there is no plugin `%s`: %s", name, why ? why : "out of memory");
	}
	for (char **dir = set->dirs; *dir; dir++)
		buf_printf(&where, "%s%s", where.size > 0 ? " and " : "", *dir);
	for (size_t i = 0; names[i]; i++) {
		conf_nearest_try(&nearest, names[i]);
		buf_printf(&all, "%s`%s`", all.size > 0 ? ", " : "", names[i]);
	}
	if (nearest.best)
		return fail_load(set, ret_error, "there is no plugin `%s`, did you mean `%s`?", name, nearest.best);
	return fail_load(set, ret_error, "there is no plugin `%s`: in %s there %s %s", name, buf_text(&where),
			 all.size > 0 ? "are" : "is", all.size > 0 ? buf_text(&all) : "none");
}

/* Members that this host does not know are set somewhere in a table: it could not do what they ask for. */
static bool table_is_newer(const struct hay_option *table)
{
	for (const struct hay_option *option = table; option && option->key; option++) {
		for (size_t i = 0; i < ELEMENTS(option->reserved); i++)
			if (option->reserved[i])
				return true;
		if (option->type == HAY_OPT_GROUP && table_is_newer(option->group))
			return true;
	}
	return false;
}

/* The first folder that has it; NULL: none, or out of memory (*ret_error is set then). */
static char *find_file(struct plugin_set *set, const char *name, const char **ret_error)
{
	*ret_error = NULL;
	for (char **dir = set->dirs; *dir; dir++) {
		char *path;

		if (asprintf(&path, "%s/%s.so", *dir, name) < 0) {
			fail_load(set, ret_error, "out of memory");
			return NULL;
		}
		if (access(path, F_OK) == 0)
			return path;
		if (errno != ENOENT)
			fail_load(set, ret_error, "plugin `%s` cannot be loaded: %s: %s", name, path, strerror(errno));
		free(path);
		if (*ret_error)
			return NULL;
	}
	return NULL;
}

const struct plugin *plugin_get(struct plugin_set *set, const char *name, const char **ret_error)
{
	_cleanup_free_ char *path = NULL;

	for (struct plugin *plugin = set->plugins; plugin; plugin = plugin->next)
		if (strcmp(plugin->descriptor.name, name) == 0)
			return plugin;

	path = find_file(set, name, ret_error);
	if (!path)
		return *ret_error ? NULL : fail_unknown(set, name, ret_error);

	/* Never unloaded: a plugin's library may have threads or handlers of its own. */
	void *object = dlopen(path, RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE);

	if (!object)
		return fail_load(set, ret_error, "plugin `%s` cannot be loaded: %s", name, dlerror());

	const struct hay_plugin *descriptor = dlsym(object, "hay_plugin");

	if (!descriptor || descriptor->magic != HAY_MAGIC) {
		dlclose(object);
		return fail_load(set, ret_error, "%s is no Haywain plugin: it %s `hay_plugin`", path,
				 descriptor ? "has another kind of" : "does not export");
	}
	if (descriptor->abi != HAY_ABI) {
		unsigned abi = descriptor->abi;

		dlclose(object);
		return fail_load(
			set, ret_error,
			"plugin `%s` was built for plugin interface %u, this Haywain has %u: build it again against <haywain/plugin.h> of version " HAYWAIN_VERSION,
			name, abi, HAY_ABI);
	}
	if (table_is_newer(descriptor->link_options.table) || table_is_newer(descriptor->device_options.table) ||
	    table_is_newer(descriptor->point_options.table)) {
		dlclose(object);
		return fail_load(set, ret_error,
				 "plugin `%s` was built for a newer Haywain than version " HAYWAIN_VERSION
				 ": upgrade Haywain",
				 name);
	}
	if (strcmp(descriptor->name, name) != 0) {
		_cleanup_free_ char *says = strdup(descriptor->name);

		dlclose(object);
		return fail_load(set, ret_error, "%s says it is the plugin `%s`: a plugin's file bears its name", path,
				 says ? says : "?");
	}
	const struct plugin *plugin = plugin_add(set, descriptor);

	return plugin ? plugin : fail_load(set, ret_error, "out of memory");
}
