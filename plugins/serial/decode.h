/* SPDX-License-Identifier: Apache-2.0 */
/* Frames become records. Pure: each decoder in a file of its own, decode_NAME.c. */
#ifndef SERIAL_DECODE_H
#define SERIAL_DECODE_H

#include "record.h"

enum decode_kind {
	DECODE_JSON,
	DECODE_CSV,
	DECODE_KEYVALUE,
	DECODE_REGEX,
	DECODE_NMEA,
	DECODE_BINARY,
	DECODE_OBIS,
	DECODE_SML
};

struct decode_rules {
	enum decode_kind kind;
	struct text separator; /* csv: "" is a comma; keyvalue: "" is any of ; , and blanks */
	bool comma;	       /* csv, keyvalue, regex: numbers have decimal commas */
	struct text assign;    /* keyvalue */
	bool header;	       /* csv: lines without a number name the columns */
	const char *columns;   /* csv: their names, "a,b,c"; NULL: none */
	const char *pattern;   /* regex */
	const char *sentence;  /* nmea: "GGA" or "GPGGA"; NULL: all */
};

struct decoder;

#define DECODE_ERROR_MAX 256

/* rules are copied, what they point to is not. -EINVAL: error says why; -ENOMEM. */
int decoder_new(const struct decode_rules *rules, struct decoder **ret, char error[DECODE_ERROR_MAX]);
struct decoder *decoder_free(struct decoder *decoder);

enum serial_decoded {
	DECODED,       /* the record holds what the frame says */
	DECODED_OTHER, /* a right frame that is not asked for: a header, another sentence, no match */
	DECODED_WRONG, /* nonsense; *ret_error says why */
};

/* The record's items live until the next frame, or record_clear of decoder_clear(), and while the frame does. */
enum serial_decoded decoder_run(struct decoder *decoder, const uint8_t *frame, size_t size,
				struct serial_record *record, const char **ret_error);
void decoder_clear(struct decoder *decoder, struct serial_record *record);
/* Names that came over the line are forgotten: it was cut. */
void decoder_restart(struct decoder *decoder);

/* regex: whether the pattern has that group. */
bool decoder_has_group(const struct decoder *decoder, const char *name);

/* ---- the decoders ---- */

enum serial_decoded decode_json(struct text frame, struct serial_record *record, const char **ret_error);
void decode_json_clear(struct serial_record *record);

struct csv_columns {
	char *names; /* of the header, one after the other, each terminated */
	size_t n;
};
enum serial_decoded decode_csv(const struct decode_rules *rules, struct csv_columns *columns, struct text frame,
			       struct serial_record *record, const char **ret_error);
enum serial_decoded decode_keyvalue(const struct decode_rules *rules, struct text frame, struct serial_record *record,
				    const char **ret_error);

struct regex;
/* need_groups: a pattern without named groups is an error. */
int regex_new(const char *pattern, bool need_groups, struct regex **ret, char error[DECODE_ERROR_MAX]);
struct regex *regex_free(struct regex *regex);
bool regex_has_group(const struct regex *regex, const char *name);
/* 1: it matches; 0: it does not; -E2BIG: it took too much trying. record: gets the named groups; may be NULL. */
int regex_match(struct regex *regex, struct text text, struct serial_record *record);

enum serial_decoded decode_nmea(const struct decode_rules *rules, struct text frame, struct serial_record *record,
				const char **ret_error);

enum serial_decoded decode_obis(struct text frame, struct serial_record *record, const char **ret_error);
enum serial_decoded decode_sml(struct text frame, struct serial_record *record, const char **ret_error);

/* A value in a frame of bytes. */
struct serial_binary_form {
	size_t at, n_bytes;
	enum hay_type type;		     /* of the value: int24 is an int32 of 3 bytes */
	uint8_t order[HAY_NUMBER_BYTES_MAX]; /* of hay_byte_order() */
};
/* "ABCD" and all its arrangements, "big", "little"; NULL: big. -EINVAL: it does not fit n_bytes. */
int binary_order(const char *text, size_t n_bytes, uint8_t order[HAY_NUMBER_BYTES_MAX]);
/* -EINVAL: the frame is too short; -EDOM: not a number. */
int binary_value(const struct serial_binary_form *form, const uint8_t *frame, size_t size, struct hay_value *ret);

#endif
