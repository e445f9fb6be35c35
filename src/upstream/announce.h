/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What an uplink says besides samples: that it is here, its devices, that it started, and what was dropped. The main
 * thread leaves the devices here; the uplink's thread has the dialect make messages of it, into its outbox, a few at a
 * time.
 */
#ifndef HAYWAIN_UPSTREAM_ANNOUNCE_H
#define HAYWAIN_UPSTREAM_ANNOUNCE_H

#include "model/device_info.h"
#include "queue/queue.h"
#include "upstream/outbox.h"

struct announce;

struct announce *announce_new(void); /* NULL: out of memory */
struct announce *announce_free(struct announce *announce);

/* ---- any thread ---- */

void announce_device(struct announce *announce, struct device_info *info);
void announce_device_removed(struct announce *announce, const char *device);
/* The same of one that was never announced here. */
void announce_device_gone(struct announce *announce, struct device_info *info);

/* ---- the uplink's thread ---- */

/* Who makes the messages in this connection, and what of. */
struct announce_maker {
	const struct dialect *dialect;
	void *state; /* the dialect's */
	struct outbox *outbox;
	struct queue *queue;
	struct queue_reader *reader;
};

/* A new connection: whatever was under way is forgotten; the birth and all devices are made. -errno. */
int announce_begin(struct announce *announce, const struct announce_maker *maker);
/* The birth and all devices once more, in a connection that goes on. -errno. */
int announce_birth(struct announce *announce, const struct announce_maker *maker);

/* The topics will not be ours any more: what is retained of the devices is cleared by what announce_make() makes. */
void announce_withdraw(struct announce *announce);

/* Make messages of what is new, as long as few wait in the outbox. -errno of the dialect. */
int announce_make(struct announce *announce, const struct announce_maker *maker, uint64_t now_us);
bool announce_has_news(const struct announce *announce);

/* A message made here is done with: the broker has it, or never will. */
void announce_done(struct announce *announce, const struct announce_maker *maker, const struct outgoing *outgoing);
/* It was not taken: it is told anew with a later connection. */
void announce_not_taken(struct announce *announce, const struct outgoing *outgoing);

bool announce_waits_for_seq(const struct announce *announce); /* `started` could not be told yet */

#endif
