/* SPDX-License-Identifier: Apache-2.0 */
/* What the option tables cannot say, and rules out of what they say. Pure. */
#ifndef SERIAL_CHECK_H
#define SERIAL_CHECK_H

#include "conf.h"
#include "decode.h"
#include "frame.h"

void check_link(const void *conf, const struct hay_report *report);
void check_device(const void *conf, const void *link_conf, const struct hay_report *report);
void check_point(struct hay_point *point, const void *device_conf, const void *link_conf,
		 const struct hay_report *report);

/* Rules out of the configuration. What check_link() has passed is right, but for memory: 0, -ENOMEM, -EINVAL. */
int serial_frame_rules(const struct serial_link_conf *conf, struct frame_rules *ret);
void serial_decode_rules(const struct serial_link_conf *conf, struct decode_rules *ret);
/* Where a point lies in a frame of bytes. type_name: as written, or NULL; type: the plain one of it. -EINVAL. */
int serial_binary_form(const struct serial_point_conf *conf, enum hay_type type, const char *type_name,
		       struct serial_binary_form *ret);
/* The byte that match_field names where decode = "binary"; -EINVAL. */
int serial_match_place(const char *match_field, size_t *ret);

#endif
