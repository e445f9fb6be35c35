/* SPDX-License-Identifier: Apache-2.0 */
#include "port.h"
#include <asm/termbits.h> /* termios2; <termios.h> must not come with it */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/serial.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <unistd.h>

int port_mode_parse(const char *text, struct port_mode *ret)
{
	char parity;

	if (!text || strlen(text) != 3 || text[0] < '5' || text[0] > '8' || (text[2] != '1' && text[2] != '2'))
		return -EINVAL;
	parity = text[1] & ~0x20;
	if (parity != 'N' && parity != 'E' && parity != 'O')
		return -EINVAL;
	*ret = (struct port_mode){(unsigned)(text[0] - '0'), parity, (unsigned)(text[2] - '0')};
	return 0;
}

static int fail_port(struct port_said *said, int error, const char *path, const char *what)
{
	snprintf(said->text, sizeof(said->text), "%s: %s", path, what ? what : strerror(error));
	return -error;
}

static unsigned mode_flags(const struct port_rules *rules)
{
	static const unsigned sizes[] = {CS5, CS6, CS7, CS8};
	unsigned flags = sizes[rules->mode.data_bits - 5];

	if (rules->mode.parity != 'N')
		flags |= PARENB;
	if (rules->mode.parity == 'O')
		flags |= PARODD;
	if (rules->mode.stop_bits == 2)
		flags |= CSTOPB;
	return flags;
}

/* 0, or -errno with the words. pseudo: the other end is a program, which cares for neither bits nor baud. */
static int set_line(int fd, const struct port_rules *rules, bool pseudo, struct port_said *said)
{
	const unsigned asked = CSIZE | PARENB | PARODD | CSTOPB;
	struct termios2 line, got;
	unsigned flags = mode_flags(rules);

	if (ioctl(fd, TCGETS2, &line) < 0)
		return fail_port(said, errno, rules->path, errno == ENOTTY ? "this is no serial port" : NULL);
	line.c_iflag = rules->mode.parity != 'N' ? INPCK : 0;
	if (rules->flow == FLOW_XONXOFF)
		line.c_iflag |= IXON | IXOFF;
	line.c_oflag = 0;
	line.c_lflag = 0;
	line.c_cflag = CREAD | CLOCAL | BOTHER | BOTHER << IBSHIFT | flags;
	if (rules->flow == FLOW_RTSCTS)
		line.c_cflag |= CRTSCTS;
	if (rules->dtr)
		line.c_cflag |= HUPCL;
	line.c_cc[VMIN] = 1;
	line.c_cc[VTIME] = 0;
	line.c_ispeed = line.c_ospeed = rules->baud;
	if (ioctl(fd, TCSETS2, &line) < 0 || ioctl(fd, TCGETS2, &got) < 0)
		return fail_port(said, errno, rules->path, NULL);
	if ((got.c_cflag & asked) != flags) {
		snprintf(said->text, sizeof(said->text), "%s does not do %u%c%u%s", rules->path, rules->mode.data_bits,
			 rules->mode.parity, rules->mode.stop_bits,
			 pseudo ? "; going on, it is a pseudo-terminal" : "");
		if (!pseudo)
			return -EINVAL;
	}
	if (!pseudo &&
	    (got.c_ospeed < rules->baud - rules->baud / 32 || got.c_ospeed > rules->baud + rules->baud / 32)) {
		snprintf(said->text, sizeof(said->text), "%s does not do %u baud, but %u", rules->path, rules->baud,
			 got.c_ospeed);
		return -EINVAL;
	}
	return 0;
}

static int lock_port(int fd, const char *path, struct port_said *said)
{
	if (flock(fd, LOCK_EX | LOCK_NB) < 0)
		return fail_port(said, EBUSY, path, "another program has it open and locked");
	/* Keeps out programs that do not ask for the lock; not the superuser's. */
	ioctl(fd, TIOCEXCL);
	return 0;
}

static void set_wires(int fd, const struct port_rules *rules, struct port_said *said)
{
	struct serial_rs485 rs485 = {.flags = SER_RS485_ENABLED | SER_RS485_RTS_ON_SEND};
	int wires = TIOCM_DTR;

	/* The kernel raises DTR at every open; without it there is nothing to be done before. */
	ioctl(fd, rules->dtr ? TIOCMBIS : TIOCMBIC, &wires);
	if (rules->rs485 && ioctl(fd, TIOCSRS485, &rs485) < 0)
		snprintf(said->text, sizeof(said->text),
			 "%s: its driver does not switch RS-485 (%s); going on, the adapter may do so by itself",
			 rules->path, strerror(errno));
}

int port_open(const struct port_rules *rules, struct port_said *said)
{
	char *path = realpath(rules->path, NULL); /* what a by-id link names now */
	bool pseudo;
	int fd, wires, r;

	said->text[0] = 0;
	if (!path)
		return fail_port(said, errno, rules->path, errno == ENOENT ? "the port is not there" : NULL);
	fd = open(path, O_RDWR | O_NOCTTY | O_NONBLOCK | O_CLOEXEC);
	r = errno;
	free(path);
	if (fd < 0)
		return fail_port(said, r, rules->path,
				 r == EBUSY    ? "another program has it open"
				 : r == EACCES ? "permission denied: the daemon's user must be in the group of the port"
				 : r == ENOENT || r == ENXIO || r == ENODEV || r == EIO ? "is not there"
											: NULL);
	pseudo = ioctl(fd, TIOCMGET, &wires) < 0;
	r = lock_port(fd, rules->path, said);
	if (r == 0)
		r = set_line(fd, rules, pseudo, said);
	if (r == 0 && port_is_gone(fd))
		r = fail_port(said, ENXIO, rules->path, "is not there: nothing at its other end");
	if (r < 0) {
		close(fd);
		return r;
	}
	set_wires(fd, rules, said);
	port_discard_input(fd); /* from before */
	return fd;
}

void port_close(int fd)
{
	ioctl(fd, TCFLSH, TCIOFLUSH);
	close(fd);
}

void port_discard_input(int fd)
{
	ioctl(fd, TCFLSH, TCIFLUSH);
}

void port_discard_output(int fd)
{
	ioctl(fd, TCFLSH, TCOFLUSH);
}

bool port_has_input(int fd)
{
	struct pollfd state = {.fd = fd, .events = POLLIN};

	return poll(&state, 1, 0) > 0 && state.revents & POLLIN;
}

bool port_is_gone(int fd)
{
	struct pollfd state = {.fd = fd, .events = 0};

	return poll(&state, 1, 0) > 0 && state.revents & (POLLHUP | POLLERR | POLLNVAL);
}
