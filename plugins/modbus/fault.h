/* SPDX-License-Identifier: Apache-2.0 */
/* Why there is no right answer. Decisions are taken by these, never by their text. Pure. */
#ifndef MODBUS_FAULT_H
#define MODBUS_FAULT_H

#include <haywain/reading.h>

enum modbus_fault {
	FAULT_NONE,
	/* What came is not the answer. */
	FAULT_NO_FRAME,
	FAULT_WRONG_CRC,
	FAULT_ONLY_ECHO,
	FAULT_OTHER_REQUEST,
	FAULT_OTHER_UNIT,
	FAULT_OTHER_FUNCTION,
	FAULT_OTHER_LENGTH,
	FAULT_NO_CODE,
	FAULT_NO_FIT,
	/* Nothing came, or not all of it. */
	FAULT_SILENCE,
	FAULT_CUT_SHORT,
	FAULT_CLOSED,
	FAULT_CLOSED_WITHIN,
	/* It was not asked. */
	FAULT_EXPIRED,
	FAULT_CLOSED_BEFORE,
	FAULT_RESTLESS,
	/* There is no way to it. */
	FAULT_NO_CONNECTION,
	FAULT_PORT_MISSING,
	FAULT_PORT_TAKEN,
	FAULT_PORT_PERMISSION,
	FAULT_PORT_KIND,
	FAULT_PORT_MODE,
	FAULT_PORT_ERROR,
	FAULT_PORT_GONE,
	N_FAULTS
};

/* HAY_NO_REASON only for FAULT_NONE. */
enum hay_reason fault_reason(enum modbus_fault fault);
/* Without capitals or a full stop; lives for ever. "" for FAULT_NONE. */
const char *fault_to_string(enum modbus_fault fault);

#endif
