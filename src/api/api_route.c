/* SPDX-License-Identifier: Apache-2.0 */
#include "api/api_route.h"
#include "base/conf.h"
#include <string.h>

/* {d} and {p}: a name. */
static const struct {
	const char *method, *path;
	enum api_endpoint endpoint;
} routes[] = {
	{"GET", "/v1/status", API_STATUS},
	{"GET", "/v1/links", API_LINKS},
	{"GET", "/v1/devices", API_DEVICES},
	{"GET", "/v1/devices/{d}", API_DEVICE},
	{"POST", "/v1/devices/{d}/points/{p}", API_WRITE},
	{"GET", "/v1/queue", API_QUEUE},
	{"GET", "/v1/queue/export", API_EXPORT},
	{"POST", "/v1/queue/purge", API_PURGE},
	{"GET", "/v1/readings", API_READINGS},
	{"GET", "/v1/readings/stream", API_STREAM},
	{"GET", "/metrics", API_METRICS},
	{"POST", "/v1/reload", API_RELOAD},
	{"POST", "/v1/scan", API_SCAN},
};

static bool take_name(const char **path, char ret[65])
{
	size_t size = strcspn(*path, "/");
	char name[65] = "";

	if (size == 0 || size >= sizeof(name))
		return false;
	memcpy(name, *path, size);
	if (!conf_is_name(name))
		return false;
	memcpy(ret, name, sizeof(name));
	*path += size;
	return true;
}

static bool path_matches(const char *pattern, const char *path, struct api_route *ret)
{
	while (*pattern) {
		if (*pattern == '{') {
			if (!take_name(&path, pattern[1] == 'd' ? ret->device : ret->point))
				return false;
			pattern += strlen("{d}");
		} else if (*pattern++ != *path++) {
			return false;
		}
	}
	return !*path;
}

int api_route(const struct http_request *request, struct api_route *ret)
{
	for (size_t i = 0; i < sizeof(routes) / sizeof(routes[0]); i++) {
		bool get = strcmp(routes[i].method, "GET") == 0;
		/* Of an answer without an end there is no header to show. */
		bool head = get && routes[i].endpoint != API_STREAM && routes[i].endpoint != API_EXPORT;

		*ret = (struct api_route){.endpoint = routes[i].endpoint, .changes = !get};
		if (!path_matches(routes[i].path, request->path, ret))
			continue;
		ret->allow = head ? "Allow: GET, HEAD\r\n" : get ? "Allow: GET\r\n" : "Allow: POST\r\n";
		if (strcmp(request->method, routes[i].method) == 0 || (head && strcmp(request->method, "HEAD") == 0))
			return 0;
		return -405;
	}
	return -404;
}
