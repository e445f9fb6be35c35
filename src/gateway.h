/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The gateway: builds the stages in flow order, takes them down in reverse, and keeps what runs in step with
 * the configuration. Main thread.
 */
#ifndef HAYWAIN_GATEWAY_H
#define HAYWAIN_GATEWAY_H

#include <systemd/sd-event.h>

struct gateway;

/* Read the configuration and start everything. What is wrong is logged. -EBADMSG: the configuration; others: the system. */
int gateway_new(sd_event *event, const char *config_path, struct gateway **ret);

/* Read the configuration again, and restart what changed. */
void gateway_reload(struct gateway *gateway);

/* Begin to leave; the loop is ended (sd_event_exit) when all is safe or time is up. */
void gateway_stop(struct gateway *gateway);

/* After the loop. Where something still hangs this does not return: the process leaves with _exit(0). */
struct gateway *gateway_free(struct gateway *gateway);

#endif
