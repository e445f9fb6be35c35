/* SPDX-License-Identifier: Apache-2.0 */
#include "model/latest.h"
#include "base/mutex.h"
#include <errno.h>
#include <string.h>

#define TEXT_MAX 4096 /* of a string that is kept: it is cut */

struct kept_reading {
	struct kept_reading *next; /* of the same device */
	struct latest_reading latest;
	char *text;
};

struct latest_device {
	struct latest_device *next;
	char *name;
	struct kept_reading *readings;
};

struct latest {
	struct stream_subscription *subscription;
	struct mutex lock; /* of all that follows */
	struct latest_device *devices;
	/* By number of the series, so that a sample is taken without a search. */
	struct kept_reading **by_number;
	size_t n_numbers;
};

static void forget_reading(struct latest *latest, struct kept_reading *reading)
{
	latest->by_number[reading->latest.series->number] = NULL;
	free(reading->text);
	free(reading);
}

static void forget_device(struct latest *latest, struct latest_device **at)
{
	struct latest_device *device = *at;

	*at = device->next;
	while (device->readings) {
		struct kept_reading *reading = device->readings;

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
	stream_unsubscribe(latest->subscription);
	while (latest->devices)
		forget_device(latest, &latest->devices);
	free(latest->by_number);
	mutex_destroy(&latest->lock);
	free(latest);
	return NULL;
}

static struct latest_device **find_device(struct latest *latest, const char *name)
{
	struct latest_device **at = &latest->devices;

	while (*at && strcmp((*at)->name, name) != 0)
		at = &(*at)->next;
	return at;
}

static struct latest_device *find_or_add_device(struct latest *latest, const char *name)
{
	struct latest_device **at = find_device(latest, name);

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
static struct kept_reading *find_or_add_reading(struct latest *latest, const struct series *series)
{
	struct latest_device *device;
	struct kept_reading *reading;

	if (series->number >= latest->n_numbers) {
		size_t n = MAX((size_t)series->number + 1, latest->n_numbers + latest->n_numbers / 2);
		struct kept_reading **by_number = reallocarray(latest->by_number, n, sizeof(*by_number));

		if (!by_number)
			return NULL;
		memset(by_number + latest->n_numbers, 0, (n - latest->n_numbers) * sizeof(*by_number));
		latest->by_number = by_number;
		latest->n_numbers = n;
	}
	if (latest->by_number[series->number])
		return latest->by_number[series->number];
	device = find_or_add_device(latest, series->device->name);
	if (!device)
		return NULL;
	for (reading = device->readings; reading; reading = reading->next)
		if (strcmp(reading->latest.series->point, series->point) == 0) {
			latest->by_number[reading->latest.series->number] = NULL;
			break;
		}
	if (!reading) {
		reading = calloc(1, sizeof(*reading));
		if (!reading)
			return NULL;
		reading->next = device->readings;
		device->readings = reading;
	}
	reading->latest.series = series;
	latest->by_number[series->number] = reading;
	return reading;
}

static void keep_reading(struct kept_reading *kept, const struct sample_reading *reading, uint64_t time_us)
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
	kept->latest.time_us = time_us;
	kept->latest.reading = *reading;
	if (is_text) {
		kept->latest.reading.value.s.data = text;
		kept->latest.reading.value.s.size = size;
	}
	kept->latest.reading.exception = text ? text + size : NULL;
}

static void take_sample(const struct stream_sample *sample, void *userdata)
{
	struct latest *latest = userdata;

	mutex_lock(&latest->lock);
	for (size_t i = 0; i < sample->n_readings; i++) {
		struct kept_reading *kept = find_or_add_reading(latest, sample->series[i]);

		if (kept)
			keep_reading(kept, &sample->readings[i], sample->sample->time_us);
	}
	mutex_unlock(&latest->lock);
}

struct latest *latest_new(struct stream *stream)
{
	struct latest *latest = calloc(1, sizeof(*latest));

	if (!latest)
		return NULL;
	mutex_init(&latest->lock);
	latest->subscription = stream_subscribe(stream, take_sample, latest);
	return latest->subscription ? latest : latest_free(latest);
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
	mutex_lock(&latest->lock);

	struct latest_device *device = *find_device(latest, info->device->name);
	struct kept_reading **at = device ? &device->readings : NULL;

	while (at && *at) {
		struct kept_reading *reading = *at;

		if (has_point(info, reading->latest.series->point)) {
			at = &reading->next;
			continue;
		}
		*at = reading->next;
		forget_reading(latest, reading);
	}
	mutex_unlock(&latest->lock);
}

void latest_forget(struct latest *latest, const char *device)
{
	mutex_lock(&latest->lock);

	struct latest_device **at = find_device(latest, device);

	if (*at)
		forget_device(latest, at);
	mutex_unlock(&latest->lock);
}

/* ---- snapshots ---- */

static size_t text_size(const struct kept_reading *kept)
{
	const struct sample_reading *reading = &kept->latest.reading;

	return (reading->quality != HAY_BAD && reading->value.type >= HAY_STRING ? reading->value.s.size : 0) +
	       reading->exception_size;
}

/* A string of the kept reading is at the same place in the copy of its text. */
static void copy_reading(struct latest_reading *to, const struct kept_reading *kept, char *text)
{
	*to = kept->latest;
	if (text_size(kept) > 0)
		memcpy(text, kept->text, text_size(kept));
	if (to->reading.quality != HAY_BAD && to->reading.value.type >= HAY_STRING)
		to->reading.value.s.data = text;
	if (to->reading.exception)
		to->reading.exception = text + (kept->latest.reading.exception - kept->text);
}

static int copy_device(const struct latest_device *device, struct latest_snapshot *ret)
{
	size_t n = 0, texts = 0;
	char *text;

	for (const struct kept_reading *at = device->readings; at; at = at->next) {
		n++;
		texts += text_size(at);
	}
	if (n == 0)
		return 0;
	ret->readings = malloc(n * sizeof(*ret->readings) + texts);
	if (!ret->readings)
		return -ENOMEM;
	text = (char *)(ret->readings + n);
	for (const struct kept_reading *at = device->readings; at; at = at->next) {
		copy_reading(&ret->readings[ret->n_readings++], at, text);
		text += text_size(at);
	}
	return 0;
}

int latest_copy(struct latest *latest, const char *device, struct latest_snapshot *ret)
{
	struct latest_device **at;
	int r = 0;

	*ret = (struct latest_snapshot){0};
	mutex_lock(&latest->lock);
	at = find_device(latest, device);
	if (*at)
		r = copy_device(*at, ret);
	mutex_unlock(&latest->lock);
	return r;
}

void latest_snapshot_done(struct latest_snapshot *snapshot)
{
	free(snapshot->readings);
	*snapshot = (struct latest_snapshot){0};
}

const struct latest_reading *latest_snapshot_find(const struct latest_snapshot *snapshot, const char *point)
{
	for (size_t i = 0; i < snapshot->n_readings; i++)
		if (strcmp(snapshot->readings[i].series->point, point) == 0)
			return &snapshot->readings[i];
	return NULL;
}
