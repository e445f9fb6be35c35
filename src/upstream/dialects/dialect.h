/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Dialect interface 2. A dialect turns samples, devices and events into messages, and what the broker sends into
 * actions. Its state lasts one connection. It touches no socket, no clock and no queue; all its functions run on the
 * uplink's thread.
 *
 * A function that makes messages hands each to a sink, in the order in which they shall leave, and any number of them.
 * What a message takes of the dialect's own, such as a sequence number, is spent when the sink has returned 0 and not
 * before: what the sink refused never leaves.
 */
#ifndef HAYWAIN_UPSTREAM_DIALECT_H
#define HAYWAIN_UPSTREAM_DIALECT_H

#include "base/buf.h"
#include "base/pool.h"
#include "model/command.h"
#include "model/device_info.h"
#include "model/latest.h"
#include "model/sample.h"
#include "model/series.h"
#include <haywain/plugin.h>

/* What a dialect may know of its surroundings. Lives as long as the state. */
struct dialect_context {
	const char *gateway;   /* gateway.id */
	const char *version;   /* of Haywain */
	const char *client_id; /* as configured, filled in */
	const char *prefix;    /* as configured, "haywain/{gateway}" */
	const char *topic;     /* as configured, "{prefix}/data/{device}" */
	int qos;	       /* 0 or 1, of data */
	bool batched;	       /* batch > 1: a message may hold several samples */
	int64_t connected_ms;  /* wall time of this connection, ms since 1970 */
	uint64_t connection;   /* counts connections of this uplink since the start, from 1 */
	struct series_set *series;
	struct latest *latest; /* the newest readings of each device, for messages that must carry them; any thread */
};

/*
 * What a message that is no sample holds back. One without a barrier is passed over by others where the broker hung up
 * over it, and given up where it does so again and again, or says no; so is whatever it was numbered with. One with a
 * barrier is neither: it leaves in its turn with each connection, or the connection ends over it.
 */
enum barrier {
	BARRIER_NONE,
	BARRIER_SENT, /* no sample leaves before it has left */
	BARRIER_ACKED, /* no sample leaves before it is acknowledged; where it is refused, none does, and the uplink reconnects */
};

struct message {
	struct buf topic, payload;
	int qos;
	bool retain;
	enum barrier barrier;
};
void message_done(struct message *message);
/* Empty again, its memory kept: qos 1, not retained, no barrier. */
void message_clear(struct message *message);
size_t message_size(const struct message *message); /* bytes on the wire, nearly */

/*
 * Takes the message's content, and leaves it empty. -ENOMEM; of samples also -EMSGSIZE: larger than the broker takes,
 * and -EINVAL: MQTT cannot carry its topic. The caller returns what it got.
 */
typedef int (*message_sink)(void *userdata, struct message *message);
/* One topic filter. */
typedef int (*filter_sink)(void *userdata, const char *filter);

/* A device's info with its times made wall times. */
struct dialect_device {
	const struct device_info *info;
	int64_t since_ms;
};

/* Something that happened: "started" (first_seq), "dropped" (samples, reason, unknown). */
struct dialect_event {
	int64_t ts_ms;
	const char *name;
	struct event_field {
		const char *name;	/* NULL: the end */
		struct hay_value value; /* HAY_BOOL, HAY_UINT64 or HAY_STRING */
	} fields[4];
};

/* What the broker sent. */
struct dialect_incoming {
	const char *topic;
	const void *payload;
	size_t size;
	bool retain; /* it was kept by the broker: a command among such is one from the past, and is not executed */
};

/* What an incoming message may bring about. Called from receive(), in any number. */
struct dialect_actions {
	/* Write to a point. error: NULL, or why it is none: it is answered with that, as far as device and point are
	   known. The dialect fills in what is asked for, and gives its reference back afterwards. */
	void (*command)(void *userdata, struct command *command, const char *error);
	/* Make the birth again, and go on behind it. At most once in BIRTH_AGAIN_US is obeyed; the last is obeyed
	   late. */
	void (*birth_again)(void *userdata);
	void (*hold)(void *userdata); /* no samples until go_on() or the connection's end */
	void (*go_on)(void *userdata);
	/* Leave in good order and come again: at once, or after a pause where we had just come. */
	void (*reconnect)(void *userdata, const char *why);
};

/* A login of its own making. Texts are allocated; NULL: as configured. */
struct credentials {
	char *client_id, *username, *password;
	int64_t expires_ms; /* wall time; the connection is made anew before that; INT64_MAX: never */
};
void credentials_done(struct credentials *credentials); /* the password is wiped */

enum dialect_flags {
	/*
	 * Samples go with QoS 0, and are done when the broker has answered a later packet of the same connection, which
	 * proves that it has read them (MQTT 5, section 4.6: packets keep their order). Without it, a message of QoS 0
	 * is done once written.
	 */
	DIALECT_PROVES = 1 << 0,
};

struct dialect {
	const char *name;	    /* the value of `format` */
	struct hay_options options; /* keys of its own in the uplink's group */
	unsigned flags;

	/* NULL: fine; else what is wrong with the keys together, a sentence from the pool. May be NULL. */
	const char *(*check)(const void *conf, struct pool *pool);

	/* All give 0 or -errno. conf: the struct of options. */
	int (*open)(const struct dialect_context *context, const void *conf, void **ret_state);
	void (*close)(void *state);

	/* Before connecting. now_ms: wall time. May be NULL. */
	int (*credentials)(void *state, int64_t now_ms, struct credentials *ret);
	/* The filters of messages that receive() wants, all of them; commands: whether writing is allowed at all.
	   May be NULL. */
	int (*subscriptions)(void *state, bool commands, filter_sink sink, void *userdata);
	int (*receive)(void *state, const struct dialect_incoming *incoming, const struct dialect_actions *actions,
		       void *userdata);

	/* The message the broker shall send when we die, made before the connection: at most one. */
	int (*will)(void *state, message_sink sink, void *userdata);
	/* Right after connecting, and when asked for again: we are here, and these are the devices. */
	int (*birth)(void *state, const struct dialect_device *devices, size_t n_devices, message_sink sink,
		     void *userdata);
	/* A device came, went, or its series changed. */
	int (*device)(void *state, const struct dialect_device *device, message_sink sink, void *userdata);
	/* It is no longer configured. */
	int (*gone)(void *state, const struct dialect_device *device, message_sink sink, void *userdata);
	/* Before leaving in good order. */
	int (*death)(void *state, message_sink sink, void *userdata);

	/* Samples with the same group may share a message, and never overtake each other. Never fails; cheap. */
	uint32_t (*group)(void *state, const struct sample *sample);
	/* Where a sample goes to, for the log and to know it again; pure. -EBADMSG: it has no topic. */
	int (*topic)(void *state, const struct sample *sample, struct buf *ret);
	/* Samples of one group, oldest first; called once for what then leaves. -EBADMSG: the sample cannot be read.
	   After an error none of its messages leaves, those that the sink had taken neither: their numbers are free
	   again. */
	int (*encode)(void *state, const struct stamped_sample *samples, size_t n_samples, message_sink sink,
		      void *userdata);

	int (*event)(void *state, const struct dialect_event *event, message_sink sink, void *userdata);
	/* To a command of this state or of one before it; its answer is in it. */
	int (*reply)(void *state, const struct command *command, message_sink sink, void *userdata);
};

/* The registry; NULL: no such dialect. */
const struct dialect *dialect_by_name(const char *name);
extern const struct dialect dialect_json;
/* One more, for tests, which have two: before any uplink is made. */
void dialect_register(const struct dialect *dialect);

/* Fill a template's {words}: {gateway} {prefix}, and with a device {device} {link} and its tags. Appends to out.
   -ENOENT: a word that has no value, or a value that is no name and would change the topic's levels. -ENOMEM. */
int dialect_topic(struct buf *out, const char *topic, const struct dialect_context *context,
		  const struct series_device *device);

/* What the topics in this configuration would be wrong about (an unknown {word}, an empty level, a wildcard);
   NULL: nothing; else a sentence, allocated from the pool. Tags may appear by name. */
const char *dialect_check_topic(struct pool *pool, const char *topic);

#endif
