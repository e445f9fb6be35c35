/* SPDX-License-Identifier: Apache-2.0 */
/* The life of an uplink: wait for the clock, connect, talk (session.c), wait, connect again. */
#include "upstream/uplink.h"
#include "base/backoff.h"
#include "base/clock.h"
#include "base/units.h"
#include "base/worker.h"
#include "model/device_info.h"
#include "upstream/uplink_internal.h"
#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/random.h>

#define BACKOFF_MIN_US USEC_PER_SEC
#define LASTING_US (10 * USEC_PER_SEC)
#define TAKEN_OVER_LASTING_US (10 * USEC_PER_MINUTE)
#define LOG_AGAIN_US (10 * USEC_PER_MINUTE)

uint64_t backoff_next_us(struct uplink_backoff *backoff)
{
	bool first = backoff->pause_us == 0;
	backoff->pause_us = hay_backoff_next(backoff->pause_us, BACKOFF_MIN_US, BACKOFF_MAX_US);
	/* So that a hundred gateways do not come back in one moment; but the first try is no later than 1 s. */
	uint64_t pause = hay_backoff_spread(backoff->pause_us, &backoff->random);
	return first ? MIN(pause, BACKOFF_MIN_US) : pause;
}

/* ---- state ---- */

const char *uplink_state_to_string(enum uplink_state state)
{
	static const char *const words[] = {
		[UPLINK_WAITS_FOR_CLOCK] = "waits for clock",
		[UPLINK_CONNECTING] = "connecting",
		[UPLINK_CONNECTED] = "connected",
		[UPLINK_REFUSED] = "refused",
		[UPLINK_DOWN] = "down",
		[UPLINK_STOPPED] = "stopped",
	};
	return words[state];
}

static bool is_away(enum uplink_state state)
{
	return state == UPLINK_CONNECTING || state == UPLINK_DOWN;
}

void uplink_set_state(struct uplink *uplink, enum uplink_state state, const char *reason)
{
	mutex_lock(&uplink->lock);
	/* A broker that is tried again and again is away since the first failure, not since the last try. */
	if (uplink->state != state && !(is_away(uplink->state) && is_away(state)))
		uplink->since_us = clock_now();
	uplink->state = state;
	reason_set(&uplink->reason, "%s", reason);
	mutex_unlock(&uplink->lock);
}

/* Connected, and yet nothing goes up: without a trusted clock no number can be given out. */
static bool sequence_waits_for_clock(const struct uplink *uplink)
{
	return !clock_usable() && queue_waits_for_clock(uplink->queue);
}

/* The state alone would leave open how long, and what to do about it. */
static void explain_clock_wait(const struct uplink *uplink, struct uplink_status *status)
{
	bool numbers = sequence_waits_for_clock(uplink);
	char left[DURATION_TEXT_MAX], limit[DURATION_TEXT_MAX + 16] = "";
	if (status->state != UPLINK_WAITS_FOR_CLOCK && !(status->state == UPLINK_CONNECTED && numbers))
		return;
	status->state = UPLINK_WAITS_FOR_CLOCK;
	uint64_t until_us = status->since_us + uplink->conf->clock_wait_us, now_us = clock_now();
	if (!numbers && until_us > now_us)
		snprintf(limit, sizeof(limit), ", at most %s more", format_duration(until_us - now_us, left));
	snprintf(status->reason, sizeof(status->reason),
		 "%" PRIu64 " sample%s for the clock%s; gateway.clock = \"trust\" where it is right without NTP",
		 status->backlog, status->backlog == 1 ? " waits" : "s wait", limit);
}

void uplink_get_status(struct uplink *uplink, struct uplink_status *ret)
{
	*ret = (struct uplink_status){
		.delivered = uplink->delivered,
		.messages = uplink->messages,
		.connects = uplink->connects,
		.inflight = uplink->inflight,
		.rtt_us = uplink->rtt_us,
		.no_subscribers = uplink->no_subscribers,
	};
	uint64_t depth = queue_reader_depth(uplink->reader), done = uplink->done_ahead;
	ret->backlog = depth - MIN(done, depth);
	mutex_lock(&uplink->lock);
	ret->state = uplink->state;
	ret->since_us = uplink->since_us;
	memcpy(ret->reason, uplink->reason.text, sizeof(ret->reason));
	mutex_unlock(&uplink->lock);
	explain_clock_wait(uplink, ret);
}

uint64_t uplink_stuck_us(const struct uplink *uplink)
{
	uint64_t turn = uplink->turn_us;
	uint64_t now = clock_now();
	return turn && now > turn ? now - turn : 0;
}

/* ---- telling the log ---- */

/* One kind of trouble, and what was said of it last, so that it is not said again and again. */
struct uplink_trouble {
	const char *what;
	struct reason last;
	uint64_t logged_us; /* 0: not yet */
	unsigned unlogged;
};

/* False: it was told lately. */
static bool log_trouble(struct uplink *uplink, struct uplink_trouble *trouble, const char *reason, uint64_t pause)
{
	uint64_t now = clock_now();
	if (trouble->logged_us && now - trouble->logged_us < LOG_AGAIN_US && strcmp(trouble->last.text, reason) == 0) {
		trouble->unlogged++;
		return false;
	}
	char text[BACKOFF_TEXT_MAX], more[64] = "";
	if (trouble->unlogged)
		snprintf(more, sizeof(more), " (and %u times more since this was last logged)", trouble->unlogged);
	uplink_log(uplink, HAY_LOG_WARNING, "%s: %s%s; %s", trouble->what, reason, more,
		   backoff_text(pause, BACKOFF_MAX_US, text));
	reason_set(&trouble->last, "%s", reason);
	trouble->logged_us = now;
	trouble->unlogged = 0;
	return true;
}

/* An uplink's troubles. A connection that comes and goes every few seconds is told like one that does not come. */
struct uplink_troubles {
	struct uplink_trouble none, lost;
	bool quiet; /* the loss was not told: neither is the connection that follows */
};

static void log_result(struct uplink *uplink, struct uplink_troubles *troubles, const struct session_result *result,
		       uint64_t lasted, uint64_t pause)
{
	if (!result->was_ready) {
		log_trouble(uplink, &troubles->none, result->reason.text, pause);
		return;
	}
	if (lasted >= USEC_PER_MINUTE)
		troubles->none.logged_us = troubles->lost.logged_us = 0;
	troubles->quiet = !log_trouble(uplink, &troubles->lost, result->reason.text, pause);
}

/* ---- connecting ---- */

/* One try, from the dialect's state to the end of the connection. */
static void try_once(struct uplink *uplink, bool quiet, struct session_result *ret)
{
	*ret = (struct session_result){0};
	uplink_set_state(uplink, UPLINK_CONNECTING, "");
	uplink->context.connected_ms = clock_wall() / (int64_t)USEC_PER_MSEC;
	uplink->context.connection++;
	void *state = NULL;
	int r = uplink->dialect->open(&uplink->context, uplink->conf->dialect_conf, &state);
	if (r < 0) {
		reason_set(&ret->reason, "the topics cannot be made: %s", strerror(-r));
		return;
	}
	uplink->turn_us = 0;
	uplink_connect(uplink, state, quiet, ret);
	uplink->dialect->close(state);
}

/* ---- the thread ---- */

/* True: stop. try_fd: ends the pause before its time; -1: none. */
static bool pause_for(struct uplink *uplink, uint64_t until_us, int try_fd)
{
	uplink->turn_us = 0;
	for (;;) {
		uint64_t now = clock_now();
		struct pollfd fds[] = {{.fd = uplink->stop_fd, .events = POLLIN}, {.fd = try_fd, .events = POLLIN}};
		int wait_ms = now < until_us ? (int)MIN((until_us - now + 999) / USEC_PER_MSEC, 60000) : 0;
		int n = poll(fds, ELEMENTS(fds), wait_ms);
		if (n > 0 && fds[0].revents)
			return true;
		if (wait_ms == 0 || (n > 0 && fds[1].revents))
			return false;
	}
}

static void clear_fd(int fd)
{
	uint64_t count;
	if (read(fd, &count, sizeof(count)) < 0 && errno != EAGAIN)
		log_debug("eventfd: %s", strerror(errno));
}

static bool wait_for_clock(struct uplink *uplink)
{
	if (clock_usable() || uplink->conf->clock_wait_us == 0)
		return false;
	char text[DURATION_TEXT_MAX];
	uint64_t until = clock_now() + uplink->conf->clock_wait_us;
	uplink_set_state(uplink, UPLINK_WAITS_FOR_CLOCK, "");
	if (queue_waits_for_clock(uplink->queue))
		uplink_log(
			uplink, HAY_LOG_NOTICE,
			"waiting for this machine's clock to be set: the queue is a new one and numbers its samples by the time of day");
	else
		uplink_log(uplink, HAY_LOG_NOTICE, "waiting for this machine's clock to be set, at most %s",
			   format_duration(uplink->conf->clock_wait_us, text));
	while (!clock_usable() && clock_now() < until) {
		if (pause_for(uplink, MIN(until, clock_now() + USEC_PER_SEC), -1))
			return true;
	}
	if (!clock_usable() && queue_waits_for_clock(uplink->queue))
		uplink_log(
			uplink, HAY_LOG_WARNING,
			"this machine's clock is still not set; samples are kept, and sent once it is: the queue is new, and its sequence numbers start from the time of day. Where the clock is right without NTP, set gateway.clock = \"trust\"");
	else if (!clock_usable())
		uplink_log(
			uplink, HAY_LOG_WARNING,
			"this machine's clock is still not set; going on, samples are marked \"time\":\"uncertain\"");
	return false;
}

static void wait_before_retry(struct uplink *uplink, struct uplink_troubles *troubles,
			      const struct session_result *result)
{
	uint64_t lasted = result->was_ready ? clock_now() - result->ready_us : 0;
	/* Two clients with one client_id throw each other out for ever: that must not go on at full speed. */
	bool taken_over = result->end == MQTT_END_TAKEN_OVER;
	if (taken_over ? lasted >= TAKEN_OVER_LASTING_US : result->delivered || lasted >= LASTING_US)
		uplink->backoff.pause_us = 0;
	uint64_t pause = backoff_next_us(&uplink->backoff);
	log_result(uplink, troubles, result, lasted, pause);
	char text[DURATION_TEXT_MAX];
	struct reason reason;
	reason_set(&reason, "%.140s; trying again in %s", result->reason.text, format_duration(pause, text));
	uplink_set_state(uplink, UPLINK_DOWN, reason.text);
	/* What changed while the last try was under way may be why it failed; it must not be why two begin. */
	clear_fd(uplink->try_fd);
	uint64_t until = clock_now() + pause;
	bool stop = pause_for(uplink, until, taken_over ? -1 : uplink->try_fd);
	if (!stop && clock_now() < until)
		uplink->backoff.pause_us = 0;
}

bool uplink_stop_asked(const struct uplink *uplink)
{
	struct pollfd fd = {.fd = uplink->stop_fd, .events = POLLIN};
	return poll(&fd, 1, 0) > 0;
}

static void *run_uplink(void *userdata)
{
	struct uplink *uplink = userdata;
	struct uplink_troubles troubles = {.none.what = "no connection", .lost.what = "connection lost"};
	bool stop = wait_for_clock(uplink);
	while (!stop) {
		struct session_result result;
		try_once(uplink, troubles.quiet, &result);
		stop = uplink_stop_asked(uplink);
		if (!stop && !result.again)
			wait_before_retry(uplink, &troubles, &result);
		stop = stop || uplink_stop_asked(uplink);
	}
	if (uplink->withdraws && !uplink->withdrawn)
		uplink_log(
			uplink, HAY_LOG_NOTICE,
			"was not connected while its topics were renamed: messages retained under the old ones (%s, gateway %s) stay at the broker",
			uplink->conf->prefix, uplink->gateway_id);
	uplink->turn_us = 0;
	uplink_set_state(uplink, UPLINK_STOPPED, "");
	uplink->stopped = true;
	uint64_t one = 1;
	if (write(uplink->ended_fd, &one, sizeof(one)) < 0)
		log_debug("eventfd: %s", strerror(errno));
	return NULL;
}

/* ---- the main thread's side ---- */

static int make_window(const struct uplink_conf *conf, struct window **ret)
{
	const struct window_limits limits = {
		.messages = (size_t)conf->inflight,
		.batch = (size_t)conf->batch,
		.batch_wait_us = conf->batch_wait_us,
	};
	return window_new(&limits, ret);
}

static int prepare_uplink(struct uplink *uplink, struct series_set *series, struct latest *latest)
{
	struct uplink_conf *conf = uplink->conf;
	uplink->dialect = dialect_by_name(conf->format);
	uplink->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	uplink->stop_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	uplink->try_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	uplink->ended_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (uplink->wake_fd < 0 || uplink->stop_fd < 0 || uplink->try_fd < 0 || uplink->ended_fd < 0)
		return -errno;
	uplink->announce = announce_new();
	uplink->commands = commands_new();
	uplink->suspects = suspects_new();
	uplink->tls = conf->tls_on ? tls_new(&conf->tls, conf->host) : NULL;
	uplink->resolver = resolver_new(conf->host, conf->port);
	if (!uplink->resolver || !uplink->gateway_id || !uplink->version || !uplink->announce || !uplink->commands ||
	    !uplink->suspects || (conf->tls_on && !uplink->tls))
		return -ENOMEM;
	int r = make_window(conf, &uplink->window);
	if (r < 0)
		return r;
	uplink->context = (struct dialect_context){
		.gateway = uplink->gateway_id,
		.version = uplink->version,
		.client_id = conf->client_id,
		.prefix = conf->prefix,
		.topic = conf->topic,
		.qos = (int)conf->qos,
		.batched = conf->batch > 1,
		.series = series,
		.latest = latest,
	};
	if (getrandom(&uplink->backoff.random, sizeof(uplink->backoff.random), 0) < 0 || !uplink->backoff.random)
		uplink->backoff.random = clock_now() | 1;
	return queue_reader_open(uplink->queue, conf->name, &uplink->reader);
}

int uplink_new(struct uplink_conf *conf, const char *gateway_id, const char *version, struct queue *queue,
	       struct series_set *series, struct latest *latest, struct uplink **ret)
{
	struct uplink *uplink = calloc(1, sizeof(*uplink));
	if (!uplink) {
		uplink_conf_free(conf);
		return -ENOMEM;
	}
	uplink->conf = conf;
	uplink->gateway_id = strdup(gateway_id);
	uplink->version = strdup(version);
	uplink->queue = queue;
	uplink->subject.uplink = conf->name;
	uplink->wake_fd = uplink->stop_fd = uplink->try_fd = uplink->ended_fd = -1;
	uplink->state = UPLINK_CONNECTING;
	uplink->since_us = clock_now();
	mutex_init(&uplink->lock);
	int r = prepare_uplink(uplink, series, latest);
	if (r < 0) {
		uplink_free(uplink);
		return r;
	}
	*ret = uplink;
	return 0;
}

int uplink_start(struct uplink *uplink)
{
	int r = thread_start(&uplink->thread, uplink->conf->name, run_uplink, uplink);
	uplink->thread_runs = r >= 0;
	return r;
}

struct uplink *uplink_free(struct uplink *uplink)
{
	if (!uplink)
		return NULL;
	if (uplink->thread_runs)
		pthread_join(uplink->thread, NULL);
	queue_reader_close(uplink->reader);
	window_free(uplink->window);
	suspects_free(uplink->suspects);
	held_topics_done(&uplink->held_topics);
	tls_free(uplink->tls);
	resolver_free(uplink->resolver);
	announce_free(uplink->announce);
	commands_free(uplink->commands);
	buf_done(&uplink->topic);
	if (uplink->try_fd >= 0)
		close(uplink->try_fd);
	if (uplink->wake_fd >= 0)
		close(uplink->wake_fd);
	if (uplink->stop_fd >= 0)
		close(uplink->stop_fd);
	if (uplink->ended_fd >= 0)
		close(uplink->ended_fd);
	mutex_destroy(&uplink->lock);
	free(uplink->gateway_id);
	free(uplink->version);
	uplink_conf_free(uplink->conf);
	free(uplink);
	return NULL;
}

static void signal_fd(int fd)
{
	uint64_t one = 1;
	/* Only a counter that is full refuses, and then it is readable already. */
	if (write(fd, &one, sizeof(one)) < 0)
		errno = 0;
}

void uplink_stop(struct uplink *uplink)
{
	signal_fd(uplink->stop_fd);
}

void uplink_withdraw(struct uplink *uplink)
{
	uplink->withdraws = true;
	uplink_stop(uplink);
}

bool uplink_stopped(const struct uplink *uplink)
{
	return uplink->stopped;
}

int uplink_fd(const struct uplink *uplink)
{
	return uplink->ended_fd;
}

const struct uplink_conf *uplink_get_conf(const struct uplink *uplink)
{
	return uplink->conf;
}

void uplink_device(struct uplink *uplink, struct device_info *info)
{
	for (size_t i = 0; i < info->n_points; i++)
		if (info->points[i].writable)
			uplink->wants_commands = true;
	announce_device(uplink->announce, info);
	signal_fd(uplink->wake_fd);
}

void uplink_device_removed(struct uplink *uplink, const char *device)
{
	announce_device_removed(uplink->announce, device);
	signal_fd(uplink->wake_fd);
}

void uplink_device_gone(struct uplink *uplink, struct device_info *info)
{
	announce_device_gone(uplink->announce, info);
	signal_fd(uplink->wake_fd);
}

int uplink_commands_fd(const struct uplink *uplink)
{
	return commands_fd(uplink->commands);
}

struct command *uplink_next_command(struct uplink *uplink)
{
	return commands_next(uplink->commands);
}

void uplink_answer(struct uplink *uplink, struct command *command, const struct write_answer *answer)
{
	commands_answer(uplink->commands, command, answer);
	signal_fd(uplink->wake_fd);
}

void uplink_try_now(struct uplink *uplink)
{
	signal_fd(uplink->try_fd);
}
