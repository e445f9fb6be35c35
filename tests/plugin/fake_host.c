/* SPDX-License-Identifier: Apache-2.0 */
#include "fake_host.h"
#include "base/clock.h"
#include "base/conf.h"
#include "base/worker.h"
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#define PATIENCE_US (20 * USEC_PER_SEC)
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

struct fake_report {
	struct hay_report report;
	struct fake_host *fake;
	unsigned n_errors;
};

static void broken(const char *format, ...) __attribute__((noreturn)) _printf_(1, 2);
static void broken(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	fputs("fake host: ", stderr);
	vfprintf(stderr, format, args);
	fputc('\n', stderr);
	va_end(args);
	abort();
}

static struct fake_link *link_of(const struct hay_link *link)
{
	return container_of(link, struct fake_link, link);
}

static struct fake_device *device_of(const struct hay_device *device)
{
	return container_of(device, struct fake_device, device);
}

static struct fake_host *host_of(const struct hay_link *link)
{
	return link_of(link)->fake;
}

/* Rules of every call about a device or link but log(). */
static struct fake_host *enter(const struct hay_link *link, const struct hay_device *device, const char *call)
{
	struct fake_host *fake = host_of(link);

	if (!pthread_equal(pthread_self(), fake->main))
		broken("%s() called off the main thread", call);
	if (!link_of(link)->open)
		broken("%s() called for link %s, which is closed", call, link->name);
	if (device && !device_of(device)->started)
		broken("%s() called for device %s, which is stopped", call, device->name);
	return fake;
}

/* ---- what the plugin says ---- */

static struct fake_event *record(struct fake_host *fake, enum fake_kind kind, struct hay_link *link,
				 struct hay_device *device, const char *text)
{
	struct fake_event *event;

	pthread_mutex_lock(&fake->mutex);
	event = pool_alloc(fake->pool, sizeof(*event));
	event->kind = kind;
	event->link = link;
	event->device = device;
	event->text = text ? pool_strdup(fake->pool, text) : NULL;
	*fake->last = event;
	fake->last = &event->next;
	pthread_mutex_unlock(&fake->mutex);
	return event;
}

static void check_reading(const struct hay_device *device, const struct hay_reading *reading)
{
	if (reading->point >= device->n_points)
		broken("a reading of point %u, of which %s has %u", reading->point, device->name, device->n_points);
	if ((reading->quality == HAY_GOOD) != (reading->reason == HAY_NO_REASON))
		broken("point %s: good with a reason, or not good without one", device->points[reading->point]->name);
	if ((reading->reason == HAY_EXCEPTION) != (reading->exception != NULL))
		broken("point %s: an exception without its name, or a name without one",
		       device->points[reading->point]->name);
	if (reading->exception && strlen(reading->exception) > 63)
		broken("the name of exception \"%s\" is too long", reading->exception);
	if (reading->quality != HAY_BAD && reading->value.type == HAY_TYPE_NONE)
		broken("point %s: neither bad nor a value", device->points[reading->point]->name);
}

static void copy_sample(struct fake_host *fake, struct fake_event *event, const struct hay_device *device,
			const struct hay_sample *sample)
{
	bool seen[MAX_POINTS] = {false};
	struct hay_reading *readings;

	if (!sample)
		return;
	pthread_mutex_lock(&fake->mutex);
	readings = pool_alloc(fake->pool, sample->n_readings * sizeof(*readings) + 1);
	for (size_t i = 0; i < sample->n_readings; i++) {
		readings[i] = sample->readings[i];
		check_reading(device, &readings[i]);
		if (seen[readings[i].point])
			broken("point %s stands twice in a sample", device->points[readings[i].point]->name);
		seen[readings[i].point] = true;
		if (readings[i].exception)
			readings[i].exception = pool_strdup(fake->pool, readings[i].exception);
		if (readings[i].value.type == HAY_STRING || readings[i].value.type == HAY_BYTES)
			readings[i].value.s.data =
				pool_strndup(fake->pool, readings[i].value.s.data, readings[i].value.s.size);
	}
	event->has_sample = true;
	event->sample = *sample;
	event->sample.readings = readings;
	pthread_mutex_unlock(&fake->mutex);
}

static void host_log(struct hay_link *link, struct hay_device *device, enum hay_log_level level, const char *format,
		     ...)
{
	_cleanup_free_ char *text = NULL;
	va_list args;

	va_start(args, format);
	if (vasprintf(&text, format, args) < 0)
		text = NULL;
	va_end(args);
	if (text && strchr(text, '\n'))
		broken("a line for the log has a line break: %s", text);
	record(host_of(link), FAKE_LOG, link, device, text)->level = level;
}

static void host_emit(struct hay_device *device, const struct hay_sample *sample)
{
	struct fake_host *fake = enter(device->link, device, "emit");

	copy_sample(fake, record(fake, FAKE_EMIT, device->link, device, NULL), device, sample);
}

static void host_round_done(struct hay_device *device, const struct hay_sample *sample, enum hay_result result,
			    enum hay_reason reason, const char *detail, uint64_t rtt_us)
{
	struct fake_host *fake = enter(device->link, device, "round_done");
	struct fake_event *event = record(fake, FAKE_ROUND_DONE, device->link, device, detail);

	if (!device_of(device)->polling)
		broken("round_done() of %s, which was not polled", device->name);
	if ((result == HAY_FAILED) != (reason != HAY_NO_REASON))
		broken("round_done() of %s: failed without a reason, or a reason without failure", device->name);
	device_of(device)->polling = false;
	event->result = result;
	event->reason = reason;
	event->rtt_us = rtt_us;
	copy_sample(fake, event, device, sample);
}

static void host_command_done(struct hay_command *command, const char *error)
{
	struct fake_host *fake = enter(command->device->link, command->device, "command_done");

	record(fake, FAKE_COMMAND_DONE, command->device->link, command->device, error)->command = command;
}

static void host_device_online(struct hay_device *device)
{
	record(enter(device->link, device, "device_online"), FAKE_DEVICE_ONLINE, device->link, device, NULL);
}

static void host_device_offline(struct hay_device *device, enum hay_reason reason, const char *detail)
{
	record(enter(device->link, device, "device_offline"), FAKE_DEVICE_OFFLINE, device->link, device, detail)
		->reason = reason;
}

static void host_link_up(struct hay_link *link)
{
	record(enter(link, NULL, "link_up"), FAKE_LINK_UP, link, NULL, NULL);
}

static void host_link_down(struct hay_link *link, enum hay_reason reason, const char *detail)
{
	record(enter(link, NULL, "link_down"), FAKE_LINK_DOWN, link, NULL, detail)->reason = reason;
}

static struct hay_point *append_point(struct fake_device *device, const char *name)
{
	struct pool *pool = host_of(device->device.link)->pool;
	struct hay_point *point = pool_alloc(pool, sizeof(*point));

	device->points = reallocarray(device->points, device->device.n_points + 1, sizeof(*device->points));
	device->device.points = (const struct hay_point *const *)device->points;
	point->name = pool_strdup(pool, name);
	point->every_us = device->device.every_us;
	point->scale = 1;
	device->points[device->device.n_points++] = point;
	return point;
}

static int host_add_point(struct hay_device *device, const char *name, enum hay_type type, const char *unit,
			  uint32_t *ret_point)
{
	struct fake_host *fake = enter(device->link, device, "add_point");
	const struct hay_options *options = &fake->plugin->point_options;
	struct hay_point *point;
	void *conf;

	for (uint32_t i = 0; i < device->n_points; i++)
		if (!strcmp(device->points[i]->name, name)) {
			*ret_point = i;
			return device->points[i]->type == type ? 0 : -EEXIST;
		}
	if (device->n_points >= MAX_POINTS)
		return -ENOSPC;
	*ret_point = device->n_points;
	point = append_point(device_of(device), name);
	point->type = type;
	point->unit = unit ? pool_strdup(fake->pool, unit) : NULL;
	conf = pool_alloc(fake->pool, options->size + 1);
	if (options->table)
		conf_read_defaults(options->table, conf, fake->pool);
	point->conf = conf;
	return 0;
}

/* ---- descriptors and timers ---- */

#define LIST_REMOVE(head, item)                                                                                        \
	do {                                                                                                           \
		__typeof__(&(head)) at_ = &(head);                                                                     \
		while (*at_ != (item))                                                                                 \
			at_ = &(*at_)->next;                                                                           \
		*at_ = (item)->next;                                                                                   \
	} while (0)

static int fd_ready(sd_event_source *source _unused_, int fd, uint32_t events, void *userdata)
{
	struct hay_fd *watch = userdata;

	watch->fn(fd, events, watch->userdata);
	return 0;
}

static int host_add_fd(struct hay_link *link, int fd, uint32_t events, hay_fd_fn fn, void *userdata,
		       struct hay_fd **ret_fd)
{
	struct fake_host *fake = enter(link, NULL, "add_fd");
	struct hay_fd *watch = calloc(1, sizeof(*watch));
	int r;

	*watch = (struct hay_fd){.link = link_of(link), .fn = fn, .userdata = userdata, .next = link_of(link)->fds};
	r = sd_event_add_io(fake->event, &watch->source, fd, events, fd_ready, watch);
	if (r < 0) {
		free(watch);
		return r;
	}
	link_of(link)->fds = watch;
	*ret_fd = watch;
	return 0;
}

static int host_mod_fd(struct hay_fd *fd, uint32_t events)
{
	return sd_event_source_set_io_events(fd->source, events);
}

static void host_del_fd(struct hay_fd *fd)
{
	if (!fd)
		return;
	LIST_REMOVE(fd->link->fds, fd);
	sd_event_source_disable_unref(fd->source);
	free(fd);
}

static void host_set_timer(struct hay_timer *timer, uint64_t delay_us)
{
	timer->due_us = delay_us == USEC_NEVER ? USEC_NEVER : clock_now() + delay_us;
}

static int host_add_timer(struct hay_link *link, uint64_t delay_us, hay_timer_fn fn, void *userdata,
			  struct hay_timer **ret_timer)
{
	struct hay_timer *timer = calloc(1, sizeof(*timer));

	enter(link, NULL, "add_timer");
	*timer = (struct hay_timer){
		.link = link_of(link), .fn = fn, .userdata = userdata, .next = link_of(link)->timers};
	host_set_timer(timer, delay_us);
	link_of(link)->timers = timer;
	*ret_timer = timer;
	return 0;
}

static void host_del_timer(struct hay_timer *timer)
{
	if (!timer)
		return;
	LIST_REMOVE(timer->link->timers, timer);
	free(timer);
}

static struct hay_timer *next_timer(struct fake_host *fake)
{
	struct hay_timer *next = NULL;

	for (struct fake_link *link = fake->links; link; link = link->next)
		for (struct hay_timer *timer = link->timers; timer; timer = timer->next)
			if (timer->due_us != USEC_NEVER && (!next || timer->due_us < next->due_us))
				next = timer;
	return next;
}

/* ---- work ---- */

static void work_done(struct hay_work *work, void *userdata)
{
	struct fake_link *link = userdata;

	link->outstanding--;
	if (work->device)
		device_of(work->device)->outstanding--;
	work->done(work); /* which may free it */
}

static int host_submit(struct hay_link *link, struct hay_work *work, enum hay_lane lane)
{
	struct fake_host *fake = enter(link, work->device, "submit");
	struct fake_link *fl = link_of(link);
	struct inline_work *list = &fake->lanes[lane];

	if (fake->refuse_work || fl->stopping || (work->device && device_of(work->device)->stopping))
		return -ESHUTDOWN;
	fl->outstanding++;
	if (work->device)
		device_of(work->device)->outstanding++;
	if (fake->mode == FAKE_THREAD) {
		if (!fl->worker && worker_new(fake->event, link->name, work_done, fl, &fl->worker) < 0)
			broken("no thread for link %s", link->name);
		worker_submit(fl->worker, work, lane);
		return 0;
	}
	work->next = NULL;
	if (list->last)
		list->last->next = work;
	else
		list->first = work;
	list->last = work;
	return 0;
}

static bool run_inline(struct fake_host *fake)
{
	struct inline_work *list =
		fake->lanes[HAY_LANE_COMMAND].first ? &fake->lanes[HAY_LANE_COMMAND] : &fake->lanes[HAY_LANE_POLL];
	struct hay_work *work = list->first;

	if (!work)
		return false;
	list->first = work->next;
	if (!list->first)
		list->last = NULL;
	/* No work knows its link; with one of the device's none is needed, else it is the only link with any. */
	struct fake_link *link = work->device ? link_of(work->device->link) : fake->links;

	while (!work->device && !link->outstanding)
		link = link->next;
	work->run(work);
	work_done(work, link);
	return true;
}

/* ---- memory ---- */

static struct note *find_note(struct fake_host *fake, const struct hay_device *device, const char *key)
{
	for (struct note *note = fake->notes; note; note = note->next)
		if (!strcmp(note->device->name, device->name) && !strcmp(note->key, key))
			return note;
	return NULL;
}

static int host_remember(struct hay_device *device, const char *key, const void *data, size_t size)
{
	struct fake_host *fake = enter(device->link, device, "remember");
	struct note *note = find_note(fake, device, key);

	if (size > sizeof(note->data))
		return -E2BIG;
	if (!note) {
		note = pool_alloc(fake->pool, sizeof(*note));
		note->device = device;
		note->key = pool_strdup(fake->pool, key);
		note->next = fake->notes;
		fake->notes = note;
	}
	memcpy(note->data, data ? data : "", size);
	note->size = size;
	return 0;
}

static int host_recall(struct hay_device *device, const char *key, void *data, size_t size)
{
	const struct note *note = find_note(enter(device->link, device, "recall"), device, key);

	if (!note || !note->size)
		return -ENOENT;
	memcpy(data, note->data, MIN(size, note->size));
	return (int)note->size;
}

static void *host_event(struct hay_link *link)
{
	return enter(link, NULL, "event")->event;
}

/* ---- configuration ---- */

static void set_error(struct fake_host *fake, const char *format, ...) _printf_(2, 3);
static void set_error(struct fake_host *fake, const char *format, ...)
{
	_cleanup_free_ char *text = NULL;
	va_list args;

	va_start(args, format);
	if (vasprintf(&text, format, args) >= 0)
		fake->error = pool_strdup(fake->pool, text);
	va_end(args);
}

static void report_error(const struct hay_report *report, const char *key, const char *format, ...) _printf_(3, 4);
static void report_error(const struct hay_report *report, const char *key, const char *format, ...)
{
	struct fake_report *fr = container_of(report, struct fake_report, report);
	_cleanup_free_ char *text = NULL;
	va_list args;

	va_start(args, format);
	if (vasprintf(&text, format, args) >= 0)
		set_error(fr->fake, "%s%s%s", key ? key : "", key ? ": " : "", text);
	va_end(args);
	fr->n_errors++;
}

/* The struct of those options, or NULL after set_error(). */
static void *read_options(struct fake_host *fake, const struct hay_options *options, va_list args)
{
	char *into = pool_alloc(fake->pool, options->size + 1);
	const char *given[64], *key;
	size_t n_given = 0;

	if (options->table)
		conf_read_defaults(options->table, into, fake->pool);
	while ((key = va_arg(args, const char *))) {
		const char *text = va_arg(args, const char *);
		int r = options->table ? conf_set_text(options->table, into, key, text, fake->pool) : -ENOENT;

		if (r < 0) {
			set_error(fake, "%s: %s", key, r == -ENOENT ? "unknown key" : strerror(-r));
			return NULL;
		}
		if (n_given == ELEMENTS(given))
			broken("more than %zu keys", n_given);
		given[n_given++] = key;
	}
	for (const struct hay_option *option = options->table; option && option->key; option++) {
		bool found = !(option->flags & HAY_OPT_REQUIRED);

		for (size_t i = 0; i < n_given && !found; i++)
			found = !strcmp(given[i], option->key);
		if (!found) {
			set_error(fake, "%s: missing", option->key);
			return NULL;
		}
	}
	return into;
}

struct hay_link *fake_link(struct fake_host *fake, const char *name, ...)
{
	struct fake_report report = {.report.error = report_error, .fake = fake};
	struct fake_link *fl = pool_alloc(fake->pool, sizeof(*fl));
	va_list args;

	fl->fake = fake;
	fl->link = (struct hay_link){.host = &fake->host, .name = pool_strdup(fake->pool, name)};
	va_start(args, name);
	fl->link.conf = read_options(fake, &fake->plugin->link_options, args);
	va_end(args);
	if (!fl->link.conf)
		return NULL;
	if (fake->plugin->check_link)
		fake->plugin->check_link(fl->link.conf, &report.report);
	if (report.n_errors)
		return NULL;
	fl->next = fake->links;
	fake->links = fl;
	return &fl->link;
}

struct hay_device *fake_device(struct hay_link *link, const char *name, ...)
{
	struct fake_host *fake = host_of(link);
	struct fake_report report = {.report.error = report_error, .fake = fake};
	struct fake_device *fd = pool_alloc(fake->pool, sizeof(*fd));
	va_list args;

	fd->device =
		(struct hay_device){.link = link, .name = pool_strdup(fake->pool, name), .every_us = 10 * USEC_PER_SEC};
	va_start(args, name);
	fd->device.conf = read_options(fake, &fake->plugin->device_options, args);
	va_end(args);
	if (!fd->device.conf)
		return NULL;
	if (fake->plugin->check_device)
		fake->plugin->check_device(fd->device.conf, link->conf, &report.report);
	if (report.n_errors)
		return NULL;
	fd->next = link_of(link)->devices;
	link_of(link)->devices = fd;
	return &fd->device;
}

static bool type_of(const struct hay_plugin *plugin, const char *name, enum hay_type *ret)
{
	static const char *const names[HAY_N_TYPES] = {
		[HAY_BOOL] = "bool",	   [HAY_INT16] = "int16",   [HAY_INT32] = "int32",   [HAY_INT64] = "int64",
		[HAY_UINT16] = "uint16",   [HAY_UINT32] = "uint32", [HAY_UINT64] = "uint64", [HAY_FLOAT32] = "float32",
		[HAY_FLOAT64] = "float64", [HAY_STRING] = "string", [HAY_BYTES] = "bytes",
	};

	*ret = HAY_TYPE_NONE;
	for (unsigned i = 0; i < HAY_N_TYPES; i++)
		if (names[i] && !strcmp(names[i], name)) {
			*ret = i;
			return true;
		}
	for (const char *const *own = plugin->types; own && *own; own++)
		if (!strcmp(*own, name))
			return true;
	return false;
}

struct hay_point *fake_point(struct hay_device *device, const char *name, const char *type, unsigned flags, ...)
{
	struct fake_host *fake = host_of(device->link);
	struct fake_report report = {.report.error = report_error, .fake = fake};
	struct hay_point point = {.name = name, .type_name = type, .flags = flags, .scale = 1}, *added;
	va_list args;

	if (device_of(device)->started)
		broken("fake_point() after fake_start()");
	if (type && !type_of(fake->plugin, type, &point.type)) {
		set_error(fake, "type: unknown");
		return NULL;
	}
	va_start(args, flags);
	point.conf = read_options(fake, &fake->plugin->point_options, args);
	va_end(args);
	if (!point.conf)
		return NULL;
	if (fake->plugin->check_point)
		fake->plugin->check_point(&point, device->conf, device->link->conf, &report.report);
	if (report.n_errors)
		return NULL;
	if (point.type == HAY_TYPE_NONE)
		broken("check_point() left the type of %s open", name);
	added = append_point(device_of(device), name);
	point.name = added->name;
	point.every_us = added->every_us;
	point.type_name = type ? pool_strdup(fake->pool, type) : NULL;
	*added = point;
	return added;
}

const char *fake_error(const struct fake_host *fake)
{
	return fake->error ? fake->error : "";
}

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
	struct hay_timer *timer = next_timer(fake);
	uint64_t now = clock_now();

	if (run_inline(fake))
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
			broken("waited in vain");
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
			broken("waited in vain for %s", names[kind]);
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
		broken("time stands still only where work runs inline");
	fake->clock = (struct clock_fake){.now = clock_now(), .wall = clock_wall()};
	fake->time_stopped = true;
	clock_set_fake(&fake->clock);
}

void fake_advance(struct fake_host *fake, uint64_t us)
{
	uint64_t target = fake->clock.now + us, step;
	struct hay_timer *timer;

	if (!fake->time_stopped)
		broken("fake_advance() without fake_stop_time()");
	for (;;) {
		while (turn(fake, 0))
			;
		timer = next_timer(fake);
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
	int r;

	link_of(link)->open = true;
	r = host_of(link)->plugin->open(link);
	link_of(link)->open = r == 0;
	return r;
}

int fake_start(struct hay_device *device)
{
	const struct hay_plugin *plugin = host_of(device->link)->plugin;
	int r = 0;

	if (!link_of(device->link)->open)
		broken("fake_start() on a closed link");
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
		host_del_fd(fl->fds);
	while (fl->timers)
		host_del_timer(fl->timers);
	fl->worker = worker_free(fl->worker);
	fl->open = fl->stopping = false;
}

int fake_poll_some(struct hay_device *device, const uint32_t *due, size_t n_due)
{
	struct fake_device *fd = device_of(device);
	int r;

	if (fd->polling)
		broken("%s is polled already", device->name);
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
	struct fake_host *fake = host_of(device->link);
	struct hay_command *command = pool_alloc(fake->pool, sizeof(*command));

	*command = (struct hay_command){.device = device, .point = point, .value = value};
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
		broken("no event loop");
	fake->host = (struct hay_host){
		.size = sizeof(struct hay_host),
		.log = host_log,
		.now = clock_now,
		.emit = host_emit,
		.round_done = host_round_done,
		.command_done = host_command_done,
		.device_online = host_device_online,
		.device_offline = host_device_offline,
		.link_up = host_link_up,
		.link_down = host_link_down,
		.add_point = host_add_point,
		.add_fd = host_add_fd,
		.mod_fd = host_mod_fd,
		.del_fd = host_del_fd,
		.add_timer = host_add_timer,
		.set_timer = host_set_timer,
		.del_timer = host_del_timer,
		.submit = host_submit,
		.event = host_event,
		.remember = host_remember,
		.recall = host_recall,
	};
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
