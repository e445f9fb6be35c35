/* SPDX-License-Identifier: Apache-2.0 */
#include "field/link.h"
#include "base/backoff.h"
#include "base/buf.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/units.h"
#include "field/device.h"
#include "field/field_private.h"
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define REMIND_AFTER_US (30 * USEC_PER_MINUTE) /* who has just gone is still in the log */
#define REMIND_NAMES_MAX 8
#define LATE_ROUNDS 5		    /* so many are no hiccup */
#define LATE_LOAD 0.9		    /* of the time: below it, it is not the periods */
#define LATE_AGAIN_US USEC_PER_HOUR /* said so often at most */

static void log_link(const struct link *link, enum hay_log_level level, const char *format, ...) _printf_(3, 4);
static void log_link(const struct link *link, enum hay_log_level level, const char *format, ...)
{
	struct log_subject subject = {.link = link->conf->name};
	va_list args;

	va_start(args, format);
	log_about_v(&subject, level, format, args);
	va_end(args);
}

const char *link_conf_target(const struct link_conf *conf)
{
	static const char *const keys[] = {"port", "url", "adapter"};

	for (const struct hay_option *option = conf->plugin->descriptor.link_options.table; option && option->key;
	     option++)
		for (size_t i = 0; i < ELEMENTS(keys); i++) {
			const char *value = NULL;

			if ((option->type == HAY_OPT_STRING || option->type == HAY_OPT_NAME) &&
			    strcmp(option->key, keys[i]) == 0)
				memcpy(&value, (const char *)conf->conf + option->offset, sizeof(value));
			if (value)
				return value;
		}
	return NULL;
}

const char *link_target(const struct link *link)
{
	return link_conf_target(link->conf);
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
	link->events.event = field->event;
	link->hay = (struct hay_link){.host = field->host, .name = conf->name, .conf = conf->conf};
	link->since_us = link->started_us = clock_now();
	int r = link->plugin->open ? link->plugin->open(&link->hay) : 0;

	if (r < 0) {
		log_link(link, HAY_LOG_ERROR, "cannot be opened: %s; its devices are left out until the next reload",
			 strerror(-r));
		link_free(link);
		return r;
	}
	link->phase = LINK_RUNNING;

	const char *target = link_target(link);

	if (conf->file[0])
		log_link(link, HAY_LOG_INFO, "starts, plugin %s%s%s", link->plugin->name, target ? ", " : "",
			 target ? target : "");
	*ret = link;
	return 0;
}

static bool is_open(const struct link *link)
{
	return link->phase == LINK_RUNNING || link->phase == LINK_SUSPENDING || link->phase == LINK_STOPPING;
}

struct link *link_free(struct link *link)
{
	if (!link)
		return NULL;
	if (is_open(link) && link->plugin->close)
		link->plugin->close(&link->hay);
	link_events_release(&link->events);
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

uint64_t link_busy_us(const struct link *link)
{
	bool is_busy = link->polling || link->step_state == LINK_STEP_RUNNING;

	return link->busy_us + (is_busy ? clock_now() - link->busy_since_us : 0);
}

double link_load(const struct link *link, uint64_t *busy_us, uint64_t *at_us)
{
	uint64_t now = clock_now(), busy = link_busy_us(link);
	uint64_t from = *at_us > 0 ? *at_us : link->started_us;
	double load = now > from ? (double)(busy - *busy_us) / (double)(now - from) : 0;

	*busy_us = busy;
	*at_us = now;
	return load;
}

/* ---- work ---- */

static void end_step(struct link *link)
{
	link->step = NULL;
	link->step_state = LINK_STEP_NONE;
	link->busy_us += clock_now() - link->busy_since_us;
	link_next_turn(link);
}

static void work_done(struct hay_work *work, void *userdata)
{
	struct link *link = userdata;
	/* The work is its owner's again once done() has it. */
	struct device *device = work->device ? container_of(work->device, struct device, hay) : NULL;
	bool is_step = link->step && work == &link->step->work;

	if (device)
		device->outstanding--;
	else
		link->outstanding--;
	bool is_awaited = link_is_stopping(link) || link_is_suspended(link) || (device && device_is_stopping(device));

	work->done(work);
	if (is_step)
		end_step(link);
	if (is_awaited)
		field_advance_soon(link->field);
}

int link_submit(struct link *link, struct hay_work *work, enum hay_lane lane)
{
	struct device *device = work->device ? container_of(work->device, struct device, hay) : NULL;

	if (link_is_stopping(link) || link_is_suspended(link) || (device && device_is_stopping(device)))
		return -ESHUTDOWN;
	if (!link->worker) {
		int r = worker_new(link->field->event, link->conf->name, work_done, link, &link->worker);

		if (r < 0)
			return r;
	}
	if (device)
		device->outstanding++;
	else
		link->outstanding++;
	worker_submit(link->worker, work, lane);
	return 0;
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

static void begin_step(struct link *link)
{
	struct link_step *step = link->step;

	link->step_was_last = true;
	link->step_state = LINK_STEP_RUNNING;
	link->busy_since_us = clock_now();
	if (link_submit(link, &step->work, HAY_LANE_POLL) >= 0)
		return;
	step->dropped(step);
	end_step(link);
}

/* A plugin may end a round before its poll() returns: a loop, not a recursion as deep as the line is long. */
void link_next_turn(struct link *link)
{
	if (link->taking_turns)
		return;
	link->taking_turns = true;
	while (!link->polling && link->step_state != LINK_STEP_RUNNING && !link_is_suspended(link)) {
		struct device *device = link->waiting_first;

		if (link->step_state == LINK_STEP_WAITING && (!device || !link->step_was_last)) {
			begin_step(link);
		} else if (device) {
			link->step_was_last = false;
			link_give_up(link, device);
			device_begin_round(device);
		} else {
			break;
		}
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
		bool can_try = device_is_polled(device) && !device_is_stopping(device);

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

	if (!prober || link_is_stopping(link))
		return;
	link->prober = prober;
	schedule_put(link->field->schedule, &prober->due, clock_now() + link->pause_us);
}

void link_try_later(struct link *link)
{
	link->pause_us = hay_backoff_next(link->pause_us, FIELD_PAUSE_FIRST_US, FIELD_PAUSE_LAST_US);
	schedule_try(link);
}

void link_keep_trying(struct link *link)
{
	if (link_is_down(link) && !link_is_suspended(link) && !link->polling && !link->waiting_first &&
	    (!link->prober || link->prober->due.place == 0))
		schedule_try(link);
}

static void be_down(struct link *link, enum hay_reason reason, const char *text)
{
	link->state = LINK_DOWN;
	link->since_us = clock_now();
	free(link->reason);
	link->reason = strdup(text);
	link->reason_code = reason;
	link->pause_us = FIELD_PAUSE_FIRST_US;
	link->prober = NULL;
}

static void devices_go_offline(struct link *link, enum hay_reason reason, const char *text)
{
	for (struct device *device = link->devices; device; device = device->next) {
		device_unschedule(device);
		device_went_offline(device, reason, text, true);
	}
}

void link_went_down(struct link *link, enum hay_reason reason, const char *detail)
{
	const char *text = detail ? detail : reason_to_string(reason);
	_cleanup_buf_ struct buf where = {0};
	char tries[BACKOFF_TEXT_MAX], often[RATE_LIMIT_TEXT_MAX];
	unsigned n = count_devices(link);
	uint64_t before;

	if (link_is_down(link) || link_is_stopping(link))
		return;
	be_down(link, reason, text);
	/* Some plugins name it themselves. */
	if (link_target(link) && !strstr(text, link_target(link)))
		buf_printf(&where, "%s: ", link_target(link));
	/* For a link that comes and goes all the time few lines are enough, and always both of a pair. */
	link->down_unlogged = !rate_limit_allows(&link->limit, clock_now(), &before);
	log_link(link, link->down_unlogged ? HAY_LOG_DEBUG : HAY_LOG_WARNING,
		 "down: %s%s; its %u device%s offline%s%s%s", buf_text(&where), text, n, n == 1 ? " is" : "s are",
		 next_prober(link) ? ", " : " until it is back",
		 next_prober(link) ? backoff_text(link->pause_us, FIELD_PAUSE_LAST_US, tries) : "",
		 rate_limit_text(&link->limit, before, often));
	devices_go_offline(link, reason, text);
	/* Found out in a round: the end of that round counts as the first try. */
	if (!link->polling)
		schedule_try(link);
	else
		link->pause_us = 0;
}

/* ---- more is wanted than there is time for ---- */

/* The share of the link's time that its devices need; *ret_most: the one that needs most. */
static double needed_load(const struct link *link, const struct device **ret_most)
{
	double sum = 0, most = 0;

	*ret_most = NULL;
	for (const struct device *device = link->devices; device; device = device->next) {
		double load = device_load(device);

		sum += load;
		if (load > most) {
			most = load;
			*ret_most = device;
		}
	}
	return sum;
}

void link_note_late(struct link *link, uint64_t n)
{
	char round[DURATION_TEXT_MAX], every[DURATION_TEXT_MAX], request[DURATION_TEXT_MAX];
	const struct device *most;
	uint64_t unsaid;

	link->late += n;
	link->late_rounds++;
	if (link->late_rounds < LATE_ROUNDS)
		return;

	double load = needed_load(link, &most);

	if (load < LATE_LOAD || !most ||
	    !hay_rate_limit_allows(&link->late_limit, 1, LATE_AGAIN_US, clock_now(), &unsaid))
		return;
	log_link(
		link, HAY_LOG_WARNING,
		"cannot keep its periods: %" PRIu64
		" poll%s left out; its devices need %.0f %% of its time, most of it %s: %s a round (its slowest request %s), due every %s; longer periods or fewer requests would help",
		link->late, link->late == 1 ? " was" : "s were", load * 100, most->conf->name,
		format_duration(most->round_us, round), format_duration(most->rtt_us, request),
		format_duration(device_shortest_period(most), every));
	link->late = 0;
	link->late_rounds = 0;
}

/* "boiler (timeout)", "a (timeout), b (not heard yet) and 3 more": who has been away that long. */
static unsigned list_away(const struct link *link, uint64_t now, struct buf *out)
{
	unsigned n = 0;

	for (const struct device *device = link->devices; device; device = device->next) {
		if (device->state == DEVICE_ONLINE || now - device->since_us < REMIND_AFTER_US)
			continue;
		if (n < REMIND_NAMES_MAX)
			buf_printf(out, "%s%s (%s)", n > 0 ? ", " : "", device->conf->name,
				   device->reason ? device->reason : "not heard yet");
		n++;
	}
	if (n > REMIND_NAMES_MAX)
		buf_printf(out, " and %u more", n - REMIND_NAMES_MAX);
	return n;
}

void link_remind(struct link *link)
{
	_cleanup_buf_ struct buf names = {0};
	char duration[DURATION_TEXT_MAX], tries[BACKOFF_TEXT_MAX];
	uint64_t now = clock_now();
	unsigned n;

	if (link_is_suspended(link))
		return;
	if (link_is_down(link) && now - link->since_us >= REMIND_AFTER_US) {
		log_link(link, HAY_LOG_WARNING, "still down after %s: %s; %s",
			 format_duration(now - link->since_us, duration), link->reason ? link->reason : "out of memory",
			 next_prober(link) ? backoff_text(FIELD_PAUSE_LAST_US, FIELD_PAUSE_LAST_US, tries)
					   : "it is looked for all the time");
		return;
	}
	n = link_is_down(link) ? 0 : list_away(link, now, &names);
	if (n > 0)
		log_link(link, HAY_LOG_WARNING, "still without %s; the rest keeps running", buf_text(&names));
}

static void be_up(struct link *link)
{
	link->state = LINK_UP;
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

void link_note_use(struct link *link)
{
	if (link->state != LINK_UNUSED)
		return;
	link->state = LINK_UP;
	link->since_us = clock_now();
}

void link_went_up(struct link *link)
{
	char duration[DURATION_TEXT_MAX];

	link_note_use(link);
	if (!link_is_down(link) || link_is_suspended(link) || link_is_stopping(link))
		return;
	log_link(link, link->down_unlogged ? HAY_LOG_DEBUG : HAY_LOG_NOTICE, "up again after %s",
		 format_duration(clock_now() - link->since_us, duration));
	be_up(link);
}

/* ---- while it is scanned ---- */

void link_log_scan(struct link *link)
{
	unsigned n = count_devices(link);

	log_link(link, HAY_LOG_INFO, "is being scanned; its %u device%s on meanwhile", n, n == 1 ? " goes" : "s go");
}

int link_request_step(struct link *link, struct link_step *step)
{
	if (link_is_stopping(link))
		return -ESHUTDOWN;
	link->step = step;
	link->step_state = LINK_STEP_WAITING;
	link_next_turn(link);
	return 0;
}

bool link_cancel_step(struct link *link)
{
	if (link->step_state != LINK_STEP_WAITING)
		return false;
	link->step = NULL;
	link->step_state = LINK_STEP_NONE;
	return true;
}

void link_begin_suspending(struct link *link)
{
	unsigned n = count_devices(link);

	log_link(link, HAY_LOG_NOTICE, "is being scanned; its %u device%s until that is over", n,
		 n == 1 ? " waits" : "s wait");
	link->phase = LINK_SUSPENDING;
	if (link_is_down(link)) {
		/* Nor does a device try meanwhile whether it is back. */
		for (struct device *device = link->devices; device; device = device->next)
			device_unschedule(device);
		return;
	}
	be_down(link, HAY_OFFLINE, "is being scanned");
	devices_go_offline(link, HAY_OFFLINE, "its link is being scanned");
}

bool link_can_suspend(const struct link *link)
{
	for (const struct device *device = link->devices; device; device = device->next)
		if (device->outstanding > 0)
			return false;
	return link->phase == LINK_SUSPENDING && link->outstanding == 1; /* the scan itself */
}

void link_suspend(struct link *link)
{
	for (struct device *device = link->devices; device; device = device->next)
		device_pause(device);
	link->polling = NULL;
	if (link->plugin->close)
		link->plugin->close(&link->hay);
	link_events_release(&link->events);
	link->hay.state = NULL;
	link->phase = LINK_SUSPENDED;
}

void link_resume(struct link *link)
{
	bool was_closed = link->phase == LINK_SUSPENDED;
	int r;

	if (link_is_stopping(link))
		return;
	link->phase = was_closed ? LINK_OPENING : LINK_RUNNING;
	log_link(link, HAY_LOG_NOTICE, "is scanned no more; its devices are asked again");
	be_up(link);
	if (!was_closed) /* the scan came to nothing */
		return;
	r = link->plugin->open ? link->plugin->open(&link->hay) : 0;
	if (r < 0) {
		log_link(link, HAY_LOG_ERROR,
			 "cannot be opened again: %s; its devices are left out until the next reload", strerror(-r));
		field_stop_link(link);
		return;
	}
	link->phase = LINK_RUNNING;
	for (struct device *device = link->devices; device; device = device->next)
		device_resume(device);
}
