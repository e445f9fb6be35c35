/* SPDX-License-Identifier: Apache-2.0 */
/* Who answers at host:port? libmosquitto's own connect cannot be interrupted, so somebody asks first. */
#ifndef HAYWAIN_UPSTREAM_DIAL_H
#define HAYWAIN_UPSTREAM_DIAL_H

#include "base/util.h"
#include <netdb.h>

#define REASON_MAX 192
/* Why something did not work, in words. */
struct reason {
	char text[REASON_MAX];
};
void reason_set(struct reason *reason, const char *format, ...) _printf_(2, 3);

/*
 * Resolve host and connect to its addresses in turn, for at most timeout_us together; the connection is closed
 * again. ret_address: the one that answered, as a number. cancel_fd: gives up when it becomes readable.
 * -ECANCELED, or another -errno and the reason. Only the look-up of a name may take longer.
 */
int dial(const char *host, uint16_t port, uint64_t timeout_us, int cancel_fd, char ret_address[NI_MAXHOST],
	 struct reason *ret_reason);

#endif
