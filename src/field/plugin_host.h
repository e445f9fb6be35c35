/* SPDX-License-Identifier: Apache-2.0 */
/* The services that plugins are handed: struct hay_host of this daemon. */
#ifndef HAYWAIN_FIELD_PLUGIN_HOST_H
#define HAYWAIN_FIELD_PLUGIN_HOST_H

#include <haywain/plugin.h>

extern const struct hay_host plugin_host;

#endif
