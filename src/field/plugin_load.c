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
	char *dir;
	struct plugin *plugins;
	char *error;
};

struct plugin_set *plugin_set_new(const char *dir)
{
	struct plugin_set *set = calloc(1, sizeof(*set));

	if (!set)
		return NULL;
	if (!dir)
		dir = getenv("HAYWAIN_PLUGIN_DIR");
	set->pool = pool_new();
	set->dir = set->pool ? pool_strdup(set->pool, dir ? dir : HAYWAIN_PLUGIN_DIR) : NULL;
	return set->dir ? set : plugin_set_free(set);
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

static const struct plugin *fail(struct plugin_set *set, const char **ret_error, const char *format, ...)
	_printf_(3, 4);
static const struct plugin *fail(struct plugin_set *set, const char **ret_error, const char *format, ...)
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

/* There is no file for it: which are there, and which of them may have been meant. */
static const struct plugin *fail_unknown(struct plugin_set *set, const char *name, const char **ret_error)
{
	struct conf_nearest nearest = {.word = name};
	_cleanup_buf_ struct buf all = {0};
	struct dirent **entries = NULL;
	int n = scandir(set->dir, &entries, is_plugin, alphasort);

	if (n < 0)
		return fail(set, ret_error, "there is no plugin `%s`: the folder %s cannot be read: %s", name, set->dir,
			    strerror(errno));
	for (int i = 0; i < n; i++) {
		entries[i]->d_name[strlen(entries[i]->d_name) - 3] = '\0';
		conf_nearest_try(&nearest, entries[i]->d_name);
		buf_printf(&all, "%s`%s`", i == 0 ? "" : i + 1 < n ? ", " : " and ", entries[i]->d_name);
	}
	if (nearest.best)
		fail(set, ret_error, "there is no plugin `%s`, did you mean `%s`?", name, nearest.best);
	else if (n > 0)
		fail(set, ret_error, "there is no plugin `%s`: in %s there %s %s", name, set->dir,
		     n == 1 ? "is" : "are", buf_text(&all));
	else
		fail(set, ret_error, "there is no plugin `%s`: there is none in %s", name, set->dir);
	for (int i = 0; i < n; i++)
		free(entries[i]);
	free(entries);
	return NULL;
}

const struct plugin *plugin_get(struct plugin_set *set, const char *name, const char **ret_error)
{
	_cleanup_free_ char *path = NULL;

	for (struct plugin *plugin = set->plugins; plugin; plugin = plugin->next)
		if (strcmp(plugin->descriptor.name, name) == 0)
			return plugin;

	if (asprintf(&path, "%s/%s.so", set->dir, name) < 0) {
		path = NULL;
		return fail(set, ret_error, "out of memory");
	}
	if (access(path, F_OK) < 0)
		return errno == ENOENT ? fail_unknown(set, name, ret_error)
				       : fail(set, ret_error, "plugin `%s` cannot be loaded: %s: %s", name, path,
					      strerror(errno));

	/* Never unloaded: a plugin's library may have threads or handlers of its own. */
	void *object = dlopen(path, RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE);

	if (!object)
		return fail(set, ret_error, "plugin `%s` cannot be loaded: %s", name, dlerror());

	const struct hay_plugin *descriptor = dlsym(object, "hay_plugin");

	if (!descriptor || descriptor->magic != HAY_MAGIC) {
		dlclose(object);
		return fail(set, ret_error, "%s is no Haywain plugin: it %s `hay_plugin`", path,
			    descriptor ? "has another kind of" : "does not export");
	}
	if (descriptor->abi != HAY_ABI) {
		unsigned abi = descriptor->abi;

		dlclose(object);
		return fail(
			set, ret_error,
			"plugin `%s` was built for plugin interface %u, this Haywain has %u: build it again against "
			"<haywain/plugin.h> of version " HAYWAIN_VERSION,
			name, abi, HAY_ABI);
	}
	if (strcmp(descriptor->name, name) != 0) {
		_cleanup_free_ char *says = strdup(descriptor->name);

		dlclose(object);
		return fail(set, ret_error, "%s says it is the plugin `%s`: a plugin's file bears its name", path,
			    says ? says : "?");
	}
	const struct plugin *plugin = plugin_add(set, descriptor);

	return plugin ? plugin : fail(set, ret_error, "out of memory");
}
