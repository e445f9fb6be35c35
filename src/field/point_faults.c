/* SPDX-License-Identifier: Apache-2.0 */
#include "field/point_faults.h"
#include "base/buf.h"
#include "base/clock.h"
#include "base/log.h"
#include "model/sample.h"
#include <string.h>

#define NAMES_MAX 4

void point_faults_free(struct point_faults *faults)
{
	free(faults->points);
	*faults = (struct point_faults){0};
}

static bool make_room(struct point_faults *faults, uint32_t n)
{
	if (n <= faults->n)
		return true;

	struct point_fault *points = reallocarray(faults->points, n, sizeof(*points));

	if (!points)
		return false;
	memset(points + faults->n, 0, (n - faults->n) * sizeof(*points));
	faults->points = points;
	faults->n = n;
	return true;
}

/* An answer that was lost or damaged is no news where the next one is right: on a noisy line that is every
   hundredth. */
static bool is_bad(const struct point_faults *faults, const struct hay_reading *reading)
{
	const struct point_fault *point = &faults->points[reading->point];

	if (reading->quality != HAY_BAD || reading->reason == HAY_OFFLINE)
		return false;
	if (reading->reason == HAY_TIMEOUT || reading->reason == HAY_DECODE || reading->reason == HAY_REFUSED)
		return point->is_logged || point->n_bad > 1;
	return true;
}

static const char *reason_text(const struct hay_reading *reading)
{
	return reading->reason == HAY_EXCEPTION && reading->exception ? reading->exception
								      : reason_to_string(reading->reason);
}

/* "point a", "points a, b, c, d and 3 more": those whose state is new and is `bad`. */
static unsigned list_changed(struct buf *out, const struct point_faults *faults, const struct hay_device *device,
			     const struct hay_sample *sample, bool bad, const struct hay_reading **ret_first)
{
	unsigned n = 0;

	for (size_t i = 0; i < sample->n_readings; i++) {
		const struct hay_reading *reading = &sample->readings[i];

		if (reading->point >= faults->n || is_bad(faults, reading) != bad ||
		    faults->points[reading->point].is_logged == bad || (!bad && reading->quality == HAY_BAD))
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

static void log_changed(struct point_faults *faults, const struct hay_device *device, const struct hay_sample *sample,
			bool bad)
{
	struct log_subject subject = {.device = device->name, .link = device->link->name};
	const struct hay_reading *first = NULL;
	_cleanup_buf_ struct buf names = {0};
	unsigned n = list_changed(&names, faults, device, sample, bad, &first);
	uint64_t before;
	char often[RATE_LIMIT_TEXT_MAX] = "";

	if (n == 0)
		return;

	enum hay_log_level level = HAY_LOG_DEBUG;

	if (rate_limit_allows(&faults->limit, clock_now(), &before)) {
		level = bad ? HAY_LOG_WARNING : HAY_LOG_NOTICE;
		rate_limit_text(&faults->limit, before, often);
	}
	if (bad)
		log_about(&subject, level, "point%s %s: bad: %s; the device goes on%s", n == 1 ? "" : "s",
			  buf_text(&names), reason_text(first), often);
	else
		log_about(&subject, level, "point%s %s: good again%s", n == 1 ? "" : "s", buf_text(&names), often);
}

static void count_bad(struct point_faults *faults, const struct hay_reading *reading)
{
	uint64_t *n = &faults->points[reading->point].n_bad;

	*n = reading->quality == HAY_BAD ? *n + 1 : 0;
}

void point_faults_log(struct point_faults *faults, const struct hay_device *device, const struct hay_sample *sample)
{
	bool news = false;

	if (!make_room(faults, device->n_points))
		return;
	for (size_t i = 0; i < sample->n_readings; i++) {
		const struct hay_reading *reading = &sample->readings[i];

		if (reading->point >= faults->n)
			continue;
		count_bad(faults, reading);
		news = news || is_bad(faults, reading) != faults->points[reading->point].is_logged;
	}
	if (!news)
		return;
	log_changed(faults, device, sample, true);
	log_changed(faults, device, sample, false);
	for (size_t i = 0; i < sample->n_readings; i++)
		if (sample->readings[i].point < faults->n)
			faults->points[sample->readings[i].point].is_logged = is_bad(faults, &sample->readings[i]);
}

uint64_t point_faults_bad(const struct point_faults *faults, uint32_t point)
{
	return point < faults->n ? faults->points[point].n_bad : 0;
}
