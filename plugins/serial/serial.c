/* SPDX-License-Identifier: Apache-2.0 */
/* serial: what a person may write, and the life of links and devices. */
#include "serial.h"
#include "check.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>

static const char *const flows[] = {"none", "rtscts", "xonxoff", NULL};
static const char *const frames[] = {"line", "fixed", "length-prefixed", "stx-etx", "idle", "sml", NULL};
static const char *const orders[] = {"big", "little", NULL};
static const char *const checksums[] = {"none",		"xor",	       "sum8",	    "sum8-zero", "sum16",
					"crc16-modbus", "crc16-ccitt", "crc16-arc", "crc16-x25", NULL};
static const char *const checksum_places[] = {"end", "after", NULL};
static const char *const checksum_scopes[] = {"content", "end", "marks", NULL};
static const char *const checksum_forms[] = {"auto", "bytes", "hex", NULL};
static const char *const decoders[] = {"json", "csv", "keyvalue", "regex", "nmea", "binary", "obis", "sml", NULL};
static const char *const decimals[] = {".", ",", NULL};
static const char *const time_units[] = {"s", "ms", "us", "iso", NULL};
/* Beside the plain types, in frames of bytes. */
static const char *const own_types[] = {"int8", "uint8", "int24", "uint24", NULL};

#define LINK(name) .offset = offsetof(struct serial_link_conf, name)

static const struct hay_option link_table[] = {
	{.key = "port",
	 .type = HAY_OPT_STRING,
	 LINK(port),
	 .flags = HAY_OPT_REQUIRED,
	 .help = "the device file; best /dev/serial/by-id/…"},
	{.key = "baud",
	 .type = HAY_OPT_INT,
	 LINK(baud),
	 .fallback = "9600",
	 .min = 50,
	 .max = 12000000,
	 .help = "bits a second, any number the port can do"},
	{.key = "mode", .type = HAY_OPT_STRING, LINK(mode), .fallback = "8N1", .help = "data bits, parity, stop bits"},
	{.key = "flow",
	 .type = HAY_OPT_CHOICE,
	 LINK(flow),
	 .fallback = "none",
	 .choices = flows,
	 .help = "flow control"},
	{.key = "dtr",
	 .type = HAY_OPT_BOOL,
	 LINK(dtr),
	 .fallback = "true",
	 .help = "raise DTR; false for boards that it resets"},
	{.key = "settle",
	 .type = HAY_OPT_DURATION,
	 LINK(settle_us),
	 .fallback = "0s",
	 .min = 0,
	 .max = 60000000,
	 .help = "ignore what comes this long after opening"},
	{.key = "rs485", .type = HAY_OPT_BOOL, LINK(rs485), .help = "let the driver switch an RS-485 transceiver"},
	{.key = "frame",
	 .type = HAY_OPT_CHOICE,
	 LINK(frame),
	 .fallback = "line",
	 .choices = frames,
	 .help = "how frames are told apart"},
	{.key = "delimiter",
	 .type = HAY_OPT_STRING,
	 LINK(delimiter),
	 .help = "line: what ends one; else \"\\n\", \"\\r\" or both"},
	{.key = "length",
	 .type = HAY_OPT_INT,
	 LINK(length),
	 .fallback = "0",
	 .min = 1,
	 .max = 65536,
	 .help = "fixed: bytes in a frame, checksum included"},
	{.key = "length_at",
	 .type = HAY_OPT_INT,
	 LINK(length_at),
	 .fallback = "0",
	 .min = 0,
	 .max = 255,
	 .help = "length-prefixed: where the length stands, from 0"},
	{.key = "length_size",
	 .type = HAY_OPT_INT,
	 LINK(length_size),
	 .fallback = "1",
	 .min = 1,
	 .max = 2,
	 .help = "length-prefixed: bytes of the length"},
	{.key = "length_order",
	 .type = HAY_OPT_CHOICE,
	 LINK(length_order),
	 .fallback = "big",
	 .choices = orders,
	 .help = "length-prefixed: which byte of the length comes first"},
	{.key = "length_adds",
	 .type = HAY_OPT_INT,
	 LINK(length_adds),
	 .fallback = "0",
	 .min = -1024,
	 .max = 1024,
	 .help = "length-prefixed: bytes after the length = its value + this"},
	{.key = "start", .type = HAY_OPT_STRING, LINK(start), .help = "what a frame begins with; stx-etx: \"\\x02\""},
	{.key = "end", .type = HAY_OPT_STRING, LINK(end), .help = "stx-etx: what a frame ends with; \"\\x03\""},
	{.key = "escape",
	 .type = HAY_OPT_STRING,
	 LINK(escape),
	 .help = "stx-etx: the byte after this one stands for itself"},
	{.key = "gap",
	 .type = HAY_OPT_DURATION,
	 LINK(gap_us),
	 .fallback = "50ms",
	 .min = 1000,
	 .max = 60000000,
	 .help = "idle: the silence that ends a frame"},
	{.key = "max_frame",
	 .type = HAY_OPT_SIZE,
	 LINK(max_frame),
	 .fallback = "4KB",
	 .min = 1,
	 .max = 65536,
	 .help = "longer ones are dropped"},
	{.key = "checksum",
	 .type = HAY_OPT_CHOICE,
	 LINK(checksum),
	 .fallback = "none",
	 .choices = checksums,
	 .help = "what shows whether a frame came unharmed"},
	{.key = "checksum_at",
	 .type = HAY_OPT_CHOICE,
	 LINK(checksum_at),
	 .fallback = "end",
	 .choices = checksum_places,
	 .help = "line, stx-etx: the last of the frame, or \"after\" its delimiter or end mark"},
	{.key = "checksum_of",
	 .type = HAY_OPT_CHOICE,
	 LINK(checksum_of),
	 .fallback = "content",
	 .choices = checksum_scopes,
	 .help = "line, stx-etx: what is between the marks; with the end mark; with both marks"},
	{.key = "checksum_form",
	 .type = HAY_OPT_CHOICE,
	 LINK(checksum_form),
	 .fallback = "auto",
	 .choices = checksum_forms,
	 .help = "\"auto\": hexadecimal digits where frame = \"line\", else bytes"},
	{.key = "decode",
	 .type = HAY_OPT_CHOICE,
	 LINK(decode),
	 .fallback = "json",
	 .choices = decoders,
	 .help = "how values stand in a frame"},
	{.key = "separator",
	 .type = HAY_OPT_STRING,
	 LINK(separator),
	 .help = "csv, keyvalue: what is between two values"},
	{.key = "assign",
	 .type = HAY_OPT_STRING,
	 LINK(assign),
	 .fallback = "=",
	 .help = "keyvalue: what is between key and value"},
	{.key = "decimal",
	 .type = HAY_OPT_CHOICE,
	 LINK(decimal),
	 .fallback = ".",
	 .choices = decimals,
	 .help = "csv, keyvalue, regex: the decimal sign; \",\" reads 21,5"},
	{.key = "header", .type = HAY_OPT_BOOL, LINK(header), .help = "csv: a line without numbers names the columns"},
	{.key = "columns", .type = HAY_OPT_STRING, LINK(columns), .help = "csv: the columns' names, \"a,b,c\""},
	{.key = "pattern", .type = HAY_OPT_STRING, LINK(pattern), .help = "regex: with named groups, (?<temp>[0-9.]+)"},
	{.key = "sentence",
	 .type = HAY_OPT_STRING,
	 LINK(sentence),
	 .help = "nmea: only this one, \"GGA\" or \"GPGGA\""},
	{.key = "request", .type = HAY_OPT_STRING, LINK(request), .help = "what is sent to be answered"},
	{.key = "timeout",
	 .type = HAY_OPT_DURATION,
	 LINK(timeout_us),
	 .fallback = "1s",
	 .min = 1000,
	 .max = 60000000,
	 .help = "how long to wait for an answer"},
	{.key = "time_field",
	 .type = HAY_OPT_STRING,
	 LINK(time_field),
	 .help = "the field that says when it was measured"},
	{.key = "time_unit",
	 .type = HAY_OPT_CHOICE,
	 LINK(time_unit),
	 .fallback = "s",
	 .choices = time_units,
	 .help = "since 1970 in UTC, or a date and time as ISO 8601 has it"},
	{.key = "match_field",
	 .type = HAY_OPT_STRING,
	 LINK(match_field),
	 .flags = HAY_OPT_NUMBER_OK,
	 .help = "the field that says which device a frame is of"},
	{.key = NULL},
};

static const struct hay_option device_table[] = {
	{.key = "match",
	 .type = HAY_OPT_STRING,
	 .offset = offsetof(struct serial_device_conf, match),
	 .flags = HAY_OPT_NUMBER_OK,
	 .help = "the value of match_field in its frames"},
	{.key = "request",
	 .type = HAY_OPT_STRING,
	 .offset = offsetof(struct serial_device_conf, request),
	 .help = "a request of its own"},
	{.key = NULL},
};

static const struct hay_option point_table[] = {
	{.key = "field",
	 .type = HAY_OPT_STRING,
	 .offset = offsetof(struct serial_point_conf, field),
	 .flags = HAY_OPT_NUMBER_OK,
	 .help = "its name in the frame; the point's own name where it is left out"},
	{.key = "at",
	 .type = HAY_OPT_INT,
	 .offset = offsetof(struct serial_point_conf, at),
	 .fallback = "-1",
	 .min = 0,
	 .max = 65535,
	 .help = "binary: the first byte, from 0"},
	{.key = "length",
	 .type = HAY_OPT_INT,
	 .offset = offsetof(struct serial_point_conf, length),
	 .fallback = "0",
	 .min = 1,
	 .max = 65535,
	 .help = "binary: bytes of a string"},
	{.key = "order",
	 .type = HAY_OPT_STRING,
	 .offset = offsetof(struct serial_point_conf, order),
	 .help = "binary: \"big\", \"little\", or bytes as they come, A the most significant: \"CDAB\""},
	{.key = "write_template",
	 .type = HAY_OPT_STRING,
	 .offset = offsetof(struct serial_point_conf, write_template),
	 .help = "what a command sends, with {value}"},
	{.key = "write_ack",
	 .type = HAY_OPT_STRING,
	 .offset = offsetof(struct serial_point_conf, write_ack),
	 .help = "a pattern that the device's answer to it matches"},
	{.key = NULL},
};

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
	   .types = own_types, .link_options = {.table = link_table, .size = sizeof(struct serial_link_conf)},
	   .device_options = {.table = device_table, .size = sizeof(struct serial_device_conf)},
	   .point_options = {.table = point_table, .size = sizeof(struct serial_point_conf)}, .check_link = check_link,
	   .check_device = check_device, .check_point = check_point, .open = open_link, .close = close_link,
	   .start = start_device, .stop = stop_device, .poll = poll_device, .write = exchange_write,
	   .probe = serial_probe, .probe_link = HAY_PROBE_TAKES_LINK);
