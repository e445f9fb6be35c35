/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A running link: its plugin's state, its worker thread, and whose turn it is. One round is under way on a link
 * at a time; devices that are due wait in the order in which they became due.
 */
#ifndef HAYWAIN_FIELD_LINK_H
#define HAYWAIN_FIELD_LINK_H

#include "base/fold.h"
#include "base/worker.h"
#include "field/field_conf.h"
#include "field/plugin_load.h"
#include "field/schedule.h"

/* Between two tries of a link or of a device that is away. */
#define FIELD_PAUSE_FIRST_US USEC_PER_SEC
#define FIELD_PAUSE_LAST_US (60 * USEC_PER_SEC)

struct field;
struct device;
struct scan;

struct link {
	struct hay_link hay; /* what the plugin sees */
	struct link *next;
	struct field *field;
	struct link_conf *conf;
	const struct hay_plugin *plugin;

	struct worker *worker; /* NULL until work is submitted */
	unsigned outstanding;  /* submitted and not handed back, of the link itself */
	struct hay_fd *fds;
	struct hay_timer *timers;

	struct device *devices;
	struct device *waiting_first, *waiting_last; /* due, and waiting for their turn */
	struct device *polling;			     /* whose round is under way */
	struct device *prober;			     /* down: who tries next */

	struct scan *scan; /* that is about this link; NULL: none */
	bool step_waits;   /* of the scan: for its turn */
	bool stepping;	   /* under way, as `polling` of a round */
	bool step_was_last;
	bool lent; /* closed, or about to be, for the scan to have its port */

	bool taking_turns; /* inside link_next_turn() */
	bool open;	   /* the plugin's open() succeeded */
	bool used;	   /* it was up, or down: whether it works is known */
	bool stopping;
	bool down;
	char *reason; /* down: why */
	enum hay_reason reason_code;
	uint64_t started_us;
	uint64_t since_us;
	uint64_t pause_us; /* down: the present back-off */
	struct fold fold;  /* of its lines in the log about going down */
	bool quiet;	   /* the last of them was not told: neither is that it is up again */

	uint64_t busy_us, busy_since_us; /* time with a round under way */
	uint64_t late_us;		 /* when its log last said that it cannot keep its periods; 0: never */
	uint64_t late;			 /* polls left out since then */
	unsigned late_rounds;		 /* after which some were */
	uint64_t errors[HAY_N_REASONS];	 /* of its devices, as in struct device; those of removed ones stay */
};

int link_new(struct field *field, struct link_conf *conf, struct link **ret); /* takes conf in any case */
struct link *link_free(struct link *link);

/* A device is due, or gave up its turn. */
void link_wants_turn(struct link *link, struct device *device);
void link_give_up(struct link *link, struct device *device);
void link_next_turn(struct link *link);

/* ---- while it is scanned: field/scan.h ---- */

const char *link_target(const struct link *link); /* its port, url or adapter as configured, or NULL */
/* The line in the log; lends: its devices are offline from now on, and it will be closed. */
void link_tell_scan(struct link *link, bool lends);
/* Steps and rounds take turns: a device waits for one step at most. */
void link_wants_step(struct link *link);
void link_forget_step(struct link *link);
void link_end_step(struct link *link);
/* Close it and stop its devices, for as long as the scan lasts; once nothing of theirs is under way but the scan. */
bool link_may_lend(const struct link *link);
void link_lend(struct link *link);
void link_take_back(struct link *link);

/* A device was asked or heard on it: unless it is down, it is up from the first time on. */
void link_note_use(struct link *link);
void link_went_up(struct link *link);
void link_went_down(struct link *link, enum hay_reason reason, const char *detail);
/* Say what has long been away: the link, or else devices on it. */
void link_remind(struct link *link);
/* So many polls of a device were left out because others, or its last round, took too long. */
void link_note_late(struct link *link, uint64_t n);
/* Down, and the try has failed: the next one after a longer pause. */
void link_try_later(struct link *link);
/* Devices came or went: where nobody is left to try, another one does. */
void link_keep_trying(struct link *link);

/* Share of the time since the last call that a round was under way, 0 to 1. *busy_us, *at_us: the caller's, of the last
   call; zeroed for the first, which is about the time since the link was started. */
double link_load(const struct link *link, uint64_t *busy_us, uint64_t *at_us);

uint64_t link_busy_us(const struct link *link); /* time with a round or a step under way */
bool link_is_idle(const struct link *link);	/* no work of its own under way */

#endif
