/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where a device cannot be read across: its cuts. Each is a guess at first, because a device that boots, or is about
 * to go, refuses whatever it is asked for: 2 s of that once left 100 requests a round where one had been enough. So
 * requests are joined across a cut again, for one request, to see whether it is still needed: in the next round, and
 * then after 1 min, 2 min, and so on up to a day. All cuts that are due are tested at once; where the device still
 * refuses, each by itself, one a round. Only one that failed by itself is proven and survives a restart.
 *
 * Remembered: a digest of the configuration (4 bytes), with another one all is forgotten; then 3 bytes for each cut:
 * table (and SILENT_FLAG) and address, the high byte first.
 */
#include "device.h"
#include <string.h>

#define TEST_FIRST_US UINT64_C(60000000)
#define TEST_LAST_US UINT64_C(86400000000)
#define LINES_MAX 8 /* in the log, for each device */

static const char key[] = "cuts";

enum { DIGEST_BYTES = 4, CUT_BYTES = 3, SILENT_FLAG = 0x80 };

static uint64_t host_now(const struct modbus_device *md)
{
	return md->device->link->host->now();
}

/* ---- what is remembered ---- */

static uint32_t digest_add(uint32_t digest, const void *data, size_t size)
{
	const uint8_t *bytes = data;

	for (size_t i = 0; i < size; i++)
		digest = (digest ^ bytes[i]) * UINT32_C(16777619); /* FNV-1a */
	return digest;
}

static uint32_t digest_add_text(uint32_t digest, const char *text)
{
	return text ? digest_add(digest, text, strlen(text) + 1) : digest_add(digest, "", 1);
}

/* Of everything that may be changed to be rid of what was learnt. */
static uint32_t digest_configuration(const struct modbus_device *md)
{
	const struct hay_device *device = md->device;
	const struct modbus_link_conf *link = device->link->conf;
	const struct modbus_device_conf *conf = device->conf;
	uint32_t digest = UINT32_C(2166136261);

	digest = digest_add_text(digest, link->url);
	digest = digest_add_text(digest, link->port);
	digest = digest_add(digest, &conf->unit, sizeof(conf->unit));
	digest = digest_add(digest, &conf->max_registers, sizeof(conf->max_registers));
	digest = digest_add(digest, &conf->max_hole, sizeof(conf->max_hole));
	digest = digest_add(digest, &device->every_us, sizeof(device->every_us));
	for (uint32_t i = 0; i < device->n_points; i++) {
		const struct plan_place *place = &md->places[i];
		const uint32_t numbers[] = {place->table, place->address, place->count};

		digest = digest_add(digest, numbers, sizeof(numbers));
		digest = digest_add_text(digest, device->points[i]->name);
		digest = digest_add_text(digest, device->points[i]->type_name);
		digest = digest_add(digest, &device->points[i]->every_us, sizeof(device->points[i]->every_us));
	}
	return digest;
}

static void put_digest(const struct modbus_device *md, uint8_t bytes[DIGEST_BYTES])
{
	uint32_t digest = digest_configuration(md);

	for (unsigned i = 0; i < DIGEST_BYTES; i++)
		bytes[i] = (uint8_t)(digest >> (24 - 8 * i));
}

void learn_recall(struct modbus_device *md)
{
	uint8_t bytes[DIGEST_BYTES + CUTS_MAX * CUT_BYTES], digest[DIGEST_BYTES];
	int n = md->device->link->host->recall(md->device, key, bytes, sizeof(bytes));

	md->limits.cuts = md->cuts;
	put_digest(md, digest);
	if (n < DIGEST_BYTES || n > (int)sizeof(bytes) || (n - DIGEST_BYTES) % CUT_BYTES ||
	    memcmp(bytes, digest, DIGEST_BYTES) != 0)
		return;
	for (const uint8_t *at = bytes + DIGEST_BYTES; at < bytes + n; at += CUT_BYTES)
		if ((at[0] & ~SILENT_FLAG) < N_TABLES)
			md->cuts[md->limits.n_cuts++] = (struct plan_cut){
				.table = at[0] & ~SILENT_FLAG,
				.address = (uint16_t)(at[1] << 8 | at[2]),
				.is_silent = at[0] & SILENT_FLAG,
				.is_proven = true,
				.test_us = host_now(md) + TEST_FIRST_US,
				.pause_us = TEST_FIRST_US,
			};
}

static void remember_cuts(struct modbus_device *md)
{
	uint8_t bytes[DIGEST_BYTES + CUTS_MAX * CUT_BYTES], *at = bytes + DIGEST_BYTES;

	put_digest(md, bytes);
	for (size_t i = 0; i < md->limits.n_cuts; i++) {
		if (!md->cuts[i].is_proven)
			continue;
		at[0] = (uint8_t)(md->cuts[i].table | (md->cuts[i].is_silent ? SILENT_FLAG : 0));
		at[1] = (uint8_t)(md->cuts[i].address >> 8);
		at[2] = (uint8_t)md->cuts[i].address;
		at += CUT_BYTES;
	}
	md->device->link->host->remember(md->device, key, bytes, at > bytes + DIGEST_BYTES ? (size_t)(at - bytes) : 0);
}

/* ---- cuts ---- */

static bool is_inside(const struct plan_cut *cut, const struct plan_place *place)
{
	return cut->table == place->table && cut->address > place->address &&
	       cut->address < place->address + (uint32_t)place->count;
}

static void log_cut(struct modbus_device *md, const struct plan_place *place, const struct plan_cut *cut)
{
	char text[PLACE_TEXT_MAX];

	if (md->n_lines++ >= LINES_MAX)
		return;
	md->device->link->host->log(
		md->device->link, md->device, HAY_LOG_INFO,
		"refuses to be asked for %s at once: requests end before %u from now on, also after a restart; now and then it is tried again%s",
		plan_place_text(place, text), cut->address,
		md->n_lines == LINES_MAX ? " (more such cuts of this device are not logged)" : "");
}

static void prove_cut(struct modbus_device *md, const struct plan_place *place, struct plan_cut *cut)
{
	bool is_news = !cut->is_proven;

	cut->is_open = cut->is_single = false;
	cut->pause_us = cut->pause_us ? cut->pause_us * 2 : TEST_FIRST_US;
	if (cut->pause_us > TEST_LAST_US)
		cut->pause_us = TEST_LAST_US;
	cut->test_us = host_now(md) + cut->pause_us;
	cut->is_proven = true;
	if (!is_news)
		return;
	remember_cuts(md);
	log_cut(md, place, cut);
}

/* Take out those for which it says so. */
static void drop_cuts(struct modbus_device *md, bool (*is_over)(const struct plan_cut *cut, const void *userdata),
		      const void *userdata)
{
	size_t n = 0;
	bool was_kept = false;

	for (size_t i = 0; i < md->limits.n_cuts; i++) {
		if (is_over(&md->cuts[i], userdata))
			was_kept = was_kept || md->cuts[i].is_proven;
		else
			md->cuts[n++] = md->cuts[i];
	}
	md->plans_are_old = md->plans_are_old || n != md->limits.n_cuts;
	md->limits.n_cuts = n;
	if (was_kept)
		remember_cuts(md);
}

static bool is_disproved(const struct plan_cut *cut, const void *userdata)
{
	const struct plan_request *request = userdata;

	return cut->is_open && is_inside(cut, &request->place);
}

static bool is_of_a_bad_round(const struct plan_cut *cut, const void *userdata)
{
	(void)userdata;
	return cut->is_new && !cut->is_silent;
}

bool learn_test_failed(struct modbus_device *md, const struct plan_request *request)
{
	struct plan_cut *last = NULL;
	unsigned n = 0;

	for (size_t i = 0; i < md->limits.n_cuts; i++)
		if (md->cuts[i].is_open && is_inside(&md->cuts[i], &request->place)) {
			last = &md->cuts[i];
			last->is_open = false;
			last->is_single = true;
			n++;
		}
	if (n == 0)
		return false;
	if (n == 1)
		prove_cut(md, &request->place, last);
	md->plans_are_old = true;
	return true;
}

bool learn_cut(struct modbus_device *md, const struct plan_request *request, bool is_silent)
{
	struct plan_cut cut;

	if (md->limits.n_cuts == CUTS_MAX || !plan_find_cut(md->plan, request, md->places, &cut))
		return false;
	cut.is_new = true;
	cut.is_silent = is_silent;
	if (is_silent) {
		/* To find out what a device is silent on takes a time-out a step: that is not done anew at each
		   restart. */
		cut.is_proven = true;
		cut.pause_us = TEST_FIRST_US;
		cut.test_us = host_now(md) + TEST_FIRST_US;
	}
	md->cuts[md->limits.n_cuts++] = cut;
	md->plans_are_old = true;
	if (is_silent)
		remember_cuts(md);
	return true;
}

void learn_answered(struct modbus_device *md, const struct plan_request *request)
{
	drop_cuts(md, is_disproved, request);
}

void learn_came_back(struct modbus_device *md)
{
	for (size_t i = 0; i < md->limits.n_cuts; i++)
		if (!md->cuts[i].is_silent) {
			md->cuts[i].test_us = md->cuts[i].pause_us = 0;
			md->cuts[i].is_single = false;
		}
}

static bool can_be_tested(const struct modbus_device *md, const struct plan_cut *cut)
{
	if (cut->test_us > host_now(md))
		return false;
	for (uint32_t i = 0; i < md->device->n_points; i++)
		if (md->states[i].is_due && !md->states[i].is_quiet && md->places[i].table == cut->table &&
		    md->places[i].address == cut->address)
			return true;
	return false;
}

void learn_begin_round(struct modbus_device *md)
{
	size_t n = md->limits.n_cuts, n_open = 0;

	for (size_t i = 0; i < n; i++)
		if (!md->cuts[i].is_single && can_be_tested(md, &md->cuts[i])) {
			md->cuts[i].is_open = true;
			n_open++;
		}
	for (size_t i = 0; i < n && !n_open; i++) {
		struct plan_cut *cut = &md->cuts[(md->test_turn + i) % n];

		if (can_be_tested(md, cut)) {
			cut->is_open = true;
			md->test_turn = (md->test_turn + i + 1) % n;
			n_open++;
		}
	}
	md->plans_are_old = md->plans_are_old || n_open > 0;
}

void learn_end_round(struct modbus_device *md, bool has_values)
{
	if (!has_values)
		drop_cuts(md, is_of_a_bad_round, NULL);
	for (size_t i = 0; i < md->limits.n_cuts; i++) {
		struct plan_cut *cut = &md->cuts[i];

		cut->is_new = false;
		if (!cut->is_open)
			continue;
		/* Nothing ran across it all the same, or the round ended before. */
		cut->is_open = cut->is_single = false;
		cut->pause_us = cut->pause_us ? cut->pause_us : TEST_FIRST_US;
		cut->test_us = host_now(md) + cut->pause_us;
		md->plans_are_old = true;
	}
}
