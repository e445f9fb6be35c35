/* SPDX-License-Identifier: Apache-2.0 */
/* The gateway's own device: what it says of the machine, the queue and the uplinks is what they say. */
#include "queue_fixture.h"

#include "builtin/self.h"
#include <math.h>

/* ---- a host that keeps the last round ---- */

static struct {
	struct hay_reading readings[64];
	size_t n;
	enum hay_result result;
	char added[4][65];
	size_t n_added;
} round_kept;

static void keep_round(struct hay_device *device _unused_, const struct hay_sample *sample, enum hay_result result,
		       enum hay_reason reason _unused_, const char *detail _unused_, uint64_t rtt_us _unused_)
{
	assert_in_range(sample->n_readings, 1, ELEMENTS(round_kept.readings));
	memcpy(round_kept.readings, sample->readings, sample->n_readings * sizeof(*sample->readings));
	round_kept.n = sample->n_readings;
	round_kept.result = result;
}

static int add_point(struct hay_device *device, const char *name, enum hay_type type, const char *unit,
		     uint32_t *ret_point)
{
	assert_int_equal(type, HAY_FLOAT64);
	assert_string_equal(unit, "ms");
	assert_true(round_kept.n_added < ELEMENTS(round_kept.added));
	snprintf(round_kept.added[round_kept.n_added], sizeof(round_kept.added[0]), "%s", name);
	*ret_point = device->n_points + (uint32_t)round_kept.n_added++;
	return 0;
}

static const struct hay_host host = {.size = sizeof(host), .round_done = keep_round, .add_point = add_point};

/* One that answered in 12.344 ms, one that did not answer yet, one that answered in 7 ms. */
static bool uplink_at(size_t i, const char **ret_name, uint64_t *ret_rtt_us, void *userdata _unused_)
{
	static const char *const names[] = {"cloud", "silent", "local"};
	static const uint64_t rtts_us[] = {12344, 0, 7000};

	if (i >= ELEMENTS(names))
		return false;
	*ret_name = names[i];
	*ret_rtt_us = rtts_us[i];
	return true;
}

struct own {
	struct fixture f;
	struct self_sources sources;
	struct plugin_set *plugins;
	struct link_conf *link_conf;
	struct device_conf *conf;
	struct hay_link link;
	struct hay_device device;
};

static int setup(void **state)
{
	static struct own own;

	memset(&own, 0, sizeof(own));
	memset(&round_kept, 0, sizeof(round_kept));
	fixture_init(&own.f);
	clock_set_trusted(true);
	fixture_open(&own.f);
	own.sources = (struct self_sources){.queue = own.f.queue, .queue_path = own.f.path, .uplink = uplink_at};
	own.plugins = plugin_set_new(NULL);
	assert_non_null(own.plugins);
	assert_int_equal(self_conf(own.plugins, &own.sources, 10 * USEC_PER_SEC, &own.link_conf, &own.conf), 0);
	own.link = (struct hay_link){.host = &host, .name = own.link_conf->name, .conf = own.link_conf->conf};
	own.device = (struct hay_device){.link = &own.link,
					 .name = own.conf->name,
					 .every_us = own.conf->every_us,
					 .n_points = (uint32_t)own.conf->n_points};
	*state = &own;
	return 0;
}

static int teardown(void **state)
{
	struct own *own = *state;

	pool_free(own->link_conf->pool);
	pool_free(own->conf->pool);
	plugin_set_free(own->plugins);
	fixture_done(&own->f);
	return 0;
}

static void poll_all(struct own *own)
{
	uint32_t due[64];

	assert_in_range(own->conf->n_points, 1, ELEMENTS(due));
	for (uint32_t i = 0; i < own->conf->n_points; i++)
		due[i] = i;
	assert_int_equal(own->link_conf->plugin->descriptor.poll(&own->device, due, own->conf->n_points), 0);
	assert_int_equal(round_kept.result, HAY_OK);
}

/* NULL: this machine does not tell it. */
static const struct hay_value *value_of(const struct own *own, const char *name)
{
	for (size_t i = 0; i < round_kept.n; i++) {
		const struct hay_reading *reading = &round_kept.readings[i];
		uint32_t point = reading->point;
		const char *is = point < own->conf->n_points ? own->conf->points[point].point.name
							     : round_kept.added[point - own->conf->n_points];

		if (strcmp(is, name) != 0)
			continue;
		assert_int_equal(reading->quality, HAY_GOOD);
		return &reading->value;
	}
	return NULL;
}

static void the_queue_is_told_as_it_is(void **state)
{
	struct own *own = *state;
	struct queue_reader *reader = open_reader(&own->f, "cloud");
	struct queue_status status;

	append_numbers(&own->f, 1, 5);
	assert_int_equal(queue_flush(own->f.queue, 10 * USEC_PER_SEC), 0);
	append_numbers(&own->f, 6, 7);
	poll_all(own);
	/* On the disk and in memory. */
	assert_int_equal(value_of(own, "queue_depth")->u, 7);
	assert_true(value_of(own, "queue_age")->d > 0);
	queue_get_status(own->f.queue, &status);
	assert_in_range(value_of(own, "bytes_written")->u, 1, status.bytes_written);
	queue_reader_ack(reader, expect_numbers(reader, 1, 7));
	assert_int_equal(queue_flush(own->f.queue, 10 * USEC_PER_SEC), 0);
	poll_all(own);
	assert_int_equal(value_of(own, "queue_depth")->u, 0);
	assert_true(value_of(own, "queue_age")->d == 0);
	queue_reader_close(reader);
}

/* An alarm on it is for the gateway that has lost its time server: it must not say yes where nobody has set the clock. */
static void the_clock_is_told_as_it_is(void **state)
{
	struct own *own = *state;

	poll_all(own);
	assert_true(value_of(own, "clock_synchronised")->b);
	clock_set_trusted(false);
	poll_all(own);
	assert_false(value_of(own, "clock_synchronised")->b);
}

/* In the units that it says: MB of a million bytes, seconds, milliseconds. */
static void what_is_told_has_the_unit_it_says(void **state)
{
	struct own *own = *state;
	const struct hay_value *uptime, *available, *own_memory, *disk;

	poll_all(own);
	uptime = value_of(own, "uptime");
	assert_true(fabs(uptime->d - (double)clock_now() / 1e6) < 60);
	available = value_of(own, "memory_available");
	assert_true(available->d > 10 && available->d < 1e8);
	own_memory = value_of(own, "memory_own");
	assert_true(own_memory->d > 0.1 && own_memory->d < available->d);
	disk = value_of(own, "disk_free");
	assert_true(disk->d > 0 && disk->d < 1e9);
}

/* One that never answered has no round trip, and takes nobody else's. */
static void each_uplink_has_its_own_round_trip(void **state)
{
	struct own *own = *state;

	poll_all(own);
	assert_int_equal(round_kept.n_added, 2);
	assert_null(value_of(own, "round_trip_silent"));
	assert_true(value_of(own, "round_trip_cloud")->d == 12.34);
	assert_true(value_of(own, "round_trip_local")->d == 7);
}

/* A reading that this machine cannot give is left out; the others keep their places. */
static void what_is_not_due_is_not_told(void **state)
{
	struct own *own = *state;
	uint32_t due = 0;

	for (uint32_t i = 0; i < own->conf->n_points; i++)
		if (strcmp(own->conf->points[i].point.name, "queue_depth") == 0)
			due = i;
	assert_int_equal(own->link_conf->plugin->descriptor.poll(&own->device, &due, 1), 0);
	assert_non_null(value_of(own, "queue_depth"));
	assert_null(value_of(own, "uptime"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(the_queue_is_told_as_it_is, setup, teardown),
		cmocka_unit_test_setup_teardown(the_clock_is_told_as_it_is, setup, teardown),
		cmocka_unit_test_setup_teardown(what_is_told_has_the_unit_it_says, setup, teardown),
		cmocka_unit_test_setup_teardown(each_uplink_has_its_own_round_trip, setup, teardown),
		cmocka_unit_test_setup_teardown(what_is_not_due_is_not_told, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
