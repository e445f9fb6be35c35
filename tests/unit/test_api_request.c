/* SPDX-License-Identifier: Apache-2.0 */
/* Requests to the local API: the head, the route, the query. */
#include "api/api_route.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static int parse(const char *text, struct http_request *ret)
{
	return http_request_parse(text, strlen(text), ret);
}

static void a_head_is_taken_apart(void **state)
{
	(void)state;
	static const char text[] =
		"POST /v1/devices/a%2Eb/points/p?x=1&device=%41 HTTP/1.1\r\nContent-length:  12 \r\n\r\nrest";
	struct http_request request;
	char value[8];

	assert_int_equal(parse(text, &request), strlen(text) - strlen("rest"));
	assert_string_equal(request.method, "POST");
	assert_string_equal(request.path, "/v1/devices/a.b/points/p");
	assert_int_equal(request.body_size, 12);
	assert_true(request.keep_alive);
	assert_int_equal(http_query_get(request.query, "device", value, sizeof(value)), 1);
	assert_string_equal(value, "A");
	assert_int_equal(http_query_get(request.query, "dev", value, sizeof(value)), 0);
	for (size_t size = 0; size < strlen(text) - strlen("rest"); size++)
		assert_int_equal(http_request_parse(text, size, &request), 0);
}

/* A device that could not be read from the query was no filter at all: the readings of all devices came, with 200. */
static void a_query_that_is_wrong_is_not_one_that_is_absent(void **state)
{
	(void)state;
	static const struct {
		const char *query;
		int found;
	} cases[] = {
		{"", 0},
		{"x=1", 0},
		{"device=boiler", 1},
		{"x=device&device=b", 1},
		{"device=%62", 1},
		{"device=", 1},
		{"device", 1},
		{"device=%zz", -400},
		{"device=%6", -400},
		{"device=%00", -400},
		{"device=boilerboiler", -414},
		{"device=a&device=b", -400},
		{"device=a&x&device=%zz", -400},
	};
	const char *other;
	char value[8];

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		assert_int_equal(http_query_get(cases[i].query, "device", value, sizeof(value)), cases[i].found);
	assert_int_equal(http_query_other("device=a&&device=b", "device", &other), 0);
	assert_int_equal(http_query_other("device=a&devise=b", "device", &other), 6);
	assert_memory_equal(other, "devise", 6);
	assert_int_equal(http_query_other("device", NULL, &other), 6);
}

static void what_is_wrong_has_its_status(void **state)
{
	(void)state;
	static const struct {
		const char *text;
		int status;
	} cases[] = {
		{"get / HTTP/1.1\r\n\r\n", 400},
		{"GET http://x/ HTTP/1.1\r\n\r\n", 400},
		{"GET /%00 HTTP/1.1\r\n\r\n", 400},
		{"GET / HTTP/3.0\r\n\r\n", 505},
		{"GET / HTTP/1.1\r\n folded\r\n\r\n", 400},
		/* A proxy that takes it for a length and a server that does not see two requests (RFC 9112, section 5.1). */
		{"POST / HTTP/1.1\r\nContent-Length : 5\r\n\r\n", 400},
		{"GET / HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n", 400},
		{"GET / HTTP/1.1\r\nContent-Length: 99999999999999999999\r\n\r\n", 413},
		{"GET / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n", 501},
		{"GET / HTTP/1.1\r\nExpect: miracles\r\n\r\n", 417},
	};
	struct http_request request;

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		assert_int_equal(parse(cases[i].text, &request), -cases[i].status);
}

/* A head that has no end is not collected for ever. */
static void a_head_without_an_end_is_refused(void **state)
{
	(void)state;
	static char text[HTTP_HEAD_MAX + 64];
	struct http_request request;
	int n = snprintf(text, sizeof(text), "GET / HTTP/1.1\r\nX: ");

	memset(text + n, 'x', sizeof(text) - (size_t)n);
	assert_int_equal(http_request_parse(text, HTTP_HEAD_MAX - 1, &request), 0);
	assert_int_equal(http_request_parse(text, HTTP_HEAD_MAX, &request), -431);
	/* Nor is one that ends just behind it. */
	memcpy(text + HTTP_HEAD_MAX - 2, "\r\n\r\n", 4);
	assert_int_equal(http_request_parse(text, HTTP_HEAD_MAX + 2, &request), -431);
}

static int route_of(const char *method, const char *path, struct api_route *ret)
{
	struct http_request request = {0};

	strcpy(request.method, method);
	strcpy(request.path, path);
	return api_route(&request, ret);
}

static void paths_find_their_endpoint(void **state)
{
	(void)state;
	struct api_route route;

	assert_int_equal(route_of("POST", "/v1/devices/boiler/points/set.point", &route), 0);
	assert_int_equal(route.endpoint, API_WRITE);
	assert_string_equal(route.device, "boiler");
	assert_string_equal(route.point, "set.point");
	assert_true(route.changes);
	assert_int_equal(route_of("GET", "/v1/devices/boiler/points/p", &route), -405);
	assert_string_equal(route.allow, "Allow: POST\r\n");
	assert_int_equal(route_of("HEAD", "/v1/status", &route), 0);
	assert_false(route.changes);
	assert_int_equal(route_of("HEAD", "/v1/readings/stream", &route), -405);
	assert_int_equal(route_of("GET", "/v1/devices/a b", &route), -404);
	assert_int_equal(route_of("GET", "/v1/devices/", &route), -404);
	assert_int_equal(route_of("GET", "/v1/status/", &route), -404);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_head_is_taken_apart),
		cmocka_unit_test(a_query_that_is_wrong_is_not_one_that_is_absent),
		cmocka_unit_test(what_is_wrong_has_its_status),
		cmocka_unit_test(a_head_without_an_end_is_refused),
		cmocka_unit_test(paths_find_their_endpoint),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
