/* SPDX-License-Identifier: Apache-2.0 */
#include "api/http.h"
#include "base/clock.h"
#include "base/json.h"
#include "base/log.h"
#include "base/rate_limit.h"
#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#define REQUEST_US (10 * USEC_PER_SEC) /* from the first byte to the last */
#define IDLE_US (30 * USEC_PER_SEC)    /* between requests, and without reading what was sent */
#define LOOK_US (2 * USEC_PER_SEC)
#define REST_US USEC_PER_SEC /* without descriptors nobody can be let in: until the next try */
#define READ_BYTES 4096

enum http_phase {
	READING,   /* a request comes in, or nothing does */
	HANDLING,  /* the handler has it */
	STREAMING, /* the handler writes chunks */
	LEAVING,   /* the answer goes out, and is the last */
};

struct http_connection {
	struct http_exchange exchange;
	struct http_connection *next;
	struct http *http;
	int fd;
	sd_event_source *io;
	enum http_phase phase;
	bool in_exchange; /* between request() and gone() */
	bool busy;	  /* inside advance_connection(): no need to begin another one */
	bool broken;
	bool sent_continue;
	struct buf in, out;
	size_t out_at;
	uint64_t since_us; /* the last progress in reading or writing; of a request: its begin */
};

struct http {
	sd_event *event;
	struct http_handler handler;
	int listen_fd;
	sd_event_source *listen, *timeout_timer, *resume_timer;
	struct hay_rate_limit limit; /* of the line about having no descriptors */
	struct http_connection *first;
	unsigned n;
};

#define connection_of(exchange_) container_of(exchange_, struct http_connection, exchange)

static const char *status_phrase(int status)
{
	static const struct {
		int status;
		const char *phrase;
	} phrases[] = {
		{200, "OK"},
		{400, "Bad Request"},
		{403, "Forbidden"},
		{404, "Not Found"},
		{405, "Method Not Allowed"},
		{408, "Request Timeout"},
		{409, "Conflict"},
		{410, "Gone"},
		{413, "Content Too Large"},
		{414, "URI Too Long"},
		{417, "Expectation Failed"},
		{422, "Unprocessable Content"},
		{429, "Too Many Requests"},
		{431, "Request Header Fields Too Large"},
		{500, "Internal Server Error"},
		{501, "Not Implemented"},
		{502, "Bad Gateway"},
		{503, "Service Unavailable"},
		{504, "Gateway Timeout"},
		{505, "HTTP Version Not Supported"},
	};

	for (size_t i = 0; i < ELEMENTS(phrases); i++)
		if (phrases[i].status == status)
			return phrases[i].phrase;
	return "Status";
}

/* ---- ending ---- */

static void end_exchange(struct http_connection *connection)
{
	if (!connection->in_exchange)
		return;
	connection->in_exchange = false;
	connection->http->handler.gone(&connection->exchange, connection->http->handler.userdata);
}

static void connection_free(struct http_connection *connection)
{
	struct http *http = connection->http;

	for (struct http_connection **at = &http->first; *at; at = &(*at)->next)
		if (*at == connection) {
			*at = connection->next;
			http->n--;
			break;
		}
	end_exchange(connection);
	sd_event_source_disable_unref(connection->io);
	close(connection->fd);
	buf_done(&connection->in);
	buf_done(&connection->out);
	free(connection);
}

/* ---- one connection ---- */

static void take_request(struct http_connection *connection)
{
	struct http_request *request = &connection->exchange.request;
	int head = http_request_parse(connection->in.data ? connection->in.data : "", connection->in.size, request);
	size_t size;

	if (head == 0)
		return;
	connection->phase = HANDLING;
	connection->in_exchange = true;
	connection->exchange.userdata = NULL;
	if (head > 0 && request->body_size > HTTP_BODY_MAX)
		head = -413;
	if (head < 0) {
		request->keep_alive = false;
		http_answer_error(&connection->exchange, -head, NULL, "%s", status_phrase(-head));
		return;
	}
	size = (size_t)head + (size_t)request->body_size;
	if (connection->in.size < size) {
		connection->phase = READING;
		connection->in_exchange = false;
		if (request->wants_continue && !connection->sent_continue)
			buf_add_text(&connection->out, "HTTP/1.1 100 Continue\r\n\r\n");
		connection->sent_continue = true;
		return;
	}
	connection->exchange.body = connection->in.data + head;
	connection->http->handler.request(&connection->exchange, connection->http->handler.userdata);
	connection->exchange.body = NULL;
	connection->sent_continue = false;
	connection->in.size -= size;
	memmove(connection->in.data, connection->in.data + size, connection->in.size);
	connection->since_us = clock_now();
}

/* False: the peer is gone. */
static bool receive_bytes(struct http_connection *connection)
{
	char *room = buf_reserve(&connection->in, READ_BYTES);
	ssize_t n = room ? recv(connection->fd, room, READ_BYTES, MSG_DONTWAIT) : -1;

	if (!room || n == 0)
		return false;
	if (n < 0)
		return errno == EAGAIN || errno == EINTR;
	if (connection->in.size == 0)
		connection->since_us = clock_now();
	connection->in.size += (size_t)n;
	return true;
}

static bool send_bytes(struct http_connection *connection)
{
	struct buf *out = &connection->out;

	while (connection->out_at < out->size) {
		ssize_t n = send(connection->fd, out->data + connection->out_at, out->size - connection->out_at,
				 MSG_DONTWAIT | MSG_NOSIGNAL);

		if (n < 0)
			return errno == EAGAIN || errno == EINTR;
		connection->out_at += (size_t)n;
		connection->since_us = clock_now();
	}
	buf_done(out);
	connection->out_at = 0;
	return true;
}

static bool is_sent(const struct http_connection *connection)
{
	return connection->out.size == 0;
}

/* Whatever can go on now. False: the connection is over. */
static bool advance_exchange(struct http_connection *connection)
{
	for (;;) {
		if (connection->broken || buf_failed(&connection->out) || buf_failed(&connection->in) ||
		    !send_bytes(connection))
			return false;
		if (!is_sent(connection))
			return true;
		switch (connection->phase) {
		case LEAVING:
			return false;
		case STREAMING: {
			const struct http_handler *handler = &connection->http->handler;

			handler->drained(&connection->exchange, handler->userdata);
			if (is_sent(connection) && connection->phase == STREAMING)
				return !connection->broken;
			break;
		}
		case HANDLING:
			return true;
		case READING:
			if (connection->in.size > 0)
				take_request(connection);
			if (connection->phase == READING && is_sent(connection))
				return true;
		}
	}
}

static void advance_connection(struct http_connection *connection)
{
	uint32_t events;

	connection->busy = true;
	if (!advance_exchange(connection)) {
		connection_free(connection);
		return;
	}
	connection->busy = false;
	/* While a request is handled no more is read: who pipelines waits. */
	events = connection->phase == READING ? EPOLLIN : 0;
	if (!is_sent(connection))
		events |= EPOLLOUT;
	if (connection->phase == READING && connection->in.size == 0)
		buf_done(&connection->in);
	sd_event_source_set_io_events(connection->io, events);
}

static int connection_ready(sd_event_source *source _unused_, int fd _unused_, uint32_t events, void *userdata)
{
	struct http_connection *connection = userdata;
	bool there = true;

	if (connection->phase == READING && (events & EPOLLIN))
		there = receive_bytes(connection);
	else if (events & (EPOLLHUP | EPOLLERR))
		there = false;
	if (there)
		advance_connection(connection);
	else
		connection_free(connection);
	return 0;
}

/* ---- answering ---- */

/* The handler answers later, from elsewhere in the loop. */
static void wake_connection(struct http_connection *connection)
{
	if (!connection->busy)
		sd_event_source_set_io_events(connection->io, EPOLLOUT);
}

static void exchange_answered(struct http_connection *connection)
{
	bool stays = connection->exchange.request.keep_alive && !connection->broken;

	connection->phase = stays ? READING : LEAVING;
	connection->since_us = clock_now();
	end_exchange(connection);
	wake_connection(connection);
}

static void begin_answer(struct http_connection *connection, int status, const char *type)
{
	buf_printf(&connection->out, "HTTP/1.1 %d %s\r\nContent-Type: %s\r\nCache-Control: no-store\r\n%s", status,
		   status_phrase(status), type, connection->exchange.request.keep_alive ? "" : "Connection: close\r\n");
}

void http_answer(struct http_exchange *exchange, int status, const char *type, const char *headers, struct buf *body)
{
	struct http_connection *connection = connection_of(exchange);

	if (buf_failed(body))
		connection->broken = true;
	begin_answer(connection, status, type);
	buf_printf(&connection->out, "%sContent-Length: %zu\r\n\r\n", headers ? headers : "", body->size);
	if (strcmp(exchange->request.method, "HEAD") != 0)
		buf_add(&connection->out, body->data, body->size);
	buf_done(body);
	exchange_answered(connection);
}

void http_answer_error(struct http_exchange *exchange, int status, const char *headers, const char *format, ...)
{
	struct buf text = {0}, body = {0};
	char *message = NULL;
	va_list args;

	va_start(args, format);
	if (vasprintf(&message, format, args) < 0)
		message = NULL;
	va_end(args);
	json_open(&body, '{');
	json_key(&body, "error");
	json_text(&body, message ? message : status_phrase(status));
	json_close(&body, '}');
	buf_add_char(&body, '\n');
	free(message);
	buf_done(&text);
	http_answer(exchange, status, "application/json", headers, &body);
}

void http_begin_stream(struct http_exchange *exchange, const char *type)
{
	struct http_connection *connection = connection_of(exchange);

	begin_answer(connection, 200, type);
	buf_add_text(&connection->out, "Transfer-Encoding: chunked\r\n\r\n");
	connection->phase = STREAMING;
	wake_connection(connection);
}

void http_write_stream(struct http_exchange *exchange, const void *data, size_t size)
{
	struct http_connection *connection = connection_of(exchange);

	if (size == 0)
		return; /* an empty chunk would be the end */
	/* What was sent goes before more is kept. */
	if (connection->out_at > 0) {
		connection->out.size -= connection->out_at;
		memmove(connection->out.data, connection->out.data + connection->out_at, connection->out.size);
		connection->out_at = 0;
	}
	buf_printf(&connection->out, "%zx\r\n", size);
	buf_add(&connection->out, data, size);
	buf_add_text(&connection->out, "\r\n");
	wake_connection(connection);
}

size_t http_stream_waiting(const struct http_exchange *exchange)
{
	const struct http_connection *connection = container_of(exchange, const struct http_connection, exchange);

	return connection->out.size - connection->out_at;
}

void http_end_stream(struct http_exchange *exchange)
{
	struct http_connection *connection = connection_of(exchange);

	buf_add_text(&connection->out, "0\r\n\r\n");
	exchange_answered(connection);
}

void http_abort_stream(struct http_exchange *exchange)
{
	struct http_connection *connection = connection_of(exchange);

	connection->broken = true;
	exchange_answered(connection);
}

int http_peer(const struct http_exchange *exchange, pid_t *ret_pid, uid_t *ret_uid)
{
	const struct http_connection *connection = container_of(exchange, const struct http_connection, exchange);
	struct ucred peer;
	socklen_t size = sizeof(peer);

	if (getsockopt(connection->fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) < 0)
		return -errno;
	*ret_pid = peer.pid;
	*ret_uid = peer.uid;
	return 0;
}

/* ---- the server ---- */

static int check_timeouts(sd_event_source *source, uint64_t when _unused_, void *userdata)
{
	struct http *http = userdata;
	uint64_t now = clock_now();

	for (struct http_connection *at = http->first, *next; at; at = next) {
		uint64_t limit = at->phase == READING && at->in.size > 0 ? REQUEST_US : IDLE_US;
		/* Who waits for the handler, or for news in a stream, may wait. */
		bool waits_for_us = (at->phase == HANDLING || at->phase == STREAMING) && is_sent(at);

		next = at->next;
		if (!waits_for_us && now > at->since_us + limit)
			connection_free(at);
	}
	if (!http->first)
		return 0;
	sd_event_source_set_time_relative(source, LOOK_US);
	return sd_event_source_set_enabled(source, SD_EVENT_ONESHOT);
}

static int resume_listening(sd_event_source *source _unused_, uint64_t when _unused_, void *userdata)
{
	struct http *http = userdata;

	return sd_event_source_set_enabled(http->listen, SD_EVENT_ON);
}

/* Pending connections stay in the backlog and keep the listening socket readable: stop watching it for a second. */
static void pause_listening(struct http *http, int error)
{
	uint64_t before;

	if (rate_limit_allows(&http->limit, clock_now(), &before))
		log_warning("local API: cannot accept connections: %s; trying again in 1 s",
			    error == EMFILE || error == ENFILE ? "out of file descriptors" : strerror(error));
	sd_event_source_set_enabled(http->listen, SD_EVENT_OFF);
	sd_event_source_set_time_relative(http->resume_timer, REST_US);
	sd_event_source_set_enabled(http->resume_timer, SD_EVENT_ONESHOT);
}

static void reject_connection(int fd)
{
	static const char text[] = "HTTP/1.1 503 Service Unavailable\r\nContent-Type: application/json\r\n"
				   "Connection: close\r\nContent-Length: 33\r\n\r\n"
				   "{\"error\":\"too many connections\"}\n";

	if (send(fd, text, strlen(text), MSG_DONTWAIT | MSG_NOSIGNAL) < 0)
		log_debug("local API: %s", strerror(errno));
	close(fd);
}

static int accept_connection(sd_event_source *source _unused_, int listen_fd, uint32_t events _unused_, void *userdata)
{
	struct http *http = userdata;
	struct http_connection *connection;
	int fd = accept4(listen_fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

	if (fd < 0) {
		/* Every other error is about one pending connection, which accept() has removed. */
		if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM)
			pause_listening(http, errno);
		return 0;
	}
	if (http->n >= HTTP_CONNECTIONS_MAX) {
		reject_connection(fd);
		return 0;
	}
	connection = calloc(1, sizeof(*connection));
	if (!connection ||
	    sd_event_add_io(http->event, &connection->io, fd, EPOLLIN, connection_ready, connection) < 0) {
		free(connection);
		close(fd);
		return 0;
	}
	connection->http = http;
	connection->fd = fd;
	connection->since_us = clock_now();
	connection->next = http->first;
	if (!http->first) {
		sd_event_source_set_time_relative(http->timeout_timer, LOOK_US);
		sd_event_source_set_enabled(http->timeout_timer, SD_EVENT_ONESHOT);
	}
	http->first = connection;
	http->n++;
	return 0;
}

int http_new(sd_event *event, int listen_fd, const struct http_handler *handler, struct http **ret)
{
	struct http *http = calloc(1, sizeof(*http));
	int r;

	if (!http) {
		close(listen_fd);
		return -ENOMEM;
	}
	http->event = sd_event_ref(event);
	http->handler = *handler;
	http->listen_fd = listen_fd;
	r = sd_event_add_io(event, &http->listen, listen_fd, EPOLLIN, accept_connection, http);
	if (r >= 0)
		r = sd_event_add_time_relative(event, &http->timeout_timer, CLOCK_MONOTONIC, LOOK_US, USEC_PER_SEC,
					       check_timeouts, http);
	if (r >= 0)
		r = sd_event_add_time_relative(event, &http->resume_timer, CLOCK_MONOTONIC, REST_US, USEC_PER_MSEC,
					       resume_listening, http);
	if (r >= 0)
		r = sd_event_source_set_enabled(http->resume_timer, SD_EVENT_OFF);
	if (r < 0) {
		http_free(http);
		return r;
	}
	*ret = http;
	return 0;
}

struct http *http_free(struct http *http)
{
	if (!http)
		return NULL;
	while (http->first)
		connection_free(http->first);
	sd_event_source_disable_unref(http->listen);
	sd_event_source_disable_unref(http->timeout_timer);
	sd_event_source_disable_unref(http->resume_timer);
	close(http->listen_fd);
	sd_event_unref(http->event);
	free(http);
	return NULL;
}
