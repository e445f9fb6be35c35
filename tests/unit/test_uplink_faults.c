/* SPDX-License-Identifier: Apache-2.0 */
/* The uplink against a broker that misbehaves on purpose: a few lines of MQTT 5 with a script. */
#include "uplink_fixture.h"

enum manner {
	OBEDIENT,
	SILENT,		/* accepts the connection and says nothing */
	NEVER_ACKS,	/* samples; the rest it acknowledges */
	ACKS_BACKWARDS, /* samples, four at a time */
	HANGS_UP_ON,	/* a payload that holds `what` */
	REFUSES,	/* topics that hold `what`, with `code` */
	TAKES_OVER,	/* says DISCONNECT 0x8E after the welcome */
	TURNS_AWAY,	/* CONNACK with `code` */
	HANGS_UP_OVER,	/* a message that is no sample, whose topic holds `what` */
	ACKS_LATE,	/* each sample when the LATENESS-th after it has come */
	ONLY_QOS_0,	/* Maximum QoS 0, MQTT 5 section 3.2.2.3.4 */
};

#define LATENESS 20

struct fake {
	pthread_t thread;
	int listener, port, stop[2];
	pthread_mutex_t lock;
	enum manner manner;
	char what[32];
	unsigned code, receive_maximum;
	struct buf got;	   /* "value " of every sample that came, whatever the answer */
	struct buf good;   /* of those acknowledged */
	struct buf events; /* payloads of the topic `event`, a line each */
	uint16_t late[LATENESS];
	unsigned n_late;
	unsigned connects, most_in_flight;
	uint16_t held[4];
	unsigned n_held;
	char held_values[4][16];
};

static void answer(int fd, const void *data, size_t size)
{
	assert_true(send(fd, data, size, MSG_NOSIGNAL) == (ssize_t)size || errno == EPIPE || errno == ECONNRESET);
}

static void puback(int fd, unsigned mid, unsigned code)
{
	const uint8_t packet[] = {0x40, 3, (uint8_t)(mid >> 8), (uint8_t)mid, (uint8_t)code};
	answer(fd, packet, sizeof(packet));
}

static bool read_exactly(int fd, int stop, void *data, size_t size)
{
	for (size_t done = 0; done < size;) {
		struct pollfd fds[] = {{.fd = fd, .events = POLLIN}, {.fd = stop, .events = POLLIN}};
		poll(fds, 2, -1);
		if (fds[1].revents)
			return false;
		ssize_t n = recv(fd, (char *)data + done, size - done, 0);
		if (n <= 0)
			return false;
		done += (size_t)n;
	}
	return true;
}

static void note_value(struct buf *into, const char *value)
{
	buf_printf(into, "%s ", value);
}

/* False: hang up. */
static bool on_sample(struct fake *fake, int fd, unsigned mid, const char *topic, const char *payload)
{
	const char *at = strstr(payload, "\"v\":");
	char value[16] = "?";
	if (at)
		snprintf(value, sizeof(value), "%.*s", (int)strcspn(at + 4, "}"), at + 4);
	note_value(&fake->got, value);
	switch (fake->manner) {
	case NEVER_ACKS:
		return true;
	case HANGS_UP_ON:
		if (strstr(payload, fake->what))
			return false;
		break;
	case REFUSES:
		if (strstr(topic, fake->what)) {
			puback(fd, mid, fake->code);
			return true;
		}
		break;
	case ACKS_LATE:
		note_value(&fake->good, value);
		if (fake->n_late >= LATENESS)
			puback(fd, fake->late[fake->n_late % LATENESS], 0);
		fake->late[fake->n_late++ % LATENESS] = (uint16_t)mid;
		return true;
	case ACKS_BACKWARDS:
		fake->held[fake->n_held] = (uint16_t)mid;
		memcpy(fake->held_values[fake->n_held], value, sizeof(value));
		if (++fake->n_held < 4)
			return true;
		while (fake->n_held > 0)
			puback(fd, fake->held[--fake->n_held], 0);
		return true;
	default:
		break;
	}
	note_value(&fake->good, value);
	if (mid)
		puback(fd, mid, 0);
	return true;
}

static bool on_publish(struct fake *fake, int fd, uint8_t first, uint8_t *body, size_t size)
{
	size_t topic_size = (size_t)(body[0] << 8 | body[1]);
	char topic[256], payload[1024];
	snprintf(topic, sizeof(topic), "%.*s", (int)topic_size, body + 2);
	size_t at = 2 + topic_size;
	unsigned mid = 0;
	if (first & 6) {
		mid = (unsigned)(body[at] << 8 | body[at + 1]);
		at += 2;
	}
	at += 1 + body[at]; /* properties */
	snprintf(payload, sizeof(payload), "%.*s", (int)(size - at), body + at);
	if (strstr(topic, "/data/"))
		return on_sample(fake, fd, mid, topic, payload);
	if (strstr(topic, "/event"))
		buf_printf(&fake->events, "%s\n", payload);
	if (fake->manner == HANGS_UP_OVER && strstr(topic, fake->what))
		return false;
	if (mid == 0)
		return true;
	puback(fd, mid, fake->manner == REFUSES && strstr(topic, fake->what) ? fake->code : 0);
	return true;
}

static bool on_connect(struct fake *fake, int fd)
{
	fake->connects++;
	if (fake->manner == TURNS_AWAY) {
		const uint8_t packet[] = {0x20, 3, 0, (uint8_t)fake->code, 0};
		answer(fd, packet, sizeof(packet));
		return false;
	}
	if (fake->manner == ONLY_QOS_0) {
		const uint8_t packet[] = {0x20, 5, 0, 0, 2, 0x24, 0};
		answer(fd, packet, sizeof(packet));
		return true;
	}
	unsigned maximum = fake->receive_maximum ? fake->receive_maximum : 65535;
	const uint8_t packet[] = {0x20, 6, 0, 0, 3, 0x21, (uint8_t)(maximum >> 8), (uint8_t)maximum};
	answer(fd, packet, sizeof(packet));
	if (fake->manner == TAKES_OVER) {
		const uint8_t bye[] = {0xe0, 2, 0x8e, 0};
		answer(fd, bye, sizeof(bye));
		return false;
	}
	return true;
}

static bool on_packet(struct fake *fake, int fd, uint8_t first, uint8_t *body, size_t size)
{
	static const uint8_t pong[] = {0xd0, 0};
	bool go_on = true;
	pthread_mutex_lock(&fake->lock);
	switch (first >> 4) {
	case 1:
		go_on = fake->manner == SILENT || on_connect(fake, fd);
		break;
	case 3:
		go_on = on_publish(fake, fd, first, body, size);
		break;
	case 12:
		answer(fd, pong, sizeof(pong));
		break;
	case 14:
		go_on = false;
		break;
	default:
		break;
	}
	pthread_mutex_unlock(&fake->lock);
	return go_on;
}

static void serve(struct fake *fake, int fd)
{
	uint8_t first, byte;
	while (read_exactly(fd, fake->stop[0], &first, 1)) {
		size_t size = 0;
		unsigned shift = 0;
		do {
			if (!read_exactly(fd, fake->stop[0], &byte, 1))
				return;
			size |= (size_t)(byte & 0x7f) << shift;
			shift += 7;
		} while (byte & 0x80);
		uint8_t *body = calloc(1, size + 1);
		bool go_on = read_exactly(fd, fake->stop[0], body, size) && on_packet(fake, fd, first, body, size);
		free(body);
		if (!go_on)
			return;
	}
}

static void *run_fake(void *userdata)
{
	struct fake *fake = userdata;
	for (;;) {
		struct pollfd fds[] = {{.fd = fake->listener, .events = POLLIN},
				       {.fd = fake->stop[0], .events = POLLIN}};
		poll(fds, 2, -1);
		if (fds[1].revents)
			return NULL;
		int fd = accept4(fake->listener, NULL, NULL, SOCK_CLOEXEC);
		serve(fake, fd);
		fake->n_held = 0;
		close(fd);
	}
}

static struct fake *start_fake(enum manner manner, const char *what, unsigned code)
{
	struct fake *fake = calloc(1, sizeof(*fake));
	fake->manner = manner;
	fake->code = code;
	snprintf(fake->what, sizeof(fake->what), "%s", what);
	pthread_mutex_init(&fake->lock, NULL);
	fake->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t size = sizeof(address);
	assert_int_equal(bind(fake->listener, (struct sockaddr *)&address, size), 0);
	assert_int_equal(listen(fake->listener, 16), 0);
	assert_int_equal(getsockname(fake->listener, (struct sockaddr *)&address, &size), 0);
	fake->port = ntohs(address.sin_port);
	assert_int_equal(pipe(fake->stop), 0);
	assert_int_equal(pthread_create(&fake->thread, NULL, run_fake, fake), 0);
	return fake;
}

static void stop_fake(struct fake *fake)
{
	close(fake->stop[1]);
	pthread_join(fake->thread, NULL);
	close(fake->stop[0]);
	close(fake->listener);
	buf_done(&fake->got);
	buf_done(&fake->good);
	buf_done(&fake->events);
	free(fake);
}

static void set_manner(struct fake *fake, enum manner manner)
{
	pthread_mutex_lock(&fake->lock);
	fake->manner = manner;
	pthread_mutex_unlock(&fake->lock);
}

static const char *values(struct fake *fake, struct buf *which)
{
	static char copy[1024];
	pthread_mutex_lock(&fake->lock);
	snprintf(copy, sizeof(copy), "%s", buf_text(which));
	pthread_mutex_unlock(&fake->lock);
	return copy;
}

static void go(struct rig *rig, const struct fake *fake, const char *more)
{
	char url[64];
	snprintf(url, sizeof(url), "mqtt://127.0.0.1:%d", fake->port);
	rig->uplink = start_uplink(rig, "cloud", url, more);
}

static void leave(struct rig *rig, struct fake *fake)
{
	stop_uplink(rig->uplink);
	rig->uplink = NULL;
	stop_fake(fake);
}

static void test_backward_acknowledgements(void **state)
{
	struct rig *rig = *state;
	struct fake *fake = start_fake(ACKS_BACKWARDS, "", 0);
	go(rig, fake, "");
	take(rig, 0, 40);
	await(status_of(rig->uplink).delivered == 40);
	await(status_of(rig->uplink).backlog == 0);
	leave(rig, fake);
}

static void test_receive_maximum_is_kept(void **state)
{
	struct rig *rig = *state;
	struct fake *fake = start_fake(NEVER_ACKS, "", 0);
	fake->receive_maximum = 3;
	go(rig, fake, "");
	take(rig, 0, 10);
	await(strcmp(values(fake, &fake->got), "0 1 2 ") == 0);
	assert_int_equal(status_of(rig->uplink).inflight, 3);
	leave(rig, fake);
}

static void test_a_silent_broker_is_left(void **state)
{
	struct rig *rig = *state;
	struct fake *fake = start_fake(SILENT, "", 0);
	go(rig, fake, "connect_timeout = \"1s\";");
	await(logged("the broker accepted the connection but did not answer within 1 s; trying again in"));
	set_manner(fake, OBEDIENT);
	take(rig, 0, 1);
	await(status_of(rig->uplink).delivered == 1);
	leave(rig, fake);
}

static void test_a_message_that_breaks_the_connection(void **state)
{
	struct rig *rig = *state;
	struct fake *fake = start_fake(HANGS_UP_ON, "\"v\":3}", 0);
	go(rig, fake, "");
	await(status_of(rig->uplink).state == UPLINK_CONNECTED);
	take(rig, 0, 6);
	await(status_of(rig->uplink).backlog == 0);
	assert_int_equal(status_of(rig->uplink).delivered, 5);
	assert_true(logged("a sample for haywain/barn-1/data/boiler is dropped and counted: it broke the connection"));
	assert_non_null(strstr(values(fake, &fake->good), "2 4 5 "));
	struct queue_status status;
	queue_get_status(rig->queue, &status);
	assert_int_equal(status.dropped[DROP_REFUSED], 1);
	leave(rig, fake);
}

/* A broker that closes the connection over a device's card, as some do where a policy is against it. */
static void test_a_card_that_breaks_the_connection(void **state)
{
	struct rig *rig = *state;
	struct fake *fake = start_fake(HANGS_UP_OVER, "/device/boiler", 0);
	go(rig, fake, "");
	for (size_t i = 0; i < 2; i++) {
		struct device_card *card = device_card_new(rig->devices[i], true, clock_now(), NULL, NULL, 0);
		uplink_device(rig->uplink, card);
		device_card_unref(card);
	}
	take(rig, 0, 5);
	await(status_of(rig->uplink).delivered == 5);
	const char *line = strstr(logged_text(), "/device/boiler");
	assert_non_null(line);
	assert_true(logged("it broke the connection three times, alone"));
	assert_null(strstr(line + 1, "/device/boiler"));
	/* And that is that: the connection stays. */
	unsigned connects = fake->connects;
	take(rig, 1, 20);
	await(status_of(rig->uplink).delivered == 25);
	assert_int_equal(fake->connects, connects);
	leave(rig, fake);
}

/* Slow, but steady: acknowledgements come late, and all come. */
static void test_a_slow_broker_is_kept(void **state)
{
	struct rig *rig = *state;
	struct fake *fake = start_fake(ACKS_LATE, "", 0);
	go(rig, fake, "");
	await(status_of(rig->uplink).state == UPLINK_CONNECTED);
	for (uint64_t n = 1; n <= 300; n++) {
		take(rig, 0, 1);
		if (n > LATENESS)
			await(status_of(rig->uplink).delivered == n - LATENESS);
	}
	assert_int_equal(status_of(rig->uplink).backlog, LATENESS);
	/* Each came once, and in order. */
	char expected[2048] = "";
	size_t used = 0;
	for (int n = 0; n < 300; n++)
		used += (size_t)snprintf(expected + used, sizeof(expected) - used, "%d ", n);
	pthread_mutex_lock(&fake->lock);
	assert_string_equal(buf_text(&fake->got), expected);
	assert_int_equal(fake->connects, 1);
	pthread_mutex_unlock(&fake->lock);
	leave(rig, fake);
}

static unsigned count_words(struct fake *fake, const char *words)
{
	unsigned n = 0;
	pthread_mutex_lock(&fake->lock);
	for (const char *at = buf_text(&fake->events); (at = strstr(at, words)); at++)
		n++;
	pthread_mutex_unlock(&fake->lock);
	return n;
}

/* Samples lost by two causes while the broker was away: an event for each, with its count, once. */
static void test_two_causes_of_loss(void **state)
{
	struct rig *rig = *state;
	struct fake *fake = start_fake(SILENT, "", 0);
	go(rig, fake, "");
	take(rig, 0, 3);
	take(rig, 1, 2);
	assert_int_equal(queue_purge(rig->queue), 5);
	queue_lost(rig->queue, rig->devices[0]->number);
	queue_lost(rig->queue, rig->devices[2]->number);
	stop_uplink(rig->uplink);
	set_manner(fake, OBEDIENT);
	go(rig, fake, "");
	await(count_words(fake, "\"reason\":\"purged\"") > 0 && count_words(fake, "\"reason\":\"out of memory\"") > 0);
	assert_int_equal(count_words(fake, "\"samples\":5,\"reason\":\"purged\""), 1);
	assert_int_equal(count_words(fake, "\"samples\":2,\"reason\":\"out of memory\""), 1);
	/* Acknowledged, they are not told again: not with the next connection either. */
	take(rig, 0, 1);
	await(status_of(rig->uplink).delivered == 1);
	stop_uplink(rig->uplink);
	go(rig, fake, "");
	take(rig, 0, 1);
	await(status_of(rig->uplink).delivered == 1);
	assert_int_equal(count_words(fake, "\"event\":\"dropped\""), 2);
	leave(rig, fake);
}

static void test_only_qos_0(void **state)
{
	struct rig *rig = *state;
	struct fake *fake = start_fake(ONLY_QOS_0, "", 0);
	/* Samples may be lost on the way without anybody noticing: not unless it is asked for. */
	go(rig, fake, "");
	take(rig, 0, 5);
	await(logged("the broker offers only QoS 0, which may lose samples; `qos = 0` in this uplink accepts that"));
	assert_int_equal(status_of(rig->uplink).delivered, 0);
	stop_uplink(rig->uplink);
	go(rig, fake, "qos = 0;");
	await(status_of(rig->uplink).delivered == 5);
	stop_uplink(rig->uplink);
	/* It may also turn away the will. */
	fake->code = 0x9b;
	set_manner(fake, TURNS_AWAY);
	size_t said = strlen(logged_text());
	go(rig, fake, "");
	await(strstr(logged_text() + said, "`qos = 0` in this uplink accepts that"));
	leave(rig, fake);
}

static void test_refused_by_state_loses_nothing(void **state)
{
	struct rig *rig = *state;
	struct fake *fake = start_fake(REFUSES, "/data/boiler", 0x97);
	go(rig, fake, "");
	take(rig, 0, 3);
	take(rig, 1, 2);
	await(status_of(rig->uplink).state == UPLINK_REFUSED);
	await(logged("the broker turns down messages to haywain/barn-1/data/boiler: quota exceeded (0x97); nothing is "
		     "lost, trying again in"));
	set_manner(fake, OBEDIENT);
	await(logged("the broker takes our messages again"));
	await(status_of(rig->uplink).backlog == 0);
	assert_int_equal(status_of(rig->uplink).state, UPLINK_CONNECTED);
	assert_int_equal(status_of(rig->uplink).delivered, 5);
	assert_int_equal(fake->connects, 1);
	/* The device that was refused arrives in order. */
	char good[1024];
	snprintf(good, sizeof(good), "%s", values(fake, &fake->good));
	const char *zero = strstr(good, "0 "), *one = strstr(good, "1 "), *two = strstr(good, "2 ");
	assert_true(zero && one && two && zero < one && one < two);
	leave(rig, fake);
}

static void test_a_message_that_can_never_pass(void **state)
{
	struct rig *rig = *state;
	struct fake *fake = start_fake(REFUSES, "/data/boiler", 0x99);
	go(rig, fake, "");
	take(rig, 0, 1);
	take(rig, 1, 1);
	await(status_of(rig->uplink).backlog == 0);
	assert_int_equal(status_of(rig->uplink).delivered, 1);
	await(logged(
		"a sample for haywain/barn-1/data/boiler is dropped and counted: the broker turns it down: payload "
		"format invalid (0x99)"));
	leave(rig, fake);
}

static void test_a_refused_status_does_not_stop_samples(void **state)
{
	struct rig *rig = *state;
	struct fake *fake = start_fake(REFUSES, "/status", 0x87);
	go(rig, fake, "");
	take(rig, 0, 4);
	await(status_of(rig->uplink).delivered == 4);
	await(logged("the broker turns down haywain/barn-1/status: not authorized (0x87); samples go on"));
	leave(rig, fake);
}

static void test_reasons_in_words(void **state)
{
	static const struct {
		enum manner manner;
		unsigned code;
		const char *words;
	} cases[] = {
		{TURNS_AWAY, 0x86,
		 "no connection: the broker refuses the login: bad username or password; trying again in"},
		{TURNS_AWAY, 0x87, "the broker refuses the login: not authorized"},
		{TURNS_AWAY, 0x84, "version = 311"},
		{TURNS_AWAY, 0x88, "the broker refuses the login: server unavailable (0x88)"},
		{TAKES_OVER, 0, "another client has connected to the broker with the same client_id"},
	};
	struct rig *rig = *state;
	for (size_t i = 0; i < ELEMENTS(cases); i++) {
		struct fake *fake = start_fake(cases[i].manner, "", cases[i].code);
		go(rig, fake, "");
		await(logged(cases[i].words));
		await(status_of(rig->uplink).state == UPLINK_DOWN);
		leave(rig, fake);
	}
}

/* A broker that never acknowledges keeps us for a second at most, one that is away not at all. */
static void test_stop_is_prompt(void **state)
{
	struct rig *rig = *state;
	struct fake *fake = start_fake(NEVER_ACKS, "", 0);
	go(rig, fake, "");
	take(rig, 0, 1);
	await(strcmp(values(fake, &fake->got), "0 ") == 0);
	leave(rig, fake);
	fake = start_fake(SILENT, "", 0);
	go(rig, fake, "");
	await(status_of(rig->uplink).state == UPLINK_CONNECTING);
	leave(rig, fake);
	clock_set_trusted(false);
	rig->uplink = start_uplink(rig, "cloud", "mqtt://127.0.0.1:1", "");
	await(status_of(rig->uplink).state == UPLINK_WAITS_FOR_CLOCK);
	assert_non_null(strstr(status_of(rig->uplink).reason, " for the clock, at most "));
	assert_int_equal(uplink_stuck_us(rig->uplink), 0);
}

static void test_waiting_for_the_clock_ends(void **state)
{
	struct rig *rig = *state;
	clock_set_trusted(false);
	struct fake *fake = start_fake(OBEDIENT, "", 0);
	go(rig, fake, "clock_wait = \"1s\";");
	await(logged("waiting for this machine's clock to be set, at most 1 s"));
	await(status_of(rig->uplink).state == UPLINK_CONNECTED);
	assert_true(logged("is still not set; going on, samples are marked"));
	leave(rig, fake);
}

/* libmosquitto 2.0.11 unlocks a mutex twice when the broker says DISCONNECT; it has one thread here. */
__attribute__((visibility("default"))) const char *__tsan_default_suppressions(void);
const char *__tsan_default_suppressions(void)
{
	return "mutex:libmosquitto.so";
}

int main(void)
{
#define test(name) cmocka_unit_test_setup_teardown(name, rig_up, rig_down)
	const struct CMUnitTest tests[] = {
		test(test_backward_acknowledgements),
		test(test_receive_maximum_is_kept),
		test(test_a_silent_broker_is_left),
		test(test_a_message_that_breaks_the_connection),
		test(test_refused_by_state_loses_nothing),
		test(test_a_message_that_can_never_pass),
		test(test_a_refused_status_does_not_stop_samples),
		test(test_reasons_in_words),
		test(test_a_card_that_breaks_the_connection),
		test(test_only_qos_0),
		test(test_a_slow_broker_is_kept),
		test(test_two_causes_of_loss),
		test(test_stop_is_prompt),
		test(test_waiting_for_the_clock_ends),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
