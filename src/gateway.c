/* SPDX-License-Identifier: Apache-2.0 */
#include "gateway.h"
#include "api/api.h"
#include "api/write_log.h"
#include "base/clock.h"
#include "base/log.h"
#include "builtin/self.h"
#include "command_dispatch.h"
#include "config.h"
#include "device_fanout.h"
#include "field/field.h"
#include "field/plugin_load.h"
#include "gateway_field.h"
#include "gateway_log.h"
#include "model/latest.h"
#include "model/stream.h"
#include "normalize/normalize.h"
#include "queue/queue.h"
#include "second.h"
#include "system/network.h"
#include "system/notify.h"
#include "system/status.h"
#include "system/timesync.h"
#include "upstream/uplink_set.h"
#include <errno.h>
#include <inttypes.h>
#include <libgen.h>
#include <stdio.h>
#include <string.h>

#define STUCK_US (20 * USEC_PER_SEC)	/* a stage that has had something to do for so long hangs */
#define LEAVE_US (1500 * USEC_PER_MSEC) /* for the uplinks to disconnect */
#define FLUSH_US (2500 * USEC_PER_MSEC) /* and then for the disk */
#define CLOSE_US (500 * USEC_PER_MSEC)	/* and for its file: 5 s together, with a margin */

struct gateway {
	sd_event *event;
	char *config_path;
	struct config *config; /* the last good one */
	struct plugin_set *plugins;
	struct notify *notify;
	struct timesync *timesync;
	struct network_watch *network;
	struct series_set *series;
	struct queue *queue;
	struct stream *stream;
	struct normalize *normalize;
	struct field *field;
	struct uplink_set *uplinks;
	sd_event_source *notices, *leave_timer;
	struct self_sources self;
	struct stages stages;
	struct status *status;
	struct latest *latest;
	struct api *api;
	char *queue_asked;	/* queue.path (NULL: the default) as it was at the start */
	char *sockets_asked[2]; /* api.socket and api.read_socket, so */
	char stuck[80];		/* who hangs, for the log */
	struct command_dispatch commands;
	struct device_fanout fanout;
	bool stopping;
};

/* ---- what the stages tell ---- */

static void keep_sample(const struct stream_sample *sample, void *userdata)
{
	struct gateway *gateway = userdata;

	queue_append(gateway->queue, sample_ref(sample->sample));
}

static void lose_sample(uint32_t device, void *userdata)
{
	struct gateway *gateway = userdata;

	queue_lost(gateway->queue, device);
}

static int log_notices(sd_event_source *source _unused_, int fd _unused_, uint32_t events _unused_, void *userdata)
{
	struct gateway *gateway = userdata;
	struct queue_notice notice;

	while (queue_next_notice(gateway->queue, &notice))
		log_about(NULL, notice.level, "queue: %s", notice.text);
	return 0;
}

static void network_changed(void *userdata)
{
	struct gateway *gateway = userdata;

	if (gateway->uplinks)
		uplink_set_network_changed(gateway->uplinks);
}

static void clock_changed(void *userdata)
{
	struct gateway *gateway = userdata;

	if (gateway->queue)
		queue_clock_changed(gateway->queue);
}

static bool is_alive(const char **ret_why, void *userdata)
{
	struct gateway *gateway = userdata;
	struct uplink *uplink;

	if (queue_stuck_us(gateway->queue) > STUCK_US) {
		*ret_why = "the queue's disk";
		return false;
	}
	for (size_t i = 0; (uplink = uplink_set_get(gateway->uplinks, i)); i++)
		if (uplink_stuck_us(uplink) > STUCK_US) {
			snprintf(gateway->stuck, sizeof(gateway->stuck), "uplink %s", uplink_get_conf(uplink)->name);
			*ret_why = gateway->stuck;
			return false;
		}
	return true;
}

/* ---- configuration ---- */

static int load_config(struct gateway *gateway, struct conf_messages *messages, struct config **ret)
{
	int r = config_load(gateway->config_path, gateway->plugins, messages, ret);

	log_messages(messages);
	return r;
}

/* These pointers borrow from gateway->config: they are set again after every reload. */
static void point_at_config(struct gateway *gateway)
{
	gateway->fanout.config = gateway->config;
	gateway->stages.gateway_id = gateway->config->gateway.id;
	gateway->stages.queue_conf = &gateway->config->queue;
}

static bool self_uplink(size_t i, const char **ret_name, uint64_t *ret_rtt_us, void *userdata)
{
	struct gateway *gateway = userdata;
	struct uplink *uplink = uplink_set_get(gateway->uplinks, i);
	struct uplink_status status;

	if (!uplink)
		return false;
	uplink_get_status(uplink, &status);
	*ret_name = uplink_get_conf(uplink)->name;
	*ret_rtt_us = status.rtt_us;
	return true;
}

static int apply_field(struct gateway *gateway, struct config *config, struct field_changes *ret)
{
	gateway->self.queue_path = queue_path(gateway->queue);
	return gateway_field_apply(gateway->field, gateway->plugins, &gateway->self, config, ret);
}

static int apply_uplinks(struct gateway *gateway, struct config *config)
{
	return uplink_set_apply(gateway->uplinks, config->uplinks, config->n_uplinks, config->gateway.id);
}

/* said: what came of it, in words. */
static void apply_config(struct gateway *gateway, struct config *config, unsigned n_mistakes, struct field_changes *ret,
			 struct buf *summary)
{
	struct config *before = gateway->config;
	_cleanup_buf_ struct buf more = {0};

	log_bad_config(config, gateway->field);
	log_restart_needed(config, gateway->queue_asked, (const char *const *)gateway->sockets_asked, gateway->queue);
	config_describe_changes(before, config, &more);
	if (n_mistakes > 0)
		buf_printf(&more, "; %u error%s, logged above", n_mistakes, n_mistakes == 1 ? "" : "s");
	gateway->config = config;
	point_at_config(gateway);
	log_set_level((enum hay_log_level)config->gateway.log_level);
	timesync_set_trust(gateway->timesync, config->gateway.clock == CONFIG_CLOCK_TRUST);
	queue_configure(gateway->queue, &config->queue);
	if (apply_uplinks(gateway, config) < 0 || apply_field(gateway, config, ret) < 0)
		log_error("out of memory: %s is applied only in part", gateway->config_path);
	config_free(before);
	status_trim_soon(gateway->status);
	buf_printf(summary, "%u device%s started, %u stopped, %u as before%s", ret->started,
		   ret->started == 1 ? "" : "s", ret->stopped, ret->kept, buf_text(&more));
	log_info("reloaded: %s", buf_text(summary));
}

/* 0 or -errno: nothing was applied. */
static int reload_config(struct gateway *gateway, struct buf *ret_json)
{
	struct conf_messages messages = {0};
	struct field_changes changes = {0};
	_cleanup_buf_ struct buf summary = {0};
	struct config *config;
	int r;

	notify_reloading(gateway->notify);
	r = load_config(gateway, &messages, &config);
	if (r < 0)
		log_error("%s is not applied: the running configuration stays in use", gateway->config_path);
	else
		apply_config(gateway, config, messages.n_errors, &changes, &summary);
	notify_ready(gateway->notify);
	if (ret_json)
		reload_json(ret_json, &messages, r < 0 ? NULL : &changes, buf_text(&summary));
	conf_messages_done(&messages);
	return r;
}

void gateway_reload(struct gateway *gateway)
{
	if (!gateway->stopping)
		reload_config(gateway, NULL);
}

static int reload_for_api(struct buf *ret_json, void *userdata)
{
	struct gateway *gateway = userdata;

	if (gateway->stopping) {
		buf_add_text(ret_json, "{\"error\":\"the gateway is stopping\"}");
		return 503;
	}
	return reload_config(gateway, ret_json) < 0 ? 422 : 200;
}

/* ---- start ---- */

static int open_queue(struct gateway *gateway)
{
	pid_t pid = 0;
	int r;

	gateway->series = series_set_new();
	if (!gateway->series)
		return -ENOMEM;
	r = queue_open(&gateway->config->queue, gateway->series, &gateway->queue, &pid);
	if (r == -EWOULDBLOCK) {
		const char *path = gateway->config->queue.path ? gateway->config->queue.path : "queue.db";
		char process[32] = "";

		if (pid > 0)
			snprintf(process, sizeof(process), " (process %d)", (int)pid);
		log_error("queue %s is in use by another haywaind%s: only one process may use it; exiting", path,
			  process);
	}
	return r;
}

static void uplinks_stopped(void *userdata)
{
	struct gateway *gateway = userdata;

	sd_event_exit(gateway->event, 0);
}

static void take_command(struct command *command, void *userdata)
{
	struct gateway *gateway = userdata;

	command_dispatch_take(command, &gateway->commands);
}

static void uplinks_started(void *userdata)
{
	struct gateway *gateway = userdata;

	device_fanout_all(&gateway->fanout);
}

static int start_stages(struct gateway *gateway, const char *state_dir)
{
	struct uplink_set_hooks uplink_hooks = {
		.started = uplinks_started, .stopped = uplinks_stopped, .command = take_command, .userdata = gateway};
	struct field_hooks hooks = {
		.info = device_fanout_info, .removed = device_fanout_removed, .userdata = &gateway->fanout};
	int r;

	gateway->self = (struct self_sources){.queue = gateway->queue, .uplink = self_uplink, .userdata = gateway};
	gateway->stream = stream_new(lose_sample, gateway);
	if (!gateway->stream)
		return -ENOMEM;
	gateway->normalize = normalize_new(gateway->event, gateway->series, gateway->stream);
	/* The queue before the API, which tells the number that the queue has given. */
	gateway->latest = latest_new(gateway->stream);
	if (!gateway->normalize || !gateway->latest || !stream_subscribe(gateway->stream, keep_sample, gateway))
		return -ENOMEM;
	r = uplink_set_new(gateway->event, gateway->queue, gateway->series, gateway->latest, &uplink_hooks,
			   &gateway->uplinks);
	if (r >= 0)
		r = field_new(gateway->event, gateway->series, gateway->normalize, state_dir, &hooks, &gateway->field);
	gateway->fanout = (struct device_fanout){.config = gateway->config,
						 .series = gateway->series,
						 .latest = gateway->latest,
						 .uplinks = gateway->uplinks,
						 .field = gateway->field};
	gateway->commands = (struct command_dispatch){
		.field = gateway->field, .uplinks = gateway->uplinks, .writes = gateway->stages.writes};
	if (r >= 0)
		r = apply_uplinks(gateway, gateway->config);
	return r;
}

static int start_admin(struct gateway *gateway)
{
	int r = sd_event_add_io(gateway->event, &gateway->notices, queue_notice_fd(gateway->queue), EPOLLIN,
				log_notices, gateway);

	if (r >= 0)
		r = notify_new(gateway->event, is_alive, gateway, &gateway->notify);
	if (r >= 0)
		r = write_log_new(gateway->event, &gateway->stages.writes);
	return r;
}

/* The stages are there: who looks at them may begin. */
static int start_telling(struct gateway *gateway)
{
	const struct api_hooks hooks = {.reload = reload_for_api, .userdata = gateway};
	struct stages *stages = &gateway->stages;

	stages->event = gateway->event;
	stages->plugins = gateway->plugins;
	stages->series = gateway->series;
	stages->queue = gateway->queue;
	stages->field = gateway->field;
	stages->uplinks = gateway->uplinks;
	stages->stream = gateway->stream;
	stages->latest = gateway->latest;
	stages->started_us = clock_now();
	/* Without the API the gateway does its work: what is wrong has been said. */
	if (gateway->config->api_socket[0] || gateway->config->api_read_socket[0])
		api_new(stages, gateway->config->api_socket, gateway->config->api_read_socket, &hooks, &gateway->api);
	return status_new(stages, gateway->notify, &gateway->status);
}

/*
 * The order, and why:
 * - the configuration before everything, and another haywaind at the same socket is refused before the queue's file is
 *   touched;
 * - the clock before the queue, which counts from the first sample on with what is known of it;
 * - the queue before the stages that fill and read it, and the log of writes before those who write;
 * - the latest values and the queue subscribe to the stream before the API does: a sample of the live stream has its
 *   number;
 * - uplinks before the field has devices: the first word on a device finds the uplinks that it is for;
 * - the API and the status before the field has devices: they miss nothing.
 * gateway_free() goes the same way back.
 */
int gateway_new(sd_event *event, const char *config_path, struct gateway **ret)
{
	struct gateway *gateway = calloc(1, sizeof(*gateway));
	struct field_changes changes = {0};
	struct conf_messages messages = {0};
	_cleanup_free_ char *path = NULL;
	int r = -ENOMEM;

	*ret = gateway;
	if (!gateway)
		return r;
	gateway->event = sd_event_ref(event);
	gateway->config_path = strdup(config_path);
	gateway->plugins = plugin_set_new(NULL);
	if (!gateway->config_path || !gateway->plugins)
		return r;
	r = load_config(gateway, &messages, &gateway->config);
	conf_messages_done(&messages);
	if (r < 0)
		return r;
	point_at_config(gateway);
	log_set_level((enum hay_log_level)gateway->config->gateway.log_level);
	if ((gateway->config->queue.path && !(gateway->queue_asked = strdup(gateway->config->queue.path))) ||
	    !(gateway->sockets_asked[0] = strdup(gateway->config->api_socket)) ||
	    !(gateway->sockets_asked[1] = strdup(gateway->config->api_read_socket)))
		return -ENOMEM;
	r = second_refuse(gateway->config->api_socket);
	if (r < 0)
		return r;
	log_info("haywaind " HAYWAIN_VERSION " starts as gateway %s with %s", gateway->config->gateway.id, config_path);
	log_bad_config(gateway->config, NULL);
	r = timesync_new(event, gateway->config->gateway.clock == CONFIG_CLOCK_TRUST, clock_changed, gateway,
			 &gateway->timesync);
	/* Without it an uplink comes back a little later. */
	if (r >= 0 && network_watch_new(event, network_changed, gateway, &gateway->network) < 0)
		log_debug("the kernel does not report network changes");
	if (r >= 0)
		r = open_queue(gateway);
	if (r >= 0)
		r = start_admin(gateway);
	if (r < 0)
		return r;

	log_queue_mode(gateway->queue);
	path = strdup(queue_path(gateway->queue));
	r = path ? start_stages(gateway, dirname(path)) : -ENOMEM;
	if (r >= 0)
		r = start_telling(gateway);
	if (r >= 0)
		r = apply_field(gateway, gateway->config, &changes);
	if (r < 0)
		return r;
	status_trim_soon(gateway->status);
	notify_ready(gateway->notify);
	return 0;
}

/* ---- stop ---- */

static int stop_on_timeout(sd_event_source *source _unused_, uint64_t when _unused_, void *userdata)
{
	struct gateway *gateway = userdata;

	sd_event_exit(gateway->event, 0);
	return 0;
}

void gateway_stop(struct gateway *gateway)
{
	if (gateway->stopping)
		return;
	gateway->stopping = true;
	log_leaving(gateway->queue);
	notify_stopping(gateway->notify);
	field_stop(gateway->field);
	uplink_set_stop(gateway->uplinks);
	sd_event_add_time_relative(gateway->event, &gateway->leave_timer, CLOCK_MONOTONIC, LEAVE_US, 10 * USEC_PER_MSEC,
				   stop_on_timeout, gateway);
	if (uplink_set_empty(gateway->uplinks))
		sd_event_exit(gateway->event, 0);
}

/* What counts is written, and what came of it is logged. False: a thread is inside a look-up, a connect or a call of
   the disk, and cannot be joined. */
static bool write_all(struct gateway *gateway)
{
	bool is_idle = (!gateway->uplinks || uplink_set_empty(gateway->uplinks)) &&
		       (!gateway->field || field_idle(gateway->field));
	uint64_t lost = 0;
	int flushed = gateway->queue ? queue_leave(gateway->queue, FLUSH_US, &lost) : 0;

	if (gateway->field && field_flush(gateway->field, CLOSE_US) < 0)
		is_idle = false;
	if (gateway->queue) {
		log_notices(NULL, 0, 0, gateway);
		if (gateway->stopping)
			log_left(gateway->queue, flushed >= 0, lost);
	}
	/* What is still to be said of writes is said also where the process ends next. */
	gateway->stages.writes = gateway->commands.writes = write_log_free(gateway->stages.writes);
	return is_idle && flushed >= 0;
}

/* In reverse of gateway_new(): nothing is freed that something left may still call, or look into. */
bool gateway_free(struct gateway *gateway)
{
	if (!gateway)
		return true;
	gateway->api = api_free(gateway->api);
	if (!write_all(gateway))
		return false;
	status_free(gateway->status);
	notify_free(gateway->notify);
	network_watch_free(gateway->network);
	timesync_free(gateway->timesync);
	sd_event_source_disable_unref(gateway->notices);
	sd_event_source_disable_unref(gateway->leave_timer);
	/* Uplinks copy from the latest values on their threads; the field publishes to the stream. */
	uplink_set_free(gateway->uplinks);
	field_free(gateway->field);
	normalize_free(gateway->normalize);
	latest_free(gateway->latest);
	stream_free(gateway->stream);
	if (queue_close(gateway->queue, CLOSE_US))
		return false;
	/* Series are in the queue's samples, and configurations and plugins in all that the field had. */
	series_set_free(gateway->series);
	config_free(gateway->config);
	plugin_set_free(gateway->plugins);
	free(gateway->queue_asked);
	free(gateway->sockets_asked[0]);
	free(gateway->sockets_asked[1]);
	free(gateway->config_path);
	sd_event_unref(gateway->event);
	free(gateway);
	return true;
}
