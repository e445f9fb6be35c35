/* SPDX-License-Identifier: Apache-2.0 */
/* Input: one byte of rules, then a frame. */
#include "decode_target.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct text separators[] = {{NULL, 0}, {";", 1}, {" ", 1}, {"\t", 1}, {"ab", 2}};
	struct decode_rules rules = {.kind = DECODE_CSV};

	if (size < 1)
		return 0;
	rules.separator = separators[data[0] % 5];
	rules.header = data[0] & 64;
	rules.columns = data[0] & 128 ? "a, b,,c" : NULL;
	decode_twice(&rules, data + 1, size - 1);
	return 0;
}
