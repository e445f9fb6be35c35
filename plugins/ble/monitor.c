/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Passive scanning: an AdvertisementMonitor1 that we serve and bluetoothd reads. What it lets through comes as
 * signals of the device objects, as with discovery.
 */
#include "ble.h"
#include <errno.h>
#include <string.h>

#define ROOT "/haywain"
#define MONITOR ROOT "/monitor"

static int get_type(sd_bus *bus, const char *path, const char *interface, const char *property, sd_bus_message *reply,
		    void *userdata, sd_bus_error *error)
{
	(void)bus;
	(void)path;
	(void)interface;
	(void)property;
	(void)userdata;
	(void)error;
	return sd_bus_message_append(reply, "s", "or_patterns");
}

/* Where in the advertisement, which structure, which bytes. */
static int append_pattern(sd_bus_message *reply, uint8_t type, const uint8_t *data, size_t size)
{
	int r = sd_bus_message_open_container(reply, SD_BUS_TYPE_STRUCT, "yyay");

	if (r >= 0)
		r = sd_bus_message_append(reply, "yy", 0, type);
	if (r >= 0)
		r = sd_bus_message_append_array(reply, 'y', data, size);
	return r < 0 ? r : sd_bus_message_close_container(reply);
}

static int get_patterns(sd_bus *bus, const char *path, const char *interface, const char *property,
			sd_bus_message *reply, void *userdata, sd_bus_error *error)
{
	enum { FLAGS = 0x01, SERVICE_DATA = 0x16, MANUFACTURER = 0xff };
	/* the flags that devices send, and the formats that come without flags */
	static const uint8_t flags[] = {0x06, 0x04, 0x05, 0x02, 0x1a};
	static const uint16_t services[] = {0xFCD2, 0xFE95, 0x181A, 0xFEAA, 0xFD3D, 0x180F};
	static const uint16_t companies[] = {0x0499, 0x004C, 0xEC88};
	int r = sd_bus_message_open_container(reply, SD_BUS_TYPE_ARRAY, "(yyay)");

	(void)bus;
	(void)path;
	(void)interface;
	(void)property;
	(void)userdata;
	(void)error;
	for (size_t i = 0; r >= 0 && i < sizeof(flags); i++)
		r = append_pattern(reply, FLAGS, &flags[i], 1);
	for (size_t i = 0; r >= 0 && i < sizeof(services) / sizeof(services[0]); i++)
		r = append_pattern(reply, SERVICE_DATA, (uint8_t[]){(uint8_t)services[i], (uint8_t)(services[i] >> 8)},
				   2);
	for (size_t i = 0; r >= 0 && i < sizeof(companies) / sizeof(companies[0]); i++)
		r = append_pattern(reply, MANUFACTURER,
				   (uint8_t[]){(uint8_t)companies[i], (uint8_t)(companies[i] >> 8)}, 2);
	return r < 0 ? r : sd_bus_message_close_container(reply);
}

static int ignore(sd_bus_message *message, void *userdata, sd_bus_error *error)
{
	(void)userdata;
	(void)error;
	return sd_bus_reply_method_return(message, NULL);
}

/* bluetoothd gives the monitor up, as when the controller cannot. */
static int release(sd_bus_message *message, void *userdata, sd_bus_error *error)
{
	struct ble_link *link = userdata;

	(void)error;
	if (link->state == SCAN_MONITORING || link->state == SCAN_STARTING) {
		LINK_LOG(link, HAY_LOG_WARNING, "bluetoothd gave up passive scanning: scanning actively");
		link->gave_up_passive = true;
		link->state = SCAN_STARTING;
		scan_again(link, 0);
	}
	return sd_bus_reply_method_return(message, NULL);
}

static const sd_bus_vtable vtable[] = {
	SD_BUS_VTABLE_START(0),
	SD_BUS_PROPERTY("Type", "s", get_type, 0, 0),
	SD_BUS_PROPERTY("Patterns", "a(yyay)", get_patterns, 0, 0),
	SD_BUS_METHOD("Release", "", "", release, SD_BUS_VTABLE_UNPRIVILEGED),
	SD_BUS_METHOD("Activate", "", "", ignore, SD_BUS_VTABLE_UNPRIVILEGED),
	SD_BUS_METHOD("DeviceFound", "o", "", ignore, SD_BUS_VTABLE_UNPRIVILEGED),
	SD_BUS_METHOD("DeviceLost", "o", "", ignore, SD_BUS_VTABLE_UNPRIVILEGED),
	SD_BUS_VTABLE_END,
};

int monitor_register(struct ble_link *link)
{
	int r;

	monitor_unregister(link);
	r = sd_bus_add_object_manager(link->bus, &link->manager, ROOT);
	return r < 0 ? r
		     : sd_bus_add_object_vtable(link->bus, &link->vtable, MONITOR, "org.bluez.AdvertisementMonitor1",
						vtable, link);
}

void monitor_unregister(struct ble_link *link)
{
	if (!link->vtable)
		return;
	if (link->bus && sd_bus_is_open(link->bus) > 0)
		sd_bus_call_method_async(link->bus, NULL, BLUEZ, link->path, IFACE_MONITORS, "UnregisterMonitor", NULL,
					 NULL, "o", ROOT);
	link->vtable = sd_bus_slot_unref(link->vtable);
	link->manager = sd_bus_slot_unref(link->manager);
}
