/* SPDX-License-Identifier: Apache-2.0 */
#include "frame.h"

/* Codes that the standard does not name are distinguished by their number. */
#define NAME(high, low) "exception 0x" #high #low
#define NAMES(high)                                                                                                    \
	NAME(high, 0), NAME(high, 1), NAME(high, 2), NAME(high, 3), NAME(high, 4), NAME(high, 5), NAME(high, 6),       \
		NAME(high, 7), NAME(high, 8), NAME(high, 9), NAME(high, a), NAME(high, b), NAME(high, c),              \
		NAME(high, d), NAME(high, e), NAME(high, f)

const char *exception_name(uint8_t code)
{
	static const char *const known[] = {
		[0x01] = "illegal function",
		[0x02] = "illegal data address",
		[0x03] = "illegal data value",
		[0x04] = "server device failure",
		[0x05] = "acknowledge",
		[0x06] = "server device busy",
		[0x07] = "negative acknowledge",
		[0x08] = "memory parity error",
		[0x0a] = "gateway path unavailable",
		[0x0b] = "gateway target device failed to respond",
	};
	static const char *const others[256] = {
		NAMES(0), NAMES(1), NAMES(2), NAMES(3), NAMES(4), NAMES(5), NAMES(6), NAMES(7),
		NAMES(8), NAMES(9), NAMES(a), NAMES(b), NAMES(c), NAMES(d), NAMES(e), NAMES(f),
	};

	if (code < sizeof(known) / sizeof(known[0]) && known[code])
		return known[code];
	return others[code];
}
