/* SPDX-License-Identifier: Apache-2.0 */
/* A command on its way: what is its own, and when it ends. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "model/command.h"
#include <string.h>

/* What was asked for is needed until the answer, long after the message is gone that it came in. */
static void a_command_keeps_what_it_was_given(void **state _unused_)
{
	struct command *command = command_new();
	char text[] = "eco", why[] = "refused", held[] = "auto";
	const struct hay_value value = {.type = HAY_STRING, .s = {text, 3}}, number = {.type = HAY_INT64, .i = 7};
	const struct write_answer answer = {.done = WRITE_DONE,
					    .value = {.type = HAY_STRING, .s = {held, 4}},
					    .asked = {.type = HAY_BYTES, .s = {text, 3}},
					    .read_back = true,
					    .text = why};

	assert_int_equal(command_set_value(command, &value), 0);
	assert_int_equal(command_set_origin(command, "uplink %s", "cloud"), 0);
	assert_int_equal(command_keep_answer(command, &answer), 0);
	memset(text, '#', 3);
	memset(why, '#', 7);
	memset(held, '#', 4);
	assert_string_equal(command->value.s.data, "eco"); /* with a NUL behind it */
	assert_string_equal(command->origin, "uplink cloud");
	assert_true(command->answer.done == WRITE_DONE && command->answer.read_back);
	assert_string_equal(command->answer.value.s.data, "auto");
	assert_memory_equal(command->answer.asked.s.data, "eco", 3);
	assert_string_equal(command->answer.text, "refused");

	assert_int_equal(command_set_value(command, &number), 0);
	assert_int_equal(command->value.i, 7);
	assert_int_equal(command_keep_answer(command, &(struct write_answer){.done = WRITE_NOT_DONE}), 0);
	assert_null(command->answer.text);
	assert_int_equal(command->answer.value.type, HAY_TYPE_NONE);
	command_unref(command);
}

static void count_free(void *reply_to)
{
	++*(unsigned *)reply_to;
}

static void what_a_dialect_needs_to_answer_ends_with_the_last_reference(void **state _unused_)
{
	struct command *command = command_new();
	unsigned freed = 0;

	command->reply_to = &freed;
	command->free_reply_to = count_free;
	command_ref(command);
	assert_null(command_unref(command));
	assert_int_equal(freed, 0);
	command_unref(command);
	assert_int_equal(freed, 1);
	assert_null(command_unref(NULL));
}

/* The shortest time there is must not become none at all: it would be written however late. */
static void a_time_of_nothing_is_no_unlimited_one(void **state _unused_)
{
	struct command *command = command_new();

	command_start_ttl(command, 1000);
	assert_int_equal(command->expires_us, 0); /* without limit, as made */
	command->ttl_us = 0;
	command_start_ttl(command, 1000);
	assert_int_equal(command->expires_us, 1000);
	command->ttl_us = 500;
	command_start_ttl(command, 1000);
	assert_int_equal(command->expires_us, 1500);
	command_unref(command);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_command_keeps_what_it_was_given),
		cmocka_unit_test(what_a_dialect_needs_to_answer_ends_with_the_last_reference),
		cmocka_unit_test(a_time_of_nothing_is_no_unlimited_one),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
