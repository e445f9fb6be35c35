/* SPDX-License-Identifier: Apache-2.0 */
/* Readings as they are taken: server-sent events (HTML Living Standard, section 9.2). */
#include "api/api_answers.h"
#include "api/api_private.h"
#include "base/clock.h"
#include "base/json.h"
#include "model/sample_json.h"
#include <errno.h>
#include <string.h>

#define STREAMS_MAX 8			 /* on each socket */
#define WAITING_MAX ((size_t)128 * 1024) /* a reader that is further behind misses samples, and is told */
#define BEAT_US (15 * USEC_PER_SEC)	 /* silence would not show that the reader has gone */

struct api_stream {
	struct api_task task;
	struct api *api;
	const struct api_listener *listener;
	struct api_stream *next;
	char device[65]; /* "": all */
	uint64_t missed;
};

static void send_text(struct api_stream *stream, const struct buf *text)
{
	http_write_stream(stream->task.exchange, text->data, text->size);
}

static void send_missed(struct api_stream *stream)
{
	struct buf text = {0}, body = {0};

	json_open(&body, '{');
	json_key(&body, "samples");
	json_uint(&body, stream->missed);
	json_close(&body, '}');
	buf_printf(&text, "event: missed\ndata: %s\n\n", buf_text(&body));
	send_text(stream, &text);
	buf_done(&text);
	buf_done(&body);
	stream->missed = 0;
}

static void take_sample(const struct stream_sample *sample, void *userdata)
{
	struct api *api = userdata;
	struct buf text = {0}, line = {0}, scratch = {0};

	if (!api->streams)
		return;

	/* The number is known once an uplink keeps samples in the queue. */
	struct stamped_sample stamped = {.sample = sample->sample,
					 .seq = sample->sample->id > 0 ? queue_seq(api->stages->queue, sample->sample)
								       : 0,
					 .ts_ms = api_wall_ms(sample->sample->time_us),
					 .certain = clock_trusted()};

	json_stream_sample(&line, &scratch, sample, &stamped);
	buf_printf(&text, "data: %s\n\n", buf_text(&line));
	if (buf_failed(&line))
		text.size = 0;
	for (struct api_stream *at = api->streams; at && text.size > 0 && !buf_failed(&text); at = at->next) {
		if (at->device[0] && strcmp(at->device, sample->device->name) != 0)
			continue;
		if (http_stream_waiting(at->task.exchange) + text.size > WAITING_MAX) {
			at->missed++;
			continue;
		}
		if (at->missed > 0)
			send_missed(at);
		send_text(at, &text);
	}
	buf_done(&text);
	buf_done(&line);
	buf_done(&scratch);
}

int api_stream_start(struct api *api)
{
	api->subscription = stream_subscribe(api->stages->stream, take_sample, api);
	return api->subscription ? 0 : -ENOMEM;
}

static int send_heartbeat(sd_event_source *source, uint64_t when _unused_, void *userdata)
{
	static const char text[] = ": alive\n\n";
	struct api *api = userdata;

	for (struct api_stream *at = api->streams; at; at = at->next)
		if (http_stream_waiting(at->task.exchange) == 0)
			http_write_stream(at->task.exchange, text, strlen(text));
	if (!api->streams)
		return 0;
	sd_event_source_set_time_relative(source, BEAT_US);
	return sd_event_source_set_enabled(source, SD_EVENT_ONESHOT);
}

static void stream_peer_left(struct api_task *task)
{
	struct api_stream *stream = container_of(task, struct api_stream, task);

	for (struct api_stream **at = &stream->api->streams; *at; at = &(*at)->next)
		if (*at == stream) {
			*at = stream->next;
			break;
		}
	free(stream);
}

static int start_beat(struct api *api)
{
	int r;

	if (!api->beat)
		return sd_event_add_time_relative(api->stages->event, &api->beat, CLOCK_MONOTONIC, BEAT_US,
						  USEC_PER_SEC, send_heartbeat, api);
	r = sd_event_source_set_time_relative(api->beat, BEAT_US);
	return r < 0 ? r : sd_event_source_set_enabled(api->beat, SD_EVENT_ONESHOT);
}

void api_stream(struct api *api, const struct api_listener *listener, struct http_exchange *exchange)
{
	struct api_stream *stream;
	char device[65];
	unsigned n = 0;

	if (!api_query_device(api, exchange, device))
		return;

	for (const struct api_stream *at = api->streams; at; at = at->next)
		n += at->listener == listener;
	if (n >= STREAMS_MAX) {
		http_answer_error(exchange, 429, NULL, "too many streams: %d are open", STREAMS_MAX);
		return;
	}
	stream = calloc(1, sizeof(*stream));
	if (!stream || start_beat(api) < 0) {
		free(stream);
		http_answer_error(exchange, 503, NULL, "out of memory");
		return;
	}
	stream->task = (struct api_task){.exchange = exchange, .gone = stream_peer_left};
	stream->api = api;
	stream->listener = listener;
	memcpy(stream->device, device, sizeof(stream->device));
	stream->next = api->streams;
	api->streams = stream;
	exchange->userdata = &stream->task;
	http_begin_stream(exchange, "text/event-stream");
}
