/* SPDX-License-Identifier: Apache-2.0 */
/* What the targets of the decoders share: whatever the frame, the items lie in bounds and become values or errors. */
#include "../../../plugins/serial/decode.h"
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static inline void touch(struct text text)
{
	volatile char sum = 0;

	for (size_t i = 0; i < text.size; i++)
		sum ^= text.data[i];
}

/* The frame is copied to its exact size, so that a read past it is found; twice, for what a decoder remembers. */
static inline void decode_twice(const struct decode_rules *rules, const uint8_t *data, size_t size)
{
	char error[DECODE_ERROR_MAX], buffer[32];
	struct decoder *decoder;
	struct serial_record record;
	const char *why = NULL;
	uint8_t *frame = malloc(size ? size : 1);

	if (size)
		memcpy(frame, data, size);
	if (decoder_new(rules, &decoder, error) < 0 || record_init(&record, 4 * size + 4096) < 0)
		abort();
	for (int i = 0; i < 2; i++) {
		enum serial_decoded decoded = decoder_run(decoder, frame, size, &record, &why);

		if (decoded == DECODED_WRONG && !why)
			abort();
		for (size_t k = 0; decoded == DECODED && k < record.n; k++) {
			struct hay_value value;

			touch(record.items[k].name);
			touch(item_text(&record.items[k], buffer));
			for (int type = HAY_BOOL; type < HAY_N_TYPES; type++)
				item_value(&record.items[k], (enum hay_type)type, &value);
			item_natural_type(&record.items[k]);
			item_is_beyond_64_bits(&record.items[k]);
		}
	}
	decoder_clear(decoder, &record);
	decoder_free(decoder);
	record_done(&record);
	free(frame);
}
