/* SPDX-License-Identifier: Apache-2.0 */
/* One connection of an uplink: from the greeting to its end. */
#include "upstream/session_private.h"
#include <errno.h>
#include <inttypes.h>
#include <poll.h>

#define ACK_TIMEOUT_MIN_US (20 * USEC_PER_SEC)
#define LEAVE_US USEC_PER_SEC
#define TICK_MAX_US (10 * USEC_PER_SEC)
#define LINE_TICK_US (100 * USEC_PER_MSEC) /* while something waits for a slow line */
#define AGAIN_MIN_US USEC_PER_SEC	   /* a connection that lasted so long is followed by another without a pause */
#define BIRTH_AGAIN_US (5 * USEC_PER_SEC)  /* asked for more often, hosts may loop */

int session_new(struct uplink *uplink, void *dialect_state, struct session **ret)
{
	struct session *session = calloc(1, sizeof(*session));
	if (!session)
		return -ENOMEM;
	session->uplink = uplink;
	session->renew_us = UINT64_MAX;
	session->maker = (struct announce_maker){
		.dialect = uplink->dialect,
		.state = dialect_state,
		.outbox = outbox_new(uplink->dialect->flags & DIALECT_PROVES),
		.queue = uplink->queue,
		.reader = uplink->reader,
	};
	session->refused.backoff.random = uplink->backoff.random ^ 0x9e3779b97f4a7c15u;
	if (!session->maker.outbox) {
		free(session);
		return -ENOMEM;
	}
	*ret = session;
	return 0;
}

struct session *session_free(struct session *session)
{
	if (session)
		outbox_free(session->maker.outbox);
	free(session);
	return NULL;
}

void session_set_will(struct session *session, bool with_will)
{
	session->with_will = with_will;
}

void session_set_renewal(struct session *session, uint64_t renew_us)
{
	session->renew_us = renew_us;
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

const struct mqtt_events session_events = {
	.published = session_published,
	.received = session_received,
	.oversized = session_oversized,
};

/* ---- the loop ---- */

/* What waits in this machine for a slow line is not late: it has not left. */
static void observe_line(struct session *session)
{
	struct line_rate *line = &session->uplink->line;
	line_rate_observe(line, mqtt_unsent(session->mqtt), session->now_us);
	outbox_left(session->maker.outbox, line->left, session->now_us);
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
	uint64_t oldest = outbox_oldest_left_us(session->maker.outbox);
	due = MIN(due, MIN(session->renew_us, session_prove_due_us(session)));
	if (session->birth_wanted)
		due = MIN(due, session->birth_us + BIRTH_AGAIN_US);
	if (oldest != UINT64_MAX)
		due = MIN(due, oldest + ack_timeout_us(session));
	if (line_rate_stuck_since(&uplink->line) != UINT64_MAX)
		due = MIN(due, session->now_us + LINE_TICK_US);
	due = MIN(due, suspects_due_us(uplink->suspects, session->now_us));
	uint64_t held = held_topics_due_us(&uplink->held_topics, uplink->context.connection);
	due = held > session->now_us ? MIN(due, held) : due;
	if (announce_waits_for_seq(uplink->announce))
		due = MIN(due, session->now_us + USEC_PER_SEC);
	if (session->retry_us > session->now_us)
		due = MIN(due, session->retry_us);
	if (session->refused.on)
		return session->refused.next_us > session->now_us ? MIN(due, session->refused.next_us) : due;
	due = MIN(due, window_due_us(uplink->window));
	/* Live samples take tokens too, so with a low rate the wait must still be short. */
	uint64_t wait = window_space(uplink->window) > 0 ? replay_wait_us(&uplink->replay) : 0;
	if (window_waiting(uplink->window) > 0)
		wait = MAX(wait, quota_wait_us(&uplink->quota));
	if (wait > 0)
		due = MIN(due, session->now_us + MIN(MAX(wait, 10 * USEC_PER_MSEC), USEC_PER_SEC));
	return due;
}

static enum mqtt_phase wait_for_events(struct session *session, uint64_t until_us)
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
	if (ready && !session->holds_back && session_may_take(session) > 0)
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
	return mqtt_wait(session->mqtt, fds[0].revents);
}

/* CONNACK came: say who we are. */
static void session_begin(struct session *session)
{
	struct uplink *uplink = session->uplink;
	const char *tls = mqtt_tls_version(session->mqtt);
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
		uplink_log(
			uplink, HAY_LOG_WARNING,
			"the broker keeps no retained messages: status and devices reach only clients that are subscribed when they are sent");
	}
	uplink_set_state(uplink, UPLINK_CONNECTED, "");
	line_rate_start(&uplink->line);
	session->birth_us = session->now_us;
	if (announce_begin(uplink->announce, &session->maker) < 0)
		session_fail(session, "out of memory");
	switch (suspects_connected(uplink->suspects, session->with_will, session->now_us)) {
	case SUSPECT_TEST:
		/* The broker is there: what the failures before made of the pause does not count any more. */
		session->result.delivered = true;
		session_fail(session, "connected without a will, to find out whether the broker rejects the will");
		break;
	case SUSPECT_GIVEN_UP:
		uplink_log(
			uplink, HAY_LOG_WARNING,
			"the broker accepts the connection only without a will: subscribers do not learn when this gateway dies; trying again in an hour at the earliest. Let this client publish to its status topic");
		break;
	default:
		break;
	}
}

/* ---- what is tried alone ---- */

static bool something_under_way(const struct session *session)
{
	return outbox_under_way(session->maker.outbox) > 0 || outbox_data_waits(session->maker.outbox);
}

static enum session_test test_is_due(struct session *session)
{
	enum session_test test = TEST_NONE;
	if (session_packet_to_test(session))
		return TEST_PACKET;
	session_samples_want_test(session, &test);
	return test;
}

static int send_test(struct session *session, enum session_test test)
{
	session->test = test;
	if (test == TEST_PACKET)
		return session_send_packet(session, session_packet_to_test(session));
	session_test_sample(session);
	return session_send_data(session);
}

/* True: one is under way, or waits for the rest to be answered. */
static bool try_alone(struct session *session, int *ret_error)
{
	bool under_way = something_under_way(session);
	if (session->test && under_way)
		return true;
	session->test = TEST_NONE;
	enum session_test test = test_is_due(session);
	if (!test || under_way)
		return test;
	*ret_error = send_test(session, test);
	return true;
}

/* ---- a turn ---- */

static int make_messages(struct session *session)
{
	struct uplink *uplink = session->uplink;
	int r = 0;
	if (session->birth_wanted && session->now_us >= session->birth_us + BIRTH_AGAIN_US) {
		session->birth_wanted = false;
		session->birth_us = session->now_us;
		r = announce_birth(uplink->announce, &session->maker);
	}
	if (r >= 0)
		r = announce_make(uplink->announce, &session->maker, session->now_us);
	if (r >= 0)
		r = session_subscribe(session);
	session_make_replies(session);
	return r;
}

static int send_all(struct session *session)
{
	int r = session_send_outbox(session);
	if (r >= 0)
		session_send_samples(session);
	return r;
}

static void send_pending(struct session *session)
{
	struct uplink *uplink = session->uplink;
	observe_line(session);
	int r = make_messages(session);
	session->holds_back = r >= 0 && try_alone(session, &r);
	if (r >= 0)
		r = session->holds_back ? session_send_data(session) : send_all(session);
	session_prove(session);
	if (r == -ENOMEM)
		session_fail(session, "out of memory");
	mqtt_flush(session->mqtt);
	observe_line(session);
	bool qos_0 = uplink->conf->qos == 0 && uplink->conf->batch_wait_us == 0 && window_inflight(uplink->window) == 0;
	session->more = (qos_0 || session->line_full) && window_waiting(uplink->window) > 0 && !session->holds_back &&
			!line_rate_full(&uplink->line) && session_may_send(session);
	session_flush_cursor(session);
	session_show_held(session);
	uplink->inflight = window_inflight(uplink->window);
}

static void check_deadlines(struct session *session)
{
	char text[DURATION_TEXT_MAX];
	uint64_t oldest = outbox_oldest_left_us(session->maker.outbox),
		 stuck = line_rate_stuck_since(&session->uplink->line);
	if (mqtt_phase(session->mqtt) != MQTT_READY)
		return;
	if (stuck != UINT64_MAX && session->now_us >= stuck + ack_timeout_us(session))
		session_fail(session, "the network has accepted no data for %s",
			     format_duration(session->now_us - stuck, text));
	else if (oldest != UINT64_MAX && session->now_us >= oldest + ack_timeout_us(session))
		session_outbox_timed_out(session, oldest);
	if (session->now_us >= session->renew_us) {
		session->reconnect = true;
		reason_set(&session->result.reason, "the login expires soon: connecting with a new one");
	}
}

/* Until what is no sample is answered. */
static void await_answers(struct session *session, uint64_t until_us)
{
	struct outbox *outbox = session->maker.outbox;
	while (session->now_us < until_us && mqtt_phase(session->mqtt) == MQTT_READY &&
	       session_send_outbox(session) == 0 && outbox_others_under_way(outbox) > 0) {
		mqtt_flush(session->mqtt);
		wait_for_events(session, until_us);
	}
}

/* Clear what is retained of the devices. */
static void withdraw_devices(struct session *session, uint64_t until_us)
{
	struct announce *announce = session->uplink->announce;
	announce_withdraw(announce);
	do {
		if (announce_make(announce, &session->maker, session->now_us) < 0)
			return;
		await_answers(session, until_us);
	} while (announce_has_news(announce) && session->now_us < until_us && mqtt_phase(session->mqtt) == MQTT_READY);
	session->uplink->withdrawn =
		!announce_has_news(announce) && outbox_others_under_way(session->maker.outbox) == 0;
}

/* message_sink */
static int put_last_message(void *userdata, struct message *message)
{
	struct session *session = userdata;
	/* Nobody is to be told any more that there is a gateway of that name. */
	if (session->uplink->withdraws && message->retain)
		buf_clear(&message->payload);
	return outbox_add(session->maker.outbox, OUTGOING_DEATH, 0, message) ? 0 : -ENOMEM;
}

/* The dialect's last message, and a second for the broker to acknowledge it; then leave. What the broker hangs up
   over is passed over. */
static void leave_broker(struct session *session)
{
	struct uplink *uplink = session->uplink;
	uint64_t until = session->now_us + LEAVE_US;
	if (uplink->withdraws)
		withdraw_devices(session, until);
	if (!uplink->dialect->death || uplink->dialect->death(session->maker.state, put_last_message, session) == 0)
		await_answers(session, until);
	mqtt_disconnect(session->mqtt);
}

void session_run(struct session *session, struct mqtt *mqtt, bool quiet, struct session_result *ret)
{
	session->mqtt = mqtt;
	session->quiet = quiet;
	session->now_us = clock_now();
	while (!session->ended) {
		enum mqtt_phase phase = wait_for_events(session, next_due_us(session));
		if (phase == MQTT_READY && !session->result.was_ready)
			session_begin(session);
		if (phase == MQTT_ENDED || session->ended)
			break;
		if (session->stop || session->reconnect) {
			/* Asked to by a message that is retained, it would be asked again each time. */
			session->result.again =
				session->reconnect && session->now_us >= session->result.ready_us + AGAIN_MIN_US;
			if (phase == MQTT_READY)
				leave_broker(session);
			break;
		}
		if (phase == MQTT_READY) {
			uplink_watch_certificate(session->uplink, session->now_us);
			send_pending(session);
		}
		check_deadlines(session);
	}
	session_finish(session);
	*ret = session->result;
}
