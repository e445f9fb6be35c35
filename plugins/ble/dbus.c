/* SPDX-License-Identifier: Apache-2.0 */
#include "dbus.h"
#include <errno.h>
#include <string.h>

static bool contains(sd_bus_message *message, const char *signature)
{
	return sd_bus_message_verify_type(message, SD_BUS_TYPE_VARIANT, signature) > 0;
}

/*
 * Readers of a variant: 1 where it was of the type that it should be; 0 where it was another, and skipped; -errno where
 * the message is broken.
 */
static int skip(sd_bus_message *message)
{
	int r = sd_bus_message_skip(message, "v");

	return r < 0 ? r : 0;
}

static int leave(sd_bus_message *message)
{
	int r = sd_bus_message_exit_container(message);

	return r < 0 ? r : 1;
}

/* Of that basic type, into *ret. */
static int read_basic(sd_bus_message *message, char type, void *ret)
{
	char signature[2] = {type, '\0'};
	int r;

	if (!contains(message, signature))
		return skip(message);
	r = sd_bus_message_enter_container(message, SD_BUS_TYPE_VARIANT, signature);
	if (r >= 0)
		r = sd_bus_message_read_basic(message, type, ret);
	return r < 0 ? r : leave(message);
}

static int read_flag(sd_bus_message *message, enum flag *ret)
{
	int on = -1, r = read_basic(message, SD_BUS_TYPE_BOOLEAN, &on);

	if (r >= 0 && on >= 0)
		*ret = on ? FLAG_TRUE : FLAG_FALSE;
	return r;
}

/* The bytes in a variant; *ret_data NULL where it holds something else. */
static int read_bytes(sd_bus_message *message, const uint8_t **ret_data, size_t *ret_size)
{
	const void *data = NULL;
	int r;

	*ret_data = NULL;
	if (!contains(message, "ay"))
		return skip(message);
	r = sd_bus_message_enter_container(message, SD_BUS_TYPE_VARIANT, "ay");
	if (r >= 0)
		r = sd_bus_message_read_array(message, 'y', &data, ret_size);
	if (r < 0)
		return r;
	*ret_data = *ret_size > 0 ? data : (const uint8_t *)"";
	return leave(message);
}

/* a{qv} of companies or a{sv} of services. */
static int read_data(sd_bus_message *message, struct advert *advert, bool of_service)
{
	const char *outer = of_service ? "a{sv}" : "a{qv}", *entry = of_service ? "sv" : "qv";
	bool is_whole = true;
	int r;

	if (!contains(message, outer))
		return skip(message);
	r = sd_bus_message_enter_container(message, SD_BUS_TYPE_VARIANT, outer);
	if (r >= 0)
		r = sd_bus_message_enter_container(message, SD_BUS_TYPE_ARRAY, of_service ? "{sv}" : "{qv}");
	while (r >= 0 && (r = sd_bus_message_enter_container(message, SD_BUS_TYPE_DICT_ENTRY, entry)) > 0) {
		const char *text = NULL;
		const uint8_t *data = NULL;
		uint16_t company = 0;
		struct uuid uuid;
		size_t size = 0;

		r = of_service ? sd_bus_message_read_basic(message, 's', &text)
			       : sd_bus_message_read_basic(message, 'q', &company);
		if (r >= 0)
			r = read_bytes(message, &data, &size);
		is_whole &= r != 0;
		if (r >= 0 && data && advert && !of_service)
			r = advert_add_manufacturer(advert, company, data, size);
		else if (r >= 0 && data && advert && uuid_parse(text, &uuid) == 0)
			r = advert_add_service(advert, &uuid, data, size);
		if (r >= 0)
			r = sd_bus_message_exit_container(message);
	}
	if (r >= 0)
		r = sd_bus_message_exit_container(message);
	if (r >= 0)
		r = leave(message);
	return r < 0 ? r : is_whole;
}

static int read_uuids(sd_bus_message *message, struct advert *advert)
{
	const char *text;
	int r;

	if (!contains(message, "as"))
		return skip(message);
	r = sd_bus_message_enter_container(message, SD_BUS_TYPE_VARIANT, "as");
	if (r >= 0)
		r = sd_bus_message_enter_container(message, SD_BUS_TYPE_ARRAY, "s");
	while (r >= 0 && (r = sd_bus_message_read_basic(message, 's', &text)) > 0) {
		struct uuid uuid;

		if (advert && uuid_parse(text, &uuid) == 0)
			r = advert_add_uuid(advert, &uuid);
	}
	if (r >= 0)
		r = sd_bus_message_exit_container(message);
	return r < 0 ? r : leave(message);
}

static int read_rssi(sd_bus_message *message, struct properties *properties)
{
	int16_t rssi = RSSI_UNKNOWN;
	int r = read_basic(message, SD_BUS_TYPE_INT16, &rssi);

	if (properties->advert)
		properties->advert->rssi = rssi;
	properties->is_heard |= r > 0;
	return r;
}

static int read_property(sd_bus_message *message, const char *name, struct properties *ret)
{
	struct advert *advert = ret->advert;
	const char *text = NULL;
	int r;

	if (!strcmp(name, "RSSI"))
		return read_rssi(message, ret);
	if (!strcmp(name, "ServiceData") || !strcmp(name, "ManufacturerData"))
		return read_data(message, advert, name[0] == 'S');
	if (!strcmp(name, "Name") && advert)
		return read_basic(message, 's', &advert->name);
	if (!strcmp(name, "AddressType") && advert) {
		r = read_basic(message, 's', &text);
		advert->is_random = text && !strcmp(text, "random");
		return r;
	}
	if (!strcmp(name, "UUIDs"))
		return read_uuids(message, advert);
	if (!strcmp(name, "Powered"))
		return read_flag(message, &ret->powered);
	if (!strcmp(name, "PowerState"))
		return read_basic(message, 's', &ret->power_state);
	if (!strcmp(name, "Discovering"))
		return read_flag(message, &ret->discovering);
	if (!strcmp(name, "Connected"))
		return read_flag(message, &ret->connected);
	if (!strcmp(name, "ServicesResolved"))
		return read_flag(message, &ret->resolved);
	if (!strcmp(name, "UUID"))
		return read_basic(message, 's', &ret->uuid);
	if (!strcmp(name, "Service"))
		return read_basic(message, 'o', &ret->service);
	if (!strcmp(name, "Value")) {
		r = read_bytes(message, &ret->value, &ret->n_value);
		ret->has_value = ret->value != NULL;
		return r;
	}
	r = sd_bus_message_skip(message, "v");
	return r < 0 ? r : 1; /* none that concerns us */
}

int dbus_properties(sd_bus_message *message, struct advert *advert, struct properties *ret)
{
	const char *name;
	int r;

	*ret = (struct properties){.advert = advert,
				   .powered = FLAG_ABSENT,
				   .discovering = FLAG_ABSENT,
				   .connected = FLAG_ABSENT,
				   .resolved = FLAG_ABSENT};
	if (advert)
		advert_clear(advert);
	r = sd_bus_message_enter_container(message, SD_BUS_TYPE_ARRAY, "{sv}");
	while (r >= 0 && (r = sd_bus_message_enter_container(message, SD_BUS_TYPE_DICT_ENTRY, "sv")) > 0) {
		r = sd_bus_message_read_basic(message, 's', &name);
		if (r >= 0)
			r = read_property(message, name, ret);
		ret->is_odd |= r == 0;
		if (r >= 0)
			r = sd_bus_message_exit_container(message);
	}
	return r < 0 ? r : sd_bus_message_exit_container(message);
}

int dbus_changed(sd_bus_message *message, struct advert *advert, const char **ret_interface, struct properties *ret)
{
	int r;

	if (!sd_bus_message_has_signature(message, "sa{sv}as"))
		return -EBADMSG;
	r = sd_bus_message_read_basic(message, 's', ret_interface);
	return r < 0 ? r : dbus_properties(message, advert, ret);
}

int dbus_interfaces(sd_bus_message *message, const char *path, struct advert *advert, dbus_object_fn fn, void *userdata)
{
	struct properties properties;
	const char *interface;
	int r = sd_bus_message_enter_container(message, SD_BUS_TYPE_ARRAY, "{sa{sv}}");

	while (r >= 0 && (r = sd_bus_message_enter_container(message, SD_BUS_TYPE_DICT_ENTRY, "sa{sv}")) > 0) {
		r = sd_bus_message_read_basic(message, 's', &interface);
		if (r >= 0)
			r = dbus_properties(message, advert, &properties);
		if (r >= 0)
			r = sd_bus_message_exit_container(message);
		if (r >= 0)
			fn(path, interface, &properties, userdata);
	}
	return r < 0 ? r : sd_bus_message_exit_container(message);
}

int dbus_objects(sd_bus_message *message, struct advert *advert, dbus_object_fn fn, void *userdata)
{
	const char *path;
	int r;

	if (!sd_bus_message_has_signature(message, "a{oa{sa{sv}}}"))
		return -EBADMSG;
	r = sd_bus_message_enter_container(message, SD_BUS_TYPE_ARRAY, "{oa{sa{sv}}}");
	while (r >= 0 && (r = sd_bus_message_enter_container(message, SD_BUS_TYPE_DICT_ENTRY, "oa{sa{sv}}")) > 0) {
		r = sd_bus_message_read_basic(message, 'o', &path);
		if (r >= 0)
			r = dbus_interfaces(message, path, advert, fn, userdata);
		if (r >= 0)
			r = sd_bus_message_exit_container(message);
	}
	return r < 0 ? r : sd_bus_message_exit_container(message);
}
