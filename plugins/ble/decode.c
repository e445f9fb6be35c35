/* SPDX-License-Identifier: Apache-2.0 */
#include "decode.h"
#include "decode_private.h"
#include <errno.h>
#include <haywain/helpers.h>
#include <stdio.h>
#include <string.h>

const char *const decoder_names[N_DECODERS + 1] = {
	[DECODER_AUTO] = "auto",	 [DECODER_BTHOME] = "bthome",	    [DECODER_RUUVI] = "ruuvi",
	[DECODER_ATC] = "atc",		 [DECODER_PVVX] = "pvvx",	    [DECODER_XIAOMI] = "xiaomi",
	[DECODER_GOVEE] = "govee",	 [DECODER_INKBIRD] = "inkbird",	    [DECODER_SWITCHBOT] = "switchbot",
	[DECODER_STANDARD] = "standard", [DECODER_EDDYSTONE] = "eddystone", [DECODER_IBEACON] = "ibeacon",
	[DECODER_RAW] = "raw",		 [DECODER_GATT] = "gatt",
};

/* In the order in which `auto` tries them: what measures before what only says who it is. */
static const decode_fn decoders[N_DECODERS] = {
	[DECODER_BTHOME] = decode_bthome,     [DECODER_RUUVI] = decode_ruuvi,
	[DECODER_ATC] = decode_atc,	      [DECODER_PVVX] = decode_pvvx,
	[DECODER_XIAOMI] = decode_xiaomi,     [DECODER_GOVEE] = decode_govee,
	[DECODER_INKBIRD] = decode_inkbird,   [DECODER_SWITCHBOT] = decode_switchbot,
	[DECODER_STANDARD] = decode_standard, [DECODER_EDDYSTONE] = decode_eddystone,
	[DECODER_IBEACON] = decode_ibeacon,   [DECODER_RAW] = decode_raw,
};

static int run_decoder(enum ble_decoder decoder, const struct advert *advert, const struct decode_key *key,
		       struct ble_decoded *out)
{
	int r;

	*out = (struct ble_decoded){.decoder = decoder_names[decoder]};
	r = decoders[decoder] ? decoders[decoder](advert, key, out) : -ENOMSG;
	return r == 0 && out->n_values == 0 && !out->has_packet ? -ENOMSG : r;
}

int decode_advert(enum ble_decoder decoder, const struct advert *advert, const struct decode_key *key,
		  struct ble_decoded *ret)
{
	int error = -ENOMSG;

	if (decoder != DECODER_AUTO)
		return run_decoder(decoder, advert, key, ret);
	for (decoder = DECODER_BTHOME; decoder < DECODER_RAW; decoder++) {
		int r = run_decoder(decoder, advert, key, ret);

		if (r == 0)
			return 0;
		if (error == -ENOMSG)
			error = r;
	}
	return error;
}

/* ---- values ---- */

struct hay_value *decoded_add(struct ble_decoded *out, enum ble_field field)
{
	struct decoded_value *value;
	unsigned number = 1;

	for (size_t i = 0; i < out->n_values; i++)
		number += out->values[i].field == field;
	value = &out->values[out->n_values];
	out->n_values += out->n_values < DECODED_MAX;
	*value = (struct decoded_value){
		.field = field, .number = (uint8_t)number, .value.type = field_infos[field].type};
	return &value->value;
}

void decoded_double(struct ble_decoded *out, enum ble_field field, double number)
{
	decoded_add(out, field)->d = number;
}

void decoded_number(struct ble_decoded *out, enum ble_field field, int64_t raw, unsigned divisor)
{
	struct hay_value *value = decoded_add(out, field);

	/* A division by a power of ten rounds to the decimal number that was meant; a product would not. */
	if (value->type == HAY_FLOAT64)
		value->d = (double)raw / divisor;
	else if (value->type == HAY_BOOL)
		value->b = raw != 0;
	else
		value->i = raw / (int64_t)divisor;
}

void decoded_bool(struct ble_decoded *out, enum ble_field field, bool on)
{
	decoded_add(out, field)->b = on;
}

void decoded_bytes(struct ble_decoded *out, enum ble_field field, const uint8_t *data, size_t size)
{
	struct hay_value *value = decoded_add(out, field);

	value->s.data = (const char *)data;
	value->s.size = size;
}

void decoded_text(struct ble_decoded *out, enum ble_field field, const char *text)
{
	decoded_bytes(out, field, (const uint8_t *)text, strlen(text));
}

char *decoded_room(struct ble_decoded *out, size_t size)
{
	if (size > sizeof(out->text) - out->n_text)
		return NULL;
	out->n_text += size;
	return out->text + out->n_text - size;
}

void decoded_hex(struct ble_decoded *out, enum ble_field field, const uint8_t *data, size_t size)
{
	char *text = decoded_room(out, 2 * size + 1);

	if (!text)
		return;
	hay_hex_print(data, size, text);
	decoded_bytes(out, field, (const uint8_t *)text, 2 * size);
}

/* ---- whole numbers ---- */

int64_t get_le(const uint8_t *data, unsigned size, bool is_signed)
{
	uint64_t number = hay_get_le(data, size);

	return is_signed ? hay_sign_extend(number, size) : (int64_t)number;
}

int64_t get_be(const uint8_t *data, unsigned size, bool is_signed)
{
	uint64_t number = hay_get_be(data, size);

	return is_signed ? hay_sign_extend(number, size) : (int64_t)number;
}
