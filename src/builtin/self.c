/* SPDX-License-Identifier: Apache-2.0 */
#include "builtin/self.h"
#include "base/clock.h"
#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <sys/statvfs.h>

#define LINK_NAME "(internal)" /* no name a configuration can give */
#define UPLINKS_MAX 16

enum fixed_point {
	CPU_TEMPERATURE,
	LOAD,
	MEMORY_AVAILABLE,
	MEMORY_OWN,
	DISK_FREE,
	QUEUE_DEPTH,
	QUEUE_AGE,
	BYTES_WRITTEN,
	CLOCK_SYNCHRONISED,
	UPTIME,
	N_FIXED
};

static const struct {
	const char *name, *unit;
	enum hay_type type;
	int decimals;
} fixed[N_FIXED] = {
	[CPU_TEMPERATURE] = {"cpu_temperature", "°C", HAY_FLOAT64, 1},
	[LOAD] = {"load", NULL, HAY_FLOAT64, 2},
	[MEMORY_AVAILABLE] = {"memory_available", "MB", HAY_FLOAT64, 1},
	[MEMORY_OWN] = {"memory_own", "MB", HAY_FLOAT64, 2},
	[DISK_FREE] = {"disk_free", "MB", HAY_FLOAT64, 0},
	[QUEUE_DEPTH] = {"queue_depth", "samples", HAY_UINT64, -1},
	[QUEUE_AGE] = {"queue_age", "s", HAY_FLOAT64, 1},
	[BYTES_WRITTEN] = {"bytes_written", "B", HAY_UINT64, -1},
	[CLOCK_SYNCHRONISED] = {"clock_synchronised", NULL, HAY_BOOL, -1},
	[UPTIME] = {"uptime", "s", HAY_FLOAT64, 0},
};

/* The first number behind `key` in a file of /proc or /sys; "" is the file's begin. NaN: there is none. */
static double read_number(const char *path, const char *key)
{
	char text[4096];
	_cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t size = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);

	if (size <= 0)
		return NAN;
	text[size] = 0;

	const char *at = strstr(text, key);
	char *end;

	if (!at)
		return NAN;
	at += strlen(key);
	double value = strtod(at, &end);

	return end > at ? value : NAN;
}

static double disk_free_mb(const char *queue_path)
{
	char *path = strdup(queue_path);
	struct statvfs fs;
	int r = path ? statvfs(dirname(path), &fs) : -1;

	free(path);
	return r < 0 ? NAN : (double)fs.f_bavail * (double)fs.f_frsize / 1e6;
}

static double number_of(enum fixed_point point, const struct self_sources *sources, const struct queue_status *queue)
{
	switch (point) {
	case CPU_TEMPERATURE:
		return read_number("/sys/class/thermal/thermal_zone0/temp", "") / 1000;
	case LOAD:
		return read_number("/proc/loadavg", "");
	case MEMORY_AVAILABLE:
		return read_number("/proc/meminfo", "MemAvailable:") / 1000;
	case MEMORY_OWN:
		return read_number("/proc/self/status", "VmRSS:") / 1000;
	case DISK_FREE:
		return disk_free_mb(sources->queue_path);
	case QUEUE_AGE:
		return (double)queue->oldest_age_us / 1e6;
	default:
		return (double)clock_now() / 1e6; /* UPTIME: of the machine */
	}
}

static int add_uplinks(struct hay_device *device, const struct self_sources *sources, struct hay_reading *readings)
{
	const char *uplink;
	uint64_t rtt_us;
	int n = 0;

	for (size_t i = 0; i < UPLINKS_MAX && sources->uplink(i, &uplink, &rtt_us, sources->userdata); i++) {
		char name[65];
		uint32_t point;

		if (rtt_us == 0)
			continue;
		snprintf(name, sizeof(name), "round_trip_%s", uplink);
		if (device->link->host->add_point(device, name, HAY_FLOAT64, "ms", &point) < 0)
			continue;
		readings[n++] = (struct hay_reading){
			.point = point, .value = {.type = HAY_FLOAT64, .d = round((double)rtt_us / 10) / 100}};
	}
	return n;
}

static int poll_self(struct hay_device *device, const uint32_t *due, size_t n_due)
{
	const struct self_sources *sources = device->link->conf;
	struct hay_reading readings[N_FIXED + UPLINKS_MAX];
	struct queue_status queue;
	size_t n = 0;

	queue_get_status(sources->queue, &queue);
	for (size_t i = 0; i < n_due && due[i] < N_FIXED; i++) {
		enum fixed_point point = (enum fixed_point)due[i];
		struct hay_reading *reading = &readings[n++];

		*reading = (struct hay_reading){.point = due[i], .value.type = fixed[point].type};
		if (point == QUEUE_DEPTH)
			reading->value.u = queue.tail_samples + queue.disk_samples;
		else if (point == BYTES_WRITTEN)
			reading->value.u = queue.bytes_written;
		else if (point == CLOCK_SYNCHRONISED)
			reading->value.b = clock_trusted();
		else
			reading->value.d = number_of(point, sources, &queue);
		if (fixed[point].type == HAY_FLOAT64 && isnan(reading->value.d))
			n--; /* this machine does not tell */
	}
	n += (size_t)add_uplinks(device, sources, readings + n);

	struct hay_sample sample = {.time_us = clock_now(), .readings = readings, .n_readings = n};

	device->link->host->round_done(device, &sample, HAY_OK, HAY_NO_REASON, NULL, 0);
	return 0;
}

HAY_PLUGIN_BUILTIN(self_plugin, LINK_NAME, .version = HAYWAIN_VERSION, .summary = "the gateway itself",
		   .poll = poll_self);

static int fill_device(struct device_conf *conf, uint64_t every_us)
{
	conf->name = SELF_DEVICE;
	conf->link = LINK_NAME;
	conf->file = "";
	conf->digest = every_us;
	conf->every_us = every_us;
	conf->report.deadband = NAN;
	conf->n_points = N_FIXED;
	conf->points = pool_alloc(conf->pool, N_FIXED * sizeof(*conf->points));
	if (!conf->points)
		return -ENOMEM;
	for (size_t i = 0; i < N_FIXED; i++)
		conf->points[i] = (struct point_conf){.point = {.name = fixed[i].name,
								.unit = fixed[i].unit,
								.type = fixed[i].type,
								.type_name = type_to_string(fixed[i].type),
								.every_us = every_us,
								.scale = 1},
						      .decimals = fixed[i].decimals,
						      .min = NAN,
						      .max = NAN,
						      .report = {.deadband = NAN}};
	return 0;
}

int self_conf(struct plugin_set *plugins, const struct self_sources *sources, uint64_t every_us,
	      struct link_conf **ret_link, struct device_conf **ret_device)
{
	struct pool *link_pool = pool_new(), *device_pool = pool_new();
	struct link_conf *link = link_pool ? pool_alloc(link_pool, sizeof(*link)) : NULL;
	struct device_conf *device = device_pool ? pool_alloc(device_pool, sizeof(*device)) : NULL;
	const char *error;

	if (!link || !device)
		goto fail;
	*link = (struct link_conf){.pool = link_pool, .file = "", .name = LINK_NAME, .conf = (void *)sources};
	device->pool = device_pool;
	link->plugin = plugin_get(plugins, LINK_NAME, &error);
	if (!link->plugin)
		link->plugin = plugin_add(plugins, &self_plugin);
	if (!link->plugin || fill_device(device, every_us) < 0)
		goto fail;
	*ret_link = link;
	*ret_device = device;
	return 0;

fail:
	pool_free(link_pool);
	pool_free(device_pool);
	return -ENOMEM;
}
