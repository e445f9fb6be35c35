/* SPDX-License-Identifier: Apache-2.0 */
/* Bluetooth Low Energy: what a person may write, what is wrong with it, and the life of links and devices. */
#include "ble.h"
#include "standard.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char *const scan_modes[] = {"active", "passive", NULL};
static const char *const point_modes[] = {"read", "notify", NULL};

static const struct hay_option link_table[] = {
	{.key = "adapter",
	 .type = HAY_OPT_NAME,
	 .offset = offsetof(struct ble_link_conf, adapter),
	 .fallback = "hci0",
	 .help = "the Bluetooth adapter"},
	{.key = "scan",
	 .type = HAY_OPT_CHOICE,
	 .offset = offsetof(struct ble_link_conf, scan),
	 .fallback = "active",
	 .choices = scan_modes,
	 .help = "whether devices are asked for more than they say by themselves"},
	{.key = "stall",
	 .type = HAY_OPT_DURATION,
	 .offset = offsetof(struct ble_link_conf, stall_us),
	 .fallback = "10m",
	 .min = 1000000,
	 .max = INT64_C(86400000000),
	 .help = "start the scan again where nothing at all is heard for this long"},
	{.key = NULL},
};

static const struct hay_option device_table[] = {
	{.key = "address",
	 .type = HAY_OPT_STRING,
	 .offset = offsetof(struct ble_device_conf, address),
	 .help = "its address: \"A4:C1:38:00:00:01\""},
	{.key = "match_name",
	 .type = HAY_OPT_STRING,
	 .offset = offsetof(struct ble_device_conf, match_name),
	 .help = "the name it advertises"},
	{.key = "match_service",
	 .type = HAY_OPT_STRING,
	 .offset = offsetof(struct ble_device_conf, match_service),
	 .help = "the UUID of a service it advertises"},
	{.key = "match_manufacturer",
	 .type = HAY_OPT_INT,
	 .offset = offsetof(struct ble_device_conf, match_manufacturer),
	 .fallback = "-1",
	 .min = 0,
	 .max = UINT16_MAX,
	 .help = "the company id of its manufacturer data"},
	{.key = "irk_file",
	 .type = HAY_OPT_SECRET,
	 .offset = offsetof(struct ble_device_conf, irk_file),
	 .help = "its identity resolving key, 32 hexadecimal digits"},
	{.key = "decode",
	 .type = HAY_OPT_CHOICE,
	 .offset = offsetof(struct ble_device_conf, decode),
	 .fallback = "auto",
	 .choices = decoder_names,
	 .help = "the format of what it advertises, or gatt to connect to it"},
	{.key = "bindkey_file",
	 .type = HAY_OPT_SECRET,
	 .offset = offsetof(struct ble_device_conf, bindkey_file),
	 .help = "the key it encrypts with, 32 hexadecimal digits (24 before version 4 of xiaomi)"},
	{.key = "interval",
	 .type = HAY_OPT_DURATION,
	 .offset = offsetof(struct ble_device_conf, interval_us),
	 .fallback = "1s",
	 .help = "least time between two samples"},
	{.key = "lost_after",
	 .type = HAY_OPT_DURATION,
	 .offset = offsetof(struct ble_device_conf, lost_after_us),
	 .fallback = "10m",
	 .min = 1000000,
	 .max = INT64_C(30) * 86400 * 1000000,
	 .help = "offline when not heard for this long"},
	{.key = NULL},
};

static const struct hay_option point_table[] = {
	{.key = "field",
	 .type = HAY_OPT_STRING,
	 .offset = offsetof(struct ble_point_conf, field),
	 .help = "the decoder's name of the value; default: the point's name"},
	{.key = "service",
	 .type = HAY_OPT_STRING,
	 .offset = offsetof(struct ble_point_conf, service),
	 .help = "UUID of the service, where several have such a characteristic"},
	{.key = "characteristic",
	 .type = HAY_OPT_STRING,
	 .offset = offsetof(struct ble_point_conf, characteristic),
	 .help = "UUID of the characteristic"},
	{.key = "mode",
	 .type = HAY_OPT_CHOICE,
	 .offset = offsetof(struct ble_point_conf, mode),
	 .fallback = "read",
	 .choices = point_modes,
	 .help = "read it every `every`, or let the device notify"},
	{.key = "at",
	 .type = HAY_OPT_INT,
	 .offset = offsetof(struct ble_point_conf, at),
	 .fallback = "-1",
	 .min = 0,
	 .max = 511,
	 .help = "where in the bytes the value begins, from 0"},
	{.key = "order",
	 .type = HAY_OPT_STRING,
	 .offset = offsetof(struct ble_point_conf, order),
	 .help = "the order of its bytes, A the most significant: \"ABCD\"; default: the least significant first"},
	{.key = NULL},
};

/* ---- what is wrong with it ---- */

static void check_device(const void *conf, const void *link_conf, const struct hay_report *report)
{
	const struct ble_device_conf *c = conf;
	struct ble_address address;
	struct uuid uuid;

	(void)link_conf;
	if (!c->address && !c->match_name && !c->match_service && c->match_manufacturer < 0 && !c->irk_file)
		report->error(
			report, "address",
			"a device needs `address`, `match_name`, `match_service`, `match_manufacturer` or `irk_file`");
	if (c->address && address_parse(c->address, &address) < 0)
		report->error(report, "address", "address \"%s\" is none; right would be \"A4:C1:38:00:00:01\"",
			      c->address);
	if (c->match_service && uuid_parse(c->match_service, &uuid) < 0)
		report->error(report, "match_service", "\"%s\" is no UUID; right would be \"181a\" or the long form",
			      c->match_service);
}

static void check_gatt_point(struct hay_point *point, const struct ble_point_conf *c, const struct hay_report *report)
{
	struct uuid uuid;
	enum ble_field field;

	if (!c->characteristic) {
		report->error(report, NULL, "a point of a device with decode = \"gatt\" needs `characteristic`");
		return;
	}
	if (uuid_parse(c->characteristic, &uuid) < 0) {
		report->error(report, "characteristic", "\"%s\" is no UUID; right would be \"2a6e\" or the long form",
			      c->characteristic);
		return;
	}
	if (c->service && uuid_parse(c->service, &uuid) < 0)
		report->error(report, "service", "\"%s\" is no UUID; right would be \"181a\" or the long form",
			      c->service);
	uuid_parse(c->characteristic, &uuid);
	if (!point->type_name && c->at < 0 && uuid_short(&uuid) && standard_field(uuid_short(&uuid), &field) == 0) {
		point->type = field_infos[field].type;
		if (!point->unit)
			point->unit = field_infos[field].unit;
	} else if (!point->type_name) {
		point->type = HAY_BYTES;
	}
	if (point->flags & HAY_POINT_WRITABLE && !point->type_name)
		report->error(report, "access", "a point that is written needs `type`");
}

static void check_form(struct hay_point *point, const struct ble_point_conf *c, const struct hay_report *report)
{
	struct ble_binary_form form;
	int r;

	if (!point->type_name && !c->order)
		return;
	r = binary_form(point->type_name, c->order, &form);
	if (r == -EDOM)
		report->error(report, "order",
			      "order \"%s\" does not fit the type: one letter for each byte, A the most significant",
			      c->order);
	else if (r == 0 && point->type == HAY_TYPE_NONE)
		point->type = form.type;
}

static void check_point(struct hay_point *point, const void *device_conf, const void *link_conf,
			const struct hay_report *report)
{
	const struct ble_point_conf *c = point->conf;
	const struct ble_device_conf *device = device_conf;
	const char *name = c->field ? c->field : point->name;
	unsigned number;
	enum ble_field field;

	(void)link_conf;
	check_form(point, c, report);
	if (device->decode == DECODER_GATT) {
		check_gatt_point(point, c, report);
		return;
	}
	if (c->characteristic || c->service)
		report->error(report, c->characteristic ? "characteristic" : "service",
			      "only a device with decode = \"gatt\" is connected to");
	if (point->flags & HAY_POINT_WRITABLE)
		report->error(report, "access", "what a device advertises cannot be written");
	if (field_find(name, &field, &number) < 0) {
		report->error(report, c->field ? "field" : "name",
			      "no decoder has a value \"%s\"; `field` names it as haywaind --probe ble shows it", name);
		return;
	}
	if (!point->unit && point->scale == 1 && point->offset == 0)
		point->unit = field_infos[field].unit;
	if (!point->type_name)
		point->type = field_infos[field].type;
	else if (field_infos[field].type != HAY_BYTES &&
		 (point->type == HAY_STRING || point->type == HAY_BYTES) != (field_infos[field].type == HAY_STRING))
		report->error(report, "type", "%s is %s", name,
			      field_infos[field].type == HAY_STRING ? "a string" : "a number, or true and false");
}

/* ---- links ---- */

static void close_link(struct hay_link *hay)
{
	struct ble_link *link = hay->state;

	scan_end(link);
	link->host->del_timer(link->step);
	link->host->del_timer(link->watch);
	advert_done(&link->advert);
	free(link->path);
	free(link);
}

static int open_link(struct hay_link *hay)
{
	struct ble_link *link = calloc(1, sizeof(*link));
	int r;

	if (!link)
		return -ENOMEM;
	link->hay = hay;
	link->host = hay->host;
	link->conf = hay->conf;
	hay->state = link;
	r = asprintf(&link->path, "/org/bluez/%s", link->conf->adapter) < 0 ? -ENOMEM : 0;
	if (r == 0)
		r = link->host->add_timer(hay, UINT64_MAX, scan_step, link, &link->step);
	if (r == 0)
		r = link->host->add_timer(hay, UINT64_MAX, scan_watch, link, &link->watch);
	if (r < 0) {
		close_link(hay);
		return r;
	}
	scan_begin(link);
	return 0;
}

/* ---- devices ---- */

/* A secret file of 32 hexadecimal digits; of 24 as well where ret_size takes how many bytes they are. */
static int read_key(struct ble_device *device, const char *path, uint8_t key[KEY_SIZE], size_t *ret_size)
{
	char text[128] = "";
	int fd = open(path, O_RDONLY | O_CLOEXEC), r = fd < 0 ? -errno : 0;
	ssize_t n = fd < 0 ? 0 : read(fd, text, sizeof(text) - 1);
	size_t size = KEY_SIZE;

	if (fd >= 0 && n < 0)
		r = -errno;
	if (fd >= 0)
		close(fd);
	if (r < 0) {
		LOG(device, HAY_LOG_ERROR, "%s: %s; the device is left out", path, strerror(-r));
		return r;
	}
	r = hex_parse(text, key, size);
	if (r < 0 && ret_size) {
		size = KEY_SIZE_SHORT;
		r = hex_parse(text, key, size);
	}
	explicit_bzero(text, sizeof(text));
	if (r < 0)
		LOG(device, HAY_LOG_ERROR, "%s: a key is 32 hexadecimal digits%s; the device is left out", path,
		    ret_size ? " (24 before version 4 of xiaomi)" : "");
	else if (ret_size)
		*ret_size = size;
	return r;
}

static int read_conf(struct ble_device *device)
{
	const struct ble_device_conf *conf = device->conf;
	struct match *match = &device->match;
	int r = 0;

	match->by_address = conf->address && address_parse(conf->address, &match->address) == 0;
	match->by_name = conf->match_name != NULL;
	match->name = conf->match_name;
	match->by_service = conf->match_service && uuid_parse(conf->match_service, &match->service) == 0;
	match->by_manufacturer = conf->match_manufacturer >= 0;
	match->manufacturer = (uint16_t)conf->match_manufacturer;
	match->by_irk = conf->irk_file != NULL;
	device->is_bound = match->by_address;
	device->address = match->address;
	if (conf->irk_file)
		r = read_key(device, conf->irk_file, match->irk, NULL);
	if (r == 0 && conf->bindkey_file)
		r = read_key(device, conf->bindkey_file, device->key.bytes, &device->key.size);
	return r;
}

static void device_free(struct ble_device *device)
{
	gatt_stop(device);
	listen_stop(device);
	explicit_bzero(device->key.bytes, sizeof(device->key.bytes));
	explicit_bzero(device->match.irk, sizeof(device->match.irk));
	free(device);
}

static int start_device(struct hay_device *hay)
{
	struct ble_device *device = calloc(1, sizeof(*device));
	int r;

	if (!device)
		return -ENOMEM;
	device->hay = hay;
	device->link = hay->link->state;
	device->conf = hay->conf;
	hay->flags |= HAY_DEVICE_UNPOLLED;
	r = read_conf(device);
	if (r == 0 && device->conf->decode == DECODER_GATT)
		r = gatt_start(device);
	if (r == 0)
		r = listen_start(device);
	if (r < 0) {
		device_free(device);
		return r;
	}
	hay->state = device;
	device->next = device->link->devices;
	device->link->devices = device;
	/* bluetoothd may know it already, by name: look at its objects once more */
	if (!device->match.by_address && scan_is_running(device->link))
		scan_again(device->link, SECOND_US);
	return 0;
}

static void stop_device(struct hay_device *hay)
{
	struct ble_device *device = hay->state;

	for (struct ble_device **at = &device->link->devices; *at; at = &(*at)->next)
		if (*at == device) {
			*at = device->next;
			break;
		}
	counter_keep(device);
	device_free(device);
}

static int poll_device(struct hay_device *hay, const uint32_t *due, size_t n_due)
{
	return gatt_poll(hay->state, due, n_due);
}

static int write_point(struct hay_command *command)
{
	struct ble_device *device = command->device->state;

	return device->gatt ? gatt_write(device, command) : -EOPNOTSUPP;
}

HAY_PLUGIN("ble", .version = "1.0", .summary = "Bluetooth Low Energy: advertisements and GATT", .types = binary_types,
	   .link_options = {link_table, sizeof(struct ble_link_conf)},
	   .device_options = {device_table, sizeof(struct ble_device_conf)},
	   .point_options = {point_table, sizeof(struct ble_point_conf)}, .check_device = check_device,
	   .check_point = check_point, .open = open_link, .close = close_link, .start = start_device,
	   .stop = stop_device, .poll = poll_device, .write = write_point, .probe = probe_ble,
	   .probe_link = HAY_PROBE_BESIDE_LINK);
