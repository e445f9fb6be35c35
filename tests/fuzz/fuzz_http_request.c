/* SPDX-License-Identifier: Apache-2.0 */
/* A request to the local API: head, route, query, and the body of a write. */
#include "api/api_route.h"
#include "upstream/dialects/json_command.h"
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct http_request request;
	/* A copy of its own size, so that a read past its end is seen. */
	char *text = malloc(size ? size : 1);
	if (!text)
		abort();
	memcpy(text, data, size);

	int head = http_request_parse(text, size, &request);
	if (head > (int)size || head < -599 || (head < 0 && head > -400))
		abort();
	if (strlen(request.method) >= sizeof(request.method) || strlen(request.path) >= sizeof(request.path) ||
	    strlen(request.query) >= sizeof(request.query))
		abort();
	/* What is whole stays whole, and a shorter piece asks for more or is refused. */
	if (head > 0) {
		struct http_request again;
		if (http_request_parse(text, (size_t)head, &again) != head ||
		    http_request_parse(text, (size_t)head - 1, &again) > 0)
			abort();

		struct api_route route;
		char device[65];
		if (api_route(&request, &route) == 0 && route.endpoint == API_WRITE &&
		    (!route.device[0] || !route.point[0]))
			abort();
		const char *other;
		int found = http_query_get(request.query, "device", device, sizeof(device));
		if ((found == 1 && strlen(device) >= sizeof(device)) || found > 1)
			abort();
		if (http_query_other(request.query, "device", &other) > strlen(request.query))
			abort();

		struct command *command = command_new();
		const char *error = NULL;
		int r = json_command_payload(text + head, size - (size_t)head, command, &error);
		if (r < 0 && !error)
			abort();
		command_unref(command);
	}
	free(text);
	return 0;
}
