/* SPDX-License-Identifier: Apache-2.0 */
/* How an uplink finds a broker that welcomes it: names that hang, several addresses, brokers without retained messages. */
#include "uplink_fixture.h"
#include <dlfcn.h>
#include <netdb.h>
#include <stdatomic.h>

/* ---- names ---- */

static struct {
	pthread_mutex_t lock;
	pthread_cond_t changed;
	bool hangs;	/* look-ups wait until it does not */
	unsigned asked; /* how often */
} names = {.lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER};

static void names_hang(bool hangs)
{
	pthread_mutex_lock(&names.lock);
	names.hangs = hangs;
	pthread_cond_broadcast(&names.changed);
	pthread_mutex_unlock(&names.lock);
}

static unsigned names_asked(void)
{
	pthread_mutex_lock(&names.lock);
	unsigned asked = names.asked;
	pthread_mutex_unlock(&names.lock);
	return asked;
}

/* pair.test has two addresses, 127.0.0.2 and 127.0.0.3, in this order. */
int getaddrinfo(const char *restrict host, const char *restrict service, const struct addrinfo *restrict hints,
		struct addrinfo **restrict ret)
{
	static int (*real)(const char *, const char *, const struct addrinfo *, struct addrinfo **);

	if (!real)
		real = (int (*)(const char *, const char *, const struct addrinfo *, struct addrinfo **))dlsym(
			RTLD_NEXT, "getaddrinfo");
	if (strcmp(host, "pair.test") != 0 || (hints->ai_flags & AI_NUMERICHOST))
		return real(host, service, hints, ret);
	pthread_mutex_lock(&names.lock);
	names.asked++;
	while (names.hangs)
		pthread_cond_wait(&names.changed, &names.lock);
	pthread_mutex_unlock(&names.lock);
	struct addrinfo *second;
	int r = real("127.0.0.2", service, hints, ret);
	if (r == 0)
		r = real("127.0.0.3", service, hints, &second);
	if (r == 0)
		(*ret)->ai_next = second;
	return r;
}

/* ---- servers ---- */

enum manner { WELCOMES, SAYS_88, SAYS_87, HANGS_UP, IS_SILENT, WITHOUT_RETAIN, WITHOUT_RETAIN_311, ENDS };

struct server {
	pthread_t thread;
	int listener, port, stop[2];
	_Atomic enum manner manner;
	atomic_uint connects, retained;
};

static bool receive(const struct server *server, int fd, void *data, size_t size)
{
	for (size_t done = 0; done < size;) {
		struct pollfd fds[] = {{.fd = fd, .events = POLLIN}, {.fd = server->stop[0], .events = POLLIN}};
		poll(fds, 2, -1);
		ssize_t n = fds[1].revents ? 0 : recv(fd, (char *)data + done, size - done, 0);
		if (n <= 0)
			return false;
		done += (size_t)n;
	}
	return true;
}

/* Packets under 16 KB do. 0: the end. */
static unsigned receive_packet(const struct server *server, int fd, uint8_t body[16384], size_t *ret_size)
{
	uint8_t head[3] = {0};
	if (!receive(server, fd, head, 2))
		return 0;
	if ((head[1] & 0x80) && !receive(server, fd, &head[2], 1))
		return 0;
	*ret_size = (size_t)(head[1] & 0x7f) | (size_t)head[2] << 7;
	return receive(server, fd, body, *ret_size) ? head[0] : 0;
}

static void say(int fd, const void *data, size_t size)
{
	assert_true(send(fd, data, size, MSG_NOSIGNAL) == (ssize_t)size || errno == EPIPE || errno == ECONNRESET);
}

/* False: hang up. */
static bool on_connect(struct server *server, int fd, const uint8_t *body)
{
	static const uint8_t welcome[] = {0x20, 3, 0, 0, 0}, welcome_311[] = {0x20, 2, 0, 0};
	uint8_t refusal[] = {0x20, 3, 0, 0, 0};
	bool v5 = body[6] == 5, will_stays = body[7] & 0x20;
	server->connects++;
	switch ((enum manner)server->manner) {
	case SAYS_88:
		refusal[3] = 0x88;
		break;
	case SAYS_87:
		refusal[3] = 0x87;
		break;
	case WITHOUT_RETAIN:
		refusal[3] = will_stays ? 0x9a : 0;
		break;
	case WITHOUT_RETAIN_311:
		if (will_stays)
			return false;
		break;
	case HANGS_UP:
		return false;
	case IS_SILENT:
		return true;
	default:
		break;
	}
	if (refusal[3])
		say(fd, refusal, sizeof(refusal));
	else if (v5)
		say(fd, welcome, sizeof(welcome));
	else
		say(fd, welcome_311, sizeof(welcome_311));
	return refusal[3] == 0 && server->manner != ENDS;
}

static void serve(struct server *server, int fd)
{
	static const uint8_t pong[] = {0xd0, 0};
	uint8_t body[16384];
	size_t size;
	unsigned first;
	while ((first = receive_packet(server, fd, body, &size))) {
		if (first >> 4 == 1 && !on_connect(server, fd, body))
			return;
		if (first >> 4 == 12)
			say(fd, pong, sizeof(pong));
		if (first >> 4 == 14)
			return;
		if (first >> 4 != 3)
			continue;
		server->retained += first & 1;
		size_t mid = 2 + (size_t)(body[0] << 8 | body[1]);
		const uint8_t ack[] = {0x40, 2, body[mid], body[mid + 1]};
		say(fd, ack, sizeof(ack));
	}
}

static void *run_server(void *userdata)
{
	struct server *server = userdata;
	for (;;) {
		struct pollfd fds[] = {{.fd = server->listener, .events = POLLIN},
				       {.fd = server->stop[0], .events = POLLIN}};
		poll(fds, 2, -1);
		if (fds[1].revents)
			return NULL;
		int fd = accept4(server->listener, NULL, NULL, SOCK_CLOEXEC);
		serve(server, fd);
		close(fd);
	}
}

/* At 127.0.0.last; port 0: any. */
static struct server *start_server(unsigned last, int port, enum manner manner)
{
	struct server *server = calloc(1, sizeof(*server));
	struct sockaddr_in address = {
		.sin_family = AF_INET, .sin_port = htons((uint16_t)port), .sin_addr.s_addr = htonl(0x7f000000 | last)};
	socklen_t size = sizeof(address);
	int on = 1;
	server->manner = manner;
	server->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	setsockopt(server->listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	assert_int_equal(bind(server->listener, (struct sockaddr *)&address, size), 0);
	assert_int_equal(listen(server->listener, 16), 0);
	assert_int_equal(getsockname(server->listener, (struct sockaddr *)&address, &size), 0);
	server->port = ntohs(address.sin_port);
	assert_int_equal(pipe(server->stop), 0);
	assert_int_equal(pthread_create(&server->thread, NULL, run_server, server), 0);
	return server;
}

static void stop_server(struct server *server)
{
	close(server->stop[1]);
	pthread_join(server->thread, NULL);
	close(server->stop[0]);
	close(server->listener);
	free(server);
}

static void go(struct rig *rig, const char *host, int port, const char *more)
{
	char url[64];
	snprintf(url, sizeof(url), "mqtt://%s:%d", host, port);
	rig->uplink = start_uplink(rig, "cloud", url, more);
}

static void leave(struct rig *rig)
{
	stop_uplink(rig->uplink);
	rig->uplink = NULL;
}

/* ---- several addresses ---- */

/* A pair of brokers under one name, of which the first is on standby. */
static void pass_over(struct rig *rig, enum manner standby, const char *more)
{
	struct server *first = start_server(2, 0, standby), *second = start_server(3, first->port, WELCOMES);
	go(rig, "pair.test", first->port, more);
	take(rig, 0, 3);
	await(status_of(rig->uplink).delivered == 3);
	assert_int_equal(first->connects, 1);
	assert_int_equal(second->connects, 1);
	leave(rig);
	stop_server(first);
	stop_server(second);
}

static void test_an_address_that_says_unavailable(void **state)
{
	pass_over(*state, SAYS_88, "");
}

static void test_an_address_that_hangs_up(void **state)
{
	pass_over(*state, HANGS_UP, "");
}

static void test_an_address_that_is_silent(void **state)
{
	/* Half of it for each. */
	pass_over(*state, IS_SILENT, "connect_timeout = \"6s\";");
}

static void test_the_last_good_address_first(void **state)
{
	struct rig *rig = *state;
	struct server *first = start_server(2, 0, SAYS_88), *second = start_server(3, first->port, ENDS);
	go(rig, "pair.test", first->port, "");
	await(second->connects >= 3);
	assert_int_equal(first->connects, 1);
	leave(rig);
	stop_server(first);
	stop_server(second);
}

/* A password that is wrong is wrong at every address: no lock-out by asking twice. */
static void test_a_login_is_refused_once(void **state)
{
	struct rig *rig = *state;
	struct server *first = start_server(2, 0, SAYS_87), *second = start_server(3, first->port, SAYS_87);
	go(rig, "pair.test", first->port, "");
	await(status_of(rig->uplink).state == UPLINK_DOWN);
	leave(rig);
	assert_int_equal(second->connects, 0);
	stop_server(first);
	stop_server(second);
}

/* A broker that was away all night was "down for 40 s" in the morning: each try began the time anew. */
static void test_down_lasts_from_the_first_failure(void **state)
{
	struct rig *rig = *state;
	struct server *first = start_server(2, 0, SAYS_87);
	go(rig, "pair.test", first->port, "");
	await(status_of(rig->uplink).state == UPLINK_DOWN);
	uint64_t since_us = status_of(rig->uplink).since_us;
	await(first->connects >= 3);
	await(status_of(rig->uplink).state == UPLINK_DOWN);
	assert_int_equal(status_of(rig->uplink).since_us, since_us);
	leave(rig);
	stop_server(first);
}

/* ---- look-ups ---- */

/* A name server that swallows questions: stopping is prompt, connect_timeout holds, and questions do not pile up. */
static void test_a_look_up_that_hangs(void **state)
{
	struct rig *rig = *state;
	struct server *first = start_server(2, 0, WELCOMES);
	unsigned asked = names_asked();
	names_hang(true);
	go(rig, "pair.test", first->port, "connect_timeout = \"1s\";");
	await(logged("no connection: the name pair.test cannot be resolved: no name server answers in time"));
	await(status_of(rig->uplink).state == UPLINK_CONNECTING);
	assert_int_equal(names_asked(), asked + 1);
	leave(rig);
	go(rig, "pair.test", first->port, "connect_timeout = \"1s\";");
	await(names_asked() == asked + 2);
	names_hang(false);
	await(status_of(rig->uplink).state == UPLINK_CONNECTED);
	leave(rig);
	stop_server(first);
}

/* ---- brokers without retained messages ---- */

static void go_without_retain(struct rig *rig, enum manner manner, const char *more)
{
	struct server *server = start_server(1, 0, manner);
	go(rig, "127.0.0.1", server->port, more);
	take(rig, 0, 3);
	await(status_of(rig->uplink).delivered == 3);
	assert_int_equal(server->connects, 2);
	assert_int_equal(server->retained, 0);
	assert_true(logged("the broker keeps no retained messages"));
	leave(rig);
	stop_server(server);
}

static void test_a_retained_will_is_refused(void **state)
{
	go_without_retain(*state, WITHOUT_RETAIN, "");
}

/* MQTT 3.1.1 has no word for it. */
static void test_a_retained_will_is_hung_up_on(void **state)
{
	go_without_retain(*state, WITHOUT_RETAIN_311, "version = 311;");
}

/* A broker that is only away does not cost the retained messages. */
static void test_a_broker_that_hangs_up_for_a_while(void **state)
{
	struct rig *rig = *state;
	struct server *server = start_server(1, 0, HANGS_UP);
	go(rig, "127.0.0.1", server->port, "version = 311;");
	await(logged("the broker closed the connection before it answered"));
	server->manner = WELCOMES;
	await(status_of(rig->uplink).state == UPLINK_CONNECTED);
	await(server->retained > 0);
	assert_false(logged("the broker keeps no retained messages"));
	leave(rig);
	stop_server(server);
}

int main(void)
{
#define test(name) cmocka_unit_test_setup_teardown(name, rig_up, rig_down)
	const struct CMUnitTest tests[] = {
		test(test_an_address_that_says_unavailable),
		test(test_an_address_that_hangs_up),
		test(test_an_address_that_is_silent),
		test(test_the_last_good_address_first),
		test(test_a_login_is_refused_once),
		test(test_down_lasts_from_the_first_failure),
		test(test_a_look_up_that_hangs),
		test(test_a_retained_will_is_refused),
		test(test_a_retained_will_is_hung_up_on),
		test(test_a_broker_that_hangs_up_for_a_while),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
