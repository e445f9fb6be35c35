/* SPDX-License-Identifier: Apache-2.0 */
/* What a port is told: a pseudo-terminal that passes for a real one, for the program's ioctl() is ours. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "../../../plugins/serial/port.h"
#include <asm/ioctls.h>
#include <asm/termbits.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/serial.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/syscall.h>
#include <unistd.h>

#define DTR 0x002 /* TIOCM_DTR: its header has another termios */

/* What the driver does and what it was told. */
static struct {
	bool real, no_rs485;
	unsigned other_baud;
	struct termios2 line;
	int raised, lowered, exclusive, rs485;
} driver;

int ioctl(int fd, unsigned long request, ...);
int ioctl(int fd, unsigned long request, ...)
{
	va_list args;
	void *argument;
	long r;

	va_start(args, request);
	argument = va_arg(args, void *);
	va_end(args);
	switch (request) {
	case TIOCMGET:
		errno = ENOTTY;
		return driver.real ? 0 : -1;
	case TIOCMBIS:
		driver.raised |= *(int *)argument;
		return 0;
	case TIOCMBIC:
		driver.lowered |= *(int *)argument;
		return 0;
	case TIOCEXCL:
		driver.exclusive++;
		break;
	case TIOCSRS485:
		driver.rs485 = (int)((struct serial_rs485 *)argument)->flags;
		errno = ENOTTY;
		return driver.no_rs485 ? -1 : 0;
	case TCSETS2:
		driver.line = *(struct termios2 *)argument;
		break;
	default:
		break;
	}
	r = syscall(SYS_ioctl, fd, request, argument);
	if (r == 0 && request == TCGETS2 && driver.real) {
		struct termios2 *got = argument;

		got->c_cflag = driver.line.c_cflag;
		got->c_ospeed = driver.other_baud ? driver.other_baud : driver.line.c_ospeed;
	}
	return (int)r;
}

static int other_end;
static char path[64];

static int setup(void **state)
{
	(void)state;
	memset(&driver, 0, sizeof(driver));
	driver.real = true;
	other_end = posix_openpt(O_RDWR | O_NOCTTY);
	if (other_end < 0 || grantpt(other_end) < 0 || unlockpt(other_end) < 0)
		return -1;
	return ptsname_r(other_end, path, sizeof(path));
}

static int teardown(void **state)
{
	(void)state;
	return close(other_end);
}

static struct port_rules rules_of(unsigned baud, const char *mode)
{
	struct port_rules rules = {.path = path, .baud = baud, .dtr = true};

	assert_int_equal(port_mode_parse(mode, &rules.mode), 0);
	return rules;
}

/* qemu-user does not carry termios2; a kernel never answers ENOSYS. */
static void need_termios2(void)
{
	struct termios2 line;

	if (syscall(SYS_ioctl, other_end, TCGETS2, &line) < 0 && errno == ENOSYS) {
		print_message("SKIPPED: NO TERMIOS2 HERE (qemu-user?): THIS TEST NEEDS A REAL KERNEL\n");
		skip();
	}
}

static void baud_and_mode(void **state)
{
	struct port_rules rules = rules_of(250000, "7E2"); /* a rate that no table has */
	struct port_said said;
	int fd;

	(void)state;
	need_termios2();
	rules.flow = FLOW_RTSCTS;
	fd = port_open(&rules, &said);
	assert_true(fd >= 0);
	assert_string_equal(said.text, "");
	assert_int_equal(driver.line.c_ospeed, 250000);
	assert_int_equal(driver.line.c_cflag & CBAUD, BOTHER);
	assert_int_equal(driver.line.c_cflag & (CSIZE | PARENB | PARODD | CSTOPB | CRTSCTS),
			 CS7 | PARENB | CSTOPB | CRTSCTS);
	assert_int_equal(driver.line.c_iflag & (INPCK | IXON), INPCK);
	assert_int_equal(driver.line.c_lflag, 0);
	port_close(fd);
	rules = rules_of(9600, "8O1");
	rules.flow = FLOW_XONXOFF;
	fd = port_open(&rules, &said);
	assert_int_equal(driver.line.c_cflag & (CSIZE | PARENB | PARODD | CSTOPB | CRTSCTS), CS8 | PARENB | PARODD);
	assert_int_equal(driver.line.c_iflag & (IXON | IXOFF), IXON | IXOFF);
	port_close(fd);
}

static void a_rate_that_the_port_does_not_do(void **state)
{
	struct port_rules rules = rules_of(250000, "8N1");
	struct port_said said;

	(void)state;
	need_termios2();
	driver.other_baud = 9600;
	assert_int_equal(port_open(&rules, &said), -EINVAL);
	assert_non_null(strstr(said.text, "does not do 250000 baud, but 9600"));
	driver.other_baud = 248000; /* a divider's rounding */
	port_close(port_open(&rules, &said));
	assert_string_equal(said.text, "");
}

static void dtr(void **state)
{
	struct port_rules rules = rules_of(115200, "8N1");
	struct port_said said;

	(void)state;
	need_termios2();
	port_close(port_open(&rules, &said));
	assert_int_equal(driver.raised, DTR);
	assert_int_equal(driver.lowered, 0);
	assert_true(driver.line.c_cflag & HUPCL);
	driver.raised = 0;
	rules.dtr = false;
	port_close(port_open(&rules, &said));
	assert_int_equal(driver.raised, 0);
	assert_int_equal(driver.lowered, DTR);
	/* Nor is it dropped at the close: to be raised again at the next open resets a board. */
	assert_false(driver.line.c_cflag & HUPCL);
}

static void rs485(void **state)
{
	struct port_rules rules = rules_of(9600, "8N1");
	struct port_said said;
	int fd;

	(void)state;
	need_termios2();
	port_close(port_open(&rules, &said));
	assert_int_equal(driver.rs485, 0);
	rules.rs485 = true;
	port_close(port_open(&rules, &said));
	assert_int_equal(driver.rs485, SER_RS485_ENABLED | SER_RS485_RTS_ON_SEND);
	assert_string_equal(said.text, "");
	driver.no_rs485 = true;
	fd = port_open(&rules, &said);
	assert_true(fd >= 0);
	assert_non_null(strstr(said.text, "does not switch RS-485"));
	port_close(fd);
}

static void nobody_else_gets_it(void **state)
{
	struct port_rules rules = rules_of(9600, "8N1");
	struct port_said said;
	int fd = open(path, O_RDWR | O_NOCTTY), other;

	(void)state;
	need_termios2();
	assert_int_equal(flock(fd, LOCK_EX | LOCK_NB), 0);
	assert_int_equal(port_open(&rules, &said), -EBUSY);
	assert_non_null(strstr(said.text, "another program"));
	close(fd);
	fd = port_open(&rules, &said);
	assert_true(fd >= 0);
	assert_int_equal(driver.exclusive, 1);
	other = open(path, O_RDWR | O_NOCTTY);
	if (other >= 0) { /* the superuser passes TIOCEXCL; the lock holds */
		assert_int_equal(flock(other, LOCK_EX | LOCK_NB), -1);
		close(other);
	}
	port_close(fd);
}

static void what_is_no_port(void **state)
{
	struct port_rules rules = rules_of(9600, "8N1");
	struct port_said said;

	(void)state;
	rules.path = "/dev/null";
	assert_int_equal(port_open(&rules, &said), -ENOTTY);
	assert_non_null(strstr(said.text, "is no serial port"));
	rules.path = "/nowhere/tty";
	assert_int_equal(port_open(&rules, &said), -ENOENT);
	assert_non_null(strstr(said.text, "is not there"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(baud_and_mode, setup, teardown),
		cmocka_unit_test_setup_teardown(a_rate_that_the_port_does_not_do, setup, teardown),
		cmocka_unit_test_setup_teardown(dtr, setup, teardown),
		cmocka_unit_test_setup_teardown(rs485, setup, teardown),
		cmocka_unit_test_setup_teardown(nobody_else_gets_it, setup, teardown),
		cmocka_unit_test_setup_teardown(what_is_no_port, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
