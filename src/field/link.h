/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A running link: its plugin's state, its worker thread, and whose turn it is. One round is under way on a link
 * at a time; devices that are due wait in the order in which they became due.
 */
#ifndef HAYWAIN_FIELD_LINK_H
#define HAYWAIN_FIELD_LINK_H

#include "base/rate_limit.h"
#include "base/worker.h"
#include "field/field_conf.h"
#include "field/link_events.h"
#include "field/plugin_load.h"
#include "field/schedule.h"

/* The pause between two tries of a link or device that is away. */
#define FIELD_PAUSE_FIRST_US USEC_PER_SEC
#define FIELD_PAUSE_LAST_US (60 * USEC_PER_SEC)

struct field;
struct device;
struct scan;

/* Where a link is between its first moment and its last. */
enum link_phase {
	LINK_OPENING, /* the plugin's open() has not succeeded yet */
	LINK_RUNNING,
	LINK_SUSPENDING,      /* a scan waits for what is under way to end: then it has the port for itself */
	LINK_SUSPENDED,	      /* closed until that scan has ended */
	LINK_STOPPING,	      /* removed once nothing of its is under way */
	LINK_STOPPING_CLOSED, /* the same, and closed: a scan has its port, or it could not be opened again */
};

/* Whether it works. */
enum link_state {
	LINK_UNUSED, /* not known: no device was asked or heard on it */
	LINK_UP,
	LINK_DOWN,
	LINK_N_STATES
};

/* One request of a scan, which takes its turn among the rounds of the devices. */
struct link_step {
	struct hay_work work;
	void (*dropped)(struct link_step *step); /* instead of work.done: it was not run */
};

enum link_step_state {
	LINK_STEP_NONE,
	LINK_STEP_WAITING,
	LINK_STEP_RUNNING,
};

struct link {
	struct hay_link hay; /* what the plugin sees */
	struct link *next;
	struct field *field;
	struct link_conf *conf;
	const struct hay_plugin *plugin;

	struct worker *worker; /* NULL until work is submitted */
	unsigned outstanding;  /* submitted and not handed back, of the link itself */
	struct link_events events;

	struct device *devices;
	struct device *waiting_first, *waiting_last; /* due, and waiting for their turn */
	struct device *polling;			     /* whose round is under way */
	struct device *prober;			     /* down: who tries next */

	struct scan *scan; /* that is about this link; NULL: none */
	struct link_step *step;
	enum link_step_state step_state;
	bool step_was_last; /* the last turn was a step's: the next one is a device's, if one waits */
	bool taking_turns;  /* inside link_next_turn() */

	enum link_phase phase;
	enum link_state state;
	char *reason; /* down: why */
	enum hay_reason reason_code;
	uint64_t started_us;
	uint64_t since_us;
	uint64_t pause_us;	     /* down: the present back-off */
	struct hay_rate_limit limit; /* of its lines in the log about going down */
	bool down_unlogged;	     /* the last of them was suppressed: so is the one that it is up again */

	uint64_t busy_us, busy_since_us;  /* time with a round under way */
	struct hay_rate_limit late_limit; /* of the line that it cannot keep its periods */
	uint64_t late;			  /* polls left out since that line */
	unsigned late_rounds;		  /* after which some were */
	uint64_t errors[HAY_N_REASONS];	  /* of its devices, as in struct device; those of removed ones stay */
};

int link_new(struct field *field, struct link_conf *conf, struct link **ret); /* takes conf in any case */
struct link *link_free(struct link *link);

static inline bool link_is_stopping(const struct link *link)
{
	return link->phase == LINK_STOPPING || link->phase == LINK_STOPPING_CLOSED;
}

/* For a scan: nothing is asked and nothing counts meanwhile. */
static inline bool link_is_suspended(const struct link *link)
{
	return link->phase == LINK_SUSPENDING || link->phase == LINK_SUSPENDED;
}

static inline bool link_is_down(const struct link *link)
{
	return link->state == LINK_DOWN;
}

/* Run work on the link's thread, then work->done on the main thread. -ESHUTDOWN: the link or the work's device is being
   stopped, or the link is suspended. */
int link_submit(struct link *link, struct hay_work *work, enum hay_lane lane);

/* A device is due, or gave up its turn. */
void link_wants_turn(struct link *link, struct device *device);
void link_give_up(struct link *link, struct device *device);
void link_next_turn(struct link *link);

/* ---- while it is scanned: field/scan.h ---- */

const char *link_target(const struct link *link); /* its port, url or adapter as configured, or NULL */
void link_log_scan(struct link *link);		  /* that it is scanned while its devices go on */
/* Steps and rounds take turns: a device waits for one step at most. One step at a time. -ESHUTDOWN: it is being
   stopped. */
int link_request_step(struct link *link, struct link_step *step);
/* Whether the step was still waiting: then it is forgotten, and neither done() nor dropped() is called. */
bool link_cancel_step(struct link *link);
/* Its devices are offline from now on. Once nothing of theirs is under way (link_can_suspend()) link_suspend()
   closes it and stops its devices, for as long as the scan lasts. */
void link_begin_suspending(struct link *link);
bool link_can_suspend(const struct link *link);
void link_suspend(struct link *link);
void link_resume(struct link *link);

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
/* Devices came or went: if the device that was to try next has gone, another one tries. */
void link_keep_trying(struct link *link);

/* Share of the time since the last call that a round was under way, 0 to 1. *busy_us, *at_us: the caller's, of the last
   call; zeroed for the first, which is about the time since the link was started. */
double link_load(const struct link *link, uint64_t *busy_us, uint64_t *at_us);

uint64_t link_busy_us(const struct link *link); /* time with a round or a step under way */
bool link_is_idle(const struct link *link);	/* no work of its own under way */

#endif
