/* SPDX-License-Identifier: Apache-2.0 */
/* What a request to the local API asks for. Pure. */
#ifndef HAYWAIN_API_API_ROUTE_H
#define HAYWAIN_API_API_ROUTE_H

#include "api/http_request.h"
#include <haywain/reading.h>

enum api_endpoint {
	API_STATUS,
	API_LINKS,
	API_DEVICES,
	API_DEVICE,
	API_QUEUE,
	API_EXPORT,
	API_READINGS,
	API_STREAM,
	API_METRICS,
	API_WRITE,
	API_PURGE,
	API_RELOAD,
	API_SCAN,
};

struct api_route {
	enum api_endpoint endpoint;
	char device[65], point[65]; /* where the path names them */
	bool changes;		    /* something: else it only looks */
	const char *allow;	    /* of a path that exists: a header line with the methods that may be used */
};

/* 0; -404: no such path; -405: not with this method. */
int api_route(const struct http_request *request, struct api_route *ret);

#endif
