/* SPDX-License-Identifier: Apache-2.0 */
/* A write: POST /v1/devices/{d}/points/{p}. */
#include "api/api_private.h"
#include "api/write_log.h"
#include "base/clock.h"
#include "base/json.h"
#include "field/command.h"
#include "model/sample_json.h"
#include "upstream/dialects/json_command.h"
#include <errno.h>
#include <string.h>

struct write_task {
	struct api_task task;
	struct api *api;
	const struct stages *stages;
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
	case COMMAND_NO_SUCH:
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
		return 410;
	case COMMAND_UNKNOWN:
		return 504;
	case COMMAND_FAILED:
		break;
	}
	return 502;
}

/* Of those in a loop not every one. */
static void log_write(const struct write_task *write, const struct write_answer *answer)
{
	const struct hay_value *held = answer->value.type == HAY_TYPE_NONE ? &write->command.value : &answer->value;
	const char *device = write->route.device, *point = write->route.point, *more = "";
	_cleanup_buf_ struct buf by = {0}, asked = {0}, outcome = {0};
	uint64_t before = 0;

	json_value(&asked, &write->command.value);
	buf_add_text(&outcome, answer->done == WRITE_DONE ? "done" : answer->text);
	if (answer->done == WRITE_DONE) {
		buf_printf(&by, "user %u over the local API", (unsigned)write->peer.uid);
		if (!write_log_says(write->stages->writes, buf_text(&by), device, point, held, &more))
			return;
	} else if (!write_log_says_refusal(write->stages->writes, &before)) {
		return;
	}
	if (answer->done == WRITE_DONE && answer->asked.type != HAY_TYPE_NONE) {
		buf_add_text(&outcome, ", and it is ");
		json_value(&outcome, held);
	}
	if (before > 0)
		buf_printf(&outcome, "; %" PRIu64 " writes that were not done in the last 10 min", before);
	api_log(&write->peer, "write %s %s = %.100s: %.300s%s", device, point, buf_text(&asked), buf_text(&outcome),
		more);
}

static void done(void *userdata, enum command_outcome outcome, const struct write_answer *given)
{
	struct write_task *write = userdata;
	struct http_exchange *exchange = write->task.exchange;
	struct write_answer answer = *given;
	_cleanup_free_ char *missing = NULL;
	struct buf body = {0};

	log_write(write, given);
	if (exchange) {
		exchange->userdata = NULL;
		if (outcome == COMMAND_NO_SUCH)
			missing = api_missing_text(write->api, write->route.device, write->route.point);
		if (missing)
			answer.text = missing;
		json_write_answer(&body, write->command.id, &answer);
		buf_add_char(&body, '\n');
		http_answer(exchange, status_of(outcome), API_JSON, NULL, &body);
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
	write->api = api;
	write->stages = api->stages;
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
