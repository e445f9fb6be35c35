/* SPDX-License-Identifier: Apache-2.0 */
/* haywaind --test-uplink. */
#ifndef HAYWAIN_CONNECT_MAIN_H
#define HAYWAIN_CONNECT_MAIN_H

/* Try the uplink of that name (NULL: each) of the configuration at path, and print a line for each step. The exit
   status: 0; 1: a step failed, there is no such uplink, or the configuration cannot be used. */
int test_uplinks(const char *path, const char *name);

#endif
