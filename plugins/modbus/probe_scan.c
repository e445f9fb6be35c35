/* SPDX-License-Identifier: Apache-2.0 */
#include "probe_private.h"
#include <errno.h>
#include <stdio.h>
#include <string.h>

/*
 * What each unit is asked, until it answers; an exception is an answer. Most devices refuse what they do not have, but
 * some are silent on it: one that has input registers only is silent on the first of these, and one whose registers
 * begin at 1, as XY-MD02's do, on the second. Each is asked of all units before the next one is: the usual devices come
 * first.
 */
static const struct plan_place queries[] = {
	{TABLE_HOLDING, 0, 1}, {TABLE_INPUT, 0, 1}, {TABLE_INPUT, 1, 1}, {TABLE_COIL, 0, 1}};
static const char *const table_keys[N_TABLES] = {"coil", "discrete", "holding", "input"};

enum {
	N_QUERIES = sizeof(queries) / sizeof(queries[0]),
	TIMEOUT_DEFAULT_US = 1000000, /* of a link */
	/* So many units that all answer are one device: the same to the letter, or more than a serial line has. */
	ALIKE_MIN = 8,
	UNITS_PLAUSIBLE_MAX = 128,
};

struct scan_unit {
	bool answers, is_odd; /* is_odd: something came that was no right answer */
	uint8_t query, exception, data[2];
	uint64_t rtt_us;
};

struct modbus_scan {
	struct modbus_probe *probe;
	unsigned first, last, n_found, n_odd;
	bool holds; /* nothing is printed yet: every unit so far has answered, and it may be one device for all */
	bool has_gateway;
	struct scan_unit units[256];
};

static const struct modbus_link_conf *conf_of(const struct modbus_probe *p)
{
	return p->link ? p->link->link->conf : &p->conf;
}

/* ---- what was found ---- */

static void print_unit(const struct modbus_scan *scan, unsigned unit)
{
	const struct hay_probe *hay = scan->probe->hay;
	const struct scan_unit *u = &scan->units[unit];
	const struct plan_place *place = &queries[u->query];
	char query[48] = "";

	if (u->query > 0)
		snprintf(query, sizeof(query), " for %s %u, but not for holding 0", table_keys[place->table],
			 place->address);
	hay->print(hay, "unit %-3u answers in %.1f ms%s%s%s", unit, (double)u->rtt_us / 1000, query,
		   u->exception ? ": " : "", u->exception ? exception_name(u->exception) : "");
}

static void print_held(struct modbus_scan *scan, unsigned end)
{
	for (unsigned unit = scan->first; scan->holds && unit < end; unit++)
		print_unit(scan, unit);
	scan->holds = false;
}

static bool is_one_device(const struct modbus_scan *scan)
{
	const struct scan_unit *one = &scan->units[scan->first];
	unsigned n = scan->last - scan->first + 1;
	bool is_same = true;

	for (unsigned unit = scan->first; unit <= scan->last; unit++) {
		const struct scan_unit *u = &scan->units[unit];

		is_same = is_same && u->exception == one->exception && !memcmp(u->data, one->data, sizeof(u->data));
	}
	return n > UNITS_PLAUSIBLE_MAX || (n >= ALIKE_MIN && is_same);
}

static void print_one_device(const struct modbus_scan *scan)
{
	const struct hay_probe *hay = scan->probe->hay;
	const struct scan_unit *u = &scan->units[scan->first];

	hay->print(hay,
		   "units %u-%u all answer alike, in %.1f ms%s%s: most likely one device that ignores the unit id%s",
		   scan->first, scan->last, (double)u->rtt_us / 1000, u->exception ? ", " : "",
		   u->exception ? exception_name(u->exception) : "",
		   u->exception ? ", or a gateway that answers for units that are not there" : "");
}

/* ---- asking ---- */

static void note_answer(struct modbus_scan *scan, unsigned unit, unsigned query)
{
	const struct modbus_exchange *x = &scan->probe->exchange;
	struct scan_unit *u = &scan->units[unit];

	*u = (struct scan_unit){
		.answers = true, .query = (uint8_t)query, .exception = x->answer.exception, .rtt_us = x->rtt_us};
	for (size_t i = 0; i < sizeof(u->data) && i < x->answer.size && !u->exception; i++)
		u->data[i] = x->answer.data[i];
	scan->n_found++;
	if (!scan->holds)
		print_unit(scan, unit);
}

static void note_silence(struct modbus_scan *scan, unsigned unit, bool is_odd)
{
	const struct hay_probe *hay = scan->probe->hay;

	print_held(scan, unit);
	if (is_odd && !scan->units[unit].is_odd) {
		hay->print(hay, "unit %-3u ?  %s", unit, scan->probe->exchange.detail);
		scan->n_odd++;
	}
	scan->units[unit].is_odd |= is_odd;
}

/* One query to each unit that has not answered yet. 0 or -errno. */
static int ask_units(struct modbus_scan *scan, unsigned query)
{
	struct modbus_probe *p = scan->probe;
	unsigned total = scan->last - scan->first + 1 - scan->n_found, done = 0;

	for (unsigned unit = scan->first; unit <= scan->last; unit++) {
		char what[48];
		int r;

		if (scan->units[unit].answers)
			continue;
		if (p->hay->cancelled(p->hay))
			return -EINTR;
		snprintf(what, sizeof(what), query ? "unit %u, %s %u" : "unit %u", unit,
			 table_keys[queries[query].table], queries[query].address);
		p->hay->progress(p->hay, done++, total, what);
		pdu_read(&queries[query], &p->exchange.pdu);
		r = probe_ask(p, unit);
		if (r < 0 && r != -ETIMEDOUT)
			return r;
		if (r == 0 && !probe_is_of_gateway(p->exchange.answer.exception)) {
			note_answer(scan, unit, query);
			continue;
		}
		scan->has_gateway = scan->has_gateway || r == 0;
		note_silence(scan, unit, r < 0 && p->exchange.reason == HAY_DECODE);
	}
	return 0;
}

/* ---- what to do with it ---- */

static void print_hints(const struct modbus_scan *scan)
{
	const struct hay_probe *hay = scan->probe->hay;
	const struct modbus_link_conf *conf = conf_of(scan->probe);

	if (scan->n_odd > 0) {
		hay->print(hay, "something answers, but not rightly. What it may be:");
		hay->print(hay, "  two devices with one unit id");
	} else {
		hay->print(hay, "%s. What it may be:",
			   scan->has_gateway ? "the gateway answers, but no unit behind it" : "nothing answered");
	}
	if (conf->port || scan->has_gateway || (conf->url && !strncmp(conf->url, "rtu", 3)))
		hay->print(hay, "  another baud rate or parity%s",
			   conf->port ? " (baud=19200, mode=8E1)" : ", which the converter or gateway has set");
	else
		hay->print(hay, "  RTU frames over TCP (rtu+tcp://...), or a gateway with another baud rate or parity");
	hay->print(hay, "  the wires A and B swapped, or a device without power");
	if (conf->port)
		hay->print(hay, "  a port whose transmitter has to be switched (rs485=true)");
	hay->print(hay, "  a device that takes longer to answer than %llu ms (timeout=)",
		   (unsigned long long)conf->timeout_us / 1000);
	hay->print(hay, "  a unit other than %u to %u%s", scan->first, scan->last,
		   conf->port ? "" : "; devices with a TCP port of their own often want 0, 1 or 255");
	if (!conf->port)
		hay->print(hay, "  another client: some devices serve one connection only");
}

static void print_link(const struct modbus_probe *p)
{
	const struct modbus_link_conf *conf = &p->conf;
	char line[640];
	size_t n, room = sizeof(line);

	n = (size_t)snprintf(line, room, "%.400s\";", conf->port ? conf->port : conf->url);
	if (conf->port)
		n += (size_t)snprintf(line + n, room - n, " baud = %lld;", (long long)(conf->baud ? conf->baud : 9600));
	if (conf->mode)
		n += (size_t)snprintf(line + n, room - n, " mode = \"%.3s\";", conf->mode);
	if (conf->rs485)
		n += (size_t)snprintf(line + n, room - n, " rs485 = true;");
	if (conf->rts_delay_us)
		n += (size_t)snprintf(line + n, room - n, " rts_delay = \"%llums\";",
				      (unsigned long long)conf->rts_delay_us / 1000);
	if (conf->gap_us != GAP_DEFAULT_US)
		n += (size_t)snprintf(line + n, room - n, " gap = \"%llums\";",
				      (unsigned long long)conf->gap_us / 1000);
	if (conf->timeout_us > TIMEOUT_DEFAULT_US) /* a scan's own is too short for polls */
		snprintf(line + n, room - n, " timeout = \"%llums\";", (unsigned long long)conf->timeout_us / 1000);
	p->hay->print(p->hay, "links: (");
	p->hay->print(p->hay, "  { name = \"bus\"; plugin = \"modbus\"; %s = \"%s }", conf->port ? "port" : "url",
		      line);
	p->hay->print(p->hay, ");");
}

/* One device for each unit, with what it answered as its only point. */
static void print_block(const struct modbus_scan *scan, unsigned last)
{
	const struct modbus_probe *p = scan->probe;
	const struct hay_probe *hay = p->hay;
	const char *link = p->link ? hay->link->name : "bus";
	unsigned left = 0;

	for (unsigned unit = scan->first; unit <= last; unit++)
		left += scan->units[unit].answers;
	hay->print(hay, "# To paste. The points are what was asked for: take others from the manual, or a model.");
	if (!p->link)
		print_link(p);
	hay->print(hay, "devices: (");
	for (unsigned unit = scan->first; unit <= last; unit++) {
		const struct scan_unit *u = &scan->units[unit];
		const struct plan_place *place = &queries[u->query];

		if (!u->answers)
			continue;
		if (u->exception)
			hay->print(hay, "  # refused: %s %u", table_keys[place->table], place->address);
		hay->print(
			hay,
			"  { name = \"unit%u\"; link = \"%s\"; unit = %u; points: ( { name = \"value\"; %s = %u; } ); }%s",
			unit, link, unit, table_keys[place->table], place->address, --left ? "," : "");
	}
	hay->print(hay, ");");
}

int probe_scan(struct modbus_probe *p, unsigned first, unsigned last)
{
	struct modbus_scan scan = {.probe = p, .first = first, .last = last, .holds = true};
	bool is_one = false;
	int r = 0;

	for (unsigned query = 0; query < N_QUERIES && r == 0; query++)
		r = ask_units(&scan, query);
	if (scan.holds && scan.n_found == last - first + 1 && is_one_device(&scan)) {
		is_one = true;
		print_one_device(&scan);
	} else {
		print_held(&scan, first + scan.n_found);
	}
	if (r == -EIO || r == -ECANCELED)
		return r;
	p->hay->print(p->hay, "%u unit%s found%s", scan.n_found, scan.n_found == 1 ? "" : "s",
		      is_one ? ", all alike" : "");
	if (scan.n_found > 0)
		print_block(&scan, is_one ? first : last);
	else if (r == 0)
		print_hints(&scan);
	return r;
}
