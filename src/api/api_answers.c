/* SPDX-License-Identifier: Apache-2.0 */
#include "api/api_answers.h"
#include "base/clock.h"
#include "base/json.h"
#include "field/field_status.h"
#include "model/latest.h"
#include "model/sample_json.h"
#include "system/status.h"
#include <math.h>
#include <string.h>

int64_t api_wall_ms(uint64_t time_us)
{
	return ((int64_t)time_us + clock_wall_offset()) / (int64_t)USEC_PER_MSEC;
}

static void add_text(struct buf *out, const char *key, const char *value)
{
	if (!value || !*value)
		return;
	json_key(out, key);
	json_text(out, value);
}

static void add_number(struct buf *out, const char *key, uint64_t value)
{
	json_key(out, key);
	json_uint(out, value);
}

static void add_real(struct buf *out, const char *key, double value)
{
	json_key(out, key);
	json_double(out, value);
}

static void add_flag(struct buf *out, const char *key, bool value)
{
	json_key(out, key);
	json_bool(out, value);
}

static void add_seconds(struct buf *out, const char *key, uint64_t us)
{
	add_real(out, key, round((double)us / 1000) / 1000);
}

static void add_milliseconds(struct buf *out, const char *key, uint64_t us)
{
	add_real(out, key, round((double)us / 10) / 100);
}

static void add_wall_time(struct buf *out, const char *key, uint64_t time_us)
{
	if (time_us == 0)
		return;
	json_key(out, key);
	json_int(out, api_wall_ms(time_us));
}

/* ---- status ---- */

static void add_uplink(struct buf *out, struct uplink *uplink)
{
	const struct uplink_conf *conf = uplink_get_conf(uplink);
	struct uplink_status status;

	uplink_get_status(uplink, &status);
	json_open(out, '{');
	add_text(out, "name", conf->name);
	add_text(out, "url", conf->url);
	add_text(out, "state", uplink_state_to_string(status.state));
	add_wall_time(out, "since", status.since_us);
	add_text(out, "reason", status.reason);
	add_number(out, "delivered", status.delivered);
	add_number(out, "messages", status.messages);
	add_number(out, "connects", status.connects);
	add_number(out, "inflight", status.inflight);
	add_number(out, "backlog", status.backlog);
	add_number(out, "no_subscribers", status.no_subscribers);
	add_milliseconds(out, "round_trip_ms", status.rtt_us);
	json_close(out, '}');
}

void api_write_status(const struct stages *stages, struct buf *out)
{
	struct field_status field;
	struct queue_status queue;
	struct uplink *uplink;

	field_get_status(stages->field, &field);
	queue_get_status(stages->queue, &queue);
	json_open(out, '{');
	add_text(out, "gateway", stages->gateway_id);
	add_text(out, "version", HAYWAIN_VERSION);
	add_number(out, "pid", (uint64_t)getpid());
	add_wall_time(out, "started", stages->started_us);
	add_seconds(out, "uptime_s", clock_now() - stages->started_us);
	add_flag(out, "clock_trusted", clock_trusted());
	json_key(out, "links");
	json_open(out, '{');
	add_number(out, "total", field.links);
	add_number(out, "down", field.links_down);
	add_number(out, "unused", field.links_unused);
	json_close(out, '}');
	json_key(out, "devices");
	json_open(out, '{');
	add_number(out, "total", field.devices);
	add_number(out, "online", field.devices_online);
	json_close(out, '}');
	json_key(out, "polls");
	json_open(out, '{');
	add_number(out, "rounds", field.rounds);
	add_number(out, "failed", field.failures);
	add_number(out, "late", field.late);
	json_close(out, '}');
	json_key(out, "samples");
	json_open(out, '{');
	add_number(out, "taken", queue.appended);
	add_number(out, "queued", queue.tail_samples + queue.disk_samples);
	add_number(out, "dropped", status_dropped(&queue));
	json_close(out, '}');
	json_key(out, "uplinks");
	json_open(out, '[');
	for (size_t i = 0; (uplink = uplink_set_get(stages->uplinks, i)); i++)
		add_uplink(out, uplink);
	json_close(out, ']');
	json_close(out, '}');
}

/* ---- links and devices ---- */

static bool add_link(const struct field_link_status *link, void *userdata)
{
	struct buf *out = userdata;

	if (link->internal)
		return true;
	json_open(out, '{');
	add_text(out, "name", link->name);
	add_text(out, "plugin", link->plugin);
	add_text(out, "target", link->target);
	add_text(out, "state", link->state);
	add_text(out, "reason", link->reason);
	add_wall_time(out, "since", link->since_us);
	add_number(out, "devices", link->devices);
	add_number(out, "devices_online", link->devices_online);
	add_seconds(out, "busy_s", link->busy_us);
	json_close(out, '}');
	return true;
}

void api_write_links(const struct stages *stages, struct buf *out)
{
	json_open(out, '{');
	json_key(out, "links");
	json_open(out, '[');
	field_each_link(stages->field, add_link, out);
	json_close(out, ']');
	json_close(out, '}');
}

/* Of a device whose link is down, the link's reason is the true one. */
static void device_reason(struct buf *out, const struct field_device_status *device)
{
	struct buf reason = {0};

	if (device->link_reason)
		buf_printf(&reason, "link %s is down: %s", device->link, device->link_reason);
	else if (device->reason)
		buf_add_text(&reason, device->reason);
	add_text(out, "reason", buf_text(&reason));
	buf_done(&reason);
}

static void device_members(struct buf *out, const struct field_device_status *device)
{
	add_text(out, "name", device->name);
	if (!device->internal)
		add_text(out, "link", device->link);
	if (!device->internal)
		add_text(out, "plugin", device->plugin);
	add_text(out, "model", device->model);
	add_text(out, "state", device->state);
	device_reason(out, device);
	add_wall_time(out, "since", device->since_us);
	add_seconds(out, "every_s", device->every_us);
	if (device->first_poll_us > 0)
		add_seconds(out, "first_poll_s",
			    device->first_poll_us > clock_now() ? device->first_poll_us - clock_now() : 0);
	add_number(out, "rounds", device->rounds);
	add_number(out, "failed", device->failures);
	add_number(out, "late", device->late);
	if (device->rtt_us > 0)
		add_milliseconds(out, "round_trip_ms", device->rtt_us);
	json_key(out, "tags");
	json_open(out, '{');
	for (size_t i = 0; i < device->series->n_tags; i++)
		add_text(out, device->series->tags[i].name, device->series->tags[i].value);
	json_close(out, '}');
}

static bool add_device(const struct field_device_status *device, void *userdata)
{
	struct buf *out = userdata;

	json_open(out, '{');
	device_members(out, device);
	add_number(out, "points", device->n_points);
	json_close(out, '}');
	return true;
}

void api_write_devices(const struct stages *stages, struct buf *out)
{
	json_open(out, '{');
	json_key(out, "devices");
	json_open(out, '[');
	field_each_device(stages->field, add_device, out);
	json_close(out, ']');
	json_close(out, '}');
}

/* ---- readings ---- */

static void reading_members(struct buf *out, const struct latest_reading *latest)
{
	const struct sample_reading *reading = &latest->reading;
	bool has_value = reading->quality != HAY_BAD && json_value_fits(&reading->value);

	json_key(out, "ts");
	json_int(out, api_wall_ms(latest->time_us));
	if (has_value) {
		json_key(out, "value");
		json_value(out, &reading->value);
	}
	if (reading->quality != HAY_GOOD || !has_value) {
		struct buf scratch = {0};

		json_key(out, "quality");
		json_quality(out, &scratch, reading);
		buf_done(&scratch);
	}
}

struct point_walk {
	struct latest_snapshot latest;
	struct buf *out;
};

static bool add_point(const struct field_point_status *point, void *userdata)
{
	struct point_walk *walk = userdata;
	struct buf *out = walk->out;
	const struct latest_reading *latest = latest_snapshot_find(&walk->latest, point->series->point);

	json_open(out, '{');
	add_text(out, "name", point->series->point);
	add_text(out, "type", type_to_string(point->series->type));
	add_text(out, "unit", point->series->unit);
	add_text(out, "access", point->writable ? "write" : "read");
	if (point->every_us > 0)
		add_seconds(out, "every_s", point->every_us);
	if (!isnan(point->min))
		add_real(out, "min", point->min);
	if (!isnan(point->max))
		add_real(out, "max", point->max);
	if (point->bad > 0)
		add_number(out, "bad", point->bad);
	if (latest)
		reading_members(out, latest);
	json_close(out, '}');
	return true;
}

bool api_write_device(const struct stages *stages, const char *name, struct buf *out)
{
	struct field_device_status device;
	struct point_walk walk = {.out = out};

	if (!field_get_device(stages->field, name, &device))
		return false;
	if (latest_copy(stages->latest, name, &walk.latest) < 0)
		out->failed = true;
	json_open(out, '{');
	device_members(out, &device);
	json_key(out, "points");
	json_open(out, '[');
	field_each_point(stages->field, name, add_point, &walk);
	latest_snapshot_done(&walk.latest);
	json_close(out, ']');
	json_close(out, '}');
	return true;
}

struct reading_walk {
	const struct stages *stages;
	const char *only;
	struct buf *out;
};

static bool add_readings(const struct field_device_status *device, void *userdata)
{
	struct reading_walk *walk = userdata;
	_cleanup_latest_snapshot_ struct latest_snapshot latest = {0};

	if (walk->only && strcmp(walk->only, device->name) != 0)
		return true;
	if (latest_copy(walk->stages->latest, device->name, &latest) < 0)
		walk->out->failed = true;
	for (size_t i = 0; i < latest.n_readings; i++) {
		const struct latest_reading *at = &latest.readings[i];

		json_open(walk->out, '{');
		add_text(walk->out, "device", device->name);
		add_text(walk->out, "point", at->series->point);
		add_text(walk->out, "unit", at->series->unit);
		reading_members(walk->out, at);
		json_close(walk->out, '}');
	}
	return true;
}

void api_write_readings(const struct stages *stages, const char *device, struct buf *out)
{
	struct reading_walk walk = {stages, device, out};

	json_open(out, '{');
	json_key(out, "readings");
	json_open(out, '[');
	field_each_device(stages->field, add_readings, &walk);
	json_close(out, ']');
	json_close(out, '}');
}

/* ---- the queue ---- */

static void add_by_device(const struct stages *stages, const uint64_t *counts, size_t n, struct buf *out)
{
	/* A device has a number for each of its configurations: those of one name are counted together. */
	for (size_t i = 1; i < n; i++) {
		const struct series_device *device =
			counts[i] > 0 ? series_device_by_number(stages->series, (uint32_t)i) : NULL;
		uint64_t sum = counts[i];
		bool listed = false;

		for (size_t k = 1; device && k < n; k++) {
			const struct series_device *other =
				k != i && counts[k] > 0 ? series_device_by_number(stages->series, (uint32_t)k) : NULL;

			if (!other || strcmp(other->name, device->name) != 0)
				continue;
			listed |= k < i;
			sum += counts[k];
		}
		if (!device || listed)
			continue;
		json_open(out, '{');
		add_text(out, "device", device->name);
		add_number(out, "samples", sum);
		json_close(out, '}');
	}
}

void api_write_queue(const struct stages *stages, const uint64_t *by_device, size_t n_devices, struct buf *out)
{
	static const char *const disk_states[] = {[QUEUE_DISK_OK] = "ok",
						  [QUEUE_DISK_FULL] = "full",
						  [QUEUE_DISK_READ_ONLY] = "read-only",
						  [QUEUE_DISK_FAILED] = "failed"};
	struct queue_status queue;
	struct uplink *uplink;

	queue_get_status(stages->queue, &queue);
	json_open(out, '{');
	add_number(out, "samples", queue.tail_samples + queue.disk_samples);
	add_number(out, "in_memory", queue.tail_samples);
	add_number(out, "on_disk", queue.disk_samples);
	add_number(out, "memory_bytes", queue.tail_bytes);
	add_number(out, "disk_bytes", queue.disk_bytes);
	add_text(out, "disk", disk_states[queue.disk]);
	/* Nothing waits, or nothing that was taken yet: no age either. */
	if (queue.tail_samples + queue.disk_samples > 0)
		add_seconds(out, "oldest_s", queue.oldest_age_us);
	add_number(out, "taken", queue.appended);
	add_number(out, "written", queue.written);
	add_number(out, "bytes_written", queue.bytes_written);
	add_number(out, "commits", queue.commits);
	add_milliseconds(out, "fsync_last_ms", queue.fsync_last_us);
	add_milliseconds(out, "fsync_max_ms", queue.fsync_max_us);
	json_key(out, "dropped");
	json_open(out, '{');
	for (size_t i = 0; i < DROP_N_CAUSES; i++)
		add_number(out, drop_cause_to_string((enum drop_cause)i), queue.dropped[i]);
	json_close(out, '}');
	add_number(out, "unknown_losses", queue.unknown_losses);
	json_key(out, "uplinks");
	json_open(out, '[');
	for (size_t i = 0; (uplink = uplink_set_get(stages->uplinks, i)); i++) {
		struct uplink_status status;

		uplink_get_status(uplink, &status);
		json_open(out, '{');
		add_text(out, "name", uplink_get_conf(uplink)->name);
		add_number(out, "backlog", status.backlog);
		json_close(out, '}');
	}
	json_close(out, ']');
	json_key(out, "devices");
	json_open(out, '[');
	add_by_device(stages, by_device, n_devices, out);
	json_close(out, ']');
	json_close(out, '}');
}
