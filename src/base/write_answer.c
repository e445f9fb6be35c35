/* SPDX-License-Identifier: Apache-2.0 */
#include "base/write_answer.h"
#include "base/util.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>

DEFINE_TO_STRING(write_done_to_string, enum write_done,
		 WRITE_N_DONE, [WRITE_NOT_DONE] = "no", [WRITE_DONE] = "yes", [WRITE_UNKNOWN] = "unknown")

static bool has_text(const struct hay_value *value)
{
	return value->type == HAY_STRING || value->type == HAY_BYTES;
}

static int copy_value(const struct hay_value *value, struct hay_value *ret)
{
	char *text;

	*ret = *value;
	if (!has_text(value))
		return 0;
	text = malloc(value->s.size + 1);
	if (!text) {
		ret->type = HAY_TYPE_NONE;
		return -ENOMEM;
	}
	if (value->s.size > 0)
		memcpy(text, value->s.data, value->s.size);
	ret->s.data = text;
	return 0;
}

void write_answer_done(struct write_answer *answer)
{
	if (has_text(&answer->value))
		free((char *)answer->value.s.data);
	if (has_text(&answer->asked))
		free((char *)answer->asked.s.data);
	free((char *)answer->text);
	*answer = (struct write_answer){0};
}

int write_answer_copy(const struct write_answer *answer, struct write_answer *ret)
{
	struct write_answer copy = {.done = answer->done, .read_back = answer->read_back};
	int r = copy_value(&answer->value, &copy.value);

	if (r == 0)
		r = copy_value(&answer->asked, &copy.asked);
	if (r == 0 && answer->text && !(copy.text = strdup(answer->text)))
		r = -ENOMEM;
	if (r < 0) {
		write_answer_done(&copy);
		return r;
	}
	*ret = copy;
	return 0;
}
