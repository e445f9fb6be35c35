/* SPDX-License-Identifier: Apache-2.0 */
/* What is sent: a text of the configuration with its escapes, a value and a checksum in their places. Pure. */
#ifndef SERIAL_TEMPLATE_H
#define SERIAL_TEMPLATE_H

#include "frame.h"
#include <haywain/reading.h>

/* Bytes that were written with escapes. data NULL: none. */
struct bytes {
	uint8_t *data;
	size_t size;
};

#define TEMPLATE_MAX 1024 /* bytes, before values are put in */
#define TEMPLATE_CHECKSUM "{checksum}"

/*
 * {value} stands for the value (NULL: there is none, and it stands for itself), {checksum} for the checksum of what is
 * before it, made as the rules make those of frames. ret->data is to be freed. -EINVAL: a wrong escape, or a text with
 * control characters: a line end within would make a second message of the rest. -ENOMEM.
 */
int template_fill(const char *text, const struct hay_value *value, const struct frame_rules *rules, struct bytes *ret);

#endif
