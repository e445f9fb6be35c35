/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A gateway's life: a queue, three devices and eight uplinks with the double dialects. It is killed at any moment, so it
 * says what it does before it does it, a line each, on its standard output:
 *
 *     U N    values up to N are appended from now on        D N    all of this life up to N are on the disk
 *     F      it has done what it was asked for              L UPLINK BACKLOG DROPPED    at the end
 *
 * and it reads what it shall do: f (append no more), a (append thirty more), q (leave).
 */
#include "../unit/double_dialect.h"
#include "base/clock.h"
#include "base/log.h"
#include "dialect.h"
#include "model/stream.h"
#include "upstream/uplink.h"
#include <inttypes.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>

#define FLUSH_US (60 * USEC_PER_SEC)
#define MORE 30

struct life {
	struct dice dice;
	struct queue *queue;
	struct series_set *set;
	struct stream *stream;
	struct latest *latest;
	const struct series_device *devices[DIALECT_DEVICES + 1]; /* the last comes and goes, and has no samples */
	const struct series *series[DIALECT_DEVICES + 1];
	struct uplink *uplinks[DIALECT_UPLINKS];
	uint64_t next;	  /* value */
	uint64_t durable; /* the last one said */
	uint64_t flush_us, device_us;
	bool appends, spare;
};

static void log_to_stderr(enum hay_log_level level, const struct log_subject *subject, const char *text)
{
	if (level <= HAY_LOG_NOTICE)
		fprintf(stderr, "%llu %d %s: %s\n", (unsigned long long)(clock_now() / 1000), (int)getpid(),
			subject && subject->uplink ? subject->uplink : "-", text);
}

static void say(const char *format, ...) _printf_(1, 2);
static void say(const char *format, ...)
{
	char line[80];
	va_list args;
	va_start(args, format);
	int n = vsnprintf(line, sizeof(line), format, args);
	va_end(args);
	if (write(STDOUT_FILENO, line, (size_t)n) != n)
		_exit(3); /* who started it is gone */
}

static struct uplink_conf *read_conf(size_t k, const char *folder, int port)
{
	char path[300];
	struct conf_messages messages = {0};
	struct conf_file *file;
	snprintf(path, sizeof(path), "%s/uplink.conf", folder);
	FILE *out = fopen(path, "we");
	if (!out)
		torture_die("cannot write %s", path);
	fprintf(out,
		"u = { name = \"d%zu\"; url = \"mqtt://127.0.0.1:%d\"; client_id = \"d%zu\"; prefix = \"double/d%zu\"; "
		"format = \"%s\"; login_life = \"%s\"; version = %d; batch = %d; keepalive = \"5s\"; };\n",
		k, port, k, k, k < DIALECT_ACKED ? "double" : "double-acked", dialect_login_ends(k) ? "2s" : "1h",
		dialect_is_311(k) ? 311 : 5, k % 4 < 2 ? 1 : 4);
	fclose(out);
	struct uplink_conf *conf = NULL;
	if (conf_file_read(path, &messages, &file) >= 0)
		conf = uplink_conf_read(config_setting_get_member(conf_file_root(file), "u"), "barn", &messages);
	if (!conf)
		torture_die("%s", messages.first ? messages.first->text : "the configuration cannot be read");
	conf_file_free(file);
	conf_messages_done(&messages);
	return conf;
}

static void tell_device(struct life *life, size_t i, bool online)
{
	const struct device_info_point point = {.series = life->series[i]};
	struct device_info *info =
		device_info_new(life->devices[i], online, clock_now(), online ? NULL : "timeout", &point, 1);
	if (!info)
		torture_die("out of memory");
	latest_keep(life->latest, info);
	for (size_t k = 0; k < DIALECT_UPLINKS; k++)
		uplink_device(life->uplinks[k], info);
	device_info_unref(info);
}

static void lose_sample(uint32_t device, void *userdata)
{
	(void)userdata;
	torture_die("a sample of device %u is lost", device);
}

/* stream_subscriber */
static void keep_sample(const struct stream_sample *sample, void *userdata)
{
	struct life *life = userdata;
	queue_append(life->queue, sample_ref(sample->sample));
}

/* The newest values are known before a sample can go up, as in the daemon. */
static void begin_stream(struct life *life)
{
	life->stream = stream_new(lose_sample, NULL);
	life->latest = life->stream ? latest_new(life->stream) : NULL;
	if (!life->latest || !stream_subscribe(life->stream, keep_sample, life))
		torture_die("out of memory");
}

static void begin(struct life *life, const char *folder, int port)
{
	static char path[300];
	snprintf(path, sizeof(path), "%s/queue.db", folder);
	const struct queue_conf conf = {
		.path = path,
		.commit_us = 200 * USEC_PER_MSEC,
		.memory = 2 << 20,
		.max_size = 512 << 20,
		.max_age_us = 30 * USEC_PER_DAY,
	};
	pid_t pid;
	dialect_register(&dialect_double);
	dialect_register(&dialect_double_acked);
	clock_set_trusted(true);
	life->set = series_set_new();
	if (!life->set || queue_open(&conf, life->set, &life->queue, &pid) < 0)
		torture_die("the queue cannot be opened");
	begin_stream(life);
	for (size_t i = 0; i <= DIALECT_DEVICES; i++) {
		const char *name = i < DIALECT_DEVICES ? dialect_devices[i] : "spare";
		life->devices[i] = series_device_intern(life->set, name, "bus", NULL, 0);
		life->series[i] = series_intern(life->set, life->devices[i], "v", NULL, HAY_INT64);
	}
	for (size_t k = 0; k < DIALECT_UPLINKS; k++)
		if (uplink_new(read_conf(k, folder, port), "barn", "1", life->queue, life->set, life->latest,
			       &life->uplinks[k]) < 0)
			torture_die("an uplink cannot be made");
	for (size_t i = 0; i < DIALECT_DEVICES; i++)
		tell_device(life, i, true);
	for (size_t k = 0; k < DIALECT_UPLINKS; k++)
		if (uplink_start(life->uplinks[k]) < 0)
			torture_die("an uplink cannot be started");
}

static void append(struct life *life, uint64_t n)
{
	say("U %" PRIu64 "\n", life->next + n - 1);
	for (; n > 0; n--, life->next++) {
		size_t i = life->next % DIALECT_DEVICES;
		const struct sample_reading reading = {.value.i = (int64_t)life->next};
		stream_publish(life->stream, life->devices[i], clock_now(), &life->series[i], &reading, 1);
	}
}

static void flush(struct life *life)
{
	uint64_t last = life->next - 1;
	if (queue_flush(life->queue, FLUSH_US) < 0)
		torture_die("the queue is not written");
	if (last == life->durable)
		return;
	life->durable = last;
	say("D %" PRIu64 "\n", last);
}

/* Devices come, go and change. */
static void change_device(struct life *life)
{
	size_t i = dice_below(&life->dice, DIALECT_DEVICES + 1);
	if (i < DIALECT_DEVICES) {
		tell_device(life, i, dice_below(&life->dice, 2));
		return;
	}
	life->spare = !life->spare;
	if (life->spare)
		tell_device(life, i, true);
	for (size_t k = 0; k < DIALECT_UPLINKS && !life->spare; k++)
		uplink_device_removed(life->uplinks[k], "spare");
}

static void log_notices(struct life *life)
{
	struct queue_notice notice;
	while (queue_next_notice(life->queue, &notice))
		log_about(NULL, notice.level, "%s", notice.text);
}

static void turn(struct life *life)
{
	uint64_t now = clock_now();
	if (life->appends && dice_below(&life->dice, 2))
		append(life, 1 + dice_below(&life->dice, 8));
	if (now >= life->flush_us) {
		flush(life);
		life->flush_us = now + (20 + dice_below(&life->dice, 200)) * USEC_PER_MSEC;
	}
	if (now >= life->device_us) {
		change_device(life);
		life->device_us = now + dice_below(&life->dice, 800) * USEC_PER_MSEC;
	}
	log_notices(life);
}

/* What was dropped and not yet told: of this uplink, in all lives. */
static uint64_t count_drops(struct life *life, const char *name)
{
	struct queue_reader *reader;
	struct queue_drop *drops = NULL;
	uint64_t dropped = 0;
	if (queue_reader_open(life->queue, name, &reader) < 0)
		torture_die("the reader %s cannot be opened", name);
	size_t n = queue_drops_pending(reader, &drops);
	for (size_t i = 0; i < n; i++)
		dropped += drops[i].samples + drops[i].unknown;
	free(drops);
	queue_reader_close(reader);
	return dropped;
}

static int leave(struct life *life)
{
	for (size_t k = 0; k < DIALECT_UPLINKS; k++)
		uplink_stop(life->uplinks[k]);
	for (size_t k = 0; k < DIALECT_UPLINKS; k++) {
		struct pollfd fd = {.fd = uplink_fd(life->uplinks[k]), .events = POLLIN};
		struct uplink_status status;
		char name[8];
		if (poll(&fd, 1, 30000) != 1)
			torture_die("an uplink does not stop");
		uplink_get_status(life->uplinks[k], &status);
		uplink_free(life->uplinks[k]);
		snprintf(name, sizeof(name), "d%zu", k);
		say("L %zu %" PRIu64 " %" PRIu64 "\n", k, status.backlog, count_drops(life, name));
	}
	latest_free(life->latest);
	stream_free(life->stream);
	if (queue_close(life->queue, FLUSH_US))
		torture_die("the queue is not closed");
	series_set_free(life->set);
	return 0;
}

int life_main(char **arguments)
{
	struct life life = {.next = torture_number("FIRST", arguments[2]), .appends = true};
	dice_init(&life.dice, torture_number("SEED", arguments[3]), life.next);
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	setenv("RUNTIME_DIRECTORY", arguments[0], 1);
	log_set_sink(log_to_stderr);
	begin(&life, arguments[0], (int)torture_number("PORT", arguments[1]));
	append(&life, 10);
	for (;;) {
		struct pollfd fd = {.fd = STDIN_FILENO, .events = POLLIN};
		char order = 0;
		if (poll(&fd, 1, (int)dice_below(&life.dice, 40)) > 0 && read(STDIN_FILENO, &order, 1) != 1)
			return 3;
		if (order == 'q')
			return leave(&life);
		if (order == 'f' || order == 'a') {
			life.appends = false;
			if (order == 'a')
				append(&life, MORE);
			flush(&life);
			say("F\n");
		}
		turn(&life);
	}
}
