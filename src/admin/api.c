/* SPDX-License-Identifier: Apache-2.0 */
#include "admin/api.h"
#include "admin/api_answers.h"
#include "admin/api_private.h"
#include "base/conf.h"
#include "base/json.h"
#include "base/log.h"
#include "field/field_status.h"
#include <errno.h>
#include <grp.h>
#include <libgen.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#define GROUP "haywain"
#define BACKLOG 16

void api_answer_json(struct http_exchange *exchange, struct buf *body)
{
	buf_add_char(body, '\n');
	http_answer(exchange, 200, API_JSON, NULL, body);
}

struct api_peer api_peer(const struct http_exchange *exchange)
{
	struct api_peer peer = {0};

	if (http_peer(exchange, &peer.pid, &peer.uid) < 0)
		log_debug("local API: it is not known who asks");
	return peer;
}

void api_log(const struct api_peer *peer, const char *format, ...)
{
	_cleanup_free_ char *text = NULL;
	va_list args;

	va_start(args, format);
	if (vasprintf(&text, format, args) < 0)
		text = NULL;
	va_end(args);
	log_info("local API, user %u, process %d: %s", (unsigned)peer->uid, (int)peer->pid,
		 text ? text : "out of memory");
}

static void answer_device(struct api *api, struct http_exchange *exchange, const char *device)
{
	struct buf body = {0};

	if (api_tell_device(api->stages, device, &body))
		api_answer_json(exchange, &body);
	else
		http_answer_error(exchange, 404, NULL, "there is no device %s", device);
}

bool api_query_device(struct api *api, struct http_exchange *exchange, char ret[65])
{
	struct field_device_status device;
	int r = http_query_get(exchange->request.query, "device", ret, 65);

	if (r == 0)
		*ret = '\0';
	if (r < 0 || (r > 0 && !conf_is_name(ret)))
		http_answer_error(exchange, 400, NULL, "`device` in the query must be one name of a device");
	else if (r > 0 && !field_get_device(api->stages->field, ret, &device))
		http_answer_error(exchange, 404, NULL, "there is no device %s", ret);
	else
		return true;
	return false;
}

static void answer_readings(struct api *api, struct http_exchange *exchange)
{
	struct buf body = {0};
	char device[65];

	if (!api_query_device(api, exchange, device))
		return;
	api_tell_readings(api->stages, device[0] ? device : NULL, &body);
	api_answer_json(exchange, &body);
}

static void answer_metrics(struct api *api, struct http_exchange *exchange)
{
	struct buf body = {0};

	api_tell_metrics(api->stages, &body);
	http_answer(exchange, 200, "text/plain; version=0.0.4; charset=utf-8", NULL, &body);
}

static void answer_reload(struct api *api, struct http_exchange *exchange)
{
	struct api_peer peer = api_peer(exchange);
	struct buf body = {0};
	int status = api->hooks.reload(&body, api->hooks.userdata);

	api_log(&peer, "reload: %s",
		status == 200	? "done"
		: status == 422 ? "refused, the configuration is bad"
				: "refused");
	buf_add_char(&body, '\n');
	http_answer(exchange, status, API_JSON, NULL, &body);
}

static void answer_purge(struct api *api, struct http_exchange *exchange)
{
	struct api_peer peer = api_peer(exchange);
	struct buf body = {0};
	uint64_t n = queue_purge(api->stages->queue);

	api_log(&peer, "purge of the queue: %llu samples dropped unsent", (unsigned long long)n);
	json_open(&body, '{');
	json_key(&body, "purged");
	json_uint(&body, n);
	json_close(&body, '}');
	api_answer_json(exchange, &body);
}

static void tell(struct api *api, struct http_exchange *exchange,
		 void (*fn)(const struct stages *stages, struct buf *out))
{
	struct buf body = {0};

	fn(api->stages, &body);
	api_answer_json(exchange, &body);
}

/* A filter with a slip of the pen would else be no filter. */
static bool knows_query(struct http_exchange *exchange, enum api_endpoint endpoint)
{
	const char *known = endpoint == API_READINGS || endpoint == API_STREAM ? "device" : NULL, *other;
	size_t size = http_query_other(exchange->request.query, known, &other);

	if (size == 0)
		return true;
	http_answer_error(exchange, 400, NULL, "`%.*s` is unknown in the query of %s", (int)size, other,
			  exchange->request.path);
	return false;
}

static void request(struct http_exchange *exchange, void *userdata)
{
	struct api *api = userdata;
	struct api_route route;
	int r = api_route(&exchange->request, &route);

	if (r == -404) {
		http_answer_error(exchange, 404, NULL, "there is no %s here", exchange->request.path);
		return;
	}
	if (r < 0) {
		http_answer_error(exchange, 405, route.allow, "%s is not for this path", exchange->request.method);
		return;
	}
	if (!knows_query(exchange, route.endpoint))
		return;
	switch (route.endpoint) {
	case API_STATUS:
		tell(api, exchange, api_tell_status);
		return;
	case API_LINKS:
		tell(api, exchange, api_tell_links);
		return;
	case API_DEVICES:
		tell(api, exchange, api_tell_devices);
		return;
	case API_DEVICE:
		answer_device(api, exchange, route.device);
		return;
	case API_READINGS:
		answer_readings(api, exchange);
		return;
	case API_METRICS:
		answer_metrics(api, exchange);
		return;
	case API_QUEUE:
		api_queue(api, exchange);
		return;
	case API_EXPORT:
		api_export(api, exchange);
		return;
	case API_PURGE:
		answer_purge(api, exchange);
		return;
	case API_STREAM:
		api_stream(api, exchange);
		return;
	case API_WRITE:
		api_write(api, exchange, &route);
		return;
	case API_RELOAD:
		answer_reload(api, exchange);
		return;
	case API_SCAN:
		api_scan(api, exchange);
		return;
	}
}

static void drained(struct http_exchange *exchange, void *userdata _unused_)
{
	struct api_task *task = exchange->userdata;

	if (task && task->drained)
		task->drained(task);
}

static void gone(struct http_exchange *exchange, void *userdata _unused_)
{
	struct api_task *task = exchange->userdata;

	exchange->userdata = NULL;
	if (!task)
		return;
	task->exchange = NULL;
	task->gone(task);
}

static int answered(sd_event_source *source _unused_, int fd _unused_, uint32_t events _unused_, void *userdata)
{
	struct api *api = userdata;
	struct queue_ask *ask;

	while ((ask = queue_next_answer(api->stages->queue)))
		api_take_answer(ask);
	return 0;
}

/* ---- the socket ---- */

/* One that nobody listens at is what a kill left behind. -EADDRINUSE: somebody does. */
static int remove_stale(const struct sockaddr_un *address)
{
	struct stat st;
	_cleanup_close_ int fd = -1;

	if (lstat(address->sun_path, &st) < 0)
		return errno == ENOENT ? 0 : -errno;
	if (!S_ISSOCK(st.st_mode))
		return -EEXIST;
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return -errno;
	if (connect(fd, (const struct sockaddr *)address, sizeof(*address)) == 0 || errno == EAGAIN)
		return -EADDRINUSE;
	return unlink(address->sun_path) < 0 ? -errno : 0;
}

static int listen_at(const char *path)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	struct group *group = getgrnam(GROUP);
	int fd, r;

	if (strlen(path) >= sizeof(address.sun_path))
		return -ENAMETOOLONG;
	memcpy(address.sun_path, path, strlen(path) + 1);
	r = remove_stale(&address);
	if (r < 0)
		return r;
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return -errno;
	/* The mode the file is made with: nobody gets in before the group is set. */
	if (fchmod(fd, 0600) < 0 || bind(fd, (const struct sockaddr *)&address, sizeof(address)) < 0) {
		r = -errno;
		close(fd);
		return r;
	}
	if (group && chown(path, (uid_t)-1, group->gr_gid) < 0)
		log_debug("%s: group %s: %s", path, GROUP, strerror(errno));
	if (chmod(path, 0660) < 0 || listen(fd, BACKLOG) < 0) {
		r = -errno;
		close(fd);
		unlink(path);
		return r;
	}
	return fd;
}

static void explain(const char *path, int error)
{
	char *copy = strdup(path);
	const char *folder = copy ? dirname(copy) : path;

	if (error == -ENOENT)
		log_warning("there is no local API: the directory %s does not exist; api.socket may name another place",
			    folder);
	else if (error == -EADDRINUSE)
		log_warning("there is no local API: another process listens at %s; api.socket may name another place",
			    path);
	else
		log_warning("there is no local API at %s: %s; the rest goes on", path,
			    error == -EEXIST ? "this is no socket" : strerror(-error));
	free(copy);
}

int api_new(const struct stages *stages, const char *path, const struct api_hooks *hooks, struct api **ret)
{
	struct api *api = calloc(1, sizeof(*api));
	int fd, r;

	if (!api)
		return -ENOMEM;
	api->stages = stages;
	api->hooks = *hooks;

	const struct http_handler handler = {.request = request, .drained = drained, .gone = gone, .userdata = api};

	fd = listen_at(path);
	r = fd;
	if (fd >= 0) {
		api->path = strdup(path);
		r = http_new(stages->event, fd, &handler, &api->http);
	}
	if (r >= 0)
		r = sd_event_add_io(stages->event, &api->answers, queue_answers_fd(stages->queue), EPOLLIN, answered,
				    api);
	if (r < 0) {
		explain(path, r);
		api_free(api);
		return r;
	}
	*ret = api;
	return 0;
}

struct api *api_free(struct api *api)
{
	if (!api)
		return NULL;
	if (api->path)
		unlink(api->path);
	http_free(api->http);
	sd_event_source_disable_unref(api->beat);
	sd_event_source_disable_unref(api->answers);
	free(api->path);
	free(api);
	return NULL;
}
