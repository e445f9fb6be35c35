/* SPDX-License-Identifier: Apache-2.0 */
#include "model/latest.h"
#include "model/device_info.h"
#include <string.h>

#define TEXT_MAX 4096 /* of a string that is kept: it is cut */

struct latest_device {
	struct latest_device *next;
	char *name;
	struct latest_reading *readings;
};

struct latest {
	struct series_set *series;
	struct latest_device *devices;
	/* By number of the series, so that a sample is taken without a search. */
	struct latest_reading **by_number;
	size_t n_numbers;
};

struct latest *latest_new(struct series_set *series)
{
	struct latest *latest = calloc(1, sizeof(*latest));

	if (latest)
		latest->series = series;
	return latest;
}

static void forget_reading(struct latest *latest, struct latest_reading *reading)
{
	latest->by_number[reading->series->number] = NULL;
	free(reading->text);
	free(reading);
}

static void forget_device(struct latest *latest, struct latest_device **at)
{
	struct latest_device *device = *at;

	*at = device->next;
	while (device->readings) {
		struct latest_reading *reading = device->readings;

		device->readings = reading->next;
		forget_reading(latest, reading);
	}
	free(device->name);
	free(device);
}

struct latest *latest_free(struct latest *latest)
{
	if (!latest)
		return NULL;
	while (latest->devices)
		forget_device(latest, &latest->devices);
	free(latest->by_number);
	free(latest);
	return NULL;
}

static struct latest_device **find(struct latest *latest, const char *name)
{
	struct latest_device **at = &latest->devices;

	while (*at && strcmp((*at)->name, name) != 0)
		at = &(*at)->next;
	return at;
}

static struct latest_device *find_or_add(struct latest *latest, const char *name)
{
	struct latest_device **at = find(latest, name);

	if (*at)
		return *at;
	*at = calloc(1, sizeof(**at));
	if (*at && !((*at)->name = strdup(name))) {
		free(*at);
		*at = NULL;
	}
	return *at;
}

/* A series changes its number with its configuration: the point stays. NULL: out of memory. */
static struct latest_reading *place(struct latest *latest, const struct series *series)
{
	struct latest_device *device;
	struct latest_reading *reading;

	if (series->number >= latest->n_numbers) {
		size_t n = MAX((size_t)series->number + 1, latest->n_numbers + latest->n_numbers / 2);
		struct latest_reading **by_number = reallocarray(latest->by_number, n, sizeof(*by_number));

		if (!by_number)
			return NULL;
		memset(by_number + latest->n_numbers, 0, (n - latest->n_numbers) * sizeof(*by_number));
		latest->by_number = by_number;
		latest->n_numbers = n;
	}
	if (latest->by_number[series->number])
		return latest->by_number[series->number];
	device = find_or_add(latest, series->device->name);
	if (!device)
		return NULL;
	for (reading = device->readings; reading; reading = reading->next)
		if (strcmp(reading->series->point, series->point) == 0) {
			latest->by_number[reading->series->number] = NULL;
			break;
		}
	if (!reading) {
		reading = calloc(1, sizeof(*reading));
		if (!reading)
			return NULL;
		reading->next = device->readings;
		device->readings = reading;
	}
	reading->series = series;
	latest->by_number[series->number] = reading;
	return reading;
}

static void keep(struct latest_reading *kept, const struct sample_reading *reading, uint64_t time_us)
{
	bool is_text = reading->quality != HAY_BAD && reading->value.type >= HAY_STRING;
	size_t size = is_text ? MIN(reading->value.s.size, (size_t)TEXT_MAX) : 0;
	char *text = NULL;

	if (size + reading->exception_size > 0) {
		text = malloc(size + reading->exception_size);
		if (!text)
			return; /* the one before stays, with its time */
		if (size > 0)
			memcpy(text, reading->value.s.data, size);
		if (reading->exception_size > 0)
			memcpy(text + size, reading->exception, reading->exception_size);
	}
	free(kept->text);
	kept->text = text;
	kept->time_us = time_us;
	kept->reading = *reading;
	if (is_text) {
		kept->reading.value.s.data = text;
		kept->reading.value.s.size = size;
	}
	kept->reading.exception = text ? text + size : NULL;
}

void latest_take(struct sample *sample, void *userdata)
{
	struct latest *latest = userdata;
	struct sample_cursor cursor;
	struct sample_reading reading;

	if (sample_begin(sample, &cursor) < 0)
		return;
	while (sample_next(&cursor, &reading) > 0) {
		const struct series *series = series_by_number(latest->series, reading.series);
		struct latest_reading *kept = series ? place(latest, series) : NULL;

		if (kept)
			keep(kept, &reading, sample->time_us);
	}
}

static bool has_point(const struct device_info *info, const char *point)
{
	for (size_t i = 0; i < info->n_points; i++)
		if (strcmp(info->points[i].series->point, point) == 0)
			return true;
	return false;
}

void latest_keep(struct latest *latest, const struct device_info *info)
{
	struct latest_device *device = *find(latest, info->device->name);
	struct latest_reading **at = device ? &device->readings : NULL;

	while (at && *at) {
		struct latest_reading *reading = *at;

		if (has_point(info, reading->series->point)) {
			at = &reading->next;
			continue;
		}
		*at = reading->next;
		forget_reading(latest, reading);
	}
}

void latest_forget(struct latest *latest, const char *device)
{
	struct latest_device **at = find(latest, device);

	if (*at)
		forget_device(latest, at);
}

const struct latest_reading *latest_of(const struct latest *latest, const char *device)
{
	const struct latest_device *at = latest->devices;

	while (at && strcmp(at->name, device) != 0)
		at = at->next;
	return at ? at->readings : NULL;
}
