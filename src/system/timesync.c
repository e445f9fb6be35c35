/* SPDX-License-Identifier: Apache-2.0 */
#include "system/timesync.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/units.h"
#include "base/util.h"
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/timerfd.h>
#include <sys/timex.h>
#include <systemd/sd-bus.h>
#include <time.h>

#define ASK_SOON_US (5 * USEC_PER_SEC)	   /* until it is synchronised */
#define ASK_LATER_US (5 * USEC_PER_MINUTE) /* from then on: losing the server does not unset a clock */
#define MAX_ERROR_US 16000000 /* what timedated calls synchronised: the kernel believes the clock to this */
#define RTCS_MAX 4
#define RTC_NEAR_S 3600 /* from the wall clock: else the kernel did not set it by that one */
#define STEP_WORTH_A_LINE_US ((int64_t)USEC_PER_SEC)

struct timesync {
	sd_event *event;
	void (*changed)(void *userdata);
	void *userdata;
	bool trust;
	sd_bus *bus;
	sd_bus_slot *question;
	sd_event_source *timer;
	int step_fd;
	sd_event_source *step;
	int64_t offset_us; /* as last seen, to say how far the clock was set */
	bool said_unasked, said_battery;
};

static void set_trusted(struct timesync *timesync, bool trusted)
{
	if (trusted == clock_trusted())
		return;
	clock_set_trusted(trusted);
	if (trusted && !timesync->trust)
		log_notice("the clock is synchronised");
	timesync->changed(timesync->userdata);
}

static void ask_again(struct timesync *timesync)
{
	sd_event_source_set_time_relative(timesync->timer, clock_trusted() ? ASK_LATER_US : ASK_SOON_US);
	sd_event_source_set_enabled(timesync->timer, SD_EVENT_ONESHOT);
}

/* In a container, or where there is no D-Bus, the kernel still knows what somebody set its clock by: adjtimex(2),
   which a sandbox may forbid. */
static bool kernel_is_synchronised(void)
{
	struct timex timex = {0};

	return adjtimex(&timex) >= 0 && timex.maxerror < MAX_ERROR_US;
}

/* The time of a clock with a battery, seconds since 1970; 0: there is none, or it was never set. */
static int64_t battery_clock(void)
{
	for (int i = 0; i < RTCS_MAX; i++) {
		char path[48], text[24] = "";
		snprintf(path, sizeof(path), "/sys/class/rtc/rtc%d/since_epoch", i);
		_cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC);
		if (fd >= 0 && read(fd, text, sizeof(text) - 1) > 0 && strtoll(text, NULL, 10) > HAYWAIN_BUILD_TIME)
			return strtoll(text, NULL, 10);
	}
	return 0;
}

/* An empty battery, or none at all, gives a time before this program was built. */
static void look_at_battery_clock(struct timesync *timesync)
{
	int64_t battery = battery_clock(), wall = clock_wall() / (int64_t)USEC_PER_SEC;
	bool plausible = battery > 0 && llabs(battery - wall) < RTC_NEAR_S;

	clock_set_plausible(plausible);
	if (plausible && !timesync->said_battery && !clock_trusted()) {
		timesync->said_battery = true;
		log_notice(
			"the clock was set from this machine's battery clock: nothing waits for a better one, times are marked \"uncertain\" until it is synchronised");
	}
}

static void could_not_ask(struct timesync *timesync, const char *why)
{
	timesync->question = sd_bus_slot_unref(timesync->question);
	timesync->bus = sd_bus_close_unref(timesync->bus);
	if (kernel_is_synchronised())
		set_trusted(timesync, true);
	if (!timesync->said_unasked && !clock_trusted()) {
		timesync->said_unasked = true;
		log_warning(
			"the kernel says that the clock is not synchronised, and timedated cannot be asked: %s; asking again every %d s. Where the clock is right without NTP, set gateway.clock = \"trust\"",
			why, (int)(ASK_SOON_US / USEC_PER_SEC));
	}
	ask_again(timesync);
}

static int timedate_answered(sd_bus_message *message, void *userdata, sd_bus_error *error _unused_)
{
	struct timesync *timesync = userdata;
	const sd_bus_error *refused = sd_bus_message_get_error(message);
	int synchronised = 0;

	timesync->question = sd_bus_slot_unref(timesync->question);
	if (timesync->trust)
		return 0;
	if (refused) {
		could_not_ask(timesync, refused->message ? refused->message : refused->name);
		return 0;
	}
	if (sd_bus_message_read(message, "v", "b", &synchronised) < 0) {
		could_not_ask(timesync, "org.freedesktop.timedate1 sent an invalid answer");
		return 0;
	}
	timesync->said_unasked = false;
	/* Once set by NTP a clock stays good for long: a server that is away does not take the trust back. */
	if (synchronised)
		set_trusted(timesync, true);
	ask_again(timesync);
	return 0;
}

static int ask_timedate(sd_event_source *source _unused_, uint64_t when _unused_, void *userdata)
{
	struct timesync *timesync = userdata;
	int r = 0;

	if (timesync->trust || timesync->question)
		return 0;
	if (!timesync->bus) {
		r = sd_bus_open_system_with_description(&timesync->bus, "haywaind");
		if (r >= 0)
			r = sd_bus_attach_event(timesync->bus, timesync->event, SD_EVENT_PRIORITY_IDLE);
	}
	if (r >= 0)
		r = sd_bus_call_method_async(timesync->bus, &timesync->question, "org.freedesktop.timedate1",
					     "/org/freedesktop/timedate1", "org.freedesktop.DBus.Properties", "Get",
					     timedate_answered, timesync, "ss", "org.freedesktop.timedate1",
					     "NTPSynchronized");
	if (r < 0)
		could_not_ask(timesync, r == -ENOENT ? "there is no system bus" : strerror(-r));
	return 0;
}

static int arm_step(struct timesync *timesync)
{
	/* Goes off never, and is cancelled by every step of the clock (timerfd_create(2)). In the year 2255: a clock
	   may well say 2040, and the kernel counts nanoseconds in 63 bits. */
	struct itimerspec never = {.it_value.tv_sec = 9000000000};

	return timerfd_settime(timesync->step_fd, TFD_TIMER_ABSTIME | TFD_TIMER_CANCEL_ON_SET, &never, NULL) < 0
		       ? -errno
		       : 0;
}

static int clock_stepped(sd_event_source *source _unused_, int fd, uint32_t events _unused_, void *userdata)
{
	struct timesync *timesync = userdata;
	uint64_t count;
	char duration[DURATION_TEXT_MAX];

	if (read(fd, &count, sizeof(count)) < 0 && errno != ECANCELED && errno != EAGAIN)
		log_debug("reading the clock's timer: %s", strerror(errno));
	arm_step(timesync);

	int64_t offset = clock_wall_offset(), step = offset - timesync->offset_us;

	timesync->offset_us = offset;
	look_at_battery_clock(timesync);
	if (step >= STEP_WORTH_A_LINE_US || step <= -STEP_WORTH_A_LINE_US)
		log_notice("the clock was set %s by %s", step > 0 ? "forward" : "back",
			   format_duration((uint64_t)(step > 0 ? step : -step), duration));
	timesync->changed(timesync->userdata);
	if (!timesync->trust && !clock_trusted())
		ask_timedate(NULL, 0, timesync);
	return 0;
}

int timesync_new(sd_event *event, bool trust, void (*changed)(void *userdata), void *userdata, struct timesync **ret)
{
	struct timesync *timesync = calloc(1, sizeof(*timesync));
	int r;

	if (!timesync)
		return -ENOMEM;
	timesync->event = event;
	timesync->changed = changed;
	timesync->userdata = userdata;
	timesync->offset_us = clock_wall_offset();
	timesync->step_fd = timerfd_create(CLOCK_REALTIME, TFD_CLOEXEC | TFD_NONBLOCK);
	r = timesync->step_fd < 0 ? -errno : arm_step(timesync);
	if (r >= 0)
		r = sd_event_add_io(event, &timesync->step, timesync->step_fd, EPOLLIN, clock_stepped, timesync);
	if (r >= 0)
		r = sd_event_add_time_relative(event, &timesync->timer, CLOCK_MONOTONIC, 0, USEC_PER_SEC, ask_timedate,
					       timesync);
	if (r < 0)
		return timesync_free(timesync), r;
	timesync_set_trust(timesync, trust);
	look_at_battery_clock(timesync);
	*ret = timesync;
	return 0;
}

void timesync_set_trust(struct timesync *timesync, bool trust)
{
	timesync->trust = trust;
	if (trust)
		set_trusted(timesync, true);
	else if (!clock_trusted())
		ask_again(timesync);
}

struct timesync *timesync_free(struct timesync *timesync)
{
	if (!timesync)
		return NULL;
	sd_bus_slot_unref(timesync->question);
	sd_bus_close_unref(timesync->bus);
	sd_event_source_disable_unref(timesync->timer);
	sd_event_source_disable_unref(timesync->step);
	if (timesync->step_fd >= 0)
		close(timesync->step_fd);
	free(timesync);
	return NULL;
}
