/* SPDX-License-Identifier: Apache-2.0 */
/* From the configuration to what the field shall run: the gateway's own device beside the configured ones. Main
   thread. */
#ifndef HAYWAIN_GATEWAY_FIELD_H
#define HAYWAIN_GATEWAY_FIELD_H

#include "builtin/self.h"
#include "config.h"
#include "field/field.h"

/* Takes links and devices of the configuration; what is bad in it keeps its last good form. -ENOMEM: nothing was
   changed. */
int gateway_field_apply(struct field *field, struct plugin_set *plugins, const struct self_sources *self,
			struct config *config, struct field_changes *ret);

#endif
