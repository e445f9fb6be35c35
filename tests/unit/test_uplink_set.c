/* SPDX-License-Identifier: Apache-2.0 */
/* The uplinks that run, kept in step with the configuration: when one of them cannot be started. */
#include "uplink_fixture.h"
#include "upstream/uplink_internal.h"
#include "upstream/uplink_set.h"
#include <dirent.h>
#include <dlfcn.h>

/* The event loop takes so many descriptors more; negative: as many as there are. */
static int descriptors_left = -1;

int sd_event_add_io(sd_event *event, sd_event_source **ret, int fd, uint32_t events, sd_event_io_handler_t callback,
		    void *userdata)
{
	static int (*real)(sd_event *, sd_event_source **, int, uint32_t, sd_event_io_handler_t, void *);

	if (!real)
		real = (int (*)(sd_event *, sd_event_source **, int, uint32_t, sd_event_io_handler_t, void *))dlsym(
			RTLD_NEXT, "sd_event_add_io");
	if (descriptors_left == 0)
		return -ENOSPC;
	if (descriptors_left > 0)
		descriptors_left--;
	return real(event, ret, fd, events, callback, userdata);
}

static void nothing(void *userdata _unused_)
{
}

/* The last one that came; its answer comes later. */
static struct command *kept;

static void keep_command(struct command *command, void *userdata _unused_)
{
	command_unref(kept);
	kept = command_ref(command);
}

static void left(void *userdata)
{
	*(bool *)userdata = true;
}

struct scene {
	struct rig *rig;
	sd_event *event;
	struct uplink_set *set;
	bool empty;
};

static void scene_begin(struct scene *scene, struct rig *rig)
{
	const struct uplink_set_hooks hooks = {
		.started = nothing, .stopped = left, .command = keep_command, .userdata = &scene->empty};

	*scene = (struct scene){.rig = rig};
	assert_int_equal(sd_event_new(&scene->event), 0);
	assert_int_equal(uplink_set_new(scene->event, rig->queue, rig->set, NULL, &hooks, &scene->set), 0);
}

/* Two uplinks, "one" and "two"; a number changes what the file says of one of them. NULL: it is not there. */
static void scene_apply(struct scene *scene, const char *one, const char *two)
{
	struct uplink_conf *confs[2];
	size_t n = 0;

	if (one)
		confs[n++] = read_uplink(scene->rig, "one", "mqtt://127.0.0.1:9", one);
	if (two)
		confs[n++] = read_uplink(scene->rig, "two", "mqtt://127.0.0.1:9", two);
	assert_int_equal(uplink_set_apply(scene->set, confs, n, "barn-1"), 0);
	for (size_t i = 0; i < n; i++)
		uplink_conf_free(confs[i]);
}

static void turn(struct scene *scene)
{
	assert_true(sd_event_run(scene->event, 100 * USEC_PER_MSEC) >= 0);
}

static unsigned count_running(const struct scene *scene)
{
	unsigned n = 0;

	while (uplink_set_get(scene->set, n))
		n++;
	return n;
}

static void scene_end(struct scene *scene)
{
	uplink_set_stop(scene->set);
	while (!uplink_set_empty(scene->set))
		turn(scene);
	uplink_set_free(scene->set);
	sd_event_unref(scene->event);
}

static unsigned count_threads(void)
{
	DIR *folder = opendir("/proc/self/task");
	unsigned n = 0;

	assert_non_null(folder);
	for (struct dirent *entry; (entry = readdir(folder));)
		n += entry->d_name[0] != '.';
	closedir(folder);
	return n;
}

static uint64_t depth_of(struct rig *rig, const char *name)
{
	struct queue_reader *reader;
	uint64_t depth;

	assert_int_equal(queue_reader_open(rig->queue, name, &reader), 0);
	depth = queue_reader_depth(reader);
	queue_reader_close(reader);
	return depth;
}

/* What an uplink has not sent waits for it also where it could not be started. */
static void test_place_when_another_ends(void **state)
{
	struct rig *rig = *state;
	struct scene scene;

	scene_begin(&scene, rig);
	scene_apply(&scene, "inflight = 10;", "inflight = 10;");
	take(rig, 0, 25);
	/* Both are to be started anew; the first to end finds no descriptor left. */
	scene_apply(&scene, "inflight = 11;", "inflight = 11;");
	descriptors_left = 0;
	while (count_running(&scene) > 0)
		turn(&scene);
	descriptors_left = -1;
	assert_int_equal(depth_of(rig, "one"), 25);
	assert_int_equal(depth_of(rig, "two"), 25);
	/* With the next reload they go on. */
	scene_apply(&scene, "inflight = 11;", "inflight = 11;");
	assert_int_equal(count_running(&scene), 2);
	/* One that is wanted no more gives its place up. */
	scene_apply(&scene, NULL, "inflight = 11;");
	while (count_running(&scene) > 1)
		turn(&scene);
	assert_int_equal(depth_of(rig, "one"), 0);
	scene_end(&scene);
	assert_int_equal(depth_of(rig, "two"), 25);
}

/* Nothing of one that could not be started stays: no thread, no descriptor, no source that would call back. */
static void test_nothing_stays_of_one_that_does_not_start(void **state)
{
	struct rig *rig = *state;
	struct scene scene;
	unsigned threads = count_threads();

	scene_begin(&scene, rig);
	for (int n = 0; n < 2; n++) {
		descriptors_left = n;
		scene_apply(&scene, "inflight = 10;", NULL);
		descriptors_left = -1;
		assert_int_equal(count_running(&scene), 0);
		await(count_threads() == threads);
		for (int i = 0; i < 3; i++)
			sd_event_run(scene.event, 0);
		/* Nobody has it open. */
		assert_int_equal(depth_of(rig, "one"), 0);
	}
	scene_apply(&scene, "inflight = 10;", NULL);
	assert_int_equal(count_running(&scene), 1);
	scene_end(&scene);
}

static void put_command(struct scene *scene)
{
	struct command *command = command_new();

	snprintf(command->id, sizeof(command->id), "c-17");
	assert_int_equal(commands_put(uplink_set_get(scene->set, 0)->commands, command), 0);
	command_unref(command);
	while (!kept)
		turn(scene);
	assert_string_equal(kept->origin, "uplink one");
}

/* While a device takes its time the uplink may be another one of the same name: it must not answer what it was not asked. */
static void test_an_answer_goes_only_to_the_uplink_that_was_asked(void **state)
{
	const struct write_answer answer = {.done = WRITE_UNKNOWN, .text = "no answer"};
	struct rig *rig = *state;
	struct scene scene;
	struct uplink *uplink;
	struct command *back;

	scene_begin(&scene, rig);
	scene_apply(&scene, "inflight = 10;", NULL);
	put_command(&scene);
	uplink_set_answer(scene.set, kept, &answer);
	uplink = uplink_set_get(scene.set, 0);
	back = commands_next_answer(uplink->commands);
	assert_ptr_equal(back, kept);
	assert_string_equal(back->id, "c-17");
	assert_int_equal(back->answer.done, WRITE_UNKNOWN);
	assert_string_equal(back->answer.text, "no answer");
	command_unref(back);
	kept = command_unref(kept);

	put_command(&scene);
	scene_apply(&scene, "inflight = 11;", NULL);
	while (count_running(&scene) == 0 || uplink_get_conf(uplink_set_get(scene.set, 0))->inflight != 11)
		turn(&scene);
	uplink_set_answer(scene.set, kept, &answer);
	assert_false(commands_have_answer(uplink_set_get(scene.set, 0)->commands));
	kept = command_unref(kept);
	scene_end(&scene);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_place_when_another_ends, rig_up, rig_down),
		cmocka_unit_test_setup_teardown(test_an_answer_goes_only_to_the_uplink_that_was_asked, rig_up,
						rig_down),
		cmocka_unit_test_setup_teardown(test_nothing_stays_of_one_that_does_not_start, rig_up, rig_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
