/* SPDX-License-Identifier: Apache-2.0 */
/* The stream of samples: who is given what, in which order, and what becomes of samples published from a callback. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "model/sample_json.h"
#include "model/stream.h"
#include <math.h>
#include <stdio.h>
#include <string.h>

/* What its subscribers saw: a letter for each, and the number of the sample. */
struct bench {
	struct series_set *set;
	struct stream *stream;
	const struct series *series;
	char seen[8192];
	uint64_t n_lost, n_seen;
	/* What the one that answers is to do. */
	unsigned answers;
	uint64_t stop_at, next;
	struct stream_subscription *a, *b, *added;
};

static void count_loss(uint32_t device, void *userdata)
{
	struct bench *bench = userdata;

	assert_int_equal(device, bench->series->device->number);
	bench->n_lost++;
}

static void setup(struct bench *bench)
{
	*bench = (struct bench){.set = series_set_new()};
	bench->stream = stream_new(count_loss, bench);
	bench->series =
		series_intern(bench->set, series_device_intern(bench->set, "d", "l", NULL, 0), "p", NULL, HAY_UINT32);
}

static void teardown(struct bench *bench)
{
	stream_free(bench->stream);
	series_set_free(bench->set);
}

static void publish(struct bench *bench, uint64_t number)
{
	struct sample_reading reading = {.value.u = number};

	stream_publish(bench->stream, bench->series->device, number, &bench->series, &reading, 1);
}

static void see(struct bench *bench, char who, const struct stream_sample *sample)
{
	size_t used = strlen(bench->seen);

	assert_int_equal(sample->n_readings, 1);
	assert_ptr_equal(sample->series[0], bench->series);
	assert_ptr_equal(sample->device, bench->series->device);
	assert_int_equal(sample->readings[0].value.u, sample->sample->time_us);
	snprintf(bench->seen + used, sizeof(bench->seen) - used, "%c%u ", who, (unsigned)sample->sample->time_us);
}

static void see_a(const struct stream_sample *sample, void *userdata)
{
	see(userdata, 'a', sample);
}

static void see_b(const struct stream_sample *sample, void *userdata)
{
	see(userdata, 'b', sample);
}

/* Answers samples below stop_at; looks at its own sample again afterwards: it must still be the same. */
static void answer(const struct stream_sample *sample, void *userdata)
{
	struct bench *bench = userdata;
	uint64_t number = sample->sample->time_us;

	bench->n_seen++;
	for (unsigned i = 0; number < bench->stop_at && i < bench->answers; i++)
		publish(bench, bench->next++);
	assert_int_equal(sample->sample->time_us, number);
	assert_int_equal(sample->readings[0].value.u, number);
}

static void every_subscriber_is_given_every_sample_in_the_order_of_subscription(void **state _unused_)
{
	struct bench bench;

	setup(&bench);
	publish(&bench, 1);
	assert_non_null(stream_subscribe(bench.stream, see_b, &bench));
	publish(&bench, 2);
	bench.a = stream_subscribe(bench.stream, see_a, &bench);
	publish(&bench, 3);
	bench.a = stream_unsubscribe(bench.a);
	assert_null(bench.a);
	publish(&bench, 4);
	bench.a = stream_subscribe(bench.stream, see_a, &bench);
	publish(&bench, 5);
	assert_string_equal(bench.seen, "b2 b3 a3 b4 b5 a5 ");
	teardown(&bench);
}

/* The one asked last would have been given the answer before what it answers. */
static void what_a_subscriber_publishes_comes_after_the_round(void **state _unused_)
{
	struct bench bench;

	setup(&bench);
	bench.answers = 2;
	bench.stop_at = 12;
	bench.next = 11;
	assert_non_null(stream_subscribe(bench.stream, see_a, &bench));
	assert_non_null(stream_subscribe(bench.stream, answer, &bench));
	assert_non_null(stream_subscribe(bench.stream, see_b, &bench));
	publish(&bench, 1);
	assert_string_equal(bench.seen, "a1 b1 a11 b11 a12 b12 a13 b13 a14 b14 ");
	publish(&bench, 99);
	assert_string_equal(bench.seen + strlen("a1 b1 a11 b11 a12 b12 a13 b13 a14 b14 "), "a99 b99 ");
	assert_int_equal(bench.n_lost, 0);
	teardown(&bench);
}

/* Two computed points that feed each other would never end, and hold up everything else. */
static void answers_to_answers_come_to_an_end_and_are_counted(void **state _unused_)
{
	struct bench bench;

	setup(&bench);
	bench.answers = 1;
	bench.stop_at = UINT64_MAX;
	bench.next = 2;
	assert_non_null(stream_subscribe(bench.stream, answer, &bench));
	publish(&bench, 1);
	assert_int_equal(bench.n_seen, 1 + STREAM_DEPTH_MAX);
	assert_int_equal(bench.n_lost, 1);

	/* The next from outside is none of it. */
	publish(&bench, 0);
	assert_int_equal(bench.n_seen, 2 * (1 + STREAM_DEPTH_MAX));
	assert_int_equal(bench.n_lost, 2);
	teardown(&bench);
}

static void what_waits_is_bounded_and_the_rest_is_counted(void **state _unused_)
{
	struct bench bench;

	setup(&bench);
	bench.answers = STREAM_WAITING_MAX + 7;
	bench.stop_at = 2;
	bench.next = 2;
	assert_non_null(stream_subscribe(bench.stream, answer, &bench));
	publish(&bench, 1);
	assert_int_equal(bench.n_seen, 1 + STREAM_WAITING_MAX);
	assert_int_equal(bench.n_lost, 7);
	teardown(&bench);
}

/* Unsubscribes itself and the one behind it, and adds one. */
static void end_and_add(const struct stream_sample *sample, void *userdata)
{
	struct bench *bench = userdata;

	see(bench, 'e', sample);
	bench->a = stream_unsubscribe(bench->a);
	bench->b = stream_unsubscribe(bench->b);
	bench->added = stream_subscribe(bench->stream, see_a, bench);
	publish(bench, 2);
}

static void subscriptions_change_within_a_callback(void **state _unused_)
{
	struct bench bench;

	setup(&bench);
	bench.a = stream_subscribe(bench.stream, end_and_add, &bench);
	bench.b = stream_subscribe(bench.stream, see_b, &bench);
	publish(&bench, 1);
	assert_string_equal(bench.seen, "e1 a2 ");
	publish(&bench, 3);
	assert_string_equal(bench.seen, "e1 a2 a3 ");
	teardown(&bench);
}

/* ---- decoded and encoded are the same ---- */

static void compare(const struct stream_sample *sample, void *userdata)
{
	struct bench *bench = userdata;
	struct sample_cursor cursor;
	struct sample_reading blob;
	size_t n = 0;

	assert_int_equal(sample_begin(sample->sample, &cursor), 0);
	for (; sample_next(&cursor, &blob) > 0; n++) {
		const struct sample_reading *reading = &sample->readings[n];

		assert_int_equal(reading->series, blob.series);
		assert_int_equal(reading->quality, blob.quality);
		assert_int_equal(reading->reason, blob.reason);
		assert_int_equal(reading->exception_size, blob.exception_size);
		if (blob.exception_size > 0)
			assert_memory_equal(reading->exception, blob.exception, blob.exception_size);
		assert_int_equal(reading->value.type, blob.value.type);
		if (blob.value.type == HAY_FLOAT64)
			assert_true(reading->value.d == blob.value.d);
		else if (blob.value.type < HAY_STRING)
			assert_true(reading->value.u == blob.value.u);
		else
			assert_int_equal(reading->value.s.size, blob.value.s.size);
		if (blob.value.type >= HAY_STRING && blob.value.s.size > 0)
			assert_memory_equal(reading->value.s.data, blob.value.s.data, blob.value.s.size);
	}
	assert_int_equal(n, sample->n_readings);

	/* And they are told the same. */
	_cleanup_buf_ struct buf from_blob = {0}, from_decoded = {0}, scratch = {0};
	struct stamped_sample stamped = {.sample = sample->sample, .seq = 5, .ts_ms = 7};

	json_stream_sample(&from_decoded, &scratch, sample, &stamped);
	assert_int_equal(json_sample(&from_blob, &scratch, bench->set, &stamped), 0);
	assert_string_equal(buf_text(&from_decoded), buf_text(&from_blob));
	bench->n_seen++;
}

/* What publishers leave in a reading that is bad, or good, goes neither up nor to other subscribers. */
static void the_decoded_sample_is_what_the_encoded_one_says(void **state _unused_)
{
	static char long_name[300];
	struct bench bench;

	memset(long_name, 'x', sizeof(long_name));
	const struct sample_reading readings[] = {
		{.value = {.type = HAY_BOOL, .b = true}},
		{.value = {.type = HAY_INT16, .i = -5}},
		{.value = {.type = HAY_UINT64, .u = UINT64_MAX},
		 .reason = HAY_TIMEOUT,
		 .exception = "x",
		 .exception_size = 1},
		{.value = {.type = HAY_FLOAT64, .d = 0.1}, .quality = HAY_UNCERTAIN, .reason = HAY_OUT_OF_RANGE},
		{.value = {.type = HAY_FLOAT64, .d = INFINITY}},
		{.value = {.type = HAY_STRING, .s = {"text", 4}}},
		{.value = {.type = HAY_STRING, .s = {"", 0}}},
		{.value = {.type = HAY_BYTES, .s = {"\0\1", 2}}},
		{.value = {.type = HAY_STRING, .s = {"junk", 4}}, .quality = HAY_BAD, .reason = HAY_OFFLINE},
		{.value = {.type = HAY_UINT32, .u = 7},
		 .quality = HAY_BAD,
		 .reason = HAY_TIMEOUT,
		 .exception = "no",
		 .exception_size = 2},
		{.value = {.type = HAY_INT32},
		 .quality = HAY_BAD,
		 .reason = HAY_EXCEPTION,
		 .exception = "illegal address",
		 .exception_size = 15},
		{.value = {.type = HAY_STRING, .s = {"both", 4}},
		 .quality = HAY_UNCERTAIN,
		 .reason = HAY_EXCEPTION,
		 .exception = long_name,
		 .exception_size = sizeof(long_name)},
	};
	const struct series *series[ELEMENTS(readings)];

	setup(&bench);
	for (size_t i = 0; i < ELEMENTS(readings); i++) {
		char point[8];

		snprintf(point, sizeof(point), "p%zu", i);
		series[i] = series_intern(bench.set, bench.series->device, point, NULL, readings[i].value.type);
	}
	assert_non_null(stream_subscribe(bench.stream, compare, &bench));
	stream_publish(bench.stream, bench.series->device, 1, series, readings, ELEMENTS(readings));
	assert_int_equal(bench.n_seen, 1);
	assert_int_equal(bench.n_lost, 0);
	teardown(&bench);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_subscriber_is_given_every_sample_in_the_order_of_subscription),
		cmocka_unit_test(what_a_subscriber_publishes_comes_after_the_round),
		cmocka_unit_test(answers_to_answers_come_to_an_end_and_are_counted),
		cmocka_unit_test(what_waits_is_bounded_and_the_rest_is_counted),
		cmocka_unit_test(subscriptions_change_within_a_callback),
		cmocka_unit_test(the_decoded_sample_is_what_the_encoded_one_says),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
