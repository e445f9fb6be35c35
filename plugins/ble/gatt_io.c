/* SPDX-License-Identifier: Apache-2.0 */
/* What goes over a connection: rounds of reads, notifications, writes. */
#include "gatt.h"
#include "standard.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define CALL_TIMEOUT_US (30 * SECOND_US)
#define AGAIN_FIRST_US (60 * SECOND_US) /* what brings the connection to its end, when others are read */
#define AGAIN_LAST_US (3600 * SECOND_US)
#define EXCEPTION_MAX 63 /* as a reading carries it */

static const struct ble_point_conf *conf_of(const struct gatt *gatt, uint32_t index)
{
	return gatt->device->hay->points[index]->conf;
}

static const char NO_CHARACTERISTIC[] = "no such characteristic";

/* ---- values ---- */

/* The value of a point in what its characteristic holds. -ENOMSG: the device says it does not know. */
static int decode_point(const struct gatt *gatt, uint32_t index, const uint8_t *data, size_t size,
			struct hay_value *ret)
{
	const struct hay_point *point = gatt->device->hay->points[index];
	const struct ble_point_conf *conf = point->conf;
	struct ble_decoded *decoded = &gatt->device->link->decoded;
	uint16_t uuid = uuid_short(&gatt->points[index].characteristic);
	struct ble_binary_form form;
	struct hay_value value;
	enum ble_field field;
	int r;

	if (!point->type_name && conf->at < 0 && uuid && standard_field(uuid, &field) == 0) {
		decoded->n_values = decoded->n_text = 0;
		r = standard_decode(uuid, data, size, decoded);
		if (r == 0)
			value = decoded->values[0].value;
	} else {
		r = binary_form(point->type_name, conf->order, &form);
		if (r == 0)
			r = binary_decode(&form, data, size, conf->at > 0 ? (size_t)conf->at : 0, &value);
	}
	return r < 0 ? r : value_convert(&value, point->type, ret);
}

static struct hay_reading bad_reading(uint32_t index, enum hay_reason reason, const char *exception)
{
	return (struct hay_reading){.point = index, .quality = HAY_BAD, .reason = reason, .exception = exception};
}

static struct hay_reading read_point(const struct gatt *gatt, uint32_t index, const uint8_t *data, size_t size)
{
	struct hay_reading reading = {.point = index};
	int r = decode_point(gatt, index, data, size, &reading.value);

	if (r == -ENOMSG)
		return bad_reading(index, HAY_NOT_A_NUMBER, NULL);
	return r < 0 ? bad_reading(index, r == -ERANGE ? HAY_OUT_OF_RANGE : HAY_DECODE, NULL) : reading;
}

/* ---- rounds ---- */

static void end_round(struct gatt *gatt, enum hay_result result, enum hay_reason reason, const char *detail)
{
	struct ble_device *device = gatt->device;
	const struct hay_host *host = device->link->host;
	struct hay_sample sample = {
		.time_us = gatt->first_us ? gatt->first_us : host->now(), .readings = gatt->readings, .n_readings = 0};

	for (uint32_t i = 0; i < device->hay->n_points; i++)
		if (gatt->points[i].is_due) {
			gatt->points[i].is_due = false;
			gatt->readings[gatt->n_readings++] = bad_reading(i, reason ? reason : HAY_TIMEOUT, NULL);
		}
	sample.n_readings = gatt->n_readings;
	gatt->in_round = false;
	gatt->reading = UINT32_MAX;
	host->round_done(device->hay, sample.n_readings > 0 ? &sample : NULL, result, reason, detail, gatt->slowest_us);
	gatt->n_readings = 0;
	for (uint32_t i = 0; i < device->hay->n_points; i++)
		gatt->points[i].reply = sd_bus_message_unref(gatt->points[i].reply);
	if (result == HAY_OK)
		gatt_rest(gatt);
}

static void read_next(struct gatt *gatt);

/* An answer that is a refusal: the device is there, this one point is not for us. */
static const char *refusal_text(sd_bus_message *reply)
{
	static const struct {
		const char *error, *name;
	} refusals[] = {
		{"org.bluez.Error.NotPermitted", "not permitted"},
		{"org.bluez.Error.NotAuthorized", "not authorized"},
		{"org.bluez.Error.NotSupported", "not supported"},
		{"org.bluez.Error.InvalidOffset", "invalid offset"},
		{"org.bluez.Error.InvalidValueLength", "invalid length"},
		{"org.bluez.Error.InProgress", "in progress"},
	};
	const sd_bus_error *error = sd_bus_message_get_error(reply);

	/* bluetoothd passes on what the device said: "Operation failed with ATT error: 0x0e". */
	if (error && error->message && strstr(error->message, "ATT error"))
		return strlen(error->message) <= EXCEPTION_MAX ? error->message : "ATT error";

	for (size_t i = 0; error && i < sizeof(refusals) / sizeof(refusals[0]); i++)
		if (sd_bus_error_has_name(error, refusals[i].error))
			return refusals[i].name;
	return NULL;
}

static bool wants_pairing(sd_bus_message *reply)
{
	const sd_bus_error *error = sd_bus_message_get_error(reply);

	return error &&
	       (sd_bus_error_has_name(error, "org.bluez.Error.NotAuthorized") ||
		(error->message && (strstr(error->message, "uthentication") || strstr(error->message, "ncryption") ||
				    strstr(error->message, "0x05") || strstr(error->message, "0x0f"))));
}

static void log_pairing(const struct gatt *gatt, uint32_t index)
{
	char address[ADDRESS_TEXT_SIZE];

	address_print(&gatt->device->address, address);
	LOG(gatt->device, HAY_LOG_WARNING,
	    "characteristic %s is for paired peers only: pair once with bluetoothctl pair %s",
	    conf_of(gatt, index)->characteristic, address);
}

/* All points of the round that lie in the same characteristic. */
static void take_value(struct gatt *gatt, const char *path, sd_bus_message *reply)
{
	const char *refused = refusal_text(reply);
	const void *data = NULL;
	size_t size = 0;
	bool is_good = !refused && sd_bus_message_read_array(reply, 'y', &data, &size) >= 0;

	for (uint32_t i = 0; i < gatt->device->hay->n_points; i++) {
		struct gatt_point *point = &gatt->points[i];

		if (!point->is_due || !point->path || strcmp(point->path, path) != 0)
			continue;
		point->is_due = point->is_last = false;
		point->pause_us = 0;
		gatt->readings[gatt->n_readings++] = refused   ? bad_reading(i, HAY_EXCEPTION, refused)
						     : is_good ? read_point(gatt, i, data, size)
							       : bad_reading(i, HAY_DECODE, NULL);
	}
}

/* The connection ends with the read of that point: one that does so each time must not keep the others from being
   read. */
static void read_last(struct gatt *gatt, uint32_t index)
{
	for (uint32_t i = 0; i < gatt->device->hay->n_points; i++) {
		struct gatt_point *point = &gatt->points[i];

		if (!point->path || strcmp(point->path, gatt->points[index].path) != 0)
			continue;
		point->is_last = true;
		if (!gatt->first_us)
			continue;
		point->pause_us = point->pause_us ? point->pause_us * 2 : AGAIN_FIRST_US;
		if (point->pause_us > AGAIN_LAST_US)
			point->pause_us = AGAIN_LAST_US;
		point->next_us = gatt->device->link->host->now() + point->pause_us;
	}
}

static int got_value(sd_bus_message *reply, void *userdata, sd_bus_error *error)
{
	struct gatt *gatt = userdata;
	uint64_t now = gatt->device->link->host->now();
	uint32_t index = gatt->reading;

	(void)error;
	gatt->call = sd_bus_slot_unref(gatt->call);
	if (bluez_error(reply) && wants_pairing(reply))
		log_pairing(gatt, index);
	if (bluez_error(reply) && !refusal_text(reply)) {
		read_last(gatt, index);
		gatt_failed(gatt, "characteristic %s cannot be read: %s", conf_of(gatt, index)->characteristic,
			    bluez_error(reply));
		return 0;
	}
	gatt->first_us = gatt->first_us ? gatt->first_us : now;
	gatt->slowest_us = now - gatt->asked_us > gatt->slowest_us ? now - gatt->asked_us : gatt->slowest_us;
	gatt->points[index].reply = sd_bus_message_ref(reply);
	take_value(gatt, gatt->points[index].path, reply);
	read_next(gatt);
	return 0;
}

/* The next point to read, n_points: none. */
static uint32_t choose_point(const struct gatt *gatt)
{
	uint64_t now = gatt->device->link->host->now();
	uint32_t n = gatt->device->hay->n_points, last = n;

	for (uint32_t i = 0; i < n; i++) {
		const struct gatt_point *point = &gatt->points[i];

		if (!point->is_due)
			continue;
		if (!point->is_last)
			return i;
		if (last == n && (!point->pause_us || now >= point->next_us))
			last = i;
	}
	return last;
}

static void miss_points(struct gatt *gatt)
{
	for (uint32_t i = 0; i < gatt->device->hay->n_points; i++)
		if (gatt->points[i].is_due && !gatt->points[i].path) {
			gatt->points[i].is_due = false;
			gatt->readings[gatt->n_readings++] = bad_reading(i, HAY_EXCEPTION, NO_CHARACTERISTIC);
		}
}

static void read_next(struct gatt *gatt)
{
	struct ble_link *link = gatt->device->link;
	uint32_t index;
	int r;

	miss_points(gatt);
	index = choose_point(gatt);
	if (index == gatt->device->hay->n_points) {
		end_round(gatt, HAY_OK, HAY_NO_REASON, NULL);
		return;
	}
	gatt->reading = index;
	gatt->asked_us = link->host->now();
	r = sd_bus_call_method_async(link->bus, &gatt->call, BLUEZ, gatt->points[index].path, IFACE_CHARACTERISTIC,
				     "ReadValue", got_value, gatt, "a{sv}", 0);
	if (r < 0)
		gatt_failed(gatt, "ReadValue: %s", strerror(-r));
}

int gatt_poll(struct ble_device *device, const uint32_t *due, size_t n_due)
{
	struct gatt *gatt = device->gatt;
	size_t n = 0;

	if (!gatt)
		return -EOPNOTSUPP;
	for (size_t i = 0; i < n_due; i++) {
		gatt->points[due[i]].is_due = !gatt->points[due[i]].is_notified;
		n += gatt->points[due[i]].is_due;
	}
	gatt->in_round = true;
	gatt->n_readings = 0;
	gatt->first_us = gatt->slowest_us = 0;
	if (!scan_is_running(device->link))
		end_round(gatt, HAY_FAILED, HAY_OFFLINE, "the adapter is away");
	else if (gatt->state == GATT_READY && n == 0)
		end_round(gatt, HAY_OK, HAY_NO_REASON, NULL);
	else if (gatt->state == GATT_READY)
		read_next(gatt);
	else
		gatt_want(gatt); /* the round goes on when it is connected, or ends when it cannot be */
	return 0;
}

/* ---- notifications ---- */

/* Of points that are never reported. */
static void emit_bad(struct gatt *gatt, const char *path, const char *why)
{
	uint32_t n_points = gatt->device->hay->n_points;
	struct hay_reading *readings = calloc(n_points, sizeof(*readings));
	const struct hay_host *host = gatt->device->link->host;
	size_t n = 0;

	for (uint32_t i = 0; readings && i < n_points; i++) {
		const struct gatt_point *point = &gatt->points[i];

		if (point->is_notified && (path ? point->path && !strcmp(point->path, path) : !point->path))
			readings[n++] = bad_reading(i, HAY_EXCEPTION, why);
	}
	if (n > 0)
		host->emit(gatt->device->hay,
			   &(struct hay_sample){.time_us = host->now(), .readings = readings, .n_readings = n});
	free(readings);
}

static int notify_started(sd_bus_message *reply, void *userdata, sd_bus_error *error)
{
	struct gatt *gatt = userdata;
	const char *path = NULL;
	uint32_t index = 0;

	(void)error;
	while (index < gatt->device->hay->n_points &&
	       gatt->points[index].notify != sd_bus_get_current_slot(sd_bus_message_get_bus(reply)))
		index++;
	if (index == gatt->device->hay->n_points)
		return 0;
	gatt->points[index].notify = sd_bus_slot_unref(gatt->points[index].notify);
	path = conf_of(gatt, index)->characteristic;
	if (!bluez_error(reply) || sd_bus_message_is_method_error(reply, "org.bluez.Error.InProgress") > 0)
		return 0;
	if (wants_pairing(reply))
		log_pairing(gatt, index);
	if (refusal_text(reply)) /* of this one: the others go on */
		emit_bad(gatt, gatt->points[index].path, refusal_text(reply));
	else
		gatt_failed(gatt, "characteristic %s does not notify: %s", path, bluez_error(reply));
	return 0;
}

static bool has_earlier(const struct gatt *gatt, uint32_t index)
{
	for (uint32_t i = 0; i < index; i++)
		if (gatt->points[i].is_notified && gatt->points[i].path &&
		    !strcmp(gatt->points[i].path, gatt->points[index].path))
			return true;
	return false;
}

static int start_notify(struct gatt *gatt, uint32_t index)
{
	struct gatt_point *point = &gatt->points[index];

	return sd_bus_call_method_async(gatt->device->link->bus, &point->notify, BLUEZ, point->path,
					IFACE_CHARACTERISTIC, "StartNotify", notify_started, gatt, NULL);
}

static struct gatt *gatt_of_characteristic(const struct ble_link *link, const char *path)
{
	for (struct ble_device *device = link->devices; device; device = device->next)
		for (uint32_t i = 0; device->gatt && device->gatt->state == GATT_READY && i < device->hay->n_points;
		     i++)
			if (device->gatt->points[i].is_notified && device->gatt->points[i].path &&
			    !strcmp(device->gatt->points[i].path, path))
				return device->gatt;
	return NULL;
}

void gatt_value_changed(struct ble_link *link, const char *path, const struct properties *properties)
{
	struct gatt *gatt = gatt_of_characteristic(link, path);
	struct hay_reading *readings;
	size_t n = 0;

	/* bluetoothd hands over the answer to a read this way too, before it answers */
	if (!gatt || (gatt->reading != UINT32_MAX && !strcmp(gatt->points[gatt->reading].path, path)))
		return;
	readings = calloc(gatt->device->hay->n_points, sizeof(*readings));
	if (!readings)
		return;
	for (uint32_t i = 0; i < gatt->device->hay->n_points; i++)
		if (gatt->points[i].is_notified && gatt->points[i].path && !strcmp(gatt->points[i].path, path))
			readings[n++] = read_point(gatt, i, properties->value, properties->n_value);
	link->host->emit(gatt->device->hay,
			 &(struct hay_sample){.time_us = link->host->now(), .readings = readings, .n_readings = n});
	free(readings);
}

/* ---- writes ---- */

static void end_command(struct gatt *gatt, enum hay_outcome outcome, const char *detail)
{
	struct hay_command *command = gatt->command;
	struct hay_command_result result = {.outcome = outcome, .detail = detail};

	if (outcome == HAY_WRITTEN)
		result.value = command->value;
	gatt->command = NULL;
	gatt->device->link->host->command_done(command, &result);
}

void gatt_break_command(struct gatt *gatt, const char *why)
{
	bool was_called = gatt->write_call != NULL;

	gatt->write_call = sd_bus_slot_unref(gatt->write_call);
	if (gatt->command)
		end_command(gatt, was_called ? HAY_UNKNOWN : HAY_NOT_WRITTEN, why);
}

/*
 * Errors after which the device certainly did not do it: bluetoothd did not send it, or the device answered with an
 * error of the Attribute Protocol (Bluetooth Core 5.4, vol. 3 part F, 3.4.1.1), which bluetoothd tells by the last
 * name or in the text of "Failed". All others may come after it was sent: no answer, a connection that was lost.
 */
static bool is_not_written(sd_bus_message *reply)
{
	static const char *const names[] = {
		"org.bluez.Error.InProgress",	      "org.bluez.Error.InvalidArguments",
		"org.bluez.Error.NotConnected",	      "org.bluez.Error.InvalidOffset",
		"org.bluez.Error.NotPermitted",	      "org.bluez.Error.NotAuthorized",
		"org.bluez.Error.InvalidValueLength", "org.bluez.Error.NotSupported",
		SD_BUS_ERROR_UNKNOWN_OBJECT,	      SD_BUS_ERROR_UNKNOWN_METHOD,
		SD_BUS_ERROR_UNKNOWN_INTERFACE,
	};
	const sd_bus_error *error = sd_bus_message_get_error(reply);

	for (size_t i = 0; error && i < sizeof(names) / sizeof(names[0]); i++)
		if (sd_bus_error_has_name(error, names[i]))
			return true;
	return error && error->message && strstr(error->message, "ATT error");
}

static int value_written(sd_bus_message *reply, void *userdata, sd_bus_error *error)
{
	struct gatt *gatt = userdata;

	(void)error;
	gatt->write_call = sd_bus_slot_unref(gatt->write_call);
	if (bluez_error(reply) && wants_pairing(reply))
		log_pairing(gatt, gatt->command->point);
	end_command(gatt,
		    !bluez_error(reply)	    ? HAY_WRITTEN
		    : is_not_written(reply) ? HAY_NOT_WRITTEN
					    : HAY_UNKNOWN,
		    bluez_error(reply));
	gatt_rest(gatt);
	return 0;
}

static void write_now(struct gatt *gatt)
{
	struct hay_command *command = gatt->command;
	const struct hay_point *point = gatt->device->hay->points[command->point];
	sd_bus *bus = gatt->device->link->bus;
	uint8_t bytes[HAY_NUMBER_BYTES_MAX];
	const void *data = bytes;
	struct ble_binary_form form;
	sd_bus_message *call = NULL;
	size_t size;
	int r;

	if (command->expires_us > 0 && gatt->device->link->host->now() > command->expires_us) {
		end_command(gatt, HAY_EXPIRED, "expired before there was a connection");
		return;
	}
	if (!gatt->points[command->point].path) {
		end_command(gatt, HAY_NOT_WRITTEN, NO_CHARACTERISTIC);
		return;
	}
	r = binary_form(point->type_name, conf_of(gatt, command->point)->order, &form);
	if (r == 0 && form.n_bytes > 0)
		r = binary_encode(&form, &command->value, bytes);
	if (r < 0) {
		end_command(gatt, HAY_NOT_WRITTEN, "the value does not fit the type");
		return;
	}
	size = form.n_bytes;
	if (size == 0) {
		data = command->value.s.data;
		size = command->value.s.size;
	}
	r = sd_bus_message_new_method_call(bus, &call, BLUEZ, gatt->points[command->point].path, IFACE_CHARACTERISTIC,
					   "WriteValue");
	if (r >= 0)
		r = sd_bus_message_append_array(call, 'y', data, size);
	if (r >= 0)
		r = sd_bus_message_append(call, "a{sv}", 0);
	if (r >= 0)
		r = sd_bus_call_async(bus, &gatt->write_call, call, value_written, gatt, CALL_TIMEOUT_US);
	sd_bus_message_unref(call);
	if (r < 0)
		end_command(gatt, HAY_NOT_WRITTEN, strerror(-r));
}

int gatt_write(struct ble_device *device, struct hay_command *command)
{
	struct gatt *gatt = device->gatt;

	if (gatt->command)
		return -EBUSY;
	gatt->command = command;
	if (gatt->state == GATT_READY)
		write_now(gatt);
	else if (scan_is_running(device->link))
		gatt_want(gatt);
	else
		end_command(gatt, HAY_NOT_WRITTEN, "the adapter is away");
	return 0;
}

/* ---- a connection's beginning and end ---- */

void gatt_io_begin(struct gatt *gatt)
{
	for (uint32_t i = 0; i < gatt->device->hay->n_points; i++) {
		const struct gatt_point *point = &gatt->points[i];
		int r = point->is_notified && point->path && !has_earlier(gatt, i) ? start_notify(gatt, i) : 0;

		if (r < 0) {
			gatt_failed(gatt, "StartNotify: %s", strerror(-r));
			return;
		}
	}
	emit_bad(gatt, NULL, NO_CHARACTERISTIC);
	if (gatt->command)
		write_now(gatt);
	if (gatt->in_round)
		read_next(gatt);
	else
		gatt_rest(gatt);
}

void gatt_io_end(struct gatt *gatt, const char *why)
{
	for (uint32_t i = 0; i < gatt->device->hay->n_points; i++)
		gatt->points[i].notify = sd_bus_slot_unref(gatt->points[i].notify);
	gatt_break_command(gatt, why ? why : "the connection was ended");
	/* What was read before counts. */
	if (gatt->in_round && gatt->first_us)
		end_round(gatt, HAY_OK, HAY_NO_REASON, NULL);
	else if (gatt->in_round)
		end_round(gatt, HAY_FAILED, HAY_TIMEOUT, why);
}
