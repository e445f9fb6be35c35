/* SPDX-License-Identifier: Apache-2.0 */
/* What the decoders share. */
#ifndef BLE_DECODE_PRIVATE_H
#define BLE_DECODE_PRIVATE_H

#include "decode.h"

typedef int (*decode_fn)(const struct advert *advert, const struct decode_key *key, struct ble_decoded *out);

int decode_bthome(const struct advert *advert, const struct decode_key *key, struct ble_decoded *out);
int decode_ruuvi(const struct advert *advert, const struct decode_key *key, struct ble_decoded *out);
int decode_atc(const struct advert *advert, const struct decode_key *key, struct ble_decoded *out);
int decode_pvvx(const struct advert *advert, const struct decode_key *key, struct ble_decoded *out);
int decode_xiaomi(const struct advert *advert, const struct decode_key *key, struct ble_decoded *out);
int decode_govee(const struct advert *advert, const struct decode_key *key, struct ble_decoded *out);
int decode_inkbird(const struct advert *advert, const struct decode_key *key, struct ble_decoded *out);
int decode_switchbot(const struct advert *advert, const struct decode_key *key, struct ble_decoded *out);
int decode_standard(const struct advert *advert, const struct decode_key *key, struct ble_decoded *out);
int decode_eddystone(const struct advert *advert, const struct decode_key *key, struct ble_decoded *out);
int decode_ibeacon(const struct advert *advert, const struct decode_key *key, struct ble_decoded *out);
int decode_raw(const struct advert *advert, const struct decode_key *key, struct ble_decoded *out);

/* ---- adding values: whole numbers take the field's type ---- */

struct hay_value *decoded_add(struct ble_decoded *out,
			      enum ble_field field); /* of that type, zero; numbered; never NULL */
void decoded_number(struct ble_decoded *out, enum ble_field field, int64_t raw, unsigned divisor); /* raw / divisor */
void decoded_double(struct ble_decoded *out, enum ble_field field, double value);
void decoded_bool(struct ble_decoded *out, enum ble_field field, bool value);
void decoded_text(struct ble_decoded *out, enum ble_field field, const char *text); /* a constant */
void decoded_bytes(struct ble_decoded *out, enum ble_field field, const uint8_t *data, size_t size);
void decoded_hex(struct ble_decoded *out, enum ble_field field, const uint8_t *data, size_t size);

/* Room for size bytes of text that lives as long as *out; NULL: full. */
char *decoded_room(struct ble_decoded *out, size_t size);

/* ---- whole numbers ---- */

int64_t get_le(const uint8_t *data, unsigned size, bool is_signed);
int64_t get_be(const uint8_t *data, unsigned size, bool is_signed);

/* ---- AES-CCM with a tag of 4 bytes ---- */

struct ccm {
	const struct decode_key *key; /* of another length: another key */
	uint8_t nonce[13];
	size_t n_nonce;
	const uint8_t *extra; /* authenticated too */
	size_t n_extra;
	const uint8_t *tag;
};

/* -EKEYREJECTED where key or data are not what was sent; -EIO where the library cannot. */
int ccm_decrypt(const struct ccm *ccm, const uint8_t *data, size_t size, uint8_t *plain);

/* Where no tag is sent: what comes out of a wrong key is noise. 0 or -EIO. */
int ccm_decrypt_unchecked(const uint8_t key[KEY_SIZE], const uint8_t nonce[13], const uint8_t *data, size_t size,
			  uint8_t *plain);

#endif
