/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Input: 5 bytes that choose the request (unit, table, address, count) and the type, then the answer.
 * Whatever comes is refused or decoded inside its bounds, and what is decoded encodes to the same bytes again.
 */
#include "../../../plugins/modbus/frame.h"
#include "../../../plugins/modbus/types.h"
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void decode(const uint8_t *wire, size_t size, enum hay_type type)
{
	struct value_form form;
	struct hay_value value;
	uint8_t again[TYPES_BYTES_MAX];

	if (types_form(type, NULL, &form) < 0)
		return;
	for (size_t at = 0; at + form.n_bytes <= size; at += 2) {
		types_decode(&form, wire + at, &value);
		if (types_encode(&form, &value, again) < 0)
			abort();
		if (type != HAY_BOOL && memcmp(again, wire + at, form.n_bytes))
			abort();
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct plan_place place;
	struct frame_answer answer;
	uint8_t request[FRAME_REQUEST_BYTES];
	const char *error = NULL;
	uint8_t *frame;

	if (size < 5)
		return 0;
	place = (struct plan_place){.table = data[1] % N_TABLES, .address = data[2], .count = 1};
	place.count = (uint16_t)(place.table < TABLE_HOLDING ? 1 + data[3] * 7 : 1 + data[3] % PLAN_MAX_REGISTERS);
	frame_build(0x0102, data[0], &place, request);
	frame = malloc(size - 5 + 1);
	memcpy(frame, data + 5, size - 5);
	if (frame_check(request, frame, size - 5, &answer, &error) < 0) {
		if (!error)
			abort();
	} else if (answer.exception) {
		if (strlen(types_exception(answer.exception)) > 63)
			abort();
	} else if (place.table < TABLE_HOLDING) {
		for (unsigned i = 0; i < place.count; i++)
			types_bit(answer.data, i);
	} else {
		if (answer.size != place.count * 2u)
			abort();
		decode(answer.data, answer.size, data[4] % HAY_N_TYPES);
	}
	free(frame);
	return 0;
}
