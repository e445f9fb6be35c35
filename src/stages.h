/* SPDX-License-Identifier: Apache-2.0 */
/* What those who tell about the gateway look at. All is borrowed, and outlives them. */
#ifndef HAYWAIN_STAGES_H
#define HAYWAIN_STAGES_H

#include "field/field.h"
#include "queue/queue.h"
#include "upstream/uplink_set.h"

struct latest;
struct stream;
struct write_log;
struct plugin_set;

struct stages {
	sd_event *event;
	const char *gateway_id; /* may change at a reload, as the next one */
	const struct queue_conf *queue_conf;
	struct plugin_set *plugins;
	struct series_set *series;
	struct queue *queue;
	struct field *field;
	struct uplink_set *uplinks;
	struct stream *stream; /* of samples */
	struct latest *latest;
	struct write_log *writes;
	uint64_t started_us; /* monotonic */
};

#endif
