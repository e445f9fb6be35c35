/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A dialect turns samples and device states into messages, and messages into commands: pure functions over a
 * state that lasts one connection. It touches no socket, no clock and no queue.
 */
#ifndef HAYWAIN_UPSTREAM_DIALECT_H
#define HAYWAIN_UPSTREAM_DIALECT_H

#include "base/buf.h"
#include "base/pool.h"
#include "base/write_answer.h"
#include "model/device_info.h"
#include "model/sample.h"
#include "model/series.h"
#include <haywain/plugin.h>

/* What a dialect may know of its surroundings. Lives as long as the state. */
struct dialect_context {
	const char *gateway;  /* gateway.id */
	const char *version;  /* of Haywain */
	const char *prefix;   /* as configured, "haywain/{gateway}" */
	const char *topic;    /* as configured, "{prefix}/data/{device}" */
	int qos;	      /* 0 or 1, of data */
	bool batched;	      /* batch > 1: a message may hold several samples */
	int64_t connected_ms; /* wall time of this connection, ms since 1970 */
	uint64_t connection;  /* counts connections of this uplink since the start, from 1 */
	struct series_set *series;
};

struct message {
	struct buf topic, payload;
	int qos;
	bool retain;
};
void message_done(struct message *message);
size_t message_size(const struct message *message); /* bytes on the wire, nearly */

/* Takes the message's content. -errno stops the caller. */
typedef int (*message_sink)(void *userdata, struct message *message);

/* A device's info with its times made wall times. */
struct dialect_device {
	const struct device_info *info;
	int64_t since_ms;
};

/* Something that happened, for the topic `event`: a flat object. */
struct dialect_event {
	int64_t ts_ms;
	const char *name; /* "started", "dropped" */
	const char *
		fields; /* further members of the object as JSON text without braces, e.g. "\"first_seq\":17"; or NULL */
};

struct dialect_command {
	char device[65], point[65];
	char id[65];		/* "" without */
	struct hay_value value; /* HAY_BOOL, HAY_INT64, HAY_FLOAT64 or HAY_STRING (allocated: free value.s.data) */
	uint64_t ttl_us;	/* UINT64_MAX without */
};

struct dialect {
	const char *name;	    /* the value of `format` */
	struct hay_options options; /* keys of its own in the uplink's group */

	/* All give 0 or -errno. conf: the struct of options. */
	int (*open)(const struct dialect_context *context, const void *conf, void **ret_state);
	void (*close)(void *state);

	/* The message the broker shall send when we die, made before the connection; 1: none. */
	int (*will)(void *state, struct message *ret);
	/* Right after connecting: we are here, and these are the devices. */
	int (*birth)(void *state, const struct dialect_device *devices, size_t n_devices, message_sink sink,
		     void *userdata);
	/* Before leaving in good order; 1: none. */
	int (*death)(void *state, struct message *ret);

	/* A device came, went, or its series changed; removed: it is no longer configured. */
	int (*device_state)(void *state, const struct dialect_device *device, bool removed, message_sink sink,
			    void *userdata);

	/* Samples with the same group may share a message. Never fails; cheap. */
	uint32_t (*group)(void *state, const struct sample *sample);
	/* Samples of one group, oldest first, into one message. -EBADMSG: the sample cannot be read. */
	int (*encode)(void *state, const struct stamped_sample *samples, size_t n_samples, struct message *ret);

	int (*event)(void *state, const struct dialect_event *event, struct message *ret); /* 1: has no events */

	/* The filter to subscribe to for commands; 1: takes none. */
	int (*command_filter)(void *state, struct buf *ret);
	/* -EINVAL: no command (*ret_error says why, static), but device, point and id are filled as far as known. */
	int (*parse_command)(void *state, const char *topic, const void *payload, size_t size,
			     struct dialect_command *ret, const char **ret_error);
	/* 1: has no replies. */
	int (*reply)(void *state, const struct dialect_command *command, const struct write_answer *answer,
		     struct message *ret);
};

/* The registry; NULL: no such dialect. */
const struct dialect *dialect_by_name(const char *name);
extern const struct dialect dialect_json;

/* Fill a template's {words}: {gateway} {prefix}, and with a device {device} {link} and its tags. Appends to out.
   -ENOENT: a word that has no value, or a value that is no name and would change the topic's levels. -ENOMEM. */
int dialect_topic(struct buf *out, const char *topic, const struct dialect_context *context,
		  const struct series_device *device);

/* What the topics in this configuration would be wrong about (an unknown {word}, an empty level, a wildcard);
   NULL: nothing; else a sentence, allocated from the pool. Tags may appear by name. */
const char *dialect_check_topic(struct pool *pool, const char *topic);

#endif
