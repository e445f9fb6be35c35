/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The one thread that writes a file: it does what its user says is the most urgent thing, looks again, and sleeps until
 * something is due. It shares its user's lock; functions below are called with that lock held unless they say
 * otherwise. (clang cannot follow a lock through a pointer: they are not checked.)
 */
#ifndef HAYWAIN_STORAGE_WRITER_H
#define HAYWAIN_STORAGE_WRITER_H

#include "base/mutex.h"
#include "base/util.h"
#include <stdatomic.h>
#include <stdbool.h>

/* Called on the thread, with the lock held; each may give it up meanwhile, and holds it when it returns. */
struct writer_hooks {
	bool (*work)(void *userdata);	    /* do one thing. False: there is nothing to do */
	uint64_t (*due_at)(void *userdata); /* when there will be; USEC_NEVER: not until writer_wake() */
	void (*finish)(void *userdata);	    /* before the thread ends */
};

struct writer {
	const struct writer_hooks *hooks;
	void *userdata;
	struct mutex *lock;
	pthread_t thread;
	pthread_cond_t wake, done;
	bool stop, ended;
	uint64_t sleeps_until; /* 0: it is at work and will look by itself */
	_Atomic uint64_t busy_since;
};

/* Without the lock. hooks are borrowed. -errno. */
int writer_init(struct writer *writer, struct mutex *lock, const struct writer_hooks *hooks, void *userdata);
void writer_done(struct writer *writer);
/* Without the lock: begin. -errno. */
int writer_start(struct writer *writer, const char *name);

void writer_wake(struct writer *writer, uint64_t at); /* it shall be awake at `at` at the latest; 0: now */

/* Somebody waits for something that was done: all that wait look again. */
void writer_announce(struct writer *writer);
int writer_await(struct writer *writer,
		 const struct timespec *until); /* the next announcement; until: clock_deadline(). -ETIMEDOUT */

/* Without the lock: ask it to finish, and wait. False: it takes longer, and goes on using what it has. */
bool writer_stop(struct writer *writer, uint64_t timeout_us);

/* It is in the middle of something long, and getting on. Any thread, with the lock or without. */
void writer_gets_on(struct writer *writer);
/* µs since it last got on while it had something to do; 0: idle. For the watchdog. As above. */
uint64_t writer_stuck_us(const struct writer *writer);

#endif
