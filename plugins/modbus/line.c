/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The link as the host sees it: up or down. A serial port is watched while it is open, so that a pulled plug is seen
 * at once even when nothing is asked, and looked for every 300 ms while it is away. Main thread, but for run_port().
 */
#include "device.h"
#include <string.h>
#include <unistd.h>

#define LOOK_US UINT64_C(300000)

static void port_lost(struct modbus_link *ml);

static void report_link(struct modbus_link *ml, enum link_known now, enum hay_reason reason, const char *detail)
{
	if (now == ml->known)
		return;
	ml->known = now;
	if (now == LINK_UP)
		ml->link->host->link_up(ml->link);
	else
		ml->link->host->link_down(ml->link, reason, detail);
}

static void run_port(struct hay_work *work)
{
	struct port_work *port = (void *)work;

	if (port->close)
		transport_close(port->link->transport);
	else
		transport_reopen(port->link->transport, &port->exchange);
}

static void port_done(struct hay_work *work)
{
	struct port_work *port = (void *)work;
	struct modbus_link *ml = port->link;

	ml->working = false;
	if (port->close)
		ml->link->host->set_timer(ml->timer, LOOK_US);
	else
		line_heard(ml, &port->exchange);
}

static void begin_port_work(struct modbus_link *ml, bool close)
{
	if (ml->working)
		return;
	ml->port_work.work = (struct hay_work){.run = run_port, .done = port_done};
	ml->port_work.link = ml;
	ml->port_work.close = close;
	/* Being closed the link needs no port any more. */
	ml->working = ml->link->host->submit(ml->link, &ml->port_work.work, HAY_LANE_COMMAND) == 0;
}

static void look_for_port(void *userdata)
{
	struct modbus_link *ml = userdata;

	if (ml->watch)
		return;
	if (access(ml->port, F_OK) == 0)
		begin_port_work(ml, false);
	else
		ml->link->host->set_timer(ml->timer, LOOK_US);
}

/* Nothing is asked for but the events that always come: hang-up and error. */
static void port_event(int fd, uint32_t events, void *userdata)
{
	struct modbus_link *ml = userdata;

	(void)fd;
	(void)events;
	report_link(ml, LINK_DOWN, HAY_OFFLINE, "the port has gone");
	port_lost(ml);
}

/* Let go of the port and close it at once, else it comes back under another name; then look for it. */
static void port_lost(struct modbus_link *ml)
{
	const struct hay_host *host = ml->link->host;

	host->del_fd(ml->watch);
	ml->watch = NULL;
	if (!ml->timer && host->add_timer(ml->link, UINT64_MAX, look_for_port, ml, &ml->timer) < 0)
		return;
	begin_port_work(ml, true);
}

static void port_heard(struct modbus_link *ml, const struct modbus_exchange *x)
{
	const struct hay_host *host = ml->link->host;

	if (x->notice)
		host->log(ml->link, NULL, HAY_LOG_NOTICE, "%s: %s", ml->port, x->notice);
	if (x->port_fd >= 0) {
		if (!ml->watch && host->add_fd(ml->link, x->port_fd, 0, port_event, ml, &ml->watch) < 0)
			host->log(ml->link, NULL, HAY_LOG_WARNING,
				  "%s cannot be watched; its end is seen at the next request", ml->port);
		ml->last_fault = FAULT_NONE;
		return;
	}
	if (x->end != EXCHANGE_DOWN)
		return;
	/* The reason may change while it is away: it is back, but another program has it. */
	if (ml->known == LINK_DOWN && ml->last_fault && ml->last_fault != x->fault)
		host->log(ml->link, NULL, HAY_LOG_NOTICE, "still down: %s; looking for it every 300 ms", x->detail);
	ml->last_fault = x->fault;
	if (!ml->working)
		port_lost(ml);
}

void line_heard(struct modbus_link *ml, const struct modbus_exchange *x)
{
	if (ml->port)
		port_heard(ml, x);
	report_link(ml, x->end == EXCHANGE_DOWN ? LINK_DOWN : LINK_UP, x->reason, x->detail);
}
