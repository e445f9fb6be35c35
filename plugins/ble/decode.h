/* SPDX-License-Identifier: Apache-2.0 */
/* From an advertisement to values. Pure: no descriptor, no clock, nothing kept. */
#ifndef BLE_DECODE_H
#define BLE_DECODE_H

#include "advertisement.h"
#include "fields.h"

#define KEY_SIZE 16
#define KEY_SIZE_SHORT 12 /* MiBeacon before version 4 */
#define DECODED_MAX 128	  /* values: more do not fit into an advertising structure of 255 bytes */
#define DECODED_TEXT 576  /* bytes of strings that a decoder makes itself */

struct decode_key {
	size_t size; /* 0: there is none */
	uint8_t bytes[KEY_SIZE];
};

struct decoded_value {
	enum ble_field field;
	uint8_t number; /* of several of one kind, from 1 */
	struct hay_value value;
};

struct ble_decoded {
	const char *decoder;
	bool has_packet; /* repeats of one measurement have the same packet id */
	uint32_t packet;
	bool has_counter; /* authenticated, and only ever grows */
	uint32_t counter;
	bool has_event;	  /* something happened, such as a press: never to be reported twice */
	bool is_presence; /* it says who is there, not what was measured */
	size_t n_values;
	struct decoded_value values[DECODED_MAX + 1]; /* the last takes what is too much */
	size_t n_text;
	char text[DECODED_TEXT];
};

enum ble_decoder {
	DECODER_AUTO,
	DECODER_BTHOME,
	DECODER_RUUVI,
	DECODER_ATC,
	DECODER_PVVX,
	DECODER_XIAOMI,
	DECODER_GOVEE,
	DECODER_INKBIRD,
	DECODER_SWITCHBOT,
	DECODER_STANDARD,
	DECODER_EDDYSTONE,
	DECODER_IBEACON,
	DECODER_RAW,
	DECODER_GATT, /* nothing is decoded from advertisements */
	N_DECODERS
};

extern const char *const decoder_names[N_DECODERS + 1]; /* NULL at the end */

/*
 * 0, with *ret filled; strings in it live as long as the advertisement and *ret. Else:
 * -ENOMSG       it is not of that format, or there is nothing in it
 * -EBADMSG      it is, and malformed
 * -ENOKEY       it is encrypted, and there is no key
 * -EKEYREJECTED it is encrypted with another key, or was tampered with
 * -EPERM        it is plain though a key is set: anybody could have sent it
 */
int decode_advert(enum ble_decoder decoder, const struct advert *advert, const struct decode_key *key,
		  struct ble_decoded *ret);

#endif
