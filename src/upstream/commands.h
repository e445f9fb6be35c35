/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Commands on their way from a broker to the main thread, and their answers on the way back. Bounded: who sends more
 * than the field takes is told so.
 */
#ifndef HAYWAIN_UPSTREAM_COMMANDS_H
#define HAYWAIN_UPSTREAM_COMMANDS_H

#include "model/command.h"

struct commands;

struct commands *commands_new(void); /* NULL: out of memory */
struct commands *commands_free(struct commands *commands);

/* ---- the uplink's thread ---- */

/* One that came: its time begins. Takes a reference. -EBUSY: too many are under way. */
int commands_put(struct commands *commands, struct command *command);
/* An answer without the field's help. Takes a reference. */
void commands_refuse(struct commands *commands, struct command *command, const char *error);
/* The oldest answer, the caller's to unref; NULL: none. */
struct command *commands_next_answer(struct commands *commands);
bool commands_have_answer(struct commands *commands);

/* ---- the main thread ---- */

int commands_fd(const struct commands *commands); /* eventfd */
/* The oldest that came, the caller's to unref; NULL: none. */
struct command *commands_next(struct commands *commands);
/* Takes a reference, and copies the answer. */
void commands_answer(struct commands *commands, struct command *command, const struct write_answer *answer);

#endif
