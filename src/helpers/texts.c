/* SPDX-License-Identifier: Apache-2.0 */
#include <haywain/helpers.h>

size_t hay_utf8_length(const char *text, size_t size)
{
	const uint8_t *at = (const uint8_t *)text;
	uint8_t c = at[0];
	size_t n = c < 0x80 ? 1 : c >= 0xc2 && c <= 0xdf ? 2 : (c & 0xf0) == 0xe0 ? 3 : c >= 0xf0 && c <= 0xf4 ? 4 : 0;

	if (n == 0 || n > size)
		return 0;
	for (size_t i = 1; i < n; i++)
		if ((at[i] & 0xc0) != 0x80)
			return 0;
	/* Too long a form, half of a pair, or past the last character. */
	if ((c == 0xe0 && at[1] < 0xa0) || (c == 0xed && at[1] > 0x9f) || (c == 0xf0 && at[1] < 0x90) ||
	    (c == 0xf4 && at[1] > 0x8f))
		return 0;
	return n;
}

bool hay_is_utf8(const char *text, size_t size)
{
	for (size_t at = 0; at < size;) {
		size_t n = hay_utf8_length(text + at, size - at);

		if (n == 0)
			return false;
		at += n;
	}
	return true;
}

int hay_hex_digit(char c)
{
	return c >= '0' && c <= '9'   ? c - '0'
	       : c >= 'a' && c <= 'f' ? c - 'a' + 10
	       : c >= 'A' && c <= 'F' ? c - 'A' + 10
				      : -1;
}

int hay_hex_byte(const char *text)
{
	int high = hay_hex_digit(text[0]), low = high < 0 ? -1 : hay_hex_digit(text[1]);

	return low < 0 ? -1 : high << 4 | low;
}

void hay_hex_print(const void *bytes, size_t size, char *ret_text)
{
	static const char digits[] = "0123456789abcdef";
	const uint8_t *at = (const uint8_t *)bytes;

	for (size_t i = 0; i < size; i++) {
		*ret_text++ = digits[at[i] >> 4];
		*ret_text++ = digits[at[i] & 15];
	}
	*ret_text = '\0';
}
