/* SPDX-License-Identifier: Apache-2.0 */
/* Files that the service's user may not read. */
#include "base/conf.h"
#include <errno.h>
#include <string.h>
#include <sys/stat.h>

/* The first folder on the way that may not be entered. NULL: none, or out of memory. */
static char *find_closed_folder(const char *path)
{
	for (const char *slash = strchr(path + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
		char *folder = strndup(path, (size_t)(slash - path));

		if (folder && access(folder, X_OK) < 0 && errno == EACCES)
			return folder;
		free(folder);
	}
	return NULL;
}

void conf_add_advice(struct buf *out, const struct conf_messages *messages, const char *path, int error)
{
	const struct conf_service *service = messages->service;
	_cleanup_free_ char *folder = NULL;
	struct stat st;

	if (!service || error != EACCES || !*path)
		return;
	folder = find_closed_folder(path);
	if (folder)
		buf_printf(out, "; the service runs as %s and may not enter %s", service->user, folder);
	else
		buf_printf(out, "; the service runs as %s: chgrp %s %s && chmod %s %s", service->user, service->group,
			   path, stat(path, &st) == 0 && S_ISDIR(st.st_mode) ? "750" : "640", path);
}
