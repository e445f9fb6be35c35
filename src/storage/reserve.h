/* SPDX-License-Identifier: Apache-2.0 */
/* PATH.reserve: space that is given up on a full disk, so that what matters most still fits. */
#ifndef HAYWAIN_STORAGE_RESERVE_H
#define HAYWAIN_STORAGE_RESERVE_H

#include "base/util.h"

/* Space held back for the day the disk is full. -ENOSPC also where less than `spare` would be free beside it. */
int reserve_make(const char *path, size_t size, size_t spare);
int reserve_remove(const char *path); /* -ENOENT: it was gone */

#endif
