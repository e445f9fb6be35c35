/* SPDX-License-Identifier: Apache-2.0 */
/* Whole configurations, good and bad, and the lines they get. */
#include "base/pool.h"
#include "config.h"
#include "field/plugin_load.h"

#include <errno.h>
#include <math.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>

/* ---- a protocol of our own ---- */

struct fake_link {
	const char *port;
	int64_t baud;
};
struct fake_device {
	int64_t unit;
};
struct fake_point {
	int64_t holding;
};

static const struct hay_option fake_link_options[] = {
	{.key = "port", .type = HAY_OPT_STRING, .offset = offsetof(struct fake_link, port)},
	{.key = "baud", .type = HAY_OPT_INT, .offset = offsetof(struct fake_link, baud), .fallback = "9600"},
	{.key = NULL},
};
static const struct hay_option fake_device_options[] = {
	{.key = "unit",
	 .type = HAY_OPT_INT,
	 .offset = offsetof(struct fake_device, unit),
	 .fallback = "1",
	 .min = 1,
	 .max = 247},
	{.key = NULL},
};
static const struct hay_option fake_point_options[] = {
	{.key = "holding",
	 .type = HAY_OPT_INT,
	 .offset = offsetof(struct fake_point, holding),
	 .fallback = "-1",
	 .min = 0,
	 .max = 65535},
	{.key = NULL},
};
static const char *const fake_types[] = {"bcd16", NULL};

static void fake_check_link(const void *conf, const struct hay_report *report)
{
	if (!((const struct fake_link *)conf)->port)
		report->error(report, NULL, "`port` is missing");
}

static void fake_check_device(const void *conf, const void *link_conf, const struct hay_report *report)
{
	if (((const struct fake_device *)conf)->unit == 13 && ((const struct fake_link *)link_conf)->baud == 9600)
		report->error(report, "unit", "`unit` 13 is slow");
}

static void fake_check_point(struct hay_point *point, const void *device_conf _unused_, const void *link_conf _unused_,
			     const struct hay_report *report)
{
	if (((const struct fake_point *)point->conf)->holding < 0)
		report->error(report, NULL, "`holding` is missing");
	if (!point->type_name)
		point->type = HAY_UINT16;
}

static int fake_write(struct hay_command *command _unused_)
{
	return 0;
}

static const struct hay_plugin fake = {
	.magic = HAY_MAGIC,
	.abi = HAY_ABI,
	.size = sizeof(struct hay_plugin),
	.name = "fake",
	.types = fake_types,
	.link_options = {fake_link_options, sizeof(struct fake_link)},
	.device_options = {fake_device_options, sizeof(struct fake_device)},
	.point_options = {fake_point_options, sizeof(struct fake_point)},
	.check_link = fake_check_link,
	.check_device = fake_check_device,
	.check_point = fake_check_point,
	.write = fake_write,
};
static const struct hay_plugin mute = {
	.magic = HAY_MAGIC,
	.abi = HAY_ABI,
	.size = sizeof(struct hay_plugin),
	.name = "mute",
};

/* ---- a folder of files ---- */

struct place {
	char dir[64];
	struct plugin_set *plugins;
	char *model_dirs[3];
	struct config *config;
	char *lines;
	int r;
};

static int set_up(void **state)
{
	struct place *place = calloc(1, sizeof(*place));
	char path[128];

	assert_non_null(place);
	strcpy(place->dir, "/tmp/haywain-config-XXXXXX");
	assert_non_null(mkdtemp(place->dir));
	snprintf(path, sizeof(path), "%s/conf.d", place->dir);
	assert_int_equal(mkdir(path, 0700), 0);
	for (int i = 0; i < 2; i++) {
		assert_true(asprintf(&place->model_dirs[i], "%s/models%d", place->dir, i) > 0);
		assert_int_equal(mkdir(place->model_dirs[i], 0700), 0);
	}
	device_conf_set_model_dirs((const char *const *)place->model_dirs);
	place->plugins = plugin_set_new("/nonexistent");
	assert_non_null(plugin_add(place->plugins, &fake));
	assert_non_null(plugin_add(place->plugins, &mute));
	*state = place;
	return 0;
}

static int tear_down(void **state)
{
	struct place *place = *state;
	char command[128];

	config_free(place->config);
	free(place->lines);
	plugin_set_free(place->plugins);
	device_conf_set_model_dirs(NULL);
	free(place->model_dirs[0]);
	free(place->model_dirs[1]);
	snprintf(command, sizeof(command), "rm -r %s", place->dir);
	assert_int_equal(system(command), 0);
	free(place);
	return 0;
}

static void put(struct place *place, const char *name, const char *text)
{
	char path[256];
	FILE *out;

	snprintf(path, sizeof(path), "%s/%s", place->dir, name);
	out = fopen(path, "w");
	assert_non_null(out);
	fputs(text, out);
	fclose(out);
}

/* Text with every mention of the folder taken out. */
static char *without_dir(const struct place *place, const char *text)
{
	char *out = strdup(text), *at, needle[80];

	snprintf(needle, sizeof(needle), "%s/", place->dir);
	while ((at = strstr(out, needle)))
		memmove(at, at + strlen(needle), strlen(at + strlen(needle)) + 1);
	return out;
}

static void load(struct place *place)
{
	struct conf_messages messages = {0};
	char path[128], *text = NULL;
	size_t size;
	FILE *out = open_memstream(&text, &size);

	place->config = config_free(place->config);
	free(place->lines);
	snprintf(path, sizeof(path), "%s/haywain.conf", place->dir);
	place->r = config_load(path, place->plugins, &messages, &place->config);
	for (struct conf_message *message = messages.first; message; message = message->next)
		fprintf(out, "%s:%u: %s%s\n", message->file, message->line, message->warning ? "warning: " : "",
			message->text);
	fclose(out);
	place->lines = without_dir(place, text);
	free(text);
	conf_messages_done(&messages);
}

#define GATEWAY "gateway: { id = \"barn-1\"; };\n"
#define LINK "links: ( { name = \"bus\"; plugin = \"fake\"; port = \"/dev/x\"; } );\n"
#define POINT "points: ( { name = \"p\"; holding = 1; } );"

static void expect(struct place *place, const char *text, int r, const char *lines)
{
	put(place, "haywain.conf", text);
	load(place);
	assert_string_equal(place->lines, lines);
	assert_int_equal(place->r, r);
}

/* Of one device on a good link: its text begins on line 3. */
static void expect_device(struct place *place, const char *device, const char *lines)
{
	char *text;

	assert_true(asprintf(&text, GATEWAY LINK "devices: ( { name = \"d\"; link = \"bus\"; %s } );", device) > 0);
	expect(place, text, 0, lines);
	assert_int_equal(place->config->n_devices, *lines ? 0 : 1);
	assert_int_equal(place->config->n_bad, *lines ? 1 : 0);
	free(text);
}

/* ---- tests ---- */

static void defaults(void **state)
{
	struct place *place = *state;
	struct config *config;

	expect(place, GATEWAY, 0, "");
	config = place->config;
	assert_string_equal(config->gateway.id, "barn-1");
	assert_int_equal(config->gateway.log_level, HAY_LOG_INFO);
	assert_int_equal(config->gateway.clock, CONFIG_CLOCK_NTP);
	assert_int_equal(config->queue.commit_us, 200000);
	assert_string_equal(config->api_socket, "/run/haywain/api.sock");
	assert_string_equal(config->api_read_socket, "/run/haywain/read.sock");
	assert_int_equal(config->self_every_us, 60 * USEC_PER_SEC);
	expect(place, GATEWAY "self = false; api: { socket = \"\"; };", 0, "");
	assert_int_equal(place->config->self_every_us, 0);
	assert_string_equal(place->config->api_socket, "");
	assert_string_equal(place->config->api_read_socket, "");
	expect(place, GATEWAY "api: { socket = \"/srv/a.sock\"; };", 0, "");
	assert_string_equal(place->config->api_read_socket, "/srv/read.sock");
	expect(place, GATEWAY "api: { socket = \"a.sock\"; };", 0, "");
	assert_string_equal(place->config->api_read_socket, "read.sock");
	expect(place, GATEWAY "api: { socket = \"\"; read_socket = \"/srv/r.sock\"; };", 0, "");
	assert_string_equal(place->config->api_read_socket, "/srv/r.sock");
	expect(place, GATEWAY "self = \"10s\";", 0, "");
	assert_int_equal(place->config->self_every_us, 10 * USEC_PER_SEC);
}

static void a_device(void **state)
{
	struct place *place = *state;
	struct device_conf *device;
	struct point_conf *point;

	expect(place,
	       GATEWAY LINK
	       "devices: ( { name = \"boiler\"; link = \"bus\"; unit = 3; every = \"2s\"; report: { deadband = 1; };\n"
	       "tags: { room = \"cellar\"; floor = \"0\"; };\n"
	       "points: ( { name = \"a\"; holding = 100; type = \"int16\"; scale = 0.1; unit = \"°C\"; every = "
	       "\"5s\";\n"
	       "  report: { deadband = \"1%\"; min_interval = \"1s\"; max_interval = \"5m\"; }; },\n"
	       " { name = \"b\"; holding = 0x10; access = \"write\"; min = 30; max = 75.5; report: {}; decimals = 1 "
	       "},\n"
	       " { name = \"c\"; holding = 1; type = \"bcd16\"; }, { name = \"x\"; holding = 1; enabled = false; } ); "
	       "} );",
	       0, "");
	assert_int_equal(place->config->n_links, 1);
	assert_int_equal(((struct fake_link *)place->config->links[0]->conf)->baud, 9600);
	assert_int_equal(place->config->n_devices, 1);
	device = place->config->devices[0];
	assert_string_equal(device->name, "boiler");
	assert_string_equal(device->link, "bus");
	assert_int_equal(((struct fake_device *)device->conf)->unit, 3);
	assert_int_equal(device->n_tags, 2);
	assert_string_equal(device->tags[0].name, "floor");
	assert_string_equal(device->tags[1].value, "cellar");
	assert_int_equal(device->n_points, 3);

	point = &device->points[0];
	assert_string_equal(point->point.unit, "°C");
	assert_int_equal(point->point.type, HAY_INT16);
	assert_true(point->point.scale == 0.1);
	assert_int_equal(point->point.every_us, 5000000);
	assert_true(point->report.set && point->report.percent && point->report.deadband == 1);
	assert_int_equal(point->report.min_interval_us, 1000000);
	assert_int_equal(point->decimals, -1);
	assert_true(isnan(point->min));
	point = &device->points[1];
	assert_int_equal(point->point.type, HAY_UINT16);
	assert_int_equal(point->point.flags, HAY_POINT_WRITABLE);
	assert_int_equal(point->point.every_us, 2000000);
	assert_int_equal(((const struct fake_point *)point->point.conf)->holding, 16);
	assert_false(point->report.set);
	assert_true(point->min == 30 && point->max == 75.5);
	assert_int_equal(point->decimals, 1);
	point = &device->points[2];
	assert_int_equal(point->point.type, HAY_TYPE_NONE);
	assert_string_equal(point->point.type_name, "bcd16");
	assert_true(point->report.set && !point->report.percent && point->report.deadband == 1);
}

/* A manual's "not available" as it is written there: 0x8000 is -32768 of an int16. */
static void raw_values_that_mean_not_available(void **state)
{
	struct place *place = *state;
	const struct point_conf *points;

	expect(place,
	       GATEWAY LINK "devices: ( { name = \"m\"; link = \"bus\"; points: (\n"
			    "{ name = \"a\"; holding = 1; type = \"int16\"; invalid = 0x8000; },\n"
			    "{ name = \"b\"; holding = 1; type = \"uint32\"; invalid = [ 0xffffffffL, 7L ]; },\n"
			    "{ name = \"c\"; holding = 1; type = \"uint64\"; invalid = \"0xffffffffffffffff\"; },\n"
			    "{ name = \"d\"; holding = 1; type = \"float32\"; invalid = ( \"nan\", -999.5 ); },\n"
			    "{ name = \"e\"; holding = 1; type = \"int64\"; invalid = -1; },\n"
			    "{ name = \"f\"; holding = 1; type = \"uint16\"; } ); } );",
	       0, "");
	points = place->config->devices[0]->points;
	assert_int_equal(points[0].n_invalid, 1);
	assert_int_equal(points[0].invalid[0].i, -32768);
	assert_int_equal(points[1].n_invalid, 2);
	assert_true(points[1].invalid[0].u == UINT32_MAX && points[1].invalid[1].u == 7);
	assert_true(points[2].n_invalid == 1 && points[2].invalid[0].u == UINT64_MAX);
	assert_true(points[3].n_invalid == 2 && isnan(points[3].invalid[0].f) && points[3].invalid[1].f == -999.5f);
	assert_true(points[4].n_invalid == 1 && points[4].invalid[0].i == -1);
	assert_int_equal(points[5].n_invalid, 0);

	expect_device(place, "points: ( { name = \"a\"; holding = 1; type = \"int16\"; invalid = 65536; } );",
		      "haywain.conf:3: `invalid` must be a whole number of 16 bits: the raw value, before `scale`\n");
	expect_device(place, "points: ( { name = \"a\"; holding = 1; type = \"uint16\"; invalid = ( 1, -1 ); } );",
		      "haywain.conf:3: `invalid` must be a whole number of 16 bits without a sign: the raw value, "
		      "before `scale`\n");
	expect_device(place, "points: ( { name = \"a\"; holding = 1; type = \"float32\"; invalid = \"none\"; } );",
		      "haywain.conf:3: `invalid` must be a number or \"nan\": the raw value, before `scale`\n");
	expect_device(place, "points: ( { name = \"a\"; holding = 1; type = \"int16\"; invalid = 6553.5; } );",
		      "haywain.conf:3: `invalid` must be a whole number of 16 bits: the raw value, before `scale`\n");
	expect_device(place, "points: ( { name = \"a\"; holding = 1; type = \"string\"; invalid = 1; } );",
		      "haywain.conf:3: `invalid` is for numbers, but this is a string\n");
}

static void bad_sections_refuse_the_start(void **state)
{
	struct place *place = *state;

	expect(place, "gateway: { id = \"my barn\"; logs = 1; };\nqueue: { commit = 200; };", -EBADMSG,
	       "haywain.conf:1: `id` must be 1 to 64 letters, digits, `_`, `.` or `-`, not \"my barn\"\n"
	       "haywain.conf:1: unknown key `logs`; haywain.conf(5) lists the keys\n"
	       "haywain.conf:2: `commit` needs a unit: write \"200s\" or \"200ms\", not 200\n");
	expect(place, GATEWAY "deivces: ();", -EBADMSG,
	       "haywain.conf:2: unknown key `deivces`, did you mean `devices`?\n");
	expect(place, GATEWAY "self = 10;\napi = true;", -EBADMSG,
	       "haywain.conf:3: `api` must be a group: { … }\n"
	       "haywain.conf:2: `self` must be true, false or a period like \"10s\"\n");
	/* It was good, and the daemon then took itself for another process that listens there. */
	expect(place, GATEWAY "api: { socket = \"/srv/a\"; read_socket = \"/srv/a\"; };", -EBADMSG,
	       "haywain.conf:2: api.socket and api.read_socket are both /srv/a: each needs a path of its own\n");
	expect(place, GATEWAY "api: { socket = \"/srv/read.sock\"; };", -EBADMSG,
	       "haywain.conf:2: api.socket and api.read_socket are both /srv/read.sock: each needs a path of its "
	       "own\n");
	expect(place, GATEWAY "api: { socket = \"\"; read_socket = \"\"; };", 0, "");
	expect(place, GATEWAY "self = \"1ms\";", -EBADMSG,
	       "haywain.conf:2: `self` must be from \"1s\" to \"366d\", not \"1ms\"\n");
	expect(place, GATEWAY "uplinks = 5;", -EBADMSG,
	       "haywain.conf:2: `uplinks` must be a list of groups: uplinks: ( { … }, { … } );\n");
	expect(place, GATEWAY "links: (\n", -EBADMSG,
	       "haywain.conf:2: the `(` is not closed: `)` is missing before the end of the file\n");
}

/* A key that stands in the wrong section was only "unknown", or was taken for its nearest neighbour. */
static void a_key_in_the_wrong_section_is_told_where_it_belongs(void **state)
{
	struct place *place = *state;

	expect(place, "gateway: { id = \"barn\"; max_size = \"1MB\"; };\nid = \"x\";", -EBADMSG,
	       "haywain.conf:2: unknown key `id` here: it belongs in `gateway`\n"
	       "haywain.conf:1: unknown key `max_size` here: it belongs in `queue`\n");
	expect_device(place, "scale = 0.1;", "haywain.conf:3: unknown key `scale` here: it belongs in a point\n");
	expect_device(place, "baud = 9600;", "haywain.conf:3: unknown key `baud` here: it belongs in a link\n");
	expect_device(place, "report: { at_most = \"1s\"; };",
		      "haywain.conf:3: unknown key `at_most`: it is called `min_interval` now, the shortest time "
		      "between two reports\n");
}

static void bad_devices_are_left_out(void **state)
{
	struct place *place = *state;

	expect_device(place, "unit = 3; " POINT, "");
	expect_device(place, "unti = 3;", "haywain.conf:3: unknown key `unti`, did you mean `unit`?\n");
	expect_device(place, "every = \"0s\";",
		      "haywain.conf:3: `every` must be from \"1ms\" to \"366d\", not \"0s\"\n");
	expect_device(place, "unit = 13;", "haywain.conf:3: `unit` 13 is slow\n");
	expect_device(place, "plugin = \"fake\";",
		      "haywain.conf:3: unknown key `plugin`: a device speaks what its link `bus` speaks\n");
	expect_device(place, "tags: { room = 5; };",
		      "haywain.conf:3: the tag `room` must be a text in quotes, like \"cellar\"\n");
	expect_device(place, "points: { name = \"x\"; };",
		      "haywain.conf:3: `points` must be a list of groups: points: ( { … }, { … } );\n");
	expect_device(place, "report: { min_interval = \"10s\"; max_interval = \"5s\"; };",
		      "haywain.conf:3: `min_interval` is longer than `max_interval`\n");
	expect_device(place, "report: { deadband = \"1 %\"; };",
		      "haywain.conf:3: `deadband` must be a number from 0, or a share like \"1%\", not \"1 %\"\n");
	expect_device(place, "report: { deadband = -1; };",
		      "haywain.conf:3: `deadband` must be a number from 0, or a share like \"1%\", not \"-1\"\n");
}

static void bad_points(void **state)
{
	struct place *place = *state;

#define P(keys) "points: ( { name = \"p\"; holding = 1; " keys " } );"
	expect_device(place, "points: ( { holding = 1; } );",
		      "haywain.conf:3: this point: `name` is missing (what the reading is called)\n");
	expect_device(place, "points: ( { name = \"p\"; } );", "haywain.conf:3: point `p`: `holding` is missing\n");
	expect_device(place, P("scale = 0;"),
		      "haywain.conf:3: `scale` = 0 would make every reading the same: leave it out for no scaling\n");
	expect_device(place, P("min = 3; max = 2;"), "haywain.conf:3: `min` is greater than `max`\n");
	expect_device(place, P("type = \"unit16\";"),
		      "haywain.conf:3: unknown type `unit16`, did you mean `uint16`?\n");
	expect_device(place, P("type = \"bcd61\";"), "haywain.conf:3: unknown type `bcd61`, did you mean `bcd16`?\n");
	expect_device(place, P("type = \"int\";"),
		      "haywain.conf:3: unknown type `int`, did you mean `int16`, `int32` or `int64`?\n");
	expect_device(place, P("type = \"UINT16\";"),
		      "haywain.conf:3: unknown type `UINT16`, did you mean `uint16`?\n");
	expect_device(place, P("type = \"BCD\";"), "haywain.conf:3: unknown type `BCD`, did you mean `bcd16`?\n");
	expect_device(place, P("type = \"double\";"),
		      "haywain.conf:3: unknown type `double`, did you mean `float64`?\n");
	expect_device(place, P("type = \"bool\"; scale = 2;"),
		      "haywain.conf:3: `scale` is for numbers, but this is a bool\n");
	expect_device(place, P("regster = 2;"),
		      "haywain.conf:3: unknown key `regster`; `haywain help fake` lists the keys\n");
	expect_device(place, "points: ( { name = \"p\"; holding = 1; },\n{ name = \"p\"; holding = 2; } );",
		      "haywain.conf:4: point `p` is defined twice in this device; first defined at haywain.conf:3\n");
	/* Several at once. */
	expect_device(place,
		      "unit = 300;\npoints: ( { name = \"p\"; holding = \"1\"; },\n{ name = \"q\"; scael = 2; } );",
		      "haywain.conf:3: `unit` must be from 1 to 247, not 300\n"
		      "haywain.conf:4: `holding` must be a number without quotes: write 1\n"
		      "haywain.conf:5: unknown key `scael`, did you mean `scale`?\n");
	expect(place,
	       GATEWAY "links: ( { name = \"m\"; plugin = \"mute\"; } ); devices: ( { name = \"d\"; link = \"m\";\n"
		       "points: ( { name = \"p\"; access = \"write\"; } ); } );",
	       0, "haywain.conf:3: plugin `mute` cannot write: `access` must be \"read\"\n");
}

static void links_take_their_devices_along(void **state)
{
	struct place *place = *state;

	expect(place,
	       GATEWAY "links: ( { name = \"a\"; plugin = \"fake\"; },\n"
		       "{ name = \"b\"; plugin = \"nope\"; },\n"
		       "{ name = \"c\"; plugin = \"fake\"; port = \"x\"; baud = true; buad = 1; },\n"
		       "{ name = \"good\"; plugin = \"fake\"; port = \"x\"; } );\n"
		       "devices: ( { name = \"d1\"; link = \"a\"; },\n"
		       "{ name = \"d2\"; link = \"godo\"; },\n"
		       "{ name = \"d3\"; link = \"b\"; enabled = false; },\n"
		       "{ name = \"d4\"; link = \"good\"; },\n"
		       "{ name = \"gateway\"; link = \"good\"; } );",
	       0,
	       "haywain.conf:2: link `a`: `port` is missing\n"
	       "haywain.conf:3: there is no plugin `nope`: in /nonexistent there is none\n"
	       "haywain.conf:4: `baud` must be a whole number, like 9600\n"
	       "haywain.conf:4: unknown key `buad`, did you mean `baud`?\n"
	       "haywain.conf:6: device `d1` cannot be used while its link `a` has errors\n"
	       "haywain.conf:7: there is no link `godo`, did you mean `good`?\n"
	       "haywain.conf:10: the device name `gateway` is reserved: the gateway reports on itself under it\n");
	assert_int_equal(place->config->n_links, 1);
	assert_int_equal(place->config->n_devices, 1);
	assert_string_equal(place->config->devices[0]->name, "d4");
	assert_int_equal(place->config->n_bad, 5);
	assert_int_equal(place->config->bad[0].kind, CONFIG_BAD_LINK);
	assert_string_equal(place->config->bad[3].name, "d1");
}

static void the_later_of_two_names_is_bad(void **state)
{
	struct place *place = *state;

	put(place, "conf.d/b.conf", "devices: ( { name = \"d\"; link = \"bus\"; } );");
	put(place, "conf.d/a.conf", "links: ( { name = \"bus\"; plugin = \"fake\"; port = \"y\"; } );");
	expect(place, GATEWAY LINK "devices: ( { name = \"d\"; link = \"bus\"; " POINT " } );", 0,
	       "conf.d/a.conf:1: link `bus` is defined twice; first defined at haywain.conf:2\n"
	       "conf.d/b.conf:1: device `d` is defined twice; first defined at haywain.conf:3\n");
	assert_int_equal(place->config->n_devices, 1);
	assert_int_equal(place->config->devices[0]->n_points, 1);
	assert_string_equal(((struct fake_link *)place->config->links[0]->conf)->port, "/dev/x");
}

static void conf_d(void **state)
{
	struct place *place = *state;

	put(place, "conf.d/10.conf", "devices: ( { name = \"two\"; link = \"bus\"; " POINT " } );");
	put(place, "conf.d/05.conf",
	    "devices: ( { name = \"one\"; link = \"bus\"; " POINT " } );\nqueue: { };\nlogs = 1;");
	put(place, "conf.d/20.conf", "devices: ( { name = \"three\"; link = \"bus\"; );");
	put(place, "conf.d/30.conf~", "nonsense");
	put(place, "conf.d/.30.conf", "nonsense");
	expect(place, GATEWAY LINK, 0,
	       "conf.d/05.conf:3: unknown key `logs`; haywain.conf(5) lists the keys\n"
	       "conf.d/20.conf:1: the `{` is not closed: `}` is missing before line 1\n");
	assert_int_equal(place->config->n_devices, 2);
	assert_string_equal(place->config->devices[0]->name, "one");
	assert_string_equal(place->config->devices[1]->name, "two");
	assert_int_equal(place->config->n_bad, 1);
	assert_int_equal(place->config->bad[0].kind, CONFIG_BAD_FILE);
	assert_non_null(strstr(place->config->bad[0].name, "/conf.d/20.conf"));
}

/* An owner's own file makes the delivered one a file that nobody edits, and no upgrade asks about it. */
static void one_gateway_in_any_file(void **state)
{
	struct place *place = *state;

	put(place, "conf.d/50-mine.conf",
	    "gateway: { id = \"barn-7\"; };\nqueue: { max_age = \"3d\"; };\nself = false;\napi: { socket = \"\"; };");
	expect(place, "# nothing here\n", 0, "");
	assert_string_equal(place->config->gateway.id, "barn-7");
	assert_string_equal(place->config->api_socket, "");
	assert_int_equal(place->config->self_every_us, 0);

	expect(place, GATEWAY, -EBADMSG,
	       "conf.d/50-mine.conf:1: `gateway` is defined twice; first defined at haywain.conf:1: make one of the two\n");
	put(place, "conf.d/60.conf", "queue: { };");
	expect(place, "", -EBADMSG,
	       "conf.d/60.conf:1: `queue` is defined twice; first defined at conf.d/50-mine.conf:2: make one of the two\n");
}

/* Left out, it would have sent everything under the host's name, or had the queue forget an uplink. */
static void a_broken_file_that_may_name_the_gateway_is_not_left_out(void **state)
{
	static const char vital[] =
		"conf.d/50.conf:0: this file may hold the gateway's name, its queue or its uplinks: without it nothing can be started or changed\n";
	static const char *const files[] = {"gateway: { id = \"x\";\n", "uplinks : ( { name = \"x\"; \n",
					    " self = ;\n"};
	struct place *place = *state;

	for (size_t i = 0; i < ELEMENTS(files); i++) {
		put(place, "conf.d/50.conf", files[i]);
		put(place, "haywain.conf", GATEWAY LINK);
		load(place);
		assert_int_equal(place->r, -EBADMSG);
		assert_non_null(strstr(place->lines, vital));
	}
	put(place, "conf.d/50.conf", "# gateway: \ndevices: ( { name = \"x\"; },\n");
	put(place, "haywain.conf", GATEWAY LINK);
	load(place);
	assert_int_equal(place->r, 0);
	assert_null(strstr(place->lines, "may hold"));
}

static void note_model(const char *name, const char *path, void *userdata)
{
	char *at = userdata;

	sprintf(at + strlen(at), "%s=%s;", name, strstr(path, "models"));
}

static void models(void **state)
{
	struct place *place = *state;
	struct device_conf *device;

	put(place, "models1/meter.conf",
	    "model: { plugin = \"fake\"; manual = \"A 1\"; every = \"3s\"; unit = 7; tags: { kind = \"meter\"; room = "
	    "\"?\"; };\n"
	    "points: ( { name = \"v\"; holding = 1; scale = 0.1; unit = \"V\"; report: { deadband = 1; max_interval = "
	    "\"1m\"; }; },\n"
	    "{ name = \"i\"; holding = 2; }, { name = \"f\"; holding = 3; } ); };");
	expect_device(place,
		      "model = \"meter\"; unit = 9; tags: { room = \"hall\"; };\n"
		      "points: ( { name = \"i\"; enabled = false; }, { name = \"own\"; holding = 4; },\n"
		      "{ name = \"v\"; scale = 0.5; report: { deadband = 2; }; } );",
		      "");
	device = place->config->devices[0];
	assert_string_equal(device->model, "meter");
	assert_int_equal(device->every_us, 3000000);
	assert_int_equal(((struct fake_device *)device->conf)->unit, 9);
	assert_int_equal(device->n_tags, 2);
	assert_string_equal(device->tags[0].value, "meter");
	assert_string_equal(device->tags[1].value, "hall");
	assert_int_equal(device->n_points, 3);
	assert_string_equal(device->points[0].point.name, "v");
	assert_string_equal(device->points[1].point.name, "f");
	assert_string_equal(device->points[2].point.name, "own");
	assert_true(device->points[0].point.scale == 0.5);
	assert_true(device->points[0].report.deadband == 2);
	assert_int_equal(device->points[0].report.max_interval_us, USEC_PER_MINUTE);
	assert_int_equal(((const struct fake_point *)device->points[0].point.conf)->holding, 1);

	/* /etc goes before /usr/share. */
	put(place, "models0/meter.conf", "model: { plugin = \"fake\"; unit = 8; points: (); };");
	expect_device(place, "model = \"meter\";", "");
	assert_int_equal(((struct fake_device *)place->config->devices[0]->conf)->unit, 8);

	/* So does a list of them, which a copy of an editor is not in. */
	char listed[200] = "";

	put(place, "models0/meter.conf~", "");
	model_each(note_model, listed);
	assert_string_equal(listed, "meter=models0/meter.conf;");

	put(place, "models0/other.conf", "model: { plugin = \"mute\"; };");
	expect_device(place, "model = \"other\";",
		      "haywain.conf:3: the model `other` is for plugin `mute`, but link `bus` speaks `fake`\n");
	expect_device(place, "model = \"metre\";",
		      "haywain.conf:3: there is no model `metre` in models0 or models1, did you mean `meter`?\n");
	put(place, "models0/bad.conf", "model: { plugin = \"fake\"; name = \"x\";\nunti = 1; };\nmore = 1;");
	expect_device(place, "model = \"bad\";",
		      "models0/bad.conf:3: unknown key `more`: a model file holds one group `model`\n"
		      "models0/bad.conf:1: `name` belongs to a device, not to a model\n"
		      "haywain.conf:3: the model `bad` cannot be used: see models0/bad.conf\n");
	put(place, "models0/bad.conf", "model: { plugin = \"fake\";\nunti = 1; };");
	expect_device(place, "model = \"bad\";", "models0/bad.conf:2: unknown key `unti`, did you mean `unit`?\n");
	put(place, "models0/bad.conf", "model: { plugin = fake; };");
	expect_device(place, "model = \"bad\";",
		      "models0/bad.conf:1: fake makes no sense here: a text needs quotes, \"fake\"\n"
		      "haywain.conf:3: the model `bad` cannot be used: see models0/bad.conf\n");
}

static uint64_t device_digest(struct place *place, const char *device)
{
	expect_device(place, device, "");
	return place->config->devices[0]->digest;
}

static void device_digests(void **state)
{
	struct place *place = *state;
	uint64_t first;

	put(place, "models0/m.conf", "model: { plugin = \"fake\"; points: ( { name = \"v\"; holding = 1; } ); };");
	first = device_digest(place, "model = \"m\"; unit = 3;");
	assert_true(first == device_digest(place, "/* moved */ unit : 0x3,\nmodel = \"m\""));
	assert_true(first != device_digest(place, "model = \"m\"; unit = 4;"));
	put(place, "models0/m.conf",
	    "model: { plugin = \"fake\"; /* x */ points: ( { holding = 1; name = \"v\"; } ); };");
	assert_true(first == device_digest(place, "model = \"m\"; unit = 3;"));
	put(place, "models0/m.conf", "model: { plugin = \"fake\"; points: ( { name = \"v\"; holding = 2; } ); };");
	assert_true(first != device_digest(place, "model = \"m\"; unit = 3;"));
	put(place, "models0/m.conf",
	    "model: { plugin = \"fake\"; every = \"3s\"; points: ( { name = \"v\"; holding = 1; } ); };");
	assert_true(first != device_digest(place, "model = \"m\"; unit = 3;"));
}

static void uplinks_that_clash(void **state)
{
	struct place *place = *state;

	expect(place,
	       GATEWAY "uplinks: ( { name = \"a\"; url = \"mqtt://h\"; },\n"
		       "{ name = \"b\"; url = \"mqtt://H:1883\"; client_id = \"x\"; prefix = \"haywain/barn-1\"; },\n"
		       "{ name = \"a\"; url = \"mqtt://other\"; } );",
	       -EBADMSG,
	       "haywain.conf:3: uplinks `a` and `b` have the same broker and the same prefix \"haywain/barn-1\": "
	       "every reading "
	       "would come twice\n"
	       "haywain.conf:4: uplink `a` is defined twice; first defined at haywain.conf:2\n");
	expect(place,
	       GATEWAY "uplinks: ( { name = \"a\"; url = \"mqtt://h\"; },\n"
		       "{ name = \"b\"; url = \"mqtt://h\"; prefix = \"x\"; } );",
	       -EBADMSG,
	       "haywain.conf:3: uplinks `a` and `b` have the same broker and the same client_id \"barn-1\": the broker would disconnect each when the other connects\n");
}

static void tags_in_topics(void **state)
{
	struct place *place = *state;

#define UPLINK "uplinks: ( { name = \"u\"; url = \"mqtt://h\"; topic = \"{prefix}/{room}/{device}\"; } );\n"
	expect(place, GATEWAY LINK UPLINK "devices: ( { name = \"d\"; link = \"bus\"; tags: { room = \"hall\"; }; } );",
	       0, "");
	assert_int_equal(place->config->n_devices, 1);
	expect(place, GATEWAY LINK UPLINK "devices: ( { name = \"d\"; link = \"bus\"; } );", 0,
	       "haywain.conf:4: device `d` needs the tag `room`, which the topic of uplink `u` names: tags: { room = "
	       "\"…\"; };\n");
	assert_int_equal(place->config->n_devices, 0);
	expect(place,
	       GATEWAY LINK UPLINK "devices: ( { name = \"d\"; link = \"bus\"; tags: { room = \"big hall\"; }; } );", 0,
	       "haywain.conf:4: the tag `room` of device `d` is used in the topic of uplink `u`: it must be 1 to 64 "
	       "letters, digits, "
	       "`_`, `.` or `-`, not \"big hall\"\n");
}

static void host_names(void **state)
{
	struct place *place = *state;

	if (unshare(CLONE_NEWUTS) < 0 || sethostname("raspberrypi", 11) < 0) {
		print_message("host_names: cannot set a host name of its own here (%s)\n", strerror(errno));
		skip();
	}
	expect(place, "gateway: { };", 0,
	       "haywain.conf:1: warning: the gateway is named `raspberrypi` after its host: two gateways of the same name would disconnect each other at the broker; set gateway.id\n");
	assert_string_equal(place->config->gateway.id, "raspberrypi");
	assert_int_equal(sethostname("barn-7", 6), 0);
	expect(place, "", 0, "");
	assert_string_equal(place->config->gateway.id, "barn-7");
	assert_int_equal(sethostname("a b", 3), 0);
	expect(place, "", -EBADMSG,
	       "haywain.conf:0: the host name \"a b\" is not a valid gateway name: set gateway.id\n");
	assert_int_equal(sethostname("barn-7", 6), 0);
}

/* What waits in memory goes to the file at once when the disk heals: a file hardly larger lost all it held. */
static void max_size_against_memory(void **state)
{
	struct place *place = *state;

	expect(place, GATEWAY "queue: { max_size = \"4MB\"; memory = \"2MB\"; };", 0,
	       "haywain.conf:2: warning: queue.max_size (4.0 MB) is not well above queue.memory (2.0 MB): after a disk failure the samples from memory would push older ones out of the file; set at least four times as much\n");
	expect(place, GATEWAY "queue: { max_size = \"8MB\"; memory = \"2MB\"; };", 0, "");
}

static void the_example_is_good(void **state)
{
	struct place *place = *state;
	struct conf_messages messages = {0};

	assert_int_equal(config_load("etc/haywain.conf", place->plugins, &messages, &place->config), 0);
	assert_int_equal(messages.n_errors, 0);
	assert_int_equal(place->config->n_devices, 0);
	assert_int_equal(place->config->n_uplinks, 0);
	conf_messages_done(&messages);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(defaults),
		TEST(a_device),
		TEST(raw_values_that_mean_not_available),
		TEST(bad_sections_refuse_the_start),
		TEST(a_key_in_the_wrong_section_is_told_where_it_belongs),
		TEST(bad_devices_are_left_out),
		TEST(bad_points),
		TEST(links_take_their_devices_along),
		TEST(the_later_of_two_names_is_bad),
		TEST(conf_d),
		TEST(one_gateway_in_any_file),
		TEST(a_broken_file_that_may_name_the_gateway_is_not_left_out),
		TEST(models),
		TEST(device_digests),
		TEST(uplinks_that_clash),
		TEST(tags_in_topics),
		TEST(host_names),
		TEST(max_size_against_memory),
		TEST(the_example_is_good),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
