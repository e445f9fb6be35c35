/* SPDX-License-Identifier: Apache-2.0 */
/* The local API as its own files see it. */
#ifndef HAYWAIN_API_API_PRIVATE_H
#define HAYWAIN_API_API_PRIVATE_H

#include "api/api.h"
#include "api/api_route.h"
#include "api/http.h"

#define API_JSON "application/json"
#define API_LINES "application/x-ndjson"

enum api_listener_kind { API_LISTENER_ADMIN, API_LISTENER_READ, API_N_LISTENERS };

/* A socket, with connections of its own: read-only callers cannot use up the connections of the others. */
struct api_listener {
	struct api *api;
	bool read_only;
	char *path; /* NULL: it is not there */
	struct http *http;
};

struct api {
	const struct stages *stages;
	struct api_hooks hooks;
	struct api_listener listeners[API_N_LISTENERS];
	struct api_stream *streams;
	struct stream_subscription *subscription;
	sd_event_source *beat, *answers; /* of the streams; of the queue */
};

/*
 * What is under way for an exchange: the exchange's userdata. The handler that began it is told of its end, and ends
 * itself when the stage it asked has answered.
 */
struct api_task {
	struct http_exchange *exchange; /* NULL: gone */
	void (*drained)(struct api_task *task);
	void (*gone)(struct api_task *task);
};

/* Who asked, to be told of in the log. */
struct api_peer {
	pid_t pid; /* 0: nobody knows */
	uid_t uid;
};
struct api_peer api_peer(const struct http_exchange *exchange);
/* A line about something that was changed, or should have been: "local API, user 1000, process 4711: …". */
void api_log(const struct api_peer *peer, const char *format, ...) _printf_(2, 3);

/* Every handler answers its exchange, now or later. */
void api_write(struct api *api, struct http_exchange *exchange, const struct api_route *route);
void api_queue(struct api *api, struct http_exchange *exchange);
void api_export(struct api *api, struct http_exchange *exchange);
void api_stream(struct api *api, const struct api_listener *listener, struct http_exchange *exchange);
void api_scan(struct api *api, struct http_exchange *exchange);

/* Subscribe to the stream of samples, for those who read the live stream. -ENOMEM. */
int api_stream_start(struct api *api);

/* The store has answered what api_queue() or api_export() asked. Takes it. */
void api_take_answer(struct queue_ask *ask);

/* The device that the query names ("": none does) into ret. False: there is no such device, and that was the answer. */
bool api_query_device(struct api *api, struct http_exchange *exchange, char ret[65]);

/* "there is no device boler, did you mean `boiler`?", or so of a point of it (NULL: of the device). Allocated; NULL:
   out of memory. */
char *api_missing_text(const struct api *api, const char *device, const char *point);

/* 200 with a finished document, which is taken. */
void api_answer_json(struct http_exchange *exchange, struct buf *body);

#endif
