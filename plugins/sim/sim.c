/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sim: values out of thin air, for demonstrations and tests, and the plugin to copy when you write your own.
 *
 *     links:   ( { name = "bench"; plugin = "sim"; } );
 *     devices: ( { name = "tank"; link = "bench"; every = "1s"; points: (
 *                    { name = "level"; wave = "sine"; low = 20; high = 80; period = "1m"; unit = "%"; } ); } );
 *
 * A plugin has three structs of configuration, for the link, the device and the point, each with a table of its keys.
 * The host reads them, checks types and ranges, reports mistakes with file and line, and hands over the structs.
 */
#include <errno.h>
#include <haywain/plugin.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ---- what may be configured ---- */

struct sim_device_conf {
	uint64_t silent_after_us; /* goes silent this long after its start, for trying out what follows */
};

static const struct hay_option device_options[] = {
	{.key = "silent_after",
	 .type = HAY_OPT_DURATION,
	 .offset = offsetof(struct sim_device_conf, silent_after_us),
	 .help = "stop answering this long after the start; 0s: never"},
	{0},
};

enum wave { WAVE_SINE, WAVE_RAMP, WAVE_SQUARE, WAVE_RANDOM, WAVE_COUNTER };
static const char *const waves[] = {"sine", "ramp", "square", "random", "counter", NULL};

struct sim_point_conf {
	int wave;
	double low, high;
	uint64_t period_us;
};

static const struct hay_option point_options[] = {
	{.key = "wave",
	 .type = HAY_OPT_CHOICE,
	 .offset = offsetof(struct sim_point_conf, wave),
	 .fallback = "sine",
	 .choices = waves,
	 .help = "the shape of the values; counter: 0, 1, 2, one more at each poll"},
	{.key = "low",
	 .type = HAY_OPT_FLOAT,
	 .offset = offsetof(struct sim_point_conf, low),
	 .fallback = "0",
	 .help = "least value"},
	{.key = "high",
	 .type = HAY_OPT_FLOAT,
	 .offset = offsetof(struct sim_point_conf, high),
	 .fallback = "100",
	 .help = "greatest value"},
	{.key = "period",
	 .type = HAY_OPT_DURATION,
	 .offset = offsetof(struct sim_point_conf, period_us),
	 .fallback = "1m",
	 .min = 1000,
	 .max = INT64_MAX,
	 .help = "time of one wave"},
	{0},
};

/* What the tables cannot say. The host adds file and line. */
static void check_point(struct hay_point *point, const void *device_conf, const void *link_conf,
			const struct hay_report *report)
{
	const struct sim_point_conf *conf = point->conf;

	(void)device_conf;
	(void)link_conf;
	if (conf->low > conf->high)
		report->error(report, "low", "`low` is above `high`");
	if (!point->type_name) /* nothing was written: a default that suits the wave */
		point->type = conf->wave == WAVE_COUNTER  ? HAY_UINT64
			      : conf->wave == WAVE_SQUARE ? HAY_BOOL
							  : HAY_FLOAT64;
	else if (point->type == HAY_STRING || point->type == HAY_BYTES)
		report->error(report, "type", "sim makes numbers and bools only");
}

/* ---- a device at run time ---- */

struct sim_device {
	uint64_t started_us;
	uint64_t polls;
	uint64_t *written;	   /* per point: the bits of the last written value … */
	unsigned char *is_written; /* … and whether there was one */
	struct hay_reading *readings;
};

static int start_device(struct hay_device *hay)
{
	struct sim_device *device = calloc(1, sizeof(*device));
	size_t n = hay->n_points > 0 ? hay->n_points : 1;

	if (!device)
		return -ENOMEM;
	device->started_us = hay->link->host->now();
	device->readings = calloc(n, sizeof(*device->readings));
	device->written = calloc(n, sizeof(*device->written));
	device->is_written = calloc(n, 1);
	hay->state = device;
	if (device->readings && device->written && device->is_written)
		return 0;
	free(device->readings);
	free(device->written);
	free(device->is_written);
	free(device);
	return -ENOMEM;
}

static void stop_device(struct hay_device *hay)
{
	struct sim_device *device = hay->state;

	free(device->readings);
	free(device->written);
	free(device->is_written);
	free(device);
}

static double wave_at(const struct sim_point_conf *conf, const struct sim_device *device, uint64_t now)
{
	double turn = fmod((double)(now - device->started_us) / (double)conf->period_us, 1.0), height = 0;

	switch ((enum wave)conf->wave) {
	case WAVE_SINE:
		height = 0.5 + 0.5 * sin(2 * 3.14159265358979323846 * turn);
		break;
	case WAVE_RAMP:
		height = turn;
		break;
	case WAVE_SQUARE:
		height = turn < 0.5 ? 0 : 1;
		break;
	case WAVE_RANDOM:
		height = (double)random() / 2147483647.0;
		break;
	case WAVE_COUNTER:
		return (double)device->polls;
	}
	return conf->low + height * (conf->high - conf->low);
}

static struct hay_value make_value(const struct hay_point *point, const struct sim_device *device, uint64_t now)
{
	double number = wave_at(point->conf, device, now);
	struct hay_value value = {.type = point->type};

	switch (point->type) {
	case HAY_BOOL:
		value.b = number > ((const struct sim_point_conf *)point->conf)->low;
		break;
	case HAY_INT16:
	case HAY_INT32:
	case HAY_INT64:
		value.i = llround(number);
		break;
	case HAY_UINT16:
	case HAY_UINT32:
	case HAY_UINT64:
		value.u = number > 0 ? (uint64_t)llround(number) : 0;
		break;
	case HAY_FLOAT32:
		value.f = (float)number;
		break;
	default:
		value.d = number;
	}
	return value;
}

/*
 * One round: read the points that are due. This one has its values at once; a real protocol sends a request here,
 * or submits work to the link's thread, and ends the round when the answer is there.
 */
static int poll_device(struct hay_device *hay, const uint32_t *due, size_t n_due)
{
	const struct hay_host *host = hay->link->host;
	const struct sim_device_conf *conf = hay->conf;
	struct sim_device *device = hay->state;
	struct hay_sample sample = {.time_us = host->now(), .readings = device->readings, .n_readings = n_due};

	if (conf->silent_after_us > 0 && sample.time_us - device->started_us >= conf->silent_after_us) {
		for (size_t i = 0; i < n_due; i++)
			device->readings[i] =
				(struct hay_reading){.point = due[i], .quality = HAY_BAD, .reason = HAY_TIMEOUT};
		host->round_done(hay, &sample, HAY_FAILED, HAY_TIMEOUT, NULL, 0);
		return 0;
	}
	for (size_t i = 0; i < n_due; i++) {
		uint32_t point = due[i];
		struct hay_value value = make_value(hay->points[point], device, sample.time_us);

		if (device->is_written[point])
			value.u = device->written[point]; /* the union's bits, whatever the type */
		device->readings[i] = (struct hay_reading){.point = point, .value = value};
	}
	device->polls++;
	host->round_done(hay, &sample, HAY_OK, HAY_NO_REASON, NULL, 0);
	return 0;
}

/*
 * A written value stays until the next start. It is done at once, and the value is known to be held; a real protocol
 * answers when the device has, and says HAY_UNKNOWN where that answer does not come.
 */
static int write_point(struct hay_command *command)
{
	struct sim_device *device = command->device->state;
	struct hay_command_result result = {.outcome = HAY_WRITTEN, .value = command->value, .read_back = true};

	memcpy(&device->written[command->point], &command->value.u, sizeof(command->value.u));
	device->is_written[command->point] = 1;
	command->device->link->host->command_done(command, &result);
	return 0;
}

HAY_PLUGIN("sim", .version = "1.0", .summary = "generated values, and the example for plugin authors",
	   .device_options = {device_options, sizeof(struct sim_device_conf)},
	   .point_options = {point_options, sizeof(struct sim_point_conf)}, .check_point = check_point,
	   .start = start_device, .stop = stop_device, .poll = poll_device, .write = write_point);
