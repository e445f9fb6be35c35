/* SPDX-License-Identifier: Apache-2.0 */
/* The latest reading of every point: what is kept, what is forgotten, and copies on other threads. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "model/latest.h"
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

struct bench {
	struct series_set *set;
	struct stream *stream;
	struct latest *latest;
	const struct series_device *device;
};

static void setup(struct bench *bench)
{
	bench->set = series_set_new();
	bench->stream = stream_new(NULL, NULL);
	bench->latest = latest_new(bench->stream);
	assert_non_null(bench->latest);
	bench->device = series_device_intern(bench->set, "d", "l", NULL, 0);
}

static void teardown(struct bench *bench)
{
	latest_free(bench->latest);
	stream_free(bench->stream);
	series_set_free(bench->set);
}

static void take_text(struct bench *bench, const struct series *series, uint64_t time_us, const char *text)
{
	struct sample_reading reading = {.value.s = {text, strlen(text)}};

	stream_publish(bench->stream, series->device, time_us, &series, &reading, 1);
}

static void the_latest_reading_outlives_a_new_configuration_of_its_point(void **state _unused_)
{
	struct bench bench;
	_cleanup_latest_snapshot_ struct latest_snapshot snapshot = {0};

	setup(&bench);

	const struct series *before = series_intern(bench.set, bench.device, "p", "m", HAY_STRING);
	const struct series *after = series_intern(bench.set, bench.device, "p", "km", HAY_STRING);
	const struct series *other = series_intern(bench.set, bench.device, "q", NULL, HAY_STRING);

	take_text(&bench, before, 1, "one");
	take_text(&bench, after, 2, "two");
	take_text(&bench, other, 3, "three");
	take_text(&bench, before, 4, "four"); /* a sample that was held back */
	take_text(&bench, after, 5, "five");

	struct device_info_point points[] = {{.series = after}};
	struct device_info *info = device_info_new(bench.device, true, 1, NULL, points, 1);

	latest_keep(bench.latest, info); /* q is no longer configured */
	assert_int_equal(latest_copy(bench.latest, "d", &snapshot), 0);
	assert_int_equal(snapshot.n_readings, 1);
	assert_null(latest_snapshot_find(&snapshot, "q"));

	const struct latest_reading *reading = latest_snapshot_find(&snapshot, "p");

	assert_string_equal(reading->series->unit, "km");
	assert_int_equal(reading->time_us, 5);
	assert_int_equal(reading->reading.value.s.size, 4);
	assert_memory_equal(reading->reading.value.s.data, "five", 4);
	device_info_unref(info);
	teardown(&bench);
}

/* What an uplink tells at its birth must not change, or go, while it is being told. */
static void a_snapshot_stays_as_it_was(void **state _unused_)
{
	struct bench bench;
	struct latest_snapshot snapshot, none;

	setup(&bench);

	const struct series *series[] = {series_intern(bench.set, bench.device, "bad", NULL, HAY_STRING),
					 series_intern(bench.set, bench.device, "number", "V", HAY_FLOAT64),
					 series_intern(bench.set, bench.device, "text", NULL, HAY_STRING)};
	char exception[] = "illegal address", text[] = "auto";
	struct sample_reading readings[] = {{.quality = HAY_BAD,
					     .reason = HAY_EXCEPTION,
					     .exception = exception,
					     .exception_size = strlen(exception)},
					    {.quality = HAY_UNCERTAIN, .reason = HAY_OUT_OF_RANGE, .value.d = 230.5},
					    {.value.s = {text, strlen(text)}}};

	assert_int_equal(latest_copy(bench.latest, "d", &none), 0);
	assert_int_equal(none.n_readings, 0);
	stream_publish(bench.stream, bench.device, 7, series, readings, 3);
	memset(exception, '#', sizeof(exception));
	memset(text, '#', sizeof(text));
	assert_int_equal(latest_copy(bench.latest, "d", &snapshot), 0);
	take_text(&bench, series[0], 8, "another");
	take_text(&bench, series[2], 8, "manual");
	latest_forget(bench.latest, "d");
	assert_int_equal(latest_copy(bench.latest, "d", &none), 0);
	assert_int_equal(none.n_readings, 0);

	assert_int_equal(snapshot.n_readings, 3);

	const struct latest_reading *bad = latest_snapshot_find(&snapshot, "bad");
	const struct latest_reading *number = latest_snapshot_find(&snapshot, "number");
	const struct latest_reading *kept = latest_snapshot_find(&snapshot, "text");

	assert_int_equal(bad->reading.quality, HAY_BAD);
	assert_int_equal(bad->reading.exception_size, 15);
	assert_memory_equal(bad->reading.exception, "illegal address", 15);
	assert_int_equal(number->reading.quality, HAY_UNCERTAIN);
	assert_true(number->reading.value.d == 230.5);
	assert_int_equal(number->reading.value.type, HAY_FLOAT64);
	assert_int_equal(kept->time_us, 7);
	assert_int_equal(kept->reading.value.s.size, 4);
	assert_memory_equal(kept->reading.value.s.data, "auto", 4);
	latest_snapshot_done(&snapshot);
	assert_int_equal(snapshot.n_readings, 0);
	latest_snapshot_done(&none);
	teardown(&bench);
}

struct copies {
	struct latest *latest;
	atomic_bool end;
	atomic_uint n, n_torn;
};

/* Both points of a sample say the same: a copy in the middle of one would not. */
static void *copy_again_and_again(void *userdata)
{
	struct copies *copies = userdata;

	while (!atomic_load(&copies->end)) {
		struct latest_snapshot snapshot;
		const struct latest_reading *a, *b;

		if (latest_copy(copies->latest, "d", &snapshot) < 0)
			continue;
		a = latest_snapshot_find(&snapshot, "a");
		b = latest_snapshot_find(&snapshot, "b");
		if (!a != !b ||
		    (a && (a->time_us != b->time_us || a->reading.value.s.size != b->reading.value.s.size ||
			   memcmp(a->reading.value.s.data, b->reading.value.s.data, a->reading.value.s.size) != 0)))
			atomic_fetch_add(&copies->n_torn, 1);
		if (a)
			atomic_fetch_add(&copies->n, 1);
		latest_snapshot_done(&snapshot);
	}
	return NULL;
}

static void copies_on_another_thread_are_of_whole_samples(void **state _unused_)
{
	struct bench bench;
	pthread_t thread;

	setup(&bench);

	struct copies copies = {.latest = bench.latest};
	const struct series *series[] = {series_intern(bench.set, bench.device, "a", NULL, HAY_STRING),
					 series_intern(bench.set, bench.device, "b", NULL, HAY_STRING)};

	assert_int_equal(pthread_create(&thread, NULL, copy_again_and_again, &copies), 0);
	for (uint64_t i = 0; i < 20000 || atomic_load(&copies.n) < 200; i++) {
		char text[32];
		int size = snprintf(text, sizeof(text), "%0*u", (int)(i % 20) + 1, (unsigned)i);
		struct sample_reading readings[] = {{.value.s = {text, (size_t)size}},
						    {.value.s = {text, (size_t)size}}};

		stream_publish(bench.stream, bench.device, i, series, readings, 2);
		if (i % 100 == 0)
			latest_forget(bench.latest, "d");
	}
	atomic_store(&copies.end, true);
	pthread_join(thread, NULL);
	assert_int_equal(atomic_load(&copies.n_torn), 0);
	teardown(&bench);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_latest_reading_outlives_a_new_configuration_of_its_point),
		cmocka_unit_test(a_snapshot_stays_as_it_was),
		cmocka_unit_test(copies_on_another_thread_are_of_whole_samples),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
