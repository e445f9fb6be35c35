/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One write. It is sent once: a write without a right answer is reported as unknown. Sent again is only what the device
 * itself said that it did not do: with another function after exception 1, later after exception 6 (busy).
 *
 * Then the device is asked what it holds. Many show a value some time after they took it (0.4 s are usual), and some
 * answer exception 5, "accepted, it takes a while": so there are further looks, for 1 s in all, each a work of its own,
 * so that the line is free in between. What it holds then is reported, whether it is what was asked for or not.
 *
 * A write and the first look, and a read and the write that depends on it, are one work: no poll comes between. Main
 * thread, but for run_write() and what it calls.
 */
#include "device.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* From one look, or from a device that is busy, to the next try: 50, 150, 350, 650 and 1000 ms after the first. */
static const uint64_t pauses_us[] = {50000, 100000, 200000, 300000, 350000};

enum { PAUSES = sizeof(pauses_us) / sizeof(pauses_us[0]) };

enum write_step {
	STEP_WRITE, /* to be sent: not yet, or the device was busy */
	STEP_LOOK,  /* done or accepted: what it holds is not yet what was asked for */
	STEP_OVER,
};

struct modbus_write {
	struct hay_work work;
	struct hay_command *command;
	struct modbus_device *device;
	struct plan_place place;
	struct plan_place bank; /* of a coil: what a poll reads of it */
	const struct value_form *form;
	bool coil;
	uint8_t wire[FRAME_PDU_BYTES]; /* of registers: what is to be held */
	struct hay_timer *timer;
	unsigned pauses; /* taken */

	/* The worker's, while it has the work. */
	struct modbus_exchange exchange;
	enum write_step step;
	bool was_accepted; /* exception 5: not done yet, as far as is known */
	bool is_mirror;	   /* the acknowledgement might be an echo */
	enum hay_outcome outcome;
	char detail[160]; /* "": none */
	struct hay_value held;
	bool has_held;
	char text[2 * 2 * TYPES_STRING_REGISTERS_MAX]; /* of held */
};

static void set_outcome(struct modbus_write *w, enum hay_outcome outcome, const char *what, const char *why)
{
	w->outcome = outcome;
	snprintf(w->detail, sizeof(w->detail), "%s%s", what, why);
}

static void end_write(struct modbus_write *w, enum hay_outcome outcome, const char *what, const char *why)
{
	w->step = STEP_OVER;
	set_outcome(w, outcome, what, why);
}

/* ---- the write ---- */

/* Send what stands in the exchange, once. False: there is no right answer, and the write is over. */
static bool send_once(struct modbus_write *w)
{
	const struct hay_command *command = w->command;
	struct modbus_exchange *x = &w->exchange;

	x->unit = w->device->unit;
	x->once = true;
	x->not_after_us = command->expires_us;
	transport_exchange(w->device->link->transport, x);
	x->once = false;
	x->not_after_us = 0;
	if (x->end == EXCHANGE_ANSWERED) {
		w->is_mirror = x->is_mirror;
		return true;
	}
	if (x->sent)
		end_write(w, HAY_UNKNOWN, "", x->detail);
	else if (command->expires_us > 0 && w->device->device->link->host->now() > command->expires_us)
		end_write(w, HAY_EXPIRED, "expired before it could be sent: ", x->detail);
	else
		end_write(w, HAY_NOT_WRITTEN, "", x->detail);
	return false;
}

/* Read the place: reads may be asked again. False: there is no right answer; an exception is one. */
static bool read_place(struct modbus_write *w, const struct plan_place *place)
{
	struct modbus_exchange *x = &w->exchange;

	pdu_read(place, &x->pdu);
	x->unit = w->device->unit;
	for (unsigned tries = 0; tries <= w->device->link->retries; tries++) {
		transport_exchange(w->device->link->transport, x);
		if (x->end != EXCHANGE_FAILED)
			break;
	}
	return x->end == EXCHANGE_ANSWERED;
}

/* Whether an exception says that a request as such is wrong, and not that the time is. */
static bool is_refusal(uint8_t exception)
{
	return exception >= EXCEPTION_ILLEGAL_FUNCTION && exception <= EXCEPTION_ILLEGAL_VALUE;
}

/* What the answer to a write says (V1.1b3, 7). */
static void take_answer(struct modbus_write *w)
{
	uint8_t exception = w->exchange.answer.exception;

	switch (exception) {
	case 0:
		w->step = STEP_LOOK;
		set_outcome(w, HAY_WRITTEN, "", "");
		break;
	case EXCEPTION_ACKNOWLEDGE:
		w->step = STEP_LOOK;
		w->was_accepted = true;
		set_outcome(w, HAY_UNKNOWN, "accepted by the device, which may take a while", "");
		break;
	case EXCEPTION_BUSY:
		set_outcome(w, HAY_NOT_WRITTEN, "the device is busy and did not do it; ask again later", "");
		break;
	case EXCEPTION_DEVICE_FAILURE:
		/* "while the server was attempting to perform the requested action": perhaps half of it. */
		end_write(w, HAY_UNKNOWN, "the device failed while it did it: ", exception_name(exception));
		break;
	case EXCEPTION_NO_TARGET:
		/* The gateway sent it on. */
		end_write(w, HAY_UNKNOWN, "", exception_name(exception));
		break;
	default:
		end_write(w, HAY_NOT_WRITTEN, "refused: ", exception_name(exception));
		break;
	}
}

/* One coil or register: where the device does not know the function for one, that for many. */
static void write_one_or_many(struct modbus_write *w)
{
	bool many = false;

	for (;;) {
		if (w->place.table == TABLE_COIL)
			pdu_write_coil(w->place.address, w->coil, many, &w->exchange.pdu);
		else
			pdu_write_registers(&w->place, w->wire, many, &w->exchange.pdu);
		if (!send_once(w))
			return;
		if (w->exchange.answer.exception != EXCEPTION_ILLEGAL_FUNCTION || many || w->place.count > 1)
			break;
		many = true;
	}
	take_answer(w);
}

static void write_bits(struct modbus_write *w)
{
	const struct frame_answer *answer = &w->exchange.answer;
	uint8_t mask[2];

	types_mask(w->form, mask);
	if (!w->device->no_mask_write) {
		pdu_mask_write(w->place.address, mask, w->wire, &w->exchange.pdu);
		if (!send_once(w))
			return;
		/* Some devices that do not know the function say 2 or 3. Any of the three means that nothing was
		   done. */
		if (!is_refusal(answer->exception)) {
			take_answer(w);
			return;
		}
		w->device->no_mask_write = answer->exception == EXCEPTION_ILLEGAL_FUNCTION;
	}
	if (!read_place(w, &w->place)) {
		end_write(w, HAY_NOT_WRITTEN, "the register could not be read before the write: ", w->exchange.detail);
		return;
	}
	if (answer->exception == EXCEPTION_BUSY || answer->exception == EXCEPTION_ACKNOWLEDGE) {
		set_outcome(w, HAY_NOT_WRITTEN, "the device is busy and did not do it; ask again later", "");
		return;
	}
	if (answer->exception) {
		end_write(w, HAY_NOT_WRITTEN,
			  "the register could not be read before the write: ", exception_name(answer->exception));
		return;
	}
	for (unsigned i = 0; i < 2; i++)
		w->wire[i] = (uint8_t)((answer->data[i] & ~mask[i]) | (w->wire[i] & mask[i]));
	write_one_or_many(w);
}

/* ---- what came of it ---- */

/* A value in registers; its text, if it has one, lies in text. */
static void decode_held(const struct modbus_write *w, const uint8_t *wire, char *text, struct hay_value *ret)
{
	if (types_decode(w->form, wire, text, ret) < 0)
		ret->type = HAY_TYPE_NONE;
}

static bool holds_what_was_asked(const struct modbus_write *w)
{
	const uint8_t *data = w->exchange.answer.data;
	uint8_t mask[2] = {0xff, 0xff};
	char text[sizeof(w->text)];
	struct hay_value asked;

	if (w->place.table == TABLE_COIL)
		return w->held.b == w->coil;
	if (w->form->kind == KIND_STRING) {
		/* Some fill up with blanks what was sent with NULs. */
		decode_held(w, w->wire, text, &asked);
		return asked.s.size == w->held.s.size && !memcmp(asked.s.data, w->held.s.data, asked.s.size);
	}
	if (w->form->kind == KIND_BITS)
		types_mask(w->form, mask);
	for (unsigned i = 0; i < w->place.count * 2u; i++)
		if ((data[i] ^ w->wire[i]) & mask[i & 1])
			return false;
	return true;
}

/* The look has an answer, and an echo in front of it: then what stood for the acknowledgement was one too. */
static bool was_echo(const struct modbus_write *w)
{
	return w->is_mirror && w->exchange.end == EXCHANGE_ANSWERED && w->exchange.echoes;
}

static void cannot_look(struct modbus_write *w, const char *why)
{
	bool is_doubtful = w->was_accepted || was_echo(w) || (w->is_mirror && w->exchange.end != EXCHANGE_ANSWERED);

	end_write(w, is_doubtful ? HAY_UNKNOWN : HAY_WRITTEN,
		  w->was_accepted ? "accepted by the device, and it cannot be read back: "
		  : was_echo(w)	  ? "its acknowledgement may have been its echo, and it cannot be read back: "
				  : "cannot be read back: ",
		  why);
}

static void look_again(struct modbus_write *w)
{
	uint8_t exception;

	w->has_held = false;
	if (!read_place(w, w->place.table == TABLE_COIL ? &w->bank : &w->place)) {
		cannot_look(w, w->exchange.detail);
		return;
	}
	exception = w->exchange.answer.exception;
	if (is_refusal(exception) && w->bank.count > 1) {
		w->bank = w->place;
		look_again(w);
		return;
	}
	if (exception == EXCEPTION_BUSY || exception == EXCEPTION_ACKNOWLEDGE) {
		/* The next look may do better; where there is none, this is how it ends. */
		cannot_look(w, exception_name(exception));
		w->step = STEP_LOOK;
		return;
	}
	if (exception) {
		cannot_look(w, exception_name(exception));
		return;
	}
	if (w->place.table == TABLE_COIL)
		w->held = (struct hay_value){
			.type = HAY_BOOL, .b = types_bit(w->exchange.answer.data, w->place.address - w->bank.address)};
	else
		decode_held(w, w->exchange.answer.data, w->text, &w->held);
	w->has_held = true;
	if (holds_what_was_asked(w))
		end_write(w, HAY_WRITTEN, "", "");
	else if (w->was_accepted)
		set_outcome(w, HAY_UNKNOWN, "accepted by the device, which had not done it after 1 s", "");
	else if (was_echo(w))
		set_outcome(w, HAY_UNKNOWN, "its acknowledgement may have been its echo", "");
	else
		set_outcome(w, HAY_WRITTEN, w->held.type == HAY_TYPE_NONE ? "what the device holds makes no sense" : "",
			    "");
}

static void run_write(struct hay_work *work)
{
	struct modbus_write *w = (void *)work;

	if (w->step == STEP_WRITE && w->place.table == TABLE_HOLDING && w->form->kind == KIND_BITS)
		write_bits(w);
	else if (w->step == STEP_WRITE)
		write_one_or_many(w);
	if (w->step == STEP_LOOK)
		look_again(w);
}

/* ---- main thread ---- */

static void write_free(struct modbus_write *w)
{
	w->device->write = NULL;
	w->device->device->link->host->del_timer(w->timer);
	free(w);
}

static void answer_write(struct modbus_write *w)
{
	struct hay_command_result result = {
		.outcome = w->outcome, .read_back = w->has_held, .detail = w->detail[0] ? w->detail : NULL};

	if (w->has_held)
		result.value = w->held;
	else if (w->outcome == HAY_WRITTEN && w->place.table == TABLE_COIL)
		result.value = (struct hay_value){.type = HAY_BOOL, .b = w->coil};
	else if (w->outcome == HAY_WRITTEN)
		decode_held(w, w->wire, w->text, &result.value);
	w->device->device->link->host->command_done(w->command, &result);
	write_free(w);
}

static void go_on(void *userdata)
{
	struct modbus_write *w = userdata;

	if (w->device->device->link->host->submit(w->device->device->link, &w->work, HAY_LANE_COMMAND) < 0)
		answer_write(w);
}

static void write_done(struct hay_work *work)
{
	struct modbus_write *w = (void *)work;
	struct hay_link *link = w->device->device->link;

	line_heard(w->device->link, &w->exchange);
	if (w->step == STEP_OVER || w->pauses == PAUSES ||
	    (!w->timer && link->host->add_timer(link, UINT64_MAX, go_on, w, &w->timer) < 0))
		answer_write(w);
	else
		link->host->set_timer(w->timer, pauses_us[w->pauses++]);
}

void write_stop(struct modbus_device *md)
{
	if (md->write)
		answer_write(md->write);
}

/*
 * What a poll reads of that coil. Some relay boards answer a read of one coil with the whole bank, so that the first
 * relay stands where that coil should, or answer only a read of the whole bank (labgrid pull request 1575).
 */
static int find_bank(const struct modbus_device *md, uint32_t point, struct plan_place *ret)
{
	uint32_t *coils = calloc(md->device->n_points, sizeof(*coils));
	struct plan *plan = NULL;
	size_t n = 0;
	int r;

	if (!coils)
		return -ENOMEM;
	for (uint32_t i = 0; i < md->device->n_points; i++)
		if (md->places[i].table == TABLE_COIL)
			coils[n++] = i;
	r = plan_new(md->places, coils, n, &md->limits, &plan);
	for (size_t i = 0; r == 0 && i < plan->n_requests; i++) {
		const struct plan_request *request = &plan->requests[i];

		for (size_t j = request->first; j < request->first + request->n; j++)
			if (plan->points[j] == point)
				*ret = request->place;
	}
	plan_free(plan);
	free(coils);
	return r;
}

int write_begin(struct modbus_device *md, struct hay_command *command)
{
	struct hay_value value = command->value;
	struct modbus_write *w;
	int r = 0;

	if (md->places[command->point].table != TABLE_COIL && md->places[command->point].table != TABLE_HOLDING)
		return -EACCES;
	if (md->write)
		return -EBUSY;
	w = calloc(1, sizeof(*w));
	if (!w)
		return -ENOMEM;
	w->work = (struct hay_work){.run = run_write, .done = write_done, .device = md->device};
	w->command = command;
	w->device = md;
	w->place = md->places[command->point];
	w->form = &md->forms[command->point];
	if (w->place.table == TABLE_COIL) {
		w->coil = value.b;
		r = find_bank(md, command->point, &w->bank);
	} else {
		r = types_round(w->form, command->low, command->high, &value);
	}
	if (r == 0 && w->place.table != TABLE_COIL)
		r = types_encode(w->form, &value, w->wire);
	if (r == 0)
		r = md->device->link->host->submit(md->device->link, &w->work, HAY_LANE_COMMAND);
	if (r < 0)
		free(w);
	else
		md->write = w;
	return r;
}
