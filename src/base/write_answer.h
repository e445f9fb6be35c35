/* SPDX-License-Identifier: Apache-2.0 */
/* What came of a write, on its way from the field to the caller: over an uplink, or the local API. */
#ifndef HAYWAIN_BASE_WRITE_ANSWER_H
#define HAYWAIN_BASE_WRITE_ANSWER_H

#include <haywain/reading.h>

enum write_done {
	WRITE_UNKNOWN, /* it was sent, and nothing tells whether the device did it */
	WRITE_DONE,
	WRITE_NOT_DONE, /* certainly */
	WRITE_N_DONE
};

struct write_answer {
	enum write_done done;
	/* What a reading would say now: scaled. Read from the device, or else what was sent. HAY_TYPE_NONE: not known. */
	struct hay_value value;
	bool read_back;		/* value was read from the device after the write */
	struct hay_value asked; /* HAY_TYPE_NONE where value is the one that was asked for */
	const char *text;	/* why not, or why nobody knows; with WRITE_DONE a remark, or NULL */
};

/* The words of `done` as every answer has them: "yes", "no", "unknown". */
const char *write_done_to_string(enum write_done done);

/* A copy with texts of its own. -ENOMEM. */
int write_answer_copy(const struct write_answer *answer, struct write_answer *ret);
void write_answer_done(struct write_answer *answer); /* frees a copy's texts */

#endif
