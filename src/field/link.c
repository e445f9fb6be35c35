/* SPDX-License-Identifier: Apache-2.0 */
#include "field/link.h"
#include "base/backoff.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/units.h"
#include "field/device.h"
#include "field/field_private.h"
#include "field/plugin_host.h"
#include <errno.h>
#include <string.h>

static void about(const struct link *link, enum hay_log_level level, const char *format, ...) _printf_(3, 4);
static void about(const struct link *link, enum hay_log_level level, const char *format, ...)
{
	struct log_subject subject = {.link = link->conf->name};
	va_list args;

	va_start(args, format);
	log_about_v(&subject, level, format, args);
	va_end(args);
}

int link_new(struct field *field, struct link_conf *conf, struct link **ret)
{
	struct link *link = calloc(1, sizeof(*link));

	if (!link) {
		link_conf_free(conf);
		return -ENOMEM;
	}
	link->field = field;
	link->conf = conf;
	link->plugin = &conf->plugin->descriptor;
	link->hay = (struct hay_link){.host = &plugin_host, .name = conf->name, .conf = conf->conf};
	link->since_us = link->started_us = clock_now();
	int r = link->plugin->open ? link->plugin->open(&link->hay) : 0;

	if (r < 0) {
		about(link, HAY_LOG_ERROR, "cannot be opened: %s; its devices are left out until the next reload",
		      strerror(-r));
		link_free(link);
		return r;
	}
	link->open = true;
	if (conf->file[0])
		about(link, HAY_LOG_INFO, "starts, plugin %s", link->plugin->name);
	*ret = link;
	return 0;
}

struct link *link_free(struct link *link)
{
	if (!link)
		return NULL;
	if (link->open && link->plugin->close)
		link->plugin->close(&link->hay);
	plugin_host_release(link);
	worker_free(link->worker);
	free(link->reason);
	link_conf_free(link->conf);
	free(link);
	return NULL;
}

bool link_is_idle(const struct link *link)
{
	return link->outstanding == 0;
}

double link_load(const struct link *link, uint64_t *busy_us, uint64_t *at_us)
{
	uint64_t now = clock_now(), busy = link->busy_us + (link->polling ? now - link->busy_since_us : 0);
	uint64_t from = *at_us > 0 ? *at_us : link->started_us;
	double load = now > from ? (double)(busy - *busy_us) / (double)(now - from) : 0;

	*busy_us = busy;
	*at_us = now;
	return load;
}

/* ---- turns ---- */

void link_wants_turn(struct link *link, struct device *device)
{
	if (device->waiting || link->polling == device)
		return;
	device->waiting = true;
	device->next_waiting = NULL;
	if (link->waiting_last)
		link->waiting_last->next_waiting = device;
	else
		link->waiting_first = device;
	link->waiting_last = device;
	link_next_turn(link);
}

void link_give_up(struct link *link, struct device *device)
{
	struct device *before = NULL;

	if (!device->waiting)
		return;
	for (struct device *at = link->waiting_first; at != device; at = at->next_waiting)
		before = at;
	if (before)
		before->next_waiting = device->next_waiting;
	else
		link->waiting_first = device->next_waiting;
	if (link->waiting_last == device)
		link->waiting_last = before;
	device->waiting = false;
}

/* A plugin may end a round before its poll() returns: a loop, not a recursion as deep as the line is long. */
void link_next_turn(struct link *link)
{
	if (link->taking_turns)
		return;
	link->taking_turns = true;
	while (!link->polling && link->waiting_first) {
		struct device *device = link->waiting_first;

		link_give_up(link, device);
		device_begin_round(device);
	}
	link->taking_turns = false;
}

/* ---- up and down ---- */

static unsigned count_devices(const struct link *link)
{
	unsigned n = 0;

	for (const struct device *device = link->devices; device; device = device->next)
		n++;
	return n;
}

/* The polled device after the last one that tried; NULL: none is polled, the plugin itself finds out. */
static struct device *next_prober(const struct link *link)
{
	struct device *first = NULL;
	bool passed = false;

	for (struct device *device = link->devices; device; device = device->next) {
		bool can_try = device_is_polled(device) && !device->stopping;

		if (passed && can_try)
			return device;
		if (!first && can_try)
			first = device;
		passed = passed || device == link->prober;
	}
	return first;
}

static void schedule_try(struct link *link)
{
	struct device *prober = next_prober(link);

	if (!prober || link->stopping)
		return;
	link->prober = prober;
	schedule_put(link->field->schedule, &prober->due, clock_now() + link->pause_us);
}

void link_try_later(struct link *link)
{
	link->pause_us = backoff_next(link->pause_us, FIELD_PAUSE_FIRST_US, FIELD_PAUSE_LAST_US);
	schedule_try(link);
}

void link_keep_trying(struct link *link)
{
	if (link->down && !link->polling && !link->waiting_first && (!link->prober || link->prober->due.place == 0))
		schedule_try(link);
}

void link_went_down(struct link *link, enum hay_reason reason, const char *detail)
{
	const char *text = detail ? detail : reason_word(reason);
	char pause[DURATION_TEXT_MAX];
	unsigned n = count_devices(link);

	if (link->down || link->stopping)
		return;
	link->down = true;
	link->since_us = clock_now();
	free(link->reason);
	link->reason = strdup(text);
	link->reason_code = reason;
	link->pause_us = FIELD_PAUSE_FIRST_US;
	link->prober = NULL;
	if (next_prober(link))
		about(link, HAY_LOG_WARNING, "down: %s; its %u device%s offline, trying again in %s", text, n,
		      n == 1 ? " is" : "s are", format_duration(link->pause_us, pause));
	else
		about(link, HAY_LOG_WARNING, "down: %s; its %u device%s offline until it is back", text, n,
		      n == 1 ? " is" : "s are");
	for (struct device *device = link->devices; device; device = device->next) {
		device_unschedule(device);
		device_went_offline(device, reason, text, true);
	}
	/* Found out in a round: the end of that round counts as the first try. */
	if (!link->polling)
		schedule_try(link);
	else
		link->pause_us = 0;
}

void link_went_up(struct link *link)
{
	char duration[DURATION_TEXT_MAX];

	if (!link->down)
		return;
	link->down = false;
	about(link, HAY_LOG_NOTICE, "up again after %s", format_duration(clock_now() - link->since_us, duration));
	link->since_us = clock_now();
	free(link->reason);
	link->reason = NULL;
	link->pause_us = 0;
	for (struct device *device = link->devices; device; device = device->next) {
		device->failures = 0;
		device->pause_us = 0;
		device_reschedule(device);
	}
}
