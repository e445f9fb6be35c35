/* SPDX-License-Identifier: Apache-2.0 */
/* From an advertisement to a device's sample: whose it is, whether it is new, and where its values go. */
#include "ble.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define REPEAT_US (60 * SECOND_US) /* said again after this long, the same is a new measurement */
#define PRESS_US (2 * SECOND_US)   /* repeats of one press, where no packet id shows them */
#define JITTER 10		   /* a tenth: a device that sends once in `interval` does so with jitter */
#define REBIND_US (30 * SECOND_US) /* a device silent this long may have changed its address */

/* ---- points ---- */

static int add_target(struct ble_device *device, enum ble_field field, unsigned number, bool is_missing, uint32_t point)
{
	struct target *targets = reallocarray(device->targets, device->n_targets + 1, sizeof(*targets));

	if (!targets)
		return -ENOMEM;
	device->targets = targets;
	targets[device->n_targets++] =
		(struct target){.field = field, .number = (uint8_t)number, .is_missing = is_missing, .point = point};
	return 0;
}

/* Without points in the configuration every value makes its own. */
static void make_point(struct ble_device *device, enum ble_field field, unsigned number)
{
	const struct field_info *info = &field_infos[field];
	uint32_t point = 0;
	char name[64];
	int r;

	snprintf(name, sizeof(name), number > 1 ? "%s_%u" : "%s", info->name, number);
	r = device->link->host->add_point(device->hay, name, info->type, info->unit, &point);
	if (r < 0)
		LOG(device, HAY_LOG_WARNING, "no room for point %s: left out", name);
	add_target(device, field, number, r < 0, point);
}

static bool is_known(const struct ble_device *device, enum ble_field field, unsigned number)
{
	for (size_t i = 0; i < device->n_targets; i++)
		if (device->targets[i].field == field && device->targets[i].number == number)
			return true;
	return false;
}

static void add_reading(struct ble_device *device, size_t *n, uint32_t index, const struct hay_value *value)
{
	const struct hay_point *point = device->hay->points[index];
	const struct ble_point_conf *conf = point->conf;
	struct hay_value taken = *value;
	struct ble_binary_form form;
	struct hay_reading reading = {.point = index};
	int r = 0;

	if (*n == device->room_readings) {
		struct hay_reading *more = reallocarray(device->readings, *n + 8, sizeof(*more));

		if (!more)
			return;
		device->readings = more;
		device->room_readings = *n + 8;
	}
	if (value->type == HAY_BYTES && conf && (conf->at >= 0 || point->type != HAY_BYTES)) {
		r = binary_form(point->type_name, conf->order, &form);
		if (r == 0)
			r = binary_decode(&form, (const uint8_t *)value->s.data, value->s.size,
					  conf->at > 0 ? (size_t)conf->at : 0, &taken);
	}
	if (r == 0)
		r = value_convert(&taken, point->type, &reading.value);
	if (r < 0)
		reading = (struct hay_reading){
			.point = index, .quality = HAY_BAD, .reason = r == -ERANGE ? HAY_OUT_OF_RANGE : HAY_DECODE};
	device->readings[(*n)++] = reading;
}

static void put_reading(struct ble_device *device, size_t *n, enum ble_field field, unsigned number,
			const struct hay_value *value)
{
	if (!device->selects && !is_known(device, field, number))
		make_point(device, field, number);
	for (size_t i = 0; i < device->n_targets; i++) {
		const struct target *target = &device->targets[i];

		if (target->field == field && target->number == number && !target->is_missing)
			add_reading(device, n, target->point, value);
	}
}

/* What was decoded, and how strong it was, into device->readings; how many. */
static size_t fill_readings(struct ble_device *device, const struct ble_decoded *decoded)
{
	size_t n = 0;

	for (size_t i = 0; i < decoded->n_values; i++)
		put_reading(device, &n, decoded->values[i].field, decoded->values[i].number, &decoded->values[i].value);
	if (device->rssi != RSSI_UNKNOWN)
		put_reading(device, &n, FIELD_RSSI, 1, &(struct hay_value){.type = HAY_INT16, .i = device->rssi});
	return n;
}

static void emit_readings(struct ble_device *device, const struct hay_reading *readings, size_t n, uint64_t time_us)
{
	const struct hay_host *host = device->link->host;

	device->emitted_us = host->now();
	host->emit(device->hay, &(struct hay_sample){.time_us = time_us, .readings = readings, .n_readings = n});
}

/* ---- what comes too early ---- */

static bool has_text(const struct hay_reading *reading)
{
	return reading->quality != HAY_BAD && (reading->value.type == HAY_STRING || reading->value.type == HAY_BYTES);
}

static void drop_text(struct hay_reading *reading)
{
	if (has_text(reading))
		free((char *)reading->value.s.data);
}

static void drop_held(struct held *held)
{
	for (size_t i = 0; i < held->n_readings; i++)
		drop_text(&held->readings[i]);
	held->n_readings = 0;
}

static void emit_held(struct ble_device *device)
{
	if (device->held.n_readings == 0)
		return;
	device->link->host->set_timer(device->held.timer, UINT64_MAX);
	emit_readings(device, device->held.readings, device->held.n_readings, device->held.time_us);
	drop_held(&device->held);
}

static void interval_over(void *userdata)
{
	emit_held(userdata);
}

static int hold_reading(struct held *held, const struct hay_reading *reading)
{
	struct hay_reading copy = *reading;
	size_t i = 0;

	while (i < held->n_readings && held->readings[i].point != reading->point)
		i++;
	if (i == held->room) {
		struct hay_reading *more = reallocarray(held->readings, i + 8, sizeof(*more));

		if (!more)
			return -ENOMEM;
		held->readings = more;
		held->room = i + 8;
	}
	if (has_text(reading)) {
		char *text = malloc(reading->value.s.size + 1);

		if (!text)
			return -ENOMEM;
		memcpy(text, reading->value.s.data, reading->value.s.size);
		copy.value.s.data = text;
	}
	if (i < held->n_readings)
		drop_text(&held->readings[i]);
	else
		held->n_readings++;
	held->readings[i] = copy;
	return 0;
}

/* Many devices send each value in an advertisement of its own: what is held is the newest of each point. */
static int hold_back(struct ble_device *device, size_t n, uint64_t now)
{
	struct held *held = &device->held;
	int r = 0;

	if (!held->timer)
		r = device->link->host->add_timer(device->hay->link, UINT64_MAX, interval_over, device, &held->timer);
	for (size_t i = 0; i < n && r == 0; i++)
		r = hold_reading(held, &device->readings[i]);
	held->time_us = now;
	return r;
}

/* Goes up now, together with what is held; or is held itself where the interval is not over. */
static void deliver_sample(struct ble_device *device, size_t n, bool is_early, uint64_t now)
{
	const struct hay_host *host = device->link->host;

	if (!is_early && device->held.n_readings == 0) {
		emit_readings(device, device->readings, n, now);
		return;
	}
	if (hold_back(device, n, now) < 0) {
		emit_held(device);
		emit_readings(device, device->readings, n, now);
		return;
	}
	if (is_early) {
		host->device_online(device->hay);
		host->set_timer(device->held.timer, device->emitted_us + device->conf->interval_us - now);
	} else {
		emit_held(device);
	}
}

/* ---- what cannot be taken ---- */

static const char *fault_text(enum fault fault)
{
	switch (fault) {
	case FAULT_MALFORMED:
		return "what it advertises is malformed";
	case FAULT_NO_KEY:
		return "what it advertises is encrypted, and there is no bindkey_file";
	case FAULT_WRONG_KEY:
		return "what it advertises is encrypted with another key";
	case FAULT_PLAIN:
		return "what it advertises is not encrypted though there is a bindkey_file: anybody may have sent it";
	case FAULT_REPLAY:
		return "its counter went back: an old advertisement sent again, or a new battery (see haywain-ble(7))";
	case FAULT_NOTHING:
		return "it advertises nothing that the decoder understands";
	case FAULT_TWO:
		return "a second address matches: only the first is heard";
	default:
		return NULL;
	}
}

/* Logged once, and again after an hour; what comes of it is that the device is not heard. */
static void refuse_advert(struct ble_device *device, enum fault fault, uint64_t now)
{
	char address[ADDRESS_TEXT_SIZE];
	uint64_t suppressed;

	if (device->fault != fault)
		device->fault_limit = (struct hay_rate_limit){0};
	device->fault = fault;
	if (!hay_rate_limit_allows(&device->fault_limit, 1, LOG_AGAIN_US, now, &suppressed))
		return;
	address_print(&device->link->advert.address, address);
	LOG(device, fault == FAULT_NOTHING ? HAY_LOG_INFO : HAY_LOG_WARNING, "%s: %s; ignored", address,
	    fault_text(fault));
}

static enum fault fault_of(int r)
{
	return r == -EBADMSG	    ? FAULT_MALFORMED
	       : r == -ENOKEY	    ? FAULT_NO_KEY
	       : r == -EKEYREJECTED ? FAULT_WRONG_KEY
	       : r == -EPERM	    ? FAULT_PLAIN
				    : FAULT_NOTHING;
}

/* ---- is it new? ---- */

/* FNV-1a. */
static uint32_t hash_bytes(uint32_t hash, const void *data, size_t size)
{
	const uint8_t *bytes = data;

	for (size_t i = 0; i < size; i++)
		hash = (hash ^ bytes[i]) * 16777619u;
	return hash;
}

/* Over what was decoded where a packet id stands with it: other parts, such as a scan response, come and go between
   repeats. Else over what was said. */
static uint32_t hash_content(const struct advert *advert, const struct ble_decoded *decoded)
{
	uint32_t hash = 2166136261u;

	for (size_t i = 0; i < decoded->n_values && (decoded->has_counter || decoded->has_packet); i++) {
		const struct decoded_value *value = &decoded->values[i];
		bool is_text = value->value.type == HAY_STRING || value->value.type == HAY_BYTES;

		hash = hash_bytes(hash, &value->field, sizeof(value->field));
		hash = hash_bytes(hash, &value->number, sizeof(value->number));
		hash = is_text ? hash_bytes(hash, value->value.s.data, value->value.s.size)
			       : hash_bytes(hash, &value->value.u, sizeof(value->value.u));
	}
	if (decoded->has_counter || decoded->has_packet)
		return hash;
	for (size_t i = 0; i < advert->n_manufacturer; i++) {
		hash = hash_bytes(hash, &advert->manufacturer[i].company, sizeof(advert->manufacturer[i].company));
		hash = hash_bytes(hash, advert->manufacturer[i].data, advert->manufacturer[i].size);
	}
	for (size_t i = 0; i < advert->n_service; i++)
		hash = hash_bytes(hash, advert->service[i].data, advert->service[i].size);
	return hash;
}

static bool was_taken(const struct taken *taken, uint32_t packet, uint32_t content)
{
	if (taken->state == TAKEN_NOTHING || packet != taken->packet)
		return false;
	for (size_t i = 0; i < taken->n_contents; i++)
		if (taken->contents[i] == content)
			return true;
	return taken->state == TAKEN_ALL;
}

/* An id may stand for several contents (the firmware of pvvx tells one measurement in two advertisements in turn);
   without one only the last content counts. */
static void remember_taken(struct taken *taken, bool has_id, uint32_t packet, uint32_t content)
{
	if (taken->state == TAKEN_NOTHING || packet != taken->packet || !has_id)
		*taken = (struct taken){.state = TAKEN_SOME, .packet = packet};
	for (size_t i = 0; i < taken->n_contents; i++)
		if (taken->contents[i] == content)
			return;
	if (taken->n_contents == CONTENTS_MAX) {
		taken->n_contents--;
		memmove(taken->contents, taken->contents + 1, taken->n_contents * sizeof(content));
	}
	taken->contents[taken->n_contents++] = content;
}

static bool is_repeat(const struct ble_device *device, const struct ble_decoded *decoded, uint32_t packet,
		      uint32_t content, uint64_t now, uint64_t heard_before_us)
{
	if (!was_taken(&device->taken, packet, content) || decoded->is_presence)
		return false;
	if (decoded->has_counter || (decoded->has_packet && decoded->has_event))
		return true;
	if (decoded->has_event)
		return now - heard_before_us < PRESS_US;
	return now - device->emitted_us < REPEAT_US;
}

static bool is_early(const struct ble_device *device, uint64_t now)
{
	return device->emitted_us > 0 &&
	       now - device->emitted_us < device->conf->interval_us - device->conf->interval_us / JITTER;
}

static void take_decoded(struct ble_device *device, const struct ble_decoded *decoded, uint64_t now)
{
	bool has_id = decoded->has_counter || decoded->has_packet;
	uint32_t packet = decoded->has_counter ? decoded->counter : decoded->has_packet ? decoded->packet : 0;
	uint32_t content = hash_content(&device->link->advert, decoded);
	uint64_t heard_before_us = device->heard_us;
	size_t n;

	if (decoded->has_counter && !counter_accept(device, decoded->counter)) {
		refuse_advert(device, FAULT_REPLAY, now);
		return;
	}
	device->fault = FAULT_NONE;
	device->is_lost = false;
	device->heard_us = now;
	if (is_repeat(device, decoded, packet, content, now, heard_before_us)) {
		device->link->host->device_online(device->hay);
		return;
	}
	remember_taken(&device->taken, has_id, packet, content);
	n = fill_readings(device, decoded);
	if (n == 0) { /* none is a point of ours: only a sign of life */
		device->link->host->device_online(device->hay);
		return;
	}
	if (decoded->has_event)
		emit_held(device); /* it was before */
	deliver_sample(device, n, !decoded->has_event && is_early(device, now), now);
}

/* Only its strength, or nothing for us in it: a sign of life, unless anybody could have given it. */
static void sign_of_life(struct ble_device *device, uint64_t now)
{
	if (device->key.size > 0 || device->taken.state == TAKEN_NOTHING)
		return;
	device->heard_us = now;
	device->is_lost = false;
	device->link->host->device_online(device->hay);
}

/* ---- whose is it? ---- */

static void keep_name(struct ble_device *device, const char *name)
{
	if (!name || (device->name && !strcmp(device->name, name)))
		return;
	free(device->name);
	device->name = strdup(name);
}

static bool is_ours(struct ble_device *device, const struct advert *advert, uint64_t now)
{
	char address[ADDRESS_TEXT_SIZE];

	if (device->is_bound && address_equal(&device->address, &advert->address))
		return true;
	if (device->match.by_address || !match_advert(&device->match, advert))
		return false;
	/* Matched under another address: it has changed its own, or there are two of them. */
	if (device->is_bound && !device->match.by_irk && device->heard_us > 0 && now - device->heard_us < REBIND_US) {
		refuse_advert(device, FAULT_TWO, now);
		return false;
	}
	device->is_bound = true;
	device->address = advert->address;
	address_print(&device->address, address);
	LOG(device, HAY_LOG_INFO, "found as %s%s%s", address, advert->name ? ", " : "",
	    advert->name ? advert->name : "");
	return true;
}

static void hear_device(struct ble_device *device, struct advert *advert, uint64_t now)
{
	struct ble_decoded *decoded = &device->link->decoded;
	int r;

	if (advert->rssi != RSSI_UNKNOWN)
		device->rssi = advert->rssi;
	if (device->gatt) {
		gatt_heard(device);
		return;
	}
	if (advert->n_manufacturer == 0 && advert->n_service == 0) {
		sign_of_life(device, now);
		return;
	}
	if (!advert->name)
		advert->name = device->name;
	r = decode_advert((enum ble_decoder)device->conf->decode, advert, &device->key, decoded);
	if (r == 0)
		take_decoded(device, decoded, now);
	else if (r == -ENOMSG && device->taken.state != TAKEN_NOTHING)
		sign_of_life(device, now);
	else
		refuse_advert(device, fault_of(r), now);
}

void listen_advert(struct ble_link *link, bool is_fresh)
{
	struct advert *advert = &link->advert;
	const char *name = advert->name;
	uint64_t now = link->host->now();

	for (struct ble_device *device = link->devices; device; device = device->next) {
		advert->name = name;
		if (!is_ours(device, advert, now))
			continue;
		keep_name(device, name);
		if (is_fresh)
			hear_device(device, advert, now);
	}
}

/* One is due: all are kept, in one write. */
static void keep_counters(struct ble_link *link, uint64_t now)
{
	bool is_due = false;

	for (const struct ble_device *device = link->devices; device; device = device->next)
		is_due = is_due || counter_is_due(device, now);
	for (struct ble_device *device = link->devices; device && is_due; device = device->next)
		counter_keep(device);
}

void listen_tick(struct ble_link *link, uint64_t now)
{
	keep_counters(link, now);
	for (struct ble_device *device = link->devices; device; device = device->next) {
		char text[64];

		if (device->gatt || device->is_lost || now - device->heard_us < device->conf->lost_after_us)
			continue;
		device->is_lost = true;
		emit_held(device);
		snprintf(text, sizeof(text), "not heard for %llu s",
			 (unsigned long long)(device->conf->lost_after_us / SECOND_US));
		link->host->device_offline(device->hay, HAY_TIMEOUT, device->fault ? fault_text(device->fault) : text);
	}
}

/* ---- start and stop ---- */

int listen_start(struct ble_device *device)
{
	const struct hay_device *hay = device->hay;

	device->rssi = RSSI_UNKNOWN;
	device->heard_us = device->link->host->now(); /* from now on it may be missed */
	device->selects = hay->n_points > 0;
	for (uint32_t i = 0; i < hay->n_points && !device->gatt; i++) {
		const struct ble_point_conf *conf = hay->points[i]->conf;
		unsigned number;
		enum ble_field field;
		int r = field_find(conf->field ? conf->field : hay->points[i]->name, &field, &number);

		if (r == 0)
			r = add_target(device, field, number, false, i);
		if (r < 0)
			return r;
	}
	counter_recall(device);
	return 0;
}

void listen_stop(struct ble_device *device)
{
	device->link->host->del_timer(device->held.timer);
	drop_held(&device->held);
	free(device->held.readings);
	free(device->targets);
	free(device->readings);
	free(device->name);
}
