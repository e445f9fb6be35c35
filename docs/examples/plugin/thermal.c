/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A plugin outside of Haywain's tree: the kernel's thermal zones. haywain-plugin(3) explains it.
 *
 *     links:   ( { name = "here"; plugin = "thermal"; } );
 *     devices: ( { name = "soc"; link = "here"; zone = 0; every = "10s";
 *                  points: ( { name = "temperature"; scale = 0.001; unit = "°C"; } ); } );
 */
#include <errno.h>
#include <fcntl.h>
#include <haywain/helpers.h>
#include <haywain/plugin.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct thermal_link_conf {
	const char *path;
};

static const struct hay_option link_options[] = {
	{.key = "path",
	 .type = HAY_OPT_STRING,
	 .offset = offsetof(struct thermal_link_conf, path),
	 .fallback = "/sys/class/thermal",
	 .help = "where the kernel shows its thermal zones"},
	{.key = NULL},
};

struct thermal_device_conf {
	int64_t zone;
};

static const struct hay_option device_options[] = {
	{.key = "zone",
	 .type = HAY_OPT_INT,
	 .offset = offsetof(struct thermal_device_conf, zone),
	 .fallback = "0",
	 .max = 255,
	 .help = "the number in thermal_zone0"},
	{.key = NULL},
};

struct thermal_device {
	struct hay_work work; /* first, so that a pointer to it is one to the device */
	char *file;
	struct hay_reading *readings; /* as many as there are points */
	size_t n_due;
	int64_t millidegrees;
	int error; /* 0 or an errno */
	uint64_t begun_us, read_us;
};

/* On the link's own thread: it may block, and touches nothing but its own. */
static void read_zone(struct hay_work *work)
{
	struct thermal_device *zone = (struct thermal_device *)work;
	const struct hay_host *host = work->device->link->host;
	char text[32], *end;
	ssize_t n = -1;
	int fd;

	zone->begun_us = host->now();
	fd = open(zone->file, O_RDONLY | O_CLOEXEC);
	if (fd >= 0)
		n = read(fd, text, sizeof(text) - 1);
	zone->error = n < 0 ? errno : 0;
	if (fd >= 0)
		close(fd);
	zone->read_us = host->now();
	if (zone->error)
		return;
	text[n] = '\0';
	zone->millidegrees = strtoll(text, &end, 10);
	if (end == text || (*end != '\n' && *end != '\0'))
		zone->error = EBADMSG;
}

/* On the main thread again: end the round that poll() began. */
static void zone_read(struct hay_work *work)
{
	struct thermal_device *zone = (struct thermal_device *)work;
	enum hay_reason reason = zone->error == EBADMSG ? HAY_DECODE : zone->error ? HAY_OFFLINE : HAY_NO_REASON;
	struct hay_value value = {.type = HAY_TYPE_NONE};
	struct hay_sample sample = {.time_us = zone->read_us, .readings = zone->readings, .n_readings = zone->n_due};

	/* What does not fit its type is no reading, but the zone answered. */
	if (reason == HAY_NO_REASON && hay_value_of_signed(zone->millidegrees, HAY_INT32, &value) < 0)
		reason = HAY_OUT_OF_RANGE;
	for (size_t i = 0; i < zone->n_due; i++) {
		zone->readings[i].quality = reason == HAY_NO_REASON ? HAY_GOOD : HAY_BAD;
		zone->readings[i].reason = reason;
		zone->readings[i].value = value;
	}
	work->device->link->host->round_done(work->device, &sample, zone->error ? HAY_FAILED : HAY_OK, reason,
					     zone->error ? strerror(zone->error) : NULL,
					     zone->read_us - zone->begun_us);
}

static int poll_zone(struct hay_device *device, const uint32_t *due, size_t n_due)
{
	struct thermal_device *zone = device->state;

	for (size_t i = 0; i < n_due; i++)
		zone->readings[i] = (struct hay_reading){.point = due[i]};
	zone->n_due = n_due;
	return device->link->host->submit(device->link, &zone->work, HAY_LANE_POLL);
}

static void check_point(struct hay_point *point, const void *device_conf, const void *link_conf,
			const struct hay_report *report)
{
	(void)device_conf, (void)link_conf;
	if (point->type == HAY_TYPE_NONE)
		point->type = HAY_INT32;
	else if (point->type != HAY_INT32)
		report->error(report, "type", "a thermal zone gives thousandths of a degree: int32");
}

static void stop_device(struct hay_device *device)
{
	struct thermal_device *zone = device->state;

	free(zone->file);
	free(zone->readings);
	free(zone);
}

static int start_device(struct hay_device *device)
{
	const struct thermal_link_conf *link_conf = device->link->conf;
	const struct thermal_device_conf *conf = device->conf;
	struct thermal_device *zone = calloc(1, sizeof(*zone));

	if (!zone)
		return -ENOMEM;
	device->state = zone;
	zone->work = (struct hay_work){.run = read_zone, .done = zone_read, .device = device};
	zone->readings = calloc(device->n_points, sizeof(*zone->readings));
	if (asprintf(&zone->file, "%s/thermal_zone%d/temp", link_conf->path, (int)conf->zone) < 0)
		zone->file = NULL;
	if (zone->file && zone->readings)
		return 0;
	stop_device(device);
	return -ENOMEM;
}

HAY_PLUGIN("thermal", .version = "1.0", .summary = "the kernel's thermal zones", .flags = HAY_PLUGIN_NEEDS_POINTS,
	   .link_options = {link_options, sizeof(struct thermal_link_conf)},
	   .device_options = {device_options, sizeof(struct thermal_device_conf)}, .check_point = check_point,
	   .start = start_device, .stop = stop_device, .poll = poll_zone);
