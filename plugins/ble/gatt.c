/* SPDX-License-Identifier: Apache-2.0 */
/* Connections: one attempt at a time on an adapter, services and characteristics found anew each time. */
#include "gatt.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CONNECT_TIMEOUT_US (60 * SECOND_US) /* to a silent device it fails after 40 s */
#define RESOLVE_TIMEOUT_US (30 * SECOND_US)
#define PAUSE_MIN_US (5 * SECOND_US)
#define PAUSE_MAX_US (300 * SECOND_US)
#define FIND_TRIES 5
#define KEEP_BELOW_US (60 * SECOND_US) /* asked more often than this, it stays connected */

static void connect_device(struct gatt *gatt);

/* ---- turns ---- */

static void next_turn(struct ble_link *link)
{
	for (struct ble_device *device = link->devices; device && !link->connecting; device = device->next)
		if (device->gatt && device->gatt->state == GATT_WAITING && scan_is_running(link))
			connect_device(device->gatt);
}

static void give_turn_back(struct gatt *gatt)
{
	struct ble_link *link = gatt->device->link;

	if (link->connecting != gatt->device)
		return;
	link->connecting = NULL;
	next_turn(link);
}

void gatt_want(struct gatt *gatt)
{
	struct ble_link *link = gatt->device->link;

	if (gatt->state != GATT_IDLE)
		return;
	gatt->state = GATT_WAITING;
	link->host->set_timer(gatt->timer, UINT64_MAX);
	next_turn(link);
}

/* Nothing waits for the answer. */
static void begin_disconnect(struct gatt *gatt)
{
	sd_bus *bus = gatt->device->link->bus;

	if (gatt->path && bus && sd_bus_is_open(bus) > 0)
		sd_bus_call_method_async(bus, NULL, BLUEZ, gatt->path, IFACE_DEVICE, "Disconnect", NULL, NULL, NULL);
}

static void reset_connection(struct gatt *gatt)
{
	gatt->call = sd_bus_slot_unref(gatt->call);
	gatt->state = GATT_IDLE;
	gatt->device->link->host->set_timer(gatt->timer, UINT64_MAX);
}

static bool stays_connected(const struct gatt *gatt)
{
	return gatt->is_kept || gatt->device->hay->every_us < KEEP_BELOW_US;
}

static void connection_left(struct gatt *gatt)
{
	reset_connection(gatt);
	give_turn_back(gatt);
	if (gatt->in_round || gatt->command)
		gatt_want(gatt);
}

static int disconnect_done(sd_bus_message *reply, void *userdata, sd_bus_error *error)
{
	(void)reply; /* an error: it is gone already */
	(void)error;
	connection_left(userdata);
	return 0;
}

/* Its turn ends when the connection has: an adapter may have room for one only. */
void gatt_rest(struct gatt *gatt)
{
	sd_bus *bus = gatt->device->link->bus;

	if (stays_connected(gatt) || gatt->in_round || gatt->command || gatt->state != GATT_READY)
		return;
	gatt_io_end(gatt, NULL);
	gatt->call = sd_bus_slot_unref(gatt->call);
	gatt->state = GATT_LEAVING;
	if (sd_bus_call_method_async(bus, &gatt->call, BLUEZ, gatt->path, IFACE_DEVICE, "Disconnect", disconnect_done,
				     gatt, NULL) < 0)
		connection_left(gatt);
}

static void lose_connection(struct gatt *gatt, const char *why)
{
	struct ble_device *device = gatt->device;
	const struct hay_host *host = device->link->host;
	bool was_ready = gatt->state == GATT_READY;

	if (gatt->state == GATT_IDLE)
		return;
	if (gatt->state != GATT_WAITING)
		begin_disconnect(gatt);
	reset_connection(gatt);
	gatt_io_end(gatt, why);
	if (!gatt->is_polled)
		host->device_offline(device->hay, HAY_TIMEOUT, why);
	if (gatt->is_kept) {
		gatt->pause_us = hay_backoff_next(was_ready ? 0 : gatt->pause_us, PAUSE_MIN_US, PAUSE_MAX_US);
		host->set_timer(gatt->timer, gatt->pause_us);
	}
	give_turn_back(gatt);
}

void gatt_failed(struct gatt *gatt, const char *format, ...)
{
	char *text = NULL;
	va_list args;

	va_start(args, format);
	if (vasprintf(&text, format, args) < 0)
		text = NULL;
	va_end(args);
	lose_connection(gatt, text ? text : "out of memory");
	free(text);
}

/* ---- the steps, the last one first ---- */

struct found {
	struct gatt *gatt;
	bool wants_services;
	struct {
		char *path;
		struct uuid uuid;
	} * services;
	size_t n_services;
};

static bool is_of_device(const struct gatt *gatt, const char *path)
{
	size_t length = strlen(gatt->path);

	return !strncmp(path, gatt->path, length) && path[length] == '/';
}

static bool is_service(const struct found *found, const char *path, const struct uuid *uuid)
{
	for (size_t i = 0; i < found->n_services; i++)
		if (!strcmp(found->services[i].path, path))
			return uuid_equal(&found->services[i].uuid, uuid);
	return false;
}

static void add_service(struct found *found, const char *path, const struct uuid *uuid)
{
	void *more = reallocarray(found->services, found->n_services + 1, sizeof(*found->services));

	if (!more)
		return;
	found->services = more;
	found->services[found->n_services].path = strdup(path);
	found->services[found->n_services].uuid = *uuid;
	found->n_services += found->services[found->n_services].path != NULL;
}

/* Services in a first pass, characteristics in a second: the answer has no order. */
static void found_object(const char *path, const char *interface, const struct properties *properties, void *userdata)
{
	struct found *found = userdata;
	struct gatt *gatt = found->gatt;
	struct uuid uuid;

	if (!is_of_device(gatt, path) || !properties->uuid || uuid_parse(properties->uuid, &uuid) < 0)
		return;
	if (found->wants_services) {
		if (!strcmp(interface, IFACE_SERVICE))
			add_service(found, path, &uuid);
		return;
	}
	if (strcmp(interface, IFACE_CHARACTERISTIC) != 0)
		return;
	for (uint32_t i = 0; i < gatt->device->hay->n_points; i++) {
		struct gatt_point *point = &gatt->points[i];

		if (!point->path && uuid_equal(&point->characteristic, &uuid) &&
		    (!point->has_service ||
		     (properties->service && is_service(found, properties->service, &point->service))))
			point->path = strdup(path);
	}
}

static void forget_paths(struct gatt *gatt)
{
	for (uint32_t i = 0; i < gatt->device->hay->n_points; i++) {
		free(gatt->points[i].path);
		gatt->points[i].path = NULL;
	}
}

static uint32_t count_missing(const struct gatt *gatt)
{
	uint32_t n = 0;

	for (uint32_t i = 0; i < gatt->device->hay->n_points; i++)
		n += !gatt->points[i].path;
	return n;
}

static const char *missing_point(const struct gatt *gatt)
{
	for (uint32_t i = 0; i < gatt->device->hay->n_points; i++)
		if (!gatt->points[i].path)
			return ((const struct ble_point_conf *)gatt->device->hay->points[i]->conf)->characteristic;
	return NULL;
}

/* Some are not there: the others are read all the same. */
static void log_missing(struct gatt *gatt)
{
	for (uint32_t i = 0; i < gatt->device->hay->n_points; i++) {
		const struct hay_point *point = gatt->device->hay->points[i];

		if (!gatt->points[i].path && !gatt->points[i].is_missing)
			LOG(gatt->device, HAY_LOG_WARNING, "it has no characteristic %s: point %s is bad",
			    ((const struct ble_point_conf *)point->conf)->characteristic, point->name);
		gatt->points[i].is_missing = !gatt->points[i].path;
	}
}

static void connection_ready(struct gatt *gatt)
{
	const struct hay_host *host = gatt->device->link->host;

	gatt->state = GATT_READY;
	gatt->pause_us = 0;
	host->set_timer(gatt->timer, UINT64_MAX);
	if (stays_connected(gatt))
		give_turn_back(gatt);
	if (!gatt->is_polled)
		host->device_online(gatt->device->hay);
	gatt_io_begin(gatt);
}

static int got_objects(sd_bus_message *reply, void *userdata, sd_bus_error *error)
{
	struct gatt *gatt = userdata;
	struct found found = {.gatt = gatt, .wants_services = true};
	const char *missing;
	int r = 0;

	(void)error;
	gatt->call = sd_bus_slot_unref(gatt->call);
	if (bluez_error(reply)) {
		gatt_failed(gatt, "its services cannot be read: %s", bluez_error(reply));
		return 0;
	}
	forget_paths(gatt);
	r = dbus_objects(reply, NULL, found_object, &found);
	if (r >= 0)
		r = sd_bus_message_rewind(reply, 1);
	found.wants_services = false;
	if (r >= 0)
		r = dbus_objects(reply, NULL, found_object, &found);
	for (size_t i = 0; i < found.n_services; i++)
		free(found.services[i].path);
	free(found.services);
	missing = missing_point(gatt);
	if (r < 0)
		gatt_failed(gatt, "its services make no sense: %s", strerror(-r));
	else if (!missing)
		connection_ready(gatt);
	else if (++gatt->n_tries < FIND_TRIES) /* "resolved" at times comes before the objects */
		gatt->device->link->host->set_timer(gatt->timer, SECOND_US);
	else if (count_missing(gatt) < gatt->device->hay->n_points) {
		log_missing(gatt);
		connection_ready(gatt);
	} else
		gatt_failed(gatt, "it has no characteristic %s", missing);
	return 0;
}

static void find_characteristics(struct gatt *gatt)
{
	int r;

	gatt->state = GATT_FINDING;
	gatt->call = sd_bus_slot_unref(gatt->call);
	r = sd_bus_call_method_async(gatt->device->link->bus, &gatt->call, BLUEZ, "/", IFACE_OBJECTS,
				     "GetManagedObjects", got_objects, gatt, NULL);
	if (r < 0)
		gatt_failed(gatt, "GetManagedObjects: %s", strerror(-r));
}

static void services_resolved(struct gatt *gatt)
{
	if (gatt->state != GATT_RESOLVING)
		return;
	gatt->n_tries = 0;
	find_characteristics(gatt);
}

static int got_resolved(sd_bus_message *reply, void *userdata, sd_bus_error *error)
{
	struct gatt *gatt = userdata;
	int is_resolved = 0;

	(void)error;
	gatt->call = sd_bus_slot_unref(gatt->call);
	if (!bluez_error(reply) && sd_bus_message_read(reply, "v", "b", &is_resolved) >= 0 && is_resolved)
		services_resolved(gatt);
	return 0;
}

static int connect_done(sd_bus_message *reply, void *userdata, sd_bus_error *error)
{
	struct gatt *gatt = userdata;
	int r;

	(void)error;
	gatt->call = sd_bus_slot_unref(gatt->call);
	if (sd_bus_message_is_method_error(reply, SD_BUS_ERROR_UNKNOWN_OBJECT) > 0 ||
	    sd_bus_message_is_method_error(reply, SD_BUS_ERROR_UNKNOWN_METHOD) > 0) {
		gatt_failed(gatt, "not heard");
		return 0;
	}
	if (bluez_error(reply) && sd_bus_message_is_method_error(reply, "org.bluez.Error.AlreadyConnected") <= 0) {
		gatt_failed(gatt, "cannot be connected to: %s", bluez_error(reply));
		return 0;
	}
	gatt->state = GATT_RESOLVING;
	gatt->device->link->host->set_timer(gatt->timer, RESOLVE_TIMEOUT_US);
	r = sd_bus_call_method_async(gatt->device->link->bus, &gatt->call, BLUEZ, gatt->path, IFACE_PROPERTIES, "Get",
				     got_resolved, gatt, "ss", IFACE_DEVICE, "ServicesResolved");
	if (r < 0)
		gatt_failed(gatt, "ServicesResolved: %s", strerror(-r));
	return 0;
}

static int make_path(struct gatt *gatt)
{
	const struct ble_device *device = gatt->device;
	char address[ADDRESS_TEXT_SIZE], *path;

	if (!device->is_bound)
		return -ENOENT;
	address_print(&device->address, address);
	for (char *c = address; *c; c++)
		*c = *c == ':' ? '_' : *c;
	if (asprintf(&path, "%s/dev_%s", device->link->path, address) < 0)
		return -ENOMEM;
	free(gatt->path);
	gatt->path = path;
	return 0;
}

static void connect_device(struct gatt *gatt)
{
	struct ble_link *link = gatt->device->link;
	sd_bus_message *call = NULL;
	int r = make_path(gatt);

	link->connecting = gatt->device;
	if (r == 0) {
		gatt->state = GATT_CONNECTING;
		r = sd_bus_message_new_method_call(link->bus, &call, BLUEZ, gatt->path, IFACE_DEVICE, "Connect");
	}
	if (r >= 0)
		r = sd_bus_call_async(link->bus, &gatt->call, call, connect_done, gatt, CONNECT_TIMEOUT_US);
	sd_bus_message_unref(call);
	if (r == -ENOENT)
		gatt_failed(gatt, "not heard");
	else if (r < 0)
		gatt_failed(gatt, "Connect: %s", strerror(-r));
}

/* ---- what happens meanwhile ---- */

static void timer_due(void *userdata)
{
	struct gatt *gatt = userdata;

	if (gatt->state == GATT_IDLE)
		gatt_want(gatt);
	else if (gatt->state == GATT_RESOLVING)
		gatt_failed(gatt, "its services were not found out in time");
	else if (gatt->state == GATT_FINDING)
		find_characteristics(gatt);
}

/* A device that is waited for is in the air: no need to wait on. */
void gatt_heard(struct ble_device *device)
{
	struct gatt *gatt = device->gatt;

	device->heard_us = device->link->host->now();
	if (gatt->is_kept && gatt->state == GATT_IDLE && gatt->pause_us <= PAUSE_MIN_US)
		gatt_want(gatt);
}

void gatt_scan_state(struct ble_device *device, bool is_running)
{
	struct gatt *gatt = device->gatt;

	if (!is_running)
		lose_connection(gatt, "the adapter is away");
	else if (gatt->is_kept || gatt->in_round)
		gatt_want(gatt);
	if (is_running)
		next_turn(device->link);
}

static struct gatt *gatt_of_path(const struct ble_link *link, const char *path)
{
	for (struct ble_device *device = link->devices; device; device = device->next)
		if (device->gatt && device->gatt->path && device->gatt->state != GATT_IDLE &&
		    (!strcmp(device->gatt->path, path) || is_of_device(device->gatt, path)))
			return device->gatt;
	return NULL;
}

void gatt_device_changed(struct ble_link *link, const char *path, const struct properties *properties)
{
	struct gatt *gatt = gatt_of_path(link, path);

	if (!gatt || gatt->state < GATT_RESOLVING || gatt->state == GATT_LEAVING)
		return;
	if (properties->connected == FLAG_FALSE || (properties->resolved == FLAG_FALSE && gatt->state > GATT_RESOLVING))
		lose_connection(gatt, "the connection was lost");
	else if (properties->resolved == FLAG_TRUE)
		services_resolved(gatt);
}

/* A service that the device drops goes silent without any other sign. */
void gatt_removed(struct ble_link *link, const char *path)
{
	struct gatt *gatt = gatt_of_path(link, path);

	if (!gatt || gatt->state != GATT_READY)
		return;
	if (!strcmp(gatt->path, path)) {
		lose_connection(gatt, "bluetoothd gave it up");
		return;
	}
	for (uint32_t i = 0; i < gatt->device->hay->n_points; i++)
		if (gatt->points[i].path && !strcmp(gatt->points[i].path, path)) {
			lose_connection(gatt, "a service of it is gone");
			return;
		}
}

/* ---- start and stop ---- */

int gatt_start(struct ble_device *device)
{
	struct hay_device *hay = device->hay;
	struct gatt *gatt = calloc(1, sizeof(*gatt));
	int r;

	if (!gatt)
		return -ENOMEM;
	device->gatt = gatt;
	gatt->device = device;
	gatt->reading = UINT32_MAX;
	gatt->points = calloc(hay->n_points + 1, sizeof(*gatt->points));
	gatt->readings = calloc(hay->n_points + 1, sizeof(*gatt->readings));
	if (!gatt->points || !gatt->readings)
		return -ENOMEM;
	for (uint32_t i = 0; i < hay->n_points; i++) {
		const struct ble_point_conf *conf = hay->points[i]->conf;
		struct gatt_point *point = &gatt->points[i];

		r = uuid_parse(conf->characteristic, &point->characteristic);
		if (r == 0 && conf->service)
			r = uuid_parse(conf->service, &point->service);
		if (r < 0)
			return r;
		point->has_service = conf->service != NULL;
		point->is_notified = conf->mode == MODE_NOTIFY;
		gatt->is_kept |= point->is_notified;
		gatt->is_polled |= !point->is_notified;
	}
	if (hay->n_points == 0)
		LOG(device, HAY_LOG_WARNING, "no points: there is nothing to connect for");
	if (gatt->is_polled)
		hay->flags &= ~(unsigned)HAY_DEVICE_UNPOLLED;
	return device->link->host->add_timer(hay->link, gatt->is_kept ? SECOND_US / 10 : UINT64_MAX, timer_due, gatt,
					     &gatt->timer);
}

void gatt_stop(struct ble_device *device)
{
	struct gatt *gatt = device->gatt;
	struct ble_link *link = device->link;

	if (!gatt)
		return;
	gatt_break_command(gatt, "the device was stopped meanwhile");
	device->gatt = NULL;
	if (gatt->state > GATT_WAITING)
		begin_disconnect(gatt);
	link->host->del_timer(gatt->timer);
	sd_bus_slot_unref(gatt->call);
	for (uint32_t i = 0; gatt->points && i < device->hay->n_points; i++) {
		sd_bus_slot_unref(gatt->points[i].notify);
		sd_bus_message_unref(gatt->points[i].reply);
		free(gatt->points[i].path);
	}
	free(gatt->points);
	free(gatt->readings);
	free(gatt->path);
	free(gatt);
	if (link->connecting == device) {
		link->connecting = NULL;
		next_turn(link);
	}
}
