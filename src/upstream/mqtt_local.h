/* SPDX-License-Identifier: Apache-2.0 */
/*
 * libmosquitto's end of a connection. The library is given no network, but a local stream whose other end is ours: it
 * makes and reads packets, we carry them (wire.h) and look at what comes (packet_check.h) before it does.
 */
#ifndef HAYWAIN_UPSTREAM_MQTT_LOCAL_H
#define HAYWAIN_UPSTREAM_MQTT_LOCAL_H

#include "upstream/reason.h"
#include <mosquitto.h>

/* Connect the client, whose CONNECT goes out with its next write. ret_fd: our end, non-blocking. Any thread; -errno
   and the reason. */
int mqtt_local_connect(struct mosquitto *client, unsigned keepalive_s, const mosquitto_property *properties,
		       int *ret_fd, struct reason *ret_reason);

#endif
