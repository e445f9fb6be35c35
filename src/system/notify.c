/* SPDX-License-Identifier: Apache-2.0 */
#include "system/notify.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/util.h"
#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <systemd/sd-daemon.h>
#include <time.h>

struct notify {
	bool (*alive)(const char **ret_why, void *userdata);
	void *userdata;
	sd_event_source *timer;
	uint64_t interval_us; /* between signs of life; 0: none are wanted */
	bool withheld;
	char *status;
};

static int give_sign(sd_event_source *source, uint64_t when _unused_, void *userdata)
{
	struct notify *notify = userdata;
	const char *why = NULL;

	if (notify->alive(&why, notify->userdata)) {
		sd_notify(false, "WATCHDOG=1");
		notify->withheld = false;
	} else if (!notify->withheld) {
		notify->withheld = true;
		log_error("%s makes no progress; unless it does, the watchdog will restart haywaind", why);
	}
	sd_event_source_set_time_relative(source, notify->interval_us);
	sd_event_source_set_enabled(source, SD_EVENT_ONESHOT);
	return 0;
}

int notify_new(sd_event *event, bool (*alive)(const char **ret_why, void *userdata), void *userdata,
	       struct notify **ret)
{
	struct notify *notify = calloc(1, sizeof(*notify));
	uint64_t watchdog_us = 0;
	int r = 0;

	if (!notify)
		return -ENOMEM;
	notify->alive = alive;
	notify->userdata = userdata;
	if (sd_watchdog_enabled(false, &watchdog_us) > 0) {
		notify->interval_us = watchdog_us / 3;
		r = sd_event_add_time_relative(event, &notify->timer, CLOCK_MONOTONIC, 0, notify->interval_us / 10,
					       give_sign, notify);
	}
	if (r < 0)
		return notify_free(notify), r;
	*ret = notify;
	return 0;
}

struct notify *notify_free(struct notify *notify)
{
	if (!notify)
		return NULL;
	sd_event_source_disable_unref(notify->timer);
	free(notify->status);
	free(notify);
	return NULL;
}

void notify_ready(struct notify *notify _unused_)
{
	sd_notify(false, "READY=1");
}

void notify_reloading(struct notify *notify _unused_)
{
	struct timespec now;

	/* systemd compares it with its own CLOCK_MONOTONIC. */
	clock_gettime(CLOCK_MONOTONIC, &now);
	sd_notifyf(false, "RELOADING=1\nMONOTONIC_USEC=%" PRIu64,
		   (uint64_t)now.tv_sec * USEC_PER_SEC + (uint64_t)now.tv_nsec / 1000);
}

void notify_stopping(struct notify *notify)
{
	sd_event_source_set_enabled(notify->timer, SD_EVENT_OFF);
	sd_notify(false, "STOPPING=1");
}

void notify_status(struct notify *notify, const char *text)
{
	if (notify->status && strcmp(notify->status, text) == 0)
		return;
	free(notify->status);
	notify->status = strdup(text);
	sd_notifyf(false, "STATUS=%s", text);
}
