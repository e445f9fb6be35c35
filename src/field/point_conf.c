/* SPDX-License-Identifier: Apache-2.0 */
/* Points as configured, and the report rules of points and devices. */
#include "base/pool.h"
#include "base/units.h"
#include "field/field_conf_private.h"
#include "field/plugin_load.h"

#include <errno.h>
#include <math.h>
#include <string.h>

struct report_keys {
	const char *deadband;
	uint64_t min_interval_us, max_interval_us;
};

const struct hay_option field_report_options[] = {
	{.key = "deadband",
	 .type = HAY_OPT_STRING,
	 .offset = offsetof(struct report_keys, deadband),
	 .flags = HAY_OPT_NUMBER_OK,
	 .help = "report only when the value moved at least this much: a number, or \"1%\""},
	{.key = "min_interval",
	 .type = HAY_OPT_DURATION,
	 .offset = offsetof(struct report_keys, min_interval_us),
	 .help = "shortest time between two reports"},
	{.key = "max_interval",
	 .type = HAY_OPT_DURATION,
	 .offset = offsetof(struct report_keys, max_interval_us),
	 .help = "longest time between two reports"},
	{.key = NULL},
};

enum { ACCESS_READ, ACCESS_WRITE };
static const char *const accesses[] = {"read", "write", NULL};

struct point_keys {
	const char *name, *unit, *type;
	double scale, offset, min, max;
	int64_t decimals;
	uint64_t every_us;
	int access;
	bool enabled;
};

const struct hay_option field_point_options[] = {
	{.key = "name",
	 .type = HAY_OPT_NAME,
	 .offset = offsetof(struct point_keys, name),
	 .flags = HAY_OPT_REQUIRED,
	 .help = "what the reading is called"},
	{.key = "unit", .type = HAY_OPT_STRING, .offset = offsetof(struct point_keys, unit), .help = "unit of measure"},
	{.key = "type",
	 .type = HAY_OPT_STRING,
	 .offset = offsetof(struct point_keys, type),
	 .help = "type of the raw value"},
	{.key = "scale",
	 .type = HAY_OPT_FLOAT,
	 .offset = offsetof(struct point_keys, scale),
	 .fallback = "1",
	 .help = "value = raw × scale + offset"},
	{.key = "offset",
	 .type = HAY_OPT_FLOAT,
	 .offset = offsetof(struct point_keys, offset),
	 .fallback = "0",
	 .help = "value = raw × scale + offset"},
	{.key = "decimals",
	 .type = HAY_OPT_INT,
	 .offset = offsetof(struct point_keys, decimals),
	 .fallback = "-1",
	 .min = 0,
	 .max = 17,
	 .help = "round to these"},
	{.key = "min",
	 .type = HAY_OPT_FLOAT,
	 .offset = offsetof(struct point_keys, min),
	 .fallback = "nan",
	 .help = "a read below it is uncertain, a write is refused"},
	{.key = "max",
	 .type = HAY_OPT_FLOAT,
	 .offset = offsetof(struct point_keys, max),
	 .fallback = "nan",
	 .help = "a read above it is uncertain, a write is refused"},
	{.key = "every",
	 .type = HAY_OPT_DURATION,
	 .offset = offsetof(struct point_keys, every_us),
	 .min = EVERY_MIN_US,
	 .max = EVERY_MAX_US,
	 .help = "this point's own period"},
	{.key = "access",
	 .type = HAY_OPT_CHOICE,
	 .offset = offsetof(struct point_keys, access),
	 .fallback = "read",
	 .choices = accesses,
	 .help = "read, or write (read and write)"},
	{.key = "enabled",
	 .type = HAY_OPT_BOOL,
	 .offset = offsetof(struct point_keys, enabled),
	 .fallback = "true",
	 .help = "false removes the point"},
	{.key = NULL},
};

/* ---- report ---- */

/* "0.2" or "1%" */
static bool parse_deadband(const char *text, struct report_conf *report)
{
	char *end;
	double value;

	if (*text == '\0' || strchr(" \t+", *text))
		return false;
	value = strtod(text, &end);
	report->percent = *end == '%';
	if (end == text || (*end != '\0' && strcmp(end, "%") != 0) || !isfinite(value) || value < 0)
		return false;
	report->deadband = value;
	return true;
}

unsigned report_conf_read(const struct conf_group *group, struct pool *pool, struct conf_messages *messages,
			  struct report_conf *ret)
{
	struct conf_group report = {0};
	struct report_keys keys = {0};
	struct conf_part part = {.table = field_report_options, .into = &keys};
	unsigned n_errors = 0;
	int n_keys = 0;

	*ret = (struct report_conf){.deadband = (double)NAN};
	for (unsigned i = 0; i < group->n_layers; i++) {
		struct conf_group layer = conf_group_of(group->layers[i]);
		const config_setting_t *setting = conf_group_get(&layer, "report");

		if (!setting)
			continue;
		report.layers[report.n_layers++] = setting;
		if (config_setting_is_group(setting))
			n_keys += config_setting_length(setting);
	}
	if (report.n_layers == 0)
		return 0;
	n_errors += conf_read_group(&report, "`report`", &part, 1, NULL, pool, messages);
	if (n_errors > 0)
		return n_errors;

	/* An empty group is how a point says: none of what the device asks for. */
	ret->set = n_keys > 0;
	ret->min_interval_us = keys.min_interval_us;
	ret->max_interval_us = keys.max_interval_us;
	if (keys.deadband && !parse_deadband(keys.deadband, ret))
		n_errors += conf_error_at(messages, conf_group_get(&report, "deadband"),
					  "`deadband` must be a number from 0, or a share like \"1%%\", not \"%s\"",
					  keys.deadband);
	if (keys.max_interval_us > 0 && keys.min_interval_us > keys.max_interval_us)
		n_errors += conf_error_at(messages, conf_group_get(&report, "min_interval"),
					  "`min_interval` is longer than `max_interval`");
	return n_errors;
}

/* ---- one point ---- */

/* What other tools call our types. */
static const char *type_elsewhere(const char *word)
{
	static const struct {
		const char *theirs, *ours;
	} words[] = {
		{"double", "float64"}, {"real", "float32"},    {"single", "float32"}, {"word", "uint16"},
		{"dword", "uint32"},   {"qword", "uint64"},    {"short", "int16"},    {"ushort", "uint16"},
		{"long", "int64"},     {"unsigned", "uint16"}, {"signed", "int16"},   {"boolean", "bool"},
		{"bit", "bool"},       {"text", "string"},     {"str", "string"},     {"ascii", "string"},
		{"u16", "uint16"},     {"u32", "uint32"},      {"u64", "uint64"},     {"i16", "int16"},
		{"i32", "int32"},      {"i64", "int64"},       {"s16", "int16"},      {"s32", "int32"},
		{"s64", "int64"},      {"f32", "float32"},     {"f64", "float64"},    {"bcd", "bcd16"},
	};

	for (size_t i = 0; i < ELEMENTS(words); i++)
		if (strcasecmp(words[i].theirs, word) == 0)
			return words[i].ours;
	return NULL;
}

/* The types that begin with the word whatever its case, or are it: "`int16`, `int32` or `int64`"; NULL: none. */
static const char *types_beginning(const char *word, const struct hay_plugin *plugin, struct pool *pool)
{
	const char *found[HAY_N_TYPES + 16], *text = "";
	size_t n = 0;

	for (int type = HAY_TYPE_NONE + 1; type < HAY_N_TYPES; type++)
		if (strncasecmp(type_to_string((enum hay_type)type), word, strlen(word)) == 0)
			found[n++] = type_to_string((enum hay_type)type);
	for (const char *const *type = plugin->types; type && *type && n < ELEMENTS(found); type++)
		if (strncasecmp(*type, word, strlen(word)) == 0)
			found[n++] = *type;
	for (size_t i = 0; i < n && text; i++)
		text = pool_printf(pool, "%s%s`%s`", text, i == 0 ? "" : i + 1 < n ? ", " : " or ", found[i]);
	return n > 0 ? text : NULL;
}

static unsigned read_type(const struct point_keys *keys, const struct conf_group *group,
			  const struct hay_plugin *plugin, struct point_conf *point, struct pool *pool,
			  struct conf_messages *messages)
{
	struct conf_nearest nearest = {.word = keys->type};

	if (!keys->type)
		return 0;
	point->point.type_name = keys->type;
	point->point.type = type_from_name(keys->type);
	if (point->point.type != HAY_TYPE_NONE)
		return 0;
	for (const char *const *type = plugin->types; type && *type; type++) {
		if (strcmp(*type, keys->type) == 0)
			return 0;
		conf_nearest_try(&nearest, *type);
	}
	for (int type = HAY_TYPE_NONE + 1; type < HAY_N_TYPES; type++)
		conf_nearest_try(&nearest, type_to_string((enum hay_type)type));

	const config_setting_t *setting = conf_group_get(group, "type");
	const char *ours = type_elsewhere(keys->type), *beginning = types_beginning(keys->type, plugin, pool);

	if (ours)
		return conf_error_at(messages, setting, "unknown type `%s`, did you mean `%s`?", keys->type, ours);
	if (beginning && *keys->type)
		return conf_error_at(messages, setting, "unknown type `%s`, did you mean %s?", keys->type, beginning);
	return conf_error_at(
		messages, setting, "unknown type `%s`%s", keys->type,
		nearest.best
			? conf_nearest_text(&nearest, pool)
			: ": it is bool, int16, uint16, int32, uint32, int64, uint64, float32, float64, string, bytes or one of the protocol's own");
}

/* Keys that are about numbers say nothing of a text or a switch. */
static unsigned check_numeric(const struct conf_group *group, const struct point_conf *point,
			      struct conf_messages *messages)
{
	static const char *const numeric[] = {"scale", "offset", "decimals", "min", "max"};
	enum hay_type type = point->point.type;
	unsigned n_errors = 0;

	if (type != HAY_BOOL && type != HAY_STRING && type != HAY_BYTES)
		return 0;
	for (size_t i = 0; i < ELEMENTS(numeric); i++)
		if (conf_group_get(group, numeric[i]))
			n_errors += conf_error_at(messages, conf_group_get(group, numeric[i]),
						  "`%s` is for numbers, but this is a %s", numeric[i],
						  type_to_string(type));
	return n_errors;
}

static unsigned check_keys(const struct point_keys *keys, const struct conf_group *group,
			   const struct hay_plugin *plugin, struct conf_messages *messages)
{
	unsigned n_errors = 0;

	if (keys->scale == 0)
		n_errors += conf_error_at(messages, conf_group_get(group, "scale"),
					  "`scale` = 0 would make every reading the same: leave it out for no scaling");
	if (keys->min > keys->max)
		n_errors += conf_error_at(messages, conf_group_get(group, "min"), "`min` is greater than `max`");
	if (keys->access == ACCESS_WRITE && !plugin->write)
		n_errors += conf_error_at(messages, conf_group_get(group, "access"),
					  "plugin `%s` cannot write: `access` must be \"read\"", plugin->name);
	return n_errors;
}

static unsigned read_point(struct device_conf *device, const struct link_conf *link, const struct conf_group *group,
			   bool check, struct conf_messages *messages, struct point_conf *point, bool *ret_enabled)
{
	static const char *const others[] = {"report", "invalid", NULL};
	const struct hay_plugin *plugin = &link->plugin->descriptor;
	struct pool *pool = device->pool;
	struct point_keys keys = {0};
	void *conf = pool_alloc(pool, MAX(plugin->point_options.size, (size_t)1));
	struct conf_part parts[] = {
		{.table = field_point_options, .into = &keys},
		{.table = plugin->point_options.table, .into = conf, .plugin = plugin->name},
		{.table = plugin->link_options.table, .elsewhere = "a link"},
		{.table = plugin->device_options.table, .elsewhere = "a device"},
	};
	const char *name = member_text(group->layers[0], "name");
	const char *what = name ? pool_printf(pool, "point `%s`", name) : "this point";
	struct conf_report report;
	unsigned n_errors, n_own;

	if (!conf || !what)
		return conf_error_at(messages, group->layers[0], "out of memory");
	n_errors = conf_read_group(group, what, parts, ELEMENTS(parts), others, pool, messages);
	*ret_enabled = keys.enabled;

	*point = (struct point_conf){
		.point = {.name = keys.name,
			  .unit = keys.unit,
			  .every_us = keys.every_us ? keys.every_us : device->every_us,
			  .flags = keys.access == ACCESS_WRITE ? HAY_POINT_WRITABLE : 0,
			  .scale = keys.scale,
			  .offset = keys.offset,
			  .conf = conf},
		.decimals = (int)keys.decimals,
		.min = keys.min,
		.max = keys.max,
	};
	n_own = read_type(&keys, group, plugin, point, pool, messages);
	n_own += check_keys(&keys, group, plugin, messages);
	n_own += report_conf_read(group, pool, messages, &point->report);
	if (!conf_group_get(group, "report"))
		point->report = device->report;
	n_errors += n_own;

	if (n_errors == 0 && check && plugin->check_point) {
		conf_report_init(&report, group, what, messages);
		plugin->check_point(&point->point, device->conf, link->conf, &report.report);
		n_errors += report.n_errors;
	}
	if (n_errors == 0)
		n_errors += check_numeric(group, point, messages) + invalid_conf_read(group, pool, messages, point);
	return n_errors;
}

/* ---- all points ---- */

static unsigned check_list(const config_setting_t *list, struct conf_messages *messages)
{
	unsigned n_errors = 0;

	if (!list)
		return 0;
	if (!config_setting_is_list(list) && config_setting_length(list) > 0)
		return conf_error_at(messages, list, "`points` must be a list of groups: points: ( { … }, { … } );");
	for (int i = 0; i < config_setting_length(list); i++) {
		const config_setting_t *setting = config_setting_get_elem(list, (unsigned)i);
		const char *name;

		if (!config_setting_is_group(setting)) {
			n_errors += conf_error_at(messages, setting, "a point must be a group: { name = \"…\"; … }");
			continue;
		}
		name = member_text(setting, "name");
		for (int j = 0; name && j < i; j++) {
			const config_setting_t *first = config_setting_get_elem(list, (unsigned)j);
			const char *first_name = config_setting_is_group(first) ? member_text(first, "name") : NULL;

			if (!first_name || strcmp(first_name, name) != 0)
				continue;
			n_errors += conf_error_at(messages, setting,
						  "point `%s` is defined twice in this device; first defined at %s:%u",
						  name, conf_setting_file(first), conf_setting_line(first));
			break;
		}
	}
	return n_errors;
}

static const config_setting_t *point_by_name(const config_setting_t *list, const char *name)
{
	for (int i = 0; list && name && i < config_setting_length(list); i++) {
		const config_setting_t *setting = config_setting_get_elem(list, (unsigned)i);
		const char *other = member_text(setting, "name");

		if (other && strcmp(other, name) == 0)
			return setting;
	}
	return NULL;
}

unsigned points_conf_read(struct device_conf *device, const struct link_conf *link, const config_setting_t *own,
			  const config_setting_t *model, bool check, struct conf_messages *messages)
{
	unsigned n_errors = check_list(own, messages) + check_list(model, messages);
	int n_own = own ? config_setting_length(own) : 0, n_model = model ? config_setting_length(model) : 0;

	if (n_errors > 0 || n_own + n_model == 0)
		return n_errors;
	device->points = pool_alloc(device->pool, (size_t)(n_own + n_model) * sizeof(*device->points));
	if (!device->points)
		return conf_error_at(messages, own ? own : model, "out of memory");

	for (int i = 0; i < n_model + n_own; i++) {
		const config_setting_t *setting =
			config_setting_get_elem(i < n_model ? model : own, (unsigned)(i < n_model ? i : i - n_model));
		const char *name = member_text(setting, "name");
		struct conf_group group = conf_group_of(setting);
		const config_setting_t *over;
		bool enabled = true;
		uint64_t digest;

		over = i < n_model ? point_by_name(own, name) : NULL;
		if (over)
			group = (struct conf_group){.layers = {over, setting}, .n_layers = 2};
		else if (i >= n_model && point_by_name(model, name))
			continue; /* read where it stands in the model */
		n_errors +=
			read_point(device, link, &group, check, messages, &device->points[device->n_points], &enabled);
		if (!enabled)
			continue;
		digest = conf_group_digest(&group);
		device->digest = conf_digest_add(device->digest, &digest, sizeof(digest));
		device->n_points++;
	}
	return n_errors;
}
