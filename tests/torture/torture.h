/* SPDX-License-Identifier: Apache-2.0 */
/* What the programs that torment the queue share: numbers by a seed, folders in memory, words of failure. */
#ifndef HAYWAIN_TORTURE_H
#define HAYWAIN_TORTURE_H

#include "base/util.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Numbers that a seed fixes (xorshift64*). */
struct dice {
	uint64_t state;
};
/* Two values that differ in one bit give dice that have nothing in common. */
void dice_init(struct dice *dice, uint64_t seed, uint64_t stream);
uint64_t dice_next(struct dice *dice);
uint64_t dice_below(struct dice *dice, uint64_t n); /* 0 ... n - 1; n > 0 */

/* Say why and end with status 2: the machine or the program itself is at fault, not the queue. */
_Noreturn void torture_die(const char *format, ...) _printf_(1, 2);

/* An empty folder of this process: in /dev/shm where there is one, for an fsync costs nothing there; else in $TMPDIR or
   /tmp. The buffer is the program's. */
const char *torture_folder(void);
/* Remove a folder with all that is in it. */
void torture_remove(const char *folder);

/* The boot that the queue believes to be in; 32 hex digits, borrowed. */
void torture_set_boot(const char *id);

/* Real time, whatever clock_set_fake() says: µs. */
uint64_t torture_now(void);

/* "--name VALUE" and "--name=VALUE": the value, or NULL where argv[*at] is another option. Moves *at to the value. */
const char *torture_option(int argc, char **argv, int *at, const char *name);
/* A number, or the end with the option's name. */
uint64_t torture_number(const char *what, const char *text);

#endif
