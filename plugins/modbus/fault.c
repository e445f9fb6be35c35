/* SPDX-License-Identifier: Apache-2.0 */
#include "fault.h"

static const struct {
	enum hay_reason reason;
	const char *text;
} faults[N_FAULTS] = {
	[FAULT_NONE] = {HAY_NO_REASON, ""},
	[FAULT_NO_FRAME] = {HAY_DECODE, "not a Modbus frame"},
	[FAULT_WRONG_CRC] = {HAY_DECODE, "wrong CRC"},
	[FAULT_ONLY_ECHO] = {HAY_TIMEOUT, "nothing but the echo of the request"},
	[FAULT_OTHER_REQUEST] = {HAY_DECODE, "the answer to another request (transaction id)"},
	[FAULT_OTHER_UNIT] = {HAY_DECODE, "the answer of another unit"},
	[FAULT_OTHER_FUNCTION] = {HAY_DECODE, "the answer to another function"},
	[FAULT_OTHER_LENGTH] = {HAY_DECODE, "an answer of another length"},
	[FAULT_NO_CODE] = {HAY_DECODE, "an exception without a code"},
	[FAULT_NO_FIT] = {HAY_DECODE, "an answer that does not fit the request"},
	[FAULT_SILENCE] = {HAY_TIMEOUT, "no answer"},
	[FAULT_CUT_SHORT] = {HAY_TIMEOUT, "an answer cut short"},
	[FAULT_CLOSED] = {HAY_REFUSED, "connection closed without an answer"},
	[FAULT_CLOSED_WITHIN] = {HAY_REFUSED, "connection closed within an answer"},
	[FAULT_EXPIRED] = {HAY_TIMEOUT, "its time was over"},
	[FAULT_CLOSED_BEFORE] = {HAY_REFUSED, "connection closed"},
	[FAULT_RESTLESS] = {HAY_DECODE, "the line is never silent"},
	[FAULT_NO_CONNECTION] = {HAY_OFFLINE, "cannot connect"},
	[FAULT_PORT_MISSING] = {HAY_OFFLINE, "the port is not there"},
	[FAULT_PORT_TAKEN] = {HAY_OFFLINE, "another program has the port"},
	[FAULT_PORT_PERMISSION] = {HAY_OFFLINE,
				   "no permission to open the port (is the daemon's user in the group dialout?)"},
	[FAULT_PORT_KIND] = {HAY_OFFLINE, "the port is no serial port"},
	[FAULT_PORT_MODE] = {HAY_OFFLINE, "the port does not take this baud or mode"},
	[FAULT_PORT_ERROR] = {HAY_OFFLINE, "the port cannot be opened"},
	[FAULT_PORT_GONE] = {HAY_OFFLINE, "the port has gone"},
};

enum hay_reason fault_reason(enum modbus_fault fault)
{
	return faults[fault].reason;
}

const char *fault_to_string(enum modbus_fault fault)
{
	return faults[fault].text;
}
