/* SPDX-License-Identifier: Apache-2.0 */
/* What becomes of advertisements that come too early, one value in each, and whose counter begins anew. */
#include "../../../plugins/ble/ble.h"
#include "../fake_host.h"
#include <openssl/evp.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

extern const struct hay_plugin hay_plugin;

#define ADDRESS "A4:C1:38:00:00:01"

enum { TEMPERATURE, HUMIDITY, TEXT };

struct bench {
	struct fake_host *host;
	struct hay_device *device;
	struct ble_link *link;
	uint8_t packet;
};

static struct bench bench_new(const char *interval)
{
	struct bench bench = {.host = fake_host_new(&hay_plugin, FAKE_INLINE)};
	struct hay_link *link = fake_link(bench.host, "radio", NULL);

	fake_stop_time(bench.host);
	bench.device = fake_device(link, "cellar", "address", ADDRESS, "interval", interval, NULL);
	fake_point(bench.device, "temperature", "float64", 0, NULL);
	fake_point(bench.device, "humidity", "float64", 0, NULL);
	fake_point(bench.device, "text", "string", 0, NULL);
	assert_int_equal(fake_open(link), 0);
	assert_int_equal(fake_start(bench.device), 0);
	bench.link = link->state;
	fake_advance(bench.host, 100 * SECOND_US);
	return bench;
}

static void say(struct bench *bench, const void *data, size_t size)
{
	struct advert *advert = &bench->link->advert;
	struct uuid uuid = uuid_from_short(0xfcd2);

	advert_clear(advert);
	assert_int_equal(address_parse(ADDRESS, &advert->address), 0);
	advert->rssi = RSSI_UNKNOWN;
	assert_int_equal(advert_add_service(advert, &uuid, data, size), 0);
	listen_advert(bench->link, true);
}

/* One object of BTHome, with the next packet id. */
static void say_object(struct bench *bench, const char *object, size_t size)
{
	uint8_t bytes[32] = {0x40, 0x00, ++bench->packet};

	memcpy(bytes + 3, object, size);
	say(bench, bytes, size + 3);
}

static void say_temperature(struct bench *bench, int16_t hundredths)
{
	say_object(bench, (char[]){0x02, (char)(hundredths & 0xff), (char)(hundredths >> 8)}, 3);
}

static void say_humidity(struct bench *bench, uint16_t hundredths)
{
	say_object(bench, (char[]){0x03, (char)(hundredths & 0xff), (char)(hundredths >> 8)}, 3);
}

/* A battery level: no point is told of it. */
static void say_battery(struct bench *bench, char percent)
{
	say_object(bench, (char[]){0x01, percent}, 2);
}

/* What was emitted next has these values; NAN: it has not that point. */
static const struct fake_event *check_emitted(struct bench *bench, double temperature, double humidity)
{
	const struct fake_event *event = fake_take(bench->host, FAKE_EMIT);
	const double values[] = {temperature, humidity};

	assert_non_null(event);
	for (uint32_t i = 0; i < 2; i++) {
		const struct hay_reading *reading = fake_reading(event, i);

		if (values[i] != values[i]) {
			assert_null(reading);
			continue;
		}
		assert_non_null(reading);
		assert_float_equal(reading->value.d, values[i], 1e-9);
	}
	return event;
}

#define NONE __builtin_nan("")

static void one_value_in_each(void **state)
{
	struct bench bench = bench_new("10s");

	(void)state;
	say_temperature(&bench, 2000);
	check_emitted(&bench, 20, NONE);
	for (int round = 1; round < 4; round++) {
		fake_advance(bench.host, 1 * SECOND_US);
		say_temperature(&bench, (int16_t)(2000 + round * 100));
		fake_advance(bench.host, 1 * SECOND_US);
		say_humidity(&bench, (uint16_t)(5000 + round * 100));
		say_object(&bench, "\x53\x02hi", 4);
		fake_advance(bench.host, 1 * SECOND_US);
		say_battery(&bench, (char)(90 - round));
		assert_null(fake_take(bench.host, FAKE_EMIT));
		fake_advance(bench.host, 7 * SECOND_US);

		const struct fake_event *event = check_emitted(&bench, 20 + round, 50 + round);
		const struct hay_reading *text = fake_reading(event, TEXT);

		assert_non_null(text);
		assert_int_equal(text->value.s.size, 2);
		assert_memory_equal(text->value.s.data, "hi", 2);
		assert_null(fake_take(bench.host, FAKE_EMIT));
	}
	fake_host_free(bench.host);
}

/* A freezer at minus five was 650 degrees. */
static void below_zero(void **state)
{
	struct bench bench = bench_new("10s");

	(void)state;
	say_temperature(&bench, -500);
	check_emitted(&bench, -5, NONE);
	fake_host_free(bench.host);
}

/* Without a packet id the same once more is a repeat of the radio; after a minute it is a measurement like the last. */
static void the_same_again_after_a_minute(void **state)
{
	static const uint8_t bytes[] = {0x40, 0x02, 0xd0, 0x07};
	struct bench bench = bench_new("1s");

	(void)state;
	say(&bench, bytes, sizeof(bytes));
	check_emitted(&bench, 20, NONE);
	fake_advance(bench.host, 30 * SECOND_US);
	say(&bench, bytes, sizeof(bytes));
	assert_null(fake_take(bench.host, FAKE_EMIT));
	fake_advance(bench.host, 31 * SECOND_US);
	say(&bench, bytes, sizeof(bytes));
	check_emitted(&bench, 20, NONE);
	fake_host_free(bench.host);
}

/* What does not fit the type that a point was given is bad, and not the nearest that does. */
static void a_value_that_does_not_fit_its_point(void **state)
{
	static const uint8_t bytes[] = {0x40, 0x05, 0x40, 0x4b, 0x4c}; /* 50000 lx */
	struct fake_host *host = fake_host_new(&hay_plugin, FAKE_INLINE);
	struct hay_link *link = fake_link(host, "radio", NULL);
	struct bench bench = {.host = host};
	const struct fake_event *event;

	(void)state;
	fake_stop_time(host);
	bench.device = fake_device(link, "cellar", "address", ADDRESS, NULL);
	fake_point(bench.device, "illuminance", "int16", 0, NULL);
	assert_int_equal(fake_open(link), 0);
	assert_int_equal(fake_start(bench.device), 0);
	bench.link = link->state;
	say(&bench, bytes, sizeof(bytes));
	event = fake_take(host, FAKE_EMIT);
	assert_non_null(event);
	assert_int_equal(fake_reading(event, 0)->quality, HAY_BAD);
	assert_int_equal(fake_reading(event, 0)->reason, HAY_OUT_OF_RANGE);
	fake_host_free(host);
}

static void say_from(struct bench *bench, const char *address, int16_t hundredths)
{
	struct advert *advert = &bench->link->advert;
	struct uuid uuid = uuid_from_short(0xfcd2);
	const uint8_t bytes[] = {0x40, 0x02, (uint8_t)hundredths, (uint8_t)(hundredths >> 8)};

	advert_clear(advert);
	assert_int_equal(address_parse(address, &advert->address), 0);
	advert->rssi = RSSI_UNKNOWN;
	advert->name = "cellar";
	assert_int_equal(advert_add_service(advert, &uuid, bytes, sizeof(bytes)), 0);
	listen_advert(bench->link, true);
}

/* Two thermometers of one name: the values of both were one series. The second is taken once the first is silent. */
static void a_second_device_of_that_name(void **state)
{
	struct fake_host *host = fake_host_new(&hay_plugin, FAKE_INLINE);
	struct hay_link *link = fake_link(host, "radio", NULL);
	struct bench bench = {.host = host};

	(void)state;
	fake_stop_time(host);
	bench.device = fake_device(link, "cellar", "match_name", "cellar", "interval", "1s", NULL);
	fake_point(bench.device, "temperature", "float64", 0, NULL);
	fake_point(bench.device, "humidity", "float64", 0, NULL);
	assert_int_equal(fake_open(link), 0);
	assert_int_equal(fake_start(bench.device), 0);
	bench.link = link->state;
	fake_advance(host, 100 * SECOND_US);
	say_from(&bench, ADDRESS, 2000);
	check_emitted(&bench, 20, NONE);
	fake_advance(host, 10 * SECOND_US);
	say_from(&bench, "A4:C1:38:00:00:02", 3000);
	assert_null(fake_take(host, FAKE_EMIT));
	say_from(&bench, ADDRESS, 2100);
	check_emitted(&bench, 21, NONE);
	fake_advance(host, 31 * SECOND_US);
	say_from(&bench, "A4:C1:38:00:00:02", 3000);
	check_emitted(&bench, 30, NONE);
	fake_host_free(host);
}

static void the_newest_of_each(void **state)
{
	struct bench bench = bench_new("10s");

	(void)state;
	say_temperature(&bench, 2000);
	check_emitted(&bench, 20, NONE);
	for (int16_t i = 1; i <= 5; i++) {
		say_temperature(&bench, (int16_t)(2000 + i));
		say_object(&bench, (char[]){0x53, 0x01, (char)('a' + i)}, 3);
	}
	fake_advance(bench.host, 10 * SECOND_US);
	assert_memory_equal(fake_reading(check_emitted(&bench, 20.05, NONE), TEXT)->value.s.data, "f", 1);
	/* held when the plugin is stopped: nothing comes of it, and nothing leaks */
	say_object(&bench, "\x53\x02no", 4);
	fake_host_free(bench.host);
}

/* A device that sends once in `interval` does so with jitter: a little early is in time, and brings what is held. */
static void a_little_early(void **state)
{
	struct bench bench = bench_new("10s");

	(void)state;
	say_temperature(&bench, 2000);
	check_emitted(&bench, 20, NONE);
	fake_advance(bench.host, 5 * SECOND_US);
	say_humidity(&bench, 5000);
	fake_advance(bench.host, 9 * SECOND_US / 2);
	say_battery(&bench, 50); /* brings nothing: what is held waits on */
	assert_null(fake_take(bench.host, FAKE_EMIT));
	say_temperature(&bench, 2100);
	check_emitted(&bench, 21, 50);
	fake_advance(bench.host, 9 * SECOND_US / 2);
	say_humidity(&bench, 5100);
	fake_advance(bench.host, 5 * SECOND_US);
	say_battery(&bench, 49);
	fake_advance(bench.host, SECOND_US);
	check_emitted(&bench, NONE, 51);
	/* A packet that told no point begins no interval: the next value goes up at once. */
	fake_advance(bench.host, 20 * SECOND_US);
	say_battery(&bench, 48);
	say_temperature(&bench, 2200);
	check_emitted(&bench, 22, NONE);
	fake_host_free(bench.host);
}

/* Its counter, as a decoder gives it: the tag of an encrypted advertisement is not the matter here. */
static bool counts(struct bench *bench, uint32_t counter)
{
	struct ble_device *device = bench->device->state;
	bool is_accepted = counter_accept(device, counter);

	if (is_accepted) {
		device->heard_us = device->link->host->now();
		device->is_lost = false;
	}
	return is_accepted;
}

static void pass(struct bench *bench, uint64_t seconds)
{
	fake_advance(bench->host, seconds * SECOND_US);
	listen_tick(bench->link, bench->link->host->now());
}

static bool is_told(struct bench *bench, const char *what)
{
	const struct fake_event *event;
	bool is = false;

	while ((event = fake_take(bench->host, FAKE_LOG)))
		is = is || strstr(event->text, what);
	return is;
}

/* It sends every 5 s, so that it has counted past 100 when it is believed to be lost: 10 min after the change. */
static void a_new_battery(void **state)
{
	struct bench bench = bench_new("1s");
	uint32_t counter = 0;

	(void)state;
	assert_true(counts(&bench, 70000));
	while (counter < 110) {
		pass(&bench, 5);
		assert_false(counts(&bench, ++counter));
	}
	pass(&bench, 60);
	assert_true(counts(&bench, counter + 12));
	assert_true(is_told(&bench, "counts anew, after 70000 from 1:"));
	assert_false(counts(&bench, counter)); /* it is one life now */
	assert_true(counts(&bench, counter + 13));
	fake_host_free(bench.host);
}

static void a_recording(void **state)
{
	struct bench bench = bench_new("1s");

	(void)state;
	assert_true(counts(&bench, 70000));
	/* While the device is heard, as often as anybody likes. */
	for (uint32_t i = 1; i < 200; i++) {
		pass(&bench, 5);
		assert_false(counts(&bench, i));
		assert_true(counts(&bench, 70000 + i));
	}
	/* What was begun while it was heard is not gone on with; and one that goes back begins again. */
	pass(&bench, 700);
	assert_false(counts(&bench, 60000));
	assert_true(is_told(&bench, "take the device out of the configuration, reload, put it back and reload"));
	assert_false(counts(&bench, 60001));
	assert_false(counts(&bench, 50000));
	assert_false(is_told(&bench, "take the device out"));
	assert_true(counts(&bench, 70300));
	fake_host_free(bench.host);
}

/* ---- repeats ---- */

static size_t n_emitted(struct bench *bench)
{
	size_t n = 0;

	while (fake_take(bench->host, FAKE_EMIT))
		n++;
	return n;
}

/* The field: the most used open firmware tells one measurement in two advertisements in turn under one packet id, and the
   second kind, with the voltage and the reed contact, never arrived. */
static void a_packet_id_with_other_content_is_no_repeat(void **state)
{
	static const char first[] = "\x40\x00\xb0\x02\x8d\x0a", second[] = "\x40\x00\xb0\x03\x8d\x11";
	struct bench bench = bench_new("0s");

	(void)state;
	say(&bench, first, 6);
	check_emitted(&bench, 27.01, NONE);
	say(&bench, first, 6);
	assert_int_equal(n_emitted(&bench), 0);
	say(&bench, second, 6);
	check_emitted(&bench, NONE, 44.93);
	for (int i = 0; i < 3; i++) { /* in turn, as they come in the air */
		say(&bench, first, 6);
		say(&bench, second, 6);
	}
	assert_int_equal(n_emitted(&bench), 0);
	/* The next measurement, of the same values. */
	say(&bench, "\x40\x00\xb1\x02\x8d\x0a", 6);
	check_emitted(&bench, 27.01, NONE);
	fake_host_free(bench.host);
}

/* A press is told once, however its packet is mixed with others of its id, and whatever else is heard with it. */
static void an_event_is_told_once(void **state)
{
	static const char press[] = "\x44\x00\x07\x3a\x01", battery[] = "\x44\x00\x07\x01\x60";
	struct fake_host *host = fake_host_new(&hay_plugin, FAKE_INLINE);
	struct bench bench = {.host = host};
	struct hay_link *link = fake_link(host, "radio", NULL);

	(void)state;
	fake_stop_time(host);
	bench.device = fake_device(link, "switch", "address", ADDRESS, "interval", "0s", NULL);
	assert_int_equal(fake_open(link), 0);
	assert_int_equal(fake_start(bench.device), 0);
	bench.link = link->state;
	for (int i = 0; i < 30; i++) {
		fake_advance(host, 10 * SECOND_US);
		say(&bench, press, 5);
		say(&bench, battery, 5);
		/* The scan response comes and goes. */
		if (i % 2)
			assert_int_equal(advert_add_manufacturer(&bench.link->advert, 0x0ba9, (uint8_t[]){1}, 1), 0);
	}
	const struct fake_event *event;
	size_t n_presses = 0;

	while ((event = fake_take(host, FAKE_EMIT)))
		for (size_t i = 0; i < event->sample.n_readings; i++)
			n_presses += event->sample.readings[i].value.type == HAY_STRING;
	assert_int_equal(n_presses, 1);
	fake_host_free(host);
}

static void say_sealed(struct bench *bench, const char *objects, int size, uint32_t counter)
{
	struct ble_device *device = bench->device->state;
	uint8_t data[64] = {0x41}, nonce[13] = {0xa4, 0xc1, 0x38, 0, 0, 1, 0xd2, 0xfc, 0x41};
	EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
	int n;

	for (unsigned i = 0; i < 4; i++)
		nonce[9 + i] = data[1 + size + (int)i] = (uint8_t)(counter >> 8 * i);
	assert_true(EVP_EncryptInit_ex(ctx, EVP_aes_128_ccm(), NULL, NULL, NULL));
	assert_true(EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_SET_IVLEN, 13, NULL));
	assert_true(EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_SET_TAG, 4, NULL));
	assert_true(EVP_EncryptInit_ex(ctx, NULL, NULL, device->key.bytes, nonce));
	assert_true(EVP_EncryptUpdate(ctx, data + 1, &n, (const uint8_t *)objects, size));
	assert_true(EVP_EncryptFinal_ex(ctx, data + 1 + n, &n));
	assert_true(EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_GET_TAG, 4, data + 5 + size));
	EVP_CIPHER_CTX_free(ctx);
	say(bench, data, (size_t)size + 9);
}

/* The same with a counter that is authenticated: each content once under it, and nothing under a lower one. */
static void a_counter_with_other_content_is_no_repeat(void **state)
{
	struct bench bench = bench_new("0s");
	struct ble_device *device = bench.device->state;

	(void)state;
	device->key.size = KEY_SIZE;
	say_sealed(&bench, "\x02\x8d\x0a", 3, 1000);
	check_emitted(&bench, 27.01, NONE);
	say_sealed(&bench, "\x03\x8d\x11", 3, 1000);
	check_emitted(&bench, NONE, 44.93);
	fake_advance(bench.host, 300 * SECOND_US); /* a counter stands for one moment, however late it is heard again */
	say_sealed(&bench, "\x02\x8d\x0a", 3, 1000);
	say_sealed(&bench, "\x03\x8d\x11", 3, 1000);
	assert_int_equal(n_emitted(&bench), 0);
	say_sealed(&bench, "\x02\x8d\x0b", 3, 999);
	assert_int_equal(n_emitted(&bench), 0);
	assert_true(is_told(&bench, "its counter went back"));
	say_sealed(&bench, "\x02\x8d\x0a", 3, 1001);
	check_emitted(&bench, 27.01, NONE);
	fake_host_free(bench.host);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_packet_id_with_other_content_is_no_repeat),
		cmocka_unit_test(an_event_is_told_once),
		cmocka_unit_test(a_counter_with_other_content_is_no_repeat),
		cmocka_unit_test(one_value_in_each),
		cmocka_unit_test(below_zero),
		cmocka_unit_test(the_same_again_after_a_minute),
		cmocka_unit_test(a_value_that_does_not_fit_its_point),
		cmocka_unit_test(a_second_device_of_that_name),
		cmocka_unit_test(the_newest_of_each),
		cmocka_unit_test(a_little_early),
		cmocka_unit_test(a_new_battery),
		cmocka_unit_test(a_recording),
	};

	/* No bus: what is heard is what the tests say. */
	setenv("DBUS_SYSTEM_BUS_ADDRESS", "unix:path=/nonexistent/bus", 1);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
