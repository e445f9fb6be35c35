/* SPDX-License-Identifier: Apache-2.0 */
/* The plugin against libmodbus' own server, over TCP and on a serial line made of two ptys. */
#include "../fake_host.h"
#include <fcntl.h>
#include <modbus/modbus.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <termios.h>
#include <unistd.h>

#include <cmocka.h>

extern const struct hay_plugin hay_plugin;

struct server {
	pthread_t thread, pump;
	modbus_t *modbus;
	modbus_mapping_t *map;
	int fd, stop;	/* the connection or port; eventfd */
	int masters[2]; /* of the two ptys */
	char where[64];
};

static void *serve(void *userdata)
{
	struct server *s = userdata;
	uint8_t request[MODBUS_RTU_MAX_ADU_LENGTH > MODBUS_TCP_MAX_ADU_LENGTH ? MODBUS_RTU_MAX_ADU_LENGTH
									      : MODBUS_TCP_MAX_ADU_LENGTH];

	for (;;) {
		struct pollfd fds[2] = {{.fd = s->stop, .events = POLLIN}, {.fd = s->fd, .events = POLLIN}};
		int n;

		poll(fds, 2, -1);
		if (fds[0].revents)
			return NULL;
		if (s->where[0] != '/' && modbus_get_socket(s->modbus) < 0) {
			modbus_tcp_accept(s->modbus, &s->fd);
			s->fd = modbus_get_socket(s->modbus);
			continue;
		}
		n = modbus_receive(s->modbus, request);
		if (n > 0)
			modbus_reply(s->modbus, request, n, s->map);
		else if (n < 0)
			return NULL;
	}
}

/* What comes out of one master goes into the other. */
static void *pump(void *userdata)
{
	struct server *s = userdata;

	for (;;) {
		struct pollfd fds[3] = {{.fd = s->stop, .events = POLLIN},
					{.fd = s->masters[0], .events = POLLIN},
					{.fd = s->masters[1], .events = POLLIN}};
		uint8_t bytes[256];

		poll(fds, 3, -1);
		if (fds[0].revents)
			return NULL;
		for (unsigned i = 0; i < 2; i++) {
			ssize_t n = fds[i + 1].revents & POLLIN ? read(s->masters[i], bytes, sizeof(bytes)) : 0;

			if (n > 0 && write(s->masters[1 - i], bytes, (size_t)n) != n)
				return NULL;
		}
	}
}

static void server_begin(struct server *s)
{
	s->stop = eventfd(0, EFD_CLOEXEC);
	s->map = modbus_mapping_new(100, 100, 200, 200);
	for (unsigned i = 0; i < 200; i++) {
		s->map->tab_registers[i] = (uint16_t)(1000 + i);
		s->map->tab_input_registers[i] = (uint16_t)(2000 + i);
	}
	s->map->tab_bits[5] = 1;
	s->map->tab_input_bits[6] = 1;
}

static void start_tcp(struct server *s)
{
	struct sockaddr_in address;
	socklen_t size = sizeof(address);

	server_begin(s);
	s->modbus = modbus_new_tcp("127.0.0.1", 0);
	/* Port 0 means 502 to some releases: the socket is made here. */
	s->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	address = (struct sockaddr_in){.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	assert_int_equal(bind(s->fd, (struct sockaddr *)&address, sizeof(address)), 0);
	assert_int_equal(listen(s->fd, 1), 0);
	getsockname(s->fd, (struct sockaddr *)&address, &size);
	snprintf(s->where, sizeof(s->where), "tcp://127.0.0.1:%u", ntohs(address.sin_port));
	assert_int_equal(pthread_create(&s->thread, NULL, serve, s), 0);
}

static void start_line(struct server *s)
{
	char names[2][64];

	server_begin(s);
	for (unsigned i = 0; i < 2; i++) {
		struct termios raw;

		s->masters[i] = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);
		assert_int_equal(grantpt(s->masters[i]) | unlockpt(s->masters[i]), 0);
		assert_int_equal(ptsname_r(s->masters[i], names[i], sizeof(names[i])), 0);
		tcgetattr(s->masters[i], &raw);
		cfmakeraw(&raw);
		tcsetattr(s->masters[i], TCSANOW, &raw);
	}
	s->modbus = modbus_new_rtu(names[0], 115200, 'N', 8, 1);
	modbus_set_slave(s->modbus, 17);
	assert_int_equal(modbus_connect(s->modbus), 0);
	s->fd = modbus_get_socket(s->modbus);
	snprintf(s->where, sizeof(s->where), "%s", names[1]);
	assert_int_equal(pthread_create(&s->thread, NULL, serve, s), 0);
	assert_int_equal(pthread_create(&s->pump, NULL, pump, s), 0);
}

static void stop(struct server *s)
{
	eventfd_write(s->stop, 1);
	pthread_join(s->thread, NULL);
	if (s->pump)
		pthread_join(s->pump, NULL);
	modbus_close(s->modbus);
	modbus_free(s->modbus);
	modbus_mapping_free(s->map);
	close(s->stop);
	for (unsigned i = 0; i < 2; i++)
		if (s->masters[i] > 0)
			close(s->masters[i]);
}

static void write_to(struct fake_host *host, struct hay_device *device, uint32_t point, struct hay_value value)
{
	struct hay_command *command;
	const struct fake_event *done;

	assert_int_equal(fake_write(device, point, value, &command), 0);
	done = fake_wait(host, FAKE_COMMAND_DONE);
	if (done->outcome != HAY_WRITTEN || !done->read_back)
		fail_msg("%s", done->text ? done->text : "not read back");
}

static void read_and_write(struct server *s)
{
	struct fake_host *host = fake_host_new(&hay_plugin, FAKE_THREAD);
	struct hay_link *link = fake_link(host, "bus", s->where[0] == '/' ? "port" : "url", s->where, NULL);
	struct hay_device *device = fake_device(link, "d", "unit", "17", "max_hole", "20", NULL);
	const struct fake_event *done;

	fake_point(device, "holding", "uint32", HAY_POINT_WRITABLE, "holding", "10", NULL);
	fake_point(device, "input", NULL, 0, "reference", "30021", NULL);
	fake_point(device, "coil", NULL, HAY_POINT_WRITABLE, "coil", "5", NULL);
	fake_point(device, "discrete", NULL, 0, "discrete", "6", NULL);
	fake_point(device, "bits", NULL, HAY_POINT_WRITABLE, "holding", "30", "bits", "4-7", NULL);
	fake_point(device, "beyond", NULL, 0, "holding", "205", NULL);
	fake_point(device, "last", NULL, 0, "holding", "199", NULL);
	assert_int_equal(fake_open(link), 0);
	assert_int_equal(fake_start(device), 0);
	for (unsigned i = 0; i < 3; i++) {
		assert_int_equal(fake_poll(device), 0);
		done = fake_wait(host, FAKE_ROUND_DONE);
		assert_int_equal(done->result, HAY_OK);
		assert_int_equal(fake_reading(done, 1)->value.u, 2020);
		assert_true(fake_reading(done, 3)->value.b);
		assert_string_equal(fake_reading(done, 5)->exception, "illegal data address");
		assert_int_equal(fake_reading(done, 6)->value.u, 1199);
	}
	assert_int_equal(fake_reading(done, 0)->value.u, 1010 << 16 | 1011);
	assert_true(fake_reading(done, 2)->value.b);
	write_to(host, device, 0, (struct hay_value){.type = HAY_UINT32, .u = 0x00010002});
	write_to(host, device, 2, (struct hay_value){.type = HAY_BOOL, .b = false});
	write_to(host, device, 4, (struct hay_value){.type = HAY_UINT16, .u = 10});
	fake_host_free(host);
	assert_int_equal(s->map->tab_registers[10], 1);
	assert_int_equal(s->map->tab_registers[11], 2);
	assert_int_equal(s->map->tab_bits[5], 0);
	assert_int_equal(s->map->tab_registers[30], (1030 & ~0xf0) | 0xa0);
}

static void test_tcp(void **state)
{
	struct server server = {0};

	(void)state;
	start_tcp(&server);
	read_and_write(&server);
	stop(&server);
}

static void test_line(void **state)
{
	struct server server = {0};

	(void)state;
	start_line(&server);
	read_and_write(&server);
	stop(&server);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_tcp),
		cmocka_unit_test(test_line),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
