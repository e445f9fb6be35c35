/* SPDX-License-Identifier: Apache-2.0 */
/* The keys of links, devices and points, into the structs of serial.h. */
#ifndef SERIAL_CONF_H
#define SERIAL_CONF_H

#include <haywain/plugin.h>

extern const struct hay_option conf_link_table[], conf_device_table[], conf_point_table[];
extern const char *const conf_types[]; /* beside the plain types, in frames of bytes */

#endif
