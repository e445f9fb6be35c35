/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The pause between requests: some inverters want 50 ms, and gateways to serial lines lose what comes too soon. `gap` and
 * `unit_gap` did nothing on a tcp:// link, where users look for them, and no word said so.
 */
#include "../fake_host.h"
#include "slave.h"

extern const struct hay_plugin hay_plugin;

enum { GAP_US = 20000, UNIT_GAP_US = 60000 };

struct rig {
	struct slave slave;
	struct fake_host *host;
	struct hay_link *link;
	struct hay_device *device, *neighbour; /* units 7 and 8 */
};

/* Two registers that one request cannot bring, and one to write. */
static struct hay_device *add_device(struct rig *rig, const char *name, const char *unit)
{
	struct hay_device *device = fake_device(rig->link, name, "unit", unit, NULL);

	assert_non_null(device);
	assert_non_null(fake_point(device, "a", NULL, 0, "holding", "10", NULL));
	assert_non_null(fake_point(device, "b", NULL, 0, "holding", "200", NULL));
	assert_non_null(fake_point(device, "c", NULL, HAY_POINT_WRITABLE, "holding", "10", NULL));
	return device;
}

static void rig_open(struct rig *rig, enum framing framing, const char *gap, const char *unit_gap)
{
	slave_start_tcp(&rig->slave, framing);
	rig->host = fake_host_new(&hay_plugin, FAKE_THREAD);
	rig->link = unit_gap ? fake_link(rig->host, "bus", "url", rig->slave.where, "gap", gap, "unit_gap", unit_gap,
					 "timeout", "10s", NULL)
			     : fake_link(rig->host, "bus", "url", rig->slave.where, "gap", gap, "timeout", "10s", NULL);
	assert_non_null(rig->link);
	rig->device = add_device(rig, "meter", "7");
	rig->neighbour = add_device(rig, "neighbour", "8");
	assert_int_equal(fake_open(rig->link), 0);
	assert_int_equal(fake_start(rig->device), 0);
	assert_int_equal(fake_start(rig->neighbour), 0);
}

static void rig_done(struct rig *rig)
{
	fake_host_free(rig->host);
	slave_stop(&rig->slave);
}

static void poll_device(struct rig *rig, struct hay_device *device)
{
	assert_int_equal(fake_poll(device), 0);
	assert_int_equal(fake_wait(rig->host, FAKE_ROUND_DONE)->result, HAY_OK);
}

static void write_device(struct rig *rig, struct hay_device *device)
{
	const struct hay_value value = {.type = HAY_UINT16, .u = 7};
	struct hay_command *command;

	assert_int_equal(fake_write(device, 2, value, &command), 0);
	assert_int_equal(fake_wait(rig->host, FAKE_COMMAND_DONE)->outcome, HAY_WRITTEN);
}

/* From the end of each answer to the next request, as the slave saw it. */
static void expect_gaps(const struct rig *rig, unsigned n, uint64_t gap_us, uint64_t unit_gap_us)
{
	unsigned between_units = 0;

	assert_int_equal(rig->slave.n_requests, n);
	for (unsigned i = 1; i < n; i++) {
		bool other = rig->slave.asked[i].unit != rig->slave.asked[i - 1].unit;
		uint64_t least = other ? unit_gap_us : gap_us;
		uint64_t gap = rig->slave.asked[i].at_us - rig->slave.asked[i - 1].said_us;

		between_units += other;
		if (gap < least)
			fail_msg("request %u came %llu us after the answer before it, and not %llu", i,
				 (unsigned long long)gap, (unsigned long long)least);
	}
	assert_true(between_units > 0 && between_units < n - 1);
}

static void read_and_write(enum framing framing)
{
	struct rig rig = {0};

	rig_open(&rig, framing, "20ms", "60ms");
	poll_device(&rig, rig.device);
	poll_device(&rig, rig.neighbour);
	write_device(&rig, rig.neighbour);
	write_device(&rig, rig.device);
	/* Two requests for each: the write and what is read of it. */
	expect_gaps(&rig, 8, GAP_US, UNIT_GAP_US);
	rig_done(&rig);
}

static void test_over_tcp(void **state)
{
	(void)state;
	read_and_write(FRAMING_TCP);
}

static void test_rtu_over_tcp(void **state)
{
	(void)state;
	read_and_write(FRAMING_RTU);
}

static void test_another_unit_waits_as_long_by_default(void **state)
{
	struct rig rig = {0};

	(void)state;
	rig_open(&rig, FRAMING_TCP, "20ms", NULL);
	poll_device(&rig, rig.device);
	poll_device(&rig, rig.neighbour);
	expect_gaps(&rig, 4, GAP_US, GAP_US);
	rig_done(&rig);
}

/* The pause is the gateway's, not the connection's: one that closes after each answer gets it too. */
static void test_over_new_connections(void **state)
{
	static const uint16_t acts[] = {ACT_ANSWER_CLOSE};
	struct rig rig = {.slave = {.acts = acts, .n_acts = 1}};

	(void)state;
	rig_open(&rig, FRAMING_TCP, "20ms", "60ms");
	poll_device(&rig, rig.device);
	poll_device(&rig, rig.neighbour);
	expect_gaps(&rig, 4, GAP_US, UNIT_GAP_US);
	assert_true(rig.slave.n_closed >= 3);
	rig_done(&rig);
}

/* A late answer is late in this, too: the pause counts from its end. */
static void test_counts_from_the_end_of_the_answer(void **state)
{
	static const uint16_t acts[] = {ACT_LATE};
	struct rig rig = {.slave = {.acts = acts, .n_acts = 1, .late_us = 3 * GAP_US}};

	(void)state;
	rig_open(&rig, FRAMING_TCP, "20ms", "60ms");
	poll_device(&rig, rig.device);
	poll_device(&rig, rig.neighbour);
	expect_gaps(&rig, 4, GAP_US, UNIT_GAP_US);
	rig_done(&rig);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_over_tcp),
		cmocka_unit_test(test_rtu_over_tcp),
		cmocka_unit_test(test_another_unit_waits_as_long_by_default),
		cmocka_unit_test(test_over_new_connections),
		cmocka_unit_test(test_counts_from_the_end_of_the_answer),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
