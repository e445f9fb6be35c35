/* SPDX-License-Identifier: Apache-2.0 */
/* Turns, failures, back-off and changes on links of a plugin that does what each test tells it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/log.h"
#include "field/field_private.h"
#include "field/field_status.h"
#include "field/plugin_host.h"
#include "field/plugin_state.h"
#include "field/writes.h"
#include "model/device_info.h"
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

/* ---- the plugin: notes each call; answers by itself unless told to hold ---- */

static struct {
	char calls[4096]; /* "poll:a " … */
	struct hay_device *held;
	bool hold;
	char refused[32]; /* a device of this name answers with an exception */
	char silent[32];  /* a device of this name does not answer */
	bool every_other; /* but to every other poll of any device */
	char damaged[32]; /* a device of this name has every other value damaged */
	bool ends_twice;  /* each round that is answered ends once more */
	char failing[32]; /* a device of this name gives a value in a round that the plugin takes for a failed one */
	char skipped[32]; /* a device of this name is not really asked */
	bool link_fails;
	unsigned polls;
	struct hay_command *command;
	int write_error;
	bool learns; /* each time it is stopped, something new */
	unsigned learnt;
} script;

static void note(const char *what, const char *who)
{
	size_t used = strlen(script.calls);

	snprintf(script.calls + used, sizeof(script.calls) - used, "%s:%s ", what, who);
}

static void answer(struct hay_device *device)
{
	struct hay_reading reading = {.value = {.type = HAY_INT64, .i = 7}};
	struct hay_sample sample = {.time_us = clock_now(), .readings = &reading, .n_readings = 1};
	const struct hay_host *host = device->link->host;

	if (script.link_fails) {
		host->link_down(device->link, HAY_REFUSED, "connection refused");
		host->round_done(device, NULL, HAY_FAILED, HAY_REFUSED, "connection refused", 0);
	} else if (strcmp(device->name, script.silent) == 0 && (!script.every_other || script.polls % 2)) {
		reading.quality = HAY_BAD;
		reading.reason = HAY_TIMEOUT;
		host->round_done(device, &sample, HAY_FAILED, HAY_TIMEOUT, NULL, 0);
	} else if (strcmp(device->name, script.failing) == 0) {
		host->round_done(device, &sample, HAY_FAILED, HAY_DECODE, "a damaged answer", 0);
	} else if (strcmp(device->name, script.skipped) == 0) {
		reading.quality = HAY_BAD;
		reading.reason = HAY_TIMEOUT;
		host->round_done(device, &sample, HAY_SKIPPED, HAY_NO_REASON, NULL, 0);
	} else {
		if (strcmp(device->name, script.refused) == 0)
			reading = (struct hay_reading){
				.quality = HAY_BAD, .reason = HAY_EXCEPTION, .exception = "illegal data address"};
		if (strcmp(device->name, script.damaged) == 0 && script.polls % 2)
			reading = (struct hay_reading){.quality = HAY_BAD, .reason = HAY_DECODE};
		host->round_done(device, &sample, HAY_OK, HAY_NO_REASON, NULL, 1000);
		if (script.ends_twice)
			host->round_done(device, &sample, HAY_OK, HAY_NO_REASON, NULL, 1000);
	}
}

static int open_link(struct hay_link *link)
{
	note("open", link->name);
	return 0;
}

static void close_link(struct hay_link *link)
{
	note("close", link->name);
}

static int start_device(struct hay_device *device)
{
	note("start", device->name);
	if (device->name[0] == 'u') /* speaks unasked */
		device->flags |= HAY_DEVICE_UNPOLLED;
	if (device->name[0] == 'w') /* is asked as a whole */
		device->flags |= HAY_DEVICE_POLLED_WHOLE;
	return 0;
}

static void stop_device(struct hay_device *device)
{
	if (script.held == device)
		script.held = NULL;
	note("stop", device->name);
	if (script.learns)
		device->link->host->remember(device, "learnt", (uint8_t[]){(uint8_t)++script.learnt}, 1);
}

static int poll_device(struct hay_device *device, const uint32_t *due _unused_, size_t n_due)
{
	assert_true(n_due > 0 || device->name[0] == 'w');
	assert_null(script.held); /* one round at a time */
	script.polls++;
	note("poll", device->name);
	if (script.hold)
		script.held = device;
	else
		answer(device);
	return 0;
}

static int write_point(struct hay_command *command)
{
	if (script.write_error)
		return script.write_error;
	script.command = command;
	return 0;
}

static const struct hay_plugin fake = {.magic = HAY_MAGIC,
				       .abi = HAY_ABI,
				       .size = sizeof(struct hay_plugin),
				       .name = "fake",
				       .open = open_link,
				       .close = close_link,
				       .start = start_device,
				       .stop = stop_device,
				       .poll = poll_device,
				       .write = write_point};

/* ---- the surroundings ---- */

struct bench {
	sd_event *event;
	struct series_set *series;
	struct stream *stream;
	struct normalize *normalize;
	struct plugin_set *plugins;
	struct field *field;
	char device_infos[2048]; /* "a+ a- " */
	char samples[4096];	 /* "a=7 a=bad:timeout " */
	char lines[4096];
};

static struct bench *logging_to;

static void take_line(enum hay_log_level level _unused_, const struct log_subject *subject, const char *text)
{
	size_t used = strlen(logging_to->lines);

	/* Who filters the journal by link finds what its devices had to say. */
	if (subject && subject->device)
		assert_non_null(subject->link);

	snprintf(logging_to->lines + used, sizeof(logging_to->lines) - used, "%s\n", text);
}

static void take_card(struct device_info *info, void *userdata)
{
	struct bench *bench = userdata;
	size_t used = strlen(bench->device_infos);

	snprintf(bench->device_infos + used, sizeof(bench->device_infos) - used, "%s%s ", info->device->name,
		 info->online ? "+" : "-");
}

static void take_removed(const char *device, void *userdata)
{
	struct bench *bench = userdata;
	size_t used = strlen(bench->device_infos);

	snprintf(bench->device_infos + used, sizeof(bench->device_infos) - used, "%sx ", device);
}

static void take_sample(const struct stream_sample *sample, void *userdata)
{
	struct bench *bench = userdata;
	size_t used = strlen(bench->samples);

	for (size_t i = 0; i < sample->n_readings; i++)
		used += (size_t)snprintf(
			bench->samples + used, sizeof(bench->samples) - used, "%s=%s ", sample->device->name,
			sample->readings[i].quality == HAY_BAD ? reason_to_string(sample->readings[i].reason) : "7");
}

static struct bench *bench_new(void)
{
	struct bench *bench = calloc(1, sizeof(*bench));
	struct field_hooks hooks = {.info = take_card, .removed = take_removed, .userdata = bench};

	clock_set_fake(NULL); /* of a test that failed */
	memset(&script, 0, sizeof(script));
	logging_to = bench;
	log_set_sink(take_line);
	assert_true(sd_event_new(&bench->event) >= 0);
	bench->series = series_set_new();
	bench->stream = stream_new(NULL, NULL);
	stream_subscribe(bench->stream, take_sample, bench);
	bench->normalize = normalize_new(bench->event, bench->series, bench->stream);
	bench->plugins = plugin_set_new("/nowhere");
	plugin_add(bench->plugins, &fake);
	assert_int_equal(field_new(bench->event, bench->series, bench->normalize, NULL, &hooks, &bench->field), 0);
	return bench;
}

static void run_until(struct bench *bench, bool (*done)(const struct bench *bench));

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

static void run_until(struct bench *bench, bool (*done)(const struct bench *bench))
{
	uint64_t deadline = clock_now() + 30 * USEC_PER_SEC;

	while (!done(bench)) {
		assert_true(clock_now() < deadline);
		sd_event_run(bench->event, 100 * USEC_PER_MSEC);
	}
}

/* "a" with period; digest distinguishes configurations of the same name. */
static struct device_conf *make_device(const char *name, const char *link, uint64_t every_us, uint64_t digest)
{
	struct pool *pool = pool_new();
	struct device_conf *conf = pool_alloc(pool, sizeof(*conf));

	conf->pool = pool;
	conf->digest = digest;
	conf->file = "test.conf";
	conf->name = pool_strdup(pool, name);
	conf->link = pool_strdup(pool, link);
	conf->every_us = every_us;
	conf->report.deadband = NAN;
	conf->n_points = name[0] == 'w' ? 0 : 1;
	conf->points = pool_alloc(pool, sizeof(*conf->points));
	conf->points[0] = (struct point_conf){.point = {.name = "p",
							.type = name[0] == 'f'	 ? HAY_FLOAT32
								: name[0] == 'k' ? HAY_BOOL
										 : HAY_INT64,
							.every_us = every_us,
							.scale = 1,
							.flags = name[0] == 'r' ? 0 : HAY_POINT_WRITABLE},
					      .decimals = -1,
					      .min = 0,
					      .max = 100,
					      .report = {.deadband = NAN}};
	return conf;
}

static struct link_conf *make_link(struct bench *bench, const char *name, uint64_t digest)
{
	struct pool *pool = pool_new();
	struct link_conf *conf = pool_alloc(pool, sizeof(*conf));
	const char *error;

	conf->pool = pool;
	conf->digest = digest;
	conf->file = "test.conf";
	conf->name = pool_strdup(pool, name);
	conf->plugin = plugin_get(bench->plugins, "fake", &error);
	return conf;
}

/* devices: "a1 b1": name and digest each, on link `l`. keep: devices that were bad. */
static struct field_changes apply(struct bench *bench, const char *devices, uint64_t link_digest, uint64_t every_us,
				  const char *const *keep)
{
	struct link_conf *links[] = {link_digest ? make_link(bench, "l", link_digest) : NULL};
	struct device_conf *confs[16];
	struct field_wanted wanted = {
		.links = links, .n_links = link_digest ? 1 : 0, .devices = confs, .keep_devices = keep};
	struct field_changes changes;

	for (; devices[0]; devices += devices[2] ? 3 : 2) {
		char name[] = {devices[0], 0};

		confs[wanted.n_devices++] = make_device(name, "l", every_us, (uint64_t)devices[1]);
	}
	field_apply(bench->field, &wanted, &changes);
	for (size_t i = 0; i < wanted.n_links; i++)
		link_conf_free(links[i]);
	for (size_t i = 0; i < wanted.n_devices; i++)
		device_conf_free(confs[i]);
	return changes;
}

static bool all_polled(const struct bench *bench _unused_)
{
	return strstr(script.calls, "poll:a") && strstr(script.calls, "poll:b") && strstr(script.calls, "poll:c");
}

static bool many_polls(const struct bench *bench _unused_)
{
	return script.polls >= 60;
}

static void devices_take_turns(void **state _unused_)
{
	struct bench *bench = bench_new();
	unsigned n[3] = {0};

	/* Far more is wanted than there is time for: each gets its share. */
	apply(bench, "a1 b1 c1", 1, 10, NULL);
	run_until(bench, all_polled);
	script.calls[0] = 0;
	script.polls = 0;
	run_until(bench, many_polls);
	for (const char *at = script.calls; (at = strstr(at, "poll:")); at += 5)
		n[at[5] - 'a']++;
	for (int i = 0; i < 3; i++)
		assert_in_range(n[i], 60 / 3 - 6, 60 / 3 + 6);
	bench_free(bench);
}

static bool offline_a(const struct bench *bench)
{
	return strstr(bench->device_infos, "a-") && strstr(bench->lines, "device a: offline");
}

static bool back_a(const struct bench *bench)
{
	return strstr(bench->lines, "device a: online again") != NULL;
}

static void two_failures_make_offline_and_one_answer_brings_back(void **state _unused_)
{
	struct bench *bench = bench_new();

	snprintf(script.silent, sizeof(script.silent), "a");
	apply(bench, "a1 b1 c1", 1, 20 * USEC_PER_MSEC, NULL);
	run_until(bench, offline_a);
	/* Bad at the first failure, offline at the second, and nothing for further probes. */
	char a_only[256] = "";

	for (const char *at = bench->samples; (at = strstr(at, "a=")); at++)
		snprintf(a_only + strlen(a_only), sizeof(a_only) - strlen(a_only), "%.*s ", (int)strcspn(at, " "), at);
	assert_string_equal(a_only, "a=timeout a=offline ");
	assert_non_null(strstr(bench->lines, "device a: offline: timeout; trying again in 1 s, later every 1 min"));
	assert_null(strstr(bench->lines, "device b: offline"));
	const struct device *device = field_find_device(bench->field, "a");

	assert_int_equal(device->errors[HAY_TIMEOUT], device->failed);
	assert_int_equal(device->link->errors[HAY_TIMEOUT], device->failed);
	script.silent[0] = 0;
	run_until(bench, back_a);
	assert_non_null(strstr(bench->device_infos, "a+"));
	bench_free(bench);
}

/* A plugin with that mistake must not take another device's turn, nor give each value twice. */
static void a_round_ends_once(void **state _unused_)
{
	struct bench *bench = bench_new();

	script.ends_twice = true;
	apply(bench, "a1", 1, 5 * USEC_PER_MSEC, NULL);
	run_until(bench, many_polls);
	assert_int_equal(field_find_device(bench->field, "a")->rounds, script.polls);
	bench_free(bench);
}

/* On a noisy line every other answer is lost: a device that answers in between is there. */
static void failures_count_in_a_row(void **state _unused_)
{
	struct bench *bench = bench_new();

	snprintf(script.silent, sizeof(script.silent), "a");
	script.every_other = true;
	apply(bench, "a1", 1, 5 * USEC_PER_MSEC, NULL);
	run_until(bench, many_polls);
	assert_null(strstr(bench->lines, "offline"));
	assert_int_equal(field_find_device(bench->field, "a")->state, DEVICE_ONLINE);
	bench_free(bench);
}

static bool refused_a(const struct bench *bench)
{
	return strstr(bench->lines, "device a: point p: bad: illegal data address; the device goes on") &&
	       script.polls > 20;
}

static bool accepted_a(const struct bench *bench)
{
	return strstr(bench->lines, "device a: point p: good again") != NULL;
}

static void a_refused_point_is_told_once_and_the_device_stays(void **state _unused_)
{
	struct bench *bench = bench_new();

	snprintf(script.refused, sizeof(script.refused), "a");
	apply(bench, "a1 b1", 1, 5 * USEC_PER_MSEC, NULL);
	run_until(bench, refused_a);
	assert_null(strstr(strstr(bench->lines, "illegal data") + 1, "illegal data"));
	assert_null(strstr(bench->device_infos, "a+ a-"));
	script.refused[0] = 0;
	run_until(bench, accepted_a);
	bench_free(bench);
}

static bool many_of_a(const struct bench *bench)
{
	return strstr(bench->samples, "a=7 a=7 a=7 a=7 a=7") != NULL;
}

/* One request of a round failed, another one was answered: the device is there, and what it said is delivered. */
static void a_value_in_a_failed_round_counts(void **state _unused_)
{
	struct bench *bench = bench_new();

	snprintf(script.failing, sizeof(script.failing), "a");
	apply(bench, "a1", 1, 5 * USEC_PER_MSEC, NULL);
	run_until(bench, many_of_a);
	assert_null(strstr(bench->lines, "offline"));
	assert_string_equal(bench->device_infos, "a- a+ ");
	bench_free(bench);
}

static bool skipped_often(const struct bench *bench _unused_)
{
	return script.polls >= 6;
}

static bool told_timeout(const struct bench *bench)
{
	return strstr(bench->lines, "device a: point p: bad: timeout; the device goes on") != NULL;
}

/* Only what has long been silent was due: that says nothing about the device, and its points stay bad. */
static void a_skipped_round_leaves_the_device_as_it_was(void **state _unused_)
{
	struct bench *bench = bench_new();

	snprintf(script.skipped, sizeof(script.skipped), "a");
	apply(bench, "a1", 1, 5 * USEC_PER_MSEC, NULL);
	run_until(bench, skipped_often);
	assert_string_equal(bench->device_infos, "a- ");
	assert_string_equal(bench->samples, "");
	script.skipped[0] = 0;
	run_until(bench, many_of_a);
	snprintf(script.skipped, sizeof(script.skipped), "a");
	run_until(bench, told_timeout);
	assert_string_equal(bench->device_infos, "a- a+ ");
	assert_non_null(strstr(bench->samples, "a=timeout"));
	assert_int_equal(field_find_device(bench->field, "a")->failed, 0);
	bench_free(bench);
}

static bool all_heard(const struct bench *bench)
{
	return strstr(bench->device_infos, "a+") && strstr(bench->device_infos, "b+") &&
	       strstr(bench->device_infos, "c+");
}

/* One with a long period was not read for up to all of it after each start; restarted sooner, never. */
static void long_periods_begin_soon(void **state _unused_)
{
	struct bench *bench = bench_new();
	static struct clock_fake time;
	static const char *const names[] = {"a", "b", "c"};
	struct field_device_status status;

	time = (struct clock_fake){.now = clock_now(), .wall = clock_wall()};
	clock_set_fake(&time);
	apply(bench, "a1 b1 c1", 1, USEC_PER_HOUR, NULL);
	for (size_t i = 0; i < ELEMENTS(names); i++) {
		assert_true(field_get_device(bench->field, names[i], &status));
		assert_in_range(status.first_poll_us, time.now, time.now + 10 * USEC_PER_SEC + 50 * USEC_PER_MSEC);
	}
	uint64_t begin = time.now;

	while (!all_heard(bench)) {
		time.now += 50 * USEC_PER_MSEC;
		assert_true(time.now < begin + 11 * USEC_PER_SEC);
		for (size_t i = 0; i < ELEMENTS(names); i++) {
			struct device *device = field_find_device(bench->field, names[i]);

			if (device->due.place > 0 && device->due.due_us <= time.now) {
				schedule_remove(bench->field->schedule, &device->due);
				link_wants_turn(device->link, device);
			}
		}
	}
	/* Then they keep their phase: within an hour, each at its own time. */
	for (size_t i = 0; i < ELEMENTS(names); i++) {
		const struct device *device = field_find_device(bench->field, names[i]);

		assert_in_range(device->due.due_us, time.now, begin + USEC_PER_HOUR + USEC_PER_MINUTE);
		assert_int_equal((device->due.due_us - device->origin_us) % USEC_PER_HOUR, 0);
		assert_true(field_get_device(bench->field, names[i], &status));
		assert_int_equal(status.first_poll_us, 0);
		assert_int_equal(status.late, 0);
	}
	clock_set_fake(NULL);
	bench_free(bench);
}

static unsigned count_of(const char *text, const char *word);

/* Rounds of device a that each take so long, at once when they are due. Its clock is the test's. */
static void run_rounds(struct bench *bench, struct clock_fake *time, unsigned n, uint64_t took_us)
{
	struct device *device = field_find_device(bench->field, "a");

	for (unsigned i = 0; i < n; i++) {
		time->now = MAX(time->now, device->due.due_us);
		schedule_remove(bench->field->schedule, &device->due);
		script.hold = true;
		link_wants_turn(device->link, device);
		script.hold = false;
		time->now += took_us;
		struct hay_device *held = script.held;

		script.held = NULL;
		answer(held);
	}
}

/* 11 requests of 300 ms do not fit into a period of 1 s: readings were left out, and nobody said so. */
static void a_link_that_cannot_keep_its_periods_says_so(void **state _unused_)
{
	struct bench *bench = bench_new();
	static struct clock_fake time;

	time = (struct clock_fake){.now = clock_now(), .wall = clock_wall()};
	clock_set_fake(&time);
	apply(bench, "a1", 1, USEC_PER_SEC, NULL);
	run_rounds(bench, &time, 30, 300 * USEC_PER_MSEC);
	assert_null(strstr(bench->lines, "cannot keep"));
	run_rounds(bench, &time, 100, 3300 * USEC_PER_MSEC);
	assert_int_equal(count_of(bench->lines, "cannot keep its periods"), 1);
	assert_non_null(strstr(bench->lines, "link l: cannot keep its periods: "));
	assert_non_null(strstr(bench->lines, "polls were left out"));
	assert_non_null(strstr(bench->lines, "due every 1 s"));
	/* An hour later it is said again, with what was left out meanwhile. */
	run_rounds(bench, &time, 1100, 3300 * USEC_PER_MSEC);
	assert_int_equal(count_of(bench->lines, "cannot keep its periods"), 2);
	assert_non_null(strstr(bench->lines, "its devices need 330 % of its time, most of it a: 3.3 s a round"));
	clock_set_fake(NULL);
	bench_free(bench);
}

static bool line_is_down(const struct bench *bench)
{
	return strstr(bench->lines, "link l: down") != NULL;
}

static bool link_is_up(const struct bench *bench)
{
	return strstr(bench->lines, "link l: up again") != NULL && strstr(bench->device_infos, "a+") &&
	       strstr(bench->device_infos, "b+") && strstr(bench->device_infos, "c+");
}

static void a_link_speaks_for_its_devices(void **state _unused_)
{
	struct bench *bench = bench_new();

	script.link_fails = true;
	apply(bench, "a1 b1 c1", 1, 20 * USEC_PER_MSEC, NULL);
	run_until(bench, line_is_down);
	assert_non_null(strstr(bench->lines,
			       "link l: down: connection refused; its 3 devices are offline, trying again in 1 s, "
			       "later every 1 min"));
	assert_null(strstr(bench->lines, "device a:"));
	script.link_fails = false;
	run_until(bench, link_is_up);
	bench_free(bench);
}

static unsigned count_of(const char *text, const char *word)
{
	unsigned n = 0;

	for (const char *at = text; (at = strstr(at, word)); at++)
		n++;
	return n;
}

static void a_link_that_flaps_is_folded(void **state _unused_)
{
	struct bench *bench = bench_new();

	apply(bench, "u1", 1, 10 * USEC_PER_MSEC, NULL);
	struct hay_link *link = &bench->field->links->hay;

	for (int i = 0; i < 50; i++) {
		plugin_host.link_down(link, HAY_OFFLINE, "unplugged");
		plugin_host.link_up(link);
	}
	assert_int_equal(count_of(bench->lines, "link l: down"), RATE_LIMIT_LINES);
	assert_int_equal(count_of(bench->lines, "link l: up again"), RATE_LIMIT_LINES);
	assert_int_equal(count_of(bench->lines, "it keeps changing, logged again in 10 min"), 1);
	bench->lines[0] = 0;
	bench->field->links->limit.since_us -= RATE_LIMIT_WINDOW_US;
	plugin_host.link_down(link, HAY_OFFLINE, "unplugged");
	assert_non_null(strstr(bench->lines, "; 50 such changes in the last 10 min"));
	bench_free(bench);
}

static void a_device_that_comes_and_goes_is_told_in_few(void **state _unused_)
{
	struct bench *bench = bench_new();

	apply(bench, "u1", 1, 10 * USEC_PER_MSEC, NULL);
	struct hay_device *device = &field_find_device(bench->field, "u")->hay;

	for (int i = 0; i < 50; i++) {
		plugin_host.device_online(device);
		plugin_host.device_offline(device, HAY_TIMEOUT, "not heard");
	}
	assert_int_equal(count_of(bench->lines, "device u: offline") + count_of(bench->lines, "device u: online again"),
			 RATE_LIMIT_LINES);
	assert_int_equal(count_of(bench->lines, "it keeps changing, logged again in 10 min"), 1);
	bench_free(bench);
}

/* Every other answer of a noisy line is damaged: no news, as long as the next one is right. */
static void one_damaged_answer_is_no_news(void **state _unused_)
{
	struct bench *bench = bench_new();

	snprintf(script.damaged, sizeof(script.damaged), "a");
	apply(bench, "a1", 1, 5 * USEC_PER_MSEC, NULL);
	run_until(bench, many_polls);
	assert_non_null(strstr(bench->samples, "a=decode"));
	assert_null(strstr(bench->lines, "bad: "));
	bench_free(bench);
}

static void who_is_long_away_is_told_again(void **state _unused_)
{
	struct bench *bench = bench_new();

	apply(bench, "u1 v1", 1, 10 * USEC_PER_MSEC, NULL);
	struct link *link = bench->field->links;

	bench->lines[0] = 0;
	field_remind(bench->field);
	assert_string_equal(bench->lines, "");
	for (struct device *device = link->devices; device; device = device->next)
		device->since_us -= USEC_PER_HOUR;
	plugin_host.device_offline(&field_find_device(bench->field, "v")->hay, HAY_TIMEOUT, NULL);
	field_find_device(bench->field, "v")->since_us -= USEC_PER_HOUR;
	bench->lines[0] = 0;
	field_remind(bench->field);
	assert_string_equal(bench->lines,
			    "link l: still without u (not heard yet), v (timeout); the rest keeps running\n");

	plugin_host.link_down(&link->hay, HAY_OFFLINE, "unplugged");
	link->since_us -= 3 * USEC_PER_HOUR;
	bench->lines[0] = 0;
	field_remind(bench->field);
	assert_string_equal(bench->lines, "link l: still down after 3 h: unplugged; trying again every 1 min\n");

	bench->lines[0] = 0;
	link->conf->file = ""; /* the gateway's own */
	field_remind(bench->field);
	assert_string_equal(bench->lines, "");
	bench_free(bench);
}

static bool a_and_b_are_back(const struct bench *bench)
{
	return strstr(bench->lines, "link l: up again") && strstr(bench->device_infos, "a+") &&
	       strstr(bench->device_infos, "b+");
}

static bool prober_is_set(const struct bench *bench)
{
	return bench->field->links->prober != NULL;
}

/* Whoever was to try next may be changed or removed meanwhile: another one tries. */
static void a_link_that_is_down_outlives_its_prober(void **state _unused_)
{
	static const char *const after[] = {"a2 b2 c1", "a1 b1"}; /* changed; removed */

	for (size_t i = 0; i < ELEMENTS(after); i++) {
		struct bench *bench = bench_new();

		script.link_fails = true;
		apply(bench, "a1 b1 c1", 1, 20 * USEC_PER_MSEC, NULL);
		run_until(bench, line_is_down);
		run_until(bench, prober_is_set);
		while (strchr(i == 0 ? "ab" : "c", bench->field->links->prober->conf->name[0]) == NULL)
			sd_event_run(bench->event, 100 * USEC_PER_MSEC);
		bench->device_infos[0] = 0;
		script.link_fails = false;
		apply(bench, after[i], 1, 20 * USEC_PER_MSEC, NULL);
		run_until(bench, a_and_b_are_back);
		bench_free(bench);
	}
}

static bool whole_polled_often(const struct bench *bench _unused_)
{
	return script.polls >= 10;
}

static bool unasked_is_known(const struct bench *bench)
{
	return strstr(bench->device_infos, "u+") && strstr(bench->samples, "u=7");
}

static void some_devices_are_not_polled_and_some_without_points(void **state _unused_)
{
	struct bench *bench = bench_new();
	struct hay_reading reading = {.value = {.type = HAY_INT64, .i = 7}};
	struct hay_sample sample = {.time_us = clock_now(), .readings = &reading, .n_readings = 1};

	apply(bench, "u1 w1", 1, 10 * USEC_PER_MSEC, NULL);
	run_until(bench, whole_polled_often);
	assert_null(strstr(script.calls, "poll:u"));
	assert_null(strstr(bench->device_infos, "u+")); /* not heard yet */
	plugin_host.emit(&field_find_device(bench->field, "u")->hay, &sample);
	run_until(bench, unasked_is_known);

	/* A link that is down is tried by those that are polled. */
	script.link_fails = true;
	run_until(bench, line_is_down);
	assert_non_null(strstr(bench->lines, "its 2 devices are offline, trying again in 1 s"));
	assert_non_null(strstr(bench->samples, "u=offline"));
	bench_free(bench);

	/* Where none is polled nobody tries: the plugin says when it is up. */
	bench = bench_new();
	apply(bench, "u1", 1, 10 * USEC_PER_MSEC, NULL);
	plugin_host.link_down(&field_find_device(bench->field, "u")->link->hay, HAY_OFFLINE, "unplugged");
	assert_non_null(strstr(bench->lines, "link l: down: unplugged; its 1 device is offline until it is back"));
	plugin_host.link_up(&field_find_device(bench->field, "u")->link->hay);
	plugin_host.emit(&field_find_device(bench->field, "u")->hay, &sample);
	run_until(bench, unasked_is_known);
	assert_null(strstr(script.calls, "poll:"));
	bench_free(bench);
}

static void reload_restarts_only_what_changed(void **state _unused_)
{
	struct bench *bench = bench_new();
	struct field_changes changes;
	static const char *const keep[] = {"b", NULL};

	apply(bench, "a1 b1 c1", 1, 10 * USEC_PER_SEC, NULL);
	assert_string_equal(script.calls, "open:l start:a start:b start:c ");
	script.calls[0] = 0;
	bench->device_infos[0] = 0;
	changes = apply(bench, "a2 b1 d1", 1, 10 * USEC_PER_SEC, NULL);
	assert_string_equal(script.calls, "stop:a stop:c start:a start:d ");
	assert_int_equal(changes.started, 2);
	assert_int_equal(changes.stopped, 2);
	assert_int_equal(changes.kept, 1);
	assert_string_equal(bench->device_infos, "cx a- d- "); /* a comes again: not removed */
	script.calls[0] = 0;
	apply(bench, "a2", 1, 10 * USEC_PER_SEC, keep); /* b's new form was bad */
	assert_string_equal(script.calls, "stop:d ");
	script.calls[0] = 0;
	apply(bench, "a2 b1", 2, 10 * USEC_PER_SEC, NULL);
	assert_string_equal(script.calls, "stop:b stop:a close:l open:l start:a start:b ");
	bench_free(bench);
}

/* Its new form is bad, and its link changes with the same reload: the last good form goes on, on the new link. */
static void a_bad_device_outlives_its_links_change(void **state _unused_)
{
	struct bench *bench = bench_new();
	static const char *const keep[] = {"b", NULL};

	apply(bench, "a1 b1", 1, 10 * USEC_PER_SEC, NULL);
	script.calls[0] = bench->device_infos[0] = 0;
	apply(bench, "a1", 2, 10 * USEC_PER_SEC, keep);
	assert_string_equal(script.calls, "stop:a stop:b close:l open:l start:a start:b ");
	assert_null(strstr(bench->device_infos, "bx"));
	/* Mended, it is started in its new form; taken out, it goes. */
	script.calls[0] = 0;
	apply(bench, "a1 b2", 2, 10 * USEC_PER_SEC, NULL);
	assert_string_equal(script.calls, "stop:b start:b ");
	apply(bench, "a1", 3, 10 * USEC_PER_SEC, NULL);
	assert_non_null(strstr(bench->device_infos, "bx"));
	bench_free(bench);
}

/* The same while the old link has not come to its end, and a second reload still does not mend it. */
static void a_bad_device_waits_for_its_link(void **state _unused_)
{
	struct bench *bench = bench_new();
	static const char *const keep[] = {"b", NULL};
	struct hay_device *hay;

	apply(bench, "a1 b1", 1, 10 * USEC_PER_SEC, NULL);
	/* Something of a's is still under way. */
	hay = &field_find_device(bench->field, "a")->hay;
	container_of(hay, struct device, hay)->outstanding++;
	apply(bench, "a1", 2, 10 * USEC_PER_SEC, keep);
	assert_null(field_find_device(bench->field, "b"));
	apply(bench, "a1", 3, 10 * USEC_PER_SEC, keep);
	script.calls[0] = 0;
	container_of(hay, struct device, hay)->outstanding--;
	field_advance_soon(bench->field);
	while (!field_find_device(bench->field, "b"))
		sd_event_run(bench->event, 100 * USEC_PER_MSEC);
	assert_string_equal(script.calls, "stop:a close:l open:l start:b start:a ");
	assert_null(strstr(bench->device_infos, "bx"));
	bench_free(bench);
}

static bool is_offline(const struct bench *bench)
{
	return strstr(bench->device_infos, "a- a+ a- ") != NULL;
}

/* An absent device that speaks unasked is there, and is asked at its own pace again. */
static void who_speaks_is_asked_again(void **state _unused_)
{
	struct bench *bench = bench_new();
	struct hay_reading reading = {.value = {.type = HAY_INT64, .i = 7}};
	struct hay_sample sample = {.readings = &reading, .n_readings = 1};
	struct device *device;

	apply(bench, "a1", 1, 10 * USEC_PER_MSEC, NULL);
	run_until(bench, many_polls);
	strcpy(script.silent, "a");
	run_until(bench, is_offline);
	device = field_find_device(bench->field, "a");
	device->pause_us = USEC_PER_HOUR;
	device_reschedule(device);
	assert_true(device->due.due_us > clock_now() + USEC_PER_MINUTE);
	sample.time_us = clock_now();
	device->hay.link->host->emit(&device->hay, &sample);
	assert_true(device->due.due_us <= clock_now() + USEC_PER_SEC);
	script.silent[0] = 0;
	script.polls = 0;
	run_until(bench, many_polls);
	bench_free(bench);
}

static bool holding(const struct bench *bench _unused_)
{
	return script.held != NULL;
}

static void a_device_in_a_round_can_be_stopped(void **state _unused_)
{
	struct bench *bench = bench_new();

	script.hold = true;
	apply(bench, "a1 b1", 1, 10 * USEC_PER_MSEC, NULL);
	run_until(bench, holding);
	script.hold = false;
	char name = script.held->name[0];

	/* The one whose round is under way goes; the other gets its turn. */
	script.calls[0] = 0;
	apply(bench, name == 'a' ? "b1" : "a1", 1, 10 * USEC_PER_MSEC, NULL);
	script.polls = 0;
	run_until(bench, many_polls);
	assert_string_equal(bench->samples[0] == name ? "wrong" : "right", "right");
	bench_free(bench);
}

/* ---- commands ---- */

static char outcome[128];

static void command_done(struct command *command _unused_, enum command_outcome result,
			 const struct write_answer *answer, void *userdata _unused_)
{
	assert_int_equal(answer->done, result == COMMAND_DONE	   ? WRITE_DONE
				       : result == COMMAND_UNKNOWN ? WRITE_UNKNOWN
								   : WRITE_NOT_DONE);
	snprintf(outcome, sizeof(outcome), "%s", answer->text ? answer->text : "done");
}

/* Device and point, the value, and who is told. */
static void submit_to(struct bench *bench, const char *device, const char *point, struct hay_value value,
		      uint64_t expires_us, command_done_fn done, void *userdata)
{
	struct command *command = command_new();

	snprintf(command->device, sizeof(command->device), "%s", device);
	snprintf(command->point, sizeof(command->point), "%s", point);
	assert_int_equal(command_set_value(command, &value), 0);
	command->expires_us = expires_us;
	command->done = done;
	command->userdata = userdata;
	writes_submit(bench->field, command);
	command_unref(command);
}

static const char *command(struct bench *bench, const char *device, const char *point, struct hay_value value)
{
	snprintf(outcome, sizeof(outcome), "waiting");
	submit_to(bench, device, point, value, 0, command_done, NULL);
	return outcome;
}

/* The device took it. */
static void finish(struct hay_command *command)
{
	plugin_host.command_done(command,
				 &(struct hay_command_result){.outcome = HAY_WRITTEN, .value = command->value});
}

static void commands_are_checked_and_answered_once(void **state _unused_)
{
	struct bench *bench = bench_new();
	struct hay_value good = {.type = HAY_INT64, .i = 55}, big = {.type = HAY_INT64, .i = 101},
			 text = {.type = HAY_STRING, .s = {"x", 1}};

	apply(bench, "a1 k1 r1", 1, 10 * USEC_PER_SEC, NULL);
	assert_string_equal(command(bench, "z", "p", good), "there is no such device");
	assert_string_equal(command(bench, "r", "p", good),
			    "the point is read only: its configuration does not say access = \"write\"");
	assert_null(script.command);
	assert_string_equal(command(bench, "k", "p", (struct hay_value){.type = HAY_INT64, .i = 2}),
			    "true or false is expected");
	assert_null(script.command);
	/* It lay on its way too long: whoever sent it may have given up. */
	snprintf(outcome, sizeof(outcome), "waiting");
	submit_to(bench, "a", "p", good, clock_now() - 1, command_done, NULL);
	assert_string_equal(outcome, "expired");
	assert_null(script.command);
	/* It must not be done when the line is back, hours later. */
	plugin_host.link_down(&bench->field->links->hay, HAY_OFFLINE, "unplugged");
	assert_string_equal(command(bench, "a", "p", good), "the device is offline");
	assert_null(script.command);
	plugin_host.link_up(&bench->field->links->hay);
	assert_string_equal(command(bench, "a", "z", good), "the device has no such point");
	assert_string_equal(command(bench, "a", "p", big), "out of range: 0 to 100 is allowed");
	assert_string_equal(command(bench, "a", "p", text), "a number is expected");
	assert_string_equal(command(bench, "a", "p", good), "waiting");
	assert_int_equal(script.command->value.i, 55);
	finish(script.command);
	assert_string_equal(outcome, "done");
	assert_string_equal(command(bench, "a", "p", good), "waiting");
	field_stop(bench->field);
	assert_string_equal(outcome, "not known whether it was done: the device was stopped meanwhile");
	bench_free(bench);
}

/* The last answer, its texts left out. */
static struct write_answer answered;
static enum command_outcome answered_outcome;

static void keep_answer(struct command *command _unused_, enum command_outcome result,
			const struct write_answer *answer, void *userdata _unused_)
{
	answered = *answer;
	answered_outcome = result;
	snprintf(outcome, sizeof(outcome), "%s", answer->text ? answer->text : "");
}

static void submit(struct bench *bench, struct hay_value value)
{
	memset(&answered, 0xff, sizeof(answered));
	submit_to(bench, "a", "p", value, 0, keep_answer, NULL);
}

static void finish_with(enum hay_outcome result, int64_t held, bool read_back, const char *detail)
{
	plugin_host.command_done(script.command, &(struct hay_command_result){.outcome = result,
									      .value = {.type = HAY_INT64, .i = held},
									      .read_back = read_back,
									      .detail = detail});
}

/* An answer gave back what was asked for, whatever the device held, and failed where it was not the same. */
static void an_answer_tells_what_the_device_holds(void **state _unused_)
{
	struct bench *bench = bench_new();

	apply(bench, "a1", 1, 10 * USEC_PER_SEC, NULL);
	submit(bench, (struct hay_value){.type = HAY_FLOAT64, .d = 55.5});
	assert_int_equal(script.command->value.i, 56);
	finish_with(HAY_WRITTEN, 56, true, NULL);
	assert_int_equal(answered_outcome, COMMAND_DONE);
	assert_int_equal(answered.value.i, 56);
	assert_true(answered.read_back && answered.asked.d == 55.5);
	/* The same number in another type is no other value. */
	submit(bench, (struct hay_value){.type = HAY_FLOAT64, .d = 55});
	finish_with(HAY_WRITTEN, 55, false, "cannot be read back");
	assert_int_equal(answered.asked.type, HAY_TYPE_NONE);
	assert_false(answered.read_back);
	assert_string_equal(outcome, "cannot be read back");
	/* Clamped to what the range does not hold: it is told all the same. */
	submit(bench, (struct hay_value){.type = HAY_INT64, .i = 100});
	finish_with(HAY_WRITTEN, 120, true, NULL);
	assert_int_equal(answered.value.i, 120);
	assert_int_equal(answered.asked.i, 100);
	bench_free(bench);
}

/* 0.1 and the float32 nearest to it look the same, and are; 33.3333333333 is rounded, and that is told. */
static void a_float_is_compared_as_it_is_shown(void **state _unused_)
{
	static const double numbers[] = {0.1, 33.3333333333};
	struct bench *bench = bench_new();

	apply(bench, "f1", 1, 10 * USEC_PER_SEC, NULL);
	for (size_t i = 0; i < ELEMENTS(numbers); i++) {
		submit_to(bench, "f", "p", (struct hay_value){.type = HAY_FLOAT64, .d = numbers[i]}, 0, keep_answer,
			  NULL);
		plugin_host.command_done(script.command, &(struct hay_command_result){.outcome = HAY_WRITTEN,
										      .value = script.command->value,
										      .read_back = true});
		assert_true(answered.value.f == (float)numbers[i]);
		assert_int_equal(answered.asked.type, i == 0 ? HAY_TYPE_NONE : HAY_FLOAT64);
	}
	bench_free(bench);
}

static void not_known_is_neither_done_nor_failed(void **state _unused_)
{
	struct bench *bench = bench_new();

	apply(bench, "a1", 1, 10 * USEC_PER_SEC, NULL);
	submit(bench, (struct hay_value){.type = HAY_INT64, .i = 5});
	plugin_host.command_done(script.command, &(struct hay_command_result){.detail = "no answer"});
	assert_int_equal(answered_outcome, COMMAND_UNKNOWN);
	assert_int_equal(answered.done, WRITE_UNKNOWN);
	assert_int_equal(answered.value.type, HAY_TYPE_NONE);
	assert_string_equal(outcome, "not known whether it was done: no answer");
	submit(bench, (struct hay_value){.type = HAY_INT64, .i = 5});
	finish_with(HAY_UNKNOWN, 4, true, "accepted");
	assert_int_equal(answered.value.i, 4);
	assert_int_equal(answered.asked.i, 5);
	submit(bench, (struct hay_value){.type = HAY_INT64, .i = 5});
	plugin_host.command_done(script.command, &(struct hay_command_result){.outcome = HAY_EXPIRED});
	assert_int_equal(answered_outcome, COMMAND_EXPIRED);
	assert_int_equal(answered.done, WRITE_NOT_DONE);
	submit(bench, (struct hay_value){.type = HAY_INT64, .i = 5});
	plugin_host.command_done(script.command,
				 &(struct hay_command_result){.outcome = HAY_NOT_WRITTEN, .detail = "refused"});
	assert_int_equal(answered_outcome, COMMAND_FAILED);
	assert_string_equal(outcome, "refused");
	script.write_error = -ERANGE;
	submit(bench, (struct hay_value){.type = HAY_INT64, .i = 5});
	assert_int_equal(answered_outcome, COMMAND_INVALID);
	assert_string_equal(outcome, "the value does not fit what is written");
	bench_free(bench);
}

/* Programs that make a double of every number send long ones as texts. */
static void the_text_of_a_number_is_a_number(void **state _unused_)
{
	static const char *const numbers[] = {"55",  "55.0", "5.5e1", "550E-1", "055", "+55", "55,0", "0x37", " 55",
					      "5 5", "",     "-",     "5.",	".5",  "1e",  "nan",  "inf",  "1e400"};
	struct bench *bench = bench_new();

	apply(bench, "a1", 1, 10 * USEC_PER_SEC, NULL);
	for (size_t i = 0; i < ELEMENTS(numbers); i++) {
		script.command = NULL;
		submit(bench, (struct hay_value){.type = HAY_STRING, .s = {numbers[i], strlen(numbers[i])}});
		if (i >= 4) {
			assert_int_equal(answered_outcome, COMMAND_INVALID);
			assert_null(script.command);
			continue;
		}
		assert_int_equal(script.command->value.i, 55);
		finish_with(HAY_WRITTEN, 55, true, NULL);
		assert_int_equal(answered.asked.type, HAY_TYPE_NONE);
	}
	bench_free(bench);
}

static char outcomes[256];

static void add_outcome(struct command *command _unused_, enum command_outcome result,
			const struct write_answer *answer, void *userdata)
{
	size_t used = strlen(outcomes);

	assert_int_equal(result == COMMAND_DONE, answer->done == WRITE_DONE);
	snprintf(outcomes + used, sizeof(outcomes) - used, "%s:%s ", (const char *)userdata,
		 result == COMMAND_EXPIRED ? "expired"
		 : result == COMMAND_BUSY  ? "busy"
		 : answer->text		   ? answer->text
					   : "done");
}

static bool second_is_written(const struct bench *bench _unused_)
{
	return script.command && script.command->value.i == 3;
}

static void commands_of_a_device_go_one_after_the_other(void **state _unused_)
{
	struct bench *bench = bench_new();
	struct hay_value value = {.type = HAY_INT64, .i = 1};
	char who_first[] = "first", who_hasty[] = "hasty", who_second[] = "second", who_rest[] = "rest",
	     who_late[] = "late";

	outcomes[0] = 0;
	apply(bench, "a1", 1, 10 * USEC_PER_SEC, NULL);
	submit_to(bench, "a", "p", value, 0, add_outcome, who_first);
	value.i = 2;
	/* While it is handed over the clock stands still, however slow this machine is; then it is late. */
	static struct clock_fake still;
	still = (struct clock_fake){.now = clock_now(), .wall = clock_wall()};
	clock_set_fake(&still);
	submit_to(bench, "a", "p", value, still.now, add_outcome, who_hasty);
	clock_set_fake(NULL);
	value.i = 3;
	submit_to(bench, "a", "p", value, 0, add_outcome, who_second);
	for (int i = 0; i < 13; i++)
		submit_to(bench, "a", "p", value, 0, add_outcome, who_rest);
	submit_to(bench, "a", "p", value, 0, add_outcome, who_late);
	assert_string_equal(outcomes, "late:busy ");
	assert_int_equal(script.command->value.i, 1);
	outcomes[0] = 0;
	struct hay_command *first = script.command;

	script.command = NULL; /* it ends with its answer */
	finish(first);
	/* Not from within the plugin's own call. */
	assert_string_equal(outcomes, "first:done ");
	run_until(bench, second_is_written);
	assert_string_equal(outcomes, "first:done hasty:expired ");
	outcomes[0] = 0;
	field_stop(bench->field);
	/* Only the plugin could have sent the one it had. */
	assert_non_null(strstr(outcomes, "second:not known whether it was done: the device was stopped meanwhile "
					 "rest:the device was stopped "));
	bench_free(bench);
}

/* ---- what was learnt ---- */

static int recall(const struct bench *bench, const char *name)
{
	struct hay_device *device = &field_find_device(bench->field, name)->hay;
	uint8_t byte;

	return device->link->host->recall(device, "learnt", &byte, 1);
}

static void who_is_not_configured_is_forgotten(void **state _unused_)
{
	struct bench *bench = bench_new();
	static const char *const keep[] = {"c", NULL};

	script.learns = true;
	apply(bench, "a1 b1", 1, 10 * USEC_PER_SEC, NULL);
	apply(bench, "a2 b2", 1, 10 * USEC_PER_SEC, NULL);
	assert_int_equal(recall(bench, "a"), 1);
	assert_int_equal(recall(bench, "b"), 1);
	/* A mistake in the file: b may not be meant to go. */
	apply(bench, "a2", 1, 10 * USEC_PER_SEC, keep);
	apply(bench, "a2 b2", 1, 10 * USEC_PER_SEC, keep);
	assert_int_equal(recall(bench, "b"), 1);
	/* Taken out, and put back: even what it learnt last, as it was stopped, is not known. */
	apply(bench, "a2", 1, 10 * USEC_PER_SEC, NULL);
	assert_non_null(strstr(bench->lines, "b is not configured any more"));
	apply(bench, "a2 b2", 1, 10 * USEC_PER_SEC, NULL);
	assert_int_equal(recall(bench, "a"), 1);
	assert_int_equal(recall(bench, "b"), -ENOENT);
	bench_free(bench);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(devices_take_turns),
		cmocka_unit_test(two_failures_make_offline_and_one_answer_brings_back),
		cmocka_unit_test(a_round_ends_once),
		cmocka_unit_test(failures_count_in_a_row),
		cmocka_unit_test(a_device_that_comes_and_goes_is_told_in_few),
		cmocka_unit_test(one_damaged_answer_is_no_news),
		cmocka_unit_test(a_refused_point_is_told_once_and_the_device_stays),
		cmocka_unit_test(long_periods_begin_soon),
		cmocka_unit_test(a_link_that_cannot_keep_its_periods_says_so),
		cmocka_unit_test(a_value_in_a_failed_round_counts),
		cmocka_unit_test(a_skipped_round_leaves_the_device_as_it_was),
		cmocka_unit_test(a_link_speaks_for_its_devices),
		cmocka_unit_test(a_link_that_flaps_is_folded),
		cmocka_unit_test(who_is_long_away_is_told_again),
		cmocka_unit_test(a_link_that_is_down_outlives_its_prober),
		cmocka_unit_test(some_devices_are_not_polled_and_some_without_points),
		cmocka_unit_test(reload_restarts_only_what_changed),
		cmocka_unit_test(a_bad_device_outlives_its_links_change),
		cmocka_unit_test(a_bad_device_waits_for_its_link),
		cmocka_unit_test(who_speaks_is_asked_again),
		cmocka_unit_test(a_device_in_a_round_can_be_stopped),
		cmocka_unit_test(commands_are_checked_and_answered_once),
		cmocka_unit_test(an_answer_tells_what_the_device_holds),
		cmocka_unit_test(a_float_is_compared_as_it_is_shown),
		cmocka_unit_test(not_known_is_neither_done_nor_failed),
		cmocka_unit_test(the_text_of_a_number_is_a_number),
		cmocka_unit_test(commands_of_a_device_go_one_after_the_other),
		cmocka_unit_test(who_is_not_configured_is_forgotten),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
