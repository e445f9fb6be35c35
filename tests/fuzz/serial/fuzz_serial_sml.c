/* SPDX-License-Identifier: Apache-2.0 */
/* Input: a frame. */
#include "decode_target.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct decode_rules rules = {.kind = DECODE_SML};

	decode_twice(&rules, data, size);
	return 0;
}
