/* SPDX-License-Identifier: Apache-2.0 */
/* Models: what a kind of device is like, written once. */
#include "base/pool.h"
#include "field/field_conf_private.h"
#include "field/plugin_load.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

static const char *const installed_dirs[] = {HAYWAIN_SYSCONF_DIR "/models", HAYWAIN_DATA_DIR "/models", NULL};
static const char *const *model_dirs = installed_dirs;

void device_conf_set_model_dirs(const char *const *dirs)
{
	model_dirs = dirs ? dirs : installed_dirs;
}

static bool is_model(const char *name)
{
	size_t size = strlen(name);

	return size > 5 && strcmp(name + size - 5, ".conf") == 0 && name[0] != '.';
}

/* A model of the same name in a folder before that one. */
static bool is_hidden(const char *file, size_t n_folders)
{
	for (size_t i = 0; i < n_folders; i++) {
		_cleanup_free_ char *path = NULL;

		if (asprintf(&path, "%s/%s", model_dirs[i], file) < 0)
			path = NULL;
		if (path && access(path, F_OK) == 0)
			return true;
	}
	return false;
}

void model_each(void (*fn)(const char *name, const char *path, void *userdata), void *userdata)
{
	for (size_t i = 0; model_dirs[i]; i++) {
		DIR *dir = opendir(model_dirs[i]);
		struct dirent *entry;

		while (dir && (entry = readdir(dir))) {
			_cleanup_free_ char *name = NULL, *path = NULL;

			if (!is_model(entry->d_name) || is_hidden(entry->d_name, i))
				continue;
			name = strndup(entry->d_name, strlen(entry->d_name) - 5);
			if (asprintf(&path, "%s/%s", model_dirs[i], entry->d_name) < 0)
				path = NULL;
			if (name && path)
				fn(name, path, userdata);
		}
		if (dir)
			closedir(dir);
	}
}

struct model_search {
	const char *name;
	struct pool *pool;
	struct conf_nearest nearest;
	const char *part;
};

static void try_model(const char *model, const char *path, void *userdata)
{
	struct model_search *search = userdata;
	const char *candidate = pool_strdup(search->pool, model);

	if (!candidate)
		return;
	conf_nearest_try(&search->nearest, candidate);
	/* `sdm120`, or `eastron-sdm120.conf`: what people call eastron-sdm120. */
	if (!search->part && (strcasestr(candidate, search->name) || strcmp(strrchr(path, '/') + 1, search->name) == 0))
		search->part = candidate;
}

/* The nearest of the models there are. */
static unsigned report_missing(const char *name, const config_setting_t *setting, struct conf_messages *messages)
{
	_cleanup_(pool_freep) struct pool *pool = pool_new();
	struct model_search search = {.name = name, .pool = pool, .nearest = {.word = name}};
	const char *places = "";

	for (size_t i = 0; pool && places && model_dirs[i]; i++)
		places = pool_printf(pool, "%s%s%s", places,
				     i == 0		 ? ""
				     : model_dirs[i + 1] ? ", "
							 : " or ",
				     model_dirs[i]);
	if (pool)
		model_each(try_model, &search);
	if (search.part)
		search.nearest.best = search.part;
	return conf_error_at(messages, setting, "there is no model `%s` in %s%s", name,
			     places ? places : "the model directories",
			     pool ? conf_nearest_text(&search.nearest, pool) : "");
}

static unsigned check_model(const config_setting_t *root, const config_setting_t *model, const struct link_conf *link,
			    struct conf_messages *messages)
{
	static const char *const not_here[] = {"name", "link", "model", "enabled"};
	const char *plugin;
	unsigned n_errors = 0;

	for (int i = 0; i < config_setting_length(root); i++) {
		const config_setting_t *setting = config_setting_get_elem(root, (unsigned)i);

		if (strcmp(config_setting_name(setting), "model") != 0)
			n_errors += conf_error_at(messages, setting,
						  "unknown key `%s`: a model file holds one group `model`",
						  config_setting_name(setting));
	}
	for (size_t i = 0; i < ELEMENTS(not_here); i++) {
		const config_setting_t *setting = config_setting_get_member(model, not_here[i]);

		if (setting)
			n_errors += conf_error_at(messages, setting, "`%s` belongs to a device, not to a model",
						  not_here[i]);
	}
	if (config_setting_get_member(model, "manual") && !member_text(model, "manual"))
		n_errors += conf_error_at(messages, config_setting_get_member(model, "manual"),
					  "`manual` must be a text in quotes");
	plugin = member_text(model, "plugin");
	if (!plugin)
		n_errors += conf_error_at(messages, model, "the model must name its plugin: plugin = \"%s\";",
					  link->plugin->descriptor.name);
	return n_errors;
}

const config_setting_t *model_read(const char *name, const config_setting_t *setting, const struct link_conf *link,
				   struct conf_messages *messages, struct conf_file **ret_file)
{
	_cleanup_(conf_file_freep) struct conf_file *file = NULL;
	_cleanup_free_ char *path = NULL;
	const config_setting_t *model;
	const char *plugin;
	unsigned n_errors = 0;

	for (size_t i = 0; model_dirs[i]; i++) {
		free(path);
		if (asprintf(&path, "%s/%s.conf", model_dirs[i], name) < 0) {
			path = NULL;
			conf_error_at(messages, setting, "out of memory");
			return NULL;
		}
		if (access(path, F_OK) == 0)
			break;
		free(path);
		path = NULL;
	}
	if (!path) {
		report_missing(name, setting, messages);
		return NULL;
	}
	if (conf_file_read(path, messages, &file) < 0) {
		conf_error_at(messages, setting, "the model `%s` cannot be used: see %s", name, path);
		return NULL;
	}
	model = config_setting_get_member(conf_file_root(file), "model");
	if (!model || !config_setting_is_group(model)) {
		conf_error(messages, path, 0, "a model file holds one group: model: { … };");
		n_errors++;
	} else {
		n_errors += check_model(conf_file_root(file), model, link, messages);
	}
	if (n_errors > 0) {
		conf_error_at(messages, setting, "the model `%s` cannot be used: see %s", name, path);
		return NULL;
	}
	plugin = member_text(model, "plugin");
	if (strcmp(plugin, link->plugin->descriptor.name) != 0) {
		conf_error_at(messages, setting, "the model `%s` is for plugin `%s`, but link `%s` speaks `%s`", name,
			      plugin, link->name, link->plugin->descriptor.name);
		return NULL;
	}
	*ret_file = file;
	file = NULL;
	return model;
}
