/* SPDX-License-Identifier: Apache-2.0 */
/* What the option tables cannot say. Pure. */
#ifndef SERIAL_CHECK_H
#define SERIAL_CHECK_H

#include <haywain/plugin.h>

void check_link(const void *conf, const struct hay_report *report);
void check_device(const void *conf, const void *link_conf, const struct hay_report *report);
void check_point(struct hay_point *point, const void *device_conf, const void *link_conf,
		 const struct hay_report *report);

#endif
