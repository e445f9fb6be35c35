/* SPDX-License-Identifier: Apache-2.0 */
/* What tests of the decoders share: a decoder with its record, and what it makes of a frame as text. */
#ifndef TEST_SERIAL_BENCH_H
#define TEST_SERIAL_BENCH_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "../../../plugins/serial/frame.h"
#include "../../../plugins/serial/guess.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct bench {
	struct decoder *decoder;
	struct serial_record record;
	const char *error;
};

static inline void setup(struct bench *bench, const struct decode_rules *rules)
{
	char error[DECODE_ERROR_MAX];

	assert_int_equal(decoder_new(rules, &bench->decoder, error), 0);
	assert_int_equal(record_init(&bench->record, 4096), 0);
}

static inline void teardown(struct bench *bench)
{
	decoder_clear(bench->decoder, &bench->record);
	decoder_free(bench->decoder);
	record_done(&bench->record);
}

/* The record as text: "a=1 b.c=x"; hidden items are left out. The frame is copied so that a read past it is found. */
static inline const char *decode(struct bench *bench, const char *frame, size_t size)
{
	static char out[4096];
	char *copy = malloc(size ? size : 1), buffer[32];
	size_t used = 0;
	enum serial_decoded decoded;

	memcpy(copy, frame, size);
	decoded = decoder_run(bench->decoder, (uint8_t *)copy, size, &bench->record, &bench->error);
	snprintf(out, sizeof(out), "%s",
		 decoded == DECODED_OTHER   ? "other"
		 : decoded == DECODED_WRONG ? bench->error
					    : "");
	for (size_t i = 0; decoded == DECODED && i < bench->record.n; i++) {
		const struct serial_item *item = &bench->record.items[i];
		struct text text = item_text(item, buffer);

		if (!item->hidden)
			used += (size_t)snprintf(out + used, sizeof(out) - used, "%s%.*s=%.*s", used ? " " : "",
						 (int)item->name.size, item->name.data, (int)text.size,
						 text.data ? text.data : "");
	}
	decoder_clear(bench->decoder, &bench->record);
	free(copy);
	return out;
}
#define DECODE(bench, frame) decode(bench, frame, sizeof(frame) - 1)

#endif
