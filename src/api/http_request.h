/* SPDX-License-Identifier: Apache-2.0 */
/* The head of a HTTP/1.1 request (RFC 9112). Pure; the input comes from any process that may open the socket. */
#ifndef HAYWAIN_API_HTTP_REQUEST_H
#define HAYWAIN_API_HTTP_REQUEST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define HTTP_HEAD_MAX 8192 /* bytes of request line and header */

struct http_request {
	char method[9];	 /* "GET" */
	char path[257];	 /* percent-decoded, without the query */
	char query[257]; /* as sent; "" without */
	uint64_t body_size;
	bool keep_alive;
	bool wants_continue; /* Expect: 100-continue */
};

/*
 * Length of the head with its empty line; 0: there is more to come. Negative: the status that answers it, as -400; what
 * was understood of *ret until then is filled.
 */
int http_request_parse(const char *data, size_t size, struct http_request *ret);

/* The value of `key` in a query "a=1&b=x%20y", decoded into ret. 1; 0: the key is not there; -400: an escape that is
   none, or the key is there twice; -414: the value does not fit. */
int http_query_get(const char *query, const char *key, char *ret, size_t ret_size);

/* The first key in a query besides `known` (NULL: there is no other): its length, 0: none. *ret is not terminated. */
size_t http_query_other(const char *query, const char *known, const char **ret);

#endif
