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
		n += session->replies[i].mid != 0;
	return n;
}

/* Somebody may write to a point: then the broker shall send us such messages. */
bool session_wants_to_subscribe(struct session *session, enum suspect_verdict *ret)
{
	struct uplink *uplink = session->uplink;
	if (session->subscribed || !uplink->wants_commands || !uplink->dialect->command_filter)
		return false;
	if (session->filter.size == 0 && uplink->dialect->command_filter(session->voice.state, &session->filter) != 0) {
		session->subscribed = true;
		return false;
	}
	*ret = suspects_verdict(uplink->suspects, SUSPECT_SUBSCRIBE, buf_text(&session->filter), session->now_us);
	return true;
}

void session_subscribe(struct session *session)
{
	session->subscribed = true;
	if (mqtt_subscribe(session->mqtt, buf_text(&session->filter)) == 0) {
		session->subscribed_us = session->now_us;
		line_rate_queued(&session->uplink->line, session->filter.size + 8, session->now_us);
	}
}

void session_subscribed(void *userdata, unsigned code)
{
	struct session *session = userdata;
	struct uplink *uplink = session->uplink;
	const char *filter = buf_text(&session->filter);
	session->subscribed_us = 0;
	if (code < 128) {
		suspects_passed(uplink->suspects, SUSPECT_SUBSCRIBE, filter, session->now_us);
		return;
	}
	if (!suspects_refused(uplink->suspects, SUSPECT_SUBSCRIBE, filter, session->now_us))
		return;
	struct reason word;
	mqtt_reason_word(code, &word);
	uplink_log(
		uplink, HAY_LOG_WARNING,
		"the broker does not let us subscribe to commands (%s): %s; samples go on, trying again with a later connection",
		filter, word.text);
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

static void send_reply(struct session *session, const struct uplink_command *command, struct session_reply *ret)
{
	struct uplink *uplink = session->uplink;
	_cleanup_(message_done) struct message message = {0};
	int r = uplink->dialect->reply(session->voice.state, &command->command, &command->answer, &message);
	int mid = 0;
	if (r == 0)
		r = mqtt_publish(session->mqtt, &message, &mid);
	if (r == -EMSGSIZE)
		session->voice.too_large(session, &message);
	if (r != 0)
		return;
	ret->mid = mid;
	line_rate_queued(&uplink->line, message_size(&message), session->now_us);
	ret->sent_us = session->now_us;
	ret->end = uplink->line.queued;
	ret->left_us = 0;
}

static enum suspect_verdict replies_verdict(const struct session *session)
{
	return suspects_verdict(session->uplink->suspects, SUSPECT_REPLY, REPLIES_TOPIC, session->now_us);
}

bool session_replies_want_test(const struct session *session)
{
	return commands_have_answer(session->uplink->commands) && replies_verdict(session) == SUSPECT_TEST;
}

/* test: one, and nothing else is under way. */
void session_send_replies(struct session *session, bool test)
{
	struct uplink *uplink = session->uplink;
	enum suspect_verdict verdict = replies_verdict(session);
	if (verdict == SUSPECT_APART || (verdict == SUSPECT_TEST && !test))
		return;
	for (size_t free_at = 0; !test || session_replies_inflight(session) == 0;) {
		while (free_at < REPLIES_INFLIGHT && session->replies[free_at].mid)
			free_at++;
		size_t taken = session_replies_inflight(session) + announce_inflight(uplink->announce) +
			       window_inflight(uplink->window);
		if (free_at == REPLIES_INFLIGHT || taken >= mqtt_receive_maximum(session->mqtt))
			return;
		struct uplink_command *command = commands_next_answer(uplink->commands);
		if (!command)
			return;
		/* One that cannot be sent is no reason to stop the samples. */
		if (verdict != SUSPECT_GIVEN_UP)
			send_reply(session, command, &session->replies[free_at]);
		uplink_command_free(command);
	}
}

bool session_reply_published(struct session *session, int mid, unsigned code)
{
	for (size_t i = 0; i < REPLIES_INFLIGHT; i++) {
		if (!mid || session->replies[i].mid != mid)
			continue;
		session->replies[i].mid = 0;
		if (code < 128)
			suspects_passed(session->uplink->suspects, SUSPECT_REPLY, REPLIES_TOPIC, session->now_us);
		else
			suspects_answered_no(session->uplink->suspects, session->now_us);
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
