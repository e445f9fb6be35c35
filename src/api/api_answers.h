/* SPDX-License-Identifier: Apache-2.0 */
/* The answers of the local API that only look: JSON of what the stages say. Main thread. */
#ifndef HAYWAIN_API_API_ANSWERS_H
#define HAYWAIN_API_API_ANSWERS_H

#include "base/buf.h"
#include "stages.h"

void api_write_status(const struct stages *stages, struct buf *out);
void api_write_links(const struct stages *stages, struct buf *out);
void api_write_devices(const struct stages *stages, struct buf *out);
bool api_write_device(const struct stages *stages, const char *name, struct buf *out);	   /* false: there is none */
void api_write_readings(const struct stages *stages, const char *device, struct buf *out); /* device: NULL: all */

/* How many samples of each device are queued, by the devices' numbers. */
void api_write_queue(const struct stages *stages, const uint64_t *by_device, size_t n_devices, struct buf *out);

/* metrics.c: the text format of Prometheus. */
void api_write_metrics(const struct stages *stages, struct buf *out);

/* A monotonic time as ms since 1970. */
int64_t api_wall_ms(uint64_t time_us);

#endif
