/* SPDX-License-Identifier: Apache-2.0 */
#include "once.h"
#include "api/api_answers.h"
#include "base/clock.h"
#include "base/json.h"
#include "base/json_read.h"
#include "base/log.h"
#include "base/table.h"
#include "check.h"
#include "config.h"
#include "field/field_status.h"
#include "field/plugin_load.h"
#include "model/latest.h"
#include "normalize/normalize.h"
#include "second.h"
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

#define LISTEN_US (30 * USEC_PER_SEC) /* to devices that speak unasked: meters and sensors do at least so often */
#define STOP_US (2 * USEC_PER_SEC)

struct once_device {
	char *name, *link;
};

struct once {
	sd_event *event;
	struct config *config;
	struct plugin_set *plugins;
	struct series_set *series;
	struct stream *stream;
	struct normalize *normalize;
	struct latest *latest;
	struct field *field;
	struct once_device *devices; /* in the order of the configuration */
	size_t n_devices;
	bool is_interrupted;
	bool has_listened; /* long enough */
};

/* ---- when it is over ---- */

static bool has_all_readings(const struct once *once, const struct field_device_status *device)
{
	_cleanup_latest_snapshot_ struct latest_snapshot latest;

	return latest_copy(once->latest, device->name, &latest) == 0 && latest.n_readings >= device->n_points &&
	       latest.n_readings > 0;
}

static bool is_done(const struct once *once, const struct once_device *device)
{
	struct field_device_status status;

	if (!field_get_device(once->field, device->name, &status) || status.link_reason)
		return true;
	if (strcmp(status.state, "offline") == 0)
		return true;
	return status.polled ? status.rounds > 0 : once->has_listened || has_all_readings(once, &status);
}

static bool all_done(const struct once *once)
{
	for (size_t i = 0; i < once->n_devices && !once->is_interrupted; i++)
		if (!is_done(once, &once->devices[i]))
			return false;
	return true;
}

static int end_wait(sd_event_source *source _unused_, uint64_t when _unused_, void *userdata)
{
	bool *is_over = userdata;

	*is_over = true;
	return 0;
}

static int interrupted(sd_event_source *source _unused_, const struct signalfd_siginfo *info _unused_, void *userdata)
{
	struct once *once = userdata;

	once->is_interrupted = true;
	return 0;
}

static void keep_info(struct device_info *info, void *userdata)
{
	struct once *once = userdata;

	latest_keep(once->latest, info);
}

/* ---- the result ---- */

static void add_missing(struct buf *out, const struct once_device *device)
{
	json_open(out, '{');
	json_key(out, "name");
	json_text(out, device->name);
	json_key(out, "link");
	json_text(out, device->link);
	json_key(out, "state");
	json_text(out, "offline");
	json_key(out, "reason");
	json_text(out, "its link cannot be opened");
	json_close(out, '}');
}

static void gather_readings(const struct once *once, struct buf *out)
{
	const struct stages stages = {.field = once->field, .series = once->series, .latest = once->latest};

	json_open(out, '{');
	json_key(out, "devices");
	json_open(out, '[');
	for (size_t i = 0; i < once->n_devices; i++)
		if (!api_write_device(&stages, once->devices[i].name, out))
			add_missing(out, &once->devices[i]);
	json_close(out, ']');
	json_close(out, '}');
}

static bool has_value(const json_t *device)
{
	const json_t *point;
	size_t i;

	json_array_foreach(json_object_get(device, "points"), i, point)
	{
		if (json_object_get(point, "value"))
			return true;
	}
	return false;
}

static void add_row(struct table *table, const json_t *device, const json_t *point)
{
	const char *unit = json_text_of(point, "unit"), *quality = json_text_of(point, "quality");
	const json_t *value = json_object_get(point, "value");
	_cleanup_free_ char *text = value ? json_show(value) : NULL;

	table_add(table, PLAIN, "%s", json_text_of(device, "name"));
	table_add(table, PLAIN, "%s", json_text_of(point, "name"));
	table_add(table, PLAIN, "%s%s%s", text ? text : "-", text && *unit ? " " : "", text ? unit : "");
	table_add(table, strncmp(quality, "bad", 3) == 0 ? RED : YELLOW, "%s", quality);
}

/* Why a device is away says it of all its points. */
static bool add_rows(struct table *table, const json_t *device)
{
	const char *reason = json_text_of(device, "reason");
	bool is_heard = has_value(device);
	const json_t *point;
	size_t i, n_rows = 0;

	json_array_foreach(json_object_get(device, "points"), i, point)
	{
		if (!json_object_get(point, "ts") || (!is_heard && *reason))
			continue;
		n_rows++;
		add_row(table, device, point);
	}
	if (n_rows > 0)
		return is_heard;
	table_add(table, PLAIN, "%s", json_text_of(device, "name"));
	table_add(table, PLAIN, "-");
	table_add(table, PLAIN, "-");
	table_add(table, RED, "%s", *reason ? reason : "no data from it");
	return false;
}

/* The number of devices that gave nothing. */
static size_t print_result(const struct once *once, bool as_json)
{
	_cleanup_buf_ struct buf out = {0};
	struct table table = {.n_columns = 4};
	size_t i, n_silent = 0;
	const json_t *device;
	json_t *root;

	gather_readings(once, &out);
	root = json_read(out.data, out.size);
	table_add(&table, BOLD, "DEVICE");
	table_add(&table, BOLD, "POINT");
	table_add(&table, BOLD, "VALUE");
	table_add(&table, BOLD, "QUALITY");
	json_array_foreach(json_object_get(root, "devices"), i, device)
	{
		n_silent += !add_rows(&table, device);
	}
	if (as_json)
		puts(buf_text(&out));
	else
		table_print(&table, isatty(STDOUT_FILENO) && !getenv("NO_COLOR"));
	table_clear(&table);
	json_decref(root);
	return n_silent;
}

/* ---- start and stop ---- */

static int copy_names(struct once *once)
{
	once->devices = calloc(once->config->n_devices + 1, sizeof(*once->devices));
	if (!once->devices)
		return -ENOMEM;
	for (size_t i = 0; i < once->config->n_devices; i++) {
		struct once_device *device = &once->devices[once->n_devices++];

		device->name = strdup(once->config->devices[i]->name);
		device->link = strdup(once->config->devices[i]->link);
		if (!device->name || !device->link)
			return -ENOMEM;
	}
	return 0;
}

static int start_loop(struct once *once)
{
	static const int signals[] = {SIGINT, SIGTERM};
	sigset_t blocked;
	int r;

	/* Before any library starts a thread: signals belong to the loop. */
	sigemptyset(&blocked);
	for (size_t i = 0; i < ELEMENTS(signals); i++)
		sigaddset(&blocked, signals[i]);
	sigprocmask(SIG_BLOCK, &blocked, NULL);
	signal(SIGPIPE, SIG_IGN);
	r = sd_event_new(&once->event);
	for (size_t i = 0; i < ELEMENTS(signals) && r >= 0; i++)
		r = sd_event_add_signal(once->event, NULL, signals[i], interrupted, once);
	if (r >= 0)
		r = sd_event_add_time_relative(once->event, NULL, CLOCK_MONOTONIC, LISTEN_US, 0, end_wait,
					       &once->has_listened);
	return r;
}

static int start_field(struct once *once)
{
	struct field_hooks hooks = {.info = keep_info, .userdata = once};
	struct field_wanted wanted = {.links = once->config->links,
				      .n_links = once->config->n_links,
				      .devices = once->config->devices,
				      .n_devices = once->config->n_devices};
	struct field_changes changes;
	int r = -ENOMEM;

	once->series = series_set_new();
	once->stream = stream_new(NULL, NULL);
	if (once->series && once->stream) {
		once->normalize = normalize_new(once->event, once->series, once->stream);
		once->latest = latest_new(once->stream);
	}
	if (once->normalize && once->latest)
		r = field_new(once->event, once->series, once->normalize, NULL, &hooks, &once->field);
	if (r < 0)
		return r;
	field_apply(once->field, &wanted, &changes);
	field_poll_now(once->field);
	return 0;
}

/* False: a plugin is still at work, and what it uses cannot be freed. */
static bool stop_field(struct once *once)
{
	bool is_over = false;

	if (!once->field)
		return true;
	field_stop(once->field);
	if (sd_event_add_time_relative(once->event, NULL, CLOCK_MONOTONIC, STOP_US, 0, end_wait, &is_over) < 0)
		return field_idle(once->field);
	while (!field_idle(once->field) && !is_over)
		if (sd_event_run(once->event, USEC_NEVER) < 0)
			break;
	return field_idle(once->field);
}

static void once_done(struct once *once)
{
	field_free(once->field);
	latest_free(once->latest);
	normalize_free(once->normalize);
	stream_free(once->stream);
	series_set_free(once->series);
	for (size_t i = 0; i < once->n_devices; i++) {
		free(once->devices[i].name);
		free(once->devices[i].link);
	}
	free(once->devices);
	sd_event_unref(once->event);
	config_free(once->config);
	plugin_set_free(once->plugins);
}

/* 0, or -errno after a line that says why. */
static int once_load(struct once *once, const char *path, bool *ret_mistakes)
{
	struct conf_messages messages = {0};
	int r;

	once->plugins = plugin_set_new(NULL);
	r = once->plugins ? config_load(path, once->plugins, &messages, &once->config) : -ENOMEM;
	conf_messages_print(&messages);
	*ret_mistakes = messages.n_errors > 0;
	conf_messages_done(&messages);
	if (r >= 0 && once->config->n_devices == 0) {
		fprintf(stderr, "haywaind: %s has no device that can be read\n", path);
		r = -ENOENT;
	}
	if (r >= 0)
		r = second_has_link(once->config);
	if (r >= 0)
		r = copy_names(once);
	return r;
}

int read_once(const char *path, bool json)
{
	struct once once = {0};
	bool mistakes = false;
	size_t n_silent = 1;
	int r;

	/* What goes wrong is said in the table; the rest of the log is for a service. */
	log_set_level(HAY_LOG_ERROR);
	r = check_become_service(path);
	if (r >= 0)
		r = once_load(&once, path, &mistakes);
	if (r < 0) {
		once_done(&once);
		return EXIT_FAILURE;
	}
	r = start_loop(&once);
	if (r >= 0)
		r = start_field(&once);
	while (r >= 0 && !all_done(&once))
		r = sd_event_run(once.event, USEC_NEVER);
	if (r >= 0)
		n_silent = print_result(&once, json);
	else
		fprintf(stderr, "haywaind: %s\n", strerror(-r));
	fflush(stdout);
	r = r < 0 || n_silent > 0 || mistakes ? EXIT_FAILURE : EXIT_SUCCESS;
	if (!stop_field(&once))
		_exit(r);
	once_done(&once);
	return r;
}
