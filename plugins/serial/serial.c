/* SPDX-License-Identifier: Apache-2.0 */
/* serial: the life of links and devices. */
#include "serial.h"
#include "check.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* ---- links ---- */

static void close_link(struct hay_link *link)
{
	struct serial_link *line = link->state;

	line_close(line);
	framer_free(line->framer);
	if (line->decoder)
		decoder_clear(line->decoder, &line->record);
	decoder_free(line->decoder);
	record_done(&line->record);
	free(line);
	link->state = NULL;
}

static int open_link(struct hay_link *link)
{
	const struct serial_link_conf *conf = link->conf;
	struct serial_link *line = calloc(1, sizeof(*line));
	char error[DECODE_ERROR_MAX];
	struct decode_rules decode;
	int r;

	if (!line)
		return -ENOMEM;
	line->link = link;
	line->host = link->host;
	line->conf = conf;
	line->fd = -1;
	link->state = line;
	line->port = (struct port_rules){.path = conf->port,
					 .baud = (unsigned)conf->baud,
					 .flow = (enum port_flow)conf->flow,
					 .dtr = conf->dtr,
					 .rs485 = conf->rs485};
	serial_decode_rules(conf, &decode);
	r = port_mode_parse(conf->mode, &line->port.mode);
	if (r == 0)
		r = serial_frame_rules(conf, &line->frame);
	if (r == 0 && conf->decode == DECODE_BINARY && conf->match_field)
		r = serial_match_place(conf->match_field, &line->match_place);
	if (r == 0)
		r = record_init(&line->record, 4 * (size_t)conf->max_frame + 4096);
	if (r == 0)
		r = decoder_new(&decode, &line->decoder, error);
	if (r == 0 && !(line->framer = framer_new(&line->frame, route_frame, line)))
		r = -ENOMEM;
	if (r == 0)
		r = line_open(line);
	if (r < 0)
		close_link(link);
	return r;
}

/* ---- devices ---- */

/* Whether nothing comes but answers: then what else is in the line before a request is old. */
static void count_asked(struct serial_link *line)
{
	line->only_asked = line->devices != NULL;
	for (const struct serial_device *device = line->devices; device; device = device->next)
		if (!device->request.data)
			line->only_asked = false;
}

static void device_free(struct serial_device *device)
{
	for (uint32_t i = 0; device->points && i < device->n_own; i++)
		regex_free(device->points[i].ack);
	for (size_t i = 0; i < device->n_found; i++) {
		free(device->found[i].name);
		free(device->found[i].said);
	}
	free(device->found);
	free(device->points);
	free(device->readings);
	free(device->due);
	free(device->request.data);
	free(device);
}

static void stop_device(struct hay_device *hay)
{
	struct serial_device *device = hay->state, **at = &device->line->devices;

	exchange_forget(device);
	while (*at != device)
		at = &(*at)->next;
	*at = device->next;
	count_asked(device->line);
	device_free(device);
	hay->state = NULL;
}

static int prepare_point(const struct hay_point *hay, const struct serial_link_conf *link, struct serial_point *point)
{
	const struct serial_point_conf *conf = hay->conf;
	char error[DECODE_ERROR_MAX];

	point->field = text_of(conf->field ? conf->field : hay->name);
	if (conf->write_ack && regex_new(conf->write_ack, false, &point->ack, error) < 0)
		return -EINVAL;
	return link->decode == DECODE_BINARY ? serial_binary_form(conf, hay->type, hay->type_name, &point->form) : 0;
}

static int start_device(struct hay_device *hay)
{
	struct serial_link *line = hay->link->state;
	const struct serial_device_conf *conf = hay->conf;
	const char *request = conf->request ? conf->request : line->conf->request;
	struct serial_device *device = calloc(1, sizeof(*device));
	int r = 0;

	if (!device)
		return -ENOMEM;
	device->device = hay;
	device->line = line;
	device->match = text_of(conf->match);
	device->points = calloc((size_t)hay->n_points + 1, sizeof(*device->points));
	device->due = calloc((size_t)hay->n_points + 1, sizeof(*device->due));
	device->n_own = hay->n_points;
	r = device->points && device->due ? values_reserve(device, hay->n_points) : -ENOMEM;
	if (r == 0 && request)
		r = template_fill(request, NULL, &line->frame, &device->request);
	for (uint32_t i = 0; i < hay->n_points && r == 0; i++)
		r = prepare_point(hay->points[i], line->conf, &device->points[i]);
	if (r < 0) {
		device_free(device);
		return r;
	}
	hay->state = device;
	hay->flags |= request ? HAY_DEVICE_POLLED_WHOLE : HAY_DEVICE_UNPOLLED;
	device->next = line->devices;
	line->devices = device;
	count_asked(line);
	return 0;
}

static int poll_device(struct hay_device *device, const uint32_t *due, size_t n_due)
{
	return exchange_poll(device->state, due, n_due);
}

HAY_PLUGIN("serial", .version = HAYWAIN_VERSION, .summary = "what boards and meters say on serial lines",
	   .types = conf_types, .link_options = {.table = conf_link_table, .size = sizeof(struct serial_link_conf)},
	   .device_options = {.table = conf_device_table, .size = sizeof(struct serial_device_conf)},
	   .point_options = {.table = conf_point_table, .size = sizeof(struct serial_point_conf)},
	   .check_link = check_link, .check_device = check_device, .check_point = check_point, .open = open_link,
	   .close = close_link, .start = start_device, .stop = stop_device, .poll = poll_device,
	   .write = exchange_write, .probe = serial_probe, .probe_link = HAY_PROBE_TAKES_LINK);
