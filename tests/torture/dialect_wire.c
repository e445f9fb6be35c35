/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a connection of an uplink must look like, packet for packet: its numbers run from 1 without a gap or a repetition, and so
 * do the calls of encode(), so that what was encoded has left, once; no sample goes before the births; the parts of a sample
 * are together.
 */
#include "dialect.h"
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* MQTT 5, section 2.1. */
bool packet_parse(const uint8_t *data, size_t size, struct packet *ret)
{
	size_t length = 0;
	for (size_t i = 1; i < size && i <= 4; i++) {
		length |= (size_t)(data[i] & 0x7f) << (7 * (i - 1));
		if (data[i] & 0x80)
			continue;
		if (size < i + 1 + length)
			return false;
		*ret = (struct packet){.type = data[0] >> 4,
				       .flags = data[0] & 0xf,
				       .data = data,
				       .size = i + 1 + length,
				       .body = data + i + 1,
				       .body_size = length};
		return true;
	}
	return false;
}

struct publish {
	char topic[96], payload[160];
	unsigned mid;
};

static void read_publish(const struct wire *wire, const struct packet *packet, struct publish *ret)
{
	const uint8_t *at = packet->body, *end = at + packet->body_size;
	size_t size = (size_t)(at[0] << 8 | at[1]);
	*ret = (struct publish){0};
	snprintf(ret->topic, sizeof(ret->topic), "%.*s", (int)size, at + 2);
	at += 2 + size;
	if (packet->flags & 6) {
		ret->mid = (unsigned)(at[0] << 8 | at[1]);
		at += 2;
	}
	if (wire->v5)
		at += 1 + at[0];
	snprintf(ret->payload, sizeof(ret->payload), "%.*s", (int)(end - at), at);
}

/* MQTT 5, section 3.1: version, flags, keep alive, properties; then client id, will and login. */
static void read_connect(struct wire *wire, const struct packet *packet)
{
	const uint8_t *at = packet->body + 6;
	wire->v5 = at[0] == 5;
	bool has_will = at[1] & 4;
	at += 4;
	if (wire->v5)
		at += 1 + at[0];
	char name[16];
	size_t size = (size_t)(at[0] << 8 | at[1]);
	snprintf(name, sizeof(name), "%.*s", (int)size, at + 2);
	at += 2 + size;
	if (has_will && wire->v5)
		at += 1 + at[0];
	for (int i = 0; has_will && i < 2; i++) /* topic, payload */
		at += 2 + (size_t)(at[0] << 8 | at[1]);
	char user[24];
	snprintf(user, sizeof(user), "%.*s", at[0] << 8 | at[1], at + 2);
	if (sscanf(name, "d%zu", &wire->uplink) != 1 || wire->uplink >= DIALECT_UPLINKS ||
	    sscanf(user, "u%" SCNu64, &wire->user) != 1)
		torture_die("the client `%s` with the login `%s` is none of ours", name, user);
	if (wire->v5 == dialect_is_311(wire->uplink))
		torture_die("d%zu speaks another version of MQTT than it should", wire->uplink);
	wire->account->connections++;
}

#define WRONG(wire, format, ...)                                                                                       \
	account_wrong((wire)->account, "d%zu, connection %s: " format, (wire)->uplink, (wire)->connection, __VA_ARGS__)

static void check_connection(struct wire *wire, const char *payload)
{
	char connection[40] = "";
	uint64_t count = 0;
	sscanf(payload, "conn=%39s", connection);
	if (!wire->connection[0])
		memcpy(wire->connection, connection, sizeof(connection));
	const char *dot = strchr(connection, '.');
	if (dot)
		count = strtoull(dot + 1, NULL, 10);
	if (strcmp(wire->connection, connection) != 0 || count != wire->user)
		WRONG(wire, "login u%" PRIu64 ", and yet: %s", wire->user, payload);
}

static void check_seq(struct wire *wire, const char *payload)
{
	uint64_t seq;
	if (!payload_number(payload, "seq", &seq))
		return;
	if (seq != wire->seq + 1)
		WRONG(wire, "number %" PRIu64 " follows %" PRIu64 ": %s", seq, wire->seq, payload);
	wire->seq = seq;
}

static void check_data(struct wire *wire, const struct publish *publish)
{
	uint64_t call = 0, n = 0, part = 0;
	payload_number(publish->payload, "call", &call);
	payload_number(publish->payload, "n", &n);
	payload_number(publish->payload, "part", &part);
	if (!wire->birth_acked)
		WRONG(wire, "a sample goes before the gateway's birth is acknowledged: %s", publish->payload);
	if (~wire->born & ((1U << DIALECT_DEVICES) - 1))
		WRONG(wire, "a sample goes before the devices' births: %s", publish->payload);
	if (call != wire->call && call != wire->call + 1)
		WRONG(wire, "call %" PRIu64 " of encode() follows %" PRIu64 ": %s", call, wire->call, publish->payload);
	wire->account->encoded += call != wire->call;
	bool follows = wire->part ? n == wire->n && part == wire->part + 1 && call == wire->call : part == 1;
	if (!follows)
		WRONG(wire, "part %" PRIu64 " of %" PRIu64 " follows part %u of %" PRIu64, part, n, wire->part,
		      wire->n);
	wire->call = call;
	wire->n = n;
	wire->part = (unsigned)(part % DIALECT_PARTS);
}

static void note_device_birth(struct wire *wire, const struct publish *publish)
{
	const char *name = strrchr(publish->topic, '/') + 1;
	for (size_t i = 0; i < DIALECT_DEVICES; i++) {
		if (strcmp(name, dialect_devices[i]) != 0)
			continue;
		wire->born |= 1U << i;
		payload_number(publish->payload, "n", &wire->account->newest[wire->uplink][i]);
	}
}

static void note_birth(struct wire *wire, unsigned mid)
{
	wire->birth_mid = mid;
	wire->birth_acked = false;
	wire->born = 0;
	wire->account->births++;
	if (wire->gateway_births++ == 0)
		return;
	wire->account->births_again++;
	wire->account->again[wire->uplink]++;
}

static enum wire_kind publish_from_uplink(struct wire *wire, const struct packet *packet, unsigned *ret_mid)
{
	struct publish publish;
	char kind[8] = "", more[32] = "";
	read_publish(wire, packet, &publish);
	*ret_mid = publish.mid;
	wire->account->packets++;
	sscanf(publish.topic, "double/%*[^/]/%7[a-z]/%31s", kind, more);
	check_connection(wire, publish.payload);
	check_seq(wire, publish.payload);
	if (strcmp(kind, "data") == 0) {
		check_data(wire, &publish);
		return WIRE_DATA;
	}
	if (wire->part)
		WRONG(wire, "%s goes between the parts of %" PRIu64, publish.topic, wire->n);
	if (strcmp(kind, "death") == 0)
		wire->died = true;
	if (strcmp(kind, "birth") != 0)
		return WIRE_OTHER;
	if (more[0])
		note_device_birth(wire, &publish);
	else
		note_birth(wire, publish.mid);
	return WIRE_BIRTH;
}

static unsigned answered_mid(const struct packet *packet)
{
	return packet->body_size < 2 ? 0 : (unsigned)(packet->body[0] << 8 | packet->body[1]);
}

enum wire_kind wire_from_uplink(struct wire *wire, const struct packet *packet, unsigned *ret_mid)
{
	*ret_mid = 0;
	switch (packet->type) {
	case 1:
		read_connect(wire, packet);
		break;
	case 3:
		return publish_from_uplink(wire, packet, ret_mid);
	case 4: /* it has read "hold" */
		wire->is_held |= wire->hold_mid && answered_mid(packet) == wire->hold_mid;
		break;
	case 14:
		wire->account->renewals++;
		wire->account->left_without_death += !wire->died;
		break;
	default:
		break;
	}
	return WIRE_OTHER;
}

void wire_from_broker(struct wire *wire, const struct packet *packet)
{
	struct publish publish;
	if (packet->type == 4 && wire->birth_mid && answered_mid(packet) == wire->birth_mid)
		wire->birth_acked |= packet->body_size < 3 || packet->body[2] < 128;
	if (packet->type != 3)
		return;
	read_publish(wire, packet, &publish);
	if (strcmp(publish.payload, "hold") == 0)
		wire->hold_mid = publish.mid;
}
