/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The log of what was written to devices: who writes now and then is told of each time, who writes in a loop is told
 * of in full at first and then summed up every 10 minutes, with how often, from where to where, and the last value. So
 * nobody writes unseen, and nobody fills a disk with it. Counted by who wrote to which point: a loop hides no other.
 * Main thread.
 */
#ifndef HAYWAIN_API_WRITE_LOG_H
#define HAYWAIN_API_WRITE_LOG_H

#include <haywain/reading.h>
#include <systemd/sd-event.h>

struct write_log;

int write_log_new(sd_event *event, struct write_log **ret);
struct write_log *write_log_free(struct write_log *log); /* sums up what was not told; NULL is fine, as in all below */

/*
 * A value was written. by: "uplink cloud", "user 1000 over the local API". True: tell it in full, with *ret_more at the
 * end of the line: "", or that the next ones are summed up. False: it is counted, and told later.
 */
bool write_log_allows(struct write_log *log, const char *by, const char *device, const char *point,
		      const struct hay_value *value, const char **ret_more);

/* A write was not done: may it be told? *ret_before: see rate_limit_allows(). */
bool write_log_allows_refusal(struct write_log *log, uint64_t *ret_before);

/* Log the sums of the 10-minute windows that have ended; all: also of those still open. The module calls it by
   itself. */
void write_log_sum_up(struct write_log *log, bool all);

#endif
