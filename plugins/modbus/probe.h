/* SPDX-License-Identifier: Apache-2.0 */
/* Commissioning: `haywaind --probe modbus scan | identify | dump …`. */
#ifndef MODBUS_PROBE_H
#define MODBUS_PROBE_H

#include <haywain/plugin.h>

/* The descriptor's probe(). */
int probe_modbus(const struct hay_probe *probe);

#endif
