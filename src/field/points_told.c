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
	free(told->bad);
	*told = (struct points_told){0};
}

static bool make_room(struct points_told *told, uint32_t n)
{
	if (n <= told->n)
		return true;

	bool *bad = reallocarray(told->bad, n, sizeof(*bad));

	if (!bad)
		return false;
	memset(bad + told->n, 0, (n - told->n) * sizeof(*bad));
	told->bad = bad;
	told->n = n;
	return true;
}

static bool is_bad(const struct hay_reading *reading)
{
	return reading->quality == HAY_BAD && reading->reason != HAY_TIMEOUT && reading->reason != HAY_OFFLINE;
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

		if (reading->point >= told->n || is_bad(reading) != bad || told->bad[reading->point] == bad ||
		    (!bad && reading->quality == HAY_BAD))
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

void points_tell(struct points_told *told, const struct hay_device *device, const struct hay_sample *sample)
{
	bool news = false;

	if (!make_room(told, device->n_points))
		return;
	for (size_t i = 0; i < sample->n_readings && !news; i++)
		news = sample->readings[i].point < told->n &&
		       is_bad(&sample->readings[i]) != told->bad[sample->readings[i].point];
	if (!news)
		return;
	say(told, device, sample, true);
	say(told, device, sample, false);
	for (size_t i = 0; i < sample->n_readings; i++)
		if (sample->readings[i].point < told->n)
			told->bad[sample->readings[i].point] = is_bad(&sample->readings[i]);
}
