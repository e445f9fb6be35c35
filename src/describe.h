/* SPDX-License-Identifier: Apache-2.0 */
/* What this gateway can be told: haywaind --plugins, --models and --describe. All print; the exit status is given. */
#ifndef HAYWAIN_DESCRIBE_H
#define HAYWAIN_DESCRIBE_H

int list_plugins(void);
int list_models(void);
/* The keys of a plugin's links, devices and points, with those that all have, from its option tables. */
int describe_plugin(const char *name);

#endif
