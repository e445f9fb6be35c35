/* SPDX-License-Identifier: Apache-2.0 */
/* Every register map that names this plugin loads, and a device can do with it what the manual page says. */
#include "base/conf.h"
#include "config.h"
#include "field/field_conf.h"
#include "field/plugin_load.h"
#include <dirent.h>
#include <libconfig.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

extern const struct hay_plugin hay_plugin;

/* The device of that text, on a good link; everything is left to the caller to free. */
static struct config *load(struct plugin_set *plugins, const char *device)
{
	char path[] = "/tmp/haywain-models-XXXXXX";
	struct conf_messages messages = {0};
	struct config *config = NULL;
	FILE *out = fdopen(mkstemp(path), "w");

	fprintf(out,
		"gateway: { id = \"x\"; };\n"
		"links: ( { name = \"bus\"; plugin = \"modbus\"; port = \"/dev/ttyX\"; } );\n"
		"devices: ( { name = \"d\"; link = \"bus\"; unit = 1; %s } );\n",
		device);
	fclose(out);
	assert_int_equal(config_load(path, plugins, &messages, &config), 0);
	for (const struct conf_message *message = messages.first; message; message = message->next)
		print_error("%s:%u: %s\n", message->file, message->line, message->text);
	assert_null(messages.first);
	conf_messages_done(&messages);
	unlink(path);
	assert_int_equal(config->n_devices, 1);
	return config;
}

static const char *manual_of(const char *path, config_t *file)
{
	const char *manual = NULL;

	config_init(file);
	assert_int_equal(config_read_file(file, path), CONFIG_TRUE);
	config_lookup_string(file, "model.manual", &manual);
	return manual;
}

static void test_all(void **state)
{
	static const char *const dirs[] = {"models", NULL};
	struct plugin_set *plugins = plugin_set_new("/nonexistent");
	DIR *dir = opendir("models");
	struct dirent *entry;
	unsigned n = 0;

	(void)state;
	assert_non_null(dir);
	assert_non_null(plugin_add(plugins, &hay_plugin));
	device_conf_set_model_dirs(dirs);
	while ((entry = readdir(dir))) {
		char *end = strstr(entry->d_name, ".conf"), path[300], device[300];
		struct config *config;
		config_t file;

		if (!end || end[5])
			continue;
		snprintf(path, sizeof(path), "models/%s", entry->d_name);
		assert_true(strlen(manual_of(path, &file)) > 20);
		config_destroy(&file);
		*end = '\0';
		snprintf(device, sizeof(device), "model = \"%s\";", entry->d_name);
		config = load(plugins, device);
		assert_true(config->devices[0]->n_points > 0);
		config_free(config);
		n++;
	}
	closedir(dir);
	assert_true(n >= 10);
	device_conf_set_model_dirs(NULL);
	plugin_set_free(plugins);
}

static void test_overriding(void **state)
{
	static const char *const dirs[] = {"models", NULL};
	struct plugin_set *plugins = plugin_set_new("/nonexistent");
	const struct device_conf *device;
	struct config *config;

	(void)state;
	assert_non_null(plugin_add(plugins, &hay_plugin));
	device_conf_set_model_dirs(dirs);
	config = load(plugins,
		      "model = \"xy-md02\"; points: ( { name = \"humidity\"; enabled = false; }, "
		      "{ name = \"temperature\"; offset = -1.5; }, { name = \"address\"; holding = 0x101; } );");
	device = config->devices[0];
	assert_int_equal(device->n_points, 2);
	assert_string_equal(device->points[0].point.name, "temperature");
	assert_int_equal(device->points[0].point.type, HAY_INT16);
	assert_float_equal(device->points[0].point.offset, -1.5, 1e-9);
	assert_float_equal(device->points[0].point.scale, 0.1, 1e-9);
	config_free(config);
	device_conf_set_model_dirs(NULL);
	plugin_set_free(plugins);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_all),
		cmocka_unit_test(test_overriding),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
