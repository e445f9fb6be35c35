/* SPDX-License-Identifier: Apache-2.0 */
/* What passes for the answer to a request, and what must not: a wrong value with quality good, a write taken for done. */
#include "../../../plugins/modbus/frame.h"
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

enum { UNIT = 7, TRANSACTION = 0x1234 };

/* A request, and the right answer to it. */
static void make_read(enum framing framing, struct frame *ret_request, struct frame *ret_answer)
{
	struct pdu asked, answer = {.size = 6, .bytes = {3, 4, 0x12, 0x34, 0x56, 0x78}};

	pdu_read(&(struct plan_place){.table = TABLE_HOLDING, .address = 100, .count = 2}, &asked);
	frame_build(framing, TRANSACTION, UNIT, &asked, ret_request);
	frame_build(framing, TRANSACTION, UNIT, &answer, ret_answer);
}

static void make_write(enum framing framing, uint16_t address, struct frame *ret)
{
	const uint8_t wire[] = {0x12, 0x34};
	struct pdu pdu;

	pdu_write_registers(&(struct plan_place){.table = TABLE_HOLDING, .address = address, .count = 1}, wire, false,
			    &pdu);
	frame_build(framing, TRANSACTION, UNIT, &pdu, ret);
}

static int check(const struct frame *request, const struct frame *answer, enum modbus_fault *ret_fault)
{
	struct frame_answer found;

	*ret_fault = FAULT_NONE;
	return frame_check(request, answer->bytes, answer->size, &found, ret_fault);
}

static void the_right_answer_is_taken(void **state)
{
	(void)state;
	for (enum framing framing = FRAMING_TCP; framing <= FRAMING_RTU; framing++) {
		struct frame request, answer;
		struct frame_answer found;
		enum modbus_fault fault;

		make_read(framing, &request, &answer);
		assert_int_equal(frame_check(&request, answer.bytes, answer.size, &found, &fault), 0);
		assert_int_equal(found.size, 4);
		assert_memory_equal(found.data, "\x12\x34\x56\x78", 4);
		make_write(framing, 100, &request);
		assert_int_equal(check(&request, &request, &fault), 0);
	}
}

/* On a line two bits of noise are not rare: the CRC finds each one and each two. */
static void each_two_flipped_bits_are_found(void **state)
{
	struct frame request, answer;
	enum modbus_fault fault;

	(void)state;
	make_read(FRAMING_RTU, &request, &answer);
	for (unsigned first = 0; first < answer.size * 8u; first++)
		for (unsigned second = first; second < answer.size * 8u; second++) {
			struct frame spoilt = answer;

			spoilt.bytes[first / 8] ^= (uint8_t)(1u << first % 8);
			if (second > first)
				spoilt.bytes[second / 8] ^= (uint8_t)(1u << second % 8);
			assert_int_equal(check(&request, &spoilt, &fault), -EBADMSG);
			assert_int_equal(fault, FAULT_WRONG_CRC);
		}
}

/* A frame that is right in itself and answers something else. */
static void the_answer_to_something_else_is_refused(void **state)
{
	(void)state;
	for (enum framing framing = FRAMING_TCP; framing <= FRAMING_RTU; framing++) {
		static const struct {
			struct pdu pdu;
			uint8_t unit;
			enum modbus_fault fault;
		} cases[] = {
			{{6, {3, 4, 1, 2, 3, 4}}, UNIT + 1, FAULT_OTHER_UNIT},
			{{6, {4, 4, 1, 2, 3, 4}}, UNIT, FAULT_OTHER_FUNCTION},
			{{4, {3, 2, 1, 2}}, UNIT, FAULT_OTHER_LENGTH},
			/* Two registers, and it says one: which they are cannot be known. */
			{{6, {3, 2, 1, 2, 3, 4}}, UNIT, FAULT_OTHER_LENGTH},
			{{2, {0x83, 0}}, UNIT, FAULT_NO_CODE},
			{{3, {0x83, 2, 2}}, UNIT, FAULT_OTHER_LENGTH},
		};
		struct frame request, answer;
		enum modbus_fault fault;

		make_read(framing, &request, &answer);
		for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
			frame_build(framing, TRANSACTION, cases[i].unit, &cases[i].pdu, &answer);
			assert_int_equal(check(&request, &answer, &fault), -EBADMSG);
			assert_int_equal(fault, cases[i].fault);
		}
		/* The acknowledgement of a write to another register. */
		make_write(framing, 100, &request);
		make_write(framing, 101, &answer);
		assert_int_equal(check(&request, &answer, &fault), -EBADMSG);
		assert_int_equal(fault, FAULT_NO_FIT);
		make_write(framing, 100 + 256, &answer);
		assert_int_equal(check(&request, &answer, &fault), -EBADMSG);
	}
}

static void the_answer_to_the_request_before_is_refused(void **state)
{
	struct frame request, answer;
	enum modbus_fault fault;

	(void)state;
	make_read(FRAMING_TCP, &request, &answer);
	for (unsigned i = 0; i < 2; i++) {
		struct frame late = answer;

		late.bytes[i]--;
		assert_int_equal(check(&request, &late, &fault), -EBADMSG);
		assert_int_equal(fault, FAULT_OTHER_REQUEST);
	}
}

/* The acknowledgement of a write is the request once more. On a line that hears itself the first copy is the echo, and a
   relay that was not there was told as switched. */
static void an_echo_is_not_the_acknowledgement(void **state)
{
	struct frame_line line = {.echoes = true};
	struct frame_answer answer;
	enum modbus_fault fault;
	struct frame request;
	uint8_t both[2 * FRAME_BYTES];

	(void)state;
	make_write(FRAMING_RTU, 100, &request);
	assert_int_equal(frame_find(&request, &line, request.bytes, request.size, &answer, &fault), FRAME_MORE);
	assert_int_equal(fault, FAULT_ONLY_ECHO);
	memcpy(both, request.bytes, request.size);
	memcpy(both + request.size, request.bytes, request.size);
	assert_int_equal(frame_find(&request, &line, both, 2u * request.size, &answer, &fault), FRAME_FOUND);

	/* Where a read was answered without an echo in front, it is the acknowledgement. */
	line = (struct frame_line){.is_plain = true};
	assert_int_equal(frame_find(&request, &line, request.bytes, request.size, &answer, &fault), FRAME_FOUND);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_right_answer_is_taken),
		cmocka_unit_test(each_two_flipped_bits_are_found),
		cmocka_unit_test(the_answer_to_something_else_is_refused),
		cmocka_unit_test(the_answer_to_the_request_before_is_refused),
		cmocka_unit_test(an_echo_is_not_the_acknowledgement),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
