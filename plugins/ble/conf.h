/* SPDX-License-Identifier: Apache-2.0 */
/* What the configuration says of links, devices and points. Pure. */
#ifndef BLE_CONF_H
#define BLE_CONF_H

#include <haywain/plugin.h>

enum scan_mode { SCAN_ACTIVE, SCAN_PASSIVE };
enum point_mode { MODE_READ, MODE_NOTIFY };

struct ble_link_conf {
	const char *adapter;
	int scan;
	uint64_t stall_us;
};

struct ble_device_conf {
	const char *address, *match_name, *match_service;
	int64_t match_manufacturer; /* -1: none */
	const char *irk_file, *bindkey_file;
	int decode;
	uint64_t interval_us, lost_after_us;
};

struct ble_point_conf {
	const char *field, *service, *characteristic, *order;
	int64_t at; /* -1: as the standard characteristic */
	int mode;
};

extern const struct hay_option conf_link_table[], conf_device_table[], conf_point_table[];

void conf_check_device(const void *conf, const void *link_conf, const struct hay_report *report);
void conf_check_point(struct hay_point *point, const void *device_conf, const void *link_conf,
		      const struct hay_report *report);

#endif
