/* SPDX-License-Identifier: Apache-2.0 */
/* How a connection ends, in words, and what may help. */
#include "upstream/mqtt_private.h"
#include <ctype.h>
#include <errno.h>
#include <mqtt_protocol.h>
#include <string.h>

void mqtt_end_with(struct mqtt *mqtt, enum mqtt_end end)
{
	mqtt->phase = MQTT_ENDED;
	mqtt->end = end;
}

void mqtt_reason_to_string(unsigned code, struct reason *ret)
{
	reason_set(ret, "%s (0x%02X)", mosquitto_reason_string((int)code), code);
	ret->text[0] = (char)tolower((unsigned char)ret->text[0]);
}

/* ---- how it ends ---- */

void mqtt_end_refused(struct mqtt *mqtt, unsigned code)
{
	struct reason word;
	mqtt_reason_to_string(code, &word);
	mqtt->connack = (int)code;
	mqtt_end_with(mqtt, MQTT_END_OTHER);
	switch (code) {
	case 1:
	case MQTT_RC_UNSUPPORTED_PROTOCOL_VERSION:
		if (mqtt->v5)
			reason_set(&mqtt->reason,
				   "the broker does not speak MQTT 5 (version = 311 selects MQTT 3.1.1)");
		else
			reason_set(&mqtt->reason, "the broker does not speak MQTT 3.1.1 (version = 5 may help)");
		return;
	case 2:
	case MQTT_RC_CLIENTID_NOT_VALID:
		reason_set(&mqtt->reason, "the broker refuses the login: it does not accept this client_id");
		return;
	case 3:
		reason_set(&mqtt->reason, "the broker refuses the login: it is not available");
		return;
	case MQTT_RC_QOS_NOT_SUPPORTED:
		reason_set(&mqtt->reason, MQTT_ONLY_QOS_0);
		return;
	case 4:
	case MQTT_RC_BAD_USERNAME_OR_PASSWORD:
		reason_set(&mqtt->reason, "the broker refuses the login: bad username or password");
		return;
	case 5:
	case MQTT_RC_NOT_AUTHORIZED:
		reason_set(&mqtt->reason,
			   "the broker refuses the login: not authorized (username, password or client_id)");
		return;
	default:
		reason_set(&mqtt->reason, "the broker refuses the login: %s", word.text);
	}
}

/* A DISCONNECT of MQTT 5, section 3.14.2.1. */
void mqtt_end_disconnected(struct mqtt *mqtt, unsigned code)
{
	struct reason word;
	mqtt_reason_to_string(code, &word);
	switch (code) {
	case MQTT_RC_SESSION_TAKEN_OVER:
		mqtt_end_with(mqtt, MQTT_END_TAKEN_OVER);
		reason_set(&mqtt->reason, "another client has connected to the broker with the same client_id");
		return;
	case MQTT_RC_SERVER_SHUTTING_DOWN:
		mqtt_end_with(mqtt, MQTT_END_OTHER);
		reason_set(&mqtt->reason, "the broker is shutting down");
		return;
	case MQTT_RC_UNSPECIFIED:
	case MQTT_RC_MALFORMED_PACKET:
	case MQTT_RC_PROTOCOL_ERROR:
	case MQTT_RC_IMPLEMENTATION_SPECIFIC:
	case MQTT_RC_NOT_AUTHORIZED:
	case MQTT_RC_TOPIC_FILTER_INVALID:
	case MQTT_RC_TOPIC_NAME_INVALID:
	case MQTT_RC_PACKET_TOO_LARGE:
	case MQTT_RC_PAYLOAD_FORMAT_INVALID:
	case MQTT_RC_RETAIN_NOT_SUPPORTED:
	case MQTT_RC_QOS_NOT_SUPPORTED:
		mqtt_end_with(mqtt, MQTT_END_MESSAGE);
		break;
	default:
		mqtt_end_with(mqtt, MQTT_END_OTHER);
	}
	reason_set(&mqtt->reason, "the broker ended the connection: %s", word.text);
}

static void hung_up(struct mqtt *mqtt)
{
	bool ready = mqtt->phase == MQTT_READY;
	mqtt_end_with(mqtt, ready ? MQTT_END_MESSAGE : MQTT_END_OTHER);
	mqtt->hung_up = !ready;
	if (ready)
		reason_set(&mqtt->reason, "the broker closed the connection");
	else if (mqtt->tls && tls_explain(mqtt->tls, &mqtt->reason))
		return; /* TLS 1.3 refuses our certificate only after its handshake */
	else
		reason_set(&mqtt->reason, "the broker closed the connection before it answered%s",
			   !mqtt->tls && mqtt->v5
				   ? " (does this port want mqtts://? or does it speak MQTT 3.1.1 only: version = 311?)"
			   : !mqtt->tls ? " (does this port want mqtts://?)"
			   : mqtt->v5	? " (does it speak MQTT 3.1.1 only: version = 311?)"
					: "");
}

/* The wire broke. */
void mqtt_end_lost(struct mqtt *mqtt, int error)
{
	if (mqtt->phase == MQTT_ENDED)
		return;
	/* EPIPE is a write after the peer has closed: the same as reading its end. */
	if (error == 0 || error == EPIPE || error == ECONNRESET) {
		hung_up(mqtt);
		return;
	}
	mqtt_end_with(mqtt, MQTT_END_OTHER);
	if (error == EPROTO && !tls_explain(mqtt->tls, &mqtt->reason))
		reason_set(&mqtt->reason, "TLS failed");
	else if (error == EPROTO)
		return;
	else if (error == ENOMEM)
		reason_set(&mqtt->reason, "out of memory");
	else
		reason_set(&mqtt->reason, "network error: %s", strerror(error));
}

/* The library gave up. */
void mqtt_end_library(struct mqtt *mqtt, int rc)
{
	mqtt_end_with(mqtt, MQTT_END_OTHER);
	switch (rc) {
	case MOSQ_ERR_KEEPALIVE:
		reason_set(&mqtt->reason, "the broker has been silent for %u s", mqtt->keepalive_s);
		return;
	case MOSQ_ERR_NOMEM:
		reason_set(&mqtt->reason, "out of memory");
		return;
	case MOSQ_ERR_PROTOCOL:
	case MOSQ_ERR_MALFORMED_PACKET:
	case MOSQ_ERR_MALFORMED_UTF8:
	case MOSQ_ERR_DUPLICATE_PROPERTY:
		reason_set(&mqtt->reason, "the broker sent something that MQTT does not allow");
		return;
	default:
		reason_set(&mqtt->reason, "the MQTT library ended the connection: %s", mosquitto_strerror(rc));
	}
}

enum mqtt_reach mqtt_reach(const struct mqtt *mqtt)
{
	if (!mqtt->wire || wire_phase(mqtt->wire) == WIRE_CONNECTING)
		return MQTT_REACHED_NOBODY;
	return mqtt->local < 0 ? MQTT_REACHED_HOST : MQTT_REACHED_BROKER;
}

enum mqtt_advice mqtt_advice(const struct mqtt *mqtt)
{
	switch (mqtt->connack) {
	case -1:
		/* 3.1.1 has no word for it: such brokers hang up. */
		if (mqtt->hung_up && mqtt->local >= 0 && !mqtt->v5 && mqtt->will_stays)
			return MQTT_TRY_WITHOUT_RETAIN;
		return MQTT_TRY_OTHER_ADDRESS;
	case MQTT_RC_RETAIN_NOT_SUPPORTED:
		return mqtt->will_stays ? MQTT_TRY_WITHOUT_RETAIN : MQTT_TRY_LATER;
	case 3: /* MQTT 3.1.1: server unavailable */
	case MQTT_RC_UNSPECIFIED:
	case MQTT_RC_IMPLEMENTATION_SPECIFIC:
	case MQTT_RC_SERVER_UNAVAILABLE:
	case MQTT_RC_SERVER_BUSY:
	case MQTT_RC_QUOTA_EXCEEDED:
	case MQTT_RC_USE_ANOTHER_SERVER:
	case MQTT_RC_SERVER_MOVED:
	case MQTT_RC_CONNECTION_RATE_EXCEEDED:
		return MQTT_TRY_OTHER_ADDRESS;
	default:
		return MQTT_TRY_LATER;
	}
}

bool mqtt_may_be_the_will(const struct mqtt *mqtt)
{
	switch (mqtt->connack) {
	case -1:
		/* A web server's answer and silence come from no broker. */
		return mqtt->hung_up && mqtt_reach(mqtt) == MQTT_REACHED_BROKER;
	case 5: /* MQTT 3.1.1: not authorized */
	case MQTT_RC_UNSPECIFIED:
	case MQTT_RC_MALFORMED_PACKET:
	case MQTT_RC_PROTOCOL_ERROR:
	case MQTT_RC_IMPLEMENTATION_SPECIFIC:
	case MQTT_RC_NOT_AUTHORIZED:
	case MQTT_RC_TOPIC_NAME_INVALID:
	case MQTT_RC_PACKET_TOO_LARGE:
	case MQTT_RC_PAYLOAD_FORMAT_INVALID:
	case MQTT_RC_RETAIN_NOT_SUPPORTED:
	case MQTT_RC_QOS_NOT_SUPPORTED:
		return true;
	default:
		return false;
	}
}

enum mqtt_end mqtt_end(const struct mqtt *mqtt, struct reason *ret_reason)
{
	*ret_reason = mqtt->reason;
	return mqtt->end;
}
