/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The counter of what a device sends encrypted only grows: a lower one is an old advertisement that somebody sent
 * again. It is kept over restarts, seldom enough for a flash card: when a device is first heard, once an hour, and when
 * the device is stopped. After a crash what was recorded within the last hour passes, until the device is heard itself.
 */
#include "ble.h"
#include <errno.h>
#include <openssl/evp.h>
#include <string.h>

#define KEEP_US (3600 * SECOND_US)
#define ANEW_BELOW 100 /* a device with a new battery is heard for the first time before it has counted this far */

static const char note[] = "counter";

/* Four bytes of the counter, the lowest first, and four that say which key it belongs to. */
enum { COUNTER_BYTES = 4, NOTE_BYTES = 8 };

static bool mark_key(const struct decode_key *key, uint8_t mark[NOTE_BYTES - COUNTER_BYTES])
{
	uint8_t digest[EVP_MAX_MD_SIZE];

	if (EVP_Digest(key->bytes, key->size, digest, NULL, EVP_sha256(), NULL) != 1)
		return false;
	memcpy(mark, digest, NOTE_BYTES - COUNTER_BYTES);
	return true;
}

void counter_recall(struct ble_device *device)
{
	uint8_t bytes[NOTE_BYTES], mark[NOTE_BYTES - COUNTER_BYTES];

	if (device->key.size == 0 ||
	    device->link->host->recall(device->hay, note, bytes, sizeof(bytes)) != sizeof(bytes) ||
	    !mark_key(&device->key, mark) || memcmp(bytes + COUNTER_BYTES, mark, sizeof(mark)) != 0)
		return;
	for (unsigned i = COUNTER_BYTES; i-- > 0;)
		device->counter = device->counter << 8 | bytes[i];
	device->kept_counter = device->counter;
	device->kept_us = device->link->host->now();
	device->counter_state = COUNTER_KEPT;
	/* the last one is heard once more where the restart was quick */
	device->taken = (struct taken){.state = TAKEN_ALL, .packet = device->counter};
}

void counter_keep(struct ble_device *device)
{
	uint8_t bytes[NOTE_BYTES];

	if (device->counter_state == COUNTER_UNKNOWN ||
	    (device->counter_state == COUNTER_KEPT && device->counter == device->kept_counter) ||
	    !mark_key(&device->key, bytes + COUNTER_BYTES))
		return;
	for (unsigned i = 0; i < COUNTER_BYTES; i++)
		bytes[i] = (uint8_t)(device->counter >> 8 * i);
	/* where it cannot be written it is tried again an hour later */
	device->link->host->remember(device->hay, note, bytes, sizeof(bytes));
	device->counter_state = COUNTER_KEPT;
	device->kept_counter = device->counter;
	device->kept_us = device->link->host->now();
}

bool counter_is_due(const struct ble_device *device, uint64_t now)
{
	return device->counter_state == COUNTER_HEARD ||
	       (device->counter_state == COUNTER_KEPT && device->counter != device->kept_counter &&
		now - device->kept_us >= KEEP_US);
}

/*
 * A device that is heard as before is not one with a new battery. One that is not, while lower counters come, from
 * near the beginning and always growing: believed once it is lost. How far it has counted until then says nothing: one
 * that sends each second passes any bound within lost_after.
 */
static bool begins_anew(struct ble_device *device, uint32_t counter)
{
	if (device->anew == ANEW_NONE || counter < device->anew_last)
		device->anew_first = counter;
	if (device->anew == ANEW_NONE)
		device->anew = ANEW_HEARD;
	device->anew_last = counter;
	if (!device->is_lost)
		return false;
	if (device->anew_first < ANEW_BELOW) {
		LOG(device, HAY_LOG_NOTICE, "counts anew, after %u from %u: a new battery, by the looks of it",
		    device->counter, device->anew_first);
		return true;
	}
	if (device->anew != ANEW_TOLD)
		LOG(device, HAY_LOG_WARNING,
		    "is heard only with counters from %u on, not with what follows %u: recordings are being sent, or its battery was changed while the gateway did not listen; if it was, take the device out of the configuration, reload, put it back and reload: its counter is forgotten then",
		    device->anew_first, device->counter);
	device->anew = ANEW_TOLD;
	return false;
}

bool counter_accept(struct ble_device *device, uint32_t counter)
{
	if (device->counter_state != COUNTER_UNKNOWN && counter < device->counter && !begins_anew(device, counter))
		return false;
	if (device->counter_state == COUNTER_UNKNOWN)
		device->counter_state = COUNTER_HEARD;
	device->counter = counter;
	device->anew = ANEW_NONE;
	return true;
}
