/* SPDX-License-Identifier: Apache-2.0 */
#include "transport.h"
#include <errno.h>
#include <haywain/helpers.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* How long after an answer a device that closes its connections may take to do so: on a local network a few ms. */
#define CLOSE_WAIT_US UINT64_C(50000)

struct transport {
	enum framing framing;
	char *host;    /* NULL: a serial port */
	char *unknown; /* what is said where the host's name does not resolve: written once, another thread reads it */
	char port[8];
	struct tty_conf tty_conf;
	char *path; /* tty_conf.path */
	uint64_t timeout_us, gap_us, unit_gap_us, char_us;
	uint64_t (*now)(void);

	int fd; /* -1: not connected */
	struct tty *tty;
	bool broken; /* the port has failed, and is open only because somebody watches it */

	/* TCP: some devices close the connection after each answer. */
	bool closes;	      /* one that had answered was found closed, ever */
	bool has_answered;    /* on this connection */
	uint64_t answered_us; /* the last time */

	/* Runs on over new connections: an answer that a gateway delivers late on the next one still does not fit. */
	uint16_t transaction;

	/* The silence that is owed; over new connections too. */
	uint64_t last_us;  /* when the line was last busy */
	uint8_t last_unit; /* that was asked */
	bool asked;	   /* any at all */

	/* RTU: a late answer. */
	struct frame_line line;
	uint64_t quiet_us; /* until then a late answer may come; 0: none is expected */
	uint8_t quiet_unit;
	bool quiet_alone; /* only that unit waits for it */
	bool heard;	  /* something came since */
	bool absent[256]; /* units that stayed silent through the last such time */
	/* A unit that hung may answer what it was asked before as well as its repetition, some ms apart: 30 ms between
	   them were enough to give the next register the value of the one before. So it is left alone once more. */
	bool owes[256];	     /* units of which nothing came for a request */
	uint64_t second_us;  /* until then a second answer may come */
	uint8_t second_unit; /* of that unit */
};

int transport_new(const struct transport_conf *conf, struct transport **ret)
{
	struct transport *t = calloc(1, sizeof(*t));

	if (!t)
		return -ENOMEM;
	t->fd = -1;
	t->framing = conf->framing;
	t->timeout_us = conf->timeout_us;
	t->gap_us = conf->gap_us;
	t->unit_gap_us = conf->unit_gap_us;
	t->now = conf->now;
	if (conf->url) {
		snprintf(t->port, sizeof(t->port), "%u", conf->url->port);
		t->host = strndup(conf->url->host, conf->url->host_size);
		if (t->host && asprintf(&t->unknown, "the name %s does not resolve", t->host) < 0) {
			free(t->host);
			t->host = NULL;
		}
	} else {
		t->tty_conf = *conf->tty;
		t->tty_conf.path = t->path = strdup(conf->tty->path);
		t->char_us = tty_char_us(conf->tty);
	}
	if (!t->host && !t->path) {
		free(t);
		return -ENOMEM;
	}
	*ret = t;
	return 0;
}

void transport_close(struct transport *t)
{
	if (t->tty)
		t->tty = tty_close(t->tty);
	else if (t->fd >= 0)
		close(t->fd);
	t->fd = -1;
	t->broken = false;
}

struct transport *transport_free(struct transport *t)
{
	if (t) {
		transport_close(t);
		free(t->host);
		free(t->unknown);
		free(t->path);
		free(t);
	}
	return NULL;
}

static void fail_exchange(struct modbus_exchange *x, enum exchange_end end, enum modbus_fault fault)
{
	x->end = end;
	x->fault = fault;
	x->reason = fault_reason(fault);
	x->detail = fault_to_string(fault);
}

/* ---- the way there ---- */

static void fail_to_open(struct modbus_exchange *x, int error)
{
	static const struct {
		int error;
		enum modbus_fault fault;
	} known[] = {
		{ENOENT, FAULT_PORT_MISSING},	 {ENODEV, FAULT_PORT_MISSING}, {ENXIO, FAULT_PORT_MISSING},
		{EBUSY, FAULT_PORT_TAKEN},	 {ENOTTY, FAULT_PORT_KIND},    {EINVAL, FAULT_PORT_MODE},
		{EACCES, FAULT_PORT_PERMISSION},
	};
	enum modbus_fault fault = FAULT_PORT_ERROR;

	for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++)
		if (known[i].error == error)
			fault = known[i].fault;
	fail_exchange(x, EXCHANGE_DOWN, fault);
	if (fault == FAULT_PORT_ERROR && strerrordesc_np(error))
		x->detail = strerrordesc_np(error);
}

static bool connect_anew(struct transport *t, struct modbus_exchange *x)
{
	int r;

	t->has_answered = false;

	if (t->host) {
		fail_exchange(x, EXCHANGE_DOWN, FAULT_NO_CONNECTION);
		t->fd = hay_connect(t->host, t->port, t->unknown, t->timeout_us, t->now, &x->reason, &x->detail);
	} else {
		r = tty_open(&t->tty_conf, &t->tty, &x->notice);
		if (r < 0)
			fail_to_open(x, -r);
		else
			t->fd = tty_fd(t->tty);
		t->last_us = t->now();
	}
	return t->fd >= 0;
}

/* The other side has closed the connection. */
static void note_closed(struct transport *t)
{
	t->closes = t->closes || t->has_answered;
}

/* It cannot be used any more. A serial port stays open until its watcher has let go of it. */
static void close_connection(struct transport *t)
{
	if (t->tty)
		t->broken = true;
	else
		transport_close(t);
}

enum { NOTHING = 0, GONE = -1 };

/* What comes, waiting at most that long for it: bytes, NOTHING or GONE. */
static ssize_t read_some(struct transport *t, uint8_t *into, size_t room, uint64_t wait_us)
{
	struct pollfd wait = {.fd = t->fd, .events = POLLIN};
	struct timespec time = {.tv_sec = (time_t)(wait_us / 1000000), .tv_nsec = (long)(wait_us % 1000000) * 1000};
	ssize_t n;

	if (ppoll(&wait, 1, &time, NULL) < 0)
		return errno == EINTR ? NOTHING : GONE;
	if (!wait.revents)
		return NOTHING;
	if (!(wait.revents & POLLIN))
		return GONE;
	n = read(t->fd, into, room);
	if (n < 0)
		return errno == EAGAIN || errno == EINTR ? NOTHING : GONE;
	/* Readable and nothing there: the other side has closed, or the adapter was pulled. */
	return n > 0 ? n : GONE;
}

/* ---- silence ---- */

enum settled { SETTLED, LOST, RESTLESS };

static void quiet_is_over(struct transport *t)
{
	if (!t->quiet_alone) /* others were asked meanwhile: it is not known */
		t->absent[t->quiet_unit] = !t->heard;
	if (!t->quiet_alone && t->heard)
		t->owes[t->quiet_unit] = false;
	t->quiet_us = 0;
}

/* The silence that stands before each request: none over TCP but where `gap` wants it, since many gateways to serial
   lines and inverters' dongles lose what comes too soon. What comes meanwhile is too late, and makes it begin anew. */
static enum settled wait_for_silence(struct transport *t, uint8_t unit, uint8_t *scratch, size_t room)
{
	uint64_t gap = t->asked && t->last_unit != unit ? t->unit_gap_us : t->gap_us;
	uint64_t now = t->now(), quiet = t->quiet_us, end;

	/* An absent unit makes only itself wait, and so does one that is silent on this register. */
	if (quiet && (t->absent[t->quiet_unit] || t->quiet_alone) && t->quiet_unit != unit)
		quiet = 0;
	if (t->second_unit == unit && t->second_us > quiet)
		quiet = t->second_us;
	end = (now > quiet ? now : quiet) + gap + t->timeout_us;
	for (;;) {
		uint64_t until = t->last_us + gap > quiet ? t->last_us + gap : quiet;
		ssize_t n = read_some(t, scratch, room, until > now ? until - now : 0);

		now = t->now();
		if (n == GONE)
			return LOST;
		if (n > 0) {
			t->heard = true;
			t->last_us = now;
		} else if (now >= until) {
			break;
		}
		if (now > end)
			return RESTLESS;
	}
	if (t->quiet_us && now >= t->quiet_us)
		quiet_is_over(t);
	return SETTLED;
}

/* No answer came in time: it may come late. */
static void expect_late_answer(struct transport *t, const struct modbus_exchange *x, bool heard)
{
	t->quiet_us = t->now() + t->timeout_us;
	t->quiet_unit = x->unit;
	t->quiet_alone = x->is_quiet && !heard;
	t->heard = heard;
	if (heard)
		t->absent[x->unit] = false;
}

/* ---- question and answer ---- */

static bool send_frame(struct transport *t, struct modbus_exchange *x, const struct frame *frame)
{
	ssize_t n =
		t->tty ? write(t->fd, frame->bytes, frame->size) : send(t->fd, frame->bytes, frame->size, MSG_NOSIGNAL);

	x->sent = x->sent || n > 0;
	return n == (ssize_t)frame->size;
}

/* No answer: only bytes of something else, if any. */
static void give_up(struct transport *t, struct modbus_exchange *x, size_t n, enum modbus_fault fault)
{
	bool only_echo = fault == FAULT_ONLY_ECHO, other = fault != FAULT_NONE && !only_echo;

	fail_exchange(x, EXCHANGE_FAILED, fault ? fault : n ? FAULT_CUT_SHORT : FAULT_SILENCE);
	if (t->framing != FRAMING_RTU)
		return;
	expect_late_answer(t, x, n > 0 && !only_echo);
	if (!x->is_quiet && (!t->heard || other))
		t->owes[x->unit] = true;
}

/* Ask over the connection there is. False: it is closed, and not a byte of an answer came. */
static bool send_request(struct transport *t, struct modbus_exchange *x)
{
	uint64_t sent, deadline, now;
	enum modbus_fault fault = FAULT_NONE;
	enum frame_search found;
	struct frame request;
	size_t size = 0;

	frame_build(t->framing, ++t->transaction, x->unit, &x->pdu, &request);
	sent = t->now();
	if (x->not_after_us > 0 && sent > x->not_after_us) {
		fail_exchange(x, EXCHANGE_FAILED, FAULT_EXPIRED);
		return true;
	}
	if (!send_frame(t, x, &request)) {
		fail_exchange(x, EXCHANGE_FAILED, FAULT_CLOSED_BEFORE);
		return false;
	}
	t->last_us = sent + request.size * t->char_us;
	t->last_unit = x->unit;
	t->asked = true;
	/* A slow line takes its time for both frames; the time-out is the device's. */
	deadline = t->last_us + t->timeout_us + frame_expected(&request) * t->char_us;
	for (;;) {
		ssize_t n;

		now = t->now();
		n = now < deadline ? read_some(t, x->bytes + size, sizeof(x->bytes) - size, deadline - now) : NOTHING;
		now = t->now();
		if (n == GONE) {
			fail_exchange(x, EXCHANGE_FAILED, size ? FAULT_CLOSED_WITHIN : FAULT_CLOSED);
			return size > 0;
		}
		if (n == NOTHING) {
			if (now < deadline)
				continue;
			give_up(t, x, size, fault);
			return true;
		}
		size += (size_t)n;
		t->last_us = now;
		found = frame_find(&request, &t->line, x->bytes, size, &x->answer, &fault);
		if (found == FRAME_FOUND)
			break;
		if (found == FRAME_WRONG || size == sizeof(x->bytes)) {
			fail_exchange(x, EXCHANGE_FAILED, fault ? fault : FAULT_NO_FRAME);
			return true;
		}
	}
	t->absent[x->unit] = false;
	if (t->owes[x->unit]) {
		t->owes[x->unit] = false;
		t->second_us = now + t->timeout_us;
		t->second_unit = x->unit;
	}
	x->is_mirror = t->framing == FRAMING_RTU && !t->line.is_plain && !t->line.echoes && size >= request.size &&
		       !memcmp(x->bytes, request.bytes, request.size);
	x->echoes = t->line.echoes;
	x->answered_us = t->answered_us = now;
	t->has_answered = true;
	x->rtt_us = now - sent;
	x->end = EXCHANGE_ANSWERED;
	x->fault = FAULT_NONE;
	return true;
}

static enum settled settle_line(struct transport *t, struct modbus_exchange *x)
{
	return wait_for_silence(t, x->unit, x->bytes, sizeof(x->bytes));
}

/* What is sent once is lost on a connection that the device is about to close: where it is one that does, it gets a
   moment for that after its answer. True: it has. */
static bool closes_now(struct transport *t, struct modbus_exchange *x)
{
	uint64_t now = t->now(), until = t->answered_us + CLOSE_WAIT_US;

	return x->once && t->closes && t->has_answered && now < until &&
	       read_some(t, x->bytes, sizeof(x->bytes), until - now) == GONE;
}

static void port_has_gone(struct transport *t, struct modbus_exchange *x)
{
	t->broken = true;
	fail_exchange(x, EXCHANGE_DOWN, FAULT_PORT_GONE);
}

void transport_exchange(struct transport *t, struct modbus_exchange *x)
{
	enum settled settled;

	x->port_fd = -1;
	x->notice = NULL;
	x->sent = x->is_mirror = x->echoes = false;
	if (t->broken) {
		port_has_gone(t, x);
		return;
	}
	settled = t->fd >= 0 && !closes_now(t, x) ? settle_line(t, x) : LOST;
	if (settled == LOST && t->fd >= 0 && !t->tty) {
		note_closed(t);
		close_connection(t);
	}
	for (unsigned attempt = 0; attempt < 2; attempt++) {
		bool asked = false;

		if (t->fd < 0) {
			if (!connect_anew(t, x))
				return;
			settled = settle_line(t, x);
		}
		if (settled == RESTLESS) {
			fail_exchange(x, EXCHANGE_FAILED, FAULT_RESTLESS);
			break;
		}
		if (settled == LOST)
			fail_exchange(x, EXCHANGE_FAILED, FAULT_CLOSED);
		else
			asked = send_request(t, x);
		if (t->tty && (!asked || (x->end == EXCHANGE_FAILED && x->reason == HAY_REFUSED))) {
			port_has_gone(t, x);
			return;
		}
		if (!asked)
			note_closed(t);
		if (asked || (x->once && x->sent))
			break;
		close_connection(t);
	}
	/* After a time-out or nonsense it is not known what comes next on this connection: the next question has a
	   new one. */
	if (t->tty)
		x->port_fd = t->fd;
	else if (x->end != EXCHANGE_ANSWERED)
		close_connection(t);
}

void transport_reopen(struct transport *t, struct modbus_exchange *x)
{
	x->port_fd = -1;
	x->notice = NULL;
	if (t->broken) {
		port_has_gone(t, x);
		return;
	}
	if (t->fd < 0 && !connect_anew(t, x))
		return;
	x->end = EXCHANGE_ANSWERED;
	x->fault = FAULT_NONE;
	x->port_fd = t->fd;
}
