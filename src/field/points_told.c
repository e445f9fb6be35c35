/* SPDX-License-Identifier: Apache-2.0 */
#include "field/points_told.h"
#include "base/buf.h"
#include "base/clock.h"
#include "base/log.h"
#include "queue/sample.h"
#include <string.h>

#define NAMES_MAX 4

void points_told_done(struct points_told *told)
{
	free(told->points);
	*told = (struct points_told){0};
}

static bool make_room(struct points_told *told, uint32_t n)
{
	if (n <= told->n)
		return true;

	struct point_told *points = reallocarray(told->points, n, sizeof(*points));

	if (!points)
		return false;
	memset(points + told->n, 0, (n - told->n) * sizeof(*points));
	told->points = points;
	told->n = n;
	return true;
}

/* An answer that was lost or damaged is no news where the next one is right: on a noisy line that is every hundredth. */
static bool is_bad(const struct points_told *told, const struct hay_reading *reading)
{
	const struct point_told *point = &told->points[reading->point];

	if (reading->quality != HAY_BAD || reading->reason == HAY_OFFLINE)
		return false;
	if (reading->reason == HAY_TIMEOUT || reading->reason == HAY_DECODE || reading->reason == HAY_REFUSED)
		return point->is_told || point->n_bad > 1;
	return true;
}

static const char *why(const struct hay_reading *reading)
{
	return reading->reason == HAY_EXCEPTION && reading->exception ? reading->exception
								      : reason_word(reading->reason);
}

/* "point a", "points a, b, c, d and 3 more": those whose state is new and is `bad`. */
static unsigned list(struct buf *out, const struct points_told *told, const struct hay_device *device,
		     const struct hay_sample *sample, bool bad, const struct hay_reading **ret_first)
{
	unsigned n = 0;

	for (size_t i = 0; i < sample->n_readings; i++) {
		const struct hay_reading *reading = &sample->readings[i];

		if (reading->point >= told->n || is_bad(told, reading) != bad ||
		    told->points[reading->point].is_told == bad || (!bad && reading->quality == HAY_BAD))
			continue;
		if (n == 0)
			*ret_first = reading;
		if (n < NAMES_MAX)
			buf_printf(out, "%s%s", n > 0 ? ", " : "", device->points[reading->point]->name);
		n++;
	}
	if (n > NAMES_MAX)
		buf_printf(out, " and %u more", n - NAMES_MAX);
	return n;
}

static void say(struct points_told *told, const struct hay_device *device, const struct hay_sample *sample, bool bad)
{
	struct log_subject subject = {.device = device->name, .link = device->link->name};
	const struct hay_reading *first = NULL;
	_cleanup_buf_ struct buf names = {0};
	unsigned n = list(&names, told, device, sample, bad, &first), before;
	char often[FOLD_TEXT_MAX] = "";

	if (n == 0)
		return;

	enum hay_log_level level = HAY_LOG_DEBUG;

	if (fold_says(&told->fold, clock_now(), &before)) {
		level = bad ? HAY_LOG_WARNING : HAY_LOG_NOTICE;
		fold_text(&told->fold, before, often);
	}
	if (bad)
		log_about(&subject, level, "point%s %s: bad: %s; the device goes on%s", n == 1 ? "" : "s",
			  buf_text(&names), why(first), often);
	else
		log_about(&subject, level, "point%s %s: good again%s", n == 1 ? "" : "s", buf_text(&names), often);
}

static void count(struct points_told *told, const struct hay_reading *reading)
{
	uint64_t *n = &told->points[reading->point].n_bad;

	*n = reading->quality == HAY_BAD ? *n + 1 : 0;
}

void points_tell(struct points_told *told, const struct hay_device *device, const struct hay_sample *sample)
{
	bool news = false;

	if (!make_room(told, device->n_points))
		return;
	for (size_t i = 0; i < sample->n_readings; i++) {
		const struct hay_reading *reading = &sample->readings[i];

		if (reading->point >= told->n)
			continue;
		count(told, reading);
		news = news || is_bad(told, reading) != told->points[reading->point].is_told;
	}
	if (!news)
		return;
	say(told, device, sample, true);
	say(told, device, sample, false);
	for (size_t i = 0; i < sample->n_readings; i++)
		if (sample->readings[i].point < told->n)
			told->points[sample->readings[i].point].is_told = is_bad(told, &sample->readings[i]);
}

uint64_t points_told_bad(const struct points_told *told, uint32_t point)
{
	return point < told->n ? told->points[point].n_bad : 0;
}
