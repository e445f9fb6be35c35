/* SPDX-License-Identifier: Apache-2.0 */
/* Links and devices as configured. */
#include "base/pool.h"
#include "field/field_conf_private.h"
#include "field/plugin_load.h"

#include <stdarg.h>
#include <string.h>

struct link_keys {
	const char *name, *plugin;
};

const struct hay_option field_link_options[] = {
	{.key = "name",
	 .type = HAY_OPT_NAME,
	 .offset = offsetof(struct link_keys, name),
	 .flags = HAY_OPT_REQUIRED,
	 .help = "what the devices call it"},
	{.key = "plugin",
	 .type = HAY_OPT_NAME,
	 .offset = offsetof(struct link_keys, plugin),
	 .flags = HAY_OPT_REQUIRED,
	 .help = "who speaks its protocol"},
	{.key = NULL},
};

struct device_keys {
	const char *name, *link, *model;
	uint64_t every_us;
	bool enabled;
};

const struct hay_option field_device_options[] = {
	{.key = "name",
	 .type = HAY_OPT_NAME,
	 .offset = offsetof(struct device_keys, name),
	 .flags = HAY_OPT_REQUIRED,
	 .help = "what the device is called"},
	{.key = "link",
	 .type = HAY_OPT_NAME,
	 .offset = offsetof(struct device_keys, link),
	 .flags = HAY_OPT_REQUIRED,
	 .help = "the link it is on"},
	{.key = "model",
	 .type = HAY_OPT_NAME,
	 .offset = offsetof(struct device_keys, model),
	 .help = "the model whose keys and points it has"},
	{.key = "every",
	 .type = HAY_OPT_DURATION,
	 .offset = offsetof(struct device_keys, every_us),
	 .fallback = "10s",
	 .min = EVERY_MIN_US,
	 .max = EVERY_MAX_US,
	 .help = "its poll period"},
	{.key = "enabled",
	 .type = HAY_OPT_BOOL,
	 .offset = offsetof(struct device_keys, enabled),
	 .fallback = "true",
	 .help = "false switches it off"},
	{.key = NULL},
};

const char *member_text(const config_setting_t *setting, const char *key)
{
	struct conf_group group = conf_group_of(setting);
	const config_setting_t *member = conf_group_get(&group, key);

	return member && config_setting_type(member) == CONFIG_TYPE_STRING ? config_setting_get_string(member) : NULL;
}

static uint64_t group_digest(const struct conf_group *group, const char *file)
{
	uint64_t digest = conf_group_digest(group);
	const char *slash = strrchr(file, '/');

	/* Relative paths of secrets are looked up beside the file. */
	return conf_digest_add(digest, file, slash ? (size_t)(slash - file) : 0);
}

/* ---- link ---- */

struct link_conf *link_conf_free(struct link_conf *conf)
{
	if (conf)
		pool_free(conf->pool);
	return NULL;
}

struct link_conf *link_conf_read(const config_setting_t *setting, struct plugin_set *plugins,
				 struct conf_messages *messages)
{
	_cleanup_(pool_freep) struct pool *pool = pool_new();
	struct conf_group group = conf_group_of(setting);
	struct link_conf *link = pool ? pool_alloc(pool, sizeof(*link)) : NULL;
	const char *name = member_text(setting, "name"), *plugin_name = member_text(setting, "plugin"), *error, *what;
	struct link_keys keys = {0};
	struct conf_part parts[] = {
		{.table = field_link_options, .into = &keys}, {0}, {.elsewhere = "a device"}, {.elsewhere = "a point"}};
	struct conf_report report;

	what = link && name ? pool_printf(pool, "link `%s`", name) : "this link";
	if (!link || !what) {
		conf_error_at(messages, setting, "out of memory");
		return NULL;
	}
	if (!plugin_name || !conf_is_name(plugin_name)) {
		conf_read_keys(&group, what, parts, 1, pool, messages);
		return NULL;
	}
	link->plugin = plugin_get(plugins, plugin_name, &error);
	if (!link->plugin) {
		conf_read_keys(&group, what, parts, 1, pool, messages);
		conf_error_at(messages, conf_group_get(&group, "plugin"), "%s", error);
		return NULL;
	}

	link->conf = pool_alloc(pool, MAX(link->plugin->descriptor.link_options.size, (size_t)1));
	link->file = pool_strdup(pool, conf_setting_file(setting));
	if (!link->conf || !link->file) {
		conf_error_at(messages, setting, "out of memory");
		return NULL;
	}
	parts[1] = (struct conf_part){
		.table = link->plugin->descriptor.link_options.table, .into = link->conf, .plugin = plugin_name};
	parts[2].table = link->plugin->descriptor.device_options.table;
	parts[3].table = link->plugin->descriptor.point_options.table;
	link->bad = conf_read_group(&group, what, parts, ELEMENTS(parts), NULL, pool, messages) > 0;
	if (!link->bad && link->plugin->descriptor.check_link) {
		conf_report_init(&report, &group, what, messages);
		link->plugin->descriptor.check_link(link->conf, &report.report);
		link->bad = report.n_errors > 0;
	}
	link->line = conf_setting_line(setting);
	link->name = keys.name;
	link->digest = group_digest(&group, link->file);
	link->pool = pool;
	pool = NULL;
	return link;
}

/* ---- device ---- */

struct device_conf *device_conf_free(struct device_conf *conf)
{
	if (conf)
		pool_free(conf->pool);
	return NULL;
}

static int compare_tags(const void *a, const void *b)
{
	return strcmp(((const struct tag *)a)->name, ((const struct tag *)b)->name);
}

static unsigned read_tags(struct device_conf *device, const struct conf_group *group, struct conf_messages *messages)
{
	struct conf_group tags = {0};
	unsigned n_errors = 0;
	size_t n = 0;

	for (unsigned i = 0; i < group->n_layers; i++) {
		struct conf_group layer = conf_group_of(group->layers[i]);
		const config_setting_t *setting = conf_group_get(&layer, "tags");

		if (!setting)
			continue;
		if (!config_setting_is_group(setting)) {
			n_errors += conf_error_at(messages, setting,
						  "`tags` must be a group: tags: { room = \"cellar\"; };");
			continue;
		}
		tags.layers[tags.n_layers++] = setting;
		n += (size_t)config_setting_length(setting);
	}
	if (n == 0)
		return n_errors;
	device->tags = pool_alloc(device->pool, n * sizeof(*device->tags));
	if (!device->tags)
		return n_errors + conf_error_at(messages, tags.layers[0], "out of memory");

	for (unsigned i = 0; i < tags.n_layers; i++)
		for (int j = 0; j < config_setting_length(tags.layers[i]); j++) {
			const config_setting_t *setting = config_setting_get_elem(tags.layers[i], (unsigned)j);
			const char *name = config_setting_name(setting);
			struct tag *tag = &device->tags[device->n_tags];

			if (conf_group_get(&tags, name) != setting)
				continue; /* the device's own has its place */
			if (!conf_is_name(name))
				n_errors += conf_error_at(
					messages, setting,
					"the tag `%s` must be 1 to 64 letters, digits, `_`, `.` or `-`", name);
			else if (config_setting_type(setting) != CONFIG_TYPE_STRING)
				n_errors +=
					conf_error_at(messages, setting,
						      "the tag `%s` must be a text in quotes, like \"cellar\"", name);
			else {
				tag->name = pool_strdup(device->pool, name);
				tag->value = pool_strdup(device->pool, config_setting_get_string(setting));
				if (!tag->name || !tag->value)
					return n_errors + conf_error_at(messages, setting, "out of memory");
				device->n_tags++;
			}
		}
	qsort(device->tags, device->n_tags, sizeof(*device->tags), compare_tags);
	return n_errors;
}

/* plugin and manual are known, but only in a model. */
static unsigned check_own_keys(const config_setting_t *setting, const struct link_conf *link,
			       struct conf_messages *messages)
{
	struct conf_group own = conf_group_of(setting);
	const config_setting_t *plugin = conf_group_get(&own, "plugin"), *manual = conf_group_get(&own, "manual");
	unsigned n_errors = 0;

	if (plugin)
		n_errors +=
			conf_error_at(messages, plugin,
				      "unknown key `plugin`: a device speaks what its link `%s` speaks", link->name);
	if (manual)
		n_errors += conf_error_at(messages, manual, "unknown key `manual`: it belongs in a model");
	return n_errors;
}

static unsigned read_device(struct device_conf *device, const config_setting_t *setting, const struct link_conf *link,
			    struct conf_messages *messages, bool *ret_enabled)
{
	static const char *const others[] = {"tags", "points", "report", "plugin", "manual", NULL};
	_cleanup_(conf_file_freep) struct conf_file *model_file = NULL;
	const struct hay_plugin *plugin = &link->plugin->descriptor;
	struct conf_group group = conf_group_of(setting), own = group, below;
	const char *name = member_text(setting, "name"), *model = member_text(setting, "model"), *what;
	const config_setting_t *model_setting = NULL;
	struct device_keys keys = {0};
	struct conf_part parts[] = {
		{.table = field_device_options, .into = &keys},
		{.table = plugin->device_options.table, .into = device->conf, .plugin = plugin->name},
		{.table = plugin->link_options.table, .elsewhere = "a link"},
		{.table = plugin->point_options.table, .elsewhere = "a point"},
	};
	struct conf_report report;
	unsigned n_errors = link->bad; /* then the plugin is not asked: it would look at the link */

	what = name ? pool_printf(device->pool, "device `%s`", name) : "this device";
	if (!what)
		return conf_error_at(messages, setting, "out of memory");
	n_errors += check_own_keys(setting, link, messages);
	if (model && conf_is_name(model)) {
		model_setting = model_read(model, conf_group_get(&own, "model"), link, messages, &model_file);
		if (!model_setting) {
			/* Most of what the device lacks would stand in the model: what else is wrong shows when it
			   is there. */
			return n_errors + 1 + conf_read_keys(&group, what, parts, 1, device->pool, messages);
		}
		group.layers[group.n_layers++] = model_setting;
	}

	n_errors += conf_read_group(&group, what, parts, ELEMENTS(parts), others, device->pool, messages);
	*ret_enabled = keys.enabled;
	device->name = keys.name;
	device->link = keys.link;
	device->model = keys.model;
	device->every_us = keys.every_us;
	n_errors += report_conf_read(&group, device->pool, messages, &device->report);
	n_errors += read_tags(device, &group, messages);
	device->digest = group_digest(&group, device->file);
	if (n_errors == 0 && plugin->check_device) {
		conf_report_init(&report, &group, what, messages);
		plugin->check_device(device->conf, link->conf, &report.report);
		n_errors += report.n_errors;
	}
	if (model_setting)
		below = conf_group_of(model_setting);
	n_errors += points_conf_read(device, link, conf_group_get(&own, "points"),
				     model_setting ? conf_group_get(&below, "points") : NULL, n_errors == 0, messages);
	if (n_errors == 0 && device->n_points == 0 && plugin->flags & HAY_PLUGIN_NEEDS_POINTS && keys.enabled)
		n_errors += conf_error_at(messages, setting,
					  "device `%s` has no points: list them in `points`, or name its `model`",
					  device->name);
	return n_errors;
}

struct device_conf *device_conf_read(const config_setting_t *setting, const struct link_conf *link,
				     struct conf_messages *messages, bool *ret_enabled)
{
	_cleanup_(pool_freep) struct pool *pool = pool_new();
	struct device_conf *device = pool ? pool_alloc(pool, sizeof(*device)) : NULL;
	bool enabled = true;
	unsigned n_errors;

	*ret_enabled = true;
	if (device) {
		device->pool = pool;
		device->conf = pool_alloc(pool, MAX(link->plugin->descriptor.device_options.size, (size_t)1));
		device->file = pool_strdup(pool, conf_setting_file(setting));
		device->line = conf_setting_line(setting);
	}
	if (!device || !device->conf || !device->file) {
		conf_error_at(messages, setting, "out of memory");
		return NULL;
	}
	n_errors = read_device(device, setting, link, messages, &enabled);
	if (n_errors > 0)
		return NULL;
	*ret_enabled = enabled;
	if (!enabled)
		return NULL;
	pool = NULL;
	return device;
}
