/* SPDX-License-Identifier: Apache-2.0 */
/* The functions for plugins: what they refuse is a wrong value with quality good that is never sent. */
#include <arpa/inet.h>
#include <errno.h>
#include <haywain/helpers.h>
#include <math.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/util.h"
#include <cmocka.h>

/* A number that does not fit its type must not wrap into another one that looks right. */
static void whole_numbers_fit_or_are_refused(void **state _unused_)
{
	static const struct {
		enum hay_type type;
		int64_t least;
		uint64_t most;
	} types[] = {
		{HAY_INT16, INT16_MIN, INT16_MAX}, {HAY_INT32, INT32_MIN, INT32_MAX}, {HAY_INT64, INT64_MIN, INT64_MAX},
		{HAY_UINT16, 0, UINT16_MAX},	   {HAY_UINT32, 0, UINT32_MAX},	      {HAY_UINT64, 0, UINT64_MAX},
	};
	struct hay_value value;

	for (size_t i = 0; i < ELEMENTS(types); i++) {
		enum hay_type type = types[i].type;

		assert_int_equal(hay_value_of_signed(types[i].least, type, &value), 0);
		assert_true(value.type == type && value.i == types[i].least);
		assert_int_equal(hay_value_of_unsigned(types[i].most, type, &value), 0);
		assert_true(value.type == type && value.u == types[i].most);
		if (types[i].least > INT64_MIN)
			assert_int_equal(hay_value_of_signed(types[i].least - 1, type, &value), -ERANGE);
		if (types[i].most < UINT64_MAX)
			assert_int_equal(hay_value_of_unsigned(types[i].most + 1, type, &value), -ERANGE);
		assert_true(value.type == type && value.u == types[i].most); /* untouched by what was refused */
	}
}

static void doubles_become_values_or_are_refused(void **state _unused_)
{
	static const struct {
		double number;
		enum hay_type type;
		int r;
		int64_t whole;
	} cases[] = {
		{2.5, HAY_INT16, 0, 3},
		{-2.5, HAY_INT16, 0, -3},
		{-0.4, HAY_UINT16, 0, 0},
		{-0.5, HAY_UINT16, -ERANGE, 0},
		{32767.4, HAY_INT16, 0, 32767},
		{32767.5, HAY_INT16, -ERANGE, 0},
		{-0x1p63, HAY_INT64, 0, INT64_MIN},
		{0x1p63, HAY_INT64, -ERANGE, 0},
		{0x1p63 - 1024, HAY_INT64, 0, INT64_MAX - 1023},
		{0x1p64, HAY_UINT64, -ERANGE, 0},
		{1e300, HAY_INT32, -ERANGE, 0},
		{(double)NAN, HAY_INT32, -EDOM, 0},
		{(double)INFINITY, HAY_FLOAT64, -EDOM, 0},
		{1e39, HAY_FLOAT32, -ERANGE, 0},
		{2, HAY_BOOL, -EINVAL, 0},
		{1, HAY_STRING, -EINVAL, 0},
	};
	struct hay_value value;

	for (size_t i = 0; i < ELEMENTS(cases); i++) {
		assert_int_equal(hay_value_of_double(cases[i].number, cases[i].type, &value), cases[i].r);
		if (cases[i].r == 0)
			assert_true(value.i == cases[i].whole);
	}
	assert_int_equal(hay_value_of_double(1, HAY_BOOL, &value), 0);
	assert_true(value.type == HAY_BOOL && value.b);
	assert_int_equal(hay_value_of_double(0.1, HAY_FLOAT32, &value), 0);
	assert_true(value.f == 0.1f);
}

static void values_become_doubles(void **state _unused_)
{
	assert_true(hay_value_as_double(&(struct hay_value){.type = HAY_INT32, .i = -5}) == -5);
	assert_true(hay_value_as_double(&(struct hay_value){.type = HAY_UINT64, .u = UINT64_MAX}) == 0x1p64);
	assert_true(hay_value_as_double(&(struct hay_value){.type = HAY_BOOL, .b = true}) == 1);
	assert_true(isnan(hay_value_as_double(&(struct hay_value){.type = HAY_STRING, .s = {"7", 1}})));
}

static void bytes_in_every_order(void **state _unused_)
{
	static const uint8_t wire[] = {0x11, 0x22, 0x33, 0x44};
	static const struct {
		const char *letters;
		uint64_t number;
	} orders[] = {{NULL, 0x11223344},
		      {"ABCD", 0x11223344},
		      {"DCBA", 0x44332211},
		      {"CDAB", 0x33441122},
		      {"BADC", 0x22114433}};
	static const char *const wrong[] = {"ABC", "ABCDE", "ABCC", "ABCE", "abcd", ""};
	uint8_t order[HAY_NUMBER_BYTES_MAX], back[4];

	assert_true(hay_get_be(wire, 3) == 0x112233 && hay_get_le(wire, 3) == 0x332211 && hay_get_le(wire, 0) == 0);
	for (size_t i = 0; i < ELEMENTS(orders); i++) {
		assert_int_equal(hay_byte_order(orders[i].letters, 4, order), 0);
		assert_true(hay_get_ordered(wire, 4, order) == orders[i].number);
		hay_put_ordered(back, 4, order, orders[i].number);
		assert_memory_equal(back, wire, 4);
	}
	for (size_t i = 0; i < ELEMENTS(wrong); i++)
		assert_int_equal(hay_byte_order(wrong[i], 4, order), -EINVAL);
	assert_int_equal(hay_byte_order(NULL, 9, order), -EINVAL);
	hay_put_le(back, 2, 0xabcd);
	hay_put_be(back + 2, 2, 0xabcd);
	assert_memory_equal(back, ((uint8_t[]){0xcd, 0xab, 0xab, 0xcd}), 4);
	assert_true(hay_sign_extend(0xffffff, 3) == -1 && hay_sign_extend(0x7fffff, 3) == 0x7fffff);
	assert_true(hay_sign_extend(UINT64_MAX, 8) == -1);
	assert_true(hay_float_of_bits(0x3f800000) == 1 && hay_bits_of_float(1) == 0x3f800000);
	assert_true(hay_double_of_bits(hay_bits_of_double(-0.1)) == -0.1);
}

/* Text that is no UTF-8 is garbage to every reader of JSON: overlong forms, halves of pairs, cut ends. */
static void only_utf8_is_utf8(void **state _unused_)
{
	static const char *const right[] = {
		"", "21 °C", "\xef\xbf\xbf", "\xf4\x8f\xbf\xbf", "\xed\x9f\xbf", "\xe0\xa0\x80"};
	static const char *const wrong[] = {"\xb0",
					    "\xc0\xaf",
					    "\xe0\x9f\xbf",
					    "\xed\xa0\x80",
					    "\xf0\x8f\xbf\xbf",
					    "\xf4\x90\x80\x80",
					    "\xf5\x80\x80\x80",
					    "abc\xc3",
					    "\xe2\x82",
					    "\xc3\x28"};

	for (size_t i = 0; i < ELEMENTS(right); i++)
		assert_true(hay_is_utf8(right[i], strlen(right[i])));
	for (size_t i = 0; i < ELEMENTS(wrong); i++)
		assert_false(hay_is_utf8(wrong[i], strlen(wrong[i])));
	assert_true(hay_is_utf8("a\0b", 3)); /* a zero is a character */
	assert_int_equal(hay_utf8_length("\xe2\x82\xac!", 4), 3);
}

static void hex_is_read_and_printed(void **state _unused_)
{
	char text[9];

	for (int byte = 0; byte < 256; byte++) {
		hay_hex_print(&(uint8_t){(uint8_t)byte}, 1, text);
		assert_int_equal(hay_hex_byte(text), byte);
	}
	hay_hex_print("\xde\xad\xbe\xef", 4, text);
	assert_string_equal(text, "deadbeef");
	assert_int_equal(hay_hex_byte("AF"), 0xaf);
	assert_int_equal(hay_hex_byte(""), -1);
	assert_int_equal(hay_hex_byte("a"), -1);
	assert_int_equal(hay_hex_byte("g0"), -1);
	assert_int_equal(hay_hex_digit('@'), -1); /* between the digits and the letters */
	assert_int_equal(hay_hex_digit('`'), -1);
}

/* A plugin mixes times of both: samples of a probe and pauses of the host are on one clock. */
static void the_clock_is_the_hosts(void **state _unused_)
{
	uint64_t before = clock_now(), now = hay_now();

	assert_true(before <= now && now <= clock_now());
}

static void pauses_double_up_to_a_bound(void **state _unused_)
{
	uint64_t pause = 0, random = 1, least = UINT64_MAX, most = 0;
	static const uint64_t expected[] = {1, 2, 4, 8, 16, 32, 60, 60};

	for (size_t i = 0; i < ELEMENTS(expected); i++) {
		pause = hay_backoff_next(pause, 1, 60);
		assert_int_equal(pause, expected[i]);
	}
	for (int i = 0; i < 2000; i++) {
		uint64_t spread = hay_backoff_spread(1000000, &random);

		least = MIN(least, spread);
		most = MAX(most, spread);
	}
	assert_in_range(least, 800000, 810000);
	assert_in_range(most, 1190000, 1200000);
}

/* A fault that repeats fills the log, or is forgotten in silence: it is said, counted, and the count is said. */
static void repeats_are_counted(void **state _unused_)
{
	struct hay_rate_limit limit = {0};
	uint64_t suppressed;

	assert_true(hay_rate_limit_allows(&limit, 2, 100, 0, &suppressed)); /* the first moment of a clock counts too */
	assert_true(hay_rate_limit_allows(&limit, 2, 100, 1, &suppressed));
	for (int i = 0; i < 5; i++)
		assert_false(hay_rate_limit_allows(&limit, 2, 100, 99, &suppressed));
	hay_rate_limit_suppress(&limit, 3);
	assert_true(hay_rate_limit_allows(&limit, 2, 100, 100, &suppressed));
	assert_int_equal(suppressed, 8);
	assert_true(hay_rate_limit_allows(&limit, 2, 100, 199, &suppressed));
	assert_int_equal(suppressed, 0);
	assert_false(hay_rate_limit_allows(&limit, 2, 100, 199, &suppressed));
	assert_int_equal(hay_rate_limit_take(&limit), 1);
	assert_int_equal(hay_rate_limit_take(&limit), 0);
	assert_true(hay_rate_limit_allows(&limit, 2, 100, 300, &suppressed));
	assert_int_equal(suppressed, 0); /* said already */
}

static int listen_here(char port[8])
{
	struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t size = sizeof(address);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_true(fd >= 0);
	assert_int_equal(bind(fd, (struct sockaddr *)&address, size), 0);
	assert_int_equal(listen(fd, 1), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&address, &size), 0);
	snprintf(port, 8, "%u", ntohs(address.sin_port));
	return fd;
}

static void connects_or_says_why_not(void **state _unused_)
{
	enum hay_reason reason = HAY_NO_REASON;
	const char *detail = NULL;
	char port[8];
	int listener = listen_here(port);
	int fd = hay_connect("127.0.0.1", port, "unknown", 5 * USEC_PER_SEC, clock_now, &reason, &detail);

	assert_true(fd >= 0);
	close(fd);
	close(listener);
	assert_int_equal(hay_connect("127.0.0.1", port, "unknown", 5 * USEC_PER_SEC, clock_now, &reason, &detail), -1);
	assert_int_equal(reason, HAY_REFUSED);
	assert_string_equal(detail, "connection refused");
	assert_int_equal(hay_connect("no such host", port, "unknown", USEC_PER_SEC, clock_now, &reason, &detail), -1);
	assert_int_equal(reason, HAY_OFFLINE);
	assert_string_equal(detail, "unknown");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(whole_numbers_fit_or_are_refused),
		cmocka_unit_test(doubles_become_values_or_are_refused),
		cmocka_unit_test(values_become_doubles),
		cmocka_unit_test(bytes_in_every_order),
		cmocka_unit_test(only_utf8_is_utf8),
		cmocka_unit_test(hex_is_read_and_printed),
		cmocka_unit_test(the_clock_is_the_hosts),
		cmocka_unit_test(pauses_double_up_to_a_bound),
		cmocka_unit_test(repeats_are_counted),
		cmocka_unit_test(connects_or_says_why_not),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
