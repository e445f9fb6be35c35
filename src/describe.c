/* SPDX-License-Identifier: Apache-2.0 */
#include "describe.h"
#include "base/conf.h"
#include "base/table.h"
#include "base/units.h"
#include "field/field_conf.h"
#include "field/plugin_load.h"
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

static bool has_colour(void)
{
	return isatty(STDOUT_FILENO) && !getenv("NO_COLOR");
}

/* ---- lists ---- */

int list_plugins(void)
{
	struct plugin_set *plugins = plugin_set_new(NULL);
	_cleanup_free_ const char **names = NULL;
	struct table table = {.n_columns = 4};
	const char *error = "out of memory";
	int status = EXIT_SUCCESS;

	if (!plugins || plugin_names(plugins, &names, &error) < 0) {
		fprintf(stderr, "haywaind: %s\n", error);
		plugin_set_free(plugins);
		return EXIT_FAILURE;
	}
	table_add(&table, BOLD, "PLUGIN");
	table_add(&table, BOLD, "VERSION");
	table_add(&table, BOLD, "SCAN");
	table_add(&table, BOLD, "WHAT IT READS");
	for (size_t i = 0; names[i]; i++) {
		const struct plugin *plugin = plugin_get(plugins, names[i], &error);
		const struct hay_plugin *says = plugin ? &plugin->descriptor : NULL;

		table_add(&table, PLAIN, "%s", names[i]);
		table_add(&table, PLAIN, "%s", says && says->version ? says->version : "-");
		table_add(&table, PLAIN, "%s", says && says->probe ? "yes" : "-");
		table_add(&table, says ? PLAIN : RED, "%s", !says ? error : says->summary ? says->summary : "-");
		status = says ? status : EXIT_FAILURE;
	}
	table_print(&table, has_colour());
	plugin_set_free(plugins);
	return status;
}

struct model_row {
	char *name, *plugin, *what;
	size_t n_points;
};

struct model_list {
	struct model_row *rows;
	size_t n, n_allocated;
	bool failed;
	struct conf_messages messages;
};

static char *copy_text(const config_setting_t *group, const char *key)
{
	const config_setting_t *setting = config_setting_get_member((config_setting_t *)(uintptr_t)group, key);
	const char *text = setting && config_setting_type(setting) == CONFIG_TYPE_STRING
				   ? config_setting_get_string(setting)
				   : "-";

	return strdup(text);
}

static void add_model(const char *name, const char *path, void *userdata)
{
	struct model_list *list = userdata;
	_cleanup_(conf_file_freep) struct conf_file *file = NULL;
	const config_setting_t *model, *points;
	struct model_row *row;

	if (conf_file_read(path, &list->messages, &file) < 0)
		return;
	model = config_setting_get_member(conf_file_root(file), "model");
	if (!model || !config_setting_is_group(model)) {
		conf_error(&list->messages, path, 0, "a model file holds one group: model: { … };");
		return;
	}
	if (list->n == list->n_allocated) {
		size_t n = MAX(list->n_allocated * 2, (size_t)32);
		struct model_row *rows = reallocarray(list->rows, n, sizeof(*rows));

		list->failed |= !rows;
		if (!rows)
			return;
		list->rows = rows;
		list->n_allocated = n;
	}
	points = config_setting_get_member((config_setting_t *)(uintptr_t)model, "points");
	row = &list->rows[list->n++];
	*row = (struct model_row){.name = strdup(name),
				  .plugin = copy_text(model, "plugin"),
				  .what = copy_text(model, "manual"),
				  .n_points = points ? (size_t)config_setting_length(points) : 0};
	list->failed |= !row->name || !row->plugin || !row->what;
}

static int compare_rows(const void *a, const void *b)
{
	return strcmp(((const struct model_row *)a)->name, ((const struct model_row *)b)->name);
}

int list_models(void)
{
	struct model_list list = {0};
	struct table table = {.n_columns = 4};
	int status;

	model_each(add_model, &list);
	conf_messages_print(&list.messages);
	status = list.failed || list.messages.n_errors > 0 ? EXIT_FAILURE : EXIT_SUCCESS;
	if (list.failed)
		fputs("haywaind: out of memory\n", stderr);
	else if (list.n > 0)
		qsort(list.rows, list.n, sizeof(*list.rows), compare_rows);
	table_add(&table, BOLD, "MODEL");
	table_add(&table, BOLD, "PLUGIN");
	table_add(&table, BOLD, "POINTS");
	table_add(&table, BOLD, "AFTER");
	for (size_t i = 0; i < list.n && !list.failed; i++) {
		table_add(&table, PLAIN, "%s", list.rows[i].name);
		table_add(&table, PLAIN, "%s", list.rows[i].plugin);
		table_add(&table, PLAIN, "%zu", list.rows[i].n_points);
		table_add(&table, DIM, "%s", list.rows[i].what);
	}
	table_print(&table, has_colour());
	for (size_t i = 0; i < list.n; i++) {
		free(list.rows[i].name);
		free(list.rows[i].plugin);
		free(list.rows[i].what);
	}
	free(list.rows);
	conf_messages_done(&list.messages);
	return status;
}

/* ---- the keys of one ---- */

static void add_limit(struct buf *out, const struct hay_option *option, int64_t limit)
{
	char text[MAX(DURATION_TEXT_MAX, SIZE_TEXT_MAX)];

	if (option->type == HAY_OPT_DURATION)
		buf_add_text(out, format_duration((uint64_t)limit, text));
	else if (option->type == HAY_OPT_SIZE)
		buf_add_text(out, format_size((uint64_t)limit, text));
	else
		buf_printf(out, "%" PRIi64, limit);
}

/* "a time, from 1 ms to 10 min" */
static void add_kind(struct buf *out, const struct hay_option *option)
{
	static const char *const kinds[] = {
		[HAY_OPT_BOOL] = "true or false", [HAY_OPT_INT] = "a whole number", [HAY_OPT_FLOAT] = "a number",
		[HAY_OPT_STRING] = "a text",	  [HAY_OPT_NAME] = "a name",	    [HAY_OPT_CHOICE] = "",
		[HAY_OPT_DURATION] = "a time",	  [HAY_OPT_SIZE] = "a size",	    [HAY_OPT_RATE] = "a rate",
		[HAY_OPT_SECRET] = "a file",	  [HAY_OPT_GROUP] = "a group",
	};

	buf_add_text(out, kinds[option->type]);
	for (size_t i = 0; option->type == HAY_OPT_CHOICE && option->choices[i]; i++)
		buf_printf(out, "%s\"%s\"", i == 0 ? "" : option->choices[i + 1] ? ", " : " or ", option->choices[i]);
	if (option->min != 0 || option->max != 0) {
		buf_add_text(out, ", from ");
		add_limit(out, option, option->min);
		buf_add_text(out, " to ");
		add_limit(out, option, option->max);
	}
	if (option->flags & HAY_OPT_REQUIRED)
		buf_add_text(out, "; required");
}

/* One beyond the limits, or no number, only marks what was not written. */
static bool is_default(const struct hay_option *option)
{
	uint64_t value = 0;
	int r = -EINVAL;

	if (!option->fallback || strcmp(option->fallback, "nan") == 0)
		return false;
	if (option->min == 0 && option->max == 0)
		return true;
	if (option->type == HAY_OPT_DURATION)
		r = parse_duration(option->fallback, &value);
	else if (option->type == HAY_OPT_SIZE)
		r = parse_size(option->fallback, &value);
	else if (option->type == HAY_OPT_INT)
		value = (uint64_t)strtoll(option->fallback, NULL, 0), r = 0;
	return r < 0 || ((int64_t)value >= option->min && (int64_t)value <= option->max);
}

static void add_options(struct table *table, const struct hay_option *options, const char *prefix)
{
	for (const struct hay_option *option = options; option && option->key; option++) {
		_cleanup_buf_ struct buf kind = {0};
		_cleanup_free_ char *nested = NULL;

		add_kind(&kind, option);
		table_add(table, PLAIN, "  %s%s", prefix, option->key);
		table_add(table, PLAIN, "%s", is_default(option) ? option->fallback : "-");
		table_add(table, PLAIN, "%s%s%s", option->help ? option->help : "", option->help ? ": " : "",
			  buf_text(&kind));
		if (option->type != HAY_OPT_GROUP)
			continue;
		if (asprintf(&nested, "%s%s.", prefix, option->key) < 0)
			nested = NULL;
		add_options(table, option->group, nested ? nested : prefix);
	}
}

static void add_section(struct table *table, const char *title, const struct hay_option *common,
			const struct hay_option *own)
{
	table_add(table, BOLD, "%s", title);
	table_add(table, PLAIN, "%s", "");
	table_add(table, PLAIN, "%s", "");
	add_options(table, common, "");
	add_options(table, own, "");
}

int describe_plugin(const char *name)
{
	struct plugin_set *plugins = plugin_set_new(NULL);
	const char *error = "out of memory";
	const struct plugin *plugin = plugins ? plugin_get(plugins, name, &error) : NULL;
	const struct hay_plugin *says = plugin ? &plugin->descriptor : NULL;
	struct table table = {.n_columns = 3};

	if (!says) {
		fprintf(stderr, "haywaind: %s\n", error);
		plugin_set_free(plugins);
		return EXIT_FAILURE;
	}
	printf("%s%s%s: %s\n\n", says->name, says->version ? " " : "", says->version ? says->version : "",
	       says->summary ? says->summary : "a plugin");
	table_add(&table, BOLD, "KEY");
	table_add(&table, BOLD, "DEFAULT");
	table_add(&table, BOLD, "WHAT IT IS");
	add_section(&table, "link:", field_link_options, says->link_options.table);
	add_section(&table, "device:", field_device_options, says->device_options.table);
	add_section(&table, "point:", field_point_options, says->point_options.table);
	add_section(&table, "report:", field_report_options, NULL);
	table_print(&table, has_colour());
	if (says->types && says->types[0]) {
		printf("\nFurther types of a point:");
		for (size_t i = 0; says->types[i]; i++)
			printf(" %s", says->types[i]);
		putchar('\n');
	}
	printf("\nSee haywain-%s(7) and haywain.conf(5).\n", says->name);
	plugin_set_free(plugins);
	return EXIT_SUCCESS;
}
