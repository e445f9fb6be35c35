/* SPDX-License-Identifier: Apache-2.0 */
/* One connection of an uplink: from the greeting to its end. */
#include "upstream/session_private.h"
#include <errno.h>
#include <inttypes.h>
#include <poll.h>

#define ANNOUNCE_INFLIGHT ((size_t)16)
#define ACK_TIMEOUT_MIN_US (20 * USEC_PER_SEC)
#define GOODBYE_US USEC_PER_SEC
#define TICK_MAX_US (10 * USEC_PER_SEC)

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

void session_fail(struct session *session, const char *format, ...)
{
	va_list args;
	va_start(args, format);
	vsnprintf(session->result.reason.text, sizeof(session->result.reason.text), format, args);
	va_end(args);
	session->result.end = MQTT_END_OTHER;
	session->ended = true;
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
	if (session_reply_published(session, mid))
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
	if (code >= 128)
		session_refused(session, mid, code);
	else
		session_acknowledged(session, mid);
}

const struct mqtt_events session_events = {
	.published = published,
	.subscribed = session_subscribed,
	.command = session_take_command,
	.oversized = session_oversized,
};
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
		return mqtt_due_us(session->mqtt);
	if (session->more)
		return session->now_us;
	uint64_t due = MIN(mqtt_due_us(session->mqtt), session->now_us + TICK_MAX_US);
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
	if (ready && session_may_take(session) > 0)
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
		session_fail(session, MQTT_ONLY_QOS_0);
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
	if (!mqtt_retains(session->mqtt) && !uplink->retain_logged) {
		uplink->retain_logged = true;
		uplink_log(uplink, HAY_LOG_WARNING,
			   "the broker keeps no retained messages: status and devices are seen only by those who are "
			   "subscribed when they are sent");
	}
	uplink_set_state(uplink, UPLINK_CONNECTED, "");
	if (announce_begin(uplink->announce, &session->voice) < 0)
		session_fail(session, "out of memory");
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
		session_fail(session, "out of memory");
	if (!session->ended && mqtt_phase(session->mqtt) == MQTT_READY) {
		session_subscribe(session);
		session_send_replies(session);
		session_send_samples(session);
	}
	mqtt_flush(session->mqtt);
	session->more = uplink->conf->qos == 0 && uplink->conf->batch_wait_us == 0 &&
			window_inflight(uplink->window) == 0 && window_waiting(uplink->window) > 0 &&
			session_may_send(session);
	session_flush_cursor(session);
	uplink->inflight = window_inflight(uplink->window);
}

static void check_deadlines(struct session *session)
{
	char text[DURATION_TEXT_MAX];
	uint64_t oldest = oldest_sent_us(session);
	if (mqtt_phase(session->mqtt) == MQTT_READY && oldest != UINT64_MAX &&
	    session->now_us >= oldest + ack_timeout_us(session))
		session_fail(session, "the broker has not acknowledged a message for %s",
			     format_duration(session->now_us - oldest, text));
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
	session_flush_cursor(session);
	enum window_blame blame = WINDOW_BLAME_NOBODY;
	if (session->result.end == MQTT_END_MESSAGE) {
		bool only = window_inflight(uplink->window) == 0 && session_replies_inflight(session) == 0;
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
	session->mqtt = mqtt;
	session->quiet = quiet;
	session->now_us = clock_now();
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
