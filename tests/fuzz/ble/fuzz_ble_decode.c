/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Input: a byte that chooses the decoder, one of flags (1: there is a key; 8: a short one; 2, 4: a name), then data of companies and
 * services as [kind, id (2), size, bytes]. Whatever comes, values lie inside what was given or made, have the type of
 * their field, and do not stand twice under one name.
 */
#include "../../../plugins/ble/decode.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool holds)
{
	if (!holds)
		abort();
}

static bool is_inside(const char *at, size_t size, const void *begin, size_t length)
{
	uintptr_t a = (uintptr_t)at, b = (uintptr_t)begin;

	return a >= b && a + size <= b + length;
}

static void check_value(const struct ble_decoded *decoded, size_t i, const struct advert *advert)
{
	const struct hay_value *value = &decoded->values[i].value;
	unsigned sum = 0;
	bool found;

	require(decoded->values[i].field < N_FIELDS && decoded->values[i].number > 0);
	require(value->type == field_infos[decoded->values[i].field].type);
	for (size_t j = 0; j < i; j++)
		require(decoded->values[j].field != decoded->values[i].field ||
			decoded->values[j].number != decoded->values[i].number);
	if (value->type != HAY_STRING && value->type != HAY_BYTES)
		return;
	found = is_inside(value->s.data, value->s.size, decoded->text, sizeof(decoded->text));
	for (size_t j = 0; j < advert->n_manufacturer; j++)
		found |= is_inside(value->s.data, value->s.size, advert->manufacturer[j].data,
				   advert->manufacturer[j].size);
	for (size_t j = 0; j < advert->n_service; j++)
		found |= is_inside(value->s.data, value->s.size, advert->service[j].data, advert->service[j].size);
	/* The rest are words of the decoder's own. */
	require(found || (value->s.size < 20 && strlen(value->s.data) == value->s.size));
	for (size_t j = 0; j < value->s.size; j++)
		sum += (unsigned char)value->s.data[j];
	require(sum <= 255 * value->s.size);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const char *const names[] = {NULL, "sps", "tps", "iBBQ"};
	static struct ble_decoded decoded;
	struct advert advert = {0};
	struct decode_key key = {.bytes = {0xaa}};
	uint8_t *pieces[8] = {NULL};
	unsigned n = 0;
	int r;

	if (size < 2)
		return 0;
	advert_clear(&advert);
	key.size = data[1] & 8 ? KEY_SIZE_SHORT : data[1] & 1 ? KEY_SIZE : 0;
	advert.name = names[data[1] >> 1 & 3];
	for (size_t at = 2; at + 4 <= size && n < 8 && data[at + 3] <= size - at - 4; at += 4u + data[at + 3]) {
		uint16_t id = (uint16_t)(data[at + 1] << 8 | data[at + 2]);
		struct uuid uuid = uuid_from_short(id);

		/* a copy of exact size, so that a read one byte past the end is seen */
		pieces[n] = malloc(data[at + 3] + (data[at + 3] == 0));
		memcpy(pieces[n], data + at + 4, data[at + 3]);
		if (data[at] & 1)
			advert_add_service(&advert, &uuid, pieces[n], data[at + 3]);
		else
			advert_add_manufacturer(&advert, id, pieces[n], data[at + 3]);
		n++;
	}
	r = decode_advert(data[0] % N_DECODERS, &advert, &key, &decoded);
	require(r == 0 || r == -ENOMSG || r == -EBADMSG || r == -ENOKEY || r == -EKEYREJECTED || r == -EPERM);
	require(decoded.n_values <= DECODED_MAX && decoded.n_text <= sizeof(decoded.text));
	for (size_t i = 0; r == 0 && i < decoded.n_values; i++)
		check_value(&decoded, i, &advert);
	while (n > 0)
		free(pieces[--n]);
	advert_done(&advert);
	return 0;
}
