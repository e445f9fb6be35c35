/* SPDX-License-Identifier: Apache-2.0 */
#include "connect_main.h"
#include "base/table.h"
#include "check.h"
#include "config.h"
#include "field/plugin_load.h"
#include "upstream/connect_test.h"
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

static void print_step(enum connect_step step, bool good, const char *text, void *userdata)
{
	static const char *const names[] = {
		[CONNECT_STEP_FILES] = "files",	    [CONNECT_STEP_NAME] = "name",
		[CONNECT_STEP_TCP] = "TCP",	    [CONNECT_STEP_TLS] = "TLS",
		[CONNECT_STEP_LOGIN] = "login",	    [CONNECT_STEP_SUBSCRIBE] = "subscribe",
		[CONNECT_STEP_PUBLISH] = "publish",
	};
	const struct uplink_conf *conf = userdata;
	bool colour = isatty(STDOUT_FILENO) && !getenv("NO_COLOR");
	_cleanup_free_ char *shown = strdup(text);

	if (shown)
		text_make_printable(shown);
	printf("  %-9s  %s%-6s%s  %s\n", names[step], colour_code(colour, good ? GREEN : RED), good ? "ok" : "failed",
	       colour_reset(colour), shown ? shown : "out of memory");
	if (step == CONNECT_STEP_LOGIN && !good)
		printf("             (a broker that identifies this gateway by its client_id may reject %s%s)\n",
		       conf->client_id, CONNECT_TEST_SUFFIX);
	fflush(stdout);
}

static bool test_one(const struct config *config, struct uplink_conf *conf)
{
	const struct connect_test test = {
		.conf = conf, .gateway_id = config->gateway.id, .step = print_step, .userdata = conf};

	printf("uplink %s: %s, as %s%s: the running gateway, %s, stays connected\n", conf->name, conf->url,
	       conf->client_id, CONNECT_TEST_SUFFIX, conf->client_id);
	fflush(stdout);
	return connect_test(&test);
}

static int test_all(const struct config *config, const char *name)
{
	struct conf_nearest nearest = {.word = name ? name : ""};
	size_t n = 0, n_good = 0;

	for (size_t i = 0; i < config->n_uplinks; i++) {
		conf_nearest_try(&nearest, config->uplinks[i]->name);
		if (name && strcmp(config->uplinks[i]->name, name) != 0)
			continue;
		n++;
		n_good += test_one(config, config->uplinks[i]);
	}
	if (n == 0 && name)
		fprintf(stderr, "haywaind: there is no uplink `%s`%s\n", name,
			conf_nearest_text(&nearest, config->pool));
	else if (n == 0)
		fputs("haywaind: no uplink is configured\n", stderr);
	return n > 0 && n_good == n ? EXIT_SUCCESS : EXIT_FAILURE;
}

int test_uplinks(const char *path, const char *name)
{
	struct conf_messages messages = {0};
	struct plugin_set *plugins = NULL;
	struct config *config = NULL;
	int r = check_become_service(path), status = EXIT_FAILURE;

	signal(SIGPIPE, SIG_IGN);
	if (r >= 0)
		plugins = plugin_set_new(NULL);
	if (r >= 0)
		r = plugins ? config_load(path, plugins, &messages, &config) : -ENOMEM;
	conf_messages_print(&messages);
	conf_messages_done(&messages);
	if (r >= 0)
		status = test_all(config, name);
	config_free(config);
	plugin_set_free(plugins);
	return status;
}
