/* SPDX-License-Identifier: Apache-2.0 */
#include "base/clock.h"
#include "upstream/mqtt_private.h"
#include <errno.h>
#include <mqtt_protocol.h>
#include <pthread.h>
#include <string.h>

#define PACKET_EXTRA ((size_t)8) /* of a PUBLISH besides topic and payload, about */

/* ---- libmosquitto's callbacks; errno is left at 0, else its reading loop stops with packets unread ---- */

static void on_connect(struct mosquitto *client, void *userdata, int code, int flags, const mosquitto_property *props)
{
	(void)client, (void)flags;
	struct mqtt *mqtt = userdata;
	if (code == 0) {
		uint16_t maximum;
		if (mosquitto_property_read_int16(props, MQTT_PROP_RECEIVE_MAXIMUM, &maximum, false) && maximum > 0)
			mqtt->receive_maximum = maximum;
		uint32_t size;
		if (mosquitto_property_read_int32(props, MQTT_PROP_MAXIMUM_PACKET_SIZE, &size, false))
			mqtt->max_packet = size;
		uint16_t keepalive_s;
		if (mosquitto_property_read_int16(props, MQTT_PROP_SERVER_KEEP_ALIVE, &keepalive_s, false))
			mqtt->keepalive_s = keepalive_s;
		uint8_t retain;
		if (mosquitto_property_read_byte(props, MQTT_PROP_RETAIN_AVAILABLE, &retain, false))
			mqtt->retain &= retain != 0;
		uint8_t qos;
		if (mosquitto_property_read_byte(props, MQTT_PROP_MAXIMUM_QOS, &qos, false))
			mqtt->max_qos = MIN(qos, 1);
		mqtt->phase = MQTT_READY;
	} else {
		mqtt_end_refused(mqtt, (unsigned)code);
	}
	errno = 0;
}

static void on_disconnect(struct mosquitto *client, void *userdata, int code, const mosquitto_property *props)
{
	(void)client, (void)props;
	struct mqtt *mqtt = userdata;
	if (mqtt->phase != MQTT_ENDED) {
		if (code >= MQTT_RC_UNSPECIFIED)
			mqtt_end_disconnected(mqtt, (unsigned)code);
		else
			mqtt_end_library(mqtt, code);
	}
	errno = 0;
}

static void on_publish(struct mosquitto *client, void *userdata, int mid, int reason, const mosquitto_property *props)
{
	(void)client, (void)props;
	struct mqtt *mqtt = userdata;
	mqtt->events->published(mqtt->userdata, mid, (unsigned)reason);
	errno = 0;
}

static void on_message(struct mosquitto *client, void *userdata, const struct mosquitto_message *message,
		       const mosquitto_property *props)
{
	(void)client, (void)props;
	struct mqtt *mqtt = userdata;
	const struct dialect_incoming incoming = {
		.topic = message->topic,
		.payload = message->payload,
		.size = (size_t)message->payloadlen,
		.retain = message->retain,
	};
	if (mqtt->events->received)
		mqtt->events->received(mqtt->userdata, &incoming);
	errno = 0;
}

static void on_subscribe(struct mosquitto *client, void *userdata, int mid, int n, const int *granted,
			 const mosquitto_property *props)
{
	(void)client, (void)props;
	struct mqtt *mqtt = userdata;
	if (n > 0)
		mqtt->events->published(mqtt->userdata, mid, (unsigned)granted[0]);
	errno = 0;
}

/* What it says does not matter: it is asked for its own sake. */
static void on_unsubscribe(struct mosquitto *client, void *userdata, int mid, const mosquitto_property *props)
{
	(void)client, (void)props;
	struct mqtt *mqtt = userdata;
	mqtt->events->published(mqtt->userdata, mid, 0);
	errno = 0;
}

/* ---- life ---- */

static void init_library(void)
{
	mosquitto_lib_init();
}

struct mqtt *mqtt_free(struct mqtt *mqtt)
{
	if (!mqtt)
		return NULL;
	mosquitto_destroy(mqtt->client);
	wire_free(mqtt->wire);
	if (mqtt->local >= 0)
		close(mqtt->local);
	buf_done(&mqtt->in);
	buf_done(&mqtt->acks);
	free(mqtt);
	return NULL;
}

static int configure_client(struct mosquitto *client, const struct mqtt_settings *settings)
{
	int rc = mosquitto_int_option(client, MOSQ_OPT_PROTOCOL_VERSION,
				      settings->v5 ? MQTT_PROTOCOL_V5 : MQTT_PROTOCOL_V311);
	/* Our window is the only bound: what the library held back it would send in its own time. */
	if (rc == MOSQ_ERR_SUCCESS)
		rc = mosquitto_max_inflight_messages_set(client, 65535);
	if (rc == MOSQ_ERR_SUCCESS && settings->username)
		rc = mosquitto_username_pw_set(client, settings->username, settings->password);
	if (rc == MOSQ_ERR_SUCCESS && settings->will) {
		const struct message *will = settings->will;
		struct buf topic = will->topic;
		_cleanup_free_ char *text = strndup(topic.data, topic.size);
		rc = !text ? MOSQ_ERR_NOMEM
			   : mosquitto_will_set(client, text, (int)will->payload.size, will->payload.data, will->qos,
						will->retain && !settings->no_retain);
	}
	return rc == MOSQ_ERR_SUCCESS ? 0 : rc == MOSQ_ERR_NOMEM ? -ENOMEM : -EINVAL;
}

int mqtt_new(const struct mqtt_settings *settings, const struct mqtt_events *events, void *userdata, struct mqtt **ret)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;
	pthread_once(&once, init_library);
	struct mqtt *mqtt = calloc(1, sizeof(*mqtt));
	if (!mqtt)
		return -ENOMEM;
	mqtt->events = events;
	mqtt->userdata = userdata;
	mqtt->v5 = settings->v5;
	mqtt->tls = settings->tls;
	mqtt->keepalive_s = settings->keepalive_s;
	mqtt->receive_maximum = 65535;
	mqtt->max_packet = MQTT_MAX_PAYLOAD;
	mqtt->max_qos = 1;
	mqtt->retain = !settings->no_retain;
	mqtt->will_stays = mqtt->retain && settings->will && settings->will->retain;
	mqtt->local = -1;
	mqtt->connack = -1;
	mqtt->client = mosquitto_new(settings->client_id, true, mqtt);
	int r = mqtt->client ? configure_client(mqtt->client, settings) : errno == EINVAL ? -EINVAL : -ENOMEM;
	if (r < 0) {
		mqtt_free(mqtt);
		return r;
	}
	/* Publishing then only queues, and all writing is done by mqtt_flush(): a write that fails inside
	   mosquitto_publish() is not handled well by the library (2.0.11 leaks the packet). */
	mosquitto_threaded_set(mqtt->client, true);
	mosquitto_connect_v5_callback_set(mqtt->client, on_connect);
	mosquitto_disconnect_v5_callback_set(mqtt->client, on_disconnect);
	mosquitto_publish_v5_callback_set(mqtt->client, on_publish);
	mosquitto_subscribe_v5_callback_set(mqtt->client, on_subscribe);
	mosquitto_unsubscribe_v5_callback_set(mqtt->client, on_unsubscribe);
	mosquitto_message_v5_callback_set(mqtt->client, on_message);
	*ret = mqtt;
	return 0;
}

int mqtt_connect(struct mqtt *mqtt, const struct resolved_address *address, uint64_t deadline_us,
		 struct reason *ret_reason)
{
	SSL *tls = mqtt->tls ? tls_session(mqtt->tls) : NULL;
	mqtt->begun_us = clock_now();
	mqtt->deadline_us = deadline_us;
	if (mqtt->tls && !tls) {
		reason_set(ret_reason, "out of memory");
		return -ENOMEM;
	}
	return wire_new((const struct sockaddr *)&address->storage, address->size, tls, &mqtt->wire, ret_reason);
}

enum mqtt_phase mqtt_phase(const struct mqtt *mqtt)
{
	return mqtt->phase;
}

bool mqtt_carries_topic(const struct buf *topic)
{
	return topic->size > 0 && topic->size <= UINT16_MAX &&
	       mosquitto_pub_topic_check2(topic->data, topic->size) == MOSQ_ERR_SUCCESS &&
	       mosquitto_validate_utf8(topic->data, (int)topic->size) == MOSQ_ERR_SUCCESS;
}

int mqtt_publish(struct mqtt *mqtt, const struct message *message, int *ret_mid)
{
	if (message->payload.size > MQTT_MAX_PAYLOAD)
		return -EMSGSIZE;
	_cleanup_free_ char *long_topic = NULL;
	char short_topic[256];
	const char *topic = short_topic;
	if (message->topic.size < sizeof(short_topic)) {
		memcpy(short_topic, message->topic.data, message->topic.size);
		short_topic[message->topic.size] = '\0';
	} else {
		topic = long_topic = strndup(message->topic.data, message->topic.size);
		if (!topic)
			return -ENOMEM;
	}
	int rc = mosquitto_publish(mqtt->client, ret_mid, topic, (int)message->payload.size, message->payload.data,
				   MIN(message->qos, mqtt->max_qos), message->retain && mqtt->retain);
	switch (rc) {
	case MOSQ_ERR_SUCCESS:
		mqtt->queued += message->topic.size + message->payload.size + PACKET_EXTRA;
		return 0;
	case MOSQ_ERR_OVERSIZE_PACKET:
	case MOSQ_ERR_PAYLOAD_SIZE:
		return -EMSGSIZE;
	case MOSQ_ERR_INVAL:
	case MOSQ_ERR_MALFORMED_UTF8:
		return -EINVAL;
	case MOSQ_ERR_NOMEM:
		return -ENOMEM;
	default:
		mqtt_check(mqtt, rc);
		return -ENOTCONN;
	}
}

static int filter_sent(struct mqtt *mqtt, const char *filter, int rc)
{
	if (rc == MOSQ_ERR_SUCCESS) {
		mqtt->queued += strlen(filter) + PACKET_EXTRA;
		return 0;
	}
	if (rc == MOSQ_ERR_INVAL || rc == MOSQ_ERR_MALFORMED_UTF8)
		return -EINVAL;
	if (rc == MOSQ_ERR_NOMEM)
		return -ENOMEM;
	mqtt_check(mqtt, rc);
	return -ENOTCONN;
}

int mqtt_subscribe(struct mqtt *mqtt, const char *filter, int *ret_mid)
{
	return filter_sent(mqtt, filter, mosquitto_subscribe(mqtt->client, ret_mid, filter, 1));
}

int mqtt_unsubscribe(struct mqtt *mqtt, const char *filter, int *ret_mid)
{
	return filter_sent(mqtt, filter, mosquitto_unsubscribe(mqtt->client, ret_mid, filter));
}

size_t mqtt_unsent(const struct mqtt *mqtt)
{
	return mqtt->wire ? mqtt->queued + wire_unsent(mqtt->wire) : mqtt->queued;
}

void mqtt_disconnect(struct mqtt *mqtt)
{
	if (mqtt->phase == MQTT_READY) {
		mosquitto_disconnect_v5(mqtt->client, MQTT_RC_NORMAL_DISCONNECTION, NULL);
		mqtt_flush(mqtt);
	}
	mqtt_end_with(mqtt, MQTT_END_OTHER);
}

void mqtt_give_up(struct mqtt *mqtt)
{
	mqtt_end_with(mqtt, MQTT_END_OTHER);
}

unsigned mqtt_receive_maximum(const struct mqtt *mqtt)
{
	return mqtt->receive_maximum;
}

size_t mqtt_max_packet(const struct mqtt *mqtt)
{
	return mqtt->max_packet;
}

int mqtt_max_qos(const struct mqtt *mqtt)
{
	return mqtt->max_qos;
}

bool mqtt_retains(const struct mqtt *mqtt)
{
	return mqtt->retain;
}

const char *mqtt_tls_version(const struct mqtt *mqtt)
{
	return mqtt->tls ? tls_version_text(wire_tls(mqtt->wire)) : NULL;
}
