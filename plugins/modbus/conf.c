/* SPDX-License-Identifier: Apache-2.0 */
#include "conf.h"
#include <stdlib.h>
#include <string.h>

#define GAP_MAX_US (10 * 1000000)
#define FAST_GAP_US UINT64_C(1750)

const struct hay_option conf_link_table[] = {
	{.key = "url",
	 .type = HAY_OPT_STRING,
	 .offset = offsetof(struct modbus_link_conf, url),
	 .help = "where the devices are: \"tcp://HOST[:502]\" or \"rtu+tcp://HOST:PORT\""},
	{.key = "port",
	 .type = HAY_OPT_STRING,
	 .offset = offsetof(struct modbus_link_conf, port),
	 .help = "or the serial port they hang on: \"/dev/serial/by-id/…\""},
	{.key = "baud",
	 .type = HAY_OPT_INT,
	 .offset = offsetof(struct modbus_link_conf, baud),
	 .min = 1,
	 .max = UINT32_MAX,
	 .help = "speed of the serial port; 9600 where it is left out"},
	{.key = "mode",
	 .type = HAY_OPT_STRING,
	 .offset = offsetof(struct modbus_link_conf, mode),
	 .help = "data bits, parity and stop bits: \"8N1\" where it is left out, \"8E1\", …"},
	{.key = "rs485",
	 .type = HAY_OPT_BOOL,
	 .offset = offsetof(struct modbus_link_conf, rs485),
	 .help = "the kernel switches the transmitter of an RS-485 port"},
	{.key = "rts_delay",
	 .type = HAY_OPT_DURATION,
	 .offset = offsetof(struct modbus_link_conf, rts_delay_us),
	 .fallback = "0ms",
	 .min = 0,
	 .max = 1000000,
	 .help = "RS-485: between switching the transmitter and sending, and back"},
	{.key = "timeout",
	 .type = HAY_OPT_DURATION,
	 .offset = offsetof(struct modbus_link_conf, timeout_us),
	 .fallback = "1s",
	 .min = 1000,
	 .max = 60 * 1000000,
	 .help = "how long to wait for a connection, and for an answer"},
	{.key = "gap",
	 .type = HAY_OPT_DURATION,
	 .offset = offsetof(struct modbus_link_conf, gap_us),
	 .fallback = "1h",
	 .min = 0,
	 .max = GAP_MAX_US,
	 .help = "silence before each request; default 3.5 characters, over TCP none"},
	{.key = "unit_gap",
	 .type = HAY_OPT_DURATION,
	 .offset = offsetof(struct modbus_link_conf, unit_gap_us),
	 .fallback = "1h",
	 .min = 0,
	 .max = GAP_MAX_US,
	 .help = "silence where the next request goes to another unit; default as gap"},
	{.key = "retries",
	 .type = HAY_OPT_INT,
	 .offset = offsetof(struct modbus_link_conf, retries),
	 .fallback = "1",
	 .min = 0,
	 .max = 10,
	 .help = "how often a read without a right answer is asked again"},
	{.key = NULL},
};

const struct hay_option conf_device_table[] = {
	{.key = "unit",
	 .type = HAY_OPT_INT,
	 .offset = offsetof(struct modbus_device_conf, unit),
	 .min = 0,
	 .max = 255,
	 .flags = HAY_OPT_REQUIRED,
	 .help = "the device's unit id"},
	{.key = "max_registers",
	 .type = HAY_OPT_INT,
	 .offset = offsetof(struct modbus_device_conf, max_registers),
	 .fallback = "125",
	 .min = 1,
	 .max = PLAN_MAX_REGISTERS,
	 .help = "the most registers that one request asks for"},
	{.key = "max_hole",
	 .type = HAY_OPT_INT,
	 .offset = offsetof(struct modbus_device_conf, max_hole),
	 .fallback = "0",
	 .min = 0,
	 .max = PLAN_MAX_REGISTERS,
	 .help = "registers of no point, which may be read to join two requests"},
	{.key = NULL},
};

#define ADDRESS(name, table, what)                                                                                     \
	{                                                                                                              \
		.key = (name), .type = HAY_OPT_INT,                                                                    \
		.offset = offsetof(struct modbus_point_conf, address) + (table) * sizeof(int64_t), .fallback = "-1",   \
		.min = 0, .max = UINT16_MAX, .help = "protocol address of " what ", from 0"                            \
	}

const struct hay_option conf_point_table[] = {
	ADDRESS("holding", TABLE_HOLDING, "a holding register"),
	ADDRESS("input", TABLE_INPUT, "an input register"),
	ADDRESS("coil", TABLE_COIL, "a coil"),
	ADDRESS("discrete", TABLE_DISCRETE, "a discrete input"),
	{.key = "reference",
	 .type = HAY_OPT_STRING,
	 .offset = offsetof(struct modbus_point_conf, reference),
	 .flags = HAY_OPT_NUMBER_OK,
	 .help = "or the Modicon number as printed in manuals, 40001 or 400001"},
	{.key = "order",
	 .type = HAY_OPT_STRING,
	 .offset = offsetof(struct modbus_point_conf, order),
	 .help = "the order of a value's bytes on the wire, A the most significant: \"ABCD\", \"CDAB\", …"},
	{.key = "bits",
	 .type = HAY_OPT_STRING,
	 .offset = offsetof(struct modbus_point_conf, bits),
	 .flags = HAY_OPT_NUMBER_OK,
	 .help = "bits of a register, 0 the lowest: \"3\" or \"4-7\""},
	{.key = "length",
	 .type = HAY_OPT_INT,
	 .offset = offsetof(struct modbus_point_conf, length),
	 .min = 1,
	 .max = TYPES_STRING_REGISTERS_MAX,
	 .help = "registers of a string"},
	{.key = "string_order",
	 .type = HAY_OPT_STRING,
	 .offset = offsetof(struct modbus_point_conf, string_order),
	 .help = "\"AB\": the first character of a register is its high byte; \"BA\": its low byte"},
	{.key = NULL},
};

static const char *const table_keys[N_TABLES] = {"coil", "discrete", "holding", "input"};

/* ---- links ---- */

static unsigned baud_of(const struct modbus_link_conf *conf)
{
	return conf->baud ? (unsigned)conf->baud : 9600;
}

static const char *mode_of(const struct modbus_link_conf *conf)
{
	return conf->mode ? conf->mode : "8N1";
}

/* The settings of a serial port say nothing to a TCP connection. */
static void check_belongs(const struct modbus_link_conf *c, const struct hay_report *report)
{
	const struct {
		const char *key;
		bool written;
	} keys[] = {{"baud", c->baud}, {"mode", c->mode}, {"rs485", c->rs485}, {"rts_delay", c->rts_delay_us > 0}};

	for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++)
		if (keys[i].written)
			report->error(
				report, keys[i].key,
				"`%s` says nothing here: it belongs to a `port`; behind a `url` the converter has it",
				keys[i].key);
}

void conf_check_link(const void *conf, const struct hay_report *report)
{
	const struct modbus_link_conf *c = conf;
	struct tty_conf tty;
	const char *error;
	struct url url = {0};

	if (!c->url == !c->port)
		report->error(report, c->url ? "port" : NULL, "a Modbus link has either a url or a port, not %s",
			      c->url ? "both" : "none");
	if (c->url && url_parse(c->url, &url, &error) < 0)
		report->error(report, "url", "url \"%s\": %s", c->url, error);
	if (c->port && c->port[0] != '/')
		report->error(report, "port", "port \"%s\" is a path, as in \"/dev/serial/by-id/…\"", c->port);
	if (c->url && !c->port) {
		check_belongs(c, report);
		return;
	}
	if (!tty_knows_baud(baud_of(c)))
		report->error(report, "baud",
			      "baud = %lld is not a speed of serial ports; usual are 9600, 19200 and 115200",
			      (long long)c->baud);
	if (!tty_parse_mode(mode_of(c), &tty))
		report->error(report, "mode",
			      "mode \"%s\" is none; right would be \"8N1\", \"8E1\", \"8O1\" or \"8N2\"", mode_of(c));
	else if (tty.data_bits == 7)
		report->error(report, "mode", "mode \"%s\": Modbus RTU needs 8 data bits", mode_of(c));
}

/* The standard (V1.02, 2.5.1.1) wants 3.5 characters, but a fixed time above 19200 baud. */
static uint64_t default_gap(const struct modbus_link_conf *conf, const struct tty_conf *tty)
{
	uint64_t gap = tty_char_us(tty) * 7 / 2;

	return baud_of(conf) > 19200 && gap < FAST_GAP_US ? FAST_GAP_US : gap;
}

void conf_transport(const struct modbus_link_conf *conf, uint64_t (*now)(void), struct url *url, struct tty_conf *tty,
		    struct transport_conf *ret)
{
	const char *error;

	*ret = (struct transport_conf){.timeout_us = conf->timeout_us, .now = now};
	if (conf->url) {
		(void)url_parse(conf->url, url, &error);
		ret->url = url;
		ret->framing = url->rtu ? FRAMING_RTU : FRAMING_TCP;
	} else {
		*tty = (struct tty_conf){.path = conf->port,
					 .baud = baud_of(conf),
					 .rs485 = conf->rs485,
					 .rts_delay_us = conf->rts_delay_us};
		(void)tty_parse_mode(mode_of(conf), tty);
		ret->tty = tty;
		ret->framing = FRAMING_RTU;
	}
	/* Behind a converter the gap is the converter's business, unless somebody knows better. */
	ret->gap_us = conf->gap_us != GAP_DEFAULT_US ? conf->gap_us : conf->url ? 0 : default_gap(conf, tty);
	ret->unit_gap_us = conf->unit_gap_us != GAP_DEFAULT_US ? conf->unit_gap_us : ret->gap_us;
}

void conf_check_device(const void *conf, const void *link_conf, const struct hay_report *report)
{
	const struct modbus_device_conf *c = conf;
	const struct modbus_link_conf *link = link_conf;

	if (link->port && c->unit < 1)
		report->error(report, "unit", "unit = 0 is the broadcast of a serial line, which no device answers");
	else if (link->port && c->unit > 247)
		report->warning(report, "unit",
				"unit = %lld is reserved by the standard (1 to 247); some devices have it",
				(long long)c->unit);
}

/* ---- points ---- */

/* A Modicon number: a digit for the table, then 4 or 5 digits that count from 1. */
static const char *parse_reference(const char *text, struct plan_place *ret)
{
	static const char *const shape = "has 5 or 6 digits, as in 40001 or 400001; a coil's are quoted: \"00001\"";
	size_t n = strspn(text, "0123456789");
	unsigned long number;

	if (text[n] || n < 5 || n > 6)
		return shape;
	switch (text[0]) {
	case '0':
		ret->table = TABLE_COIL;
		break;
	case '1':
		ret->table = TABLE_DISCRETE;
		break;
	case '3':
		ret->table = TABLE_INPUT;
		break;
	case '4':
		ret->table = TABLE_HOLDING;
		break;
	default:
		return "begins with 0 (coils), 1 (discrete inputs), 3 (input registers) or 4 (holding registers)";
	}
	number = strtoul(text + 1, NULL, 10);
	if (number < 1 || number > UINT16_MAX + 1)
		return "counts from 1 to 65536 behind its first digit";
	ret->address = (uint16_t)(number - 1);
	return NULL;
}

/* Which table and address; *ret_key where it stands. */
static bool find_address(const struct modbus_point_conf *c, struct plan_place *ret, const char **ret_key,
			 const struct hay_report *report)
{
	const char *key = NULL, *error;
	unsigned n = 0;

	*ret = (struct plan_place){.count = 1};
	for (unsigned table = 0; table < N_TABLES; table++)
		if (c->address[table] >= 0) {
			key = table_keys[table];
			ret->table = table;
			ret->address = (uint16_t)c->address[table];
			n++;
		}
	if (c->reference) {
		key = "reference";
		n++;
	}
	*ret_key = key;
	if (n != 1) {
		if (report)
			report->error(report, key,
				      "a point has one of holding, input, coil, discrete and reference, not %s",
				      n ? "several" : "none");
		return false;
	}
	error = c->reference ? parse_reference(c->reference, ret) : NULL;
	if (error && report)
		report->error(report, key, "reference %s: a Modicon number %s", c->reference, error);
	return !error;
}

static struct value_words words_of(const struct hay_point *point)
{
	const struct modbus_point_conf *c = point->conf;

	return (struct value_words){.type = point->type_name,
				    .order = c->order,
				    .bits = c->bits,
				    .string_order = c->string_order,
				    .length = (unsigned)c->length};
}

static void check_bit(struct hay_point *point, const struct plan_place *place, const struct hay_report *report)
{
	const struct modbus_point_conf *c = point->conf;
	const char *key = c->order	    ? "order"
			  : c->bits	    ? "bits"
			  : c->string_order ? "string_order"
			  : c->length	    ? "length"
					    : NULL;

	if (!point->type_name)
		point->type = HAY_BOOL;
	if (point->type != HAY_BOOL)
		report->error(report, "type", "a %s is a bit; its type is \"bool\"",
			      place->table == TABLE_COIL ? "coil" : "discrete input");
	if (key)
		report->error(report, key, "a bit has no %s", !strcmp(key, "order") ? "order of bytes" : key);
	if (place->table == TABLE_DISCRETE && point->flags & HAY_POINT_WRITABLE)
		report->error(report, "access", "a discrete input cannot be written");
}

/* 40001 is what manuals print for address 0. It can be an address too: of SunSpec, for one. */
static void check_modicon(const struct plan_place *place, const char *key, const struct hay_report *report)
{
	static const unsigned first[N_TABLES] = {
		[TABLE_DISCRETE] = 10001, [TABLE_HOLDING] = 40001, [TABLE_INPUT] = 30001};
	unsigned from = first[place->table];

	if (from == 0 || place->address < from || place->address > from + 9998)
		return;
	report->warning(
		report, key,
		"`%s` counts from 0 here, and %u looks like the number that a manual prints: that would be %s = %u, or reference = %u; as 0x%X it is taken for an address",
		key, place->address, key, place->address - from, place->address, place->address);
}

void conf_check_point(struct hay_point *point, const void *device_conf, const void *link_conf,
		      const struct hay_report *report)
{
	const struct modbus_point_conf *c = point->conf;
	const struct modbus_device_conf *device = device_conf;
	const struct value_words words = words_of(point);
	const char *key, *what, *error;
	struct value_form form;
	struct plan_place place;

	(void)link_conf;
	if (!find_address(point->conf, &place, &key, report)) {
		if (point->type == HAY_TYPE_NONE)
			point->type = HAY_UINT16;
		return;
	}
	if (!c->reference)
		check_modicon(&place, key, report);
	if (place.table < TABLE_HOLDING) {
		check_bit(point, &place, report);
		return;
	}
	if (types_form(point->type, &words, &form, &what, &error) < 0) {
		const char *written = !strcmp(what, "order")	      ? words.order
				      : !strcmp(what, "bits")	      ? words.bits
				      : !strcmp(what, "string_order") ? words.string_order
				      : !strcmp(what, "type")	      ? words.type
								      : NULL;

		if (written)
			report->error(report, what, "%s \"%s\" %s", what, written, error);
		else
			report->error(report, what, "%s: %s", what, error);
		if (point->type == HAY_TYPE_NONE)
			point->type = HAY_UINT16;
		return;
	}
	point->type = form.type;
	place.count = (uint16_t)types_registers(&form);
	if (place.address + place.count > UINT16_MAX + 1)
		report->error(report, key, "a value of %u registers at address %u runs past the last one, 65535",
			      place.count, place.address);
	if (place.count > device->max_registers)
		report->error(report, form.kind == KIND_STRING ? "length" : "type",
			      "the value takes %u registers, but max_registers of the device is %u", place.count,
			      (unsigned)device->max_registers);
	if (place.table == TABLE_INPUT && point->flags & HAY_POINT_WRITABLE)
		report->error(report, "access", "an input register cannot be written");
	if (place.count > 123 && point->flags & HAY_POINT_WRITABLE)
		report->error(report, "length", "at most 123 registers can be written at once");
	if (form.kind == KIND_BITS && form.n_bytes > 2 && point->flags & HAY_POINT_WRITABLE)
		report->error(report, "bits", "only bits of a single register can be written");
}

void conf_point(const struct hay_point *point, struct plan_place *ret_place, struct value_form *ret_form)
{
	const struct value_words words = words_of(point);
	const char *key, *error;

	*ret_form = (struct value_form){.type = HAY_BOOL};
	if (!find_address(point->conf, ret_place, &key, NULL) || ret_place->table < TABLE_HOLDING)
		return;
	/* check_point() has put the value's type where the plugin's own was, or none. */
	if (types_form(words.type && strcmp(words.type, "float16") && strncmp(words.type, "bcd", 3) ? point->type
												    : HAY_TYPE_NONE,
		       &words, ret_form, &key, &error) == 0)
		ret_place->count = (uint16_t)types_registers(ret_form);
}
