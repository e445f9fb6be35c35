/* SPDX-License-Identifier: Apache-2.0 */
/* A serial port: opened, set up and locked. The only file that knows libmodbus, whose code sets the line up. */
#ifndef MODBUS_TTY_H
#define MODBUS_TTY_H

#include <stdbool.h>
#include <stdint.h>

struct tty_conf {
	const char *path;
	unsigned baud;
	char parity; /* 'N', 'E' or 'O' */
	uint8_t data_bits, stop_bits;
	bool rs485;
	uint64_t rts_delay_us; /* RS-485: before and after sending */
};

struct tty;

/* "8N1"; false: not a mode. */
bool tty_parse_mode(const char *mode, struct tty_conf *ret);
/* Whether the speed can be set. */
bool tty_knows_baud(unsigned baud);
/* How long one character takes, start, parity and stop bits included. */
uint64_t tty_char_us(const struct tty_conf *conf);

/*
 * Non-blocking, raw, and locked against others while it is open. *ret_notice: NULL, or what could not be set, in words.
 * -EBUSY: another program has it; other -errno.
 */
int tty_open(const struct tty_conf *conf, struct tty **ret, const char **ret_notice);
int tty_fd(const struct tty *tty);
/* Throws away what was not sent, which a close could wait 30 s for. NULL is fine. */
struct tty *tty_close(struct tty *tty);

#endif
