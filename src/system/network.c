/* SPDX-License-Identifier: Apache-2.0 */
#include "system/network.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/util.h"
#include <errno.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* An address, its route and the answer of DHCP come one after the other: one word for all of them. */
#define SETTLE_US (300 * USEC_PER_MSEC)
#define APART_US (2 * USEC_PER_SEC)
#define SAME_TIME 100 /* hundredths of a second between two that the kernel means to be the same */

struct network_watch {
	void (*changed)(void *userdata);
	void *userdata;
	int fd;
	sd_event_source *io, *timer;
	uint64_t told_us;
	bool pending;
	int *running; /* interfaces that are known to be */
	size_t n_running;
};

/* The kernel's macros cast from char: every message and attribute begins at a multiple of 4 (netlink(7)), and so
   does the buffer they are read into. */
#pragma GCC diagnostic ignored "-Wcast-align"

/* ---- what is new; what went, or is said again, is no reason to try ---- */

static void remove_running(struct network_watch *watch, int link)
{
	for (size_t i = 0; i < watch->n_running; i++)
		if (watch->running[i] == link) {
			watch->running[i] = watch->running[--watch->n_running];
			return;
		}
}

/* True: it was not running before. Without the memory to know, it counts as new. */
static bool add_running(struct network_watch *watch, int link)
{
	int *running;

	for (size_t i = 0; i < watch->n_running; i++)
		if (watch->running[i] == link)
			return false;
	running = reallocarray(watch->running, watch->n_running + 1, sizeof(*running));
	if (running) {
		watch->running = running;
		watch->running[watch->n_running++] = link;
	}
	return true;
}

/* A radio's scan and a new name are told with the same message as a cable that is plugged in. */
static bool link_came_up(struct network_watch *watch, const struct nlmsghdr *message)
{
	const struct ifinfomsg *link = NLMSG_DATA(message);

	if (message->nlmsg_len < NLMSG_LENGTH(sizeof(*link)) || link->ifi_family != AF_UNSPEC)
		return false;
	if (message->nlmsg_type == RTM_NEWLINK && link->ifi_flags & IFF_RUNNING)
		return add_running(watch, link->ifi_index);
	remove_running(watch, link->ifi_index);
	return false;
}

/* Each announcement of a router and each renewed lease gives an address that is there a new lifetime: then the two
   times, in hundredths of a second, are no longer the same. */
static bool is_new_address(const struct nlmsghdr *message)
{
	const struct ifaddrmsg *address = NLMSG_DATA(message);
	const struct rtattr *attribute = IFA_RTA(address);
	uint32_t size;

	if (message->nlmsg_len < NLMSG_LENGTH(sizeof(*address)))
		return false;
	for (size = (uint32_t)IFA_PAYLOAD(message); RTA_OK(attribute, size); attribute = RTA_NEXT(attribute, size)) {
		const struct ifa_cacheinfo *times = RTA_DATA(attribute);

		if (attribute->rta_type == IFA_CACHEINFO && RTA_PAYLOAD(attribute) >= sizeof(*times))
			return times->tstamp - times->cstamp + SAME_TIME < 2 * SAME_TIME;
	}
	return true;
}

/* Routes to some network come and go all day where there are containers or a routing daemon; the way to the world
   does not. */
static bool is_default_route(const struct nlmsghdr *message)
{
	const struct rtmsg *route = NLMSG_DATA(message);

	return message->nlmsg_len >= NLMSG_LENGTH(sizeof(*route)) && route->rtm_dst_len == 0 &&
	       route->rtm_type == RTN_UNICAST;
}

static bool is_gain(struct network_watch *watch, const struct nlmsghdr *message)
{
	switch (message->nlmsg_type) {
	case RTM_NEWLINK:
	case RTM_DELLINK:
		return link_came_up(watch, message);
	case RTM_NEWADDR:
		return is_new_address(message);
	case RTM_NEWROUTE:
		return is_default_route(message);
	default:
		return false;
	}
}

static bool any_gain(struct network_watch *watch, const char *data, size_t size)
{
	const struct nlmsghdr *message = (const struct nlmsghdr *)(const void *)data;
	bool gain = false;

	for (; NLMSG_OK(message, size); message = NLMSG_NEXT(message, size))
		gain |= is_gain(watch, message);
	return gain;
}

/* ---- telling of it ---- */

static int report_change(sd_event_source *source _unused_, uint64_t when _unused_, void *userdata)
{
	struct network_watch *watch = userdata;

	watch->pending = false;
	watch->told_us = clock_now();
	log_debug("the network has changed");
	watch->changed(watch->userdata);
	return 0;
}

static int read_changes(sd_event_source *source _unused_, int fd, uint32_t events _unused_, void *userdata)
{
	struct network_watch *watch = userdata;
	_Alignas(struct nlmsghdr) char data[8192];
	bool gain = false;
	ssize_t n;

	while ((n = recv(fd, data, sizeof(data), MSG_DONTWAIT)) > 0 || (n < 0 && errno == ENOBUFS)) {
		if (n < 0) /* more happened than the kernel kept for us */
			watch->n_running = 0;
		gain |= n < 0 || any_gain(watch, data, (size_t)n);
	}
	if (gain && !watch->pending) {
		uint64_t now = clock_now(), next = watch->told_us ? watch->told_us + APART_US : 0;

		watch->pending = true;
		sd_event_source_set_time_relative(watch->timer, MAX(SETTLE_US, next > now ? next - now : 0));
		sd_event_source_set_enabled(watch->timer, SD_EVENT_ONESHOT);
	}
	return 0;
}

int network_watch_new(sd_event *event, void (*changed)(void *userdata), void *userdata, struct network_watch **ret)
{
	struct sockaddr_nl address = {.nl_family = AF_NETLINK,
				      .nl_groups = RTMGRP_LINK | RTMGRP_IPV4_IFADDR | RTMGRP_IPV6_IFADDR |
						   RTMGRP_IPV4_ROUTE | RTMGRP_IPV6_ROUTE};
	struct network_watch *watch = calloc(1, sizeof(*watch));
	int r = 0;

	if (!watch)
		return -ENOMEM;
	watch->changed = changed;
	watch->userdata = userdata;
	watch->fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_ROUTE);
	if (watch->fd < 0 || bind(watch->fd, (const struct sockaddr *)&address, sizeof(address)) < 0)
		r = -errno;
	if (r >= 0)
		r = sd_event_add_io(event, &watch->io, watch->fd, EPOLLIN, read_changes, watch);
	if (r >= 0)
		r = sd_event_add_time_relative(event, &watch->timer, CLOCK_MONOTONIC, 0, SETTLE_US, report_change,
					       watch);
	if (r >= 0)
		r = sd_event_source_set_enabled(watch->timer, SD_EVENT_OFF);
	if (r < 0) {
		network_watch_free(watch);
		return r;
	}
	*ret = watch;
	return 0;
}

struct network_watch *network_watch_free(struct network_watch *watch)
{
	if (!watch)
		return NULL;
	sd_event_source_disable_unref(watch->io);
	sd_event_source_disable_unref(watch->timer);
	if (watch->fd >= 0)
		close(watch->fd);
	free(watch->running);
	free(watch);
	return NULL;
}
