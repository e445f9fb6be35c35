/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Between the uplinks and the broker: it carries what they say, packet for packet, and cuts connections at any byte of either
 * direction, by FIN or RST, at once or after nothing went through for a while; it delays, and turns messages down.
 */
#include "dialect.h"
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#define OUT_MAX ((size_t)1 << 16)
#define CHUNK 4096
#define GREETING_BYTES 600 /* up to the first samples */
#define CONNECTION_BYTES 20000

static struct sockaddr_in loopback(int port)
{
	return (struct sockaddr_in){
		.sin_family = AF_INET, .sin_port = htons((uint16_t)port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
}

void relay_open(struct relay *relay, struct account *account, struct dice *dice, int broker_port)
{
	struct sockaddr_in address = loopback(0);
	socklen_t size = sizeof(address);
	*relay = (struct relay){.account = account, .dice = dice, .broker_port = broker_port};
	relay->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (relay->listener < 0 || bind(relay->listener, (struct sockaddr *)&address, size) < 0 ||
	    listen(relay->listener, 64) < 0 || getsockname(relay->listener, (struct sockaddr *)&address, &size) < 0)
		torture_die("the relay cannot listen: %s", strerror(errno));
	relay->port = ntohs(address.sin_port);
}

/* ---- a connection ---- */

static void close_by_reset(int fd)
{
	struct linger now = {.l_onoff = 1};
	setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
	close(fd);
}

static void link_close(struct link *link, bool reset)
{
	if (reset)
		close_by_reset(link->up.from);
	else
		close(link->up.from);
	close(link->down.from);
	buf_done(&link->up.in);
	buf_done(&link->up.out);
	buf_done(&link->down.in);
	buf_done(&link->down.out);
	link->used = false;
}

static void plan_cut(struct relay *relay, struct link *link)
{
	struct way *way = dice_below(relay->dice, 2) ? &link->up : &link->down;
	uint64_t range = dice_below(relay->dice, 2) ? GREETING_BYTES : CONNECTION_BYTES;
	way->cut_at = 1 + dice_below(relay->dice, range);
}

static void accept_one(struct relay *relay, int fd)
{
	struct sockaddr_in address = loopback(relay->broker_port);
	struct link *link = NULL;
	for (size_t i = 0; i < RELAY_LINKS && !link; i++)
		link = relay->links[i].used ? NULL : &relay->links[i];
	int broker = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (!link || broker < 0 || connect(broker, (struct sockaddr *)&address, sizeof(address)) < 0)
		torture_die("the relay cannot reach the broker: %s", strerror(errno));
	fcntl(broker, F_SETFL, O_NONBLOCK);
	*link = (struct link){
		.used = true,
		.up = {.from = fd, .to = broker, .cut_at = UINT64_MAX},
		.down = {.from = broker, .to = fd, .cut_at = UINT64_MAX},
		.wire = {.account = relay->account, .uplink = DIALECT_UPLINKS},
	};
	if (relay->cuts)
		plan_cut(relay, link);
}

struct link *relay_link_of(struct relay *relay, size_t uplink)
{
	for (size_t i = 0; i < RELAY_LINKS; i++)
		if (relay->links[i].used && !relay->links[i].ends && relay->links[i].wire.uplink == uplink)
			return &relay->links[i];
	return NULL;
}

void relay_close(struct relay *relay)
{
	for (size_t i = 0; i < RELAY_LINKS; i++)
		if (relay->links[i].used)
			link_close(&relay->links[i], false);
	close(relay->listener);
}

/* ---- what goes through ---- */

static void drop_front(struct buf *buf, size_t size)
{
	memmove(buf->data, buf->data + size, buf->size - size);
	buf->size -= size;
}

static void refuse(struct relay *relay, struct link *link, unsigned mid)
{
	const uint8_t puback[] = {0x40, 3, (uint8_t)(mid >> 8), (uint8_t)mid, dice_below(relay->dice, 3) ? 0x87 : 0x97};
	buf_add(&link->down.out, puback, sizeof(puback));
	relay->n_refused++;
}

/* True: it goes on to the broker. */
static bool pass_up(struct relay *relay, struct link *link, const struct packet *packet)
{
	unsigned mid;
	enum wire_kind kind = wire_from_uplink(&link->wire, packet, &mid);
	if (kind == WIRE_OTHER || !mid || !link->wire.v5 || !relay->refuses ||
	    dice_below(relay->dice, kind == WIRE_DATA ? 400 : 60) > 0)
		return true;
	refuse(relay, link, mid);
	return false;
}

static void pass_packets(struct relay *relay, struct link *link, struct way *way)
{
	struct packet packet;
	while (way->in.size > 0 && packet_parse((uint8_t *)way->in.data, way->in.size, &packet)) {
		bool passes = true;
		if (way == &link->up)
			passes = pass_up(relay, link, &packet);
		else
			wire_from_broker(&link->wire, &packet);
		if (passes)
			buf_add(&way->out, packet.data, packet.size);
		drop_front(&way->in, packet.size);
	}
}

/* False: the peer is gone. */
static bool way_write(struct way *way)
{
	while (way->out.size > 0) {
		ssize_t n = send(way->to, way->out.data, way->out.size, MSG_NOSIGNAL);
		if (n < 0)
			return errno == EAGAIN;
		drop_front(&way->out, (size_t)n);
	}
	return true;
}

static void cut(struct relay *relay, struct link *link)
{
	way_write(&link->up);
	way_write(&link->down);
	link_close(link, dice_below(relay->dice, 2));
	relay->n_cuts++;
}

/* With the bytes of a packet that has not come whole. */
static void begin_cut(struct relay *relay, struct link *link, struct way *way, uint64_t now_us)
{
	buf_add(&way->out, way->in.data, way->in.size);
	buf_clear(&way->in);
	if (dice_below(relay->dice, 4)) {
		cut(relay, link);
		return;
	}
	way_write(way);
	link->black = true;
	link->black_until_us = now_us + dice_below(relay->dice, 500) * USEC_PER_MSEC;
}

/* Read, as far as it shall come. */
static void way_read(struct relay *relay, struct link *link, struct way *way, uint64_t now_us)
{
	char chunk[CHUNK];
	ssize_t n = recv(way->from, chunk, sizeof(chunk), 0);
	if (n < 0 && errno == EAGAIN)
		return;
	if (n <= 0) {
		link->ends = true;
		return;
	}
	if (link->black)
		return;
	if (!relay->cuts)
		way->cut_at = UINT64_MAX;
	size_t size = (size_t)MIN((uint64_t)n, way->cut_at - way->n_read);
	buf_add(&way->in, chunk, size);
	way->n_read += size;
	pass_packets(relay, link, way);
	if (way->n_read == way->cut_at) {
		begin_cut(relay, link, way, now_us);
		return;
	}
	if (relay->cuts && dice_below(relay->dice, 50) == 0)
		way->paused_until_us = now_us + dice_below(relay->dice, 200) * USEC_PER_MSEC;
}

/* ---- the loop ---- */

static short wanted(const struct way *way, const struct way *back, uint64_t now_us)
{
	bool reads = way->out.size < OUT_MAX && way->paused_until_us <= now_us;
	return (short)((reads ? POLLIN : 0) | (back->out.size > 0 ? POLLOUT : 0));
}

size_t relay_poll(struct relay *relay, struct pollfd *fds, uint64_t now_us, uint64_t *due_us)
{
	size_t n = 0;
	fds[n++] = (struct pollfd){.fd = relay->listener, .events = POLLIN};
	for (size_t i = 0; i < RELAY_LINKS; i++) {
		struct link *link = &relay->links[i];
		if (!link->used)
			continue;
		link->at = n;
		fds[n++] = (struct pollfd){.fd = link->up.from, .events = wanted(&link->up, &link->down, now_us)};
		fds[n++] = (struct pollfd){.fd = link->down.from, .events = wanted(&link->down, &link->up, now_us)};
		const uint64_t dues[] = {link->up.paused_until_us, link->down.paused_until_us, link->black_until_us};
		for (size_t k = 0; k < ELEMENTS(dues); k++)
			if (dues[k] > now_us)
				*due_us = MIN(*due_us, dues[k]);
	}
	return n;
}

static void link_turn(struct relay *relay, struct link *link, const struct pollfd *fds, uint64_t now_us)
{
	struct way *const ways[] = {&link->up, &link->down};
	if (link->black && now_us >= link->black_until_us) {
		cut(relay, link);
		return;
	}
	for (size_t i = 0; i < ELEMENTS(ways) && link->used && !link->ends; i++)
		if (fds[i].revents & (POLLIN | POLLHUP | POLLERR) && ways[i]->paused_until_us <= now_us)
			way_read(relay, link, ways[i], now_us);
	if (!link->used)
		return;
	bool writes = way_write(&link->up);
	writes = way_write(&link->down) && writes;
	/* What one side said last reaches the other. */
	if (!writes || (link->ends && link->up.out.size == 0 && link->down.out.size == 0))
		link_close(link, false);
}

void relay_turn(struct relay *relay, const struct pollfd *fds, uint64_t now_us)
{
	for (size_t i = 0; i < RELAY_LINKS; i++)
		if (relay->links[i].used)
			link_turn(relay, &relay->links[i], &fds[relay->links[i].at], now_us);
	for (int fd; (fd = accept4(relay->listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK)) >= 0;)
		accept_one(relay, fd);
}
