/* SPDX-License-Identifier: Apache-2.0 */
/* Links, devices and points as configured: read by the option tables of the daemon and of the link's plugin. */
#ifndef HAYWAIN_FIELD_CONF_H
#define HAYWAIN_FIELD_CONF_H

#include "base/conf.h"
#include "model/series.h"
#include "normalize/rules.h"
#include <haywain/plugin.h>

struct plugin; /* a loaded one: field/plugin_load.h */
struct plugin_set;

struct link_conf {
	struct pool *pool; /* owns everything below */
	uint64_t digest;
	const char *file; /* where it stands */
	unsigned line;

	const char *name;
	bool bad; /* mistakes were reported: only good for looking at its devices, which are bad too */
	const struct plugin *plugin;
	void *conf; /* of plugin's link_options */
};

struct point_conf {
	struct hay_point point;	   /* name, type, unit, conf …: what the plugin sees */
	int decimals;		   /* -1: as they come */
	double min, max;	   /* NaN: none */
	struct hay_value *invalid; /* raw values that mean "not available", of point.type */
	size_t n_invalid;
	struct report_conf report;
};

struct device_conf {
	struct pool *pool; /* owns everything below */
	uint64_t digest;
	const char *file;
	unsigned line;

	const char *name, *link;
	const char *model; /* or NULL */
	uint64_t every_us;
	struct report_conf report; /* for points that the plugin adds */
	struct tag *tags;	   /* sorted by name */
	size_t n_tags;
	struct point_conf *points; /* only enabled ones */
	size_t n_points;
	void *conf; /* of the plugin's device_options */
};

/* The keys that every link, device, point and `report` has. */
extern const struct hay_option field_link_options[], field_device_options[], field_point_options[],
	field_report_options[];

/* Its port, url or adapter as written; NULL: none. */
const char *link_conf_target(const struct link_conf *conf);

struct link_conf *link_conf_free(struct link_conf *conf);
struct device_conf *device_conf_free(struct device_conf *conf);

/* Read one group of `links`. Loads the plugin it names. NULL or marked bad: mistakes, which messages hold. */
struct link_conf *link_conf_read(const config_setting_t *setting, struct plugin_set *plugins,
				 struct conf_messages *messages);

/* Read one group of `devices`, with its model. link: the one it names. *ret_enabled false: switched off, and NULL
   comes back without a mistake. */
struct device_conf *device_conf_read(const config_setting_t *setting, const struct link_conf *link,
				     struct conf_messages *messages, bool *ret_enabled);

/* Each model that is there, in no order; one that stands in several folders once. */
void model_each(void (*fn)(const char *name, const char *path, void *userdata), void *userdata);

/* Where models are looked for, in this order; tests set their own. NULL-terminated. */
void device_conf_set_model_dirs(const char *const *dirs);

#endif
