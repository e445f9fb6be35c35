/* SPDX-License-Identifier: Apache-2.0 */
#include "field/scan.h"
#include "base/buf.h"
#include "base/mutex.h"
#include "base/worker.h"
#include "field/field_private.h"
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>

#define WAITING_MAX ((size_t)64 * 1024) /* of lines: then the probe waits for its reader */
#define WHAT_MAX 128

struct scan {
	struct hay_probe hay; /* what the plugin sees */
	struct field *field;
	struct link *link; /* that it holds; NULL: none */
	const struct hay_plugin *plugin;
	char **arguments;
	struct scan_hooks hooks;
	bool wanted;   /* somebody listens to the hooks */
	bool suspends; /* the link is closed meanwhile */
	bool runs;     /* the thread was started */
	pthread_t thread;
	int fd;
	sd_event_source *source;
	const char *why;       /* it was aborted */
	struct link_step turn; /* the link's, in which the step runs */
	struct hay_work *step; /* the plugin's, handed to the link; NULL: none */

	struct mutex lock;
	pthread_cond_t wake;
	/* Under the lock. */
	bool cancelled, finished;
	int result;
	struct buf lines; /* each ended by a newline */
	bool has_progress;
	unsigned done, total;
	char what[WHAT_MAX];
	struct hay_work *asked; /* a step that waits for its turn, or is under way */
	int answer;		/* how it went */
};

static void scan_free(struct scan *scan)
{
	sd_event_source_disable_unref(scan->source);
	if (scan->fd >= 0)
		close(scan->fd);
	for (size_t i = 0; scan->arguments && scan->arguments[i]; i++)
		free(scan->arguments[i]);
	free(scan->arguments);
	buf_done(&scan->lines);
	pthread_cond_destroy(&scan->wake);
	mutex_destroy(&scan->lock);
	free(scan);
}

/* ---- the probe's thread ---- */

static void wake_main_loop(struct scan *scan)
{
	eventfd_write(scan->fd, 1);
}

static struct scan *scan_of(const struct hay_probe *hay)
{
	return (struct scan *)container_of(hay, struct scan, hay);
}

static void probe_print(const struct hay_probe *hay, const char *format, ...) _printf_(2, 3);
static void probe_print(const struct hay_probe *hay, const char *format, ...)
{
	struct scan *scan = scan_of(hay);
	char *text = NULL;
	va_list args;

	va_start(args, format);
	int size = vasprintf(&text, format, args);
	va_end(args);
	if (size < 0)
		return;
	mutex_lock(&scan->lock);
	while (!scan->cancelled && scan->lines.size > WAITING_MAX)
		pthread_cond_wait(&scan->wake, &scan->lock.mutex);
	if (!scan->cancelled) {
		buf_add(&scan->lines, text, (size_t)size);
		buf_add_char(&scan->lines, '\n');
	}
	mutex_unlock(&scan->lock);
	free(text);
	wake_main_loop(scan);
}

/* Only the newest counts. */
static void probe_progress(const struct hay_probe *hay, unsigned done, unsigned total, const char *what)
{
	struct scan *scan = scan_of(hay);

	mutex_lock(&scan->lock);
	scan->has_progress = true;
	scan->done = done;
	scan->total = total;
	snprintf(scan->what, sizeof(scan->what), "%s", what ? what : "");
	mutex_unlock(&scan->lock);
	wake_main_loop(scan);
}

static bool probe_is_cancelled(const struct hay_probe *hay)
{
	struct scan *scan = scan_of(hay);

	mutex_lock(&scan->lock);
	bool is = scan->cancelled;
	mutex_unlock(&scan->lock);
	return is;
}

static int probe_step(const struct hay_probe *hay, struct hay_work *work)
{
	struct scan *scan = scan_of(hay);
	int r = -ECANCELED;

	mutex_lock(&scan->lock);
	if (!scan->cancelled) {
		scan->asked = work;
		mutex_unlock(&scan->lock);
		wake_main_loop(scan);
		mutex_lock(&scan->lock);
		while (scan->asked)
			pthread_cond_wait(&scan->wake, &scan->lock.mutex);
		r = scan->answer;
	}
	mutex_unlock(&scan->lock);
	return r;
}

static void *run_probe(void *userdata)
{
	struct scan *scan = userdata;
	int r = scan->plugin->probe(&scan->hay);

	mutex_lock(&scan->lock);
	scan->result = r;
	scan->finished = true;
	mutex_unlock(&scan->lock);
	wake_main_loop(scan);
	return NULL;
}

/* ---- steps, on the main thread ---- */

static void answer_step(struct scan *scan, int r)
{
	scan->step = NULL;
	mutex_lock(&scan->lock);
	scan->asked = NULL;
	scan->answer = r;
	pthread_cond_broadcast(&scan->wake);
	mutex_unlock(&scan->lock);
}

static void run_step(struct hay_work *work)
{
	struct scan *scan = container_of(work, struct scan, turn.work);

	scan->step->run(scan->step);
}

static void step_done(struct hay_work *work)
{
	struct scan *scan = container_of(work, struct scan, turn.work);

	scan->step->done(scan->step);
	answer_step(scan, 0);
}

static void step_dropped(struct link_step *turn)
{
	answer_step(container_of(turn, struct scan, turn), -ECANCELED);
}

static void request_step(struct scan *scan, struct hay_work *step)
{
	scan->step = step;
	scan->turn = (struct link_step){.work = {.run = run_step, .done = step_done}, .dropped = step_dropped};
	if (link_request_step(scan->link, &scan->turn) < 0)
		answer_step(scan, -ECANCELED);
}

/* ---- its life, on the main thread ---- */

static void cancel_probe(struct scan *scan)
{
	bool is_asked;

	mutex_lock(&scan->lock);
	scan->cancelled = true;
	is_asked = scan->asked != NULL;
	pthread_cond_broadcast(&scan->wake);
	mutex_unlock(&scan->lock);
	/* A step that runs is answered by its end. */
	if (is_asked && (!scan->step || link_cancel_step(scan->link)))
		answer_step(scan, -ECANCELED);
	wake_main_loop(scan); /* it may not have begun yet, or wait for its reader at the end */
}

void scan_cancel(struct scan *scan)
{
	scan->wanted = false;
	cancel_probe(scan);
}

void scan_abort(struct scan *scan, const char *why)
{
	if (!scan || scan->why)
		return;
	scan->why = why;
	cancel_probe(scan);
}

static const char *describe_end(const struct scan *scan)
{
	if (scan->why)
		return scan->why;
	switch (-scan->result) {
	case 0:
		return NULL;
	case EINVAL:
		return "wrong arguments";
	case ENOMEM:
		return "out of memory";
	default:
		return "it did not succeed; the lines before say why";
	}
}

/* The link is its own again, and the next scan may come. */
static void let_go(struct scan *scan)
{
	struct link *link = scan->link;

	scan->link = NULL;
	if (link) {
		link->scan = NULL;
		if (scan->suspends)
			link_resume(link);
		link->outstanding--;
		field_advance_soon(link->field);
	}
	if (scan->runs)
		pthread_join(scan->thread, NULL);
	scan->runs = false;
}

static void take_lines(struct scan *scan)
{
	struct buf lines;

	mutex_lock(&scan->lock);
	lines = scan->lines;
	scan->lines = (struct buf){0};
	pthread_cond_broadcast(&scan->wake);
	mutex_unlock(&scan->lock);
	for (size_t at = 0; scan->wanted && !buf_failed(&lines) && at < lines.size;) {
		const char *line = lines.data + at, *end = memchr(line, '\n', lines.size - at);

		scan->hooks.line(line, (size_t)(end - line), scan->hooks.userdata);
		at += (size_t)(end - line) + 1;
	}
	buf_done(&lines);
}

static void take_progress(struct scan *scan)
{
	char what[WHAT_MAX];
	unsigned done, total;
	bool is_there;

	mutex_lock(&scan->lock);
	is_there = scan->has_progress;
	scan->has_progress = false;
	done = scan->done;
	total = scan->total;
	memcpy(what, scan->what, sizeof(what));
	mutex_unlock(&scan->lock);
	if (is_there && scan->wanted)
		scan->hooks.progress(done, total, what, scan->hooks.userdata);
}

static void end_scan(struct scan *scan)
{
	struct field *field = scan->field;

	field->scan = NULL;
	if (scan->wanted)
		scan->hooks.ended(describe_end(scan), scan->hooks.userdata);
	scan_free(scan);
	field_advance_soon(field);
}

void scan_go_on(struct scan *scan)
{
	struct hay_work *asked;
	bool finished, may_tell = !scan->wanted || scan->hooks.ready(scan->hooks.userdata);

	mutex_lock(&scan->lock);
	asked = scan->step ? NULL : scan->asked;
	/* One that waited for its link when it was cancelled never began. */
	finished = scan->finished || (scan->cancelled && !scan->runs);
	mutex_unlock(&scan->lock);
	if (asked && scan->link)
		request_step(scan, asked);
	if (finished)
		let_go(scan);
	if (!may_tell)
		return;
	take_lines(scan);
	if (!finished)
		take_progress(scan);
	else
		end_scan(scan);
}

static int woken_up(sd_event_source *source _unused_, int fd, uint32_t events _unused_, void *userdata)
{
	eventfd_t count;

	eventfd_read(fd, &count);
	scan_go_on(userdata);
	return 0;
}

static int start_thread(struct scan *scan)
{
	int r = thread_start(&scan->thread, "scan", run_probe, scan);

	scan->runs = r >= 0;
	return r;
}

void scan_advance(struct scan *scan)
{
	if (!scan || !scan->suspends || scan->runs || scan->why || !scan->link || !link_can_suspend(scan->link))
		return;
	link_suspend(scan->link);
	if (start_thread(scan) < 0)
		scan_abort(scan, "out of memory");
}

/* ---- starting ---- */

static int copy_arguments(struct scan *scan, const struct scan_request *request)
{
	const char *target =
		scan->link && scan->plugin->probe_link != HAY_PROBE_ON_LINK ? link_target(scan->link) : NULL;
	size_t n = 0;

	scan->arguments = calloc(request->n_arguments + 2, sizeof(char *));
	if (!scan->arguments)
		return -ENOMEM;
	if (target && !(scan->arguments[n++] = strdup(target)))
		return -ENOMEM;
	for (size_t i = 0; i < request->n_arguments; i++)
		if (!(scan->arguments[n++] = strdup(request->arguments[i])))
			return -ENOMEM;
	scan->hay.argc = (int)n;
	scan->hay.argv = scan->arguments;
	return 0;
}

static int scan_new(struct field *field, const struct plugin *plugin, struct link *link,
		    const struct scan_request *request, const struct scan_hooks *hooks, struct scan **ret)
{
	struct scan *scan = calloc(1, sizeof(*scan));
	bool on_link = link && plugin->descriptor.probe_link == HAY_PROBE_ON_LINK;
	int r;

	if (!scan)
		return -ENOMEM;
	mutex_init(&scan->lock);
	pthread_cond_init(&scan->wake, NULL);
	scan->field = field;
	scan->link = link;
	scan->plugin = &plugin->descriptor;
	scan->hooks = *hooks;
	scan->wanted = true;
	scan->suspends = link && plugin->descriptor.probe_link == HAY_PROBE_TAKES_LINK;
	scan->hay = (struct hay_probe){.size = sizeof(struct hay_probe),
				       .print = probe_print,
				       .progress = probe_progress,
				       .cancelled = probe_is_cancelled,
				       .link = on_link ? &link->hay : NULL,
				       .step = on_link ? probe_step : NULL};
	scan->fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	r = scan->fd < 0 ? -errno : copy_arguments(scan, request);
	if (r >= 0)
		r = sd_event_add_io(field->event, &scan->source, scan->fd, EPOLLIN, woken_up, scan);
	if (r >= 0 && !scan->suspends)
		r = start_thread(scan);
	if (r < 0) {
		scan_free(scan);
		return r;
	}
	*ret = scan;
	return 0;
}

static int refuse_start(const char **ret_error, int r, const char *error)
{
	*ret_error = error;
	return r;
}

int scan_start(struct field *field, struct plugin_set *plugins, const struct scan_request *request,
	       const struct scan_hooks *hooks, struct scan **ret, const char **ret_error)
{
	const struct plugin *plugin;
	struct link *link = NULL;
	struct scan *scan;
	int r;

	if (field->stopping)
		return refuse_start(ret_error, -ESHUTDOWN, "the gateway is leaving");
	if (field->scan)
		return refuse_start(ret_error, -EBUSY, "another scan is under way");
	if (request->link) {
		link = field_find_link(field, request->link);
		if (!link || link_is_stopping(link) || !link->conf->file[0])
			return refuse_start(ret_error, -ENOENT, "there is no such link");
		if (strcmp(link->plugin->name, request->plugin) != 0)
			return refuse_start(ret_error, -EINVAL, "the link is another plugin's");
	}
	plugin = plugin_get(plugins, request->plugin, ret_error);
	if (!plugin)
		return -ENOENT;
	if (!plugin->descriptor.probe)
		return refuse_start(ret_error, -EINVAL, "this plugin has nothing to probe");
	r = scan_new(field, plugin, link, request, hooks, &scan);
	if (r < 0)
		return refuse_start(ret_error, r, "out of memory or of descriptors");
	field->scan = scan;
	if (link) {
		link->scan = scan;
		link->outstanding++; /* it stays until the scan has ended */
		if (scan->suspends)
			link_begin_suspending(link);
		else
			link_log_scan(link);
	}
	if (scan->suspends)
		field_advance_soon(field);
	*ret = scan;
	return 0;
}
