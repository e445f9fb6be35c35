/* SPDX-License-Identifier: Apache-2.0 */
/* Commands of the dialect "json", and their answers. Pure; what comes in here was written by anyone who may publish. */
#ifndef HAYWAIN_UPSTREAM_JSON_COMMAND_H
#define HAYWAIN_UPSTREAM_JSON_COMMAND_H

#include "upstream/dialects/dialect.h"

/* below: the topic after the prefix, "/command/DEVICE/POINT". Fills device and point. -EINVAL and why. */
int json_command_topic(const char *below, struct command *ret, const char **ret_error);

/* {"value":55,"id":"c-17","ttl_ms":5000} or the bare value. Fills the rest. -EINVAL and why; -ENOMEM. */
int json_command_payload(const void *payload, size_t size, struct command *ret, const char **ret_error);

/* {"ok":true,"done":"yes","value":56,"asked":55.5,"read_back":true}; id: "" for none. */
void json_write_answer(struct buf *out, const char *id, const struct write_answer *answer);

#endif
