/* SPDX-License-Identifier: Apache-2.0 */
#include "api/api.h"
#include "api/api_answers.h"
#include "api/api_private.h"
#include "api/api_socket.h"
#include "base/conf.h"
#include "base/json.h"
#include "base/log.h"
#include "field/field_status.h"
#include <errno.h>
#include <libgen.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* Their members may do everything, and may look. */
#define GROUP_ADMIN "haywain-admin"
#define GROUP_READ "haywain-read"

void api_answer_json(struct http_exchange *exchange, struct buf *body)
{
	buf_add_char(body, '\n');
	http_answer(exchange, 200, API_JSON, NULL, body);
}

struct api_peer api_peer(const struct http_exchange *exchange)
{
	struct api_peer peer = {0};

	if (http_peer(exchange, &peer.pid, &peer.uid) < 0)
		log_debug("local API: cannot identify the caller");
	return peer;
}

void api_log(const struct api_peer *peer, const char *format, ...)
{
	_cleanup_free_ char *text = NULL;
	va_list args;

	va_start(args, format);
	if (vasprintf(&text, format, args) < 0)
		text = NULL;
	va_end(args);
	log_info("local API, user %u, process %d: %s", (unsigned)peer->uid, (int)peer->pid,
		 text ? text : "out of memory");
}

static bool try_device(const struct field_device_status *device, void *nearest)
{
	conf_nearest_try(nearest, device->name);
	return true;
}

static bool try_point(const struct field_point_status *point, void *nearest)
{
	conf_nearest_try(nearest, point->series->point);
	return true;
}

char *api_missing_text(const struct api *api, const char *device, const char *point)
{
	_cleanup_(pool_freep) struct pool *pool = pool_new();
	struct conf_nearest nearest = {.word = device};
	struct field_device_status status;
	bool has_device = field_get_device(api->stages->field, device, &status);
	const char *hint;
	char *text = NULL;
	int r;

	if (!pool)
		return NULL;
	if (has_device && point) {
		nearest.word = point;
		field_each_point(api->stages->field, device, try_point, &nearest);
	} else {
		field_each_device(api->stages->field, try_device, &nearest);
	}
	hint = conf_nearest_text(&nearest, pool);
	r = has_device && point ? asprintf(&text, "device %s has no point %s%s", device, point, hint)
				: asprintf(&text, "there is no device %s%s", device, hint);
	return r < 0 ? NULL : text;
}

static void answer_no_device(struct api *api, struct http_exchange *exchange, const char *device)
{
	_cleanup_free_ char *text = api_missing_text(api, device, NULL);

	http_answer_error(exchange, 404, NULL, "%s", text ? text : "out of memory");
}

static void answer_device(struct api *api, struct http_exchange *exchange, const char *device)
{
	struct buf body = {0};

	if (api_write_device(api->stages, device, &body))
		api_answer_json(exchange, &body);
	else
		answer_no_device(api, exchange, device);
}

bool api_query_device(struct api *api, struct http_exchange *exchange, char ret[65])
{
	struct field_device_status device;
	int r = http_query_get(exchange->request.query, "device", ret, 65);

	if (r == 0)
		*ret = '\0';
	if (r < 0 || (r > 0 && !conf_is_name(ret)))
		http_answer_error(exchange, 400, NULL, "`device` in the query must be one device name");
	else if (r > 0 && !field_get_device(api->stages->field, ret, &device))
		answer_no_device(api, exchange, ret);
	else
		return true;
	return false;
}

static void answer_readings(struct api *api, struct http_exchange *exchange)
{
	struct buf body = {0};
	char device[65];

	if (!api_query_device(api, exchange, device))
		return;
	api_write_readings(api->stages, device[0] ? device : NULL, &body);
	api_answer_json(exchange, &body);
}

static void answer_metrics(struct api *api, struct http_exchange *exchange)
{
	struct buf body = {0};

	api_write_metrics(api->stages, &body);
	http_answer(exchange, 200, "text/plain; version=0.0.4; charset=utf-8", NULL, &body);
}

static void answer_reload(struct api *api, struct http_exchange *exchange)
{
	struct api_peer peer = api_peer(exchange);
	struct buf body = {0};
	int status = api->hooks.reload(&body, api->hooks.userdata);

	api_log(&peer, "reload: %s",
		status == 200	? "done"
		: status == 422 ? "refused: the configuration has errors"
				: "refused");
	buf_add_char(&body, '\n');
	http_answer(exchange, status, API_JSON, NULL, &body);
}

static void answer_purge(struct api *api, struct http_exchange *exchange)
{
	struct api_peer peer = api_peer(exchange);
	struct buf body = {0};
	uint64_t n = queue_purge(api->stages->queue);

	api_log(&peer, "purge of the queue: %llu samples dropped unsent", (unsigned long long)n);
	json_open(&body, '{');
	json_key(&body, "purged");
	json_uint(&body, n);
	json_close(&body, '}');
	api_answer_json(exchange, &body);
}

static void answer_from(struct api *api, struct http_exchange *exchange,
			void (*fn)(const struct stages *stages, struct buf *out))
{
	struct buf body = {0};

	fn(api->stages, &body);
	api_answer_json(exchange, &body);
}

/* A filter with a slip of the pen would else be no filter. */
static bool check_query(struct http_exchange *exchange, enum api_endpoint endpoint)
{
	const char *known = endpoint == API_READINGS || endpoint == API_STREAM ? "device" : NULL, *other;
	size_t size = http_query_other(exchange->request.query, known, &other);

	if (size == 0)
		return true;
	http_answer_error(exchange, 400, NULL, "`%.*s` is unknown in the query of %s", (int)size, other,
			  exchange->request.path);
	return false;
}

/* On the read-only socket nothing can be changed, whatever the path. */
static bool check_permission(const struct api_listener *listener, struct http_exchange *exchange,
			     const struct api_route *route)
{
	const char *path = listener->api->listeners[API_LISTENER_ADMIN].path;

	if (!listener->read_only || !route->changes)
		return true;
	/* An empty Allow: no method may be used here (RFC 9110, section 10.2.1). */
	http_answer_error(exchange, 405, "Allow:\r\n",
			  "this socket is read-only: send changes to %s, for the group " GROUP_ADMIN,
			  path ? path : "api.socket, which is switched off");
	return false;
}

static void route_request(struct http_exchange *exchange, void *userdata)
{
	const struct api_listener *listener = userdata;
	struct api *api = listener->api;
	struct api_route route;
	int r = api_route(&exchange->request, &route);

	if (r == -404) {
		http_answer_error(exchange, 404, NULL, "not found: %s", exchange->request.path);
		return;
	}
	if (r < 0) {
		http_answer_error(exchange, 405, route.allow, "method %s is not allowed for this path",
				  exchange->request.method);
		return;
	}
	if (!check_permission(listener, exchange, &route) || !check_query(exchange, route.endpoint))
		return;
	switch (route.endpoint) {
	case API_STATUS:
		answer_from(api, exchange, api_write_status);
		return;
	case API_LINKS:
		answer_from(api, exchange, api_write_links);
		return;
	case API_DEVICES:
		answer_from(api, exchange, api_write_devices);
		return;
	case API_DEVICE:
		answer_device(api, exchange, route.device);
		return;
	case API_READINGS:
		answer_readings(api, exchange);
		return;
	case API_METRICS:
		answer_metrics(api, exchange);
		return;
	case API_QUEUE:
		api_queue(api, exchange);
		return;
	case API_EXPORT:
		api_export(api, exchange);
		return;
	case API_PURGE:
		answer_purge(api, exchange);
		return;
	case API_STREAM:
		api_stream(api, listener, exchange);
		return;
	case API_WRITE:
		api_write(api, exchange, &route);
		return;
	case API_RELOAD:
		answer_reload(api, exchange);
		return;
	case API_SCAN:
		api_scan(api, exchange);
		return;
	}
}

static void task_drained(struct http_exchange *exchange, void *userdata _unused_)
{
	struct api_task *task = exchange->userdata;

	if (task && task->drained)
		task->drained(task);
}

static void peer_left(struct http_exchange *exchange, void *userdata _unused_)
{
	struct api_task *task = exchange->userdata;

	exchange->userdata = NULL;
	if (!task)
		return;
	task->exchange = NULL;
	task->gone(task);
}

static int take_queue_answers(sd_event_source *source _unused_, int fd _unused_, uint32_t events _unused_,
			      void *userdata)
{
	struct api *api = userdata;
	struct queue_ask *ask;

	while ((ask = queue_next_answer(api->stages->queue)))
		api_take_answer(ask);
	return 0;
}

/* ---- the two sockets ---- */

static void log_no_socket(const struct api_listener *listener, const char *path, int error)
{
	const char *what = listener->read_only ? "read-only local API" : "local API";
	const char *key = listener->read_only ? "api.read_socket" : "api.socket";
	_cleanup_free_ char *copy = strdup(path);

	if (error == -ENOENT)
		log_warning("no %s: the directory %s does not exist; set another path in %s", what,
			    copy ? dirname(copy) : path, key);
	else if (error == -EADDRINUSE)
		log_warning("no %s: another process listens at %s; set another path in %s", what, path, key);
	else
		log_warning("no %s at %s: %s; everything else keeps running", what, path,
			    error == -EEXIST ? "not a socket" : strerror(-error));
}

/* Without it the gateway does its work, and the other one too. */
static void open_listener(struct api *api, enum api_listener_kind kind, const char *path)
{
	struct api_listener *listener = &api->listeners[kind];
	const struct http_handler handler = {
		.request = route_request, .drained = task_drained, .gone = peer_left, .userdata = listener};
	int fd, r;

	listener->api = api;
	listener->read_only = kind == API_LISTENER_READ;
	if (!path[0])
		return;
	fd = api_socket_listen(path, listener->read_only ? GROUP_READ : GROUP_ADMIN);
	r = fd;
	if (fd >= 0) {
		listener->path = strdup(path);
		r = http_new(api->stages->event, fd, &handler, &listener->http);
	}
	if (r < 0)
		log_no_socket(listener, path, r);
}

int api_new(const struct stages *stages, const char *path, const char *read_path, const struct api_hooks *hooks,
	    struct api **ret)
{
	struct api *api = calloc(1, sizeof(*api));
	int r;

	if (!api)
		return -ENOMEM;
	api->stages = stages;
	api->hooks = *hooks;
	r = sd_event_add_io(stages->event, &api->answers, queue_answers_fd(stages->queue), EPOLLIN, take_queue_answers,
			    api);
	if (r >= 0)
		r = api_stream_start(api);
	if (r < 0) {
		api_free(api);
		return r;
	}
	open_listener(api, API_LISTENER_ADMIN, path);
	open_listener(api, API_LISTENER_READ, read_path);
	*ret = api;
	return 0;
}

struct api *api_free(struct api *api)
{
	if (!api)
		return NULL;
	for (size_t i = 0; i < API_N_LISTENERS; i++) {
		struct api_listener *listener = &api->listeners[i];

		if (listener->path)
			unlink(listener->path);
		http_free(listener->http);
		free(listener->path);
	}
	stream_unsubscribe(api->subscription);
	sd_event_source_disable_unref(api->beat);
	sd_event_source_disable_unref(api->answers);
	free(api);
	return NULL;
}
