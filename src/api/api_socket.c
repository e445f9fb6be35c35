/* SPDX-License-Identifier: Apache-2.0 */
#include "api/api_socket.h"
#include "base/log.h"
#include "base/util.h"
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define BACKLOG 16

static int set_address(const char *path, struct sockaddr_un *ret)
{
	*ret = (struct sockaddr_un){.sun_family = AF_UNIX};
	if (strlen(path) >= sizeof(ret->sun_path))
		return -ENAMETOOLONG;
	memcpy(ret->sun_path, path, strlen(path) + 1);
	return 0;
}

/* 0, or -errno: -ECONNREFUSED: nobody listens. */
static int try_to_connect(const struct sockaddr_un *address, pid_t *ret_pid)
{
	_cleanup_close_ int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	struct ucred peer = {0};
	socklen_t size = sizeof(peer);

	*ret_pid = 0;
	if (fd < 0)
		return -errno;
	/* EAGAIN: somebody listens, and so many wait before the socket that there is no room for us. */
	if (connect(fd, (const struct sockaddr *)address, sizeof(*address)) < 0)
		return errno == EAGAIN ? 0 : -errno;
	/* Of the process that called listen(): unix(7). */
	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) == 0)
		*ret_pid = peer.pid;
	return 0;
}

int api_socket_holder(const char *path, pid_t *ret_pid)
{
	struct sockaddr_un address;

	*ret_pid = 0;
	return set_address(path, &address) == 0 && try_to_connect(&address, ret_pid) == 0;
}

/* One that nobody listens at is what a kill left behind. */
static int remove_stale(const struct sockaddr_un *address)
{
	struct stat st;
	pid_t pid;

	if (lstat(address->sun_path, &st) < 0)
		return errno == ENOENT ? 0 : -errno;
	if (!S_ISSOCK(st.st_mode))
		return -EEXIST;
	if (try_to_connect(address, &pid) == 0)
		return -EADDRINUSE;
	return unlink(address->sun_path) < 0 ? -errno : 0;
}

int api_socket_listen(const char *path, const char *group)
{
	struct sockaddr_un address;
	const struct group *entry = getgrnam(group);
	int fd, r = set_address(path, &address);

	if (r == 0)
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
	/* The owner of the folder may have put a link in its place meanwhile: it is not followed. */
	if (entry && lchown(path, (uid_t)-1, entry->gr_gid) < 0)
		log_info("cannot give %s to the group %s: %s", path, group, strerror(errno));
	if (fchmodat(AT_FDCWD, path, 0660, AT_SYMLINK_NOFOLLOW) < 0 || listen(fd, BACKLOG) < 0) {
		r = -errno;
		close(fd);
		unlink(path);
		return r;
	}
	return fd;
}
