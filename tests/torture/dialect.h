/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The parts of the program `dialect`: the uplinks that all parts know, the account of what was appended and arrived, what is seen of
 * a connection on the wire, the relay that breaks connections, and the life of a gateway.
 */
#ifndef HAYWAIN_TORTURE_DIALECT_H
#define HAYWAIN_TORTURE_DIALECT_H

#include "base/buf.h"
#include "torture.h"
#include <poll.h>

#define DIALECT_PARTS 3
enum { DIALECT_UPLINKS = 8, DIALECT_DEVICES = 3, DIALECT_ACKED = 4 /* from this one on samples go with QoS 1 */ };

extern const char *const dialect_devices[DIALECT_DEVICES]; /* of the value n: n % DIALECT_DEVICES */
/* A login that lasts 2 s, and so a new connection each 1.6 s; else an hour. */
static inline bool dialect_login_ends(size_t uplink)
{
	return uplink % 2 == 0;
}
/* MQTT 3.1.1: no refusal has a word there. */
static inline bool dialect_is_311(size_t uplink)
{
	return uplink % 4 == 3;
}

/* ---- dialect_account.c ---- */

struct account {
	uint64_t upto;	  /* no value above this was appended */
	uint8_t *durable; /* by value: it was on the disk for sure */
	uint8_t *parts[DIALECT_UPLINKS];
	size_t capacity;

	uint64_t n_durable;
	uint64_t arrived, twice; /* packets of samples, all uplinks; those whose part had arrived before */
	uint64_t arrived_us;	 /* when the last one did */
	uint64_t dropped;	 /* samples, by the events */
	uint64_t packets, encoded, connections, renewals, births, births_again; /* on the wire */
	uint64_t newest[DIALECT_UPLINKS][DIALECT_DEVICES];			/* by the last birth of each device */
	uint64_t again[DIALECT_UPLINKS];					/* births that a connection repeated */
	uint64_t left_without_death;						/* connections left in good order */
	uint64_t n_wrong;
};

void account_wrong(struct account *account, const char *format, ...) _printf_(2, 3);
void account_reserve(struct account *account, uint64_t upto);
void account_durable(struct account *account, uint64_t first, uint64_t last);
void account_arrived(struct account *account, const char *topic, const char *payload, uint64_t now_us);
/* Durable samples of which not all parts arrived. */
uint64_t account_missing(const struct account *account, size_t uplink, uint64_t *ret_first);
void account_free(struct account *account);

/* A number after "name=" in a payload; false: there is none. */
bool payload_number(const char *payload, const char *name, uint64_t *ret);

/* ---- dialect_wire.c: what a connection of an uplink must look like ---- */

struct packet {
	uint8_t type, flags; /* the header's halves */
	const uint8_t *data; /* with the header */
	size_t size;
	const uint8_t *body;
	size_t body_size;
};
/* True: a whole packet is at the beginning of data. */
bool packet_parse(const uint8_t *data, size_t size, struct packet *ret);

struct wire {
	struct account *account;
	size_t uplink; /* DIALECT_UPLINKS: not yet known */
	bool v5;
	char connection[40]; /* by the payloads */
	uint64_t user;	     /* by the login */
	uint64_t seq, call;
	uint64_t n;
	unsigned part; /* of the last packet of a sample; 0: none, or all have come */
	unsigned birth_mid, gateway_births, born;
	bool birth_acked;
	unsigned hold_mid;
	bool is_held; /* "hold" has been taken */
	bool died;
};

enum wire_kind { WIRE_OTHER, WIRE_BIRTH, WIRE_DATA };
/* The uplink sent it. *ret_mid: 0 with QoS 0. */
enum wire_kind wire_from_uplink(struct wire *wire, const struct packet *packet, unsigned *ret_mid);
void wire_from_broker(struct wire *wire, const struct packet *packet);

/* ---- dialect_relay.c ---- */

#define RELAY_LINKS 64

struct way {
	int from, to;
	struct buf in;	/* read, and no whole packet yet */
	struct buf out; /* to be written */
	uint64_t n_read, cut_at, paused_until_us;
};

struct link {
	bool used, black, ends; /* black: what comes is swallowed; ends: once all is written */
	uint64_t black_until_us;
	struct way up, down;
	struct wire wire;
	size_t at; /* in the list given to poll() */
};

struct relay {
	struct account *account;
	struct dice *dice;
	int listener, port, broker_port;
	bool cuts, refuses;
	uint64_t n_cuts, n_refused;
	struct link links[RELAY_LINKS];
};

void relay_open(struct relay *relay, struct account *account, struct dice *dice, int broker_port);
void relay_close(struct relay *relay);
size_t relay_poll(struct relay *relay, struct pollfd *fds, uint64_t now_us, uint64_t *due_us);
void relay_turn(struct relay *relay, const struct pollfd *fds, uint64_t now_us);
struct link *relay_link_of(struct relay *relay, size_t uplink); /* its connection; NULL: none */

/* ---- dialect_life.c ---- */

/* A gateway, until it is killed or told to leave: the program itself, started with --life FOLDER PORT FIRST SEED. */
int life_main(char **arguments);

#endif
