/* SPDX-License-Identifier: Apache-2.0 */
/* Between the library and the broker: bytes, pings and deadlines. */
#include "base/clock.h"
#include "base/units.h"
#include "upstream/mqtt_local.h"
#include "upstream/mqtt_private.h"
#include "upstream/packet_check.h"
#include <errno.h>
#include <mqtt_protocol.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

#define CHUNK ((size_t)16 * 1024)    /* one record of TLS */
#define KEPT_MAX ((size_t)64 * 1024) /* more than this of a slow network's stays with the library */

/* ---- the library's clock and pings ---- */

static uint64_t library_clock_us(void)
{
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * USEC_PER_SEC + (uint64_t)now.tv_nsec / 1000;
}

static int64_t library_clock_s(void)
{
	return (int64_t)(library_clock_us() / USEC_PER_SEC);
}

/* The library pings, and judges, in whole seconds of its clock: when nothing went out, or nothing came, for
   keepalive. */
static int64_t ping_due_s(const struct mqtt *mqtt)
{
	return MIN(mqtt->in_s, mqtt->out_s) + (int64_t)mqtt->keepalive_s;
}

uint64_t mqtt_due_us(const struct mqtt *mqtt)
{
	if (mqtt->phase == MQTT_GREETING)
		return mqtt->deadline_us;
	if (mqtt->phase == MQTT_ENDED)
		return 0; /* it may have ended by a write, between two turns */
	if (mqtt->keepalive_s == 0)
		return UINT64_MAX;
	uint64_t now = library_clock_us(), due = (uint64_t)ping_due_s(mqtt) * USEC_PER_SEC;
	if (due <= now)
		due = (now / USEC_PER_SEC + 1) * USEC_PER_SEC;
	return clock_now() + (due - now);
}

void mqtt_check(struct mqtt *mqtt, int rc)
{
	if (mqtt->phase != MQTT_ENDED && (rc != MOSQ_ERR_SUCCESS || mosquitto_socket(mqtt->client) < 0))
		mqtt_end_library(mqtt, rc);
}

/* A ping behind a slow line's backlog, or its answer behind a large message, says nothing of the broker. */
static bool network_works(struct mqtt *mqtt, int64_t now_s)
{
	uint64_t handed_over = wire_written(mqtt->wire) + wire_kept(mqtt->wire) - wire_unsent(mqtt->wire);
	if (handed_over != mqtt->handed_over)
		mqtt->progress_s = now_s;
	mqtt->handed_over = handed_over;
	return now_s - mqtt->progress_s < (int64_t)mqtt->keepalive_s;
}

static void keep_alive(struct mqtt *mqtt)
{
	int64_t now_s = library_clock_s();
	if (mqtt->phase != MQTT_READY || mqtt->keepalive_s == 0 || now_s < ping_due_s(mqtt))
		return;
	if (mqtt->pinged && network_works(mqtt, now_s))
		return;
	mqtt_check(mqtt, mosquitto_loop_misc(mqtt->client));
	if (mqtt->phase != MQTT_READY || !mosquitto_want_write(mqtt->client))
		return;
	mqtt->pinged = true;
	mqtt->in_s = mqtt->out_s = mqtt->progress_s = now_s;
	mqtt_flush(mqtt);
}

/* ---- from the broker to the library ---- */

static void pass_to_library(struct mqtt *mqtt)
{
	int rc, error;
	do {
		errno = 0;
		rc = mosquitto_loop_read(mqtt->client, 1);
		error = errno;
		mqtt_check(mqtt, rc);
	} while (mqtt->phase != MQTT_ENDED && error != EAGAIN);
}

static void hand_over(struct mqtt *mqtt, const uint8_t *data, size_t size)
{
	while (size > 0 && mqtt->phase != MQTT_ENDED) {
		ssize_t n = send(mqtt->local, data, size, MSG_NOSIGNAL | MSG_DONTWAIT);
		/* The library reads all that is there each time: there is always room. */
		if (n < 0) {
			mqtt_end_lost(mqtt, errno == EAGAIN ? ENOMEM : errno);
			return;
		}
		data += n;
		size -= (size_t)n;
		pass_to_library(mqtt);
	}
}

static void note_packet(struct mqtt *mqtt, const struct packet *packet)
{
	if (packet->type == PACKET_CONNACK)
		mqtt->greeted = true;
	if (packet->type == PACKET_PINGRESP)
		mqtt->pinged = false;
}

/* Acknowledged, or the broker would send it again, at each connect if it is retained. */
static void skip_packet(struct mqtt *mqtt, const struct packet *packet)
{
	mqtt->to_skip = packet->size;
	if (packet->qos > 0) {
		const uint8_t ack[] = {packet->qos == 1 ? 0x40 : 0x50, 2, (uint8_t)(packet->mid >> 8),
				       (uint8_t)packet->mid};
		buf_add(&mqtt->acks, ack, sizeof(ack));
		if (buf_failed(&mqtt->acks))
			mqtt_end_lost(mqtt, ENOMEM);
	}
	if (mqtt->events->oversized)
		mqtt->events->oversized(mqtt->userdata, packet->topic, packet->topic_size, packet->size);
}

/* The bytes dealt with; what is left is the beginning of a packet. */
static size_t take_packets(struct mqtt *mqtt, const uint8_t *data, size_t size)
{
	size_t at = 0;
	while (at < size && mqtt->phase != MQTT_ENDED) {
		struct packet packet;
		struct reason reason;
		size_t end = at;
		int r = 0;
		if (mqtt->to_skip > 0) {
			size_t n = MIN(mqtt->to_skip, size - at);
			mqtt->to_skip -= n;
			at += n;
			continue;
		}
		uint8_t ack[PACKET_ACK_SIZE];
		bool shortened = false;
		while (end < size && !shortened) {
			r = packet_check(data + end, size - end, mqtt->v5, mqtt->greeted, &packet, &reason);
			if (r <= 0 || packet.too_large)
				break;
			note_packet(mqtt, &packet);
			shortened = packet_without_properties(&packet, data + end, ack);
			end += shortened ? 0 : packet.size;
		}
		hand_over(mqtt, data + at, end - at);
		at = end;
		if (mqtt->phase == MQTT_ENDED || (end < size && r == 0))
			break;
		if (shortened) {
			hand_over(mqtt, ack, sizeof(ack));
			at += packet.size;
		} else if (r < 0) {
			mqtt_end_with(mqtt, MQTT_END_OTHER);
			mqtt->reason = reason;
			if (!mqtt->greeted)
				packet_is_foreign(data + at, size - at, false, &mqtt->reason);
		} else if (end < size) {
			skip_packet(mqtt, &packet);
		}
	}
	return at;
}

static void take_bytes(struct mqtt *mqtt, const uint8_t *data, size_t size)
{
	if (mqtt->in.size == 0) {
		size_t taken = take_packets(mqtt, data, size);
		buf_add(&mqtt->in, data + taken, size - taken);
	} else {
		buf_add(&mqtt->in, data, size);
		size_t taken = buf_failed(&mqtt->in) ? 0 : take_packets(mqtt, (uint8_t *)mqtt->in.data, mqtt->in.size);
		memmove(mqtt->in.data, mqtt->in.data + taken, mqtt->in.size - taken);
		mqtt->in.size -= taken;
	}
	if (buf_failed(&mqtt->in))
		mqtt_end_lost(mqtt, ENOMEM);
	if (mqtt->in.size == 0)
		buf_done(&mqtt->in);
}

static void read_all(struct mqtt *mqtt, bool to_the_end)
{
	uint8_t data[CHUNK];
	do {
		ssize_t n = wire_read(mqtt->wire, data, sizeof(data));
		if (n == -EAGAIN)
			return;
		if (n <= 0) {
			mqtt_end_lost(mqtt, (int)-n);
			return;
		}
		mqtt->in_s = mqtt->progress_s = library_clock_s();
		take_bytes(mqtt, data, (size_t)n);
	} while (mqtt->phase != MQTT_ENDED && (to_the_end || wire_has_more(mqtt->wire)));
}

/* ---- from the library to the broker ---- */

static void account_written(struct mqtt *mqtt, size_t size)
{
	mqtt->out_s = library_clock_s();
	mqtt->queued -= MIN(size, mqtt->queued);
}

/* What the library wrote since the last time goes out together: one packet of the network, one record of TLS. */
static int carry_to_wire(struct mqtt *mqtt)
{
	uint8_t data[CHUNK];
	int r = wire_flush(mqtt->wire);
	while (r >= 0 && wire_kept(mqtt->wire) < KEPT_MAX) {
		if (mqtt->phase != MQTT_ENDED && mosquitto_want_write(mqtt->client))
			mqtt_check(mqtt, mosquitto_loop_write(mqtt->client, 1));
		ssize_t n = recv(mqtt->local, data, sizeof(data), MSG_DONTWAIT);
		if (n > 0) {
			account_written(mqtt, (size_t)n);
			r = wire_write(mqtt->wire, data, (size_t)n);
		}
		mqtt->more = mqtt->phase != MQTT_ENDED && mosquitto_want_write(mqtt->client);
		if (n == (ssize_t)sizeof(data) || (n > 0 && mqtt->more))
			continue;
		mqtt->queued = 0;
		if (r >= 0 && mqtt->acks.size > 0)
			r = wire_write(mqtt->wire, mqtt->acks.data, mqtt->acks.size);
		buf_done(&mqtt->acks);
		return r;
	}
	mqtt->more = true;
	return r;
}

void mqtt_flush(struct mqtt *mqtt)
{
	if (mqtt->phase == MQTT_ENDED || mqtt->local < 0)
		return;
	if (!mqtt->more && mqtt->acks.size == 0 && wire_kept(mqtt->wire) == 0 && !mosquitto_want_write(mqtt->client))
		return;
	int r = carry_to_wire(mqtt);
	/* The peer has gone, and may have said why: an alert of TLS, a DISCONNECT. The kernel keeps what came
	   before. */
	if (r == -EPIPE || r == -ECONNRESET)
		read_all(mqtt, true);
	if (r < 0)
		mqtt_end_lost(mqtt, -r);
}

/* ---- turns ---- */

void mqtt_poll(const struct mqtt *mqtt, struct pollfd *ret)
{
	ret->fd = mqtt->phase == MQTT_ENDED ? -1 : wire_fd(mqtt->wire);
	ret->events = wire_events(mqtt->wire);
	ret->revents = 0;
}

/* The wire is open: the library may speak. */
static int begin_mqtt(struct mqtt *mqtt)
{
	mosquitto_property *properties = NULL;
	if (mqtt->v5 && mosquitto_property_add_int32(&properties, MQTT_PROP_MAXIMUM_PACKET_SIZE, PACKET_SIZE_MAX) !=
				MOSQ_ERR_SUCCESS) {
		reason_set(&mqtt->reason, "out of memory");
		return -ENOMEM;
	}
	int r = mqtt_local_connect(mqtt->client, mqtt->keepalive_s, properties, &mqtt->local, &mqtt->reason);
	mosquitto_property_free_all(&properties);
	mqtt->in_s = mqtt->out_s = library_clock_s();
	return r;
}

static void advance_wire(struct mqtt *mqtt, short revents)
{
	int r = wire_advance(mqtt->wire, revents, &mqtt->reason);
	if (r == -EPROTO)
		tls_explain(mqtt->tls, &mqtt->reason); /* better words than "TLS failed" */
	if (r >= 0 && wire_phase(mqtt->wire) == WIRE_OPEN)
		r = begin_mqtt(mqtt);
	if (r < 0)
		mqtt_end_with(mqtt, MQTT_END_OTHER);
}

static void check_deadline(struct mqtt *mqtt)
{
	uint64_t now = clock_now();
	if (mqtt->phase != MQTT_GREETING || now < mqtt->deadline_us)
		return;
	char text[DURATION_TEXT_MAX];
	/* To the tenth of a second: a look-up took some of it. */
	uint64_t tenth = 100 * USEC_PER_MSEC, waited = (now - mqtt->begun_us + tenth / 2) / tenth * tenth;
	mqtt_end_with(mqtt, MQTT_END_OTHER);
	if (wire_phase(mqtt->wire) == WIRE_CONNECTING)
		reason_set(&mqtt->reason, "%s does not answer", wire_address(mqtt->wire));
	else
		reason_set(&mqtt->reason, "the broker accepted the connection but did not %s within %s",
			   wire_phase(mqtt->wire) == WIRE_OPEN ? "answer" : "finish the TLS handshake",
			   format_duration(waited, text));
}

enum mqtt_phase mqtt_wait(struct mqtt *mqtt, short revents)
{
	if (mqtt->phase == MQTT_ENDED)
		return mqtt->phase;
	if (mqtt->local < 0)
		advance_wire(mqtt, revents);
	else if (revents & (POLLIN | POLLERR | POLLHUP))
		read_all(mqtt, false);
	mqtt_flush(mqtt);
	keep_alive(mqtt);
	check_deadline(mqtt);
	return mqtt->phase;
}
