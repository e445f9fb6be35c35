/* SPDX-License-Identifier: Apache-2.0 */
#include "gateway.h"
#include "admin/notify.h"
#include "admin/self.h"
#include "admin/timesync.h"
#include "admin/trim.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/units.h"
#include "config.h"
#include "field/field.h"
#include "field/plugin_load.h"
#include "normalize/normalize.h"
#include "queue/queue.h"
#include "upstream/uplink.h"
#include <errno.h>
#include <inttypes.h>
#include <libgen.h>
#include <string.h>

#define STATUS_EVERY_US USEC_PER_SEC
#define SUMMARY_EVERY_US USEC_PER_HOUR
#define TRIM_AFTER_US (3 * USEC_PER_SEC)
#define STUCK_US (20 * USEC_PER_SEC)	/* a stage that has had something to do for so long hangs */
#define LEAVE_US (1500 * USEC_PER_MSEC) /* for the uplinks to say good-bye */
#define FLUSH_US (2500 * USEC_PER_MSEC) /* and then for the disk: 5 s together, with a margin */

/* An uplink that runs, or that ends and may be followed by one of the same name. */
struct running {
	struct running *next;
	struct gateway *gateway;
	struct uplink *uplink;
	sd_event_source *ended;
	bool stopping;
};

struct gateway {
	sd_event *event;
	char *config_path;
	struct config *config; /* the last good one */
	struct plugin_set *plugins;
	struct notify *notify;
	struct timesync *timesync;
	struct series_set *series;
	struct queue *queue;
	struct normalize *normalize;
	struct field *field;
	struct running *uplinks;
	struct uplink_conf **pending; /* wait for one of the same name to end */
	size_t n_pending;
	sd_event_source *notices, *status_timer, *summary_timer, *leave_timer;
	struct self_sources self;
	struct queue_status last_summary;
	uint64_t last_delivered;
	uint64_t connects;   /* of all uplinks, as last seen */
	uint64_t trim_at_us; /* when what start, reload or a handshake left behind is given back; 0: it was */
	bool stopping;
};

/* ---- what the stages tell ---- */

static void keep_sample(struct sample *sample, void *userdata)
{
	struct gateway *gateway = userdata;

	queue_append(gateway->queue, sample_ref(sample));
}

static void tell_card(struct device_card *card, void *userdata)
{
	struct gateway *gateway = userdata;

	for (struct running *at = gateway->uplinks; at; at = at->next)
		if (!at->stopping)
			uplink_device(at->uplink, card);
}

static void tell_removed(const char *device, void *userdata)
{
	struct gateway *gateway = userdata;

	for (struct running *at = gateway->uplinks; at; at = at->next)
		if (!at->stopping)
			uplink_device_removed(at->uplink, device);
}

static int log_notices(sd_event_source *source _unused_, int fd _unused_, uint32_t events _unused_, void *userdata)
{
	struct gateway *gateway = userdata;
	struct queue_notice notice;

	while (queue_next_notice(gateway->queue, &notice))
		log_about(NULL, notice.level, "queue: %s", notice.text);
	return 0;
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

	if (queue_stuck_us(gateway->queue) > STUCK_US) {
		*ret_why = "the queue's disk";
		return false;
	}
	for (struct running *at = gateway->uplinks; at; at = at->next)
		if (uplink_stuck_us(at->uplink) > STUCK_US) {
			*ret_why = "an uplink";
			return false;
		}
	return true;
}

/* ---- status and summary ---- */

static int tell_status(sd_event_source *source, uint64_t when _unused_, void *userdata)
{
	struct gateway *gateway = userdata;
	struct field_status field;
	struct buf text = {0};
	uint64_t backlog = 0, connects = 0, now = clock_now();

	field_get_status(gateway->field, &field);
	if (field.devices_online == field.devices)
		buf_printf(&text, "%u device%s online", field.devices, field.devices == 1 ? "" : "s");
	else
		buf_printf(&text, "%u of %u devices online", field.devices_online, field.devices);
	for (struct running *at = gateway->uplinks; at; at = at->next) {
		struct uplink_status uplink;

		uplink_get_status(at->uplink, &uplink);
		buf_printf(&text, ", %s %s", uplink_get_conf(at->uplink)->name, uplink_state_word(uplink.state));
		backlog = MAX(backlog, uplink.backlog);
		connects += uplink.connects;
	}
	buf_printf(&text, ", queue %" PRIu64, backlog);
	notify_status(gateway->notify, buf_text(&text));
	buf_done(&text);
	if (connects != gateway->connects)
		gateway->trim_at_us = now + TRIM_AFTER_US;
	gateway->connects = connects;
	if (gateway->trim_at_us > 0 && now >= gateway->trim_at_us) {
		trim_memory();
		gateway->trim_at_us = 0;
	}
	sd_event_source_set_time_relative(source, STATUS_EVERY_US);
	sd_event_source_set_enabled(source, SD_EVENT_ONESHOT);
	return 0;
}

static uint64_t sum_dropped(const struct queue_status *status)
{
	uint64_t sum = 0;

	for (size_t i = 0; i < DROP_N_CAUSES; i++)
		sum += status->dropped[i];
	return sum;
}

/* Where nearly everything is written although the broker is there, its round trip is as long as `commit`. */
static void advise(const struct gateway *gateway, uint64_t appended, uint64_t written)
{
	struct uplink_status uplink;

	if (gateway->config->queue.write != QUEUE_WRITE_BEHIND || appended < 100 || written < appended / 2)
		return;
	for (struct running *at = gateway->uplinks; at; at = at->next) {
		uplink_get_status(at->uplink, &uplink);
		if (uplink.state == UPLINK_CONNECTED && uplink.rtt_us > gateway->config->queue.commit_us / 2)
			log_info("most samples are written to disk because uplink %s takes %" PRIu64
				 " ms to acknowledge; a longer queue.commit than %" PRIu64 " ms would spare the disk",
				 uplink_get_conf(at->uplink)->name, uplink.rtt_us / USEC_PER_MSEC,
				 gateway->config->queue.commit_us / USEC_PER_MSEC);
	}
}

static int summarize(sd_event_source *source, uint64_t when _unused_, void *userdata)
{
	struct gateway *gateway = userdata;
	const struct queue_status *last = &gateway->last_summary;
	struct queue_status now;
	struct uplink_status uplink;
	uint64_t delivered = 0;
	char size[SIZE_TEXT_MAX];

	queue_get_status(gateway->queue, &now);
	for (struct running *at = gateway->uplinks; at; at = at->next) {
		uplink_get_status(at->uplink, &uplink);
		delivered += uplink.delivered;
	}
	log_info("last hour: %" PRIu64 " samples taken, %" PRIu64 " delivered, %" PRIu64 " queued, %" PRIu64
		 " dropped, %s written to disk",
		 now.appended - last->appended,
		 delivered >= gateway->last_delivered ? delivered - gateway->last_delivered : delivered,
		 now.tail_samples + now.body_samples, sum_dropped(&now) - sum_dropped(last),
		 format_size(now.bytes_written - last->bytes_written, size));
	advise(gateway, now.appended - last->appended, now.written - last->written);
	gateway->last_summary = now;
	gateway->last_delivered = delivered;
	sd_event_source_set_time_relative(source, SUMMARY_EVERY_US);
	sd_event_source_set_enabled(source, SD_EVENT_ONESHOT);
	return 0;
}

/* ---- uplinks ---- */

static struct running *find_uplink(const struct gateway *gateway, const char *name)
{
	for (struct running *at = gateway->uplinks; at; at = at->next)
		if (strcmp(uplink_get_conf(at->uplink)->name, name) == 0)
			return at;
	return NULL;
}

static void leave_if_done(struct gateway *gateway);

static int uplink_ended(sd_event_source *source, int fd, uint32_t events, void *userdata);

static void start_uplink(struct gateway *gateway, struct uplink_conf *conf)
{
	struct running *running = calloc(1, sizeof(*running));
	struct log_subject subject = {.uplink = conf->name};
	_cleanup_free_ char *name = strdup(conf->name);
	int r = running && name ? 0 : -ENOMEM;

	subject.uplink = name;
	if (r < 0)
		uplink_conf_free(conf);
	else
		r = uplink_new(conf, gateway->config->gateway.id, HAYWAIN_VERSION, gateway->queue, gateway->series,
			       &running->uplink);
	if (r >= 0)
		r = sd_event_add_io(gateway->event, &running->ended, uplink_fd(running->uplink), EPOLLIN, uplink_ended,
				    running);
	if (r < 0) {
		log_about(&subject, HAY_LOG_ERROR, "cannot be started: %s", strerror(-r));
		free(running);
		return;
	}
	running->gateway = gateway;

	struct running **end = &gateway->uplinks;

	while (*end)
		end = &(*end)->next;
	*end = running;
}

static void start_pending_uplinks(struct gateway *gateway)
{
	size_t left = 0;

	for (size_t i = 0; i < gateway->n_pending; i++) {
		if (find_uplink(gateway, gateway->pending[i]->name)) {
			gateway->pending[left++] = gateway->pending[i];
			continue;
		}
		start_uplink(gateway, gateway->pending[i]);
	}
	if (left < gateway->n_pending && gateway->field)
		field_tell_cards(gateway->field);
	gateway->n_pending = left;
}

/* An uplink that is no longer wanted gives up its place in the queue, once it has ended. */
static int keep_readers(struct gateway *gateway)
{
	size_t n = gateway->n_pending, i = 0;

	for (struct running *at = gateway->uplinks; at; at = at->next)
		n++;

	_cleanup_free_ const char **names = calloc(MAX(n, (size_t)1), sizeof(*names));

	if (!names)
		return -ENOMEM;
	for (struct running *at = gateway->uplinks; at; at = at->next)
		names[i++] = uplink_get_conf(at->uplink)->name;
	for (size_t j = 0; j < gateway->n_pending; j++)
		names[i++] = gateway->pending[j]->name;
	queue_keep_readers(gateway->queue, names, n);
	return 0;
}

static int uplink_ended(sd_event_source *source _unused_, int fd _unused_, uint32_t events _unused_, void *userdata)
{
	struct running *running = userdata;
	struct gateway *gateway = running->gateway;

	if (!uplink_stopped(running->uplink))
		return 0;
	for (struct running **at = &gateway->uplinks; *at; at = &(*at)->next)
		if (*at == running) {
			*at = running->next;
			break;
		}
	sd_event_source_disable_unref(running->ended);
	uplink_free(running->uplink);
	free(running);
	if (gateway->stopping) {
		leave_if_done(gateway);
		return 0;
	}
	if (keep_readers(gateway) < 0)
		log_error("out of memory: the place of a removed uplink in the queue is kept");
	start_pending_uplinks(gateway);
	return 0;
}

static void drop_pending_uplinks(struct gateway *gateway)
{
	for (size_t i = 0; i < gateway->n_pending; i++)
		uplink_conf_free(gateway->pending[i]);
	gateway->n_pending = 0;
}

/* An uplink restarts when its own part of the file, or the gateway's id, is another than before. */
static int apply_uplinks(struct gateway *gateway, struct config *config, bool id_changed)
{
	size_t n = config->n_uplinks;
	_cleanup_free_ const char **names = calloc(MAX(n, (size_t)1), sizeof(*names));
	struct uplink_conf **pending = reallocarray(gateway->pending, MAX(n, (size_t)1), sizeof(*pending));

	if (pending)
		gateway->pending = pending;
	if (!names || !pending)
		return -ENOMEM;
	drop_pending_uplinks(gateway);
	for (size_t i = 0; i < n; i++)
		names[i] = config->uplinks[i]->name;

	for (struct running *at = gateway->uplinks; at; at = at->next) {
		const struct uplink_conf *was = uplink_get_conf(at->uplink);
		bool stays = false;

		for (size_t i = 0; i < n && !id_changed; i++)
			if (strcmp(names[i], was->name) == 0 && config->uplinks[i]->digest == was->digest)
				stays = true;
		if (!stays && !at->stopping) {
			at->stopping = true;
			uplink_stop(at->uplink);
		}
	}
	for (size_t i = 0; i < n; i++) {
		struct running *there = find_uplink(gateway, names[i]);

		if (there && !there->stopping)
			continue;
		pending[gateway->n_pending++] = config->uplinks[i];
		config->uplinks[i] = NULL;
	}
	if (keep_readers(gateway) < 0)
		return -ENOMEM;
	start_pending_uplinks(gateway);
	return 0;
}

/* ---- configuration ---- */

static void log_messages(const struct conf_messages *messages)
{
	for (const struct conf_message *at = messages->first; at; at = at->next) {
		enum hay_log_level level = at->warning ? HAY_LOG_WARNING : HAY_LOG_ERROR;

		if (at->line > 0)
			log_about(NULL, level, "%s:%u: %s", at->file, at->line, at->text);
		else
			log_about(NULL, level, "%s: %s", at->file, at->text);
	}
}

/* The messages said what is wrong; this says what follows. */
static void log_bad(const struct config *config, const char *what_follows)
{
	static const char *const kinds[] = {
		[CONFIG_BAD_LINK] = "link ", [CONFIG_BAD_DEVICE] = "device ", [CONFIG_BAD_FILE] = ""};

	for (size_t i = 0; i < config->n_bad; i++)
		log_warning("%s%s %s; the rest goes on", kinds[config->bad[i].kind], config->bad[i].name, what_follows);
}

static int load_config(struct gateway *gateway, struct config **ret)
{
	struct conf_messages messages = {0};
	int r = config_load(gateway->config_path, gateway->plugins, &messages, ret);

	log_messages(&messages);
	conf_messages_done(&messages);
	return r;
}

/* Pointers and the duty to free them. */
static void move(void *to, void *from, size_t n)
{
	if (n > 0) {
		memcpy(to, from, n * sizeof(void *));
		memset(from, 0, n * sizeof(void *));
	}
}

static bool self_uplink(size_t i, const char **ret_name, uint64_t *ret_rtt_us, void *userdata)
{
	struct gateway *gateway = userdata;
	struct running *at = gateway->uplinks;
	struct uplink_status status;

	while (at && i-- > 0)
		at = at->next;
	if (!at)
		return false;
	uplink_get_status(at->uplink, &status);
	*ret_name = uplink_get_conf(at->uplink)->name;
	*ret_rtt_us = status.rtt_us;
	return true;
}

static int apply_field(struct gateway *gateway, struct config *config, struct field_changes *ret)
{
	size_t n = config->n_bad + 1;
	_cleanup_free_ const char **links = calloc(n, sizeof(*links));
	_cleanup_free_ const char **devices = calloc(n, sizeof(*devices));
	_cleanup_free_ const char **files = calloc(n, sizeof(*files));
	size_t at[3] = {0};

	if (!links || !devices || !files)
		return -ENOMEM;
	for (size_t i = 0; i < config->n_bad; i++) {
		const char **lists[] = {links, devices, files};
		int kind = (int)config->bad[i].kind;

		lists[kind][at[kind]++] = config->bad[i].name;
	}
	/* The gateway's own device comes last. */
	_cleanup_free_ struct link_conf **all_links = calloc(config->n_links + 1, sizeof(*all_links));
	_cleanup_free_ struct device_conf **all_devices = calloc(config->n_devices + 1, sizeof(*all_devices));
	size_t n_self = config->self_every_us > 0;

	if (!all_links || !all_devices)
		return -ENOMEM;
	gateway->self.queue_path = queue_path(gateway->queue);
	if (n_self && self_conf(gateway->plugins, &gateway->self, config->self_every_us, &all_links[config->n_links],
				&all_devices[config->n_devices]) < 0)
		return -ENOMEM;
	move(all_links, config->links, config->n_links);
	move(all_devices, config->devices, config->n_devices);

	struct field_wanted wanted = {.links = all_links,
				      .n_links = config->n_links + n_self,
				      .devices = all_devices,
				      .n_devices = config->n_devices + n_self,
				      .keep_links = links,
				      .keep_devices = devices,
				      .keep_files = files};

	field_apply(gateway->field, &wanted, ret);
	for (size_t i = 0; i < wanted.n_links; i++)
		link_conf_free(all_links[i]);
	for (size_t i = 0; i < wanted.n_devices; i++)
		device_conf_free(all_devices[i]);
	return 0;
}

static bool same_text(const char *a, const char *b)
{
	return a == b || (a && b && strcmp(a, b) == 0);
}

void gateway_reload(struct gateway *gateway)
{
	struct config *config, *before = gateway->config;
	struct field_changes changes = {0};

	if (gateway->stopping)
		return;
	notify_reloading(gateway->notify);
	if (load_config(gateway, &config) < 0) {
		log_error("%s is not applied: everything goes on as it was", gateway->config_path);
		notify_ready(gateway->notify);
		return;
	}
	log_bad(config, "keeps its last good form, if it has one");
	if (!same_text(config->queue.path, before->queue.path))
		log_warning("queue.path has changed: this takes a restart, the queue stays where it is");
	bool id_changed = strcmp(config->gateway.id, before->gateway.id) != 0;

	gateway->config = config;
	log_set_level((enum hay_log_level)config->gateway.log_level);
	timesync_set_trust(gateway->timesync, config->gateway.clock == CONFIG_CLOCK_TRUST);
	queue_configure(gateway->queue, &config->queue);
	if (apply_uplinks(gateway, config, id_changed) < 0 || apply_field(gateway, config, &changes) < 0)
		log_error("out of memory: %s is applied only in part", gateway->config_path);
	config_free(before);
	gateway->trim_at_us = clock_now() + TRIM_AFTER_US;
	log_info("reloaded: %u device%s started, %u stopped, %u as before", changes.started,
		 changes.started == 1 ? "" : "s", changes.stopped, changes.kept);
	notify_ready(gateway->notify);
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
	if (r == -EWOULDBLOCK)
		log_error("the queue %s is in use by another haywaind%s%.0d: only one may have it",
			  gateway->config->queue.path ? gateway->config->queue.path : "queue.db",
			  pid > 0 ? ", process " : "", pid > 0 ? (int)pid : 0);
	return r;
}

static int start_stages(struct gateway *gateway, const char *state_dir)
{
	struct field_hooks hooks = {.card = tell_card, .removed = tell_removed, .userdata = gateway};
	int r;

	gateway->self = (struct self_sources){.queue = gateway->queue, .uplink = self_uplink, .userdata = gateway};
	gateway->normalize = normalize_new(gateway->event, gateway->series);
	if (!gateway->normalize)
		return -ENOMEM;
	r = normalize_subscribe(gateway->normalize, keep_sample, gateway);
	if (r >= 0)
		r = field_new(gateway->event, gateway->series, gateway->normalize, state_dir, &hooks, &gateway->field);
	if (r >= 0)
		r = apply_uplinks(gateway, gateway->config, false);
	return r;
}

static int start_admin(struct gateway *gateway)
{
	int r = sd_event_add_io(gateway->event, &gateway->notices, queue_notice_fd(gateway->queue), EPOLLIN,
				log_notices, gateway);

	if (r >= 0)
		r = sd_event_add_time_relative(gateway->event, &gateway->status_timer, CLOCK_MONOTONIC, STATUS_EVERY_US,
					       100 * USEC_PER_MSEC, tell_status, gateway);
	if (r >= 0)
		r = sd_event_add_time_relative(gateway->event, &gateway->summary_timer, CLOCK_MONOTONIC,
					       SUMMARY_EVERY_US, USEC_PER_SEC, summarize, gateway);
	if (r >= 0)
		r = notify_new(gateway->event, is_alive, gateway, &gateway->notify);
	return r;
}

int gateway_new(sd_event *event, const char *config_path, struct gateway **ret)
{
	struct gateway *gateway = calloc(1, sizeof(*gateway));
	struct field_changes changes = {0};
	_cleanup_free_ char *path = NULL;
	int r = -ENOMEM;

	if (!gateway)
		return r;
	gateway->event = sd_event_ref(event);
	gateway->config_path = strdup(config_path);
	gateway->plugins = plugin_set_new(NULL);
	if (!gateway->config_path || !gateway->plugins)
		goto fail;
	r = load_config(gateway, &gateway->config);
	if (r < 0)
		goto fail;
	log_set_level((enum hay_log_level)gateway->config->gateway.log_level);
	log_bad(gateway->config, "is left out until it is mended");
	log_info("haywaind " HAYWAIN_VERSION " starts as gateway %s with %s", gateway->config->gateway.id, config_path);
	r = timesync_new(event, gateway->config->gateway.clock == CONFIG_CLOCK_TRUST, clock_changed, gateway,
			 &gateway->timesync);
	if (r >= 0)
		r = open_queue(gateway);
	if (r >= 0)
		r = start_admin(gateway);
	if (r < 0)
		goto fail;

	path = strdup(queue_path(gateway->queue));
	r = path ? start_stages(gateway, dirname(path)) : -ENOMEM;
	if (r >= 0)
		r = apply_field(gateway, gateway->config, &changes);
	if (r < 0)
		goto fail;
	gateway->trim_at_us = clock_now() + TRIM_AFTER_US;
	notify_ready(gateway->notify);
	*ret = gateway;
	return 0;

fail:
	gateway_free(gateway);
	return r;
}

/* ---- stop ---- */

static void leave_if_done(struct gateway *gateway)
{
	if (!gateway->uplinks)
		sd_event_exit(gateway->event, 0);
}

static int leave_anyway(sd_event_source *source _unused_, uint64_t when _unused_, void *userdata)
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
	log_info("leaving");
	notify_stopping(gateway->notify);
	field_stop(gateway->field);
	drop_pending_uplinks(gateway);
	for (struct running *at = gateway->uplinks; at; at = at->next)
		uplink_stop(at->uplink);
	sd_event_add_time_relative(gateway->event, &gateway->leave_timer, CLOCK_MONOTONIC, LEAVE_US, 10 * USEC_PER_MSEC,
				   leave_anyway, gateway);
	leave_if_done(gateway);
}

static void say_what_stays(struct gateway *gateway, int flushed)
{
	struct queue_status status;

	queue_get_status(gateway->queue, &status);

	uint64_t waiting = status.tail_samples + status.body_samples;

	if (flushed < 0 && status.tail_samples > 0)
		log_error("%" PRIu64 " samples could not be written to disk in time and are lost", status.tail_samples);
	else if (waiting > 0)
		log_info("%" PRIu64 " samples are queued on disk and go up after the next start", waiting);
}

struct gateway *gateway_free(struct gateway *gateway)
{
	if (!gateway)
		return NULL;

	bool hangs = gateway->uplinks || (gateway->field && !field_idle(gateway->field));
	int flushed = gateway->queue ? queue_flush(gateway->queue, FLUSH_US) : 0;

	if (gateway->queue) {
		log_notices(NULL, 0, 0, gateway);
		if (gateway->stopping)
			say_what_stays(gateway, flushed);
	}
	/* A thread inside a look-up or a connect cannot be joined; all that counts is on disk. */
	if (hangs || flushed < 0)
		_exit(gateway->stopping ? EXIT_SUCCESS : EXIT_FAILURE);

	notify_free(gateway->notify);
	timesync_free(gateway->timesync);
	sd_event_source_disable_unref(gateway->notices);
	sd_event_source_disable_unref(gateway->status_timer);
	sd_event_source_disable_unref(gateway->summary_timer);
	sd_event_source_disable_unref(gateway->leave_timer);
	field_free(gateway->field);
	normalize_free(gateway->normalize);
	queue_close(gateway->queue);
	series_set_free(gateway->series);
	drop_pending_uplinks(gateway);
	free(gateway->pending);
	config_free(gateway->config);
	plugin_set_free(gateway->plugins);
	free(gateway->config_path);
	sd_event_unref(gateway->event);
	free(gateway);
	return NULL;
}
