/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One write: the request, and a read that sees whether the device took it. All of it is one work, so that no poll
 * comes between a read and the write that depends on it. Main thread, but for run_write() and what it calls.
 */
#include "device.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct modbus_write {
	struct hay_work work;
	struct hay_command *command;
	struct modbus_device *device;
	struct plan_place place;
	const struct value_form *form;
	bool coil;
	uint8_t wire[FRAME_PDU_BYTES]; /* of registers */
	struct exchange exchange;
	bool failed;
	char error[160];
};

static void fail(struct modbus_write *w, const char *what, const char *why)
{
	w->failed = true;
	snprintf(w->error, sizeof(w->error), "%s%s", what, why);
}

/* False: no right answer came, which is told. An exception is an answer. */
static bool ask(struct modbus_write *w, const char *what)
{
	struct exchange *x = &w->exchange;

	x->unit = w->device->unit;
	for (unsigned tries = 0; tries <= w->device->link->retries; tries++) {
		transport_exchange(w->device->link->transport, x);
		if (x->end != EXCHANGE_FAILED)
			break;
	}
	if (x->end == EXCHANGE_ANSWERED)
		return true;
	fail(w, what, x->detail);
	return false;
}

/* False: it failed, which is told. */
static bool expect_answer(struct modbus_write *w, const char *what)
{
	if (!ask(w, what))
		return false;
	if (w->exchange.answer.exception)
		fail(w, what[0] ? what : "refused: ", exception_name(w->exchange.answer.exception));
	return !w->failed;
}

static bool read_back(struct modbus_write *w, const char *what)
{
	pdu_read(&w->place, &w->exchange.pdu);
	return expect_answer(w, what);
}

/* One coil or register: where the device does not know the function for one, that for many. */
static bool write_one_or_many(struct modbus_write *w)
{
	bool many = false;

	for (;;) {
		if (w->place.table == TABLE_COIL)
			pdu_write_coil(w->place.address, w->coil, many, &w->exchange.pdu);
		else
			pdu_write_registers(&w->place, w->wire, many, &w->exchange.pdu);
		if (!ask(w, ""))
			return false;
		if (w->exchange.answer.exception != EXCEPTION_ILLEGAL_FUNCTION || many || w->place.count > 1)
			break;
		many = true;
	}
	if (w->exchange.answer.exception)
		fail(w, "refused: ", exception_name(w->exchange.answer.exception));
	return !w->failed;
}

static bool write_bits(struct modbus_write *w)
{
	uint8_t mask[2];

	types_mask(w->form, mask);
	if (!w->device->no_mask_write) {
		pdu_mask_write(w->place.address, mask, w->wire, &w->exchange.pdu);
		if (!ask(w, ""))
			return false;
		if (!w->exchange.answer.exception)
			return true;
		if (w->exchange.answer.exception != EXCEPTION_ILLEGAL_FUNCTION) {
			fail(w, "refused: ", exception_name(w->exchange.answer.exception));
			return false;
		}
		w->device->no_mask_write = true;
	}
	if (!read_back(w, "the register could not be read before the write: "))
		return false;
	for (unsigned i = 0; i < 2; i++)
		w->wire[i] = (uint8_t)((w->exchange.answer.data[i] & ~mask[i]) | (w->wire[i] & mask[i]));
	return write_one_or_many(w);
}

/* What the device holds now, in words; its bytes are in the exchange. */
static void tell_other(struct modbus_write *w)
{
	const uint8_t *data = w->exchange.answer.data;
	size_t n = (size_t)snprintf(w->error, sizeof(w->error), "the device took the write but holds another value:");

	w->failed = true;
	for (unsigned i = 0; i < w->place.count && i < 8; i++)
		n += (size_t)snprintf(w->error + n, sizeof(w->error) - n, " 0x%02x%02x", data[i * 2], data[i * 2 + 1]);
	if (w->place.count > 8)
		snprintf(w->error + n, sizeof(w->error) - n, " …");
}

static void compare(struct modbus_write *w)
{
	const uint8_t *data = w->exchange.answer.data;
	uint8_t mask[2] = {0xff, 0xff};

	if (w->place.table == TABLE_COIL) {
		if (types_bit(data, 0) != w->coil)
			fail(w, "the device took the write but the coil is ", w->coil ? "still off" : "still on");
		return;
	}
	if (w->form->kind == KIND_BITS)
		types_mask(w->form, mask);
	for (unsigned i = 0; i < w->place.count * 2u; i++)
		if ((data[i] ^ w->wire[i]) & mask[i & 1]) {
			tell_other(w);
			return;
		}
}

static void run_write(struct hay_work *work)
{
	struct modbus_write *w = (void *)work;
	bool bits = w->place.table == TABLE_HOLDING && w->form->kind == KIND_BITS;

	if (bits ? write_bits(w) : write_one_or_many(w))
		if (read_back(w, "written, but it could not be read back: "))
			compare(w);
}

static void write_done(struct hay_work *work)
{
	struct modbus_write *w = (void *)work;

	line_heard(w->device->link, &w->exchange);
	w->device->device->link->host->command_done(w->command, w->failed ? w->error : NULL);
	free(w);
}

int write_begin(struct modbus_device *md, struct hay_command *command)
{
	struct modbus_write *w;
	int r = 0;

	if (md->places[command->point].table != TABLE_COIL && md->places[command->point].table != TABLE_HOLDING)
		return -EACCES;
	w = calloc(1, sizeof(*w));
	if (!w)
		return -ENOMEM;
	w->work = (struct hay_work){.run = run_write, .done = write_done, .device = md->device};
	w->command = command;
	w->device = md;
	w->place = md->places[command->point];
	w->form = &md->forms[command->point];
	if (w->place.table == TABLE_COIL)
		w->coil = command->value.b;
	else
		r = types_encode(w->form, &command->value, w->wire);
	if (r == 0)
		r = md->device->link->host->submit(md->device->link, &w->work, HAY_LANE_COMMAND);
	if (r < 0)
		free(w);
	return r;
}
