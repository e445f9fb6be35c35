/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One MQTT connection, driven by the caller's poll loop: libmosquitto makes and reads the packets, we carry them
 * (wire.h) and check what comes (packet_check.h). Made anew for every connection, because a client object that lives
 * on sends its own unacknowledged messages again, beside the queue. One thread.
 */
#ifndef HAYWAIN_UPSTREAM_MQTT_H
#define HAYWAIN_UPSTREAM_MQTT_H

#include "upstream/dialects/dialect.h"
#include "upstream/resolve.h"
#include "upstream/tls.h"
#include <poll.h>

/* Not used unasked: nobody would notice what is lost. */
#define MQTT_ONLY_QOS_0 "the broker offers only QoS 0, which may lose samples; `qos = 0` in this uplink accepts that"

struct mqtt_settings {
	const char *client_id;
	const char *username, *password; /* or NULL */
	bool v5;
	unsigned keepalive_s;
	struct tls *tls;	    /* prepared; NULL: plain */
	const struct message *will; /* or NULL */
	bool no_retain;		    /* the broker keeps no retained messages: send none */
};

/* Called from mqtt_wait() and mqtt_flush(). */
struct mqtt_events {
	/* Packet mid was answered (a message of QoS 0: written) with an MQTT 5 reason code; 128 and above: refused. */
	void (*published)(void *userdata, int mid, unsigned reason);
	void (*received)(void *userdata, const struct dialect_incoming *incoming);
	/* A message of size bytes came, over what fits (PACKET_SIZE_MAX): it was skipped and acknowledged. */
	void (*oversized)(void *userdata, const char *topic, size_t topic_size, size_t size);
};

enum mqtt_phase {
	MQTT_GREETING, /* TCP, TLS or CONNECT under way */
	MQTT_READY,    /* accepted: publish */
	MQTT_ENDED,
};

/* How a connection ended. */
enum mqtt_end {
	MQTT_END_OTHER,	     /* network, time-out, the broker's own affairs */
	MQTT_END_MESSAGE,    /* the peer ended it, and what we sent may be why */
	MQTT_END_TAKEN_OVER, /* another client uses our client_id */
};

/* How far it got. */
enum mqtt_reach {
	MQTT_REACHED_NOBODY,
	MQTT_REACHED_HOST,   /* TCP */
	MQTT_REACHED_BROKER, /* and TLS: CONNECT went out */
};

/* What may help where the broker did not welcome us. */
enum mqtt_advice {
	MQTT_TRY_LATER,
	MQTT_TRY_OTHER_ADDRESS,	 /* of the same name: the trouble is this server's own */
	MQTT_TRY_WITHOUT_RETAIN, /* a broker that keeps no retained messages turns away a will that is to be kept */
};

struct mqtt;

int mqtt_new(const struct mqtt_settings *settings, const struct mqtt_events *events, void *userdata,
	     struct mqtt **ret); /* -ENOMEM, -EINVAL: client_id, user or will that MQTT cannot carry */
struct mqtt *mqtt_free(struct mqtt *mqtt);

/* Begin. The broker must have welcomed us by deadline_us. -errno and the reason. */
int mqtt_connect(struct mqtt *mqtt, const struct resolved_address *address, uint64_t deadline_us,
		 struct reason *ret_reason);

void mqtt_poll(const struct mqtt *mqtt, struct pollfd *ret);
/* When mqtt_wait() is to be called although nothing happened: a deadline, a ping; 0, at once, after an end. */
uint64_t mqtt_due_us(const struct mqtt *mqtt);
/* Read, write and keep alive as poll() found. */
enum mqtt_phase mqtt_wait(struct mqtt *mqtt, short revents);
enum mqtt_phase mqtt_phase(const struct mqtt *mqtt);

/* Only in MQTT_READY. 0: it goes out as *ret_mid with the next flush; -EMSGSIZE: larger than the broker takes;
   -EINVAL: no topic that MQTT can carry; -ENOTCONN; -ENOMEM. */
int mqtt_publish(struct mqtt *mqtt, const struct message *message, int *ret_mid);
bool mqtt_carries_topic(const struct buf *topic); /* of a message: no wildcard, UTF-8, 1 to 65535 bytes */
/* Ask for the messages of a filter, QoS 1, or for no more of them. -errno as above. */
int mqtt_subscribe(struct mqtt *mqtt, const char *filter, int *ret_mid);
int mqtt_unsubscribe(struct mqtt *mqtt, const char *filter, int *ret_mid);
/* Write what was published, as far as the network takes it; mqtt_wait() writes the rest. */
void mqtt_flush(struct mqtt *mqtt);

/* Bytes of ours that this machine has not yet handed over: what waits to be written, and what the peer's TCP has not
   acknowledged. 0: all is at the peer. As long as it shrinks, the network works, however slowly. */
size_t mqtt_unsent(const struct mqtt *mqtt);

void mqtt_disconnect(struct mqtt *mqtt); /* in good order: the broker does not send our will */
void mqtt_give_up(struct mqtt *mqtt);	 /* we end it; the will goes out */

unsigned mqtt_receive_maximum(const struct mqtt *mqtt); /* the broker's: messages of QoS 1 in flight */
int mqtt_max_qos(const struct mqtt *mqtt);	 /* what the broker offers: a message of more goes out with that */
size_t mqtt_max_packet(const struct mqtt *mqtt); /* bytes of a packet that the broker takes */
bool mqtt_retains(const struct mqtt *mqtt);	 /* retained messages are sent as such */
const char *mqtt_tls_version(const struct mqtt *mqtt); /* "TLS 1.3"; NULL: plain */

/* After an end before MQTT_READY. */
enum mqtt_reach mqtt_reach(const struct mqtt *mqtt);
enum mqtt_advice mqtt_advice(const struct mqtt *mqtt);
/* It ended as brokers end one whose will they do not allow. */
bool mqtt_may_be_the_will(const struct mqtt *mqtt);

/* After MQTT_ENDED: what kind, and in words. */
enum mqtt_end mqtt_end(const struct mqtt *mqtt, struct reason *ret_reason);

/* "not authorized (0x87)" */
void mqtt_reason_to_string(unsigned code, struct reason *ret);

#endif
