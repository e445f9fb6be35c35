/* SPDX-License-Identifier: Apache-2.0 */
#include "field/memory.h"
#include "base/log.h"
#include "base/units.h"
#include "base/worker.h"
#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#define KEY_MAX 64
#define VALUE_MAX 4096
#define GATHER_US (2 * USEC_PER_SEC) /* what one round of the field changes is written at once */
#define RETRY_US (10 * USEC_PER_MINUTE)

struct memory {
	char *path, *folder, *fresh, *damaged; /* path NULL: not kept */
	json_t *root; /* {"boiler": {"holes": "00ff…"}}: in hex, so that people can read it. Main thread only */
	pthread_t thread;
	bool has_thread; /* main thread only */

	pthread_mutex_t lock;
	pthread_cond_t wake, written;
	/* under lock */
	char *text; /* to be written; NULL: nothing */
	struct timespec due;
	bool hurries, is_writing, ends;

	bool is_failing; /* the thread's, and that was told */
};

/* ---- the file ---- */

static int make_paths(struct memory *memory, const char *path)
{
	const char *slash = strrchr(path, '/');

	memory->path = strdup(path);
	memory->folder = slash ? strndup(path, (size_t)(slash - path) + 1) : strdup(".");
	if (asprintf(&memory->fresh, "%s.new", path) < 0)
		memory->fresh = NULL;
	if (asprintf(&memory->damaged, "%s.damaged", path) < 0)
		memory->damaged = NULL;
	return memory->path && memory->folder && memory->fresh && memory->damaged ? 0 : -ENOMEM;
}

static void tell_damaged(const struct memory *memory, const char *why, int line)
{
	char where[32] = "";
	bool is_aside = rename(memory->path, memory->damaged) == 0;

	if (line > 0)
		snprintf(where, sizeof(where), "line %d: ", line);
	log_warning(
		"%s: %s%s; what was learnt about devices is forgotten and learnt anew: holes between registers, and "
		"the counters that tell an old advertisement from a new one; the file is %s%s",
		memory->path, where, why, is_aside ? "set aside as " : "overwritten with what comes",
		is_aside ? memory->damaged : "");
}

static json_t *load(const struct memory *memory)
{
	json_error_t error;
	json_t *root = NULL;
	FILE *file = fopen(memory->path, "re");

	if (!file) {
		if (errno != ENOENT)
			tell_damaged(memory, strerror(errno), 0);
		return json_object();
	}
	root = json_loadf(file, JSON_REJECT_DUPLICATES, &error);
	fclose(file);
	if (json_is_object(root))
		return root;
	tell_damaged(memory, root ? "no JSON object" : error.text, root ? 0 : error.line);
	json_decref(root);
	return json_object();
}

static int sync_folder(const char *folder)
{
	_cleanup_close_ int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	return fd < 0 || fsync(fd) < 0 ? -errno : 0;
}

static int write_all(int fd, const char *text)
{
	for (size_t left = strlen(text); left > 0;) {
		ssize_t n = write(fd, text, left);

		if (n < 0 && errno != EINTR)
			return -errno;
		if (n > 0) {
			text += n;
			left -= (size_t)n;
		}
	}
	return fsync(fd) < 0 ? -errno : 0;
}

/* Whatever happens, the file is the old one or the new one, whole. */
static int replace(const struct memory *memory, const char *text)
{
	_cleanup_close_ int fd = open(memory->fresh, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0640);
	int r = fd < 0 ? -errno : write_all(fd, text);

	if (r == 0 && rename(memory->fresh, memory->path) < 0)
		r = -errno;
	if (r < 0) {
		unlink(memory->fresh);
		return r;
	}
	return sync_folder(memory->folder);
}

/* ---- the thread ---- */

static void tell_result(struct memory *memory, int r)
{
	char pause[DURATION_TEXT_MAX];

	if (r < 0 && !memory->is_failing)
		log_warning("%s: cannot be written: %s; what is learnt about devices lasts until haywaind ends, "
			    "trying again every %s",
			    memory->path, strerror(-r), format_duration(RETRY_US, pause));
	else if (r == 0 && memory->is_failing)
		log_notice("%s: can be written again", memory->path);
	memory->is_failing = r < 0;
}

static void set_due(struct timespec *due, uint64_t delay_us)
{
	clock_gettime(CLOCK_MONOTONIC, due);
	due->tv_sec += (time_t)(delay_us / USEC_PER_SEC);
	due->tv_nsec += (long)(delay_us % USEC_PER_SEC * 1000);
	if (due->tv_nsec >= 1000000000) {
		due->tv_sec++;
		due->tv_nsec -= 1000000000;
	}
}

/* Until there is something to write and it is time to. */
static void await(struct memory *memory)
{
	int r = 0;

	while (!memory->ends && !memory->hurries && r != ETIMEDOUT)
		r = memory->text ? pthread_cond_timedwait(&memory->wake, &memory->lock, &memory->due)
				 : pthread_cond_wait(&memory->wake, &memory->lock);
}

static void write_text(struct memory *memory)
{
	char *text = memory->text;
	int r;

	memory->text = NULL;
	memory->is_writing = true;
	pthread_mutex_unlock(&memory->lock);
	r = replace(memory, text);
	tell_result(memory, r);
	pthread_mutex_lock(&memory->lock);
	memory->is_writing = false;
	if (r < 0 && !memory->text) {
		memory->text = text;
		text = NULL;
		set_due(&memory->due, RETRY_US);
	}
	free(text);
}

static void *keep(void *userdata)
{
	struct memory *memory = userdata;

	pthread_mutex_lock(&memory->lock);
	do {
		await(memory);
		memory->hurries = false;
		if (memory->text)
			write_text(memory);
		pthread_cond_broadcast(&memory->written);
	} while (!memory->ends);
	if (memory->text) /* it came while the last was being written */
		write_text(memory);
	pthread_mutex_unlock(&memory->lock);
	return NULL;
}

static int save(struct memory *memory)
{
	char *text;

	if (!memory->path)
		return 0;
	if (!memory->has_thread) {
		int r = thread_start(&memory->thread, "learnt", keep, memory);

		if (r < 0)
			return r;
		memory->has_thread = true;
	}
	text = json_dumps(memory->root, JSON_INDENT(1) | JSON_SORT_KEYS);
	if (!text)
		return -ENOMEM;
	pthread_mutex_lock(&memory->lock);
	if (!memory->text)
		set_due(&memory->due, GATHER_US);
	free(memory->text);
	memory->text = text;
	pthread_cond_signal(&memory->wake);
	pthread_mutex_unlock(&memory->lock);
	return 0;
}

int memory_flush(struct memory *memory, uint64_t timeout_us)
{
	struct timespec until;
	int r = 0;

	set_due(&until, timeout_us);
	pthread_mutex_lock(&memory->lock);
	memory->hurries = memory->text != NULL;
	pthread_cond_signal(&memory->wake);
	while ((memory->hurries || memory->is_writing) && r == 0)
		r = pthread_cond_timedwait(&memory->written, &memory->lock, &until);
	pthread_mutex_unlock(&memory->lock);
	return -r;
}

/* ---- what is in it ---- */

struct memory *memory_new(const char *path)
{
	struct memory *memory = calloc(1, sizeof(*memory));
	pthread_condattr_t attr;

	if (!memory)
		return NULL;
	pthread_mutex_init(&memory->lock, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&memory->wake, &attr);
	pthread_cond_init(&memory->written, &attr);
	pthread_condattr_destroy(&attr);
	if (path && make_paths(memory, path) < 0)
		return memory_free(memory);
	memory->root = path ? load(memory) : json_object();
	return memory->root ? memory : memory_free(memory);
}

struct memory *memory_free(struct memory *memory)
{
	if (!memory)
		return NULL;
	if (memory->has_thread) {
		pthread_mutex_lock(&memory->lock);
		memory->ends = true;
		pthread_cond_signal(&memory->wake);
		pthread_mutex_unlock(&memory->lock);
		pthread_join(memory->thread, NULL);
	}
	pthread_cond_destroy(&memory->written);
	pthread_cond_destroy(&memory->wake);
	pthread_mutex_destroy(&memory->lock);
	json_decref(memory->root);
	free(memory->text);
	free(memory->damaged);
	free(memory->fresh);
	free(memory->folder);
	free(memory->path);
	free(memory);
	return NULL;
}

int memory_put(struct memory *memory, const char *device, const char *key, const void *data, size_t size)
{
	static const char digits[] = "0123456789abcdef";
	const uint8_t *bytes = data;
	char text[VALUE_MAX * 2 + 1];

	if (strlen(key) > KEY_MAX || size > VALUE_MAX)
		return -EINVAL;
	for (size_t i = 0; i < size; i++) {
		text[i * 2] = digits[bytes[i] >> 4];
		text[i * 2 + 1] = digits[bytes[i] & 15];
	}
	text[size * 2] = 0;

	json_t *group = json_object_get(memory->root, device);
	const char *before = json_string_value(json_object_get(group, key));

	if (before ? strcmp(before, text) == 0 : size == 0)
		return 0;
	if (size == 0) {
		json_object_del(group, key);
		if (json_object_size(group) == 0)
			json_object_del(memory->root, device);
		return save(memory);
	}
	if (!json_is_object(group)) {
		group = json_object();
		if (json_object_set_new(memory->root, device, group) < 0)
			return -ENOMEM;
	}
	if (json_object_set_new(group, key, json_string(text)) < 0)
		return -ENOMEM;
	return save(memory);
}

void memory_retain(struct memory *memory, bool (*is_wanted)(const char *device, void *userdata), void *userdata)
{
	const char *device;
	json_t *group;
	void *next;
	bool has_changed = false;

	json_object_foreach_safe(memory->root, next, device, group)
	{
		if (is_wanted(device, userdata))
			continue;
		log_info("%s is not configured any more: what was learnt about it is forgotten", device);
		json_object_del(memory->root, device);
		has_changed = true;
	}
	if (has_changed)
		save(memory);
}

static int hex_digit(char c)
{
	return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

int memory_get(struct memory *memory, const char *device, const char *key, void *data, size_t size)
{
	const char *text = json_string_value(json_object_get(json_object_get(memory->root, device), key));
	size_t n = text ? strlen(text) / 2 : 0;
	uint8_t *bytes = data;

	if (!text)
		return -ENOENT;
	if (n > VALUE_MAX)
		return -EBADMSG;
	for (size_t i = 0; i < n; i++) {
		int high = hex_digit(text[i * 2]), low = hex_digit(text[i * 2 + 1]);

		if (high < 0 || low < 0)
			return -EBADMSG;
		if (i < size)
			bytes[i] = (uint8_t)(high << 4 | low);
	}
	return (int)n;
}
