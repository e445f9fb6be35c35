/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A line that hears itself: two-wire RS-485 adapters, and boards with a console, send back what was sent. The copy may
 * be a valid frame of the answer's form (a Daly battery's request is), and must not become a value or an
 * acknowledgement.
 *
 * Whether a line hears itself is learnt. It does where an answer followed a copy. It does not where two requests in a
 * row met silence, or fewer bytes than a copy and the answer together have: what equals the request then is the
 * device's own, such as the confirmation of a command. As long as neither was seen, a copy is taken for an echo, and
 * what became of a command that got nothing else is not known.
 */
#include "serial.h"
#include <stdlib.h>
#include <string.h>

#define ENOUGH_WITHOUT 2 /* one echo may be lost to noise */

static void count_frame(const uint8_t *frame, size_t size, void *userdata)
{
	size_t *n = userdata;

	(void)frame;
	(void)size;
	(*n)++;
}

/* What was sent, as the framer would cut it if it came in. fn gets the frames. False: bytes are left over. */
static bool cut_sent(const struct serial_link *line, const struct echo_sent *sent, frame_fn fn, void *userdata)
{
	struct framer *framer = framer_new(&line->frame, fn, userdata);
	bool whole;

	if (!framer)
		return false;
	framer_push(framer, sent->bytes, sent->size);
	whole = framer_is_empty(framer);
	framer_idle(framer);
	framer_free(framer);
	return whole;
}

/* Whether a copy that is no frame of its own may be cut off from what comes behind it. "T" asks and "T=21.5"
   answers, but no answer has a whole request with its line end, or four bytes of one, in front. */
static bool is_plain_copy(const struct serial_link *line, const struct echo_sent *sent)
{
	if (line->echo.state == ECHO_HEARD)
		return true;
	return line->conf->decode == DECODE_BINARY ? sent->size >= 4 : sent->bytes[sent->size - 1] < 0x20;
}

static void forget_sent(struct echo_sent *sent)
{
	free(sent->bytes);
	*sent = (struct echo_sent){0};
}

void echo_reset(struct serial_link *line)
{
	struct echo *echo = &line->echo;

	forget_sent(&echo->now);
	forget_sent(&echo->before);
	*echo = (struct echo){0};
}

void echo_begin(struct serial_link *line, const uint8_t *data, size_t size)
{
	struct echo *echo = &line->echo;
	uint8_t *bytes;

	/* A command without acknowledgement was over when it was sent: its echo meets the next request. */
	forget_sent(&echo->before);
	if (echo->now.n_left > 0 && line->host->now() - echo->begun_us < line->conf->timeout_us)
		echo->before = echo->now;
	else
		forget_sent(&echo->now);
	echo->now = (struct echo_sent){0};
	echo->begun_us = line->host->now();
	echo->n_heard = echo->n_matched = 0;
	echo->matching = echo->copy_came = false;
	bytes = echo->state != ECHO_NONE && size > 0 ? malloc(size) : NULL;
	if (!bytes)
		return;
	memcpy(bytes, data, size);
	echo->now = (struct echo_sent){.bytes = bytes, .size = size};
	echo->matching = !cut_sent(line, &echo->now, count_frame, &echo->now.n_left) &&
			 is_plain_copy(line, &echo->now) && echo->before.n_left == 0;
}

/* ---- a copy that is no frame of its own ---- */

size_t echo_take(struct serial_link *line, const uint8_t *data, size_t size)
{
	struct echo *echo = &line->echo;
	size_t n = 0;

	if (line->exchange.kind == EXCHANGE_NONE)
		return 0;
	echo->n_heard += size;
	if (!echo->matching)
		return 0;
	while (n < size && echo->n_matched < echo->now.size && data[n] == echo->now.bytes[echo->n_matched]) {
		echo->n_matched++;
		n++;
	}
	if (echo->n_matched == echo->now.size) {
		echo->matching = false;
		echo->now.n_left = 0;
		echo->copy_came = true;
	} else if (n < size) {
		echo_release(line);
	}
	return n;
}

void echo_release(struct serial_link *line)
{
	struct echo *echo = &line->echo;

	if (!echo->matching)
		return;
	echo->matching = false;
	framer_push(line->framer, echo->now.bytes, echo->n_matched);
}

bool echo_holds(const struct serial_link *line)
{
	return line->echo.matching && line->echo.n_matched > 0;
}

/* ---- a copy that is a frame ---- */

struct comparison {
	const uint8_t *frame;
	size_t size;
	bool same;
};

static void compare_frame(const uint8_t *frame, size_t size, void *userdata)
{
	struct comparison *comparison = userdata;

	if (size == comparison->size && memcmp(frame, comparison->frame, size) == 0)
		comparison->same = true;
}

static bool is_copy_of(const struct serial_link *line, struct echo_sent *sent, const uint8_t *frame, size_t size)
{
	struct comparison comparison = {.frame = frame, .size = size};

	if (sent->n_left == 0 || size > sent->size)
		return false;
	cut_sent(line, sent, compare_frame, &comparison);
	sent->n_left -= comparison.same;
	return comparison.same;
}

bool echo_is_copy(struct serial_link *line, const uint8_t *frame, size_t size)
{
	struct echo *echo = &line->echo;

	if (echo->state == ECHO_NONE)
		return false;
	if (line->exchange.kind == EXCHANGE_NONE) {
		/* Unasked: a board may well say what it was told. */
		return echo->state == ECHO_HEARD && line->host->now() - echo->begun_us < line->conf->timeout_us &&
		       is_copy_of(line, &echo->now, frame, size);
	}
	if (is_copy_of(line, &echo->before, frame, size))
		return true;
	if (!is_copy_of(line, &echo->now, frame, size))
		return false;
	echo->copy_came = true;
	return true;
}

/* ---- learning ---- */

static void count_without(struct echo *echo)
{
	if (++echo->n_without >= ENOUGH_WITHOUT)
		echo->state = ECHO_NONE;
}

void echo_answered(struct serial_link *line, size_t frame_size)
{
	struct echo *echo = &line->echo;

	if (echo->copy_came) {
		echo->state = ECHO_HEARD;
		echo->n_without = 0;
	} else if (echo->now.bytes && echo->n_heard < echo->now.size + frame_size) {
		count_without(echo);
	}
}

void echo_timed_out(struct serial_link *line)
{
	if (line->echo.n_heard == 0)
		count_without(&line->echo);
	else if (line->echo.copy_came)
		line->echo.n_without = 0;
}
