/* SPDX-License-Identifier: Apache-2.0 */
#include "admin/network.h"
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

struct network_watch {
	void (*changed)(void *userdata);
	void *userdata;
	int fd;
	sd_event_source *io, *timer;
	uint64_t told_us;
	bool pending;
};

/* Whether something came; what went is no reason to try. */
static bool is_gain(const struct nlmsghdr *message)
{
	const struct ifinfomsg *link = NLMSG_DATA(message);

	if (message->nlmsg_type == RTM_NEWLINK)
		return message->nlmsg_len >= NLMSG_LENGTH(sizeof(*link)) && link->ifi_flags & IFF_RUNNING;
	return message->nlmsg_type == RTM_NEWADDR || message->nlmsg_type == RTM_NEWROUTE;
}

static bool any_gain(const char *data, size_t size)
{
	const struct nlmsghdr *message = (const struct nlmsghdr *)(const void *)data;

	for (; NLMSG_OK(message, size); message = NLMSG_NEXT(message, size))
		if (is_gain(message))
			return true;
	return false;
}

static int tell_changed(sd_event_source *source _unused_, uint64_t when _unused_, void *userdata)
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

	/* ENOBUFS: more happened than the kernel kept for us. */
	while ((n = recv(fd, data, sizeof(data), MSG_DONTWAIT)) > 0 || (n < 0 && errno == ENOBUFS))
		gain |= n < 0 || any_gain(data, (size_t)n);
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
		r = sd_event_add_time_relative(event, &watch->timer, CLOCK_MONOTONIC, 0, SETTLE_US, tell_changed,
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
	free(watch);
	return NULL;
}
