/* SPDX-License-Identifier: Apache-2.0 */
#include "upstream/mqtt_local.h"
#include "base/mutex.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

/*
 * The library connects by a path, so there is a listener, made once and kept: a disk that fills up later does not
 * matter. Its path is gone as soon as it is bound; what stays is a descriptor of it, which only this process can name.
 */
static struct {
	struct mutex lock;  /* one connects at a time, so that who is accepted is who connected */
	int listener, path; /* -1: not made yet */
} local = {MUTEX_INITIALIZER, -1, -1};

static int bind_under(const char *folder)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	char directory[sizeof(address.sun_path) - 2];
	int n = snprintf(directory, sizeof(directory), "%s/haywain-XXXXXX", folder);
	if (n < 0 || (size_t)n >= sizeof(directory))
		return -ENAMETOOLONG;
	int listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (listener < 0)
		return -errno;
	if (!mkdtemp(directory)) {
		int error = errno;
		close(listener);
		return -error;
	}
	snprintf(address.sun_path, sizeof(address.sun_path), "%s/s", directory);
	int path = -1, error = 0;
	if (bind(listener, (struct sockaddr *)&address, sizeof(address)) < 0 || listen(listener, 1) < 0 ||
	    (path = open(address.sun_path, O_PATH | O_CLOEXEC | O_NOFOLLOW)) < 0)
		error = errno;
	unlink(address.sun_path);
	rmdir(directory);
	if (error) {
		close(listener);
		return -error;
	}
	local.listener = listener;
	local.path = path;
	return 0;
}

static int make_listener(void)
{
	char runtime[sizeof(((struct sockaddr_un *)0)->sun_path)] = "";
	const char *named = getenv("RUNTIME_DIRECTORY"), *temporary = getenv("TMPDIR");
	if (named) /* more than one, with colons between: systemd.exec(5) */
		snprintf(runtime, sizeof(runtime), "%.*s", (int)strcspn(named, ":"), named);
	/* Memory first: it takes a file even where the disk is full. */
	const char *const folders[] = {runtime, "/run", "/dev/shm", temporary ? temporary : "", "/tmp"};
	int r = -ENOENT;
	for (size_t i = 0; i < ELEMENTS(folders) && r < 0; i++)
		if (folders[i][0])
			r = bind_under(folders[i]);
	return r;
}

/* Any process could connect to a local socket with a name; only this process may. */
static bool is_ours(int fd)
{
	struct ucred peer;
	socklen_t size = sizeof(peer);
	return getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) == 0 && peer.pid == getpid();
}

static int accept_ours(void)
{
	for (;;) {
		int fd = accept4(local.listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
		if (fd < 0 && errno == EINTR)
			continue;
		if (fd < 0)
			return -errno;
		if (is_ours(fd))
			return fd;
		close(fd);
	}
}

static int connect_locked(struct mosquitto *client, unsigned keepalive_s, const mosquitto_property *properties)
{
	int r = local.listener >= 0 ? 0 : make_listener();
	if (r < 0)
		return r;
	char path[32];
	snprintf(path, sizeof(path), "/proc/self/fd/%d", local.path);
	errno = 0;
	/* Port 0 makes a path of the host's name. */
	int rc = mosquitto_connect_bind_v5(client, path, 0, (int)keepalive_s, NULL, properties);
	if (rc != MOSQ_ERR_SUCCESS)
		return rc == MOSQ_ERR_NOMEM ? -ENOMEM : rc == MOSQ_ERR_ERRNO && errno ? -errno : -EINVAL;
	return accept_ours();
}

int mqtt_local_connect(struct mosquitto *client, unsigned keepalive_s, const mosquitto_property *properties,
		       int *ret_fd, struct reason *ret_reason)
{
	mutex_lock(&local.lock);
	int r = connect_locked(client, keepalive_s, properties);
	mutex_unlock(&local.lock);
	if (r < 0) {
		reason_set(ret_reason, "the MQTT library cannot be connected inside this machine: %s", strerror(-r));
		return r;
	}
	/* libmosquitto 2.0.11 does not. */
	fcntl(mosquitto_socket(client), F_SETFD, FD_CLOEXEC);
	*ret_fd = r;
	return 0;
}
