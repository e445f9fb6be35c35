/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One round of a device: its requests one after the other, each a work of its own, so that a command can come
 * between two of them. Main thread, but for run_request().
 */
#include "device.h"
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

static void run_request(struct hay_work *work)
{
	struct modbus_request *request = (void *)work;

	transport_exchange(request->transport, &request->exchange);
}

static void add_bad(struct modbus_device *md, uint32_t point, enum hay_reason reason, const char *exception)
{
	md->readings[md->n_readings++] =
		(struct hay_reading){.point = point, .quality = HAY_BAD, .reason = reason, .exception = exception};
}

static void add_value(struct modbus_device *md, uint32_t point, const struct hay_value *value)
{
	bool finite = value->type == HAY_FLOAT32   ? isfinite(value->f)
		      : value->type == HAY_FLOAT64 ? isfinite(value->d)
						   : true;

	if (finite)
		md->readings[md->n_readings++] =
			(struct hay_reading){.point = point, .quality = HAY_GOOD, .value = *value};
	else
		add_bad(md, point, HAY_NOT_A_NUMBER, NULL);
}

static void take_answer(struct modbus_device *md, const struct plan_request *request)
{
	const struct exchange *x = &md->request.exchange;

	for (size_t i = request->first; i < request->first + request->n; i++) {
		uint32_t point = md->plan->points[i];
		unsigned at = md->places[point].address - (unsigned)request->place.address;
		struct hay_value value = {.type = HAY_BOOL};
		int r = 0;

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

/* End the round. What it did not come to is bad, for that reason. */
static void end_round(struct modbus_device *md, enum hay_result result, enum hay_reason reason, const char *exception,
		      const char *detail)
{
	const struct hay_host *host = md->device->link->host;
	struct hay_sample sample = {.time_us = md->first_us ? md->first_us : host->now(), .readings = md->readings};

	if (result == HAY_FAILED)
		for (size_t i = md->plan->requests[md->next].first; i < md->plan->n_points; i++)
			add_bad(md, md->plan->points[i], reason, exception);
	sample.n_readings = md->n_readings;
	md->plan = NULL;
	host->round_done(md->device, &sample, result, reason, detail, md->slowest_us);
}

static int ask_next(struct modbus_device *md)
{
	pdu_read(&md->plan->requests[md->next].place, &md->request.exchange.pdu);
	return md->device->link->host->submit(md->device->link, &md->request.work, HAY_LANE_POLL);
}

static int ascending(const void *a, const void *b)
{
	uint32_t left = *(const uint32_t *)a, right = *(const uint32_t *)b;

	return (left > right) - (left < right);
}

/* Something was learnt: what is left of the round is asked in other pieces. */
static int plan_rest(struct modbus_device *md)
{
	size_t first = md->plan->requests[md->next].first, n = md->plan->n_points - first;

	for (size_t i = 0; i < n; i++)
		md->rest[i] = md->plan->points[first + i];
	qsort(md->rest, n, sizeof(*md->rest), ascending);
	plan_cache_done(&md->plans);
	md->next = 0;
	md->tries = 0;
	return plan_cache_get(&md->plans, md->places, md->rest, n, &md->limits, &md->plan);
}

/* The next step after an answer. False: the round is over. */
static bool go_on_after_answer(struct modbus_device *md, const struct plan_request *request)
{
	const struct exchange *x = &md->request.exchange;

	if (!md->first_us)
		md->first_us = x->answered_us;
	if (x->rtt_us > md->slowest_us)
		md->slowest_us = x->rtt_us;
	if (x->answer.exception == EXCEPTION_ILLEGAL_ADDRESS && learn_refusal(md, request)) {
		if (plan_rest(md) == 0)
			return true;
		/* Out of memory: the device answered, but nobody knows what was left to ask. */
		md->device->link->host->round_done(md->device, NULL, HAY_OK, HAY_NO_REASON, NULL, md->slowest_us);
		md->plan = NULL;
		return false;
	}
	take_answer(md, request);
	md->tries = 0;
	if (++md->next < md->plan->n_requests)
		return true;
	end_round(md, HAY_OK, HAY_NO_REASON, NULL, NULL);
	return false;
}

static bool is_absence(uint8_t exception)
{
	return exception == EXCEPTION_NO_PATH || exception == EXCEPTION_NO_TARGET;
}

static void request_done(struct hay_work *work)
{
	struct modbus_request *done = (void *)work;
	struct modbus_device *md = work->device->state;
	const struct plan_request *request = &md->plan->requests[md->next];
	const struct exchange *x = &done->exchange;
	const char *exception = NULL, *why = x->detail;
	enum hay_reason reason = x->reason;
	char detail[240], place[PLACE_TEXT_MAX];

	line_heard(md->link, x);
	if (x->end == EXCHANGE_DOWN) {
		end_round(md, HAY_FAILED, x->reason, NULL, x->detail);
		return;
	}
	if (x->end == EXCHANGE_ANSWERED && is_absence(x->answer.exception)) {
		/* The gateway is there, but the unit behind it is not. */
		reason = HAY_EXCEPTION;
		why = exception = exception_name(x->answer.exception);
	} else if (x->end == EXCHANGE_ANSWERED) {
		if (!go_on_after_answer(md, request))
			return;
		why = NULL;
	}
	if (why && md->tries++ >= md->link->retries) {
		snprintf(detail, sizeof(detail), "%s (asked for %s)", why, plan_place_text(&request->place, place));
		end_round(md, HAY_FAILED, reason, exception, detail);
		return;
	}
	if (ask_next(md) < 0)
		end_round(md, HAY_FAILED, HAY_OFFLINE, NULL, "stopped");
}

int round_begin(struct modbus_device *md, const uint32_t *due, size_t n_due)
{
	int r = plan_cache_get(&md->plans, md->places, due, n_due, &md->limits, &md->plan);

	if (r < 0)
		return r;
	if (!md->plan->n_requests) {
		md->plan = NULL;
		return -EINVAL;
	}
	md->next = 0;
	md->tries = 0;
	md->n_readings = 0;
	md->first_us = md->slowest_us = 0;
	md->request.work = (struct hay_work){.run = run_request, .done = request_done, .device = md->device};
	md->request.transport = md->link->transport;
	md->request.exchange.unit = md->unit;
	r = ask_next(md);
	if (r < 0)
		md->plan = NULL;
	return r;
}
