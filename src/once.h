/* SPDX-License-Identifier: Apache-2.0 */
/* haywaind --once: what the devices say right now, without the queue, the uplinks and the API. */
#ifndef HAYWAIN_ONCE_H
#define HAYWAIN_ONCE_H

#include <stdbool.h>

/*
 * Open the links of the configuration at path, poll every device once, listen to the others for a while, and print the
 * readings as a table, or as the local API would (json). What is wrong is said on standard error. The exit status: 0; 1
 * for mistakes in the configuration, a device without any reading, or a running haywaind that has one of the links.
 */
int read_once(const char *path, bool json);

#endif
