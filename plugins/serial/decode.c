/* SPDX-License-Identifier: Apache-2.0 */
#include "decode.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct decoder {
	struct decode_rules rules;
	struct csv_columns columns;
	struct regex *regex;
};

int decoder_new(const struct decode_rules *rules, struct decoder **ret, char error[DECODE_ERROR_MAX])
{
	struct decoder *decoder = calloc(1, sizeof(*decoder));
	int r = 0;

	if (!decoder)
		return -ENOMEM;
	decoder->rules = *rules;
	if (rules->kind == DECODE_REGEX)
		r = regex_new(rules->pattern, true, &decoder->regex, error);
	if (r < 0) {
		decoder_free(decoder);
		return r;
	}
	*ret = decoder;
	return 0;
}

struct decoder *decoder_free(struct decoder *decoder)
{
	if (decoder) {
		free(decoder->columns.names);
		regex_free(decoder->regex);
	}
	free(decoder);
	return NULL;
}

/* A reset or a line that was just connected makes zeros, and some programs begin with a byte order mark. In front of a
   text they would become part of the first name. */
static struct text without_noise(struct text text)
{
	for (;;) {
		size_t n = text.size > 0 && text.data[0] == 0				 ? 1
			   : text.size >= 3 && memcmp(text.data, "\xef\xbb\xbf", 3) == 0 ? 3
											 : 0;

		if (n == 0)
			return text;
		text.data += n;
		text.size -= n;
	}
}

enum serial_decoded decoder_run(struct decoder *decoder, const uint8_t *frame, size_t size,
				struct serial_record *record, const char **ret_error)
{
	struct text text = decoder->rules.kind == DECODE_BINARY || decoder->rules.kind == DECODE_SML
				   ? (struct text){(const char *)frame, size}
				   : without_noise((struct text){(const char *)frame, size});
	int r;

	decoder_clear(decoder, record);
	record->comma = decoder->rules.comma;
	switch (decoder->rules.kind) {
	case DECODE_JSON:
		return decode_json(text, record, ret_error);
	case DECODE_CSV:
		return decode_csv(&decoder->rules, &decoder->columns, text, record, ret_error);
	case DECODE_KEYVALUE:
		return decode_keyvalue(&decoder->rules, text, record, ret_error);
	case DECODE_REGEX:
		r = regex_match(decoder->regex, text, record);
		*ret_error = "the pattern takes too long on it";
		return r > 0 ? DECODED : r == 0 ? DECODED_OTHER : DECODED_WRONG;
	case DECODE_NMEA:
		return decode_nmea(&decoder->rules, text, record, ret_error);
	case DECODE_OBIS:
		return decode_obis(text, record, ret_error);
	case DECODE_SML:
		return decode_sml(text, record, ret_error);
	case DECODE_BINARY:
		break;
	}
	return DECODED;
}

void decoder_clear(struct decoder *decoder, struct serial_record *record)
{
	if (decoder->rules.kind == DECODE_JSON)
		decode_json_clear(record);
	record_clear(record);
}

void decoder_restart(struct decoder *decoder)
{
	free(decoder->columns.names);
	decoder->columns = (struct csv_columns){0};
}

bool decoder_has_group(const struct decoder *decoder, const char *name)
{
	return decoder->regex && regex_has_group(decoder->regex, name);
}
