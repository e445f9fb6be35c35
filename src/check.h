/* SPDX-License-Identifier: Apache-2.0 */
/* haywaind --check. */
#ifndef HAYWAIN_CHECK_H
#define HAYWAIN_CHECK_H

/*
 * Say on standard error what is wrong with the configuration at path. user: with whose rights files are judged, where
 * we are root and can take them; NULL: the service's for the service's own configuration, else ours. The exit status: 0
 * or 1.
 */
int check_config(const char *path, const char *user);

/* As root, with the service's own configuration: go on with the service's rights, so that what works here works
   there. 1: so; 0: with ours; -errno after a line on standard error. */
int check_become_service(const char *path);

#endif
