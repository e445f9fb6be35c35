/* SPDX-License-Identifier: Apache-2.0 */
#include "field/plugin_load.h"
#include "base/pool.h"
#include "base/util.h"
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
		return fail(set, ret_error, "there is no plugin `%s`: %s: %s", name, path, strerror(errno));

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
