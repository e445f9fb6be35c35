/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Commands on their way from a broker to the main thread, and their answers on the way back. Bounded: who sends more than
 * the field takes is told so.
 */
#ifndef HAYWAIN_UPSTREAM_COMMANDS_H
#define HAYWAIN_UPSTREAM_COMMANDS_H

#include "upstream/dialects/dialect.h"

struct uplink_command {
	struct uplink_command *next;
	struct dialect_command command; /* its string is this one's */
	uint64_t expires_us;		/* monotonic; 0: never */
	struct write_answer answer;	/* of one that was answered; its texts are this one's */
};
struct uplink_command *uplink_command_free(struct uplink_command *command); /* NULL is fine */

struct commands;

struct commands *commands_new(void); /* NULL: out of memory */
struct commands *commands_free(struct commands *commands);

/* ---- the uplink's thread ---- */

/* One that came. Takes the string of *command. -EBUSY: too many are under way; -ENOMEM. */
int commands_put(struct commands *commands, const struct dialect_command *command);
/* An answer without the field's help. */
void commands_refuse(struct commands *commands, const struct dialect_command *command, const char *error);
/* The oldest answer, the caller's to free; NULL: none. */
struct uplink_command *commands_next_answer(struct commands *commands);
bool commands_have_answer(struct commands *commands);

/* ---- the main thread ---- */

int commands_fd(const struct commands *commands); /* eventfd */
struct uplink_command *commands_next(struct commands *commands);
/* Takes it. answer is copied. */
void commands_answer(struct commands *commands, struct uplink_command *command, const struct write_answer *answer);

#endif
