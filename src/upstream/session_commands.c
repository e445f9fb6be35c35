/* SPDX-License-Identifier: Apache-2.0 */
/* A session's commands: what somebody asks for, and our replies. */
#include "upstream/packet_check.h"
#include "upstream/session_private.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#define OVERSIZED_LOG_US (10 * USEC_PER_MINUTE)

size_t session_replies_inflight(const struct session *session)
{
	size_t n = 0;
	for (size_t i = 0; i < REPLIES_INFLIGHT; i++)
		n += session->replies[i] != 0;
	return n;
}

/* Somebody may write to a point: now the broker shall send us such messages. */
void session_subscribe(struct session *session)
{
	struct uplink *uplink = session->uplink;
	if (session->subscribed || !uplink->wants_commands || !uplink->dialect->command_filter)
		return;
	session->subscribed = true;
	_cleanup_buf_ struct buf filter = {0};
	if (uplink->dialect->command_filter(session->voice.state, &filter) == 0)
		mqtt_subscribe(session->mqtt, buf_text(&filter));
}

void session_subscribed(void *userdata, unsigned code)
{
	struct session *session = userdata;
	if (code >= 128 && !session->quiet)
		uplink_log(session->uplink, HAY_LOG_WARNING,
			   "the broker does not let us subscribe to commands; samples go on, trying again at the next "
			   "connect");
}

void session_take_command(void *userdata, const char *topic, const void *payload, size_t size)
{
	struct session *session = userdata;
	struct uplink *uplink = session->uplink;
	struct dialect_command command;
	const char *error = "out of memory";
	int r = uplink->dialect->parse_command(session->voice.state, topic, payload, size, &command, &error);
	if (r == 0)
		r = commands_put(uplink->commands, &command);
	if (r == 0)
		return;
	if (r == -EBUSY)
		error = "too many commands are under way";
	if (command.device[0] && command.point[0])
		commands_refuse(uplink->commands, &command, error);
	if (command.value.type == HAY_STRING)
		free((char *)command.value.s.data);
}

static int send_reply(struct session *session, const struct uplink_command *command, int *ret_mid)
{
	struct uplink *uplink = session->uplink;
	_cleanup_(message_done) struct message message = {0};
	int r = uplink->dialect->reply(session->voice.state, &command->command, &command->answer, &message);
	return r == 0 ? mqtt_publish(session->mqtt, &message, ret_mid) : r;
}

void session_send_replies(struct session *session)
{
	size_t free_at = 0;
	for (;;) {
		while (free_at < REPLIES_INFLIGHT && session->replies[free_at])
			free_at++;
		size_t taken = session_replies_inflight(session) + announce_inflight(session->uplink->announce) +
			       window_inflight(session->uplink->window);
		if (free_at == REPLIES_INFLIGHT || taken >= mqtt_receive_maximum(session->mqtt))
			return;
		struct uplink_command *command = commands_next_answer(session->uplink->commands);
		if (!command)
			return;
		int mid = 0;
		/* One that cannot be sent is no reason to stop the samples. */
		if (send_reply(session, command, &mid) == 0)
			session->replies[free_at] = mid;
		uplink_command_free(command);
	}
}

bool session_reply_published(struct session *session, int mid)
{
	for (size_t i = 0; i < REPLIES_INFLIGHT; i++)
		if (mid && session->replies[i] == mid) {
			session->replies[i] = 0;
			return true;
		}
	return false;
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
