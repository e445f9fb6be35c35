/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The line itself: opened exclusively, set by termios2 so that any baud rate can be had, also on pseudo-terminals
 * (which libserialport cannot open). Nothing here blocks.
 */
#ifndef SERIAL_PORT_H
#define SERIAL_PORT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum port_flow { FLOW_NONE, FLOW_RTSCTS, FLOW_XONXOFF };

struct port_mode {
	unsigned data_bits; /* 5 to 8 */
	char parity;	    /* N, E, O */
	unsigned stop_bits; /* 1, 2 */
};

struct port_rules {
	const char *path;
	unsigned baud;
	struct port_mode mode;
	enum port_flow flow;
	bool dtr, rs485;
};

/* "8N1". -EINVAL. */
int port_mode_parse(const char *text, struct port_mode *ret);

/* What went wrong, or what the port does not do though it was opened; in words. */
struct port_said {
	char text[256];
};

/* The descriptor, non-blocking; or -errno, and *said says why. Of an opened port *said may hold a warning. */
int port_open(const struct port_rules *rules, struct port_said *said);
/* What was not sent is thrown away first: a close would wait for it up to 30 s. */
void port_close(int fd);
void port_discard_input(int fd);
void port_discard_output(int fd);
bool port_has_input(int fd);
/* Unplugged, or the other end of a pseudo-terminal is gone. */
bool port_is_gone(int fd);

#endif
