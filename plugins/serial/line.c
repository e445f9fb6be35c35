/* SPDX-License-Identifier: Apache-2.0 */
/* The port's life: opened, read, lost, looked for, found. */
#include "serial.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#define LOOK_US (300 * USEC_PER_MSEC)
/* What comes later than this after opening begins a frame: USB adapters hand over every 16 ms. */
#define START_SILENCE_US (50 * USEC_PER_MSEC)
#define MESSAGE_PAUSE_US (300 * USEC_PER_MSEC)
#define UNFRAMED_MESSAGES 3
#define UNFRAMED_US (5 * USEC_PER_SEC)
#define READ_MAX 16384 /* in one turn of the loop: a flood leaves the others their time */

void line_log_limited(struct serial_link *line, struct hay_rate_limit *limit, uint64_t n, enum hay_log_level level,
		      const char *format, ...)
{
	char times[64] = "", *text = NULL;
	uint64_t suppressed;
	va_list args;

	if (!hay_rate_limit_allows(limit, 1, LOG_AGAIN_US, line->host->now(), &suppressed)) {
		hay_rate_limit_suppress(limit, n - 1);
		if (line->state == LINE_UP && !line->rest_awaits) {
			line->rest_awaits = true;
			line->host->set_timer(line->look, LOG_AGAIN_US); /* there is nothing to look for now */
		}
		return;
	}
	if (suppressed + n > 1)
		snprintf(times, sizeof(times), "; %llu times since it was last logged",
			 (unsigned long long)(suppressed + n));
	va_start(args, format);
	if (vasprintf(&text, format, args) < 0)
		text = NULL;
	va_end(args);
	line->host->log(line->link, NULL, level, "%s%s", text ? text : "out of memory", times);
	free(text);
}

/* What was dropped and is not logged yet: no line may come that would say so. */
static void log_rest(struct serial_link *line)
{
	unsigned long long too_long = hay_rate_limit_take(&line->limit_long);
	unsigned long long checksum = hay_rate_limit_take(&line->limit_checksum);
	unsigned long long wrong = hay_rate_limit_take(&line->limit_wrong);

	line->rest_awaits = false;
	if (too_long + checksum + wrong > 0)
		line->host->log(
			line->link, NULL, HAY_LOG_WARNING,
			"%llu more dropped since that was logged: %llu too long, %llu with a wrong checksum, %llu that made no sense",
			too_long + checksum + wrong, too_long, checksum, wrong);
}

/* ---- lost and found ---- */

static void close_port(struct serial_link *line)
{
	if (line->fd < 0)
		return;
	line->host->del_fd(line->watch);
	line->watch = NULL;
	port_close(line->fd);
	line->fd = -1;
}

static void go_down(struct serial_link *line)
{
	close_port(line);
	line->state = LINE_DOWN;
	log_rest(line);
	line->host->set_timer(line->silence, UINT64_MAX);
	line->host->set_timer(line->look, LOOK_US);
	line->host->link_down(line->link, HAY_OFFLINE, line->reason.text);
	exchange_line_down(line, line->reason.text);
}

void line_broke(struct serial_link *line, const char *why)
{
	if (line->fd < 0 || line->broken)
		return;
	snprintf(line->reason.text, sizeof(line->reason.text), "%s: %s", line->conf->port, why);
	if (line->pushing)
		line->broken = true;
	else
		go_down(line);
}

uint64_t line_silence_us(const struct serial_link *line)
{
	uint64_t characters = 40 * USEC_PER_SEC / (uint64_t)line->conf->baud; /* some four of them */

	if (line->conf->frame == FRAME_IDLE)
		return line->conf->gap_us;
	return characters > START_SILENCE_US ? characters : START_SILENCE_US;
}

static void begin_listening(struct serial_link *line)
{
	line->state = LINE_UP;
	line->heard = false;
	framer_reset(line->framer, false);
	echo_reset(line); /* it may be another adapter */
	line->unframed = (struct unframed){0};
	line->host->set_timer(line->silence, line_silence_us(line));
	exchange_line_up(line);
}

static void bytes_came(int fd, uint32_t events, void *userdata);

static void look_for_port(struct serial_link *line)
{
	const struct serial_link_conf *conf = line->conf;
	struct port_said said;
	int fd = port_open(&line->port, &said), r = fd;

	if (fd >= 0) {
		r = line->host->add_fd(line->link, fd, EPOLLIN, bytes_came, line, &line->watch);
		if (r < 0) {
			snprintf(said.text, sizeof(said.text), "%s: %s", conf->port, strerror(-r));
			port_close(fd);
		}
	}
	if (r < 0) {
		bool news = r != line->down_error;

		line->reason = said;
		line->down_error = r;
		if (line->state == LINE_NEW)
			line->host->link_down(line->link, r == -EBUSY ? HAY_REFUSED : HAY_OFFLINE, said.text);
		else if (news)
			line->host->log(line->link, NULL, HAY_LOG_WARNING, "still down: %s; looking again every 300 ms",
					said.text);
		line->state = LINE_DOWN;
		line->host->set_timer(line->look, LOOK_US);
		return;
	}
	line->fd = fd;
	line->reason.text[0] = 0;
	line->down_error = 0;
	decoder_restart(line->decoder);
	line->host->log(line->link, NULL, HAY_LOG_INFO, "%s is open: %lld baud, %s", conf->port, (long long)conf->baud,
			conf->mode);
	if (said.text[0])
		line->host->log(line->link, NULL, HAY_LOG_WARNING, "%s", said.text);
	line->state = LINE_SETTLING;
	if (conf->settle_us > 0)
		line->host->set_timer(line->look, conf->settle_us);
	else
		begin_listening(line);
	line->host->link_up(line->link);
}

static void look_timer(void *userdata)
{
	struct serial_link *line = userdata;

	if (line->state == LINE_SETTLING) {
		port_discard_input(line->fd);
		begin_listening(line);
	} else if (line->state == LINE_UP) {
		log_rest(line);
	} else {
		look_for_port(line);
	}
}

void line_try_first(struct serial_link *line)
{
	if (line->state == LINE_NEW)
		look_for_port(line);
}

/* ---- bytes ---- */

static void log_counts(struct serial_link *line)
{
	const struct frame_counts *counts = framer_counts(line->framer);

	if (counts->too_long > line->logged.too_long)
		line_log_limited(line, &line->limit_long, counts->too_long - line->logged.too_long, HAY_LOG_WARNING,
				 "a frame longer than max_frame, %llu bytes, is dropped; going on with the next",
				 (unsigned long long)line->conf->max_frame);
	if (counts->bad_checksum > line->logged.bad_checksum)
		line_log_limited(line, &line->limit_checksum, counts->bad_checksum - line->logged.bad_checksum,
				 HAY_LOG_WARNING, "a frame with a wrong checksum is dropped; going on with the next");
	line->logged.too_long = counts->too_long;
	line->logged.bad_checksum = counts->bad_checksum;
}

/* Past the framer: what waited for it to be done. */
static void end_push(struct serial_link *line)
{
	line->pushing = false;
	log_counts(line);
	if (line->broken) {
		line->broken = false;
		go_down(line);
		return;
	}
	line->host->set_timer(line->silence,
			      framer_wants_idle(line->framer) || echo_holds(line) ? line_silence_us(line) : UINT64_MAX);
}

static void silence_timer(void *userdata)
{
	struct serial_link *line = userdata;

	if (line->fd < 0)
		return;
	if (port_has_input(line->fd)) { /* the loop was busy, not the line silent */
		line->host->set_timer(line->silence, line_silence_us(line));
		return;
	}
	if (!line->heard) {
		framer_reset(line->framer, true);
		line->heard = true;
		return;
	}
	line->pushing = true;
	echo_release(line);
	framer_idle(line->framer);
	end_push(line);
}

/* Bytes come and no frame does: a wrong baud rate or delimiter would say nothing by itself. After some messages with
   pauses between them, since one alone may come in pieces. */
static void log_unframed(struct serial_link *line, uint64_t now, size_t n)
{
	const struct frame_counts *counts = framer_counts(line->framer);
	uint64_t n_cut = counts->frames + counts->too_long + counts->bad_checksum;
	struct unframed *unframed = &line->unframed;

	if (n_cut != unframed->n_cut || unframed->since_us == 0) {
		*unframed = (struct unframed){.n_cut = n_cut, .since_us = now};
		return;
	}
	unframed->bytes += n;
	unframed->messages += now - line->heard_us >= MESSAGE_PAUSE_US;
	if (unframed->messages < UNFRAMED_MESSAGES || now - unframed->since_us < UNFRAMED_US)
		return;
	line_log_limited(
		line, &line->limit_unframed, 1, HAY_LOG_WARNING,
		"%llu bytes came in %llu s and no frame among them: are `baud`, `frame` and its marks right? haywaind --probe serial %s listens and says",
		(unsigned long long)unframed->bytes, (unsigned long long)((now - unframed->since_us) / USEC_PER_SEC),
		line->conf->port);
	*unframed = (struct unframed){.n_cut = n_cut, .since_us = now};
}

static void take_bytes(struct serial_link *line, const uint8_t *bytes, size_t n)
{
	uint64_t now = line->host->now();
	size_t taken;

	if (line->state == LINE_SETTLING)
		return;
	line->heard = true;
	line->pushing = true;
	taken = echo_take(line, bytes, n);
	framer_push(line->framer, bytes + taken, n - taken);
	log_unframed(line, now, n);
	line->heard_us = now;
	end_push(line);
}

static void bytes_came(int fd, uint32_t events, void *userdata)
{
	struct serial_link *line = userdata;
	uint8_t bytes[READ_MAX];
	ssize_t n = read(fd, bytes, sizeof(bytes));

	if (n > 0) {
		take_bytes(line, bytes, (size_t)n);
	} else if (n == 0 || (errno != EAGAIN && errno != EINTR) || events & (EPOLLHUP | EPOLLERR)) {
		line_broke(line, n < 0 && errno != EIO && errno != EAGAIN ? strerror(errno) : "unplugged");
		return;
	}
	if (line->fd == fd && events & EPOLLOUT)
		exchange_output_ready(line);
}

void line_want_output(struct serial_link *line, bool wanted)
{
	if (line->watch)
		line->host->mod_fd(line->watch, wanted ? EPOLLIN | EPOLLOUT : EPOLLIN);
}

/* ---- life ---- */

int line_open(struct serial_link *line)
{
	const struct hay_host *host = line->host;
	int r;

	/* The first look comes with the loop: then the link's devices are there, and can be offline. */
	r = host->add_timer(line->link, 0, look_timer, line, &line->look);
	if (r == 0)
		r = host->add_timer(line->link, UINT64_MAX, exchange_timer, line, &line->pace);
	if (r == 0)
		r = host->add_timer(line->link, UINT64_MAX, silence_timer, line, &line->silence);
	return r;
}

void line_close(struct serial_link *line)
{
	close_port(line);
	log_rest(line);
	line->host->del_timer(line->look);
	line->host->del_timer(line->pace);
	line->host->del_timer(line->silence);
	echo_reset(line);
	free(line->exchange.out);
	line->exchange.out = NULL;
}
