/* SPDX-License-Identifier: Apache-2.0 */
#include "gateway_field.h"
#include <errno.h>

/* What is bad in the new configuration, by kind; each ends with NULL. */
struct bad_names {
	const char **links, **devices, **files;
};

static void bad_names_done(struct bad_names *names)
{
	free(names->links);
	free(names->devices);
	free(names->files);
}

static int list_bad(const struct config *config, struct bad_names *ret)
{
	size_t n = config->n_bad + 1, n_links = 0, n_devices = 0, n_files = 0;

	ret->links = calloc(n, sizeof(*ret->links));
	ret->devices = calloc(n, sizeof(*ret->devices));
	ret->files = calloc(n, sizeof(*ret->files));
	if (!ret->links || !ret->devices || !ret->files)
		return -ENOMEM;
	for (size_t i = 0; i < config->n_bad; i++) {
		const struct config_bad *bad = &config->bad[i];

		switch (bad->kind) {
		case CONFIG_BAD_LINK:
			ret->links[n_links++] = bad->name;
			break;
		case CONFIG_BAD_DEVICE:
			ret->devices[n_devices++] = bad->name;
			break;
		case CONFIG_BAD_FILE:
			ret->files[n_files++] = bad->name;
			break;
		}
	}
	return 0;
}

int gateway_field_apply(struct field *field, struct plugin_set *plugins, const struct self_sources *self,
			struct config *config, struct field_changes *ret)
{
	_cleanup_(bad_names_done) struct bad_names bad = {0};
	_cleanup_free_ struct link_conf **links = calloc(config->n_links + 1, sizeof(struct link_conf *));
	_cleanup_free_ struct device_conf **devices = calloc(config->n_devices + 1, sizeof(struct device_conf *));
	struct field_wanted wanted = {.links = links, .devices = devices};

	if (!links || !devices || list_bad(config, &bad) < 0)
		return -ENOMEM;
	/* The gateway's own device comes last. */
	if (config->self_every_us > 0 &&
	    self_conf(plugins, self, config->self_every_us, &links[config->n_links], &devices[config->n_devices]) < 0)
		return -ENOMEM;
	for (size_t i = 0; i < config->n_links; i++) {
		links[i] = config->links[i];
		config->links[i] = NULL;
	}
	for (size_t i = 0; i < config->n_devices; i++) {
		devices[i] = config->devices[i];
		config->devices[i] = NULL;
	}
	wanted.n_links = config->n_links + (config->self_every_us > 0);
	wanted.n_devices = config->n_devices + (config->self_every_us > 0);
	wanted.keep_links = bad.links;
	wanted.keep_devices = bad.devices;
	wanted.keep_files = bad.files;
	field_apply(field, &wanted, ret);
	for (size_t i = 0; i < wanted.n_links; i++)
		link_conf_free(links[i]);
	for (size_t i = 0; i < wanted.n_devices; i++)
		device_conf_free(devices[i]);
	return 0;
}
