/* SPDX-License-Identifier: Apache-2.0 */
/* Modbus: the life of links and devices. */
#include "device.h"
#include "probe.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>

static void close_link(struct hay_link *link)
{
	struct modbus_link *ml = link->state;

	link->host->del_fd(ml->watch);
	link->host->del_timer(ml->timer);
	transport_free(ml->transport);
	free(ml);
	link->state = NULL;
}

static int open_link(struct hay_link *link)
{
	const struct modbus_link_conf *conf = link->conf;
	struct modbus_link *ml = calloc(1, sizeof(*ml));
	struct transport_conf transport;
	struct tty_conf tty;
	struct url url;
	int r;

	if (!ml)
		return -ENOMEM;
	ml->link = link;
	ml->retries = (unsigned)conf->retries;
	ml->port = conf->port;
	conf_transport(conf, link->host->now, &url, &tty, &transport);
	r = transport_new(&transport, &ml->transport);
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
	free(md->texts);
	free(md->text);
	free(md->readings);
	free(md->to_ask);
	free(md->cuts);
	free(md->states);
	free(md);
}

static void stop_device(struct hay_device *device)
{
	write_stop(device->state);
	round_forget(device->state);
	device_free(device->state);
	device->state = NULL;
}

static int start_device(struct hay_device *device)
{
	const struct modbus_device_conf *conf = device->conf;
	struct modbus_device *md = calloc(1, sizeof(*md));
	size_t n = (size_t)device->n_points + 1, room = 1;

	if (!md)
		return -ENOMEM;
	md->device = device;
	md->link = device->link->state;
	md->unit = (uint8_t)conf->unit;
	md->limits = (struct plan_limits){.max_registers = (unsigned)conf->max_registers,
					  .max_hole = (unsigned)conf->max_hole};
	md->places = calloc(n, sizeof(*md->places));
	md->forms = calloc(n, sizeof(*md->forms));
	md->texts = calloc(n, sizeof(*md->texts));
	md->readings = calloc(n, sizeof(*md->readings));
	md->to_ask = calloc(n, sizeof(*md->to_ask));
	md->cuts = calloc(CUTS_MAX, sizeof(*md->cuts));
	md->states = calloc(n, sizeof(*md->states));
	md->is_present = md->had_values = true;
	if (!md->places || !md->forms || !md->texts || !md->readings || !md->to_ask || !md->cuts || !md->states) {
		device_free(md);
		return -ENOMEM;
	}
	for (uint32_t i = 0; i < device->n_points; i++) {
		conf_point(device->points[i], &md->places[i], &md->forms[i]);
		md->texts[i] = room;
		room += types_text_room(&md->forms[i]);
	}
	md->text = malloc(room);
	if (!md->text) {
		device_free(md);
		return -ENOMEM;
	}
	device->state = md;
	learn_recall(md);
	return 0;
}

static int poll_device(struct hay_device *device, const uint32_t *due, size_t n_due)
{
	return round_begin(device->state, due, n_due);
}

static int write_point(struct hay_command *command)
{
	return write_begin(command->device->state, command);
}

HAY_PLUGIN("modbus", .flags = HAY_PLUGIN_NEEDS_POINTS, .version = HAYWAIN_VERSION,
	   .summary = "Modbus devices over TCP and on serial lines", .types = types_own,
	   .link_options = {.table = conf_link_table, .size = sizeof(struct modbus_link_conf)},
	   .device_options = {.table = conf_device_table, .size = sizeof(struct modbus_device_conf)},
	   .point_options = {.table = conf_point_table, .size = sizeof(struct modbus_point_conf)},
	   .check_link = conf_check_link, .check_device = conf_check_device, .check_point = conf_check_point,
	   .open = open_link, .close = close_link, .start = start_device, .stop = stop_device, .poll = poll_device,
	   .write = write_point, .probe = probe_modbus, .probe_link = HAY_PROBE_ON_LINK);
