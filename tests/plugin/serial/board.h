/* SPDX-License-Identifier: Apache-2.0 */
/* What tests of the plugin on pseudo-terminals share: a board at the other end, and waiting for what it causes. */
#ifndef TEST_SERIAL_BOARD_H
#define TEST_SERIAL_BOARD_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "../../../plugins/serial/serial.h"
#include "../fake_host.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

extern const struct hay_plugin hay_plugin;

/* A board: the other end of the line, which a link finds under a path of its own. */
struct board {
	char dir[32], path[64];
	int fd;
};

static inline void plug(struct board *board)
{
	struct termios raw;

	board->fd = posix_openpt(O_RDWR | O_NOCTTY | O_NONBLOCK | O_CLOEXEC);
	assert_true(board->fd >= 0);
	assert_int_equal(grantpt(board->fd), 0);
	assert_int_equal(unlockpt(board->fd), 0);
	assert_int_equal(tcgetattr(board->fd, &raw), 0);
	cfmakeraw(&raw);
	tcsetattr(board->fd, TCSANOW, &raw);
	assert_int_equal(symlink(ptsname(board->fd), board->path), 0);
}

static inline void unplug(struct board *board)
{
	unlink(board->path);
	close(board->fd);
	board->fd = -1;
}

/* The plugin sets a line by termios2, which qemu-user does not carry; a kernel never answers ENOSYS. */
static inline void need_termios2(void)
{
	char settings[44]; /* struct termios2, whose header does not go with <termios.h> */
	int fd = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);
	bool missing = ioctl(fd, _IOR('T', 0x2A, settings), settings) < 0 && errno == ENOSYS;

	close(fd);
	if (missing) {
		print_message("SKIPPED: NO TERMIOS2 HERE (qemu-user?): THIS TEST NEEDS A REAL KERNEL\n");
		skip();
	}
}

static inline void board_new(struct board *board)
{
	need_termios2();
	*board = (struct board){.dir = "/tmp/haywain-test-XXXXXX", .fd = -1};
	assert_non_null(mkdtemp(board->dir));
	snprintf(board->path, sizeof(board->path), "%s/usb-board", board->dir);
}

static inline void board_free(struct board *board)
{
	if (board->fd >= 0)
		unplug(board);
	rmdir(board->dir);
}

static inline void say_n(const struct board *board, const char *text, size_t size)
{
	assert_int_equal(write(board->fd, text, size), (ssize_t)size);
}

static inline void say(const struct board *board, const char *text)
{
	say_n(board, text, strlen(text));
}

/* What the plugin sent, once it is that long. */
struct serial_heard {
	const struct board *board;
	char text[8192];
	size_t size, wanted;
};

static inline bool heard_enough(void *userdata)
{
	struct serial_heard *heard = userdata;
	ssize_t n = read(heard->board->fd, heard->text + heard->size, sizeof(heard->text) - 1 - heard->size);

	if (n > 0)
		heard->size += (size_t)n;
	heard->text[heard->size] = 0;
	return heard->size >= heard->wanted;
}

static inline void expect_request(struct fake_host *host, const struct board *board, const char *text)
{
	struct serial_heard heard = {.board = board, .wanted = strlen(text)};

	fake_run_until(host, heard_enough, &heard);
	assert_string_equal(heard.text, text);
}

/* Run until the log has a line with that text. */
struct line_wanted {
	struct fake_host *host;
	const char *text;
};

static inline bool line_came(void *userdata)
{
	struct line_wanted *wanted = userdata;
	const struct fake_event *event;

	while ((event = fake_take(wanted->host, FAKE_LOG)))
		if (strstr(event->text, wanted->text))
			return true;
	return false;
}

static inline void expect_line(struct fake_host *host, const char *text)
{
	struct line_wanted wanted = {host, text};

	fake_run_until(host, line_came, &wanted);
}

static inline double number(const struct fake_event *event, uint32_t point)
{
	const struct hay_reading *reading = fake_reading(event, point);

	assert_non_null(reading);
	assert_int_equal(reading->quality, HAY_GOOD);
	assert_int_equal(reading->value.type, HAY_FLOAT64);
	return reading->value.d;
}

/* Opened, and past the time in which what comes may be the rest of a line. */
static inline void begin(struct fake_host *host, const struct board *board)
{
	expect_line(host, "is open");
	say(board, "\n");
}

/* Where the test has stopped time: said, and read by the plugin before it goes on. */
static inline bool was_read(void *userdata)
{
	const struct hay_link *link = userdata;
	const struct serial_link *line = link->state;

	return line->heard_us == link->host->now();
}

static inline void say_in_stopped_time(struct fake_host *host, const struct board *board, struct hay_link *link,
				       const char *text, size_t size)
{
	fake_advance(host, 1000);
	say_n(board, text, size);
	fake_run_until(host, was_read, link);
}

static uint64_t silence_until;

static inline bool silence_passed(void *userdata)
{
	const struct hay_link *link = userdata;

	return link->host->now() >= silence_until;
}

#endif
