/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where a device refuses to be read across is learnt once and kept over restarts, 3 bytes for each cut: table and
 * address, the high byte first.
 */
#include "device.h"

static const char key[] = "cuts";

enum { CUT_BYTES = 3 };

void learn_recall(struct modbus_device *md)
{
	uint8_t bytes[CUTS_MAX * CUT_BYTES];
	int n = md->device->link->host->recall(md->device, key, bytes, sizeof(bytes));

	md->limits.cuts = md->cuts;
	if (n < 0 || n > (int)sizeof(bytes) || n % CUT_BYTES)
		return;
	for (const uint8_t *at = bytes; at < bytes + n; at += CUT_BYTES)
		if (at[0] < N_TABLES)
			md->cuts[md->limits.n_cuts++] = (struct plan_cut){at[0], (uint16_t)(at[1] << 8 | at[2])};
}

static void keep(struct modbus_device *md)
{
	uint8_t bytes[CUTS_MAX * CUT_BYTES], *at = bytes;

	for (size_t i = 0; i < md->limits.n_cuts; i++, at += CUT_BYTES) {
		at[0] = (uint8_t)md->cuts[i].table;
		at[1] = (uint8_t)(md->cuts[i].address >> 8);
		at[2] = (uint8_t)md->cuts[i].address;
	}
	md->device->link->host->remember(md->device, key, bytes, (size_t)(at - bytes));
}

bool learn_refusal(struct modbus_device *md, const struct plan_request *request)
{
	struct plan_cut cut;
	char place[PLACE_TEXT_MAX];

	if (md->limits.n_cuts == CUTS_MAX || !plan_find_cut(md->plan, request, md->places, &cut))
		return false;
	md->cuts[md->limits.n_cuts++] = cut;
	keep(md);
	md->device->link->host->log(
		md->device->link, md->device, HAY_LOG_INFO,
		"refuses to be asked for %s at once; from now on requests end before %u, also after a restart",
		plan_place_text(&request->place, place), cut.address);
	return true;
}
