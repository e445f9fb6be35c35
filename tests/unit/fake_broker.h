/* SPDX-License-Identifier: Apache-2.0 */
/* A broker that misbehaves on purpose: a few lines of MQTT 5 with a script. */
#ifndef HAYWAIN_TESTS_FAKE_BROKER_H
#define HAYWAIN_TESTS_FAKE_BROKER_H

#include "model/device_info.h"
#include "uplink_fixture.h"

enum manner {
	OBEDIENT,
	SILENT,		    /* accepts the connection and says nothing */
	NEVER_ACKS,	    /* samples; the rest it acknowledges */
	ACKS_BACKWARDS,	    /* samples, four at a time */
	HANGS_UP_ON,	    /* a payload that holds `what` */
	REFUSES,	    /* topics that hold `what`, with `code` */
	TAKES_OVER,	    /* says DISCONNECT 0x8E after the welcome */
	TURNS_AWAY,	    /* CONNACK with `code` */
	HANGS_UP_OVER,	    /* a message that is no sample, whose topic holds `what` */
	ACKS_LATE,	    /* each sample when the LATENESS-th after it has come */
	ONLY_QOS_0,	    /* Maximum QoS 0, MQTT 5 section 3.2.2.3.4 */
	HANGS_UP_OVER_DATA, /* a sample whose topic holds `what` */
	HANGS_UP_OVER_SUBSCRIBE,
	HANGS_UP_OVER_A_WILL, /* before it answers the CONNECT */
	IS_A_WEB_SERVER,      /* a captive portal */
	REFUSES_AND_HANGS_UP, /* as REFUSES, as mosquitto 2.0.11 does */
	REFUSES_PAYLOADS,     /* that hold `what`, with `code` */
	HAS_A_QUOTA,	      /* of `code` samples a second, more is answered with 0x97 */
	ACKS_WITH,	      /* samples with `code` */
	HANGS_UP_OVER_LARGE,  /* data messages of more than `code` bytes */
	REFUSES_LARGE, /* data messages of more than `code` bytes with 0x95, and hangs up, as mosquitto 2.0.11 does */
	ASKS_AFTER_SUBSCRIBE, /* a message to the topic `what`, from the past, after each subscription */
	ENDS_AFTER,	      /* `code` samples of a connection, when they are acknowledged */
};

#define LATENESS 20

struct fake {
	pthread_t thread;
	int listener, port, stop[2];
	pthread_mutex_t lock;
	enum manner manner;
	char what[32];
	unsigned code, receive_maximum, max_packet;
	struct buf got;	   /* "value " of every sample that came, whatever the answer */
	struct buf good;   /* of those acknowledged */
	struct buf events; /* payloads of the topic `event`, a line each */
	struct buf order;  /* "topic payload" of every message, in order, a line each */
	uint16_t late[LATENESS];
	unsigned n_late;
	unsigned connects, subscribes, wills, data_messages, refused, in_connection;
	uint64_t second;
	unsigned in_second;
	uint16_t held[4];
	unsigned n_held;
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

/* "value " of every sample of a message. */
static void note_values(struct buf *into, const char *payload)
{
	for (const char *at = payload; (at = strstr(at, "\"v\":")); at++)
		buf_printf(into, "%.*s ", (int)strcspn(at + 4, "}"), at + 4);
}

static bool exceeds_quota(struct fake *fake)
{
	uint64_t second = clock_now() / USEC_PER_SEC;
	if (second != fake->second)
		fake->in_second = 0;
	fake->second = second;
	return fake->in_second++ >= fake->code;
}

/* False: hang up. */
static bool on_sample(struct fake *fake, int fd, unsigned mid, const char *topic, const char *payload)
{
	note_values(&fake->got, payload);
	fake->data_messages++;
	unsigned code = 0;
	switch (fake->manner) {
	case NEVER_ACKS:
		return true;
	case HANGS_UP_ON:
		if (strstr(payload, fake->what))
			return false;
		break;
	case HANGS_UP_OVER_DATA:
		if (strstr(topic, fake->what))
			return false;
		break;
	case HANGS_UP_OVER_LARGE:
		if (strlen(payload) > fake->code)
			return false;
		break;
	case REFUSES:
	case REFUSES_AND_HANGS_UP:
		code = strstr(topic, fake->what) ? fake->code : 0;
		break;
	case REFUSES_PAYLOADS:
		code = strstr(payload, fake->what) ? fake->code : 0;
		break;
	case HAS_A_QUOTA:
		code = exceeds_quota(fake) ? 0x97 : 0;
		break;
	case REFUSES_LARGE:
		code = strlen(payload) > fake->code ? 0x95 : 0;
		break;
	case ACKS_WITH:
		code = fake->code;
		break;
	case ACKS_LATE:
		note_values(&fake->good, payload);
		if (fake->n_late >= LATENESS)
			puback(fd, fake->late[fake->n_late % LATENESS], 0);
		fake->late[fake->n_late++ % LATENESS] = (uint16_t)mid;
		return true;
	case ACKS_BACKWARDS:
		fake->held[fake->n_held] = (uint16_t)mid;
		if (++fake->n_held < ELEMENTS(fake->held))
			return true;
		while (fake->n_held > 0)
			puback(fd, fake->held[--fake->n_held], 0);
		return true;
	default:
		break;
	}
	if (code < 128)
		note_values(&fake->good, payload);
	else
		fake->refused++;
	if (mid)
		puback(fd, mid, code);
	bool ends = fake->manner == ENDS_AFTER && ++fake->in_connection >= fake->code;
	return !ends && (code < 128 || (fake->manner != REFUSES_AND_HANGS_UP && fake->manner != REFUSES_LARGE));
}

static bool on_publish(struct fake *fake, int fd, uint8_t first, uint8_t *body, size_t size)
{
	size_t topic_size = (size_t)(body[0] << 8 | body[1]);
	char topic[256];
	_cleanup_free_ char *payload = NULL;
	snprintf(topic, sizeof(topic), "%.*s", (int)topic_size, body + 2);
	size_t at = 2 + topic_size;
	unsigned mid = 0;
	if (first & 6) {
		mid = (unsigned)(body[at] << 8 | body[at + 1]);
		at += 2;
	}
	at += 1 + body[at]; /* properties */
	payload = strndup((const char *)body + at, size - at);
	buf_printf(&fake->order, "%s %s\n", topic, payload);
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

static bool on_connect(struct fake *fake, int fd, const uint8_t *body)
{
	bool will = body[7] & 4;
	fake->connects++;
	fake->wills += will;
	fake->in_connection = 0;
	if (fake->manner == HANGS_UP_OVER_A_WILL && will)
		return false;
	if (fake->manner == IS_A_WEB_SERVER) {
		static const char page[] = "HTTP/1.1 400 Bad Request\r\n\r\n";
		answer(fd, page, sizeof(page) - 1);
		return false;
	}
	if (fake->max_packet) {
		const uint8_t packet[] = {
			0x20, 8, 0, 0, 5, 0x27, 0, 0, (uint8_t)(fake->max_packet >> 8), (uint8_t)fake->max_packet};
		answer(fd, packet, sizeof(packet));
		return true;
	}
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

/* Empty, QoS 0: MQTT 5, section 3.3. */
static void send_retained(int fd, const char *topic)
{
	uint8_t packet[64] = {0x31, (uint8_t)(strlen(topic) + 3), 0, (uint8_t)strlen(topic)};
	memcpy(packet + 4, topic, strlen(topic));
	answer(fd, packet, strlen(topic) + 5);
}

static bool on_packet(struct fake *fake, int fd, uint8_t first, uint8_t *body, size_t size)
{
	static const uint8_t pong[] = {0xd0, 0};
	bool go_on = true;
	pthread_mutex_lock(&fake->lock);
	switch (first >> 4) {
	case 1:
		go_on = fake->manner == SILENT || on_connect(fake, fd, body);
		break;
	case 3:
		go_on = on_publish(fake, fd, first, body, size);
		break;
	case 8: {
		const uint8_t suback[] = {0x90, 4, body[0], body[1], 0, 1};
		fake->subscribes++;
		go_on = fake->manner != HANGS_UP_OVER_SUBSCRIBE;
		if (go_on)
			answer(fd, suback, sizeof(suback));
		if (fake->manner == ASKS_AFTER_SUBSCRIBE)
			send_retained(fd, fake->what);
		break;
	}
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

_unused_ static struct fake *start_fake(enum manner manner, const char *what, unsigned code)
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
	buf_done(&fake->order);
	free(fake);
}

_unused_ static void set_manner(struct fake *fake, enum manner manner)
{
	pthread_mutex_lock(&fake->lock);
	fake->manner = manner;
	pthread_mutex_unlock(&fake->lock);
}

_unused_ static const char *values(struct fake *fake, struct buf *which)
{
	static char copy[65536];
	pthread_mutex_lock(&fake->lock);
	snprintf(copy, sizeof(copy), "%s", buf_text(which));
	pthread_mutex_unlock(&fake->lock);
	return copy;
}

_unused_ static void go(struct rig *rig, const struct fake *fake, const char *more)
{
	char url[64];
	snprintf(url, sizeof(url), "mqtt://127.0.0.1:%d", fake->port);
	rig->uplink = start_uplink(rig, "cloud", url, more);
}

_unused_ static void leave(struct rig *rig, struct fake *fake)
{
	stop_uplink(rig->uplink);
	rig->uplink = NULL;
	stop_fake(fake);
}

_unused_ static unsigned count_words(struct fake *fake, const char *words)
{
	unsigned n = 0;
	pthread_mutex_lock(&fake->lock);
	for (const char *at = buf_text(&fake->events); (at = strstr(at, words)); at++)
		n++;
	pthread_mutex_unlock(&fake->lock);
	return n;
}

_unused_ static void announce_devices(struct rig *rig, size_t n, bool writable)
{
	for (size_t i = 0; i < n; i++) {
		const struct device_info_point point = {.series = rig->series[i], .writable = writable};
		struct device_info *info = device_info_new(rig->devices[i], true, clock_now(), NULL, &point, 1);
		uplink_device(rig->uplink, info);
		device_info_unref(info);
	}
}

_unused_ static uint64_t dropped(struct rig *rig)
{
	struct queue_status status;
	queue_get_status(rig->queue, &status);
	return status.dropped[DROP_REFUSED];
}

_unused_ static unsigned connects(struct fake *fake)
{
	pthread_mutex_lock(&fake->lock);
	unsigned n = fake->connects;
	pthread_mutex_unlock(&fake->lock);
	return n;
}

/* How many messages it turned down. */
_unused_ static unsigned turned_down(struct fake *fake)
{
	pthread_mutex_lock(&fake->lock);
	unsigned n = fake->refused;
	pthread_mutex_unlock(&fake->lock);
	return n;
}

/* A number of its manner, while it is at work. */
_unused_ static void set_number(struct fake *fake, unsigned *number, unsigned value)
{
	pthread_mutex_lock(&fake->lock);
	*number = value;
	pthread_mutex_unlock(&fake->lock);
}

/* How often a word stands in the log. */
_unused_ static unsigned said(const char *words)
{
	unsigned n = 0;
	for (const char *at = logged_text(); (at = strstr(at, words)); at++)
		n++;
	return n;
}

#endif
