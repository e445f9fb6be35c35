/* SPDX-License-Identifier: Apache-2.0 */
/* What comes unasked: advertisements, values, and the comings and goings of adapters and of bluetoothd. */
#include "ble.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Once, and again after an hour. */
static void log_nonsense(struct ble_link *link, const char *path, const char *member)
{
	uint64_t suppressed;

	if (!hay_rate_limit_allows(&link->nonsense_limit, 1, LOG_AGAIN_US, link->host->now(), &suppressed))
		return;
	if (suppressed > 0)
		LINK_LOG(link, HAY_LOG_WARNING,
			 "what bluetoothd says of %s makes no sense (%s); ignored; %llu times since it was last logged",
			 path, member, (unsigned long long)suppressed + 1);
	else
		LINK_LOG(link, HAY_LOG_WARNING, "what bluetoothd says of %s makes no sense (%s); ignored", path,
			 member);
}

static bool is_below(const struct ble_link *link, const char *path)
{
	size_t length = strlen(link->path);

	return !strncmp(path, link->path, length) && path[length] == '/';
}

/* An object that is a device, and not one of its services. */
static bool is_device(const struct ble_link *link, const char *path)
{
	return is_below(link, path) && !strchr(path + strlen(link->path) + 1, '/');
}

static void heard_device(struct ble_link *link, const char *path)
{
	link->heard_us = link->host->now();
	link->n_stalls = 0;
	if (address_of_path(path, &link->advert.address) == 0)
		listen_advert(link, true);
}

static int properties_changed(sd_bus_message *message, void *userdata, sd_bus_error *error)
{
	struct ble_link *link = userdata;
	const char *path = sd_bus_message_get_path(message), *interface;
	struct properties properties;

	(void)error;
	if (!path)
		return 0;
	if (dbus_changed(message, &link->advert, &interface, &properties) < 0) {
		log_nonsense(link, path, "PropertiesChanged");
		return 0;
	}
	if (properties.is_odd)
		log_nonsense(link, path, interface);
	if (!strcmp(path, link->path)) {
		if (!strcmp(interface, IFACE_ADAPTER))
			scan_adapter_changed(link, &properties);
	} else if (!strcmp(interface, IFACE_DEVICE) && is_device(link, path)) {
		if (properties.is_heard || link->advert.n_service > 0 || link->advert.n_manufacturer > 0)
			heard_device(link, path);
		else if (link->advert.name && address_of_path(path, &link->advert.address) == 0)
			listen_advert(link, false);
		if (properties.connected != FLAG_ABSENT || properties.resolved != FLAG_ABSENT)
			gatt_device_changed(link, path, &properties);
	} else if (!strcmp(interface, IFACE_CHARACTERISTIC) && properties.has_value) {
		gatt_value_changed(link, path, &properties);
	}
	return 0;
}

static void added_object(const char *path, const char *interface, const struct properties *properties, void *userdata)
{
	struct ble_link *link = userdata;

	if (!strcmp(path, link->path)) {
		if (!strcmp(interface, IFACE_ADAPTER) && link->state == SCAN_WAITING)
			scan_again(link, SECOND_US / 2);
	} else if (!strcmp(interface, IFACE_DEVICE) && is_device(link, path)) {
		/* bluetoothd also adds those it remembers; only what is in the air has an RSSI */
		if (properties->is_heard)
			heard_device(link, path);
		else if (address_of_path(path, &link->advert.address) == 0)
			listen_advert(link, false);
	}
}

static int interfaces_added(sd_bus_message *message, void *userdata, sd_bus_error *error)
{
	struct ble_link *link = userdata;
	const char *path;

	(void)error;
	if (!sd_bus_message_has_signature(message, "oa{sa{sv}}") ||
	    sd_bus_message_read_basic(message, 'o', &path) < 0) {
		log_nonsense(link, "objects", "InterfacesAdded");
		return 0;
	}
	if (!strcmp(path, link->path) || is_below(link, path))
		dbus_interfaces(message, path, &link->advert, added_object, link);
	return 0;
}

static int interfaces_removed(sd_bus_message *message, void *userdata, sd_bus_error *error)
{
	struct ble_link *link = userdata;
	const char *path, *interface;

	(void)error;
	if (!sd_bus_message_has_signature(message, "oas") || sd_bus_message_read_basic(message, 'o', &path) < 0 ||
	    sd_bus_message_enter_container(message, SD_BUS_TYPE_ARRAY, "s") < 0) {
		log_nonsense(link, "objects", "InterfacesRemoved");
		return 0;
	}
	while (sd_bus_message_read_basic(message, 's', &interface) > 0)
		if (!strcmp(path, link->path) && !strcmp(interface, IFACE_ADAPTER))
			scan_failed_for(link, TROUBLE_GONE);
		else if (is_below(link, path) &&
			 (!strcmp(interface, IFACE_CHARACTERISTIC) || !strcmp(interface, IFACE_DEVICE)))
			gatt_removed(link, path);
	return 0;
}

static int owner_changed(sd_bus_message *message, void *userdata, sd_bus_error *error)
{
	struct ble_link *link = userdata;
	const char *name, *before, *now;

	(void)error;
	if (sd_bus_message_read(message, "sss", &name, &before, &now) < 0)
		return 0;
	if (!*now) {
		link->gave_up_passive = false;
		scan_failed(link, "bluetoothd is gone");
	} else if (*before) {
		scan_failed(link, "bluetoothd was replaced");
		scan_again(link, SECOND_US / 2);
	} else if (link->state == SCAN_WAITING) {
		scan_again(link, SECOND_US / 2); /* it has yet to find its adapters */
	}
	return 0;
}

static int bus_disconnected(sd_bus_message *message, void *userdata, sd_bus_error *error)
{
	(void)message;
	(void)error;
	scan_failed(userdata, "the system bus is gone");
	return 0;
}

/* The answer to AddMatch: a bus that refuses it would leave us deaf. */
static int match_added(sd_bus_message *message, void *userdata, sd_bus_error *error)
{
	(void)error;
	if (bluez_error(message))
		scan_failed(userdata, "the system bus: %s", bluez_error(message));
	return 0;
}

static int add_match(struct ble_link *link, sd_bus_message_handler_t handler, const char *format, ...)
	__attribute__((format(printf, 3, 4)));
static int add_match(struct ble_link *link, sd_bus_message_handler_t handler, const char *format, ...)
{
	char *rule = NULL;
	va_list args;
	int r;

	va_start(args, format);
	r = vasprintf(&rule, format, args);
	va_end(args);
	if (r < 0)
		return -ENOMEM;
	r = sd_bus_add_match_async(link->bus, NULL, rule, handler, match_added, link);
	free(rule);
	return r;
}

int signals_subscribe(struct ble_link *link)
{
	int r = add_match(link, properties_changed,
			  "type='signal',sender='" BLUEZ "',interface='" IFACE_PROPERTIES
			  "',member='PropertiesChanged',path_namespace='%s'",
			  link->path);

	if (r >= 0)
		r = add_match(link, interfaces_added,
			      "type='signal',sender='" BLUEZ "',interface='" IFACE_OBJECTS
			      "',member='InterfacesAdded'");
	if (r >= 0)
		r = add_match(link, interfaces_removed,
			      "type='signal',sender='" BLUEZ "',interface='" IFACE_OBJECTS
			      "',member='InterfacesRemoved'");
	if (r >= 0)
		r = add_match(
			link, owner_changed,
			"type='signal',sender='org.freedesktop.DBus',interface='org.freedesktop.DBus',member='NameOwnerChanged',arg0='" BLUEZ
			"'");
	if (r >= 0)
		r = sd_bus_match_signal_async(link->bus, NULL, NULL, "/org/freedesktop/DBus/Local",
					      "org.freedesktop.DBus.Local", "Disconnected", bus_disconnected, NULL,
					      link);
	return r;
}
