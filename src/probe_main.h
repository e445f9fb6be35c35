/* SPDX-License-Identifier: Apache-2.0 */
/* `haywaind --probe PLUGIN ARGUMENT...`: a plugin looks at the field by hand, for commissioning. */
#ifndef HAYWAIN_PROBE_MAIN_H
#define HAYWAIN_PROBE_MAIN_H

#include "field/plugin_load.h"

/* Load the plugin and let it probe: results on standard output, progress on standard error where that is a
   terminal, SIGINT and SIGTERM cancel. argv: what follows the plugin's name. 0; -EINVAL: wrong arguments; other
   -errno; each was explained on standard error. Takes over the process's signal handlers. */
int probe_main(struct plugin_set *plugins, const char *name, int argc, char *argv[]);

#endif
