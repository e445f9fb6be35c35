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
	const char *order, *wire;
	struct hay_value value;
};

static const struct vector vectors[] = {
#include "vectors.h"
};

#define N(array) (sizeof(array) / sizeof((array)[0]))

static void test_vectors(void **state)
{
	(void)state;
	for (size_t i = 0; i < N(vectors); i++) {
		const struct vector *v = &vectors[i];
		struct hay_value value, zero = {0};
		struct value_form form;
		uint8_t wire[8];

		assert_int_equal(types_form(v->type, v->order, &form), 0);
		assert_int_equal(form.n_bytes, strlen(v->order));
		assert_int_equal(form.n_bytes, 2 * types_registers(v->type));
		value = zero;
		types_decode(&form, (const uint8_t *)v->wire, &value);
		assert_int_equal(value.type, v->type);
		if (v->type == HAY_FLOAT32)
			assert_memory_equal(&value.f, &v->value.f, sizeof(float));
		else
			assert_memory_equal(&value.u, &v->value.u, sizeof(uint64_t));
		assert_int_equal(types_encode(&form, &v->value, wire), 0);
		assert_memory_equal(wire, v->wire, form.n_bytes);
	}
}

static void test_default_order(void **state)
{
	struct value_form form;
	struct hay_value value;

	(void)state;
	assert_int_equal(types_form(HAY_UINT32, NULL, &form), 0);
	types_decode(&form, (const uint8_t *)"\1\2\3\4", &value);
	assert_int_equal(value.u, 0x01020304);
}

static void test_bool_of_a_register(void **state)
{
	struct value_form form;
	struct hay_value value;
	uint8_t wire[2];

	(void)state;
	assert_int_equal(types_form(HAY_BOOL, NULL, &form), 0);
	types_decode(&form, (const uint8_t *)"\0\0", &value);
	assert_false(value.b);
	types_decode(&form, (const uint8_t *)"\x80\0", &value);
	assert_true(value.b);
	assert_int_equal(types_encode(&form, &value, wire), 0);
	assert_memory_equal(wire, "\0\1", 2);
}

static void test_wrong_forms(void **state)
{
	static const struct {
		enum hay_type type;
		const char *order;
		int error;
	} wrong[] = {
		{HAY_STRING, NULL, -ENOTSUP},  {HAY_TYPE_NONE, NULL, -ENOTSUP},	    {HAY_UINT16, "", -EINVAL},
		{HAY_UINT16, "A", -EINVAL},    {HAY_UINT16, "AA", -EINVAL},	    {HAY_UINT16, "ABCD", -EINVAL},
		{HAY_UINT16, "ab", -EINVAL},   {HAY_UINT32, "AB", -EINVAL},	    {HAY_UINT32, "ABCE", -EINVAL},
		{HAY_UINT32, "ABC@", -EINVAL}, {HAY_UINT32, "AB\xff\x80", -EINVAL}, {HAY_FLOAT64, "ABCDABCD", -EINVAL},
	};
	struct value_form form;

	(void)state;
	for (size_t i = 0; i < N(wrong); i++)
		assert_int_equal(types_form(wrong[i].type, wrong[i].order, &form), wrong[i].error);
}

static void test_what_does_not_fit(void **state)
{
	static const struct {
		enum hay_type type;
		struct hay_value value;
		int error;
	} wrong[] = {
		{HAY_INT16, {.type = HAY_INT16, .i = 32768}, -ERANGE},
		{HAY_INT16, {.type = HAY_INT16, .i = -32769}, -ERANGE},
		{HAY_INT32, {.type = HAY_INT32, .i = INT64_MIN}, -ERANGE},
		{HAY_UINT16, {.type = HAY_UINT16, .u = 65536}, -ERANGE},
		{HAY_UINT32, {.type = HAY_UINT32, .u = UINT64_MAX}, -ERANGE},
		{HAY_UINT32, {.type = HAY_INT32, .i = 1}, -EINVAL},
	};
	struct value_form form;
	uint8_t wire[8];

	(void)state;
	for (size_t i = 0; i < N(wrong); i++) {
		assert_int_equal(types_form(wrong[i].type, NULL, &form), 0);
		assert_int_equal(types_encode(&form, &wrong[i].value, wire), wrong[i].error);
	}
}

static void test_exception_names(void **state)
{
	(void)state;
	for (unsigned code = 0; code < 256; code++) {
		assert_non_null(types_exception((uint8_t)code));
		assert_true(strlen(types_exception((uint8_t)code)) < 64);
	}
	assert_string_equal(types_exception(2), "illegal data address");
	assert_string_equal(types_exception(0xe4), "exception 0xe4");
}

static void test_frames(void **state)
{
	const struct plan_place place = {TABLE_HOLDING, 0x1234, 2};
	uint8_t request[FRAME_REQUEST_BYTES];
	struct frame_answer answer;
	const char *error;

	(void)state;
	frame_build(0xabcd, 17, &place, request);
	assert_memory_equal(request, "\xab\xcd\0\0\0\6\x11\3\x12\x34\0\2", sizeof(request));
	assert_int_equal(frame_check(request, (const uint8_t *)"\xab\xcd\0\0\0\7\x11\3\4\1\2\3\4", 13, &answer, &error),
			 0);
	assert_int_equal(answer.exception, 0);
	assert_int_equal(answer.size, 4);
	assert_memory_equal(answer.data, "\1\2\3\4", 4);
	assert_int_equal(frame_check(request, (const uint8_t *)"\xab\xcd\0\0\0\3\x11\x83\2", 9, &answer, &error), 0);
	assert_int_equal(answer.exception, 2);
	for (size_t size = 0; size < 13; size++)
		assert_int_equal(frame_check(request, (const uint8_t *)"\xab\xcd\0\0\0\7\x11\3\4\1\2\3\4", size,
					     &answer, &error),
				 -EBADMSG);
	assert_int_equal(frame_check(request, (const uint8_t *)"\xab\xcd\0\0\0\3\x11\x83\0", 9, &answer, &error),
			 -EBADMSG);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_vectors),
		cmocka_unit_test(test_default_order),
		cmocka_unit_test(test_bool_of_a_register),
		cmocka_unit_test(test_wrong_forms),
		cmocka_unit_test(test_what_does_not_fit),
		cmocka_unit_test(test_exception_names),
		cmocka_unit_test(test_frames),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
