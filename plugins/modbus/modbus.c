/* SPDX-License-Identifier: Apache-2.0 */
/* Modbus: what a person may write, what is wrong with it, and the life of links and devices. */
#include "device.h"
#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

static const struct hay_option link_table[] = {
	{.key = "url",
	 .type = HAY_OPT_STRING,
	 .offset = offsetof(struct link_conf, url),
	 .flags = HAY_OPT_REQUIRED,
	 .help = "where the devices are: \"tcp://HOST[:502]\""},
	{.key = "timeout",
	 .type = HAY_OPT_DURATION,
	 .offset = offsetof(struct link_conf, timeout_us),
	 .fallback = "1s",
	 .min = 1000,
	 .max = 60 * 1000000,
	 .help = "how long to wait for a connection, and for an answer"},
	{.key = "retries",
	 .type = HAY_OPT_INT,
	 .offset = offsetof(struct link_conf, retries),
	 .fallback = "0",
	 .min = 0,
	 .max = 10,
	 .help = "how often a request without a right answer is asked again"},
	{.key = NULL},
};

static const struct hay_option device_table[] = {
	{.key = "unit",
	 .type = HAY_OPT_INT,
	 .offset = offsetof(struct device_conf, unit),
	 .min = 0,
	 .max = 255,
	 .flags = HAY_OPT_REQUIRED,
	 .help = "the device's unit id"},
	{.key = "max_registers",
	 .type = HAY_OPT_INT,
	 .offset = offsetof(struct device_conf, max_registers),
	 .fallback = "125",
	 .min = 1,
	 .max = PLAN_MAX_REGISTERS,
	 .help = "the most registers that one request asks for"},
	{.key = "max_hole",
	 .type = HAY_OPT_INT,
	 .offset = offsetof(struct device_conf, max_hole),
	 .fallback = "0",
	 .min = 0,
	 .max = PLAN_MAX_REGISTERS,
	 .help = "registers that nobody asked for but which may be read to join two requests"},
	{.key = NULL},
};

#define ADDRESS(name, table, what)                                                                                     \
	{                                                                                                              \
		.key = (name), .type = HAY_OPT_INT,                                                                    \
		.offset = offsetof(struct point_conf, address) + (table) * sizeof(int64_t), .fallback = "-1",          \
		.min = 0, .max = UINT16_MAX, .help = "protocol address of " what ", from 0"                            \
	}

static const struct hay_option point_table[] = {
	ADDRESS("holding", TABLE_HOLDING, "a holding register"),
	ADDRESS("input", TABLE_INPUT, "an input register"),
	ADDRESS("coil", TABLE_COIL, "a coil"),
	ADDRESS("discrete", TABLE_DISCRETE, "a discrete input"),
	{.key = "order",
	 .type = HAY_OPT_STRING,
	 .offset = offsetof(struct point_conf, order),
	 .help = "the order of a value's bytes on the wire, A the most significant: \"ABCD\", \"CDAB\", …"},
	{.key = NULL},
};

static const char *const table_keys[N_TABLES] = {"coil", "discrete", "holding", "input"};

static void check_link(const void *conf, const struct hay_report *report)
{
	const struct link_conf *c = conf;
	const char *error;
	struct url url;

	if (c->url && url_parse(c->url, &url, &error) < 0)
		report->error(report, "url", "url \"%s\": %s", c->url, error);
}

/* Where a point lies. Its type is known. */
static struct plan_place place_of(const struct point_conf *conf, enum hay_type type)
{
	struct plan_place place = {.count = 1};

	for (unsigned table = 0; table < N_TABLES; table++) {
		if (conf->address[table] < 0)
			continue;
		place.table = table;
		place.address = (uint16_t)conf->address[table];
		if (table >= TABLE_HOLDING)
			place.count = (uint16_t)types_registers(type);
	}
	return place;
}

static void check_order(const struct point_conf *c, enum hay_type type, const struct hay_report *report)
{
	static const char *const examples[TYPES_BYTES_MAX + 1] = {
		[2] = "\"AB\" or \"BA\"",
		[4] = "\"ABCD\", \"CDAB\", \"BADC\" or \"DCBA\"",
		[8] = "\"ABCDEFGH\", \"GHEFCDAB\", \"BADCFEHG\", \"HGFEDCBA\" or the like",
	};
	struct value_form form;

	if (c->order && types_form(type, c->order, &form) < 0)
		report->error(report, "order", "order \"%s\" does not fit the type; right would be %s", c->order,
			      examples[types_registers(type) * 2]);
}

static void check_point(struct hay_point *point, const void *device_conf, const void *link_conf,
			const struct hay_report *report)
{
	const struct point_conf *c = point->conf;
	const struct device_conf *device = device_conf;
	const char *key = NULL;
	struct plan_place place;
	unsigned n = 0;

	(void)link_conf;
	for (unsigned table = 0; table < N_TABLES; table++)
		if (c->address[table] >= 0) {
			key = table_keys[table];
			n++;
		}
	if (n != 1) {
		report->error(report, key, "a point has one of holding, input, coil and discrete, not %s",
			      n ? "several" : "none");
		return;
	}
	if (point->type == HAY_TYPE_NONE)
		point->type = c->address[TABLE_COIL] >= 0 || c->address[TABLE_DISCRETE] >= 0 ? HAY_BOOL : HAY_UINT16;
	place = place_of(c, point->type);
	if (place.table < TABLE_HOLDING) {
		if (point->type != HAY_BOOL)
			report->error(report, "type", "a %s is a bit; its type is \"bool\"",
				      place.table == TABLE_COIL ? "coil" : "discrete input");
		if (c->order)
			report->error(report, "order", "a bit has no order of bytes");
	} else if (!place.count) {
		report->error(report, "type", "type \"%s\" is not read from registers; right would be a number or bool",
			      point->type_name);
	} else {
		check_order(c, point->type, report);
		if (place.address + place.count > UINT16_MAX + 1)
			report->error(report, key, "a value of %u registers at %s = %u runs past the last one, 65535",
				      place.count, key, place.address);
		if (place.count > device->max_registers)
			report->error(report, "type",
				      "the value takes %u registers, but max_registers of the device is %u",
				      place.count, (unsigned)device->max_registers);
	}
}

static void close_link(struct hay_link *link)
{
	struct modbus_link *ml = link->state;

	transport_free(ml->transport);
	free(ml);
	link->state = NULL;
}

static int open_link(struct hay_link *link)
{
	const struct link_conf *conf = link->conf;
	struct modbus_link *ml = calloc(1, sizeof(*ml));
	const char *error;
	struct url url;
	int r;

	if (!ml)
		return -ENOMEM;
	ml->link = link;
	ml->retries = (unsigned)conf->retries;
	r = url_parse(conf->url, &url, &error);
	if (r == 0)
		r = transport_new_tcp(&url, conf->timeout_us, link->host->now, &ml->transport);
	if (r < 0) {
		free(ml);
		return r;
	}
	link->state = ml;
	return 0;
}

static void device_free(struct modbus_device *md)
{
	plan_cache_done(&md->plans);
	free(md->places);
	free(md->forms);
	free(md->readings);
	free(md);
}

static void stop_device(struct hay_device *device)
{
	device_free(device->state);
	device->state = NULL;
}

static int start_device(struct hay_device *device)
{
	const struct device_conf *conf = device->conf;
	struct modbus_device *md = calloc(1, sizeof(*md));

	if (!md)
		return -ENOMEM;
	md->device = device;
	md->link = device->link->state;
	md->unit = (uint8_t)conf->unit;
	md->limits = (struct plan_limits){.max_registers = (unsigned)conf->max_registers,
					  .max_hole = (unsigned)conf->max_hole};
	md->places = calloc((size_t)device->n_points + 1, sizeof(*md->places));
	md->forms = calloc((size_t)device->n_points + 1, sizeof(*md->forms));
	md->readings = calloc((size_t)device->n_points + 1, sizeof(*md->readings));
	if (!md->places || !md->forms || !md->readings) {
		device_free(md);
		return -ENOMEM;
	}
	for (uint32_t i = 0; i < device->n_points; i++) {
		const struct hay_point *point = device->points[i];
		const struct point_conf *point_conf = point->conf;
		int r;

		md->places[i] = place_of(point_conf, point->type);
		r = types_form(point->type, point_conf->order, &md->forms[i]);
		if (r < 0) {
			device_free(md);
			return r;
		}
	}
	device->state = md;
	return 0;
}

static int poll_device(struct hay_device *device, const uint32_t *due, size_t n_due)
{
	return round_begin(device->state, due, n_due);
}

HAY_PLUGIN("modbus", .version = HAYWAIN_VERSION, .summary = "Modbus devices over TCP",
	   .link_options = {.table = link_table, .size = sizeof(struct link_conf)},
	   .device_options = {.table = device_table, .size = sizeof(struct device_conf)},
	   .point_options = {.table = point_table, .size = sizeof(struct point_conf)}, .check_link = check_link,
	   .check_point = check_point, .open = open_link, .close = close_link, .start = start_device,
	   .stop = stop_device, .poll = poll_device);
