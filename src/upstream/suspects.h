/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a broken connection proves. A peer that ends a connection (FIN, RST, DISCONNECT) over something we sent looks
 * like one that restarts, a line that flaps, or a twin with our client_id. So the end alone proves nothing:
 *
 * - What was under way and unanswered at two ends in a row is set apart, and the rest continues. What is no sample goes
 *   first.
 * - What is set apart is tried alone, when a connection without it has lived ten times as long as the connections
 *   that ended with it did after it was sent. Ended again, that is a strike; an end without it clears it.
 * - Three strikes: a message that is no sample is given up, and tried again every hour. A sample is dropped only when
 *   other samples of its topic passed meanwhile; where none did, the topic waits, and nothing of it is lost.
 *
 * Lives as long as the uplink. Pure: no socket, no clock.
 */
#ifndef HAYWAIN_UPSTREAM_SUSPECTS_H
#define HAYWAIN_UPSTREAM_SUSPECTS_H

#include "base/util.h"

enum suspect_kind { SUSPECT_WILL, SUSPECT_ANNOUNCEMENT, SUSPECT_SUBSCRIBE, SUSPECT_REPLY, SUSPECT_N_KINDS };

enum suspect_verdict {
	SUSPECT_FREE,	  /* as any other */
	SUSPECT_APART,	  /* not now: the others go on without it */
	SUSPECT_TEST,	  /* now, but alone: nothing else may be under way until it is answered */
	SUSPECT_GIVEN_UP, /* not for an hour */
	SUSPECT_DROP,	  /* a sample: it is the reason */
};

struct suspects;

struct suspects *suspects_new(void); /* NULL: out of memory */
struct suspects *suspects_free(struct suspects *suspects);

uint32_t suspects_hash(const char *text, size_t size); /* of a topic: what samples are told apart by */

/* ---- what is no sample: by its kind and topic ---- */

enum suspect_verdict suspects_verdict(struct suspects *suspects, enum suspect_kind kind, const char *topic,
				      uint64_t now_us);
/* How often a connection ended when it was tried alone: of several, the least suspect is tried first. */
unsigned suspects_strikes(const struct suspects *suspects, enum suspect_kind kind, const char *topic);
void suspects_passed(struct suspects *suspects, enum suspect_kind kind, const char *topic, uint64_t now_us);
/* The broker said no to it: it is given up for a minute, then two, up to an hour. True: say so in the log. */
bool suspects_refused(struct suspects *suspects, enum suspect_kind kind, const char *topic, uint64_t now_us);
/* It is larger than the broker takes. True: that was not yet said. */
bool suspects_too_large(struct suspects *suspects, enum suspect_kind kind, const char *topic);

/* ---- samples: by their id, and the hash of their topic ---- */

bool suspects_sample_apart(const struct suspects *suspects, uint64_t id);
/* SUSPECT_TEST or SUSPECT_DROP: what is to be done now, and with which sample; SUSPECT_FREE: nothing. */
enum suspect_verdict suspects_sample_due(const struct suspects *suspects, uint64_t now_us, uint64_t *ret_id);
void suspects_sample_forget(struct suspects *suspects, uint64_t id); /* dropped */
/* No sample up to this id is to be sent any more. */
void suspects_samples_gone(struct suspects *suspects, uint64_t through, uint64_t now_us);
/* A message with the samples from first to last. */
void suspects_samples_passed(struct suspects *suspects, uint64_t first, uint64_t last, uint32_t topic, uint64_t now_us);

/* ---- a connection ---- */

/* The broker accepted it. SUSPECT_TEST: it had no will, and the ones before that had one were not accepted: end this
   one, the next shall show whether that is why. SUSPECT_GIVEN_UP: it is, and that is to be said. */
enum suspect_verdict suspects_connected(struct suspects *suspects, bool with_will, uint64_t now_us);
/* It ended before the broker accepted it. */
void suspects_not_accepted(struct suspects *suspects, bool with_will, uint64_t now_us);
/* The broker refused something. Some brokers also end the connection over that; then nothing else is suspect. */
void suspects_answered_no(struct suspects *suspects, uint64_t now_us);

/* It ends: what was under way is named between this and suspects_ended(). */
void suspects_end(struct suspects *suspects);
void suspects_under_way(struct suspects *suspects, enum suspect_kind kind, const char *topic, uint64_t sent_us);

struct suspects_flight { /* the samples under way */
	size_t n;
	uint64_t first, last; /* ids */
	uint32_t topic;	      /* of the first */
	uint64_t sent_us;     /* the oldest of the messages */
};

struct suspects_finding {
	/* Given up just now, or all unproven ones of its kind. topic: tried last; valid until the next call. */
	bool given_up, whole_kind;
	enum suspect_kind kind;
	const char *topic;
	/* Samples up to this id shall go so many at a time from now on; 0: as before. */
	uint64_t narrow_until;
	size_t narrow;
	/* Samples of the flight's topic broke connections one after the other, and none passed: the topic waits. */
	bool hold_topic;
	/* The next connection will be another one: no reason to wait long for it. */
	bool learnt;
	/* Young connections end with nothing in common: another client may have our client_id. */
	bool twin;
};
/* The peer ended it, and what we sent may be why. */
void suspects_ended(struct suspects *suspects, const struct suspects_flight *flight, uint64_t now_us,
		    struct suspects_finding *ret);

/* When a test may come due: later than now; UINT64_MAX: none that is known of. */
uint64_t suspects_due_us(const struct suspects *suspects, uint64_t now_us);

#endif
