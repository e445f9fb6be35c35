/* SPDX-License-Identifier: Apache-2.0 */
#include "upstream/packet_check.h"
#include <errno.h>
#include <mosquitto.h>
#include <string.h>

/* What is left of a packet. */
struct packet_cursor {
	const uint8_t *at, *end;
	struct reason *reason;
	const char *name; /* of the packet */
};

static const char *type_to_string(unsigned type)
{
	static const char *const names[16] = {
		"packet 0",  "CONNECT", "CONNACK",     "PUBLISH",  "PUBACK",  "PUBREC",	  "PUBREL",	"PUBCOMP",
		"SUBSCRIBE", "SUBACK",	"UNSUBSCRIBE", "UNSUBACK", "PINGREQ", "PINGRESP", "DISCONNECT", "AUTH",
	};
	return names[type & 15];
}

#define refuse(cursor, ...) (reason_set((cursor)->reason, __VA_ARGS__), -EBADMSG)

static size_t bytes_left(const struct packet_cursor *cursor)
{
	return (size_t)(cursor->end - cursor->at);
}

static int cut_off(const struct packet_cursor *cursor)
{
	return refuse(cursor, "the broker sent a %s that ends in the middle of a field", cursor->name);
}

static int read_byte(struct packet_cursor *cursor, unsigned *ret)
{
	if (bytes_left(cursor) < 1)
		return cut_off(cursor);
	*ret = *cursor->at++;
	return 0;
}

static int read_uint16(struct packet_cursor *cursor, unsigned *ret)
{
	if (bytes_left(cursor) < 2)
		return cut_off(cursor);
	*ret = (unsigned)(cursor->at[0] << 8 | cursor->at[1]);
	cursor->at += 2;
	return 0;
}

/* 1 to 4 bytes of 7 bits, the least first: MQTT 5 section 1.5.5. 1: read; 0: more bytes are needed; -EBADMSG. */
static int read_length(const uint8_t **at, const uint8_t *end, size_t *ret)
{
	size_t value = 0;
	for (unsigned i = 0; i < 4; i++) {
		if (*at == end)
			return 0;
		uint8_t byte = *(*at)++;
		value |= (size_t)(byte & 0x7f) << (7 * i);
		if (!(byte & 0x80)) {
			*ret = value;
			return 1;
		}
	}
	return -EBADMSG;
}

static int skip_bytes(struct packet_cursor *cursor, size_t size)
{
	if (bytes_left(cursor) < size)
		return cut_off(cursor);
	cursor->at += size;
	return 0;
}

static int read_binary(struct packet_cursor *cursor)
{
	unsigned size;
	int r = read_uint16(cursor, &size);
	return r < 0 ? r : skip_bytes(cursor, size);
}

static int read_text(struct packet_cursor *cursor)
{
	unsigned size;
	int r = read_uint16(cursor, &size);
	if (r >= 0)
		r = skip_bytes(cursor, size);
	if (r < 0)
		return r;
	if (size > 0 && mosquitto_validate_utf8((const char *)cursor->at - size, (int)size) != MOSQ_ERR_SUCCESS)
		return refuse(cursor, "the broker sent a %s with text that is not UTF-8", cursor->name);
	return 0;
}

/* ---- properties: MQTT 5 section 2.2.2.2, table 2-4 ---- */

enum property_form { BYTE = 1, FLAG, UINT16, UINT32, LENGTH, TEXT, BINARY, PAIR };

#define IN(type) (1u << PACKET_##type)
#define ANSWERS (IN(CONNACK) | IN(PUBACK) | IN(PUBREC) | IN(PUBREL) | IN(PUBCOMP) | IN(SUBACK) | IN(UNSUBACK))

static const struct property_rule {
	uint8_t form;
	uint16_t packets; /* those that a broker may put it into */
} properties[] = {
	[0x01] = {FLAG, IN(PUBLISH)},				 /* Payload Format Indicator */
	[0x02] = {UINT32, IN(PUBLISH)},				 /* Message Expiry Interval */
	[0x03] = {TEXT, IN(PUBLISH)},				 /* Content Type */
	[0x08] = {TEXT, IN(PUBLISH)},				 /* Response Topic */
	[0x09] = {BINARY, IN(PUBLISH)},				 /* Correlation Data */
	[0x0b] = {LENGTH, IN(PUBLISH)},				 /* Subscription Identifier */
	[0x11] = {UINT32, IN(CONNACK) | IN(DISCONNECT)},	 /* Session Expiry Interval */
	[0x12] = {TEXT, IN(CONNACK)},				 /* Assigned Client Identifier */
	[0x13] = {UINT16, IN(CONNACK)},				 /* Server Keep Alive */
	[0x15] = {TEXT, IN(CONNACK)},				 /* Authentication Method */
	[0x16] = {BINARY, IN(CONNACK)},				 /* Authentication Data */
	[0x17] = {BYTE, 0},					 /* Request Problem Information: ours to send */
	[0x18] = {UINT32, 0},					 /* Will Delay Interval: ours */
	[0x19] = {BYTE, 0},					 /* Request Response Information: ours */
	[0x1a] = {TEXT, IN(CONNACK)},				 /* Response Information */
	[0x1c] = {TEXT, IN(CONNACK) | IN(DISCONNECT)},		 /* Server Reference */
	[0x1f] = {TEXT, ANSWERS | IN(DISCONNECT)},		 /* Reason String */
	[0x21] = {UINT16, IN(CONNACK)},				 /* Receive Maximum */
	[0x22] = {UINT16, IN(CONNACK)},				 /* Topic Alias Maximum */
	[0x23] = {UINT16, IN(PUBLISH)},				 /* Topic Alias */
	[0x24] = {FLAG, IN(CONNACK)},				 /* Maximum QoS */
	[0x25] = {FLAG, IN(CONNACK)},				 /* Retain Available */
	[0x26] = {PAIR, ANSWERS | IN(PUBLISH) | IN(DISCONNECT)}, /* User Property */
	[0x27] = {UINT32, IN(CONNACK)},				 /* Maximum Packet Size */
	[0x28] = {FLAG, IN(CONNACK)},				 /* Wildcard Subscription Available */
	[0x29] = {FLAG, IN(CONNACK)},				 /* Subscription Identifier Available */
	[0x2a] = {FLAG, IN(CONNACK)},				 /* Shared Subscription Available */
};

static int read_property_value(struct packet_cursor *cursor, unsigned id)
{
	unsigned value;
	size_t length;
	int r;
	switch (properties[id].form) {
	case BYTE:
		return skip_bytes(cursor, 1);
	case FLAG:
		r = read_byte(cursor, &value);
		if (r >= 0 && value > 1)
			return refuse(cursor,
				      "the broker sent the property 0x%02x of %s with the value %u; it can be 0 or 1",
				      id, cursor->name, value);
		return r;
	case UINT16:
		return skip_bytes(cursor, 2);
	case UINT32:
		return skip_bytes(cursor, 4);
	case LENGTH:
		return read_length(&cursor->at, cursor->end, &length) == 1 ? 0 : cut_off(cursor);
	case TEXT:
		return read_text(cursor);
	case BINARY:
		return read_binary(cursor);
	default:
		r = read_text(cursor);
		return r < 0 ? r : read_text(cursor);
	}
}

static int read_properties(struct packet_cursor *cursor, enum packet_type type)
{
	size_t size;
	if (read_length(&cursor->at, cursor->end, &size) != 1 || size > bytes_left(cursor))
		return cut_off(cursor);
	struct packet_cursor own = *cursor;
	own.end = own.at + size;
	cursor->at += size;
	uint64_t seen = 0;
	while (own.at < own.end) {
		unsigned id = *own.at++;
		if (id >= ELEMENTS(properties) || !properties[id].form)
			return refuse(cursor, "the broker sent an unknown property 0x%02x in %s", id, cursor->name);
		if (!(properties[id].packets & 1u << type))
			return refuse(cursor, "the broker sent the property 0x%02x in %s, where it is not allowed", id,
				      cursor->name);
		bool many = id == 0x26 || id == 0x0b;
		if (!many && (seen & UINT64_C(1) << id))
			return refuse(cursor, "the broker sent the property 0x%02x twice in one %s", id, cursor->name);
		seen |= UINT64_C(1) << id;
		int r = read_property_value(&own, id);
		if (r < 0)
			return r;
	}
	return 0;
}

/* ---- each packet ---- */

static int at_end(const struct packet_cursor *cursor)
{
	if (cursor->at == cursor->end)
		return 0;
	return refuse(cursor, "the broker sent a %s that is %zu bytes too long", cursor->name, bytes_left(cursor));
}

static int read_identifier(struct packet_cursor *cursor, unsigned *ret)
{
	int r = read_uint16(cursor, ret);
	if (r >= 0 && *ret == 0)
		return refuse(cursor, "the broker sent a %s with the packet identifier 0", cursor->name);
	return r;
}

static int check_connack(struct packet_cursor *cursor, bool v5)
{
	unsigned flags, code;
	int r = read_byte(cursor, &flags);
	if (r >= 0)
		r = read_byte(cursor, &code);
	if (r < 0)
		return r;
	if (flags > 1)
		return refuse(cursor, "the broker sent a CONNACK with unknown flags 0x%02x", flags);
	/* A broker that knows 3.1.1 only refuses version 5 in the form of 3.1.1. */
	if (v5 && !(code == 1 && cursor->at == cursor->end))
		r = read_properties(cursor, PACKET_CONNACK);
	return r < 0 ? r : at_end(cursor);
}

/* Identifier, and with MQTT 5 a reason and properties that may be left out. */
static int check_ack(struct packet_cursor *cursor, enum packet_type type, bool v5)
{
	unsigned mid, code;
	int r = read_identifier(cursor, &mid);
	if (r >= 0 && v5 && cursor->at < cursor->end)
		r = read_byte(cursor, &code);
	if (r >= 0 && v5 && cursor->at < cursor->end)
		r = read_properties(cursor, type);
	return r < 0 ? r : at_end(cursor);
}

static int check_suback(struct packet_cursor *cursor, enum packet_type type, bool v5)
{
	unsigned mid;
	int r = read_identifier(cursor, &mid);
	if (r >= 0 && v5)
		r = read_properties(cursor, type);
	if (r < 0 || (type == PACKET_UNSUBACK && !v5))
		return r < 0 ? r : at_end(cursor);
	return cursor->at < cursor->end ? 0 : cut_off(cursor);
}

static int check_disconnect(struct packet_cursor *cursor, bool v5)
{
	unsigned code;
	int r = 0;
	if (!v5)
		return refuse(cursor, "the broker sent a DISCONNECT, which MQTT 3.1.1 leaves to the client");
	if (cursor->at < cursor->end)
		r = read_byte(cursor, &code);
	if (r >= 0 && cursor->at < cursor->end)
		r = read_properties(cursor, PACKET_DISCONNECT);
	return r < 0 ? r : at_end(cursor);
}

/* Topic and identifier: what a PUBLISH has before its properties. length: of the packet from rest on, of which some may
   still be to come. 0: more bytes are needed. */
static int read_publish_head(struct packet_cursor *cursor, size_t length, struct packet *packet)
{
	size_t identifier = packet->qos ? 2 : 0;
	unsigned size;
	if (packet->qos == 3)
		return refuse(cursor, "the broker sent a PUBLISH with QoS 3");
	if (length < 2 + identifier)
		return cut_off(cursor);
	if (bytes_left(cursor) < 2)
		return 0;
	size = (unsigned)(cursor->at[0] << 8 | cursor->at[1]);
	if (length < 2 + size + identifier)
		return cut_off(cursor);
	if (bytes_left(cursor) < 2 + size + identifier)
		return 0;
	packet->topic = (const char *)cursor->at + 2;
	packet->topic_size = size;
	/* Empty, it would be an alias of MQTT 5, and we never allowed any. */
	if (size == 0 || mosquitto_validate_utf8(packet->topic, (int)size) != MOSQ_ERR_SUCCESS ||
	    mosquitto_pub_topic_check2(packet->topic, size) != MOSQ_ERR_SUCCESS)
		return refuse(cursor, "the broker sent a PUBLISH with a topic that is not allowed");
	cursor->at += 2 + size;
	int r = packet->qos ? read_identifier(cursor, &packet->mid) : 0;
	return r < 0 ? r : 1;
}

static int check_publish(struct packet_cursor *cursor, size_t length, unsigned flags, bool v5, struct packet *packet)
{
	bool whole = bytes_left(cursor) == length;
	packet->qos = flags >> 1 & 3;
	int r = read_publish_head(cursor, length, packet);
	if (r <= 0 || packet->too_large)
		return r;
	if (!whole)
		return 0;
	if (v5)
		r = read_properties(cursor, PACKET_PUBLISH);
	return r < 0 ? r : 1;
}

static int check_whole(struct packet_cursor *cursor, unsigned flags, bool v5, struct packet *packet)
{
	if (flags != (packet->type == PACKET_PUBREL ? 2 : 0))
		return refuse(cursor, "the broker sent a %s with the flags 0x%x", cursor->name, flags);
	switch (packet->type) {
	case PACKET_CONNACK:
		return check_connack(cursor, v5);
	case PACKET_PUBACK:
	case PACKET_PUBREC:
	case PACKET_PUBREL:
	case PACKET_PUBCOMP:
		return check_ack(cursor, packet->type, v5);
	case PACKET_SUBACK:
	case PACKET_UNSUBACK:
		return check_suback(cursor, packet->type, v5);
	case PACKET_PINGRESP:
		return at_end(cursor);
	case PACKET_DISCONNECT:
		return check_disconnect(cursor, v5);
	default:
		return refuse(cursor, "the broker sent %s, which a broker must not send", cursor->name);
	}
}

static bool brokers_send(enum packet_type type)
{
	return (1u << type & (ANSWERS | IN(PUBLISH) | IN(PINGRESP) | IN(DISCONNECT))) != 0;
}

int packet_check(const uint8_t *data, size_t size, bool v5, bool greeted, struct packet *ret, struct reason *ret_reason)
{
	*ret = (struct packet){0};
	if (size == 0)
		return 0;
	unsigned flags = data[0] & 15;
	struct packet_cursor cursor = {
		.at = data + 1, .end = data + size, .reason = ret_reason, .name = type_to_string(data[0] >> 4)};
	ret->type = data[0] >> 4;
	if (!brokers_send(ret->type))
		return refuse(&cursor, "the broker sent %s, which a broker must not send", cursor.name);
	if (greeted == (ret->type == PACKET_CONNACK))
		return refuse(&cursor,
			      greeted ? "the broker sent a second CONNACK" : "the broker sent a %s before CONNACK",
			      cursor.name);
	size_t length;
	int r = read_length(&cursor.at, cursor.end, &length);
	if (r < 0)
		return refuse(&cursor, "the broker sent a %s with an invalid length", cursor.name);
	if (r == 0)
		return 0;
	ret->size = (size_t)(cursor.at - data) + length;
	cursor.end = data + MIN(size, ret->size);
	if (ret->type == PACKET_PUBLISH) {
		ret->too_large = ret->size > PACKET_SIZE_MAX;
		return check_publish(&cursor, length, flags, v5, ret);
	}
	if (ret->size > PACKET_SIZE_MAX)
		return refuse(&cursor, "the broker sent a %s of %zu bytes", cursor.name, ret->size);
	if (bytes_left(&cursor) < length)
		return 0;
	r = check_whole(&cursor, flags, v5, ret);
	return r < 0 ? r : 1;
}

bool packet_without_properties(const struct packet *packet, const uint8_t *data, uint8_t ret[PACKET_ACK_SIZE])
{
	if (packet->type < PACKET_PUBACK || packet->type > PACKET_PUBCOMP)
		return false;
	const uint8_t *at = data + 1;
	while (*at++ & 0x80) /* its length, perhaps in more bytes than it takes */
		;
	if (packet->size - (size_t)(at - data) <= PACKET_ACK_SIZE - 2)
		return false;
	ret[0] = data[0];
	ret[1] = 3;
	memcpy(ret + 2, at, 3); /* identifier and reason */
	return true;
}

bool packet_is_foreign(const uint8_t *data, size_t size, bool tls, struct reason *ret_reason)
{
	static const char http[] = "HTTP/";
	if (size >= sizeof(http) - 1 && memcmp(data, http, sizeof(http) - 1) == 0) {
		reason_set(
			ret_reason,
			"a web server answers there, not an MQTT broker (a wrong port, or a login page in between?)");
		return true;
	}
	/* A record of TLS begins with its type, 20 to 23, and the version 3.x: RFC 8446, section 5.1. */
	bool record = size >= 2 && data[0] >= 20 && data[0] <= 23 && data[1] == 3;
	if (record != tls && size >= 2) {
		if (tls)
			reason_set(ret_reason, "the broker does not speak TLS on this port (mqtt:// goes without)");
		else if (record)
			reason_set(ret_reason, "the broker speaks TLS on this port: mqtts://");
		return tls || record;
	}
	return false;
}
