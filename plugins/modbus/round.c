/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One round of a device: its requests one after the other, each a work of its own, so that a command can come
 * between two of them. Main thread, but for run_request().
 *
 * A request without an answer does not end the round, else one register that a device is silent on would take the
 * whole device away. Two in a row do: then the device has gone. One is enough where the last round had no answer
 * either, so that an absent device costs its neighbours one time-out for each probe. The first request of a probe may
 * be the very one that is never answered, so each probe begins with another one, and every second with one point alone.
 *
 * What got no answer while other requests did is quiet: it is asked after all others, until the first of them has no
 * answer again, then after a growing pause. Quiet registers that were asked together are asked in ever smaller pieces,
 * until the silent one is alone. Where only quiet ones are due, another point is asked before them: their silence does
 * not show whether the device is still there.
 */
#include "device.h"
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#define BUSY_PAUSE_US UINT64_C(100000)
#define QUIET_FIRST_US UINT64_C(1000000)
#define QUIET_LAST_US UINT64_C(60000000)

enum {
	MISSES_MAX = 2, /* in a row, of a device that was there */
	FRESH_EVERY =
		8, /* so many probes of an absent device, quiet ones are asked like all others: it may be another one */
	QUIET_LINES_MAX = 8, /* in the log, for each device */
	QUIET_CUTS_MAX = 8,  /* in a row, without an answer of any piece */
};

static void run_request(struct hay_work *work)
{
	struct modbus_request *request = (void *)work;

	transport_exchange(request->transport, &request->exchange);
}

/* ---- readings ---- */

/* The point that only shows that the device is there was not due: its reading comes when it is. */
static void add_reading(struct modbus_device *md, struct hay_reading reading)
{
	if (reading.point != md->witness)
		md->readings[md->n_readings++] = reading;
}

static void add_bad(struct modbus_device *md, uint32_t point, enum hay_reason reason, const char *exception)
{
	add_reading(md,
		    (struct hay_reading){.point = point, .quality = HAY_BAD, .reason = reason, .exception = exception});
}

static void add_value(struct modbus_device *md, uint32_t point, const struct hay_value *value)
{
	bool finite = value->type == HAY_FLOAT32   ? isfinite(value->f)
		      : value->type == HAY_FLOAT64 ? isfinite(value->d)
						   : true;

	if (finite)
		add_reading(md, (struct hay_reading){.point = point, .quality = HAY_GOOD, .value = *value});
	else
		add_bad(md, point, HAY_NOT_A_NUMBER, NULL);
}

static void take_answer(struct modbus_device *md, const struct plan_request *request)
{
	const struct modbus_exchange *x = &md->request.exchange;

	for (size_t i = request->first; i < request->first + request->n; i++) {
		uint32_t point = md->plan->points[i];
		unsigned at = md->places[point].address - (unsigned)request->place.address;
		struct hay_value value = {.type = HAY_BOOL};
		int r = 0;

		md->states[point].is_done = true;
		md->states[point].is_quiet = false;
		if (x->answer.exception) {
			add_bad(md, point, HAY_EXCEPTION, exception_name(x->answer.exception));
			continue;
		}
		if (request->place.table < TABLE_HOLDING)
			value.b = types_bit(x->answer.data, at);
		else
			r = types_decode(&md->forms[point], x->answer.data + (size_t)at * 2,
					 md->text + md->texts[point], &value);
		if (r < 0)
			add_bad(md, point, HAY_DECODE, NULL);
		else
			add_value(md, point, &value);
	}
}

/* ---- the end ---- */

static void log_quiet(struct modbus_device *md, const struct plan_request *request)
{
	struct modbus_point_state *state = &md->states[md->plan->points[request->first]];
	char text[PLACE_TEXT_MAX];

	if (state->is_logged || md->n_quiet_lines++ >= QUIET_LINES_MAX)
		return;
	state->is_logged = true;
	md->device->link->host->log(
		md->device->link, md->device, HAY_LOG_INFO,
		"no answer for %s while others are answered: asked after them from now on, and less often, down to once a minute%s",
		plan_place_text(&request->place, text),
		md->n_quiet_lines == QUIET_LINES_MAX ? " (more such registers of this device are not logged)" : "");
}

/* What the round did not come to is bad, and what it learnt of its points stays. */
static void settle_points(struct modbus_device *md)
{
	for (uint32_t i = 0; i < md->device->n_points; i++) {
		struct modbus_point_state *state = &md->states[i];

		if (!state->is_due)
			continue;
		if (!state->is_done && state->is_quiet)
			add_bad(md, i, state->reason, state->exception);
		else if (!state->is_done)
			add_bad(md, i, md->failure.reason, md->failure.exception);
		if (state->is_missed && md->n_answered)
			state->is_quiet = true;
		state->is_due = state->is_done = state->is_missed = false;
	}
}

static void note_presence(struct modbus_device *md)
{
	if (md->n_answered && !md->is_present)
		learn_came_back(md);
	md->had_values = md->has_values;
	md->is_present = md->n_answered > 0;
	md->n_absent = md->is_present ? 0 : md->n_absent + 1;
	if (md->is_present)
		md->probe_turn = 0;
	else if (!md->is_fresh && !md->asks_one)
		md->probe_turn = md->turn + md->next + 1;
}

static void end_round(struct modbus_device *md, enum hay_result result)
{
	const struct hay_host *host = md->device->link->host;
	struct hay_sample sample = {.time_us = md->first_us ? md->first_us : host->now(), .readings = md->readings};
	bool failed = result == HAY_FAILED;

	settle_points(md);
	if (result != HAY_SKIPPED)
		note_presence(md);
	learn_end_round(md, md->has_values);
	sample.n_readings = md->n_readings;
	md->plan = NULL;
	host->round_done(md->device, &sample, result, failed ? md->failure.reason : HAY_NO_REASON,
			 failed ? md->failure.detail : NULL, md->slowest_us);
}

static void fail_round(struct modbus_device *md, enum hay_reason reason, const char *detail)
{
	md->failure.reason = reason;
	md->failure.exception = NULL;
	snprintf(md->failure.detail, sizeof(md->failure.detail), "%s", detail);
	end_round(md, HAY_FAILED);
}

/* Quiet requests alone, as of a device that has no others, say nothing about it where they stay quiet. */
static void end_as_it_went(struct modbus_device *md)
{
	end_round(md, md->n_answered ? HAY_OK : md->asks_quiet ? HAY_SKIPPED : HAY_FAILED);
}

/* The link goes down within the round: what was read before must not be lost with it. */
static void hand_over_early(struct modbus_device *md)
{
	struct hay_sample sample = {.time_us = md->first_us, .readings = md->readings, .n_readings = md->n_readings};

	if (md->has_values)
		md->device->link->host->emit(md->device, &sample);
	md->n_readings = 0;
}

/* ---- what is asked ---- */

static bool counts_as_quiet(const struct modbus_device *md, const struct modbus_point_state *state)
{
	return state->is_quiet && !md->is_fresh;
}

/* Plan what is due, was not asked, and is quiet or not. */
static int plan_rest(struct modbus_device *md)
{
	size_t n = 0;
	int r;

	for (uint32_t i = 0; i < md->device->n_points; i++)
		if (md->states[i].is_due && !md->states[i].is_done &&
		    counts_as_quiet(md, &md->states[i]) == md->asks_quiet)
			md->to_ask[n++] = i;
	if (md->asks_one && n) {
		md->to_ask[0] = md->to_ask[(md->is_fresh ? md->fresh_turn++ : ++md->one_turn) % n];
		n = 1;
	}
	if (md->plans_are_old)
		plan_cache_done(&md->plans);
	md->plans_are_old = false;
	md->turn = md->next = 0;
	md->tries = 0;
	r = plan_cache_get(&md->plans, md->places, md->to_ask, n, &md->limits, &md->plan);
	if (r == 0 && md->asks_quiet)
		md->turn = md->quiet_turn++;
	return r;
}

static const struct plan_request *current_request(const struct modbus_device *md)
{
	return &md->plan->requests[(md->turn + md->next) % md->plan->n_requests];
}

static int ask_current(struct modbus_device *md)
{
	md->request.exchange.is_quiet = md->asks_quiet;
	pdu_read(&current_request(md)->place, &md->request.exchange.pdu);
	return md->device->link->host->submit(md->device->link, &md->request.work, HAY_LANE_POLL);
}

static void ask_or_end(struct modbus_device *md)
{
	if (ask_current(md) < 0)
		fail_round(md, HAY_OFFLINE, "stopped");
}

static void plan_and_ask(struct modbus_device *md)
{
	if (plan_rest(md) < 0) {
		/* Out of memory: what was read counts, the rest is not asked. */
		md->failure.reason = HAY_REFUSED;
		md->plan = NULL;
		end_round(md, HAY_OK);
		return;
	}
	if (md->plan->n_requests)
		ask_or_end(md);
	else
		end_as_it_went(md);
}

/* The request has its answer, or none: on to the next one. */
static void go_on(struct modbus_device *md)
{
	md->tries = 0;
	if (++md->next < md->plan->n_requests) {
		ask_or_end(md);
		return;
	}
	if (md->asks_one && md->n_answered) {
		md->asks_one = false;
		plan_and_ask(md);
		return;
	}
	/* Where nothing was answered the quiet ones will not be, and would hide that the device is away. */
	if (md->asks_quiet || md->is_fresh || !md->n_answered || md->device->link->host->now() < md->quiet_us) {
		end_as_it_went(md);
		return;
	}
	md->asks_quiet = true;
	plan_and_ask(md);
}

static void pause_over(void *userdata)
{
	struct modbus_device *md = userdata;

	if (md->plan)
		ask_or_end(md);
}

/* A busy device is asked again, but not at once. No other device of the link is asked meanwhile. */
static void ask_after_pause(struct modbus_device *md)
{
	const struct hay_host *host = md->device->link->host;

	if (!md->pause && host->add_timer(md->device->link, UINT64_MAX, pause_over, md, &md->pause) < 0)
		ask_or_end(md);
	else
		host->set_timer(md->pause, BUSY_PAUSE_US);
}

/* ---- answers, and none ---- */

static bool is_absence(uint8_t exception)
{
	return exception == EXCEPTION_NO_PATH || exception == EXCEPTION_NO_TARGET;
}

static bool is_busy(uint8_t exception)
{
	return exception == EXCEPTION_ACKNOWLEDGE || exception == EXCEPTION_BUSY;
}

/* True: what is left is asked in other pieces. */
static bool learn_from_refusal(struct modbus_device *md, const struct plan_request *request)
{
	if (learn_test_failed(md, request))
		return true;
	if (md->request.exchange.answer.exception != EXCEPTION_ILLEGAL_ADDRESS)
		return false;
	/* A device that refuses whatever it is asked for would be asked for each register by itself. */
	return (md->had_values || !md->refuses_all) && learn_cut(md, request, false);
}

static void request_answered(struct modbus_device *md)
{
	const struct plan_request *request = current_request(md);
	const struct modbus_exchange *x = &md->request.exchange;

	if (!md->first_us)
		md->first_us = x->answered_us;
	if (x->rtt_us > md->slowest_us)
		md->slowest_us = x->rtt_us;
	md->n_answered++;
	md->n_misses = 0;
	if (md->asks_quiet)
		md->quiet_us = md->quiet_pause_us = md->n_quiet_cuts = 0;
	if (is_busy(x->answer.exception) && md->tries++ < md->link->retries) {
		ask_after_pause(md);
		return;
	}
	if (x->answer.exception && learn_from_refusal(md, request)) {
		plan_and_ask(md);
		return;
	}
	take_answer(md, request);
	md->refuses_all = x->answer.exception && !md->has_values;
	if (!x->answer.exception) {
		md->has_values = true;
		learn_answered(md, request);
	}
	go_on(md);
}

static void miss_points(struct modbus_device *md, const struct plan_request *request, enum hay_reason reason,
			const char *exception)
{
	for (size_t i = request->first; i < request->first + request->n; i++) {
		struct modbus_point_state *state = &md->states[md->plan->points[i]];

		state->is_done = state->is_missed = true;
		state->reason = reason;
		state->exception = exception;
		add_bad(md, md->plan->points[i], reason, exception);
	}
}

/* Each more time-out costs the whole link; a damaged answer, on the other hand, shows that the device is there. */
static bool is_worth_a_retry(const struct modbus_device *md, enum hay_reason reason)
{
	if (md->tries >= md->link->retries || md->asks_quiet)
		return false;
	return reason == HAY_DECODE || (!md->n_misses && (md->is_present || md->n_answered));
}

/* The next quiet request waits, unless smaller pieces lead to the silent register before long. */
static void quiet_missed(struct modbus_device *md, const struct plan_request *request)
{
	bool is_cut = md->n_answered && learn_cut(md, request, true);

	if (md->n_answered && !is_cut)
		log_quiet(md, request);
	if (is_cut && ++md->n_quiet_cuts <= QUIET_CUTS_MAX)
		return;
	md->quiet_pause_us = md->quiet_pause_us ? md->quiet_pause_us * 2 : QUIET_FIRST_US;
	if (md->quiet_pause_us > QUIET_LAST_US)
		md->quiet_pause_us = QUIET_LAST_US;
	md->quiet_us = md->device->link->host->now() + md->quiet_pause_us;
}

static void request_missed(struct modbus_device *md, enum hay_reason reason, const char *exception, const char *why)
{
	const struct plan_request *request = current_request(md);
	char place[PLACE_TEXT_MAX];

	if (learn_test_failed(md, request)) {
		plan_and_ask(md);
		return;
	}
	if (is_worth_a_retry(md, reason)) {
		md->tries++;
		ask_or_end(md);
		return;
	}
	if (!md->failure.reason) {
		md->failure.reason = reason;
		md->failure.exception = exception;
		snprintf(md->failure.detail, sizeof(md->failure.detail), "%s (asked for %s)", why,
			 plan_place_text(&request->place, place));
	}
	miss_points(md, request, reason, exception);
	md->n_misses++;
	if (md->asks_quiet) {
		quiet_missed(md, request);
		end_as_it_went(md);
	} else if (md->n_misses >= (md->is_present || md->n_answered ? MISSES_MAX : 1)) {
		end_as_it_went(md);
	} else {
		go_on(md);
	}
}

static void request_done(struct hay_work *work)
{
	struct modbus_request *done = (void *)work;
	struct modbus_device *md = work->device->state;
	const struct modbus_exchange *x = &done->exchange;
	const char *exception;

	if (x->end == EXCHANGE_DOWN) {
		hand_over_early(md);
		line_heard(md->link, x);
		fail_round(md, x->reason, x->detail);
		return;
	}
	line_heard(md->link, x);
	if (x->end == EXCHANGE_ANSWERED && !is_absence(x->answer.exception)) {
		request_answered(md);
	} else if (x->end == EXCHANGE_ANSWERED) {
		/* The gateway is there, but it does not get an answer from the unit behind it. */
		exception = exception_name(x->answer.exception);
		request_missed(md, HAY_EXCEPTION, exception, exception);
	} else {
		request_missed(md, x->reason, NULL, x->detail);
	}
}

/* ---- beginning and stopping ---- */

static void begin_points(struct modbus_device *md, const uint32_t *due, size_t n_due)
{
	bool all_quiet = true;

	for (size_t i = 0; i < n_due; i++) {
		md->states[due[i]].is_due = true;
		all_quiet = all_quiet && counts_as_quiet(md, &md->states[due[i]]);
	}
	md->asks_quiet = all_quiet;
}

/* True: the round is over before it has begun, as none of what is due is to be asked now. */
static bool skip_round(struct modbus_device *md)
{
	if (!md->asks_quiet || md->device->link->host->now() >= md->quiet_us)
		return false;
	end_round(md, HAY_SKIPPED);
	return true;
}

/* Only quiet ones are due: a device that went away was online until another point was due, perhaps for hours. One that
   is not quiet goes first, another one each time, as it may have become silent by itself. */
static void add_witness(struct modbus_device *md)
{
	uint32_t n = md->device->n_points;

	for (uint32_t i = 0; i < n && md->witness == NO_POINT; i++) {
		uint32_t point = (md->witness_turn + i) % n;

		if (!md->states[point].is_quiet)
			md->witness = point;
	}
	if (md->witness == NO_POINT)
		return;
	md->witness_turn = md->witness + 1;
	md->states[md->witness].is_due = true;
	md->asks_quiet = false;
}

int round_begin(struct modbus_device *md, const uint32_t *due, size_t n_due)
{
	int r;

	if (!n_due)
		return -EINVAL;
	md->n_readings = 0;
	md->n_answered = md->n_misses = 0;
	md->has_values = md->refuses_all = false;
	md->failure.reason = HAY_NO_REASON;
	md->first_us = md->slowest_us = 0;
	md->is_fresh = md->n_absent % FRESH_EVERY == FRESH_EVERY - 1;
	md->asks_one = md->n_absent % 2;
	md->witness = NO_POINT;
	begin_points(md, due, n_due);
	if (md->is_present)
		learn_begin_round(md);
	if (skip_round(md))
		return 0;
	if (md->asks_quiet)
		add_witness(md);
	md->request.work = (struct hay_work){.run = run_request, .done = request_done, .device = md->device};
	md->request.transport = md->link->transport;
	md->request.exchange.unit = md->unit;
	r = plan_rest(md);
	if (r == 0 && !md->asks_quiet)
		md->turn = md->probe_turn;
	if (r == 0)
		r = ask_current(md);
	if (r < 0) {
		md->plan = NULL;
		for (uint32_t i = 0; i < md->device->n_points; i++)
			md->states[i].is_due = false;
	}
	return r;
}

void round_forget(struct modbus_device *md)
{
	md->device->link->host->del_timer(md->pause);
	md->pause = NULL;
}
