/* SPDX-License-Identifier: Apache-2.0 */
#include "api/write_log.h"
#include "base/buf.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/rate_limit.h"
#include "model/sample_json.h"
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#define ENTRIES_MAX 128 /* points written in one window by somebody; all further ones are one more */
#define VALUE_MAX 64	/* bytes of a value that are told */

struct write_log_entry {
	struct write_log_entry *next;
	char *by, *device, *point; /* "" all three: those for which there was no room */
	uint64_t since_us;	   /* of the window */
	unsigned logged, unlogged; /* in it */
	bool goes_on;		   /* the window before was summed up: this one is too */
	double low, high;	   /* of what is not logged yet; NaN: no number was among it */
	char last[VALUE_MAX];
};

struct write_log {
	struct write_log_entry *first;
	size_t n;
	struct hay_rate_limit refused;
	sd_event_source *timer;
};

static struct write_log_entry *entry_free(struct write_log_entry *entry)
{
	if (!entry)
		return NULL;
	free(entry->by);
	free(entry->device);
	free(entry->point);
	free(entry);
	return NULL;
}

static struct write_log_entry *find_entry(struct write_log *log, const char *by, const char *device, const char *point)
{
	struct write_log_entry *entry = log->first;

	while (entry &&
	       (strcmp(entry->point, point) != 0 || strcmp(entry->device, device) != 0 || strcmp(entry->by, by) != 0))
		entry = entry->next;
	return entry;
}

static struct write_log_entry *add_entry(struct write_log *log, const char *by, const char *device, const char *point)
{
	struct write_log_entry *entry = calloc(1, sizeof(*entry));

	if (entry) {
		entry->by = strdup(by);
		entry->device = strdup(device);
		entry->point = strdup(point);
	}
	if (!entry || !entry->by || !entry->device || !entry->point)
		return entry_free(entry);
	entry->since_us = clock_now();
	entry->low = entry->high = (double)NAN;
	entry->next = log->first;
	log->first = entry;
	log->n++;
	return entry;
}

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
	case HAY_FLOAT64:
		return value->d;
	default:
		return (double)NAN;
	}
}

static void count_write(struct write_log_entry *entry, const struct hay_value *value)
{
	struct buf text = {0};

	json_value(&text, value);
	snprintf(entry->last, sizeof(entry->last), "%s", buf_text(&text));
	buf_done(&text);
	entry->unlogged++;
	/* fmin and fmax pass over a NaN. */
	entry->low = fmin(entry->low, number_of(value));
	entry->high = fmax(entry->high, number_of(value));
}

bool write_log_allows(struct write_log *log, const char *by, const char *device, const char *point,
		      const struct hay_value *value, const char **ret_more)
{
	struct write_log_entry *entry = log ? find_entry(log, by, device, point) : NULL;

	*ret_more = "";
	if (!log) /* the end: what is written now is told */
		return true;
	if (!entry && log->n < ENTRIES_MAX)
		entry = add_entry(log, by, device, point);
	else if (!entry && !(entry = find_entry(log, "", "", "")))
		entry = add_entry(log, "", "", "");
	if (!entry) /* out of memory: then a line rather than nothing */
		return true;
	if (sd_event_source_set_enabled(log->timer, SD_EVENT_ON) < 0)
		return true;
	if (entry->goes_on || entry->logged == RATE_LIMIT_LINES) {
		count_write(entry, value);
		return false;
	}
	if (++entry->logged == RATE_LIMIT_LINES)
		*ret_more = "; written often, logged again in 10 min";
	return true;
}

bool write_log_allows_refusal(struct write_log *log, uint64_t *ret_before)
{
	*ret_before = 0;
	return !log || rate_limit_allows(&log->refused, clock_now(), ret_before);
}

/* ---- the sums ---- */

static void log_sum(const struct write_log_entry *entry)
{
	struct log_subject subject = {.device = entry->device[0] ? entry->device : NULL};
	struct buf range = {0}, times = {0};

	if (!entry->device[0]) {
		log_info("%u writes in the last 10 min to points beyond those that are logged one by one",
			 entry->unlogged);
		return;
	}
	if (entry->low < entry->high)
		buf_printf(&range, " from %.15g to %.15g,", entry->low, entry->high);
	if (entry->unlogged == 1)
		buf_add_text(&times, "once");
	else
		buf_printf(&times, "%u times", entry->unlogged);
	log_about(&subject, HAY_LOG_INFO, "%s was written %s more in the last 10 min by %s:%s last %s", entry->point,
		  buf_text(&times), entry->by, buf_text(&range), entry->last);
	buf_done(&times);
	buf_done(&range);
}

void write_log_sum_up(struct write_log *log, bool all)
{
	for (struct write_log_entry **at = &log->first, *entry; (entry = *at);) {
		bool unlogged = entry->unlogged > 0;

		if (!all && clock_now() - entry->since_us < RATE_LIMIT_WINDOW_US) {
			at = &entry->next;
			continue;
		}
		if (unlogged)
			log_sum(entry);
		entry->since_us = clock_now();
		entry->logged = entry->unlogged = 0;
		entry->goes_on = unlogged;
		entry->low = entry->high = (double)NAN;
		if (unlogged) {
			at = &entry->next;
			continue;
		}
		*at = entry->next;
		entry_free(entry);
		log->n--;
	}
}

static int sum_up(sd_event_source *source, uint64_t when _unused_, void *userdata)
{
	struct write_log *log = userdata;

	write_log_sum_up(log, false);
	if (!log->first)
		return sd_event_source_set_enabled(source, SD_EVENT_OFF);
	return sd_event_source_set_time_relative(source, USEC_PER_MINUTE);
}

int write_log_new(sd_event *event, struct write_log **ret)
{
	struct write_log *log = calloc(1, sizeof(*log));
	int r;

	if (!log)
		return -ENOMEM;
	r = sd_event_add_time_relative(event, &log->timer, CLOCK_MONOTONIC, USEC_PER_MINUTE, USEC_PER_SEC, sum_up, log);
	if (r >= 0)
		r = sd_event_source_set_enabled(log->timer, SD_EVENT_OFF);
	if (r < 0) {
		write_log_free(log);
		return r;
	}
	*ret = log;
	return 0;
}

struct write_log *write_log_free(struct write_log *log)
{
	if (!log)
		return NULL;
	write_log_sum_up(log, true);
	for (struct write_log_entry *entry = log->first, *next; entry; entry = next) {
		next = entry->next;
		entry_free(entry);
	}
	sd_event_source_disable_unref(log->timer);
	free(log);
	return NULL;
}
