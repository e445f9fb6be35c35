/* SPDX-License-Identifier: Apache-2.0 */
#include "system/status.h"
#include "base/buf.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/units.h"
#include <errno.h>
#include <inttypes.h>
#include <malloc.h>

#define STATUS_EVERY_US USEC_PER_SEC
#define SUMMARY_EVERY_US USEC_PER_HOUR
#define TRIM_AFTER_US (3 * USEC_PER_SEC)
#define ADVISE_FROM 100 /* samples an hour: with fewer the disk has nothing to fear */

struct status {
	const struct stages *stages;
	struct notify *notify;
	sd_event_source *timer, *summary_timer;
	struct queue_status last;
	struct field_status last_field;
	uint64_t last_delivered;
	uint64_t connects;   /* of all uplinks, as last seen */
	uint64_t trim_at_us; /* when what was left behind is given back; 0: it was */
};

uint64_t status_dropped(const struct queue_status *queue)
{
	uint64_t sum = 0;

	for (size_t i = 0; i < DROP_N_CAUSES; i++)
		sum += queue->dropped[i];
	return sum;
}

static int arm_again(sd_event_source *source, uint64_t pause_us)
{
	sd_event_source_set_time_relative(source, pause_us);
	return sd_event_source_set_enabled(source, SD_EVENT_ONESHOT);
}

void status_trim_soon(struct status *status)
{
	status->trim_at_us = clock_now() + TRIM_AFTER_US;
}

static void trim_if_due(struct status *status, uint64_t connects)
{
	/* A handshake is over by then, and start and reload have settled. */
	if (connects != status->connects)
		status_trim_soon(status);
	status->connects = connects;
	if (status->trim_at_us == 0 || clock_now() < status->trim_at_us)
		return;
	malloc_trim(
		0); /* reading a configuration and shaking hands take a megabyte that steady work never needs again */
	status->trim_at_us = 0;
}

static int report_status(sd_event_source *source, uint64_t when _unused_, void *userdata)
{
	struct status *status = userdata;
	const struct stages *stages = status->stages;
	struct field_status field;
	struct uplink *uplink;
	struct buf text = {0};
	uint64_t backlog = 0, connects = 0;

	field_get_status(stages->field, &field);
	if (field.devices == 0)
		buf_add_text(&text, "no device configured");
	else if (field.devices_online == field.devices)
		buf_printf(&text, "%u device%s online", field.devices, field.devices == 1 ? "" : "s");
	else
		buf_printf(&text, "%u of %u devices online", field.devices_online, field.devices);
	for (size_t i = 0; (uplink = uplink_set_get(stages->uplinks, i)); i++) {
		struct uplink_status now;

		uplink_get_status(uplink, &now);
		buf_printf(&text, ", %s %s", uplink_get_conf(uplink)->name, uplink_state_to_string(now.state));
		/* Nothing is broken, and yet nothing arrives. */
		if (now.state == UPLINK_WAITS_FOR_CLOCK)
			buf_printf(&text, ": %s", now.reason);
		backlog = MAX(backlog, now.backlog);
		connects += now.connects;
	}
	buf_printf(&text, ", queue %" PRIu64, backlog);
	notify_status(status->notify, buf_text(&text));
	buf_done(&text);
	trim_if_due(status, connects);
	return arm_again(source, STATUS_EVERY_US);
}

/* Where nearly everything is written although the broker is there, its round trip is as long as `commit`. */
static void advise_on_commit(const struct stages *stages, uint64_t appended, uint64_t written)
{
	const struct queue_conf *conf = stages->queue_conf;
	struct uplink *uplink;

	if (conf->write != QUEUE_WRITE_BEHIND || appended < ADVISE_FROM || written < appended / 2)
		return;
	for (size_t i = 0; (uplink = uplink_set_get(stages->uplinks, i)); i++) {
		struct uplink_status status;

		uplink_get_status(uplink, &status);
		if (status.state == UPLINK_CONNECTED && status.rtt_us > conf->commit_us / 2)
			log_info("most samples are written to disk because uplink %s takes %" PRIu64
				 " ms to acknowledge; a longer queue.commit than %" PRIu64 " ms would spare the disk",
				 uplink_get_conf(uplink)->name, status.rtt_us / USEC_PER_MSEC,
				 conf->commit_us / USEC_PER_MSEC);
	}
}

static uint64_t delivered_by_all(const struct stages *stages)
{
	struct uplink *uplink;
	uint64_t sum = 0;

	for (size_t i = 0; (uplink = uplink_set_get(stages->uplinks, i)); i++) {
		struct uplink_status status;

		uplink_get_status(uplink, &status);
		sum += status.delivered;
	}
	return sum;
}

static int log_summary(sd_event_source *source, uint64_t when _unused_, void *userdata)
{
	struct status *status = userdata;
	const struct queue_status *last = &status->last;
	struct queue_status now;
	struct field_status field;
	uint64_t delivered = delivered_by_all(status->stages);
	char size[SIZE_TEXT_MAX];

	queue_get_status(status->stages->queue, &now);
	field_get_status(status->stages->field, &field);
	/* An uplink that was restarted counts from nothing. */
	log_info("last hour: %" PRIu64 " samples taken, %" PRIu64 " delivered, %" PRIu64 " queued, %" PRIu64
		 " dropped, %s written to disk; %u of %u devices online, %" PRIu64 " of %" PRIu64
		 " polls failed, %" PRIu64 " left out because a link was busy",
		 now.appended - last->appended,
		 delivered >= status->last_delivered ? delivered - status->last_delivered : delivered,
		 now.tail_samples + now.disk_samples, status_dropped(&now) - status_dropped(last),
		 format_size(now.bytes_written - last->bytes_written, size), field.devices_online, field.devices,
		 field.failures - status->last_field.failures, field.rounds - status->last_field.rounds,
		 field.late - status->last_field.late);
	field_remind(status->stages->field);
	advise_on_commit(status->stages, now.appended - last->appended, now.written - last->written);
	status->last = now;
	status->last_field = field;
	status->last_delivered = delivered;
	return arm_again(source, SUMMARY_EVERY_US);
}

int status_new(const struct stages *stages, struct notify *notify, struct status **ret)
{
	struct status *status = calloc(1, sizeof(*status));
	int r;

	if (!status)
		return -ENOMEM;
	status->stages = stages;
	status->notify = notify;
	r = sd_event_add_time_relative(stages->event, &status->timer, CLOCK_MONOTONIC, STATUS_EVERY_US,
				       100 * USEC_PER_MSEC, report_status, status);
	if (r >= 0)
		r = sd_event_add_time_relative(stages->event, &status->summary_timer, CLOCK_MONOTONIC, SUMMARY_EVERY_US,
					       USEC_PER_SEC, log_summary, status);
	if (r < 0)
		return status_free(status), r;
	*ret = status;
	return 0;
}

struct status *status_free(struct status *status)
{
	if (!status)
		return NULL;
	sd_event_source_disable_unref(status->timer);
	sd_event_source_disable_unref(status->summary_timer);
	free(status);
	return NULL;
}
