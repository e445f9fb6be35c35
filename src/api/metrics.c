/* SPDX-License-Identifier: Apache-2.0 */
/* The text format of Prometheus (exposition format 0.0.4). */
#include "api/api_answers.h"
#include "base/clock.h"
#include "base/units.h"
#include "field/field_status.h"
#include <inttypes.h>
#include <string.h>

static void add_family_header(struct buf *out, const char *name, const char *type, const char *help)
{
	buf_printf(out, "# HELP haywain_%s %s\n# TYPE haywain_%s %s\n", name, help, name, type);
}

/* In a label's value \, " and newline are escaped. */
static void add_label(struct buf *out, char before, const char *key, const char *value)
{
	buf_printf(out, "%c%s=\"", before, key);
	for (; *value; value++) {
		if (*value == '\\' || *value == '"')
			buf_add_char(out, '\\');
		if (*value == '\n')
			buf_add_text(out, "\\n");
		else
			buf_add_char(out, *value);
	}
	buf_add_char(out, '"');
}

static void add_number_value(struct buf *out, uint64_t value)
{
	buf_printf(out, " %" PRIu64 "\n", value);
}

static void add_seconds_value(struct buf *out, uint64_t us)
{
	char text[NUMBER_TEXT_MAX];

	format_double((double)us / 1e6, text);
	buf_printf(out, " %s\n", text);
}

static void add_counter(struct buf *out, const char *name, const char *type, const char *help, uint64_t value)
{
	add_family_header(out, name, type, help);
	buf_printf(out, "haywain_%s", name);
	add_number_value(out, value);
}

static void add_duration(struct buf *out, const char *name, const char *type, const char *help, uint64_t us)
{
	add_family_header(out, name, type, help);
	buf_printf(out, "haywain_%s", name);
	add_seconds_value(out, us);
}

/* ---- by link, device and uplink: one family after the other, as the format wants it ---- */

enum metric_id { LINK_UP, LINK_BUSY, DEVICE_UP, DEVICE_ROUNDS, DEVICE_FAILED, DEVICE_LATE, DEVICE_RTT };

struct metrics_walk {
	struct buf *out;
	const char *name;
	enum metric_id what;
};

static bool add_link(const struct field_link_status *link, void *userdata)
{
	const struct metrics_walk *walk = userdata;

	if (link->internal || (walk->what == LINK_UP && strcmp(link->state, "unused") == 0))
		return true;
	buf_printf(walk->out, "haywain_%s", walk->name);
	add_label(walk->out, '{', "link", link->name);
	buf_add_char(walk->out, '}');
	if (walk->what == LINK_UP)
		add_number_value(walk->out, strcmp(link->state, "up") == 0);
	else
		add_seconds_value(walk->out, link->busy_us);
	return true;
}

static bool add_device(const struct field_device_status *device, void *userdata)
{
	const struct metrics_walk *walk = userdata;

	if (walk->what == DEVICE_RTT && device->rtt_us == 0)
		return true;
	buf_printf(walk->out, "haywain_%s", walk->name);
	add_label(walk->out, '{', "device", device->name);
	if (!device->internal)
		add_label(walk->out, ',', "link", device->link);
	buf_add_char(walk->out, '}');
	switch (walk->what) {
	case DEVICE_UP:
		add_number_value(walk->out, strcmp(device->state, "online") == 0);
		break;
	case DEVICE_ROUNDS:
		add_number_value(walk->out, device->rounds);
		break;
	case DEVICE_FAILED:
		add_number_value(walk->out, device->failures);
		break;
	case DEVICE_LATE:
		add_number_value(walk->out, device->late);
		break;
	default:
		add_seconds_value(walk->out, device->rtt_us);
	}
	return true;
}

static void write_field_metrics(const struct stages *stages, struct buf *out)
{
	static const struct {
		const char *name, *type, *help;
	} families[] = {
		[LINK_UP] = {"link_up", "gauge", "Whether the link is up; absent until the link was first used."},
		[LINK_BUSY] = {"link_busy_seconds_total", "counter", "Time with a poll under way."},
		[DEVICE_UP] = {"device_up", "gauge", "Whether the device is online."},
		[DEVICE_ROUNDS] = {"device_polls_total", "counter", "Polls of the device."},
		[DEVICE_FAILED] = {"device_polls_failed_total", "counter", "Polls that failed."},
		[DEVICE_LATE] = {"device_polls_late_total", "counter", "Polls left out because the link was busy."},
		[DEVICE_RTT] = {"device_round_trip_seconds", "gauge", "Time the last good poll took."},
	};

	for (size_t i = 0; i < ELEMENTS(families); i++) {
		struct metrics_walk walk = {out, families[i].name, (enum metric_id)i};

		add_family_header(out, families[i].name, families[i].type, families[i].help);
		if (i <= LINK_BUSY)
			field_each_link(stages->field, add_link, &walk);
		else
			field_each_device(stages->field, add_device, &walk);
	}
}

static void write_uplink_metrics(const struct stages *stages, struct buf *out)
{
	static const struct {
		const char *name, *type, *help;
	} families[] = {
		{"uplink_up", "gauge", "Whether the uplink is connected and its broker takes samples."},
		{"uplink_delivered_total", "counter", "Samples that the broker acknowledged."},
		{"uplink_messages_total", "counter", "Messages published."},
		{"uplink_connects_total", "counter", "Connections made."},
		{"uplink_backlog_samples", "gauge", "Samples not acknowledged yet."},
		{"uplink_inflight_messages", "gauge", "Messages sent and not acknowledged yet."},
		{"uplink_no_subscribers_total", "counter",
		 "Samples acknowledged while no client was subscribed to their topic."},
		{"uplink_round_trip_seconds", "gauge", "From publishing to acknowledgement, smoothed."},
	};

	for (size_t i = 0; i < ELEMENTS(families); i++) {
		struct uplink *uplink;

		add_family_header(out, families[i].name, families[i].type, families[i].help);
		for (size_t k = 0; (uplink = uplink_set_get(stages->uplinks, k)); k++) {
			struct uplink_status status;

			uplink_get_status(uplink, &status);

			const uint64_t values[] = {status.state == UPLINK_CONNECTED,
						   status.delivered,
						   status.messages,
						   status.connects,
						   status.backlog,
						   status.inflight,
						   status.no_subscribers};

			buf_printf(out, "haywain_%s", families[i].name);
			add_label(out, '{', "uplink", uplink_get_conf(uplink)->name);
			buf_add_char(out, '}');
			if (i < ELEMENTS(values))
				add_number_value(out, values[i]);
			else
				add_seconds_value(out, status.rtt_us);
		}
	}
}

static void write_queue_metrics(const struct stages *stages, struct buf *out)
{
	struct queue_status queue;

	queue_get_status(stages->queue, &queue);
	add_counter(out, "samples_taken_total", "counter", "Samples taken from devices.", queue.appended);
	add_counter(out, "samples_written_total", "counter", "Samples written to disk.", queue.written);
	add_family_header(out, "samples_dropped_total", "counter", "Samples lost, by cause.");
	for (size_t i = 0; i < DROP_N_CAUSES; i++) {
		buf_add_text(out, "haywain_samples_dropped_total");
		add_label(out, '{', "cause", drop_cause_to_string((enum drop_cause)i));
		buf_add_char(out, '}');
		add_number_value(out, queue.dropped[i]);
	}
	add_counter(out, "samples_unknown_losses_total", "counter",
		    "Times that an additional, unknown number of samples was lost.", queue.unknown_losses);
	add_family_header(out, "queue_samples", "gauge", "Samples that some uplink has not acknowledged.");
	buf_printf(out, "haywain_queue_samples{part=\"memory\"} %" PRIu64 "\n", queue.tail_samples);
	buf_printf(out, "haywain_queue_samples{part=\"disk\"} %" PRIu64 "\n", queue.disk_samples);
	add_counter(out, "queue_memory_bytes", "gauge", "Memory of samples that are not on disk.", queue.tail_bytes);
	add_counter(out, "queue_disk_bytes", "gauge", "Size of the queue's file.", queue.disk_bytes);
	add_counter(out, "queue_disk_ok", "gauge", "Whether the queue can be written to disk.",
		    queue.disk == QUEUE_DISK_OK);
	add_duration(out, "queue_oldest_seconds", "gauge", "Age of the oldest waiting sample.", queue.oldest_age_us);
	add_counter(out, "queue_written_bytes_total", "counter", "Bytes written to disk.", queue.bytes_written);
	add_counter(out, "queue_commits_total", "counter", "Transactions on disk.", queue.commits);
	add_duration(out, "queue_fsync_last_seconds", "gauge", "Time the last transaction took.", queue.fsync_last_us);
	add_duration(out, "queue_fsync_max_seconds", "gauge", "Time the slowest transaction took.", queue.fsync_max_us);
}

void api_write_metrics(const struct stages *stages, struct buf *out)
{
	add_family_header(out, "build_info", "gauge", "Always 1; the labels describe the program.");
	buf_add_text(out, "haywain_build_info");
	add_label(out, '{', "version", HAYWAIN_VERSION);
	add_label(out, ',', "gateway", stages->gateway_id);
	buf_add_text(out, "} 1\n");
	add_duration(out, "uptime_seconds", "gauge", "Time since the start.", clock_now() - stages->started_us);
	add_counter(out, "clock_trusted", "gauge", "Whether the wall clock is trusted.", clock_trusted());
	write_queue_metrics(stages, out);
	write_field_metrics(stages, out);
	write_uplink_metrics(stages, out);
}
