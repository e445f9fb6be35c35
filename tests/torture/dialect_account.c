/* SPDX-License-Identifier: Apache-2.0 */
/* What was appended in all lives, what of it is known to be on the disk, and what arrived for which uplink. */
#include "dialect.h"
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define WRONG_SHOWN 20
#define ALL_PARTS ((1U << DIALECT_PARTS) - 1)

const char *const dialect_devices[DIALECT_DEVICES] = {"boiler", "meter", "scale"};

void account_wrong(struct account *account, const char *format, ...)
{
	va_list args;
	if (account->n_wrong++ >= WRONG_SHOWN)
		return;
	va_start(args, format);
	fputs("WRONG: ", stdout);
	vprintf(format, args);
	putchar('\n');
	fflush(stdout);
	va_end(args);
}

static void grow(struct account *account, uint64_t n)
{
	size_t capacity = MAX((size_t)1 << 16, account->capacity);
	while (capacity <= n)
		capacity *= 2;
	if (capacity == account->capacity)
		return;
	for (size_t i = 0; i <= DIALECT_UPLINKS; i++) {
		uint8_t **list = i < DIALECT_UPLINKS ? &account->parts[i] : &account->durable;
		*list = realloc(*list, capacity);
		if (!*list)
			torture_die("out of memory");
		memset(*list + account->capacity, 0, capacity - account->capacity);
	}
	account->capacity = capacity;
}

void account_reserve(struct account *account, uint64_t upto)
{
	grow(account, upto);
	account->upto = MAX(account->upto, upto);
}

void account_durable(struct account *account, uint64_t first, uint64_t last)
{
	if (last > account->upto)
		torture_die("a life says that %" PRIu64 " is on the disk, and has appended up to %" PRIu64, last,
			    account->upto);
	for (uint64_t n = last; n >= first && !account->durable[n]; n--) {
		account->durable[n] = 1;
		account->n_durable++;
	}
}

bool payload_number(const char *payload, const char *name, uint64_t *ret)
{
	size_t size = strlen(name);
	for (const char *at = payload; (at = strstr(at, name)); at += size) {
		if ((at == payload || at[-1] == ' ') && at[size] == '=') {
			*ret = strtoull(at + size + 1, NULL, 10);
			return true;
		}
	}
	return false;
}

static void part_arrived(struct account *account, size_t uplink, const char *device, unsigned part, const char *payload)
{
	uint64_t n, said;
	if (!payload_number(payload, "n", &n) || !payload_number(payload, "part", &said) || said != part || part < 1 ||
	    part > DIALECT_PARTS) {
		account_wrong(account, "d%zu: part %u of a sample of %s cannot be read: %s", uplink, part, device,
			      payload);
		return;
	}
	if (n == 0 || n > account->upto) {
		account_wrong(account, "d%zu: %" PRIu64 " arrived, and was never appended", uplink, n);
		return;
	}
	if (strcmp(device, dialect_devices[n % DIALECT_DEVICES]) != 0)
		account_wrong(account, "d%zu: %" PRIu64 " arrived as one of %s", uplink, n, device);
	uint8_t *parts = &account->parts[uplink][n];
	account->arrived++;
	account->twice += (*parts >> (part - 1)) & 1;
	*parts |= (uint8_t)(1U << (part - 1));
}

void account_arrived(struct account *account, const char *topic, const char *payload, uint64_t now_us)
{
	size_t uplink;
	char device[16], kind[8];
	unsigned part;
	int n = sscanf(topic, "double/d%zu/%7[a-z]/%15[a-z]/%u", &uplink, kind, device, &part);
	if (n < 2 || uplink >= DIALECT_UPLINKS)
		return;
	if (strcmp(kind, "data") == 0 && n == 4) {
		account->arrived_us = now_us;
		part_arrived(account, uplink, device, part, payload);
	}
	uint64_t dropped;
	if (strcmp(kind, "event") == 0 && payload_number(payload, "samples", &dropped)) {
		account->dropped += dropped;
		account_wrong(account, "d%zu: %" PRIu64 " samples are said to be dropped: %s", uplink, dropped,
			      payload);
	}
}

uint64_t account_missing(const struct account *account, size_t uplink, uint64_t *ret_first)
{
	uint64_t missing = 0;
	for (uint64_t n = account->upto; n > 0; n--) {
		if (!account->durable[n] || account->parts[uplink][n] == ALL_PARTS)
			continue;
		missing++;
		*ret_first = n;
	}
	return missing;
}

void account_free(struct account *account)
{
	for (size_t i = 0; i < DIALECT_UPLINKS; i++)
		free(account->parts[i]);
	free(account->durable);
}
