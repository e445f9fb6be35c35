/* SPDX-License-Identifier: Apache-2.0 */
/* A TCP connection to a host by name. Blocks. */
#ifndef MODBUS_CONNECT_H
#define MODBUS_CONNECT_H

#include <haywain/reading.h>

/*
 * A non-blocking socket, or -1: *ret_reason and *ret_detail (which lives for ever, or is `unknown`) say why. unknown:
 * what to say where the host's name does not resolve. All addresses of the host together get timeout_us.
 */
int connect_host(const char *host, const char *port, const char *unknown, uint64_t timeout_us, uint64_t (*now)(void),
		 enum hay_reason *ret_reason, const char **ret_detail);

#endif
