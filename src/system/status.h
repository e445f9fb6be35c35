/* SPDX-License-Identifier: Apache-2.0 */
/* How it goes, told by itself: the status line for systemd every second, the summary in the log every hour. Main
   thread. */
#ifndef HAYWAIN_SYSTEM_STATUS_H
#define HAYWAIN_SYSTEM_STATUS_H

#include "stages.h"
#include "system/notify.h"

struct status;

int status_new(const struct stages *stages, struct notify *notify, struct status **ret);
struct status *status_free(struct status *status);

/* Something was read or built: in a few seconds the memory that it took is given back. */
void status_trim_soon(struct status *status);

uint64_t status_dropped(const struct queue_status *queue); /* samples of all causes */

#endif
