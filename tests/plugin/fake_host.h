/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A host for one plugin under test. It reads options from text as the daemon does, records what the plugin says,
 * runs submitted work on a real thread or inline, and holds the plugin to the rules of plugin.h: a broken rule,
 * and a wait longer than 20 s, ends the test with a line that names it.
 *
 *     struct fake_host *host = fake_host_new(&hay_plugin, FAKE_THREAD);
 *     struct hay_link *link = fake_link(host, "panel", "url", url, "timeout", "200ms", NULL);
 *     struct hay_device *device = fake_device(link, "meter", "unit", "1", NULL);
 *     fake_point(device, "power", "float32", 0, "holding", "40", NULL);
 *     fake_open(link);
 *     fake_start(device);
 *     fake_poll(device);
 *     const struct fake_event *done = fake_wait(host, FAKE_ROUND_DONE);
 *     assert_float_equal(fake_reading(done, 0)->value.f, …);
 *     fake_host_free(host);            (stops and closes what is still there)
 */
#ifndef TESTS_PLUGIN_FAKE_HOST_H
#define TESTS_PLUGIN_FAKE_HOST_H

#include <haywain/plugin.h>

struct fake_host;

enum fake_mode {
	FAKE_THREAD, /* work runs on a thread for each link */
	FAKE_INLINE, /* work runs in the loop: nothing happens at the same time */
};

enum fake_kind {
	FAKE_ROUND_DONE,
	FAKE_EMIT,
	FAKE_COMMAND_DONE,
	FAKE_DEVICE_ONLINE,
	FAKE_DEVICE_OFFLINE,
	FAKE_LINK_UP,
	FAKE_LINK_DOWN,
	FAKE_LOG,
	FAKE_N_KINDS
};

/* What the plugin said, copied; lives as long as the host. */
struct fake_event {
	struct fake_event *next;
	enum fake_kind kind;
	struct hay_link *link;
	struct hay_device *device;
	bool has_sample;
	struct hay_sample sample; /* ROUND_DONE, EMIT */
	enum hay_result result;	  /* ROUND_DONE */
	enum hay_reason reason;
	const char *text; /* detail, of a command too, or log line; NULL: none */
	uint64_t rtt_us;
	enum hay_log_level level;    /* LOG */
	struct hay_command *command; /* COMMAND_DONE */
	enum hay_outcome outcome;
	struct hay_value value;
	bool read_back;
	bool taken;
};

struct fake_host *fake_host_new(const struct hay_plugin *plugin, enum fake_mode mode);
void fake_host_free(struct fake_host *host);

/* ---- configuration: keys and values as in the file, NULL at the end ---- */

/* A mistake (unknown key, wrong value, check_* of the plugin) makes the thing NULL; fake_error() is its text. */
struct hay_link *fake_link(struct fake_host *host, const char *name, ...) __attribute__((sentinel));
struct hay_device *fake_device(struct hay_link *link, const char *name, ...) __attribute__((sentinel));
/* type: as written, NULL for none. Before fake_start(). */
struct hay_point *fake_point(struct hay_device *device, const char *name, const char *type, unsigned flags, ...)
	__attribute__((sentinel));
const char *fake_error(const struct fake_host *host);

/* ---- life ---- */

int fake_open(struct hay_link *link);
int fake_start(struct hay_device *device);
/* These await the work under way first, as the daemon does. The thing can be opened or started again. */
void fake_stop(struct hay_device *device);
void fake_close(struct hay_link *link);

/* Begin a round: all points, or those. 0 or the plugin's -errno. */
int fake_poll(struct hay_device *device);
int fake_poll_some(struct hay_device *device, const uint32_t *due, size_t n_due);
/* Begin a write, without limits unless set in the command by fake_write_command(); it lives as long as the host, a string
   in the value as long as the caller says. */
int fake_write(struct hay_device *device, uint32_t point, struct hay_value value, struct hay_command **ret);
int fake_write_command(const struct hay_command *command, struct hay_command **ret);

/* Every submit() from now on gives -ESHUTDOWN, as while a link is being stopped. */
void fake_refuse_work(struct fake_host *host, bool refuse);

/* ---- the loop ---- */

/* Run the loop until the plugin said something of that kind which was not taken yet, and take it. */
const struct fake_event *fake_wait(struct fake_host *host, enum fake_kind kind);
/* The same without waiting: NULL where there is none. */
const struct fake_event *fake_take(struct fake_host *host, enum fake_kind kind);
/* Run the loop until a condition of the test's own holds. */
void fake_run_until(struct fake_host *host, bool (*condition)(void *userdata), void *userdata);
/* How many events of that kind there were, taken or not. */
size_t fake_count(struct fake_host *host, enum fake_kind kind);

/* A clock that only fake_advance() moves; the timers on the way go off in order, each at its time. FAKE_INLINE only. */
void fake_stop_time(struct fake_host *host);
void fake_advance(struct fake_host *host, uint64_t us);

/* The reading of a point in an event's sample; NULL: it is not in it. */
const struct hay_reading *fake_reading(const struct fake_event *event, uint32_t point);

#endif
