/* SPDX-License-Identifier: Apache-2.0 */
/* What is sent: escapes, values, checksums as frames have them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "../../../plugins/serial/template.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>

static void expect(const char *template, const struct hay_value *value, const struct frame_rules *rules,
		   const char *sent, size_t size)
{
	struct bytes bytes;

	assert_int_equal(template_fill(template, value, rules, &bytes), 0);
	assert_int_equal(bytes.size, size);
	assert_memory_equal(bytes.data, sent, size);
	free(bytes.data);
}
#define EXPECT(template, value, rules, sent) expect(template, value, rules, sent, sizeof(sent) - 1)

static void values(void **state)
{
	const struct frame_rules rules = {.kind = FRAME_LINE, .delimiter = {"\n", 1}};
	struct hay_value value = {.type = HAY_INT16, .i = -7};
	struct bytes bytes;

	(void)state;
	EXPECT("\\x02S{value},{value}\\r\\n", &value, &rules, "\x02S-7,-7\r\n");
	EXPECT("{value}{checksum}", NULL, &rules, "{value}{checksum}");
	value = (struct hay_value){.type = HAY_FLOAT32, .f = 0.1f};
	EXPECT("{value}", &value, &rules, "0.1");
	value = (struct hay_value){.type = HAY_STRING, .s = {"{checksum}", 10}};
	EXPECT("{value}", &value, &rules, "{checksum}");
	value.s.size = 0;
	EXPECT("<{value}>", &value, &rules, "<>");
	value = (struct hay_value){.type = HAY_STRING, .s = {"a\rb", 3}};
	assert_int_equal(template_fill("{value}", &value, &rules, &bytes), -EINVAL);
	assert_int_equal(template_fill("\\q", NULL, &rules, &bytes), -EINVAL);
}

/* What is sent reads back as the number that was asked for: with fewer digits a device was set to its neighbour. */
static void numbers_read_back(void **state)
{
	static const float floats[] = {0.1f, 1.2345678f, 16777215, -3.4e38f, 1.17549435e-38f, 1.0f / 3};
	static const double doubles[] = {0.1, 1.0 / 3, -1.7976931348623157e308, 123456789.12345679, 5e-324};
	const struct frame_rules rules = {.kind = FRAME_LINE, .delimiter = {"\n", 1}};

	(void)state;
	for (size_t i = 0; i < sizeof(floats) / sizeof(floats[0]); i++) {
		struct hay_value value = {.type = HAY_FLOAT32, .f = floats[i]};
		struct bytes bytes;

		assert_int_equal(template_fill("{value}\\0", &value, &rules, &bytes), 0);
		assert_true(strtof((const char *)bytes.data, NULL) == floats[i]);
		free(bytes.data);
	}
	for (size_t i = 0; i < sizeof(doubles) / sizeof(doubles[0]); i++) {
		struct hay_value value = {.type = HAY_FLOAT64, .d = doubles[i]};
		struct bytes bytes;

		assert_int_equal(template_fill("{value}\\0", &value, &rules, &bytes), 0);
		assert_true(strtod((const char *)bytes.data, NULL) == doubles[i]);
		free(bytes.data);
	}
}

/* Each is what a framer with the same rules takes: see test_frame. */
static void checksums(void **state)
{
	struct frame_rules rules = {.kind = FRAME_LINE,
				    .delimiter = {"\n", 1},
				    .start = {"\x02", 1},
				    .end = {"\x03", 1},
				    .checksum = CHECKSUM_XOR,
				    .checksum_hex = true};
	struct hay_value value = {.type = HAY_STRING, .s = {"b", 1}};

	(void)state;
	EXPECT("a{value}c*{checksum}\\n", &value, &rules, "abc*60\n");
	EXPECT("abc{checksum}\\n", NULL, &rules, "abc60\n");
	rules.checksum = CHECKSUM_CRC16_MODBUS;
	EXPECT("123456789{checksum}\\n", NULL, &rules, "1234567894B37\n");
	rules.checksum_hex = false;
	rules.kind = FRAME_FIXED;
	EXPECT("123456789{checksum}", NULL, &rules, "123456789\x37\x4b");
	rules.kind = FRAME_STX_ETX;
	rules.checksum = CHECKSUM_XOR;
	EXPECT("\\x02\x61\x62\x63{checksum}\\x03", NULL, &rules, "\x02\x61\x62\x63\x60\x03");
	rules.checksum_after = true;
	EXPECT("\\x02\x61\x62\x63\\x03{checksum}", NULL, &rules, "\x02\x61\x62\x63\x03\x60");
	rules.checked = CHECKED_END;
	EXPECT("\\x02\x61\x62\x63\\x03{checksum}", NULL, &rules, "\x02\x61\x62\x63\x03\x63");
	rules.checked = CHECKED_MARKS;
	EXPECT("\\x02\x61\x62\x63\\x03{checksum}", NULL, &rules, "\x02\x61\x62\x63\x03\x61");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(values),
		cmocka_unit_test(numbers_read_back),
		cmocka_unit_test(checksums),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
