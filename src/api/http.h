/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A small HTTP/1.1 server on a listening socket, in the main loop: requests with a length, answers whole or in chunks.
 * libmicrohttpd would do it, but its GnuTLS takes 2.5 MB of the 8 that the daemon may have.
 *
 * Bounded: connections, header, body, the time a request may take to come, and the time a reader may not read.
 * Main thread.
 */
#ifndef HAYWAIN_API_HTTP_H
#define HAYWAIN_API_HTTP_H

#include "api/http_request.h"
#include "base/buf.h"
#include <sys/types.h>
#include <systemd/sd-event.h>

#define HTTP_BODY_MAX ((size_t)64 * 1024)
#define HTTP_CONNECTIONS_MAX 24

struct http;

/* One request and its answer. Lives from request() to gone(). */
struct http_exchange {
	struct http_request request;
	const char *body; /* request.body_size bytes; valid inside request() only */
	void *userdata;	  /* the handler's */
};

struct http_handler {
	/* A whole request. Answer it now or later, once: http_answer(), or http_begin_stream() … http_end_stream(). */
	void (*request)(struct http_exchange *exchange, void *userdata);
	/* What was written to a stream has been read. */
	void (*drained)(struct http_exchange *exchange, void *userdata);
	/* The exchange ends, answered or not: it may not be used any more. */
	void (*gone)(struct http_exchange *exchange, void *userdata);
	void *userdata;
};

/* Takes listen_fd in any case. */
int http_new(sd_event *event, int listen_fd, const struct http_handler *handler, struct http **ret);
struct http *http_free(struct http *http); /* ends what is under way; NULL is fine */

/* Who is at the other end: its process and user, as the kernel knows them from connecting. -errno. */
int http_peer(const struct http_exchange *exchange, pid_t *ret_pid, uid_t *ret_uid);

/* body is taken, and left empty. headers: further ones, each ended by \r\n, or NULL. */
void http_answer(struct http_exchange *exchange, int status, const char *type, const char *headers, struct buf *body);
/* {"error":"…"} */
void http_answer_error(struct http_exchange *exchange, int status, const char *headers, const char *format, ...)
	_printf_(4, 5);

void http_begin_stream(struct http_exchange *exchange, const char *type);
void http_write_stream(struct http_exchange *exchange, const void *data, size_t size);
size_t http_stream_waiting(const struct http_exchange *exchange); /* bytes written and not yet read */
void http_end_stream(struct http_exchange *exchange);
/* Break the connection off: the reader can tell that the stream is not whole. */
void http_abort_stream(struct http_exchange *exchange);

#endif
