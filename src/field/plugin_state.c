/* SPDX-License-Identifier: Apache-2.0 */
#include "field/plugin_state.h"
#include "base/clock.h"
#include "base/files.h"
#include "base/log.h"
#include "base/mutex.h"
#include "base/units.h"
#include "base/worker.h"
#include <errno.h>
#include <haywain/helpers.h>
#include <jansson.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#define KEY_MAX 64
#define VALUE_MAX 4096
#define GATHER_US (2 * USEC_PER_SEC) /* what one round of the field changes is written at once */
#define RETRY_US (10 * USEC_PER_MINUTE)

struct plugin_state {
	char *path, *damaged; /* path NULL: not kept */
	json_t *root; /* {"boiler": {"holes": "00ff…"}}: in hex, so that people can read it. Main thread only */
	pthread_t thread;
	bool has_thread; /* main thread only */

	struct mutex lock;
	pthread_cond_t wake, written;
	/* under lock */
	char *text; /* to be written; NULL: nothing */
	struct timespec due;
	bool hurries, is_writing, ends;

	bool is_failing; /* the thread's, and that was logged */
};

/* ---- the file ---- */

static int make_paths(struct plugin_state *state, const char *path)
{
	state->path = strdup(path);
	if (asprintf(&state->damaged, "%s.damaged", path) < 0)
		state->damaged = NULL;
	return state->path && state->damaged ? 0 : -ENOMEM;
}

static void log_damaged(const struct plugin_state *state, const char *why, int line)
{
	char where[32] = "";
	bool is_aside = rename(state->path, state->damaged) == 0;

	if (line > 0)
		snprintf(where, sizeof(where), "line %d: ", line);
	log_warning(
		"%s: %s%s; what was learnt about devices is forgotten and learnt anew: holes between registers, and the counters that tell an old advertisement from a new one; the file is %s%s",
		state->path, where, why, is_aside ? "quarantined as " : "overwritten with what comes",
		is_aside ? state->damaged : "");
}

static json_t *load_file(const struct plugin_state *state)
{
	json_error_t error;
	json_t *root = NULL;
	FILE *file = fopen(state->path, "re");

	if (!file) {
		if (errno != ENOENT)
			log_damaged(state, strerror(errno), 0);
		return json_object();
	}
	root = json_loadf(file, JSON_REJECT_DUPLICATES, &error);
	fclose(file);
	if (json_is_object(root))
		return root;
	log_damaged(state, root ? "no JSON object" : error.text, root ? 0 : error.line);
	json_decref(root);
	return json_object();
}

/* ---- the thread ---- */

static void log_result(struct plugin_state *state, int r)
{
	char pause[DURATION_TEXT_MAX];

	if (r < 0 && !state->is_failing)
		log_warning(
			"%s: cannot be written: %s; what is learnt about devices lasts until haywaind ends, trying again every %s",
			state->path, strerror(-r), format_duration(RETRY_US, pause));
	else if (r == 0 && state->is_failing)
		log_notice("%s: can be written again", state->path);
	state->is_failing = r < 0;
}

/* Until there is something to write and it is time to. */
static void await_due(struct plugin_state *state) REQUIRES(state->lock)
{
	int r = 0;

	while (!state->ends && !state->hurries && r != ETIMEDOUT)
		r = state->text ? pthread_cond_timedwait(&state->wake, &state->lock.mutex, &state->due)
				: pthread_cond_wait(&state->wake, &state->lock.mutex);
}

static void write_text(struct plugin_state *state) REQUIRES(state->lock)
{
	char *text = state->text;
	int r;

	state->text = NULL;
	state->is_writing = true;
	mutex_unlock(&state->lock);
	r = file_replace(state->path, text, strlen(text), 0640, (gid_t)-1);
	log_result(state, r);
	mutex_lock(&state->lock);
	state->is_writing = false;
	if (r < 0 && !state->text) {
		state->text = text;
		text = NULL;
		state->due = clock_deadline(RETRY_US);
	}
	free(text);
}

static void *write_when_due(void *userdata)
{
	struct plugin_state *state = userdata;

	mutex_lock(&state->lock);
	do {
		await_due(state);
		state->hurries = false;
		if (state->text)
			write_text(state);
		pthread_cond_broadcast(&state->written);
	} while (!state->ends);
	if (state->text) /* it came while the last was being written */
		write_text(state);
	mutex_unlock(&state->lock);
	return NULL;
}

static int save_soon(struct plugin_state *state)
{
	char *text;

	if (!state->path)
		return 0;
	if (!state->has_thread) {
		int r = thread_start(&state->thread, "learnt", write_when_due, state);

		if (r < 0)
			return r;
		state->has_thread = true;
	}
	text = json_dumps(state->root, JSON_INDENT(1) | JSON_SORT_KEYS);
	if (!text)
		return -ENOMEM;
	mutex_lock(&state->lock);
	if (!state->text)
		state->due = clock_deadline(GATHER_US);
	free(state->text);
	state->text = text;
	pthread_cond_signal(&state->wake);
	mutex_unlock(&state->lock);
	return 0;
}

int plugin_state_flush(struct plugin_state *state, uint64_t timeout_us)
{
	struct timespec until = clock_deadline(timeout_us);
	int r = 0;

	mutex_lock(&state->lock);
	state->hurries = state->text != NULL;
	pthread_cond_signal(&state->wake);
	while ((state->hurries || state->is_writing) && r == 0)
		r = pthread_cond_timedwait(&state->written, &state->lock.mutex, &until);
	mutex_unlock(&state->lock);
	return -r;
}

/* ---- what is in it ---- */

struct plugin_state *plugin_state_new(const char *path)
{
	struct plugin_state *state = calloc(1, sizeof(*state));
	pthread_condattr_t attr;

	if (!state)
		return NULL;
	mutex_init(&state->lock);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&state->wake, &attr);
	pthread_cond_init(&state->written, &attr);
	pthread_condattr_destroy(&attr);
	if (path && make_paths(state, path) < 0)
		return plugin_state_free(state);
	state->root = path ? load_file(state) : json_object();
	return state->root ? state : plugin_state_free(state);
}

struct plugin_state *plugin_state_free(struct plugin_state *state)
{
	if (!state)
		return NULL;
	if (state->has_thread) {
		mutex_lock(&state->lock);
		state->ends = true;
		pthread_cond_signal(&state->wake);
		mutex_unlock(&state->lock);
		pthread_join(state->thread, NULL);
	}
	pthread_cond_destroy(&state->written);
	pthread_cond_destroy(&state->wake);
	mutex_destroy(&state->lock);
	json_decref(state->root);
	free(state->text);
	free(state->damaged);
	free(state->path);
	free(state);
	return NULL;
}

int plugin_state_put(struct plugin_state *state, const char *device, const char *key, const void *data, size_t size)
{
	char text[VALUE_MAX * 2 + 1];

	if (strlen(key) > KEY_MAX || size > VALUE_MAX)
		return -EINVAL;
	hay_hex_print(data, size, text);

	json_t *group = json_object_get(state->root, device);
	const char *before = json_string_value(json_object_get(group, key));

	if (before ? strcmp(before, text) == 0 : size == 0)
		return 0;
	if (size == 0) {
		json_object_del(group, key);
		if (json_object_size(group) == 0)
			json_object_del(state->root, device);
		return save_soon(state);
	}
	if (!json_is_object(group)) {
		group = json_object();
		if (json_object_set_new(state->root, device, group) < 0)
			return -ENOMEM;
	}
	if (json_object_set_new(group, key, json_string(text)) < 0)
		return -ENOMEM;
	return save_soon(state);
}

void plugin_state_retain(struct plugin_state *state, bool (*is_wanted)(const char *device, void *userdata),
			 void *userdata)
{
	const char *device;
	json_t *group;
	void *next;
	bool has_changed = false;

	json_object_foreach_safe(state->root, next, device, group)
	{
		if (is_wanted(device, userdata))
			continue;
		log_info("%s is not configured any more: what was learnt about it is forgotten", device);
		json_object_del(state->root, device);
		has_changed = true;
	}
	if (has_changed)
		save_soon(state);
}

int plugin_state_get(struct plugin_state *state, const char *device, const char *key, void *data, size_t size)
{
	const char *text = json_string_value(json_object_get(json_object_get(state->root, device), key));
	size_t n = text ? strlen(text) / 2 : 0;
	uint8_t *bytes = data;

	if (!text)
		return -ENOENT;
	if (n > VALUE_MAX)
		return -EBADMSG;
	for (size_t i = 0; i < n; i++) {
		int byte = hay_hex_byte(text + i * 2);

		if (byte < 0)
			return -EBADMSG;
		if (i < size)
			bytes[i] = (uint8_t)byte;
	}
	return (int)n;
}
