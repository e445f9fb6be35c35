/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The whole configuration: haywain.conf and the conf.d beside it, read, checked and laid out for the stages.
 * Each link, device and uplink owns its piece, so that reload can keep the one and replace the other.
 */
#ifndef HAYWAIN_CONFIG_H
#define HAYWAIN_CONFIG_H

#include "base/buf.h"
#include "field/field_conf.h"
#include "queue/queue.h"
#include "upstream/uplink.h"

struct gateway_conf {
	const char *id;
	int log_level; /* enum hay_log_level */
	int clock;     /* enum config_clock */
};
enum config_clock { CONFIG_CLOCK_NTP, CONFIG_CLOCK_TRUST };

/* Something the file names but that could not be used: at reload its last good form stays. */
struct config_bad {
	enum { CONFIG_BAD_LINK, CONFIG_BAD_DEVICE, CONFIG_BAD_FILE } kind;
	const char *name; /* of the link or device, or the path of the file */
};

/* What stays of a part when it was taken: whether the next file says the same of it. */
struct config_mark {
	const char *name;
	uint64_t digest;
};

struct config {
	struct pool *pool;
	struct gateway_conf gateway;
	struct queue_conf queue;
	const char *api_socket, *api_read_socket; /* "": off */
	uint64_t self_every_us;			  /* 0: off */

	/* The caller that takes one leaves NULL. */
	struct uplink_conf **uplinks;
	size_t n_uplinks;
	struct config_mark *uplink_marks; /* of the uplinks, also when they are taken */
	size_t n_uplink_marks;
	struct link_conf **links;
	size_t n_links;
	struct device_conf **devices; /* in the order of the files; only enabled ones */
	size_t n_devices;
	const char **device_names; /* of all of them, also when they are taken */

	struct config_bad *bad;
	size_t n_bad;
};

struct plugin_set;

/*
 * Read path and path's conf.d. plugins: loads what links name (see field/plugin_load.h). Mistakes in links and devices
 * and in files of conf.d are told in messages and left out of *ret; -EBADMSG where the main file does not parse,
 * gateway, queue, uplinks, api or self are wrong, or a file of conf.d that does not parse seems to hold one of them:
 * then nothing comes back.
 */
int config_load(const char *path, struct plugin_set *plugins, struct conf_messages *messages, struct config **ret);
struct config *config_free(struct config *config);

/* What differs between two of them besides links and devices, for people: "uplink cloud changed; queue.max_size and
   self changed". Appends to out, each part after a "; ". */
void config_describe_changes(const struct config *before, const struct config *now, struct buf *out);

#endif
