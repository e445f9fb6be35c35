/* SPDX-License-Identifier: Apache-2.0 */
/* A session's commands: what somebody asks for, and our replies. */
#include "upstream/packet_check.h"
#include "upstream/session_private.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#define OVERSIZED_LOG_US (10 * USEC_PER_MINUTE)
#define WAITING_MAX ((size_t)64)

/* ---- what we want to hear ---- */

/* filter_sink */
static int put_filter(void *userdata, const char *filter)
{
	struct session *session = userdata;
	struct message message = {0};
	message_clear(&message);
	buf_add_text(&message.topic, filter);
	bool failed = buf_failed(&message.topic) || !outbox_add(session->maker.outbox, OUTGOING_SUBSCRIBE, 0, &message);
	message_done(&message);
	return failed ? -ENOMEM : 0;
}

/* Once in a connection, and again when commands come to be wanted: not every broker lets everyone subscribe. */
int session_subscribe(struct session *session)
{
	struct uplink *uplink = session->uplink;
	bool commands = uplink->conf->commands && uplink->wants_commands;
	if (!uplink->dialect->subscriptions ||
	    session->subscribed == (commands ? SUBSCRIBED_COMMANDS : SUBSCRIBED_ALWAYS) ||
	    session->subscribed == SUBSCRIBED_COMMANDS)
		return 0;
	session->subscribed = commands ? SUBSCRIBED_COMMANDS : SUBSCRIBED_ALWAYS;
	return uplink->dialect->subscriptions(session->maker.state, commands, put_filter, session);
}

/* ---- what comes ---- */

static void take_command(void *userdata, struct command *command, const char *error)
{
	struct session *session = userdata;
	struct uplink *uplink = session->uplink;
	int r = error ? -EINVAL : commands_put(uplink->commands, command);
	if (r == -EBUSY)
		error = "too many commands are under way";
	if (r < 0 && command->device[0] && command->point[0])
		commands_refuse(uplink->commands, command, error);
}

static void request_birth(void *userdata)
{
	struct session *session = userdata;
	session->birth_wanted = true;
}

static void hold_samples(void *userdata)
{
	struct session *session = userdata;
	session->on_hold = true;
}

static void resume_samples(void *userdata)
{
	struct session *session = userdata;
	session->on_hold = false;
}

static void want_reconnect(void *userdata, const char *why)
{
	struct session *session = userdata;
	session->reconnect = true;
	reason_set(&session->result.reason, "%s", why);
}

void session_received(void *userdata, const struct dialect_incoming *incoming)
{
	static const struct dialect_actions actions = {
		.command = take_command,
		.birth_again = request_birth,
		.hold = hold_samples,
		.go_on = resume_samples,
		.reconnect = want_reconnect,
	};
	struct session *session = userdata;
	if (session->uplink->dialect->receive)
		session->uplink->dialect->receive(session->maker.state, incoming, &actions, session);
}

/* ---- replies ---- */

/* message_sink */
static int put_reply(void *userdata, struct message *message)
{
	struct session *session = userdata;
	return outbox_add(session->maker.outbox, OUTGOING_REPLY, 0, message) ? 0 : -ENOMEM;
}

/* One that cannot be made is no reason to stop the samples. */
void session_make_replies(struct session *session)
{
	struct uplink *uplink = session->uplink;
	struct command *command;
	while (outbox_waiting(session->maker.outbox) < WAITING_MAX &&
	       (command = commands_next_answer(uplink->commands))) {
		if (uplink->dialect->reply)
			uplink->dialect->reply(session->maker.state, command, put_reply, session);
		command_unref(command);
	}
}

/* A retained one comes with each connect: once in ten minutes is enough of it. */
void session_oversized(void *userdata, const char *topic, size_t topic_size, size_t size)
{
	struct session *session = userdata;
	struct uplink *uplink = session->uplink;
	char more[64] = "";
	if (uplink->oversized_logged_us && session->now_us - uplink->oversized_logged_us < OVERSIZED_LOG_US) {
		uplink->oversized_unlogged++;
		return;
	}
	if (uplink->oversized_unlogged)
		snprintf(more, sizeof(more), " (and %u more since this was last logged)", uplink->oversized_unlogged);
	uplink_log(uplink, HAY_LOG_WARNING, "a message of %zu bytes to %.*s was skipped: at most %zu are taken%s", size,
		   (int)topic_size, topic, PACKET_SIZE_MAX, more);
	uplink->oversized_logged_us = session->now_us;
	uplink->oversized_unlogged = 0;
}
