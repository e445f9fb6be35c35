/* SPDX-License-Identifier: Apache-2.0 */
/* What is learnt of a device that refuses to be read across its holes, and when that is forgotten. */
#include "../fake_host.h"
#include "slave.h"

extern const struct hay_plugin hay_plugin;

enum { POINTS_MAX = 120 };

#define MINUTE_US UINT64_C(60000000)

struct rig {
	struct slave slave;
	struct fake_host *host;
	struct hay_link *link;
	struct hay_device *device;
	unsigned first, step, n;
};

/* n points, step registers apart; period: of the device, as written. Time stands still but for fake_advance(). */
static void rig_add_device(struct rig *rig, const char *name, const char *max_registers)
{
	rig->device = fake_device(rig->link, name, "unit", "1", "max_hole", rig->step > 1 ? "10" : "0", "max_registers",
				  max_registers, NULL);
	for (unsigned i = 0; i < rig->n; i++) {
		char point[16], address[16];

		snprintf(point, sizeof(point), "p%u", i);
		snprintf(address, sizeof(address), "%u", rig->first + i * rig->step);
		assert_non_null(fake_point(rig->device, point, NULL, 0, "holding", address, NULL));
	}
	assert_int_equal(fake_start(rig->device), 0);
}

static void rig_open(struct rig *rig)
{
	slave_start_tcp(&rig->slave, FRAMING_TCP);
	rig->host = fake_host_new(&hay_plugin, FAKE_INLINE);
	fake_stop_time(rig->host);
	rig->link = fake_link(rig->host, "panel", "url", rig->slave.where, "retries", "0", NULL);
	assert_int_equal(fake_open(rig->link), 0);
	rig_add_device(rig, "plc", "125");
}

static void rig_done(struct rig *rig)
{
	fake_host_free(rig->host);
	slave_stop(&rig->slave);
}

/* A round, and how many requests it took. Every point has its value, but for those that the slave refuses. */
static unsigned poll_all(struct rig *rig)
{
	unsigned before = rig->slave.n_requests;
	const struct fake_event *done;

	assert_int_equal(fake_poll(rig->device), 0);
	done = fake_wait(rig->host, FAKE_ROUND_DONE);
	assert_int_equal(done->result, HAY_OK);
	assert_int_equal(done->sample.n_readings, rig->n);
	for (unsigned i = 0; i < rig->n; i++) {
		unsigned address = rig->first + i * rig->step;

		if (rig->slave.refused[address] || rig->slave.fault) {
			assert_string_equal(fake_reading(done, i)->exception, "illegal data address");
			continue;
		}
		assert_int_equal(fake_reading(done, i)->quality, HAY_GOOD);
		assert_int_equal(fake_reading(done, i)->value.u, address);
	}
	return rig->slave.n_requests - before;
}

/* The number of requests once nothing more is tested. */
static unsigned poll_until_steady(struct rig *rig)
{
	unsigned now = poll_all(rig);

	for (unsigned same = 0, last; same < 3; same = now == last ? same + 1 : 0) {
		last = now;
		now = poll_all(rig);
	}
	return now;
}

static void restart(struct rig *rig)
{
	fake_stop(rig->device);
	assert_int_equal(fake_start(rig->device), 0);
}

static void learn(unsigned refused, unsigned wanted)
{
	struct rig rig = {.first = 100, .step = 4, .n = 6};
	unsigned steady;

	rig.slave.refused[refused] = true;
	rig_open(&rig);
	/* The very first round brings all values: what was refused is asked again in pieces. */
	poll_all(&rig);
	steady = poll_until_steady(&rig);
	assert_int_equal(steady, wanted);
	/* After a restart nothing is learnt anew. */
	restart(&rig);
	assert_int_equal(poll_all(&rig), steady);
	assert_int_equal(poll_all(&rig), steady);
	/* Now and then it is tested, at the cost of one refused request for each cut, and less and less often. */
	for (unsigned hour = 0, spent = 0; hour < 24; hour++, spent = 0) {
		for (unsigned minute = 0; minute < 60; minute++) {
			fake_advance(rig.host, MINUTE_US);
			spent += poll_all(&rig) - steady;
		}
		assert_true(spent <= (hour ? 4 : 20));
	}
	rig_done(&rig);
}

/* Two pieces, and not more, however they were found. */
static void test_learns_a_hole(void **state)
{
	(void)state;
	for (unsigned i = 0; i < 5; i++)
		learn(102 + i * 4, 2);
}

/* A point that is not there spoils no other. */
static void test_learns_a_missing_point(void **state)
{
	(void)state;
	for (unsigned i = 0; i < 6; i++)
		learn(100 + i * 4, i == 0 || i == 5 ? 2 : 3);
}

/* Several, at the beginning: what is refused one by one must not be taken for a device that refuses everything. */
static void test_missing_points_side_by_side(void **state)
{
	struct rig rig = {.first = 0, .step = 1, .n = 100};

	(void)state;
	for (unsigned i = 0; i < 7; i++)
		rig.slave.refused[i] = rig.slave.refused[50 + i] = true;
	rig_open(&rig);
	for (unsigned round = 0; round < 20; round++)
		poll_all(&rig);
	assert_true(poll_until_steady(&rig) <= 16);
	rig_done(&rig);
}

/* 2 s of "illegal data address" at a device's boot: one request a round became a hundred, for ever. */
static void test_a_device_that_refuses_everything_at_boot(void **state)
{
	struct rig rig = {.first = 0, .step = 1, .n = 100};

	(void)state;
	rig_open(&rig);
	assert_int_equal(poll_all(&rig), 1);
	rig.slave.fault = ACT_EXCEPTION + 2;
	poll_all(&rig);
	/* Nor is it asked for each register in each of these rounds. */
	for (unsigned round = 0; round < 10; round++)
		assert_true(poll_all(&rig) < 20);
	rig.slave.fault = 0;
	assert_int_equal(poll_all(&rig), 1);
	restart(&rig);
	assert_int_equal(poll_all(&rig), 1);
	rig_done(&rig);
}

/* The same while a part of it is answered: it heals a minute later at the latest, also where a restart came between. */
static void test_a_device_that_boots_in_parts(void **state)
{
	(void)state;
	for (unsigned with_restart = 0; with_restart < 2; with_restart++) {
		struct rig rig = {.first = 0, .step = 1, .n = 60};

		for (unsigned i = 20; i < 60; i++)
			rig.slave.refused[i] = true;
		rig_open(&rig);
		for (unsigned round = 0; round < 50; round++)
			poll_all(&rig);
		pthread_mutex_lock(&rig.slave.mutex);
		memset(rig.slave.refused, 0, sizeof(rig.slave.refused));
		pthread_mutex_unlock(&rig.slave.mutex);
		if (with_restart)
			restart(&rig);
		fake_advance(rig.host, 2 * MINUTE_US);
		poll_all(&rig);
		assert_int_equal(poll_until_steady(&rig), 1);
		restart(&rig);
		assert_int_equal(poll_all(&rig), 1);
		rig_done(&rig);
	}
}

/* Whoever changes the configuration of a device has it learnt anew. */
static void test_another_configuration_forgets(void **state)
{
	struct rig rig = {.first = 100, .step = 4, .n = 6};
	unsigned steady;

	(void)state;
	rig.slave.refused[110] = true;
	rig_open(&rig);
	steady = poll_until_steady(&rig);
	assert_int_equal(steady, 2);
	fake_stop(rig.device);
	rig_add_device(&rig, "plc", "124");
	assert_true(poll_all(&rig) > steady);
	rig_done(&rig);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_learns_a_hole),
		cmocka_unit_test(test_learns_a_missing_point),
		cmocka_unit_test(test_missing_points_side_by_side),
		cmocka_unit_test(test_a_device_that_refuses_everything_at_boot),
		cmocka_unit_test(test_a_device_that_boots_in_parts),
		cmocka_unit_test(test_another_configuration_forgets),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
