/* SPDX-License-Identifier: Apache-2.0 */
#include "field/field.h"
#include "base/log.h"
#include "field/field_private.h"
#include "field/plugin_host.h"
#include "field/scan.h"
#include "field/writes.h"
#include <errno.h>
#include <stdio.h>
#include <string.h>

static int advance_field(sd_event_source *source, void *userdata);

static void device_due(struct schedule_entry *entry, void *userdata _unused_)
{
	struct device *device = container_of(entry, struct device, due);

	link_wants_turn(device->link, device);
}

int field_new(sd_event *event, struct series_set *series, struct normalize *normalize, const char *state_dir,
	      const struct field_hooks *hooks, struct field **ret)
{
	struct field *field = calloc(1, sizeof(*field));
	_cleanup_free_ char *path = NULL;
	int r = -ENOMEM;

	if (!field)
		return r;
	field->event = event;
	field->series = series;
	field->normalize = normalize;
	field->hooks = *hooks;
	field->host = &plugin_host;
	if (state_dir && asprintf(&path, "%s/learnt.json", state_dir) < 0)
		path = NULL;
	field->memory = plugin_state_new(path);
	if (field->memory)
		r = schedule_new(event, device_due, field, &field->schedule);
	if (r >= 0)
		r = sd_event_add_defer(event, &field->advance, advance_field, field);
	if (r >= 0)
		r = sd_event_source_set_enabled(field->advance, SD_EVENT_OFF);
	if (r < 0) {
		field_free(field);
		return r;
	}
	*ret = field;
	return 0;
}

static void drop_pending(struct field *field)
{
	for (size_t i = 0; i < field->n_pending_links; i++)
		link_conf_free(field->pending_links[i]);
	for (size_t i = 0; i < field->n_pending_devices; i++)
		device_conf_free(field->pending_devices[i]);
	field->n_pending_links = field->n_pending_devices = 0;
}

struct field *field_free(struct field *field)
{
	if (!field)
		return NULL;
	drop_pending(field);
	free(field->pending_links);
	free(field->pending_devices);
	sd_event_source_disable_unref(field->advance);
	schedule_free(field->schedule);
	plugin_state_free(field->memory);
	free(field);
	return NULL;
}

void field_advance_soon(struct field *field)
{
	sd_event_source_set_enabled(field->advance, SD_EVENT_ONESHOT);
}

/* ---- who is there ---- */

struct link *field_find_link(const struct field *field, const char *name)
{
	for (struct link *link = field->links; link; link = link->next)
		if (strcmp(link->conf->name, name) == 0)
			return link;
	return NULL;
}

struct device *field_find_device(const struct field *field, const char *name)
{
	for (struct link *link = field->links; link; link = link->next)
		for (struct device *device = link->devices; device; device = device->next)
			if (strcmp(device->conf->name, name) == 0)
				return device;
	return NULL;
}

static bool is_pending(const struct field *field, const char *device)
{
	for (size_t i = 0; i < field->n_pending_devices; i++)
		if (strcmp(field->pending_devices[i]->name, device) == 0)
			return true;
	return false;
}

static bool is_among(const char *const *names, const char *name)
{
	for (; names && *names; names++)
		if (strcmp(*names, name) == 0)
			return true;
	return false;
}

/* ---- ending ---- */

void field_stop_device(struct device *device)
{
	if (device_is_stopping(device))
		return;
	device->phase = device->phase == DEVICE_PAUSED ? DEVICE_STOPPING_PAUSED : DEVICE_STOPPING;
	device_unschedule(device);
	field_advance_soon(device->link->field);
}

void field_stop_link(struct link *link)
{
	if (link->phase == LINK_RUNNING || link->phase == LINK_SUSPENDING)
		link->phase = LINK_STOPPING;
	else if (!link_is_stopping(link))
		link->phase = LINK_STOPPING_CLOSED;
	scan_abort(link->scan, "its link is being stopped");
	for (struct device *device = link->devices; device; device = device->next)
		field_stop_device(device);
	field_advance_soon(link->field);
}

static void end_device(struct field *field, struct link *link, struct device *device)
{
	if (device->phase == DEVICE_STOPPING && link->plugin->stop)
		link->plugin->stop(&device->hay);
	writes_abandon(device);
	if (device->afterwards == AFTERWARDS_RESTART && !field->stopping) {
		field->pending_devices[field->n_pending_devices++] = device->conf;
		device->conf = NULL;
	}
	if (link->polling == device)
		link->polling = NULL;
	if (link->prober == device)
		link->prober = NULL;
	if (!field->stopping && device->conf && !is_pending(field, device->conf->name) && field->hooks.removed)
		field->hooks.removed(device->conf->name, field->hooks.userdata);
	device_free(device);
	if (!link_is_stopping(link)) {
		link_next_turn(link);
		link_keep_trying(link);
	}
}

static void end_what_is_idle(struct field *field)
{
	for (struct link **at = &field->links; *at;) {
		struct link *link = *at;

		for (struct device **place = &link->devices; *place;) {
			struct device *device = *place;

			if (device_is_stopping(device) && device->outstanding == 0) {
				*place = device->next;
				end_device(field, link, device);
			} else {
				place = &device->next;
			}
		}
		if (link_is_stopping(link) && !link->devices && link_is_idle(link)) {
			*at = link->next;
			link_free(link);
		} else {
			at = &link->next;
		}
	}
}

/* ---- starting ---- */

static void start_link(struct field *field, struct link_conf *conf)
{
	struct link *link;

	if (link_new(field, conf, &link) < 0)
		return; /* it has said why */
	link->next = field->links;
	field->links = link;
}

static void start_device(struct field *field, struct link *link, struct device_conf *conf)
{
	struct log_subject subject = {.link = link->conf->name};
	_cleanup_free_ char *name = strdup(conf->name);
	struct device *device, **end = &link->devices;
	int r = device_new(link, conf, field->n_devices_started++, &device);

	if (r < 0) {
		log_about(&subject, HAY_LOG_ERROR,
			  "device %s cannot be started: %s; it is left out until the next reload", name ? name : "?",
			  strerror(-r));
		return;
	}
	while (*end)
		end = &(*end)->next;
	*end = device;
	if (link_is_down(link))
		device_went_offline(device, link->reason_code, link->reason, true);
	else
		device_publish_info(device);
	if (!link_is_down(link))
		device_reschedule(device);
	else
		link_keep_trying(link);
}

static void start_what_can(struct field *field)
{
	size_t left = 0;

	for (size_t i = 0; i < field->n_pending_links; i++) {
		struct link_conf *conf = field->pending_links[i];

		if (field_find_link(field, conf->name))
			field->pending_links[left++] = conf;
		else
			start_link(field, conf);
	}
	field->n_pending_links = left;

	left = 0;
	for (size_t i = 0; i < field->n_pending_devices; i++) {
		struct device_conf *conf = field->pending_devices[i];
		struct link *link = field_find_link(field, conf->link);
		bool link_is_busy = link && (link_is_stopping(link) || link_is_suspended(link));

		if (field_find_device(field, conf->name) || link_is_busy || (!link && field->n_pending_links > 0))
			field->pending_devices[left++] = conf;
		else if (link)
			start_device(field, link, conf);
		else
			device_conf_free(conf); /* its link could not be opened, and said so */
	}
	field->n_pending_devices = left;
}

static int advance_field(sd_event_source *source _unused_, void *userdata)
{
	struct field *field = userdata;

	end_what_is_idle(field);
	scan_advance(field->scan);
	writes_go_on(field);
	start_what_can(field);
	return 0;
}

/* ---- applying ---- */

static const struct link_conf *wanted_link(const struct field_wanted *wanted, const char *name)
{
	for (size_t i = 0; i < wanted->n_links; i++)
		if (wanted->links[i] && strcmp(wanted->links[i]->name, name) == 0)
			return wanted->links[i];
	return NULL;
}

static const struct device_conf *wanted_device(const struct field_wanted *wanted, const char *name)
{
	for (size_t i = 0; i < wanted->n_devices; i++)
		if (wanted->devices[i] && strcmp(wanted->devices[i]->name, name) == 0)
			return wanted->devices[i];
	return NULL;
}

static bool link_stays(const struct field_wanted *wanted, const struct link *link)
{
	const struct link_conf *now = wanted_link(wanted, link->conf->name);

	if (now)
		return now->digest == link->conf->digest && now->plugin == link->conf->plugin;
	return is_among(wanted->keep_links, link->conf->name) || is_among(wanted->keep_files, link->conf->file);
}

static bool device_stays(const struct field_wanted *wanted, const struct device *device)
{
	const struct device_conf *now = wanted_device(wanted, device->conf->name);

	if (now)
		return now->digest == device->conf->digest && strcmp(now->link, device->conf->link) == 0;
	return is_among(wanted->keep_devices, device->conf->name) || is_among(wanted->keep_files, device->conf->file);
}

/* Its new form is bad, or its whole file, so that the last good one goes on; and there is a link for it. */
static bool device_is_kept(const struct field_wanted *wanted, const struct device *device)
{
	const struct link_conf *link = wanted_link(wanted, device->conf->link);

	if (wanted_device(wanted, device->conf->name) ||
	    (!is_among(wanted->keep_devices, device->conf->name) && !is_among(wanted->keep_files, device->conf->file)))
		return false;
	return link ? link->plugin == device->link->conf->plugin : link_stays(wanted, device->link);
}

/* What waits to be started and has no new form that is good waits on. */
static void keep_pending(struct field *field, const struct field_wanted *wanted)
{
	size_t n_links = 0, n_devices = 0;

	for (size_t i = 0; i < field->n_pending_links; i++) {
		struct link_conf *conf = field->pending_links[i];

		if (!wanted_link(wanted, conf->name) &&
		    (is_among(wanted->keep_links, conf->name) || is_among(wanted->keep_files, conf->file)))
			field->pending_links[n_links++] = conf;
		else
			link_conf_free(conf);
	}
	for (size_t i = 0; i < field->n_pending_devices; i++) {
		struct device_conf *conf = field->pending_devices[i];

		if (!wanted_device(wanted, conf->name) &&
		    (is_among(wanted->keep_devices, conf->name) || is_among(wanted->keep_files, conf->file)))
			field->pending_devices[n_devices++] = conf;
		else
			device_conf_free(conf);
	}
	field->n_pending_links = n_links;
	field->n_pending_devices = n_devices;
}

static size_t count_devices(const struct field *field)
{
	size_t n = 0;

	for (const struct link *link = field->links; link; link = link->next)
		for (const struct device *device = link->devices; device; device = device->next)
			n++;
	return n;
}

static bool is_wanted(const char *device, void *userdata)
{
	return wanted_device(userdata, device) != NULL;
}

/* With a mistake anywhere it is not known whether a device that is missing was meant to go. */
static void forget_removed(struct field *field, struct field_wanted *wanted)
{
	const char *const *const lists[] = {wanted->keep_links, wanted->keep_devices, wanted->keep_files};

	for (size_t i = 0; i < ELEMENTS(lists); i++)
		if (lists[i] && lists[i][0])
			return;
	for (struct link *link = field->links; link; link = link->next)
		for (struct device *device = link->devices; device; device = device->next)
			if (device_is_stopping(device) && !wanted_device(wanted, device->conf->name))
				device->afterwards = AFTERWARDS_FORGET;
			else if (device->afterwards == AFTERWARDS_FORGET)
				device->afterwards = AFTERWARDS_NOTHING;
	plugin_state_retain(field->memory, is_wanted, wanted);
}

static void do_not_restart(struct device *device)
{
	if (device->afterwards == AFTERWARDS_RESTART)
		device->afterwards = AFTERWARDS_NOTHING;
}

static void stop_what_changed(struct field *field, const struct field_wanted *wanted, struct field_changes *changes)
{
	for (struct link *link = field->links; link; link = link->next) {
		if (!link_is_stopping(link) && !link_stays(wanted, link))
			field_stop_link(link);
		for (struct device *device = link->devices; device; device = device->next) {
			if (!device_is_stopping(device) && !device_stays(wanted, device))
				field_stop_device(device);
			if (device_is_stopping(device) && device_is_kept(wanted, device))
				device->afterwards = AFTERWARDS_RESTART;
			else
				do_not_restart(device);
			if (!link->conf->file[0]) /* the gateway's own is not counted */
				continue;
			if (device_is_stopping(device))
				changes->stopped++;
			else
				changes->kept++;
		}
	}
}

static int take_pending(struct field *field, struct field_wanted *wanted, struct field_changes *changes)
{
	size_t n_links = field->n_pending_links + wanted->n_links;
	struct link_conf **links = reallocarray(field->pending_links, MAX(n_links, (size_t)1), sizeof(*links));

	if (!links)
		return -ENOMEM;
	field->pending_links = links;

	/* Those of today may come to wait, too. */
	size_t n_devices = field->n_pending_devices + wanted->n_devices + count_devices(field);
	struct device_conf **devices =
		reallocarray(field->pending_devices, MAX(n_devices, (size_t)1), sizeof(*devices));

	if (!devices)
		return -ENOMEM;
	field->pending_devices = devices;

	for (size_t i = 0; i < wanted->n_links; i++) {
		struct link *there = wanted->links[i] ? field_find_link(field, wanted->links[i]->name) : NULL;

		if (!wanted->links[i] || (there && !link_is_stopping(there)))
			continue;
		links[field->n_pending_links++] = wanted->links[i];
		wanted->links[i] = NULL;
	}
	for (size_t i = 0; i < wanted->n_devices; i++) {
		struct device *there = wanted->devices[i] ? field_find_device(field, wanted->devices[i]->name) : NULL;

		if (!wanted->devices[i] || (there && !device_is_stopping(there)))
			continue;
		changes->started += wanted->devices[i]->file[0] != '\0';
		devices[field->n_pending_devices++] = wanted->devices[i];
		wanted->devices[i] = NULL;
	}
	return 0;
}

void field_apply(struct field *field, struct field_wanted *wanted, struct field_changes *ret)
{
	*ret = (struct field_changes){0};
	keep_pending(field, wanted);
	stop_what_changed(field, wanted, ret);
	forget_removed(field, wanted);
	if (take_pending(field, wanted, ret) < 0) {
		log_error("out of memory: new links and devices are not started");
		for (struct link *link = field->links; link; link = link->next)
			for (struct device *device = link->devices; device; device = device->next)
				do_not_restart(device); /* there is no room for them to wait */
	}
	advance_field(NULL, field);
}

void field_poll_now(struct field *field)
{
	for (struct link *link = field->links; link; link = link->next)
		for (struct device *device = link->devices; device; device = device->next)
			if (!device_is_stopping(device))
				device_poll_now(device);
}

void field_stop(struct field *field)
{
	field->stopping = true;
	drop_pending(field);
	for (struct link *link = field->links; link; link = link->next)
		field_stop_link(link);
	scan_abort(field->scan, "the gateway is leaving");
	end_what_is_idle(field);
	plugin_state_flush(field->memory,
			   0); /* begun while the uplinks publish their last messages, awaited at the end */
}

int field_flush(struct field *field, uint64_t timeout_us)
{
	return plugin_state_flush(field->memory, timeout_us);
}

bool field_idle(const struct field *field)
{
	return !field->links && !field->scan;
}

void field_publish_infos(struct field *field)
{
	for (struct link *link = field->links; link; link = link->next)
		for (struct device *device = link->devices; device; device = device->next)
			if (!device_is_stopping(device))
				device_publish_info(device);
}

void field_remind(const struct field *field)
{
	for (struct link *link = field->links; link; link = link->next)
		if (!link_is_stopping(link) && link->conf->file[0]) /* not the gateway's own */
			link_remind(link);
}

bool field_runs_link(const struct field *field, const char *name)
{
	const struct link *link = field_find_link(field, name);

	return link && !link_is_stopping(link);
}

bool field_runs_device(const struct field *field, const char *name)
{
	const struct device *device = field_find_device(field, name);

	return device && !device_is_stopping(device);
}

bool field_runs_file(const struct field *field, const char *path)
{
	for (const struct link *link = field->links; link; link = link->next) {
		if (!link_is_stopping(link) && strcmp(link->conf->file, path) == 0)
			return true;
		for (const struct device *device = link->devices; device; device = device->next)
			if (!device_is_stopping(device) && strcmp(device->conf->file, path) == 0)
				return true;
	}
	return false;
}
