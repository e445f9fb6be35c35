/* SPDX-License-Identifier: Apache-2.0 */
#include "tty.h"
#include <errno.h>
#include <fcntl.h>
#include <linux/serial.h>
#include <modbus.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>

struct tty {
	modbus_t *modbus; /* puts the line back as it was when it is closed */
	int fd;
};

bool tty_parse_mode(const char *mode, struct tty_conf *ret)
{
	if (strlen(mode) != 3 || !strchr("78", mode[0]) || !strchr("NEO", mode[1]) || !strchr("12", mode[2]))
		return false;
	ret->data_bits = (uint8_t)(mode[0] - '0');
	ret->parity = mode[1];
	ret->stop_bits = (uint8_t)(mode[2] - '0');
	return true;
}

bool tty_knows_baud(unsigned baud)
{
	static const unsigned known[] = {110,	  300,	   600,	    1200,    2400,    4800,    9600,	19200,
					 38400,	  57600,   115200,  230400,  460800,  500000,  576000,	921600,
					 1000000, 1152000, 1500000, 2000000, 2500000, 3000000, 3500000, 4000000};

	for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++)
		if (known[i] == baud)
			return true;
	return false;
}

uint64_t tty_char_us(const struct tty_conf *conf)
{
	unsigned bits = 1u + conf->data_bits + (conf->parity != 'N') + conf->stop_bits;

	return (bits * UINT64_C(1000000) + conf->baud - 1) / conf->baud;
}

/* Whether no process has locked it, before its settings are touched. */
static int open_unlocked(const char *path)
{
	int fd = open(path, O_RDWR | O_NOCTTY | O_NONBLOCK | O_CLOEXEC), r = 0;

	if (fd < 0)
		return -errno;
	if (!isatty(fd))
		r = -ENOTTY;
	else if (flock(fd, LOCK_EX | LOCK_NB) < 0)
		r = errno == EWOULDBLOCK ? -EBUSY : -errno;
	close(fd);
	return r;
}

/* The driver holds the transmitter on while it sends: TIOCSRS485. */
static bool set_rs485(int fd, uint64_t delay_us)
{
	struct serial_rs485 rs485 = {.flags = SER_RS485_ENABLED | SER_RS485_RTS_ON_SEND};

	/* The kernel counts whole milliseconds. */
	rs485.delay_rts_before_send = rs485.delay_rts_after_send = (uint32_t)((delay_us + 999) / 1000);
	return ioctl(fd, TIOCSRS485, &rs485) == 0;
}

int tty_open(const struct tty_conf *conf, struct tty **ret, const char **ret_notice)
{
	struct tty *tty;
	int r = open_unlocked(conf->path);

	if (r < 0)
		return r;
	tty = calloc(1, sizeof(*tty));
	if (!tty)
		return -ENOMEM;
	tty->fd = -1;
	tty->modbus = modbus_new_rtu(conf->path, (int)conf->baud, conf->parity, conf->data_bits, conf->stop_bits);
	if (!tty->modbus) {
		free(tty);
		return -ENOMEM;
	}
	if (modbus_connect(tty->modbus) < 0) {
		r = errno > 0 && errno < 4096 ? -errno : -EIO;
		tty_close(tty);
		return r;
	}
	tty->fd = modbus_get_socket(tty->modbus);
	fcntl(tty->fd, F_SETFD, FD_CLOEXEC);
	if (flock(tty->fd, LOCK_EX | LOCK_NB) < 0) {
		r = errno == EWOULDBLOCK ? -EBUSY : -errno;
		tty_close(tty);
		return r;
	}
	ioctl(tty->fd, TIOCEXCL);
	tcflush(tty->fd, TCIOFLUSH);
	*ret_notice = NULL;
	if (conf->rs485 && !set_rs485(tty->fd, conf->rts_delay_us))
		*ret_notice =
			"its driver cannot switch an RS-485 transmitter (TIOCSRS485); going on without, which suits an adapter that switches by itself";
	*ret = tty;
	return 0;
}

int tty_fd(const struct tty *tty)
{
	return tty->fd;
}

struct tty *tty_close(struct tty *tty)
{
	if (!tty)
		return NULL;
	if (tty->fd >= 0) {
		tcflush(tty->fd, TCIOFLUSH);
		ioctl(tty->fd, TIOCNXCL);
		modbus_close(tty->modbus);
	}
	modbus_free(tty->modbus);
	free(tty);
	return NULL;
}
