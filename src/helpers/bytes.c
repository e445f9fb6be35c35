/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <haywain/helpers.h>
#include <string.h>

uint64_t hay_get_le(const void *bytes, size_t n)
{
	const uint8_t *at = (const uint8_t *)bytes;
	uint64_t number = 0;

	while (n-- > 0)
		number = number << 8 | at[n];
	return number;
}

uint64_t hay_get_be(const void *bytes, size_t n)
{
	const uint8_t *at = (const uint8_t *)bytes;
	uint64_t number = 0;

	for (size_t i = 0; i < n; i++)
		number = number << 8 | at[i];
	return number;
}

void hay_put_le(void *bytes, size_t n, uint64_t number)
{
	uint8_t *at = (uint8_t *)bytes;

	for (size_t i = 0; i < n; i++, number >>= 8)
		at[i] = (uint8_t)number;
}

void hay_put_be(void *bytes, size_t n, uint64_t number)
{
	uint8_t *at = (uint8_t *)bytes;

	for (; n-- > 0; number >>= 8)
		at[n] = (uint8_t)number;
}

int64_t hay_sign_extend(uint64_t bits, size_t n)
{
	unsigned unused = 64 - 8 * (unsigned)n;

	return (int64_t)(bits << unused) >> unused;
}

int hay_byte_order(const char *letters, size_t n, uint8_t ret_order[HAY_NUMBER_BYTES_MAX])
{
	uint8_t order[HAY_NUMBER_BYTES_MAX] = {0};
	unsigned seen = 0;

	if (n < 1 || n > HAY_NUMBER_BYTES_MAX || (letters && strlen(letters) != n))
		return -EINVAL;
	for (size_t i = 0; i < n; i++) {
		size_t letter = letters ? (size_t)((unsigned char)letters[i] - (unsigned)'A') : i;

		if (letter >= n || seen & 1u << letter)
			return -EINVAL;
		seen |= 1u << letter;
		order[letter] = (uint8_t)i;
	}
	memcpy(ret_order, order, n);
	return 0;
}

uint64_t hay_get_ordered(const void *bytes, size_t n, const uint8_t order[HAY_NUMBER_BYTES_MAX])
{
	const uint8_t *at = (const uint8_t *)bytes;
	uint64_t number = 0;

	for (size_t i = 0; i < n; i++)
		number = number << 8 | at[order[i]];
	return number;
}

void hay_put_ordered(void *bytes, size_t n, const uint8_t order[HAY_NUMBER_BYTES_MAX], uint64_t number)
{
	uint8_t *at = (uint8_t *)bytes;

	for (; n-- > 0; number >>= 8)
		at[order[n]] = (uint8_t)number;
}

float hay_float_of_bits(uint32_t bits)
{
	float number;

	memcpy(&number, &bits, sizeof(number));
	return number;
}

double hay_double_of_bits(uint64_t bits)
{
	double number;

	memcpy(&number, &bits, sizeof(number));
	return number;
}

uint32_t hay_bits_of_float(float number)
{
	uint32_t bits;

	memcpy(&bits, &number, sizeof(bits));
	return bits;
}

uint64_t hay_bits_of_double(double number)
{
	uint64_t bits;

	memcpy(&bits, &number, sizeof(bits));
	return bits;
}
