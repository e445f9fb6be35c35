/* SPDX-License-Identifier: Apache-2.0 */
/* One MQTT connection against a peer that does, byte by byte, what the test says. */
#include "base/clock.h"
#include "upstream/mqtt.h"
#include <arpa/inet.h>
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include <cmocka.h>

#define PATIENCE_MS 30000

struct peer {
	int listener, fd;
	struct resolved_address address;
	struct mqtt *mqtt;
	char command[32], oversized[64];
	int acknowledged;
	struct buf got; /* what came from the client */
};

static void published(void *userdata, int mid, unsigned reason _unused_)
{
	struct peer *peer = userdata;

	peer->acknowledged = mid;
}

static void received(void *userdata, const struct dialect_incoming *incoming)
{
	struct peer *peer = userdata;

	snprintf(peer->command, sizeof(peer->command), "%.*s", (int)incoming->size, (const char *)incoming->payload);
}

static void oversized(void *userdata, const char *topic, size_t topic_size, size_t size)
{
	struct peer *peer = userdata;

	snprintf(peer->oversized, sizeof(peer->oversized), "%.*s %zu", (int)topic_size, topic, size);
}

static const struct mqtt_events events = {.published = published, .received = received, .oversized = oversized};

static int peer_up(void **state)
{
	struct peer *peer = calloc(1, sizeof(*peer));
	struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t size = sizeof(address);
	int small = 4096;

	peer->fd = -1;
	peer->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	/* Inherited by what is accepted: the sender's kernel keeps what does not fit. */
	assert_int_equal(setsockopt(peer->listener, SOL_SOCKET, SO_RCVBUF, &small, sizeof(small)), 0);
	assert_int_equal(bind(peer->listener, (struct sockaddr *)&address, size), 0);
	assert_int_equal(listen(peer->listener, 8), 0);
	assert_int_equal(getsockname(peer->listener, (struct sockaddr *)&address, &size), 0);
	memcpy(&peer->address.storage, &address, size);
	peer->address.size = size;
	*state = peer;
	return 0;
}

static int peer_down(void **state)
{
	struct peer *peer = *state;

	mqtt_free(peer->mqtt);
	buf_done(&peer->got);
	if (peer->fd >= 0)
		close(peer->fd);
	close(peer->listener);
	free(peer);
	return 0;
}

/* One turn of the client: until its descriptor or fd says something. */
static enum mqtt_phase client_turn(const struct peer *peer, int fd)
{
	struct pollfd fds[2] = {{0}, {.fd = fd, .events = POLLIN}};

	mqtt_poll(peer->mqtt, &fds[0]);
	assert_true(poll(fds, 2, PATIENCE_MS) > 0);
	return mqtt_wait(peer->mqtt, fds[0].revents);
}

static size_t read_some(struct peer *peer)
{
	static uint8_t data[65536];
	ssize_t n = recv(peer->fd, data, sizeof(data), MSG_DONTWAIT);

	assert_true(n > 0 || (n < 0 && errno == EAGAIN));
	buf_clear(&peer->got);
	buf_add(&peer->got, data, n > 0 ? (size_t)n : 0);
	return n > 0 ? (size_t)n : 0;
}

static void peer_sends(const struct peer *peer, const void *data, size_t size)
{
	assert_int_equal(send(peer->fd, data, size, MSG_NOSIGNAL), (ssize_t)size);
}

/* CONNECT lies in peer->got then. */
static void begin_with(struct peer *peer, const struct mqtt_settings *settings, const void *connack, size_t size)
{
	struct reason reason;

	assert_int_equal(mqtt_new(settings, &events, peer, &peer->mqtt), 0);
	assert_int_equal(mqtt_connect(peer->mqtt, &peer->address, clock_now() + PATIENCE_MS * USEC_PER_MSEC, &reason),
			 0);
	peer->fd = accept4(peer->listener, NULL, NULL, SOCK_CLOEXEC);
	assert_true(peer->fd >= 0);
	for (size_t got = 0; got == 0; got = read_some(peer))
		client_turn(peer, peer->fd);
	peer_sends(peer, connack, size);
}

static void begin(struct peer *peer, bool v5, const void *connack, size_t size)
{
	const struct mqtt_settings settings = {.client_id = "c", .v5 = v5, .keepalive_s = 60};

	begin_with(peer, &settings, connack, size);
}

static void begin_ready(struct peer *peer, bool v5)
{
	static const uint8_t welcome[] = {0x20, 2, 0, 0}, welcome_v5[] = {0x20, 3, 0, 0, 0};

	if (v5)
		begin(peer, v5, welcome_v5, sizeof(welcome_v5));
	else
		begin(peer, v5, welcome, sizeof(welcome));
	while (client_turn(peer, -1) == MQTT_GREETING)
		;
	assert_int_equal(mqtt_phase(peer->mqtt), MQTT_READY);
}

static const char *end_in_words(struct peer *peer)
{
	static struct reason reason;

	while (client_turn(peer, -1) != MQTT_ENDED)
		;
	mqtt_end(peer->mqtt, &reason);
	return reason.text;
}

/* A slow line: what is still on its way out of this machine is not something that the broker fails to acknowledge. */
static void test_what_is_unsent(void **state)
{
	struct peer *peer = *state;
	struct message message = {.qos = 1};
	int mid;

	begin_ready(peer, true);
	buf_add_text(&message.topic, "a/b");
	assert_non_null(buf_reserve(&message.payload, 1 << 20));
	memset(message.payload.data, 'x', 1 << 20);
	message.payload.size = 1 << 20;
	for (int i = 0; i < 8; i++)
		assert_int_equal(mqtt_publish(peer->mqtt, &message, &mid), 0);
	mqtt_flush(peer->mqtt);
	assert_true(mqtt_unsent(peer->mqtt) > 0);
	for (size_t got = 0; got < (size_t)8 << 20;) {
		client_turn(peer, peer->fd);
		got += read_some(peer);
	}
	/* The last acknowledgement of TCP may take a moment. */
	uint64_t until = clock_now() + PATIENCE_MS * USEC_PER_MSEC;
	while (mqtt_unsent(peer->mqtt) > 0) {
		assert_true(clock_now() < until);
		poll(NULL, 0, 1);
		read_some(peer);
	}
	buf_done(&message.topic);
	buf_done(&message.payload);
}

/* libmosquitto 2.0.11 aborts the process, with the field and all other uplinks in it, over these. */
static void test_an_unknown_property(void **state)
{
	static const uint8_t connack[] = {0x20, 7, 0, 0, 4, 0xff, 1, 2, 3};
	struct peer *peer = *state;

	begin(peer, true, connack, sizeof(connack));
	assert_string_equal(end_in_words(peer), "the broker sent an unknown property 0xff in CONNACK");
}

static void test_an_unknown_property_later(void **state)
{
	static const uint8_t packets[] = {0xd0, 0, 0x90, 7, 0, 1, 3, 0x7e, 0, 0, 1};
	struct peer *peer = *state;

	begin_ready(peer, true);
	/* A byte at a time: what is whole is passed on, what is not waits. */
	for (size_t i = 0; i < sizeof(packets); i++) {
		peer_sends(peer, &packets[i], 1);
		if (i + 1 < sizeof(packets))
			assert_int_equal(client_turn(peer, -1), MQTT_READY);
	}
	assert_string_equal(end_in_words(peer), "the broker sent an unknown property 0x7e in SUBACK");
}

static void test_a_web_server(void **state)
{
	static const char page[] = "HTTP/1.1 400 Bad Request\r\n\r\n";
	struct peer *peer = *state;

	begin(peer, true, page, sizeof(page) - 1);
	assert_non_null(strstr(end_in_words(peer), "a web server answers there, not an MQTT broker"));
}

/* 8 MB for a command: skipped, acknowledged, and the connection stays. The same for MQTT 5, whose broker was told. */
static void skip_a_large_message(struct peer *peer, bool v5)
{
	static uint8_t chunk[65536];
	static const uint8_t head[] = {0x32, 0x80, 0x80, 0x80, 4, 0, 3, 'a', '/', 'b', 0x12, 0x34}; /* 8 MB */
	static const uint8_t small[] = {0x30, 7, 0, 3, 'a', '/', 'b', 'h', 'i'};
	static const uint8_t small_v5[] = {0x30, 8, 0, 3, 'a', '/', 'b', 0, 'h', 'i'};
	size_t left = 5 + ((size_t)8 << 20) - sizeof(head);

	begin_ready(peer, v5);
	peer_sends(peer, head, sizeof(head));
	while (left > 0) {
		size_t n = MIN(left, sizeof(chunk));
		ssize_t sent = send(peer->fd, chunk, n, MSG_DONTWAIT | MSG_NOSIGNAL);
		assert_true(sent > 0 || errno == EAGAIN);
		left -= sent > 0 ? (size_t)sent : 0;
		assert_int_equal(client_turn(peer, -1), MQTT_READY);
	}
	peer_sends(peer, v5 ? small_v5 : small, v5 ? sizeof(small_v5) : sizeof(small));
	while (!peer->command[0])
		assert_int_equal(client_turn(peer, -1), MQTT_READY);
	assert_string_equal(peer->command, "hi");
	assert_string_equal(peer->oversized, "a/b 8388613");
	while (read_some(peer) == 0)
		assert_int_equal(client_turn(peer, peer->fd), MQTT_READY);
	assert_int_equal(peer->got.size, 4);
	assert_memory_equal(peer->got.data, "\x40\x02\x12\x34", 4);
}

static void test_a_large_message(void **state)
{
	skip_a_large_message(*state, false);
}

static void test_a_large_message_v5(void **state)
{
	skip_a_large_message(*state, true);
}

/* MQTT 5, section 3.1.2.11.4. */
static void test_the_broker_is_told_what_fits(void **state)
{
	static const uint8_t maximum[] = {0x27, 0, 2, 0, 0};
	struct peer *peer = *state;

	begin(peer, true, "", 0);
	assert_non_null(memmem(peer->got.data, peer->got.size, maximum, sizeof(maximum)));
}

/* A firewall that counts new connections: one for each try. */
static void test_one_connection(void **state)
{
	struct peer *peer = *state;

	begin_ready(peer, true);
	struct pollfd another = {.fd = peer->listener, .events = POLLIN};
	assert_int_equal(poll(&another, 1, 0), 0);
}

/* MQTT 5, section 3.2.2.3.14: the broker's keep alive holds, not ours. Ours would be after a minute. */
static void test_the_brokers_keep_alive(void **state)
{
	static const uint8_t connack[] = {0x20, 6, 0, 0, 3, 0x13, 0, 2};
	struct peer *peer = *state;

	begin(peer, true, connack, sizeof(connack));
	while (client_turn(peer, -1) == MQTT_GREETING)
		;
	assert_true(mqtt_due_us(peer->mqtt) <= clock_now() + 2 * USEC_PER_SEC);
	for (;;) {
		struct pollfd fd;
		uint64_t due = mqtt_due_us(peer->mqtt), now = clock_now();
		mqtt_poll(peer->mqtt, &fd);
		poll(&fd, 1, due > now ? (int)((due - now + 999) / USEC_PER_MSEC) : 0);
		assert_int_equal(mqtt_wait(peer->mqtt, fd.revents), MQTT_READY);
		if (read_some(peer) > 0)
			break;
	}
	assert_memory_equal(peer->got.data, "\xc0\x00", 2);
}

/* A broker that is killed under load: the end is found by a write, and nobody waits for the network to say more. */
static void test_an_end_by_a_write(void **state)
{
	struct peer *peer = *state;
	struct message message = {.qos = 1};
	const struct linger reset = {.l_onoff = 1};
	uint64_t until = clock_now() + PATIENCE_MS * USEC_PER_MSEC;
	int mid;

	begin_ready(peer, true);
	assert_int_equal(setsockopt(peer->fd, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset)), 0);
	close(peer->fd);
	peer->fd = -1;
	buf_add_text(&message.topic, "a/b");
	while (mqtt_phase(peer->mqtt) != MQTT_ENDED) {
		assert_true(clock_now() < until);
		mqtt_publish(peer->mqtt, &message, &mid);
		mqtt_flush(peer->mqtt);
	}
	assert_true(mqtt_due_us(peer->mqtt) <= clock_now());
	buf_done(&message.topic);
}

/* A broker that says why and hangs up while we write: the write fails first, and yet its reason is told (TLS 1.3 has an
   alert there about our certificate), and what it acknowledged before is not sent again. */
static void test_what_came_before_a_failed_write(void **state)
{
	struct peer *peer = *state;
	struct message message = {.qos = 1};
	const struct linger reset = {.l_onoff = 1};
	struct reason reason;
	struct pollfd fd;
	int mid;

	begin_ready(peer, true);
	buf_add_text(&message.topic, "a/b");
	assert_int_equal(mqtt_publish(peer->mqtt, &message, &mid), 0);
	mqtt_flush(peer->mqtt);
	/* PUBACK, and DISCONNECT: taken over by another client. */
	const uint8_t last_packets[] = {0x40, 2, (uint8_t)(mid >> 8), (uint8_t)mid, 0xe0, 2, 0x8e, 0};
	peer_sends(peer, last_packets, sizeof(last_packets));
	assert_int_equal(setsockopt(peer->fd, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset)), 0);
	close(peer->fd);
	peer->fd = -1;
	mqtt_poll(peer->mqtt, &fd);
	fd.events = 0; /* until it is reset */
	assert_int_equal(poll(&fd, 1, PATIENCE_MS), 1);
	assert_int_equal(mqtt_publish(peer->mqtt, &message, &(int){0}), 0);
	mqtt_flush(peer->mqtt);
	assert_int_equal(mqtt_phase(peer->mqtt), MQTT_ENDED);
	assert_int_equal(peer->acknowledged, mid);
	assert_int_equal(mqtt_end(peer->mqtt, &reason), MQTT_END_TAKEN_OVER);
	assert_string_equal(reason.text, "another client has connected to the broker with the same client_id");
	buf_done(&message.topic);
}

/* A retained message to a broker that has none goes out as an ordinary one: MQTT 5, section 3.2.2.3.5. */
static void test_no_retained_messages(void **state)
{
	static const uint8_t connack[] = {0x20, 5, 0, 0, 2, 0x25, 0};
	struct peer *peer = *state;
	struct message message = {.qos = 1, .retain = true};
	int mid;

	begin(peer, true, connack, sizeof(connack));
	while (client_turn(peer, -1) == MQTT_GREETING)
		;
	assert_false(mqtt_retains(peer->mqtt));
	buf_add_text(&message.topic, "a/b");
	assert_int_equal(mqtt_publish(peer->mqtt, &message, &mid), 0);
	mqtt_flush(peer->mqtt);
	while (read_some(peer) == 0)
		client_turn(peer, peer->fd);
	assert_int_equal((uint8_t)peer->got.data[0], 0x32);
	buf_done(&message.topic);
}

int main(void)
{
#define test(name) cmocka_unit_test_setup_teardown(name, peer_up, peer_down)
	const struct CMUnitTest tests[] = {
		test(test_what_is_unsent),
		test(test_an_unknown_property),
		test(test_an_unknown_property_later),
		test(test_a_web_server),
		test(test_a_large_message),
		test(test_a_large_message_v5),
		test(test_the_broker_is_told_what_fits),
		test(test_one_connection),
		test(test_the_brokers_keep_alive),
		test(test_no_retained_messages),
		test(test_an_end_by_a_write),
		test(test_what_came_before_a_failed_write),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
