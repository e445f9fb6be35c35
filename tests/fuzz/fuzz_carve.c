/* SPDX-License-Identifier: Apache-2.0 */
/* Any bytes as pages of a queue file: the search for rows stays inside, ends, and gives only rows whose checksum is right. */
#include "queue/carve.h"
#include "queue/rows.h"
#include "queue/state_rows.h"
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct input {
	const uint8_t *data;
	size_t size;
};

static int take_sample(void *userdata _unused_, struct sample *sample)
{
	struct sample_reading reading;
	struct sample_cursor cursor;

	if (sample->size > CARVE_BLOB_MAX)
		abort();
	if (sample_begin(sample, &cursor) == 0)
		while (sample_next(&cursor, &reading) > 0)
			continue;
	sample_unref(sample);
	return 0;
}

/* What is in a row beside the samples is read, whatever it is. */
static int take_state(void *userdata _unused_, uint64_t key, uint64_t stamp, const void *body, size_t size)
{
	struct state_row row = {.key = key, .stamp = stamp, .body = (uint8_t *)body, .size = size};
	struct state_device device;
	struct state_series series;
	struct state_reader reader;
	struct state_drops drops;
	struct state_meta meta;
	struct state_seal seal;
	struct state_boot boot;
	struct runs runs;
	uint64_t low, unsure_to;

	state_get_device(&row, &device);
	state_get_series(&row, &series);
	state_get_reader(&row, &reader);
	state_get_drops(&row, &drops);
	state_get_meta(&row, &meta);
	state_get_seal(&row, &seal);
	state_get_boot(&row, &boot);
	if (state_get_runs(&row, &low, &unsure_to, &runs) == 0)
		runs_done(&runs);
	return 0;
}

static bool give_page(void *userdata, uint32_t number, uint8_t page[CARVE_PAGE_BYTES])
{
	const struct input *input = userdata;
	size_t at = number * CARVE_PAGE_BYTES;

	memset(page, 0, CARVE_PAGE_BYTES);
	if (at >= input->size)
		return false;
	memcpy(page, input->data + at, MIN(CARVE_PAGE_BYTES, input->size - at));
	return true;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input input = {data, size};
	struct carve carve = {take_sample, take_state, give_page, &input};

	for (size_t at = 0; at < size; at += CARVE_PAGE_BYTES)
		carve_page(&carve, data + at, MIN(CARVE_PAGE_BYTES, size - at));
	/* And as the bodies of rows that a right checksum would let through. */
	take_state(NULL, 0, 0, data, size);
	return 0;
}
