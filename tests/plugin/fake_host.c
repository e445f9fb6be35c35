/* SPDX-License-Identifier: Apache-2.0 */
/* The services of the fake host: what the plugin calls. */
#include "fake_private.h"

void fake_broken(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	fputs("fake host: ", stderr);
	vfprintf(stderr, format, args);
	fputc('\n', stderr);
	va_end(args);
	abort();
}

/* Rules of every call about a device or link but log(). */
static struct fake_host *enter(const struct hay_link *link, const struct hay_device *device, const char *call)
{
	struct fake_host *fake = host_of(link);

	if (!pthread_equal(pthread_self(), fake->main))
		fake_broken("%s() called off the main thread", call);
	if (!link_of(link)->open)
		fake_broken("%s() called for link %s, which is closed", call, link->name);
	if (device && !device_of(device)->started)
		fake_broken("%s() called for device %s, which is stopped", call, device->name);
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
		fake_broken("a reading of point %u, of which %s has %u", reading->point, device->name,
			    device->n_points);
	if ((reading->quality == HAY_GOOD) != (reading->reason == HAY_NO_REASON))
		fake_broken("point %s: good with a reason, or not good without one",
			    device->points[reading->point]->name);
	if ((reading->reason == HAY_EXCEPTION) != (reading->exception != NULL))
		fake_broken("point %s: an exception without its name, or a name without one",
			    device->points[reading->point]->name);
	if (reading->exception && strlen(reading->exception) > 63)
		fake_broken("the name of exception \"%s\" is too long", reading->exception);
	if (reading->quality != HAY_BAD && reading->value.type == HAY_TYPE_NONE)
		fake_broken("point %s: neither bad nor a value", device->points[reading->point]->name);
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
			fake_broken("point %s stands twice in a sample", device->points[readings[i].point]->name);
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
		     ...) _printf_(4, 5);
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
		fake_broken("a line for the log has a line break: %s", text);
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
		fake_broken("round_done() of %s, which was not polled", device->name);
	if ((result == HAY_FAILED) != (reason != HAY_NO_REASON))
		fake_broken("round_done() of %s: failed without a reason, or a reason without failure", device->name);
	device_of(device)->polling = false;
	event->result = result;
	event->reason = reason;
	event->rtt_us = rtt_us;
	copy_sample(fake, event, device, sample);
}

static void host_command_done(struct hay_command *command, const struct hay_command_result *result)
{
	struct fake_host *fake = enter(command->device->link, command->device, "command_done");
	enum hay_type type = command->device->points[command->point]->type;
	struct fake_event *event;

	for (const struct fake_event *before = fake->first; before; before = before->next)
		if (before->kind == FAKE_COMMAND_DONE && before->command == command)
			fake_broken("a command to %s was answered twice", command->device->name);
	if (result->outcome != HAY_WRITTEN && !result->detail)
		fake_broken("a command to %s was not written, or it is not known, without a reason",
			    command->device->name);
	if (result->value.type != HAY_TYPE_NONE && result->value.type != type)
		fake_broken("the value of a command's answer is of another type than the point's");
	if (result->value.type != HAY_TYPE_NONE && result->outcome != HAY_WRITTEN && result->outcome != HAY_UNKNOWN)
		fake_broken("a command that was not written is answered with a value");
	event = record(fake, FAKE_COMMAND_DONE, command->device->link, command->device, result->detail);
	event->command = command;
	event->outcome = result->outcome;
	event->value = result->value;
	event->read_back = result->read_back;
	if (result->value.type == HAY_STRING || result->value.type == HAY_BYTES)
		event->value.s.data = pool_strndup(fake->pool, result->value.s.data, result->value.s.size);
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

static int host_add_point(struct hay_device *device, const char *name, enum hay_type type, const char *unit,
			  uint32_t *ret_point)
{
	struct fake_host *fake = enter(device->link, device, "add_point");
	const struct hay_options *options = &fake->plugin->point_options;
	struct hay_point *point;
	void *conf;

	for (uint32_t i = 0; i < device->n_points; i++)
		if (!strcmp(device->points[i]->name, name)) {
			point = (struct hay_point *)device->points[i];
			*ret_point = i;
			if (point->type == type)
				return 0;
			/* As in the daemon: what was added as something else may become a number. */
			if (point->type == HAY_FLOAT64 || type != HAY_FLOAT64)
				return -EEXIST;
			point->type = type;
			return 0;
		}
	if (device->n_points >= MAX_POINTS)
		return -ENOSPC;
	*ret_point = device->n_points;
	point = fake_append_point(device_of(device), name);
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

struct hay_timer *fake_next_timer(struct fake_host *fake)
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
			fake_broken("no thread for link %s", link->name);
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

bool fake_run_inline(struct fake_host *fake)
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

const struct hay_host fake_services = {
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
