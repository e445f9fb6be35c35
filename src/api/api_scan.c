/* SPDX-License-Identifier: Apache-2.0 */
/* A scan: POST /v1/scan. What the plugin's probe says, as it says it, one JSON object a line; the last is the
   outcome. */
#include "api/api_private.h"
#include "base/clock.h"
#include "base/conf.h"
#include "base/json.h"
#include "base/units.h"
#include "field/scan.h"
#include <errno.h>
#include <jansson.h>
#include <string.h>

#define ARGUMENTS_MAX 32
#define WAITING_MAX ((size_t)64 * 1024) /* a reader that is further behind makes the probe wait */

struct scan_task {
	struct api_task task;
	struct scan *scan;
	struct api_peer peer;
	uint64_t begun_us;
	char *what; /* for the log */
};

static void free_task(struct scan_task *task)
{
	free(task->what);
	free(task);
}

static void log_outcome(const struct scan_task *task, const char *error)
{
	char duration[DURATION_TEXT_MAX];

	format_duration(clock_now() - task->begun_us, duration);
	if (error)
		api_log(&task->peer, "%s: %s, after %s", task->what, error, duration);
	else
		api_log(&task->peer, "%s: done in %s", task->what, duration);
}

static void scan_peer_left(struct api_task *base)
{
	struct scan_task *task = container_of(base, struct scan_task, task);

	scan_cancel(task->scan);
	log_outcome(task, "cancelled, the caller disconnected");
	free_task(task);
}

static void scan_drained(struct api_task *base)
{
	scan_go_on(container_of(base, struct scan_task, task)->scan);
}

static void send_object(const struct scan_task *task, struct buf *object)
{
	buf_add_char(object, '\n');
	if (buf_failed(object))
		http_abort_stream(task->task.exchange);
	else
		http_write_stream(task->task.exchange, object->data, object->size);
	buf_done(object);
}

static bool scan_may_send(void *userdata)
{
	const struct scan_task *task = userdata;

	return http_stream_waiting(task->task.exchange) < WAITING_MAX;
}

static void send_line(const char *text, size_t size, void *userdata)
{
	struct buf object = {0};

	json_open(&object, '{');
	json_key(&object, "line");
	json_text_n(&object, text, size);
	json_close(&object, '}');
	send_object(userdata, &object);
}

static void send_progress(unsigned done, unsigned total, const char *what, void *userdata)
{
	struct buf object = {0};

	json_open(&object, '{');
	json_key(&object, "progress");
	json_open(&object, '{');
	json_key(&object, "done");
	json_uint(&object, done);
	json_key(&object, "total");
	json_uint(&object, total);
	json_key(&object, "what");
	json_text(&object, what);
	json_close(&object, '}');
	json_close(&object, '}');
	send_object(userdata, &object);
}

static void scan_ended(const char *error, void *userdata)
{
	struct scan_task *task = userdata;
	struct http_exchange *exchange = task->task.exchange;
	struct buf object = {0};

	json_open(&object, '{');
	json_key(&object, "ok");
	json_bool(&object, !error);
	if (error) {
		json_key(&object, "error");
		json_text(&object, error);
	}
	json_close(&object, '}');
	exchange->userdata = NULL;
	send_object(task, &object);
	http_end_stream(exchange);
	log_outcome(task, error);
	free_task(task);
}

/* ---- the request ---- */

/* {"plugin":"modbus","link":"panel","arguments":["scan","1-20"]}; the strings stay the root's. */
static const char *read_body(const json_t *root, const char *arguments[ARGUMENTS_MAX], struct scan_request *ret)
{
	const json_t *plugin = json_object_get(root, "plugin"), *link = json_object_get(root, "link"), *argument;
	const json_t *list = json_object_get(root, "arguments");
	size_t known = (plugin != NULL) + (link != NULL) + (list != NULL), i;

	if (!json_is_object(root))
		return "expected an object like {\"plugin\":\"modbus\",\"link\":\"panel\",\"arguments\":[\"scan\"]}";
	if (known != json_object_size(root))
		return "expected plugin, link and arguments, and nothing else";
	if (!json_is_string(plugin) || !conf_is_name(json_string_value(plugin)))
		return "plugin is missing or not a name";
	if (link && (!json_is_string(link) || !conf_is_name(json_string_value(link))))
		return "link is not a name";
	if (list && !json_is_array(list))
		return "arguments must be a list of strings";
	if (json_array_size(list) > ARGUMENTS_MAX)
		return "too many arguments";
	json_array_foreach(list, i, argument)
	{
		if (!json_is_string(argument))
			return "arguments must be a list of strings";
		arguments[i] = json_string_value(argument);
	}
	*ret = (struct scan_request){.plugin = json_string_value(plugin),
				     .link = json_string_value(link),
				     .arguments = arguments,
				     .n_arguments = json_array_size(list)};
	return NULL;
}

static int status_of(int r)
{
	switch (r) {
	case -ENOENT:
		return 404;
	case -EBUSY:
		return 409;
	case -EINVAL:
		return 422;
	default:
		return 503;
	}
}

/* "scan modbus link panel: scan 1-20". */
static char *describe_scan(const struct scan_request *request)
{
	struct buf text = {0};

	buf_printf(&text, "scan %s", request->plugin);
	if (request->link)
		buf_printf(&text, " on link %s", request->link);
	for (size_t i = 0; i < request->n_arguments; i++)
		buf_printf(&text, " %.64s", request->arguments[i]);
	buf_add_char(&text, 0);
	if (!buf_failed(&text))
		return text.data;
	buf_done(&text);
	return NULL;
}

static void begin_scan(struct api *api, struct http_exchange *exchange, const struct scan_request *request)
{
	struct scan_task *task = calloc(1, sizeof(*task));
	const struct scan_hooks hooks = {.ready = scan_may_send,
					 .line = send_line,
					 .progress = send_progress,
					 .ended = scan_ended,
					 .userdata = task};
	const char *error = "out of memory";
	int r = -ENOMEM;

	if (task && (task->what = describe_scan(request))) {
		task->task = (struct api_task){.exchange = exchange, .drained = scan_drained, .gone = scan_peer_left};
		task->peer = api_peer(exchange);
		task->begun_us = clock_now();
		r = scan_start(api->stages->field, api->stages->plugins, request, &hooks, &task->scan, &error);
	}
	if (r < 0) {
		http_answer_error(exchange, status_of(r), NULL, "%s", error);
		if (task)
			free_task(task);
		return;
	}
	exchange->userdata = &task->task;
	http_begin_stream(exchange, API_LINES);
}

void api_scan(struct api *api, struct http_exchange *exchange)
{
	const char *arguments[ARGUMENTS_MAX], *error;
	struct scan_request request;
	json_t *root = json_loadb(exchange->body, (size_t)exchange->request.body_size, JSON_REJECT_DUPLICATES, NULL);

	error = read_body(root, arguments, &request);
	if (error)
		http_answer_error(exchange, 400, NULL, "%s", error);
	else
		begin_scan(api, exchange, &request);
	json_decref(root);
}
