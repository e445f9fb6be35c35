/* SPDX-License-Identifier: Apache-2.0 */
/* A host's addresses. getaddrinfo() cannot be interrupted, so it runs on a thread that nobody has to wait for. */
#ifndef HAYWAIN_UPSTREAM_RESOLVE_H
#define HAYWAIN_UPSTREAM_RESOLVE_H

#include "upstream/reason.h"
#include <sys/socket.h>

#define ADDRESSES_MAX 8 /* of one name that are tried */

struct resolved_address {
	struct sockaddr_storage storage;
	socklen_t size;
};

struct resolved_addresses {
	size_t n;
	struct resolved_address list[ADDRESSES_MAX];
};

/* One name's look-ups; it keeps one that took too long, for the next try. One thread. */
struct resolver;
struct resolver *resolver_new(const char *host, uint16_t port); /* NULL: out of memory */
struct resolver *resolver_free(struct resolver *resolver);	/* never waits */

/*
 * The addresses, in the order of getaddrinfo() (RFC 6724), but the good one first. cancel_fd: gives up when it becomes
 * readable. -ECANCELED, or another -errno and the reason.
 */
int resolver_ask(struct resolver *resolver, uint64_t deadline_us, int cancel_fd, struct resolved_addresses *ret,
		 struct reason *ret_reason);
/* This one worked: begin with it from now on. */
void resolver_prefer(struct resolver *resolver, const struct resolved_address *address);

#endif
