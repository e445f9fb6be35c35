/* SPDX-License-Identifier: Apache-2.0 */
/* "tcp://HOST[:PORT]" or "rtu+tcp://HOST:PORT". Pure. */
#ifndef MODBUS_URL_H
#define MODBUS_URL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define URL_DEFAULT_PORT 502

struct url {
	const char *host; /* inside the text, not terminated; an IPv6 address without its brackets */
	size_t host_size;
	uint16_t port;
	bool rtu; /* the frames of a serial line */
};

/* -EINVAL: *ret_error says what would be right. */
int url_parse(const char *text, struct url *ret, const char **ret_error);

#endif
