/* SPDX-License-Identifier: Apache-2.0 */
/* A write: POST /v1/devices/{d}/points/{p}. */
#include "api/api_private.h"
#include "api/write_log.h"
#include "base/clock.h"
#include "base/json.h"
#include "field/writes.h"
#include "model/sample_json.h"
#include "upstream/dialects/json_command.h"
#include <errno.h>
#include <string.h>

struct write_task {
	struct api_task task;
	struct api *api;
	const struct stages *stages;
	struct api_peer peer;
};

/* The command goes on, and is answered to nobody: then the task ends. */
static void write_peer_left(struct api_task *task _unused_)
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
static void log_write(const struct write_task *write, const struct command *command, const struct write_answer *answer)
{
	const struct hay_value *held = answer->value.type == HAY_TYPE_NONE ? &command->value : &answer->value;
	const char *more = "";
	_cleanup_buf_ struct buf asked = {0}, outcome = {0};
	uint64_t before = 0;

	json_value(&asked, &command->value);
	buf_add_text(&outcome, answer->done == WRITE_DONE ? "done" : answer->text);
	if (answer->done == WRITE_DONE) {
		if (!write_log_allows(write->stages->writes, command->origin, command->device, command->point, held,
				      &more))
			return;
	} else if (!write_log_allows_refusal(write->stages->writes, &before)) {
		return;
	}
	if (answer->done == WRITE_DONE && answer->asked.type != HAY_TYPE_NONE) {
		buf_add_text(&outcome, ", now ");
		json_value(&outcome, held);
	}
	if (before > 0)
		buf_printf(&outcome, "; %" PRIu64 " writes that were not done in the last 10 min", before);
	api_log(&write->peer, "write %s %s = %.100s: %.300s%s", command->device, command->point, buf_text(&asked),
		buf_text(&outcome), more);
}

static void write_done(struct command *command, enum command_outcome outcome, const struct write_answer *given,
		       void *userdata)
{
	struct write_task *write = userdata;
	struct http_exchange *exchange = write->task.exchange;
	struct write_answer answer = *given;
	_cleanup_free_ char *missing = NULL;
	struct buf body = {0};

	log_write(write, command, given);
	if (exchange) {
		exchange->userdata = NULL;
		if (outcome == COMMAND_NO_SUCH)
			missing = api_missing_text(write->api, command->device, command->point);
		if (missing)
			answer.text = missing;
		json_write_answer(&body, command->id, &answer);
		buf_add_char(&body, '\n');
		http_answer(exchange, status_of(outcome), API_JSON, NULL, &body);
	}
	free(write);
}

/* What the request asks for. -EINVAL and why, -ENOMEM. */
static int make_command(struct http_exchange *exchange, const struct api_route *route, uid_t uid,
			struct command *command, const char **ret_error)
{
	int r = json_command_payload(exchange->body, (size_t)exchange->request.body_size, command, ret_error);

	if (r < 0)
		return r;
	memcpy(command->device, route->device, sizeof(command->device));
	memcpy(command->point, route->point, sizeof(command->point));
	command_start_ttl(command, clock_now());
	return command_set_origin(command, "user %u over the local API", (unsigned)uid);
}

void api_write(struct api *api, struct http_exchange *exchange, const struct api_route *route)
{
	struct write_task *write = calloc(1, sizeof(*write));
	_cleanup_(command_unrefp) struct command *command = command_new();
	const char *error = "out of memory";
	struct api_peer peer = api_peer(exchange);
	int r = write && command ? make_command(exchange, route, peer.uid, command, &error) : -ENOMEM;

	if (r < 0) {
		http_answer_error(exchange, r == -EINVAL ? 400 : 503, NULL, "%s", error);
		free(write);
		return;
	}
	write->api = api;
	write->stages = api->stages;
	write->peer = peer;
	write->task = (struct api_task){.exchange = exchange, .gone = write_peer_left};
	exchange->userdata = &write->task;
	command->done = write_done;
	command->userdata = write;
	writes_submit(api->stages->field, command);
}
