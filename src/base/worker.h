/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A thread that runs submitted work in order, commands before polls, and hands it back to an sd-event loop.
 * Everything but the work itself happens on the loop's thread.
 */
#ifndef HAYWAIN_BASE_WORKER_H
#define HAYWAIN_BASE_WORKER_H

#include "base/util.h"
#include <haywain/plugin.h>
#include <pthread.h>
#include <stdbool.h>
#include <systemd/sd-event.h>

struct worker;

#define THREAD_STACK_BYTES ((size_t)256 * 1024) /* of every thread but main */

/* name: what ps -L shows, cut to 15 characters. done: called on the loop for every finished work. */
int worker_new(sd_event *event, const char *name, void (*done)(struct hay_work *work, void *userdata), void *userdata,
	       struct worker **ret);

/* Ends the thread. No work may be under way (worker_busy). NULL is fine. */
struct worker *worker_free(struct worker *worker);

void worker_submit(struct worker *worker, struct hay_work *work, enum hay_lane lane);
bool worker_busy(const struct worker *worker); /* submitted and not yet handed back */

/* Start a thread with all signals blocked, a small stack and a name; the daemon's only way to do so. -errno. */
int thread_start(pthread_t *ret, const char *name, void *(*fn)(void *), void *userdata);

#endif
