/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Input: 5 bytes that choose the request (unit and framing, table, address, count) and the form of the value, then
 * the answer. Whatever comes, in pieces or at once, is refused or decoded inside its bounds, and what is decoded
 * encodes to the same bytes again.
 */
#include "../../../plugins/modbus/frame.h"
#include "../../../plugins/modbus/types.h"
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const struct {
	enum hay_type type;
	struct value_words words;
} forms[] = {
	{HAY_BOOL, {.type = "bool"}},
	{HAY_INT16, {.type = "int16"}},
	{HAY_INT32, {.type = "int32", .order = "CDAB"}},
	{HAY_INT64, {.type = "int64"}},
	{HAY_UINT16, {.type = "uint16", .order = "BA"}},
	{HAY_UINT32, {.type = "uint32"}},
	{HAY_UINT64, {.type = "uint64", .order = "GHEFCDAB"}},
	{HAY_FLOAT32, {.type = "float32"}},
	{HAY_FLOAT64, {.type = "float64"}},
	{HAY_TYPE_NONE, {.type = "float16"}},
	{HAY_TYPE_NONE, {.type = "bcd16"}},
	{HAY_TYPE_NONE, {.type = "bcd32"}},
	{HAY_TYPE_NONE, {.bits = "3-9"}},
	{HAY_STRING, {.type = "string", .length = 1}},
	{HAY_STRING, {.type = "string", .length = 20, .string_order = "BA"}},
};

static void decode(const uint8_t *wire, size_t size, unsigned which)
{
	const char *key, *error;
	struct value_form form;
	struct hay_value value;
	uint8_t again[64];
	char *text;

	which %= sizeof(forms) / sizeof(forms[0]);
	if (types_form(forms[which].type, &forms[which].words, &form, &key, &error) < 0)
		abort();
	text = malloc(types_text_room(&form) + 1);
	for (size_t at = 0; at + form.n_bytes <= size; at += 2) {
		if (types_decode(&form, wire + at, text, &value) < 0)
			continue;
		memcpy(again, wire + at, form.n_bytes);
		if (form.type == HAY_FLOAT32 && form.kind == KIND_FLOAT16 && value.f - value.f != 0)
			continue; /* infinity and NaN are never written */
		if (form.kind == KIND_STRING) {
			if (value.s.size > types_text_room(&form))
				abort();
			continue;
		}
		if (types_encode(&form, &value, again) < 0)
			abort();
		if (form.type != HAY_BOOL && memcmp(again, wire + at, form.n_bytes))
			abort();
	}
	free(text);
}

static void look_at(const struct frame *request, const struct plan_place *place, const struct frame_answer *answer,
		    unsigned which)
{
	if (answer->exception) {
		if (strlen(exception_name(answer->exception)) > 63)
			abort();
	} else if (request->bytes[request->framing == FRAMING_TCP ? 7 : 1] > 4) {
		if (!answer->data)
			abort();
	} else if (place->table < TABLE_HOLDING) {
		for (unsigned i = 0; i < place->count; i++)
			types_bit(answer->data, i);
	} else {
		if (answer->size != place->count * 2u)
			abort();
		decode(answer->data, answer->size, which);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct plan_place place;
	struct frame_answer answer;
	struct frame_line line = {0};
	struct frame request;
	enum modbus_fault fault = FAULT_NONE;
	enum frame_search found = FRAME_MORE;
	uint8_t *bytes;
	struct pdu pdu;

	if (size < 5)
		return 0;
	place = (struct plan_place){.table = data[1] % N_TABLES, .address = data[2], .count = 1};
	place.count = (uint16_t)(place.table < TABLE_HOLDING ? 1 + data[3] * 7 : 1 + data[3] % PLAN_MAX_REGISTERS);
	if (data[1] & 0x40)
		pdu_identify(1, data[2], &pdu);
	else
		pdu_read(&place, &pdu);
	frame_build(data[1] & 0x80 ? FRAMING_RTU : FRAMING_TCP, 0x0102, data[0], &pdu, &request);
	bytes = malloc(size - 5 + 1);
	memcpy(bytes, data + 5, size - 5);
	if (frame_check(&request, bytes, size - 5, &answer, &fault) == 0)
		look_at(&request, &place, &answer, data[4]);
	else if (!fault)
		abort();
	for (size_t n = 1; n <= size - 5 && found == FRAME_MORE; n += 1 + n / 8)
		found = frame_find(&request, &line, bytes, n, &answer, &fault);
	if (found == FRAME_FOUND)
		look_at(&request, &place, &answer, data[4]);
	else if (found == FRAME_WRONG && !fault)
		abort();
	free(bytes);
	return 0;
}
