/* SPDX-License-Identifier: Apache-2.0 */
/* Any bytes as a sample's blob: the walk stays inside, ends, and what it gives can be encoded and read again. */
#include "model/sample.h"
#include <string.h>

#define READINGS_MAX 4096

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(int condition)
{
	if (!condition)
		abort();
}

static size_t walk(const struct sample *sample, struct sample_reading *readings)
{
	struct sample_cursor cursor;
	size_t n = 0;
	int r = sample_begin(sample, &cursor);

	while (r == 0 && n < READINGS_MAX && (r = sample_next(&cursor, &readings[n])) > 0) {
		require(readings[n].value.type < HAY_N_TYPES && readings[n].reason < HAY_N_REASONS);
		n++;
		r = 0;
		if (cursor.left == 0)
			break;
	}
	return r == 0 ? n : 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct sample *sample = sample_from_blob(1, 2, data, size);
	struct sample_reading *before = calloc(READINGS_MAX, sizeof(*before)),
			      *after = calloc(READINGS_MAX, sizeof(*after));
	size_t n;

	require(sample && before && after);
	n = walk(sample, before);
	if (n > 0) {
		struct sample *again = sample_new(1, 2, before, n);

		require(again && walk(again, after) == n);
		for (size_t i = 0; i < n; i++) {
			require(after[i].series == before[i].series && after[i].quality == before[i].quality);
			require(after[i].reason == before[i].reason && after[i].value.type == before[i].value.type);
		}
		sample_unref(again);
	}
	free(before);
	free(after);
	sample_unref(sample);
	return 0;
}
