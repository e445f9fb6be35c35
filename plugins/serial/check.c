/* SPDX-License-Identifier: Apache-2.0 */
#include "check.h"
#include "port.h"
#include "template.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* ---- rules out of the configuration ---- */

static int read_mark(const char *text, const char *fallback, struct mark *ret)
{
	int n = text_unescape(text ? text : fallback, ret->bytes, MARK_MAX);

	ret->size = n > 0 ? (size_t)n : 0;
	return n < 0 ? n : 0;
}

int serial_frame_rules(const struct serial_link_conf *conf, struct frame_rules *ret)
{
	struct mark escape = {.size = 0};
	bool marked = conf->frame == FRAME_STX_ETX;
	int r;

	*ret = (struct frame_rules){.kind = (enum frame_kind)conf->frame,
				    .escape = -1,
				    .length = (size_t)conf->length,
				    .length_at = (size_t)conf->length_at,
				    .length_size = (size_t)conf->length_size,
				    .length_little = conf->length_order == 1,
				    .length_adds = conf->length_adds,
				    .max_frame = (size_t)conf->max_frame,
				    .checksum = (enum checksum)conf->checksum,
				    .checksum_hex = conf->checksum_form == FORM_HEX ||
						    (conf->checksum_form == FORM_AUTO && conf->frame == FRAME_LINE),
				    .checksum_after = conf->checksum_at == 1,
				    .checked = (enum checked)conf->checksum_of};
	ret->any_newline = conf->frame == FRAME_LINE && !conf->delimiter && !ret->checksum_after;
	ret->hex_messages = conf->frame == FRAME_LINE && ret->checksum == CHECKSUM_SUM8_ZERO && ret->checksum_after;
	r = read_mark(conf->delimiter, "\n", &ret->delimiter);
	if (r == 0)
		r = read_mark(conf->start, marked ? "\x02" : "", &ret->start);
	if (r == 0)
		r = read_mark(conf->end, "\x03", &ret->end);
	if (r == 0 && conf->escape)
		r = read_mark(conf->escape, "", &escape);
	if (r == 0 && escape.size > 0)
		ret->escape = escape.bytes[0];
	return r;
}

void serial_decode_rules(const struct serial_link_conf *conf, struct decode_rules *ret)
{
	*ret = (struct decode_rules){.kind = (enum decode_kind)conf->decode,
				     .separator = text_of(conf->separator),
				     .assign = text_of(conf->assign),
				     .comma = conf->decimal > 0,
				     .header = conf->header,
				     .columns = conf->columns,
				     .pattern = conf->pattern,
				     .sentence = conf->sentence};
}

int serial_match_place(const char *match_field, size_t *ret)
{
	char *end;
	unsigned long place = strtoul(match_field, &end, 10);

	if (end == match_field || *end || place > UINT16_MAX)
		return -EINVAL;
	*ret = place;
	return 0;
}

static size_t type_bytes(enum hay_type type, const char *name, const struct serial_point_conf *conf)
{
	if (name && (strcmp(name, "int8") == 0 || strcmp(name, "uint8") == 0))
		return 1;
	if (name && (strcmp(name, "int24") == 0 || strcmp(name, "uint24") == 0))
		return 3;
	switch (type) {
	case HAY_BOOL:
		return 1;
	case HAY_INT16:
	case HAY_UINT16:
		return 2;
	case HAY_INT32:
	case HAY_UINT32:
	case HAY_FLOAT32:
		return 4;
	case HAY_STRING:
	case HAY_BYTES:
		return (size_t)conf->length;
	default:
		return 8;
	}
}

int serial_binary_form(const struct serial_point_conf *conf, enum hay_type type, const char *type_name,
		       struct serial_binary_form *ret)
{
	*ret = (struct serial_binary_form){
		.at = (size_t)conf->at, .n_bytes = type_bytes(type, type_name, conf), .type = type};
	if (type == HAY_STRING || type == HAY_BYTES)
		return conf->order ? -EINVAL : 0;
	return binary_order(conf->order, ret->n_bytes, ret->order);
}

/* ---- links ---- */

static void check_escapes(const struct hay_report *report, const char *key, const char *text, size_t most,
			  bool empty_ok)
{
	uint8_t bytes[TEMPLATE_MAX];
	int n = text ? text_unescape(text, bytes, most) : 1;

	if (n == -EINVAL)
		report->error(report, key, "`%s` has an escape that is none of \\r \\n \\t \\0 \\\\ and \\xHH", key);
	else if (n == -ENOSPC)
		report->error(report, key, "`%s` is longer than %zu byte%s", key, most, most == 1 ? "" : "s");
	else if (n == 0 && !empty_ok)
		report->error(report, key, "`%s` is empty", key);
}

/* What is sent. */
static void check_template(const struct hay_report *report, const char *key, const char *text,
			   const struct serial_link_conf *link)
{
	check_escapes(report, key, text, TEMPLATE_MAX, false);
	if (text && strstr(text, TEMPLATE_CHECKSUM) && link->checksum == CHECKSUM_NONE)
		report->error(report, key, TEMPLATE_CHECKSUM " of which kind? The link has no `checksum`");
}

/* Keys that say something only together with another one. */
static void check_belongs(const struct serial_link_conf *c, const struct hay_report *report)
{
	bool marked = c->frame == FRAME_LINE || c->frame == FRAME_STX_ETX;
	const struct {
		const char *key;
		bool written, fits;
		const char *where;
	} keys[] = {
		{"delimiter", c->delimiter, c->frame == FRAME_LINE, "frame = \"line\""},
		{"length", c->length > 0, c->frame == FRAME_FIXED, "frame = \"fixed\""},
		{"start", c->start,
		 c->frame == FRAME_STX_ETX || c->frame == FRAME_FIXED || c->frame == FRAME_LENGTH_PREFIXED,
		 "frame = \"stx-etx\", \"fixed\" or \"length-prefixed\""},
		{"end", c->end, c->frame == FRAME_STX_ETX, "frame = \"stx-etx\""},
		{"escape", c->escape, c->frame == FRAME_STX_ETX, "frame = \"stx-etx\""},
		{"separator", c->separator, c->decode == DECODE_CSV || c->decode == DECODE_KEYVALUE,
		 "decode = \"csv\" or \"keyvalue\""},
		{"decimal", c->decimal > 0,
		 c->decode == DECODE_CSV || c->decode == DECODE_KEYVALUE || c->decode == DECODE_REGEX,
		 "decode = \"csv\", \"keyvalue\" or \"regex\""},
		{"header", c->header, c->decode == DECODE_CSV, "decode = \"csv\""},
		{"columns", c->columns, c->decode == DECODE_CSV, "decode = \"csv\""},
		{"pattern", c->pattern, c->decode == DECODE_REGEX, "decode = \"regex\""},
		{"sentence", c->sentence, c->decode == DECODE_NMEA, "decode = \"nmea\""},
		{"checksum_at", c->checksum_at > 0, marked && c->checksum > 0,
		 "a `checksum` of lines or of frame = \"stx-etx\""},
		{"checksum_of", c->checksum_of > 0, marked && c->checksum > 0,
		 "a `checksum` of lines or of frame = \"stx-etx\""},
		{"checksum_form", c->checksum_form > 0, c->checksum > 0, "a `checksum`"},
		{"time_field", c->time_field, c->decode != DECODE_BINARY, "a decoder that gives fields names"},
	};

	for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++)
		if (keys[i].written && !keys[i].fits)
			report->error(report, keys[i].key, "`%s` says nothing here: it belongs to %s", keys[i].key,
				      keys[i].where);
}

static void check_frame(const struct serial_link_conf *c, const struct hay_report *report)
{
	size_t check = checksum_wire_size((enum checksum)c->checksum, c->checksum_form == FORM_HEX);

	check_escapes(report, "delimiter", c->delimiter, MARK_MAX, false);
	check_escapes(report, "start", c->start, MARK_MAX, false);
	check_escapes(report, "end", c->end, MARK_MAX, false);
	check_escapes(report, "escape", c->escape, 1, false);
	if (c->checksum_of == CHECKED_END && c->checksum_at == 0)
		report->error(
			report, "checksum_of",
			"the end mark comes after the checksum: checksum_of = \"end\" needs checksum_at = \"after\"");
	if (c->frame == FRAME_FIXED && c->length == 0)
		report->error(report, "frame", "frame = \"fixed\" needs `length`, the bytes of a frame");
	else if (c->frame == FRAME_FIXED && ((uint64_t)c->length > c->max_frame || (size_t)c->length <= check))
		report->error(report, "length", "`length` must be more than the checksum and at most `max_frame`");
	if (c->frame == FRAME_LENGTH_PREFIXED && (uint64_t)(c->length_at + c->length_size) >= c->max_frame)
		report->error(report, "length_at", "the length would stand past `max_frame`");
}

static void check_decode(const struct serial_link_conf *c, const struct hay_report *report)
{
	struct decode_rules rules;
	struct decoder *decoder;
	char error[DECODE_ERROR_MAX];
	size_t place;

	if (c->decode == DECODE_REGEX && !c->pattern) {
		report->error(report, "decode", "decode = \"regex\" needs a `pattern` with named groups");
		return;
	}
	if (c->decimal > 0 && c->decode == DECODE_CSV && (!c->separator || strcmp(c->separator, ",") == 0))
		report->error(report, "decimal",
			      "with decimal commas the cells need another `separator`, such as \";\"");
	if (c->assign && !*c->assign)
		report->error(report, "assign", "`assign` is empty");
	if (c->decode == DECODE_BINARY && c->frame == FRAME_LINE)
		report->error(report, "frame", "bytes come in no lines: decode = \"binary\" needs another `frame`");
	if (c->decode == DECODE_BINARY && c->match_field && serial_match_place(c->match_field, &place) < 0)
		report->error(report, "match_field",
			      "where decode = \"binary\", `match_field` is the number of a byte");
	if ((c->decode == DECODE_SML) != (c->frame == FRAME_SML))
		report->error(report, c->decode == DECODE_SML ? "decode" : "frame",
			      "frame = \"sml\" and decode = \"sml\" belong together");
	if (c->frame == FRAME_SML && c->checksum > 0)
		report->error(report, "checksum", "frame = \"sml\" has its own checksum, which is always held");
	if (c->header && c->columns)
		report->error(report, "columns", "`columns` names what a header would: one of the two is enough");
	serial_decode_rules(c, &rules);
	if (decoder_new(&rules, &decoder, error) == -EINVAL)
		report->error(report, "pattern", "the pattern is wrong: %s", error);
	else
		decoder_free(decoder);
}

void check_link(const void *conf, const struct hay_report *report)
{
	const struct serial_link_conf *c = conf;
	struct port_mode mode;

	if (c->port && !*c->port)
		report->error(report, "port", "`port` is empty; haywaind --probe serial lists the ports");
	if (port_mode_parse(c->mode, &mode) < 0)
		report->error(
			report, "mode",
			"mode \"%s\" is not data bits (5 to 8), parity (N, E, O) and stop bits (1, 2), like \"8N1\"",
			c->mode);
	check_template(report, "request", c->request, c);
	check_belongs(c, report);
	check_frame(c, report);
	check_decode(c, report);
}

/* ---- devices and points ---- */

void check_device(const void *conf, const void *link_conf, const struct hay_report *report)
{
	const struct serial_device_conf *c = conf;
	const struct serial_link_conf *link = link_conf;

	check_template(report, "request", c->request, link);
	if (c->match && !link->match_field)
		report->error(report, "match", "the link has no `match_field` that could be compared with `match`");
	else if (!c->match && link->match_field)
		report->error(report, NULL,
			      "the link tells its devices apart by `%s`: this one needs `match`, its value",
			      link->match_field);
}

static void check_binary(const struct hay_point *point, const struct serial_point_conf *c,
			 const struct hay_report *report)
{
	struct serial_binary_form form;

	if (c->field)
		report->error(report, "field", "bytes have no names: `at` says where the value stands");
	if (c->at < 0) {
		report->error(report, NULL, "decode = \"binary\" needs `at`, the first byte of the value, from 0");
		return;
	}
	if ((point->type == HAY_STRING || point->type == HAY_BYTES) && c->length == 0)
		report->error(report, "type", "a string of bytes needs `length`");
	else if (serial_binary_form(c, point->type, point->type_name, &form) < 0)
		report->error(report, "order", "order \"%s\" does not fit the %zu byte%s of the type", c->order,
			      form.n_bytes, form.n_bytes == 1 ? "" : "s");
}

static void check_field(const struct hay_point *point, const struct serial_point_conf *c,
			const struct serial_link_conf *link, const struct hay_report *report)
{
	const char *field = c->field ? c->field : point->name;
	struct decode_rules rules;
	struct decoder *decoder;
	char error[DECODE_ERROR_MAX];

	if (c->at >= 0 || c->order || c->length > 0)
		report->error(report,
			      c->at >= 0 ? "at"
			      : c->order ? "order"
					 : "length",
			      "`at`, `length` and `order` are for decode = \"binary\"");
	if (link->decode == DECODE_NMEA && !link->sentence && strspn(field, "0123456789") == strlen(field))
		report->error(report, "field", "field %s of which sentence? \"GGA.%s\" says it", field, field);
	if (link->decode != DECODE_REGEX || !link->pattern)
		return;
	serial_decode_rules(link, &rules);
	if (decoder_new(&rules, &decoder, error) < 0)
		return; /* reported at the link */
	if (!decoder_has_group(decoder, field) && !(point->flags & HAY_POINT_WRITABLE))
		report->error(report, c->field ? "field" : NULL, "the link's pattern has no group `%s`", field);
	decoder_free(decoder);
}

static void check_write(const struct hay_point *point, const struct serial_point_conf *c,
			const struct serial_link_conf *link, const struct hay_report *report)
{
	char error[DECODE_ERROR_MAX];
	struct regex *ack;

	check_template(report, "write_template", c->write_template, link);
	if (point->flags & HAY_POINT_WRITABLE && !c->write_template)
		report->error(report, "access", "access = \"write\" needs `write_template`, what a command sends");
	if (!(point->flags & HAY_POINT_WRITABLE) && c->write_template)
		report->error(report, "write_template", "`write_template` needs access = \"write\"");
	if (c->write_ack && !c->write_template)
		report->error(report, "write_ack", "`write_ack` needs `write_template`");
	if (c->write_ack && regex_new(c->write_ack, false, &ack, error) < 0)
		report->error(report, "write_ack", "the pattern is wrong: %s", error);
	else if (c->write_ack)
		regex_free(ack);
}

void check_point(struct hay_point *point, const void *device_conf, const void *link_conf,
		 const struct hay_report *report)
{
	static const struct {
		const char *name;
		enum hay_type type;
	} own[] = {{"int8", HAY_INT16}, {"uint8", HAY_UINT16}, {"int24", HAY_INT32}, {"uint24", HAY_UINT32}};
	const struct serial_point_conf *c = point->conf;
	const struct serial_link_conf *link = link_conf;

	(void)device_conf;
	if (point->type == HAY_TYPE_NONE)
		point->type = link->decode == DECODE_BINARY ? HAY_UINT16 : HAY_FLOAT64;
	for (size_t i = 0; point->type_name && i < sizeof(own) / sizeof(own[0]); i++)
		if (strcmp(point->type_name, own[i].name) == 0)
			point->type = own[i].type;
	if (link->decode == DECODE_BINARY)
		check_binary(point, c, report);
	else
		check_field(point, c, link, report);
	check_write(point, c, link, report);
}
