/* SPDX-License-Identifier: Apache-2.0 */
/* The UNIX sockets of the local API. Who may connect is who may write to the file. */
#ifndef HAYWAIN_API_API_SOCKET_H
#define HAYWAIN_API_API_SOCKET_H

#include <sys/types.h>

/*
 * Listen at path, for the group where it exists and we may give the file to it, else for our own: mode 0660. A socket
 * that a killed process left there is replaced. The descriptor; -EADDRINUSE: a process listens there; -EEXIST: the file
 * is no socket; another -errno.
 */
int api_socket_listen(const char *path, const char *group);

/* Whether a process listens at path. 1, and its id (0: not known); 0: nobody, or it cannot be found out. */
int api_socket_holder(const char *path, pid_t *ret_pid);

#endif
