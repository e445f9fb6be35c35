/* SPDX-License-Identifier: Apache-2.0 */
/* What a person may write about Modbus, and what is wrong with it. Pure. */
#ifndef MODBUS_CONF_H
#define MODBUS_CONF_H

#include "plan.h"
#include "transport.h"
#include "types.h"
#include <haywain/plugin.h>

#define GAP_DEFAULT_US UINT64_C(3600000000) /* "1h": longer than any that may be written */

struct modbus_link_conf {
	const char *url, *port, *mode; /* mode NULL: 8N1 */
	int64_t baud;		       /* 0: 9600 */
	bool rs485;
	uint64_t rts_delay_us, timeout_us, gap_us, unit_gap_us; /* gaps: GAP_DEFAULT_US where not written */
	int64_t retries;
};

struct modbus_device_conf {
	int64_t unit;
	int64_t max_registers;
	int64_t max_hole;
};

struct modbus_point_conf {
	int64_t address[N_TABLES]; /* -1: not in that table */
	const char *reference;
	const char *order, *bits, *string_order;
	int64_t length;
};

extern const struct hay_option conf_link_table[], conf_device_table[], conf_point_table[];

void conf_check_link(const void *conf, const struct hay_report *report);
void conf_check_device(const void *conf, const void *link_conf, const struct hay_report *report);
void conf_check_point(struct hay_point *point, const void *device_conf, const void *link_conf,
		      const struct hay_report *report);

/* Where the point lies and how. Its configuration is right. */
void conf_point(const struct hay_point *point, struct plan_place *ret_place, struct value_form *ret_form);

/* The transport of a link whose configuration is right. url and tty: room for what *ret points to. */
void conf_transport(const struct modbus_link_conf *conf, uint64_t (*now)(void), struct url *url, struct tty_conf *tty,
		    struct transport_conf *ret);

#endif
