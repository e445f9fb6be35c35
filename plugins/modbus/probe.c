/* SPDX-License-Identifier: Apache-2.0 */
#include "probe.h"
#include "probe_private.h"
#include <errno.h>
#include <haywain/helpers.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *const usage[] = {
	"scan TARGET [FIRST-LAST] [KEY=VALUE...]",
	"    which units answer (default 1-247)",
	"identify TARGET UNIT [KEY=VALUE...]",
	"    vendor, product and revision, where the device says them",
	"dump TARGET UNIT TABLE FIRST [COUNT] [KEY=VALUE...]",
	"    registers in each interpretation, or bits",
	"TARGET: tcp://HOST[:502], rtu+tcp://HOST:PORT or /dev/…",
	"TABLE: holding, input, coil or discrete",
	"KEY=VALUE: timeout=1000 gap=20 (milliseconds); on a serial port baud=9600",
	"    mode=8N1 rs485=true rts_delay=2 (milliseconds)",
	"On a link of the daemon's there is no TARGET and no KEY=VALUE: its own settings",
	"hold",
};

/* A line each. */
static int wrong_usage(const struct modbus_probe *p)
{
	for (size_t i = 0; i < sizeof(usage) / sizeof(*usage); i++)
		p->hay->print(p->hay, "%s", usage[i]);
	return -EINVAL;
}

static int wrong_arguments(const struct modbus_probe *p, const char *what)
{
	p->hay->print(p->hay, "%s", what);
	return -EINVAL;
}

static bool parse_number(const char *text, unsigned most, unsigned *ret)
{
	char *end;
	unsigned long value;

	if (*text < '0' || *text > '9')
		return false;
	value = strtoul(text, &end, 0);
	if (*end || value > most)
		return false;
	*ret = (unsigned)value;
	return true;
}

/* "baud=9600". */
static bool set_option(struct modbus_probe *p, const char *text)
{
	unsigned value;

	if (!strncmp(text, "baud=", 5) && parse_number(text + 5, 4000000, &value))
		p->conf.baud = value;
	else if (!strncmp(text, "timeout=", 8) && parse_number(text + 8, 60000, &value) && value)
		p->conf.timeout_us = value * UINT64_C(1000);
	else if (!strncmp(text, "mode=", 5))
		p->conf.mode = text + 5;
	else if (!strncmp(text, "gap=", 4) && parse_number(text + 4, 10000, &value))
		p->conf.gap_us = value * UINT64_C(1000);
	else if (!strncmp(text, "rts_delay=", 10) && parse_number(text + 10, 1000, &value))
		p->conf.rts_delay_us = value * UINT64_C(1000);
	else if (!strcmp(text, "rs485=true") || !strcmp(text, "rs485=false"))
		p->conf.rs485 = text[6] == 't';
	else
		return false;
	return true;
}

struct probe_report {
	struct hay_report report;
	const struct hay_probe *hay;
	bool failed;
};

static void report_error(const struct hay_report *report, const char *key, const char *format, ...)
	__attribute__((format(printf, 3, 4)));
static void report_error(const struct hay_report *report, const char *key, const char *format, ...)
{
	struct probe_report *pr = (struct probe_report *)report;
	char *text = NULL;
	va_list args;

	(void)key;
	va_start(args, format);
	if (vasprintf(&text, format, args) < 0)
		text = NULL;
	va_end(args);
	pr->hay->print(pr->hay, "%s", text ? text : "out of memory");
	free(text);
	pr->failed = true;
}

static int open_target(struct modbus_probe *p, const char *target)
{
	struct probe_report report = {.report.error = report_error, .hay = p->hay};
	struct transport_conf transport;
	struct tty_conf tty;
	struct url url;

	if (p->link) {
		p->transport = p->link->transport;
		return 0;
	}
	if (target[0] == '/')
		p->conf.port = target;
	else
		p->conf.url = target;
	conf_check_link(&p->conf, &report.report);
	if (report.failed)
		return -EINVAL;
	conf_transport(&p->conf, hay_now, &url, &tty, &transport);
	return transport_new(&transport, &p->transport);
}

static void run_request(struct hay_work *work)
{
	struct modbus_probe *p = (void *)work;

	transport_exchange(p->transport, &p->exchange);
}

/* What it says of the link is worth the same as if a device had been polled. */
static void request_done(struct hay_work *work)
{
	struct modbus_probe *p = (void *)work;

	line_heard(p->link, &p->exchange);
}

int probe_ask(struct modbus_probe *p, unsigned unit)
{
	p->exchange.unit = (uint8_t)unit;
	if (p->link) {
		int r;

		p->work = (struct hay_work){.run = run_request, .done = request_done};
		r = p->hay->step(p->hay, &p->work);
		if (r < 0)
			return r;
	} else {
		transport_exchange(p->transport, &p->exchange);
		if (p->exchange.notice)
			p->hay->print(p->hay, "%s: %s", p->conf.port, p->exchange.notice);
	}
	switch (p->exchange.end) {
	case EXCHANGE_ANSWERED:
		return 0;
	case EXCHANGE_FAILED:
		return -ETIMEDOUT;
	case EXCHANGE_DOWN:
		break;
	}
	p->hay->print(p->hay, "%s", p->exchange.detail);
	return -EIO;
}

bool probe_is_of_gateway(uint8_t exception)
{
	return exception == EXCEPTION_NO_PATH || exception == EXCEPTION_NO_TARGET;
}

/* ---- identify: MODBUS Application Protocol V1.1b3, 6.21 ---- */

static void print_text(const struct modbus_probe *p, const char *name, const uint8_t *text, size_t size)
{
	char clean[256];

	for (size_t i = 0; i < size; i++)
		clean[i] = text[i] >= 0x20 && text[i] < 0x7f ? (char)text[i] : '.';
	p->hay->print(p->hay, "%-22s %.*s", name, (int)size, clean);
}

static const char *object_name(unsigned id, char buffer[24])
{
	static const char *const names[] = {"vendor",	    "product code", "revision",	       "vendor URL",
					    "product name", "model name",   "user application"};

	if (id < sizeof(names) / sizeof(names[0]))
		return names[id];
	snprintf(buffer, 24, "object 0x%02x", id);
	return buffer;
}

static int identify_unit(struct modbus_probe *p, unsigned unit)
{
	unsigned object = 0, n_shown = 0;

	/* Ask for all there is (regular); a device answers at its own level. It may take several answers. */
	for (unsigned rounds = 0; rounds < 16; rounds++) {
		const struct frame_answer *answer = &p->exchange.answer;
		size_t at = 6;
		int r;

		pdu_identify(2, (uint8_t)object, &p->exchange.pdu);
		r = probe_ask(p, unit);
		if (r == 0 && answer->exception && object == 0) {
			/* Some know the basic level only. */
			pdu_identify(1, 0, &p->exchange.pdu);
			r = probe_ask(p, unit);
		}
		if (r < 0) {
			if (r == -ETIMEDOUT)
				p->hay->print(p->hay, "unit %u: %s", unit, p->exchange.detail);
			return r;
		}
		if (answer->exception) {
			p->hay->print(p->hay, "unit %u does not say what it is: %s", unit,
				      exception_name(answer->exception));
			return -EOPNOTSUPP;
		}
		/* 14, level, conformity, more follows, next object, number of objects, objects */
		for (unsigned i = 0; i < answer->data[5] && at + 2 <= answer->size; i++) {
			size_t size = answer->data[at + 1];
			char buffer[24];

			if (at + 2 + size > answer->size)
				break;
			print_text(p, object_name(answer->data[at], buffer), answer->data + at + 2, size);
			at += 2 + size;
			n_shown++;
		}
		if (answer->data[3] != 0xff || answer->data[4] <= object)
			break;
		object = answer->data[4];
	}
	if (!n_shown)
		p->hay->print(p->hay, "unit %u says nothing of itself", unit);
	return 0;
}

/* ---- dump ---- */

static const char *float_text(uint32_t raw, char buffer[20])
{
	float value;

	memcpy(&value, &raw, sizeof(value));
	snprintf(buffer, 20, "%.6g", (double)value);
	return buffer;
}

static void print_register(const struct modbus_probe *p, unsigned address, const uint8_t *at, bool has_next)
{
	static const uint8_t orders[4][4] = {{0, 1, 2, 3}, {2, 3, 0, 1}, {1, 0, 3, 2}, {3, 2, 1, 0}};
	unsigned raw = at[0] * 256u + at[1];
	char line[256], room[20];
	size_t n;

	n = (size_t)snprintf(line, sizeof(line), "%5u 0x%04x  %04x %6d %5u  %c%c ", address, address, raw, (int16_t)raw,
			     raw, at[0] >= 0x20 && at[0] < 0x7f ? at[0] : '.',
			     at[1] >= 0x20 && at[1] < 0x7f ? at[1] : '.');
	for (unsigned i = 0; i < 4 && has_next; i++) {
		uint32_t wide = 0;

		for (unsigned k = 0; k < 4; k++)
			wide = wide << 8 | at[orders[i][k]];
		n += (size_t)snprintf(line + n, sizeof(line) - n, " %11d %-12s", (int32_t)wide, float_text(wide, room));
	}
	p->hay->print(p->hay, "%s", line);
}

static void print_answer(const struct modbus_probe *p, const struct plan_place *place)
{
	const struct frame_answer *answer = &p->exchange.answer;

	for (unsigned i = 0; i < place->count; i++) {
		if (place->table < TABLE_HOLDING)
			p->hay->print(p->hay, "%5u 0x%04x  %u", place->address + i, place->address + i,
				      answer->data[i / 8] >> (i % 8) & 1u);
		else
			print_register(p, place->address + i, answer->data + (size_t)i * 2, i + 1u < place->count);
	}
}

static void print_missing(const struct modbus_probe *p, unsigned at, const char *why)
{
	p->hay->print(p->hay, "%5u 0x%04x  %s", at, at, why);
}

static void print_header(const struct modbus_probe *p)
{
	p->hay->print(p->hay, "%32s  int32 and float32 of this register and the next", "");
	p->hay->print(p->hay, "address       hex  int16 uint16 text  %-23s %-23s %-23s %-23s", "ABCD", "CDAB", "BADC",
		      "DCBA");
}

/* Some devices do not answer at all where a register is missing, and gateways say so for them: that costs a time-out
   each. So many in a row are enough, fewer where nothing has answered yet: most likely nothing will. */
enum { SILENT_MAX = 16, SILENT_AT_FIRST_MAX = 4 };

static int dump_registers(struct modbus_probe *p, unsigned unit, unsigned table, unsigned first, unsigned count)
{
	const struct frame_answer *answer = &p->exchange.answer;
	unsigned end = first + count > 65536 ? 65536 : first + count, at = first;
	unsigned refused = 0, silent = 0, silent_in_a_row = 0;
	const unsigned most = table < TABLE_HOLDING ? 2000 : PLAN_MAX_REGISTERS;
	unsigned step = most;
	bool answers = false;

	if (table >= TABLE_HOLDING)
		print_header(p);
	while (at < end && !p->hay->cancelled(p->hay)) {
		struct plan_place place = {.table = table,
					   .address = (uint16_t)at,
					   .count = (uint16_t)(end - at < step ? end - at : step)};
		bool is_silent;
		int r;

		p->hay->progress(p->hay, at - first, end - first, "");
		pdu_read(&place, &p->exchange.pdu);
		r = probe_ask(p, unit);
		if (r < 0 && r != -ETIMEDOUT)
			return r;
		is_silent = r < 0 || probe_is_of_gateway(answer->exception);
		answers = answers || !is_silent;
		if (!is_silent && !answer->exception) {
			print_answer(p, &place);
			at += place.count;
			step = step * 2 > most ? most : step * 2;
			silent_in_a_row = 0;
		} else if (place.count > 1) {
			/* Something in there is missing: look closer. */
			step = place.count / 2u;
		} else if (is_silent) {
			const char *why = r < 0 ? p->exchange.detail : exception_name(answer->exception);

			silent++;
			silent_in_a_row++;
			if (!answers && (silent_in_a_row == SILENT_AT_FIRST_MAX || silent == end - first)) {
				p->hay->print(p->hay, "unit %u: %s", unit, why);
				return -ETIMEDOUT;
			}
			if (silent == 1)
				print_missing(p, at, why);
			at++;
			if (silent_in_a_row == SILENT_MAX && at < end) {
				p->hay->print(p->hay, "%u addresses in a row without an answer: not asked from %u on",
					      silent_in_a_row, at);
				break;
			}
		} else {
			if (refused++ == 0 || answer->exception != EXCEPTION_ILLEGAL_ADDRESS)
				print_missing(p, at, exception_name(answer->exception));
			silent_in_a_row = 0;
			at++;
		}
	}
	if (refused > 1)
		p->hay->print(p->hay, "%u addresses are refused", refused);
	if (silent > 1)
		p->hay->print(p->hay, "%u addresses are not answered", silent);
	return p->hay->cancelled(p->hay) ? -EINTR : 0;
}

/* ---- arguments ---- */

static bool parse_units(const char *text, unsigned *ret_first, unsigned *ret_last)
{
	char *end;

	if (*text < '0' || *text > '9')
		return false;
	*ret_first = *ret_last = (unsigned)strtoul(text, &end, 10);
	if (*end == '-' && end[1] >= '0' && end[1] <= '9')
		*ret_last = (unsigned)strtoul(end + 1, &end, 10);
	return !*end && *ret_first <= *ret_last && *ret_last <= 255;
}

static int run_command(struct modbus_probe *p, int argc, char **argv)
{
	static const char *const tables[N_TABLES] = {"coil", "discrete", "holding", "input"};
	unsigned first = 1, last = 247, unit, table = 0, count = 1;
	const char *what = argc > 0 ? argv[0] : "", *target = p->link ? NULL : argc > 1 ? argv[1] : NULL;
	int r;

	if (argc < 1 || (!p->link && !target))
		return wrong_usage(p);
	/* From here on what follows the target. */
	argc -= p->link ? 1 : 2;
	argv += p->link ? 1 : 2;
	if (!strcmp(what, "scan") && argc <= 1) {
		if (argc == 1 && !parse_units(argv[0], &first, &last))
			return wrong_arguments(p, "units are FIRST-LAST, as in 1-32");
		r = open_target(p, target);
		return r < 0 ? r : probe_scan(p, first, last);
	}
	if (argc < 1 || !parse_number(argv[0], 255, &unit))
		return wrong_usage(p);
	if (!strcmp(what, "identify") && argc == 1) {
		r = open_target(p, target);
		return r < 0 ? r : identify_unit(p, unit);
	}
	if (strcmp(what, "dump") || argc < 3 || argc > 4 || !parse_number(argv[2], UINT16_MAX, &first) ||
	    (argc == 4 && (!parse_number(argv[3], 65536, &count) || !count)))
		return wrong_usage(p);
	while (table < N_TABLES && strcmp(argv[1], tables[table]))
		table++;
	if (table == N_TABLES)
		return wrong_arguments(p, "the table is holding, input, coil or discrete");
	r = open_target(p, target);
	return r < 0 ? r : dump_registers(p, unit, table, first, count);
}

int probe_modbus(const struct hay_probe *hay)
{
	struct modbus_probe *p = calloc(1, sizeof(*p));
	char **argv = calloc((size_t)hay->argc + 1, sizeof(*argv));
	int argc = 0, r = -ENOMEM;

	if (p && argv) {
		*p = (struct modbus_probe){.hay = hay,
					   .link = hay->link ? hay->link->state : NULL,
					   .conf = {.gap_us = GAP_DEFAULT_US, .unit_gap_us = GAP_DEFAULT_US}};
		r = 0;
		for (int i = 0; i < hay->argc && r == 0; i++) {
			if (!strchr(hay->argv[i], '='))
				argv[argc++] = hay->argv[i];
			else if (p->link || !set_option(p, hay->argv[i]))
				r = wrong_usage(p);
		}
		/* Most units of a scan are silent: that many seconds would be minutes. */
		if (!p->conf.timeout_us)
			p->conf.timeout_us = argc > 0 && !strcmp(argv[0], "scan") ? 300000 : 1000000;
		if (r == 0)
			r = run_command(p, argc, argv);
		if (!p->link)
			transport_free(p->transport);
	}
	free(argv);
	free(p);
	return r;
}
