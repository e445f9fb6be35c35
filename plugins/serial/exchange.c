/* SPDX-License-Identifier: Apache-2.0 */
/* Asking and writing: one at a time on a line, commands before polls, each with a time-out. */
#include "serial.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void start_next(struct serial_link *line);

/* ---- output ---- */

static void drop_output(struct serial_link *line)
{
	if (line->exchange.out_size > 0 && line->fd >= 0)
		port_discard_output(line->fd);
	free(line->exchange.out);
	line->exchange.out = NULL;
	line->exchange.out_size = 0;
	line_want_output(line, false);
}

/* What the port takes now; the rest is kept and goes when it takes more. False: the line broke. */
static bool send_bytes(struct serial_link *line, const uint8_t *data, size_t size)
{
	struct serial_exchange *exchange = &line->exchange;
	ssize_t n = write(line->fd, data, size);
	uint8_t *rest = NULL;

	exchange->some_left = exchange->some_left || n > 0;
	if (n < 0 && errno != EAGAIN && errno != EINTR) {
		line_broke(line, errno == EIO ? "unplugged" : strerror(errno));
		return false;
	}
	if (n < 0)
		n = 0;
	size -= (size_t)n;
	if (size > 0) {
		rest = malloc(size);
		if (!rest) {
			line_broke(line, "out of memory");
			return false;
		}
		memcpy(rest, data + n, size);
	}
	free(exchange->out);
	exchange->out = rest;
	exchange->out_size = size;
	line_want_output(line, size > 0);
	return true;
}

/* ---- ends ---- */

/* The exchange is over; the line is free for the next one. */
static void end_exchange(struct serial_link *line)
{
	drop_output(line);
	line->exchange.kind = EXCHANGE_NONE;
	line->exchange.device = NULL;
	line->exchange.command = NULL;
	line->host->set_timer(line->pace, 0); /* not from here: a framer or the host may be at work */
}

static void end_round(struct serial_link *line, const struct hay_sample *sample, enum hay_result result,
		      enum hay_reason reason, const char *detail)
{
	struct serial_device *device = line->exchange.device;
	uint64_t rtt = result == HAY_OK ? line->host->now() - line->exchange.sent_us : 0;

	end_exchange(line);
	memset(device->due, 0, device->n_own * sizeof(*device->due));
	line->host->round_done(device->device, sample, result, reason, detail, rtt);
}

static void answer_command(struct serial_link *line, struct hay_command *command, enum hay_outcome outcome,
			   const char *detail)
{
	struct hay_command_result result = {.outcome = outcome, .detail = detail};

	if (outcome == HAY_WRITTEN)
		result.value = command->value;
	line->host->command_done(command, &result);
}

static void end_command(struct serial_link *line, enum hay_outcome outcome, const char *detail)
{
	struct hay_command *command = line->exchange.command;

	end_exchange(line);
	answer_command(line, command, outcome, detail);
}

/* Broken off: where a byte of it is out, the device may have made a message of it. */
static void break_command(struct serial_link *line, const char *why)
{
	end_command(line, line->exchange.some_left ? HAY_UNKNOWN : HAY_NOT_WRITTEN, why);
}

void exchange_answered(struct serial_link *line, size_t frame_size, uint64_t time_us)
{
	struct serial_device *device = line->exchange.device;
	struct hay_sample sample = {.time_us = time_us, .readings = device->readings, .n_readings = device->n_readings};

	echo_answered(line, frame_size);
	end_round(line, &sample, HAY_OK, HAY_NO_REASON, NULL);
}

/* The points of a round that did not come. */
static void all_due_bad(struct serial_device *device, enum hay_reason reason)
{
	device->n_readings = 0;
	for (uint32_t i = 0; i < device->n_own; i++)
		if (device->due[i])
			device->readings[device->n_readings++] =
				(struct hay_reading){.point = i, .quality = HAY_BAD, .reason = reason};
}

static void poll_timed_out(struct serial_link *line)
{
	struct serial_exchange *exchange = &line->exchange;
	struct serial_device *device = exchange->device;
	struct hay_sample sample = {.time_us = line->host->now()};
	bool stuck = exchange->out_size > 0;
	enum hay_reason reason = exchange->heard_other && !stuck ? HAY_DECODE : HAY_TIMEOUT;

	if (!stuck)
		echo_timed_out(line);
	all_due_bad(device, reason);
	sample.readings = device->readings;
	sample.n_readings = device->n_readings;
	/* Its answer may come late, and must not be taken for another's. */
	if (!line->conf->match_field && !stuck)
		exchange->quiet_until_us = sample.time_us + line->conf->timeout_us;
	end_round(line, &sample, HAY_FAILED, reason,
		  stuck			 ? "the other side does not take what is sent"
		  : reason == HAY_DECODE ? "what came is no answer"
		  : line->echo.copy_came ? "only the echo of the request came"
					 : NULL);
}

static void write_timed_out(struct serial_link *line)
{
	struct echo *echo = &line->echo;

	if (line->exchange.out_size > 0) {
		break_command(line, "timeout: the other side does not take what is sent");
		return;
	}
	echo_timed_out(line);
	line->exchange.quiet_until_us = line->host->now() + line->conf->timeout_us;
	/* A copy may be the device's acknowledgement; until the line is known not to hear itself nothing confirms
	   that. */
	break_command(
		line,
		!echo->copy_came ? "timeout: no acknowledgement came"
		: echo->state == ECHO_HEARD
			? "timeout: only the echo of the command came, no acknowledgement"
			: "timeout: only what was sent came back, and nothing has shown yet whether this line hears itself");
}

void exchange_timer(void *userdata)
{
	struct serial_link *line = userdata;

	if (line->exchange.kind == EXCHANGE_POLL)
		poll_timed_out(line);
	else if (line->exchange.kind == EXCHANGE_WRITE)
		write_timed_out(line);
	else
		start_next(line);
}

/* ---- beginnings ---- */

static const struct serial_point *written_point(const struct hay_command *command)
{
	const struct serial_device *device = command->device->state;

	return &device->points[command->point];
}

static void all_sent(struct serial_link *line)
{
	struct serial_exchange *exchange = &line->exchange;

	exchange->sent_us = line->host->now();
	if (exchange->kind == EXCHANGE_WRITE && !written_point(exchange->command)->ack)
		end_command(line, HAY_WRITTEN, NULL);
	else
		line->host->set_timer(line->pace, line->conf->timeout_us);
}

static void begin_exchange(struct serial_link *line, enum exchange_kind kind, struct serial_device *device,
			   const uint8_t *data, size_t size)
{
	struct serial_exchange *exchange = &line->exchange;

	exchange->kind = kind;
	exchange->device = device;
	exchange->heard_other = false;
	exchange->some_left = false;
	exchange->sent_us = line->host->now();
	if (line->only_asked) {
		/* No device speaks unasked: what is there is old. */
		port_discard_input(line->fd);
		framer_reset(line->framer, true);
	}
	exchange->quiet_until_us = 0;
	echo_begin(line, data, size);
	line->host->set_timer(line->pace, line->conf->timeout_us);
	if (send_bytes(line, data, size) && exchange->out_size == 0)
		all_sent(line);
}

void exchange_output_ready(struct serial_link *line)
{
	struct serial_exchange *exchange = &line->exchange;
	uint8_t *out = exchange->out;
	size_t size = exchange->out_size;

	if (size == 0) {
		line_want_output(line, false);
		return;
	}
	exchange->out = NULL;
	if (send_bytes(line, out, size) && exchange->out_size == 0)
		all_sent(line);
	free(out);
}

/* ---- what begins one ---- */

static void begin_write(struct serial_link *line, struct hay_command *command)
{
	const struct serial_point_conf *conf = command->device->points[command->point]->conf;
	struct bytes bytes;
	int r;

	if (command->expires_us > 0 && line->host->now() > command->expires_us) {
		answer_command(line, command, HAY_EXPIRED, "expired while it waited for the line");
		line->host->set_timer(line->pace, 0);
		return;
	}
	r = template_fill(conf->write_template, &command->value, &line->frame, &bytes);
	line->exchange.command = command;
	if (r < 0) {
		end_command(line, HAY_NOT_WRITTEN,
			    r == -EINVAL ? "a text with control characters cannot be sent" : strerror(-r));
		return;
	}
	begin_exchange(line, EXCHANGE_WRITE, command->device->state, bytes.data, bytes.size);
	free(bytes.data);
}

/* How long the line is still left alone. An answer that comes in just now is awaited to its end, for as long again at
   most: cut in two, its second half would pass for a shorter number. */
static uint64_t quiet_left_us(const struct serial_link *line)
{
	uint64_t now = line->host->now(), until = line->exchange.quiet_until_us, heard_out;

	if (until == 0 || now < until)
		return until == 0 ? 0 : until - now;
	heard_out = line->heard_us + line_silence_us(line);
	return now < heard_out && now < until + line->conf->timeout_us ? heard_out - now : 0;
}

static void start_next(struct serial_link *line)
{
	struct serial_exchange *exchange = &line->exchange;
	struct serial_device *device = exchange->poll_waits;
	uint64_t quiet_us = quiet_left_us(line);

	if (exchange->kind != EXCHANGE_NONE || line->state != LINE_UP || (exchange->n_commands == 0 && !device))
		return;
	if (line->pushing || line->broken) {
		line->host->set_timer(line->pace, 0);
		return;
	}
	if (quiet_us > 0) {
		line->host->set_timer(line->pace, quiet_us);
		return;
	}
	if (exchange->n_commands > 0) {
		struct hay_command *command = exchange->commands[0];

		exchange->n_commands--;
		memmove(exchange->commands, exchange->commands + 1, exchange->n_commands * sizeof(command));
		begin_write(line, command);
		return;
	}
	exchange->poll_waits = NULL;
	begin_exchange(line, EXCHANGE_POLL, device, device->request.data, device->request.size);
}

/* ---- what the host and the line call ---- */

int exchange_poll(struct serial_device *device, const uint32_t *due, size_t n_due)
{
	struct serial_link *line = device->line;

	line_try_first(line);
	if (line->state == LINE_DOWN || line->broken) {
		line->host->round_done(device->device, NULL, HAY_FAILED, HAY_OFFLINE, line->reason.text, 0);
		return 0;
	}
	for (size_t i = 0; i < n_due; i++)
		device->due[due[i]] = true;
	line->exchange.poll_waits = device;
	start_next(line);
	return 0;
}

int exchange_write(struct hay_command *command)
{
	struct serial_device *device = command->device->state;
	struct serial_link *line = device->line;
	struct serial_exchange *exchange = &line->exchange;

	if (command->point >= device->n_own)
		return -EOPNOTSUPP;
	line_try_first(line);
	if (line->state == LINE_DOWN || line->broken)
		return -ENODEV;
	if (exchange->n_commands == COMMANDS_MAX)
		return -EBUSY;
	exchange->commands[exchange->n_commands++] = command;
	start_next(line);
	return 0;
}

bool exchange_acknowledges(struct serial_link *line, const uint8_t *frame, size_t size)
{
	struct serial_exchange *exchange = &line->exchange;
	struct regex *ack;

	if (exchange->kind != EXCHANGE_WRITE || exchange->out_size > 0)
		return false;
	ack = written_point(exchange->command)->ack;
	if (!ack || regex_match(ack, (struct text){(const char *)frame, size}, NULL) <= 0)
		return false;
	echo_answered(line, size);
	end_command(line, HAY_WRITTEN, NULL);
	return true;
}

void exchange_line_up(struct serial_link *line)
{
	line->exchange.quiet_until_us = 0;
	start_next(line);
}

void exchange_line_down(struct serial_link *line, const char *why)
{
	struct serial_exchange *exchange = &line->exchange;
	struct serial_device *waits = exchange->poll_waits;

	exchange->poll_waits = NULL;
	if (exchange->kind == EXCHANGE_WRITE)
		break_command(line, why);
	else if (exchange->kind == EXCHANGE_POLL)
		end_round(line, NULL, HAY_FAILED, HAY_OFFLINE, why);
	if (waits)
		line->host->round_done(waits->device, NULL, HAY_FAILED, HAY_OFFLINE, why, 0);
	while (exchange->n_commands > 0)
		answer_command(line, exchange->commands[--exchange->n_commands], HAY_NOT_WRITTEN, why);
	line->host->set_timer(line->pace, UINT64_MAX);
}

void exchange_forget(struct serial_device *device)
{
	struct serial_link *line = device->line;
	struct serial_exchange *exchange = &line->exchange;
	size_t n = 0;

	if (exchange->poll_waits == device)
		exchange->poll_waits = NULL;
	for (size_t i = 0; i < exchange->n_commands; i++)
		if (exchange->commands[i]->device == device->device)
			answer_command(line, exchange->commands[i], HAY_NOT_WRITTEN, "the device was stopped");
		else
			exchange->commands[n++] = exchange->commands[i];
	exchange->n_commands = n;
	if (exchange->kind != EXCHANGE_NONE && exchange->device == device) {
		exchange->quiet_until_us = line->host->now() + line->conf->timeout_us;
		if (exchange->kind == EXCHANGE_WRITE)
			break_command(line, "the device was stopped meanwhile");
		else
			end_exchange(line);
	}
}
