/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A command: a value on its way to one point of one device, and what came of it on its way back to who asked. One
 * object for the whole way: a dialect or the local API makes it, the field checks it, a plugin writes it.
 *
 * Lifetime: counted. The creator has one reference; code that keeps the command beyond a call takes one of its own: a
 * list between threads (upstream/commands.h) for as long as it is in it, the field (field/writes.h) from
 * writes_submit() until its answer. Any thread may give back the last one.
 *
 * Threads: one holder at a time writes. Who makes it fills it in and hands it on, and only reads it from then on. On
 * the main thread the field writes to its own part, and its done() runs there, exactly once. The answer is written by
 * command_keep_answer() before the command goes back to an uplink's thread; the lists' lock orders that.
 */
#ifndef HAYWAIN_MODEL_COMMAND_H
#define HAYWAIN_MODEL_COMMAND_H

#include "base/util.h"
#include <haywain/plugin.h>
#include <stdatomic.h>

enum write_done {
	WRITE_UNKNOWN, /* it was sent, and nothing tells whether the device did it */
	WRITE_DONE,
	WRITE_NOT_DONE, /* certainly */
	WRITE_N_DONE
};

struct write_answer {
	enum write_done done;
	/* What a reading would say now: scaled. Read from the device, or else what was sent. HAY_TYPE_NONE: not
	   known. */
	struct hay_value value;
	bool read_back;		/* value was read from the device after the write */
	struct hay_value asked; /* HAY_TYPE_NONE where value is the one that was asked for */
	const char *text;	/* why not, or why nobody knows; with WRITE_DONE a remark, or NULL */
};

/* The words of `done` as every answer has them: "yes", "no", "unknown". */
const char *write_done_to_string(enum write_done done);

enum command_outcome {
	COMMAND_DONE,
	COMMAND_NO_SUCH,   /* no such device or point */
	COMMAND_READ_ONLY, /* the point cannot be written */
	COMMAND_INVALID,   /* the value is of another type, out of range, or does not fit */
	COMMAND_BUSY,	   /* too many wait for this device */
	COMMAND_OFFLINE,
	COMMAND_EXPIRED, /* its time was over before it could be written */
	COMMAND_FAILED,	 /* the device did not take it */
	COMMAND_UNKNOWN, /* it was sent, and nothing tells whether the device did it */
};

struct command;

/* answer->done is WRITE_DONE with COMMAND_DONE, WRITE_UNKNOWN with COMMAND_UNKNOWN, else WRITE_NOT_DONE. Everything in
   it is the callee's for the call only. Main thread. */
typedef void (*command_done_fn)(struct command *command, enum command_outcome outcome,
				const struct write_answer *answer, void *userdata);

struct command {
	atomic_uint refs;
	struct command *next; /* in the list of its holder */

	/* ---- what is asked for: of who makes it ---- */
	char device[65], point[65]; /* "": not known */
	char id[65];		    /* of who asks, for the answer; "" without */
	/* As people give it, scaled: HAY_BOOL, HAY_INT64, HAY_UINT64, HAY_FLOAT64 or HAY_STRING. The text of a
	   number is a number too. Its string is the command's: command_set_value(). */
	struct hay_value value;
	uint64_t ttl_us; /* for so long, from when it came; UINT64_MAX: no limit */
	/* What a dialect needs to answer; freed with the command, on any thread. */
	void *reply_to;
	void (*free_reply_to)(void *reply_to);

	/* ---- who asks: of who takes it in ---- */
	uint64_t expires_us; /* monotonic: not written after this; 0: never */
	char *origin;	     /* for the log: "uplink cloud"; command_set_origin() */
	uint64_t sender;     /* the uplink that it came over: upstream/uplink_set.c */
	command_done_fn done;
	void *userdata;

	/* ---- on its way to the device: the field's ---- */
	struct hay_command hay; /* what the plugin sees; its string is that of `value` */
	struct hay_value asked; /* the value in the point's type */
	bool begun;		/* the plugin has it */

	/* ---- what came of it: command_keep_answer(); its texts are the command's ---- */
	struct write_answer answer;
};

struct command *command_new(void); /* without limit of time. NULL: out of memory */
struct command *command_ref(struct command *command);
struct command *command_unref(struct command *command); /* NULL is fine; returns NULL */
DEFINE_CLEANUP(struct command *, command_unref)

/* Copies. A string is followed by a NUL that does not count. -ENOMEM: no value. */
int command_set_value(struct command *command, const struct hay_value *value);
/* -ENOMEM. */
int command_set_origin(struct command *command, const char *format, ...) _printf_(2, 3);
/* It came at now_us: its time begins. */
void command_start_ttl(struct command *command, uint64_t now_us);

/* Copy the answer into the command. -ENOMEM: it has none, for a part of it would say something else. */
int command_keep_answer(struct command *command, const struct write_answer *answer);

#endif
