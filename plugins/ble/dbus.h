/* SPDX-License-Identifier: Apache-2.0 */
/* What BlueZ's messages say. Types are looked at before they are believed. */
#ifndef BLE_DBUS_H
#define BLE_DBUS_H

#include "advertisement.h"
#include <systemd/sd-bus.h>

#define BLUEZ "org.bluez"
#define IFACE_ADAPTER "org.bluez.Adapter1"
#define IFACE_DEVICE "org.bluez.Device1"
#define IFACE_SERVICE "org.bluez.GattService1"
#define IFACE_CHARACTERISTIC "org.bluez.GattCharacteristic1"
#define IFACE_MONITORS "org.bluez.AdvertisementMonitorManager1"
#define IFACE_OBJECTS "org.freedesktop.DBus.ObjectManager"
#define IFACE_PROPERTIES "org.freedesktop.DBus.Properties"

enum flag { FLAG_ABSENT = -1, FLAG_FALSE, FLAG_TRUE };

/* The properties of any object of BlueZ's that concern us; the strings live as long as the message. */
struct properties {
	struct advert *advert; /* where the parts of an advertisement go; NULL: nowhere */
	bool is_heard;	       /* there was a sign of its being in the air */
	enum flag powered, discovering, connected, resolved;
	const char *power_state;
	const char *uuid, *service;
	const uint8_t *value;
	size_t n_value;
	bool has_value;
	bool is_odd; /* something was of another type than it is said to be: that was left out */
};

/* At an a{sv}: reads it whole. -errno of sd-bus where the message is broken. */
int dbus_properties(sd_bus_message *message, struct advert *advert, struct properties *ret);

/* At the body of PropertiesChanged: the interface, then its properties. */
int dbus_changed(sd_bus_message *message, struct advert *advert, const char **ret_interface, struct properties *ret);

/* One interface of an object. */
typedef void (*dbus_object_fn)(const char *path, const char *interface, const struct properties *properties,
			       void *userdata);

/* At an a{sa{sv}}: each interface of the object. */
int dbus_interfaces(sd_bus_message *message, const char *path, struct advert *advert, dbus_object_fn fn,
		    void *userdata);
/* At an a{oa{sa{sv}}}, the answer of GetManagedObjects. */
int dbus_objects(sd_bus_message *message, struct advert *advert, dbus_object_fn fn, void *userdata);

#endif
