/* SPDX-License-Identifier: Apache-2.0 */
#include "queue/queue.h"

static const char *const writes[] = {"behind", "through", NULL};
static const char *const policies[] = {"drop-oldest", "drop-newest", NULL};

#define MS ((int64_t)USEC_PER_MSEC)
#define KB ((int64_t)1024)
#define MB (1024 * KB)

const struct hay_option queue_options[] = {
	{.key = "path",
	 .type = HAY_OPT_STRING,
	 .offset = offsetof(struct queue_conf, path),
	 .help = "the queue's file"},
	{.key = "commit",
	 .type = HAY_OPT_DURATION,
	 .offset = offsetof(struct queue_conf, commit_us),
	 .fallback = "200ms",
	 .min = 10 * MS,
	 .max = 60000 * MS,
	 .help = "the loss window: this long after it was taken, a reading is acknowledged or on its way to the disk"},
	{.key = "write",
	 .type = HAY_OPT_CHOICE,
	 .offset = offsetof(struct queue_conf, write),
	 .fallback = "behind",
	 .choices = writes,
	 .help = "behind: only what is not acknowledged in time; through: everything, before it is sent"},
	{.key = "memory",
	 .type = HAY_OPT_SIZE,
	 .offset = offsetof(struct queue_conf, memory),
	 .fallback = "2MB",
	 .min = 64 * KB,
	 .max = 1024 * MB,
	 .help = "bound of the part in memory"},
	{.key = "max_size",
	 .type = HAY_OPT_SIZE,
	 .offset = offsetof(struct queue_conf, max_size),
	 .fallback = "512MB",
	 .min = 1 * MB,
	 .max = 1024 * 1024 * MB,
	 .help = "bound of the file"},
	{.key = "max_age",
	 .type = HAY_OPT_DURATION,
	 .offset = offsetof(struct queue_conf, max_age_us),
	 .fallback = "30d",
	 .min = 60000 * MS,
	 .max = 3660 * 86400000LL * MS,
	 .help = "older samples are dropped"},
	{.key = "when_full",
	 .type = HAY_OPT_CHOICE,
	 .offset = offsetof(struct queue_conf, when_full),
	 .fallback = "drop-oldest",
	 .choices = policies,
	 .help = "what goes when max_size is reached"},
	{.key = NULL},
};
