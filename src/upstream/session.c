/* SPDX-License-Identifier: Apache-2.0 */
/* One connection of an uplink: from the greeting to its end. */
#include "base/clock.h"
#include "base/units.h"
#include "upstream/uplink_internal.h"
#include <errno.h>
#include <inttypes.h>
#include <mqtt_protocol.h>
#include <poll.h>
#include <string.h>

#define TAKE_AT_ONCE ((size_t)64)
#define ANNOUNCE_INFLIGHT ((size_t)16)
#define REPLIES_INFLIGHT 8
#define ACK_TIMEOUT_MIN_US (20 * USEC_PER_SEC)
#define GOODBYE_US USEC_PER_SEC
#define TICK_MAX_US (10 * USEC_PER_SEC)
#define DROP_LOG_PERIOD_US USEC_PER_MINUTE

struct session {
	struct uplink *uplink;
	struct announce_voice voice;
	struct mqtt *mqtt;
	struct session_result result;
	size_t window_messages; /* ours or the broker's Receive Maximum, whichever is less */
	uint64_t now_us;
	uint64_t deadline_us;	       /* CONNACK must have come by then */
	uint64_t retry_us;	       /* sending failed for want of memory: not before */
	int replies[REPLIES_INFLIGHT]; /* under way; 0: free */
	bool subscribed;
	bool quiet;
	bool ended; /* by us; result.reason says why */
	bool stop;
	bool more;   /* what was written made room at once (QoS 0) */
	int goodbye; /* the last message; 0: not sent, or answered */

	/* The broker turns our samples down by its own state. */
	struct {
		bool on;
		int probe; /* the message that feels the way; 0: none under way */
		uint64_t next_us;
		struct backoff backoff;
		uint64_t logged_us;
	} refused;
};

int session_new(struct uplink *uplink, void *dialect_state, struct session **ret)
{
	struct session *session = calloc(1, sizeof(*session));
	if (!session)
		return -ENOMEM;
	session->uplink = uplink;
	session->voice = (struct announce_voice){
		.dialect = uplink->dialect,
		.state = dialect_state,
		.queue = uplink->queue,
		.reader = uplink->reader,
	};
	session->refused.backoff.random = uplink->backoff.random ^ 0x9e3779b97f4a7c15u;
	*ret = session;
	return 0;
}

struct session *session_free(struct session *session)
{
	free(session);
	return NULL;
}

static void end_session(struct session *session, const char *format, ...) _printf_(2, 3);
static void end_session(struct session *session, const char *format, ...)
{
	va_list args;
	va_start(args, format);
	vsnprintf(session->result.reason.text, sizeof(session->result.reason.text), format, args);
	va_end(args);
	session->result.end = MQTT_END_OTHER;
	session->ended = true;
}

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

/* ---- commands ---- */

static size_t replies_inflight(const struct session *session)
{
	size_t n = 0;
	for (size_t i = 0; i < REPLIES_INFLIGHT; i++)
		n += session->replies[i] != 0;
	return n;
}

/* Somebody may write to a point: now the broker shall send us such messages. */
static void subscribe(struct session *session)
{
	struct uplink *uplink = session->uplink;
	if (session->subscribed || !uplink->wants_commands || !uplink->dialect->command_filter)
		return;
	session->subscribed = true;
	_cleanup_buf_ struct buf filter = {0};
	if (uplink->dialect->command_filter(session->voice.state, &filter) == 0)
		mqtt_subscribe(session->mqtt, buf_text(&filter));
}

static void subscribed(void *userdata, unsigned code)
{
	struct session *session = userdata;
	if (code >= 128 && !session->quiet)
		uplink_log(session->uplink, HAY_LOG_WARNING,
			   "the broker does not let us subscribe to commands; samples go on, trying again at the next "
			   "connect");
}

static void take_command(void *userdata, const char *topic, const void *payload, size_t size)
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
	int r = uplink->dialect->reply(session->voice.state, &command->command, &command->command.value, command->error,
				       &message);
	return r == 0 ? mqtt_publish(session->mqtt, &message, ret_mid) : r;
}

static void send_replies(struct session *session)
{
	size_t free_at = 0;
	for (;;) {
		while (free_at < REPLIES_INFLIGHT && session->replies[free_at])
			free_at++;
		size_t taken = replies_inflight(session) + announce_inflight(session->uplink->announce) +
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

static bool reply_published(struct session *session, int mid)
{
	for (size_t i = 0; i < REPLIES_INFLIGHT; i++)
		if (mid && session->replies[i] == mid) {
			session->replies[i] = 0;
			return true;
		}
	return false;
}

static void published(void *userdata, int mid, unsigned code)
{
	struct session *session = userdata;
	struct uplink *uplink = session->uplink;
	const char *topic;
	if (session->goodbye && mid == session->goodbye) {
		session->goodbye = 0;
		return;
	}
	if (reply_published(session, mid))
		return;
	if (announce_published(uplink->announce, &session->voice, mid, code, &topic)) {
		if (topic) {
			struct reason word;
			mqtt_reason_word(code, &word);
			uplink_log(uplink, HAY_LOG_WARNING,
				   "the broker turns down %s: %s; samples go on, trying again at the next connect",
				   topic, word.text);
		}
		session->result.delivered |= code < 128;
		return;
	}
	if (code >= 128 && refuses_by_state(code)) {
		refuse(session, mid, code);
		return;
	}
	bool probe = session->refused.on && mid == session->refused.probe;
	if (code >= 128)
		turn_down_for_ever(session, mid, code);
	else
		acknowledged(session, mid);
	if (probe)
		accepted_again(session);
}

const struct mqtt_events session_events = {.published = published, .subscribed = subscribed, .command = take_command};

/* ---- samples ---- */

static size_t may_take(struct session *session)
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
	for (size_t may = may_take(session); may > 0; may = may_take(session)) {
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
			end_session(session, "out of memory");
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
static bool may_send(struct session *session)
{
	struct uplink *uplink = session->uplink;
	if (session->now_us < session->retry_us)
		return false;
	if ((window_alone(uplink->window) || announce_alone(uplink->announce)) && !announce_idle(uplink->announce))
		return false;
	size_t messages = session->window_messages;
	if (uplink->conf->qos > 0) {
		size_t taken = announce_inflight(uplink->announce) + replies_inflight(session);
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

static void send_samples(struct session *session)
{
	struct uplink *uplink = session->uplink;
	take_samples(session);
	if (session->ended || window_waiting(uplink->window) == 0 || !may_send(session))
		return;
	while (send_one(session) && !session->refused.on && !session->ended) {
		if (window_waiting(uplink->window) < (size_t)uplink->conf->batch)
			take_samples(session);
	}
}

static void flush_cursor(struct session *session)
{
	uint64_t id;
	if (window_cursor(session->uplink->window, &id))
		queue_reader_ack(session->uplink->reader, id);
}

/* ---- the loop ---- */

static uint64_t oldest_sent_us(const struct session *session)
{
	return MIN(window_oldest_sent_us(session->uplink->window), announce_oldest_sent_us(session->uplink->announce));
}

static uint64_t ack_timeout_us(const struct session *session)
{
	return MAX(ACK_TIMEOUT_MIN_US, session->uplink->conf->keepalive_us);
}

/* When something is to be done although nothing happens. */
static uint64_t next_due_us(struct session *session)
{
	const struct uplink *uplink = session->uplink;
	if (mqtt_phase(session->mqtt) != MQTT_READY)
		return session->deadline_us;
	if (session->more)
		return session->now_us;
	uint64_t due = session->now_us + MIN(MAX(uplink->conf->keepalive_us / 4, USEC_PER_SEC), TICK_MAX_US);
	uint64_t oldest = oldest_sent_us(session);
	if (oldest != UINT64_MAX)
		due = MIN(due, oldest + ack_timeout_us(session));
	if (announce_waits_for_seq(uplink->announce))
		due = MIN(due, session->now_us + USEC_PER_SEC);
	if (session->retry_us > session->now_us)
		due = MIN(due, session->retry_us);
	if (session->refused.on)
		return session->refused.next_us > session->now_us ? MIN(due, session->refused.next_us) : due;
	due = MIN(due, window_due_us(uplink->window));
	/* Live samples lend tokens too, so a low rate must not make us look away for long. */
	uint64_t wait = window_room(uplink->window) > 0 ? replay_wait_us(&uplink->replay) : 0;
	if (wait > 0)
		due = MIN(due, session->now_us + MIN(MAX(wait, 10 * USEC_PER_MSEC), USEC_PER_SEC));
	return due;
}

static enum mqtt_phase wait_and_turn(struct session *session, uint64_t until_us)
{
	struct uplink *uplink = session->uplink;
	struct pollfd fds[] = {
		{.fd = -1},
		{.fd = uplink->stop_fd, .events = POLLIN},
		{.fd = uplink->wake_fd, .events = POLLIN},
		{.fd = -1, .events = POLLIN},
	};
	mqtt_poll(session->mqtt, &fds[0]);
	bool ready = mqtt_phase(session->mqtt) == MQTT_READY && !session->stop;
	if (session->stop)
		fds[1].fd = -1;
	/* It stays readable while samples wait that may not be taken. */
	if (ready && may_take(session) > 0)
		fds[3].fd = queue_reader_fd(uplink->reader);
	uint64_t wait_us = until_us > session->now_us ? until_us - session->now_us : 0;
	uplink->turn_us = 0;
	int n = poll(fds, ELEMENTS(fds), (int)MIN((wait_us + 999) / USEC_PER_MSEC, 60000));
	session->now_us = clock_now();
	uplink->turn_us = session->now_us;
	if (n < 0)
		fds[0].revents = 0;
	session->stop |= n > 0 && fds[1].revents;
	if (n > 0 && (fds[2].revents & POLLIN)) {
		uint64_t count;
		if (read(uplink->wake_fd, &count, sizeof(count)) < 0)
			errno = 0;
	}
	return mqtt_turn(session->mqtt, fds[0].revents);
}

/* CONNACK came: say who we are. */
static void begin(struct session *session)
{
	struct uplink *uplink = session->uplink;
	const char *tls = mqtt_tls_word(session->mqtt);
	if (uplink->conf->qos > mqtt_max_qos(session->mqtt)) {
		end_session(session, MQTT_ONLY_QOS_0);
		return;
	}
	session->result.was_ready = true;
	session->result.ready_us = session->now_us;
	session->window_messages = (size_t)uplink->conf->inflight;
	uplink->connects++;
	uint64_t depth = queue_reader_depth(uplink->reader);
	replay_start(&uplink->replay, uplink->conf->replay_rate, session->now_us, queue_appended(uplink->queue));
	uplink_log(uplink, session->quiet ? HAY_LOG_DEBUG : HAY_LOG_NOTICE,
		   "connected to %s:%u, MQTT %s%s%s, %" PRIu64 " sample%s waiting", uplink->conf->host,
		   uplink->conf->port, uplink->conf->version == 5 ? "5" : "3.1.1", tls ? ", " : ", no TLS",
		   tls ? tls : "", depth, depth == 1 ? "" : "s");
	uplink_set_state(uplink, UPLINK_CONNECTED, "");
	if (announce_begin(uplink->announce, &session->voice) < 0)
		end_session(session, "out of memory");
}

/* How many messages besides samples may be under way now: the broker counts them together. */
static size_t announce_limit(const struct session *session)
{
	const struct uplink *uplink = session->uplink;
	size_t inflight = uplink->conf->qos > 0 ? window_inflight(uplink->window) : 0;
	size_t maximum = mqtt_receive_maximum(session->mqtt);
	return MIN(ANNOUNCE_INFLIGHT, maximum - MIN(inflight, maximum));
}

static void speak(struct session *session)
{
	struct uplink *uplink = session->uplink;
	int r = announce_send(uplink->announce, &session->voice, session->mqtt, announce_limit(session),
			      session->now_us);
	if (r == -ENOMEM)
		end_session(session, "out of memory");
	if (!session->ended && mqtt_phase(session->mqtt) == MQTT_READY) {
		subscribe(session);
		send_replies(session);
		send_samples(session);
	}
	mqtt_flush(session->mqtt);
	session->more = uplink->conf->qos == 0 && uplink->conf->batch_wait_us == 0 &&
			window_inflight(uplink->window) == 0 && window_waiting(uplink->window) > 0 && may_send(session);
	flush_cursor(session);
	uplink->inflight = window_inflight(uplink->window);
}

static void check_deadlines(struct session *session)
{
	char text[DURATION_TEXT_MAX];
	uint64_t oldest = oldest_sent_us(session);
	if (mqtt_phase(session->mqtt) == MQTT_GREETING) {
		if (session->now_us >= session->deadline_us)
			end_session(session, "the broker accepted the connection but did not answer within %s",
				    format_duration(session->uplink->conf->connect_timeout_us, text));
	} else if (oldest != UINT64_MAX && session->now_us >= oldest + ack_timeout_us(session)) {
		end_session(session, "the broker has not acknowledged a message for %s",
			    format_duration(session->now_us - oldest, text));
	}
}

/* Clear what is retained of the devices. */
static void withdraw(struct session *session, uint64_t until_us)
{
	struct announce *announce = session->uplink->announce;
	announce_withdraw(announce);
	while (session->now_us < until_us && mqtt_phase(session->mqtt) == MQTT_READY &&
	       announce_send(announce, &session->voice, session->mqtt, announce_limit(session), session->now_us) == 0 &&
	       !announce_idle(announce)) {
		mqtt_flush(session->mqtt);
		wait_and_turn(session, until_us);
	}
	session->uplink->withdrawn = announce_idle(announce);
}

/* `online: false`, and a second for the broker to acknowledge it; then leave. */
static void say_goodbye(struct session *session)
{
	struct uplink *uplink = session->uplink;
	_cleanup_(message_done) struct message message = {0};
	uint64_t until = session->now_us + GOODBYE_US;
	if (uplink->withdraws)
		withdraw(session, until);
	int r = uplink->dialect->death(session->voice.state, &message);
	/* Nobody is to be told any more that there is a gateway of that name. */
	if (uplink->withdraws && message.retain)
		buf_clear(&message.payload);
	if (r == 0 && mqtt_publish(session->mqtt, &message, &session->goodbye) == 0) {
		mqtt_flush(session->mqtt);
		while (session->goodbye && session->now_us < until && mqtt_phase(session->mqtt) == MQTT_READY)
			wait_and_turn(session, until);
	}
	mqtt_disconnect(session->mqtt);
}

static void finish(struct session *session)
{
	struct uplink *uplink = session->uplink;
	if (session->ended)
		mqtt_give_up(session->mqtt);
	else
		session->result.end = mqtt_end(session->mqtt, &session->result.reason);
	flush_cursor(session);
	enum window_blame blame = WINDOW_BLAME_NOBODY;
	if (session->result.end == MQTT_END_MESSAGE) {
		bool only = window_inflight(uplink->window) == 0 && replies_inflight(session) == 0;
		const char *topic = announce_broke(uplink->announce, only);
		if (topic)
			uplink_log(uplink, HAY_LOG_WARNING,
				   "messages for %s are given up until this uplink is started anew: it broke the "
				   "connection "
				   "three times, alone; samples go on",
				   topic);
		blame = announce_idle(uplink->announce) ? WINDOW_BLAME_MESSAGE : WINDOW_BLAME_SOMEBODY;
	}
	window_break(uplink->window, blame);
	queue_reader_rewind(uplink->reader);
	uplink->inflight = 0;
}

void session_run(struct session *session, struct mqtt *mqtt, bool quiet, struct session_result *ret)
{
	struct uplink *uplink = session->uplink;
	session->mqtt = mqtt;
	session->quiet = quiet;
	session->now_us = clock_now();
	session->deadline_us = session->now_us + uplink->conf->connect_timeout_us;
	while (!session->ended) {
		enum mqtt_phase phase = wait_and_turn(session, next_due_us(session));
		if (phase == MQTT_READY && !session->result.was_ready)
			begin(session);
		if (phase == MQTT_ENDED || session->ended)
			break;
		if (session->stop) {
			if (phase == MQTT_READY)
				say_goodbye(session);
			break;
		}
		if (phase == MQTT_READY)
			speak(session);
		check_deadlines(session);
	}
	finish(session);
	*ret = session->result;
}
