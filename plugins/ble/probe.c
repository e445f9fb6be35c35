/* SPDX-License-Identifier: Apache-2.0 */
/* haywaind --probe ble [ADAPTER [SECONDS]]: what is in the air, what it says, and how to write it down. */
#include "ble.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct ble_heard {
	struct ble_heard *next;
	struct ble_address address;
	char *name;
	int rssi;
	char *decoder, *values; /* of the last advertisement that was understood */
	int error;		/* why none was */
};

struct search {
	const struct hay_probe *probe;
	char *path;
	bool has_adapter, is_powered;
	struct ble_heard *heard;
	struct advert advert;
	struct ble_decoded decoded;
};

static int print_value(FILE *out, const struct hay_value *value)
{
	switch (value->type) {
	case HAY_BOOL:
		return fputs(value->b ? "true" : "false", out);
	case HAY_FLOAT64:
		return fprintf(out, "%.10g", value->d);
	case HAY_STRING:
		for (size_t i = 0; i < value->s.size; i++)
			fputc(value->s.data[i] >= ' ' && value->s.data[i] < 127 ? value->s.data[i] : '?', out);
		return 0;
	case HAY_BYTES:
		for (size_t i = 0; i < value->s.size; i++)
			fprintf(out, "%02x", (unsigned char)value->s.data[i]);
		return 0;
	default:
		return fprintf(out, "%lld", (long long)value->i);
	}
}

static char *print_values(const struct ble_decoded *decoded)
{
	char *text = NULL;
	size_t size;
	FILE *out = open_memstream(&text, &size);

	if (!out)
		return NULL;
	for (size_t i = 0; i < decoded->n_values; i++) {
		const struct decoded_value *value = &decoded->values[i];
		const struct field_info *info = &field_infos[value->field];

		fprintf(out, value->number > 1 ? "%s%s_%u " : "%s%s ", i > 0 ? ", " : "", info->name, value->number);
		print_value(out, &value->value);
		if (info->unit)
			fprintf(out, " %s", info->unit);
	}
	return fclose(out) == 0 ? text : NULL;
}

static struct ble_heard *find_heard(struct search *search, const struct ble_address *address)
{
	struct ble_heard *heard;

	for (heard = search->heard; heard; heard = heard->next)
		if (address_equal(&heard->address, address))
			return heard;
	heard = calloc(1, sizeof(*heard));
	if (!heard)
		return NULL;
	*heard = (struct ble_heard){.next = search->heard, .address = *address, .rssi = RSSI_UNKNOWN, .error = -ENOMSG};
	search->heard = heard;
	return heard;
}

static void hear_device(struct search *search, const char *path, bool is_heard)
{
	static const struct decode_key no_key;
	struct advert *advert = &search->advert;
	struct ble_heard *heard;
	int r;

	if (address_of_path(path, &advert->address) < 0 ||
	    (!is_heard && advert->n_service == 0 && advert->n_manufacturer == 0))
		return;
	heard = find_heard(search, &advert->address);
	if (!heard)
		return;
	if (advert->rssi != RSSI_UNKNOWN)
		heard->rssi = advert->rssi;
	if (advert->name) {
		free(heard->name);
		heard->name = strdup(advert->name);
	} else {
		advert->name = heard->name;
	}
	r = decode_advert(DECODER_AUTO, advert, &no_key, &search->decoded);
	if (r < 0) {
		if (heard->error == -ENOMSG)
			heard->error = r;
		return;
	}
	free(heard->decoder);
	free(heard->values);
	heard->decoder = strdup(search->decoded.decoder);
	heard->values = print_values(&search->decoded);
	heard->error = 0;
}

static bool is_below(const struct search *search, const char *path)
{
	size_t length = strlen(search->path);

	return !strncmp(path, search->path, length) && path[length] == '/';
}

static void found_object(const char *path, const char *interface, const struct properties *properties, void *userdata)
{
	struct search *search = userdata;

	if (!strcmp(path, search->path) && !strcmp(interface, IFACE_ADAPTER)) {
		search->has_adapter = true;
		search->is_powered = properties->powered == FLAG_TRUE;
	} else if (!strcmp(interface, IFACE_DEVICE) && is_below(search, path) && properties->is_heard) {
		hear_device(search, path, true);
	}
}

static int properties_changed(sd_bus_message *message, void *userdata, sd_bus_error *error)
{
	struct search *search = userdata;
	const char *path = sd_bus_message_get_path(message), *interface;
	struct properties properties;

	(void)error;
	if (path && is_below(search, path) && dbus_changed(message, &search->advert, &interface, &properties) >= 0 &&
	    !strcmp(interface, IFACE_DEVICE))
		hear_device(search, path, properties.is_heard);
	return 0;
}

static int interfaces_added(sd_bus_message *message, void *userdata, sd_bus_error *error)
{
	struct search *search = userdata;
	const char *path;

	(void)error;
	if (sd_bus_message_has_signature(message, "oa{sa{sv}}") && sd_bus_message_read_basic(message, 'o', &path) >= 0)
		dbus_interfaces(message, path, &search->advert, found_object, search);
	return 0;
}

/* ---- the search ---- */

static int search_failed(const struct search *search, const char *what, const sd_bus_error *error, int r)
{
	search->probe->print(search->probe, "%s: %s", what, error && error->message ? error->message : strerror(-r));
	return r;
}

static int begin_search(struct search *search, sd_bus *bus, const char *adapter)
{
	__attribute__((cleanup(sd_bus_error_free))) sd_bus_error error = SD_BUS_ERROR_NULL;
	__attribute__((cleanup(sd_bus_message_unrefp))) sd_bus_message *reply = NULL;
	int r = sd_bus_match_signal(bus, NULL, BLUEZ, NULL, IFACE_PROPERTIES, "PropertiesChanged", properties_changed,
				    search);

	if (r >= 0)
		r = sd_bus_match_signal(bus, NULL, BLUEZ, NULL, IFACE_OBJECTS, "InterfacesAdded", interfaces_added,
					search);
	if (r >= 0)
		r = sd_bus_call_method(bus, BLUEZ, "/", IFACE_OBJECTS, "GetManagedObjects", &error, &reply, NULL);
	if (r < 0 && sd_bus_error_has_name(&error, SD_BUS_ERROR_SERVICE_UNKNOWN)) {
		search->probe->print(search->probe,
				     "bluetoothd does not run; the package bluez brings it (apt install bluez).");
		return -ESRCH;
	}
	if (r < 0)
		return search_failed(search, "bluetoothd does not answer", &error, r);
	r = dbus_objects(reply, &search->advert, found_object, search);
	if (r < 0)
		return search_failed(search, "bluetoothd's answer", NULL, r);
	if (!search->has_adapter) {
		search->probe->print(search->probe, "There is no adapter %s.", adapter);
		return -ENODEV;
	}
	if (!search->is_powered) {
		r = sd_bus_set_property(bus, BLUEZ, search->path, IFACE_ADAPTER, "Powered", &error, "b", 1);
		if (r < 0)
			return search_failed(search, "the adapter is off and does not power on", &error, r);
	}
	r = sd_bus_call_method(bus, BLUEZ, search->path, IFACE_ADAPTER, "SetDiscoveryFilter", &error, NULL, "a{sv}", 2,
			       "Transport", "s", "le", "DuplicateData", "b", 1);
	if (r >= 0)
		r = sd_bus_call_method(bus, BLUEZ, search->path, IFACE_ADAPTER, "StartDiscovery", &error, NULL, NULL);
	return r < 0 ? search_failed(search, "the adapter does not scan", &error, r) : 0;
}

static int listen_for(struct search *search, sd_bus *bus, unsigned seconds)
{
	const struct hay_probe *probe = search->probe;
	uint64_t began = hay_now(), end = began + seconds * SECOND_US;
	int r = 0;

	for (uint64_t now = began; r >= 0 && now < end && !(probe->cancelled && probe->cancelled(probe));
	     now = hay_now()) {
		r = sd_bus_process(bus, NULL);
		if (r != 0)
			continue;
		if (probe->progress)
			probe->progress(probe, (unsigned)((now - began) / SECOND_US), seconds, "listening");
		r = sd_bus_wait(bus, end - now < SECOND_US ? end - now : SECOND_US);
	}
	return r < 0 ? search_failed(search, "the bus", NULL, r) : 0;
}

/* ---- what was heard ---- */

static int by_rssi(const void *a, const void *b)
{
	const struct ble_heard *x = *(const struct ble_heard *const *)a, *y = *(const struct ble_heard *const *)b;
	int left = x->rssi == RSSI_UNKNOWN ? -1000 : x->rssi, right = y->rssi == RSSI_UNKNOWN ? -1000 : y->rssi;

	return (left < right) - (left > right);
}

static const char *explain_error(int error)
{
	return error == -ENOKEY	   ? "encrypted: it needs bindkey_file"
	       : error == -EBADMSG ? "malformed"
				   : "nothing that is understood";
}

static void print_heard(const struct hay_probe *probe, const struct ble_heard *heard)
{
	char address[ADDRESS_TEXT_SIZE], rssi[16] = "  ?";

	address_print(&heard->address, address);
	if (heard->rssi != RSSI_UNKNOWN)
		snprintf(rssi, sizeof(rssi), "%d", heard->rssi);
	probe->print(probe, "%s  %4s dBm  %-9s  %s%s%s", address, rssi, heard->decoder ? heard->decoder : "-",
		     heard->name ? heard->name : "", heard->name ? ": " : "",
		     heard->values ? heard->values : explain_error(heard->error));
}

/* A name for the configuration: letters, digits, '-', '_' and '.' of what it calls itself, else its address. */
static void print_block(const struct hay_probe *probe, const struct ble_heard *heard)
{
	const uint8_t *b = heard->address.bytes;
	char address[ADDRESS_TEXT_SIZE], name[65];
	size_t n = 0;

	for (const char *c = heard->name ? heard->name : ""; *c && n < sizeof(name) - 1; c++)
		name[n++] = (*c >= '0' && *c <= '9') || ((*c | 32) >= 'a' && (*c | 32) <= 'z') || strchr("-_.", *c)
				    ? *c
				    : '-';
	name[n] = '\0';
	if (n == 0)
		snprintf(name, sizeof(name), "%s-%02x%02x%02x", heard->decoder ? heard->decoder : "ble", b[3], b[4],
			 b[5]);
	address_print(&heard->address, address);
	probe->print(probe, "  { name = \"%s\"; link = \"air\"; address = \"%s\"; decode = \"%s\";%s }", name, address,
		     heard->decoder ? heard->decoder : "auto",
		     heard->error == -ENOKEY ? " bindkey_file = \"FILE\";" : "");
}

static int report_found(struct search *search)
{
	const struct hay_probe *probe = search->probe;
	struct ble_heard **list;
	size_t n = 0, n_blocks = 0;

	for (const struct ble_heard *heard = search->heard; heard; heard = heard->next)
		n++;
	list = calloc(n + 1, sizeof(struct ble_heard *));
	if (!list)
		return -ENOMEM;
	n = 0;
	for (struct ble_heard *heard = search->heard; heard; heard = heard->next)
		list[n++] = heard;
	qsort(list, n, sizeof(struct ble_heard *), by_rssi);
	probe->print(probe, "%zu device%s heard.", n, n == 1 ? "" : "s");
	for (size_t i = 0; i < n; i++)
		print_heard(probe, list[i]);
	for (size_t i = 0; i < n; i++)
		n_blocks += list[i]->decoder || list[i]->error == -ENOKEY;
	if (n_blocks > 0)
		probe->print(probe, "For the configuration, with a link named air:");
	for (size_t i = 0; i < n; i++)
		if (list[i]->decoder || list[i]->error == -ENOKEY)
			print_block(probe, list[i]);
	free(list);
	return 0;
}

static void search_done(struct search *search)
{
	while (search->heard) {
		struct ble_heard *heard = search->heard;

		search->heard = heard->next;
		free(heard->name);
		free(heard->decoder);
		free(heard->values);
		free(heard);
	}
	advert_done(&search->advert);
	free(search->path);
	free(search);
}

int probe_ble(const struct hay_probe *probe)
{
	const char *adapter = probe->argc > 0 ? probe->argv[0] : "hci0";
	char *end = NULL;
	unsigned long seconds = probe->argc > 1 ? strtoul(probe->argv[1], &end, 10) : 10;
	struct search *search;
	sd_bus *bus = NULL;
	int r;

	if (probe->argc > 2 || strchr(adapter, '/') || (end && *end) || seconds == 0 || seconds > 3600) {
		probe->print(probe, "Usage: haywaind --probe ble [ADAPTER [SECONDS]]; default: hci0 10");
		return -EINVAL;
	}
	search = calloc(1, sizeof(*search));
	if (!search)
		return -ENOMEM;
	search->probe = probe;
	r = asprintf(&search->path, "/org/bluez/%s", adapter) < 0 ? -ENOMEM : 0;
	if (r == 0) {
		r = sd_bus_open_system(&bus);
		if (r < 0)
			search_failed(search, "no system bus", NULL, r);
	}
	if (r >= 0)
		r = begin_search(search, bus, adapter);
	if (r >= 0)
		r = listen_for(search, bus, (unsigned)seconds);
	if (r >= 0)
		r = report_found(search);
	sd_bus_flush_close_unref(bus);
	search_done(search);
	return r;
}
