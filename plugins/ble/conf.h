/* SPDX-License-Identifier: Apache-2.0 */
/* The keys of links, devices and points, into the structs of ble.h. Pure. */
#ifndef BLE_CONF_H
#define BLE_CONF_H

#include <haywain/plugin.h>

extern const struct hay_option conf_link_table[], conf_device_table[], conf_point_table[];

void conf_check_device(const void *conf, const void *link_conf, const struct hay_report *report);
void conf_check_point(struct hay_point *point, const void *device_conf, const void *link_conf,
		      const struct hay_report *report);

#endif
