/* SPDX-License-Identifier: Apache-2.0 */
/* One MQTT connection against a peer that does, byte by byte, what the test says. */
#include "base/clock.h"
#include "upstream/mqtt.h"
#include <arpa/inet.h>
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <sys/socket.h>

#include <cmocka.h>

#define PATIENCE_MS 30000

struct peer {
	int listener, fd;
	uint16_t port;
	struct mqtt *mqtt;
};

static void published(void *userdata _unused_, int mid _unused_, unsigned reason _unused_)
{
}

static const struct mqtt_events events = {.published = published};

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
	peer->port = ntohs(address.sin_port);
	*state = peer;
	return 0;
}

static int peer_down(void **state)
{
	struct peer *peer = *state;

	mqtt_free(peer->mqtt);
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
	return mqtt_turn(peer->mqtt, fds[0].revents);
}

static size_t read_some(const struct peer *peer)
{
	static uint8_t data[65536];
	ssize_t n = recv(peer->fd, data, sizeof(data), MSG_DONTWAIT);

	assert_true(n > 0 || (n < 0 && errno == EAGAIN));
	return n > 0 ? (size_t)n : 0;
}

static void begin(struct peer *peer, bool v5, const void *connack, size_t size)
{
	const struct mqtt_settings settings = {.client_id = "c", .v5 = v5, .keepalive_s = 60};
	struct reason reason;

	assert_int_equal(mqtt_new(&settings, &events, peer, &peer->mqtt), 0);
	assert_int_equal(mqtt_connect(peer->mqtt, "127.0.0.1", peer->port, &reason), 0);
	peer->fd = accept4(peer->listener, NULL, NULL, SOCK_CLOEXEC);
	assert_true(peer->fd >= 0);
	for (size_t got = 0; got == 0; got = read_some(peer))
		client_turn(peer, peer->fd);
	assert_int_equal(send(peer->fd, connack, size, MSG_NOSIGNAL), (ssize_t)size);
}

static const uint8_t welcome_v5[] = {0x20, 3, 0, 0, 0};

/* A slow line: what is still on its way out of this machine is not something that the broker fails to acknowledge. */
static void test_what_is_unsent(void **state)
{
	struct peer *peer = *state;
	struct message message = {.qos = 1};
	int mid;

	begin(peer, true, welcome_v5, sizeof(welcome_v5));
	while (client_turn(peer, -1) == MQTT_GREETING)
		;
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

int main(void)
{
#define test(name) cmocka_unit_test_setup_teardown(name, peer_up, peer_down)
	const struct CMUnitTest tests[] = {
		test(test_what_is_unsent),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
