/* SPDX-License-Identifier: Apache-2.0 */
/* What the parts of a connection share: mqtt.c (the library and what is asked of it), mqtt_carry.c (the bytes both
   ways, pings and deadlines) and mqtt_end.c (how it ends). */
#ifndef HAYWAIN_UPSTREAM_MQTT_PRIVATE_H
#define HAYWAIN_UPSTREAM_MQTT_PRIVATE_H

#include "upstream/mqtt.h"
#include "upstream/wire.h"
#include <mosquitto.h>

struct mqtt {
	struct mosquitto *client;
	const struct mqtt_events *events;
	void *userdata;
	enum mqtt_phase phase;
	bool v5;
	struct tls *tls;
	unsigned keepalive_s; /* ours, or the broker's: MQTT 5, section 3.2.2.3.14 */
	unsigned receive_maximum;
	size_t max_packet; /* what the broker takes */
	int max_qos;	   /* what it offers */
	bool retain;	   /* messages may be retained */
	bool will_stays;   /* our CONNECT has a retained will */
	uint64_t begun_us, deadline_us;

	struct wire *wire;
	int local;	 /* our end of the library's stream; -1: not yet */
	struct buf in;	 /* a packet of which some has come */
	size_t to_skip;	 /* of one that is too large */
	struct buf acks; /* ours of those, to be written between two packets of the library's */
	size_t queued;	 /* bytes in the library that have not come out of it, about */
	bool more;	 /* the library's end may hold more */
	bool greeted;	 /* CONNACK has come */
	int connack;	 /* its code; -1: none */
	bool hung_up;	 /* by the peer, before it */

	/* Seconds of the library's clock. */
	int64_t in_s, out_s;  /* the last packet */
	bool pinged;	      /* and no answer yet */
	int64_t progress_s;   /* since then bytes came, or ours left */
	uint64_t handed_over; /* bytes of ours that the peer's TCP has, when last looked */

	enum mqtt_end end;
	struct reason reason;
};

/* ---- mqtt_carry.c ---- */

/* What a call of the library answered. */
void mqtt_check(struct mqtt *mqtt, int rc);

/* ---- mqtt_end.c ---- */

void mqtt_end_with(struct mqtt *mqtt, enum mqtt_end end);
void mqtt_end_refused(struct mqtt *mqtt, unsigned code);      /* CONNACK */
void mqtt_end_disconnected(struct mqtt *mqtt, unsigned code); /* DISCONNECT */
void mqtt_end_lost(struct mqtt *mqtt, int error);	      /* the wire's errno; 0: the peer closed it */
void mqtt_end_library(struct mqtt *mqtt, int rc);

#endif
