/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What systemd is told: ready, status, reloading, and that we are alive. Without systemd all of it is nothing.
 * Main thread.
 */
#ifndef HAYWAIN_SYSTEM_NOTIFY_H
#define HAYWAIN_SYSTEM_NOTIFY_H

#include <stdbool.h>
#include <systemd/sd-event.h>

struct notify;

/* alive: asked before each sign of life; false withholds it, and *ret_why (static) says who hangs. */
int notify_new(sd_event *event, bool (*alive)(const char **ret_why, void *userdata), void *userdata,
	       struct notify **ret);
struct notify *notify_free(struct notify *notify);

void notify_ready(struct notify *notify);
void notify_reloading(struct notify *notify);
void notify_stopping(struct notify *notify);
void notify_status(struct notify *notify, const char *text); /* sent where it differs from the last */

#endif
