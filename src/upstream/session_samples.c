/* SPDX-License-Identifier: Apache-2.0 */
/* A session's samples: taken from the queue, and sent. */
#include "upstream/session_private.h"
#include <errno.h>
#include <inttypes.h>

#define TAKE_AT_ONCE ((size_t)64)
#define DROP_LOG_PERIOD_US USEC_PER_MINUTE
#define SAMPLE_BYTES_GUESS 128
#define BATCH_PERIOD_US (10 * USEC_PER_MINUTE)
#define TOO_LARGE_PERIOD_US USEC_PER_HOUR

/* ---- samples that cannot pass ---- */

void session_log_drop(struct session *session, const char *topic, const char *why)
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

const char *session_topic_of(struct session *session, const struct sample *sample)
{
	struct uplink *uplink = session->uplink;
	buf_clear(&uplink->topic);
	if (uplink->dialect->topic(session->maker.state, sample, &uplink->topic) < 0)
		return device_name(session, sample);
	return buf_text(&uplink->topic);
}

/* What the sink of encode() needs. */
struct sample_encoding {
	struct session *session;
	uint64_t message;
	unsigned n_packets;
	size_t bytes;
	size_t most;	/* bytes a packet may have */
	size_t largest; /* of its packets, in bytes */
};

/* message_sink */
static int put_data(void *userdata, struct message *message)
{
	struct sample_encoding *encoding = userdata;
	struct outbox *outbox = encoding->session->maker.outbox;
	size_t size = message->payload.size, packet = message_size(message);
	if (packet > encoding->most)
		return -EMSGSIZE;
	if (!mqtt_carries_topic(&message->topic))
		return -EINVAL;
	if (!outbox_add(outbox, OUTGOING_DATA, encoding->message, message))
		return -ENOMEM;
	encoding->bytes += size;
	encoding->largest = MAX(encoding->largest, packet);
	encoding->n_packets++;
	return 0;
}

/* Into the outbox, as the window's next message. */
static int encode_samples(struct session *session, struct sample *const *samples, size_t n_samples,
			  struct sample_encoding *ret)
{
	struct uplink *uplink = session->uplink;
	struct stamped_sample few[16];
	_cleanup_free_ struct stamped_sample *many = NULL;
	struct stamped_sample *list = few;
	*ret = (struct sample_encoding){.session = session, .message = window_next(uplink->window)};
	ret->most = mqtt_max_packet(session->mqtt);
	if (n_samples > 1 && uplink->batch.too_large)
		ret->most = MIN(ret->most, uplink->batch.too_large - 1);
	if (n_samples > ELEMENTS(few)) {
		list = many = calloc(n_samples, sizeof(*many));
		if (!many)
			return -ENOMEM;
	}
	for (size_t i = 0; i < n_samples; i++) {
		bool certain = false;
		int64_t wall_us = queue_wall(uplink->queue, samples[i], &certain);
		list[i] = (struct stamped_sample){
			.sample = samples[i],
			.seq = queue_seq(uplink->queue, samples[i]),
			.ts_ms = wall_us / (int64_t)USEC_PER_MSEC,
			.certain = certain,
		};
		list[i].historic = list[i].ts_ms < uplink->context.connected_ms;
	}
	int r = uplink->dialect->encode(session->maker.state, list, n_samples, put_data, ret);
	/* Of several packets the first ones may have been taken. */
	if (r < 0)
		outbox_remove_data(session->maker.outbox, ret->message);
	return r;
}

void session_learn_too_large(struct session *session, size_t size)
{
	struct uplink *uplink = session->uplink;
	if (!uplink->batch.too_large)
		uplink_log(uplink, HAY_LOG_NOTICE,
			   "a message of %zu bytes is too large for the broker: samples go in smaller ones", size);
	if (!uplink->batch.too_large || size < uplink->batch.too_large)
		uplink->batch.too_large = size;
	uplink->batch.too_large_us = session->now_us;
}

static void drop_picked(struct session *session, const struct sample *sample, const char *why)
{
	session_log_drop(session, session_topic_of(session, sample), why);
	queue_reader_refused(session->uplink->reader, sample);
	window_drop_picked(session->uplink->window);
}

/* ---- taken and sent ---- */

size_t session_may_take(struct session *session)
{
	struct uplink *uplink = session->uplink;
	if (session->refused.on || session->on_hold)
		return 0;
	size_t room = window_space(uplink->window);
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
			uint32_t group = uplink->dialect->group(session->maker.state, taken[i]);
			if (failed)
				sample_unref(taken[i]);
			else
				failed = window_push(uplink->window, taken[i], group,
						     suspects_sample_apart(uplink->suspects, taken[i]->id),
						     session->now_us) < 0;
		}
		if (failed)
			session_fail(session, "out of memory");
		if (failed || n < MIN(may, TAKE_AT_ONCE))
			return;
	}
}

/* Those that ended connections while others of their topic passed. */
static void drop_suspect(struct session *session)
{
	struct uplink *uplink = session->uplink;
	struct sample *const *samples;
	uint64_t id;
	while (suspects_sample_due(uplink->suspects, session->now_us, &id) == SUSPECT_DROP) {
		if (window_pick_held(uplink->window, id, &samples) == 0)
			return;
		drop_picked(
			session, samples[0],
			"the broker ended every connection it was sent on, and accepted others of its topic without it");
		suspects_sample_forget(uplink->suspects, id);
	}
}

bool session_samples_want_test(struct session *session, enum session_test *ret)
{
	struct uplink *uplink = session->uplink;
	struct sample *const *samples;
	uint64_t id;
	if (session->refused.on || session->on_hold || outbox_barred(session->maker.outbox))
		return false;
	drop_suspect(session);
	suspects_samples_gone(uplink->suspects, window_done_through(uplink->window), session->now_us);
	if (suspects_sample_due(uplink->suspects, session->now_us, &id) == SUSPECT_TEST &&
	    window_pick_held(uplink->window, id, &samples) > 0) {
		*ret = TEST_SAMPLE;
		return true;
	}
	const struct held_topic *topic =
		held_topics_due(&uplink->held_topics, uplink->context.connection, session->now_us);
	if (!topic || window_pick_group(uplink->window, topic->group, &samples) == 0)
		return false;
	*ret = TEST_TOPIC;
	return true;
}

/* Half of it, and half of that, as long as it does not fit or one of them cannot be encoded. */
static int encode_what_fits(struct session *session, struct sample *const *samples, size_t n,
			    struct sample_encoding *ret)
{
	struct uplink *uplink = session->uplink;
	for (;;) {
		int r = encode_samples(session, samples, n, ret);
		if (r >= 0) {
			double bytes = (double)ret->bytes / (double)n;
			uplink->sample_bytes =
				uplink->sample_bytes > 0 ? (7 * uplink->sample_bytes + bytes) / 8 : bytes;
			return 0;
		}
		if (n == 1 || (r != -EBADMSG && r != -EMSGSIZE && r != -EINVAL))
			return r;
		n = window_pick_half(uplink->window, &samples);
		if (r == -EMSGSIZE)
			session->batch_fits = n;
	}
}

static uint32_t topic_hash(struct session *session, const struct sample *sample)
{
	const char *topic = session_topic_of(session, sample);
	return suspects_hash(topic, strlen(topic));
}

static const char *why_unsendable(int error)
{
	switch (error) {
	case -EBADMSG:
		return "it cannot be read, or its topic lacks a tag";
	case -EMSGSIZE:
		return "it is larger than the broker accepts";
	case -EINVAL:
		return "MQTT cannot carry its topic";
	default:
		return NULL;
	}
}

/* The picked ones. False: nothing more to send now. */
static bool send_picked(struct session *session, struct sample *const *samples, size_t n)
{
	struct uplink *uplink = session->uplink;
	struct sample_encoding encoding;
	int r = encode_what_fits(session, samples, n, &encoding);
	if (r < 0 && why_unsendable(r)) {
		drop_picked(session, samples[0], why_unsendable(r));
		return true;
	}
	if (r < 0) {
		session->retry_us = session->now_us + USEC_PER_SEC;
		return false;
	}
	/* There is nothing to be told of it. */
	if (encoding.n_packets == 0) {
		window_drop_picked(uplink->window);
		return true;
	}
	const struct window_message message = {
		.topic = topic_hash(session, samples[0]),
		.sent_us = session->now_us,
		.n_packets = encoding.n_packets,
		.largest = encoding.largest,
	};
	quota_take(&uplink->quota);
	window_sent(uplink->window, &message);
	if (session->refused.on)
		session->refused.probe = encoding.message;
	return true;
}

void session_message_unsendable(struct session *session, uint64_t message, int error)
{
	struct uplink *uplink = session->uplink;
	struct sample *const *samples;
	size_t n = window_samples(uplink->window, message, &samples);
	outbox_remove_data(session->maker.outbox, message);
	if (n > 1) {
		session->batch_fits = error == -EMSGSIZE ? (n + 1) / 2 : session->batch_fits;
		window_halved(uplink->window, message);
		return;
	}
	if (n == 0)
		return;
	session_log_drop(session, session_topic_of(session, samples[0]), why_unsendable(error));
	queue_reader_refused(uplink->reader, samples[0]);
	window_acked(uplink->window, message);
}

/* A topic that waits over connections: its group is known when its first sample comes by. True: the picked ones
   wait. */
static bool waits_with_its_topic(struct session *session, struct sample *sample)
{
	struct uplink *uplink = session->uplink;
	if (!uplink->held_topics.first)
		return false;
	struct held_topic *topic = held_topics_find(&uplink->held_topics, session_topic_of(session, sample));
	if (!topic)
		return false;
	topic->connection = uplink->context.connection;
	topic->group = uplink->dialect->group(session->maker.state, sample);
	window_hold_group(uplink->window, topic->group);
	return true;
}

/* One message. False: nothing more to send now. */
static bool send_one(struct session *session)
{
	struct uplink *uplink = session->uplink;
	struct sample *const *samples;
	session->line_full = line_rate_full(&uplink->line);
	if (session->line_full || !quota_allows(&uplink->quota, session->now_us))
		return false;
	/* Encoded is what leaves at once: then what a dialect counts has no gaps. */
	if (outbox_data_waits(session->maker.outbox) || !session_may_publish(session))
		return false;
	size_t n = window_pick(uplink->window, session->now_us, &samples);
	if (n == 0)
		return false;
	if (waits_with_its_topic(session, samples[0]))
		return true;
	return send_picked(session, samples, n) && session_send_data(session) == 0;
}

void session_test_sample(struct session *session)
{
	struct uplink *uplink = session->uplink;
	struct sample *const *samples;
	uint64_t id;
	if (session->test == TEST_SAMPLE) {
		if (suspects_sample_due(uplink->suspects, session->now_us, &id) == SUSPECT_TEST &&
		    window_pick_held(uplink->window, id, &samples) > 0)
			send_picked(session, samples, 1);
		return;
	}
	struct held_topic *topic = held_topics_due(&uplink->held_topics, uplink->context.connection, session->now_us);
	if (!topic || window_pick_group(uplink->window, topic->group, &samples) == 0 ||
	    !send_picked(session, samples, 1) || window_inflight(uplink->window) == 0)
		return;
	session->test_topic = topic;
}

/* A refused uplink feels its way with one message. */
bool session_may_send(struct session *session)
{
	struct uplink *uplink = session->uplink;
	if (session->now_us < session->retry_us)
		return false;
	if (session->on_hold || outbox_barred(session->maker.outbox))
		return false;
	size_t messages = session->window_messages;
	if (session->refused.on) {
		if (session->now_us < session->refused.next_us || session->refused.probe ||
		    window_inflight(uplink->window) > 0)
			return false;
		messages = 1;
	}
	window_set_messages(uplink->window, messages);
	return true;
}

/* Samples that ended connections together have passed by fewer: the message was too large. Some brokers hang up over
   that without a word; a line that flaps looks the same, so it is forgotten step by step. */
static size_t batch_that_passes(struct session *session)
{
	struct uplink *uplink = session->uplink;
	if (uplink->batch.ended && window_done_through(uplink->window) >= uplink->batch.until_id) {
		uplink_log(
			uplink, HAY_LOG_NOTICE,
			"messages of %zu samples ended connections, smaller ones pass: at most %zu go in one for some time",
			uplink->batch.ended, uplink->batch.most);
		uplink->batch.ended = 0;
	}
	if (session->now_us - uplink->batch.too_large_us >= TOO_LARGE_PERIOD_US)
		uplink->batch.too_large = 0;
	if (uplink->batch.most && session->now_us - uplink->batch.since_us >= BATCH_PERIOD_US) {
		uplink->batch.most *= 2;
		uplink->batch.since_us = session->now_us;
	}
	if (uplink->batch.most >= (size_t)uplink->conf->batch)
		uplink->batch.most = 0;
	return uplink->batch.most ? uplink->batch.most : (size_t)uplink->conf->batch;
}

/* No larger messages than the line takes in some seconds, nor than the broker took. */
static void bound_batch(struct session *session)
{
	struct uplink *uplink = session->uplink;
	size_t batch = batch_that_passes(session);
	double bytes = uplink->sample_bytes > 0 ? uplink->sample_bytes : SAMPLE_BYTES_GUESS;
	double fits = (double)line_rate_message_max(&uplink->line) / bytes;
	if (fits < (double)batch)
		batch = MAX((size_t)fits, (size_t)1);
	if (session->batch_fits)
		batch = MIN(batch, session->batch_fits);
	window_set_batch(uplink->window, batch);
}

void session_send_samples(struct session *session)
{
	struct uplink *uplink = session->uplink;
	take_samples(session);
	if (session->ended || window_waiting(uplink->window) == 0 || !session_may_send(session))
		return;
	bound_batch(session);
	while (send_one(session) && !session->refused.on && !session->ended) {
		if (window_waiting(uplink->window) < (size_t)uplink->conf->batch)
			take_samples(session);
	}
}

void session_flush_cursor(struct session *session)
{
	struct uplink *uplink = session->uplink;
	uint64_t id;
	/* Before the queue's depth shrinks: a status asked for in between must not show a backlog of none. */
	uplink->done_ahead = window_done_ahead(uplink->window);
	if (window_cursor(uplink->window, &id))
		queue_reader_ack(uplink->reader, id);
}
