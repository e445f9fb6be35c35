/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A sensor on a second controller of the same machine: `peripheral /org/bluez/hci1` advertises BTHome service data with
 * a temperature that changes, and serves a characteristic 2a6e that is read, written and notifies.
 */
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <systemd/sd-bus.h>
#include <systemd/sd-event.h>

#define PERIOD_US 1000000
#define BTHOME "0000fcd2-0000-1000-8000-00805f9b34fb"
#define TEMPERATURE "00002a6e-0000-1000-8000-00805f9b34fb"
#define ENVIRONMENT "0000181a-0000-1000-8000-00805f9b34fb"

static struct sensor {
	sd_bus *bus;
	uint8_t data[6]; /* BTHome: plain, packet id, temperature */
	uint8_t value[2];
	bool notifies, is_written; /* what was written stays */
} sensor = {.data = {0x40, 0x00, 0x00, 0x02, 0xca, 0x09}, .value = {0xca, 0x09}};

static int get_text(sd_bus *bus, const char *path, const char *interface, const char *property, sd_bus_message *reply,
		    void *userdata, sd_bus_error *error)
{
	(void)bus;
	(void)interface;
	(void)userdata;
	(void)error;
	if (!strcmp(property, "Type"))
		return sd_bus_message_append(reply, "s", "peripheral");
	if (!strcmp(property, "LocalName"))
		return sd_bus_message_append(reply, "s", "shed");
	return sd_bus_message_append(reply, "s", strstr(path, "characteristic") ? TEMPERATURE : ENVIRONMENT);
}

static int get_data(sd_bus *bus, const char *path, const char *interface, const char *property, sd_bus_message *reply,
		    void *userdata, sd_bus_error *error)
{
	(void)bus;
	(void)path;
	(void)interface;
	(void)property;
	(void)userdata;
	(void)error;
	sd_bus_message_open_container(reply, 'a', "{sv}");
	sd_bus_message_open_container(reply, 'e', "sv");
	sd_bus_message_append(reply, "s", BTHOME);
	sd_bus_message_open_container(reply, 'v', "ay");
	sd_bus_message_append_array(reply, 'y', sensor.data, sizeof(sensor.data));
	sd_bus_message_close_container(reply);
	sd_bus_message_close_container(reply);
	return sd_bus_message_close_container(reply);
}

static int get_other(sd_bus *bus, const char *path, const char *interface, const char *property, sd_bus_message *reply,
		     void *userdata, sd_bus_error *error)
{
	(void)bus;
	(void)path;
	(void)interface;
	(void)userdata;
	(void)error;
	if (!strcmp(property, "Primary"))
		return sd_bus_message_append(reply, "b", 1);
	if (!strcmp(property, "Service"))
		return sd_bus_message_append(reply, "o", "/sensor/service");
	if (!strcmp(property, "Flags"))
		return sd_bus_message_append(reply, "as", 3, "read", "write", "notify");
	return sd_bus_message_append_array(reply, 'y', sensor.value, sizeof(sensor.value));
}

static int answer(sd_bus_message *message, void *userdata, sd_bus_error *error)
{
	const char *member = sd_bus_message_get_member(message);

	(void)userdata;
	(void)error;
	if (!strcmp(member, "StartNotify") || !strcmp(member, "StopNotify"))
		sensor.notifies = member[2] == 'a';
	return sd_bus_reply_method_return(message, NULL);
}

static int read_value(sd_bus_message *message, void *userdata, sd_bus_error *error)
{
	sd_bus_message *reply = NULL;
	int r = sd_bus_message_new_method_return(message, &reply);

	(void)userdata;
	(void)error;
	if (r >= 0)
		r = sd_bus_message_append_array(reply, 'y', sensor.value, sizeof(sensor.value));
	if (r >= 0)
		r = sd_bus_send(NULL, reply, NULL);
	sd_bus_message_unref(reply);
	return r;
}

static int write_value(sd_bus_message *message, void *userdata, sd_bus_error *error)
{
	const void *data;
	size_t size;

	(void)userdata;
	(void)error;
	if (sd_bus_message_read_array(message, 'y', &data, &size) < 0 || size != sizeof(sensor.value))
		return sd_bus_reply_method_errorf(message, "org.bluez.Error.InvalidValueLength", "two bytes");
	memcpy(sensor.value, data, size);
	sensor.is_written = true;
	return sd_bus_reply_method_return(message, NULL);
}

static const sd_bus_vtable advertisement[] = {
	SD_BUS_VTABLE_START(0),
	SD_BUS_METHOD("Release", "", "", answer, SD_BUS_VTABLE_UNPRIVILEGED),
	SD_BUS_PROPERTY("Type", "s", get_text, 0, 0),
	SD_BUS_PROPERTY("LocalName", "s", get_text, 0, 0),
	SD_BUS_PROPERTY("ServiceData", "a{sv}", get_data, 0, SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE),
	SD_BUS_VTABLE_END,
};

static const sd_bus_vtable service[] = {
	SD_BUS_VTABLE_START(0),
	SD_BUS_PROPERTY("UUID", "s", get_text, 0, 0),
	SD_BUS_PROPERTY("Primary", "b", get_other, 0, 0),
	SD_BUS_VTABLE_END,
};

static const sd_bus_vtable characteristic[] = {
	SD_BUS_VTABLE_START(0),
	SD_BUS_PROPERTY("UUID", "s", get_text, 0, 0),
	SD_BUS_PROPERTY("Service", "o", get_other, 0, 0),
	SD_BUS_PROPERTY("Flags", "as", get_other, 0, 0),
	SD_BUS_PROPERTY("Value", "ay", get_other, 0, SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE),
	SD_BUS_METHOD("ReadValue", "a{sv}", "ay", read_value, SD_BUS_VTABLE_UNPRIVILEGED),
	SD_BUS_METHOD("WriteValue", "aya{sv}", "", write_value, SD_BUS_VTABLE_UNPRIVILEGED),
	SD_BUS_METHOD("StartNotify", "", "", answer, SD_BUS_VTABLE_UNPRIVILEGED),
	SD_BUS_METHOD("StopNotify", "", "", answer, SD_BUS_VTABLE_UNPRIVILEGED),
	SD_BUS_VTABLE_END,
};

static int tick(sd_event_source *source, uint64_t when, void *userdata)
{
	(void)when;
	(void)userdata;
	sensor.data[2]++;
	sensor.data[4]++;
	if (!sensor.is_written)
		sensor.value[0]++;
	sd_bus_emit_properties_changed(sensor.bus, "/advertisement", "org.bluez.LEAdvertisement1", "ServiceData", NULL);
	if (sensor.notifies)
		sd_bus_emit_properties_changed(sensor.bus, "/sensor/service/characteristic",
					       "org.bluez.GattCharacteristic1", "Value", NULL);
	sd_event_source_set_time_relative(source, PERIOD_US);
	return sd_event_source_set_enabled(source, SD_EVENT_ONESHOT);
}

static int registered(sd_bus_message *reply, void *userdata, sd_bus_error *error)
{
	const sd_bus_error *failed = sd_bus_message_get_error(reply);

	(void)error;
	printf("%s: %s\n", (const char *)userdata, failed ? failed->message : "done");
	fflush(stdout);
	return failed ? sd_event_exit(sd_bus_get_event(sensor.bus), 3) : 0;
}

int main(int argc, char *argv[])
{
	const char *adapter = argc > 1 ? argv[1] : "/org/bluez/hci1";
	sd_event *event;
	int r = sd_event_default(&event);

	if (r >= 0)
		r = sd_bus_open_system(&sensor.bus);
	if (r >= 0)
		r = sd_bus_attach_event(sensor.bus, event, 0);
	if (r < 0)
		return 2;
	sd_bus_add_object_manager(sensor.bus, NULL, "/sensor");
	sd_bus_add_object_vtable(sensor.bus, NULL, "/advertisement", "org.bluez.LEAdvertisement1", advertisement, NULL);
	sd_bus_add_object_vtable(sensor.bus, NULL, "/sensor/service", "org.bluez.GattService1", service, NULL);
	sd_bus_add_object_vtable(sensor.bus, NULL, "/sensor/service/characteristic", "org.bluez.GattCharacteristic1",
				 characteristic, NULL);
	sd_bus_call_method_async(sensor.bus, NULL, "org.bluez", adapter, "org.bluez.GattManager1",
				 "RegisterApplication", registered, "RegisterApplication", "oa{sv}", "/sensor", 0);
	sd_bus_call_method_async(sensor.bus, NULL, "org.bluez", adapter, "org.bluez.LEAdvertisingManager1",
				 "RegisterAdvertisement", registered, "RegisterAdvertisement", "oa{sv}",
				 "/advertisement", 0);
	sd_event_add_time_relative(event, NULL, CLOCK_MONOTONIC, PERIOD_US, 0, tick, NULL);
	return sd_event_loop(event);
}
