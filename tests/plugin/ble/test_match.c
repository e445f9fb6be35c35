/* SPDX-License-Identifier: Apache-2.0 */
/* Whose advertisement it is, and values at a place in bytes. */
#include "../../../plugins/ble/binary.h"
#include "../../../plugins/ble/match.h"
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

static struct ble_address address(const char *text)
{
	struct ble_address result;

	assert_int_equal(address_parse(text, &result), 0);
	return result;
}

/* Core specification 5.4, vol 3 part H appendix D.7. */
static void random_address_hash(void **state)
{
	static const uint8_t irk[16] = {0xec, 0x02, 0x34, 0xa3, 0x57, 0xc8, 0xad, 0x05,
					0x34, 0x10, 0x10, 0xa6, 0x0a, 0x39, 0x7d, 0x9b};
	uint32_t hash;

	(void)state;
	assert_int_equal(irk_hash(irk, 0x708194, &hash), 0);
	assert_int_equal(hash, 0x0dfbaa);
}

static void private_address_is_resolved(void **state)
{
	static const uint8_t irk[16] = {0xec, 0x02, 0x34, 0xa3, 0x57, 0xc8, 0xad, 0x05,
					0x34, 0x10, 0x10, 0xa6, 0x0a, 0x39, 0x7d, 0x9b};
	struct ble_address good = address("70:81:94:0D:FB:AA"), other = address("70:81:94:0D:FB:AB"),
			   fixed = address("F0:81:94:0D:FB:AA");
	uint8_t turned[16];

	(void)state;
	for (unsigned i = 0; i < 16; i++)
		turned[i] = irk[15 - i];
	assert_true(irk_resolves(irk, &good));
	assert_true(irk_resolves(turned, &good));
	assert_false(irk_resolves(irk, &other));
	assert_false(irk_resolves(irk, &fixed));

	/* Whose hash is right by chance: only one of a kind that is made with such a key can be meant. */
	for (unsigned kind = 0; kind < 4; kind++) {
		struct ble_address made = {.bytes = {(uint8_t)(kind << 6 | 0x30), 0x81, 0x94}};
		uint32_t hash;

		assert_int_equal(irk_hash(irk, (uint32_t)made.bytes[0] << 16 | 0x8194, &hash), 0);
		made.bytes[3] = (uint8_t)(hash >> 16);
		made.bytes[4] = (uint8_t)(hash >> 8);
		made.bytes[5] = (uint8_t)hash;
		assert_int_equal(irk_resolves(irk, &made), kind == 1);
	}
}

static void criteria_all_hold(void **state)
{
	struct advert advert = {0};
	struct uuid service = uuid_from_short(0xfcd2);
	struct match match = {.by_name = true, .name = "cellar"};

	(void)state;
	advert_clear(&advert);
	advert.name = "cellar";
	assert_int_equal(advert_add_service(&advert, &service, (const uint8_t *)"x", 1), 0);
	assert_int_equal(advert_add_manufacturer(&advert, 0x0499, (const uint8_t *)"x", 1), 0);
	assert_true(match_advert(&match, &advert));
	match.by_service = true;
	match.service = service;
	match.by_manufacturer = true;
	match.manufacturer = 0x0499;
	assert_true(match_advert(&match, &advert));
	match.manufacturer = 0x049a;
	assert_false(match_advert(&match, &advert));
	match.manufacturer = 0x0499;
	match.service = uuid_from_short(0xfcd3);
	assert_false(match_advert(&match, &advert));
	/* a service that is only listed counts as well */
	assert_int_equal(advert_add_uuid(&advert, &match.service), 0);
	assert_true(match_advert(&match, &advert));
	advert.name = NULL;
	assert_false(match_advert(&match, &advert));
	assert_false(match_advert(&(struct match){.by_name = false}, &advert));
	advert_done(&advert);
}

static void texts(void **state)
{
	struct ble_address parsed;
	struct uuid uuid, other;
	uint8_t bytes[3];
	char text[37];

	(void)state;
	assert_int_equal(address_of_path("/org/bluez/hci0/dev_A4_C1_38_00_00_01/service000a", &parsed), 0);
	address_print(&parsed, text);
	assert_string_equal(text, "A4:C1:38:00:00:01");
	assert_int_equal(address_of_path("/org/bluez/hci0", &parsed), -EINVAL);
	assert_int_equal(address_of_path("/org/bluez/hci0/dev_A4_C1", &parsed), -EINVAL);
	assert_int_equal(address_parse("A4:C1:38:00:00:0", &parsed), -EINVAL);
	assert_int_equal(address_parse("A4:C1:38:00:00:011", &parsed), -EINVAL);
	assert_int_equal(uuid_parse("0x181A", &uuid), 0);
	uuid_print(&uuid, text);
	assert_string_equal(text, "0000181a-0000-1000-8000-00805f9b34fb");
	assert_int_equal(uuid_parse(text, &other), 0);
	assert_true(uuid_equal(&uuid, &other));
	assert_int_equal(uuid_short(&other), 0x181a);
	assert_int_equal(uuid_parse("cba20d00-224d-11e6-9fb8-0002a5d5c51b", &uuid), 0);
	assert_int_equal(uuid_short(&uuid), 0);
	assert_int_equal(uuid_parse("cba20d00-224d-11e6-9fb8-0002a5d5c51", &uuid), -EINVAL);
	assert_int_equal(uuid_parse("cba20d00x224d-11e6-9fb8-0002a5d5c51b", &uuid), -EINVAL);
	assert_int_equal(hex_parse(" 0a:0B 0c\n", bytes, 3), 0);
	assert_memory_equal(bytes, "\x0a\x0b\x0c", 3);
	assert_int_equal(hex_parse("0a0b0c0d", bytes, 3), -EINVAL);
	assert_int_equal(hex_parse("0a0b0", bytes, 3), -EINVAL);
}

static void bytes_to_values(void **state)
{
	static const uint8_t data[] = {0x01, 0x02, 0x03, 0xff, 0x00, 0x00, 0x80, 0x3f};
	struct ble_binary_form form;
	struct hay_value value;
	uint8_t back[HAY_NUMBER_BYTES_MAX];

	(void)state;
	assert_int_equal(binary_form("uint16", NULL, &form), 0);
	assert_int_equal(binary_decode(&form, data, sizeof(data), 0, &value), 0);
	assert_int_equal(value.u, 0x0201);
	assert_int_equal(binary_form("uint16", "AB", &form), 0);
	assert_int_equal(binary_decode(&form, data, sizeof(data), 0, &value), 0);
	assert_int_equal(value.u, 0x0102);
	assert_int_equal(binary_form("int24", NULL, &form), 0);
	assert_int_equal(binary_decode(&form, data, sizeof(data), 1, &value), 0);
	assert_int_equal(value.i, -64766);
	assert_int_equal(binary_encode(&form, &value, back), 0);
	assert_memory_equal(back, data + 1, 3);
	assert_int_equal(binary_form("float32", NULL, &form), 0);
	assert_int_equal(binary_decode(&form, data, sizeof(data), 4, &value), 0);
	assert_true(value.f == 1.0f);
	assert_int_equal(binary_decode(&form, data, sizeof(data), 5, &value), -EBADMSG);
	assert_int_equal(binary_decode(&form, data, sizeof(data), 9, &value), -EBADMSG);
	assert_int_equal(binary_form("uint16", "AC", &form), -EDOM);
	assert_int_equal(binary_form("uint16", "AA", &form), -EDOM);
	assert_int_equal(binary_form("uint16", "ABCD", &form), -EDOM);
	assert_int_equal(binary_form("word", NULL, &form), -EINVAL);
	assert_int_equal(binary_form("uint8", NULL, &form), 0);
	assert_int_equal(binary_encode(&form, &(struct hay_value){.type = HAY_UINT16, .u = 256}, back), -ERANGE);
	assert_int_equal(binary_form("int8", NULL, &form), 0);
	assert_int_equal(binary_encode(&form, &(struct hay_value){.type = HAY_INT16, .i = -129}, back), -ERANGE);
	assert_int_equal(binary_encode(&form, &(struct hay_value){.type = HAY_INT16, .i = -128}, back), 0);
	assert_int_equal(back[0], 0x80);
}

static void values_convert(void **state)
{
	struct hay_value out;

	(void)state;
	assert_int_equal(value_convert(&(struct hay_value){.type = HAY_FLOAT64, .d = 20.6}, HAY_INT16, &out), 0);
	assert_int_equal(out.i, 21);
	assert_int_equal(value_convert(&(struct hay_value){.type = HAY_FLOAT64, .d = -1}, HAY_UINT16, &out), -ERANGE);
	assert_int_equal(value_convert(&(struct hay_value){.type = HAY_FLOAT64, .d = 0.0 / 0.0}, HAY_INT64, &out),
			 -ERANGE);
	assert_int_equal(value_convert(&(struct hay_value){.type = HAY_BOOL, .b = true}, HAY_FLOAT64, &out), 0);
	assert_true(out.d == 1);
	assert_int_equal(value_convert(&(struct hay_value){.type = HAY_UINT16, .u = 0}, HAY_BOOL, &out), 0);
	assert_false(out.b);
	assert_int_equal(value_convert(&(struct hay_value){.type = HAY_STRING}, HAY_FLOAT64, &out), -EINVAL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(random_address_hash), cmocka_unit_test(private_address_is_resolved),
		cmocka_unit_test(criteria_all_hold),   cmocka_unit_test(texts),
		cmocka_unit_test(bytes_to_values),     cmocka_unit_test(values_convert),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
