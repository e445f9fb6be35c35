/* SPDX-License-Identifier: Apache-2.0 */
/* Numbers as boards print them: decimal commas, not-a-numbers, whole numbers of more than 63 bits. */
#include "bench.h"

static const struct serial_item *item_of(const struct bench *bench, const char *name)
{
	size_t hint = 0;
	const struct serial_item *item = record_get(&bench->record, text_of(name), &hint);

	assert_non_null(item);
	return item;
}

static int value_of(const struct bench *bench, const char *name, enum hay_type type, struct hay_value *ret)
{
	return item_value(item_of(bench, name), type, ret);
}

static enum serial_decoded run_decoder(struct bench *bench, const char *frame)
{
	return decoder_run(bench->decoder, (const uint8_t *)frame, strlen(frame), &bench->record, &bench->error);
}

/* The field: a board that prints "T=21,5 H=40,2" gave 21 and 40, quality good, and nothing was said. */
static void a_decimal_comma_is_no_separator(void **state)
{
	struct hay_value value;
	struct bench bench;

	(void)state;
	setup(&bench, &(struct decode_rules){.kind = DECODE_KEYVALUE, .assign = {"=", 1}});
	assert_string_equal(DECODE(&bench, "T=21,5 H=40,2"), "T=21,5 H=40,2");
	assert_int_equal(run_decoder(&bench, "T=21,5 H=40,2"), DECODED);
	assert_int_equal(value_of(&bench, "T", HAY_FLOAT64, &value), -EINVAL);
	/* Where a key follows, the comma separates: also a key that is a number. */
	assert_string_equal(DECODE(&bench, "T=21,H=40"), "T=21 H=40");
	assert_string_equal(DECODE(&bench, "1=21,2=40"), "1=21 2=40");
	assert_string_equal(DECODE(&bench, "P=1,013.2"), "P=1,013.2");
	/* A value torn from its key makes the frame wrong; before the first key a number may count or name. */
	assert_string_equal(DECODE(&bench, "T=21 5"), "a number stands in it without a key");
	assert_string_equal(DECODE(&bench, "T=21; 5;H=40"), "a number stands in it without a key");
	assert_string_equal(DECODE(&bench, "P = 1 013.2"), "a number stands in it without a key");
	assert_string_equal(DECODE(&bench, "T = 21.5 H=40"), "a number stands in it without a key");
	assert_string_equal(DECODE(&bench, "H=40 =21"), "a number stands in it without a key");
	assert_string_equal(DECODE(&bench, "17 T=21 ok H=40"), "T=21 H=40");
	assert_string_equal(DECODE(&bench, "node 3 T=21"), "T=21");
	teardown(&bench);
	setup(&bench, &(struct decode_rules){.kind = DECODE_KEYVALUE, .assign = {"=", 1}, .separator = {";", 1}});
	assert_string_equal(DECODE(&bench, "T=21;5;H=40"), "a number stands in it without a key");
	teardown(&bench);
}

static void numbers_with_decimal_commas(void **state)
{
	static const char *const refused[] = {"1.013,2", "21.5", "1.013", "1,013,2", "21,5C", ","};
	struct decode_rules rules = {.kind = DECODE_KEYVALUE, .assign = {"=", 1}, .comma = true};
	struct hay_value value;
	struct bench bench;
	char error[DECODE_ERROR_MAX];

	(void)error;
	(void)state;
	setup(&bench, &rules);
	assert_int_equal(run_decoder(&bench, "T=-21,5 H=40 n=7,0 E=1,5e3 on=1"), DECODED);
	assert_int_equal(value_of(&bench, "T", HAY_FLOAT64, &value), 0);
	assert_float_equal(value.d, -21.5, 0);
	assert_int_equal(item_natural_type(item_of(&bench, "T")), HAY_FLOAT64);
	assert_int_equal(value_of(&bench, "H", HAY_UINT16, &value), 0);
	assert_int_equal(value.u, 40);
	assert_int_equal(value_of(&bench, "n", HAY_INT16, &value), 0);
	assert_int_equal(value.i, 7);
	assert_int_equal(value_of(&bench, "E", HAY_FLOAT64, &value), 0);
	assert_float_equal(value.d, 1500, 0);
	teardown(&bench);
	/* Both signs in one number are thousands and decimals, or a mistake; a point alone may be thousands. */
	for (size_t i = 0; i < sizeof(refused) / sizeof(refused[0]); i++) {
		struct serial_item item = {.is_text = true, .text = text_of(refused[i]), .comma = true};

		assert_int_equal(item_value(&item, HAY_FLOAT64, &value), -EINVAL);
		assert_int_equal(item_natural_type(&item), HAY_STRING);
	}

	setup(&bench, &(struct decode_rules){.kind = DECODE_CSV, .separator = {";", 1}, .header = true, .comma = true});
	assert_int_equal(run_decoder(&bench, "t;h"), DECODED_OTHER);
	assert_int_equal(run_decoder(&bench, "21,5;40,2"), DECODED);
	assert_int_equal(value_of(&bench, "h", HAY_FLOAT64, &value), 0);
	assert_float_equal(value.d, 40.2, 0);
	teardown(&bench);

	setup(&bench, &(struct decode_rules){.kind = DECODE_REGEX, .pattern = "(?<t>[0-9,]+) C", .comma = true});
	assert_int_equal(run_decoder(&bench, "it is 21,5 C"), DECODED);
	assert_int_equal(value_of(&bench, "t", HAY_FLOAT64, &value), 0);
	assert_float_equal(value.d, 21.5, 0);
	teardown(&bench);
}

/* Scales print the sign apart from the digits, "-  450.38 GN". */
static void a_sign_apart_from_its_number(void **state)
{
	struct hay_value value;
	struct bench bench;
	struct guess guess;

	(void)state;
	setup(&bench, &(struct decode_rules){.kind = DECODE_REGEX, .pattern = "(?<w>[-+]? *[0-9.]+) *(?<u>[A-Za-z]+)"});
	assert_int_equal(run_decoder(&bench, "-  450.38 GN"), DECODED);
	assert_int_equal(value_of(&bench, "w", HAY_FLOAT64, &value), 0);
	assert_float_equal(value.d, -450.38, 0);
	assert_int_equal(value_of(&bench, "w", HAY_INT16, &value), 0);
	assert_int_equal(value.i, -450);
	assert_int_equal(run_decoder(&bench, "+   62.916 GN"), DECODED);
	assert_int_equal(value_of(&bench, "w", HAY_FLOAT64, &value), 0);
	assert_float_equal(value.d, 62.916, 0);
	teardown(&bench);
	/* Cut at its blanks it is minus 450.38, or a missing value and 450.38: no number, and never without its sign. */
	setup(&bench, &(struct decode_rules){.kind = DECODE_CSV, .separator = {" ", 1}});
	assert_int_equal(run_decoder(&bench, "-  450.38 GN"), DECODED);
	assert_int_equal(value_of(&bench, "2", HAY_FLOAT64, &value), -EINVAL);
	assert_string_equal(DECODE(&bench, "- x 7"), "1=- 2=x 3=7");
	teardown(&bench);
	/* What the probe proposed read 450.38. */
	guess_make((const uint8_t *)"x\n  0.00 GN\n-  450.38 GN\n", 25, &guess);
	assert_int_equal(guess.decode, DECODE_REGEX);
	assert_true(guess.sign_apart);
}

/* Rows of broken values are no header: they would name the columns, and all values would be gone in silence. */
static void broken_values_are_no_header(void **state)
{
	struct bench bench;

	(void)state;
	setup(&bench, &(struct decode_rules){.kind = DECODE_CSV, .separator = {";", 1}, .header = true});
	assert_string_equal(DECODE(&bench, "t;h"), "other");
	assert_string_equal(DECODE(&bench, "21,5;40,2"), "t=21,5 h=40,2");
	assert_string_equal(DECODE(&bench, "nan;nan"), "t=nan h=nan");
	assert_string_equal(DECODE(&bench, "h;t"), "other");
	assert_string_equal(DECODE(&bench, "1;2"), "h=1 t=2");
	teardown(&bench);
}

static void a_probe_finds_decimal_commas(void **state)
{
	static const struct {
		const char *lines;
		enum decode_kind decode;
		const char *separator;
		bool comma, one_or_two;
	} cases[] = {
		{"x\nT=21,5 H=40,2\nT=21,6 H=40,0\n", DECODE_KEYVALUE, NULL, true, false},
		{"x\nT=21.5,H=40\nT=21.6,H=40\n", DECODE_KEYVALUE, NULL, false, false},
		{"x\n21,5;40,2\n21,6;40,2\n", DECODE_CSV, ";", true, false},
		{"x\n21,5\t40,2\n21,6\t40\n", DECODE_CSV, "\\t", true, false},
		{"x\n21,5 40,2\n21,6 40,2\n", DECODE_CSV, " ", true, false},
		{"x\n1,2,3\n1,2,4\n", DECODE_CSV, NULL, false, false},
		{"x\n21.5,40.2\n21.6,40.2\n", DECODE_CSV, NULL, false, false},
		{"x\n21,5\n21,6\n", DECODE_CSV, NULL, false, true},
		{"x\nnow it is 21,5C here\nand now 21,6C\n", DECODE_REGEX, NULL, true, false},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct guess guess;

		guess_make((const uint8_t *)cases[i].lines, strlen(cases[i].lines), &guess);
		assert_int_equal(guess.decode, cases[i].decode);
		assert_true((guess.separator == NULL) == (cases[i].separator == NULL));
		if (guess.separator)
			assert_string_equal(guess.separator, cases[i].separator);
		assert_int_equal(guess.comma, cases[i].comma);
		assert_int_equal(guess.one_or_two, cases[i].one_or_two);
	}
}

/* The field: a board whose second sensor is broken prints nan, and the values of the others were lost with it. */
static void one_nan_does_not_lose_the_message(void **state)
{
	struct hay_value value;
	struct bench bench;

	(void)state;
	setup(&bench, &(struct decode_rules){.kind = DECODE_JSON});
	assert_int_equal(
		run_decoder(&bench, "{\"a\":17.1,\"b\":nan,\"c\":[ NaN,-inf , Infinity],\"d\":\"nan\",\"e\":-nan}"),
		DECODED);
	assert_int_equal(value_of(&bench, "a", HAY_FLOAT64, &value), 0);
	assert_float_equal(value.d, 17.1, 0);
	assert_int_equal(value_of(&bench, "b", HAY_FLOAT64, &value), -EDOM);
	assert_int_equal(value_of(&bench, "b", HAY_INT16, &value), -EDOM);
	assert_int_equal(item_natural_type(item_of(&bench, "b")), HAY_FLOAT64);
	assert_int_equal(value_of(&bench, "c[1]", HAY_FLOAT64, &value), -EDOM);
	assert_int_equal(value_of(&bench, "c[2]", HAY_FLOAT64, &value), -EDOM);
	assert_int_equal(value_of(&bench, "e", HAY_FLOAT64, &value), -EDOM);
	assert_int_equal(item_natural_type(item_of(&bench, "d")), HAY_STRING);
	/* Everything else is as strict as before. */
	assert_string_equal(DECODE(&bench, "{\"a\":nan,\"b\":x}"), "it is not JSON");
	assert_string_equal(DECODE(&bench, "{\"a\":nan,\"b\":\"\\u0000nan\"}"), "it is not JSON");
	assert_string_equal(DECODE(&bench, "{nan:1}"), "it is not JSON");
	assert_string_equal(DECODE(&bench, "{\"a\":nan"), "it is not JSON");
	assert_string_equal(DECODE(&bench, "{\"a\":\"nan}"), "it is not JSON");
	assert_string_equal(DECODE(&bench, "{\"a\":nano}"), "it is not JSON");
	assert_string_equal(DECODE(&bench, "{\"\\\"nan\":inf,\"x\":\"[nan,\"}"), "\"nan=inf x=[nan,");
	teardown(&bench);
}

/* A counter of 64 bits, and what no whole type holds. */
static void large_whole_numbers(void **state)
{
	struct hay_value value;
	struct bench bench;

	(void)state;
	setup(&bench, &(struct decode_rules){.kind = DECODE_JSON});
	assert_int_equal(run_decoder(&bench, "{\"a\":1,\"e\":18446744073709551615,\"f\":18446744073709551616,"
					     "\"g\":-9223372036854775809,\"h\":1e400}"),
			 DECODED);
	assert_int_equal(value_of(&bench, "a", HAY_FLOAT64, &value), 0);
	assert_int_equal(value_of(&bench, "e", HAY_UINT64, &value), 0);
	assert_true(value.u == UINT64_MAX);
	assert_int_equal(value_of(&bench, "e", HAY_INT64, &value), -ERANGE);
	assert_int_equal(value_of(&bench, "e", HAY_FLOAT64, &value), 0);
	assert_false(item_is_beyond_64_bits(item_of(&bench, "e")));
	assert_int_equal(item_natural_type(item_of(&bench, "e")), HAY_FLOAT64);
	assert_int_equal(value_of(&bench, "f", HAY_UINT64, &value), -ERANGE);
	assert_int_equal(value_of(&bench, "f", HAY_FLOAT64, &value), 0);
	assert_float_equal(value.d, 0x1p64, 0);
	assert_true(item_is_beyond_64_bits(item_of(&bench, "f")));
	assert_true(item_is_beyond_64_bits(item_of(&bench, "g")));
	assert_int_equal(value_of(&bench, "h", HAY_FLOAT64, &value), -ERANGE);
	assert_false(item_is_beyond_64_bits(item_of(&bench, "h")));
	teardown(&bench);
}

/* Of a frame that came whole: the number that is out of every range is bad, the others are read. */
static void check_beyond(struct bench *bench, const char *frame)
{
	struct hay_value value;

	assert_int_equal(run_decoder(bench, frame), DECODED);
	assert_int_equal(item_natural_type(item_of(bench, "h")), HAY_FLOAT64);
	assert_int_equal(value_of(bench, "h", HAY_FLOAT64, &value), -ERANGE);
	assert_int_equal(value_of(bench, "h", HAY_FLOAT32, &value), -ERANGE);
	assert_int_equal(value_of(bench, "h", HAY_INT32, &value), -ERANGE);
	assert_int_equal(value_of(bench, "a", HAY_FLOAT64, &value), 0);
	assert_float_equal(value.d, 17.1, 0);
	decoder_clear(bench->decoder, &bench->record);
}

/*
 * The field: {"h":1e400} of a device without points made a text of h, quality good; with a fraction and some hundred digits
 * it was "not JSON", and the values beside it were lost.
 */
static void numbers_beyond_a_double(void **state)
{
	static const char *const numbers[] = {"1e400", "-1e400", "1.5E+400", "1e99999999999999999999"};
	char zeros[401] = "", frame[1000];
	struct hay_value value;
	struct bench bench;

	(void)state;
	memset(zeros, '0', sizeof(zeros) - 1);
	setup(&bench, &(struct decode_rules){.kind = DECODE_JSON});
	for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++) {
		snprintf(frame, sizeof(frame), "{\"h\":%s,\"a\":17.1}", numbers[i]);
		check_beyond(&bench, frame);
	}
	for (size_t i = 0; i < 4; i++) {
		snprintf(frame, sizeof(frame), "{\"h\":%s1%s%s,\"a\":17.1}", i & 1 ? "-" : "", zeros,
			 i & 2 ? ".5" : "");
		check_beyond(&bench, frame);
	}
	/* A number is no text either where a point is one, as every other number. */
	assert_int_equal(run_decoder(&bench, "{\"h\":1e400,\"n\":nan,\"i\":18446744073709551616}"), DECODED);
	assert_int_equal(value_of(&bench, "h", HAY_STRING, &value), -EINVAL);
	assert_int_equal(value_of(&bench, "i", HAY_STRING, &value), -EINVAL);
	assert_int_equal(value_of(&bench, "n", HAY_STRING, &value), -EDOM);
	/* Long, and within the range. */
	snprintf(frame, sizeof(frame), "{\"h\":1e400,\"a\":1.%s5,\"b\":0.%s5}", zeros, zeros);
	decoder_clear(bench.decoder, &bench.record);
	assert_int_equal(run_decoder(&bench, frame), DECODED);
	assert_int_equal(value_of(&bench, "a", HAY_FLOAT64, &value), 0);
	assert_float_equal(value.d, 1, 0);
	teardown(&bench);

	setup(&bench, &(struct decode_rules){.kind = DECODE_KEYVALUE, .assign = {"=", 1}});
	check_beyond(&bench, "h=1e+400 a=17.1");
	check_beyond(&bench, "h=-1e400 a=17.1");
	assert_int_equal(run_decoder(&bench, "mac=0012e9345678"), DECODED);
	assert_int_equal(item_natural_type(item_of(&bench, "mac")), HAY_STRING);
	teardown(&bench);
}

/* Zeros after a reset, a byte order mark: they are no part of the first name. */
static void noise_before_a_text_is_no_part_of_it(void **state)
{
	struct bench bench;

	(void)state;
	setup(&bench, &(struct decode_rules){.kind = DECODE_JSON});
	assert_string_equal(DECODE(&bench, "\0\0{\"t\":1}"), "t=1");
	teardown(&bench);
	setup(&bench, &(struct decode_rules){.kind = DECODE_KEYVALUE, .assign = {"=", 1}});
	assert_string_equal(DECODE(&bench, "\xef\xbb\xbfT=1"), "T=1");
	assert_string_equal(DECODE(&bench, "\0"), "it holds no pair");
	teardown(&bench);
	setup(&bench, &(struct decode_rules){.kind = DECODE_CSV, .header = true});
	assert_string_equal(DECODE(&bench, "\0\xef\xbb\xbft,h"), "other");
	assert_string_equal(DECODE(&bench, "1,2"), "t=1 h=2");
	teardown(&bench);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_decimal_comma_is_no_separator),
		cmocka_unit_test(numbers_with_decimal_commas),
		cmocka_unit_test(a_sign_apart_from_its_number),
		cmocka_unit_test(broken_values_are_no_header),
		cmocka_unit_test(a_probe_finds_decimal_commas),
		cmocka_unit_test(one_nan_does_not_lose_the_message),
		cmocka_unit_test(large_whole_numbers),
		cmocka_unit_test(numbers_beyond_a_double),
		cmocka_unit_test(noise_before_a_text_is_no_part_of_it),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
