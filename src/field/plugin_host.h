/* SPDX-License-Identifier: Apache-2.0 */
/* The services that plugins are handed: struct hay_host of this daemon. */
#ifndef HAYWAIN_FIELD_PLUGIN_HOST_H
#define HAYWAIN_FIELD_PLUGIN_HOST_H

#include "field/link.h"
#include <haywain/plugin.h>

extern const struct hay_host plugin_host;

/* Remove what a plugin forgot to. */
void plugin_host_release(struct link *link);

#endif
