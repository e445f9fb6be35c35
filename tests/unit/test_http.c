/* SPDX-License-Identifier: Apache-2.0 */
/* The local API's server where the process has run out of descriptors. */
#include "api/http.h"
#include "base/log.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <cmocka.h>

struct bench {
	sd_event *event;
	struct http *http;
	char path[64];
	char lines[1024];
	struct rlimit limit;
};

static struct bench bench;

static void answer(struct http_exchange *exchange, void *userdata _unused_)
{
	struct buf body = {0};

	buf_add_text(&body, "{}\n");
	http_answer(exchange, 200, "application/json", NULL, &body);
}

static void nothing(struct http_exchange *exchange _unused_, void *userdata _unused_)
{
}

static void keep_line(enum hay_log_level level _unused_, const struct log_subject *subject _unused_, const char *text)
{
	size_t used = strlen(bench.lines);

	snprintf(bench.lines + used, sizeof(bench.lines) - used, "%s\n", text);
}

static int setup(void **state _unused_)
{
	const struct http_handler handler = {.request = answer, .drained = nothing, .gone = nothing};
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	char folder[] = "/tmp/haywain-http-XXXXXX";
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	memset(&bench, 0, sizeof(bench));
	assert_non_null(mkdtemp(folder));
	snprintf(bench.path, sizeof(bench.path), "%s/s", folder);
	snprintf(address.sun_path, sizeof(address.sun_path), "%s", bench.path);
	assert_int_equal(bind(fd, (const struct sockaddr *)&address, sizeof(address)), 0);
	assert_int_equal(listen(fd, 8), 0);
	log_set_sink(keep_line);
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &bench.limit), 0);
	assert_true(sd_event_new(&bench.event) >= 0);
	assert_int_equal(http_new(bench.event, fd, &handler, &bench.http), 0);
	return 0;
}

static int teardown(void **state _unused_)
{
	setrlimit(RLIMIT_NOFILE, &bench.limit);
	http_free(bench.http);
	sd_event_unref(bench.event);
	log_set_sink(NULL);
	unlink(bench.path);
	*strrchr(bench.path, '/') = 0;
	rmdir(bench.path);
	return 0;
}

static int call(void)
{
	static const char text[] = "GET / HTTP/1.1\r\nConnection: close\r\n\r\n";
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	snprintf(address.sun_path, sizeof(address.sun_path), "%s", bench.path);
	assert_int_equal(connect(fd, (const struct sockaddr *)&address, sizeof(address)), 0);
	assert_int_equal(send(fd, text, strlen(text), MSG_NOSIGNAL), strlen(text));
	return fd;
}

/* No descriptor beyond those that are open now. */
static void use_up_descriptors(void)
{
	int next = dup(0);
	struct rlimit limit = bench.limit;

	close(next);
	limit.rlim_cur = (rlim_t)next;
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
	assert_int_equal(dup(0), -1);
}

/* How many turns of the loop find something to do, without waiting for any. */
static unsigned busy_turns(unsigned most)
{
	unsigned n = 0;

	while (n < most && sd_event_run(bench.event, 0) > 0)
		n++;
	return n;
}

static void run_until_answered(int fd)
{
	char text[512] = "";

	while (recv(fd, text, sizeof(text) - 1, MSG_DONTWAIT) <= 0)
		assert_true(sd_event_run(bench.event, 30 * USEC_PER_SEC) > 0);
	assert_int_equal(strncmp(text, "HTTP/1.1 200 ", 13), 0);
	close(fd);
}

static void out_of_descriptors_the_loop_rests(void **state _unused_)
{
	int first = call(), second;

	run_until_answered(first);
	first = call();
	use_up_descriptors();
	assert_in_range(busy_turns(100), 1, 10);
	assert_non_null(strstr(bench.lines, "out of file descriptors"));
	/* There are again: who waited is answered, and the next one at once. */
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &bench.limit), 0);
	run_until_answered(first);
	second = call();
	run_until_answered(second);
	/* Told once. */
	assert_null(strstr(strstr(bench.lines, "out of file descriptors") + 1, "out of file descriptors"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(out_of_descriptors_the_loop_rests, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
