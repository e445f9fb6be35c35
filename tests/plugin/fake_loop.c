/* SPDX-License-Identifier: Apache-2.0 */
/* The life of links and devices, and the loop. */
#include "fake_private.h"
#include <math.h>
#include <time.h>

#define PATIENCE_US (20 * USEC_PER_SEC) /* longer than any machine takes */

/* ---- the loop ---- */

static uint64_t real_now(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * USEC_PER_SEC + (uint64_t)now.tv_nsec / 1000;
}

/* One thing that can be done now, or a wait for one, at most that long. False: nothing was to be done. */
static bool turn(struct fake_host *fake, uint64_t wait_us)
{
	struct hay_timer *timer = fake_next_timer(fake);
	uint64_t now = clock_now();

	if (fake_run_inline(fake))
		return true;
	if (timer && timer->due_us <= now) {
		timer->due_us = USEC_NEVER;
		timer->fn(timer->userdata);
		return true;
	}
	if (timer && !fake->time_stopped)
		wait_us = MIN(wait_us, timer->due_us - now);
	return sd_event_run(fake->event, wait_us) > 0;
}

void fake_run_until(struct fake_host *fake, bool (*condition)(void *userdata), void *userdata)
{
	uint64_t end = real_now() + PATIENCE_US;

	while (!condition(userdata)) {
		if (real_now() > end)
			fake_broken("waited in vain");
		turn(fake, USEC_PER_SEC);
	}
}

const struct fake_event *fake_take(struct fake_host *fake, enum fake_kind kind)
{
	struct fake_event *event;

	pthread_mutex_lock(&fake->mutex);
	for (event = fake->first; event && (event->kind != kind || event->taken); event = event->next)
		;
	if (event)
		event->taken = true;
	pthread_mutex_unlock(&fake->mutex);
	return event;
}

const struct fake_event *fake_wait(struct fake_host *fake, enum fake_kind kind)
{
	static const char *const names[FAKE_N_KINDS] = {
		"the end of a round", "a sample",  "the end of a command", "a device online",
		"a device offline",   "a link up", "a link down",	   "a line for the log"};
	uint64_t end = real_now() + PATIENCE_US;
	const struct fake_event *event;

	while (!(event = fake_take(fake, kind))) {
		if (real_now() > end)
			fake_broken("waited in vain for %s", names[kind]);
		turn(fake, USEC_PER_SEC);
	}
	return event;
}

size_t fake_count(struct fake_host *fake, enum fake_kind kind)
{
	size_t n = 0;

	pthread_mutex_lock(&fake->mutex);
	for (const struct fake_event *event = fake->first; event; event = event->next)
		n += event->kind == kind;
	pthread_mutex_unlock(&fake->mutex);
	return n;
}

void fake_stop_time(struct fake_host *fake)
{
	if (fake->mode != FAKE_INLINE)
		fake_broken("time stands still only where work runs inline");
	fake->clock = (struct clock_fake){.now = clock_now(), .wall = clock_wall()};
	fake->time_stopped = true;
	clock_set_fake(&fake->clock);
}

void fake_advance(struct fake_host *fake, uint64_t us)
{
	uint64_t target = fake->clock.now + us, step;
	struct hay_timer *timer;

	if (!fake->time_stopped)
		fake_broken("fake_advance() without fake_stop_time()");
	for (;;) {
		while (turn(fake, 0))
			;
		timer = fake_next_timer(fake);
		if (fake->clock.now == target)
			return;
		step = (timer ? MIN(timer->due_us, target) : target) - fake->clock.now;
		fake->clock.now += step;
		fake->clock.wall += (int64_t)step;
	}
}

const struct hay_reading *fake_reading(const struct fake_event *event, uint32_t point)
{
	for (size_t i = 0; i < event->sample.n_readings; i++)
		if (event->sample.readings[i].point == point)
			return &event->sample.readings[i];
	return NULL;
}

/* ---- life ---- */

int fake_open(struct hay_link *link)
{
	const struct hay_plugin *plugin = host_of(link)->plugin;
	int r = 0;

	link_of(link)->open = true;
	if (plugin->open)
		r = plugin->open(link);
	link_of(link)->open = r == 0;
	return r;
}

int fake_start(struct hay_device *device)
{
	const struct hay_plugin *plugin = host_of(device->link)->plugin;
	int r = 0;

	if (!link_of(device->link)->open)
		fake_broken("fake_start() on a closed link");
	device_of(device)->started = true;
	if (plugin->start)
		r = plugin->start(device);
	device_of(device)->started = r == 0;
	return r;
}

static bool device_idle(void *userdata)
{
	return !((struct fake_device *)userdata)->outstanding;
}

static bool link_idle(void *userdata)
{
	return !((struct fake_link *)userdata)->outstanding;
}

void fake_stop(struct hay_device *device)
{
	struct fake_device *fd = device_of(device);

	if (!fd->started)
		return;
	fd->stopping = true;
	fake_run_until(host_of(device->link), device_idle, fd);
	if (host_of(device->link)->plugin->stop)
		host_of(device->link)->plugin->stop(device);
	fd->started = fd->stopping = fd->polling = false;
}

void fake_close(struct hay_link *link)
{
	struct fake_link *fl = link_of(link);

	if (!fl->open)
		return;
	for (struct fake_device *fd = fl->devices; fd; fd = fd->next)
		fake_stop(&fd->device);
	fl->stopping = true;
	fake_run_until(fl->fake, link_idle, fl);
	if (fl->fake->plugin->close)
		fl->fake->plugin->close(link);
	while (fl->fds)
		fl->fake->host.del_fd(fl->fds);
	while (fl->timers)
		fl->fake->host.del_timer(fl->timers);
	fl->worker = worker_free(fl->worker);
	fl->open = fl->stopping = false;
}

int fake_poll_some(struct hay_device *device, const uint32_t *due, size_t n_due)
{
	struct fake_device *fd = device_of(device);
	int r;

	if (fd->polling)
		fake_broken("%s is polled already", device->name);
	fd->polling = true;
	r = host_of(device->link)->plugin->poll(device, due, n_due);
	if (r < 0)
		fd->polling = false;
	return r;
}

int fake_poll(struct hay_device *device)
{
	uint32_t due[MAX_POINTS];

	for (uint32_t i = 0; i < device->n_points; i++)
		due[i] = i;
	return fake_poll_some(device, due, device->n_points);
}

int fake_write(struct hay_device *device, uint32_t point, struct hay_value value, struct hay_command **ret)
{
	struct hay_command command = {
		.device = device, .point = point, .value = value, .low = (double)NAN, .high = (double)NAN};

	return fake_write_command(&command, ret);
}

int fake_write_command(const struct hay_command *wanted, struct hay_command **ret)
{
	struct fake_host *fake = host_of(wanted->device->link);
	struct hay_command *command = pool_alloc(fake->pool, sizeof(*command));

	*command = *wanted;
	*ret = command;
	return fake->plugin->write(command);
}

void fake_refuse_work(struct fake_host *fake, bool refuse)
{
	fake->refuse_work = refuse;
}

struct fake_host *fake_host_new(const struct hay_plugin *plugin, enum fake_mode mode)
{
	struct fake_host *fake = calloc(1, sizeof(*fake));

	*fake = (struct fake_host){.plugin = plugin, .mode = mode, .main = pthread_self(), .pool = pool_new()};
	fake->last = &fake->first;
	pthread_mutex_init(&fake->mutex, NULL);
	if (sd_event_new(&fake->event) < 0)
		fake_broken("no event loop");
	fake->host = fake_services;
	return fake;
}

void fake_host_free(struct fake_host *fake)
{
	for (struct fake_link *link = fake->links; link; link = link->next)
		fake_close(&link->link);
	for (struct fake_link *link = fake->links; link; link = link->next)
		for (struct fake_device *device = link->devices; device; device = device->next)
			free(device->points);
	if (fake->time_stopped)
		clock_set_fake(NULL);
	sd_event_unref(fake->event);
	pthread_mutex_destroy(&fake->mutex);
	pool_free(fake->pool);
	free(fake);
}
