/* SPDX-License-Identifier: Apache-2.0 */
/* Input: one byte of rules, then a frame. */
#include "decode_target.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct text separators[] = {{NULL, 0}, {";", 1}, {"::", 2}};
	struct decode_rules rules = {.kind = DECODE_KEYVALUE, .assign = {"=", 1}};

	if (size < 1)
		return 0;
	rules.separator = separators[data[0] % 3];
	if (data[0] & 128)
		rules.assign = (struct text){": ", 2};
	rules.comma = data[0] & 64;
	decode_twice(&rules, data + 1, size - 1);
	return 0;
}
