/* SPDX-License-Identifier: Apache-2.0 */
/* What the gateway says about its configuration and its queue, in the log and to who asked for a reload. */
#ifndef HAYWAIN_GATEWAY_LOG_H
#define HAYWAIN_GATEWAY_LOG_H

#include "config.h"
#include "field/field.h"
#include "queue/queue.h"

void log_messages(const struct conf_messages *messages);

/* The messages said what is wrong; this says what follows. field: what runs, NULL at the start. */
void log_bad_config(const struct config *config, const struct field *field);

/* What the file asks for and a running gateway cannot do: compared with what it was started with, not with the last
   file. */
void log_restart_needed(const struct config *config, const char *queue_path_asked, const char *const sockets_asked[2],
			const struct queue *queue);

/* What the API says of a reload: ok, what changed (NULL: nothing was applied) and in words, and every message. */
void reload_json(struct buf *out, const struct conf_messages *messages, const struct field_changes *changes,
		 const char *summary);

/* A queue made by hand, or by an older version: readings are not everybody's business. */
void log_queue_mode(const struct queue *queue);

void log_leaving(struct queue *queue);
void log_left(struct queue *queue, bool flushed, uint64_t lost);

#endif
