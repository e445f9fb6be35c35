/* SPDX-License-Identifier: Apache-2.0 */
/* The field's part of the configuration: what is wrong in it is left out, the rest runs. */
#include "base/pool.h"
#include "config_private.h"

#include <errno.h>
#include <string.h>

static int read_links(struct config_loader *loader)
{
	struct config *config = loader->config;

	config->links = pool_alloc(config->pool, (loader->links.n + 1) * sizeof(*config->links));
	if (!config->links)
		return -ENOMEM;
	for (size_t i = 0; i < loader->links.n; i++) {
		const config_setting_t *setting = loader->links.items[i],
				       *first = config_find_earlier(&loader->links, i);
		const char *name = config_name(setting);
		struct link_conf *link;
		int r = 0;

		link = link_conf_read(setting, loader->plugins, loader->messages);
		if (first) {
			conf_error_at(loader->messages, setting, "link `%s` is defined twice; first defined at %s:%u",
				      name, conf_setting_file(first), conf_setting_line(first));
			link_conf_free(link);
		} else if (link && !link->bad) {
			config->links[config->n_links++] = link;
		} else {
			if (link)
				r = list_add(&loader->bad_links, link);
			if (r < 0)
				link_conf_free(link);
			else if (name)
				r = config_add_bad(loader, CONFIG_BAD_LINK, name);
		}
		if (r < 0)
			return r;
	}
	return 0;
}

static const struct link_conf *link_by_name(const struct config *config, const char *name)
{
	for (size_t i = 0; i < config->n_links; i++)
		if (strcmp(config->links[i]->name, name) == 0)
			return config->links[i];
	return NULL;
}

static bool is_enabled(const config_setting_t *setting)
{
	struct conf_group group = conf_group_of(setting);
	const config_setting_t *enabled = conf_group_get(&group, "enabled");

	return !enabled || config_setting_type(enabled) != CONFIG_TYPE_BOOL || config_setting_get_bool(enabled);
}

/* The bad one of that name, where its plugin is known: what else is wrong with its devices can be told. */
static const struct link_conf *bad_link(const struct config_loader *loader, const char *name)
{
	for (size_t i = 0; i < loader->bad_links.n; i++) {
		const struct link_conf *link = loader->bad_links.items[i];

		if (link->name && strcmp(link->name, name) == 0)
			return link;
	}
	return NULL;
}

/* The link a device names; NULL or a bad one: told. */
static const struct link_conf *find_link(struct config_loader *loader, const config_setting_t *setting)
{
	struct conf_group group = conf_group_of(setting);
	const config_setting_t *at = conf_group_get(&group, "link");
	const char *name = config_name(setting), *link_name;
	const struct link_conf *link;
	struct conf_nearest nearest;

	if (!at || config_setting_type(at) != CONFIG_TYPE_STRING) {
		conf_error_at(loader->messages, at ? at : setting, "device `%s` must name its link: link = \"…\";",
			      name ? name : "?");
		return NULL;
	}
	link_name = config_setting_get_string(at);
	link = link_by_name(loader->config, link_name);
	if (link)
		return link;
	for (size_t i = 0; i < loader->bad.n; i++) {
		const struct config_bad *bad = loader->bad.items[i];

		if (bad->kind != CONFIG_BAD_LINK || strcmp(bad->name, link_name) != 0)
			continue;
		/* What is switched off may wait for its link. */
		if (is_enabled(setting))
			conf_error_at(loader->messages, at, "device `%s` cannot be used while its link `%s` has errors",
				      name ? name : "?", link_name);
		return bad_link(loader, link_name);
	}
	nearest = (struct conf_nearest){.word = link_name};
	for (size_t i = 0; i < loader->links.n; i++)
		if (config_name(loader->links.items[i]))
			conf_nearest_try(&nearest, config_name(loader->links.items[i]));
	conf_error_at(loader->messages, at, "there is no link `%s`%s", link_name,
		      conf_nearest_text(&nearest, loader->config->pool));
	return NULL;
}

/* ---- tags that topics name ---- */

static const char *tag_value(const struct device_conf *device, const char *name, size_t size)
{
	for (size_t i = 0; i < device->n_tags; i++)
		if (strlen(device->tags[i].name) == size && memcmp(device->tags[i].name, name, size) == 0)
			return device->tags[i].value;
	return NULL;
}

/* The number of mistakes that {words} of a topic make of a device. */
static unsigned check_topic(struct config_loader *loader, const config_setting_t *setting,
			    const struct device_conf *device, const struct uplink_conf *uplink, const char *topic)
{
	static const char *const known[] = {"gateway", "device", "link", "prefix"};
	unsigned n_errors = 0;

	for (const char *open = topic ? strchr(topic, '{') : NULL; open; open = strchr(open + 1, '{')) {
		const char *word = open + 1, *close = strchr(word, '}'), *value;
		size_t size = close ? (size_t)(close - word) : 0;
		bool is_known = size == 0; /* an unclosed or empty one is the uplink's mistake, and told there */

		for (size_t i = 0; i < ELEMENTS(known); i++)
			if (strlen(known[i]) == size && memcmp(known[i], word, size) == 0)
				is_known = true;
		if (is_known)
			continue;
		value = tag_value(device, word, size);
		if (!value) {
			conf_error_at(
				loader->messages, setting,
				"device `%s` needs the tag `%.*s`, which the topic of uplink `%s` names: tags: { %.*s = \"…\"; };",
				device->name, (int)size, word, uplink->name, (int)size, word);
			n_errors++;
		} else if (!conf_is_name(value)) {
			conf_error_at(
				loader->messages, setting,
				"the tag `%.*s` of device `%s` is used in the topic of uplink `%s`: it must be 1 to 64 letters, digits, `_`, `.` or `-`, not \"%s\"",
				(int)size, word, device->name, uplink->name, value);
			n_errors++;
		}
	}
	return n_errors;
}

static unsigned check_topics(struct config_loader *loader, const config_setting_t *setting,
			     const struct device_conf *device)
{
	const struct config *config = loader->config;
	unsigned n_errors = 0;

	for (size_t i = 0; i < config->n_uplinks; i++) {
		n_errors += check_topic(loader, setting, device, config->uplinks[i], config->uplinks[i]->prefix);
		n_errors += check_topic(loader, setting, device, config->uplinks[i], config->uplinks[i]->topic);
	}
	return n_errors;
}

/* ---- devices ---- */

static int read_device(struct config_loader *loader, size_t at)
{
	struct config *config = loader->config;
	const config_setting_t *setting = loader->devices.items[at], *first = config_find_earlier(&loader->devices, at);
	const char *name = config_name(setting);
	const struct link_conf *link;
	struct device_conf *device = NULL;
	bool enabled = true;

	if (first) {
		conf_error_at(loader->messages, setting, "device `%s` is defined twice; first defined at %s:%u", name,
			      conf_setting_file(first), conf_setting_line(first));
		return 0;
	}
	if (name && strcmp(name, "gateway") == 0) {
		conf_error_at(loader->messages, setting,
			      "the device name `gateway` is reserved: the gateway reports on itself under it");
		return 0;
	}
	link = find_link(loader, setting);
	if (link)
		device = device_conf_read(setting, link, loader->messages, &enabled);
	if (device && check_topics(loader, setting, device) > 0)
		device = device_conf_free(device);
	if (device) {
		config->device_names[config->n_devices] = pool_strdup(config->pool, device->name);
		config->devices[config->n_devices++] = device;
		return config->device_names[config->n_devices - 1] ? 0 : -ENOMEM;
	}
	if (name && enabled && is_enabled(setting))
		return config_add_bad(loader, CONFIG_BAD_DEVICE, name);
	return 0;
}

int config_read_field(struct config_loader *loader)
{
	struct config *config = loader->config;
	int r;

	r = read_links(loader);
	if (r < 0)
		return r;
	config->devices = pool_alloc(config->pool, (loader->devices.n + 1) * sizeof(*config->devices));
	config->device_names = pool_alloc(config->pool, (loader->devices.n + 1) * sizeof(*config->device_names));
	if (!config->devices || !config->device_names)
		return -ENOMEM;
	for (size_t i = 0; i < loader->devices.n; i++) {
		r = read_device(loader, i);
		if (r < 0)
			return r;
	}
	return 0;
}
