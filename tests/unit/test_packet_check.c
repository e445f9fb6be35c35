/* SPDX-License-Identifier: Apache-2.0 */
/* What a broker may send, and what it may not: libmosquitto aborts over some of it, or takes as much memory as the broker says. */
#include "upstream/packet_check.h"
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

enum { V5 = 1, GREETED = 2 };

/* In hexadecimal, spaces allowed. A copy of its own size, so that a read past its end is seen. */
static uint8_t *bytes(const char *hex, size_t *ret_size)
{
	uint8_t *data = malloc(strlen(hex) + 1);
	size_t n = 0;
	for (; *hex; hex++) {
		unsigned value;
		if (*hex == ' ')
			continue;
		assert_int_equal(sscanf(hex, "%2x", &value), 1);
		data[n++] = (uint8_t)value;
		hex++;
	}
	*ret_size = n;
	data = realloc(data, n ? n : 1);
	assert_non_null(data);
	return data;
}

static int check(const char *hex, unsigned how, struct packet *packet, struct reason *reason)
{
	size_t size;
	uint8_t *data = bytes(hex, &size);
	reason->text[0] = '\0';
	int r = packet_check(data, size, how & V5, how & GREETED, packet, reason);
	if (r == 1 && packet->size != size)
		fail_msg("%s: taken for %zu bytes", hex, packet->size);
	/* A part of what is well-formed is a part, and nothing worse. */
	for (size_t n = 0; r == 1 && n < size; n++) {
		uint8_t *part = malloc(n + 1);
		struct packet other;
		memcpy(part, data, n);
		part = realloc(part, n ? n : 1);
		if (packet_check(part, n, how & V5, how & GREETED, &other, reason) != 0)
			fail_msg("%s: its first %zu bytes: %s", hex, n, reason->text);
		free(part);
	}
	free(data);
	return r;
}

static void test_well_formed(void **state _unused_)
{
	static const struct {
		unsigned how;
		enum packet_type type;
		const char *hex;
	} cases[] = {
		{0, PACKET_CONNACK, "20 02 00 00"},
		{0, PACKET_CONNACK, "20 02 01 05"},
		{V5, PACKET_CONNACK, "20 03 00 00 00"},
		{V5, PACKET_CONNACK, "20 02 00 01"}, /* a broker of 3.1.1 that refuses version 5 */
		{V5, PACKET_CONNACK, "20 06 00 00 03 21 00 05"},
		{V5, PACKET_CONNACK, "20 0d 00 00 0a 13 00 0c 24 00 25 00 22 00 0a"},
		{V5, PACKET_CONNACK, "20 11 00 87 0e 1f 00 02 6e 6f 26 00 01 61 00 01 62 28 01"},
		{V5, PACKET_CONNACK, "20 11 00 00 0e 26 00 01 61 00 01 62 26 00 01 61 00 01 62"},
		{GREETED, PACKET_PUBLISH, "30 05 00 01 61 68 69"},
		{GREETED, PACKET_PUBLISH, "30 03 00 01 61"},
		{GREETED, PACKET_PUBLISH, "3b 07 00 01 61 00 07 68 69"},
		{V5 | GREETED, PACKET_PUBLISH, "32 0d 00 01 61 00 07 05 02 00 00 00 3c 68 69"},
		{V5 | GREETED, PACKET_PUBLISH, "30 08 00 01 61 04 0b 05 0b 06"},
		{GREETED, PACKET_PUBACK, "40 02 00 01"},
		{V5 | GREETED, PACKET_PUBACK, "40 02 00 01"},
		{V5 | GREETED, PACKET_PUBACK, "40 03 00 01 97"},
		{V5 | GREETED, PACKET_PUBACK, "40 08 00 01 97 04 1f 00 01 6e"},
		{GREETED, PACKET_PUBREL, "62 02 00 01"},
		{GREETED, PACKET_SUBACK, "90 03 00 01 80"},
		{V5 | GREETED, PACKET_SUBACK, "90 04 00 01 00 01"},
		{GREETED, PACKET_UNSUBACK, "b0 02 00 01"},
		{GREETED, PACKET_PINGRESP, "d0 00"},
		{V5 | GREETED, PACKET_DISCONNECT, "e0 00"},
		{V5 | GREETED, PACKET_DISCONNECT, "e0 01 8b"},
		{V5 | GREETED, PACKET_DISCONNECT, "e0 06 9c 04 1c 00 01 78"},
	};
	for (size_t i = 0; i < ELEMENTS(cases); i++) {
		struct packet packet;
		struct reason reason;
		if (check(cases[i].hex, cases[i].how, &packet, &reason) != 1)
			fail_msg("%s: %s", cases[i].hex, reason.text);
		assert_int_equal(packet.type, cases[i].type);
		assert_false(packet.too_large);
	}
}

static void test_refused_in_words(void **state _unused_)
{
	static const struct {
		unsigned how;
		const char *hex, *words;
	} cases[] = {
		{V5, "20 07 00 00 04 ff 01 02 03", "the broker sent an unknown property 0xff in CONNACK"},
		{V5, "20 05 00 00 02 00 01", "the broker sent an unknown property 0x00 in CONNACK"},
		{V5 | GREETED, "40 09 00 01 00 05 7f 00 00 00 00", "an unknown property 0x7f in PUBACK"},
		{V5, "20 05 00 00 02 01 00", "the property 0x01 in CONNACK, where it is not allowed"},
		{V5 | GREETED, "30 08 00 01 61 03 21 00 05 68",
		 "the property 0x21 in PUBLISH, where it is not allowed"},
		{V5, "20 05 00 00 02 17 01", "the property 0x17 in CONNACK, where it is not allowed"},
		{V5, "20 09 00 00 06 21 00 05 21 00 05", "the property 0x21 twice in one CONNACK"},
		{V5, "20 05 00 00 02 24 02", "the property 0x24 of CONNACK with the value 2; it can be 0 or 1"},
		{V5, "20 05 00 00 02 21 00", "a CONNACK that ends in the middle of a field"},
		{V5, "20 05 00 00 7f 21 00", "a CONNACK that ends in the middle of a field"},
		{V5, "20 07 00 00 04 1f 00 05 61", "a CONNACK that ends in the middle of a field"},
		{V5, "20 07 00 00 04 1f 00 01 ff", "a CONNACK with text that is not UTF-8"},
		{V5, "20 07 00 00 ff ff ff ff 01", "a CONNACK that ends in the middle of a field"},
		{V5, "20 02 00 05", "a CONNACK that ends in the middle of a field"},
		{V5, "20 04 00 00 00 00", "a CONNACK that is 1 bytes too long"},
		{0, "20 03 00 00 00", "a CONNACK that is 1 bytes too long"},
		{0, "20 02 02 00", "a CONNACK with unknown flags 0x02"},
		{0, "21 02 00 00", "a CONNACK with the flags 0x1"},
		{0, "20 ff ff ff ff", "a CONNACK with an invalid length"},
		{0, "20 ff ff ff 7f", "a CONNACK of "},
		{GREETED, "20 02 00 00", "the broker sent a second CONNACK"},
		{0, "40 02 00 01", "the broker sent a PUBACK before CONNACK"},
		{GREETED, "10 00", "the broker sent CONNECT, which a broker must not send"},
		{V5 | GREETED, "f0 00", "the broker sent AUTH, which a broker must not send"},
		{GREETED, "00 00", "the broker sent packet 0, which a broker must not send"},
		{GREETED, "36 07 00 01 61 00 07 68 69", "a PUBLISH with QoS 3"},
		{GREETED, "30 01 00", "a PUBLISH that ends in the middle of a field"},
		{GREETED, "30 03 00 05 61", "a PUBLISH that ends in the middle of a field"},
		{GREETED, "32 04 00 01 61 00", "a PUBLISH that ends in the middle of a field"},
		{GREETED, "32 05 00 01 61 00 00", "a PUBLISH with the packet identifier 0"},
		{GREETED, "30 03 00 01 23", "a PUBLISH with a topic that is not allowed"},
		{GREETED, "30 03 00 01 ff", "a PUBLISH with a topic that is not allowed"},
		{GREETED, "30 03 00 01 00", "a PUBLISH with a topic that is not allowed"},
		{V5 | GREETED, "30 06 00 00 03 23 00 01", "a PUBLISH with a topic that is not allowed"},
		{GREETED, "40 02 00 00", "a PUBACK with the packet identifier 0"},
		{GREETED, "40 03 00 01 00", "a PUBACK that is 1 bytes too long"},
		{GREETED, "60 02 00 01", "a PUBREL with the flags 0x0"},
		{GREETED, "90 02 00 01", "a SUBACK that ends in the middle of a field"},
		{GREETED, "d0 01 00", "a PINGRESP that is 1 bytes too long"},
		{GREETED, "e0 00", "a DISCONNECT, which MQTT 3.1.1 leaves to the client"},
		{V5 | GREETED, "e0 05 8b 03 21 00 05", "the property 0x21 in DISCONNECT, where it is not allowed"},
	};
	for (size_t i = 0; i < ELEMENTS(cases); i++) {
		struct packet packet;
		struct reason reason;
		if (check(cases[i].hex, cases[i].how, &packet, &reason) != -EBADMSG)
			fail_msg("%s was taken", cases[i].hex);
		if (!strstr(reason.text, cases[i].words))
			fail_msg("%s: \"%s\" instead of \"%s\"", cases[i].hex, reason.text, cases[i].words);
	}
}

/* 256 MB announced: known, and what it is, from its first bytes. */
static void test_too_large(void **state _unused_)
{
	struct packet packet;
	struct reason reason;
	size_t size;
	uint8_t *data = bytes("3b ff ff ff 7f 00 03 61 2f 62 12 34 78", &size);
	assert_int_equal(packet_check(data, size, false, true, &packet, &reason), 1);
	assert_true(packet.too_large);
	assert_int_equal(packet.size, 5 + 268435455);
	assert_int_equal(packet.qos, 1);
	assert_int_equal(packet.mid, 0x1234);
	assert_int_equal(packet.topic_size, 3);
	assert_memory_equal(packet.topic, "a/b", 3);
	/* Not before its identifier, which it is acknowledged by. */
	assert_int_equal(packet_check(data, 11, false, true, &packet, &reason), 0);
	free(data);

	/* The largest that is kept. */
	data = calloc(1, PACKET_SIZE_MAX + 1);
	size_t length = PACKET_SIZE_MAX - 4;
	const uint8_t head[] = {0x30,
				(uint8_t)(length & 0x7f) | 0x80,
				(uint8_t)(length >> 7 & 0x7f) | 0x80,
				(uint8_t)(length >> 14),
				0,
				1,
				'a'};
	memcpy(data, head, sizeof(head));
	assert_int_equal(packet_check(data, PACKET_SIZE_MAX - 1, false, true, &packet, &reason), 0);
	assert_int_equal(packet_check(data, PACKET_SIZE_MAX, false, true, &packet, &reason), 1);
	assert_false(packet.too_large);
	data[1]++;
	assert_int_equal(packet_check(data, PACKET_SIZE_MAX, false, true, &packet, &reason), 1);
	assert_true(packet.too_large);
	free(data);
}

static void test_without_properties(void **state _unused_)
{
	static const uint8_t expected[] = {0x40, 3, 0, 7, 0x97};
	struct packet packet;
	struct reason reason;
	uint8_t ack[PACKET_ACK_SIZE];
	size_t size;
	uint8_t *data = bytes("40 08 00 07 97 04 1f 00 01 6e", &size);
	assert_int_equal(packet_check(data, size, true, true, &packet, &reason), 1);
	assert_true(packet_without_properties(&packet, data, ack));
	assert_memory_equal(ack, expected, sizeof(expected));
	assert_int_equal(packet_check(expected, sizeof(expected), true, true, &packet, &reason), 1);
	assert_false(packet_without_properties(&packet, expected, ack));
	free(data);
}

/* A length in more bytes than it takes made a short acknowledgement look like one with a reason: its byte was read past the end. */
static void test_a_long_length_of_a_short_acknowledgement(void **state _unused_)
{
	static const uint8_t data[] = {0x40, 0x82, 0x80, 0x00, 0x12, 0x34};
	struct packet packet;
	struct reason reason;
	uint8_t ack[PACKET_ACK_SIZE];

	assert_int_equal(packet_check(data, sizeof(data), true, true, &packet, &reason), 1);
	assert_int_equal(packet.size, sizeof(data));
	assert_false(packet_without_properties(&packet, data, ack));
}

static void test_foreign(void **state _unused_)
{
	static const char http[] = "HTTP/1.1 400 Bad Request\r\n";
	static const uint8_t alert[] = {0x15, 3, 1, 0, 2, 2, 50}, connack[] = {0x20, 2, 0, 0};
	struct reason reason;
	for (int tls = 0; tls < 2; tls++) {
		assert_true(packet_is_foreign((const uint8_t *)http, sizeof(http) - 1, tls, &reason));
		assert_non_null(strstr(reason.text, "a web server answers there"));
	}
	assert_true(packet_is_foreign(alert, sizeof(alert), false, &reason));
	assert_non_null(strstr(reason.text, "mqtts://"));
	assert_false(packet_is_foreign(alert, sizeof(alert), true, &reason));
	assert_true(packet_is_foreign(connack, sizeof(connack), true, &reason));
	assert_non_null(strstr(reason.text, "does not speak TLS on this port"));
	assert_false(packet_is_foreign(connack, sizeof(connack), false, &reason));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_well_formed),
		cmocka_unit_test(test_refused_in_words),
		cmocka_unit_test(test_too_large),
		cmocka_unit_test(test_without_properties),
		cmocka_unit_test(test_a_long_length_of_a_short_acknowledgement),
		cmocka_unit_test(test_foreign),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
