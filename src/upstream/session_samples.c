/* SPDX-License-Identifier: Apache-2.0 */
/* A session's samples: taken from the queue, sent, acknowledged, turned down for now or for ever. */
#include "upstream/session_private.h"
#include <errno.h>
#include <inttypes.h>
#include <mqtt_protocol.h>

#define TAKE_AT_ONCE ((size_t)64)
#define DROP_LOG_PERIOD_US USEC_PER_MINUTE

/* ---- samples that cannot pass ---- */

static void log_drop(struct session *session, const char *topic, const char *why)
{
	struct uplink *uplink = session->uplink;
	if (uplink->drop_logged_us && session->now_us - uplink->drop_logged_us < DROP_LOG_PERIOD_US) {
		uplink->drops_unlogged++;
		return;
	}
	if (uplink->drops_unlogged)
		uplink_log(uplink, HAY_LOG_WARNING,
			   "a sample for %s is dropped and counted: %s (and %" PRIu64 " more since the last such line)",
			   topic, why, uplink->drops_unlogged);
	else
		uplink_log(uplink, HAY_LOG_WARNING, "a sample for %s is dropped and counted: %s", topic, why);
	uplink->drop_logged_us = session->now_us;
	uplink->drops_unlogged = 0;
}

static const char *device_name(const struct session *session, const struct sample *sample)
{
	const struct series_device *device = series_device_by_number(session->uplink->context.series, sample->device);
	return device ? device->name : "an unknown device";
}

static int encode(struct session *session, struct sample *const *samples, size_t n_samples)
{
	struct uplink *uplink = session->uplink;
	struct dialect_sample few[16];
	_cleanup_free_ struct dialect_sample *many = NULL;
	struct dialect_sample *list = few;
	if (n_samples > ELEMENTS(few)) {
		list = many = calloc(n_samples, sizeof(*many));
		if (!many)
			return -ENOMEM;
	}
	for (size_t i = 0; i < n_samples; i++) {
		bool certain = false;
		int64_t wall_us = queue_wall(uplink->queue, samples[i], &certain);
		list[i] = (struct dialect_sample){
			.sample = samples[i],
			.seq = queue_seq(uplink->queue, samples[i]),
			.ts_ms = wall_us / (int64_t)USEC_PER_MSEC,
			.certain = certain,
		};
	}
	return uplink->dialect->encode(session->voice.state, list, n_samples, &uplink->encoded);
}

/* The topic a sample goes to, or the device's name where it cannot be encoded. */
static const char *topic_of(struct session *session, struct sample *sample)
{
	if (encode(session, &sample, 1) < 0)
		return device_name(session, sample);
	return buf_text(&session->uplink->encoded.topic);
}

static void drop_picked(struct session *session, struct sample *sample, const char *why)
{
	log_drop(session, topic_of(session, sample), why);
	queue_reader_refused(session->uplink->reader, sample);
	window_drop_picked(session->uplink->window);
}

/* ---- refused by state ---- */

static void refuse(struct session *session, int mid, unsigned code)
{
	struct uplink *uplink = session->uplink;
	struct sample *const *samples;
	if (window_samples(uplink->window, mid, &samples) == 0)
		return;
	struct reason topic;
	reason_set(&topic, "%s", topic_of(session, samples[0]));
	window_returned(uplink->window, mid);
	bool first = !session->refused.on;
	/* Messages sent before the first refusal was known come back with it: they are no new try. */
	if (!first && mid != session->refused.probe)
		return;
	struct reason word;
	mqtt_reason_word(code, &word);
	session->refused.on = true;
	session->refused.probe = 0;
	uint64_t pause = backoff_next_us(&session->refused.backoff);
	session->refused.next_us = session->now_us + pause;
	char text[BACKOFF_TEXT_MAX];
	struct reason reason;
	reason_set(&reason, "the broker turns down messages to %s: %s", topic.text, word.text);
	if (first || session->now_us - session->refused.logged_us >= 10 * USEC_PER_MINUTE) {
		uplink_log(uplink, HAY_LOG_WARNING, "%s; nothing is lost, %s", reason.text,
			   backoff_text(pause, BACKOFF_MAX_US, text));
		session->refused.logged_us = session->now_us;
	}
	uplink_set_state(uplink, UPLINK_REFUSED, reason.text);
}

static void accepted_again(struct session *session)
{
	session->refused.on = false;
	session->refused.probe = 0;
	session->refused.backoff.pause_us = 0;
	uplink_log(session->uplink, HAY_LOG_NOTICE, "the broker takes our messages again");
	uplink_set_state(session->uplink, UPLINK_CONNECTED, "");
}

/* ---- acknowledgements ---- */

static bool refuses_by_state(unsigned code)
{
	return code != MQTT_RC_TOPIC_NAME_INVALID && code != MQTT_RC_PAYLOAD_FORMAT_INVALID &&
	       code != MQTT_RC_PACKET_TOO_LARGE;
}

static void acknowledged(struct session *session, int mid)
{
	struct uplink *uplink = session->uplink;
	uint64_t sent_us;
	size_t n = window_acked(uplink->window, mid, &sent_us);
	if (n == 0)
		return;
	session->result.delivered = true;
	uplink->delivered += n;
	int64_t rtt = (int64_t)(clock_now() - sent_us), smooth = (int64_t)uplink->rtt_us;
	uplink->rtt_us = (uint64_t)(smooth ? smooth + (rtt - smooth) / 8 : rtt);
}

static void turn_down_for_ever(struct session *session, int mid, unsigned code)
{
	struct uplink *uplink = session->uplink;
	struct sample *const *samples;
	size_t n = window_samples(uplink->window, mid, &samples);
	if (n == 0)
		return;
	struct reason word, why;
	mqtt_reason_word(code, &word);
	reason_set(&why, "the broker turns it down: %s", word.text);
	for (size_t i = 0; i < n; i++)
		queue_reader_refused(uplink->reader, samples[i]);
	log_drop(session, topic_of(session, samples[0]), why.text);
	uplink->drops_unlogged += n - 1;
	uint64_t sent_us;
	window_acked(uplink->window, mid, &sent_us);
}
void session_refused(struct session *session, int mid, unsigned code)
{
	bool probe = session->refused.on && mid == session->refused.probe;
	if (refuses_by_state(code)) {
		refuse(session, mid, code);
		return;
	}
	turn_down_for_ever(session, mid, code);
	if (probe)
		accepted_again(session);
}

void session_acknowledged(struct session *session, int mid)
{
	bool probe = session->refused.on && mid == session->refused.probe;
	acknowledged(session, mid);
	if (probe)
		accepted_again(session);
}

/* ---- samples ---- */

size_t session_may_take(struct session *session)
{
	struct uplink *uplink = session->uplink;
	if (session->refused.on)
		return 0;
	size_t room = window_room(uplink->window);
	if (room == 0 || uplink->replay.per_s <= 0)
		return room;
	size_t tokens = replay_allowance(&uplink->replay, session->now_us, queue_appended(uplink->queue),
					 queue_reader_depth(uplink->reader));
	return MIN(room, tokens);
}

static void take_samples(struct session *session)
{
	struct uplink *uplink = session->uplink;
	for (size_t may = session_may_take(session); may > 0; may = session_may_take(session)) {
		struct sample *taken[TAKE_AT_ONCE];
		size_t n = queue_reader_next(uplink->reader, taken, MIN(may, TAKE_AT_ONCE));
		replay_take(&uplink->replay, n);
		bool failed = false;
		for (size_t i = 0; i < n; i++) {
			uint32_t group = uplink->dialect->group(session->voice.state, taken[i]);
			if (failed)
				sample_unref(taken[i]);
			else
				failed = window_push(uplink->window, taken[i], group, session->now_us) < 0;
		}
		if (failed)
			session_fail(session, "out of memory");
		if (failed || n < MIN(may, TAKE_AT_ONCE))
			return;
	}
}

/* One message. 0: nothing more to send now. */
static bool send_one(struct session *session)
{
	struct uplink *uplink = session->uplink;
	struct sample *const *samples;
	size_t n = window_pick(uplink->window, session->now_us, &samples);
	if (n == 0)
		return false;
	if (window_picked_is_culprit(uplink->window)) {
		drop_picked(session, samples[0], "it broke the connection three times, alone");
		return true;
	}
	int mid = 0;
	int r = encode(session, samples, n);
	if (r >= 0)
		r = mqtt_publish(session->mqtt, &uplink->encoded, &mid);
	if (r < 0 && n > 1 && (r == -EBADMSG || r == -EMSGSIZE || r == -EINVAL)) {
		n = window_pick_one(uplink->window, &samples);
		r = encode(session, samples, n);
		if (r >= 0)
			r = mqtt_publish(session->mqtt, &uplink->encoded, &mid);
	}
	switch (r) {
	case 0:
		window_sent(uplink->window, mid, session->now_us);
		uplink->messages++;
		if (session->refused.on)
			session->refused.probe = mid;
		return true;
	case -EBADMSG:
		drop_picked(session, samples[0], "it cannot be read, or its topic lacks a tag");
		return true;
	case -EMSGSIZE:
		drop_picked(session, samples[0], "it is larger than the broker takes");
		return true;
	case -EINVAL:
		drop_picked(session, samples[0], "MQTT cannot carry its topic");
		return true;
	default:
		session->retry_us = session->now_us + USEC_PER_SEC;
		return false;
	}
}

/* A refused uplink feels its way with one message; and one under suspicion goes alone. */
bool session_may_send(struct session *session)
{
	struct uplink *uplink = session->uplink;
	if (session->now_us < session->retry_us)
		return false;
	if ((window_alone(uplink->window) || announce_alone(uplink->announce)) && !announce_idle(uplink->announce))
		return false;
	size_t messages = session->window_messages;
	if (uplink->conf->qos > 0) {
		size_t taken = announce_inflight(uplink->announce) + session_replies_inflight(session);
		messages = MIN(messages, mqtt_receive_maximum(session->mqtt) - MIN(taken, 65535));
		if (mqtt_receive_maximum(session->mqtt) <= taken)
			return false;
	}
	if (session->refused.on) {
		if (session->now_us < session->refused.next_us || session->refused.probe ||
		    window_inflight(uplink->window) > 0)
			return false;
		messages = 1;
	}
	window_set_messages(uplink->window, messages);
	return true;
}

void session_send_samples(struct session *session)
{
	struct uplink *uplink = session->uplink;
	take_samples(session);
	if (session->ended || window_waiting(uplink->window) == 0 || !session_may_send(session))
		return;
	while (send_one(session) && !session->refused.on && !session->ended) {
		if (window_waiting(uplink->window) < (size_t)uplink->conf->batch)
			take_samples(session);
	}
}

void session_flush_cursor(struct session *session)
{
	uint64_t id;
	if (window_cursor(session->uplink->window, &id))
		queue_reader_ack(session->uplink->reader, id);
}
