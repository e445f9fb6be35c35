/* SPDX-License-Identifier: Apache-2.0 */
/* What tests of the uplink need: a queue with a device in a directory of its own, uplinks, and the log's lines. */
#ifndef HAYWAIN_TESTS_UPLINK_FIXTURE_H
#define HAYWAIN_TESTS_UPLINK_FIXTURE_H

#include "base/clock.h"
#include "base/log.h"
#include "upstream/uplink.h"
#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include <cmocka.h>

struct rig {
	char directory[32];
	struct queue *queue;
	struct series_set *set;
	const struct series_device *devices[3];
	const struct series *series[3];
	struct uplink *uplink;
	int next_value;
};

/* ---- waiting for something that must come ---- */

/* How long to try something that broke a connection follows from how long that took: on a loaded machine ten times as long. */
#define PATIENCE_US (120 * USEC_PER_SEC)
#define await(condition)                                                                                               \
	do {                                                                                                           \
		uint64_t until_ = clock_now() + PATIENCE_US;                                                           \
		while (!(condition)) {                                                                                 \
			if (clock_now() > until_)                                                                      \
				fail_msg("%s: waited in vain; the log says:\n%s", #condition, logged_text());          \
			poll(NULL, 0, 2);                                                                              \
		}                                                                                                      \
	} while (0)

/* ---- the log ---- */

static pthread_mutex_t log_lock = PTHREAD_MUTEX_INITIALIZER;
static struct buf log_lines;

_unused_ static void log_sink(enum hay_log_level level, const struct log_subject *subject, const char *text)
{
	(void)subject;
	if (level > HAY_LOG_INFO)
		return;
	pthread_mutex_lock(&log_lock);
	buf_add_text(&log_lines, text);
	buf_add_char(&log_lines, '\n');
	pthread_mutex_unlock(&log_lock);
}

_unused_ static const char *logged_text(void)
{
	static char copy[8192];
	pthread_mutex_lock(&log_lock);
	snprintf(copy, sizeof(copy), "%s", buf_text(&log_lines));
	pthread_mutex_unlock(&log_lock);
	return copy;
}

_unused_ static void forget_log(void)
{
	pthread_mutex_lock(&log_lock);
	buf_clear(&log_lines);
	pthread_mutex_unlock(&log_lock);
}

_unused_ static bool logged(const char *words)
{
	return strstr(logged_text(), words);
}

/* ---- the rig ---- */

static int reserved_ports[4]; /* descriptors */
static size_t n_reserved_ports;

_unused_ static int rig_up(void **state)
{
	struct rig *rig = calloc(1, sizeof(*rig));
	strcpy(rig->directory, "/tmp/uplink_XXXXXX");
	assert_non_null(mkdtemp(rig->directory));
	char path[64];
	snprintf(path, sizeof(path), "%s/queue.db", rig->directory);
	const struct queue_conf conf = {
		.path = path,
		.commit_us = 200 * USEC_PER_MSEC,
		.memory = 2 << 20,
		.max_size = 512 << 20,
		.max_age_us = 30 * USEC_PER_DAY,
	};
	pid_t pid;
	clock_set_trusted(true);
	rig->set = series_set_new();
	assert_int_equal(queue_open(&conf, rig->set, &rig->queue, &pid), 0);
	static const char *const names[] = {"boiler", "meter", "scale"};
	for (size_t i = 0; i < ELEMENTS(names); i++) {
		rig->devices[i] = series_device_intern(rig->set, names[i], "rs485", NULL, 0);
		rig->series[i] = series_intern(rig->set, rig->devices[i], "v", NULL, HAY_INT64);
	}
	forget_log();
	log_set_sink(log_sink);
	*state = rig;
	return 0;
}

_unused_ static struct uplink_conf *read_uplink(struct rig *rig, const char *name, const char *url, const char *more)
{
	char path[64];
	snprintf(path, sizeof(path), "%s/%s.conf", rig->directory, name);
	FILE *out = fopen(path, "w");
	assert_non_null(out);
	fprintf(out, "u = { name = \"%s\"; url = \"%s\"; client_id = \"{gateway}-%s\"; %s };\n", name, url, name, more);
	fclose(out);
	struct conf_messages messages = {0};
	struct conf_file *file = NULL;
	if (conf_file_read(path, &messages, &file) < 0)
		fail_msg("%s", messages.first->text);
	struct uplink_conf *conf =
		uplink_conf_read(config_setting_get_member(conf_file_root(file), "u"), "barn-1", &messages);
	if (!conf)
		fail_msg("%s", messages.first->text);
	conf_file_free(file);
	conf_messages_done(&messages);
	return conf;
}

_unused_ static struct uplink *start_uplink(struct rig *rig, const char *name, const char *url, const char *more)
{
	struct uplink_conf *conf = read_uplink(rig, name, url, more);
	struct uplink *uplink;
	assert_int_equal(uplink_new(conf, "barn-1", "1.2", rig->queue, rig->set, NULL, &uplink), 0);
	assert_int_equal(uplink_start(uplink), 0);
	return uplink;
}

_unused_ static void stop_uplink(struct uplink *uplink)
{
	uplink_stop(uplink);
	struct pollfd fd = {.fd = uplink_fd(uplink), .events = POLLIN};
	assert_int_equal(poll(&fd, 1, (int)(PATIENCE_US / USEC_PER_MSEC)), 1);
	assert_true(uplink_stopped(uplink));
	uplink_free(uplink);
}

_unused_ static int rig_down(void **state)
{
	struct rig *rig = *state;
	if (rig->uplink)
		stop_uplink(rig->uplink);
	log_set_sink(NULL);
	assert_null(queue_close(rig->queue, 60 * USEC_PER_SEC));
	series_set_free(rig->set);
	char command[96];
	snprintf(command, sizeof(command), "rm -rf %s", rig->directory);
	assert_int_equal(system(command), 0);
	buf_done(&log_lines);
	while (n_reserved_ports > 0)
		close(reserved_ports[--n_reserved_ports]);
	free(rig);
	return 0;
}

/* Samples with the values that follow, of one device. */
_unused_ static void take(struct rig *rig, size_t device, int n)
{
	for (int i = 0; i < n; i++) {
		const struct sample_reading reading = {
			.series = rig->series[device]->number,
			.value = {.type = HAY_INT64, .i = rig->next_value++},
		};
		queue_append(rig->queue, sample_new(rig->devices[device]->number, clock_now(), &reading, 1));
	}
}

_unused_ static struct uplink_status status_of(struct uplink *uplink)
{
	struct uplink_status status;
	uplink_get_status(uplink, &status);
	return status;
}

/* A port of 127.0.0.1 where only who is told it will listen: it stays bound, or in the time between two brokers of a test the
   kernel would give it to another program. A server that sets SO_REUSEADDR can listen beside. */
_unused_ static int reserve_port(void)
{
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), on = 1;
	struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t size = sizeof(address);
	assert_true(n_reserved_ports < ELEMENTS(reserved_ports));
	reserved_ports[n_reserved_ports++] = fd;
	assert_int_equal(bind(fd, (struct sockaddr *)&address, size), 0);
	assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&address, &size), 0);
	return ntohs(address.sin_port);
}

#endif
