/* SPDX-License-Identifier: Apache-2.0 */
#include "base/clock.h"
#include "base/units.h"
#include "cli/cli.h"

const char *colour_on(const struct cli *cli, enum colour colour)
{
	return colour_code(cli->colour, colour);
}

const char *colour_off(const struct cli *cli)
{
	return colour_reset(cli->colour);
}

const char *since_text(const json_t *object, const char *key, char *buffer)
{
	int64_t since_us = json_int_of(object, key) * (int64_t)USEC_PER_MSEC, now = clock_wall();

	return format_duration(now > since_us && since_us > 0 ? (uint64_t)(now - since_us) : 0, buffer);
}
