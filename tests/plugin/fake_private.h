/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of the fake host share. */
#ifndef TESTS_PLUGIN_FAKE_PRIVATE_H
#define TESTS_PLUGIN_FAKE_PRIVATE_H

#include "base/clock.h"
#include "base/conf.h"
#include "base/worker.h"
#include "fake_host.h"
#include <errno.h>
#include <stdio.h>
#include <string.h>

#define MAX_POINTS 1024

struct fake_device {
	struct hay_device device;
	struct fake_device *next;
	struct hay_point **points;
	bool started, stopping, polling;
	unsigned outstanding;
};

struct fake_link {
	struct hay_link link;
	struct fake_link *next;
	struct fake_host *fake;
	struct fake_device *devices;
	struct worker *worker;
	struct hay_fd *fds;
	struct hay_timer *timers;
	bool open, stopping;
	unsigned outstanding; /* works, those of devices included */
};

struct hay_fd {
	struct hay_fd *next;
	struct fake_link *link;
	sd_event_source *source;
	hay_fd_fn fn;
	void *userdata;
};

struct hay_timer {
	struct hay_timer *next;
	struct fake_link *link;
	uint64_t due_us;
	hay_timer_fn fn;
	void *userdata;
};

struct note {
	struct note *next;
	const struct hay_device *device;
	const char *key;
	size_t size;
	char data[4096];
};

struct inline_work {
	struct hay_work *first, *last;
};

struct fake_host {
	struct hay_host host;
	const struct hay_plugin *plugin;
	enum fake_mode mode;
	pthread_t main;
	sd_event *event;
	struct fake_link *links;
	struct inline_work lanes[2];
	struct note *notes;
	bool refuse_work;
	struct clock_fake clock;
	bool time_stopped;

	pthread_mutex_t mutex;		  /* log() comes from any thread */
	struct pool *pool;		  /* under mutex */
	struct fake_event *first, **last; /* under mutex */
	const char *error;
};

static inline struct fake_link *link_of(const struct hay_link *link)
{
	return container_of(link, struct fake_link, link);
}

static inline struct fake_device *device_of(const struct hay_device *device)
{
	return container_of(device, struct fake_device, device);
}

static inline struct fake_host *host_of(const struct hay_link *link)
{
	return link_of(link)->fake;
}

/* A rule of plugin.h was broken: say which, and end the test. */
void fake_broken(const char *format, ...) __attribute__((noreturn)) _printf_(1, 2);

extern const struct hay_host fake_services;

struct hay_point *fake_append_point(struct fake_device *device, const char *name);
struct hay_timer *fake_next_timer(struct fake_host *fake); /* the one that goes off first, or NULL */
bool fake_run_inline(struct fake_host *fake);		   /* one work; false: there is none */

#endif
