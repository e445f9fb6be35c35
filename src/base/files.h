/* SPDX-License-Identifier: Apache-2.0 */
/* Files that are replaced as a whole, and those that lie beside another. */
#ifndef HAYWAIN_BASE_FILES_H
#define HAYWAIN_BASE_FILES_H

#include <stddef.h>
#include <sys/types.h>

/*
 * Write PATH.new, flush it, give it the mode and group ((gid_t)-1: the caller's), and put it in path's place: whatever
 * happens, path is the old file or the new one, whole, and on disk when this returns. 0 or -errno.
 */
int file_replace(const char *path, const void *data, size_t size, mode_t mode, gid_t group);

/* PATH with something behind it, as in "queue.db" ".seq"; the caller's to free. NULL: out of memory. */
char *file_beside(const char *path, const char *end);

#endif
