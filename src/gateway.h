/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The gateway: builds the stages in flow order, takes them down in reverse, and keeps what runs in step with
 * the configuration. Main thread.
 */
#ifndef HAYWAIN_GATEWAY_H
#define HAYWAIN_GATEWAY_H

#include <stdbool.h>
#include <systemd/sd-event.h>

struct gateway;

/* Read the configuration and start everything. What is wrong is logged. -EBADMSG: the configuration; others: the
   system. *ret is to be freed also after a failure; NULL: there was no memory for it. */
int gateway_new(sd_event *event, const char *config_path, struct gateway **ret);

/* Read the configuration again, and restart what changed. */
void gateway_reload(struct gateway *gateway);

/* Begin to leave; the loop is ended (sd_event_exit) when all is safe or time is up. */
void gateway_stop(struct gateway *gateway);

/* After the loop: what waits goes to disk, and everything is freed. False: a thread hangs, and what it may use is
   left; the caller ends the process with _exit(). NULL is fine. */
bool gateway_free(struct gateway *gateway);

#endif
