/* SPDX-License-Identifier: Apache-2.0 */
#include "second.h"
#include "api/api_socket.h"
#include "base/log.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

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
	log_error("haywaind runs already%s: systemctl stop haywain first (it answers at %s)", process, socket);
	return -EWOULDBLOCK;
}
