/* SPDX-License-Identifier: Apache-2.0 */
/* A write: POST /v1/devices/{d}/points/{p}. */
#include "admin/api_private.h"
#include "base/clock.h"
#include "base/json.h"
#include "field/command.h"
#include "upstream/dialects/json_command.h"
#include "upstream/dialects/json_sample.h"
#include <errno.h>
#include <string.h>

struct write_task {
	struct api_task task;
	struct dialect_command command;
	struct api_route route;
	struct api_peer peer;
};

static void free_task(struct write_task *write)
{
	if (write->command.value.type == HAY_STRING)
		free((char *)write->command.value.s.data);
	free(write);
}

/* The command goes on, and is answered to nobody: then the task ends. */
static void gone(struct api_task *task _unused_)
{
}

static int status_of(enum command_outcome outcome)
{
	switch (outcome) {
	case COMMAND_DONE:
		return 200;
	case COMMAND_UNKNOWN:
		return 404;
	case COMMAND_READ_ONLY:
		return 403;
	case COMMAND_INVALID:
		return 422;
	case COMMAND_BUSY:
		return 429;
	case COMMAND_OFFLINE:
		return 503;
	case COMMAND_EXPIRED:
		return 504;
	case COMMAND_FAILED:
		break;
	}
	return 502;
}

static void done(void *userdata, enum command_outcome outcome, const char *error)
{
	struct write_task *write = userdata;
	struct http_exchange *exchange = write->task.exchange;
	struct buf body = {0}, value = {0};

	json_value(&value, &write->command.value);
	api_log(&write->peer, "write %s %s = %.100s: %s", write->route.device, write->route.point, buf_text(&value),
		error ? error : "done");
	buf_done(&value);
	if (exchange)
		exchange->userdata = NULL;
	if (exchange && outcome != COMMAND_DONE) {
		http_answer_error(exchange, status_of(outcome), NULL, "%s", error);
	} else if (exchange) {
		json_open(&body, '{');
		json_key(&body, "ok");
		json_bool(&body, true);
		if (write->command.id[0]) {
			json_key(&body, "id");
			json_text(&body, write->command.id);
		}
		json_key(&body, "value");
		json_value(&body, &write->command.value);
		json_close(&body, '}');
		api_answer_json(exchange, &body);
	}
	free_task(write);
}

void api_write(struct api *api, struct http_exchange *exchange, const struct api_route *route)
{
	struct write_task *write = calloc(1, sizeof(*write));
	const char *error = "out of memory";
	int r = write ? 0 : -ENOMEM;

	if (r == 0) {
		write->command.ttl_us = UINT64_MAX;
		r = json_command_payload(exchange->body, (size_t)exchange->request.body_size, &write->command, &error);
	}
	if (r < 0) {
		http_answer_error(exchange, r == -EINVAL ? 400 : 503, NULL, "%s", error);
		if (write)
			free_task(write);
		return;
	}
	write->route = *route;
	write->peer = api_peer(exchange);
	write->task = (struct api_task){.exchange = exchange, .gone = gone};
	exchange->userdata = &write->task;

	const struct command_request request = {
		.device = route->device,
		.point = route->point,
		.value = write->command.value,
		.expires_us = write->command.ttl_us == UINT64_MAX ? 0 : clock_now() + write->command.ttl_us,
	};

	command_submit(api->stages->field, &request, done, write);
}
