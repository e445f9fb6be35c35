/* SPDX-License-Identifier: Apache-2.0 */
#include "storage/lock_file.h"
#include "base/files.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>

static pid_t read_pid(int fd)
{
	char text[24] = "";
	ssize_t n = pread(fd, text, sizeof(text) - 1, 0);

	return n > 0 ? (pid_t)strtol(text, NULL, 10) : 0;
}

int storage_lock(const char *path, int *ret_fd, pid_t *ret_pid)
{
	_cleanup_free_ char *name = file_beside(path, ".lock");
	_cleanup_close_ int fd = -1;
	bool writable = true;
	char text[24];
	int n;

	if (!name)
		return -ENOMEM;
	fd = open(name, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0640);
	if (fd < 0 && (errno == EROFS || errno == EACCES || errno == EPERM)) {
		fd = open(name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
		writable = false;
	}
	if (fd < 0)
		return -errno;
	if (flock(fd, LOCK_EX | LOCK_NB) < 0) {
		int error = errno;

		if (error == EWOULDBLOCK && ret_pid)
			*ret_pid = read_pid(fd);
		return -error;
	}
	if (writable) {
		/* Who has it is only a help for people: a full disk does not matter. */
		n = snprintf(text, sizeof(text), "%d\n", (int)getpid());
		if (ftruncate(fd, 0) == 0 && pwrite(fd, text, (size_t)n, 0) < 0)
			errno = 0;
	}
	*ret_fd = fd;
	fd = -1;
	return 0;
}
