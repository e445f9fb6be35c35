/* SPDX-License-Identifier: Apache-2.0 */
#include "normalize/normalize.h"
#include "base/clock.h"
#include <errno.h>
#include <math.h>
#include <string.h>

struct normalize {
	sd_event *event;
	struct series_set *series;
	struct stream *stream;
};

/* A measurement with its string, if it is one, held in memory of its own. */
struct kept_reading {
	bool present;
	struct hay_reading reading;
	char *text;
	uint64_t time_us;
};

struct normal_point {
	const struct series *series;
	enum hay_type raw;
	struct point_rules rules;
	struct kept_reading last; /* as last reported; only for points with report rules */
	struct kept_reading held; /* measured before report.min_interval had passed */
};

struct normal_device {
	struct normalize *normalize;
	const struct series_device *series;
	struct normal_point *points;
	size_t n_points;
	/* Room for one sample, until it is published. */
	struct sample_reading *round;
	const struct series **round_series;
	bool lost;		/* and said so */
	sd_event_source *timer; /* the first held measurement is due */
};

struct normalize *normalize_new(sd_event *event, struct series_set *series, struct stream *stream)
{
	struct normalize *normalize = calloc(1, sizeof(*normalize));

	if (!normalize)
		return NULL;
	normalize->event = sd_event_ref(event);
	normalize->series = series;
	normalize->stream = stream;
	return normalize;
}

struct normalize *normalize_free(struct normalize *normalize)
{
	if (normalize)
		sd_event_unref(normalize->event);
	free(normalize);
	return NULL;
}

static void forget_kept(struct kept_reading *kept)
{
	free(kept->text);
	*kept = (struct kept_reading){0};
}

/* Out of memory for a string: the measurement is not kept, and so counts as new the next time. */
static void keep_reading(struct kept_reading *kept, const struct hay_reading *reading, uint64_t time_us)
{
	char *text = NULL;

	if (reading->quality != HAY_BAD && reading->value.type >= HAY_STRING) {
		text = malloc(reading->value.s.size + 1);
		if (!text) {
			forget_kept(kept);
			return;
		}
		memcpy(text, reading->value.s.data, reading->value.s.size);
	}
	free(kept->text);
	*kept = (struct kept_reading){.present = true, .reading = *reading, .text = text, .time_us = time_us};
	if (text)
		kept->reading.value.s.data = text;
}

int normal_device_new(struct normalize *normalize, const struct series_device *series, struct normal_device **ret)
{
	struct normal_device *device = calloc(1, sizeof(*device));

	if (!device)
		return -ENOMEM;
	device->normalize = normalize;
	device->series = series;
	*ret = device;
	return 0;
}

struct normal_device *normal_device_free(struct normal_device *device)
{
	if (!device)
		return NULL;
	sd_event_source_disable_unref(device->timer);
	for (size_t i = 0; i < device->n_points; i++) {
		forget_kept(&device->points[i].last);
		forget_kept(&device->points[i].held);
	}
	free(device->points);
	free(device->round);
	free(device->round_series);
	free(device);
	return NULL;
}

int normal_device_add_point(struct normal_device *device, const char *name, const char *unit, enum hay_type type,
			    const struct point_rules *rules)
{
	size_t n = device->n_points + 1;
	struct normal_point *points = reallocarray(device->points, n, sizeof(*points));

	if (!points)
		return -ENOMEM;
	device->points = points;

	struct sample_reading *round = reallocarray(device->round, n, sizeof(*round));

	if (!round)
		return -ENOMEM;
	device->round = round;

	const struct series **round_series = reallocarray(device->round_series, n, sizeof(*round_series));

	if (!round_series)
		return -ENOMEM;
	device->round_series = round_series;

	const struct series *series =
		series_intern(device->normalize->series, device->series, name, unit, rules_type(rules, type));

	if (!series)
		return -ENOMEM;
	points[device->n_points++] = (struct normal_point){.series = series, .raw = type, .rules = *rules};
	return 0;
}

int normal_device_set_type(struct normal_device *device, size_t index, enum hay_type type)
{
	struct normal_point *point = &device->points[index];
	const struct series *series = series_intern(device->normalize->series, device->series, point->series->point,
						    point->series->unit, rules_type(&point->rules, type));

	if (!series)
		return -ENOMEM;
	point->series = series;
	point->raw = type;
	forget_kept(&point->last);
	forget_kept(&point->held);
	return 0;
}

/* ---- report rules ---- */

static double number_of(const struct hay_value *value)
{
	switch (value->type) {
	case HAY_INT16:
	case HAY_INT32:
	case HAY_INT64:
		return (double)value->i;
	case HAY_UINT16:
	case HAY_UINT32:
	case HAY_UINT64:
		return (double)value->u;
	case HAY_FLOAT32:
		return (double)value->f;
	default:
		return value->d;
	}
}

static bool value_differs(const struct hay_value *a, const struct hay_value *b)
{
	switch (a->type) {
	case HAY_BOOL:
		return a->b != b->b;
	case HAY_STRING:
	case HAY_BYTES:
		return a->s.size != b->s.size || memcmp(a->s.data, b->s.data, a->s.size) != 0;
	case HAY_FLOAT32:
		return a->f != b->f;
	case HAY_FLOAT64:
		return a->d != b->d;
	default:
		return a->u != b->u; /* the same bits as i */
	}
}

static bool has_moved(const struct report_conf *report, const struct hay_value *last, const struct hay_value *now)
{
	if (!value_differs(last, now))
		return false;
	if (now->type == HAY_BOOL || now->type >= HAY_STRING || isnan(report->deadband))
		return true;

	double before = number_of(last), step = fabs(number_of(now) - before);
	double least = report->percent ? fabs(before) * report->deadband / 100 : report->deadband;

	/* 0.3 - 0.1 is a hair less than 0.2, and meant to be enough. */
	return step >= least * (1 - 1e-12);
}

static bool same_state(const struct hay_reading *a, const struct hay_reading *b)
{
	if (a->quality != b->quality || a->reason != b->reason)
		return false;
	return a->reason != HAY_EXCEPTION ||
	       strcmp(a->exception ? a->exception : "", b->exception ? b->exception : "") == 0;
}

enum verdict { REPORT, HOLD, LET_GO };

static bool worth_it(const struct normal_point *point, const struct hay_reading *reading, uint64_t time_us)
{
	const struct report_conf *report = &point->rules.report;

	if (report->max_interval_us > 0 && time_us - point->last.time_us >= report->max_interval_us)
		return true;
	if (isnan(report->deadband) && report->max_interval_us == 0)
		return true; /* only a pace was asked for */
	return reading->quality != HAY_BAD && has_moved(report, &point->last.reading.value, &reading->value);
}

static enum verdict judge_reading(const struct normal_point *point, const struct hay_reading *reading, uint64_t time_us)
{
	const struct report_conf *report = &point->rules.report;

	if (!report->set || !point->last.present || !same_state(&point->last.reading, reading))
		return REPORT;
	if (report->min_interval_us > 0 && time_us - point->last.time_us < report->min_interval_us)
		return HOLD;
	return worth_it(point, reading, time_us) ? REPORT : LET_GO;
}

static void publish_round(struct normal_device *device, size_t n_readings, uint64_t time_us)
{
	if (n_readings > 0)
		stream_publish(device->normalize->stream, device->series, time_us, device->round_series, device->round,
			       n_readings);
}

static void add_to_round(struct normal_device *device, size_t *n, const struct normal_point *point,
			 const struct hay_reading *reading)
{
	device->round_series[*n] = point->series;
	device->round[(*n)++] =
		(struct sample_reading){.quality = reading->quality,
					.reason = reading->reason,
					.exception = reading->exception,
					.exception_size = reading->exception ? strlen(reading->exception) : 0,
					.value = reading->value};
}

/* Into the sample that is being made, and, where rules will ask for it, into memory. */
static void report_reading(struct normal_device *device, size_t *n, struct normal_point *point,
			   const struct hay_reading *reading, uint64_t time_us)
{
	add_to_round(device, n, point, reading);
	if (point->rules.report.set)
		keep_reading(&point->last, reading, time_us);
	forget_kept(&point->held);
}

/* The same for what was held: it becomes what was last reported, which owns its text from now on. */
static void report_held(struct normal_device *device, size_t *n, struct normal_point *point)
{
	forget_kept(&point->last);
	point->last = point->held;
	point->held = (struct kept_reading){0};
	add_to_round(device, n, point, &point->last.reading);
}

/* ---- held measurements ---- */

static int send_held(sd_event_source *source, uint64_t when, void *userdata);

/* How long until a point may be reported again: a time before the machine's start is below 0. */
static uint64_t left_us(const struct normal_point *point, uint64_t now)
{
	int64_t left = (int64_t)(point->last.time_us + point->rules.report.min_interval_us - now);

	return left > 0 ? (uint64_t)left : 0;
}

static void arm_timer(struct normal_device *device)
{
	uint64_t delay = USEC_NEVER, now = clock_now();

	for (size_t i = 0; i < device->n_points; i++) {
		const struct normal_point *point = &device->points[i];

		if (point->held.present)
			delay = MIN(delay, left_us(point, now));
	}
	if (delay == USEC_NEVER) {
		sd_event_source_set_enabled(device->timer, SD_EVENT_OFF);
		return;
	}
	if (!device->timer) {
		sd_event_add_time_relative(device->normalize->event, &device->timer, CLOCK_MONOTONIC, delay,
					   USEC_PER_MSEC, send_held, device);
		return;
	}
	sd_event_source_set_time_relative(device->timer, delay);
	sd_event_source_set_enabled(device->timer, SD_EVENT_ONESHOT);
}

/* What was held goes up with its own time: points measured at one moment share a sample. */
static int send_held(sd_event_source *source _unused_, uint64_t when _unused_, void *userdata)
{
	struct normal_device *device = userdata;
	uint64_t now = clock_now() + USEC_PER_MSEC; /* the timer's accuracy */

	for (size_t first = 0; first < device->n_points; first++) {
		size_t n = 0;
		uint64_t time_us = device->points[first].held.time_us;

		for (size_t i = first; i < device->n_points; i++) {
			struct normal_point *point = &device->points[i];
			struct kept_reading *held = &point->held;

			if (!held->present || held->time_us != time_us || left_us(point, now) > 0)
				continue;
			if (!worth_it(point, &held->reading, held->time_us)) {
				forget_kept(held);
				continue;
			}
			report_held(device, &n, point);
		}
		publish_round(device, n, time_us);
	}
	arm_timer(device);
	return 0;
}

/* ---- in ---- */

void normal_device_sample(struct normal_device *device, const struct hay_sample *sample)
{
	size_t n = 0;
	bool holds = false;

	device->lost = false;
	for (size_t i = 0; i < sample->n_readings && n < device->n_points; i++) {
		struct hay_reading reading = sample->readings[i];

		if (reading.point >= device->n_points)
			continue;

		struct normal_point *point = &device->points[reading.point];

		rules_apply(&point->rules, point->raw, &reading);
		switch (judge_reading(point, &reading, sample->time_us)) {
		case REPORT:
			report_reading(device, &n, point, &reading, sample->time_us);
			break;
		case HOLD:
			keep_reading(&point->held, &reading, sample->time_us);
			holds = true;
			break;
		case LET_GO:
			forget_kept(&point->held);
			break;
		}
	}
	publish_round(device, n, sample->time_us);
	if (holds)
		arm_timer(device);
}

void normal_device_lost(struct normal_device *device, uint64_t time_us, enum hay_reason reason)
{
	struct hay_reading reading = {.quality = HAY_BAD, .reason = reason};
	size_t n = 0;

	if (device->lost)
		return;
	device->lost = true;
	for (size_t i = 0; i < device->n_points; i++)
		report_reading(device, &n, &device->points[i], &reading, time_us);
	publish_round(device, n, time_us);
}

const struct series_device *normal_device_series(const struct normal_device *device)
{
	return device->series;
}

size_t normal_device_points(const struct normal_device *device)
{
	return device->n_points;
}

const struct point_rules *normal_device_rules(const struct normal_device *device, size_t index)
{
	return &device->points[index].rules;
}

const struct series *normal_device_point(const struct normal_device *device, size_t index)
{
	return device->points[index].series;
}
