/* SPDX-License-Identifier: Apache-2.0 */
#include "upstream/mqtt.h"
#include "upstream/tls.h"
#include <ctype.h>
#include <errno.h>
#include <linux/sockios.h>
#include <mosquitto.h>
#include <mqtt_protocol.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

struct mqtt {
	struct mosquitto *client;
	const struct mqtt_events *events;
	void *userdata;
	enum mqtt_phase phase;
	bool v5, tls;
	unsigned keepalive_s;
	unsigned receive_maximum;
	int max_qos; /* what the broker offers */

	unsigned n_unwritten; /* messages published since the last flush */

	enum mqtt_end end;
	struct reason reason;
	struct reason tls_error; /* what OpenSSL said last */
};

static void end_with(struct mqtt *mqtt, enum mqtt_end end)
{
	mqtt->phase = MQTT_ENDED;
	mqtt->end = end;
}

void mqtt_reason_word(unsigned code, struct reason *ret)
{
	reason_set(ret, "%s (0x%02X)", mosquitto_reason_string((int)code), code);
	ret->text[0] = (char)tolower((unsigned char)ret->text[0]);
}

/* ---- how it ends ---- */

static void broker_refused(struct mqtt *mqtt, unsigned code)
{
	struct reason word;
	mqtt_reason_word(code, &word);
	end_with(mqtt, MQTT_END_OTHER);
	switch (code) {
	case 1:
	case MQTT_RC_UNSUPPORTED_PROTOCOL_VERSION:
		if (mqtt->v5)
			reason_set(&mqtt->reason,
				   "the broker does not speak MQTT 5 (version = 311 makes us speak 3.1.1)");
		else
			reason_set(&mqtt->reason, "the broker does not speak MQTT 3.1.1 (version = 5 may help)");
		return;
	case 2:
	case MQTT_RC_CLIENTID_NOT_VALID:
		reason_set(&mqtt->reason, "the broker refuses the login: it does not take this client_id");
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
static void broker_disconnected(struct mqtt *mqtt, unsigned code)
{
	struct reason word;
	mqtt_reason_word(code, &word);
	switch (code) {
	case MQTT_RC_SESSION_TAKEN_OVER:
		end_with(mqtt, MQTT_END_TAKEN_OVER);
		reason_set(&mqtt->reason, "another client has connected to the broker with the same client_id");
		return;
	case MQTT_RC_SERVER_SHUTTING_DOWN:
		end_with(mqtt, MQTT_END_OTHER);
		reason_set(&mqtt->reason, "the broker is shutting down");
		return;
	case MQTT_RC_UNSPECIFIED:
	case MQTT_RC_MALFORMED_PACKET:
	case MQTT_RC_PROTOCOL_ERROR:
	case MQTT_RC_IMPLEMENTATION_SPECIFIC:
	case MQTT_RC_TOPIC_NAME_INVALID:
	case MQTT_RC_PACKET_TOO_LARGE:
	case MQTT_RC_PAYLOAD_FORMAT_INVALID:
	case MQTT_RC_RETAIN_NOT_SUPPORTED:
	case MQTT_RC_QOS_NOT_SUPPORTED:
		end_with(mqtt, MQTT_END_MESSAGE);
		break;
	default:
		end_with(mqtt, MQTT_END_OTHER);
	}
	reason_set(&mqtt->reason, "the broker ended the connection: %s", word.text);
}

/* libmosquitto 2.0.21 leaves no text where the broker hung up. */
static void handshake_failed(struct mqtt *mqtt)
{
	const char *text = mqtt->tls_error.text;

	if (strstr(text, "wrong version number"))
		reason_set(&mqtt->reason, "the broker does not speak TLS on this port (mqtt:// goes without)");
	else if (!text[0] || strstr(text, "unexpected eof"))
		reason_set(&mqtt->reason,
			   "the broker hung up in the TLS handshake (does this port want mqtt://, without TLS?)");
	else
		reason_set(&mqtt->reason, "TLS failed: %s", text);
}

static void broke(struct mqtt *mqtt, int rc, int error)
{
	bool ready = mqtt->phase == MQTT_READY;
	switch (rc) {
	case MOSQ_ERR_KEEPALIVE:
		end_with(mqtt, MQTT_END_OTHER);
		reason_set(&mqtt->reason, "the broker has been silent for %u s", mqtt->keepalive_s);
		return;
	case MOSQ_ERR_TLS:
	case MOSQ_ERR_TLS_HANDSHAKE:
		end_with(mqtt, MQTT_END_OTHER);
		handshake_failed(mqtt);
		return;
	case MOSQ_ERR_ERRNO:
		/* Which it says in one way or the other. */
		if (mqtt->tls && !ready && error == EPROTO) {
			end_with(mqtt, MQTT_END_OTHER);
			handshake_failed(mqtt);
			return;
		}
		/* EPIPE is a write after the peer has closed: the same as reading its end. */
		end_with(mqtt, ready && (error == EPIPE || error == ECONNRESET) ? MQTT_END_MESSAGE : MQTT_END_OTHER);
		reason_set(&mqtt->reason, "connection lost: %s", error ? strerror(error) : "closed");
		return;
	case MOSQ_ERR_CONN_LOST:
	case MOSQ_ERR_NO_CONN:
	case MOSQ_ERR_SUCCESS:
		end_with(mqtt, ready ? MQTT_END_MESSAGE : MQTT_END_OTHER);
		if (ready)
			reason_set(&mqtt->reason, "the broker closed the connection");
		else
			reason_set(&mqtt->reason, "the broker closed the connection before it answered%s",
				   mqtt->tls ? "" : " (does this port want mqtts://?)");
		return;
	default:
		end_with(mqtt, MQTT_END_OTHER);
		reason_set(&mqtt->reason, "connection lost: %s", mosquitto_strerror(rc));
	}
}

/* ---- libmosquitto's callbacks; errno is left at 0, else its reading loop stops with packets unread ---- */

static void on_connect(struct mosquitto *client, void *userdata, int code, int flags, const mosquitto_property *props)
{
	(void)client, (void)flags;
	struct mqtt *mqtt = userdata;
	if (code == 0) {
		uint16_t maximum;
		if (mosquitto_property_read_int16(props, MQTT_PROP_RECEIVE_MAXIMUM, &maximum, false) && maximum > 0)
			mqtt->receive_maximum = maximum;
		uint8_t qos;
		if (mosquitto_property_read_byte(props, MQTT_PROP_MAXIMUM_QOS, &qos, false))
			mqtt->max_qos = MIN(qos, 1);
		mqtt->phase = MQTT_READY;
	} else {
		broker_refused(mqtt, (unsigned)code);
	}
	errno = 0;
}

static void on_disconnect(struct mosquitto *client, void *userdata, int code, const mosquitto_property *props)
{
	(void)client, (void)props;
	struct mqtt *mqtt = userdata;
	int error = errno;
	if (mqtt->phase != MQTT_ENDED) {
		if (code >= MQTT_RC_UNSPECIFIED)
			broker_disconnected(mqtt, (unsigned)code);
		else
			broke(mqtt, code, error);
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
	/* A retained command is one from the past. */
	if (mqtt->events->command && !message->retain)
		mqtt->events->command(mqtt->userdata, message->topic, message->payload, (size_t)message->payloadlen);
	errno = 0;
}

static void on_subscribe(struct mosquitto *client, void *userdata, int mid, int n, const int *granted,
			 const mosquitto_property *props)
{
	(void)client, (void)props, (void)mid;
	struct mqtt *mqtt = userdata;
	if (mqtt->events->subscribed && n > 0)
		mqtt->events->subscribed(mqtt->userdata, (unsigned)granted[0]);
	errno = 0;
}

static void on_log(struct mosquitto *client, void *userdata, int level, const char *text)
{
	(void)client, (void)level;
	struct mqtt *mqtt = userdata;
	if (strncmp(text, "OpenSSL Error", strlen("OpenSSL Error")) != 0)
		return;
	const char *word = strrchr(text, ':');
	reason_set(&mqtt->tls_error, "%s", word ? word + 1 : text);
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
	free(mqtt);
	return NULL;
}

static int configure(struct mosquitto *client, const struct mqtt_settings *settings)
{
	int rc = mosquitto_int_option(client, MOSQ_OPT_PROTOCOL_VERSION,
				      settings->v5 ? MQTT_PROTOCOL_V5 : MQTT_PROTOCOL_V311);
	/* Our window is the only bound: what the library held back it would send in its own time. */
	if (rc == MOSQ_ERR_SUCCESS)
		rc = mosquitto_max_inflight_messages_set(client, 65535);
	if (rc == MOSQ_ERR_SUCCESS)
		rc = mosquitto_int_option(client, MOSQ_OPT_TCP_NODELAY, 1);
	if (rc == MOSQ_ERR_SUCCESS && settings->username)
		rc = mosquitto_username_pw_set(client, settings->username, settings->password);
	if (rc == MOSQ_ERR_SUCCESS && settings->will) {
		const struct message *will = settings->will;
		struct buf topic = will->topic;
		_cleanup_free_ char *text = strndup(topic.data, topic.size);
		rc = !text ? MOSQ_ERR_NOMEM
			   : mosquitto_will_set(client, text, (int)will->payload.size, will->payload.data, will->qos,
						will->retain);
	}
	if (rc == MOSQ_ERR_SUCCESS && settings->tls) {
		rc = mosquitto_int_option(client, MOSQ_OPT_SSL_CTX_WITH_DEFAULTS, 0);
		if (rc == MOSQ_ERR_SUCCESS)
			rc = mosquitto_void_option(client, MOSQ_OPT_SSL_CTX, settings->tls);
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
	mqtt->max_qos = 1;
	mqtt->client = mosquitto_new(settings->client_id, true, mqtt);
	int r = mqtt->client ? configure(mqtt->client, settings) : errno == EINVAL ? -EINVAL : -ENOMEM;
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
	mosquitto_message_v5_callback_set(mqtt->client, on_message);
	mosquitto_log_callback_set(mqtt->client, on_log);
	*ret = mqtt;
	return 0;
}

int mqtt_connect(struct mqtt *mqtt, const char *address, uint16_t port, struct reason *ret_reason)
{
	errno = 0;
	int rc = mosquitto_connect(mqtt->client, address, port, (int)mqtt->keepalive_s);
	if (rc == MOSQ_ERR_SUCCESS)
		return 0;
	int error = errno;
	if (mqtt->phase != MQTT_ENDED)
		broke(mqtt, rc, error);
	*ret_reason = mqtt->reason;
	return -ECONNREFUSED;
}

/* ---- turns ---- */

void mqtt_poll(const struct mqtt *mqtt, struct pollfd *ret)
{
	ret->fd = mosquitto_socket(mqtt->client);
	ret->events = POLLIN;
	if (mosquitto_want_write(mqtt->client))
		ret->events |= POLLOUT;
	ret->revents = 0;
}

static void check(struct mqtt *mqtt, int rc)
{
	int error = errno;
	if (mqtt->phase != MQTT_ENDED && (rc != MOSQ_ERR_SUCCESS || mosquitto_socket(mqtt->client) < 0))
		broke(mqtt, rc, error);
}

static void read_all(struct mqtt *mqtt)
{
	int rc;
	do {
		errno = 0;
		rc = mosquitto_loop_read(mqtt->client, 1);
		check(mqtt, rc);
		/* What TLS has decrypted already never shows in poll(). */
	} while (mqtt->phase != MQTT_ENDED && mqtt->tls && SSL_pending(mosquitto_ssl_get(mqtt->client)) > 0);
	int fd = mosquitto_socket(mqtt->client), on = 1;
	/* The kernel would hold the acknowledgement of a small burst back for 40 ms. */
	if (fd >= 0)
		setsockopt(fd, IPPROTO_TCP, TCP_QUICKACK, &on, sizeof(on));
}

static void cork(const struct mqtt *mqtt, int on)
{
	int fd = mosquitto_socket(mqtt->client);
	if (fd >= 0)
		setsockopt(fd, IPPROTO_TCP, TCP_CORK, &on, sizeof(on));
}

void mqtt_flush(struct mqtt *mqtt)
{
	if (mqtt->phase == MQTT_ENDED || !mosquitto_want_write(mqtt->client))
		return;
	/* The library writes each message by itself: several shall share a packet of the network. */
	bool several = mqtt->n_unwritten > 1;
	mqtt->n_unwritten = 0;
	if (several)
		cork(mqtt, 1);
	errno = 0;
	check(mqtt, mosquitto_loop_write(mqtt->client, 1));
	if (several)
		cork(mqtt, 0);
}

enum mqtt_phase mqtt_turn(struct mqtt *mqtt, short revents)
{
	if (mqtt->phase != MQTT_ENDED && (revents & (POLLIN | POLLERR | POLLHUP)))
		read_all(mqtt);
	mqtt_flush(mqtt);
	if (mqtt->phase != MQTT_ENDED) {
		errno = 0;
		check(mqtt, mosquitto_loop_misc(mqtt->client));
	}
	return mqtt->phase;
}

enum mqtt_phase mqtt_phase(const struct mqtt *mqtt)
{
	return mqtt->phase;
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
				   MIN(message->qos, mqtt->max_qos), message->retain);
	switch (rc) {
	case MOSQ_ERR_SUCCESS:
		mqtt->n_unwritten++;
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
		check(mqtt, rc);
		return -ENOTCONN;
	}
}

int mqtt_subscribe(struct mqtt *mqtt, const char *filter)
{
	int rc = mosquitto_subscribe(mqtt->client, NULL, filter, 1);
	if (rc == MOSQ_ERR_SUCCESS) {
		mqtt->n_unwritten++;
		return 0;
	}
	if (rc == MOSQ_ERR_INVAL || rc == MOSQ_ERR_MALFORMED_UTF8)
		return -EINVAL;
	if (rc == MOSQ_ERR_NOMEM)
		return -ENOMEM;
	check(mqtt, rc);
	return -ENOTCONN;
}

size_t mqtt_unsent(const struct mqtt *mqtt)
{
	int fd = mosquitto_socket(mqtt->client), unacknowledged = 0;
	if (fd < 0 || ioctl(fd, SIOCOUTQ, &unacknowledged) < 0)
		return 0;
	/* The library does not say how much it holds back while the kernel's buffer is full. */
	return (size_t)unacknowledged + (mosquitto_want_write(mqtt->client) ? 1 : 0);
}

void mqtt_disconnect(struct mqtt *mqtt)
{
	if (mqtt->phase == MQTT_READY) {
		mosquitto_disconnect_v5(mqtt->client, MQTT_RC_NORMAL_DISCONNECTION, NULL);
		mqtt_flush(mqtt);
	}
	end_with(mqtt, MQTT_END_OTHER);
}

void mqtt_give_up(struct mqtt *mqtt)
{
	end_with(mqtt, MQTT_END_OTHER);
}

unsigned mqtt_receive_maximum(const struct mqtt *mqtt)
{
	return mqtt->receive_maximum;
}

int mqtt_max_qos(const struct mqtt *mqtt)
{
	return mqtt->max_qos;
}

const char *mqtt_tls_word(const struct mqtt *mqtt)
{
	const SSL *ssl = mqtt->tls ? mosquitto_ssl_get(mqtt->client) : NULL;
	return ssl ? tls_version_word(ssl) : NULL;
}

enum mqtt_end mqtt_end(const struct mqtt *mqtt, struct reason *ret_reason)
{
	*ret_reason = mqtt->reason;
	return mqtt->end;
}
