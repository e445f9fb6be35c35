/* SPDX-License-Identifier: Apache-2.0 */
#include "base/files.h"
#include "base/util.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>

char *file_beside(const char *path, const char *end)
{
	char *name;

	return asprintf(&name, "%s%s", path, end) < 0 ? NULL : name;
}

static int sync_folder_of(const char *path)
{
	const char *slash = strrchr(path, '/');
	_cleanup_free_ char *folder = slash ? strndup(path, (size_t)(slash - path) + 1) : strdup(".");
	_cleanup_close_ int fd = folder ? open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;

	if (!folder)
		return -ENOMEM;
	return fd < 0 || fsync(fd) < 0 ? -errno : 0;
}

static int write_all(int fd, const void *data, size_t size)
{
	for (const char *at = data; size > 0;) {
		ssize_t n = write(fd, at, size);

		if (n < 0 && errno != EINTR)
			return -errno;
		if (n > 0) {
			at += n;
			size -= (size_t)n;
		}
	}
	return fsync(fd) < 0 ? -errno : 0;
}

int file_replace(const char *path, const void *data, size_t size, mode_t mode, gid_t group)
{
	_cleanup_free_ char *fresh = file_beside(path, ".new");
	_cleanup_close_ int fd = -1;
	int r;

	if (!fresh)
		return -ENOMEM;
	/* One that was left behind may be readable for others, who would have it open still. */
	if (unlink(fresh) < 0 && errno != ENOENT)
		return -errno;
	fd = open(fresh, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (fd < 0)
		return -errno;
	r = (group != (gid_t)-1 && fchown(fd, (uid_t)-1, group) < 0) || fchmod(fd, mode) < 0 ? -errno : 0;
	if (r == 0)
		r = write_all(fd, data, size);
	if (r == 0 && rename(fresh, path) < 0)
		r = -errno;
	if (r < 0) {
		unlink(fresh);
		return r;
	}
	return sync_folder_of(path);
}
