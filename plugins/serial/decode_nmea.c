/* SPDX-License-Identifier: Apache-2.0 */
/*
 * NMEA 0183 sentences: $ or !, talker and sentence, fields, *HH. The checksum has to be there. Fields by the names of
 * the table or by number: field 1 is the first after the address. Meanings as in "NMEA Revealed" of the gpsd project.
 */
#include "decode.h"
#include <string.h>
#include <time.h>

#define FIELDS_MAX 64

enum field_kind { PLAIN, HIDDEN, LATITUDE, LONGITUDE };

static const struct field {
	char sentence[4];
	unsigned char number;
	unsigned char kind; /* enum field_kind; a position takes the next field, its hemisphere, too */
	const char *name, *unit;
} fields[] = {
	{"GGA", 1, HIDDEN, "time", NULL},
	{"GGA", 2, LATITUDE, "lat", "°"},
	{"GGA", 4, LONGITUDE, "lon", "°"},
	{"GGA", 6, PLAIN, "quality", NULL},
	{"GGA", 7, PLAIN, "satellites", NULL},
	{"GGA", 8, PLAIN, "hdop", NULL},
	{"GGA", 9, PLAIN, "altitude", "m"},
	{"GGA", 11, PLAIN, "geoid_separation", "m"},
	{"RMC", 1, HIDDEN, "time", NULL},
	{"RMC", 2, PLAIN, "status", NULL},
	{"RMC", 3, LATITUDE, "lat", "°"},
	{"RMC", 5, LONGITUDE, "lon", "°"},
	{"RMC", 7, PLAIN, "speed", "kn"},
	{"RMC", 8, PLAIN, "course", "°"},
	{"RMC", 9, HIDDEN, "date", NULL},
	{"GLL", 1, LATITUDE, "lat", "°"},
	{"GLL", 3, LONGITUDE, "lon", "°"},
	{"GLL", 5, HIDDEN, "time", NULL},
	{"GLL", 6, PLAIN, "status", NULL},
	{"VTG", 1, PLAIN, "course", "°"},
	{"VTG", 5, PLAIN, "speed", "kn"},
	{"VTG", 7, PLAIN, "speed_kmh", "km/h"},
	{"GSA", 2, PLAIN, "fix", NULL},
	{"GSA", 15, PLAIN, "pdop", NULL},
	{"GSA", 16, PLAIN, "hdop", NULL},
	{"GSA", 17, PLAIN, "vdop", NULL},
	{"GSV", 3, PLAIN, "satellites_in_view", NULL},
	{"ZDA", 1, HIDDEN, "time", NULL},
	{"HDT", 1, PLAIN, "heading", "°"},
	{"HDM", 1, PLAIN, "heading_magnetic", "°"},
	{"ROT", 1, PLAIN, "rate_of_turn", "°/min"},
	{"DBT", 3, PLAIN, "depth", "m"},
	{"DPT", 1, PLAIN, "depth", "m"},
	{"MTW", 1, PLAIN, "water_temperature", "°C"},
	{"VHW", 5, PLAIN, "speed_through_water", "kn"},
	{"MWV", 1, PLAIN, "wind_angle", "°"},
	{"MWV", 2, PLAIN, "wind_reference", NULL},
	{"MWV", 3, PLAIN, "wind_speed", NULL},
	{"MDA", 3, PLAIN, "pressure", "bar"},
	{"MDA", 5, PLAIN, "air_temperature", "°C"},
	{"MDA", 7, PLAIN, "water_temperature", "°C"},
	{"MDA", 9, PLAIN, "humidity", "%"},
};

struct sentence {
	struct text talker, name; /* "GP", "GGA" */
	struct text fields[FIELDS_MAX];
	size_t n_fields;
	bool no_fix; /* it says itself that position and speed mean nothing */
};

/* The text between $ and *, its checksum right. */
static bool take_body(struct text frame, struct text *ret, const char **ret_error)
{
	size_t at = 1;
	int sum = 0, expected;

	frame = text_trim(frame);
	*ret_error = "it is no NMEA sentence";
	if (frame.size < 2 || (frame.data[0] != '$' && frame.data[0] != '!'))
		return false;
	for (; at < frame.size && frame.data[at] != '*'; at++)
		sum ^= (uint8_t)frame.data[at];
	*ret_error = "it has no checksum";
	expected = at + 3 == frame.size ? hay_hex_byte(frame.data + at + 1) : -1;
	if (expected < 0)
		return false;
	*ret_error = "its checksum is wrong";
	if (expected != sum)
		return false;
	*ret = (struct text){frame.data + 1, at - 1};
	return true;
}

static void split_sentence(struct text body, struct sentence *sentence)
{
	const char *end = body.data + body.size;

	for (const char *at = body.data; sentence->n_fields < FIELDS_MAX; at++) {
		const char *comma = memchr(at, ',', (size_t)(end - at));
		size_t size = (size_t)((comma ? comma : end) - at);

		sentence->fields[sentence->n_fields++] = (struct text){at, size};
		at += size;
		if (!comma)
			break;
	}
	/* Proprietary ones, $PUBX, are all name. */
	struct text address = sentence->fields[0];
	size_t talker = address.size >= 4 && address.data[0] != 'P' ? address.size - 3 : 0;

	sentence->talker = (struct text){address.data, talker};
	sentence->name = (struct text){address.data + talker, address.size - talker};
}

static bool is_wanted(const struct sentence *sentence, const char *wanted)
{
	return !wanted || text_equal(sentence->name, text_of(wanted)) ||
	       text_equal(sentence->fields[0], text_of(wanted));
}

static struct text field_of(const struct sentence *sentence, size_t number)
{
	return number < sentence->n_fields ? sentence->fields[number] : (struct text){0};
}

static bool is_letter(struct text text, char letter)
{
	return text.size == 1 && text.data[0] == letter;
}

/* ddmm.mmm and a hemisphere, as degrees. */
static bool read_position(const struct sentence *sentence, const struct field *field, double *ret)
{
	struct text text = field_of(sentence, field->number), side = field_of(sentence, field->number + 1u);
	const char *sides = field->kind == LATITUDE ? "NS" : "EW";
	double raw, degrees;

	if (!text_number(text, &raw) || raw < 0 || raw > 18000 || side.size != 1 || !memchr(sides, side.data[0], 2))
		return false;
	degrees = (double)(int)(raw / 100);
	degrees += (raw - degrees * 100) / 60;
	if (degrees > (field->kind == LATITUDE ? 90 : 180))
		return false;
	*ret = side.data[0] == sides[1] ? -degrees : degrees;
	return true;
}

static bool two_digits(struct text text, size_t at, int *ret)
{
	if (at + 2 > text.size || text.data[at] < '0' || text.data[at] > '9' || text.data[at + 1] < '0' ||
	    text.data[at + 1] > '9')
		return false;
	*ret = (text.data[at] - '0') * 10 + text.data[at + 1] - '0';
	return true;
}

/* Seconds since 1970, of RMC and ZDA. */
static bool date_and_time(const struct sentence *sentence, double *ret)
{
	struct text clock = field_of(sentence, 1), date = field_of(sentence, 9);
	double seconds, year;
	struct tm tm = {0};

	if (text_equal(sentence->name, text_of("RMC"))) {
		if (!two_digits(date, 0, &tm.tm_mday) || !two_digits(date, 2, &tm.tm_mon) ||
		    !two_digits(date, 4, &tm.tm_year))
			return false;
		tm.tm_year += 100;
	} else if (text_equal(sentence->name, text_of("ZDA"))) {
		if (!two_digits(field_of(sentence, 2), 0, &tm.tm_mday) ||
		    !two_digits(field_of(sentence, 3), 0, &tm.tm_mon) || !text_number(field_of(sentence, 4), &year) ||
		    year < 1970 || year > 2200)
			return false;
		tm.tm_year = (int)year - 1900;
	} else {
		return false;
	}
	if (!two_digits(clock, 0, &tm.tm_hour) || !two_digits(clock, 2, &tm.tm_min) || clock.size < 6 ||
	    !text_number((struct text){clock.data + 4, clock.size - 4}, &seconds))
		return false;
	tm.tm_mon--;
	*ret = (double)timegm(&tm) + seconds;
	return true;
}

/* Under its name, "GGA.name", "GGA.9" and "9". */
static int add_names(struct serial_record *record, const struct sentence *sentence, const struct field *field,
		     size_t number, struct serial_item item)
{
	char digits[TEXT_NUMBER_MAX];
	struct text count = text_of_number(number, digits), none = {0}, name = text_of(field ? field->name : NULL);
	struct text names[] = {
		name,
		field ? record_name(record, sentence->name, ".", name, "") : none,
		record_name(record, sentence->name, ".", count, ""),
		record_name(record, count, "", none, ""),
	};

	for (size_t i = 0; i < 4; i++) {
		item.name = names[i];
		if (i > 0 || (field && field->kind == HIDDEN))
			item.hidden = true;
		if (item.name.size > 0 && record_add(record, &item) < 0)
			return -1;
	}
	return 0;
}

static int add_field(struct serial_record *record, const struct sentence *sentence, size_t number)
{
	const struct field *field = NULL;
	struct serial_item item = {.is_text = true, .text = sentence->fields[number]};

	for (size_t i = 0; i < sizeof(fields) / sizeof(fields[0]) && !field; i++)
		if (fields[i].number == number && text_equal(sentence->name, text_of(fields[i].sentence)))
			field = &fields[i];
	if (field && (field->kind == LATITUDE || field->kind == LONGITUDE)) {
		struct serial_item place = {.value.type = HAY_FLOAT64, .unit = field->unit};

		if (!sentence->no_fix && read_position(sentence, field, &place.value.d) &&
		    add_names(record, sentence, field, number, place) < 0)
			return -1;
		return 0;
	}
	if (item.text.size == 0 || (sentence->no_fix && field && field->unit))
		return 0; /* the device has nothing to say there */
	item.unit = field ? field->unit : NULL;
	item.hidden = !field;
	return add_names(record, sentence, field, number, item);
}

/* XDR: quadruples of type, value, unit and the transducer's own name. */
static int add_transducers(struct serial_record *record, const struct sentence *sentence)
{
	for (size_t i = 1; i + 3 < sentence->n_fields; i += 4)
		if (sentence->fields[i + 3].size > 0 && sentence->fields[i + 1].size > 0 &&
		    record_add_text(record, sentence->fields[i + 3], sentence->fields[i + 1], false) < 0)
			return -1;
	return 0;
}

enum serial_decoded decode_nmea(const struct decode_rules *rules, struct text frame, struct serial_record *record,
				const char **ret_error)
{
	struct sentence sentence = {0};
	struct serial_item moment = {.name = text_of("datetime"), .hidden = true, .value.type = HAY_FLOAT64};
	struct text body;
	int r = 0;

	if (!take_body(frame, &body, ret_error))
		return DECODED_WRONG;
	split_sentence(body, &sentence);
	if (!is_wanted(&sentence, rules->sentence))
		return DECODED_OTHER;
	sentence.no_fix = (text_equal(sentence.name, text_of("RMC")) && is_letter(field_of(&sentence, 2), 'V')) ||
			  (text_equal(sentence.name, text_of("GLL")) && is_letter(field_of(&sentence, 6), 'V')) ||
			  (text_equal(sentence.name, text_of("GGA")) && is_letter(field_of(&sentence, 6), '0'));
	for (size_t i = 1; i < sentence.n_fields && r == 0; i++)
		r = add_field(record, &sentence, i);
	if (r == 0 && text_equal(sentence.name, text_of("XDR")))
		r = add_transducers(record, &sentence);
	if (r == 0)
		r = record_add_text(record, text_of("sentence"), sentence.name, true);
	if (r == 0)
		r = record_add_text(record, text_of("talker"), sentence.talker, true);
	if (r == 0 && date_and_time(&sentence, &moment.value.d))
		r = record_add(record, &moment);
	*ret_error = "it has too many fields";
	return r == 0 ? DECODED : DECODED_WRONG;
}
