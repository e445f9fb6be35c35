/* SPDX-License-Identifier: Apache-2.0 */
/* Input: a frame, for a pattern that looks back and forth. */
#include "decode_target.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct decode_rules rules = {.kind = DECODE_REGEX,
						  .pattern = "^(?<a>[A-Z]+)=(?<b>-?[0-9.]+)(?:;(?<c>(?:x+y?)+))?"};

	decode_twice(&rules, data, size);
	return 0;
}
