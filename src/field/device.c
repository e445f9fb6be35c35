/* SPDX-License-Identifier: Apache-2.0 */
#include "field/device.h"
#include "base/backoff.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/units.h"
#include "field/field_private.h"
#include "field/writes.h"
#include "model/device_info.h"
#include <errno.h>
#include <haywain/helpers.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#define FAILURES_TO_OFFLINE 2
#define ADDED_POINTS_MAX 1024
#define SLACK_US USEC_PER_MSEC /* a period that is due this soon joins the round */

static void log_device(const struct device *device, enum hay_log_level level, const char *format, ...) _printf_(3, 4);
static void log_device(const struct device *device, enum hay_log_level level, const char *format, ...)
{
	struct log_subject subject = {.device = device->conf->name, .link = device->conf->link};
	va_list args;

	va_start(args, format);
	log_about_v(&subject, level, format, args);
	va_end(args);
}

static int by_period(const void *a, const void *b)
{
	const struct device_period *left = a, *right = b;

	return (left->every_us > right->every_us) - (left->every_us < right->every_us);
}

/* The points with that period, at first none. NULL: out of memory. */
static struct device_period *get_period(struct device *device, uint64_t every_us)
{
	struct device_period *periods;

	for (size_t i = 0; i < device->n_periods; i++)
		if (device->periods[i].every_us == every_us)
			return &device->periods[i];
	periods = reallocarray(device->periods, device->n_periods + 1, sizeof(*device->periods));
	if (!periods)
		return NULL;
	device->periods = periods;
	periods[device->n_periods] = (struct device_period){.every_us = every_us};
	return &periods[device->n_periods++];
}

static int add_to_period(struct device *device, uint64_t every_us, uint32_t point)
{
	struct device_period *period = get_period(device, every_us);
	uint32_t *points = period ? reallocarray(period->points, period->n_points + 1, sizeof(*points)) : NULL;

	if (!points)
		return -ENOMEM;
	period->points = points;
	points[period->n_points++] = point;
	return 0;
}

static int add_configured_points(struct device *device)
{
	struct device_conf *conf = device->conf;

	device->points = calloc(MAX(conf->n_points, (size_t)1), sizeof(struct hay_point *));
	device->round = calloc(MAX(conf->n_points, (size_t)1), sizeof(*device->round));
	if (!device->points || !device->round)
		return -ENOMEM;
	for (size_t i = 0; i < conf->n_points; i++) {
		const struct point_conf *point = &conf->points[i];
		struct point_rules rules = {.scale = point->point.scale,
					    .offset = point->point.offset,
					    .decimals = point->decimals,
					    .min = point->min,
					    .max = point->max,
					    .invalid = point->invalid,
					    .n_invalid = point->n_invalid,
					    .report = point->report};
		int r = normal_device_add_point(device->normal, point->point.name, point->point.unit, point->point.type,
						&rules);

		if (r == 0)
			r = add_to_period(device, point->point.every_us, (uint32_t)i);
		if (r < 0)
			return r;
		device->points[i] = &point->point;
	}
	if (device->n_periods > 1)
		qsort(device->periods, device->n_periods, sizeof(*device->periods), by_period);
	device->hay.points = device->points;
	device->hay.n_points = (uint32_t)conf->n_points;
	return 0;
}

uint64_t device_shortest_period(const struct device *device)
{
	return device->n_periods > 0 ? device->periods[0].every_us : device->conf->every_us;
}

double device_load(const struct device *device)
{
	return device->state == DEVICE_ONLINE ? (double)device->round_us / (double)device_shortest_period(device) : 0;
}

int device_new(struct link *link, struct device_conf *conf, uint64_t n, struct device **ret)
{
	struct device *device = calloc(1, sizeof(*device));
	int r = device ? 0 : -ENOMEM;

	if (!device) {
		device_conf_free(conf);
		return r;
	}
	device->link = link;
	device->conf = conf;
	device->hay = (struct hay_device){
		.link = &link->hay, .name = conf->name, .conf = conf->conf, .every_us = conf->every_us};
	device->since_us = clock_now();

	const struct series_device *series =
		series_device_intern(link->field->series, conf->name, conf->link, conf->tags, conf->n_tags);

	r = series ? normal_device_new(link->field->normalize, series, &device->normal) : -ENOMEM;
	if (r == 0)
		r = add_configured_points(device);
	if (r == 0 && link->plugin->start)
		r = link->plugin->start(&device->hay);
	if (r < 0) {
		device_free(device);
		return r;
	}
	device->phase = DEVICE_STARTED;
	if (device->n_periods == 0 && device->hay.flags & HAY_DEVICE_POLLED_WHOLE &&
	    !get_period(device, conf->every_us)) {
		if (link->plugin->stop)
			link->plugin->stop(&device->hay);
		device_free(device);
		return -ENOMEM;
	}
	uint64_t fastest = device_shortest_period(device), now = clock_now();

	device->origin_us = schedule_start(now, fastest, n);
	for (size_t i = 0; i < device->n_periods; i++)
		device->periods[i].next_us = schedule_first(now, fastest, n);
	*ret = device;
	return 0;
}

void device_pause(struct device *device)
{
	bool was_started = device->phase == DEVICE_STARTED || device->phase == DEVICE_STOPPING;

	if (was_started)
		device->phase = device_is_stopping(device) ? DEVICE_STOPPING_PAUSED : DEVICE_PAUSED;
	if (was_started && device->link->plugin->stop)
		device->link->plugin->stop(&device->hay);
	writes_abandon(device);
}

void device_resume(struct device *device)
{
	uint32_t n_points = device->hay.n_points;
	int r;

	if (device->phase != DEVICE_PAUSED)
		return;
	/* Points that the plugin added have no configuration: it adds them again. */
	device->hay.n_points = (uint32_t)device->conf->n_points;
	r = device->link->plugin->start ? device->link->plugin->start(&device->hay) : 0;
	device->hay.n_points = n_points;
	if (r >= 0) {
		device->phase = DEVICE_STARTED;
		return;
	}
	log_device(device, HAY_LOG_ERROR, "cannot be started again: %s; it is left out until the next reload",
		   strerror(-r));
	field_stop_device(device);
}

struct device *device_free(struct device *device)
{
	if (!device)
		return NULL;
	schedule_remove(device->link->field->schedule, &device->due);
	normal_device_free(device->normal);
	for (size_t i = 0; i < device->n_periods; i++)
		free(device->periods[i].points);
	free(device->periods);
	free(device->points);
	free(device->round);
	free(device->reason);
	free(device->detail);
	free(device->failure);
	point_faults_free(&device->faults);
	pool_free(device->added);
	device_conf_free(device->conf);
	free(device);
	return NULL;
}

/* Samples carry a series, and a series has one type: the point gets a new one. Samples on their way keep theirs. */
static int make_point_number(struct device *device, uint32_t index, enum hay_type type)
{
	struct hay_point *point = pool_alloc(device->added, sizeof(*point));
	int r = point ? normal_device_set_type(device->normal, index, type) : -ENOMEM;

	if (r < 0)
		return r;
	*point = *device->points[index];
	point->type = type;
	point->type_name = type_to_string(type);
	device->points[index] = point;
	log_device(device, HAY_LOG_NOTICE, "%s was no number at first, and is one from now on", point->name);
	device_publish_info(device);
	return 0;
}

int device_add_point(struct device *device, const char *name, enum hay_type type, const char *unit, uint32_t *ret_point)
{
	uint32_t n = device->hay.n_points;

	for (uint32_t i = 0; i < n; i++)
		if (strcmp(device->points[i]->name, name) == 0) {
			enum hay_type before = device->points[i]->type;
			int r = before == type ? 0
				: i < device->conf->n_points || hay_type_is_number(before) || !hay_type_is_number(type)
					? -EEXIST
					: make_point_number(device, i, type);

			if (r == 0)
				*ret_point = i;
			return r;
		}
	if (n >= device->conf->n_points + ADDED_POINTS_MAX)
		return -ENOSPC;
	if (!device->added)
		device->added = pool_new();

	struct hay_point *point = device->added ? pool_alloc(device->added, sizeof(*point)) : NULL;
	const struct hay_point **points = reallocarray(device->points, n + 1, sizeof(*points));

	if (points)
		device->points = points;
	if (!point || !points)
		return -ENOMEM;
	*point = (struct hay_point){.name = pool_strdup(device->added, name),
				    .unit = unit ? pool_strdup(device->added, unit) : NULL,
				    .type = type,
				    .type_name = type_to_string(type),
				    .every_us = device->conf->every_us,
				    .scale = 1};

	struct point_rules rules = {.scale = 1, .decimals = -1, .min = NAN, .max = NAN, .report = device->conf->report};

	if (!point->name || normal_device_add_point(device->normal, name, unit, type, &rules) < 0)
		return -ENOMEM;
	points[n] = point;
	device->hay.points = points;
	device->hay.n_points = n + 1;
	*ret_point = n;
	device_publish_info(device);
	return 0;
}

/* ---- rounds ---- */

static int ascending(const void *a, const void *b)
{
	uint32_t left = *(const uint32_t *)a, right = *(const uint32_t *)b;

	return (left > right) - (left < right);
}

/* Which points are due, and when their periods are due again. An absent device is asked for everything: the
   first time-out ends the round anyway, and the first answer brings all values. */
static size_t take_due(struct device *device, uint64_t now, const uint32_t **ret_due)
{
	bool all = device_is_offline(device);
	const struct device_period *only = NULL;
	size_t n = 0, n_periods = 0;

	for (size_t i = 0; i < device->n_periods; i++) {
		struct device_period *period = &device->periods[i];

		if (!all && period->next_us > now + SLACK_US)
			continue;

		uint64_t next = schedule_next(device->origin_us, period->every_us, now + SLACK_US);

		if (device->state == DEVICE_ONLINE && next - period->next_us > period->every_us) {
			uint64_t skipped = (next - period->next_us) / period->every_us - 1;

			device->late += skipped;
			device->link->field->late += skipped;
			link_note_late(device->link, skipped);
		}
		period->next_us = next;
		only = period;
		n_periods++;
		if (period->n_points > 0)
			memcpy(device->round + n, period->points, period->n_points * sizeof(*period->points));
		n += period->n_points;
	}
	if (n_periods > 1)
		qsort(device->round, n, sizeof(*device->round), ascending);
	*ret_due = n_periods == 1 ? only->points : device->round;
	return n;
}

bool device_is_polled(const struct device *device)
{
	return device->link->plugin->poll && !(device->hay.flags & HAY_DEVICE_UNPOLLED);
}

void device_begin_round(struct device *device)
{
	struct link *link = device->link;
	const uint32_t *due;
	size_t n = take_due(device, clock_now(), &due);

	link->polling = device;
	link->busy_since_us = clock_now();
	int r = link->plugin->poll(&device->hay, due, n);

	if (r < 0)
		device_end_round(device, NULL, HAY_FAILED, HAY_REFUSED, strerror(-r), 0);
}

static void count_error(struct device *device, enum hay_reason reason)
{
	device->errors[reason]++;
	device->link->errors[reason]++;
}

/* The device answered, but not for every point: each kind of fault counts once in a round. */
static void count_faults(struct device *device, const struct hay_sample *sample)
{
	bool seen[HAY_N_REASONS] = {false};

	for (size_t i = 0; sample && i < sample->n_readings; i++) {
		enum hay_reason reason = sample->readings[i].reason;

		if (sample->readings[i].quality == HAY_BAD && !seen[reason]) {
			seen[reason] = true;
			count_error(device, reason);
		}
	}
}

static void end_good(struct device *device, const struct hay_sample *sample, uint64_t rtt_us)
{
	device->failures = 0;
	device->rtt_us = rtt_us;
	count_faults(device, sample);
	if (link_is_down(device->link))
		link_went_up(device->link);
	device_went_online(device);
	if (!sample)
		return;
	point_faults_log(&device->faults, &device->hay, sample);
	normal_device_sample(device->normal, sample);
}

static void end_bad(struct device *device, const struct hay_sample *sample, enum hay_reason reason, const char *detail)
{
	device->failed++;
	device->failures++;
	count_error(device, reason);
	device->link->field->failures++;
	if (device->state == DEVICE_NEW) {
		free(device->failure);
		device->failure = strdup(detail ? detail : reason_to_string(reason));
	}
	if (link_is_down(device->link)) {
		link_try_later(device->link);
	} else if (device_is_offline(device)) {
		device->pause_us = hay_backoff_next(device->pause_us, FIELD_PAUSE_FIRST_US, FIELD_PAUSE_LAST_US);
	} else if (device->failures >= FAILURES_TO_OFFLINE) {
		device_went_offline(device, reason, detail, false);
	} else {
		log_device(device, HAY_LOG_DEBUG, "no good answer: %s", detail ? detail : reason_to_string(reason));
		if (sample)
			normal_device_sample(device->normal, sample);
	}
}

/* Nothing was asked that would show how the device is. */
static void end_skipped(struct device *device, const struct hay_sample *sample)
{
	if (link_is_down(device->link))
		link_try_later(device->link);
	if (device->state != DEVICE_ONLINE || !sample)
		return;
	point_faults_log(&device->faults, &device->hay, sample);
	normal_device_sample(device->normal, sample);
}

/* Whatever the plugin makes of the round: a device that gave a value is there, and the value is delivered. */
static bool has_value(const struct hay_sample *sample)
{
	for (size_t i = 0; sample && i < sample->n_readings; i++)
		if (sample->readings[i].quality != HAY_BAD)
			return true;
	return false;
}

void device_end_round(struct device *device, const struct hay_sample *sample, enum hay_result result,
		      enum hay_reason reason, const char *detail, uint64_t rtt_us)
{
	struct link *link = device->link;

	if (link->polling != device) /* a plugin that ends a round twice */
		return;
	link->polling = NULL;
	uint64_t took_us = clock_now() - link->busy_since_us;

	link->busy_us += took_us;
	device->round_us = device->round_us ? (device->round_us * 3 + took_us + 3) / 4 : took_us;
	if (device_is_stopping(device) || link_is_suspended(link)) {
		field_advance_soon(link->field);
		link_next_turn(link);
		return;
	}
	device->rounds++;
	link->field->rounds++;
	link_note_use(link);
	if (result == HAY_OK || (!link_is_down(link) && has_value(sample)))
		end_good(device, sample, rtt_us);
	else if (result == HAY_SKIPPED)
		end_skipped(device, sample);
	else
		end_bad(device, sample, reason, detail);
	if (!link_is_down(link))
		device_reschedule(device);
	link_next_turn(link);
}

void device_reschedule(struct device *device)
{
	uint64_t due = USEC_NEVER;

	if (!device_is_polled(device) || device_is_stopping(device) || device->link->polling == device)
		return;
	if (device_is_offline(device))
		due = clock_now() + (device->pause_us > 0 ? MAX(device->pause_us, device->conf->every_us) : 0);
	else
		for (size_t i = 0; i < device->n_periods; i++)
			due = MIN(due, device->periods[i].next_us);
	if (due != USEC_NEVER)
		schedule_put(device->link->field->schedule, &device->due, due);
}

void device_poll_now(struct device *device)
{
	for (size_t i = 0; i < device->n_periods; i++)
		device->periods[i].next_us = clock_now();
	if (!link_is_down(device->link))
		device_reschedule(device);
}

void device_unschedule(struct device *device)
{
	schedule_remove(device->link->field->schedule, &device->due);
	link_give_up(device->link, device);
}

/* ---- there and away ---- */

void device_publish_info(struct device *device)
{
	size_t n = normal_device_points(device->normal);
	_cleanup_free_ struct device_info_point *points = calloc(MAX(n, (size_t)1), sizeof(*points));

	if (!points)
		return;
	for (size_t i = 0; i < n; i++)
		points[i] = (struct device_info_point){.series = normal_device_point(device->normal, i),
						       .writable = i < device->hay.n_points &&
								   device->points[i]->flags & HAY_POINT_WRITABLE};

	const char *reason = device->state == DEVICE_ONLINE ? NULL : device->reason ? device->reason : "not heard yet";
	struct device_info *info = device_info_new(normal_device_series(device->normal), device->state == DEVICE_ONLINE,
						   device->since_us, reason, points, n);
	const struct field_hooks *hooks = &device->link->field->hooks;

	if (info && hooks->info)
		hooks->info(info, hooks->userdata);
	device_info_unref(info);
}

/* A line about coming or going. For a device that comes and goes all the time few lines are enough. */
static void about_state(struct device *device, enum hay_log_level level, const char *format, ...) _printf_(3, 4);
static void about_state(struct device *device, enum hay_log_level level, const char *format, ...)
{
	_cleanup_free_ char *text = NULL;
	char often[RATE_LIMIT_TEXT_MAX];
	uint64_t before;
	va_list args;

	if (!rate_limit_allows(&device->limit, clock_now(), &before))
		level = HAY_LOG_DEBUG;
	va_start(args, format);
	int r = vasprintf(&text, format, args);
	va_end(args);
	if (r < 0)
		text = NULL;
	log_device(device, level, "%s%s", text ? text : "out of memory",
		   rate_limit_text(&device->limit, before, often));
}

void device_went_online(struct device *device)
{
	enum device_state before = device->state;
	uint64_t now = clock_now();
	char duration[DURATION_TEXT_MAX];

	if (before == DEVICE_ONLINE)
		return;
	link_note_use(device->link);
	device->state = DEVICE_ONLINE;
	device->pause_us = 0;
	if (before == DEVICE_NEW && device_is_polled(device))
		log_device(device, HAY_LOG_INFO, "online: %u point%s every %s", device->hay.n_points,
			   device->hay.n_points == 1 ? "" : "s", format_duration(device->conf->every_us, duration));
	else if (before == DEVICE_NEW)
		log_device(device, HAY_LOG_INFO, "online");
	else if (before == DEVICE_OFFLINE_WITH_LINK)
		log_device(device, HAY_LOG_DEBUG, "online again with its link");
	else
		about_state(device, HAY_LOG_NOTICE, "online again after %s",
			    format_duration(now - device->since_us, duration));
	device->since_us = now;
	free(device->reason);
	free(device->detail);
	device->reason = device->detail = NULL;
	device_publish_info(device);
}

void device_went_offline(struct device *device, enum hay_reason reason, const char *detail, bool because_of_link)
{
	/* "Offline: offline" would say nothing. */
	const char *text = detail ? detail : reason == HAY_OFFLINE ? "no sign of life" : reason_to_string(reason);
	char tries[BACKOFF_TEXT_MAX];

	if (device_is_offline(device))
		return;
	device->state = because_of_link ? DEVICE_OFFLINE_WITH_LINK : DEVICE_OFFLINE;
	device->since_us = clock_now();
	free(device->reason);
	free(device->detail);
	device->detail = strdup(text);
	/* Consumers compare the word of the closed list; the log and the local API say more. */
	device->reason = strdup(reason == HAY_EXCEPTION && detail ? detail : reason_to_string(reason));
	device->pause_us = because_of_link || !device_is_polled(device) ? 0 : FIELD_PAUSE_FIRST_US;
	if (because_of_link)
		log_device(device, HAY_LOG_DEBUG, "offline with its link");
	else if (device_is_polled(device))
		about_state(device, HAY_LOG_WARNING, "offline: %s; %s", text,
			    backoff_text(MAX(device->pause_us, device->conf->every_us),
					 MAX(FIELD_PAUSE_LAST_US, device->conf->every_us), tries));
	else
		about_state(device, HAY_LOG_WARNING, "offline: %s; it is back when it is heard again", text);
	normal_device_lost(device->normal, device->since_us, HAY_OFFLINE);
	device_publish_info(device);
}
