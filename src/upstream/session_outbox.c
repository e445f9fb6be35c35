/* SPDX-License-Identifier: Apache-2.0 */
/* A session's packets: given to the library in the outbox's order, and what the broker answers. */
#include "upstream/session_private.h"
#include <errno.h>
#include <limits.h>

#define OTHERS_INFLIGHT ((size_t)16)
#define REPLIES_TOPIC "" /* replies are suspect together */
#define PROVE_AT ((size_t)100)
#define PROVE_WAIT_US (500 * USEC_PER_MSEC)

/* ---- suspects ---- */

static bool is_barrier(const struct outgoing *outgoing)
{
	return outgoing->message.barrier != BARRIER_NONE;
}

/* As what it is suspected. False: never. What samples wait for is neither passed over nor given up: without it they
   are worth nothing to their receivers, and what a dialect numbers would have a gap. */
static bool suspect_of(struct outgoing *outgoing, enum suspect_kind *ret, const char **ret_topic)
{
	*ret_topic = buf_text(&outgoing->message.topic);
	if (is_barrier(outgoing))
		return false;
	switch (outgoing->kind) {
	case OUTGOING_SUBSCRIBE:
		*ret = SUSPECT_SUBSCRIBE;
		return true;
	case OUTGOING_REPLY:
		*ret = SUSPECT_REPLY;
		*ret_topic = REPLIES_TOPIC;
		return true;
	case OUTGOING_BIRTH:
	case OUTGOING_DEVICE:
	case OUTGOING_EVENT:
	case OUTGOING_DEATH:
		*ret = SUSPECT_ANNOUNCEMENT;
		return true;
	case OUTGOING_PROBE:
	case OUTGOING_DATA:
		return false;
	}
	return false;
}

static enum suspect_verdict verdict_of(struct session *session, struct outgoing *outgoing)
{
	enum suspect_kind kind;
	const char *topic;
	if (!suspect_of(outgoing, &kind, &topic))
		return SUSPECT_FREE;
	return suspects_verdict(session->uplink->suspects, kind, topic, session->now_us);
}

struct outgoing *session_packet_to_test(struct session *session)
{
	struct outgoing *least = NULL;
	unsigned fewest = UINT_MAX;
	for (struct outgoing *at = outbox_first(session->maker.outbox); at; at = at->next) {
		enum suspect_kind kind;
		const char *topic;
		/* Nothing that follows goes before it. */
		if (is_barrier(at))
			break;
		if (!suspect_of(at, &kind, &topic) || verdict_of(session, at) != SUSPECT_TEST)
			continue;
		unsigned strikes = suspects_strikes(session->uplink->suspects, kind, topic);
		if (strikes < fewest) {
			fewest = strikes;
			least = at;
		}
	}
	return least;
}

void session_name_suspects(struct session *session)
{
	for (struct outgoing *at = outbox_first_under_way(session->maker.outbox); at; at = at->next) {
		enum suspect_kind kind;
		const char *topic;
		if (suspect_of(at, &kind, &topic))
			suspects_under_way(session->uplink->suspects, kind, topic, at->sent_us);
	}
}

bool session_barrier_under_way(const struct session *session)
{
	const struct outgoing *at = outbox_first_under_way(session->maker.outbox);
	while (at && !is_barrier(at))
		at = at->next;
	return at;
}

/* ---- sending ---- */

bool session_may_publish(const struct session *session)
{
	return outbox_receives(session->maker.outbox) < mqtt_receive_maximum(session->mqtt);
}

static void log_too_large(struct session *session, struct outgoing *outgoing)
{
	struct uplink *uplink = session->uplink;
	const char *topic = buf_text(&outgoing->message.topic);
	if (!suspects_too_large(uplink->suspects, SUSPECT_ANNOUNCEMENT, topic))
		return;
	uplink_log(
		uplink, HAY_LOG_WARNING,
		"the message for %s is not sent: it has %zu bytes, and the broker accepts at most %zu; samples continue",
		topic, message_size(&outgoing->message), mqtt_max_packet(session->mqtt));
}

static int give_to_library(struct session *session, struct outgoing *outgoing, int *ret_mid)
{
	switch (outgoing->kind) {
	case OUTGOING_SUBSCRIBE:
		return mqtt_subscribe(session->mqtt, buf_text(&outgoing->message.topic), ret_mid);
	case OUTGOING_PROBE:
		return mqtt_unsubscribe(session->mqtt, buf_text(&outgoing->message.topic), ret_mid);
	default:
		return mqtt_publish(session->mqtt, &outgoing->message, ret_mid);
	}
}

/* MQTT or the broker cannot carry it: it never will be sent. */
static void outgoing_unsendable(struct session *session, struct outgoing *outgoing, int error)
{
	uint64_t owner = outgoing->owner;
	if (outgoing->kind == OUTGOING_DATA) {
		outbox_remove(session->maker.outbox, outgoing);
		session_message_unsendable(session, owner, error);
		return;
	}
	if (is_barrier(outgoing)) {
		session_fail(session, "the message for %s, which samples wait for, cannot be sent: %s",
			     buf_text(&outgoing->message.topic),
			     error == -EMSGSIZE ? "it is larger than the broker accepts"
						: "MQTT cannot carry its topic");
		outbox_remove(session->maker.outbox, outgoing);
		return;
	}
	if (error == -EMSGSIZE)
		log_too_large(session, outgoing);
	if (outgoing->kind == OUTGOING_EVENT || outgoing->kind == OUTGOING_DEVICE)
		announce_done(session->uplink->announce, &session->maker, outgoing);
	outbox_remove(session->maker.outbox, outgoing);
}

int session_send_packet(struct session *session, struct outgoing *outgoing)
{
	struct line_rate *line = &session->uplink->line;
	int mid = 0;
	size_t size = message_size(&outgoing->message);
	int r = give_to_library(session, outgoing, &mid);
	if (r == -EMSGSIZE || r == -EINVAL) {
		outgoing_unsendable(session, outgoing, r);
		return 1;
	}
	if (r < 0)
		return r;
	line_rate_queued(line, size, session->now_us);
	session->uplink->messages += outgoing->kind == OUTGOING_DATA;
	outbox_sent(session->maker.outbox, outgoing, mid, line->queued, session->now_us);
	return 0;
}

/* What was given up is not said. An event and what was dropped stay to be told, the rest is told anew with the next
   connection; a subscription is tried again in an hour. */
static void give_up(struct session *session, struct outgoing *outgoing)
{
	if (outgoing->kind == OUTGOING_SUBSCRIBE)
		return;
	if (outgoing->kind == OUTGOING_EVENT || outgoing->kind == OUTGOING_DEVICE)
		announce_not_taken(session->uplink->announce, outgoing);
	outbox_remove(session->maker.outbox, outgoing);
}

/* Those that are suspect are passed over, and so are those beyond what may be under way of them: samples need not
   wait for them, unless they are a barrier. */
int session_send_outbox(struct session *session)
{
	struct outbox *outbox = session->maker.outbox;
	bool barred = false;
	int r = 0;
	for (struct outgoing *at = outbox_first(outbox), *next; at && r >= 0 && !session->ended; at = next) {
		next = at->next;
		bool data = at->kind == OUTGOING_DATA;
		enum suspect_verdict verdict = data ? SUSPECT_FREE : verdict_of(session, at);
		if (verdict == SUSPECT_GIVEN_UP) {
			give_up(session, at);
			continue;
		}
		bool room = data ? !barred : outbox_others_under_way(outbox) < OTHERS_INFLIGHT;
		if (at->message.qos > 0 && !session_may_publish(session))
			break;
		if (room && verdict == SUSPECT_FREE)
			r = session_send_packet(session, at);
		else
			barred |= is_barrier(at);
		/* With one packet of a message the others went too. */
		if (r > 0)
			next = outbox_first(outbox);
	}
	return MIN(r, 0);
}

/* Of samples only. */
int session_send_data(struct session *session)
{
	struct outbox *outbox = session->maker.outbox;
	struct outgoing *at;
	int r = 0;
	while (r >= 0 && (at = outbox_first_data(outbox)) && (at->message.qos == 0 || session_may_publish(session)))
		r = session_send_packet(session, at);
	return MIN(r, 0);
}

/* ---- QoS 0 that is to be proved ---- */

static bool proof_is_wanted(const struct session *session)
{
	const struct outbox *outbox = session->maker.outbox;
	return outbox_unproved(outbox) > 0 &&
	       (outbox_unproved(outbox) >= PROVE_AT || window_full(session->uplink->window) ||
		session->now_us >= session_prove_due_us(session));
}

uint64_t session_prove_due_us(const struct session *session)
{
	const struct outgoing *first = outbox_first_under_way(session->maker.outbox);
	return first && outbox_unproved(session->maker.outbox) > 0 ? first->sent_us + PROVE_WAIT_US : UINT64_MAX;
}

void session_prove(struct session *session)
{
	struct message message = {0};
	if (!proof_is_wanted(session))
		return;
	/* An UNSUBSCRIBE of what was never subscribed to is always allowed, and always answered: MQTT 5, section
	   3.11. */
	buf_add_text(&message.topic, session->uplink->conf->client_id);
	buf_add_text(&message.topic, "/nothing");
	struct outgoing *probe = outbox_add(session->maker.outbox, OUTGOING_PROBE, 0, &message);
	if (probe)
		session_send_packet(session, probe);
	message_done(&message);
}

/* ---- answers ---- */

static void subscription_answered(struct session *session, const char *filter, unsigned code)
{
	struct uplink *uplink = session->uplink;
	struct reason word;
	if (code < 128) {
		suspects_passed(uplink->suspects, SUSPECT_SUBSCRIBE, filter, session->now_us);
		return;
	}
	if (!suspects_refused(uplink->suspects, SUSPECT_SUBSCRIBE, filter, session->now_us))
		return;
	mqtt_reason_to_string(code, &word);
	uplink_log(
		uplink, HAY_LOG_WARNING,
		"the broker refuses the subscription to commands (%s): %s; samples continue, trying again with a later connection",
		filter, word.text);
}

static void announcement_answered(struct session *session, struct outgoing *outgoing, unsigned code)
{
	struct uplink *uplink = session->uplink;
	const char *topic = buf_text(&outgoing->message.topic);
	bool noted = outgoing->kind == OUTGOING_EVENT || outgoing->kind == OUTGOING_DEVICE;
	if (code < 128) {
		session->result.delivered = true;
		suspects_passed(uplink->suspects, SUSPECT_ANNOUNCEMENT, topic, session->now_us);
		if (noted)
			announce_done(uplink->announce, &session->maker, outgoing);
		return;
	}
	struct reason word;
	mqtt_reason_to_string(code, &word);
	if (noted)
		announce_not_taken(uplink->announce, outgoing);
	if (outgoing->message.barrier == BARRIER_ACKED) {
		session_fail(session, "the broker refuses %s, which samples wait for: %s", topic, word.text);
		return;
	}
	if (!suspects_refused(uplink->suspects, SUSPECT_ANNOUNCEMENT, topic, session->now_us) ||
	    session->refusal_logged)
		return;
	session->refusal_logged = true;
	uplink_log(uplink, HAY_LOG_WARNING,
		   "the broker refuses %s: %s; samples continue, trying again on a later connection", topic, word.text);
}

static void reply_answered(struct session *session, unsigned code)
{
	if (code < 128)
		suspects_passed(session->uplink->suspects, SUSPECT_REPLY, REPLIES_TOPIC, session->now_us);
	else
		suspects_answered_no(session->uplink->suspects, session->now_us);
}

static void data_answered(struct session *session, uint64_t message, unsigned code)
{
	struct uplink *uplink = session->uplink;
	if (!window_message(uplink->window, message))
		return; /* another of its packets was refused: all of them are sent again */
	/* Its packets that wait leave all the same: the dialect has numbered them. */
	if (code >= 128 || session_counts_as_refused(session, code))
		session_refused(session, message, code);
	else if (window_packet_acked(uplink->window, message))
		session_acknowledged(session, message, code);
}

/* outbox_answer */
static void outgoing_answered(void *userdata, struct outgoing *outgoing, unsigned code)
{
	struct session *session = userdata;
	switch (outgoing->kind) {
	case OUTGOING_SUBSCRIBE:
		subscription_answered(session, buf_text(&outgoing->message.topic), code);
		break;
	case OUTGOING_BIRTH:
	case OUTGOING_DEVICE:
	case OUTGOING_EVENT:
		announcement_answered(session, outgoing, code);
		break;
	case OUTGOING_REPLY:
		reply_answered(session, code);
		break;
	case OUTGOING_DATA:
		data_answered(session, outgoing->owner, code);
		break;
	case OUTGOING_DEATH:
	case OUTGOING_PROBE:
		break;
	}
}

void session_published(void *userdata, int mid, unsigned code)
{
	struct session *session = userdata;
	outbox_answered(session->maker.outbox, mid, code, outgoing_answered, session);
}

static void ignore_answer(void *userdata, struct outgoing *outgoing, unsigned code)
{
	(void)userdata, (void)outgoing, (void)code;
}

/* A subscription that is not answered does no harm; all else shows that the broker does not do its work. */
void session_outbox_timed_out(struct session *session, uint64_t oldest_us)
{
	const struct outgoing *first = outbox_first_under_way(session->maker.outbox);
	char text[DURATION_TEXT_MAX];
	if (first->kind == OUTGOING_SUBSCRIBE) {
		uplink_log(session->uplink, HAY_LOG_DEBUG, "the broker has not answered a subscription for %s",
			   format_duration(session->now_us - oldest_us, text));
		outbox_answered(session->maker.outbox, first->mid, 0, ignore_answer, NULL);
		return;
	}
	session_fail(session, "the broker has not acknowledged a message for %s",
		     format_duration(session->now_us - oldest_us, text));
}
