/* SPDX-License-Identifier: Apache-2.0 */
/* What the parts of the window share: window.c (messages), window_slots.c (where samples wait) and window_break.c. */
#ifndef HAYWAIN_UPSTREAM_WINDOW_PRIVATE_H
#define HAYWAIN_UPSTREAM_WINDOW_PRIVATE_H

#include "upstream/window.h"

#define NONE UINT32_MAX
/* More is not read ahead of the broker, whatever inflight × batch comes to. */
#define SAMPLES_MAX ((size_t)16384)
/* Nor held: a device of one sample a second that the broker refuses stops the others after four and a half hours. */
#define HELD_MAX ((size_t)16384)
#define HELD_BYTES_MAX ((size_t)8 << 20)

enum slot_state { WAITING, HELD, SENT, DONE };

struct window_slot {
	struct sample *sample; /* NULL once done */
	uint64_t id;
	uint64_t through; /* all from its id to this one are done when it is */
	uint64_t position;
	uint64_t arrived_us;
	uint32_t next; /* in the list of its group while it waits, of its message while it is sent */
	uint32_t group;
	enum slot_state state;
	bool alone;	 /* held by itself, in no list: under suspicion */
	uint32_t folded; /* slots of done samples that it stands for */
};

/* The waiting samples of one group, by position. */
struct window_group {
	uint32_t number;
	bool used;
	bool in_full;
	bool held;
	uint32_t first, last; /* slots */
	uint32_t n_waiting;
	uint32_t next_full;
};

struct window_flight {
	struct window_message message;
	unsigned n_packets; /* not yet acknowledged */
	bool open;
	uint32_t first; /* slot */
	uint32_t n;
};

struct id_range {
	uint64_t from, to;
};

struct window {
	struct window_limits limits;
	size_t messages; /* in flight at most, now */
	size_t batch;

	struct window_slot *slots;
	size_t n_slots;
	size_t read_ahead;     /* samples that wait or are in flight, at most */
	uint64_t head, tail;   /* positions: [head, tail) are here */
	uint64_t waiting_from; /* no slot before it waits */
	size_t n_waiting, n_held, n_sent;
	size_t held_bytes;
	uint64_t n_folded; /* done samples whose slot another one stands for */
	uint64_t cursor;
	bool cursor_moved;

	struct window_group *groups; /* a hash table, open addressing */
	size_t n_groups, groups_used;
	uint32_t full_first, full_last; /* groups with enough for a whole message */

	struct window_flight *flights; /* a ring as well */
	uint64_t flight_head, flight_tail;
	size_t n_open;

	uint32_t *picked; /* slots */
	struct sample **samples;
	size_t n_picked;

	struct id_range *acked; /* acknowledged before the last break and after the cursor, growing */
	size_t n_acked, next_acked;

	uint64_t narrow_until; /* samples up to this id go few at a time */
	size_t narrow;	       /* so many; 0: no bound */
	bool narrow_flight;    /* what is in flight went so */
};

static inline size_t window_used(const struct window *window)
{
	return (size_t)(window->tail - window->head);
}

/* ---- window_slots.c ---- */

struct window_group *window_group_find(struct window_group *groups, size_t n_groups, uint32_t number);
struct window_group *window_group_get(struct window *window, uint32_t number); /* makes it; NULL: out of memory */
void window_note_full(struct window *window, struct window_group *group); /* it may have enough for a whole message */
struct window_group *window_first_full(struct window *window);		  /* NULL: none */
void window_set_state(struct window *window, struct window_slot *slot, enum slot_state state);
void window_wait_in_group(struct window *window, struct window_group *group, uint32_t index);
int window_make_slots(struct window *window); /* room for one more; -ENOMEM */

/* ---- window_break.c ---- */

bool window_acked_before(struct window *window, uint64_t id); /* before the last break; ids grow from call to call */

#endif
