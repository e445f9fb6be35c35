/* SPDX-License-Identifier: Apache-2.0 */
/* One request of a round that fails, however it does, costs neither the others nor the device. */
#include "../fake_host.h"
#include "slave.h"

extern const struct hay_plugin hay_plugin;

enum { POINTS_MAX = 40 };

struct rig {
	struct slave slave;
	struct fake_host *host;
	struct hay_link *link;
	struct hay_device *device;
	unsigned addresses[POINTS_MAX];
	unsigned n;
};

static void add_points(struct rig *rig, const unsigned *addresses, unsigned n)
{
	for (unsigned i = 0; i < n; i++) {
		char name[16], address[8];

		snprintf(name, sizeof(name), "p%u", addresses[i]);
		snprintf(address, sizeof(address), "%u", addresses[i]);
		assert_non_null(fake_point(rig->device, name, NULL, 0, "holding", address, NULL));
		rig->addresses[rig->n++] = addresses[i];
	}
}

static void rig_start(struct rig *rig, const char *retries, const unsigned *addresses, unsigned n)
{
	slave_start_tcp(&rig->slave, FRAMING_TCP);
	rig->host = fake_host_new(&hay_plugin, FAKE_THREAD);
	rig->link = retries ? fake_link(rig->host, "bus", "url", rig->slave.where, "timeout", "100ms", "retries",
					retries, NULL)
			    : fake_link(rig->host, "bus", "url", rig->slave.where, "timeout", "100ms", NULL);
	rig->device = fake_device(rig->link, "dev", "unit", "1", NULL);
	add_points(rig, addresses, n);
	assert_int_equal(fake_open(rig->link), 0);
	assert_int_equal(fake_start(rig->device), 0);
}

#define RIG(rig, retries, ...)                                                                                         \
	static const unsigned addresses[] = {__VA_ARGS__};                                                             \
	struct rig rig = {0};                                                                                          \
	rig_start(&rig, retries, addresses, sizeof(addresses) / sizeof(addresses[0]))

static void rig_done(struct rig *rig)
{
	fake_host_free(rig->host);
	slave_stop(&rig->slave);
}

static const struct fake_event *poll_all(struct rig *rig)
{
	assert_int_equal(fake_poll(rig->device), 0);
	return fake_wait(rig->host, FAKE_ROUND_DONE);
}

/* How many points of a round have no value; those that have one have their own. */
static unsigned count_bad(const struct rig *rig, const struct fake_event *done)
{
	unsigned n = 0;

	assert_int_equal(done->sample.n_readings, rig->n);
	for (unsigned i = 0; i < rig->n; i++) {
		const struct hay_reading *reading = fake_reading(done, i);

		if (reading->quality == HAY_BAD)
			n++;
		else
			assert_int_equal(reading->value.u, rig->addresses[i]);
	}
	return n;
}

static unsigned count_lines(struct rig *rig, const char *part)
{
	const struct fake_event *line;
	unsigned n = 0;

	while ((line = fake_take(rig->host, FAKE_LOG)))
		n += strstr(line->text, part) != NULL;
	return n;
}

/* A device that does not answer, or answers wrongly, for one register of five: that took all of them, for good. */
static void test_one_bad_register_takes_nothing_else(void **state)
{
	static const uint16_t faults[] = {ACT_SILENT,	      ACT_OTHER_UNIT,	  ACT_CUT,
					  ACT_EXCEPTION + 10, ACT_EXCEPTION + 11, ACT_EXCEPTION + 4};
	static const unsigned places[] = {10, 30, 50};

	(void)state;
	for (size_t i = 0; i < sizeof(faults) / sizeof(faults[0]); i++)
		for (size_t k = 0; k < 3; k++) {
			RIG(rig, NULL, 10, 20, 30, 40, 50);
			rig.slave.faults[places[k]] = faults[i];
			for (unsigned round = 0; round < 6; round++) {
				const struct fake_event *done = poll_all(&rig);

				assert_int_equal(done->result, HAY_OK);
				assert_int_equal(count_bad(&rig, done), 1);
				assert_int_equal(fake_reading(done, (uint32_t)k * 2)->quality, HAY_BAD);
			}
			/* What was never answered is asked less often than each round, and that is said once. */
			if (faults[i] != ACT_EXCEPTION + 4) {
				assert_true(rig.slave.n_reads[places[k]] < 6);
				assert_int_equal(count_lines(&rig, "while others are answered"), 1);
			}
			rig_done(&rig);
		}
}

static void poll_until(struct rig *rig, unsigned n_bad)
{
	uint64_t deadline = slave_now() + 60000000;

	while (count_bad(rig, poll_all(rig)) != n_bad)
		assert_true(slave_now() < deadline);
}

/* It comes back by itself. */
static void test_a_silent_register_that_answers_again(void **state)
{
	(void)state;
	RIG(rig, NULL, 10, 20, 30);
	rig.slave.faults[20] = ACT_SILENT;
	for (unsigned round = 0; round < 4; round++)
		assert_int_equal(count_bad(&rig, poll_all(&rig)), 1);
	rig.slave.faults[20] = 0;
	poll_until(&rig, 0);
	rig_done(&rig);
}

/* The device was away, and is back: its silent register must not hide that. */
static void test_a_device_with_a_silent_register_comes_back(void **state)
{
	(void)state;
	RIG(rig, NULL, 10, 20, 30);
	rig.slave.faults[10] = ACT_SILENT;
	for (unsigned round = 0; round < 3; round++)
		assert_int_equal(poll_all(&rig)->result, HAY_OK);
	rig.slave.fault = ACT_SILENT;
	for (unsigned round = 0; round < 12; round++) {
		unsigned before = rig.slave.n_requests;

		assert_int_equal(poll_all(&rig)->result, HAY_FAILED);
		/* An absent device costs one time-out for each probe. */
		if (round > 0)
			assert_int_equal(rig.slave.n_requests, before + 1);
	}
	rig.slave.fault = 0;
	/* The first probe brings all values but the one. */
	assert_int_equal(count_bad(&rig, poll_all(&rig)), 1);
	rig_done(&rig);
}

/* While it was away most of its registers have become silent ones, the first of them, too. */
static void test_a_device_comes_back_with_other_registers(void **state)
{
	unsigned probes = 0;

	(void)state;
	RIG(rig, NULL, 10, 20, 30, 40, 50, 60);
	assert_int_equal(count_bad(&rig, poll_all(&rig)), 0);
	rig.slave.fault = ACT_SILENT;
	for (unsigned round = 0; round < 3; round++)
		assert_int_equal(poll_all(&rig)->result, HAY_FAILED);
	for (unsigned i = 1; i < 6; i++)
		rig.slave.faults[i * 10] = ACT_SILENT;
	rig.slave.fault = 0;
	while (poll_all(&rig)->result != HAY_OK)
		assert_true(++probes <= 12);
	rig_done(&rig);
}

/* Known silent registers are all that is left of it. */
static void test_a_device_of_which_only_the_silent_register_answers(void **state)
{
	unsigned probes = 0;

	(void)state;
	RIG(rig, "0", 10, 20, 30);
	rig.slave.faults[10] = ACT_SILENT;
	for (unsigned round = 0; round < 3; round++)
		assert_int_equal(poll_all(&rig)->result, HAY_OK);
	rig.slave.faults[10] = 0;
	rig.slave.faults[20] = rig.slave.faults[30] = ACT_SILENT;
	while (poll_all(&rig)->result != HAY_OK)
		assert_true(++probes <= 40);
	rig_done(&rig);
}

/* Silent registers in one block with good ones: nothing but the whole block is asked at first. */
static void test_a_silent_register_in_a_block(void **state)
{
	(void)state;
	for (unsigned bad = 10; bad < 18; bad += 3) {
		unsigned before, learning;

		RIG(rig, NULL, 10, 11, 12, 13, 14, 15, 16, 17);
		rig.slave.faults[bad] = ACT_SILENT;
		poll_until(&rig, 1);
		learning = rig.slave.n_reads[bad];
		for (unsigned i = 0; i < 4; i++)
			assert_int_equal(count_bad(&rig, poll_all(&rig)), 1);
		assert_true(rig.slave.n_reads[bad] <= learning + 2);
		/* It took a few time-outs, and takes fewer after a restart. */
		assert_true(learning <= 10);
		before = rig.slave.n_reads[bad];
		fake_stop(rig.device);
		assert_int_equal(fake_start(rig.device), 0);
		poll_until(&rig, 1);
		assert_in_range(rig.slave.n_reads[bad] - before, 1, learning < 6 ? learning : 6);
		rig_done(&rig);
	}
}

/* A device that is gone in the middle of a round: what it said is delivered, and the rest is not waited for. */
static void test_gone_in_the_middle(void **state)
{
	static const uint16_t acts[] = {ACT_ANSWER, ACT_ANSWER, ACT_SILENT};
	const struct fake_event *done;
	struct rig rig = {.slave = {.acts = acts, .n_acts = 3}};
	static const unsigned addresses[] = {10, 20, 30, 40, 50, 60, 70, 80};

	(void)state;
	rig_start(&rig, "0", addresses, 8);
	done = poll_all(&rig);
	assert_int_equal(done->result, HAY_OK);
	assert_int_equal(count_bad(&rig, done), 6);
	assert_int_equal(rig.slave.n_requests, 4);
	assert_int_equal(poll_all(&rig)->result, HAY_FAILED);
	assert_int_equal(poll_all(&rig)->result, HAY_FAILED);
	rig_done(&rig);
}

static const struct fake_event *poll_some(struct rig *rig, const uint32_t *points, size_t n)
{
	assert_int_equal(fake_poll_some(rig->device, points, n), 0);
	return fake_wait(rig->host, FAKE_ROUND_DONE);
}

/* A silent register with a period of its own: that it is not asked, or stays silent, says nothing about the device. */
static void test_a_silent_register_that_is_due_alone(void **state)
{
	static const uint32_t alone[] = {1};
	const struct fake_event *done;
	unsigned n_asked = 0;

	(void)state;
	RIG(rig, NULL, 10, 20);
	rig.slave.faults[20] = ACT_SILENT;
	assert_int_equal(poll_all(&rig)->result, HAY_OK);
	for (unsigned i = 0; i < 5; i++) {
		unsigned before = rig.slave.n_reads[20];

		done = poll_some(&rig, alone, 1);
		/* Where it is asked, the other register shows that the device is there; it was not due, and is not told. */
		n_asked += rig.slave.n_reads[20] - before;
		assert_int_equal(done->result, rig.slave.n_reads[20] > before ? HAY_OK : HAY_SKIPPED);
		assert_int_equal(done->sample.n_readings, 1);
		assert_int_equal(fake_reading(done, 1)->reason, HAY_TIMEOUT);
	}
	assert_true(rig.slave.n_reads[20] <= 4);
	assert_int_equal(rig.slave.n_reads[10], 1 + n_asked);
	rig_done(&rig);
}

/*
 * A device that died between two rounds: of what it was asked every few seconds it had never answered a thing, the rest was
 * due once an hour, and for that long it counted as online.
 */
static void test_a_device_that_dies_while_only_silent_registers_are_due(void **state)
{
	static const uint32_t quiet[] = {1, 3};
	uint64_t deadline = slave_now() + 60000000;
	enum hay_result result;
	unsigned before;

	(void)state;
	RIG(rig, "0", 10, 30, 50, 70);
	rig.slave.faults[30] = rig.slave.faults[70] = ACT_SILENT;
	assert_int_equal(poll_all(&rig)->result, HAY_OK);
	assert_int_equal(poll_some(&rig, quiet, 2)->result, HAY_OK);
	rig.slave.fault = ACT_SILENT;
	before = rig.slave.n_requests;
	while ((result = poll_some(&rig, quiet, 2)->result) == HAY_SKIPPED)
		assert_true(slave_now() < deadline);
	/* The host takes it for absent after two such rounds: they follow each other, and each costs one time-out. */
	assert_int_equal(result, HAY_FAILED);
	assert_true(rig.slave.n_requests <= before + 1);
	assert_int_equal(poll_some(&rig, quiet, 2)->result, HAY_FAILED);
	assert_true(rig.slave.n_requests <= before + 2);
	rig_done(&rig);
}

/* That one of the other registers has become silent as well does not make the device absent. */
static void test_a_witness_that_has_become_silent(void **state)
{
	static const uint32_t quiet[] = {1};
	unsigned n_failed = 0, n_good = 0;

	(void)state;
	RIG(rig, "0", 10, 30, 50);
	rig.slave.faults[30] = ACT_SILENT;
	assert_int_equal(poll_all(&rig)->result, HAY_OK);
	rig.slave.faults[10] = ACT_SILENT;
	while (n_good < 2) {
		enum hay_result result = poll_some(&rig, quiet, 1)->result;

		n_failed = result == HAY_FAILED ? n_failed + 1 : result == HAY_OK ? 0 : n_failed;
		n_good += result == HAY_OK;
		assert_true(n_failed < 2);
	}
	rig_done(&rig);
}

/* "Ask again": the exceptions acknowledge and server device busy. */
static void test_busy(void **state)
{
	static const uint16_t acts[] = {ACT_EXCEPTION + 6, ACT_ANSWER,	      ACT_EXCEPTION + 5,
					ACT_ANSWER,	   ACT_EXCEPTION + 6, ACT_EXCEPTION + 6};
	static const unsigned addresses[] = {10};
	struct rig rig = {.slave = {.acts = acts, .n_acts = 6}};
	const struct fake_event *done;

	(void)state;
	rig_start(&rig, NULL, addresses, 1);
	assert_int_equal(count_bad(&rig, poll_all(&rig)), 0);
	/* Not at once: it said that it is busy. */
	assert_true(rig.slave.asked[1].at_us - rig.slave.asked[0].at_us >= 90000);
	assert_int_equal(count_bad(&rig, poll_all(&rig)), 0);
	done = poll_all(&rig);
	assert_int_equal(done->result, HAY_OK);
	assert_string_equal(fake_reading(done, 0)->exception, "server device busy");
	assert_int_equal(rig.slave.n_requests, 6);
	/* Stopped while it waits to ask again. */
	assert_int_equal(fake_poll(rig.device), 0);
	while (rig.slave.n_requests < 7)
		usleep(1000);
	rig_done(&rig);
}

/* Interference on a line: a wrong checksum is asked for again, without a word in the configuration. */
static void test_a_wrong_checksum_costs_no_reading(void **state)
{
	static const uint16_t acts[] = {ACT_ANSWER, ACT_WRONG_CRC, ACT_ANSWER, ACT_ANSWER};
	static const unsigned addresses[] = {10, 20, 30};
	struct rig rig = {.slave = {.acts = acts, .n_acts = 4}};

	(void)state;
	slave_start_line(&rig.slave);
	rig.host = fake_host_new(&hay_plugin, FAKE_THREAD);
	rig.link = fake_link(rig.host, "bus", "port", rig.slave.where, "timeout", "100ms", "baud", "115200", NULL);
	rig.device = fake_device(rig.link, "dev", "unit", "1", NULL);
	add_points(&rig, addresses, 3);
	assert_int_equal(fake_open(rig.link), 0);
	assert_int_equal(fake_start(rig.device), 0);
	assert_int_equal(count_bad(&rig, poll_all(&rig)), 0);
	assert_int_equal(rig.slave.n_requests, 4);
	rig_done(&rig);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_one_bad_register_takes_nothing_else),
		cmocka_unit_test(test_a_silent_register_that_answers_again),
		cmocka_unit_test(test_a_device_with_a_silent_register_comes_back),
		cmocka_unit_test(test_a_device_comes_back_with_other_registers),
		cmocka_unit_test(test_a_device_of_which_only_the_silent_register_answers),
		cmocka_unit_test(test_a_silent_register_in_a_block),
		cmocka_unit_test(test_gone_in_the_middle),
		cmocka_unit_test(test_a_silent_register_that_is_due_alone),
		cmocka_unit_test(test_a_device_that_dies_while_only_silent_registers_are_due),
		cmocka_unit_test(test_a_witness_that_has_become_silent),
		cmocka_unit_test(test_busy),
		cmocka_unit_test(test_a_wrong_checksum_costs_no_reading),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
