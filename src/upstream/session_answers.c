/* SPDX-License-Identifier: Apache-2.0 */
/* A session's answers: samples acknowledged, and refused: their topic, by a quota, or for good. */
#include "upstream/session_private.h"
#include <mqtt_protocol.h>

#define REFUSED_LOG_PERIOD_US (10 * USEC_PER_MINUTE)
#define NO_SUBSCRIBERS_LOG_PERIOD_US (10 * USEC_PER_MINUTE)

/* ---- topics that wait ---- */

void session_show_held(struct session *session)
{
	struct uplink *uplink = session->uplink;
	const struct held_topic *topic = uplink->held_topics.first;
	bool full = topic && window_held_full(uplink->window);
	if (full && !session->held_full &&
	    (!uplink->held_full_logged_us || session->now_us - uplink->held_full_logged_us >= USEC_PER_HOUR)) {
		uplink->held_full_logged_us = session->now_us;
		uplink_log(
			uplink, HAY_LOG_WARNING,
			"%zu samples wait for topics that the broker refuses, first %s: no more are taken from the queue, and other devices wait too, until the broker accepts them",
			window_held(uplink->window), topic->name);
	}
	session->held_full = full;
	if (!topic || session->refused.on || session->ended)
		return;
	struct reason reason;
	reason_set(&reason, "%.110s: %.50s%s", topic->name, topic->why,
		   full ? "; too many samples wait, no more are taken" : "; other topics continue");
	uplink_set_state(uplink, UPLINK_REFUSED, reason.text);
}

/* The samples of a topic wait from now on. */
static void hold_topic(struct session *session, struct sample *sample, const char *name, const char *why, bool hung_up)
{
	struct uplink *uplink = session->uplink;
	uint32_t group = uplink->dialect->group(session->maker.state, sample);
	bool say;
	struct held_topic *topic = held_topics_refuse(&uplink->held_topics, name, why, hung_up, session->now_us, &say);
	if (!topic) {
		session_fail(session, "out of memory");
		return;
	}
	topic->connection = uplink->context.connection;
	topic->group = group;
	window_hold_group(uplink->window, group);
	session->no_topic = topic;
	if (!say)
		return;
	char text[BACKOFF_TEXT_MAX];
	uplink_log(uplink, HAY_LOG_WARNING, "%s %s: %s; nothing is lost, its samples wait, other topics continue, %s",
		   hung_up ? "the broker hangs up over messages to" : "the broker refuses messages to", name, why,
		   backoff_text(topic->pause_us, topic->hung_up ? HELD_TOPIC_HUNG_UP_MAX_US : HELD_TOPIC_PAUSE_MAX_US,
				text));
}

static void release_topic(struct session *session, struct held_topic *topic)
{
	struct uplink *uplink = session->uplink;
	uplink_log(uplink, HAY_LOG_NOTICE, "the broker accepts messages to %s again", topic->name);
	window_release_group(uplink->window, topic->group);
	if (session->no_topic == topic)
		session->no_topic = NULL;
	held_topics_remove(&uplink->held_topics, topic);
	if (!uplink->held_topics.first && !session->refused.on)
		uplink_set_state(uplink, UPLINK_CONNECTED, "");
}

void session_hold_broken_topic(struct session *session, uint64_t message)
{
	struct sample *const *samples;
	if (window_samples(session->uplink->window, message, &samples) == 0)
		return;
	struct sample *sample = samples[0];
	struct reason name;
	reason_set(&name, "%s", session_topic_of(session, sample));
	hold_topic(session, sample, name.text, "it ends the connection when they are sent", true);
}

/* ---- refused by state ---- */

static void pause_all(struct session *session, const char *topic, unsigned code)
{
	struct uplink *uplink = session->uplink;
	struct reason word, reason;
	char text[BACKOFF_TEXT_MAX];
	mqtt_reason_to_string(code, &word);
	session->refused.on = true;
	session->refused.probe = 0;
	uint64_t pause = backoff_next_us(&session->refused.backoff);
	session->refused.next_us = session->now_us + pause;
	/* A quota that is exceeded now and then is told by its rate. */
	if (!quota_is_shut(&uplink->quota))
		return;
	reason_set(&reason, "the broker refuses messages to %s: %s", topic, word.text);
	uplink_set_state(uplink, UPLINK_REFUSED, reason.text);
	if (uplink->refused_logged_us && session->now_us - uplink->refused_logged_us < REFUSED_LOG_PERIOD_US)
		return;
	uplink_log(uplink, HAY_LOG_WARNING, "%s; nothing is lost, %s", reason.text,
		   backoff_text(pause, BACKOFF_MAX_US, text));
	uplink->refused_logged_us = session->now_us;
	session->refused.said = true;
}

static void exceeded_quota(struct session *session, const char *topic, unsigned code, uint64_t sent_us, bool probe)
{
	struct uplink *uplink = session->uplink;
	/* Messages sent before the first refusal was known come back with it: they are no new try. */
	if (session->refused.on && !probe)
		return;
	bool shut = quota_is_shut(&uplink->quota);
	if (quota_exceeded(&uplink->quota, sent_us, session->now_us))
		uplink_log(
			uplink, HAY_LOG_WARNING,
			"the broker's quota is exceeded (0x%02X): sending %.3g messages a second from now on, and slowly more; nothing is lost, it takes longer",
			code, uplink->quota.per_s);
	if (shut || session->refused.on) {
		pause_all(session, topic, code);
		return;
	}
	session->refused.on = true;
	session->refused.probe = 0;
	session->refused.next_us = session->now_us + backoff_next_us(&session->refused.backoff);
}

static void accepted_again(struct session *session)
{
	struct uplink *uplink = session->uplink;
	session->refused.on = false;
	session->refused.probe = 0;
	session->refused.backoff.pause_us = 0;
	if (session->refused.said)
		uplink_log(uplink, HAY_LOG_NOTICE, "the broker accepts messages again");
	session->refused.said = false;
	if (!uplink->held_topics.first)
		uplink_set_state(uplink, UPLINK_CONNECTED, "");
}

/* ---- answers ---- */

static bool is_for_ever(unsigned code)
{
	return code == MQTT_RC_TOPIC_NAME_INVALID || code == MQTT_RC_PAYLOAD_FORMAT_INVALID ||
	       code == MQTT_RC_PACKET_TOO_LARGE;
}

/* It counts as delivered, and is gone: MQTT 5, section 3.4.2.1, PUBACK 0x10. */
static void note_no_subscribers(struct session *session, const char *topic, size_t n)
{
	struct uplink *uplink = session->uplink;
	bool first = !session->no_subscribers_us;
	uplink->no_subscribers += n;
	session->no_subscribers_us = session->now_us;
	if (!first)
		return;
	struct reason reason;
	reason_set(&reason, "no client is subscribed to %s: the broker acknowledges the readings and discards them",
		   topic);
	if (!session->refused.on && !uplink->held_topics.first)
		uplink_set_state(uplink, UPLINK_CONNECTED, reason.text);
	if (uplink->no_subscribers_logged_us &&
	    session->now_us - uplink->no_subscribers_logged_us < NO_SUBSCRIBERS_LOG_PERIOD_US)
		return;
	uplink->no_subscribers_logged_us = session->now_us;
	uplink_log(uplink, HAY_LOG_WARNING, "%s", reason.text);
}

/* Not at once: another device's topic may still have none. */
static void note_subscribers(struct session *session)
{
	if (!session->no_subscribers_us || session->now_us - session->no_subscribers_us < USEC_PER_MINUTE)
		return;
	session->no_subscribers_us = 0;
	if (!session->refused.on && !session->uplink->held_topics.first)
		uplink_set_state(session->uplink, UPLINK_CONNECTED, "");
}

/* "No matching subscribers" counts as delivered, unless the uplink wants somebody to be there. */
bool session_counts_as_refused(const struct session *session, unsigned code)
{
	return code == MQTT_RC_NO_MATCHING_SUBSCRIBERS && session->uplink->conf->subscriber_required;
}

static void message_acknowledged(struct session *session, uint64_t number, unsigned code)
{
	struct uplink *uplink = session->uplink;
	struct sample *const *samples;
	size_t n = window_samples(uplink->window, number, &samples);
	if (n == 0)
		return;
	const struct window_message message = *window_message(uplink->window, number);
	uint64_t first = samples[0]->id, last = samples[n - 1]->id;
	if (code == MQTT_RC_NO_MATCHING_SUBSCRIBERS)
		note_no_subscribers(session, session_topic_of(session, samples[0]), n);
	else
		note_subscribers(session);
	window_acked(uplink->window, number);
	suspects_samples_passed(uplink->suspects, first, last, message.topic, session->now_us);
	quota_passed(&uplink->quota, session->now_us);
	session->result.delivered = true;
	uplink->delivered += n;
	int64_t rtt = (int64_t)(clock_now() - message.sent_us), smooth = (int64_t)uplink->rtt_us;
	uplink->rtt_us = (uint64_t)(smooth ? smooth + (rtt - smooth) / 8 : rtt);
}

/* A refused message with several samples may have one bad sample. A refused topic concerns all of them. */
static void refuse_for_good(struct session *session, uint64_t message, unsigned code)
{
	struct uplink *uplink = session->uplink;
	struct sample *const *samples;
	size_t n = window_samples(uplink->window, message, &samples);
	if (n == 0)
		return;
	if (n > 1 && code == MQTT_RC_PACKET_TOO_LARGE)
		session_learn_too_large(session, window_message(uplink->window, message)->largest);
	if (n > 1 && code != MQTT_RC_TOPIC_NAME_INVALID) {
		window_halved(uplink->window, message);
		return;
	}
	struct reason word, why;
	mqtt_reason_to_string(code, &word);
	reason_set(&why, "the broker refuses it: %s", word.text);
	for (size_t i = 0; i < n; i++)
		queue_reader_refused(uplink->reader, samples[i]);
	session_log_drop(session, session_topic_of(session, samples[0]), why.text);
	uplink->drops_unlogged += n - 1;
	window_acked(uplink->window, message);
}

static void refuse_for_now(struct session *session, uint64_t message, unsigned code, bool probe)
{
	struct uplink *uplink = session->uplink;
	struct sample *const *samples;
	if (window_samples(uplink->window, message, &samples) == 0)
		return;
	struct sample *sample = samples[0];
	uint64_t sent_us = window_message(uplink->window, message)->sent_us;
	struct reason name, word;
	reason_set(&name, "%s", session_topic_of(session, sample));
	mqtt_reason_to_string(code, &word);
	window_returned(uplink->window, message);
	if (code == MQTT_RC_QUOTA_EXCEEDED) {
		exceeded_quota(session, name.text, code, sent_us, probe);
		return;
	}
	/* Messages sent before the first refusal was known come back with it: they are no new try. */
	const struct held_topic *held = held_topics_find(&uplink->held_topics, name.text);
	if (!held || held == session->test_topic)
		hold_topic(session, sample, name.text, word.text, false);
}

void session_refused(struct session *session, uint64_t message, unsigned code)
{
	bool probe = session->refused.on && message == session->refused.probe;
	session->no_us = session->now_us;
	suspects_answered_no(session->uplink->suspects, session->now_us);
	if (is_for_ever(code)) {
		refuse_for_good(session, message, code);
		if (session->test_topic)
			release_topic(session, session->test_topic);
	} else {
		refuse_for_now(session, message, code, probe);
	}
	session->test_topic = NULL;
	if (probe && code != MQTT_RC_QUOTA_EXCEEDED)
		accepted_again(session);
}

void session_acknowledged(struct session *session, uint64_t message, unsigned code)
{
	bool probe = session->refused.on && message == session->refused.probe;
	message_acknowledged(session, message, code);
	if (session->test_topic)
		release_topic(session, session->test_topic);
	session->test_topic = NULL;
	if (probe)
		accepted_again(session);
}
