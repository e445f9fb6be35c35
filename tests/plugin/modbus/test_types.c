/* SPDX-License-Identifier: Apache-2.0 */
#include "../../../plugins/modbus/frame.h"
#include "../../../plugins/modbus/types.h"
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

struct vector {
	enum hay_type type;
	const char *name, *order, *bits, *string_order;
	unsigned length;
	const char *wire;
	unsigned n_bytes;
	struct hay_value value;
	int again; /* it encodes to these bytes, too */
};

static const struct vector vectors[] = {
#include "vectors.h"
};

#define N(array) (sizeof(array) / sizeof((array)[0]))

static int form_of(enum hay_type type, const char *name, const char *order, struct value_form *ret)
{
	const struct value_words words = {.type = name, .order = order};
	const char *key, *error;

	return types_form(type, &words, ret, &key, &error);
}

static void expect_same(const struct hay_value *a, const struct hay_value *b)
{
	assert_int_equal(a->type, b->type);
	if (a->type == HAY_FLOAT32) {
		assert_memory_equal(&a->f, &b->f, sizeof(float));
	} else if (a->type == HAY_BOOL) {
		assert_int_equal(a->b, b->b);
	} else if (a->type == HAY_STRING) {
		assert_int_equal(a->s.size, b->s.size);
		assert_memory_equal(a->s.data, b->s.data, b->s.size);
	} else {
		assert_memory_equal(&a->u, &b->u, sizeof(uint64_t));
	}
}

static void test_vectors(void **state)
{
	(void)state;
	for (size_t i = 0; i < N(vectors); i++) {
		const struct vector *v = &vectors[i];
		const struct value_words words = {.type = v->name,
						  .order = v->order,
						  .bits = v->bits,
						  .string_order = v->string_order,
						  .length = v->length};
		const char *key, *error;
		struct hay_value value;
		struct value_form form;
		uint8_t wire[16];
		char text[32];

		assert_int_equal(types_form(v->type, &words, &form, &key, &error), 0);
		assert_int_equal(form.n_bytes, v->n_bytes);
		assert_true(types_text_room(&form) <= sizeof(text));
		assert_int_equal(types_decode(&form, (const uint8_t *)v->wire, text, &value), 0);
		expect_same(&value, &v->value);
		/* Bits are put among others, which stay. */
		memcpy(wire, v->wire, v->n_bytes);
		if (form.kind != KIND_BITS)
			memset(wire, 0x55, sizeof(wire));
		if (!v->again)
			continue;
		assert_int_equal(types_encode(&form, &v->value, wire), 0);
		assert_memory_equal(wire, v->wire, v->n_bytes);
	}
}

static void test_default_order(void **state)
{
	struct value_form form;
	struct hay_value value;

	(void)state;
	assert_int_equal(form_of(HAY_UINT32, "uint32", NULL, &form), 0);
	types_decode(&form, (const uint8_t *)"\1\2\3\4", NULL, &value);
	assert_int_equal(value.u, 0x01020304);
}

static void test_bool_of_a_register(void **state)
{
	struct value_form form;
	struct hay_value value;
	uint8_t wire[2];

	(void)state;
	assert_int_equal(form_of(HAY_BOOL, "bool", NULL, &form), 0);
	types_decode(&form, (const uint8_t *)"\0\0", NULL, &value);
	assert_false(value.b);
	types_decode(&form, (const uint8_t *)"\x80\0", NULL, &value);
	assert_true(value.b);
	assert_int_equal(types_encode(&form, &value, wire), 0);
	assert_memory_equal(wire, "\0\1", 2);
}

static void test_bits_leave_the_others(void **state)
{
	const struct value_words words = {.bits = "4-7"};
	struct hay_value value = {.type = HAY_UINT16, .u = 9};
	uint8_t wire[2] = {0xab, 0xcd}, mask[2];
	const char *key, *error;
	struct value_form form;

	(void)state;
	assert_int_equal(types_form(HAY_TYPE_NONE, &words, &form, &key, &error), 0);
	assert_int_equal(types_encode(&form, &value, wire), 0);
	assert_memory_equal(wire, "\xab\x9d", 2);
	types_mask(&form, mask);
	assert_memory_equal(mask, "\0\xf0", 2);
	value.u = 16;
	assert_int_equal(types_encode(&form, &value, wire), -ERANGE);
}

static void test_no_decimal_digits(void **state)
{
	struct value_form form;
	struct hay_value value;

	(void)state;
	assert_int_equal(form_of(HAY_TYPE_NONE, "bcd16", NULL, &form), 0);
	assert_int_equal(types_decode(&form, (const uint8_t *)"\x12\x3a", NULL, &value), -EBADMSG);
}

static void test_halves_that_are_no_numbers(void **state)
{
	struct value_form form;
	struct hay_value value;

	(void)state;
	assert_int_equal(form_of(HAY_TYPE_NONE, "float16", NULL, &form), 0);
	types_decode(&form, (const uint8_t *)"\x7c\0", NULL, &value);
	assert_true(value.f > 1e30f);
	types_decode(&form, (const uint8_t *)"\x7e\0", NULL, &value);
	assert_true(value.f != value.f);
}

static void test_wrong_forms(void **state)
{
	static const struct {
		enum hay_type type;
		struct value_words words;
		const char *key;
	} wrong[] = {
		{HAY_BYTES, {.type = "bytes"}, "type"},
		{HAY_UINT16, {.type = "uint16", .order = ""}, "order"},
		{HAY_UINT16, {.type = "uint16", .order = "A"}, "order"},
		{HAY_UINT16, {.type = "uint16", .order = "AA"}, "order"},
		{HAY_UINT16, {.type = "uint16", .order = "ABCD"}, "order"},
		{HAY_UINT16, {.type = "uint16", .order = "ab"}, "order"},
		{HAY_UINT32, {.type = "uint32", .order = "AB"}, "order"},
		{HAY_UINT32, {.type = "uint32", .order = "ABCE"}, "order"},
		{HAY_UINT32, {.type = "uint32", .order = "ABC@"}, "order"},
		{HAY_UINT32, {.type = "uint32", .order = "AB\xff\x80"}, "order"},
		{HAY_FLOAT64, {.type = "float64", .order = "ABCDABCD"}, "order"},
		{HAY_TYPE_NONE, {.type = "float16", .order = "ABCD"}, "order"},
		{HAY_STRING, {.type = "string"}, "length"},
		{HAY_STRING, {.type = "string", .length = 3, .order = "AB"}, "order"},
		{HAY_STRING, {.type = "string", .length = 3, .string_order = "ABCD"}, "string_order"},
		{HAY_STRING, {.type = "string", .length = 3, .bits = "1"}, "bits"},
		{HAY_UINT16, {.type = "uint16", .length = 3}, "length"},
		{HAY_UINT16, {.type = "uint16", .string_order = "AB"}, "string_order"},
		{HAY_TYPE_NONE, {.bits = "16"}, "bits"},
		{HAY_TYPE_NONE, {.bits = "7-4"}, "bits"},
		{HAY_TYPE_NONE, {.bits = "1-"}, "bits"},
		{HAY_TYPE_NONE, {.bits = "-1"}, "bits"},
		{HAY_TYPE_NONE, {.bits = "1-2-3"}, "bits"},
		{HAY_TYPE_NONE, {.bits = "x"}, "bits"},
		{HAY_TYPE_NONE, {.bits = ""}, "bits"},
		{HAY_BOOL, {.type = "bool", .bits = "1-2"}, "type"},
		{HAY_FLOAT32, {.type = "float32", .bits = "1"}, "type"},
		{HAY_TYPE_NONE, {.type = "bcd16", .bits = "1"}, "type"},
	};
	const char *key, *error;
	struct value_form form;

	(void)state;
	for (size_t i = 0; i < N(wrong); i++) {
		assert_int_equal(types_form(wrong[i].type, &wrong[i].words, &form, &key, &error), -EINVAL);
		assert_string_equal(key, wrong[i].key);
	}
}

static void test_what_does_not_fit(void **state)
{
	static const struct {
		enum hay_type type;
		const char *name;
		struct hay_value value;
		int error;
	} wrong[] = {
		{HAY_INT16, "int16", {.type = HAY_INT16, .i = 32768}, -ERANGE},
		{HAY_INT16, "int16", {.type = HAY_INT16, .i = -32769}, -ERANGE},
		{HAY_INT32, "int32", {.type = HAY_INT32, .i = INT64_MIN}, -ERANGE},
		{HAY_UINT16, "uint16", {.type = HAY_UINT16, .u = 65536}, -ERANGE},
		{HAY_UINT32, "uint32", {.type = HAY_UINT32, .u = UINT64_MAX}, -ERANGE},
		{HAY_UINT32, "uint32", {.type = HAY_INT32, .i = 1}, -EINVAL},
		{HAY_TYPE_NONE, "bcd16", {.type = HAY_UINT16, .u = 10000}, -ERANGE},
		{HAY_TYPE_NONE, "bcd32", {.type = HAY_UINT32, .u = 100000000}, -ERANGE},
		{HAY_TYPE_NONE, "float16", {.type = HAY_FLOAT32, .f = 65520}, -ERANGE},
		{HAY_TYPE_NONE, "float16", {.type = HAY_FLOAT32, .f = 1e30f}, -ERANGE},
	};
	struct value_form form;
	uint8_t wire[8];

	(void)state;
	for (size_t i = 0; i < N(wrong); i++) {
		assert_int_equal(form_of(wrong[i].type, wrong[i].name, NULL, &form), 0);
		assert_int_equal(types_encode(&form, &wrong[i].value, wire), wrong[i].error);
	}
}

static void test_exception_names(void **state)
{
	(void)state;
	for (unsigned code = 0; code < 256; code++) {
		assert_non_null(exception_name((uint8_t)code));
		assert_true(strlen(exception_name((uint8_t)code)) < 64);
	}
	assert_string_equal(exception_name(2), "illegal data address");
	assert_string_equal(exception_name(0xe4), "exception 0xe4");
}

static struct frame request_of(enum framing framing, unsigned unit, const struct plan_place *place)
{
	struct frame request;
	struct pdu pdu;

	pdu_read(place, &pdu);
	frame_build(framing, 0xabcd, (uint8_t)unit, &pdu, &request);
	return request;
}

static void test_frames(void **state)
{
	const struct plan_place place = {TABLE_HOLDING, 0x1234, 2};
	struct frame request = request_of(FRAMING_TCP, 17, &place);
	struct frame_answer answer;
	enum modbus_fault fault;

	(void)state;
	assert_int_equal(request.size, 12);
	assert_memory_equal(request.bytes, "\xab\xcd\0\0\0\6\x11\3\x12\x34\0\2", 12);
	assert_int_equal(
		frame_check(&request, (const uint8_t *)"\xab\xcd\0\0\0\7\x11\3\4\1\2\3\4", 13, &answer, &fault), 0);
	assert_int_equal(answer.exception, 0);
	assert_int_equal(answer.size, 4);
	assert_memory_equal(answer.data, "\1\2\3\4", 4);
	assert_int_equal(frame_check(&request, (const uint8_t *)"\xab\xcd\0\0\0\3\x11\x83\2", 9, &answer, &fault), 0);
	assert_int_equal(answer.exception, 2);
	for (size_t size = 0; size < 13; size++)
		assert_int_equal(frame_check(&request, (const uint8_t *)"\xab\xcd\0\0\0\7\x11\3\4\1\2\3\4", size,
					     &answer, &fault),
				 -EBADMSG);
	assert_int_equal(frame_check(&request, (const uint8_t *)"\xab\xcd\0\0\0\3\x11\x83\0", 9, &answer, &fault),
			 -EBADMSG);
}

/* The example of MODBUS over Serial Line, and one that every manual prints. */
static void test_crc(void **state)
{
	(void)state;
	assert_int_equal(frame_crc((const uint8_t *)"\2\7", 2), 0x1241);
	assert_int_equal(frame_crc((const uint8_t *)"\1\3\0\0\0\x0a", 6), 0xcdc5);
}

static size_t with_crc(uint8_t *bytes, size_t size)
{
	unsigned crc = frame_crc(bytes, size);

	bytes[size] = (uint8_t)crc;
	bytes[size + 1] = (uint8_t)(crc >> 8);
	return size + 2;
}

/* The answer is found behind whatever a two-wire line puts before it, but not before it is whole. */
static void test_answers_on_a_line(void **state)
{
	const struct plan_place place = {TABLE_HOLDING, 0x0234, 2};
	struct frame request = request_of(FRAMING_RTU, 17, &place);
	uint8_t good[16] = {17, 3, 4, 1, 2, 3, 4}, other[16] = {18, 3, 4, 9, 9, 9, 9}, bytes[64];
	size_t n_good = with_crc(good, 7), n_other = with_crc(other, 7);
	struct {
		const uint8_t *before;
		size_t size;
	} cases[] = {{NULL, 0},
		     {(const uint8_t *)"\0", 1},
		     {(const uint8_t *)"\xff\xfe\xff", 3},
		     {request.bytes, request.size},
		     {other, n_other}};

	(void)state;
	for (size_t i = 0; i < N(cases); i++) {
		struct frame_line line = {0};
		struct frame_answer answer;
		enum modbus_fault fault;
		size_t n = cases[i].size;

		if (n)
			memcpy(bytes, cases[i].before, n);
		memcpy(bytes + n, good, n_good);
		for (size_t size = 1; size < n + n_good; size++)
			assert_int_equal(frame_find(&request, &line, bytes, size, &answer, &fault), FRAME_MORE);
		assert_int_equal(frame_find(&request, &line, bytes, n + n_good, &answer, &fault), FRAME_FOUND);
		assert_memory_equal(answer.data, "\1\2\3\4", 4);
		assert_int_equal(line.echoes, cases[i].before == request.bytes);
	}
}

static void test_wrong_crc(void **state)
{
	const struct plan_place place = {TABLE_HOLDING, 0x1234, 2};
	struct frame request = request_of(FRAMING_RTU, 17, &place);
	uint8_t bytes[16] = {17, 3, 4, 1, 2, 3, 4};
	struct frame_line line = {0};
	struct frame_answer answer;
	enum modbus_fault fault;
	size_t n = with_crc(bytes, 7);

	(void)state;
	bytes[4] ^= 0x10;
	assert_int_equal(frame_find(&request, &line, bytes, n, &answer, &fault), FRAME_WRONG);
	assert_int_equal(fault, FAULT_WRONG_CRC);
}

/* A fault without a reason would pass for none, and one without words tells nobody anything. */
static void test_faults(void **state)
{
	(void)state;
	for (enum modbus_fault fault = FAULT_NONE + 1; fault < N_FAULTS; fault++) {
		assert_int_not_equal(fault_reason(fault), HAY_NO_REASON);
		assert_non_null(fault_to_string(fault));
		assert_true(strlen(fault_to_string(fault)) > 0);
	}
	assert_int_equal(fault_reason(FAULT_NONE), HAY_NO_REASON);
}

/* A write is answered by itself; where the line echoes, the echo is not the answer. */
static void test_echo_of_a_write(void **state)
{
	struct frame_line line = {0};
	struct frame_answer answer;
	struct frame request;
	uint8_t twice[16];
	enum modbus_fault fault;
	struct pdu pdu;

	(void)state;
	pdu_write_coil(7, true, false, &pdu);
	frame_build(FRAMING_RTU, 0, 1, &pdu, &request);
	memcpy(twice, request.bytes, 8);
	memcpy(twice + 8, request.bytes, 8);
	assert_int_equal(frame_find(&request, &line, twice, 8, &answer, &fault), FRAME_FOUND);
	line.echoes = true;
	assert_int_equal(frame_find(&request, &line, twice, 8, &answer, &fault), FRAME_MORE);
	assert_int_equal(frame_find(&request, &line, twice, 16, &answer, &fault), FRAME_FOUND);
}

static void test_requests_to_write(void **state)
{
	const struct plan_place two = {TABLE_HOLDING, 0x100, 2}, one = {TABLE_HOLDING, 0x100, 1};
	struct pdu pdu;

	(void)state;
	pdu_write_coil(0xac, true, false, &pdu);
	assert_int_equal(pdu.size, 5);
	assert_memory_equal(pdu.bytes, "\5\0\xac\xff\0", 5);
	pdu_write_coil(0x13, true, true, &pdu);
	assert_memory_equal(pdu.bytes, "\x0f\0\x13\0\1\1\1", 7);
	pdu_write_registers(&one, (const uint8_t *)"\0\3", false, &pdu);
	assert_memory_equal(pdu.bytes, "\6\1\0\0\3", 5);
	pdu_write_registers(&one, (const uint8_t *)"\0\3", true, &pdu);
	assert_memory_equal(pdu.bytes, "\x10\1\0\0\1\2\0\3", 8);
	pdu_write_registers(&two, (const uint8_t *)"\0\x0a\1\2", false, &pdu);
	assert_int_equal(pdu.size, 10);
	assert_memory_equal(pdu.bytes, "\x10\1\0\0\2\4\0\x0a\1\2", 10);
	/* The standard's example (6.16) as masks: and F2, or 25. */
	pdu_mask_write(4, (const uint8_t *)"\xff\x0d", (const uint8_t *)"\0\x25", &pdu);
	assert_memory_equal(pdu.bytes, "\x16\0\4\0\xf2\0\5", 7);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_vectors),
		cmocka_unit_test(test_default_order),
		cmocka_unit_test(test_bool_of_a_register),
		cmocka_unit_test(test_bits_leave_the_others),
		cmocka_unit_test(test_no_decimal_digits),
		cmocka_unit_test(test_halves_that_are_no_numbers),
		cmocka_unit_test(test_wrong_forms),
		cmocka_unit_test(test_what_does_not_fit),
		cmocka_unit_test(test_exception_names),
		cmocka_unit_test(test_frames),
		cmocka_unit_test(test_crc),
		cmocka_unit_test(test_answers_on_a_line),
		cmocka_unit_test(test_wrong_crc),
		cmocka_unit_test(test_faults),
		cmocka_unit_test(test_echo_of_a_write),
		cmocka_unit_test(test_requests_to_write),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
