/* SPDX-License-Identifier: Apache-2.0 */
#include "storage/reserve.h"
#include "base/files.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

int reserve_make(const char *path, size_t size, size_t spare)
{
	_cleanup_free_ char *name = file_beside(path, ".reserve");
	_cleanup_close_ int fd = -1;
	struct stat st;
	off_t was;
	int r;

	if (!name)
		return -ENOMEM;
	fd = open(name, O_WRONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0640);
	if (fd < 0)
		return -errno;
	was = fstat(fd, &st) < 0 ? 0 : st.st_size;
	r = posix_fallocate(fd, 0, (off_t)(size + spare));
	if (r != 0 && was < (off_t)size)
		unlink(name);
	else if (ftruncate(fd, (off_t)size) < 0 && r == 0)
		r = errno;
	return -r;
}

int reserve_remove(const char *path)
{
	_cleanup_free_ char *name = file_beside(path, ".reserve");

	if (!name)
		return -ENOMEM;
	return unlink(name) < 0 ? -errno : 0;
}
