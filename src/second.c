/* SPDX-License-Identifier: Apache-2.0 */
#include "second.h"
#include "api/api_socket.h"
#include "base/json_read.h"
#include "base/log.h"
#include "config.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

/* False where it is known to be another program. */
static bool is_haywaind(pid_t pid)
{
	char path[32], name[17] = "haywaind\n";
	_cleanup_close_ int fd = -1;

	snprintf(path, sizeof(path), "/proc/%d/comm", (int)pid);
	fd = pid > 0 ? open(path, O_RDONLY | O_CLOEXEC) : -1;
	if (fd >= 0 && read(fd, name, sizeof(name) - 1) < 0)
		log_debug("%s: %s", path, strerror(errno));
	return strcmp(name, "haywaind\n") == 0;
}

int second_refuse(const char *socket)
{
	char process[32] = "";
	pid_t pid;

	if (!socket[0] || !api_socket_holder(socket, &pid) || !is_haywaind(pid))
		return 0;
	if (pid > 0)
		snprintf(process, sizeof(process), ", process %d", (int)pid);
	log_error("haywaind is already running%s: systemctl stop haywain first (it answers at %s)", process, socket);
	return -EWOULDBLOCK;
}

/* ---- the links that it has ---- */

/* Its answer to a GET, parsed; NULL: none. */
static json_t *query_daemon(const char *socket_path, const char *path)
{
	static const struct timeval patience = {.tv_sec = 5};
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	_cleanup_close_ int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	_cleanup_buf_ struct buf request = {0}, answer = {0};
	const char *body;
	char chunk[4096];
	ssize_t n;

	if (strlen(socket_path) >= sizeof(address.sun_path))
		return NULL;
	memcpy(address.sun_path, socket_path, strlen(socket_path) + 1);
	buf_printf(&request, "GET %s HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n", path);
	if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience)) < 0 ||
	    connect(fd, (const struct sockaddr *)&address, sizeof(address)) < 0 ||
	    send(fd, request.data, request.size, MSG_NOSIGNAL) != (ssize_t)request.size)
		return NULL;
	while ((n = recv(fd, chunk, sizeof(chunk), 0)) > 0)
		buf_add(&answer, chunk, (size_t)n);
	body = buf_failed(&answer) ? NULL : strstr(buf_text(&answer), "\r\n\r\n");
	return body ? json_read(body, strlen(body)) : NULL;
}

static bool has_target(const struct config *config, const char *target)
{
	for (size_t i = 0; i < config->n_links; i++) {
		const char *ours = link_conf_target(config->links[i]);

		if (ours && *target && (strcmp(ours, target) == 0 || is_same_file(ours, target)))
			return true;
	}
	return false;
}

int second_has_link(const struct config *config)
{
	const json_t *link;
	json_t *root;
	size_t i;
	pid_t pid;
	int r = 0;

	if (!config->api_socket[0] || !api_socket_holder(config->api_socket, &pid) || !is_haywaind(pid))
		return 0;
	root = query_daemon(config->api_socket, "/v1/links");
	json_array_foreach(json_object_get(root, "links"), i, link)
	{
		const char *target = json_text_of(link, "target");

		if (r < 0 || !has_target(config, target))
			continue;
		r = -EWOULDBLOCK;
		fprintf(stderr,
			"haywaind: the running haywaind (process %d) has %s for its link %s: `haywain watch` shows its readings, or systemctl stop haywain first\n",
			(int)pid, target, json_text_of(link, "name"));
	}
	json_decref(root);
	return r;
}
