/* SPDX-License-Identifier: Apache-2.0 */
#include "upstream/resolve.h"
#include "base/clock.h"
#include "base/worker.h"
#include <errno.h>
#include <netdb.h>
#include <poll.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>

/* One look-up. Its thread and the resolver own it together: who leaves last frees it. */
struct lookup {
	atomic_uint owners;
	atomic_bool done; /* all below is written */
	int done_fd;	  /* readable then */
	int result, error;
	struct addrinfo *found;
	char service[8];
	char host[];
};

struct resolver {
	struct lookup *lookup;	      /* under way, or NULL */
	struct resolved_address good; /* size 0: none yet */
	uint16_t port;
	char host[];
};

static void lookup_leave(struct lookup *lookup)
{
	if (atomic_fetch_sub(&lookup->owners, 1) > 1)
		return;
	if (lookup->found)
		freeaddrinfo(lookup->found);
	if (lookup->done_fd >= 0)
		close(lookup->done_fd);
	free(lookup);
}

static void look_up(struct lookup *lookup, int flags)
{
	const struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICSERV | flags};
	lookup->result = getaddrinfo(lookup->host, lookup->service, &hints, &lookup->found);
	lookup->error = errno;
}

static void *run_lookup(void *userdata)
{
	struct lookup *lookup = userdata;
	uint64_t one = 1;
	look_up(lookup, 0);
	lookup->done = true;
	while (write(lookup->done_fd, &one, sizeof(one)) < 0 && errno == EINTR)
		;
	lookup_leave(lookup);
	return NULL;
}

struct resolver *resolver_new(const char *host, uint16_t port)
{
	size_t size = strlen(host) + 1;
	struct resolver *resolver = calloc(1, sizeof(*resolver) + size);
	if (!resolver)
		return NULL;
	resolver->port = port;
	memcpy(resolver->host, host, size);
	return resolver;
}

struct resolver *resolver_free(struct resolver *resolver)
{
	if (!resolver)
		return NULL;
	if (resolver->lookup)
		lookup_leave(resolver->lookup);
	free(resolver);
	return NULL;
}

void resolver_prefer(struct resolver *resolver, const struct resolved_address *address)
{
	resolver->good = *address;
}

static int lookup_new(const struct resolver *resolver, struct lookup **ret)
{
	size_t size = strlen(resolver->host) + 1;
	struct lookup *lookup = calloc(1, sizeof(*lookup) + size);
	if (!lookup)
		return -ENOMEM;
	memcpy(lookup->host, resolver->host, size);
	snprintf(lookup->service, sizeof(lookup->service), "%u", resolver->port);
	lookup->owners = 1;
	lookup->done_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (lookup->done_fd < 0) {
		int error = errno;
		lookup_leave(lookup);
		return -error;
	}
	*ret = lookup;
	return 0;
}

static int begin_lookup(struct resolver *resolver)
{
	struct lookup *lookup = NULL;
	int r = lookup_new(resolver, &lookup);
	if (r < 0)
		return r;
	resolver->lookup = lookup;
	/* An address in figures is asked nobody for. */
	look_up(lookup, AI_NUMERICHOST);
	if (lookup->result == 0) {
		uint64_t one = 1;
		lookup->done = true;
		return write(lookup->done_fd, &one, sizeof(one)) < 0 ? -errno : 0;
	}
	pthread_t thread;
	lookup->owners = 2;
	r = thread_start(&thread, "look-up", run_lookup, lookup);
	if (r < 0) {
		lookup->owners = 1;
		return r;
	}
	pthread_detach(thread);
	return 0;
}

static int await_lookup(const struct lookup *lookup, uint64_t deadline_us, int cancel_fd)
{
	for (;;) {
		struct pollfd fds[] = {{.fd = lookup->done_fd, .events = POLLIN}, {.fd = cancel_fd, .events = POLLIN}};
		uint64_t now = clock_now();
		uint64_t wait_us = now < deadline_us ? deadline_us - now : 0;
		int r = poll(fds, 2, (int)MIN((wait_us + 999) / USEC_PER_MSEC, 600000));
		if (r < 0 && errno != EINTR)
			return -errno;
		if (r > 0 && fds[1].revents)
			return -ECANCELED;
		if (r > 0 && lookup->done)
			return 0;
		if (r == 0 && clock_now() >= deadline_us)
			return -ETIMEDOUT;
	}
}

static void collect_addresses(const struct resolver *resolver, const struct addrinfo *found,
			      struct resolved_addresses *ret)
{
	ret->n = 0;
	for (const struct addrinfo *at = found; at && ret->n < ADDRESSES_MAX; at = at->ai_next) {
		if (at->ai_addrlen > sizeof(ret->list[0].storage))
			continue;
		struct resolved_address *address = &ret->list[ret->n++];
		memset(address, 0, sizeof(*address));
		memcpy(&address->storage, at->ai_addr, at->ai_addrlen);
		address->size = at->ai_addrlen;
	}
	for (size_t i = 1; i < ret->n; i++) {
		const struct resolved_address good = ret->list[i];
		if (good.size != resolver->good.size || memcmp(&good.storage, &resolver->good.storage, good.size) != 0)
			continue;
		memmove(&ret->list[1], &ret->list[0], i * sizeof(ret->list[0]));
		ret->list[0] = good;
	}
}

int resolver_ask(struct resolver *resolver, uint64_t deadline_us, int cancel_fd, struct resolved_addresses *ret,
		 struct reason *ret_reason)
{
	int r = resolver->lookup ? 0 : begin_lookup(resolver);
	if (r >= 0)
		r = await_lookup(resolver->lookup, deadline_us, cancel_fd);
	struct lookup *lookup = resolver->lookup;
	if (r == -ETIMEDOUT)
		reason_set(ret_reason, "the name %s cannot be resolved: no name server answers in time",
			   resolver->host);
	else if (r < 0)
		reason_set(ret_reason, "the name %s cannot be resolved: %s", resolver->host, strerror(-r));
	if (r == -ETIMEDOUT || r == -ECANCELED)
		return r;
	resolver->lookup = NULL;
	if (r < 0) {
		if (lookup)
			lookup_leave(lookup);
		return r;
	}
	if (lookup->result != 0) {
		reason_set(ret_reason, "the name %s cannot be resolved: %s", resolver->host,
			   lookup->result == EAI_SYSTEM ? strerror(lookup->error) : gai_strerror(lookup->result));
		r = -EHOSTUNREACH;
	} else {
		collect_addresses(resolver, lookup->found, ret);
	}
	lookup_leave(lookup);
	return r;
}
