/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Topics whose samples the broker refuses (PUBACK 0x87), or over which it hangs up: each waits by itself, and is tried
 * again with one message after 1 s, 2 s, … Lives as long as the uplink. Pure: no socket, no clock.
 */
#ifndef HAYWAIN_UPSTREAM_HELD_TOPICS_H
#define HAYWAIN_UPSTREAM_HELD_TOPICS_H

#include "base/util.h"

#define HELD_TOPIC_PAUSE_MAX_US USEC_PER_MINUTE
#define HELD_TOPIC_HUNG_UP_MAX_US (10 * USEC_PER_MINUTE) /* a try costs the connection */

struct held_topic {
	struct held_topic *next;
	char *name;
	char why[96];
	uint64_t pause_us, next_us;
	uint64_t said_us; /* 0: not yet */
	bool hung_up;
	uint64_t connection; /* the one that `group` is of */
	uint32_t group;
};

struct held_topics {
	struct held_topic *first;
	size_t n;
};

void held_topics_done(struct held_topics *topics);
struct held_topic *held_topics_find(const struct held_topics *topics, const char *name);

/* The topic was refused (again): it is tried after a pause. hung_up: and that cost the connection. *ret_say: it is
   to be logged, the first time and then once an hour. NULL: out of memory. */
struct held_topic *held_topics_refuse(struct held_topics *topics, const char *name, const char *why, bool hung_up,
				      uint64_t now_us, bool *ret_say);
void held_topics_remove(struct held_topics *topics, struct held_topic *topic);

/* One that is to be tried now, of those whose group is known in this connection; NULL: none. */
struct held_topic *held_topics_due(const struct held_topics *topics, uint64_t connection, uint64_t now_us);
uint64_t held_topics_due_us(const struct held_topics *topics, uint64_t connection); /* UINT64_MAX: none */

#endif
