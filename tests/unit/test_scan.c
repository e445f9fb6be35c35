/* SPDX-License-Identifier: Apache-2.0 */
/* Scans: probes that step, that need the port, that talk too much, and what ends them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/pool.h"
#include "field/field_private.h"
#include "field/plugin_load.h"
#include "field/scan.h"
#include <errno.h>
#include <math.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#define STEPS 25
#define LINES 200000

/* ---- the plugin ---- */

static struct {
	char calls[4096]; /* of the main thread */
	unsigned polls;
	atomic_uint steps, lines;
	atomic_bool in_step, mixed;
	pthread_t main;
} script;

static void note(const char *what)
{
	size_t used = strlen(script.calls);

	/* Every poll would be too much. */
	if (used < sizeof(script.calls) / 2)
		snprintf(script.calls + used, sizeof(script.calls) - used, "%s ", what);
}

static int open_link(struct hay_link *link _unused_)
{
	note("open");
	return 0;
}

static void close_link(struct hay_link *link _unused_)
{
	note("close");
}

static int start_device(struct hay_device *device _unused_)
{
	note("start");
	return 0;
}

static void stop_device(struct hay_device *device _unused_)
{
	note("stop");
}

static struct hay_work round_work;
static atomic_bool dead, gone_on; /* the port; the probe that waits */

static void run_round(struct hay_work *work _unused_)
{
	if (atomic_load(&script.in_step))
		atomic_store(&script.mixed, true);
}

static void round_done(struct hay_work *work)
{
	const struct hay_host *host = work->device->link->host;

	if (atomic_load(&dead)) {
		host->link_down(work->device->link, HAY_OFFLINE, "there is no port");
		host->round_done(work->device, NULL, HAY_FAILED, HAY_OFFLINE, "there is no port", 0);
		return;
	}
	script.polls++;
	host->round_done(work->device, NULL, HAY_OK, HAY_NO_REASON, NULL, 0);
}

static int poll_device(struct hay_device *device, const uint32_t *due _unused_, size_t n_due _unused_)
{
	round_work = (struct hay_work){.run = run_round, .done = round_done, .device = device};
	return device->link->host->submit(device->link, &round_work, HAY_LANE_POLL);
}

static void run_step(struct hay_work *work _unused_)
{
	atomic_store(&script.in_step, true);
	if (pthread_equal(pthread_self(), script.main))
		atomic_store(&script.mixed, true);
	atomic_fetch_add(&script.steps, 1);
}

static void step_done(struct hay_work *work _unused_)
{
	if (!pthread_equal(pthread_self(), script.main))
		atomic_store(&script.mixed, true);
	atomic_store(&script.in_step, false);
}

static int probe(const struct hay_probe *hay)
{
	const char *what = hay->argc > 0 ? hay->argv[hay->argc - 1] : "";
	unsigned most = strcmp(what, "for-ever") == 0 ? UINT32_MAX : STEPS;

	for (unsigned i = 0; strcmp(what, "talk") == 0 && i < LINES && !hay->cancelled(hay); i++) {
		hay->print(hay, "line %u", i);
		atomic_fetch_add(&script.lines, 1);
	}
	for (unsigned i = 0; hay->step && i < most && !hay->cancelled(hay); i++) {
		struct hay_work work = {.run = run_step, .done = step_done};
		int r = hay->step(hay, &work);

		hay->progress(hay, i, most, "step");
		if (r < 0)
			return r;
	}
	while (strcmp(what, "wait") == 0 && !atomic_load(&gone_on) && !hay->cancelled(hay))
		sched_yield();
	hay->print(hay, "%d arguments, the first is %s", hay->argc, hay->argc > 0 ? hay->argv[0] : "none");
	return strcmp(what, "wrong") == 0 ? -EINVAL : 0;
}

struct conf {
	const char *port;
};

static const struct hay_option link_options[] = {
	{.key = "port", .type = HAY_OPT_STRING, .offset = offsetof(struct conf, port)}, {0}};

#define PLUGIN(name_, probe_link_)                                                                                     \
	{                                                                                                              \
		.magic = HAY_MAGIC, .abi = HAY_ABI, .size = sizeof(struct hay_plugin), .name = (name_),                \
		.link_options = {link_options, sizeof(struct conf)}, .open = open_link, .close = close_link,           \
		.start = start_device, .stop = stop_device, .poll = poll_device, .probe = probe,                       \
		.probe_link = (probe_link_),                                                                           \
	}
static const struct hay_plugin plugins[] = {PLUGIN("steps", HAY_PROBE_ON_LINK), PLUGIN("takes", HAY_PROBE_TAKES_LINK)};

/* ---- the surroundings ---- */

struct bench {
	sd_event *event;
	struct series_set *series;
	struct stream *stream;
	struct normalize *normalize;
	struct plugin_set *plugins;
	struct field *field;
	struct scan *scan;
	bool deaf; /* the reader does not read */
	unsigned lines, progress;
	char last[128], outcome[128]; /* "": under way */
};

static void quiet(enum hay_log_level level _unused_, const struct log_subject *subject _unused_,
		  const char *text _unused_)
{
}

static bool hears(void *userdata)
{
	return !((struct bench *)userdata)->deaf;
}

static void hear_line(const char *text, size_t size, void *userdata)
{
	struct bench *bench = userdata;

	bench->lines++;
	snprintf(bench->last, sizeof(bench->last), "%.*s", (int)size, text);
}

static void hear_progress(unsigned done _unused_, unsigned total _unused_, const char *what, void *userdata)
{
	assert_string_equal(what, "step");
	((struct bench *)userdata)->progress++;
}

static void hear_end(const char *error, void *userdata)
{
	struct bench *bench = userdata;

	assert_string_equal(bench->outcome, "");
	snprintf(bench->outcome, sizeof(bench->outcome), "%s", error ? error : "done");
	bench->scan = NULL;
}

static struct device_conf *make_device(void)
{
	struct pool *pool = pool_new();
	struct device_conf *conf = pool_alloc(pool, sizeof(*conf));

	*conf = (struct device_conf){.pool = pool,
				     .digest = 1,
				     .file = "test.conf",
				     .name = "d",
				     .link = "l",
				     .every_us = USEC_PER_MSEC,
				     .report = {.deadband = NAN},
				     .points = pool_alloc(pool, sizeof(*conf->points)),
				     .n_points = 1};
	conf->points[0] =
		(struct point_conf){.point = {.name = "p", .type = HAY_INT64, .every_us = USEC_PER_MSEC, .scale = 1},
				    .decimals = -1,
				    .min = NAN,
				    .max = NAN,
				    .report = {.deadband = NAN}};
	return conf;
}

static struct link_conf *make_link(struct bench *bench, const char *plugin, uint64_t digest)
{
	struct pool *pool = pool_new();
	struct link_conf *conf = pool_alloc(pool, sizeof(*conf));
	struct conf *own = pool_alloc(pool, sizeof(*own));
	const char *error;

	own->port = "/dev/port";
	*conf = (struct link_conf){.pool = pool,
				   .digest = digest,
				   .file = "test.conf",
				   .name = "l",
				   .plugin = plugin_get(bench->plugins, plugin, &error),
				   .conf = own};
	return conf;
}

static void apply(struct bench *bench, const char *plugin, uint64_t digest)
{
	struct link_conf *links[] = {make_link(bench, plugin, digest)};
	struct device_conf *devices[] = {make_device()};
	struct field_wanted wanted = {.links = links, .n_links = 1, .devices = devices, .n_devices = 1};
	struct field_changes changes;

	field_apply(bench->field, &wanted, &changes);
	link_conf_free(links[0]);
	device_conf_free(devices[0]);
}

static struct bench *bench_new(const char *plugin)
{
	struct bench *bench = calloc(1, sizeof(*bench));
	const struct field_hooks hooks = {0};

	memset(&script, 0, sizeof(script));
	script.main = pthread_self();
	log_set_sink(quiet);
	assert_true(sd_event_new(&bench->event) >= 0);
	bench->series = series_set_new();
	bench->stream = stream_new(NULL, NULL);
	bench->normalize = normalize_new(bench->event, bench->series, bench->stream);
	bench->plugins = plugin_set_new("/nowhere");
	for (size_t i = 0; i < ELEMENTS(plugins); i++)
		plugin_add(bench->plugins, &plugins[i]);
	assert_int_equal(field_new(bench->event, bench->series, bench->normalize, NULL, &hooks, &bench->field), 0);
	apply(bench, plugin, 1);
	return bench;
}

static void run_until(struct bench *bench, bool (*done)(const struct bench *bench))
{
	uint64_t deadline = clock_now() + 60 * USEC_PER_SEC;

	while (!done(bench)) {
		assert_true(clock_now() < deadline);
		sd_event_run(bench->event, 20 * USEC_PER_MSEC);
	}
}

static bool is_idle(const struct bench *bench)
{
	return field_idle(bench->field);
}

static void bench_free(struct bench *bench)
{
	field_stop(bench->field);
	run_until(bench, is_idle);
	field_free(bench->field);
	normalize_free(bench->normalize);
	stream_free(bench->stream);
	series_set_free(bench->series);
	plugin_set_free(bench->plugins);
	sd_event_unref(bench->event);
	log_set_sink(NULL);
	free(bench);
}

static int begin(struct bench *bench, const char *plugin, const char *link, const char *argument)
{
	const struct scan_hooks hooks = {
		.ready = hears, .line = hear_line, .progress = hear_progress, .ended = hear_end, .userdata = bench};
	const char *const arguments[] = {argument};
	const struct scan_request request = {.plugin = plugin, .link = link, .arguments = arguments, .n_arguments = 1};
	const char *error = NULL;
	int r = scan_start(bench->field, bench->plugins, &request, &hooks, &bench->scan, &error);

	assert_int_equal(r < 0, error != NULL);
	return r;
}

static bool has_ended(const struct bench *bench)
{
	return bench->outcome[0];
}

static bool is_free(const struct bench *bench)
{
	return !bench->field->scan;
}

static bool polls(const struct bench *bench _unused_)
{
	return script.polls > 3;
}

static bool polls_again(const struct bench *bench _unused_)
{
	return script.polls > 0;
}

/* ---- the tests ---- */

static void steps_and_rounds_take_turns(void **state _unused_)
{
	struct bench *bench = bench_new("steps");

	run_until(bench, polls);
	script.polls = 0;
	assert_int_equal(begin(bench, "steps", "l", "x"), 0);
	run_until(bench, has_ended);
	assert_string_equal(bench->outcome, "done");
	assert_int_equal(atomic_load(&script.steps), STEPS);
	assert_false(atomic_load(&script.mixed));
	assert_true(bench->progress > 0);
	assert_string_equal(bench->last, "1 arguments, the first is x");
	assert_string_equal(script.calls, "open start ");
	script.polls = 0;
	run_until(bench, polls);
	bench_free(bench);
}

static void a_port_is_lent(void **state _unused_)
{
	struct bench *bench = bench_new("takes");

	run_until(bench, polls);
	assert_int_equal(begin(bench, "takes", "l", "wrong"), 0);
	run_until(bench, has_ended);
	assert_string_equal(bench->outcome, "wrong arguments");
	assert_string_equal(bench->last, "2 arguments, the first is /dev/port");
	assert_string_equal(script.calls, "open start stop close open start ");
	script.polls = 0;
	run_until(bench, polls_again);
	bench_free(bench);
}

static void who_does_not_read_makes_the_probe_wait(void **state _unused_)
{
	struct bench *bench = bench_new("steps");
	unsigned before = 0;

	bench->deaf = true;
	assert_int_equal(begin(bench, "steps", NULL, "talk"), 0);
	/* Until it says no more, with rounds going on. */
	do {
		before = atomic_load(&script.lines);
		script.polls = 0;
		run_until(bench, polls);
	} while (atomic_load(&script.lines) != before || before == 0);
	assert_true(before < LINES / 4);
	assert_int_equal(bench->lines, 0);
	bench->deaf = false;
	scan_go_on(bench->scan);
	run_until(bench, has_ended);
	assert_int_equal(bench->lines, LINES + 1);
	bench_free(bench);
}

static void one_at_a_time_and_the_end_frees_it(void **state _unused_)
{
	struct bench *bench = bench_new("steps");

	assert_int_equal(begin(bench, "steps", "nobody", "x"), -ENOENT);
	assert_int_equal(begin(bench, "nothing", NULL, "x"), -ENOENT);
	assert_int_equal(begin(bench, "takes", "l", "x"), -EINVAL);
	assert_int_equal(begin(bench, "steps", "l", "for-ever"), 0);
	assert_int_equal(begin(bench, "steps", "l", "x"), -EBUSY);
	script.polls = 0;
	run_until(bench, polls);
	scan_cancel(bench->scan);
	run_until(bench, is_free);
	assert_string_equal(bench->outcome, ""); /* nobody is told */
	assert_int_equal(begin(bench, "steps", "l", "x"), 0);
	run_until(bench, has_ended);
	assert_string_equal(bench->outcome, "done");
	bench_free(bench);
}

static bool is_down(const struct bench *bench)
{
	return link_is_down(bench->field->links);
}

/* Nor does its device try meanwhile: that try would wait in the line for ever. */
static void a_port_that_was_away_is_lent(void **state _unused_)
{
	struct bench *bench = bench_new("takes");
	const struct device *device = bench->field->links->devices;

	run_until(bench, polls);
	atomic_store(&dead, true);
	run_until(bench, is_down);
	assert_int_equal(begin(bench, "takes", "l", "wait"), 0);
	assert_int_equal(device->due.place, 0);
	assert_false(device->waiting);
	atomic_store(&dead, false);
	atomic_store(&gone_on, true);
	run_until(bench, has_ended);
	script.polls = 0;
	run_until(bench, polls);
	atomic_store(&gone_on, false);
	bench_free(bench);
}

static void what_is_stopped_ends_its_scan(void **state _unused_)
{
	static const char *const kinds[] = {"steps", "takes"}, *const arguments[] = {"for-ever", "wait"};

	for (size_t i = 0; i < ELEMENTS(kinds); i++) {
		struct bench *bench = bench_new(kinds[i]);

		run_until(bench, polls);
		assert_int_equal(begin(bench, kinds[i], "l", arguments[i]), 0);
		apply(bench, kinds[i], 2); /* in the very turn in which it begins */
		run_until(bench, has_ended);
		assert_string_equal(bench->outcome, "its link is being stopped");
		script.polls = 0;
		run_until(bench, polls);

		/* And when everything stops, at each moment. */
		bench->outcome[0] = 0;
		assert_int_equal(begin(bench, kinds[i], "l", arguments[i]), 0);
		for (int turns = 0; turns < 5; turns++)
			sd_event_run(bench->event, 0);
		field_stop(bench->field);
		run_until(bench, is_idle);
		assert_string_equal(bench->outcome, "its link is being stopped");
		bench_free(bench);
	}
}

static sem_t gate;

static void run_gated(struct hay_work *work _unused_)
{
	while (sem_wait(&gate) < 0)
		continue;
}

static void gated_done(struct hay_work *work _unused_)
{
	note("own");
}

static bool rests(const struct bench *bench)
{
	return polls(bench) && !bench->field->links->polling;
}

/* The port is lent once the link's own work is handed back, too. */
static void a_links_own_work_is_awaited(void **state _unused_)
{
	struct bench *bench = bench_new("takes");
	struct hay_link *link = &bench->field->links->hay;
	struct hay_work work = {.run = run_gated, .done = gated_done};

	assert_int_equal(sem_init(&gate, 0, 0), 0);
	run_until(bench, rests);
	assert_int_equal(link->host->submit(link, &work, HAY_LANE_POLL), 0);
	assert_int_equal(begin(bench, "takes", "l", "x"), 0);
	while (sd_event_run(bench->event, 0) > 0)
		continue;
	assert_string_equal(script.calls, "open start ");
	sem_post(&gate);
	run_until(bench, has_ended);
	assert_string_equal(bench->outcome, "done");
	assert_non_null(strstr(script.calls, "own stop close "));
	bench_free(bench);
	sem_destroy(&gate);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(steps_and_rounds_take_turns),
		cmocka_unit_test(a_port_is_lent),
		cmocka_unit_test(who_does_not_read_makes_the_probe_wait),
		cmocka_unit_test(one_at_a_time_and_the_end_frees_it),
		cmocka_unit_test(a_port_that_was_away_is_lent),
		cmocka_unit_test(what_is_stopped_ends_its_scan),
		cmocka_unit_test(a_links_own_work_is_awaited),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
