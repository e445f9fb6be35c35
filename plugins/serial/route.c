/* SPDX-License-Identifier: Apache-2.0 */
/* Whose a frame is: an acknowledgement, an answer, or something said unasked. */
#include "serial.h"

static bool is_asked(const struct serial_link *line, const struct serial_device *device)
{
	return line->exchange.kind == EXCHANGE_POLL && line->exchange.device == device;
}

static bool deliver_frame(struct serial_link *line, struct serial_device *device, const uint8_t *frame, size_t size,
			  uint64_t time_us)
{
	bool asked = is_asked(line, device);

	values_collect(device, frame, size, asked ? device->due : NULL, asked);
	if (asked && values_good(device) == 0 && (device->n_own > 0 || line->record.n == 0)) {
		line->exchange.heard_other = true; /* another's: the answer may still come */
		return false;
	}
	if (asked) {
		exchange_answered(line, size, time_us);
		return true;
	}
	if (device->n_readings > 0) {
		struct hay_sample sample = {
			.time_us = time_us, .readings = device->readings, .n_readings = device->n_readings};

		line->host->emit(device->device, &sample);
	} else if (device->match.data) {
		line->host->device_online(device->device);
	}
	return device->n_readings > 0;
}

/* What match_field says in this frame. False: it is not there. */
static bool find_match(struct serial_link *line, const uint8_t *frame, size_t size, char buffer[32], struct text *ret)
{
	const struct serial_link_conf *conf = line->conf;
	struct serial_item byte = {.value = {.type = HAY_INT64}};
	const struct serial_item *item = &byte;

	if (conf->decode == DECODE_BINARY) {
		if (line->match_place >= size)
			return false;
		byte.value.i = frame[line->match_place];
	} else {
		item = record_get(&line->record, text_of(conf->match_field), &line->match_hint);
		if (!item)
			return false;
	}
	*ret = item_text(item, buffer);
	return true;
}

static void route_by_match(struct serial_link *line, const uint8_t *frame, size_t size, uint64_t time_us)
{
	char buffer[32];
	struct text match;
	bool known = false;

	if (!find_match(line, frame, size, buffer, &match)) {
		line_log_limited(line, &line->limit_no_match, 1, HAY_LOG_NOTICE,
				 "a frame without `%s`: no device matches", line->conf->match_field);
		line->exchange.heard_other = true;
		return;
	}
	for (struct serial_device *device = line->devices; device; device = device->next) {
		if (!text_equal(device->match, match))
			continue;
		deliver_frame(line, device, frame, size, time_us);
		known = true;
	}
	if (!known)
		line_log_limited(line, &line->limit_no_match, 1, HAY_LOG_NOTICE,
				 "a frame whose `%s` is `%.*s`: no device has that `match`", line->conf->match_field,
				 (int)(match.size < 64 ? match.size : 64), match.data);
}

/* Nothing in the frame says whose it is. A device with a request takes the answer to its own request and nothing
   else: a late answer would become its neighbour's good value. What is said unasked is for the devices that speak
   unasked. */
static void route_by_turn(struct serial_link *line, const uint8_t *frame, size_t size, uint64_t time_us)
{
	struct serial_device *asked = line->exchange.kind == EXCHANGE_POLL ? line->exchange.device : NULL;
	bool taken = asked;

	if (asked && deliver_frame(line, asked, frame, size, time_us))
		return;
	for (struct serial_device *device = line->devices; device; device = device->next) {
		if (device->request.data)
			continue;
		deliver_frame(line, device, frame, size, time_us);
		taken = true;
	}
	if (!taken)
		line_log_limited(
			line, &line->limit_unasked, 1, HAY_LOG_NOTICE,
			"a frame came while nothing was asked, and is dropped: each device here has a `request`, and takes only the answer to it");
}

void route_frame(const uint8_t *frame, size_t size, void *userdata)
{
	struct serial_link *line = userdata;
	const char *error = NULL;
	enum serial_decoded decoded;

	if (line->broken)
		return;
	line->n_frames++;
	if (echo_is_copy(line, frame, size))
		return;
	if (exchange_acknowledges(line, frame, size))
		return;
	decoded = decoder_run(line->decoder, frame, size, &line->record, &error);
	if (decoded != DECODED) {
		line->exchange.heard_other = true;
		if (decoded == DECODED_WRONG)
			line_log_limited(line, &line->limit_wrong, 1, HAY_LOG_WARNING,
					 "a frame of %zu bytes makes no sense: %s; it is dropped", size, error);
		else if (line->conf->decode == DECODE_REGEX)
			line_log_limited(line, &line->limit_other, 1, HAY_LOG_INFO,
					 "a frame that the pattern does not match is left out");
		return;
	}

	if (line->record.note)
		line_log_limited(line, &line->limit_part, 1, HAY_LOG_WARNING,
				 "of a frame of %zu bytes %s is left out; the rest is taken", size, line->record.note);

	uint64_t time_us = values_time(line);

	if (line->conf->match_field)
		route_by_match(line, frame, size, time_us);
	else
		route_by_turn(line, frame, size, time_us);
}
