/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Is this a packet that an MQTT broker may send? Asked of every packet before libmosquitto sees it: the library aborts
 * the process over a property that it does not know (2.0.11: "log__printf: Assertion `mosq' failed"), and takes
 * whatever size the broker announces into memory. Pure: no descriptor, no clock, no state.
 *
 * After MQTT 3.1.1 (sections 2.2, 3.2 to 3.13) and MQTT 5 (sections 2.1, 2.2.2 with table 2-4, 3.2 to 3.14).
 */
#ifndef HAYWAIN_UPSTREAM_PACKET_CHECK_H
#define HAYWAIN_UPSTREAM_PACKET_CHECK_H

#include "upstream/reason.h"
#include <stdbool.h>

/* Of a whole packet. A command needs a few hundred bytes; json_command.c takes at most 64 KB. */
#define PACKET_SIZE_MAX ((size_t)128 * 1024)

enum packet_type {
	PACKET_CONNACK = 2,
	PACKET_PUBLISH = 3,
	PACKET_PUBACK = 4,
	PACKET_PUBREC = 5,
	PACKET_PUBREL = 6,
	PACKET_PUBCOMP = 7,
	PACKET_SUBACK = 9,
	PACKET_UNSUBACK = 11,
	PACKET_PINGRESP = 13,
	PACKET_DISCONNECT = 14,
};

struct packet {
	enum packet_type type;
	size_t size; /* of all of it, with its header */

	/* Of a PUBLISH. */
	bool too_large;	   /* over PACKET_SIZE_MAX: to be skipped, not kept */
	unsigned qos, mid; /* mid: packet identifier; 0 with QoS 0 */
	const char *topic; /* in the data that was given; not terminated */
	size_t topic_size;
};

/*
 * Look at the packet that begins at data. greeted: CONNACK has come. 1: whole and well-formed; or too large, and data
 * holds its head as far as it is told in *ret (ret->size bytes follow from data on, of which most are still to come).
 * 0: more bytes are needed, never more than PACKET_SIZE_MAX in all. -EBADMSG: no broker may send this, and why.
 */
int packet_check(const uint8_t *data, size_t size, bool v5, bool greeted, struct packet *ret,
		 struct reason *ret_reason);

#define PACKET_ACK_SIZE 5
/* True: the packet is an acknowledgement with properties, and *ret the same without them. Nobody reads them, and
   libmosquitto (to 2.0.21) loses the memory of those that answer nothing. */
bool packet_without_properties(const struct packet *packet, const uint8_t *data, uint8_t ret[PACKET_ACK_SIZE]);

/* What the peer of a port speaks that answered our CONNECT, or TLS's greeting, with this; false: it may be the right
   protocol. tls: it was TLS's greeting. */
bool packet_is_foreign(const uint8_t *data, size_t size, bool tls, struct reason *ret_reason);

#endif
