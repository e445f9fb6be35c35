/* SPDX-License-Identifier: Apache-2.0 */
/* Each decoder on what it should take and on what it should refuse; guessing; recordings of real devices. */
#include "bench.h"

static void json(void **state)
{
	struct bench bench;
	char deep[256];

	(void)state;
	setup(&bench, &(struct decode_rules){.kind = DECODE_JSON});
	assert_string_equal(DECODE(&bench, "{\"a\":1,\"b\":{\"c\":[2.5,{\"d\":\"x\"}]},\"e\":true}"),
			    "a=1 b.c[0]=2.5 b.c[1].d=x e=true");
	assert_string_equal(DECODE(&bench, "[1,2]"), "[0]=1 [1]=2");
	assert_string_equal(DECODE(&bench, "{\"a\":9007199254740993}"), "a=9007199254740993");
	assert_string_equal(DECODE(&bench, "{\"a\":1"), "it is not JSON");
	assert_string_equal(DECODE(&bench, "{\"a\":1}}"), "it is not JSON");
	assert_string_equal(DECODE(&bench, "{\"a\":\"\xc3\x28\"}"), "it is not JSON");
	assert_string_equal(DECODE(&bench, "{\"a\0\":1}"), "it is not JSON");
	assert_string_equal(DECODE(&bench, ""), "it is not JSON");
	memset(deep, '[', sizeof(deep));
	memset(deep + 100, ']', 100);
	assert_string_equal(decode(&bench, deep, 200), "it holds too many values");
	teardown(&bench);
}

static void csv(void **state)
{
	struct bench bench;

	(void)state;
	setup(&bench, &(struct decode_rules){.kind = DECODE_CSV});
	assert_string_equal(DECODE(&bench, "21.5, 40 ,,x"), "1=21.5 2=40 3= 4=x");
	assert_string_equal(DECODE(&bench, "\"a,\"\"b\"\"\",2"), "1=a,\"b\" 2=2");
	assert_string_equal(DECODE(&bench, "\"a,2"), "its quotes do not match");
	assert_string_equal(DECODE(&bench, "\"a\"b,2"), "its quotes do not match");
	teardown(&bench);

	setup(&bench, &(struct decode_rules){.kind = DECODE_CSV, .header = true, .separator = {";", 1}});
	assert_string_equal(DECODE(&bench, "1;2"), ""); /* nobody knows yet what they are */
	assert_string_equal(DECODE(&bench, "temp;hum"), "other");
	assert_string_equal(DECODE(&bench, "1;2"), "temp=1 hum=2");
	assert_string_equal(DECODE(&bench, "1"), "it has fewer cells than there are columns");
	assert_string_equal(DECODE(&bench, "hum;temp;x"), "other"); /* the board started again, with other firmware */
	assert_string_equal(DECODE(&bench, "1;2;3"), "hum=1 temp=2 x=3");
	teardown(&bench);

	setup(&bench, &(struct decode_rules){.kind = DECODE_CSV, .columns = "t, h", .separator = {" ", 1}});
	assert_string_equal(DECODE(&bench, " 1   2 "), "t=1 h=2");
	assert_string_equal(DECODE(&bench, "1"), "it has fewer cells than there are columns");
	teardown(&bench);
}

static void keyvalue(void **state)
{
	struct bench bench;

	(void)state;
	setup(&bench, &(struct decode_rules){.kind = DECODE_KEYVALUE, .assign = {"=", 1}});
	assert_string_equal(DECODE(&bench, "T=21.5;H=40"), "T=21.5 H=40");
	assert_string_equal(DECODE(&bench, "state: T=1, H=2=3 =on x="), "T=1 H=2=3 x=");
	assert_string_equal(DECODE(&bench, "booting"), "it holds no pair");
	teardown(&bench);
	setup(&bench, &(struct decode_rules){.kind = DECODE_KEYVALUE, .assign = {": ", 2}, .separator = {" | ", 3}});
	assert_string_equal(DECODE(&bench, "Temp A: 1 | Temp B: 2 C"), "Temp A=1 Temp B=2 C");
	teardown(&bench);
}

static void regex(void **state)
{
	struct bench bench;
	struct decoder *decoder;
	char error[DECODE_ERROR_MAX], hard[64];

	(void)state;
	setup(&bench, &(struct decode_rules){.kind = DECODE_REGEX, .pattern = "T=(?<t>[0-9.]+)(;H=(?<h>[0-9]+))?"});
	assert_string_equal(DECODE(&bench, "xx T=1.5;H=3"), "h=3 t=1.5");
	assert_string_equal(DECODE(&bench, "T=1.5"), "t=1.5");
	assert_string_equal(DECODE(&bench, "\xff\0T"), "other");
	teardown(&bench);
	/* One that would try for ever is stopped. */
	setup(&bench, &(struct decode_rules){.kind = DECODE_REGEX, .pattern = "^(?<x>(a+)+)+$"});
	memset(hard, 'a', sizeof(hard));
	hard[63] = 'b';
	assert_string_equal(decode(&bench, hard, sizeof(hard)), "the pattern takes too long on it");
	teardown(&bench);
	assert_int_equal(
		decoder_new(&(struct decode_rules){.kind = DECODE_REGEX, .pattern = "(?<x>["}, &decoder, error),
		-EINVAL);
}

static void nmea(void **state)
{
	struct bench bench;

	(void)state;
	setup(&bench, &(struct decode_rules){.kind = DECODE_NMEA});
	assert_string_equal(DECODE(&bench, "$GPRMC,123519,A,4807.038,N,01131.000,E,022.4,084.4,230394,003.1,W*6A"),
			    "status=A lat=48.1173 lon=11.5166666666667 speed=022.4 course=084.4");
	assert_string_equal(DECODE(&bench, "$GPRMC,123519,A,4807.038,N,01131.000,E,022.4,084.4,230394,003.1,W*6B"),
			    "its checksum is wrong");
	assert_string_equal(DECODE(&bench, "$GPRMC,123519,A"), "it has no checksum");
	assert_string_equal(DECODE(&bench, "GPRMC"), "it is no NMEA sentence");
	/* No fix: no position is invented. */
	assert_string_equal(DECODE(&bench, "$GPRMC,225446,V,4916.45,N,12311.12,W,000.5,054.7,191194,020.3,E*7F"),
			    "status=V");
	teardown(&bench);
	setup(&bench, &(struct decode_rules){.kind = DECODE_NMEA, .sentence = "GGA"});
	assert_string_equal(DECODE(&bench, "$GPVTG,054.7,T,034.4,M,005.5,N,010.2,K*48"), "other");
	teardown(&bench);
}

static void binary(void **state)
{
	static const uint8_t frame[] = {0x41, 0x48, 0x00, 0x00, 0xff, 0xfe, 0x7f, 0xc0, 0x00, 0x00};
	struct serial_binary_form form = {.at = 0, .n_bytes = 4, .type = HAY_FLOAT32};
	struct hay_value value;

	(void)state;
	assert_int_equal(binary_order(NULL, 4, form.order), 0);
	assert_int_equal(binary_value(&form, frame, sizeof(frame), &value), 0);
	assert_float_equal(value.f, 12.5, 0);
	form.at = 6;
	assert_int_equal(binary_value(&form, frame, sizeof(frame), &value), -EDOM);
	form.at = 7;
	assert_int_equal(binary_value(&form, frame, sizeof(frame), &value), -EINVAL);
	assert_int_equal(binary_order("CDAB", 4, form.order), 0);
	form = (struct serial_binary_form){.at = 0, .n_bytes = 4, .type = HAY_UINT32, .order = {2, 3, 0, 1}};
	assert_int_equal(binary_value(&form, frame, sizeof(frame), &value), 0);
	assert_int_equal(value.u, 0x00004148);
	form = (struct serial_binary_form){.at = 4, .n_bytes = 2, .type = HAY_INT16, .order = {0, 1}};
	assert_int_equal(binary_value(&form, frame, sizeof(frame), &value), 0);
	assert_int_equal(value.i, -2);
	assert_int_equal(binary_order("ABCA", 4, form.order), -EINVAL);
	assert_int_equal(binary_order("AB", 4, form.order), -EINVAL);
}

static int convert(const char *text, enum hay_type type, struct hay_value *ret)
{
	struct serial_item item = {.is_text = true, .text = text_of(text)};

	return item_value(&item, type, ret);
}

static void texts_become_values(void **state)
{
	struct hay_value value;

	(void)state;
	assert_int_equal(convert(" -32768 ", HAY_INT16, &value), 0);
	assert_int_equal(value.i, -32768);
	assert_int_equal(convert("-32769", HAY_INT16, &value), -ERANGE);
	assert_int_equal(convert("18446744073709551615", HAY_UINT64, &value), 0);
	assert_true(value.u == UINT64_MAX);
	assert_int_equal(convert("18446744073709551616", HAY_UINT64, &value), -ERANGE);
	assert_int_equal(convert("-9223372036854775808", HAY_INT64, &value), 0);
	assert_true(value.i == INT64_MIN);
	assert_int_equal(convert("9223372036854775808.0", HAY_INT64, &value), -ERANGE);
	assert_int_equal(convert("-1", HAY_UINT16, &value), -ERANGE);
	assert_int_equal(convert("-0", HAY_UINT16, &value), 0);
	assert_int_equal(convert("7.0", HAY_UINT16, &value), 0);
	assert_int_equal(convert("0x10", HAY_UINT16, &value), -EINVAL);
	assert_int_equal(convert("1.5.2", HAY_FLOAT64, &value), -EINVAL);
	assert_int_equal(convert("nan", HAY_FLOAT64, &value), -EDOM);
	assert_int_equal(convert("1e999", HAY_FLOAT64, &value), -ERANGE);
	assert_int_equal(convert("", HAY_FLOAT64, &value), -EINVAL);
	assert_int_equal(convert("On", HAY_BOOL, &value), 0);
	assert_true(value.b);
	assert_int_equal(convert("maybe", HAY_BOOL, &value), -EINVAL);
	assert_int_equal(convert("\xed\xa0\x80", HAY_STRING, &value), -EINVAL); /* a surrogate is no UTF-8 */
}

/* ---- recordings ---- */

struct replay {
	struct bench bench;
	char out[4096];
};

static void take(const uint8_t *frame, size_t size, void *userdata)
{
	struct replay *replay = userdata;
	size_t used = strlen(replay->out);

	snprintf(replay->out + used, sizeof(replay->out) - used, "%s|",
		 decode(&replay->bench, (const char *)frame, size));
}

static size_t load(const char *name, char data[8192])
{
	char path[256];
	const char *end = strstr(__FILE__, "tests/plugin");
	FILE *file;
	size_t n;

	snprintf(path, sizeof(path), "%.*stests/recordings/serial/%s", (int)(end - __FILE__), __FILE__, name);
	file = fopen(path, "rb");
	assert_non_null(file);
	n = fread(data, 1, 8191, file);
	fclose(file);
	data[n] = 0;
	return n;
}

static const char *replay(const char *name, const struct frame_rules *frame, const struct decode_rules *rules)
{
	static struct replay replay;
	struct framer *framer = framer_new(frame, take, &replay);
	char data[8192];
	size_t n = load(name, data);

	replay.out[0] = 0;
	setup(&replay.bench, rules);
	framer_push(framer, (const uint8_t *)data, n);
	framer_free(framer);
	teardown(&replay.bench);
	return replay.out;
}

static const struct frame_rules lines = {.kind = FRAME_LINE, .delimiter = {"\n", 1}, .escape = -1, .max_frame = 4096};

static void receivers(void **state)
{
	const struct decode_rules gga = {.kind = DECODE_NMEA, .sentence = "GGA"},
				  gsv = {.kind = DECODE_NMEA, .sentence = "GPGSV"};

	(void)state;
	assert_string_equal(replay("gps.nmea", &lines, &gga),
			    "lat=-37.7847883333333 lon=175.314896666667 quality=1 satellites=08 hdop=1.1 "
			    "altitude=59.9 geoid_separation=23.7|other|other|"
			    "lat=-37.7847916666667 lon=175.314896666667 quality=1 satellites=08 hdop=1.1 "
			    "altitude=59.8 geoid_separation=23.7|other|other|"
			    "lat=-37.7847933333333 lon=175.31489 quality=1 satellites=08 hdop=1.1 altitude=60.1 "
			    "geoid_separation=23.7|other|other|other|other|other|");
	assert_string_equal(replay("gps.nmea", &lines, &gsv),
			    "other|other|other|other|other|other|other|other|satellites_in_view=12|"
			    "satellites_in_view=12|satellites_in_view=12|other|");
}

static void scales(void **state)
{
	const struct decode_rules scale = {.kind = DECODE_REGEX,
					   .pattern = "^(?:(?<state>ST|US),[A-Z]+,)?(?<sign>[-+]?) *(?<weight>[0-9.]+)"
						      "(?:/[0-9])? k?[gG] *(?<moving>[?])?(?<mode>[GN])?"},
				  ph = {.kind = DECODE_REGEX, .pattern = "^(?<ph>[0-9.]+)pH (?<t>[0-9.]+)\xf8\x43"};

	(void)state;
	assert_string_equal(replay("scales.txt", &lines, &scale),
			    "sign= state=ST weight=245.6|sign= state=US weight=92.6|mode=G sign= weight=20.0|"
			    "mode=G moving=? sign= weight=19.8|mode=N sign=- weight=1.640|mode=G sign= weight=0.360|"
			    "sign=+ weight=007.12|");
	/* Its degree sign is no UTF-8. */
	assert_string_equal(replay("ph.txt", &lines, &ph), "ph=3.01 t=25.5|ph=4.77 t=24.7|");
}

static void meters(void **state)
{
	const struct decode_rules d0 = {.kind = DECODE_REGEX,
					.pattern = "^1-0:(?:1\\.8\\.0\\*255\\((?<energy>[0-9.]+)|1\\.7\\.0\\*255\\("
						   "(?<power>[0-9.]+))"},
				  p1 = {.kind = DECODE_REGEX,
					.pattern = "(?s)1-0:1\\.8\\.1\\((?<low>[0-9.]+).*1-0:1\\.7\\.0\\((?<power>[0-9."
						   "]+).*0-1:24\\.2\\.1\\([0-9SW]+\\)\\((?<gas>[0-9.]+)"};
	const struct frame_rules telegrams = {.kind = FRAME_STX_ETX,
					      .start = {"/", 1},
					      .end = {"!", 1},
					      .escape = -1,
					      .max_frame = 4096,
					      .checksum = CHECKSUM_CRC16_ARC,
					      .checksum_after = true,
					      .checksum_hex = true,
					      .checked = CHECKED_MARKS};

	(void)state;
	assert_string_equal(replay("meter.d0", &lines, &d0),
			    "other|other|energy=00052185.7825309|other|other|other|other|power=002124.86|other|other|"
			    "other|");
	assert_string_equal(replay("meter.p1", &telegrams, &p1),
			    "gas=00981.443 low=001581.123 power=02.027|gas=00000.107 low=000004.426 power=00.244|");
}

/* The same meters without a pattern. */
static void data_lines(void **state)
{
	const struct decode_rules obis = {.kind = DECODE_OBIS};
	const struct frame_rules telegrams = {.kind = FRAME_STX_ETX,
					      .start = {"/", 1},
					      .end = {"!", 1},
					      .escape = -1,
					      .max_frame = 4096,
					      .checksum = CHECKSUM_CRC16_ARC,
					      .checksum_after = true,
					      .checksum_hex = true,
					      .checked = CHECKED_MARKS};
	const char *said;
	struct bench bench;

	(void)state;
	assert_string_equal(replay("meter.d0", &lines, &obis),
			    "other|1-0:0.0.0=0272031312565|1-0:1.8.0=00052185.7825309|"
			    "1-0:2.8.0=00019949.3221493|1-0:21.7.0=000747.85|1-0:41.7.0=000737.28|1-0:61.7.0=000639.73|"
			    "1-0:1.7.0=002124.86|1-0:96.5.5=80|0-0:96.1.255=1ESY1313002565|other|");
	said = replay("meter.p1", &telegrams, &obis);
	assert_memory_equal(said, "1-3:0.2.8=42 0-0:1.0.0=161113205757W ", 37);
	assert_non_null(strstr(said, " 1-0:1.7.0=02.027 "));
	assert_non_null(strstr(said, " 0-1:24.2.1=00981.443|1-3:0.2.8=50 "));
	setup(&bench, &obis);
	/* A gas meter's reading on a line of its own, as DSMR 2.2 has it; other lines. */
	assert_string_equal(DECODE(&bench, "0-1:24.3.0(161107190000)(0-1:24.2.1)(m3)\r\n(00001.001)\r\n"),
			    "0-1:24.3.0=00001.001");
	/* Serial numbers keep their zeros and all their digits. */
	assert_string_equal(DECODE(&bench, "0-0:96.1.1(3960221976967177)\r\n1-0:0.0.0(0272031312565)\r\n0.0.0(1)\r\n"
					   "0-0:96.14.0(0002)\r\n1-0:1.7.0(02.027*kW)\r\n"),
			    "0-0:96.1.1=3960221976967177 1-0:0.0.0=0272031312565 0.0.0=1 0-0:96.14.0=0002 "
			    "1-0:1.7.0=02.027");
	for (size_t i = 0; i < bench.record.n; i++)
		assert_int_equal(item_natural_type(&bench.record.items[i]), i < 3 ? HAY_STRING : HAY_FLOAT64);
	/* Several data sets in a line, as a Landis+Gyr Ultraheat says them: each value under its own number and with its
	   own unit. The field: 6.8 (energy) read 70000000, the serial number, and m³ came as kWh. */
	assert_string_equal(DECODE(&bench, "6.8(0062159*kWh)6.26(00951.71*m3)9.21(70000000)\r\n"
					   "6.26*01(00898.98*m3)6.8*01(0059059*kWh)F(0)9.4(114.9*C&090.8*C)\r\n"),
			    "6.8=0062159 6.26=00951.71 9.21=70000000 6.26*01=00898.98 6.8*01=0059059 F=0 "
			    "9.4=114.9*C&090.8*C");
	DECODE(&bench, "6.8(1*kWh)6.26(2*m3)6.33(3*m3ph)9.21(4)");
	assert_int_equal(decoder_run(bench.decoder, (const uint8_t *)"6.8(1*kWh)6.26(2*m3)9.4(3*C)9.21(4)", 35,
				     &bench.record, &bench.error),
			 DECODED);
	assert_string_equal(bench.record.items[0].unit, "kWh");
	assert_string_equal(bench.record.items[1].unit, "m³");
	assert_string_equal(bench.record.items[2].unit, "°C");
	assert_null(bench.record.items[3].unit);
	/* What does not come out even is left out whole, and said; nothing goes on behind it. */
	assert_string_equal(DECODE(&bench, "1-0:1.8.0(1*kWh)\r\n6.8(0062159*kWh6.26(00951.71*m3)\r\n(7)\r\n"),
			    "1-0:1.8.0=1");
	assert_int_equal(decoder_run(bench.decoder, (const uint8_t *)"1(1)\n2(2)3", 10, &bench.record, &bench.error),
			 DECODED);
	assert_int_equal(bench.record.n, 1);
	assert_non_null(bench.record.note);
	/* A line of parentheses alone gives no second value to a set that has one. */
	assert_string_equal(DECODE(&bench, "1-0:1.8.0(1*kWh)\r\n(00001.001)\r\n"), "1-0:1.8.0=1");
	assert_string_equal(DECODE(&bench, "1-0:1.7.0()"), "1-0:1.7.0=");
	assert_string_equal(DECODE(&bench, "*255(1)"), "*255=1");
	assert_string_equal(DECODE(&bench, "(1)"), "it has no line of a meter");
	assert_string_equal(DECODE(&bench, "1-0:1.7.0(1"), "it has no line of a meter");
	assert_string_equal(DECODE(&bench, ")"), "it has no line of a meter");
	assert_string_equal(DECODE(&bench, "\r\n"), "other");
	teardown(&bench);
}

static void sml(void **state)
{
	const struct frame_rules transport = {.kind = FRAME_SML, .escape = -1, .max_frame = 4096};
	const struct decode_rules rules = {.kind = DECODE_SML};
	struct bench bench;

	(void)state;
	assert_string_equal(replay("meter-mt631.sml", &transport, &rules),
			    "1-0:96.50.1*1=ISK 1-0:96.1.0=0a0149534b00047a5544 1-0:1.8.0=2043104.7 1-0:2.8.0=0 "
			    "1-0:16.7.0=193|"
			    "1-0:96.50.1*1=ISK 1-0:96.1.0=0a0149534b00047a5544 1-0:1.8.0=2043104.8 1-0:2.8.0=0 "
			    "1-0:16.7.0=194|");
	/* It gives power away. */
	assert_string_equal(replay("meter-dvs7420.sml", &transport, &rules),
			    "1-0:96.50.1*1=DZG 1-0:96.1.0=0a01445a4700039e2053 1-0:1.8.0=13232.9 "
			    "1-0:2.8.0=1500321.3 1-0:16.7.0=-105.5|");
	setup(&bench, &rules);
	assert_string_equal(DECODE(&bench, "\x76\x05"), "it is no SML file");
	assert_string_equal(DECODE(&bench, ""), "other");
	assert_string_equal(DECODE(&bench, "{\"t\":1}"), "it is no SML file");
	assert_string_equal(DECODE(&bench, "\x8f\x8f\x8f\x8f\x8f\x8f\x8f\x8f\x0f"), "it is no SML file");
	teardown(&bench);
}

static void a_battery_monitor(void **state)
{
	const struct decode_rules pairs = {.kind = DECODE_KEYVALUE, .separator = {"\r\n", 2}, .assign = {"\t", 1}};
	struct frame_rules blocks = {.kind = FRAME_LINE,
				     .delimiter = {"\r\nChecksum\t", 11},
				     .escape = -1,
				     .max_frame = 4096,
				     .checksum = CHECKSUM_SUM8_ZERO,
				     .checksum_after = true,
				     .checked = CHECKED_MARKS};
	const char *said = replay("shunt.vedirect", &blocks, &pairs);
	char *plain = strdup(said);

	(void)state;
	blocks.hex_messages = true;
	assert_string_equal(replay("shunt-hex.vedirect", &blocks, &pairs), plain);
	free(plain);
	said = replay("shunt.vedirect", &blocks, &pairs);
	assert_memory_equal(said, "PID=0x203 V=12065 I=-7625 P=-92 CE=-65473 SOC=839 TTG=942 Alarm=OFF ", 68);
	assert_non_null(strstr(said, "|H1=-149322 H2=-82854 "));
	assert_non_null(strstr(said, "|PID=0x203 V=12065 I=-7626 "));
	assert_non_null(strstr(said, " H9=368004 H10=26 H11=0 H12=0 H17=6843 H18=8527|"));
}

static void a_dust_sensor(void **state)
{
	const struct decode_rules bytes = {.kind = DECODE_BINARY};
	struct frame_rules dust = {.kind = FRAME_LENGTH_PREFIXED,
				   .start = {"BM", 2},
				   .escape = -1,
				   .length_at = 2,
				   .length_size = 2,
				   .max_frame = 64,
				   .checksum = CHECKSUM_SUM16};

	(void)state;
	assert_string_equal(replay("dust.bin", &dust, &bytes), "||");
	dust.checksum = CHECKSUM_CRC16_CCITT;
	assert_string_equal(replay("dust.bin", &dust, &bytes), "");
}

static struct guess guess_of(const char *text)
{
	struct guess guess;

	guess_make((const uint8_t *)text, strlen(text), &guess);
	return guess;
}

static void guesses(void **state)
{
	struct guess guess;
	char data[8192];
	size_t n = load("gps.nmea", data);

	(void)state;
	guess_make((const uint8_t *)data, n, &guess);
	assert_int_equal(guess.decode, DECODE_NMEA);
	assert_int_equal(guess.score, 100);
	guess_make((const uint8_t *)data, load("meter.p1", data), &guess);
	assert_int_equal(guess.decode, DECODE_OBIS);
	assert_true(guess_is_sure(&guess));
	guess_make((const uint8_t *)data, load("meter-mt631.sml", data), &guess);
	assert_true(guess.is_sml);
	guess = guess_of("f\":1}\r\nboot v1\r\n{\"a\":1}\r\n{\"a\":2}\r\n{\"a");
	assert_int_equal(guess.decode, DECODE_JSON);
	assert_true(guess_is_sure(&guess));
	guess = guess_of("x\nT=1;H=2\nT=1;H=2\n");
	assert_int_equal(guess.decode, DECODE_KEYVALUE);
	guess = guess_of("x\ntemp;hum\n1.5;2\n3;4\n");
	assert_int_equal(guess.decode, DECODE_CSV);
	assert_string_equal(guess.separator, ";");
	assert_true(guess.header);
	guess = guess_of("x\n21.5\n21.6\n");
	assert_int_equal(guess.decode, DECODE_CSV);
	guess = guess_of("x\r1,2\r1,3\r1,4\r");
	assert_true(guess.only_returns);
	assert_int_equal(guess.decode, DECODE_CSV);
	guess = guess_of("x\nHello there\nHow are you\n");
	assert_int_equal(guess.score, 0);
	guess = guess_of("\x80\x01\x02\xff\x03");
	assert_true(guess.printable < 90);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(json),
		cmocka_unit_test(csv),
		cmocka_unit_test(keyvalue),
		cmocka_unit_test(regex),
		cmocka_unit_test(nmea),
		cmocka_unit_test(binary),
		cmocka_unit_test(texts_become_values),
		cmocka_unit_test(receivers),
		cmocka_unit_test(scales),
		cmocka_unit_test(meters),
		cmocka_unit_test(data_lines),
		cmocka_unit_test(sml),
		cmocka_unit_test(a_battery_monitor),
		cmocka_unit_test(a_dust_sensor),
		cmocka_unit_test(guesses),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
