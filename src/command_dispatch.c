/* SPDX-License-Identifier: Apache-2.0 */
#include "command_dispatch.h"
#include "base/clock.h"
#include "base/log.h"
#include "field/writes.h"
#include "model/sample_json.h"
#include <inttypes.h>

static void log_written(struct command_dispatch *dispatch, const struct command *command,
			const struct write_answer *answer)
{
	struct log_subject subject = {.device = command->device};
	_cleanup_buf_ struct buf value = {0};
	const struct hay_value *held = answer->value.type == HAY_TYPE_NONE ? &command->value : &answer->value;
	const char *more;
	bool in_full;

	json_value(&value, held);
	in_full = write_log_allows(dispatch->writes, command->origin, command->device, command->point, held, &more);
	log_about(&subject, in_full ? HAY_LOG_INFO : HAY_LOG_DEBUG, "%s = %.100s was written by %s%s%s", command->point,
		  buf_text(&value), command->origin,
		  answer->asked.type == HAY_TYPE_NONE ? "" : "; the device holds a different value than requested",
		  more);
}

static void log_not_written(struct command_dispatch *dispatch, const struct command *command,
			    enum command_outcome outcome, const char *why)
{
	struct log_subject subject = {.device = command->device};
	enum hay_log_level level = outcome == COMMAND_UNKNOWN ? HAY_LOG_WARNING : HAY_LOG_NOTICE;
	const char *so = outcome == COMMAND_UNKNOWN ? ": " : " was not done: ";
	uint64_t before = 0;

	/* A client that publishes wrong commands in a loop must not fill the log. */
	if (!rate_limit_allows(&dispatch->refused, clock_now(), &before))
		log_debug("a command from %s to %s%s%s", command->origin, command->point, so, why);
	else if (before > 0)
		log_about(&subject, level, "a command from %s to %s%s%s; %" PRIu64 " such in the last 10 min",
			  command->origin, command->point, so, why, before);
	else
		log_about(&subject, level, "a command from %s to %s%s%s", command->origin, command->point, so, why);
}

static void command_answered(struct command *command, enum command_outcome outcome, const struct write_answer *answer,
			     void *userdata)
{
	struct command_dispatch *dispatch = userdata;

	if (answer->done == WRITE_DONE)
		log_written(dispatch, command, answer);
	else
		log_not_written(dispatch, command, outcome, answer->text);
	uplink_set_answer(dispatch->uplinks, command, answer);
}

void command_dispatch_take(struct command *command, void *userdata)
{
	struct command_dispatch *dispatch = userdata;

	command->done = command_answered;
	command->userdata = dispatch;
	writes_submit(dispatch->field, command);
}
