/* SPDX-License-Identifier: Apache-2.0 */
/* What the configuration says of links, devices and points. */
#ifndef SERIAL_CONF_H
#define SERIAL_CONF_H

#include <haywain/plugin.h>

enum checksum_form { FORM_AUTO, FORM_BYTES, FORM_HEX };
enum time_unit { TIME_S, TIME_MS, TIME_US, TIME_ISO };

struct serial_link_conf {
	const char *port;
	int64_t baud;
	const char *mode;
	int flow;
	bool dtr, rs485;
	uint64_t settle_us;

	int frame;
	const char *delimiter, *start, *end, *escape;
	int64_t length, length_at, length_size, length_adds;
	int length_order;
	uint64_t gap_us, max_frame;
	int checksum, checksum_at, checksum_of, checksum_form;

	int decode;
	const char *separator, *assign, *columns, *pattern, *sentence;
	bool header;
	int decimal;

	const char *request;
	uint64_t timeout_us;
	const char *time_field, *match_field;
	int time_unit;
};

struct serial_device_conf {
	const char *match, *request;
};

struct serial_point_conf {
	const char *field;
	int64_t at, length;
	const char *order;
	const char *write_template, *write_ack;
};

extern const struct hay_option conf_link_table[], conf_device_table[], conf_point_table[];
extern const char *const conf_types[]; /* beside the plain types, in frames of bytes */

#endif
