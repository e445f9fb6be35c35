/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A second haywaind with one configuration is one gateway twice: they would throw each other off the broker, and every
 * reading would go up twice, under numbers of its own.
 */
#ifndef HAYWAIN_SECOND_H
#define HAYWAIN_SECOND_H

/* Whether a haywaind answers at api.socket ("": none). 0; -EWOULDBLOCK: one does, and that has been told. */
int second_refuse(const char *socket);

struct config;

/* Whether a haywaind answers there that has the port or address of one of the configuration's links. 0;
   -EWOULDBLOCK: one does, and that has been said on standard error. */
int second_has_link(const struct config *config);

#endif
