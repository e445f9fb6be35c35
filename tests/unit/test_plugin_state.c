/* SPDX-License-Identifier: Apache-2.0 */
/* What plugins learnt: it reaches the disk whole, seldom, and without anybody waiting for it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/log.h"
#include "base/units.h"
#include "field/plugin_state.h"
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#define LONG_US (60 * USEC_PER_SEC)

/* ---- the disk: in front of the C library's ---- */

static struct {
	char calls[256]; /* of the thread that writes: read after plugin_state_flush() or plugin_state_free() */
	atomic_bool is_full, is_slow;
	sem_t is_asked, goes_on;
} disk;

static void note(const char *what)
{
	size_t used = strlen(disk.calls);

	snprintf(disk.calls + used, sizeof(disk.calls) - used, "%s ", what);
}

int fsync(int fd)
{
	struct stat st;

	if (atomic_load(&disk.is_full)) {
		errno = ENOSPC;
		return -1;
	}
	if (atomic_load(&disk.is_slow)) {
		sem_post(&disk.is_asked);
		while (sem_wait(&disk.goes_on) < 0)
			continue;
	}
	note(fstat(fd, &st) == 0 && S_ISDIR(st.st_mode) ? "folder" : "sync");
	return (int)syscall(SYS_fsync, fd);
}

int rename(const char *from, const char *to)
{
	note("rename");
	return (int)syscall(SYS_renameat2, AT_FDCWD, from, AT_FDCWD, to, 0);
}

/* ---- the surroundings ---- */

struct place {
	char dir[32], path[64], damaged[80];
};

static char lines[2048];
static pthread_mutex_t lines_lock = PTHREAD_MUTEX_INITIALIZER;

static void take_line(enum hay_log_level level _unused_, const struct log_subject *subject _unused_, const char *text)
{
	pthread_mutex_lock(&lines_lock);
	size_t used = strlen(lines);

	snprintf(lines + used, sizeof(lines) - used, "%s\n", text);
	pthread_mutex_unlock(&lines_lock);
}

static struct place place_new(void)
{
	struct place place = {.dir = "/tmp/haywain-test-XXXXXX"};

	assert_non_null(mkdtemp(place.dir));
	snprintf(place.path, sizeof(place.path), "%s/learnt.json", place.dir);
	snprintf(place.damaged, sizeof(place.damaged), "%s.damaged", place.path);
	lines[0] = disk.calls[0] = 0;
	log_set_sink(take_line);
	return place;
}

static void place_done(const struct place *place)
{
	log_set_sink(NULL);
	unlink(place->path);
	unlink(place->damaged);
	assert_int_equal(rmdir(place->dir), 0);
}

static void fill(const char *path, const char *text)
{
	FILE *file = fopen(path, "w");

	assert_non_null(file);
	fputs(text, file);
	fclose(file);
}

static int get(struct plugin_state *kept, const char *device)
{
	uint8_t bytes[4];

	return plugin_state_get(kept, device, "counter", bytes, sizeof(bytes));
}

/* ---- the tests ---- */

static void it_survives(void **state _unused_)
{
	struct place place = place_new();
	struct plugin_state *kept = plugin_state_new(place.path);
	uint8_t bytes[4] = {0};

	assert_int_equal(plugin_state_put(kept, "boiler", "holes", "\x01\xff\x00", 3), 0);
	plugin_state_free(kept);
	kept = plugin_state_new(place.path);
	assert_int_equal(plugin_state_get(kept, "boiler", "holes", bytes, sizeof(bytes)), 3);
	assert_memory_equal(bytes, "\x01\xff\x00", 3);
	assert_int_equal(plugin_state_get(kept, "boiler", "other", bytes, sizeof(bytes)), -ENOENT);
	assert_int_equal(plugin_state_put(kept, "boiler", "holes", NULL, 0), 0);
	assert_int_equal(plugin_state_get(kept, "boiler", "holes", bytes, sizeof(bytes)), -ENOENT);
	plugin_state_free(kept);
	assert_string_equal(lines, "");
	place_done(&place);
}

static void it_is_on_disk_before_it_has_its_name(void **state _unused_)
{
	struct place place = place_new();
	struct plugin_state *kept = plugin_state_new(place.path);
	char name[16];

	/* Many changes are one write. */
	for (int i = 0; i < 20; i++) {
		snprintf(name, sizeof(name), "sensor%d", i);
		assert_int_equal(plugin_state_put(kept, name, "counter", name, 3), 0);
	}
	assert_int_equal(plugin_state_flush(kept, LONG_US), 0);
	assert_string_equal(disk.calls, "sync rename folder ");
	assert_int_equal(plugin_state_put(kept, name, "counter", name, 3), 0); /* nothing new */
	assert_int_equal(plugin_state_flush(kept, LONG_US), 0);
	plugin_state_free(kept);
	assert_string_equal(disk.calls, "sync rename folder ");
	place_done(&place);
}

static void nobody_waits_for_the_disk(void **state _unused_)
{
	struct place place = place_new();
	struct plugin_state *kept = plugin_state_new(place.path);

	assert_int_equal(sem_init(&disk.is_asked, 0, 0) | sem_init(&disk.goes_on, 0, 0), 0);
	atomic_store(&disk.is_slow, true);
	assert_int_equal(plugin_state_put(kept, "a", "counter", "1", 1), 0);
	assert_int_equal(plugin_state_flush(kept, 0), -ETIMEDOUT);
	while (sem_wait(&disk.is_asked) < 0)
		continue;
	/* It is writing, for as long as it takes. */
	assert_int_equal(plugin_state_put(kept, "b", "counter", "2", 1), 0);
	assert_int_equal(get(kept, "b"), 1);
	assert_int_equal(plugin_state_flush(kept, 1000), -ETIMEDOUT);
	atomic_store(&disk.is_slow, false);
	sem_post(&disk.goes_on);
	/* What came meanwhile is written, too. */
	plugin_state_free(kept);
	kept = plugin_state_new(place.path);
	assert_int_equal(get(kept, "a"), 1);
	assert_int_equal(get(kept, "b"), 1);
	plugin_state_free(kept);
	sem_destroy(&disk.is_asked);
	sem_destroy(&disk.goes_on);
	place_done(&place);
}

static void a_full_disk_keeps_the_old_file(void **state _unused_)
{
	struct place place = place_new();
	struct plugin_state *kept = plugin_state_new(place.path), *other;

	plugin_state_put(kept, "a", "counter", "1", 1);
	assert_int_equal(plugin_state_flush(kept, LONG_US), 0);
	atomic_store(&disk.is_full, true);
	plugin_state_put(kept, "b", "counter", "2", 1);
	assert_int_equal(plugin_state_flush(kept, LONG_US), 0);
	assert_int_equal(plugin_state_flush(kept, LONG_US), 0);
	assert_non_null(strstr(lines, "learnt.json: cannot be written: No space left"));
	assert_null(strstr(strstr(lines, "cannot") + 1, "cannot")); /* told once */
	other = plugin_state_new(place.path);
	assert_int_equal(get(other, "a"), 1);
	assert_int_equal(get(other, "b"), -ENOENT);
	plugin_state_free(other);
	atomic_store(&disk.is_full, false);
	assert_int_equal(plugin_state_flush(kept, LONG_US), 0);
	assert_non_null(strstr(lines, "can be written again"));
	plugin_state_free(kept);
	kept = plugin_state_new(place.path);
	assert_int_equal(get(kept, "b"), 1);
	plugin_state_free(kept);
	place_done(&place);
}

static void a_damaged_file_is_told_and_set_aside(void **state _unused_)
{
	static const char *const texts[] = {"", "{ no json", "[]", "{\"a\": {}} more"};

	for (size_t i = 0; i < ELEMENTS(texts); i++) {
		struct place place = place_new();
		struct plugin_state *kept;

		fill(place.path, texts[i]);
		kept = plugin_state_new(place.path);
		assert_int_equal(get(kept, "a"), -ENOENT);
		assert_non_null(strstr(lines, place.path));
		assert_non_null(strstr(lines, "forgotten"));
		assert_non_null(strstr(lines, place.damaged));
		assert_int_equal(access(place.damaged, F_OK), 0);
		plugin_state_put(kept, "a", "counter", "1", 1);
		plugin_state_free(kept);
		kept = plugin_state_new(place.path);
		assert_int_equal(get(kept, "a"), 1);
		plugin_state_free(kept);
		place_done(&place);
	}
}

static bool is_b(const char *device, void *userdata _unused_)
{
	return strcmp(device, "b") == 0;
}

static void who_went_is_forgotten(void **state _unused_)
{
	struct place place = place_new();
	struct plugin_state *kept = plugin_state_new(place.path);

	for (const char *name = "a\0b\0c\0"; *name; name += 2)
		plugin_state_put(kept, name, "counter", name, 1);
	plugin_state_retain(kept, is_b, NULL);
	plugin_state_free(kept);
	kept = plugin_state_new(place.path);
	assert_int_equal(get(kept, "a"), -ENOENT);
	assert_int_equal(get(kept, "b"), 1);
	assert_int_equal(get(kept, "c"), -ENOENT);
	plugin_state_free(kept);
	place_done(&place);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(it_survives),
		cmocka_unit_test(it_is_on_disk_before_it_has_its_name),
		cmocka_unit_test(nobody_waits_for_the_disk),
		cmocka_unit_test(a_full_disk_keeps_the_old_file),
		cmocka_unit_test(a_damaged_file_is_told_and_set_aside),
		cmocka_unit_test(who_went_is_forgotten),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
