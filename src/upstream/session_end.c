/* SPDX-License-Identifier: Apache-2.0 */
/* A session's end: what was under way when the connection broke, and what that proves (suspects.h). */
#include "upstream/session_private.h"

#define TWIN_LOG_PERIOD_US (10 * USEC_PER_MINUTE)

static void log_given_up(struct uplink *uplink, const struct suspects_finding *finding)
{
	const char *topic = finding->topic;
	switch (finding->kind) {
	case SUSPECT_SUBSCRIBE:
		uplink_log(
			uplink, HAY_LOG_WARNING,
			"the broker hangs up when we subscribe to commands (%s): no commands are received, trying again in an hour; readings continue. Let this client subscribe to it",
			topic);
		return;
	case SUSPECT_REPLY:
		uplink_log(
			uplink, HAY_LOG_WARNING,
			"the broker hangs up over replies to commands: none are sent, trying again in an hour; readings continue. Let this client publish to the topics reply/#");
		return;
	default:
		uplink_log(
			uplink, HAY_LOG_WARNING,
			"the broker hangs up over messages to %s%s: given up, trying again in an hour; readings continue. Let this client publish to it",
			topic,
			finding->whole_kind ? " and to others that are no readings (status, device, event)" : "");
	}
}

/* A topic that was tried alone and ended the connection waits longer; one that was refused just before, too. */
static bool held_topic_broke(struct session *session)
{
	struct uplink *uplink = session->uplink;
	bool say;
	if (!session->test_topic)
		return false;
	held_topics_refuse(&uplink->held_topics, session->test_topic->name, session->test_topic->why, true,
			   session->now_us, &say);
	suspects_answered_no(uplink->suspects, session->now_us);
	return true;
}

/* One message with several samples, and nothing else, ended it: perhaps it is too large. A single sample is not. */
static void suspect_batch(struct uplink *uplink, const struct suspects_flight *flight, uint64_t until_id)
{
	if (window_inflight(uplink->window) != 1)
		return;
	uplink->batch.ended = flight->n > 1 ? flight->n : 0;
	uplink->batch.most = flight->n / 2;
	uplink->batch.until_id = until_id;
	uplink->batch.since_us = clock_now();
}

static void suspect_same_client_id(struct session *session)
{
	struct uplink *uplink = session->uplink;
	if (uplink->twin_logged_us && session->now_us - uplink->twin_logged_us < TWIN_LOG_PERIOD_US)
		return;
	uplink->twin_logged_us = session->now_us;
	uplink_log(
		uplink, HAY_LOG_WARNING,
		"the broker ended two connections soon after they began, and no message explains it: is another client called `%s` connected?",
		uplink->conf->client_id);
}

static void peer_ended(struct session *session)
{
	struct uplink *uplink = session->uplink;
	struct suspects_flight flight = {0};
	struct suspects_finding finding;
	uint64_t oldest;
	suspects_end(uplink->suspects);
	session_name_suspects(session);
	flight.n = window_under_way(uplink->window, &flight.first, &flight.last, &oldest);
	if (oldest) {
		const struct window_message *message = window_message(uplink->window, oldest);
		flight.topic = message->topic;
		flight.sent_us = message->sent_us;
	}
	if (!held_topic_broke(session) && session->no_topic)
		session->no_topic->hung_up |= session->now_us - session->no_us < USEC_PER_SEC;
	suspects_ended(uplink->suspects, &flight, session->now_us, &finding);
	session->result.delivered |= finding.learnt;
	if (finding.given_up)
		log_given_up(uplink, &finding);
	if (finding.narrow_until) {
		window_narrow(uplink->window, finding.narrow_until, finding.narrow);
		suspect_batch(uplink, &flight, finding.narrow_until);
	}
	if (finding.hold_topic && oldest)
		session_hold_broken_topic(session, oldest);
	if (finding.twin && !session_barrier_under_way(session))
		suspect_same_client_id(session);
}

void session_finish(struct session *session)
{
	struct uplink *uplink = session->uplink;
	struct reason reason;
	if (session->ended)
		mqtt_give_up(session->mqtt);
	else
		session->result.end = mqtt_end(session->mqtt, &reason);
	/* Who left in order to come again knows why. */
	if (!session->ended && !session->reconnect)
		session->result.reason = reason;
	session_flush_cursor(session);
	if (session->result.end == MQTT_END_MESSAGE && session->result.was_ready)
		peer_ended(session);
	if (!session->result.was_ready && !session->stop && mqtt_may_be_the_will(session->mqtt))
		suspects_not_accepted(uplink->suspects, session->with_will, session->now_us);
	window_break(uplink->window);
	queue_reader_rewind(uplink->reader);
	uplink->inflight = 0;
}
