/* SPDX-License-Identifier: Apache-2.0 */
/*
 * counter PORT [CA_FILE]: subscribes to every data topic and knows each poll of each device ("d0", "d1", ...; with
 * a unit "d0-1"): how long after the device's answer it came, which came twice, which are missing.
 *
 * Commands on standard input: "mark" forgets latencies and intervals and starts a new measurement, "report" answers
 * with one line of words and numbers. Polls are remembered over marks.
 */
#include "bench.h"
#include <errno.h>
#include <mosquitto.h>
#include <poll.h>
#include <stdbool.h>
#include <string.h>
#include <unistd.h>

struct seen {
	uint8_t *bits; /* one for each poll that came */
	size_t size;
	uint32_t highest, first, mark_first, mark_highest;
	uint64_t came, last_poll_ns;
	bool disordered;
};

struct numbers {
	uint32_t *at; /* microseconds */
	size_t n, capacity;
};

#define KEYS 65536
static struct seen seen[KEYS];
static struct numbers latencies, intervals;
static uint64_t samples, readings, messages, twice, disordered, bytes, first_ns, last_ns;

static void add(struct numbers *numbers, uint64_t us)
{
	if (numbers->n == numbers->capacity) {
		numbers->capacity = numbers->capacity ? numbers->capacity * 2 : 65536;
		numbers->at = realloc(numbers->at, numbers->capacity * sizeof(*numbers->at));
		if (!numbers->at)
			bench_die("realloc");
	}
	numbers->at[numbers->n++] = us > UINT32_MAX ? UINT32_MAX : (uint32_t)us;
}

static int compare(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	return x < y ? -1 : x > y;
}

static double percentile(struct numbers *numbers, double share)
{
	if (numbers->n == 0)
		return -1;
	qsort(numbers->at, numbers->n, sizeof(*numbers->at), compare);
	return numbers->at[(size_t)((double)(numbers->n - 1) * share)] / 1000.0;
}

static void count(unsigned key, uint32_t poll, uint64_t answered_ns, uint64_t now)
{
	struct seen *of = &seen[key % KEYS];

	if (of->size <= poll / 8) {
		size_t size = (poll / 8 + 1) * 2;

		of->bits = realloc(of->bits, size);
		if (!of->bits)
			bench_die("realloc");
		memset(of->bits + of->size, 0, size - of->size);
		of->size = size;
	}
	if (of->bits[poll / 8] & 1 << poll % 8) {
		twice++;
		return;
	}
	of->bits[poll / 8] |= (uint8_t)(1 << poll % 8);
	if (of->came++ == 0 || poll < of->first)
		of->first = poll;
	if (of->mark_first == 0)
		of->mark_first = poll;
	if (poll < of->highest)
		disordered++;
	else
		of->highest = poll;
	samples++;
	readings += BENCH_POINTS;
	add(&latencies, (now - answered_ns) / 1000);
	if (of->last_poll_ns && answered_ns > of->last_poll_ns)
		add(&intervals, (answered_ns - of->last_poll_ns) / 1000);
	of->last_poll_ns = answered_ns;
	if (!first_ns)
		first_ns = now;
	last_ns = now;
}

static const char *number_after(const char *text, const char *key)
{
	const char *at = strstr(text, key);

	return at ? at + strlen(key) : NULL;
}

static void take(struct mosquitto *mosq, void *userdata, const struct mosquitto_message *message)
{
	uint64_t now = bench_now_ns();
	const char *name = strrchr(message->topic, '/');
	unsigned device = 0, unit = 0;
	char *text = strndup(message->payload, (size_t)message->payloadlen);
	const char *at = text;

	(void)mosq;
	(void)userdata;
	if (!text || !name || sscanf(name, "/d%u-%u", &device, &unit) < 1)
		goto out;
	messages++;
	bytes += (uint64_t)message->payloadlen;
	while ((at = number_after(at, "\"polls\":"))) {
		const char *time = number_after(at, "\"answered\":");

		if (!time)
			break;
		if (*at == '"') /* a quality: the device does not answer */
			continue;
		count(device * 16 + unit, (uint32_t)strtoul(at, NULL, 10), strtoull(time, NULL, 10), now);
	}
out:
	free(text);
}

static void mark(void)
{
	latencies.n = intervals.n = 0;
	samples = readings = messages = twice = disordered = bytes = first_ns = last_ns = 0;
	for (unsigned i = 0; i < KEYS; i++)
		seen[i].mark_first = 0;
}

static void report(void)
{
	uint64_t missing = 0;
	unsigned devices = 0;

	for (unsigned i = 0; i < KEYS; i++) {
		if (!seen[i].came)
			continue;
		devices++;
		missing += seen[i].highest - seen[i].first + 1 - seen[i].came;
	}
	printf("devices %u samples %llu readings %llu messages %llu bytes %llu twice %llu disordered %llu missing %llu "
	       "seconds %.3f "
	       "p50 %.3f p99 %.3f max %.3f interval_p50 %.1f interval_p99 %.1f interval_max %.1f\n",
	       devices, (unsigned long long)samples, (unsigned long long)readings, (unsigned long long)messages,
	       (unsigned long long)bytes, (unsigned long long)twice, (unsigned long long)disordered,
	       (unsigned long long)missing, (double)(last_ns - first_ns) / 1e9, percentile(&latencies, 0.5),
	       percentile(&latencies, 0.99), percentile(&latencies, 1), percentile(&intervals, 0.5),
	       percentile(&intervals, 0.99), percentile(&intervals, 1));
	fflush(stdout);
}

/* "received": the polls up to which, and how many, each device has come. */
static void received(void)
{
	for (unsigned i = 0; i < KEYS; i++)
		if (seen[i].came)
			printf("%u %u %u %llu %u\n", i / 16, i % 16, seen[i].highest, (unsigned long long)seen[i].came,
			       seen[i].first);
	puts(".");
	fflush(stdout);
}

static void subscribe(struct mosquitto *mosq, void *userdata, int code)
{
	(void)userdata;
	if (code == 0)
		mosquitto_subscribe(mosq, NULL, "+/+/data/#", 1);
}

static void ready(struct mosquitto *mosq, void *userdata, int id, int n, const int *granted)
{
	bool *told = userdata;

	(void)mosq, (void)id, (void)n, (void)granted;
	if (!*told) {
		puts("ready");
		fflush(stdout);
	}
	*told = true;
}

int main(int argc, char **argv)
{
	struct mosquitto *mosq;
	bool told = false;

	if (argc < 2)
		return 2;
	mosquitto_lib_init();
	mosq = mosquitto_new("bench-counter", false, &told);
	if (!mosq)
		bench_die("mosquitto_new");
	mosquitto_connect_callback_set(mosq, subscribe);
	mosquitto_subscribe_callback_set(mosq, ready);
	mosquitto_message_callback_set(mosq, take);
	mosquitto_int_option(mosq, MOSQ_OPT_TCP_NODELAY, 1);
	mosquitto_int_option(mosq, MOSQ_OPT_RECEIVE_MAXIMUM, 20000);
	if (argc > 2)
		mosquitto_tls_set(mosq, argv[2], NULL, NULL, NULL, NULL);
	mosquitto_connect(mosq, "localhost", atoi(argv[1]), 60);
	for (;;) {
		struct pollfd fds[2] = {{.fd = STDIN_FILENO, .events = POLLIN},
					{.fd = mosquitto_socket(mosq), .events = POLLIN}};

		if (mosquitto_want_write(mosq))
			fds[1].events |= POLLOUT;
		if (fds[1].fd < 0) {
			/* Come back fast, or what the broker keeps for us would look late. */
			poll(fds, 1, 20);
			mosquitto_reconnect(mosq);
		} else if (poll(fds, 2, 500) < 0 && errno != EINTR) {
			bench_die("poll");
		}
		if (fds[1].fd >= 0 && fds[1].revents & POLLIN)
			mosquitto_loop_read(mosq, 1);
		if (fds[1].fd >= 0 && (fds[1].revents & POLLOUT || mosquitto_want_write(mosq)))
			mosquitto_loop_write(mosq, 1);
		mosquitto_loop_misc(mosq);
		if (fds[0].revents) {
			char line[64];
			ssize_t n = read(STDIN_FILENO, line, sizeof(line));

			if (n <= 0)
				return 0;
			if (line[0] == 'm') {
				mark();
				puts("ok");
				fflush(stdout);
			} else if (line[0] == 'c') {
				received();
			} else {
				report();
			}
		}
	}
}
