/* SPDX-License-Identifier: Apache-2.0 */
/*
 * floor BROKER_PORT FIRST_DEVICE_PORT DEVICES PERIOD_US: the least that two good libraries cost for the same work.
 * One thread for a device, polls staggered over the period, each answer published as the same JSON with QoS 1; no
 * queue, no configuration, no checks. PERIOD_US 0: as fast as the device answers, at most 2000 messages under way.
 */
#include "bench.h"
#include <modbus.h>
#include <mosquitto.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>

static struct mosquitto *mosq;
static unsigned first_port, n_devices;
static uint64_t period_us, start_ns;
static atomic_ullong seq;
static atomic_int under_way;

static void published(struct mosquitto *m, void *userdata, int id)
{
	(void)m, (void)userdata, (void)id;
	atomic_fetch_sub(&under_way, 1);
}

static void publish(unsigned device, const uint16_t *r)
{
	char topic[64], payload[1024];
	struct timespec ts;
	uint64_t answered = 0;
	int n;

	for (int i = 0; i < 4; i++)
		answered = answered << 16 | r[BENCH_TIME_AT + i];
	clock_gettime(CLOCK_REALTIME, &ts);
	snprintf(topic, sizeof(topic), "haywain/floor/data/d%u", device);
	n = snprintf(payload, sizeof(payload),
		     "{\"device\":\"d%u\",\"ts\":%lld,\"seq\":%llu,\"values\":{\"polls\":%u,\"answered\":%llu", device,
		     (long long)ts.tv_sec * 1000 + ts.tv_nsec / 1000000, (unsigned long long)atomic_fetch_add(&seq, 1),
		     (unsigned)r[0] << 16 | r[1], (unsigned long long)answered);
	for (int i = BENCH_VALUES_AT; i < BENCH_REGISTERS; i++)
		n += snprintf(payload + n, sizeof(payload) - (size_t)n, ",\"p%d\":%u", i, r[i]);
	n += snprintf(payload + n, sizeof(payload) - (size_t)n, "}}");
	atomic_fetch_add(&under_way, 1);
	mosquitto_publish(mosq, NULL, topic, n, payload, 1, false);
}

static void *poll_device(void *argument)
{
	unsigned device = (unsigned)(uintptr_t)argument;
	modbus_t *modbus = modbus_new_tcp("127.0.0.1", (int)(first_port + device));
	uint64_t due = start_ns + period_us * 1000 * device / n_devices;
	uint16_t registers[BENCH_REGISTERS];

	modbus_set_slave(modbus, 1);
	if (modbus_connect(modbus) < 0)
		bench_die("connect");
	for (;;) {
		if (period_us) {
			struct timespec ts = {.tv_sec = (time_t)(due / 1000000000u),
					      .tv_nsec = (long)(due % 1000000000u)};

			clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &ts, NULL);
			due += period_us * 1000;
		} else {
			while (atomic_load(&under_way) > 2000)
				nanosleep(&(struct timespec){.tv_nsec = 200000}, NULL);
		}
		if (modbus_read_registers(modbus, 0, BENCH_REGISTERS, registers) == BENCH_REGISTERS)
			publish(device, registers);
	}
	return NULL;
}

int main(int argc, char **argv)
{
	pthread_attr_t attributes;
	pthread_t thread;

	if (argc < 5)
		return 2;
	first_port = (unsigned)atoi(argv[2]);
	n_devices = (unsigned)atoi(argv[3]);
	period_us = strtoull(argv[4], NULL, 10);
	mosquitto_lib_init();
	mosq = mosquitto_new("bench-floor", true, NULL);
	mosquitto_int_option(mosq, MOSQ_OPT_TCP_NODELAY, 1);
	mosquitto_publish_callback_set(mosq, published);
	mosquitto_max_inflight_messages_set(mosq, 2000);
	if (mosquitto_connect(mosq, "127.0.0.1", atoi(argv[1]), 60) != MOSQ_ERR_SUCCESS)
		bench_die("broker");
	mosquitto_loop_start(mosq);
	start_ns = bench_now_ns() + 100000000;
	pthread_attr_init(&attributes);
	pthread_attr_setstacksize(&attributes, 128 * 1024);
	for (unsigned i = 0; i < n_devices; i++) {
		if (pthread_create(&thread, &attributes, poll_device, (void *)(uintptr_t)i) != 0)
			bench_die("thread");
	}
	pthread_join(thread, NULL);
	return 0;
}
