/* SPDX-License-Identifier: Apache-2.0 */
#include "model/command.h"
#include <errno.h>
#include <haywain/helpers.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

DEFINE_TO_STRING(write_done_to_string, enum write_done,
		 WRITE_N_DONE, [WRITE_NOT_DONE] = "no", [WRITE_DONE] = "yes", [WRITE_UNKNOWN] = "unknown")

/* ---- values ---- */

static void free_value(struct hay_value *value)
{
	if (hay_type_is_text(value->type))
		free((char *)value->s.data);
	*value = (struct hay_value){0};
}

static int copy_value(const struct hay_value *value, struct hay_value *ret)
{
	char *text;

	*ret = *value;
	if (!hay_type_is_text(value->type))
		return 0;
	text = malloc(value->s.size + 1);
	if (!text) {
		ret->type = HAY_TYPE_NONE;
		return -ENOMEM;
	}
	if (value->s.size > 0)
		memcpy(text, value->s.data, value->s.size);
	text[value->s.size] = '\0';
	ret->s.data = text;
	return 0;
}

static void answer_done(struct write_answer *answer)
{
	free_value(&answer->value);
	free_value(&answer->asked);
	free((char *)answer->text);
	*answer = (struct write_answer){0};
}

/* ---- commands ---- */

struct command *command_new(void)
{
	struct command *command = calloc(1, sizeof(*command));

	if (!command)
		return NULL;
	atomic_init(&command->refs, 1);
	command->ttl_us = UINT64_MAX;
	return command;
}

struct command *command_ref(struct command *command)
{
	atomic_fetch_add_explicit(&command->refs, 1, memory_order_relaxed);
	return command;
}

struct command *command_unref(struct command *command)
{
	if (!command || atomic_fetch_sub_explicit(&command->refs, 1, memory_order_acq_rel) != 1)
		return NULL;
	free_value(&command->value);
	answer_done(&command->answer);
	if (command->reply_to && command->free_reply_to)
		command->free_reply_to(command->reply_to);
	free(command->origin);
	free(command);
	return NULL;
}

int command_set_value(struct command *command, const struct hay_value *value)
{
	struct hay_value copy;
	int r = copy_value(value, &copy);

	free_value(&command->value);
	if (r == 0)
		command->value = copy;
	return r;
}

int command_set_origin(struct command *command, const char *format, ...)
{
	va_list args;
	int r;

	free(command->origin);
	va_start(args, format);
	r = vasprintf(&command->origin, format, args);
	va_end(args);
	if (r < 0)
		command->origin = NULL;
	return r < 0 ? -ENOMEM : 0;
}

void command_start_ttl(struct command *command, uint64_t now_us)
{
	command->expires_us = command->ttl_us == UINT64_MAX ? 0 : now_us + command->ttl_us;
}

int command_keep_answer(struct command *command, const struct write_answer *answer)
{
	struct write_answer copy = {.done = answer->done, .read_back = answer->read_back};
	int r = copy_value(&answer->value, &copy.value);

	if (r == 0)
		r = copy_value(&answer->asked, &copy.asked);
	if (r == 0 && answer->text && !(copy.text = strdup(answer->text)))
		r = -ENOMEM;
	answer_done(&command->answer);
	if (r < 0)
		answer_done(&copy);
	else
		command->answer = copy;
	return r;
}
