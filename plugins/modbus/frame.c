/* SPDX-License-Identifier: Apache-2.0 */
#include "frame.h"
#include <errno.h>
#include <string.h>

enum { AT_TRANSACTION = 0, AT_PROTOCOL = 2, AT_LENGTH = 4, AT_UNIT = 6, AT_FUNCTION = 7, AT_DATA = 8, AT_COUNT = 10 };

static void put_u16(uint8_t *at, unsigned value)
{
	at[0] = (uint8_t)(value >> 8);
	at[1] = (uint8_t)value;
}

static unsigned get_u16(const uint8_t *at)
{
	return (unsigned)at[0] << 8 | at[1];
}

void frame_build(uint16_t transaction, uint8_t unit, const struct plan_place *place, uint8_t ret[FRAME_REQUEST_BYTES])
{
	static const uint8_t functions[N_TABLES] = {
		[TABLE_COIL] = 1, [TABLE_DISCRETE] = 2, [TABLE_HOLDING] = 3, [TABLE_INPUT] = 4};

	put_u16(ret + AT_TRANSACTION, transaction);
	put_u16(ret + AT_PROTOCOL, 0);
	put_u16(ret + AT_LENGTH, FRAME_REQUEST_BYTES - AT_UNIT);
	ret[AT_UNIT] = unit;
	ret[AT_FUNCTION] = functions[place->table];
	put_u16(ret + AT_DATA, place->address);
	put_u16(ret + AT_COUNT, place->count);
}

int frame_check(const uint8_t request[FRAME_REQUEST_BYTES], const uint8_t *bytes, size_t size, struct frame_answer *ret,
		const char **ret_error)
{
	unsigned count = get_u16(request + AT_COUNT);
	size_t expected = request[AT_FUNCTION] <= 2 ? (count + 7) / 8 : count * 2;
	const char *error = NULL;

	if (size < AT_DATA + 1 || get_u16(bytes + AT_PROTOCOL) || get_u16(bytes + AT_LENGTH) != size - AT_UNIT)
		error = "not a Modbus frame";
	else if (memcmp(bytes, request, 2))
		error = "the answer to another request (transaction id)";
	else if (bytes[AT_UNIT] != request[AT_UNIT])
		error = "the answer of another unit";
	else if ((bytes[AT_FUNCTION] & 0x7f) != request[AT_FUNCTION])
		error = "the answer to another function";
	else if (bytes[AT_FUNCTION] & 0x80 ? size != AT_DATA + 1
					   : bytes[AT_DATA] != expected || size != AT_DATA + 1 + expected)
		error = "an answer of another length";
	else if (bytes[AT_FUNCTION] & 0x80 && !bytes[AT_DATA])
		error = "an exception without a code";
	if (error) {
		*ret_error = error;
		return -EBADMSG;
	}
	if (bytes[AT_FUNCTION] & 0x80)
		*ret = (struct frame_answer){.exception = bytes[AT_DATA]};
	else
		*ret = (struct frame_answer){.data = bytes + AT_DATA + 1, .size = expected};
	return 0;
}
