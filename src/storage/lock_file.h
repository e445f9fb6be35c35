/* SPDX-License-Identifier: Apache-2.0 */
/* PATH.lock: one process at a time has the file. */
#ifndef HAYWAIN_STORAGE_LOCK_FILE_H
#define HAYWAIN_STORAGE_LOCK_FILE_H

#include "base/util.h"
#include <sys/types.h>

/* A file of its own, because the POSIX locks of the file would go when any descriptor of it is closed.
   -EWOULDBLOCK: another process has it (*ret_pid: who, or 0). */
int storage_lock(const char *path, int *ret_fd, pid_t *ret_pid);

#endif
