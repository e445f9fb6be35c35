/* SPDX-License-Identifier: Apache-2.0 */
/* One group of `uplinks`, read and checked. */
#ifndef HAYWAIN_UPSTREAM_UPLINK_CONF_H
#define HAYWAIN_UPSTREAM_UPLINK_CONF_H

#include "base/conf.h"
#include <stdbool.h>

struct uplink_tls_conf {
	const char *ca_file;		  /* NULL: the system's */
	const char *cert_file, *key_file; /* secrets' paths, or NULL */
	const char *alpn;
};

struct uplink_conf {
	struct pool *pool; /* owns everything below */
	uint64_t digest;   /* of what the file says: reload compares */

	const char *name;
	const char *url; /* as written */
	const char *host;
	uint16_t port;
	bool tls_on;
	int64_t version; /* 5 or 311 */
	const char *client_id;
	const char *username, *password_file;
	struct uplink_tls_conf tls;
	uint64_t keepalive_us, connect_timeout_us, clock_wait_us;
	int64_t qos, inflight, batch;
	uint64_t batch_wait_us;
	double replay_rate;	  /* samples a second; 0: no limit */
	const char *subscriber;	  /* as written */
	bool subscriber_required; /* a message that reaches nobody is not delivered */
	bool commands;		  /* it may write to points */
	const char *format, *prefix, *topic;
	void *dialect_conf;
};
struct uplink_conf *uplink_conf_free(struct uplink_conf *conf);

/* Read one group of `uplinks`. gateway_id fills client_id. NULL: mistakes, which messages hold. */
/* The keys that every uplink has, and those of its `tls`. */
extern const struct hay_option uplink_options[], tls_options[];

struct uplink_conf *uplink_conf_read(const config_setting_t *setting, const char *gateway_id,
				     struct conf_messages *messages);

#endif
